"""Invented EEG at the electrodes every layout needs, at any rate; the signals are ``invented/eeg.py``'s.

Each seizure type has a rhythm of its own (frequency, place, spike shape), so that types can be told apart.
They are chosen, not physiology.
"""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
from scipy.signal import resample_poly

from distilclip_eeg.corpora.edf.montage import canonical
from distilclip_eeg.corpora.invented.eeg import SFREQ, draw_recording
from distilclip_eeg.corpora.invented.plan import NAMES, Person, draw_person

TYPES = (
    ("T7", 6.0, 0.7), ("F3", 9.0, 0.7), ("CZ", 3.0, 2.0), ("T8", 4.5, 0.7),
    ("O1", 7.5, 0.7), ("FZ", 12.0, 2.0), ("C4", 5.0, 0.5), ("CZ", 15.0, 2.0), ("P3", 3.5, 0.7),
)  # fmt: skip
"""Centre, frequency at onset in Hz and reach in head radii of seizure type 0, 1, 2, ..."""


def person(number: int, seed: int, difficulty: float = 0.3) -> Person:
    """Invented person ``number``; the same for the same seed."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number, 0)))
    return draw_person(rng, number, difficulty)


def potentials(
    rng: np.random.Generator,
    who: Person,
    seconds: int,
    seizures: Sequence[tuple[int, int]],
    sfreq: float,
    kind: int | None = None,
) -> dict[str, np.ndarray]:
    """Microvolts by electrode in canonical spelling, A1 and A2 included, each (seconds * sfreq,).

    Args:
        who: from :func:`person`.
        seizures: (onset, offset) in whole seconds.
        sfreq: Hz.
        kind: which of ``TYPES`` the seizures are; None gives the person's own.
    """
    if kind is not None:
        centre, hz, reach = TYPES[kind]
        rhythm = replace(who.seizure, centre=centre, start_hz=hz, end_hz=0.7 * hz, reach=reach)
        who = replace(who, seizure=rhythm)
    eeg = draw_recording(rng, who, seconds, list(seizures))
    change = Fraction(sfreq).limit_denominator(100) / SFREQ
    if change != 1:
        eeg = resample_poly(eeg, change.numerator, change.denominator, axis=1)
    out = {canonical(name): uv for name, uv in zip(NAMES, eeg, strict=True)}
    for ear, near in (("A1", "T3"), ("A2", "T4")):
        out[ear] = 0.5 * out[near] + rng.normal(0.0, 3.0, eeg.shape[1])
    return out
