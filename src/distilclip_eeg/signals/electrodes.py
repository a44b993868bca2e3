"""Where the electrodes of the 10-20 system lie on a drawn head."""

from functools import lru_cache

import mne
import numpy as np

MONTAGE = "colin27_1020"
"""Of mne; once named ``standard_1020``."""


@lru_cache(maxsize=1)
def electrodes() -> dict[str, np.ndarray]:
    """(x, y) in metres by electrode, capital letters: angles from the vertex become distances."""
    montage = mne.channels.make_standard_montage(MONTAGE)
    info = mne.create_info(montage.ch_names, 1.0, "eeg").set_montage(montage)
    found = {}
    for name, place in info.get_montage().get_positions()["ch_pos"].items():  # in head coordinates
        radius, across = np.linalg.norm(place), np.linalg.norm(place[:2])
        angle = np.arccos(place[2] / radius) / (np.pi / 2)
        found[name.upper()] = radius * angle * place[:2] / max(across, 1e-12)
    return found
