"""Onset latency: how long after a seizure began the alarm was there."""

from collections.abc import Sequence

import numpy as np

from distilclip_eeg.scoring.events.nedc import GUARD_S
from distilclip_eeg.scoring.events.spans import Track, check_cover, shared_s
from distilclip_eeg.scoring.events.szcore import SzcoreConfig


def latencies(reference: Track, hypothesis: Track, config: SzcoreConfig | None = None) -> np.ndarray:
    """Seconds from each seizure's onset to the first alarm in it or its tolerances; NaN where missed.

    Negative where an alarm stood before the onset, down to ``-tolerance_start_s``. Seizures less than
    ``merge_gap_s`` apart are one, as for the SzCORE event score, but none is split: a later part has no
    onset. Alarms are not merged: time between two is no alarm.

    Raises:
        DataError: ``wrong_length`` where the two do not cover the same time.
    """
    c = config or SzcoreConfig()
    onset_E, stop_E = _seizures(reference, hypothesis, c)
    start_EP = np.maximum(hypothesis.events_E2[None, :, 0], onset_E[:, None] - c.tolerance_start_s)
    inside_EP = start_EP < np.minimum(hypothesis.events_E2[None, :, 1], stop_E[:, None])
    return _first(start_EP, inside_EP, onset_E)


def causal_latencies(reference: Track, hypothesis: Track, config: SzcoreConfig | None = None) -> np.ndarray:
    """The same for alarms raised at or after the onset; one that began before it never counts.

    Raises:
        DataError: ``wrong_length`` where the two do not cover the same time.
    """
    onset_E, stop_E = _seizures(reference, hypothesis, config or SzcoreConfig())
    start_EP = np.repeat(hypothesis.events_E2[None, :, 0], len(onset_E), axis=0)
    return _first(start_EP, (start_EP >= onset_E[:, None]) & (start_EP < stop_E[:, None]), onset_E)


def onset_errors(reference: Track, hypothesis: Track) -> np.ndarray:
    """Start of the first alarm that overlaps each seizure less its onset, seconds, NaN where none does.

    As NEDC's OVLP, nothing is merged or widened: an alarm that began before the seizure is early by all of
    that time, however long.

    Raises:
        DataError: ``wrong_length`` where the two do not cover the same time.
    """
    check_cover(reference, hypothesis)
    start_EP = np.repeat(hypothesis.events_E2[None, :, 0], len(reference.events_E2), axis=0)
    touch_EP = shared_s(reference.events_E2, hypothesis.events_E2) > GUARD_S
    return _first(start_EP, touch_EP, reference.events_E2[:, 0])


def _seizures(reference: Track, hypothesis: Track, c: SzcoreConfig) -> tuple[np.ndarray, np.ndarray]:
    """Onsets of the merged seizures, and where each stops counting."""
    check_cover(reference, hypothesis)
    events_E2 = reference.events_E2
    apart = events_E2[1:, 0] - events_E2[:-1, 1] >= c.merge_gap_s
    opens = np.concatenate([[True], apart])[: len(events_E2)]
    closes = np.concatenate([apart, [True]])[: len(events_E2)]
    return events_E2[opens, 0], events_E2[closes, 1] + c.tolerance_end_s


def _first(start_EP: np.ndarray, counts_EP: np.ndarray, onset_E: np.ndarray) -> np.ndarray:
    if not start_EP.shape[1]:
        return np.full(len(onset_E), np.nan)
    first_E = np.where(counts_EP, start_EP, np.inf).min(axis=1)
    return np.where(np.isfinite(first_E), first_E - onset_E, np.nan)


def summarise(latency_s: Sequence[float]) -> dict[str, float]:
    """Median and quartiles over the events that were hit, with how many those are; NaN where none was."""
    latency_E = np.asarray(latency_s, dtype=float)
    hit = latency_E[np.isfinite(latency_E)]
    quartiles = np.percentile(hit, [50, 25, 75]) if len(hit) else np.full(3, np.nan)
    return {
        **dict(zip(("median_s", "q25_s", "q75_s"), quartiles.tolist(), strict=True)),
        "hits": len(hit),
        "events": len(latency_s),
    }
