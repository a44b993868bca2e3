"""Stretches of time as arrays (E, 2) of half-open seconds, and the track of one recording.

Everything else in this package takes stretches that went through :func:`spans`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from distilclip_eeg.schema import DataError, Event


def spans(stretches: Iterable[Event] | Iterable[tuple[float, float]] | np.ndarray) -> np.ndarray:
    """Sorted, none overlapping or touching another, none empty; shape (E, 2).

    Overlapping, nested and touching stretches become one. Times before 0 are kept: :class:`Track` cuts them.

    Raises:
        DataError: ``bad_interval`` where a time is not finite or an end stands before its start.
    """
    times_E2 = _times(stretches)
    wrong = times_E2[~(np.isfinite(times_E2).all(axis=1) & (times_E2[:, 0] <= times_E2[:, 1]))]
    if len(wrong):
        raise DataError(
            f"events: one lies from {wrong[0, 0]:g} to {wrong[0, 1]:g} s; expected finite seconds and an end "
            "after its start. Mend the list.",
            reason="bad_interval",
        )
    times_E2 = times_E2[times_E2[:, 1] > times_E2[:, 0]]
    if len(times_E2) < 2:
        return times_E2
    times_E2 = times_E2[np.argsort(times_E2[:, 0], kind="stable")]
    reach_E = np.maximum.accumulate(times_E2[:, 1])
    opens_E = np.ones(len(times_E2), dtype=bool)
    opens_E[1:] = times_E2[1:, 0] > reach_E[:-1]
    closes_E = np.append(opens_E[1:], True)
    return np.column_stack([times_E2[opens_E, 0], reach_E[closes_E]])


def _times(stretches: Iterable[Event] | Iterable[tuple[float, float]] | np.ndarray) -> np.ndarray:
    """As an array (E, 2), not checked but for its shape."""
    if isinstance(stretches, np.ndarray) and stretches.ndim == 2 and stretches.shape[1] == 2:
        return stretches.astype(float)
    pairs = [(s.onset_s, s.offset_s) if isinstance(s, Event) else tuple(s) for s in stretches]
    if any(len(pair) != 2 for pair in pairs):
        raise DataError(
            "events: each must be a pair of seconds, onset and offset. Mend the list.", reason="bad_interval"
        )
    return np.array(pairs, dtype=float).reshape(-1, 2)


def intersection(a_E2: np.ndarray, b_P2: np.ndarray) -> np.ndarray:
    """What lies in both, (E, 2); stretches as :func:`spans` returns them."""
    first_EP = np.maximum(a_E2[:, None, 0], b_P2[None, :, 0])
    last_EP = np.minimum(a_E2[:, None, 1], b_P2[None, :, 1])
    some_EP = last_EP > first_EP
    return np.column_stack([first_EP[some_EP], last_EP[some_EP]])


def shared_s(a_E2: np.ndarray, b_P2: np.ndarray) -> np.ndarray:
    """Seconds that each stretch of one list shares with each of another, (E, P)."""
    last_EP = np.minimum(a_E2[:, None, 1], b_P2[None, :, 1])
    return np.maximum(last_EP - np.maximum(a_E2[:, None, 0], b_P2[None, :, 0]), 0.0)


def seconds(stretches_P2: np.ndarray) -> float:
    """Their lengths together."""
    return float((stretches_P2[:, 1] - stretches_P2[:, 0]).sum())


@dataclass(frozen=True, eq=False)
class Track:
    """Events of one recording and the stretches in which they were looked for.

    What lies between stretches (gaps of an EDF+D, excluded time) is no data, neither seizure nor background:
    events are cut there and at the recording's ends, so none spans a gap. Takes any events and stretches that
    :func:`spans` takes.
    """

    events_E2: np.ndarray
    recorded_P2: np.ndarray
    slack_s: float = 1.0
    """Of a hypothesis, the seconds of each stretch that it may lack: windows drop what is left at the end."""

    def __post_init__(self) -> None:
        recorded_P2 = spans(self.recorded_P2)
        if len(recorded_P2) and recorded_P2[0, 0] < 0:
            recorded_P2 = intersection(recorded_P2, np.array([[0.0, np.inf]]))
        object.__setattr__(self, "recorded_P2", recorded_P2)
        object.__setattr__(self, "events_E2", intersection(spans(self.events_E2), recorded_P2))

    @property
    def end_s(self) -> float:
        """Where the last stretch ends; 0 where nothing was recorded."""
        return float(self.recorded_P2[-1, 1]) if len(self.recorded_P2) else 0.0

    @property
    def recorded_s(self) -> float:
        """Seconds recorded, gaps not counted."""
        return seconds(self.recorded_P2)


def check_cover(reference: Track, hypothesis: Track) -> None:
    """Refuse a hypothesis that did not look at what the reference covers.

    It may lack ``slack_s`` of every stretch on average, end that much later, and cover gaps.

    Raises:
        DataError: ``wrong_length``.
    """
    recorded_P2 = reference.recorded_P2
    if np.array_equal(recorded_P2, hypothesis.recorded_P2):
        return
    lacking_s = reference.recorded_s - seconds(intersection(recorded_P2, hypothesis.recorded_P2))
    beyond_s = hypothesis.end_s - reference.end_s
    if lacking_s > hypothesis.slack_s * len(recorded_P2) or beyond_s > hypothesis.slack_s:
        raise DataError(
            f"the hypothesis covers {hypothesis.recorded_s:g} s up to {hypothesis.end_s:g} s, "
            f"{lacking_s:g} s are missing; expected the {reference.recorded_s:g} s up to "
            f"{reference.end_s:g} s that were recorded. Run the detector on the whole recording.",
            reason="wrong_length",
        )
