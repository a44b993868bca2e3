"""A fold's network and the windows that it is asked about."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from distilclip_eeg.explain import faithfulness
from distilclip_eeg.explain.maps import channel_map
from distilclip_eeg.models.contract import Encoder
from distilclip_eeg.training.loaders import WindowSource

BATCH = 64


@dataclass(frozen=True)
class FoldModel:
    """Answers about windows by row of the window index, batch by batch.

    Shapes: N rows, C channels, K classes, E features.
    """

    net: nn.Module
    """In eval mode, on ``device``."""
    source: WindowSource
    device: torch.device

    def each(self, rows: np.ndarray, answer: Callable[[Tensor, slice], Tensor | np.ndarray]) -> np.ndarray:
        """``answer(eeg_BCT, which of the rows)`` of all batches, one after the other."""
        spans = [slice(i, min(i + BATCH, len(rows))) for i in range(0, len(rows), BATCH)]
        found = (answer(self.source.batch(rows[span], self.device).eeg_BCT, span) for span in spans)
        return np.concatenate([torch.as_tensor(part).cpu().numpy() for part in found])

    @torch.no_grad()
    def logits(self, rows: np.ndarray) -> np.ndarray:
        """(N, K)."""
        return self.each(rows, lambda eeg_BCT, _: self.net(eeg_BCT))

    @property
    def has_features(self) -> bool:
        """Whether the network maps windows into a space of features, as teachers and students do."""
        return hasattr(self.net, "encode")

    @torch.no_grad()
    def features(self, rows: np.ndarray) -> np.ndarray:
        """(N, E), not normalised, of a network that ``has_features``."""
        return self.each(rows, lambda eeg_BCT, _: cast(Encoder, self.net).encode(eeg_BCT))

    def maps(self, rows: np.ndarray, target_N: np.ndarray, method: str) -> np.ndarray:
        """(N, C), not normalised; see ``maps.channel_map``."""
        target = torch.from_numpy(target_N).to(self.device)
        return self.each(rows, lambda eeg_BCT, at: channel_map(self.net, eeg_BCT, target[at], method))

    def deletion(self, rows: np.ndarray, target_N: np.ndarray, order_NC: np.ndarray) -> np.ndarray:
        """(N, C + 1); see ``faithfulness.deletion``."""
        target, order = (torch.from_numpy(values).to(self.device) for values in (target_N, order_NC))
        return self.each(
            rows, lambda eeg_BCT, at: faithfulness.deletion(self.net, eeg_BCT, target[at], order[at])
        )
