"""Network ``filterbank``: log power of every channel in bands, and how it changes in time.

What it keeps of a signal is power by band, second and channel, and channels are alike to it, so it says
nothing about where on the head a seizure is, and little can be learned by heart of a person. Shapes: B batch,
C channels, T samples, F filters, S frames of a second, H hidden, M members.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distilclip_eeg.config.registry import component
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


@component("network", "filterbank")
class FilterBank(nn.Module):
    """After the filterbank networks of motor imagery (Mane et al., arXiv 2104.01233); no row of the article.

    12,040 parameters at 8 classes, one member and windows of a second, whatever the channels.

    Wavelets, whose squared modulus is power; one hidden layer a channel; mean, maximum and spread over
    channels, which any montage has; a convolution over the frames; and a mean over the frames that are there,
    whose weights are learned, since the window may stand anywhere in what is seen (``windows.context_s``).
    A frame is there unless it is zero in all channels, which is what lies beyond the ends of a recording.

    Several members answer with the mean of their logits. Training shows each window to one of them and
    leaves the others out, as dropout does.

    Raises:
        ConfigError: a window is shorter than a burst.
    """

    wavelets_F1T: Tensor

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
        members: int = 1,
    ):
        super().__init__()
        self.thin = max(1, round(sfreq / RATE_HZ))
        rate = sfreq / self.thin
        self.step = max(1, round(rate / BURSTS))
        there = n_times // self.thin // self.step
        self.bursts = max(1, min(BURSTS, there))
        self.frames = there // self.bursts
        if self.frames < 1:
            raise ConfigError(
                f"a window of {n_times} samples at {sfreq:g} Hz is too short for filterbank, whose bursts "
                f"are 1/{BURSTS} s. Raise windows.length_s."
            )
        waves = wavelets(filters, max(1, round(kernel_s * rate)), rate)
        self.register_buffer("wavelets_F1T", waves, persistent=False)
        self.norm = nn.BatchNorm1d(2 * filters)
        self.members = nn.ModuleList(
            Member(2 * filters, hidden, self.frames, dropout) for _ in range(members)
        )
        self.dim = members * 2 * hidden
        self.classifier = nn.Linear(self.dim, n_outputs)

    def power(self, eeg_BCT: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and highest log power, (B, C, S, 2 F), and which frames are there, (B, S).

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

    def encode(self, eeg_BCT: Tensor) -> Tensor:
        """Features of windows, (B, M 2 H)."""
        x, there_BS = self.power(eeg_BCT)
        x = self.norm(x.flatten(0, 2)).reshape(x.shape)
        if not self.training:
            return torch.cat([member(x, there_BS) for member in self.members], 1)
        n, width = len(self.members), self.dim // len(self.members)
        parts = zip(self.members, varied(x).tensor_split(n), there_BS.tensor_split(n), strict=True)
        alone = [member(*part) for member, *part in parts]
        return n * torch.cat([F.pad(one, (k * width, (n - 1 - k) * width)) for k, one in enumerate(alone)])

    def forward(self, eeg_BCT: Tensor) -> Tensor:
        """Class logits, (B, K)."""
        return self.classifier(self.encode(eeg_BCT))


class Member(nn.Module):
    """From log power to features: over channels, then over frames."""

    def __init__(self, powers: int, hidden: int, frames: int, dropout: float):
        super().__init__()
        self.channel = nn.Sequential(
            nn.Linear(powers, 2 * hidden),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(2 * hidden, hidden),
            nn.GELU(),
        )
        self.montage = nn.Sequential(nn.Linear(3 * hidden, hidden), nn.GELU(), nn.Dropout(dropout))
        self.near = nn.Conv1d(hidden, hidden, 3, padding=1)
        self.weight_S = nn.Parameter(torch.zeros(frames)) if frames > 1 else None

    def forward(self, power_BCSF: Tensor, there_BS: Tensor) -> Tensor:
        """Features of windows, (B, 2 H)."""
        x = self.channel(power_BCSF)
        mean = x.mean(1)
        spread = ((x - mean[:, None]).square().mean(1) + FLOOR).sqrt()
        x = self.montage(torch.cat([mean, x.amax(1), spread], -1)) * there_BS[..., None]  # (B, S, H)
        x = torch.cat([x, F.gelu(self.near(x.transpose(1, 2))).transpose(1, 2)], -1)
        if self.weight_S is None:
            return x[:, 0]
        weight_BS = (self.weight_S - 1e4 * (~there_BS).to(x.dtype)).softmax(-1)
        return (x * weight_BS[..., None]).sum(1)


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
