"""GCN-BiGRU: graph convolution over electrodes in every slice of a window, a recurrent net over slices.

Shapes: B batch, N bands, C channels (nodes), T samples, S slices, L samples a slice, D width, K classes.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distilclip_eeg.config.registry import component
from distilclip_eeg.models.baselines.graphs import (
    BANDS_HZ,
    band_signals,
    correlation,
    mean_over_neighbours,
    with_self_loops,
)


@component("network", "gcn_bigru")
class GCNBiGRU(nn.Module):
    """Spatiotemporal network of Xu, Yuan, Shang, Wang, Yan and Yang (JBHI 2024).

    Public: the abstract: wavelet sub-bands, a Pearson graph for bands of interest, graph convolution,
    BiGRU, fully connected layers, then rules over successive decisions. Ours: all sizes. A window is cut
    into slices of 1/8 s whose samples are the node features, the graph is the absolute correlation over
    the whole window, two graph convolutions (32, 16) run on every slice and all electrodes together feed
    two BiGRU layers.
    ``bands=true`` does so for each clinical band on the band's own graph (bands cut in the spectrum
    instead of by wavelets). The decision rules join segments over time and have no place in a classifier
    of single windows. 226,936 parameters at 19 channels, 256 Hz and 8 classes.
    """

    def __init__(
        self,
        *,
        n_chans: int,
        n_times: int,
        sfreq: float,
        n_outputs: int,
        dim: int = 64,
        bands: bool = False,
        dropout: float = 0.3,
        slice_s: float = 1 / 8,
    ):
        super().__init__()
        self.sfreq, self.bands = sfreq, bands
        self.length = min(n_times, round(slice_s * sfreq))
        self.graph = nn.ModuleList([nn.Linear(self.length, 32), nn.Linear(32, 16)])
        nodes = n_chans * (len(BANDS_HZ) if bands else 1)
        self.rnn = nn.GRU(16 * nodes, dim, num_layers=2, batch_first=True, bidirectional=True)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(2 * dim, dim), nn.ReLU(), nn.Linear(dim, n_outputs)
        )

    def forward(self, eeg_BCT: Tensor) -> Tensor:
        """Class logits, (B, K)."""
        x = band_signals(eeg_BCT, self.sfreq) if self.bands else eeg_BCT[:, None]  # (B, N, C, T)
        graph = mean_over_neighbours(with_self_loops(correlation(x).abs()))[:, None]  # (B, 1, N, C, C)
        x = x.unfold(-1, self.length, self.length).movedim(3, 1)  # (B, S, N, C, L)
        for layer in self.graph:
            x = F.relu(layer(graph @ x))
        _, last = self.rnn(x.flatten(2))
        return self.classifier(torch.cat([last[-2], last[-1]], dim=1))
