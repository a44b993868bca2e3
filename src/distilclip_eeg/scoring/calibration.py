"""Calibration and threshold: what turns logits into answers, chosen on validation windows alone.

Training on as much background as seizure teaches a prevalence that no recording has. Each kind fits part of
``logits / temperature + bias`` by maximum likelihood: ``prior`` the bias alone (a shift of the log-odds,
after which the mean probability of each class is its share of the validation windows), ``temperature`` the
temperature alone (Guo et al. 2017), ``platt`` both (Platt 1999; for more than two classes Alexandari et al.
2020).

Shapes: N windows, K classes; class 0 is the background.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from distilclip_eeg.schema import DataError
from distilclip_eeg.scoring.metrics import ratio

KINDS = ("none", "prior", "temperature", "platt")
THRESHOLDS = ("argmax", "validation")
STEEPEST = 5.0
"""Limit of the log of the temperature, for validation windows that a model separates without error."""


@dataclass(frozen=True)
class Calibration:
    """``softmax(logits / temperature + bias)`` over classes; (1, zeros) changes nothing."""

    temperature: float
    bias_K: np.ndarray

    def __call__(self, logits_NK: np.ndarray) -> np.ndarray:
        """Probabilities (N, K)."""
        return softmax(logits_NK / self.temperature + self.bias_K, axis=1)


def fit(kind: str, logits_NK: np.ndarray, label: np.ndarray) -> Calibration:
    """Fit one of ``KINDS`` on validation windows at their natural prevalence.

    A class that does not occur in ``label`` keeps its bias of 0.

    Args:
        label: true class of each window, (N,).

    Raises:
        DataError: the labels are all of one class.
    """
    n_classes = logits_NK.shape[1]
    free = np.flatnonzero(np.bincount(label, minlength=n_classes))
    if kind != "none" and len(free) < 2:
        raise DataError(
            f"calibration={kind}: the validation windows are all of one class. Set calibration=none.",
            reason="one_class",
        )
    biases = free[1:] if kind in ("prior", "platt") else free[:0]
    scaled = kind in ("temperature", "platt")

    def unpacked(values: np.ndarray) -> tuple[float, np.ndarray]:
        bias_K = np.zeros(n_classes)
        bias_K[biases] = values[: len(biases)]
        return (np.exp(values[-1]) if scaled else 1.0), bias_K

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        slope, bias_K = unpacked(values)
        log_NK = log_softmax(slope * logits_NK + bias_K, axis=1)
        error_NK = (np.exp(log_NK) - np.eye(n_classes)[label]) / len(label)
        gradient = error_NK.sum(0)[biases]
        if scaled:
            gradient = np.append(gradient, slope * (error_NK * logits_NK).sum())
        return -log_NK[np.arange(len(label)), label].mean(), gradient

    start = np.zeros(len(biases) + scaled)
    if not len(start):
        return Calibration(1.0, np.zeros(n_classes))
    limits = [(None, None)] * len(biases) + [(-STEEPEST, STEEPEST)] * scaled
    tight = {"ftol": 1e-14, "gtol": 1e-9}
    best = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=limits, options=tight)
    slope, bias_K = unpacked(best.x)
    return Calibration(1 / slope, bias_K)


def answers(probability_NK: np.ndarray, threshold: float | None = None) -> np.ndarray:
    """The class each window is given, (N,).

    Args:
        threshold: where all seizure classes together reach it, the likeliest of them, else background; None:
            the likeliest class.
    """
    if threshold is None:
        return probability_NK.argmax(1)
    seizure = 1 + probability_NK[:, 1:].argmax(1)
    return np.where(ictal_score(probability_NK) >= threshold, seizure, 0)


def ictal_score(probability_NK: np.ndarray) -> np.ndarray:
    """Probability of any seizure class, (N,), float64."""
    return probability_NK[:, 1:].sum(1, dtype=float)


def best_threshold(label: np.ndarray, probability_NK: np.ndarray) -> float:
    """The threshold of ``answers`` with the highest macro F1 on these windows; halfway between two of them.

    Args:
        label: true class of each window, (N,).

    Raises:
        DataError: the labels are all of one class.
    """
    if len(np.unique(label)) < 2:
        raise DataError(
            "threshold=validation: the validation windows are all of one class. Set threshold=argmax.",
            reason="one_class",
        )
    score = ictal_score(probability_NK)
    order = np.argsort(-score, kind="stable")
    score, true_NK = score[order], np.eye(probability_NK.shape[1], dtype=int)[label[order]]
    said_NK = np.eye(probability_NK.shape[1], dtype=int)[answers(probability_NK[order], 0.0)]
    hit_NK, said_NK = np.cumsum(true_NK * said_NK, 0), np.cumsum(said_NK, 0)  # of the first n as seizures
    hit_NK[:, 0] = true_NK[:, 0].sum() - np.cumsum(true_NK[:, 0])
    said_NK[:, 0] = len(label) - np.arange(1, len(label) + 1)
    f1_N = np.nanmean(ratio(2 * hit_NK, said_NK + true_NK.sum(0)), axis=1)
    border = np.append(score[:-1] > score[1:], True)  # equal scores get one answer
    at = np.flatnonzero(border)[f1_N[border].argmax()]
    return float((score[at] + score[at + 1]) / 2 if at + 1 < len(score) else score[at])
