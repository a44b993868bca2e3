"""One batch out of the parts that several processes hold, as if one process held all of it.

Each process has the EEG of some windows of a step. It encodes them, gathers the features of all, and computes
the loss of the whole step, the same number in each. DistributedDataParallel takes the mean of the gradients
over the processes; with the gradients below that mean is the gradient of one process. Batch norm takes its
statistics over the windows of all processes.
"""

import functools
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from distilclip_eeg.training import processes


def gather_rows(x_BD: Tensor, n: int) -> Tensor:
    """The rows of every process, in their order: ``n`` of them, shared out by ``processes.parts``.

    What is computed from them must be the same in every process; the gradient of a process's own rows then
    needs nobody else's.
    """
    return _Gather.apply(x_BD, n) if processes.several() else x_BD


class _Gather(torch.autograd.Function):
    """How many rows each process has is known beforehand, so nothing is read from the device."""

    @staticmethod
    def forward(ctx: Any, x_BD: Tensor, n: int) -> Tensor:
        parts = processes.parts(n)
        most = parts[0].stop
        padded = torch.cat([x_BD, x_BD.new_zeros(most - len(x_BD), *x_BD.shape[1:])])
        every = [torch.empty_like(padded) for _ in parts]
        dist.all_gather(every, padded)
        ctx.part = processes.part(n)
        return torch.cat([one[: of.stop - of.start] for one, of in zip(every, parts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0][ctx.part] * processes.count(), None  # of the sum of all processes' losses


class _Sum(torch.autograd.Function):
    """The sum over the processes, of which each makes something else."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.clone()
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _Sum.forward(ctx, gradients[0])


def share_statistics(module: nn.Module) -> None:
    """Let every batch norm below ``module`` use the mean and variance over the windows of all processes.

    torch's own SyncBatchNorm wants a GPU and reads from it at every layer and step.
    """
    for norm in module.modules():
        if isinstance(norm, _BatchNorm):
            norm.forward = functools.partial(shared_norm, norm)  # type: ignore[method-assign]


def shared_norm(norm: _BatchNorm, x: Tensor) -> Tensor:
    """Batch norm (Ioffe and Szegedy 2015) of the windows of all processes; in eval mode as it always is."""
    if not norm.training:
        return type(norm).forward(norm, x)
    over = [0, *range(2, x.dim())]
    wide = (1, -1, *[1] * (x.dim() - 2))
    with torch.autocast(x.device.type, enabled=False):
        own = x.float()
        here = torch.full((1,), x.numel() / x.shape[1], device=x.device)
        total = _Sum.apply(torch.cat([own.sum(over), here]))
        mean, n = total[:-1] / total[-1], total[-1].detach()
        away = own - mean.view(wide)
        variance = _Sum.apply(away.square().sum(over)) / n
        out = away * (variance + norm.eps).rsqrt().view(wide)
        if norm.weight is not None:
            out = out * norm.weight.view(wide) + norm.bias.view(wide)
    mean_C, variance_C, steps = norm.running_mean, norm.running_var, norm.num_batches_tracked
    if mean_C is not None and variance_C is not None and steps is not None:
        with torch.no_grad():
            steps.add_(1)
            share = 1 / steps if norm.momentum is None else norm.momentum
            mean_C.lerp_(mean, share)
            variance_C.lerp_(variance * n / (n - 1).clamp(min=1), share)
    return out.to(x.dtype)
