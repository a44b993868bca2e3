"""Who is recorded in the synthetic corpus and what each recording will hold, before a sample is made.

People and recordings are drawn from seeds of their own, so the order of work does not matter. Figures
called "chosen" were set by hand, see ``corpora/invented/eeg.py``.
"""

from dataclasses import dataclass

import numpy as np
from scipy.fft import rfft

POSITION = {
    "FP1": (-0.29, 0.90), "FP2": (0.29, 0.90), "F7": (-0.76, 0.55), "F3": (-0.38, 0.47),
    "FZ": (0.0, 0.45), "F4": (0.38, 0.47), "F8": (0.76, 0.55), "FT9": (-1.08, 0.35),
    "FT10": (1.08, 0.35), "T7": (-0.95, 0.0), "C3": (-0.45, 0.0), "CZ": (0.0, 0.0),
    "C4": (0.45, 0.0), "T8": (0.95, 0.0), "P7": (-0.76, -0.55), "P3": (-0.38, -0.47),
    "PZ": (0.0, -0.45), "P4": (0.38, -0.47), "P8": (0.76, -0.55), "O1": (-0.29, -0.90),
    "O2": (0.29, -0.90),
}  # fmt: skip
"""Electrodes on a flat head of radius one: (to the right, to the front)."""
NAMES = tuple(POSITION)

FOCI = ("T7", "F4", "T8", "F3", "F7", "P8", "F8", "P7", "T7", "C4", "T8", "C3")
"""Where seizures start, dealt out in turn so that each region is several people's; most are temporal."""

N_HARMONICS = 14
"""Enough for a spike of 6 % of a cycle; at 10 Hz the last stands at the 140 Hz the recording holds."""

LABELS_23 = (
    "FP1-F7", "F7-T7", "T7-P7", "P7-O1", "FP1-F3", "F3-C3", "C3-P3", "P3-O1",
    "FP2-F4", "F4-C4", "C4-P4", "P4-O2", "FP2-F8", "F8-T8", "T8-P8", "P8-O2",
    "FZ-CZ", "CZ-PZ", "P7-T7", "T7-FT9", "FT9-FT10", "FT10-T8", "T8-P8",
)  # fmt: skip
LABELS_28 = (
    *LABELS_23[:4], "-", *LABELS_23[4:8], "-", *LABELS_23[16:18], "-", *LABELS_23[8:12], "-",
    *LABELS_23[12:16], "-", *LABELS_23[18:],
)  # fmt: skip
"""The 28-signal layout of chb14 to chb22: the chains in another order, dummies between them."""
GAPS_S = (9, 6, 3)
"""Lengths tried for the gap of an EDF+D, until one fits beside the seizures."""


@dataclass(frozen=True)
class Rhythm:
    """A repeating wave somewhere on the head: a person's seizures, or a harmless look-alike."""

    centre: str
    reach: float
    """Standard deviation of its fall with distance, head radii."""
    start_hz: float
    end_hz: float
    amplitude_uv: float
    harmonics: np.ndarray
    """Complex weights of harmonics 1..N_HARMONICS; unit power in all."""
    looseness: float
    """0: the harmonics keep the wave's shape; 1: each drifts by itself, same spectrum, no spikes."""
    focality: float
    """0: largest in front, and a seizure is everywhere within seconds; 1: largest at its own centre, and a
    seizure stays there for its first third."""


@dataclass(frozen=True)
class Person:
    """What all recordings of one invented person have in common."""

    exponent: float
    """Power of the background falls as 1 / f**exponent."""
    background_uv: float
    electrode_gain: np.ndarray
    alpha_hz: float
    alpha_uv: float
    line_uv: np.ndarray
    tone_uv: np.ndarray
    """Muscle tone that never rests, level over frequency."""
    muscle_uv: float
    blinks_per_minute: float
    seizure: Rhythm
    harmless: tuple[Rhythm, ...]
    harmless_share: float
    """Share of the background that carries a harmless rhythm."""


@dataclass(frozen=True)
class Plan:
    """What a recording will hold; whole seconds from its start, gap included."""

    case: str
    file: str
    length_s: int
    seizures: tuple[tuple[int, int], ...]
    gap: tuple[int, int] | None
    labels: tuple[str, ...]
    clock_s: int
    """Time of day at the start, seconds."""


def draw_person(rng: np.random.Generator, number: int, difficulty: float, focality: float = 0.0) -> Person:
    """One person; ``difficulty`` in [0, 1] weakens seizures and thickens the harmless rhythms.

    ``focality`` in [0, 1] holds all rhythms to their centres (``Rhythm.focality``).

    Args:
        number: of the person; persons take the places in ``FOCI`` in turn.
    """
    background_uv = 30.0 * rng.lognormal(0.0, 0.25)
    ratio = np.interp(difficulty, [0.0, 0.5, 1.0], [4.6, 3.5, 1.3])  # chosen: seizure over background
    focus = FOCI[number % len(FOCI)]
    elsewhere = rng.choice([name for name in sorted(set(FOCI)) if name != focus], size=3, replace=False)

    def rhythm(place: str, hz: tuple[float, float], looseness: float) -> Rhythm:
        shape = spike_and_wave(rng.uniform(0.03, 0.05), rng.uniform(0.1, 0.3))
        amplitude = background_uv * ratio * rng.lognormal(0.0, 0.15)
        return Rhythm(str(place), rng.uniform(0.6, 0.9), *hz, amplitude, shape, looseness, focality)

    start_hz = rng.uniform(6.0, 9.0)
    seizure = rhythm(focus, (start_hz, start_hz * rng.uniform(0.35, 0.5)), rng.uniform(0.0, 0.04))
    harmless = []
    for place in elsewhere:
        hz = rng.uniform(2.5, 7.5)
        harmless.append(rhythm(place, (hz, hz * rng.uniform(0.85, 1.05)), rng.uniform(0.8, 1.0)))
    return Person(
        exponent=rng.uniform(1.3, 2.0),
        background_uv=background_uv,
        electrode_gain=rng.uniform(0.75, 1.25, len(NAMES)),
        alpha_hz=rng.uniform(8.5, 11.0),
        alpha_uv=background_uv * rng.uniform(0.5, 0.9),
        line_uv=rng.uniform(0.2, 2.5, len(NAMES)),
        tone_uv=background_uv * rng.uniform(0.12, 0.3) * rng.uniform(0.7, 1.3, len(NAMES)),
        muscle_uv=rng.uniform(8.0, 25.0),
        blinks_per_minute=rng.uniform(4.0, 14.0),
        seizure=seizure,
        harmless=tuple(harmless),
        harmless_share=float(np.interp(difficulty, [0.0, 0.5, 1.0], [0.05, 0.55, 0.90])),
    )


def spike_and_wave(spike_width: float, wave_share: float) -> np.ndarray:
    """Harmonics of a negative spike and the slow positive wave after it, unit power.

    Args:
        spike_width: standard deviation of the spike as a share of the cycle.
        wave_share: height of the wave as a share of the spike's.
    """
    cycle = np.arange(512) / 512
    spike = np.exp(-0.5 * ((cycle - 0.2) / spike_width) ** 2)
    wave = np.where((cycle > 0.3) & (cycle < 0.95), np.sin(np.pi * (cycle - 0.3) / 0.65) ** 2, 0.0)
    weights = rfft(wave_share * wave - spike)[1 : N_HARMONICS + 1]
    return weights / np.sqrt(0.5 * np.sum(np.abs(weights) ** 2))


def draw_plan(rng: np.random.Generator, case: str, index: int, count: int, recording_s: int) -> Plan:
    """Lengths, seizures and layout of recording ``index`` of a person, ``count`` of the corpus (from 0).

    Args:
        case: name of the person's folder.
        recording_s: mean length; this one is up to 15 % shorter or longer.
    """
    length = round(recording_s * rng.uniform(0.85, 1.15))
    wanted = 0 if index % 3 == 2 else int(rng.integers(1, 3)) if length >= 90 else 1
    seizures = []
    for slot in range(wanted):
        room = length // wanted
        duration = round(min(rng.triangular(12, 34, 40), 0.6 * room))
        onset = slot * room + int(rng.integers(3, room - duration - 2))
        seizures.append((onset, onset + duration))
    return Plan(
        case=case,
        file=f"{case}_{index + 1:02d}.edf",
        length_s=length,
        seizures=tuple(seizures),
        gap=draw_gap(rng, length, seizures) if count % 6 == 1 else None,
        labels=LABELS_28 if count % 5 == 2 else LABELS_23,
        clock_s=int(rng.integers(0, 86400)),
    )


def draw_gap(rng: np.random.Generator, length: int, seizures: list) -> tuple[int, int] | None:
    """A stretch to lose, whole seconds, that leaves two about each seizure and at the ends; None: no room."""
    for lost in GAPS_S:
        starts = [
            s
            for s in range(2, length - lost - 1)
            if all(s + lost + 2 <= onset or s >= offset + 2 for onset, offset in seizures)
        ]
        if starts:
            start = int(rng.choice(starts))
            return start, start + lost
    return None
