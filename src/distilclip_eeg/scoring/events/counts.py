"""What every event scorer returns, and the ratios made of it."""

from dataclasses import astuple, dataclass

import numpy as np

from distilclip_eeg.scoring.metrics import ratio

SUMS = ("tp", "fp", "fn", "seconds")
RATES = ("sensitivity", "precision", "f1", "fp_per_24h")
DAY_S = 86400.0


@dataclass(frozen=True)
class Counts:
    """Hits, false alarms and misses in so many seconds of recording; they add up over recordings.

    ``tp + fn`` is the number of reference events (or samples). TAES counts fractions.
    """

    tp: float = 0.0
    fp: float = 0.0
    fn: float = 0.0
    seconds: float = 0.0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    @property
    def rates(self) -> dict[str, float]:
        """Sensitivity, precision, F1 and false alarms per 24 h, NaN where undefined."""
        return {name: float(value) for name, value in rates(np.array(astuple(self))).items()}


def rates(sums_4: np.ndarray) -> dict[str, np.ndarray]:
    """The four ratios of sums (..., 4), columns as ``SUMS``; undefined is NaN, never 0.

    Sensitivity is undefined without reference events, precision without alarms, F1 without either, the rate
    of false alarms without recorded time (SzCORE, Dan et al. 2025).
    """
    tp, fp, fn, recorded_s = np.moveaxis(np.asarray(sums_4, float), -1, 0)
    return {
        "sensitivity": ratio(tp, tp + fn),
        "precision": ratio(tp, tp + fp),
        "f1": ratio(2 * tp, 2 * tp + fp + fn),
        "fp_per_24h": ratio(fp * DAY_S, recorded_s),
    }
