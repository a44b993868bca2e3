"""Baseline ``eeg_conformer``: the EEG Conformer as its authors published it: small, no prompts, no text.

Shapes: B batch, C channels, T samples, N tokens, D width, H heads.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from distilclip_eeg.config.registry import component
from distilclip_eeg.models.conformer import Stem
from distilclip_eeg.schema import ConfigError


class Layer(nn.Module):
    """Pre-norm transformer layer, with dropout on attention weights and scores divided by sqrt(D)."""

    def __init__(self, *, dim: int, heads: int, dropout: float):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.qkv, self.out = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.ffn = nn.Sequential(
            nn.Linear(dim, 4 * dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(4 * dim, dim)
        )

    def attend(self, x_BND: Tensor) -> Tensor:
        """What attention adds, (B, N, D), before dropout and the sum."""
        parts = self.qkv(x_BND).chunk(3, dim=-1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)  # (B, H, N, D / H)
        drop = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, dropout_p=drop, scale=x_BND.shape[-1] ** -0.5)
        return self.out(y.transpose(1, 2).flatten(2))

    def forward(self, x_BND: Tensor) -> Tensor:
        """Tokens (B, N, D) in and out."""
        x = x_BND + F.dropout(self.attend(self.norm1(x_BND)), self.dropout, self.training)
        return x + F.dropout(self.ffn(self.norm2(x)), self.dropout, self.training)


@component("network", "eeg_conformer")
class EEGConformer(nn.Module):
    """Y. Song, Q. Zheng, B. Liu and X. Gao, IEEE Trans. Neural Systems and Rehabilitation Eng. 31, 2023.

    Public: text and code, followed here layer by layer: 272,904 parameters at 19 channels, 256 Hz and 8
    classes, as in braindecode. Not a row of the article's Table I; its encoder is this network made wide.
    Lengths are seconds (25, 75 and 15 samples at 256 Hz), so a second is 11 tokens at any rate. Scores are
    divided by the root of the whole width, as in the authors' code. Initial values are torch's. The authors
    train for 2,000 epochs and add recombined segments; neither is done here.

    Raises:
        ConfigError: ``dim`` cannot be shared out among ``heads``, or a window is shorter than a token.
    """

    electrode_layer = "stem.time"

    def __init__(
        self,
        *,
        n_chans: int,
        n_times: int,
        sfreq: float,
        n_outputs: int,
        dim: int = 40,
        depth: int = 6,
        heads: int = 10,
        dropout: float = 0.5,
    ):
        super().__init__()
        if dim % heads:
            raise ConfigError(f"model.net.dim={dim} is not a multiple of model.net.heads={heads}.")
        self.stem = Stem(n_chans=n_chans, n_times=n_times, sfreq=sfreq, dim=dim, filters=dim, dropout=dropout)
        self.layers = nn.Sequential(*(Layer(dim=dim, heads=heads, dropout=dropout) for _ in range(depth)))
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(self.stem.n_tokens * dim, 256),
            nn.ELU(),
            nn.Dropout(dropout),
            nn.Linear(256, 32),
            nn.ELU(),
            nn.Dropout(min(dropout, 0.3)),
            nn.Linear(32, n_outputs),
        )

    def forward(self, eeg_BCT: Tensor) -> Tensor:
        """Class logits, (B, K)."""
        return self.classifier(self.layers(self.stem(eeg_BCT)))
