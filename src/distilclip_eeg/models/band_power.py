"""Log power of every channel in bands, second by second, and a stem for the Conformer that is made of it.

What is kept of a signal is power by band, second and channel, and channels are alike to what follows, so
nothing is said about where on the head a seizure is, and little can be learned by heart of a person.

Shapes: B batch, C channels, T samples, F filters, S frames of a second, H hidden, D width.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distilclip_eeg.schema import ConfigError

BURSTS = 8
"""Power is taken so often a second; a frame is known by the mean and the highest log power of its bursts."""
FLOOR = 1e-4
"""Added to powers, where the signal's variance is about 1."""
LOWEST_HZ, HIGHEST_HZ = 1.5, 32.0
"""Middle frequencies of the filters, apart by a constant factor."""
RATE_HZ = 128.0
"""The signal is brought to about this rate by means of neighbours."""
SEEN = 0.9
"""Share of a frame's samples that must be there for it to be looked at."""
GAIN, BAND, CHANNEL = 0.15, 0.15, 0.1
"""SD, in SDs of the log power, by which training varies a window as a whole, each band and each channel."""
HIDDEN = 32
"""Features that the stem makes of a channel's frame."""


class BandPower(nn.Module):
    """Wavelets, whose squared modulus is power; nothing is learned.

    Raises:
        ConfigError: a window is shorter than a burst.
    """

    wavelets_F1T: Tensor

    def __init__(self, *, n_times: int, sfreq: float, filters: int, kernel_s: float):
        super().__init__()
        self.thin = max(1, round(sfreq / RATE_HZ))
        rate = sfreq / self.thin
        self.step = max(1, round(rate / BURSTS))
        there = n_times // self.thin // self.step
        self.bursts = max(1, min(BURSTS, there))
        self.frames = there // self.bursts
        if self.frames < 1:
            raise ConfigError(
                f"a window of {n_times} samples at {sfreq:g} Hz is too short for power in bands, whose "
                f"bursts are 1/{BURSTS} s. Raise windows.length_s."
            )
        waves = wavelets(filters, max(1, round(kernel_s * rate)), rate)
        self.register_buffer("wavelets_F1T", waves, persistent=False)

    def forward(self, eeg_BCT: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and highest log power, (B, C, S, 2 F), and which frames are there, (B, S).

        A frame is there unless it is zero in all channels, which is what lies beyond the ends of a recording.
        Others have the mean of those, lest they count in the norm of a batch; 0 where there are none.
        """
        n_batch, n_chans, _ = eeg_BCT.shape
        x = F.avg_pool1d(eeg_BCT, self.thin)
        frame = self.step * self.bursts
        there_BT = (x.abs().amax(1) > 0).to(x.dtype)
        there_BS = F.avg_pool1d(there_BT[:, None], frame)[:, 0, : self.frames] > SEEN
        left = (self.wavelets_F1T.shape[-1] - self.step) // 2  # a burst in the middle of its wavelet
        x = F.pad(x.flatten(0, 1)[:, None], (max(0, left), self.wavelets_F1T.shape[-1]))
        x = F.conv1d(x, self.wavelets_F1T, stride=self.step)[..., : self.frames * self.bursts]
        real, imaginary = x.square().chunk(2, dim=1)
        x = torch.log(real + imaginary + FLOOR)  # (B C, F, bursts)
        x = x.reshape(n_batch, n_chans, real.shape[1], self.frames, self.bursts)
        x = torch.cat([x.mean(-1), x.amax(-1)], 2).transpose(2, 3)
        there_B1S1 = there_BS[:, None, :, None].to(x.dtype)
        mean = (x * there_B1S1).sum(2, keepdim=True) / there_B1S1.sum(2, keepdim=True).clamp(min=1)
        return torch.where(there_B1S1 > 0, x, mean), there_BS


class BandPowerStem(nn.Module):
    """Tokens of a second each: power in bands, one hidden layer a channel, and what all channels say of it.

    In place of the article's stem (``conformer.Stem``). Any order of the channels gives the same tokens, and
    training varies the power as another person's head might have (``varied``).

    Args:
        n_chans: channels of a window; they change no size.
    """

    electrode_layer = "norm"
    """Name of the layer whose output, (B, 2 F, C, S), still holds every electrode."""

    def __init__(
        self,
        *,
        n_chans: int,
        n_times: int,
        sfreq: float,
        dim: int,
        filters: int,
        kernel_s: float,
        dropout: float,
    ):
        super().__init__()
        self.n_chans = n_chans
        self.power = BandPower(n_times=n_times, sfreq=sfreq, filters=filters, kernel_s=kernel_s)
        self.n_tokens = self.power.frames
        self.norm = nn.BatchNorm2d(2 * filters)
        self.channel = by_channel(2 * filters, HIDDEN, dropout)
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(3 * HIDDEN, dim)

    def forward(self, eeg_BCT: Tensor) -> Tensor:
        """Tokens of windows, (B, S, D)."""
        power_BCSF, _ = self.power(eeg_BCT)
        x = self.norm(power_BCSF.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        return self.project(self.dropout(over_channels(self.channel(varied(x) if self.training else x))))


def by_channel(powers: int, hidden: int, dropout: float) -> nn.Sequential:
    """What every channel's power goes through by itself, (..., 2 F) to (..., H)."""
    return nn.Sequential(
        nn.Linear(powers, 2 * hidden),
        nn.GELU(),
        nn.Dropout(dropout),
        nn.Linear(2 * hidden, hidden),
        nn.GELU(),
    )


def over_channels(x_BCSH: Tensor) -> Tensor:
    """Mean, maximum and spread over channels, (B, S, 3 H), which any montage has."""
    mean = x_BCSH.mean(1)
    spread = ((x_BCSH - mean[:, None]).square().mean(1) + FLOOR).sqrt()
    return torch.cat([mean, x_BCSH.amax(1), spread], -1)


def varied(power_BCSF: Tensor) -> Tensor:
    """Log power as another person's scalp, spectrum and electrodes might have given it.

    Each band, each channel and the whole are raised or lowered; in every other window channels are drawn
    anew from its own, with replacement.
    """
    n_batch, n_chans, _, n_powers = power_BCSF.shape

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, device=power_BCSF.device, dtype=power_BCSF.dtype)

    shift = GAIN * normal(n_batch, 1, 1, 1) + BAND * normal(n_batch, 1, 1, n_powers)
    shift = shift + CHANNEL * normal(n_batch, n_chans, 1, 1)
    drawn_BC = torch.randint(n_chans, (n_batch, n_chans), device=power_BCSF.device)
    own_BC = torch.arange(n_chans, device=power_BCSF.device).expand(n_batch, n_chans)
    anew_B1 = torch.rand(n_batch, 1, device=power_BCSF.device) < 0.5
    at_BC = torch.where(anew_B1, drawn_BC, own_BC)
    return (power_BCSF + shift).gather(1, at_BC[..., None, None].expand_as(power_BCSF))


def wavelets(filters: int, taps: int, sfreq: float) -> Tensor:
    """Windowed cosines, then sines, (2 F, 1, taps), of unit power gain, evenly apart on a log axis."""
    hertz_F = torch.logspace(math.log10(LOWEST_HZ), math.log10(HIGHEST_HZ), filters)
    seconds = (torch.arange(taps) - (taps - 1) / 2) / sfreq
    phase = 2 * math.pi * hertz_F[:, None] * seconds
    waves = torch.hann_window(taps, periodic=False) * torch.cat([torch.cos(phase), torch.sin(phase)])
    return (waves / waves.square().sum(1, keepdim=True).sqrt())[:, None]
