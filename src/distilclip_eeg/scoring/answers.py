"""Figures of a run from its saved predictions alone, without model or data."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from distilclip_eeg.files.reading import read_npz
from distilclip_eeg.runs import PREDICTED, Run
from distilclip_eeg.schema import DataError, check_choice
from distilclip_eeg.scoring import calibration
from distilclip_eeg.scoring.metrics import (
    PRESETS,
    at_parity,
    class_areas,
    confusion,
    paper_metrics,
    per_class,
    window_metrics,
)

CLASS_COLUMNS = {
    "standard": ("precision", "recall", "specificity", "f1", "auroc"),
    "paper": ("precision", "recall", "specificity", "f1", "auc"),
}


KEPT = 16
"""Folds whose answers are kept: a table asks for each several times, and one may have a million windows."""
Answer = Callable[[np.ndarray, int], np.ndarray]
"""Of labels (N,) and the number of classes: probabilities (N, K), such as those of ``always_seizure``."""


@dataclass(frozen=True)
class Reading:
    """How predictions are read: ``evaluate.py metrics=… calibration=… threshold=…``.

    Raises:
        ConfigError: a word that none of the three knows.
    """

    metrics: str = "standard"
    calibration: str = "none"
    """Fitted on each fold's validation windows; see ``distilclip_eeg.scoring.calibration``."""
    threshold: str = "argmax"
    """``validation``: the one with the highest macro F1 on each fold's validation windows."""

    def __post_init__(self) -> None:
        check_choice("metrics", self.metrics, tuple(PRESETS))
        check_choice("calibration", self.calibration, calibration.KINDS)
        check_choice("threshold", self.threshold, calibration.THRESHOLDS)

    def balances(self, split: str) -> bool:
        """Whether background is weighted down to parity: in the article's preset, under its own protocol."""
        return self.metrics == "paper" and split == "window"


AS_SAVED = Reading()


@dataclass(frozen=True)
class Answers:
    """The N test windows of a fold, or of several: true class (N,), probabilities (N, K), answer (N,)."""

    label: np.ndarray
    probability_NK: np.ndarray
    predicted: np.ndarray
    classes: tuple[str, ...] = ()
    """Names of the K classes, background first."""
    subjects: tuple[str, ...] = ()
    """Who was tested, sorted."""
    subject: np.ndarray | None = None
    """Which of them, (N,)."""

    @cached_property
    def areas_2K(self) -> np.ndarray:
        """As :func:`~distilclip_eeg.scoring.metrics.class_areas`; their sorts are what metrics cost."""
        return class_areas(self.label, self.probability_NK)

    def metrics(self, reading: Reading, split: str) -> dict[str, float]:
        """One row of the reading's preset."""
        if reading.metrics == "standard":
            return window_metrics(self.label, self.probability_NK, self.predicted, self.areas_2K)
        n_classes = self.probability_NK.shape[1]
        return paper_metrics(self.label, self.predicted, n_classes, balance=reading.balances(split))


def read_answers(run: Run, fold: int, reading: Reading = AS_SAVED, answer: Answer | None = None) -> Answers:
    """What a fold's model says of its test windows; whatever is chosen is chosen on validation windows.

    Args:
        answer: replaces the model's probabilities by ``answer(label, n_classes)``.

    Raises:
        DataError: something is to be chosen and the fold has no validation windows, or of one class only.
    """
    path = run.fold(fold) / PREDICTED
    if answer:
        said = read_answers(run, fold)
        probability_NK = answer(said.label, said.probability_NK.shape[1])
        return Answers(said.label, probability_NK, probability_NK.argmax(1))
    state = path.stat() if path.exists() else None  # of a file that is not there, reading tells
    written = state and (state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
    return _read(path.absolute(), written, Reading("standard", reading.calibration, reading.threshold))


@lru_cache(maxsize=KEPT)
def _read(path: Path, written: tuple[int, ...] | None, reading: Reading) -> Answers:
    """Of one file as it was written at one time."""
    saved = read_npz(path, "part", "label", "probability_NK", "classes")
    test, val = saved["part"] == "test", saved["part"] == "val"
    label, probability_NK = saved["label"][test], saved["probability_NK"][test]
    threshold = None
    if reading.calibration != "none" or reading.threshold != "argmax":
        try:
            if not val.any():
                raise DataError(
                    f"no validation windows to choose calibration={reading.calibration} threshold="
                    f"{reading.threshold} on.",
                    reason="no_validation",
                )
            fitted = calibration.fit(reading.calibration, saved["logits_NK"][val], saved["label"][val])
            probability_NK = fitted(saved["logits_NK"][test])
            if reading.threshold == "validation":
                threshold = calibration.best_threshold(saved["label"][val], fitted(saved["logits_NK"][val]))
        except DataError as problem:
            raise DataError(f"{path.parent}: {problem}", reason=problem.reason) from None
    return Answers(
        label,
        probability_NK,
        calibration.answers(probability_NK, threshold),
        tuple(str(name) for name in saved["classes"]),
        *_coded(saved["subject"][test]) if "subject" in saved else (),
    )


def _coded(name_N: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """The names, sorted, and the place of each of ``name_N`` among them; neighbours are mostly alike."""
    changes = np.append(True, name_N[1:] != name_N[:-1])[: len(name_N)]
    names, code = np.unique(name_N[changes], return_inverse=True)
    return tuple(names.tolist()), code[np.cumsum(changes) - 1]


def fold_metrics(run: Run, answer: Answer | None = None, reading: Reading = AS_SAVED) -> pd.DataFrame:
    """One row of window metrics a fold, from the test part of its predictions.

    Args:
        answer: replaces the model's probabilities by ``answer(label, n_classes)``.
    """
    settings = run.settings
    rows = [
        {"fold": k, **read_answers(run, k, reading, answer).metrics(reading, settings.split.name)}
        for k in run.folds_done()
    ]
    table = pd.DataFrame(rows)
    if settings.windows.balance_test and reading.metrics == "standard":
        table[["brier", "ece"]] = np.nan  # at natural prevalence or not at all
    return table


def pooled(run: Run, reading: Reading = AS_SAVED) -> dict[str, float]:
    """Metrics of all folds' test windows thrown together; each window is tested once."""
    parts = [read_answers(run, k, reading) for k in run.folds_done()]
    together = Answers(
        np.concatenate([p.label for p in parts]),
        np.concatenate([p.probability_NK for p in parts]),
        np.concatenate([p.predicted for p in parts]),
    )
    return together.metrics(reading, run.settings.split.name)


def class_rows(run: Run, reading: Reading = AS_SAVED) -> pd.DataFrame:
    """Each class against the rest (Tables III to V of the article), mean and SD over folds.

    The article's accuracy of a class is its recall, its AUC the mean of recall and specificity. ``auroc``
    ranks the scores of the class, one against rest; a class that a fold's test part lacks is left out of that
    fold's mean.
    """
    settings, tables = run.settings, []
    for k in run.folds_done():
        said = read_answers(run, k, reading)
        names = said.classes
        counts = confusion(said.label, said.predicted, len(names))
        counts = at_parity(counts) if reading.balances(settings.split.name) else counts
        rows = pd.DataFrame(per_class(counts))
        if reading.metrics == "paper":
            rows["auc"] = (rows["recall"] + rows["specificity"]) / 2
        else:
            rows["auroc"] = said.areas_2K[0]
        rows["support"] = np.bincount(said.label, minlength=len(names))
        tables.append(rows.assign(**{"class": list(names)}))
    stacked = pd.concat(tables).groupby("class", sort=False)
    mean, sd = stacked.mean(), stacked.std(ddof=1).add_suffix("_sd").drop(columns="support_sd")
    table = mean.assign(support=stacked["support"].sum()).join(sd).reset_index()
    table.insert(0, "model", settings.model.name)
    table.insert(0, "split", settings.split.name)
    return table
