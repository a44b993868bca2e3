"""PCC-CNN: correlations as the positional code of electrodes, then a CNN with two attentions.

Shapes: B batch, C channels, T samples, N steps, D features, K classes.
"""

import torch
from torch import Tensor, nn

from distilclip_eeg.config.registry import component
from distilclip_eeg.models.baselines.attention import ChannelAttention, SpatialAttention
from distilclip_eeg.models.baselines.graphs import correlation


@component("network", "pcc_cnn")
class PCCCNN(nn.Module):
    """Double-attention CNN of Shi, Wang, Ma, Chen, Xu and Qi (ICIC 2024).

    Public: the abstract: the Pearson matrix of the channels is their positional code, a CNN with double
    attention does the rest. Ours: all layers. Each channel is embedded by 64 filters of 1/16 s, the
    projected row of its correlations is added, two convolutions over electrodes and time (64, 128) follow,
    then channel and spatial attention as in CBAM, the mean and two linear layers. 126,523 parameters at
    19 channels, 256 Hz and 8 classes.
    """

    electrode_layer = "embed"

    def __init__(
        self,
        *,
        n_chans: int,
        n_times: int,
        sfreq: float,
        n_outputs: int,
        dim: int = 64,
        dropout: float = 0.3,
        kernel_s: float = 16 / 256,
        stride_s: float = 4 / 256,
    ):
        super().__init__()
        kernel, stride = min(n_times, round(kernel_s * sfreq)), max(1, round(stride_s * sfreq))
        self.embed = nn.Conv2d(1, dim, (1, kernel), stride=(1, stride), bias=False)
        self.norm = nn.BatchNorm2d(dim)
        self.position = nn.Linear(n_chans, dim)
        self.cnn = nn.Sequential(
            *conv_block(dim, dim),
            *conv_block(dim, 2 * dim),
            ChannelAttention(2 * dim, reduction=8),
            SpatialAttention(axes=2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(1),
        )
        self.classifier = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(2 * dim, dim), nn.ELU(), nn.Linear(dim, n_outputs)
        )

    def forward(self, eeg_BCT: Tensor) -> Tensor:
        """Class logits, (B, K)."""
        x = self.embed(eeg_BCT[:, None]).to(memory_format=torch.channels_last)  # (B, D, C, N), for speed
        position = self.position(correlation(eeg_BCT)).mT  # (B, D, C)
        return self.classifier(self.cnn(self.norm(x) + position[..., None]))


def conv_block(width_in: int, width: int) -> tuple[nn.Module, ...]:
    """3 x 3 over electrodes and steps, halved along both."""
    return (
        *(nn.Conv2d(width_in, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)),
        *(nn.MaxPool2d(2, ceil_mode=True), nn.ELU()),  # the maximum of ELUs is the ELU of the maximum
    )
