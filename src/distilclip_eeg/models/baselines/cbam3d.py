"""3D-CBAMNet: band, electrode and time as one volume, 3-D convolutions with attention.

Shapes: B batch, N bands, C channels, T samples, S slots of time, K classes.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distilclip_eeg.config.registry import component
from distilclip_eeg.models.baselines.attention import ChannelAttention, ShallowConv3d, SpatialAttention
from distilclip_eeg.models.baselines.graphs import band_signals


@component("network", "cbam3d")
class CBAM3D(nn.Module):
    """Multiband 3-D network of Huang, Chen, Wen, Lu and Zhang (Computers in Biology and Medicine 2023).

    Public: the abstract: multiband EEG volumes, 3-D convolution, attention, seizure types. Ours: all
    layers. The volume holds the log power of five bands in every electrode and 1/32 s (their mean would
    cancel the faster bands); three blocks of 3 x 3 x 3 convolution (16, 32, 64), channel attention,
    spatial attention and halving of electrodes and time; global mean, two linear layers. Electrodes stand
    in the montage's order: a scalp grid needs their names, which a network is not told. 84,017 parameters
    at any number of channels and 8 classes.
    """

    def __init__(
        self,
        *,
        n_chans: int,
        n_times: int,
        sfreq: float,
        n_outputs: int,
        dropout: float = 0.3,
        slot_s: float = 1 / 32,
    ):
        super().__init__()
        self.sfreq = sfreq
        self.slots = max(1, round(n_times / sfreq / slot_s))
        self.blocks = nn.Sequential(*conv_block(1, 16), *conv_block(16, 32), *conv_block(32, 64))
        self.classifier = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, n_outputs)
        )

    def volume(self, eeg_BCT: Tensor) -> Tensor:
        """Log power by band, electrode and slot, (B, 1, N, C, S)."""
        power = F.adaptive_avg_pool2d(band_signals(eeg_BCT, self.sfreq).square(), (None, self.slots))
        return torch.log10(power + 1e-3)[:, None]

    def forward(self, eeg_BCT: Tensor) -> Tensor:
        """Class logits, (B, K)."""
        return self.classifier(self.blocks(self.volume(eeg_BCT)).mean((2, 3, 4)))


def conv_block(width_in: int, width: int) -> tuple[nn.Module, ...]:
    """Convolution and both attentions; bands are kept, electrodes and slots halved."""
    conv = ShallowConv3d if width_in == 1 else nn.Conv3d
    return (
        *(conv(width_in, width, 3, padding=1, bias=False), nn.BatchNorm3d(width), nn.ReLU()),
        *(ChannelAttention(width, reduction=4), SpatialAttention(axes=3)),
        nn.MaxPool3d((1, 2, 2), ceil_mode=True),
    )
