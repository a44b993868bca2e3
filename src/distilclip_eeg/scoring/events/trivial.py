"""What no detector should be proud to beat: always on, the same alarms elsewhere, position without EEG.

Excerpts around seizures flatter: an alarm that never stops hits everything, alarms put anywhere hit much,
and the stretches' order alone gives most labels away.
"""

import zlib
from dataclasses import replace

import numpy as np

from distilclip_eeg.scoring.events.detect import Trace
from distilclip_eeg.scoring.events.operating import Part
from distilclip_eeg.scoring.events.spans import Track, spans

ALWAYS, CHANCE, POSITION = "always on", "chance", "position only"
"""Names of the rows."""
DRAWS = 200


def always_on(reference: Track) -> Track:
    """One alarm over all of each stretch."""
    return Track(reference.recorded_P2, reference.recorded_P2)


def shifted(hypothesis: Track, recorded_P2: np.ndarray, shift_s: float) -> Track:
    """The same alarms this many seconds later in what was recorded, around its end to its beginning.

    Gaps are no time: an alarm that comes to lie on the seam of two stretches is cut there in two.

    Args:
        hypothesis: of the same stretches.
        recorded_P2: as a ``Track`` has them.
    """
    length_P = recorded_P2[:, 1] - recorded_P2[:, 0]
    before_P = np.concatenate([[0.0], np.cumsum(length_P)])
    total_s = before_P[-1]
    pieces: list[tuple[float, float]] = []
    for onset_s, offset_s in hypothesis.events_E2:
        # From file time to recorded time: an event of a track lies within one of its stretches.
        k = int(np.searchsorted(recorded_P2[:, 0], onset_s, side="right")) - 1
        start = (onset_s - recorded_P2[k, 0] + before_P[k] + shift_s) % total_s
        stop = start + (offset_s - onset_s)
        for low, high in ((start, min(stop, total_s)), (0.0, stop - total_s)):
            for j in np.flatnonzero((before_P[:-1] < high) & (before_P[1:] > low)) if high > low else ():
                first, last = max(low, before_P[j]), min(high, before_P[j + 1])
                pieces.append(
                    (recorded_P2[j, 0] + first - before_P[j], recorded_P2[j, 0] + last - before_P[j])
                )
    return Track(spans(np.array(pieces).reshape(-1, 2)), recorded_P2)


def shifts(recording: str, recorded_s: float, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """Seconds of each draw for a recording, (D,), uniform over what was recorded of it."""
    return np.random.default_rng([seed, zlib.crc32(recording.encode())]).uniform(0, recorded_s, draws)


def by_chance(
    reference: Track, hypothesis: Track, recording: str, draws: int = DRAWS, seed: int = 0
) -> list[Track]:
    """A recording's alarms, shifted ``draws`` times; silence stays as it is."""
    within = Track(hypothesis.events_E2, reference.recorded_P2)
    if not len(within.events_E2):
        return [within] * draws
    return [
        shifted(within, reference.recorded_P2, shift_s)
        for shift_s in shifts(recording, reference.recorded_s, draws, seed)
    ]


def position(part: Part) -> Part:
    """The same recordings with a score that has seen no EEG in place of the probability.

    Stretches of even number first, the first being number 0, and earlier windows of each first; from 0 to 1.
    """
    return replace(part, traces={name: positioned(trace) for name, trace in part.traces.items()})


def positioned(trace: Trace) -> Trace:
    """A trace whose probability is the window's place alone."""
    value_N = np.zeros(len(trace.start_s_N))
    for number, stretch in enumerate(trace.stretches):
        within_s = np.arange(stretch.stop - stretch.start) * trace.hop_s
        value_N[stretch] = ((number % 2 == 0) + 1 / (1 + within_s / 3600)) / 2
    return replace(trace, probability_N=value_N)
