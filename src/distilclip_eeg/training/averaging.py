"""The running mean of weights, and what of a module training changes at all."""

from itertools import chain

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


class RunningMean(AveragedModel):
    """Exponential mean of weights and buffers; its decay after n updates is min(decay, (1 + n) / (10 + n)).

    A constant decay of 0.995 would leave a third of a 200-step run's mean to its first weights. torch's own
    ``update_parameters`` reads the number of updates from the device; here the caller knows it.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        super().__init__(module, use_buffers=True)
        self.decay = decay

    @torch.no_grad()
    def update(self, module: nn.Module, n: int) -> None:
        """Take in the weights of ``module``, after ``n`` updates before."""
        pairs = list(
            zip(
                chain(self.module.parameters(), self.module.buffers()),
                chain(module.parameters(), module.buffers()),
                strict=True,
            )
        )
        mean = get_ema_multi_avg_fn(min(self.decay, (1 + n) / (10 + n)))
        for floats in (True, False):
            mine = [ours.detach() for ours, _ in pairs if ours.is_floating_point() == floats]
            theirs = [given.detach() for _, given in pairs if given.is_floating_point() == floats]
            if mine and n:
                mean(mine, theirs, None)
            elif mine:
                torch._foreach_copy_(mine, theirs)
        self.n_averaged += 1


def kept_state(module: nn.Module) -> dict[str, torch.Tensor]:
    """What training changes: trainable parameters and buffers; a frozen body is not copied."""
    state = {k: v for k, v in module.named_parameters() if v.requires_grad} | dict(module.named_buffers())
    return {k: v.detach().cpu().clone() for k, v in state.items()}


@torch.no_grad()
def put_state(module: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Copy what ``kept_state`` gave back into ``module``."""
    target = dict(module.named_parameters()) | dict(module.named_buffers())
    for name, value in state.items():
        target[name].copy_(value)


@torch.no_grad()
def broken(module: nn.Module) -> list[str]:
    """Names of the trainable parameters that hold anything but numbers."""
    trained = {k: v for k, v in module.named_parameters() if v.requires_grad}
    whole = torch.stack([torch.isfinite(v).all() for v in trained.values()]).tolist() if trained else []
    return [name for name, is_whole in zip(trained, whole, strict=True) if not is_whole]
