"""Baseline ``resbilstm``: residual convolutions, then an LSTM in both directions."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distilclip_eeg.config.registry import component

KERNEL_S = 5 / 256


class Residual(nn.Module):
    """Two convolutions with BN beside a shortcut, which is a 1x1 convolution where the shape changes."""

    def __init__(self, before: int, after: int, *, kernel: int, stride: int):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(before, after, kernel, stride, padding=kernel // 2, bias=False),
            nn.BatchNorm1d(after),
            nn.ReLU(),
            nn.Conv1d(after, after, kernel, padding=kernel // 2, bias=False),
            nn.BatchNorm1d(after),
        )
        self.shortcut = nn.Sequential()
        if stride > 1 or before != after:
            self.shortcut = nn.Sequential(
                nn.Conv1d(before, after, 1, stride, bias=False), nn.BatchNorm1d(after)
            )

    def forward(self, x: Tensor) -> Tensor:
        """(B, F_in, T) to (B, F, T / stride), rounded up."""
        return F.relu(self.body(x) + self.shortcut(x))


@component("network", "resbilstm")
class ResBiLSTM(nn.Module):
    """Three residual blocks (64, 64, 128 filters; the first and last halve time), BiLSTM, 64 units.

    Zhao, Wang, Patnaik, Zhang, Weng, Xiao, Wei and Zhou, Residual and bidirectional LSTM for epileptic
    seizure detection, Frontiers in Computational Neuroscience 18 (2024) 1415967. Text and the authors'
    code (snailpt/ResBiLSTM, one EEG channel) are public; the code leaves the widths of LSTM and of the
    first linear layer to the caller: 128 and 64 are ours, and the input has all channels. Two things of
    the code are not repeated: its unused shortcut in the second block, and dropout that stays on when
    the network is evaluated. 482,376 parameters at 19 channels, 256 Hz and 8 classes.

    Shapes: B batch, C channels, T samples, F filters, N steps, K classes.
    """

    def __init__(
        self,
        *,
        n_chans: int,
        n_times: int,
        sfreq: float,
        n_outputs: int,
        width: int = 128,
        hidden: int = 64,
        dropout: float = 0.2,
        hidden_dropout: float = 0.5,
    ):
        super().__init__()
        kernel = round(KERNEL_S * sfreq) | 1  # odd
        blocks = []
        for before, after, stride in ((n_chans, 64, 2), (64, 64, 1), (64, 128, 2)):
            blocks += [Residual(before, after, kernel=kernel, stride=stride), nn.Dropout(dropout)]
        self.blocks = nn.Sequential(*blocks)
        self.cells = nn.LSTM(128, width, batch_first=True, bidirectional=True)
        self.hidden, self.out = nn.Linear(2 * width, hidden), nn.Linear(hidden, n_outputs)
        self.dropout, self.hidden_dropout = nn.Dropout(dropout), nn.Dropout(hidden_dropout)

    def forward(self, eeg_BCT: Tensor) -> Tensor:
        """Class logits, (B, K)."""
        x = self.blocks(eeg_BCT)  # (B, F, N), N = T / 4
        _, (state, _) = self.cells(x.transpose(1, 2))  # of both directions, where each ends
        x = self.dropout(torch.cat([state[0], state[1]], dim=1))
        return self.out(self.hidden_dropout(F.relu(self.hidden(x))))
