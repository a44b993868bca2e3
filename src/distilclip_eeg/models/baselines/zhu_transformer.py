"""Baseline ``zhu_transformer``: EEGNet's convolutions, then a transformer whose tokens are feature maps."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distilclip_eeg.config.registry import component
from distilclip_eeg.models.baselines.eegnet import padded
from distilclip_eeg.schema import ConfigError

KERNEL_S, POOL_S, SEPARABLE_S = 64 / 250, 5 / 250, 16 * 5 / 250
"""First convolution, first pooling and separable convolution, as published at 250 Hz."""


@component("network", "zhu_transformer")
class ZhuTransformer(nn.Module):
    """EEGNet gives ``filters * maps`` signals of ``points`` values; these are the tokens of a transformer.

    Zhu and Wang, Automated seizure detection using transformer models on multi-channel EEGs, IEEE BHI
    (2023): what the article cites behind its row "EEGNet". Text and the authors' code are public
    (UnitedHolmes/seizure_detection_EEGs_transformer_BHI_2023), and so is a reproduction for SzCORE
    (esl-epfl/zhu_2023). Sizes are those of the paper's Table I; the number of layers and the dropout
    rates are the code's. Where the two differ we follow the paper: the second convolution is depthwise
    and the third separable (the code has dense ones), and the token inserted in front is learned (in the
    code it stays zero).

    The paper's windows are 4 s at 250 Hz: pooling by 5 and 5 leaves 40 values, which are the width of the
    transformer. Here the last pooling always leaves ``points`` values, so that a window of any length fits
    the same transformer; at 4 s and 250 Hz this is the paper's pooling, in 1 s a value stands for 25 ms
    instead of 100. With ``filters=16 maps=2``, which the config has, 1,039,616 parameters at 19 channels,
    256 Hz and 8 classes.

    Shapes: B batch, C channels, T samples, F filters, N tokens, D points, K classes.

    Raises:
        ConfigError: ``points`` cannot be shared out among ``heads``.
    """

    electrode_layer = "time"

    def __init__(
        self,
        *,
        n_chans: int,
        n_times: int,
        sfreq: float,
        n_outputs: int,
        filters: int = 64,
        maps: int = 4,
        points: int = 40,
        heads: int = 4,
        depth: int = 6,
        ffn: int = 2048,
        dropout: float = 0.3,
        encoder_dropout: float = 0.1,
    ):
        super().__init__()
        if points % heads:
            raise ConfigError(f"model.net.points={points} is not a multiple of model.net.heads={heads}.")
        n, self.pool, self.points = filters * maps, max(1, round(POOL_S * sfreq)), points
        kernel = max(1, round(KERNEL_S * sfreq))
        self.time = nn.Conv2d(1, filters, (1, kernel), bias=False)
        self.time_norm = nn.BatchNorm2d(filters)
        self.space = nn.Conv2d(filters, n, (n_chans, 1), groups=filters, bias=False)
        self.space_norm = nn.BatchNorm1d(n)
        self.each = nn.Conv1d(n, n, max(1, round(SEPARABLE_S * sfreq / self.pool)), groups=n, bias=False)
        self.mix = nn.Conv1d(n, n, 1, bias=False)
        self.mix_norm = nn.BatchNorm1d(n)
        self.dropout = nn.Dropout(dropout)
        self.token = nn.Parameter(torch.randn(points) * 0.02)
        self.register_buffer("position_ND", positions(n + 1, points), persistent=False)
        layer = nn.TransformerEncoderLayer(points, heads, ffn, encoder_dropout, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.out = nn.Linear(points, n_outputs)

    def features(self, eeg_BCT: Tensor) -> Tensor:
        """(B, N, D) feature maps: EEGNet without its classifier."""
        x = self.time_norm(self.time(padded(eeg_BCT, self.time)[:, None]))  # (B, F, C, T)
        x = F.elu(self.space_norm(self.space(x)[:, :, 0]))  # (B, N, T)
        x = self.dropout(F.avg_pool1d(x, self.pool))
        x = F.elu(self.mix_norm(self.mix(self.each(padded(x, self.each)))))
        return self.dropout(F.adaptive_avg_pool1d(x, self.points))

    def forward(self, eeg_BCT: Tensor) -> Tensor:
        """Class logits, (B, K)."""
        x = self.features(eeg_BCT)
        x = torch.cat([self.token.to(x.dtype).expand(x.shape[0], 1, -1), x], dim=1)
        x = self.dropout(x * self.points**0.5 + self.position_ND)
        return self.out(self.encoder(x)[:, 0])


def positions(n: int, dim: int) -> Tensor:
    """(n, dim) sines and cosines of Vaswani et al. (NeurIPS 2017)."""
    rate = 10_000 ** (-torch.arange(0, dim, 2) / dim)
    angle = torch.arange(n)[:, None] * rate
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)[:, :dim]
