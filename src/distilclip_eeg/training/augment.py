"""Training windows varied at random: what differs between people without changing what a window is.

A window's variation is a pure function of seed, epoch and its row of the index, whatever batch it is in.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from distilclip_eeg.config.data import View
from distilclip_eeg.config.registry import component
from distilclip_eeg.training.loaders import send

KINDS = ("none", "standard")

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
def standard(eeg_BCT: Tensor, row_B: Sequence[int], *, seed: int, epoch: int, sfreq: float) -> Tensor:
    """Shift, scale, channel drop and noise."""
    _, n_chans, n_times = eeg_BCT.shape
    largest = round(SHIFT_S * sfreq)
    shift_B, gain_BC, noise_B = [], [], []
    for row in row_B:
        rng = np.random.default_rng([seed, epoch, int(row)])
        shift_B.append(rng.integers(-largest, largest + 1))
        log_gain_C = WINDOW_GAIN * rng.standard_normal() + CHANNEL_GAIN * rng.standard_normal(n_chans)
        gain_BC.append(np.exp(log_gain_C) * (rng.random(n_chans) >= DROP))
        noise_B.append(rng.standard_normal((n_chans, n_times), dtype=np.float32))
    device = eeg_BCT.device
    shift_B11 = send(np.array(shift_B), device)[:, None, None]
    gain_BC1 = send(torch.from_numpy(np.array(gain_BC)).to(eeg_BCT.dtype), device)[..., None]
    noise_BCT = send(np.stack(noise_B), device)
    at_BCT = ((torch.arange(n_times, device=device) - shift_B11) % n_times).expand_as(eeg_BCT)
    return eeg_BCT.gather(2, at_BCT) * gain_BC1 + NOISE * noise_BCT
