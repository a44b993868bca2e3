"""LightSeizureNet: separable dilated convolutions over time that never mix electrodes.

Shapes: B batch, C channels, T samples, F filters, K classes.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distilclip_eeg.config.registry import component

FILTERS = (12, 24, 32, 48, 60)


@component("network", "lightseizurenet")
class LightSeizureNet(nn.Module):
    """LSN of Qiu, Wang and Jiao (JBHI 2023).

    Public: the abstract and a repository of figures: dilated 1-D convolutions, global average pooling, one
    linear layer, pruned kernels, activation maps with an electrode axis; the filter counts are known
    from third-party copies of the paper's table. Ours: depthwise and pointwise convolutions of 9 taps at
    256 Hz, dilated 1, 2, 4, 8 and 16, halved after each of the first three (after every one the last
    dilation would reach past a second's end), means over electrodes and time. Kernels are not pruned.
    7,377 parameters at any number of channels, 256 Hz and 8 classes: no bias before a batch norm.
    """

    electrode_layer = "layers"

    def __init__(
        self,
        *,
        n_chans: int,
        n_times: int,
        sfreq: float,
        n_outputs: int,
        dropout: float = 0.1,
        kernel_s: float = 9 / 256,
    ):
        super().__init__()
        kernel = 2 * int(kernel_s * sfreq / 2) + 1  # odd, so that a step keeps its place
        self.layers = nn.Sequential(
            *(
                Separable(width_in, width, kernel=kernel, dilation=2**i, pool=2 if i < 3 else 1)
                for i, (width_in, width) in enumerate(zip((1, *FILTERS), FILTERS, strict=False))
            )
        )
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(FILTERS[-1], n_outputs)

    def maps(self, eeg_BCT: Tensor) -> Tensor:
        """What every filter sees at every electrode, (B, F, C, T / 8)."""
        return self.layers(eeg_BCT[:, None])

    def forward(self, eeg_BCT: Tensor) -> Tensor:
        """Class logits, (B, K): weighted means of ``maps``, which so give class activation maps."""
        return self.classifier(self.dropout(self.maps(eeg_BCT).mean((2, 3))))


class Separable(nn.Module):
    """Depthwise over time, pointwise over filters, batch norm, maximum of ``pool`` steps, ReLU."""

    def __init__(self, width_in: int, width: int, *, kernel: int, dilation: int, pool: int):
        super().__init__()
        self.depthwise = nn.Conv2d(width_in, width_in, (1, kernel), groups=width_in, bias=False)
        self.pointwise = nn.Conv2d(width_in, width, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.dilation, self.pad = (1, dilation), (0, dilation * (kernel // 2))
        self.pool = nn.MaxPool2d((1, pool), ceil_mode=True) if pool > 1 else nn.Identity()

    def merged(self) -> Tensor:
        """Weight (F, F_in, 1, taps) of the one convolution that equals depthwise then pointwise.

        Nothing stands between the two. It multiplies more, in one pass that processors are good at:
        a third of the time.
        """
        return self.pointwise.weight * self.depthwise.weight.transpose(0, 1)

    def forward(self, x_BFCT: Tensor) -> Tensor:
        """(B, F_in, C, T) to (B, F, C, T / pool), rounded up."""
        x = x_BFCT.to(memory_format=torch.channels_last)
        x = F.conv2d(x, self.merged(), padding=self.pad, dilation=self.dilation)
        return F.relu(self.pool(self.norm(x)))
