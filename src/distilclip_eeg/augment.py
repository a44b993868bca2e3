"""Training windows varied at random: what differs between people without changing what a window is.

Called right after the step's seed is set, so the result is a pure function of seed, step and windows.
"""

import torch
from torch import Tensor

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


def standard(eeg_BCT: Tensor, sfreq: float) -> Tensor:
    """Shift, scale, channel drop and noise, drawn anew for every window."""
    n_windows, n_chans, n_times = eeg_BCT.shape
    device = eeg_BCT.device
    largest = round(SHIFT_S * sfreq)
    shift_B = torch.randint(-largest, largest + 1, (n_windows, 1, 1), device=device)
    at_BCT = ((torch.arange(n_times, device=device) - shift_B) % n_times).expand_as(eeg_BCT)
    log_gain = WINDOW_GAIN * torch.randn(n_windows, 1, 1, device=device)
    log_gain = log_gain + CHANNEL_GAIN * torch.randn(n_windows, n_chans, 1, device=device)
    kept = torch.rand(n_windows, n_chans, 1, device=device) >= DROP
    return eeg_BCT.gather(2, at_BCT) * log_gain.exp() * kept + NOISE * torch.randn_like(eeg_BCT)
