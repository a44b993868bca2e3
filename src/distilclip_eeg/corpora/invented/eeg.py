"""Signals of invented people: background, artifacts, harmless rhythms and seizures, at electrodes.

A test bed, not physiology. A seizure and the harmless rhythm of drowsiness share power spectrum and field
by construction; what tells them apart is the waveform (harmonics locked in phase make spikes and waves),
the lag from the focus outward, and the evolution. So band powers find a part of the seizures, a model of
the waveform finds more, and knowing the person finds more still: places, frequencies and shapes are the
person's own. Figures called "chosen" were set by hand so that, at difficulty 0.5 and in folds by person,
logistic regression on band powers reaches a pooled AUROC of about 0.84 and ``teacher_tiny`` about 0.90.

Arrays are microvolts, shape (electrode, sample) with electrodes in the order of ``POSITION``.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from scipy.fft import irfft, rfft, rfftfreq

from distilclip_eeg.corpora.invented.plan import FOCI, N_HARMONICS, NAMES, POSITION, Person, Rhythm

SFREQ = 256

PLACE_E2 = np.array(list(POSITION.values()))
DISTANCE_EE = np.linalg.norm(PLACE_E2[:, None] - PLACE_E2[None], axis=-1)

SMOOTH_EE = np.linalg.cholesky(np.exp(-0.5 * (DISTANCE_EE / 0.5) ** 2) + 0.02 * np.eye(len(NAMES)))
"""Mixes independent noise into noise alike at near electrodes: correlation 0.6 at half a head radius."""

STRAY = 0.8
"""Share of harmless bursts at a place and frequency of their own; the others are the person's habit."""

LAG_S = 0.006
"""How much later a wave arrives one head radius further on, seconds (chosen: short beside a spike, whose
sign then survives in the difference of two electrodes)."""


def draw_recording(
    rng: np.random.Generator, person: Person, seconds: int, seizures: list[tuple[int, int]]
) -> np.ndarray:
    """Potentials of one recording, (electrode, ``seconds * SFREQ``); seizures as (onset, offset) seconds."""
    n = seconds * SFREQ
    eeg = background(rng, person, n) + alpha(rng, person, n)
    edges = [0, *(s for pair in seizures for s in pair), seconds]
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        for start, length in bursts(rng, first * SFREQ, last * SFREQ, person.harmless_share):
            which = person.harmless[rng.integers(len(person.harmless))]
            if rng.random() < STRAY:
                hz = rng.uniform(2.5, 8.0)
                which = replace(which, centre=str(rng.choice(FOCI)), start_hz=hz, end_hz=hz)
            eeg[:, start : start + length] += harmless_burst(rng, which, length)
    for onset, offset in seizures:
        wave = seizure(rng, person.seizure, (offset - onset) * SFREQ)
        eeg[:, onset * SFREQ : offset * SFREQ] += wave
    eeg += person.tone_uv[:, None] * rng.standard_normal(eeg.shape)
    eeg *= person.electrode_gain[:, None]
    add_artifacts(rng, person, eeg)
    return eeg


def coloured(rng: np.random.Generator, rows: int, n: int, exponent: float) -> np.ndarray:
    """Noise of unit variance whose power falls as 1 / f**exponent, level under 0.5 Hz; (rows, n)."""
    shape = np.maximum(rfftfreq(n, 1 / SFREQ), 0.5) ** (-exponent / 2)
    return shaped(rng, rows, n, shape)


def narrow(rng: np.random.Generator, rows: int, n: int, hz: float, width_hz: float) -> np.ndarray:
    """Noise of unit variance about one frequency; it waxes and wanes at about ``width_hz``; (rows, n)."""
    return shaped(rng, rows, n, np.exp(-0.25 * ((rfftfreq(n, 1 / SFREQ) - hz) / width_hz) ** 2))


def shaped(rng: np.random.Generator, rows: int, n: int, shape: np.ndarray) -> np.ndarray:
    """White noise with its amplitude spectrum multiplied by ``shape``, then unit variance by expectation."""
    shape = np.where(np.arange(len(shape)) == 0, 0.0, shape)
    return irfft(rfft(rng.standard_normal((rows, n))) * shape, n) / np.sqrt(np.mean(shape**2))


def background(rng: np.random.Generator, person: Person, n: int) -> np.ndarray:
    """1/f activity, alike at near electrodes, swelling and fading over some ten seconds."""
    swell = np.exp(0.35 * (SMOOTH_EE @ narrow(rng, len(NAMES), n, 0.0, 0.15)))
    drift = 0.4 * shaped(rng, len(NAMES), n, rfftfreq(n, 1 / SFREQ) < 0.2)
    noise = SMOOTH_EE @ coloured(rng, len(NAMES), n, person.exponent)
    return person.background_uv * (swell * noise + drift)


def alpha(rng: np.random.Generator, person: Person, n: int) -> np.ndarray:
    """Posterior alpha: one part common to both sides, one part of each side's own."""
    common, left, right = narrow(rng, 3, n, person.alpha_hz, 0.5)
    behind = np.exp(-0.5 * ((PLACE_E2[:, 1] + 0.95) / 0.4) ** 2)[:, None]
    side = np.where(PLACE_E2[:, :1] > 0, right, left)
    return person.alpha_uv * behind * (0.8 * common + 0.6 * side)


def bursts(rng: np.random.Generator, first: int, last: int, share: float) -> list[tuple[int, int]]:
    """Starts and lengths, in samples, of bursts of 3-10 s that fill about ``share`` of a stretch."""
    found: list[tuple[int, int]] = []
    at = first
    while True:
        length = int(rng.uniform(3.0, 10.0) * SFREQ)
        at += int(2 * rng.random() * length * (1 - share) / max(share, 1e-3))
        length = min(length, last - at)
        if length < SFREQ:
            return found
        found.append((at, length))
        at += length


def wave_train(
    rng: np.random.Generator, rhythm: Rhythm, hz: np.ndarray, lag_s: np.ndarray, gain: np.ndarray
) -> np.ndarray:
    """The rhythm's wave at every electrode, (electrode, sample).

    Args:
        rhythm: gives the wave's harmonics and how far they drift apart.
        hz: frequency of the wave at each sample, (T,).
        lag_s: delay of each electrode, seconds, (E,).
        gain: amplitude at each electrode and sample, (E, T) or (E, 1).
    """
    jitter = 1.0 + 0.08 * narrow(rng, 1, len(hz), 0.0, 1.0)[0]
    phase = 2 * np.pi * (np.cumsum(hz * jitter) / SFREQ - lag_s[:, None] * hz)
    order = np.arange(1, N_HARMONICS + 1)
    start = rng.uniform(-np.pi, np.pi, N_HARMONICS)
    steps = rng.standard_normal((N_HARMONICS, len(hz))) * np.sqrt(2.0 / SFREQ)
    loose = rhythm.looseness * (start[:, None] + np.cumsum(steps, axis=1))
    audible = order[:, None] * hz < 0.4 * SFREQ  # nothing may fold back at half the rate
    wave = np.zeros_like(phase)
    for k, weight in zip(order, rhythm.harmonics, strict=True):
        wave += np.abs(weight) * audible[k - 1] * np.cos(k * phase + np.angle(weight) + loose[k - 1])
    return rhythm.amplitude_uv * gain * wave


def seizure(rng: np.random.Generator, rhythm: Rhythm, n: int) -> np.ndarray:
    """A seizure: starts at the focus, spreads, slows and grows; (electrode, n)."""
    time = np.arange(n) / n
    distance = DISTANCE_EE[NAMES.index(rhythm.centre)]
    hz = rhythm.start_hz * (rhythm.end_hz / rhythm.start_hz) ** time
    quick_s, slow_s = min(6.0, 0.4 * n / SFREQ), n / SFREQ  # for one head radius
    arrival_s = distance * np.interp(rhythm.focality, [0.0, 1.0], [quick_s, slow_s])
    here = 1 / (1 + np.exp(-(np.arange(n) / SFREQ - 1.0 - arrival_s[:, None]) / 0.5))
    growth = 0.6 + 0.6 * np.minimum(time / 0.5, 1.0)
    return wave_train(rng, rhythm, hz, LAG_S * distance, field(rng, rhythm) * here * growth)


def field(rng: np.random.Generator, rhythm: Rhythm) -> np.ndarray:
    """Share of the rhythm's amplitude at each electrode, (E, 1).

    A frontal maximum that everybody's rhythms have, a peak at the rhythm's own centre, and chance;
    ``focality`` moves weight from the first to the second.
    """
    distance = DISTANCE_EE[NAMES.index(rhythm.centre)]
    in_front = np.exp(-0.5 * ((PLACE_E2[:, 1] - 0.5) / 0.5) ** 2)
    chance = np.exp(0.3 * (SMOOTH_EE @ rng.standard_normal(len(NAMES))))
    at_centre = np.exp(-0.5 * (distance / rhythm.reach) ** 2)
    front, centre = 1.0 - rhythm.focality, 0.3 + 0.7 * rhythm.focality
    return ((front * in_front + centre * at_centre) * chance)[:, None]


def harmless_burst(rng: np.random.Generator, rhythm: Rhythm, n: int) -> np.ndarray:
    """Drowsy rhythm: a seizure's spectrum and field, no outward lag, no steady wave; (electrode, n)."""
    hz = np.linspace(rhythm.start_hz, rhythm.end_hz, n)
    turn = rng.uniform(0, 2 * np.pi)
    lag_s = LAG_S * PLACE_E2 @ np.array([np.cos(turn), np.sin(turn)])
    edge = np.minimum(1.0, np.minimum(np.arange(n), np.arange(n)[::-1]) / (0.5 * SFREQ))
    return wave_train(rng, rhythm, hz, lag_s, field(rng, rhythm) * edge * rng.uniform(0.6, 1.2))


def add_artifacts(rng: np.random.Generator, person: Person, eeg: np.ndarray) -> None:
    """Blinks, muscle, chewing, electrode pops and 60 Hz, in place."""
    n = eeg.shape[1]
    eeg += person.line_uv[:, None] * np.sin(2 * np.pi * 60.0 * np.arange(n) / SFREQ + rng.uniform(0, 6.28))
    in_front = np.exp(-0.5 * ((PLACE_E2[:, 1] - 0.95) / 0.25) ** 2)
    temporal = np.abs(PLACE_E2[:, 0]) > 0.7

    def occasions(per_minute: float, shortest_s: float, longest_s: float) -> Iterator[slice]:
        for start in np.sort(rng.integers(0, n, rng.poisson(per_minute * n / SFREQ / 60))):
            yield slice(start, min(n, start + int(rng.uniform(shortest_s, longest_s) * SFREQ)))

    for at in occasions(person.blinks_per_minute, 0.25, 0.45):
        lid = np.sin(np.pi * np.arange(at.stop - at.start) / (0.35 * SFREQ)).clip(0)
        eeg[:, at] += rng.uniform(60, 160) * in_front[:, None] * lid
    for at in occasions(3.0, 0.5, 3.0):
        tense = rng.random(len(NAMES)) < 0.3 * temporal
        eeg[:, at] += muscle(rng, person, at.stop - at.start) * tense[:, None]
    for at in occasions(0.4, 3.0, 7.0):
        time = np.arange(at.stop - at.start) / SFREQ
        bite = np.sin(2 * np.pi * rng.uniform(1.2, 2.2) * time).clip(0)
        eeg[:, at] += 1.5 * muscle(rng, person, len(time)) * bite * temporal[:, None]
    for at in occasions(0.5, 0.5, 2.0):
        fade = np.exp(-np.arange(at.stop - at.start) / (0.2 * SFREQ))
        eeg[rng.integers(len(NAMES)), at] += rng.choice([-1, 1]) * rng.uniform(80, 300) * fade


def muscle(rng: np.random.Generator, person: Person, n: int) -> np.ndarray:
    """Muscle noise about 25-75 Hz, own to each electrode, (electrode, n)."""
    return person.muscle_uv * narrow(rng, len(NAMES), max(n, 2), 50.0, 18.0)[:, :n]
