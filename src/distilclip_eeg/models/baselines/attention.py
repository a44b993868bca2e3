"""Attention over feature maps of two or three axes, after CBAM (Woo et al., ECCV 2018).

Shapes: B batch, F feature maps, then the axes.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ChannelAttention(nn.Module):
    """Gates every feature map by one MLP's view of its mean and of its maximum.

    GELU where CBAM has ReLU: with four hidden units all of them can be dead from the start.
    """

    def __init__(self, width: int, reduction: int):
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(width, width // reduction), nn.GELU(), nn.Linear(width // reduction, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps (B, F, ...), each scaled by one gate."""
        axes = tuple(range(2, x.dim()))
        gate_BF = torch.sigmoid(self.mlp(x.mean(axes)) + self.mlp(x.amax(axes)))
        return x * gate_BF.view(*gate_BF.shape, *[1] * len(axes))


class SpatialAttention(nn.Module):
    """Gates every position by a convolution over the mean and the maximum of all feature maps."""

    def __init__(self, axes: int, kernel: int = 7):
        super().__init__()
        conv = {2: nn.Conv2d, 3: ShallowConv3d}[axes]
        self.conv = conv(2, 1, kernel, padding=kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps (B, F, ...), each position scaled by one gate that all maps share."""
        pooled = torch.stack([x.mean(1), x.amax(1)], dim=1)
        return x * torch.sigmoid(self.conv(pooled))


class ShallowConv3d(nn.Conv3d):
    """A 3-D convolution of odd kernel, stride 1 and same padding, for few maps and a short first axis.

    The first axis is written out as feature maps of a 2-D convolution, the kernel as a banded matrix
    along it: same result, and at five bands and 7 x 7 x 7 a tenth of the time on a processor.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(B, F, depth, height, width) in and out, as ``nn.Conv3d`` gives it."""
        depth, taps = x.shape[2], self.kernel_size[0]
        place = torch.arange(depth, device=x.device)
        tap = place - place[:, None] + taps // 2  # row: output, column: input
        band = self.weight[:, :, tap.clamp(0, taps - 1)]  # (out, in, depth, depth, k, k)
        band = band * ((tap >= 0) & (tap < taps))[..., None, None]
        weight = band.transpose(1, 2).flatten(2, 3).flatten(0, 1)  # (out depth, in depth, k, k)
        bias = None if self.bias is None else self.bias.repeat_interleave(depth)
        return F.conv2d(x.flatten(1, 2), weight, bias, padding=self.padding[1:]).unflatten(1, (-1, depth))
