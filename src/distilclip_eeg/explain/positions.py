"""Where channels lie on the drawn head."""

from collections.abc import Sequence

import mne
import numpy as np

from distilclip_eeg.corpora.edf.montage import split_reference


def positions(ch_names: Sequence[str]) -> np.ndarray:
    """(C, 2) places as ``mne.viz.plot_topomap`` draws them, in metres: x to the right, y to the front.

    Electrodes are those of mne's ``colin27_1020`` (once named ``standard_1020``); a bipolar channel lies
    midway between its two. A channel with an electrode that this montage lacks is NaN. Channels of the same
    two electrodes lie on one place.
    """
    pairs = [split_reference(name)[0].split("-") for name in ch_names]
    known = electrodes()
    nowhere = np.full(2, np.nan)
    return np.array([np.mean([known.get(name, nowhere) for name in pair], axis=0) for pair in pairs])


def electrodes() -> dict[str, np.ndarray]:
    """(x, y) by electrode, capital letters: angles from the vertex become distances from the middle."""
    montage = mne.channels.make_standard_montage("colin27_1020")
    info = mne.create_info(montage.ch_names, 1.0, "eeg").set_montage(montage)
    found = {}
    for name, place in info.get_montage().get_positions()["ch_pos"].items():  # in head coordinates
        radius, across = np.linalg.norm(place), np.linalg.norm(place[:2])
        angle = np.arccos(place[2] / radius) / (np.pi / 2)
        found[name.upper()] = radius * angle * place[:2] / max(across, 1e-12)
    return found
