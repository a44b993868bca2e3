"""One batch out of the parts that several processes hold: windows contrast with all texts of the step.

Gradients flow back through the gathering. Each process computes the loss of the whole batch; the mean over
processes that DistributedDataParallel takes of their gradients is then the gradient of one process.
"""

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.nn.functional import all_gather


def several_processes() -> bool:
    """Whether this step is shared by more than one process."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def gather_rows(x_BD: Tensor) -> Tensor:
    """The rows of every process, in the order of the processes; their numbers may differ."""
    count = torch.tensor([len(x_BD)], device=x_BD.device)
    told = [torch.zeros_like(count) for _ in range(dist.get_world_size())]
    dist.all_gather(told, count)
    counts = [int(n) for n in told]
    padding = x_BD.new_zeros(max(counts) - len(x_BD), *x_BD.shape[1:])
    padded = torch.cat([x_BD, padding])
    if x_BD.requires_grad:
        parts = all_gather(padded)
    else:
        parts = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(parts, padded)
    return torch.cat([part[:n] for part, n in zip(parts, counts, strict=True)])


def gather_texts(text_UD: Tensor, key_U: Tensor, text_id_B: Tensor) -> tuple[Tensor, Tensor]:
    """The texts of every process, and which of them each window of the whole batch carries.

    Args:
        key_U: which text of the corpus each row of ``text_UD`` is; a text that several processes hold counts
            once.
    """
    keys, key_of_window = gather_rows(key_U), gather_rows(key_U[text_id_B])
    first = (
        (key_of_window[:, None] == keys[None, :]).int().argmax(dim=1)
    )  # of equal texts the first process's
    return gather_rows(text_UD), first
