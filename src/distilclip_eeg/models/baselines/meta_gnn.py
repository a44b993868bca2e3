"""Meta-GNN's classifier: spectra as node features on a graph of the strongest correlations.

Shapes: B batch, C channels (nodes), T samples, F bins, D width, K classes.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distilclip_eeg.config.registry import component
from distilclip_eeg.models.baselines.graphs import correlation, mean_over_neighbours, strongest


class GraphConv(nn.Module):
    """A node's own features and the mean of its neighbours', each with a matrix of its own."""

    def __init__(self, width_in: int, width: int):
        super().__init__()
        self.neighbours, self.own = nn.Linear(width_in, width), nn.Linear(width_in, width, bias=False)

    def forward(self, x_BCD: Tensor, graph_BCC: Tensor) -> Tensor:
        """(B, C, D_in) to (B, C, D); the rows of ``graph_BCC`` weigh a node's neighbours."""
        return F.relu(self.neighbours(graph_BCC @ x_BCD) + self.own(x_BCD))


@component("network", "meta_gnn")
class MetaGNN(nn.Module):
    """Graph network of Rahmani, Venkitaraman and Frossard (ICASSP 2023).

    Public: the abstract alone, no code was found: a graph network that is meta-learned over patients and
    adapted to a new one in some 20 steps. Ours: all layers. Node features are log magnitudes at 1 to 48 Hz
    in steps of 1 Hz; every electrode is joined to the four that correlate most with it, either sign; two
    graph convolutions, mean over nodes, two linear layers. 16,808 parameters at 8 classes.
    This is the network; meta-learning over subjects is a way to train it and no part of it.
    """

    def __init__(
        self,
        *,
        n_chans: int,
        n_times: int,
        sfreq: float,
        n_outputs: int,
        dim: int = 64,
        bins: int = 48,
        neighbours: int = 4,
        dropout: float = 0.2,
    ):
        super().__init__()
        self.bins, self.neighbours = bins, neighbours
        self.last = max(1, round(bins * n_times / sfreq))  # FFT bin of the highest frequency used
        self.layers = nn.ModuleList([GraphConv(bins, dim), GraphConv(dim, dim)])
        self.classifier = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(dim, dim // 2), nn.ReLU(), nn.Linear(dim // 2, n_outputs)
        )

    def features(self, eeg_BCT: Tensor) -> Tensor:
        """Log magnitude of every electrode at 1, 2, ... Hz, (B, C, F), whatever the window's length."""
        power = torch.fft.rfft(eeg_BCT.float(), norm="ortho")[..., 1 : self.last + 1].abs().square()
        return torch.log10(F.adaptive_avg_pool1d(power, self.bins) + 1e-3) / 2

    def forward(self, eeg_BCT: Tensor) -> Tensor:
        """Class logits, (B, K)."""
        graph = mean_over_neighbours(strongest(correlation(eeg_BCT).abs(), self.neighbours))
        x = self.features(eeg_BCT)
        for layer in self.layers:
            x = layer(x, graph)  # (B, C, D)
        return self.classifier(x.mean(1))
