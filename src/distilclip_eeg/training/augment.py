"""Training windows varied at random: what differs between people without changing what a window is.

A window's variation is a pure function of seed, epoch and its row of the index, whatever batch it is in.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from distilclip_eeg.config.data import View
from distilclip_eeg.config.registry import component
from distilclip_eeg.training.loaders import send

SHIFT_S = 0.1
"""Largest circular shift in time."""
WINDOW_GAIN = 0.2
"""SD of the log of a window's gain."""
CHANNEL_GAIN = 0.2
"""SD of the log of each channel's own gain."""
DROP = 0.1
"""Share of channels set to zero."""
NOISE = 0.1
"""SD of white noise, where the signal's is about 1."""
REDRAWN = 0.5
"""Share of windows whose channels are drawn anew."""
BAND_NOISE = 0.5
"""SD of the noise in one band, where the signal's is about 1."""
BAND_HZ = (1.0, 40.0)
"""Between which the middle of that band is drawn, evenly in its logarithm; it is half as wide as high."""


def drawn(row_B: Sequence[int], seed: int, epoch: int, part: int) -> Iterator[np.random.Generator]:
    """The random numbers of each window for one part of its variation."""
    return (np.random.default_rng([seed, epoch, int(row), part]) for row in row_B)


def hide_context(eeg_BCT: Tensor, row_B: Sequence[int], *, seed: int, epoch: int, view: View) -> Tensor:
    """The same with a random part of each side's context zero, from the outside, as at the ends of a stretch.

    Else the share that is zero would tell how far a window is from such an end, and in excerpts that tells
    its label.
    """
    at_T = np.arange(view.total)
    seen_BT = np.empty((len(row_B), view.total), bool)
    for seen_T, row in zip(seen_BT, row_B, strict=True):
        rng = np.random.default_rng([seed, epoch, int(row), 1])
        before, after = (round(side * rng.random()) for side in (view.before, view.after))
        seen_T[:] = (at_T >= view.before - before) & (at_T < view.before + view.length + after)
    return eeg_BCT * send(seen_BT, eeg_BCT.device)[:, None]


@component("augmentation")
def gain(eeg_BCT: Tensor, row_B: Sequence[int], *, seed: int, epoch: int, sfreq: float) -> Tensor:
    """A gain of each window and of each of its channels."""
    n_chans = eeg_BCT.shape[1]
    log_BC = [
        WINDOW_GAIN * rng.standard_normal() + CHANNEL_GAIN * rng.standard_normal(n_chans)
        for rng in drawn(row_B, seed, epoch, 2)
    ]
    return eeg_BCT * _sent(np.exp(log_BC), eeg_BCT)[..., None]


@component("augmentation")
def drop(eeg_BCT: Tensor, row_B: Sequence[int], *, seed: int, epoch: int, sfreq: float) -> Tensor:
    """Channels set to zero, each at random."""
    kept_BC = [rng.random(eeg_BCT.shape[1]) >= DROP for rng in drawn(row_B, seed, epoch, 3)]
    return eeg_BCT * _sent(np.array(kept_BC), eeg_BCT)[..., None]


@component("augmentation")
def shift(eeg_BCT: Tensor, row_B: Sequence[int], *, seed: int, epoch: int, sfreq: float) -> Tensor:
    """A circular shift in time."""
    largest = round(SHIFT_S * sfreq)
    shift_B = [int(rng.integers(-largest, largest + 1)) for rng in drawn(row_B, seed, epoch, 4)]
    return shifted(eeg_BCT, shift_B)


@component("augmentation")
def band_noise(eeg_BCT: Tensor, row_B: Sequence[int], *, seed: int, epoch: int, sfreq: float) -> Tensor:
    """Noise in one band a window, of each channel its own."""
    _, n_chans, n_times = eeg_BCT.shape
    hz = np.fft.rfftfreq(n_times, 1 / sfreq)
    noise_B = []
    for rng in drawn(row_B, seed, epoch, 5):
        middle = np.exp(rng.uniform(*np.log(BAND_HZ)))
        inside = np.abs(hz - middle) <= max(middle / 4, hz[1])
        parts = rng.standard_normal((2, n_chans, len(hz))) * inside
        noise = np.fft.irfft(parts[0] + 1j * parts[1], n_times)
        noise_B.append(noise * (BAND_NOISE / max(noise.std(), 1e-9)))
    return eeg_BCT + _sent(np.array(noise_B), eeg_BCT)


@component("augmentation")
def redraw(eeg_BCT: Tensor, row_B: Sequence[int], *, seed: int, epoch: int, sfreq: float) -> Tensor:
    """Channels drawn anew from a window's own, with replacement, in every other window.

    What is left is what channels have in common: where on the head a seizure is differs between people, and
    can be learned by heart of a few.
    """
    at_BC = np.tile(np.arange(eeg_BCT.shape[1]), (len(row_B), 1))
    for at_C, rng in zip(at_BC, drawn(row_B, seed, epoch, 6), strict=True):
        if rng.random() < REDRAWN:
            at_C[:] = rng.integers(len(at_C), size=len(at_C))
    return eeg_BCT.gather(1, send(at_BC, eeg_BCT.device)[..., None].expand_as(eeg_BCT))


def shifted(eeg_BCT: Tensor, shift_B: Sequence[int]) -> Tensor:
    """Each window moved on by so many samples, its end brought to its beginning."""
    n_times, device = eeg_BCT.shape[-1], eeg_BCT.device
    shift_B11 = send(np.array(shift_B), device)[:, None, None]
    at_BCT = ((torch.arange(n_times, device=device) - shift_B11) % n_times).expand_as(eeg_BCT)
    return eeg_BCT.gather(2, at_BCT)


def _sent(values: np.ndarray, eeg_BCT: Tensor) -> Tensor:
    """Where the EEG lies, in its precision."""
    return send(torch.from_numpy(values).to(eeg_BCT.dtype), eeg_BCT.device)


@component("augmentation")
def standard(eeg_BCT: Tensor, row_B: Sequence[int], *, seed: int, epoch: int, sfreq: float) -> Tensor:
    """Shift, scale, channel drop and noise."""
    _, n_chans, n_times = eeg_BCT.shape
    largest = round(SHIFT_S * sfreq)
    shift_B, gain_BC, noise_B = [], [], []
    for row in row_B:
        rng = np.random.default_rng([seed, epoch, int(row)])
        shift_B.append(int(rng.integers(-largest, largest + 1)))
        log_gain_C = WINDOW_GAIN * rng.standard_normal() + CHANNEL_GAIN * rng.standard_normal(n_chans)
        gain_BC.append(np.exp(log_gain_C) * (rng.random(n_chans) >= DROP))
        noise_B.append(rng.standard_normal((n_chans, n_times), dtype=np.float32))
    noise_BCT = send(np.stack(noise_B), eeg_BCT.device)
    return shifted(eeg_BCT, shift_B) * _sent(np.array(gain_BC), eeg_BCT)[..., None] + NOISE * noise_BCT
