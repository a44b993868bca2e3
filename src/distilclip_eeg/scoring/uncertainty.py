"""Uncertainty over subjects, not windows: bootstrap intervals, and tests between two models.

Windows of one person resemble each other, so an interval from windows is far too narrow: with 24 subjects
and 12 points between them, a nominal 95 % interval covers the truth in 38 % of trials
(``tests/test_intervals.py``).

Shapes: U subjects, M sums of each, R resamples or swaps, K folds.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

MIN_SUBJECTS = 6
"""Below, no interval is given: resamples of so few are too much alike."""
EXACT_SUBJECTS = 14
"""Up to here a permutation test goes through all 2**U swaps."""

Statistic = Callable[[np.ndarray], np.ndarray]
"""Of per-subject values (..., U, M) or (..., U), over the axis of subjects: returns (...)."""


@dataclass(frozen=True)
class Interval:
    """A value with its interval; ``low`` and ``high`` are NaN where it was refused."""

    value: float
    low: float
    high: float
    level: float
    per_subject: tuple[float, ...]
    """The value of each subject alone: what to print where the interval is refused."""
    resamples: int
    seed: int
    undefined: int
    """Resamples in which the statistic was NaN; they are left out."""

    @property
    def refused(self) -> bool:
        """Too few subjects."""
        return len(self.per_subject) < MIN_SUBJECTS

    def __str__(self) -> str:
        if self.refused:
            each = ", ".join(f"{v:.3f}" for v in self.per_subject)
            return f"{self.value:.3f} (no interval below {MIN_SUBJECTS} subjects; each: {each})"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def percentile_tails(n_subjects: int, level: float) -> float:
    """Share of resamples to cut off on each side.

    The plain percentile interval is too narrow for few subjects, as if the normal quantile and the SD with
    divisor U were used in place of Student's t and the SD with divisor U - 1; moving the percentiles outward
    by just that ratio mends it (Hesterberg, The American Statistician 69:371, 2015, "expanded percentile").
    """
    t = stats.t.ppf((1 + level) / 2, n_subjects - 1)
    return float(stats.norm.cdf(-math.sqrt(n_subjects / (n_subjects - 1)) * t))


def bootstrap_subjects(
    per_subject: np.ndarray | Sequence,
    statistic: Callable,
    *,
    resamples: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Interval:
    """Percentile interval of a statistic, by drawing subjects with replacement.

    Args:
        per_subject: an array, subjects first, such as sums (U, M): then ``statistic`` gets (..., U, M) and
            returns (...), all resamples in one call. Or a list with anything of each subject, such as the
            scores of its windows: then ``statistic`` gets a list, returns a number and is called each time.

    Returns:
        The interval; refused, with the values of the subjects, where there are fewer than six.
    """
    n = len(per_subject)
    if isinstance(per_subject, np.ndarray):

        def of(index_RU: np.ndarray) -> np.ndarray:
            return np.asarray(statistic(per_subject[index_RU]), dtype=float)
    else:

        def of(index_RU: np.ndarray) -> np.ndarray:
            return np.array([statistic([per_subject[i] for i in row]) for row in index_RU], dtype=float)

    each = of(np.arange(n)[:, None]) if n else np.zeros(0)
    value = float(of(np.arange(n)[None])[0]) if n else math.nan
    low = high = math.nan
    undefined = 0
    if n >= MIN_SUBJECTS:
        values_R = of(np.random.default_rng(seed).integers(0, n, (resamples, n)))
        known = values_R[~np.isnan(values_R)]
        undefined = resamples - len(known)
        tail = percentile_tails(n, level)
        if len(known):
            low, high = (float(q) for q in np.quantile(known, [tail, 1 - tail]))
    return Interval(value, low, high, level, tuple(each.tolist()), resamples, seed, undefined)


@dataclass(frozen=True)
class Comparison:
    """A difference between two models and the probability of one at least as large by chance."""

    difference: float
    p: float
    n: int
    """Folds, or subjects."""
    statistic: float = math.nan
    """Student's t of the fold test."""
    exact: bool = True
    """Whether all permutations were gone through."""


def corrected_t(difference_K: np.ndarray, n_test: float, n_train: float) -> Comparison:
    """Corrected resampled t-test of paired differences over folds (Nadeau and Bengio 2003), two-sided.

    Folds share training data, so the variance of their mean is taken as ``(1/K + n_test/n_train)`` times
    that over folds, not ``1/K``. NaN with fewer than two folds, or where all differences are 0.

    Args:
        n_test, n_train: windows (or subjects) in a fold's test and training part; only their ratio matters.
    """
    difference_K = np.asarray(difference_K, dtype=float)
    k = len(difference_K)
    if k < 2:
        return Comparison(float(difference_K.mean()) if k else math.nan, math.nan, k)
    mean = difference_K.mean()
    spread = math.sqrt((1 / k + n_test / n_train) * difference_K.var(ddof=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        t = float(np.divide(mean, spread))
    return Comparison(float(mean), float(2 * stats.t.sf(abs(t), k - 1)), k, t)


def mean_of_subjects(values_U: np.ndarray) -> np.ndarray:
    """Mean over subjects, the last axis: (...) of (..., U)."""
    return values_U.mean(axis=-1)


def paired_permutation(
    a_U: np.ndarray,
    b_U: np.ndarray,
    statistic: Statistic = mean_of_subjects,
    *,
    samples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Whether two models differ, by swapping them within subjects; two-sided.

    For the mean, a swap flips the sign of a subject's difference. Up to ``EXACT_SUBJECTS`` all swaps are gone
    through; beyond, ``samples`` random ones, to which the one observed is added. A swap that leaves the
    statistic undefined counts as extreme.

    Args:
        a_U, b_U: values or sums of the same subjects under either model, (U,) or (U, M).

    Raises:
        ValueError: the two arrays have not the same shape.
    """
    a_U, b_U = np.asarray(a_U, dtype=float), np.asarray(b_U, dtype=float)
    if a_U.shape != b_U.shape:
        raise ValueError(f"paired_permutation: {a_U.shape} and {b_U.shape} are not the same subjects")
    n = len(a_U)
    observed = float(statistic(a_U[None])[0] - statistic(b_U[None])[0]) if n else math.nan
    if math.isnan(observed):
        return Comparison(observed, math.nan, n)
    exact = n <= EXACT_SUBJECTS
    if exact:
        swap_RU = (np.arange(2**n)[:, None] >> np.arange(n)) & 1 == 1
    else:
        swap_RU = np.random.default_rng(seed).random((samples, n)) < 0.5
    swap = swap_RU.reshape(*swap_RU.shape, *(1,) * (a_U.ndim - 1))
    chance_R = statistic(np.where(swap, b_U, a_U)) - statistic(np.where(swap, a_U, b_U))
    extreme = int((~(np.abs(chance_R) < abs(observed) - 1e-12 * (1 + abs(observed)))).sum())
    p = extreme / len(chance_R) if exact else (1 + extreme) / (1 + samples)
    return Comparison(observed, p, n, exact=exact)
