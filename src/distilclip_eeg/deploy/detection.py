"""What a detector found in one recording."""

from dataclasses import dataclass
from functools import cached_property

import mne
import numpy as np

from distilclip_eeg.config.detection import DetectConfig
from distilclip_eeg.schema import Event
from distilclip_eeg.scoring.events.detect import Trace, deciding, events_from_probability
from distilclip_eeg.scoring.events.spans import Track, intersection

SEIZURE = "seiz"
UNLIKE = "unlike"
"""Code of the warning that a recording is not like those of training."""
EXCERPT_S = 10.0


@dataclass(frozen=True, eq=False)
class Excerpt:
    """What the EEG looks like for a while."""

    start_s: float
    sfreq: float
    ch_names: tuple[str, ...]
    """As the recording spells them: its label where a channel is one of its signals."""
    uv_CT: np.ndarray


@dataclass(frozen=True, eq=False)
class Detection:
    """Probabilities and events of one recording, in seconds from its first sample, gaps counted."""

    name: str
    """Of the file; ``mne.io.Raw`` or ``live`` where there is none."""
    trace: Trace
    detect: DetectConfig
    recorded_P2: np.ndarray
    """Stretches in which there is signal; what lies between is no data."""
    filled: tuple[str, ...] = ()
    """Channels of the model that the recording lacks: zero, or interpolated."""
    warnings: tuple[str, ...] = ()
    """``"code: words"`` for everything odd but tolerated."""
    excerpt: Excerpt | None = None
    """Around the most probable window; None live, where nothing is kept."""
    strips: tuple[Excerpt, ...] = ()
    """Around events, in time order, for the review page; empty where nobody asked."""

    @cached_property
    def track(self) -> Track:
        """Events, and the stretches that windows cover."""
        return events_from_probability(self.trace, self.detect)

    @property
    def span_s(self) -> float:
        """Seconds from the first sample to the last, gaps included."""
        return float(self.recorded_P2[-1, 1])

    @property
    def events(self) -> list[Event]:
        """One for each stretch at or above the threshold."""
        return [Event(float(onset), float(offset), SEIZURE) for onset, offset in self.track.events_E2]

    @cached_property
    def smoothed_N(self) -> np.ndarray:
        """What the threshold is compared with, (N,)."""
        return deciding(self.trace, self.detect)

    @cached_property
    def confidence_E(self) -> np.ndarray:
        """Mean probability, at the prior of use, of the windows that lie in each event, (E,)."""
        probability_N = self.detect.calibrated(self.trace.probability_N)
        onset_E, offset_E = self.track.events_E2.T
        start_N = self.trace.start_s_N
        first_E = np.searchsorted(start_N, onset_E - 1e-6, side="right")
        last_E = np.searchsorted(start_N + self.trace.length_s, offset_E + 1e-6, side="left")
        parts = zip(first_E, last_E, strict=True)
        return np.array([probability_N[first:last].mean() for first, last in parts])

    @property
    def gaps_G2(self) -> np.ndarray:
        """Stretches without data between those with, (G, 2) seconds."""
        ends = np.column_stack([self.recorded_P2[:-1, 1], self.recorded_P2[1:, 0]])
        return intersection(ends[ends[:, 1] > ends[:, 0]], np.array([[0.0, self.span_s]]))

    def annotations(self) -> mne.Annotations:
        """Events for ``raw.set_annotations``, described as ``seiz``, without a date."""
        onset_E, offset_E = self.track.events_E2.T
        return mne.Annotations(onset_E, offset_E - onset_E, [SEIZURE] * len(onset_E))
