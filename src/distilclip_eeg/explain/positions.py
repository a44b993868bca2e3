"""Where channels lie on the drawn head."""

from collections.abc import Sequence

import numpy as np

from distilclip_eeg.corpora.edf.montage import split_reference
from distilclip_eeg.signals.electrodes import electrodes


def positions(ch_names: Sequence[str]) -> np.ndarray:
    """(C, 2) places as ``mne.viz.plot_topomap`` draws them, in metres: x to the right, y to the front.

    Electrodes are those of ``signals.electrodes``; a bipolar channel lies midway between its two. A channel
    with an electrode that its montage lacks is NaN. Channels of the same two electrodes lie on one place.
    """
    pairs = [split_reference(name)[0].split("-") for name in ch_names]
    known = electrodes()
    nowhere = np.full(2, np.nan)
    return np.array([np.mean([known.get(name, nowhere) for name in pair], axis=0) for pair in pairs])
