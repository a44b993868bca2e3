"""Loss terms and right answers of an epoch, read from the device in one piece for many steps."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Waiting:
    """A step whose numbers are still on the device."""

    step: int
    row_B: np.ndarray
    names: tuple[str, ...]
    values: Tensor
    """Of ``names``, and behind them the right answers."""


class Tally:
    """Sums over the windows of an epoch.

    Args:
        sums, hits, windows: of the steps before, as a checkpoint holds them.
    """

    def __init__(self, sums: dict[str, float] | None = None, hits: int = 0, windows: int = 0) -> None:
        self.sums: dict[str, float] = {} if sums is None else sums
        self.hits, self.windows = hits, windows
        self.waiting: list[Waiting] = []
        self.loss: float | None = None
        """Of the last step that was read."""

    def add(self, step: int, terms: dict[str, Tensor], label_B: Tensor, row_B: np.ndarray) -> None:
        """A step's loss terms and logits (B, K); they stay where they are."""
        names = tuple(name for name in terms if name != "logits")
        hits = (terms["logits"].detach().argmax(1) == label_B).sum()
        values = torch.stack([*(terms[name].detach().float() for name in names), hits.float()])
        self.waiting.append(Waiting(step, row_B, names, values))

    def read(self) -> Waiting | None:
        """Take over all that waits, which is where a training waits for its device.

        Returns:
            The first step whose loss is no number, which ``loss`` then is; None: all are.
        """
        steps, self.waiting = self.waiting, []
        told = torch.stack([one.values for one in steps]).tolist() if steps else []
        for one, (*values, hits) in zip(steps, told, strict=True):
            terms = dict(zip(one.names, values, strict=True))
            self.loss = terms["loss"]
            if not math.isfinite(self.loss):
                return one
            self.hits += int(hits)
            self.windows += len(one.row_B)
            for name, value in terms.items():
                self.sums[name] = self.sums.get(name, 0.0) + value * len(one.row_B)
        return None

    def means(self) -> dict[str, float]:
        """Mean of every term over the windows, and the share of right answers as ``accuracy``."""
        return {k: v / self.windows for k, v in self.sums.items()} | {"accuracy": self.hits / self.windows}

    def state(self) -> dict:
        """What a checkpoint holds of it; all has been read."""
        return {"sums": self.sums, "hits": self.hits, "windows": self.windows}
