"""Figures by person: hand-made persons, scipy beside ours, other detectors on the same windows."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from distilclip_eeg.report.by_person import best_so_far, probability
from distilclip_eeg.schema import DataError
from distilclip_eeg.scoring.peers import on_windows
from distilclip_eeg.scoring.persons import Paired, holm, person_rows


def test_a_person_s_figures_are_those_of_all_of_its_windows():
    windows = pd.DataFrame(
        {"subject": list("aaaab"), "label": [0, 0, 1, 1, 1], "probability": [0.1, 0.6, 0.4, 0.9, 0.8]}
    )
    a, b = person_rows(windows).to_dict("records")
    # a: of four pairs of a seizure and a background window one is in the wrong order.
    assert (a["n"], a["prevalence"], a["auroc"], a["balanced_accuracy"]) == (4, 0.5, 0.75, 0.5)
    assert b["subject"] == "b" and b["accuracy"] == 1.0 and np.isnan(b["auroc"])


def test_an_answer_of_its_own_is_taken_before_the_more_probable_class():
    windows = pd.DataFrame({"subject": "a", "label": [0, 1], "probability": [3.0, 4.0], "answer": [0, 1]})
    assert person_rows(windows)["balanced_accuracy"].tolist() == [1.0]


def test_two_models_are_compared_by_the_persons_that_both_have():
    a_U = np.array([0.9, 0.8, 0.7, np.nan, 0.6, 0.9, 0.5, 0.8])
    b_U = np.array([0.8, 0.6, 0.4, 0.5, 0.7, 0.5, np.nan, 0.75])
    found = Paired.of(a_U, b_U)
    assert found.n == 6 and found.difference.value == pytest.approx((0.1 + 0.2 + 0.3 - 0.1 + 0.4 + 0.05) / 6)
    less_U = np.array([0.1, 0.2, 0.3, -0.1, 0.4, 0.05])
    assert found.p == pytest.approx(stats.wilcoxon(less_U).pvalue, abs=0.05)
    # Ranks of the sizes: 0.05 is 1, both of 0.1 share 2.5, then 4, 5, 6; only one 0.1 is a loss.
    assert found.rank_biserial == pytest.approx((21 - 2 * 2.5) / 21)


def test_the_rank_biserial_correlation_is_one_where_every_person_gains_and_minus_one_where_none_does():
    low, high = np.linspace(0.1, 0.7, 7), np.linspace(0.2, 0.9, 7)
    assert Paired.of(high, low).rank_biserial == 1 and Paired.of(low, high).rank_biserial == -1
    assert Paired.of(low, low).rank_biserial == 0 and np.isnan(Paired.of(low, low).p)


@pytest.mark.parametrize(
    "p, printed", [(1.0, "1.00"), (0.049, "0.05"), (0.005, "0.01"), (0.0049, "<0.01"), (np.nan, "–")]
)
def test_no_probability_is_printed_as_zero(p, printed):
    assert probability(p) == printed


def test_holm_s_correction_is_that_of_its_textbook_example():
    # 0.01, 0.04, 0.03, 0.005: smallest times 4, next times 3, then 2 and 1, never falling (Holm 1979).
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.5, np.nan, 0.04]), [0.5, np.nan, 0.08])
    assert holm([0.9, 0.8]).tolist() == [1.0, 1.0] and len(holm([])) == 0


@pytest.fixture
def scored(tmp_path):
    """Another detector's seconds 0 to 3 and, after a gap, 10 and 11 of a recording."""
    second = [0.0, 1.0, 2.0, 3.0, 10.0, 11.0]
    rows = pd.DataFrame({"recording": "r", "subject": "a", "piece": 0, "second": second, "label": 0})
    rows = rows.assign(score=[0.0, 1.0, 3.0, 3.0, 5.0, 7.0], decision=[0, 0, 1, 1, 1, 0])
    rows.to_parquet(tmp_path / "peer.parquet")
    return tmp_path / "peer.parquet"


def test_a_window_has_the_mean_of_the_seconds_in_it(scored):
    windows = pd.DataFrame({"recording": "r", "start_s": [0.0, 0.5, 1.25, 3.0, 10.5], "label": 0})
    found = on_windows(windows, 1.0, scored)
    # 1.25: three quarters of second 1 and a quarter of second 2.
    assert found["probability"].tolist() == pytest.approx([0.0, 0.5, 0.75 * 1 + 0.25 * 3, 3.0, 6.0])
    assert found["answer"].tolist() == [0, 0, 0, 1, 1]


def test_windows_that_the_file_holds_less_than_half_of_are_left_out(scored):
    windows = pd.DataFrame({"recording": ["r", "r", "r", "other"], "start_s": [3.5, 3.6, 6.0, 0.0]})
    found = on_windows(windows, 1.0, scored)
    assert found["start_s"].tolist() == [3.5] and found["probability"].tolist() == [3.0]
    with pytest.raises(DataError, match="shares no window"):
        on_windows(windows[2:], 1.0, scored)


def test_a_detector_without_decisions_has_scores_alone(scored):
    pd.read_parquet(scored).assign(decision=np.nan).to_parquet(scored)
    windows = pd.DataFrame({"recording": "r", "start_s": [0.0, 10.0]})
    assert "answer" not in on_windows(windows, 1.0, scored)


def test_a_fold_that_ended_early_keeps_its_best_in_the_learning_curve():
    rows = pd.DataFrame(
        [(0, 0, 1, 0.5), (0, 0, 2, 0.9), (1, 0, 1, 0.6), (1, 0, 2, 0.4), (1, 0, 3, 0.7)],
        columns=["fold", "seed", "step", "val_judged"],
    )
    found = best_so_far(rows.assign(judge="auroc"))
    assert found.mean(axis=1).tolist() == pytest.approx([0.55, 0.75, 0.8])
    assert best_so_far(rows.assign(judge="loss")).mean(axis=1).tolist() == pytest.approx([0.55, 0.45, 0.45])
