"""The two presets of window metrics: against scikit-learn, and against the article's own tables."""

import numpy as np
import pytest
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from distilclip_eeg.report import published
from distilclip_eeg.scoring.metrics import (
    COLUMNS,
    PAPER_COLUMNS,
    at_parity,
    brier,
    confusion,
    ece,
    mcc,
    paper_metrics,
    paper_row,
    per_class,
    window_metrics,
)


def random_case(seed, n_classes, n=None):
    """Labels and probabilities; later classes rarer, the answers better than chance."""
    rng = np.random.default_rng(seed)
    n = n or int(rng.integers(40, 200))
    share = 1.0 / np.arange(1, n_classes + 1)
    label = rng.choice(n_classes, n, p=share / share.sum())
    label[:n_classes] = np.arange(n_classes)
    logits = rng.standard_normal((n, n_classes)) + 0.8 * np.eye(n_classes)[label]
    return label, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


# ------------------------------------------------------------------------------------- the article's tables


def shares(precision, recall, specificity):
    """Share of each class among the windows, which the three imply: precision is hits over all answers."""
    false_alarms = (1 - specificity) * precision
    return false_alarms / (false_alarms + recall * (1 - precision))


@pytest.mark.parametrize("dataset, model", published.CLASSES)
def test_the_article_s_overall_rows_follow_from_its_rows_by_class(dataset, model):
    rows = np.array(list(published.CLASSES[dataset, model].values())) / 100
    classes = dict(zip(published.CLASS_COLUMNS, rows.T, strict=True))
    support = shares(classes["precision"], classes["recall"], classes["specificity"])
    assert support.sum() == pytest.approx(1, abs=0.005)  # the classes are all there are
    row = paper_row(classes | {"support": support})
    printed = dict(zip(published.TABLE_2_COLUMNS, published.OVERALL[dataset, model], strict=True))
    for column, value in printed.items():
        assert 100 * row[column] == pytest.approx(value, abs=0.03), column
    of_class = (classes["recall"] + classes["specificity"]) / 2
    assert of_class == pytest.approx(published.AUC[dataset, model], abs=0.51e-4)  # four digits
    assert row["auc"] == pytest.approx(published.MACRO_AUC[dataset, model], abs=0.51e-4)


def test_any_other_mixture_of_averages_would_not_do():
    rows = np.array(list(published.CLASSES["tusz", "teacher"].values())) / 100
    macro = dict(zip(published.CLASS_COLUMNS, 100 * rows.mean(axis=0), strict=True))
    _, precision, _, _, f1 = published.OVERALL["tusz", "teacher"]
    assert precision - macro["precision"] > 3 and f1 - macro["f1"] > 2


@pytest.mark.parametrize("dataset", ["chbmit", "zenodo"])
def test_the_article_s_binary_rows_follow_from_recall_and_specificity_at_parity(dataset):
    first = 5 * published.CORPORA.index(dataset)
    accuracy, precision, recall, specificity, f1 = published.TABLE_2["base_lp"][first : first + 5]
    n = 400_000
    label = np.repeat([0, 1], [n, n // 40])  # far more background: parity is the preset's doing
    predicted = np.zeros(len(label), dtype=int)
    predicted[: round(n * (1 - specificity / 100))] = 1
    predicted[n : n + round(n // 40 * recall / 100)] = 1
    row = paper_metrics(label, predicted, 2, balance=True)
    found = [100 * row[c] for c in published.TABLE_2_COLUMNS]
    assert found == pytest.approx([accuracy, precision, recall, specificity, f1], abs=0.03)  # hits rounded
    assert row["auc"] == pytest.approx(published.AUC[dataset, "teacher"][0], abs=0.001)
    assert row["prevalence"] == pytest.approx(0.5)
    natural = paper_metrics(label, predicted, 2)
    assert natural["precision"] < 0.6  # what the balanced test hides


def test_the_student_s_binary_rows_fit_its_auc_too():
    for dataset in ("chbmit", "zenodo"):
        said = published.table_1("student", dataset)
        recall, area = said["recall"] / 100, published.AUC[dataset, "student"][0]
        classes = {"recall": np.array([2 * area - recall, recall]), "support": np.array([1.0, 1.0])}
        classes["specificity"] = classes["recall"][::-1]
        classes["precision"] = classes["recall"] / (1 + classes["recall"] - classes["specificity"])
        classes["f1"] = 2 / (1 / classes["precision"] + 1 / classes["recall"])
        row = paper_row(classes)
        assert {c: 100 * row[c] for c in said} == pytest.approx(said, abs=0.03)


# --------------------------------------------------------------------------------------- the paper preset


@pytest.mark.parametrize("n_classes", [3, 8])
@pytest.mark.parametrize("seed", range(5))
def test_the_mixture_equals_scikit_learn_s_averages(seed, n_classes):
    label, probability = random_case(seed, n_classes)
    predicted = probability.argmax(axis=1)
    row = paper_metrics(label, predicted, n_classes)
    weighted = {"average": "weighted", "zero_division": 0}
    specificity = [sk.recall_score(label != k, predicted != k) for k in range(n_classes)]
    assert row == pytest.approx(
        {
            "accuracy": sk.accuracy_score(label, predicted),
            "precision": sk.precision_score(label, predicted, **weighted),
            "f1": sk.f1_score(label, predicted, **weighted),
            "recall": sk.recall_score(label, predicted, average="macro"),
            "specificity": np.mean(specificity),
            "auc": (sk.recall_score(label, predicted, average="macro") + np.mean(specificity)) / 2,
            "n": len(label),
            "prevalence": np.mean(label > 0),
        }
    )
    assert set(PAPER_COLUMNS) | {"n", "prevalence"} == set(row)


def test_two_classes_give_the_seizure_s_figures_by_hand():
    label, predicted = np.repeat([0, 0, 1, 1], [50, 10, 5, 35]), np.repeat([0, 1, 0, 1], [50, 10, 5, 35])
    row = paper_metrics(label, predicted, 2)
    assert (row["accuracy"], row["precision"], row["recall"]) == pytest.approx((0.85, 35 / 45, 35 / 40))
    assert (row["specificity"], row["f1"], row["auc"]) == pytest.approx(
        (50 / 60, 70 / 85, (35 / 40 + 50 / 60) / 2)
    )
    # At parity 60 background windows count as 40: the 10 false alarms as 20/3.
    row = paper_metrics(label, predicted, 2, balance=True)
    assert row["precision"] == pytest.approx(35 / (35 + 20 / 3))
    assert row["accuracy"] == pytest.approx(row["auc"]) and row["recall"] == pytest.approx(35 / 40)
    assert (row["n"], row["prevalence"]) == (100, pytest.approx(0.5))


@pytest.mark.parametrize("n_classes", [2, 4])
def test_parity_is_what_balanced_draws_give_on_average(n_classes):
    rng = np.random.default_rng(0)
    label, probability = random_case(1, n_classes, n=600)
    label = np.where(rng.random(600) < 0.6, 0, label)  # far more background
    predicted = probability.argmax(axis=1)
    ictal, quiet = np.flatnonzero(label > 0), np.flatnonzero(label == 0)
    drawn = []
    for _ in range(400):
        rows = np.concatenate([ictal, rng.choice(quiet, len(ictal), replace=False)])
        drawn.append(list(paper_metrics(label[rows], predicted[rows], n_classes).values()))
    row = paper_metrics(label, predicted, n_classes, balance=True)
    got = dict(zip(row, np.mean(drawn, axis=0), strict=True))
    for name in (*PAPER_COLUMNS, "prevalence"):
        assert row[name] == pytest.approx(got[name], abs=0.005), name


def test_parity_never_adds_background_nor_invents_seizures():
    few = np.array([[3, 1], [2, 20]])
    assert at_parity(few).tolist() == few.tolist()
    calm = np.array([[3, 1], [0, 0]])
    assert at_parity(calm).tolist() == calm.tolist()


def test_a_class_never_named_has_precision_zero_as_in_scikit_learn():
    label, predicted = np.array([0, 0, 1, 2]), np.array([0, 0, 1, 1])
    row = paper_metrics(label, predicted, 3)
    assert row["precision"] == pytest.approx((2 * 1 + 1 * 0.5 + 0) / 4)


# ------------------------------------------------------------------------------------ the standard preset


@pytest.mark.parametrize("n_classes", [2, 3, 8])
@pytest.mark.parametrize("seed", range(5))
def test_scores_calibration_and_correlation_equal_scikit_learn_s(seed, n_classes):
    label, probability = random_case(seed, n_classes)
    got = window_metrics(label, probability)
    predicted = probability.argmax(axis=1)
    assert set(COLUMNS) <= set(got)
    assert got["mcc"] == pytest.approx(sk.matthews_corrcoef(label, predicted))
    if n_classes == 2:
        area = sk.average_precision_score(label, probability[:, 1])
        squared = sk.brier_score_loss(label, probability[:, 1])
    else:
        area = sk.average_precision_score(np.eye(n_classes)[label], probability, average="macro")
        squared = sk.brier_score_loss(label, probability, labels=list(range(n_classes)))
    assert got["average_precision"] == pytest.approx(area)
    assert got["brier"] == pytest.approx(squared)


@pytest.mark.parametrize("seed", range(5))
def test_the_calibration_error_equals_scikit_learn_s_curve_in_equal_mass_bins(seed):
    label, probability = random_case(seed, 2, n=150)  # ten windows a bin
    true, said = calibration_curve(label, probability[:, 1], n_bins=15, strategy="quantile")
    assert ece(label, probability) == pytest.approx(np.abs(true - said).mean())


def test_the_calibration_error_by_hand():
    said = np.repeat([0.2, 0.9], 5)
    label = np.array([0, 0, 0, 0, 1] + [1, 1, 0, 0, 0])
    probability = np.column_stack([1 - said, said])
    # Of the first five one is a seizure, as said; of the others two of five, said were nine of ten.
    assert ece(label, probability) == pytest.approx(0.5 * 0.5)
    assert ece(label, np.full((10, 2), 0.5)) == pytest.approx(
        0.2
    )  # one probability, one bin: 3 of 10 against 1/2
    three = np.array([[0.8, 0.1, 0.1]] * 4 + [[0.1, 0.3, 0.6]] * 6)
    # Said 0.8, right in 3 of 4; said 0.6, right in 3 of 6.
    assert ece(np.array([0, 0, 0, 1, 2, 2, 2, 1, 1, 0]), three) == pytest.approx(0.4 * 0.05 + 0.6 * 0.1)


def test_brier_and_correlation_by_hand():
    probability = np.array([[0.9, 0.1], [0.4, 0.6]])
    assert brier(np.array([0, 0]), probability) == pytest.approx((0.1**2 + 0.6**2) / 2)
    assert brier(np.array([2]), np.array([[0.2, 0.3, 0.5]])) == pytest.approx(0.04 + 0.09 + 0.25)
    assert mcc(np.array([[50, 10], [5, 35]])) == pytest.approx(
        (50 * 35 - 10 * 5) / np.sqrt(45 * 40 * 60 * 55)
    )
    assert mcc(np.array([[5, 0], [3, 0]])) == 0  # one answer for all


def test_perfect_answers_are_perfect_in_both_presets_and_other_answers_are_heard():
    label = np.array([0, 1, 2, 0, 1, 2])
    row = window_metrics(label, np.eye(3)[label])
    assert [row[c] for c in COLUMNS] == pytest.approx([*[1.0] * 9, 0.0, 0.0])
    assert [paper_metrics(label, label, 3)[c] for c in PAPER_COLUMNS] == pytest.approx([1.0] * 6)
    told = window_metrics(label, np.eye(3)[label], predicted=np.zeros(6, int))
    assert told["accuracy"] == pytest.approx(1 / 3) and told["auroc"] == 1  # scores stay what they are


def test_per_class_figures_follow_weights():
    counts = confusion(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]), 2)
    assert per_class(at_parity(counts))["support"].tolist() == [1, 1]
    assert per_class(at_parity(counts))["precision"][1] == pytest.approx(1 / (1 + 1 / 3))
