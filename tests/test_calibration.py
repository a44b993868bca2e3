"""Calibration and threshold: against scikit-learn and a look at every cut, and chosen on validation alone."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, log_softmax, softmax
from sklearn.linear_model import LogisticRegression
from tools import write_config

from distilclip_eeg.files.writing import write_json
from distilclip_eeg.report.tables import run_table, summary_rows, write_evaluation
from distilclip_eeg.runs import Run, write_predictions
from distilclip_eeg.schema import ConfigError, DataError
from distilclip_eeg.scoring.answers import Reading, fold_metrics, read_answers
from distilclip_eeg.scoring.calibration import KINDS, answers, best_threshold, fit
from distilclip_eeg.scoring.metrics import macro_f1, window_metrics


def binary(score):
    return np.column_stack([np.zeros(len(score)), score])


def natural(seed, n, prevalence=0.05, steepness=1.0, shift=0.0):
    """Labels at a natural prevalence, and logits of a model that is right up to slope and shift."""
    rng = np.random.default_rng(seed)
    label = (rng.random(n) < prevalence).astype(int)
    score = rng.standard_normal(n) + 2.0 * label  # two bells: log-odds 2 s - 2 at equal shares
    log_odds = 2 * score - 2 + np.log(prevalence / (1 - prevalence))
    return label, binary(steepness * log_odds + shift)


def nll(probability, label):
    return -np.log(probability[np.arange(len(label)), label]).mean()


# ----------------------------------------------------------------------------------------- calibration


def test_the_prior_shift_undoes_training_on_balanced_classes():
    # What a perfect model says that was trained at equal shares: the log-odds of 5 % are missing.
    missing = np.log(0.05 / 0.95)
    label, logits = natural(0, 40_000, shift=-missing)
    fitted = fit("prior", logits, label)
    assert fitted.temperature == 1.0
    assert fitted.bias_K == pytest.approx([0.0, missing], abs=0.1)
    assert fitted(logits)[:, 1].mean() == pytest.approx(label.mean(), rel=1e-4)  # on validation exactly
    fresh, fresh_logits = natural(1, 40_000, shift=-missing)
    before, after = (p[:, 1].mean() / fresh.mean() for p in (softmax(fresh_logits, 1), fitted(fresh_logits)))
    assert before > 2 and after == pytest.approx(1, abs=0.1)  # on windows never seen: within a tenth
    errors = [window_metrics(fresh, p) for p in (softmax(fresh_logits, 1), fitted(fresh_logits))]
    assert errors[1]["ece"] < 0.1 * errors[0]["ece"] and errors[1]["brier"] < errors[0]["brier"]
    assert errors[1]["auroc"] == pytest.approx(errors[0]["auroc"])  # a shift moves no rank


def test_a_temperature_takes_back_what_was_too_steep():
    label, logits = natural(2, 40_000, prevalence=0.5, steepness=3.0)
    fitted = fit("temperature", logits, label)
    assert fitted.temperature == pytest.approx(3.0, rel=0.05) and not fitted.bias_K.any()


@pytest.mark.parametrize("seed", range(3))
def test_platt_is_scikit_learn_s_logistic_regression_on_the_log_odds(seed):
    label, logits = natural(seed, 3_000, steepness=0.4, shift=1.5)
    fitted = fit("platt", logits, label)
    theirs = LogisticRegression(C=1e12, tol=1e-10, max_iter=1000).fit(logits[:, 1:], label)
    assert 1 / fitted.temperature == pytest.approx(theirs.coef_[0, 0], rel=1e-3)
    assert fitted.bias_K[1] == pytest.approx(theirs.intercept_[0], rel=1e-3)
    np.testing.assert_allclose(fitted(logits), theirs.predict_proba(logits[:, 1:]), atol=1e-4)


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("seed", range(3))
def test_each_kind_lowers_the_loss_and_the_richer_one_most(seed, n_classes):
    rng = np.random.default_rng(seed)
    label = rng.choice(n_classes, 400, p=np.r_[0.7, np.full(n_classes - 1, 0.3 / (n_classes - 1))])
    logits = 2.5 * (rng.standard_normal((400, n_classes)) + 1.2 * np.eye(n_classes)[label])
    loss = {kind: nll(fit(kind, logits, label)(logits), label) for kind in KINDS}
    assert loss["none"] == pytest.approx(-log_softmax(logits, 1)[np.arange(400), label].mean())
    assert loss["platt"] < min(loss["prior"], loss["temperature"]) < loss["none"]
    share = fit("prior", logits, label)(logits).mean(axis=0)
    assert share == pytest.approx(np.bincount(label, minlength=n_classes) / 400, abs=1e-5)


def test_a_class_that_validation_lacks_keeps_its_logits_and_a_separated_one_stays_finite():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 200)
    logits = rng.standard_normal((200, 3)) + np.eye(3)[label]
    assert fit("platt", logits, label).bias_K[2] == 0
    parted = binary(np.where(label == 1, 5.0, -5.0))
    assert np.isfinite(fit("temperature", parted, label)(parted)).all()


@pytest.mark.parametrize("kind", KINDS[1:])
def test_nothing_can_be_learned_from_one_class(kind):
    with pytest.raises(DataError, match=f"calibration={kind}.*one class.*calibration=none"):
        fit(kind, np.zeros((5, 2)), np.zeros(5, int))
    with pytest.raises(DataError, match="threshold=validation.*one class"):
        best_threshold(np.ones(5, int), np.full((5, 2), 0.5))


# ------------------------------------------------------------------------------------------- threshold


def test_answers_by_hand():
    probability = np.array([[0.5, 0.2, 0.3], [0.3, 0.4, 0.3], [0.9, 0.04, 0.06]])
    assert answers(probability).tolist() == [0, 1, 0]
    assert answers(probability, 0.5).tolist() == [2, 1, 0]  # the seizures together reach a half
    assert answers(probability, 0.8).tolist() == [0, 0, 0]
    assert answers(probability, 0.0).tolist() == [2, 1, 2]


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("seed", range(20))
def test_the_threshold_is_the_best_of_all(seed, n_classes):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, n_classes, 25)
    label[:2] = 0, 1
    logits = rng.standard_normal((25, n_classes)) + np.eye(n_classes)[label]
    probability = np.round(softmax(logits, 1), 1 if seed % 2 else 9)  # every other case is full of ties
    probability = (probability / probability.sum(1, keepdims=True)).astype(np.float32)
    score = np.unique(probability[:, 1:].sum(1, dtype=float))
    found = [macro_f1(label, answers(probability, t), n_classes) for t in score]
    threshold = best_threshold(label, probability)
    assert macro_f1(label, answers(probability, threshold), n_classes) == pytest.approx(max(found))


# ------------------------------------------------------------------------ from predictions, validation alone


def write_run(path, val, test, *, split="subject", balance_test=False):
    """A run of one fold per pair of (label, logits)."""
    run = Run(path)
    for k, parts in enumerate(zip(val, test, strict=True)):
        label, logits = (np.concatenate([p[i] for p in parts]) for i in (0, 1))
        windows = pd.DataFrame({"window_id": range(len(label)), "recording_name": "r", "subject": "s"})
        windows = windows.assign(start_s=0.0, label=label)
        part = np.repeat(["val", "test"], [len(parts[0][0]), len(parts[1][0])])
        run.fold(k).mkdir(parents=True)
        write_predictions(run.fold(k) / "predictions.npz", windows, part, logits, ("bckg", "seiz"))
        write_json(run.fold(k) / "metrics.json", {"test": {}})
    named = {"model": {"name": "m"}, "split": {"name": split}, "dataset": {"name": "hand"}}
    write_config(path, **named, windows={"balance_test": balance_test})
    write_json(path / "metrics.json", {})
    write_json(path / "data.json", {"leak_note": "shares nothing"})
    (path / "data_report.txt").write_text("hand-made data\n")
    return run


READING = Reading(calibration="platt", threshold="validation")


def test_what_is_chosen_is_chosen_on_validation_alone(tmp_path):
    val, test, other = (natural(seed, 800, prevalence=0.2, shift=2.0) for seed in range(3))
    a = read_answers(write_run(tmp_path / "a", [val], [test]), 0, READING)
    half = tuple(v[:400] for v in test)
    b = read_answers(write_run(tmp_path / "b", [val], [half]), 0, READING)
    flipped = (1 - test[0], test[1])
    c = read_answers(write_run(tmp_path / "c", [val], [flipped]), 0, READING)
    d = read_answers(write_run(tmp_path / "d", [other], [test]), 0, READING)
    np.testing.assert_array_equal(
        a.probability_NK[:400], b.probability_NK
    )  # other test windows, nothing moves
    np.testing.assert_array_equal(a.probability_NK, c.probability_NK)  # other test labels neither
    np.testing.assert_array_equal(a.predicted, c.predicted)
    assert not np.array_equal(a.probability_NK, d.probability_NK)  # other validation windows do
    assert a.label.tolist() == test[0].tolist()


def test_a_reading_changes_the_figures_as_it_says(tmp_path):
    val, test = (natural(seed, 4_000, prevalence=0.1, shift=3.0) for seed in range(2))
    run = write_run(tmp_path / "a", [val], [test])
    plain, prior, both = (
        fold_metrics(run, None, r).iloc[0] for r in (Reading(), Reading(calibration="prior"), READING)
    )
    assert plain["f1"] < prior["f1"] <= both["f1"] + 0.02 and plain["ece"] > 5 * prior["ece"]
    assert plain["auroc"] == pytest.approx(both["auroc"])
    text = run_table([run], READING)
    assert "calibration=platt threshold=validation, chosen on each fold's validation windows" in text
    assert "calibration" not in run_table([run])


def test_where_there_is_no_validation_window_one_line_says_so(tmp_path):
    nobody = (np.zeros(0, int), np.zeros((0, 2)))
    run = write_run(tmp_path / "a", [nobody], [natural(0, 50)])
    fold_metrics(run)
    with pytest.raises(DataError, match="fold0: no validation windows to choose calibration=prior"):
        fold_metrics(run, None, Reading(calibration="prior"))
    run = write_run(tmp_path / "b", [(np.zeros(9, int), np.zeros((9, 2)))], [natural(0, 50)])
    with pytest.raises(DataError, match="fold0: threshold=validation.*one class"):
        fold_metrics(run, None, Reading(threshold="validation"))


def test_the_paper_preset_weighs_background_down_under_its_own_protocol_alone(tmp_path):
    val, test = (natural(seed, 2_000, prevalence=0.1, shift=2.0) for seed in range(2))
    runs = {split: write_run(tmp_path / split, [val], [test], split=split) for split in ("window", "subject")}
    paper = Reading(metrics="paper")
    rows = {split: summary_rows([run], paper).iloc[0] for split, run in runs.items()}
    assert rows["window"]["prevalence"] == pytest.approx(0.5) and rows["window"]["balanced_test"]
    assert (
        rows["subject"]["prevalence"] == pytest.approx(test[0].mean())
        and not rows["subject"]["balanced_test"]
    )
    assert rows["window"]["precision"] > rows["subject"]["precision"] + 0.2
    text = run_table(list(runs.values()), paper)
    assert (
        "window: seizures 50 % of test windows (balanced by weight, as the article's figures imply)" in text
    )
    assert (
        "AUC* %" in text and "mean of recall and specificity of hard answers" in text and "AUROC" not in text
    )
    shown = write_evaluation(list(runs.values()), tmp_path / "out", paper)
    assert "hand_paper.csv" in shown
    written = pd.read_csv(tmp_path / "out" / "evaluation" / "hand_paper.csv")
    assert set(written["metrics"]) == {"paper"} and set(written["threshold"]) == {"argmax"}


def test_calibration_figures_are_those_of_the_natural_prevalence_or_undefined(tmp_path):
    val, test = (natural(seed, 200) for seed in range(2))
    run = write_run(tmp_path / "a", [val], [test], balance_test=True)
    row = fold_metrics(run).iloc[0]
    assert np.isnan(row["brier"]) and np.isnan(row["ece"]) and row["auroc"] > 0.5
    assert "undefined" in run_table([run])


@pytest.mark.parametrize(
    "key, value", [("metrics", "papre"), ("calibration", "isotonic"), ("threshold", "0.3")]
)
def test_an_unknown_reading_is_refused(key, value):
    with pytest.raises(ConfigError, match=f"{key}='{value}' is not one of"):
        Reading(**{key: value})


def test_expit_is_what_two_classes_come_to():
    logits = binary(np.linspace(-3, 3, 7))
    np.testing.assert_allclose(fit("none", logits, np.zeros(7, int))(logits)[:, 1], expit(logits[:, 1]))
