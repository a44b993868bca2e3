"""Baseline ``gasf_cnn``: Gramian angular summation fields of the electrodes, classified as an image.

Shapes: B batch, C channels, T samples, N side of the image.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distilclip_eeg.config.registry import component


def gasf(signal: Tensor, size: int) -> Tensor:
    """Gramian angular summation field of a signal (..., T) cut into ``size`` mean values, (..., N, N).

    The values, scaled to [-1, 1], are cosines of angles; a pixel is the cosine of the sum of two of them.
    A constant signal becomes zeros, that is -1 everywhere.
    """
    x = F.adaptive_avg_pool1d(signal.float(), size)
    low, high = x.aminmax(dim=-1, keepdim=True)
    cos = (2 * x - low - high) / (high - low).clamp_min(1e-4)
    sin = (1 - cos.square()).clamp_min(1e-12).sqrt()  # the root of zero has no gradient
    return cos[..., :, None] * cos[..., None, :] - sin[..., :, None] * sin[..., None, :]


@component("network", "gasf_cnn")
class GasfCnn(nn.Module):
    """A. Shankar, S. Dandapat and S. Barma, EMBC 2021, pp. 3340-3343.

    Public: the abstract. From it: EEG segments turned into images by the Gramian angular summation field,
    seizure types told apart by a CNN. Ours: the image (``size`` mean values a channel, one plane a
    channel), and the network: three of 3 x 3 convolution, BN, ReLU and 2 x 2 max pool, one hidden layer.
    1,147,816 parameters at 19 channels and 8 classes.
    """

    def __init__(
        self,
        *,
        n_chans: int,
        n_times: int,
        sfreq: float,
        n_outputs: int,
        size: int = 64,
        filters: int = 32,
        hidden: int = 128,
        dropout: float = 0.5,
    ):
        super().__init__()
        self.size = size
        widths = (n_chans, filters, 2 * filters, 4 * filters)
        blocks = [self.block(*pair) for pair in zip(widths, widths[1:], strict=False)]
        self.convs = nn.Sequential(*blocks)
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(widths[-1] * (size // 8) ** 2, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, n_outputs),
        )

    @staticmethod
    def block(inputs: int, outputs: int) -> nn.Sequential:
        """The ReLU rises, so it may follow the pool and has a quarter of the work."""
        conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.MaxPool2d(2), nn.ReLU())

    def forward(self, eeg_BCT: Tensor) -> Tensor:
        """Class logits, (B, K)."""
        image = gasf(eeg_BCT, self.size).contiguous(memory_format=torch.channels_last)  # (B, C, N, N)
        return self.classifier(self.convs(image))
