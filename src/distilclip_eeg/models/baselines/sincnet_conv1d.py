"""Baseline ``sincnet_conv1d``: SincNet and convolutions per electrode, fused by attention over electrodes.

Shapes: B batch, C channels, T samples, F filters, D width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distilclip_eeg.config.registry import component
from distilclip_eeg.models.baselines.sinc import SincFilters, convolve
from distilclip_eeg.schema import ConfigError


@component("network", "sincnet_conv1d")
class SincNetConv1d(nn.Module):
    """D. Priyasad, T. Fernando, S. Denman, S. Sridharan and C. Fookes, IEEE Sensors Journal 21(17), 2021.

    Public: the abstract. From it: raw 10-20 EEG, one shallow SincNet and Conv1D network for every channel,
    their features fused by attention. Ours: every size below, and training end to end (the paper trains
    the channel networks first). ``shared`` gives all channels one and the same network. 304,712 parameters
    at 19 channels, 256 Hz and 8 classes.

    Network of a channel: sinc filters, max pool, BN, leaky ReLU, as in SincNet; two convolutions over 5
    samples with BN and leaky ReLU, mean over time. Attention: tanh layer, one score a channel, softmax over
    channels.

    Raises:
        ConfigError: a window is shorter than filter, pool and both convolutions.
    """

    def __init__(
        self,
        *,
        n_chans: int,
        n_times: int,
        sfreq: float,
        n_outputs: int,
        filters: int = 32,
        kernel_s: float = 0.25,
        pool_s: float = 3 / 256,
        shared: bool = False,
    ):
        super().__init__()
        nets, dim = 1 if shared else n_chans, 2 * filters
        self.shared, self.pool = shared, max(1, round(pool_s * sfreq))
        self.sinc = SincFilters(filters, kernel_s=kernel_s, sfreq=sfreq, banks=nets)
        needed = len(self.sinc.time_K) + 9 * self.pool - 1
        if n_times < needed:
            raise ConfigError(
                f"a window of {n_times} samples is too short for sincnet_conv1d, which needs {needed}. "
                "Raise windows.length_s."
            )
        self.norm = nn.BatchNorm1d(nets * filters)
        self.convs = nn.Sequential(
            nn.Conv1d(nets * filters, nets * filters, 5, groups=nets, bias=False),
            nn.BatchNorm1d(nets * filters),
            nn.LeakyReLU(),
            nn.Conv1d(nets * filters, nets * dim, 5, groups=nets, bias=False),
            nn.BatchNorm1d(nets * dim),
            nn.LeakyReLU(),
        )
        self.score = nn.Sequential(nn.Linear(dim, filters), nn.Tanh(), nn.Linear(filters, 1, bias=False))
        self.classifier = nn.Sequential(nn.Linear(dim, dim), nn.ReLU(), nn.Linear(dim, n_outputs))

    def channel_features(self, eeg_BCT: Tensor) -> Tensor:
        """What the network of each channel makes of it, (B, C, D)."""
        kernels = self.sinc()
        if not self.shared:
            kernels = kernels.unflatten(0, (eeg_BCT.shape[1], -1))  # (C, F, K)
        x = convolve(eeg_BCT[:, :, None], kernels)  # (B, C, F, T - K + 1)
        x = x.flatten(0, 1) if self.shared else x.flatten(1, 2)
        x = F.leaky_relu(self.norm(F.max_pool1d(x, self.pool)))
        return self.convs(x).mean(-1).reshape(*eeg_BCT.shape[:2], -1)

    def forward(self, eeg_BCT: Tensor) -> Tensor:
        """Class logits, (B, K)."""
        x = self.channel_features(eeg_BCT)
        weight_BC1 = torch.softmax(self.score(x).float(), dim=1)
        return self.classifier((weight_BC1 * x).sum(1))
