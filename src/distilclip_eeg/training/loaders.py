"""Batches straight from the store: one gather a batch, normalised on the way."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from distilclip_eeg.config.data import View
from distilclip_eeg.signals.preprocess import FLAT_UV
from distilclip_eeg.signals.store import Store


@dataclass(frozen=True)
class Batch:
    """B windows."""

    eeg_BCT: Tensor
    """Normalised, float32."""
    label_B: Tensor
    row_B: Tensor
    """Rows of the window index."""


class WindowSource:
    """The windows of a store, by row of the window index.

    Args:
        windows: the index of ``signals.windows.cut``.
        view: samples of a window and of the context that is seen with it, which is zero beyond the ends of
            the window's stretch.
        normalize: ``recording``, ``running`` or ``train`` (see ``SignalConfig``).
        fit_rows: training rows; ``train`` takes its mean and SD from these alone.
    """

    def __init__(
        self,
        store: Store,
        windows: pd.DataFrame,
        view: View,
        normalize: str,
        fit_rows: np.ndarray | None = None,
    ):
        self.store, self.view = store, view
        self.first = windows["first"].to_numpy()
        self.recording = windows["recording"].to_numpy()
        self.label = windows["label"].to_numpy()
        self.within = np.arange(-view.before, view.length + view.after)
        self.stretches = stretches(store.signal_TC, view.length)
        if view.total > view.length:
            self.begin, self.end = stretch_of(self.first, store.pieces)
        if normalize == "recording":
            self.mean, self.sd, self.stat = store.mean_RC, store.sd_RC, self.recording
        elif normalize == "train":
            assert fit_rows is not None, "normalize=train rests on training rows"
            self.mean, self.sd = train_statistics(store, windows, fit_rows)
            self.stat = np.zeros(len(windows), dtype=int)
        else:
            self.mean, self.sd = running_statistics(store, windows, view.length)
            self.stat = np.arange(len(windows))
        self.sd = np.where(self.sd < FLAT_UV, np.float32(np.inf), self.sd)  # flat channels become zero
        # A channel that is not in the file is zero whatever the training recordings' mean is.
        self.there = (~store.filled_RC | (np.abs(store.sd_RC) > 0)).astype(np.float32)

    def __len__(self) -> int:
        return len(self.first)

    def samples(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Rows of the store's signal (B, T), and which are of the window's own stretch; None: all."""
        at_BT = self.first[rows][:, None] + self.within
        if self.view.total == self.view.length:
            return at_BT, None
        inside_BT = (at_BT >= self.begin[rows][:, None]) & (at_BT < self.end[rows][:, None])
        return np.where(inside_BT, at_BT, self.first[rows][:, None]), inside_BT

    def digital(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """(B, T, C) int16 as stored, and which samples are of the window's own stretch; None: all."""
        at_BT, inside_BT = self.samples(rows)
        if inside_BT is None:  # one copy a window, not one a sample
            return self.stretches[self.first[rows]].reshape(*at_BT.shape, -1), None
        return self.store.signal_TC[at_BT], inside_BT

    def microvolts(self, rows: np.ndarray) -> np.ndarray:
        """(B, C, T) float32 microvolts, as filtered, before any normalisation."""
        raw_BTC, inside_BT = self.digital(rows)
        gain_BC = torch.from_numpy(self.store.gain_RC[self.recording[rows]])
        uv_BCT = scaled(torch.from_numpy(raw_BTC), gain_BC).numpy()
        if inside_BT is not None:
            uv_BCT *= inside_BT[:, None]
        return uv_BCT

    def batch(self, rows: np.ndarray, device: torch.device | str = "cpu") -> Batch:
        """The windows at ``rows``, normalised on ``device``."""
        raw_BTC, inside_BT = self.digital(rows)
        stat = self.stat[rows]
        there = self.there[self.recording[rows]]
        gain = torch.from_numpy(self.store.gain_RC[self.recording[rows]] * there / self.sd[stat]).to(device)
        shift = torch.from_numpy(self.mean[stat] * there / self.sd[stat]).to(device)
        eeg_BCT = scaled(torch.from_numpy(raw_BTC).to(device), gain, shift)
        if inside_BT is not None:
            eeg_BCT *= torch.from_numpy(inside_BT).to(device)[:, None]
        return Batch(
            eeg_BCT,
            torch.from_numpy(self.label[rows]).to(device),
            torch.from_numpy(np.asarray(rows)).to(device),
        )


def stretches(signal_TC: np.ndarray, length: int) -> np.ndarray:
    """Every stretch of ``length`` samples as a row, (T - length + 1, length x C): a view."""
    signal_TC = np.asarray(signal_TC)
    shape = max(0, len(signal_TC) - length + 1), length * signal_TC.shape[1]
    return np.lib.stride_tricks.as_strided(signal_TC, shape, signal_TC.strides, writeable=False)


def scaled(raw_BTC: Tensor, gain_BC: Tensor, shift_BC: Tensor | None = None) -> Tensor:
    """``raw * gain - shift`` of each channel, (B, C, T) float32; turned round before it is multiplied, since
    what follows then runs along time."""
    eeg_BCT = torch.empty(raw_BTC.transpose(1, 2).shape, device=raw_BTC.device)
    eeg_BCT.copy_(raw_BTC.transpose(1, 2)).mul_(gain_BC[..., None])
    return eeg_BCT if shift_BC is None else eeg_BCT.sub_(shift_BC[..., None])


def stretch_of(first: np.ndarray, pieces: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Where each window's stretch begins, and one past its end, as rows of the store, (N,) each."""
    pieces = pieces.sort_values("first")
    begin = pieces["first"].to_numpy()
    piece_N = np.searchsorted(begin, first, side="right") - 1
    return begin[piece_N], (begin + pieces["n_samples"].to_numpy())[piece_N]


def train_statistics(store: Store, windows: pd.DataFrame, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and SD per channel over the recordings of the training windows, weighted by their windows."""
    used, count = np.unique(windows["recording"].to_numpy()[rows], return_counts=True)
    weight = count[:, None] * ~store.filled_RC[used]
    weight = weight / np.maximum(weight.sum(0), 1)
    mean = (weight * store.mean_RC[used]).sum(0)
    second = (weight * (store.sd_RC[used] ** 2 + store.mean_RC[used] ** 2)).sum(0)
    sd = np.sqrt(np.maximum(second - mean**2, 0))
    return mean[None].astype(np.float32), sd[None].astype(np.float32)


def running_statistics(
    store: Store, windows: pd.DataFrame, length: int, memory_s: float = 60.0
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and SD per channel and window over the last ``memory_s`` seconds of its recording.

    The window itself counts, nothing after it does; time in a gap does not exist. Early windows see
    what there is.
    """
    memory = round(memory_s * store.sfreq)
    first = windows["first"].to_numpy()
    mean = np.empty((len(windows), len(store.ch_names)), np.float32)
    sd = np.empty_like(mean)
    spans = store.pieces.groupby("recording").agg(first=("first", "min"), n=("n_samples", "sum"))
    for recording, span in spans.iterrows():
        uv = store.signal_TC[span["first"] : span["first"] + span["n"]] * store.gain_RC[recording].astype(
            float
        )
        sums = np.concatenate([np.zeros((1, uv.shape[1])), np.cumsum(uv, axis=0)])
        squares = np.concatenate([np.zeros((1, uv.shape[1])), np.cumsum(uv**2, axis=0)])
        rows = np.flatnonzero(windows["recording"].to_numpy() == recording)
        end = first[rows] + length - span["first"]
        begin = np.maximum(end - memory, 0)
        n = (end - begin)[:, None]
        mean[rows] = (sums[end] - sums[begin]) / n
        sd[rows] = np.sqrt(np.maximum((squares[end] - squares[begin]) / n - mean[rows].astype(float) ** 2, 0))
    return mean, sd


def epoch_order(rows: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """The order of an epoch: a pure function of seed and epoch, so a resumed run sees the same batches."""
    return np.random.default_rng([seed, epoch]).permutation(rows)
