"""What the seizures of the synthetic corpus really are: their focus, and their wave without anything else.

Nothing of this stands in the files; it is drawn again from the settings that they were drawn from.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from distilclip_eeg.corpora.edf.montage import canonical
from distilclip_eeg.corpora.invented.eeg import SFREQ, draw_recording
from distilclip_eeg.corpora.invented.plan import NAMES, Person, draw_person
from distilclip_eeg.corpora.synthetic import Settings, generator, plan_of


@dataclass(frozen=True)
class Truth:
    """The seizures of one recording."""

    focus: str
    """Electrode at which this person's seizures start."""
    wave_ET: np.ndarray
    """Microvolts at ``NAMES``, 256 Hz, zero between seizures; on the recording's time axis, gap included."""

    def power(self, ch_names: Sequence[str], start_s: float, length_s: float) -> np.ndarray:
        """Mean square of the wave in a window, microvolts squared, (C,) of a bipolar montage."""
        electrode = {canonical(name): i for i, name in enumerate(NAMES)}
        first = round(start_s * SFREQ)
        wave_ET = self.wave_ET[:, first : first + round(length_s * SFREQ)]
        pairs = [canonical(name).split("-") for name in ch_names]
        return np.array([((wave_ET[electrode[a]] - wave_ET[electrode[b]]) ** 2).mean() for a, b in pairs])


def truths(settings: Settings, wanted: Sequence[str]) -> dict[str, Truth]:
    """The truth of each wanted recording, by its name."""
    found = {}
    for number in range(settings.n_subjects):
        for index in range(settings.recordings_per_subject):
            name = plan_of(settings, number, index)[0].file.removesuffix(".edf")
            if name in wanted:
                found[name] = truth_of(settings, number, index)
    return found


def truth_of(settings: Settings, number: int, index: int) -> Truth:
    """The truth of a person's recording.

    The recording less the same recording with a seizure of no amplitude: all else is drawn alike and added.
    """
    rng = generator(settings, number, 0)
    person = draw_person(rng, number, settings.difficulty, settings.focality)
    without = replace(person, seizure=replace(person.seizure, amplitude_uv=0.0))

    def drawn_of(someone: Person) -> np.ndarray:
        plan, rng = plan_of(settings, number, index)
        return draw_recording(rng, someone, plan.length_s, list(plan.seizures))

    return Truth(person.seizure.centre, drawn_of(person) - drawn_of(without))


def at_focus(ch_names: Sequence[str], focus: str) -> np.ndarray:
    """Which channels contain the electrode, (C,)."""
    return np.array([canonical(focus) in canonical(name).split("-") for name in ch_names])
