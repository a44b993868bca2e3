"""Network ``filterbank``: log power of every channel in bands, and how it changes in time.

Shapes: B batch, C channels, T samples, F filters, S frames of a second, H hidden, M members.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distilclip_eeg.config.registry import component
from distilclip_eeg.models.band_power import BandPower, by_channel, over_channels, varied


@component("network", "filterbank")
class FilterBank(nn.Module):
    """After the filterbank networks of motor imagery (Mane et al., arXiv 2104.01233); no row of the article.

    12,040 parameters at 8 classes, one member and windows of a second, whatever the channels.

    Power in bands (``models.band_power``); one hidden layer a channel; mean, maximum and spread over
    channels, which any montage has; a convolution over the frames; and a mean over the frames that are there,
    whose weights are learned, since the window may stand anywhere in what is seen (``windows.context_s``).

    Several members answer with the mean of their logits. Training shows each window to one of them and
    leaves the others out, as dropout does.

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
        members: int = 1,
    ):
        super().__init__()
        self.power = BandPower(n_times=n_times, sfreq=sfreq, filters=filters, kernel_s=kernel_s)
        self.norm = nn.BatchNorm1d(2 * filters)
        self.members = nn.ModuleList(
            Member(2 * filters, hidden, self.power.frames, dropout) for _ in range(members)
        )
        self.dim = members * 2 * hidden
        self.classifier = nn.Linear(self.dim, n_outputs)

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
        self.channel = by_channel(powers, hidden, dropout)
        self.montage = nn.Sequential(nn.Linear(3 * hidden, hidden), nn.GELU(), nn.Dropout(dropout))
        self.near = nn.Conv1d(hidden, hidden, 3, padding=1)
        self.weight_S = nn.Parameter(torch.zeros(frames)) if frames > 1 else None

    def forward(self, power_BCSF: Tensor, there_BS: Tensor) -> Tensor:
        """Features of windows, (B, 2 H)."""
        x = self.montage(over_channels(self.channel(power_BCSF))) * there_BS[..., None]  # (B, S, H)
        x = torch.cat([x, F.gelu(self.near(x.transpose(1, 2))).transpose(1, 2)], -1)
        if self.weight_S is None:
            return x[:, 0]
        weight_BS = (self.weight_S - 1e4 * (~there_BS).to(x.dtype)).softmax(-1)
        return (x * weight_BS[..., None]).sum(1)
