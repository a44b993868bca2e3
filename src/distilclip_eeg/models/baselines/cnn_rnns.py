"""Baseline ``cnn_rnns``: convolutions shorten the window, a recurrent layer reads what is left."""

from itertools import pairwise

from torch import Tensor, nn

from distilclip_eeg.config.registry import component
from distilclip_eeg.models.baselines.recurrent import CELLS
from distilclip_eeg.schema import check_choice

KERNEL_S = 5 / 256


@component("network", "cnn_rnns")
class CNNRNNs(nn.Module):
    """Three times convolution, BN, ReLU and pooling by two, then one recurrent layer and its last state.

    After Yang, Zhou, Li, Chen, Zhang and Serikawa, Enhancing epilepsy diagnosis with deep learning and
    multi-channel processing of EEG signals, Computer and Information Science and Engineering 16
    (Springer, 2024), pp. 145-161. Known to us: the title, and that Table I of the article calls it "CNN
    and RNNs"; layers and sizes are our construction. 92,680 parameters at 19 channels, 256 Hz and 8
    classes.

    Args:
        cell: the kind of recurrent layer: ``rnn``, ``gru`` or ``lstm``.

    Shapes: B batch, C channels, T samples, F filters, N steps, K classes.

    Raises:
        ConfigError: ``cell`` is unknown.
    """

    def __init__(
        self,
        *,
        n_chans: int,
        n_times: int,
        sfreq: float,
        n_outputs: int,
        filters: tuple | list = (32, 64, 128),
        cell: str = "gru",
        width: int = 64,
        dropout: float = 0.3,
    ):
        super().__init__()
        check_choice("model.net.cell", cell, tuple(CELLS))
        kernel = round(KERNEL_S * sfreq) | 1  # odd
        sizes = [n_chans, *filters]
        layers = []
        for before, after in pairwise(sizes):
            layers += [
                nn.Conv1d(before, after, kernel, padding=kernel // 2),
                nn.BatchNorm1d(after),
                nn.ReLU(),
                nn.MaxPool1d(2, ceil_mode=True),
            ]
        self.stem = nn.Sequential(*layers)
        self.cells = CELLS[cell](sizes[-1], width, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(width, n_outputs)

    def forward(self, eeg_BCT: Tensor) -> Tensor:
        """Class logits, (B, K)."""
        x = self.stem(eeg_BCT)  # (B, F, N)
        states, _ = self.cells(x.transpose(1, 2))
        return self.out(self.dropout(states[:, -1]))
