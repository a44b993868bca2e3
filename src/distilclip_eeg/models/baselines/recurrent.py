"""What the purely recurrent baselines share: a stack of cells over time and a small classifier."""

from torch import Tensor, nn
from torch.nn import functional as F

CELLS = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
"""Recurrent layers by the name that a setting gives them."""


class Recurrent(nn.Module):
    """``depth`` recurrent layers over (B, N, F), the mean of their states over time, two linear layers.

    The mean over time stands where textbooks take the last state: over hundreds of samples the gradient
    of that state dies out long before the first one, and on a CPU the denormal numbers that are left of
    it make a training step up to fifteen times slower.
    """

    def __init__(
        self,
        *,
        cell: str,
        n_features: int,
        n_outputs: int,
        width: int,
        depth: int,
        hidden: int,
        dropout: float,
    ):
        super().__init__()
        between = dropout if depth > 1 else 0.0
        self.cells = CELLS[cell](n_features, width, depth, batch_first=True, dropout=between)
        self.hidden, self.out = nn.Linear(width, hidden), nn.Linear(hidden, n_outputs)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BNF: Tensor) -> Tensor:
        """Class logits (B, K) of sequences (B, N, F)."""
        states, _ = self.cells(x_BNF)  # (B, N, width)
        return self.out(self.dropout(F.relu(self.hidden(self.dropout(states.mean(1))))))
