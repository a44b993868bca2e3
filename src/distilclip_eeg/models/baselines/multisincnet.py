"""Baseline ``multisincnet``: parallel branches of learned band-pass filters before a shallow ConvNet.

Shapes: B batch, C channels, T samples, F filters, S spatial filters, N windows of the pool.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distilclip_eeg.config.registry import component
from distilclip_eeg.models.baselines.sinc import SincFilters, convolve
from distilclip_eeg.schema import ConfigError

POOL_S, STRIDE_S = 75 / 256, 15 / 256
"""Seconds of the average pooling and from one to the next, as ShallowConvNet has them."""


@component("network", "multisincnet")
class MultiSincNet(nn.Module):
    """B. Shan, H. Yu, Y. Huang, M. Xu and D. Ming, IEEE J. Biomedical and Health Informatics, 2024.

    Public: the abstract. From it: parallel branches of sinc convolutions at several spectral resolutions
    in front of ShallowConvNet, DeepConvNet or EEGWaveNet, for seizure prediction. Ours: the sizes, and
    ShallowConvNet (Schirrmeister et al., Human Brain Mapping 2017) as the only back-bone, whose temporal
    convolution the branches replace; its BN, square, mean pool and logarithm follow each branch. The high
    gamma band that the paper finds decisive is outside a 0.1-70 Hz filter. 12,104 parameters at 19 channels,
    256 Hz and 8 classes.

    Sinc and spatial filters are linear and act on different axes, so the spatial ones go first here: the
    same output for a nineteenth of the filtering. ``kernels_s`` has one length, in seconds, a branch.

    Raises:
        ConfigError: a window is shorter than the pool.
    """

    def __init__(
        self,
        *,
        n_chans: int,
        n_times: int,
        sfreq: float,
        n_outputs: int,
        filters: int = 16,
        depth: int = 2,
        kernels_s: list | tuple = (0.125, 0.25, 0.5),
        dropout: float = 0.5,
    ):
        super().__init__()
        self.depth = depth
        self.pool, self.stride = (max(1, round(s * sfreq)) for s in (POOL_S, STRIDE_S))
        if n_times < self.pool:
            raise ConfigError(
                f"a window of {n_times} samples is too short for multisincnet, which pools over {self.pool}. "
                "Raise windows.length_s."
            )
        width = len(kernels_s) * filters * depth
        self.space = nn.Conv1d(n_chans, width, 1, bias=False)
        self.sincs = nn.ModuleList(SincFilters(filters, kernel_s=s, sfreq=sfreq) for s in kernels_s)
        self.norm = nn.BatchNorm1d(width)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width * ((n_times - self.pool) // self.stride + 1), n_outputs)

    def branches(self, eeg_BCT: Tensor) -> Tensor:
        """Every branch's filtered signals, one branch after the other, (B, S, T)."""
        parts = self.space(eeg_BCT).chunk(len(self.sincs), dim=1)
        kernels = [sinc().repeat_interleave(self.depth, dim=0) for sinc in self.sincs]  # (S / branches, K)
        filtered = [convolve(x, k, k.shape[-1] // 2) for x, k in zip(parts, kernels, strict=True)]
        return torch.cat(filtered, dim=1)

    def forward(self, eeg_BCT: Tensor) -> Tensor:
        """Class logits, (B, K)."""
        power = F.avg_pool1d(self.norm(self.branches(eeg_BCT)).square(), self.pool, self.stride)
        x = power.clamp_min(1e-6).log()  # (B, S, N)
        return self.classifier(self.dropout(x).flatten(1))
