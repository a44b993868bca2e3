"""Batches straight from the store: one gather a batch, normalised on the way.

Rows stay on the host, and whatever belongs to them is looked up there; what a network needs is sent to its
device, and nothing is read back. Beside a GPU one thread makes the batches that come next.
"""

import mmap
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import Protocol, TypeVar

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from distilclip_eeg.config.data import View
from distilclip_eeg.schema import ConfigError
from distilclip_eeg.signals.preprocess import FLAT_UV
from distilclip_eeg.signals.store import Store

AHEAD = 3
"""Batches that lie ready beside a GPU."""
PIECE = 2**20
"""Samples of all channels that are sent to a GPU at a time."""
LARGE = 2**30
"""Bytes of a signal that is not expected to lie in memory before it is read."""

Item = TypeVar("Item")
Made = TypeVar("Made")


def send(values: Tensor | np.ndarray, device: torch.device | str) -> Tensor:
    """The same on ``device``; the host does not wait until it is there."""
    values = torch.from_numpy(values) if isinstance(values, np.ndarray) else values
    return values.to(device, non_blocking=True)


@dataclass(frozen=True)
class Batch:
    """B windows, a step's; where several processes share it, ``eeg_BCT`` holds this one's part of them."""

    eeg_BCT: Tensor
    """Normalised, float32."""
    label_B: Tensor
    row_B: np.ndarray
    """Rows of the window index, on the host."""

    def pinned(self) -> "Batch":
        """In memory from which a GPU reads by itself."""
        return replace(self, eeg_BCT=self.eeg_BCT.pin_memory(), label_B=self.label_B.pin_memory())

    def on(self, device: torch.device) -> "Batch":
        """The same on ``device``; the host does not wait until it is there."""
        return replace(self, eeg_BCT=send(self.eeg_BCT, device), label_B=send(self.label_B, device))


def ahead(
    make: Callable[[Item], Made], items: Iterable[Item], *, thread: bool
) -> Generator[Made, None, None]:
    """``make(item)`` of each item in their order.

    Args:
        thread: one thread is up to ``AHEAD`` items ahead; else each is made when it is asked for.
    """
    if not thread:
        yield from map(make, items)
        return
    left = iter(items)
    with ThreadPoolExecutor(1) as worker:
        coming = deque(worker.submit(make, item) for item in islice(left, AHEAD))
        while coming:
            made = coming.popleft().result()
            coming.extend(worker.submit(make, item) for item in islice(left, 1))
            yield made


class Source(Protocol):
    """What the loop and ``predict`` ask of windows, wherever they lie."""

    label: np.ndarray
    """Class index of each window, (N,)."""

    @property
    def resident(self) -> bool:
        """Whether the signal lies on a GPU."""
        ...

    def batch(self, rows: np.ndarray, device: torch.device | str = "cpu") -> Batch:
        """The windows at ``rows``, ready for a network."""
        ...


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
        self.resident_TC: Tensor | None = None
        """The signal in a GPU's memory, from which batches are then gathered."""
        self.mapped: mmap.mmap | None = None
        """A large signal's file, which is asked for the windows of a batch before they are copied."""

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
        if self.mapped is not None:
            self.call_for(rows)
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

    @property
    def resident(self) -> bool:
        """Whether the signal lies on a GPU."""
        return self.resident_TC is not None

    def settle(self, wanted: str, device: torch.device) -> None:
        """Put the signal where ``store.device`` wants it, for a training on ``device``.

        Raises:
            ConfigError: it wants a GPU, and training is on none.
        """
        size = self.store.signal_TC.nbytes
        if device.type != "cuda" and wanted == "cuda":
            raise ConfigError("store.device=cuda, but training is on a CPU. Use store.device=auto.")
        fits = device.type == "cuda" and size <= torch.cuda.mem_get_info(device)[0] / 2
        if wanted == "cuda" or (wanted == "auto" and fits):
            self.reside(device)
        elif size > LARGE:
            self.expect_random()

    def expect_random(self) -> None:
        """Let the kernel read what is asked for and nothing around it.

        It brings 128 KB with every page else, thirteen times a window of a second; those of a corpus that is
        larger than the memory are gone before they are wanted.
        """
        self.mapped = getattr(self.store.signal_TC, "_mmap", None)
        if self.mapped is not None:
            self.mapped.madvise(mmap.MADV_RANDOM)

    def call_for(self, rows: np.ndarray) -> None:
        """Let the disk bring all windows of a batch at once, instead of one page after another."""
        assert self.mapped is not None
        sample = self.store.signal_TC.itemsize * self.store.signal_TC.shape[1]
        first = np.maximum(0, self.first[rows] - self.view.before) * sample
        page = first // mmap.PAGESIZE * mmap.PAGESIZE
        for begin, skipped in zip(page.tolist(), (first - page).tolist(), strict=True):
            self.mapped.madvise(mmap.MADV_WILLNEED, begin, skipped + self.view.total * sample)

    def reside(self, device: torch.device) -> None:
        """Keep the whole signal, the store's bytes once, in the memory of ``device``."""
        signal_TC = self.store.signal_TC
        self.resident_TC = torch.empty(signal_TC.shape, dtype=torch.int16, device=device)
        for i in range(0, len(signal_TC), PIECE):
            self.resident_TC[i : i + PIECE] = torch.from_numpy(np.array(signal_TC[i : i + PIECE]))

    def batch(self, rows: np.ndarray, device: torch.device | str = "cpu") -> Batch:
        """The windows at ``rows``, normalised on ``device``."""
        rows = np.asarray(rows)
        if self.resident_TC is None:
            raw, inside_BT = self.digital(rows)
            raw_BTC = send(raw, device)
        else:
            at_BT, inside_BT = self.samples(rows)
            raw_BTC = self.resident_TC[send(at_BT, device)]
        stat = self.stat[rows]
        there = self.there[self.recording[rows]]
        gain = send(self.store.gain_RC[self.recording[rows]] * there / self.sd[stat], device)
        shift = send(self.mean[stat] * there / self.sd[stat], device)
        eeg_BCT = scaled(raw_BTC, gain, shift)
        if inside_BT is not None:
            eeg_BCT *= send(inside_BT, device)[:, None]
        return Batch(eeg_BCT, send(self.label[rows], device), rows)


def stretches(signal_TC: np.ndarray, length: int) -> np.ndarray:
    """Every stretch of ``length`` samples as a row, (T - length + 1, length x C): a view."""
    signal_TC = np.ascontiguousarray(signal_TC)  # a store's is, and is not copied
    shape = max(0, len(signal_TC) - length + 1), length * signal_TC.shape[1]
    strides = signal_TC.shape[1] * signal_TC.itemsize, signal_TC.itemsize
    return np.lib.stride_tricks.as_strided(signal_TC, shape, strides, writeable=False)


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


class Schedule:
    """Which windows a step trains on: a pure function of seed and step.

    Passes over the training windows follow each other, each in an order of its own, and every window comes
    once in each; the last batch of a pass may be smaller. An epoch is a pass, or so many steps, wherever
    in a pass they end.

    Args:
        rows: of the window index.
        steps_per_epoch: None: those of a pass.
    """

    def __init__(self, rows: np.ndarray, batch_size: int, seed: int, steps_per_epoch: int | None = None):
        self.rows, self.batch_size, self.seed = rows, batch_size, seed
        self.steps_per_pass = -(-len(rows) // batch_size)
        self.steps_per_epoch = steps_per_epoch or self.steps_per_pass
        self.ordered: tuple[int, np.ndarray] = (-1, rows)
        """The last pass that was asked for, and its order."""

    def batch(self, step: int) -> tuple[int, np.ndarray]:
        """Number of the pass, and the rows of the batch."""
        number, place = divmod(step, self.steps_per_pass)
        if self.ordered[0] != number:
            self.ordered = number, epoch_order(self.rows, self.seed, number)
        at = place * self.batch_size
        return number, self.ordered[1][at : at + self.batch_size]


def epoch_order(rows: np.ndarray, seed: int, epoch: int) -> np.ndarray:
    """The order of a pass: a pure function of seed and pass, so a resumed run sees the same batches."""
    return np.random.default_rng([seed, epoch]).permutation(rows)
