"""Network ``filterbank``: filters that all channels share, their log power, and how it changes in time.

What it keeps of a signal is power by band, second and channel, so it says nothing about where on the head a
seizure is, and little can be learned by heart of a person. Shapes: B batch, C channels, T samples, F filters,
S frames of a second, H hidden.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distilclip_eeg.config.registry import component
from distilclip_eeg.schema import ConfigError

BURST_S = 0.25
"""Seconds of a burst; a frame is known by the mean and the highest log power of its bursts."""
FLOOR = 1e-4
"""Added to powers, where the signal's variance is about 1."""
LOWEST_HZ, HIGHEST_HZ = 1.5, 32.0
"""Middle frequencies with which the filters begin, apart by a constant factor."""
RATE_HZ, POWER_HZ = 128.0, 64.0
"""The signal is brought to about the first rate by means of neighbours, and its power taken at the second:
a mean power needs no rate that holds the signal itself."""


@component("network", "filterbank")
class FilterBank(nn.Module):
    """After the filterbank networks of motor imagery (Mane et al., arXiv 2104.01233); no row of the article.

    16,680 parameters at 19 channels, 256 Hz and 8 classes.

    Wavelets whose taps are then learned; power in bursts; one hidden layer a channel; mean, maximum and
    spread over channels, which any montage has; two convolutions over the frames, and a mean over frames
    whose weights are learned, since the window may stand anywhere in what is seen
    (``windows.context_s``).

    Raises:
        ConfigError: a window is shorter than a burst.
    """

    def __init__(
        self,
        *,
        n_chans: int,
        n_times: int,
        sfreq: float,
        n_outputs: int,
        filters: int = 24,
        kernel_s: float = 0.5,
        hidden: int = 32,
        dropout: float = 0.3,
    ):
        super().__init__()
        self.dim = 2 * hidden
        self.thin = max(1, round(sfreq / RATE_HZ))
        rate = sfreq / self.thin
        self.step = max(1, round(rate / POWER_HZ))
        self.burst = max(1, int(BURST_S * rate / self.step))
        there = n_times // self.thin // (self.step * self.burst)
        self.bursts = max(1, min(round(1 / BURST_S), there))
        self.frames = there // self.bursts
        if self.frames < 1:
            raise ConfigError(
                f"a window of {n_times} samples at {sfreq:g} Hz is too short for filterbank, whose bursts "
                f"are {BURST_S:g} s. Raise windows.length_s."
            )
        self.taps = nn.Parameter(wavelets(filters, max(1, round(kernel_s * rate)), rate))
        self.channel = nn.Sequential(
            nn.Linear(2 * filters, 2 * hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(2 * hidden, hidden),
            nn.GELU(),
        )
        self.norm = nn.BatchNorm1d(2 * filters)
        self.montage = nn.Sequential(nn.Linear(3 * hidden, hidden), nn.GELU(), nn.Dropout(dropout))
        self.near = nn.Conv1d(hidden, hidden, 3, padding=1)
        self.far = nn.Conv1d(hidden, hidden, 3, padding=3, dilation=3)
        self.weight = nn.Parameter(torch.zeros(self.frames)) if self.frames > 1 else None
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(self.dim, n_outputs)

    def power(self, eeg_BCT: Tensor) -> Tensor:
        """Mean and highest log power, (B, C, S, 2 F)."""
        n_batch, n_chans, _ = eeg_BCT.shape
        width = self.taps.shape[-1]
        x = F.avg_pool1d(eeg_BCT.flatten(0, 1)[:, None], self.thin)
        x = F.pad(x, ((width - 1) // 2, width // 2))
        x = F.conv1d(x, self.taps, stride=self.step).square()  # (B C, F, T / step)
        x = torch.log(F.avg_pool1d(x, self.burst) + FLOOR)[..., : self.frames * self.bursts]
        x = x.reshape(n_batch, n_chans, len(self.taps), self.frames, self.bursts)
        return torch.cat([x.mean(-1), x.amax(-1)], 2).transpose(2, 3)

    def encode(self, eeg_BCT: Tensor) -> Tensor:
        """Features of windows, (B, 2 H)."""
        x = self.power(eeg_BCT)
        x = self.norm(x.flatten(0, 2)).reshape(x.shape)
        x = self.channel(x)  # (B, C, S, H)
        mean = x.mean(1, keepdim=True)
        spread = ((x - mean).square().mean(1) + FLOOR).sqrt()
        x = self.montage(torch.cat([mean[:, 0], x.amax(1), spread], -1)).transpose(1, 2)  # (B, H, S)
        x = torch.cat([x, self.dropout(F.gelu(self.near(x)) + F.gelu(self.far(x)))], 1)
        return x[..., 0] if self.weight is None else (x * self.weight.softmax(0)).sum(-1)

    def forward(self, eeg_BCT: Tensor) -> Tensor:
        """Class logits, (B, K)."""
        return self.classifier(self.encode(eeg_BCT))


def wavelets(filters: int, taps: int, sfreq: float) -> Tensor:
    """Windowed cosines (F, 1, taps) of unit power gain, middle frequencies evenly apart on a log axis."""
    hertz_F = torch.logspace(math.log10(LOWEST_HZ), math.log10(HIGHEST_HZ), filters)
    seconds = (torch.arange(taps) - (taps - 1) / 2) / sfreq
    waves = torch.hann_window(taps, periodic=False) * torch.cos(2 * math.pi * hertz_F[:, None] * seconds)
    return (waves / waves.square().sum(1, keepdim=True).sqrt())[:, None]
