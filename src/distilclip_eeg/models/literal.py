"""The EEG encoder word for word as the article draws it (Fig. 2); ``Conformer`` is checked against it.

Same weights, same function, other arithmetic: the time convolution runs on every electrode before the
spatial one mixes them, prompts are tokens like the others, and what a layer makes of them is computed and
then dropped. The article's FLOPs (Fig. 7) are those of this form.
"""

from typing import cast

from torch import Tensor, cat, nn

from distilclip_eeg.models.conformer import Block, Conformer, Stem
from distilclip_eeg.schema import ConfigError


class LiteralStem(nn.Module):
    """Time convolution, then space convolution."""

    def __init__(self, stem: Stem):
        super().__init__()
        self.stem = stem

    def forward(self, eeg_BCT: Tensor) -> Tensor:
        """Tokens (B, N, D), equal to those of ``Stem`` up to rounding."""
        stem = self.stem
        x = stem.space(stem.time(eeg_BCT[:, None]))[:, :, 0]
        return stem.project(stem.dropout(stem.pooled(stem.norm(x))).transpose(1, 2))


class LiteralBlock(nn.Module):
    """Pre-norm transformer block, attention written out head by head."""

    def __init__(self, block: Block):
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (B, N, D) in and out; prompts are among the N and come out changed like the others."""
        block = self.block
        q, k, v = block.qkv(block.norm1(x)).chunk(3, dim=-1)
        heads = []
        for q_h, k_h, v_h in zip(*(part.chunk(block.heads, dim=-1) for part in (q, k, v)), strict=True):
            weight = (q_h @ k_h.mT / q_h.shape[-1] ** 0.5).softmax(dim=-1)
            heads.append(weight @ v_h)
        x = x + block.dropout(block.out(cat(heads, dim=-1)))
        return x + block.dropout(block.ffn(block.norm2(x)))


class LiteralConformer(nn.Module):
    """``net`` in the article's own arithmetic; it shares the weights.

    Raises:
        ConfigError: its prompts are a prefix, which has no tokens.
    """

    def __init__(self, net: Conformer):
        super().__init__()
        if net.prompts is not None and net.prompts.prefix:
            raise ConfigError("model.net.prompts=prefix has no prompt tokens. Choose deep, shallow or none.")
        self.stem = LiteralStem(net.stem) if isinstance(net.stem, Stem) else net.stem
        self.blocks = nn.ModuleList(LiteralBlock(cast(Block, block)) for block in net.blocks)
        self.prompts, self.head, self.classifier = net.prompts, net.head, net.classifier

    def encode(self, eeg_BCT: Tensor) -> Tensor:
        """Features (B, E), as ``Conformer.encode``."""
        x = self.stem(eeg_BCT)
        n = x.shape[1]
        for i, block in enumerate(self.blocks):
            own = None if self.prompts is None else self.prompts.of(i)
            if own is not None:  # else the last layer's go on, if there were any
                x = cat([own.expand(len(x), -1, -1), x[:, -n:]], dim=1)
            x = block(x)
        return self.head(x[:, -n:])

    def forward(self, eeg_BCT: Tensor) -> Tensor:
        """Class logits, (B, K)."""
        return self.classifier(self.encode(eeg_BCT))
