"""Faults of a signal that only its samples show: length, amplitude, flat or saturated channels, drop-outs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from distilclip_eeg.corpora.edf.fields import edf_error
from distilclip_eeg.plausible import check_amplitude
from distilclip_eeg.schema import SkipRecording

MIN_DURATION_S = 1.0
"""The shortest recording that holds one window."""
FILTER_CYCLE_S = 10.0
"""One cycle of the 0.1 Hz high-pass; below that the filter is mostly edge."""
SATURATED_FRACTION = 0.1
SAMPLED = 10_000
"""Samples that tell the size of a channel; sorting an hour of it would cost seconds."""
SECONDS = 4096
"""Seconds that tell how much a channel moves; a day has more."""


class Quality:
    """Judges a recording that is shown to it stretch by stretch, in blocks of any number.

    Args:
        path: of the recording, for messages.
        names: of the channels.
        sfreq: Hz.
        lengths: samples of each stretch without a gap.

    Raises:
        SkipRecording: ``too_short``.
    """

    def __init__(self, path: Path, names: Sequence[str], sfreq: float, lengths: Sequence[int]):
        self.path, self.names, self.sfreq, self.lengths = path, names, sfreq, lengths
        if sum(lengths) / sfreq < MIN_DURATION_S:
            found = f"{sum(lengths) / sfreq:g} s of signal"
            raise edf_error(path, "too_short", found, f"at least {MIN_DURATION_S:g} s", "", SkipRecording)
        self.block = max(2, int(sfreq))
        """Every block of a stretch but its last is a multiple of this long, in samples."""
        self.stride = max(1, sum(lengths) // SAMPLED)
        self.low_C, self.high_C = np.full(len(names), np.inf), np.full(len(names), -np.inf)
        self.flat_s = 0
        self.sampled: list[np.ndarray] = []
        self.every = max(1, sum(lengths) // self.block // SECONDS)
        self.swings: list[np.ndarray] = []

    def add(self, eeg_CT: np.ndarray, at: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Look at volts (C, T) that begin ``at`` samples into their stretch; their extremes, each (C,)."""
        self.sampled.append(eeg_CT[:, -at % self.stride :: self.stride].copy())
        # Whole seconds, counted from the start of the stretch.
        whole, rest = np.split(eeg_CT, [eeg_CT.shape[1] // self.block * self.block], axis=1)
        seconds = whole.reshape(len(eeg_CT), -1, self.block)
        low, high = seconds.min(axis=2), seconds.max(axis=2)
        self.flat_s += int((low == high).all(axis=0).sum())
        self.swings.append((high - low)[:, -(at // self.block) % self.every :: self.every])
        low_C = np.concatenate([low, rest], axis=1).min(axis=1)
        high_C = np.concatenate([high, rest], axis=1).max(axis=1)
        self.low_C, self.high_C = np.minimum(self.low_C, low_C), np.maximum(self.high_C, high_C)
        return low_C, high_C

    def judge(self, clipped_C: np.ndarray) -> list[str]:
        """Warnings, when all was seen.

        Args:
            clipped_C: samples of each channel at the rails of its digital range.

        Raises:
            DataError: ``implausible_amplitude``.
            SkipRecording: ``all_flat``.
        """
        warnings, names = [], self.names
        if (shortest := min(self.lengths) / self.sfreq) < FILTER_CYCLE_S:
            words = f"shortest piece {shortest:g} s, one cycle of the 0.1 Hz high-pass is 10 s"
            warnings.append(f"short_for_filter: {words}")
        sample = np.concatenate(self.sampled, axis=1)
        spread_C = np.median(np.abs(sample - np.median(sample, axis=1, keepdims=True)), axis=1)
        flat = [name for name, same in zip(names, self.high_C == self.low_C, strict=True) if same]
        if len(flat) == len(names):
            found = "every chosen signal is constant"
            raise edf_error(self.path, "all_flat", found, "EEG", "", SkipRecording)
        check_amplitude(str(self.path), names, spread_C, self._swing_C())
        if flat:
            warnings.append(f"flat_channel: constant throughout: {', '.join(flat)}")
        if self.flat_s:
            warnings.append(f"flat_window: {self.flat_s} s in which no channel changes")
        share_C = clipped_C / sum(self.lengths)
        railed = [n for n, c in zip(names, share_C, strict=True) if c > SATURATED_FRACTION and n not in flat]
        if railed:
            words = f"over a tenth of the samples at the rails: {', '.join(railed)}"
            warnings.append(f"saturated_channel: {words}")
        return warnings

    def _swing_C(self) -> np.ndarray:
        """Volts from lowest to highest within the median second in which a channel changes; else NaN."""
        swings = np.concatenate(self.swings, axis=1)
        return np.array([np.median(row[row > 0]) if (row > 0).any() else np.nan for row in swings])
