"""Windows to graphs of electrodes and to frequency bands.

Shapes: B batch, N bands, C channels, T samples.
"""

import torch
from torch import Tensor

BANDS_HZ = ((0.5, 4), (4, 8), (8, 13), (13, 30), (30, 70))
FLAT = 1e-3
"""A channel that varies less than this (SD within the window, in z-scores) correlates with nothing."""


def correlation(eeg: Tensor) -> Tensor:
    """Pearson's r between channels, (..., C, T) to (..., C, C); flat channels have zeros."""
    with torch.autocast(eeg.device.type, enabled=False):  # r near 1 needs more than 8 bits
        centred = eeg - eeg.mean(-1, keepdim=True)
        variance = centred.square().mean(-1, keepdim=True)
        unit = centred * variance.clamp_min(FLAT**2).rsqrt() * eeg.shape[-1] ** -0.5
        return (unit @ unit.mT).clamp(-1, 1)


def with_self_loops(weight: Tensor) -> Tensor:
    """The graph (..., C, C) in which every node is its own neighbour at weight 1."""
    eye = torch.eye(weight.shape[-1], device=weight.device, dtype=weight.dtype)
    return weight * (1 - eye) + eye


def strongest(weight: Tensor, k: int) -> Tensor:
    """The ``k`` heaviest edges from every node of (..., C, C) to others; all other edges zero."""
    n = weight.shape[-1]
    others = weight * (1 - torch.eye(n, device=weight.device, dtype=weight.dtype))
    kept, where = others.topk(min(k, n - 1), dim=-1)
    return torch.zeros_like(weight).scatter(-1, where, kept)


def mean_over_neighbours(weight: Tensor) -> Tensor:
    """(..., C, C) with rows that sum to one, so that graph times features is a weighted mean; or are zero."""
    return weight / weight.sum(-1, keepdim=True).clamp_min(1e-6)


def band_signals(eeg_BCT: Tensor, sfreq: float) -> Tensor:
    """The five clinical bands of every channel, cut in the spectrum, (B, N, C, T)."""
    n = eeg_BCT.shape[-1]
    spectrum = torch.fft.rfft(eeg_BCT.float())
    hz = torch.arange(spectrum.shape[-1], device=eeg_BCT.device) * (sfreq / n)
    low, high = torch.tensor(BANDS_HZ, device=eeg_BCT.device).T[..., None]
    mask = (hz >= low) & (hz < high)  # (N, bins)
    return torch.fft.irfft(spectrum[:, None] * mask[:, None], n=n)
