"""GGN: a graph of electrodes generated for every window, beside a convolution over the same features.

Shapes: B batch, C channels (nodes), T samples, N frames, D features, K classes.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distilclip_eeg.config.registry import component
from distilclip_eeg.models.baselines.graphs import mean_over_neighbours, with_self_loops

WINDOW_S, STRIDE_S, MOST_BINS = 64 / 256, 20 / 256, 24
"""Of the spectrogram: seconds of a frame and from one to the next, and frequencies kept."""


@component("network", "ggn")
class GGN(nn.Module):
    """Graph-generative network of Li, Hwang, Li, Wu and Ji (Scientific Reports 2022).

    Public: text and code. From it: spectral features per electrode and frame, a two-layer BiGRU over
    frames, a generated graph whose edges are drawn by the Gumbel trick, a two-layer graph decoder with a
    weight per electrode beside a three-block 2-D CNN, and a three-layer classifier.
    Ours, for windows of a second: a 0.25-s log spectrogram up to 92 Hz instead of 244 features x 34
    frames, GRU 128 instead of 256 and CNN 256 instead of 512, global pooling. An edge's probability is a
    scaled product of the two nodes' query and key at temperature 0.5 (original: three graph networks
    that give a mixture of Gaussians, over a fixed graph of the electrode positions). The original
    averages the graph over the batch, so that a window's logits depend on its neighbours there; here
    every window has its own graph, and evaluation draws no noise. Features are standardised by bin: with
    their mean left in, the CNN's batch norms fall behind the weights and evaluation departs from training.
    1,734,939 parameters at 19 channels and 8 classes.
    """

    taper: Tensor

    def __init__(
        self,
        *,
        n_chans: int,
        n_times: int,
        sfreq: float,
        n_outputs: int,
        dim: int = 128,
        tau: float = 0.5,
        dropout: float = 0.5,
    ):
        super().__init__()
        self.tau = tau
        self.window = min(n_times, round(WINDOW_S * sfreq))
        self.stride = max(1, round(STRIDE_S * sfreq))
        self.bins = min(MOST_BINS, self.window // 2 + 1)
        self.register_buffer("taper", torch.hann_window(self.window), persistent=False)
        self.standardize = nn.BatchNorm1d(self.bins, affine=False)
        self.encoder = nn.GRU(self.bins, dim, num_layers=2, batch_first=True, bidirectional=True)
        self.query, self.key = nn.Linear(2 * dim, 64), nn.Linear(2 * dim, 64)
        self.shrink = nn.Linear(2 * dim, 16)
        self.graph = nn.ModuleList([nn.Linear(16, 64), nn.Linear(64, 16)])
        self.gate = nn.Parameter(torch.full((n_chans,), 1 / n_chans))
        self.cnn = nn.Sequential(
            *conv_block(2 * dim, dim, stride=1, dropout=dropout),
            *conv_block(dim, 2 * dim, stride=2, dropout=dropout),
            *conv_block(2 * dim, dim, stride=2, dropout=dropout),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(1),
            nn.Linear(dim, 32),
        )
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Sequential(
            *(nn.Linear(16 + 32, 512), nn.ReLU(), nn.Dropout(dropout)),
            *(nn.Linear(512, 512), nn.ReLU(), nn.Dropout(dropout)),
            nn.Linear(512, n_outputs),
        )

    def features(self, eeg_BCT: Tensor) -> Tensor:
        """Log power by electrode, frame and bin, each bin standardised, (B, C, N, bins)."""
        frames = eeg_BCT.float().unfold(-1, self.window, self.stride)
        spectrum = torch.fft.rfft(frames * self.taper)[..., : self.bins]
        power = (spectrum.real.square() + spectrum.imag.square()) / self.taper.square().sum()
        x = torch.log10(power + 1e-3)
        return self.standardize(x.flatten(0, 2)).view_as(x)

    def edges(self, node_BCD: Tensor) -> Tensor:
        """Edge weights in (0, 1), (B, C, C): one relaxed draw in training, its noise-free value otherwise."""
        q, k = self.query(node_BCD), self.key(node_BCD)
        logit = (q @ k.mT / math.sqrt(q.shape[-1])).float()
        if self.training:
            u = torch.rand_like(logit).clamp(1e-6, 1 - 1e-6)
            logit = logit + u.log() - (-u).log1p()  # the difference of two Gumbel variables
        return torch.sigmoid(logit / self.tau)

    def forward(self, eeg_BCT: Tensor) -> Tensor:
        """Class logits, (B, K)."""
        x = self.features(eeg_BCT)
        x = self.encoder(x.flatten(0, 1))[0].unflatten(0, x.shape[:2])  # (B, C, N, D)
        node = x[:, :, -1]
        graph = mean_over_neighbours(with_self_loops(self.edges(node)))
        y = self.shrink(node)
        for layer in self.graph:
            y = self.dropout(F.relu(layer(graph @ y)))
        pooled = torch.einsum("bcd,c->bd", y, self.gate)
        return self.classifier(torch.cat([pooled, self.cnn(x.permute(0, 3, 1, 2))], dim=1))


def conv_block(width_in: int, width: int, *, stride: int, dropout: float) -> tuple[nn.Module, ...]:
    """Pointwise, then 3 x 3 over electrodes and frames."""
    return (
        *(nn.Conv2d(width_in, width, 1), nn.ReLU()),
        *(nn.Conv2d(width, width, 3, stride=stride, padding=1), nn.ReLU()),
        *(nn.BatchNorm2d(width), nn.Dropout(dropout)),
    )
