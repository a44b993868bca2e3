"""Networks for inference alone: what is the same for every window is computed once.

In training the stem's one convolution and the keys and values of prompts change with every step, so a
``Conformer`` works them out for every batch. Afterwards they are constants, as are the batch norm's running
mean and variance, which the convolution takes up. The function is the same up to rounding.
"""

import copy
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distilclip_eeg.models.conformer import Block, Conformer, Stem
from distilclip_eeg.models.contract import EncoderWithHead


def frozen(net: nn.Module) -> nn.Module:
    """A copy of ``net`` in eval mode that answers the same and cannot be trained.

    Every ``Conformer`` in it, alone or in an ensemble, becomes a ``FrozenConformer``; the rest is as it was.
    """
    return _froze(copy.deepcopy(net).eval()).requires_grad_(False)


def _froze(net: nn.Module) -> nn.Module:
    if isinstance(net, Conformer):
        return FrozenConformer(net)
    for name, child in net.named_children():
        setattr(net, name, _froze(child))
    return net


class FrozenStem(nn.Module):
    """A ``Stem`` as one convolution, ELU, mean pool and projection."""

    weight_FCK: Tensor
    bias_F: Tensor

    def __init__(self, stem: Stem):
        super().__init__()
        self.pooled, self.project = stem.pooled, stem.project
        weight_FCK, bias_F = stem.merged()
        norm = stem.norm
        mean_F, var_F = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
        gain_F = norm.weight / (var_F + norm.eps).sqrt()
        self.register_buffer("weight_FCK", weight_FCK * gain_F[:, None, None])
        self.register_buffer("bias_F", (bias_F - mean_F) * gain_F + norm.bias)

    def forward(self, eeg_BCT: Tensor) -> Tensor:
        """Tokens of windows, (B, N, D)."""
        x = self.pooled(F.conv1d(eeg_BCT, self.weight_FCK, self.bias_F))
        return self.project(x.transpose(1, 2))


class FrozenBlock(nn.Module):
    """A ``Block`` whose prompts, tokens (P, D) or a prefix (2, P, D), are keys and values already."""

    keys_HdP: Tensor | None
    values_HPd: Tensor | None

    def __init__(self, block: Block, prompts: Tensor | None):
        super().__init__()
        self.norm1, self.norm2, self.out, self.ffn = block.norm1, block.norm2, block.out, block.ffn
        self.split = block.split
        keys, values = (None, None) if prompts is None else block.keys_values(prompts)
        self.register_buffer("keys_HdP", None if keys is None else keys.mT.contiguous())
        self.register_buffer("values_HPd", None if values is None else values.contiguous())
        self.qkv, dim = block.qkv, block.qkv.in_features
        for part in (self.qkv.weight, self.qkv.bias):
            part[:dim] *= (dim // block.heads) ** -0.5  # queries bring the attention's scale along

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (B, N, D) in and out."""
        q, k, v = (self.split(part) for part in self.qkv(self.norm1(x)).chunk(3, dim=-1))  # (B, H, N, d)
        if self.keys_HdP is None or self.values_HPd is None:
            y = F.scaled_dot_product_attention(q, k, v, scale=1.0)
        else:
            weight = torch.cat([q @ self.keys_HdP, q @ k.mT], dim=-1).softmax(-1)
            on_prompts, on_tokens = weight.split([self.keys_HdP.shape[-1], x.shape[1]], dim=-1)
            y = on_prompts @ self.values_HPd + on_tokens @ v
        x = x + self.out(y.transpose(1, 2).flatten(2))
        return x + self.ffn(self.norm2(x))


class FrozenConformer(EncoderWithHead):
    """A ``Conformer`` in its frozen form; takes the modules of ``net`` over and changes them."""

    carried: Tensor | None
    """Prompts (P, D) that join the tokens before layer ``joins``, where some are carried on."""

    @torch.no_grad()
    def __init__(self, net: Conformer):
        super().__init__()
        self.dim, self.n_tokens = net.dim, net.n_tokens
        self.stem = FrozenStem(net.stem) if isinstance(net.stem, Stem) else net.stem
        self.head, self.classifier = net.head, net.classifier
        prompts, blocks = net.prompts, cast(list[Block], list(net.blocks))
        own = [None if prompts is None else prompts.of(i) for i in range(len(blocks))]
        self.joins = prompts.layers - 1 if prompts is not None and prompts.carried else -1
        carried = own[self.joins] if self.joins >= 0 else None
        self.register_buffer("carried", None if carried is None else carried.clone())
        if carried is not None:
            own[self.joins] = None
        self.blocks = nn.ModuleList(map(FrozenBlock, blocks, own))
        self.eval()

    def encode(self, eeg_BCT: Tensor) -> Tensor:
        """Features in the space shared with text, (B, E), not normalised."""
        x = self.stem(eeg_BCT)
        for i, block in enumerate(self.blocks):
            if i == self.joins and self.carried is not None:
                x = torch.cat([self.carried.expand(x.shape[0], -1, -1), x], dim=1)
            x = block(x)
        return self.head(x[:, -self.n_tokens :])

    def forward(self, eeg_BCT: Tensor) -> Tensor:
        """Class logits, (B, K)."""
        return self.classifier(self.encode(eeg_BCT))
