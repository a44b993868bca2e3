"""Learned prompt tokens: one mechanism for the EEG encoder and for BERT (paper, Sec. III-D, Figs. 2 and 3).

``deep``: every layer has P tokens of its own, and what a layer makes of them is dropped, because the next one
gets fresh ones (VPT-deep: the reading of "inserted into each layer" that also fits the article's sizes).
``shallow``: P tokens before the first layer, carried through all of them (VPT-shallow, CoOp); it is ``deep``
in one layer. ``prefix``: P learned keys and P learned values a layer, seen by attention alone, without norm
or projection (P-tuning v2). ``none``: no prompts.

Where among the tokens prompts stand makes no difference: attention is blind to order, and prompts carry no
position. Their place is therefore the layers that have them: ``layers=J`` gives the first J layers tokens of
their own, and those of the last of these are carried on (as in MaPLe). A prefix has no tokens to carry.
"""

import torch
from torch import Tensor, nn

from distilclip_eeg.schema import ConfigError, check_choice

KINDS = ("deep", "shallow", "prefix", "none")
INITS = ("normal", "xavier")


class Prompts(nn.Module):
    """The prompts of one encoder of ``depth`` layers and width D.

    Args:
        n: P, tokens a layer.
        layers: J, how many layers have prompts of their own; None: all of them.
        init: N(0, 0.02), or uniform as Glorot and Bengio (2010) for a (P, D) matrix.
        dropout: on the prompts, anew at every layer and step.

    Raises:
        ConfigError: ``init`` is unknown, or ``layers`` does not fit the kind or the depth.
    """

    def __init__(
        self, kind: str, n: int, *, depth: int, dim: int, layers: int | None, init: str, dropout: float
    ):
        super().__init__()
        check_choice("prompt_init", init, INITS)
        if layers is not None and not 1 <= layers <= depth:
            raise ConfigError(
                f"prompt_layers={layers} must be from 1 to the encoder's {depth} layers, or null."
            )
        if kind == "shallow" and layers not in (None, 1):
            raise ConfigError(
                f"prompt_layers={layers}: shallow prompts stand before one layer. Use prompts=deep."
            )
        if kind == "prefix" and layers not in (None, depth):
            raise ConfigError(f"prompt_layers={layers}: a prefix is one of every layer. Use prompts=deep.")
        self.n, self.prefix = n, kind == "prefix"
        self.layers = 1 if kind == "shallow" else depth if layers is None else layers
        self.carried = not self.prefix and self.layers < depth
        """Whether the tokens of the last layer that has prompts go on through the layers behind it."""
        shape = (self.layers, 2, n, dim) if self.prefix else (self.layers, n, dim)
        self.values = nn.Parameter(torch.empty(shape))
        self.dropout = nn.Dropout(dropout)
        if init == "normal":
            nn.init.normal_(self.values, std=0.02)
        else:
            for matrix in self.values.view(-1, n, dim):
                nn.init.xavier_uniform_(matrix)

    def of(self, layer: int) -> Tensor | None:
        """A layer's own prompts: tokens (P, D), keys and values (2, P, D), or None."""
        return self.dropout(self.values[layer]) if layer < self.layers else None

    def last(self, layer: int) -> bool:
        """Whether the tokens of ``layer`` are the ones carried on."""
        return self.carried and layer == self.layers - 1


def make_prompts(
    kind: str, n: int, *, depth: int, dim: int, layers: int | None, init: str, dropout: float
) -> Prompts | None:
    """Prompts as configured; None without any.

    Raises:
        ConfigError: a setting is unknown, or does not fit the kind or the encoder's depth.
    """
    check_choice("prompts", kind, KINDS)
    if n < 0:
        raise ConfigError(f"n_prompts={n} must be 0 or more.")
    if not n or kind == "none":
        return None
    return Prompts(kind, n, depth=depth, dim=dim, layers=layers, init=init, dropout=dropout)
