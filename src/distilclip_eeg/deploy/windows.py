"""From filtered microvolts, arriving in chunks of any length, to normalised windows at any hop."""

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from distilclip_eeg.schema import ConfigError
from distilclip_eeg.signals.preprocess import FLAT_UV

MEMORY_S = 60.0
"""``normalize=running`` looks back this far, as ``loaders.running_statistics`` does in training."""


def hop_samples(hop_s: float, sfreq: float, length_s: float) -> int:
    """Samples from one window to the next.

    Raises:
        ConfigError: no whole number of samples, or time between two windows that none sees.
    """
    hop = round(hop_s * sfreq) if 0 < hop_s <= length_s else 0
    if hop < 1 or abs(hop - hop_s * sfreq) > 1e-6:
        raise ConfigError(
            f"hop_s={hop_s}: expected above 0, at most a window ({length_s:g} s), and whole samples of "
            f"{1 / sfreq:g} s. 1.0 is usual."
        )
    return hop


class Windows:
    """Cuts windows out of pieces and normalises them.

    Args:
        length, hop: samples.
        scale: mean and SD of each channel in microvolts; None takes them from the past minute of each
            window (``normalize=running``), itself included, in which a gap does not exist.
        most: windows in one batch.
    """

    def __init__(
        self,
        n_chans: int,
        length: int,
        hop: int,
        sfreq: float,
        scale: tuple[np.ndarray, np.ndarray] | None,
        most: int = 128,
    ):
        self.length, self.hop, self.sfreq, self.scale, self.most = length, hop, sfreq, scale, most
        self.past = None if scale else Past(n_chans, round(MEMORY_S * sfreq))
        self.empty = np.empty((n_chans, 0), np.float32)
        self.tail_CT = self.empty
        self.waiting: list[np.ndarray] = []
        self.begin(0.0)

    def begin(self, start_s: float) -> None:
        """A new piece; windows never span two, but what is left of the old one is past of the new."""
        self._settle()
        self.start_s, self.at, self.tail_CT = start_s, 0, self.empty

    def push(self, uv_CT: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Starts (B,) in seconds of the recording and windows (B, C, T) that are complete now, in batches."""
        self.waiting.append(uv_CT)
        if self.tail_CT.shape[1] + sum(chunk.shape[1] for chunk in self.waiting) < self.length:
            return
        self._settle()
        uv_CT = self.tail_CT
        n = (uv_CT.shape[1] - self.length) // self.hop + 1
        views_CNT = sliding_window_view(uv_CT, self.length, axis=1)[:, :: self.hop]
        for first in range(0, n, self.most):
            number_B = np.arange(first, min(first + self.most, n))
            mean_BC, sd_BC = self._scale(number_B)
            eeg_BCT = np.empty((len(number_B), len(uv_CT), self.length), np.float32)
            views_BCT = views_CNT[:, first : first + len(number_B)].transpose(1, 0, 2)
            np.subtract(views_BCT, mean_BC[..., None], out=eeg_BCT)
            eeg_BCT /= sd_BC[..., None]
            yield self.start_s + (self.at + number_B * self.hop) / self.sfreq, eeg_BCT
        self.tail_CT, self.at = uv_CT[:, n * self.hop :].copy(), self.at + n * self.hop
        if self.past:
            self.past.forget()

    def _settle(self) -> None:
        """Waiting chunks become signal."""
        new_CT = np.concatenate(self.waiting, axis=1) if self.waiting else self.empty
        if self.past:
            self.past.push(new_CT)
        self.tail_CT, self.waiting = np.concatenate([self.tail_CT, new_CT], axis=1), []

    def _scale(self, number_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and SD (B, C); a flat channel has an infinite one, so that it becomes zero."""
        if self.past:
            left = self.tail_CT.shape[1] - (number_B * self.hop + self.length)
            mean_BC, sd_BC = self.past.statistics(self.past.seen - left)
        else:
            assert self.scale is not None  # without a past there is a given scale
            mean_BC, sd_BC = (np.tile(value, (len(number_B), 1)) for value in self.scale)
        mean_BC, sd_BC = mean_BC.astype(np.float32), sd_BC.astype(np.float32)
        return mean_BC, np.where(sd_BC < FLAT_UV, np.float32(np.inf), sd_BC)


class Past:
    """Running sums of the last ``memory`` samples.

    They are added one sample after the other from the recording's start, so that how the signal was cut
    into chunks changes no bit.
    """

    def __init__(self, n_chans: int, memory: int):
        self.memory, self.seen, self.first = memory, 0, 0
        self.sums_2CT = np.zeros((2, n_chans, 1))
        """Of values and of squares, before each sample from number ``first`` on, and after the last."""

    def push(self, uv_CT: np.ndarray) -> None:
        """Add the samples that come next, microvolts (C, T)."""
        uv_CT = uv_CT.astype(float)
        steps = np.concatenate([self.sums_2CT[..., -1:], np.stack([uv_CT, uv_CT**2])], axis=-1)
        self.sums_2CT = np.concatenate([self.sums_2CT, np.cumsum(steps, axis=-1)[..., 1:]], axis=-1)
        self.seen += uv_CT.shape[1]

    def statistics(self, end_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and SD (B, C) of the samples before each end."""
        begin_B = np.maximum(end_B - self.memory, 0)
        n_B = (end_B - begin_B)[:, None]
        both = self.sums_2CT[..., end_B - self.first] - self.sums_2CT[..., begin_B - self.first]
        mean_BC, square_BC = (values.T / n_B for values in both)
        return mean_BC, np.sqrt(np.maximum(square_BC - mean_BC**2, 0.0))

    def forget(self) -> None:
        """Drop what no window to come looks back to."""
        first = max(self.first, self.seen - self.memory)
        self.sums_2CT, self.first = self.sums_2CT[..., first - self.first :].copy(), first
