"""From filtered microvolts, arriving in chunks of any length, to normalised windows at any hop."""

from collections.abc import Iterator

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from distilclip_eeg.config.data import View
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
        view: samples of a window and its context, which is zero beyond the ends of a piece.
        hop: samples from one window to the next.
        scale: mean and SD of each channel in microvolts; None takes them from the past minute of each
            window (``normalize=running``), itself included, in which a gap does not exist.
        most: windows in one batch.
    """

    def __init__(
        self,
        n_chans: int,
        view: View,
        hop: int,
        sfreq: float,
        scale: tuple[np.ndarray, np.ndarray] | None,
        most: int = 128,
    ):
        self.view, self.hop, self.sfreq, self.scale, self.most = view, hop, sfreq, scale, most
        self.past = None if scale else Past(n_chans, round(MEMORY_S * sfreq))
        self.empty = np.empty((n_chans, 0), np.float32)
        self.tail_CT = self.empty
        self.waiting: list[np.ndarray] = []
        self.begin(0.0)

    def begin(self, start_s: float) -> None:
        """A new piece, after :meth:`end` of the one before, which is past of the new."""
        self._settle()
        self.start_s, self.at = start_s, 0
        self.tail_CT = np.zeros((len(self.empty), self.view.before), np.float32)

    def push(self, uv_CT: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Starts (B,) in seconds of the recording and windows (B, C, T) that are complete now, in batches."""
        self.waiting.append(uv_CT)
        if self.tail_CT.shape[1] + sum(chunk.shape[1] for chunk in self.waiting) >= self.view.total:
            self._settle()
            yield from self._complete()

    def end(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The same of windows whose context reaches beyond the piece, which is over."""
        self._settle()
        yield from self._complete(over=self.view.after)

    def _complete(self, over: int = 0) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Windows that are complete with ``over`` samples behind the piece."""
        total, n_chans = self.view.total, len(self.empty)
        uv_CT = np.pad(self.tail_CT, [(0, 0), (0, over)]) if over else self.tail_CT
        n = max(0, (uv_CT.shape[1] - total) // self.hop + 1)
        views_CNT = sliding_window_view(uv_CT, total, axis=1)[:, :: self.hop] if n else uv_CT[:, :0]
        for first in range(0, n, self.most):
            number_B = np.arange(first, min(first + self.most, n))
            mean_BC, sd_BC = self._scale(number_B)
            eeg_BCT = np.empty((len(number_B), n_chans, total), np.float32)
            views_BCT = views_CNT[:, first : first + len(number_B)].transpose(1, 0, 2)
            np.subtract(views_BCT, mean_BC[..., None], out=eeg_BCT)
            eeg_BCT /= sd_BC[..., None]
            self._hide(eeg_BCT, number_B, uv_CT.shape[1] - over)
            yield self.start_s + (self.at + number_B * self.hop) / self.sfreq, eeg_BCT
        self.tail_CT, self.at = self.tail_CT[:, n * self.hop :].copy(), self.at + n * self.hop
        if self.past:
            self.past.forget(self.view.total)

    def _hide(self, eeg_BCT: np.ndarray, number_B: np.ndarray, end: int) -> None:
        """Zero what lies before the piece or behind its end, ``end`` columns of the tail."""
        for eeg_CT, start in zip(eeg_BCT, number_B * self.hop, strict=True):
            eeg_CT[:, : max(0, self.view.before - self.at - start)] = 0
            eeg_CT[:, max(0, end - start) :] = 0

    def _settle(self) -> None:
        """Waiting chunks become signal."""
        new_CT = np.concatenate(self.waiting, axis=1) if self.waiting else self.empty
        if self.past:
            self.past.push(new_CT)
        self.tail_CT, self.waiting = np.concatenate([self.tail_CT, new_CT], axis=1), []

    def _scale(self, number_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and SD (B, C); a flat channel has an infinite one, so that it becomes zero."""
        if self.past:
            ends_B = number_B * self.hop + self.view.before + self.view.length
            left = self.tail_CT.shape[1] - ends_B
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

    def forget(self, late: int) -> None:
        """Drop what no window to come looks back to; its end is at most ``late`` samples back."""
        first = max(self.first, self.seen - self.memory - late)
        self.sums_2CT, self.first = self.sums_2CT[..., first - self.first :].copy(), first
