"""What the review page shows of a detection: both curves, and the EEG around events as its budget allows.

The signal is read again, each second once, in strips short enough that memory does not grow with an event.
"""

import math
from dataclasses import replace

import numpy as np

from distilclip_eeg.config.data import SignalConfig
from distilclip_eeg.deploy.blocks import Blocks
from distilclip_eeg.deploy.detection import EXCERPT_S, Detection, Excerpt
from distilclip_eeg.schema import visible
from distilclip_eeg.scoring.events.spans import intersection

CONTEXT_S = 10.0
"""Before and after each event."""
LONGEST_S = 300.0
"""Of one event; what follows is left out, and the page says so."""
MOST_HZ, EDGE_HZ = 128.0, 50.0
"""Rate of the signal in the page, and the low-pass before it."""
SIGNAL_BYTES = 16_000_000
"""Of the signal in one page, base64: with the rest, a page of a day stays below 20 MB."""
STRIP_S = 240.0
"""Read and filtered at a time."""
LEAST_S = 0.1
"""What is left of a stretch beside a gap, and is too short to be seen."""


def strips_of(blocks: Blocks, found: Detection) -> tuple[Excerpt, ...]:
    """The EEG around events, or around the most probable moment where there is none.

    The most probable events come first; where the budget is spent, the others keep none.
    """
    signals, names = view_of(blocks.config), blocks.plan.names
    events_E2, chance_E = shown_events(found)
    per_s = len(names) * signals.sfreq * 2 * 4 / 3
    strips = []
    for begin_s, end_s in stretches(events_E2, chance_E, found.recorded_P2, SIGNAL_BYTES / per_s):
        n = math.ceil((end_s - begin_s) / STRIP_S)
        edges_s = np.linspace(begin_s, end_s, n + 1)
        for low_s, high_s in zip(edges_s[:-1], edges_s[1:], strict=True):
            start_s, uv_CT = blocks.excerpt((low_s + high_s) / 2, high_s - low_s, signals)
            strips.append(Excerpt(start_s, signals.sfreq, names, uv_CT.copy()))
    return tuple(strips)


def view_of(signals: SignalConfig) -> SignalConfig:
    """The model's band, cut where a rate of at most ``MOST_HZ`` ends; the rate divides the model's."""
    rate = signals.sfreq / math.ceil(signals.sfreq / MOST_HZ)
    if rate == signals.sfreq:
        return signals
    edge = EDGE_HZ / MOST_HZ * rate
    notch = signals.notch_hz if (signals.notch_hz or 0) < rate / 2 else None
    return replace(signals, sfreq=rate, h_freq=min(signals.h_freq or edge, edge), notch_hz=notch)


def shown_events(found: Detection) -> tuple[np.ndarray, np.ndarray]:
    """Events (E, 2) with their probability (E,); the most probable moment where there is none."""
    if len(found.track.events_E2):
        return found.track.events_E2, found.confidence_E
    begin_s = found.excerpt.start_s if found.excerpt else 0.0
    return np.array([[begin_s, min(begin_s + EXCERPT_S, found.span_s)]]), np.ones(1)


def stretches(
    events_E2: np.ndarray, chance_E: np.ndarray, recorded_P2: np.ndarray, most_s: float
) -> np.ndarray:
    """Where signal is kept: whole seconds around the most probable events, at most ``most_s``; (S, 2).

    Shared seconds count once, gaps are left out, and no event is kept after the first that does not fit.
    """
    wanted_T, left = np.zeros(math.ceil(recorded_P2[-1, 1]), dtype=bool), int(most_s)
    for k in np.argsort(-chance_E, kind="stable"):
        onset, offset = events_E2[k]
        last = math.ceil(min(offset, onset + LONGEST_S) + CONTEXT_S)
        part_T = wanted_T[max(0, math.floor(onset - CONTEXT_S)) : last]
        left -= int((~part_T).sum())
        if left < 0:
            break
        part_T[:] = True
    edges = np.flatnonzero(np.diff(np.concatenate([[0], wanted_T, [0]]))).reshape(-1, 2)
    found_S2 = intersection(edges.astype(float), recorded_P2)
    return found_S2[found_S2[:, 1] - found_S2[:, 0] > LEAST_S]


def review_page(found: Detection, title: str, model: str) -> bytes:
    """The page of a detection; without strips it shows the excerpt alone."""
    from distilclip_eeg.report.review import Reviewed, review_html

    strips = found.strips or tuple(filter(None, [found.excerpt]))
    events_E2, _ = shown_events(found)
    return review_html(
        Reviewed(
            title=visible(title),
            model=visible(model),
            threshold=found.detect.threshold,
            smooth_s=found.detect.smooth_s,
            start_s_N=found.trace.start_s_N,
            probability_N=found.trace.probability_N,
            smoothed_N=found.smoothed_N,
            hop_s=found.trace.hop_s,
            stretches=found.trace.stretches,
            events_E2=found.track.events_E2,
            chance_E=found.confidence_E,
            moment=(float(events_E2[0, 0]), float(events_E2[0, 1])),
            gaps_G2=found.gaps_G2,
            span_s=found.span_s,
            recorded_s=found.track.recorded_s,
            strips=strips,
            context_s=CONTEXT_S,
            longest_s=LONGEST_S,
            warnings=[visible(warning) for warning in found.warnings],
        )
    )
