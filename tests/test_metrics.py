"""Window metrics, and the tables made of saved predictions."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sk
from tools import write_config

from distilclip_eeg.files.writing import write_json
from distilclip_eeg.report.tables import (
    ALWAYS,
    cell,
    format_table,
    run_table,
    summary_rows,
    write_evaluation,
)
from distilclip_eeg.runs import Run, write_predictions
from distilclip_eeg.scoring.answers import class_rows, fold_metrics, pooled
from distilclip_eeg.scoring.metrics import (
    COLUMNS,
    always_seizure,
    auroc,
    class_aurocs,
    confusion,
    macro_f1,
    per_class,
    ratio,
    window_metrics,
)

HAND = np.array([[50, 10], [5, 35]])
"""100 windows: of 60 background ones 10 raise a false alarm, of 40 seizure ones 5 are missed."""


def from_counts(counts):
    """Labels and one-hot probabilities with this confusion matrix."""
    k = len(counts)
    pairs = [(t, p) for t in range(k) for p in range(k) for _ in range(counts[t][p])]
    label, predicted = (np.array(v) for v in zip(*pairs, strict=True))
    return label, np.eye(k)[predicted]


def random_case(seed, n_classes):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(n_classes, 60))
    label = rng.integers(0, n_classes, n)
    label[:n_classes] = np.arange(n_classes)
    logits = rng.standard_normal((n, n_classes)) + 0.8 * np.eye(n_classes)[label]
    return label, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


def test_the_hand_example():
    got = window_metrics(*from_counts(HAND))
    assert got == pytest.approx(
        {
            "accuracy": 85 / 100,
            "precision": 35 / 45,
            "recall": 35 / 40,
            "specificity": 50 / 60,
            "f1": 70 / 85,
            "balanced_accuracy": (35 / 40 + 50 / 60) / 2,
            "auroc": (35 / 40 + 50 / 60) / 2,  # hard answers: the curve has one corner
            "average_precision": 35 / 40 * 35 / 45 + 5 / 40 * 40 / 100,  # and recall grows in two steps
            "mcc": (50 * 35 - 10 * 5) / np.sqrt(60 * 40 * 55 * 45),
            "brier": 15 / 100,
            "ece": (5 + 10) / 100,  # 5 of those said to be no seizure were, 10 of the others were not
            "n": 100,
            "prevalence": 0.4,
        }
    )


def test_per_class_by_hand():
    # Three classes, rows true: class 0 is right 4 of 6 times and named 2 times in error, and so on.
    counts = np.array([[4, 1, 1], [2, 3, 0], [0, 0, 5]])
    got = per_class(counts)
    assert got["precision"] == pytest.approx([4 / 6, 3 / 4, 5 / 6])
    assert got["recall"] == pytest.approx([4 / 6, 3 / 5, 1])
    assert got["specificity"] == pytest.approx([8 / 10, 10 / 11, 10 / 11])
    assert got["f1"] == pytest.approx([8 / 12, 6 / 9, 10 / 11])
    assert got["support"].tolist() == [6, 5, 5]


@pytest.mark.parametrize("n_classes", [2, 3, 5, 8])
@pytest.mark.parametrize("seed", range(20))
def test_random_cases_equal_scikit_learn(seed, n_classes):
    label, probability = random_case(seed, n_classes)
    predicted = probability.argmax(axis=1)
    every = list(range(n_classes))
    counts = confusion(label, predicted, n_classes)
    assert counts.tolist() == sk.confusion_matrix(label, predicted, labels=every).tolist()
    precision, recall, f1, support = sk.precision_recall_fscore_support(
        label, predicted, labels=every, zero_division=np.nan
    )
    classes = per_class(counts)
    np.testing.assert_allclose(classes["precision"], precision)
    np.testing.assert_allclose(classes["recall"], recall)
    np.testing.assert_allclose(classes["f1"], f1)
    assert classes["support"].tolist() == support.tolist()
    specificity = [sk.recall_score(label != k, predicted != k) for k in every]
    np.testing.assert_allclose(classes["specificity"], specificity)
    got = window_metrics(label, probability)
    assert got["accuracy"] == pytest.approx(sk.accuracy_score(label, predicted))
    assert got["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(label, predicted))
    assert macro_f1(label, predicted, n_classes) == pytest.approx(np.nanmean(f1))
    if n_classes == 2:
        expected = {"precision": precision[1], "recall": recall[1], "f1": f1[1], "specificity": recall[0]}
        assert got["auroc"] == pytest.approx(sk.roc_auc_score(label, probability[:, 1]))
    else:
        expected = {
            "precision": np.nanmean(precision),
            "recall": np.nanmean(recall),
            "f1": np.nanmean(f1),
            "specificity": np.mean(specificity),
        }
        area = sk.roc_auc_score(label, probability, multi_class="ovr", average="macro")
        assert got["auroc"] == pytest.approx(area)
    assert {k: got[k] for k in expected} == pytest.approx(expected, nan_ok=True)
    assert got["n"] == len(label)
    assert got["prevalence"] == pytest.approx(np.mean(label > 0))


def test_what_is_undefined_is_not_zero():
    silent = window_metrics(np.array([0, 0, 1]), np.array([[1, 0.0]] * 3))  # never says seizure
    assert np.isnan(silent["precision"])
    assert (silent["recall"], silent["f1"], silent["specificity"]) == (0, 0, 1)
    calm = window_metrics(np.array([0, 0]), np.array([[0.9, 0.1], [0.8, 0.2]]))  # no seizure, none said
    assert np.isnan([calm[k] for k in ("precision", "recall", "f1", "auroc")]).all()
    assert (calm["accuracy"], calm["specificity"], calm["balanced_accuracy"]) == (1, 1, 1)
    only = window_metrics(np.array([1, 1]), np.array([[0.9, 0.1], [0.2, 0.8]]))
    assert np.isnan(only["specificity"]) and np.isnan(only["auroc"])
    assert only["recall"] == 0.5


def test_a_ratio_with_nothing_below_is_nan_and_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(ratio(0, 0))
        np.testing.assert_array_equal(ratio([1, 3], [0, 4]), [np.nan, 0.75])


def test_macro_f1_counts_only_classes_that_occur():
    # Class 2 is neither there nor named; class 1 is there and never named.
    assert macro_f1(np.array([0, 0, 1]), np.array([0, 0, 0]), 3) == pytest.approx((4 / 5 + 0) / 2)


def test_the_area_ranks_scores_and_counts_ties_as_half():
    label = np.array([0, 0, 1, 1])
    score = np.array([0.1, 0.4, 0.4, 0.9])  # of four pairs three are right and one is tied
    assert auroc(label, np.column_stack([1 - score, score])) == pytest.approx(3.5 / 4)
    assert auroc(label, np.column_stack([score, 1 - score])) == pytest.approx(0.5 / 4)


def test_an_absent_class_is_left_out_of_the_mean_area_and_a_single_class_leaves_it_undefined():
    probability = np.array([[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.5, 0.4, 0.1], [0.4, 0.2, 0.4]])
    label = np.array([0, 1, 1, 0])
    # Class 0: of four pairs, 0.8 beats both, 0.4 beats one: 3/4. Class 1: 0.6 and 0.4 beat 0.1 and 0.2: 1.
    assert class_aurocs(label, probability)[:2] == pytest.approx([0.75, 1.0])
    assert np.isnan(class_aurocs(label, probability)[2]) and auroc(label, probability) == pytest.approx(0.875)
    assert np.isnan(auroc(np.zeros(4, int), probability)) and np.isnan(
        auroc(np.ones(4, int), probability[:, :2])
    )


def test_the_model_that_always_answers_seizure():
    label = np.array([0, 0, 0, 1])
    got = window_metrics(label, always_seizure(label))
    assert (got["accuracy"], got["recall"], got["specificity"], got["precision"]) == (0.25, 1, 0, 0.25)
    assert (got["f1"], got["balanced_accuracy"], got["auroc"]) == (pytest.approx(0.4), 0.5, 0.5)
    several = np.array([0, 0, 0, 2, 2, 1])
    assert always_seizure(several, 3).argmax(axis=1).tolist() == [2] * 6
    assert always_seizure(np.zeros(3, int), 2).argmax(axis=1).tolist() == [0] * 3  # there is none to name


# --- tables


def write_run(path, folds, *, model="teacher_tiny", split="subject", classes=("bckg", "seiz")):
    """A run folder with hand-made predictions: ``folds`` holds (test label, test logits) of each."""
    run = Run(path)
    for k, (label, logits) in enumerate(folds):
        run.fold(k).mkdir(parents=True)
        n = len(label)
        wrong = 1 - np.minimum(label, 1)  # the validation part is all wrong: it must not be counted
        windows = pd.DataFrame(
            {
                "window_id": np.arange(2 * n),
                "recording_name": "r",
                "subject": "s",
                "start_s": 0.0,
                "label": np.concatenate([wrong, label]),
            }
        )
        part = np.repeat(["val", "test"], n)
        write_predictions(
            run.fold(k) / "predictions.npz", windows, part, np.concatenate([logits, logits]), classes
        )
        write_json(run.fold(k) / "metrics.json", {"test": {}})
    write_config(path, model={"name": model}, split={"name": split}, dataset={"name": "hand"}, seed=3)
    write_json(path / "metrics.json", {})
    write_json(path / "data.json", {"leak_note": "shares nothing"})
    (path / "data_report.txt").write_text("hand-made data\nmore\n")
    return run


def logits_of(score):
    """Two-class logits whose softmax has ``score`` for the seizure class."""
    score = np.asarray(score, float)
    return np.column_stack([np.log(1 - score), np.log(score)])


FOLDS = [
    (np.array([0, 0, 0, 1]), logits_of([0.1, 0.2, 0.6, 0.9])),  # 3 of 4; precision 1/2
    (np.array([0, 1, 1, 1]), logits_of([0.3, 0.8, 0.9, 0.7])),  # 4 of 4
    (np.array([0, 0, 1, 1]), logits_of([0.8, 0.4, 0.3, 0.7])),  # 2 of 4
]


@pytest.fixture
def run(tmp_path):
    return write_run(tmp_path / "runs" / "hand" / "one", FOLDS)


def test_predictions_come_back_as_written(run):
    saved = run.predictions(0)
    assert saved["part"].tolist() == ["val"] * 4 + ["test"] * 4
    assert saved["label"][4:].tolist() == [0, 0, 0, 1]
    np.testing.assert_allclose(saved["probability_NK"][4:, 1], [0.1, 0.2, 0.6, 0.9], rtol=1e-6)
    assert saved["classes"].tolist() == ["bckg", "seiz"]


def test_large_logits_give_probabilities_and_no_overflow(tmp_path):
    logits = np.array([[1e4, -1e4], [-3e4, 0.0]])
    run = write_run(tmp_path / "x", [(np.array([0, 1]), logits)])
    assert run.predictions(0)["probability_NK"][2:].tolist() == [[1, 0], [0, 1]]


def test_fold_metrics_use_the_test_part_alone(run):
    table = fold_metrics(run)
    assert table["fold"].tolist() == [0, 1, 2]
    assert table["n"].tolist() == [4, 4, 4]
    assert table["accuracy"].tolist() == [0.75, 1.0, 0.5]
    assert table["precision"].tolist() == [0.5, 1.0, 0.5]
    assert table["recall"].tolist() == [1.0, 1.0, 0.5]
    assert table["auroc"].tolist() == [1.0, 1.0, 0.25]
    assert table["prevalence"].tolist() == [0.25, 0.75, 0.5]


def test_pooled_metrics_throw_the_folds_together(run):
    assert pooled(run)["accuracy"] == pytest.approx(9 / 12)
    assert pooled(run)["n"] == 12
    assert pooled(run)["recall"] == pytest.approx(5 / 6)


def test_a_summary_row_is_mean_and_sd_with_one_degree_less(run):
    table = summary_rows([run])
    row, trivial = table.iloc[0], table.iloc[1]
    assert (row["model"], row["split"], row["seed"], row["folds"], row["windows"]) == (
        "teacher_tiny",
        "subject",
        3,
        3,
        12,
    )
    assert row["accuracy"] == pytest.approx(0.75)
    assert row["accuracy_sd"] == pytest.approx(0.25)  # sqrt((0 + .0625 + .0625) / 2)
    assert row["accuracy_pooled"] == pytest.approx(0.75)
    assert row["auroc"] == pytest.approx(0.75)
    assert row["auroc_sd"] == pytest.approx(np.sqrt((0.0625 + 0.0625 + 0.25) / 2))
    assert trivial["model"] == ALWAYS
    assert trivial["accuracy"] == pytest.approx(0.5)  # mean of .25, .75, .5
    assert trivial["f1"] == pytest.approx(np.mean([0.4, 6 / 7, 2 / 3]))
    assert (trivial["recall"], trivial["recall_sd"], trivial["auroc"]) == (1, 0, 0.5)
    assert len(table) == 2


def test_each_protocol_has_one_trivial_row_and_stands_together(tmp_path):
    runs = [
        write_run(tmp_path / "a", FOLDS, split="subject"),
        write_run(tmp_path / "b", FOLDS, split="window"),
        write_run(tmp_path / "c", FOLDS, split="subject", model="student_tiny"),
    ]
    table = summary_rows(runs)
    assert table[["split", "model"]].values.tolist() == [
        ["window", "teacher_tiny"],
        ["window", ALWAYS],
        ["subject", "teacher_tiny"],
        ["subject", "student_tiny"],
        ["subject", ALWAYS],
    ]
    text = format_table(table)
    lines = text.partition("\n\n-")[0].splitlines()  # of the first columns; the others follow below
    assert sum(ALWAYS in line for line in lines) == 2
    assert "75.0 ± 25.0" in next(line for line in lines if "student_tiny" in line)


def test_a_fold_without_seizures_does_not_spoil_the_mean(tmp_path):
    calm = (np.array([0, 0]), logits_of([0.1, 0.2]))
    run = write_run(tmp_path / "a", [FOLDS[0], FOLDS[1], calm])
    row = summary_rows([run]).iloc[0]
    assert row["recall"] == pytest.approx(1.0)  # of the two folds where it is defined
    assert row["auroc"] == pytest.approx(1.0)
    assert row["accuracy"] == pytest.approx((0.75 + 1 + 1) / 3)


def test_a_cell_says_undefined_and_leaves_out_an_sd_of_one_fold():
    assert cell(0.5, 0.25) == "50.0 ± 25.0"
    assert cell(0.5, float("nan")) == "50.0"
    assert cell(float("nan"), float("nan")) == "undefined"


def test_the_table_names_data_protocol_prevalence_and_leak(run):
    text = run_table([run])
    assert "hand-made data" in text and "more" not in text
    assert "subject: seizures 50 % of test windows (natural);\n  shares nothing" in text
    assert run_table([Run(run.path.parent / "none")]) == "no fold is finished yet"


def test_rows_by_class_of_three_classes(tmp_path):
    logits = 9.0 * np.eye(3)
    folds = [
        (np.array([0, 1, 2, 2]), logits[[0, 1, 2, 0]]),
        (np.array([0, 1, 2, 2]), logits[[0, 0, 2, 2]]),
    ]
    run = write_run(tmp_path / "a", folds, classes=("bckg", "fnsz", "gnsz"))
    table = class_rows(run)
    assert table["class"].tolist() == ["bckg", "fnsz", "gnsz"]
    assert table["recall"].tolist() == [1, 0.5, 0.75]
    assert table["support"].tolist() == [2, 2, 4]  # windows of all folds
    assert table["recall_sd"].tolist() == pytest.approx([0, np.sqrt(0.5), np.sqrt(0.125) / 1])
    assert table["precision"].tolist()[:1] == [0.5]
    answers = summary_rows([run]).iloc[1]
    assert answers["recall"] == pytest.approx(1 / 3)  # always gnsz, macro over three classes


def test_the_evaluation_is_written_as_printed(run, tmp_path):
    shown = write_evaluation([run], tmp_path / "runs")
    folder = tmp_path / "runs" / "evaluation"
    assert sorted(p.name for p in folder.iterdir()) == [
        *(".written.json", "hand.csv", "hand.txt", "hand_classes.csv")
    ]
    saved = pd.read_csv(folder / "hand.csv")
    assert saved["accuracy"].tolist() == pytest.approx([0.75, 0.5])
    assert set(COLUMNS) <= set(saved.columns)
    assert "always seizure" in shown and "always seizure" in (folder / "hand.txt").read_text()
