"""From a probability each second to events."""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from distilclip_eeg.config.detection import DetectConfig
from distilclip_eeg.schema import ConfigError, DataError
from distilclip_eeg.scoring.events.spans import Track, spans

STEP_TOLERANCE_S = 1e-3
"""Rounding of window starts that is no gap."""


@dataclass(frozen=True, eq=False)
class Trace:
    """Probability of seizure in the windows of one recording, in time order, one window every ``hop_s``.

    Where the step is larger, a stretch ends: between stretches there is no data.

    Raises:
        ConfigError: ``hop_s`` or ``length_s`` not positive, or windows that leave time between them out.
        DataError: ``bad_trace`` where probabilities are missing or outside 0 to 1, or starts are no such
        grid.
    """

    probability_N: np.ndarray
    start_s_N: np.ndarray
    hop_s: float = 1.0
    length_s: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.hop_s <= self.length_s < math.inf:
            raise ConfigError(
                f"hop_s={self.hop_s}, length_s={self.length_s}: expected 0 < hop_s <= length_s, or "
                "there is time that no window sees."
            )
        for name in ("probability_N", "start_s_N"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=float))
        if problem := self._problem():
            raise DataError(
                f"trace: {problem} Score every window of the recording again.", reason="bad_trace"
            )

    def _problem(self) -> str:
        probability_N, start_s_N = self.probability_N, self.start_s_N
        if probability_N.ndim != 1 or probability_N.shape != start_s_N.shape:
            shapes = f"{probability_N.shape} probabilities, {start_s_N.shape} starts"
            return f"{shapes}; expected one of each a window."
        bad_N = ~((probability_N >= 0) & (probability_N <= 1) & np.isfinite(start_s_N))
        if bad_N.any():
            at = int(np.flatnonzero(bad_N)[0])
            return f"{probability_N[at]} at {start_s_N[at]} s; expected probabilities from 0 to 1."
        step_s = np.diff(start_s_N)
        ends = step_s > self.length_s - STEP_TOLERANCE_S
        off = ~ends & (np.abs(step_s - self.hop_s) > STEP_TOLERANCE_S)
        if off.any():
            at = int(np.flatnonzero(off)[0])
            return (
                f"windows at {start_s_N[at]:g} and {start_s_N[at + 1]:g} s; expected one every "
                f"{self.hop_s:g} s in time order, {self.length_s:g} s long, or a gap."
            )
        return ""

    @cached_property
    def stretches(self) -> list[slice]:
        """Windows of each stretch without a gap."""
        breaks = np.flatnonzero(np.diff(self.start_s_N) > self.hop_s + STEP_TOLERANCE_S) + 1
        edges = [0, *breaks.tolist(), len(self.start_s_N)]
        return [slice(a, b) for a, b in zip(edges[:-1], edges[1:], strict=True) if b > a]

    @cached_property
    def recorded_P2(self) -> np.ndarray:
        """Seconds that some window covers, (P, 2)."""
        return self.covered([(s.start, s.stop) for s in self.stretches])

    def covered(self, runs: list[tuple[int, int]]) -> np.ndarray:
        """Seconds (P, 2) that runs of windows cover, given as first and one past the last, without a gap."""
        runs_P2 = np.array(runs, int).reshape(-1, 2)
        ends_P = self.start_s_N[runs_P2[:, 1] - 1] + self.length_s
        return spans(np.column_stack([self.start_s_N[runs_P2[:, 0]], ends_P]))


def smooth(trace: Trace, smooth_s: float) -> np.ndarray:
    """Moving mean over the windows that start within ``smooth_s / 2`` of each, (N,).

    Centred, so it moves no onset; at the ends of a stretch it takes what is there, and never looks across a
    gap.
    """
    half = int(smooth_s / 2 / trace.hop_s + 1e-9)
    out_N = trace.probability_N.copy()
    for stretch in trace.stretches if half else ():
        inside = trace.probability_N[stretch]
        total, n = (_moving_sum(values, half) for values in (inside, np.ones_like(inside)))
        out_N[stretch] = total / n
    return out_N


def _moving_sum(values_N: np.ndarray, half: int) -> np.ndarray:
    """Each with ``half`` before and after it, zeros beyond the ends.

    Added window by window, so that a part of a trace has the very sums of the whole: live alarms rest on it.
    """
    return sliding_window_view(np.pad(values_N, half), 2 * half + 1).sum(axis=1)


def deciding(trace: Trace, config: DetectConfig) -> np.ndarray:
    """What is compared with the threshold: each probability at the prior of use, then smoothed, (N,)."""
    if config.prior is not None:
        trace = replace(trace, probability_N=config.calibrated(trace.probability_N))
    return smooth(trace, config.smooth_s)


def under_alarm(value_N: np.ndarray, config: DetectConfig, *, on: bool = False) -> np.ndarray:
    """Whether an event goes on at each of the windows of one stretch, or of a part of it, (N,).

    It begins at the threshold and ends at the first window below the release.

    Args:
        value_N: as ``deciding`` gives them.
        on: whether one was going on before the first.
    """
    begins_N = value_N >= config.threshold
    if config.release is None:
        return begins_N
    settles_N = begins_N | (value_N < config.release)  # between the two levels nothing changes
    last_N = np.maximum.accumulate(np.where(settles_N, np.arange(len(value_N)), -1))
    return np.where(last_N >= 0, begins_N[last_N], on)


def events_from_probability(trace: Trace, config: DetectConfig) -> Track:
    """Events of a trace: at the prior of use, smooth, compare with both levels, join near, drop short ones.

    An event reaches from the start of its first window to the end of its last. None spans a gap, and none is
    joined to another across one. The track's stretches are those the windows cover; it may lack up to a
    window at the end of each.
    """
    value_N = deciding(trace, config)
    runs = []
    for stretch in trace.stretches:
        runs += _runs(under_alarm(value_N[stretch], config), stretch.start, trace, config)
    return Track(trace.covered(runs), trace.recorded_P2, slack_s=max(1.0, trace.length_s))


def _runs(above: np.ndarray, offset: int, trace: Trace, config: DetectConfig) -> list[tuple[int, int]]:
    """Runs of windows under alarm within one stretch; counted in windows, so no length is rounded."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], above, [0]]))).reshape(-1, 2)
    between = trace.length_s - trace.hop_s
    gap_s = (edges[1:, 0] - edges[:-1, 1]) * trace.hop_s - between
    apart = (gap_s > 1e-9) & (gap_s > config.merge_gap_s - 1e-9)
    first = edges[np.concatenate([[True], apart])[: len(edges)], 0]
    last = edges[np.concatenate([apart, [True]])[: len(edges)], 1]
    long = (last - first) * trace.hop_s + between >= config.min_duration_s - 1e-9
    return [(offset + int(a), offset + int(b)) for a, b in zip(first[long], last[long], strict=True)]
