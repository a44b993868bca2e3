"""Baseline ``eegnet``: temporal, depthwise spatial and separable convolutions in a few thousand parameters.

Shapes: B batch, C channels, T samples, F filters.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distilclip_eeg.config.registry import component
from distilclip_eeg.schema import ConfigError

POOL_S = 4 / 256
"""Seconds of the first average pooling; the second is eight times as long in samples."""


def padded(x: Tensor, conv: nn.Conv1d | nn.Conv2d) -> Tensor:
    """Zeros around the last axis, so that ``conv`` keeps its length: one more behind for an even kernel."""
    kernel = conv.kernel_size[-1]
    return F.pad(x, ((kernel - 1) // 2, kernel // 2))


@component("network", "eegnet")
class EEGNet(nn.Module):
    """V. Lawhern, A. Solon, N. Waytowich, S. Gordon, C. Hung and B. Lance, J. Neural Engineering 15, 2018.

    Public: text and code, followed here layer by layer (EEGNet-8,2): 2,440 parameters at 19 channels, 256 Hz
    and 8 classes, as in braindecode. The article's row of this name cites Y. Zhu and M. Wang, BHI 2023,
    which is about a transformer; the name decides. Lengths are seconds: with the defaults, 256 Hz has the
    usual 64 taps and pools of 4 and 8 samples. The authors' own data had half that rate, so theirs are
    twice as long in time (``kernel_s: 0.5`` is their first kernel). The max norms act in the forward pass
    instead of after each step; BN and initial values are torch's.

    Raises:
        ConfigError: a window is shorter than its two pools together.
    """

    electrode_layer = "time"

    def __init__(
        self,
        *,
        n_chans: int,
        n_times: int,
        sfreq: float,
        n_outputs: int,
        filters: int = 8,
        depth: int = 2,
        kernel_s: float = 0.25,
        dropout: float = 0.25,
    ):
        super().__init__()
        width, self.pool = filters * depth, max(1, round(POOL_S * sfreq))
        self.bins = int(n_times / (8 * POOL_S * sfreq))
        if self.bins < 1:
            raise ConfigError(
                f"a window of {n_times} samples at {sfreq:g} Hz is too short for eegnet, which pools over "
                f"{8 * POOL_S:g} s. Raise windows.length_s."
            )
        self.time = nn.Conv2d(1, filters, (1, round(kernel_s * sfreq)), bias=False)
        self.time_norm = nn.BatchNorm2d(filters)
        self.space = nn.Conv2d(filters, width, (n_chans, 1), groups=filters, bias=False)
        self.space_norm = nn.BatchNorm1d(width)
        self.depthwise = nn.Conv1d(width, width, 16, groups=width, bias=False)
        self.pointwise = nn.Conv1d(width, width, 1, bias=False)
        self.norm = nn.BatchNorm1d(width)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width * self.bins, n_outputs)

    def forward(self, eeg_BCT: Tensor) -> Tensor:
        """Class logits, (B, K)."""
        x = self.time_norm(self.time(padded(eeg_BCT, self.time)[:, None]))  # (B, F, C, T)
        space = torch.renorm(self.space.weight, p=2, dim=0, maxnorm=1.0)
        x = F.conv2d(x, space, groups=self.space.groups)[:, :, 0]  # (B, 2 F, T)
        x = self.dropout(F.avg_pool1d(F.elu(self.space_norm(x)), self.pool))
        x = F.elu(self.norm(self.pointwise(self.depthwise(padded(x, self.depthwise)))))
        x = self.dropout(F.adaptive_avg_pool1d(x, self.bins)).flatten(1)
        head = torch.renorm(self.classifier.weight, p=2, dim=0, maxnorm=0.25)
        return F.linear(x, head, self.classifier.bias)
