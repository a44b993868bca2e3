"""Figures of each person, and what they say of two models: persons are what a study of detectors samples.

Windows of one person resemble each other, so models are compared by the figures of the same persons, paired:
mean difference with an interval from resampled persons, Wilcoxon's signed ranks, and Holm's correction where
several models are tested at once.

Shapes: U persons.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from distilclip_eeg.runs import Run
from distilclip_eeg.scoring.metrics import window_metrics
from distilclip_eeg.scoring.uncertainty import Interval, bootstrap_subjects, mean_of_subjects

FIGURES = ("accuracy", "balanced_accuracy", "auroc", "average_precision")
"""Of each person; AUROC and average precision are NaN where a person's windows are of one class."""


def test_windows(run: Run) -> pd.DataFrame:
    """A row a tested window of the finished folds: fold, subject, recording, start_s, label, probability.

    ``label`` is 1 for any seizure, ``probability`` that of any.
    """
    parts = []
    for fold in run.folds_done():
        saved = run.predictions(fold)
        test = saved["part"] == "test"
        columns = {name: saved[name][test] for name in ("subject", "recording", "start_s")}
        ictal = {"label": (saved["label"][test] != 0).astype(int)}
        probability = {"probability": 1.0 - saved["probability_NK"][test, 0].astype(float)}
        parts.append(pd.DataFrame({"fold": fold, **columns, **ictal, **probability}))
    return pd.concat(parts, ignore_index=True)


def person_rows(windows: pd.DataFrame) -> pd.DataFrame:
    """``FIGURES`` of each person over all of its tested windows, with their number and share of seizures.

    Args:
        windows: subject, label, probability, and ``answer`` where it is not the more probable class.
    """
    rows = []
    for subject, group in windows.groupby("subject"):
        probability = group["probability"].to_numpy(float)
        answer = group["answer"].to_numpy() if "answer" in group else None
        found = window_metrics(
            group["label"].to_numpy(), np.column_stack([1 - probability, probability]), answer
        )
        rows.append({"subject": subject, **{name: found[name] for name in ("n", "prevalence", *FIGURES)}})
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class Paired:
    """One model less another (or one protocol less another) over the persons that have both figures."""

    difference: Interval
    p: float
    """Wilcoxon's signed ranks, two-sided; NaN where fewer than two persons differ."""
    rank_biserial: float
    """Sum of ranks of persons where the first is higher, less that of the others, over both: -1 to 1."""
    n: int

    @classmethod
    def of(cls, a_U: np.ndarray, b_U: np.ndarray) -> "Paired":
        """Of figures of the same persons; those with a NaN in either are left out."""
        a_U, b_U = np.asarray(a_U, float), np.asarray(b_U, float)
        known = ~np.isnan(a_U) & ~np.isnan(b_U)
        less_U = a_U[known] - b_U[known]
        interval = bootstrap_subjects(less_U, mean_of_subjects)
        moved_U = less_U[less_U != 0]
        rank_U = stats.rankdata(np.abs(moved_U))
        effect = float((rank_U * np.sign(moved_U)).sum() / rank_U.sum()) if len(moved_U) else 0.0
        p = float(stats.wilcoxon(less_U).pvalue) if len(moved_U) > 1 else np.nan
        return cls(interval, p, effect, len(less_U))


def holm(probabilities: Sequence[float]) -> np.ndarray:
    """Holm's step-down correction (1979) of several tests' probabilities; NaN stays and is not counted."""
    p_M = np.asarray(probabilities, float)
    known = np.flatnonzero(~np.isnan(p_M))
    order = known[np.argsort(p_M[known], kind="stable")]
    corrected = np.full(len(p_M), np.nan)
    steps = len(order) - np.arange(len(order))
    corrected[order] = np.minimum(1.0, np.maximum.accumulate(p_M[order] * steps))
    return corrected
