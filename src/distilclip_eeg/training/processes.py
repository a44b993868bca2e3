"""Several processes that train one fold: which one this is, and what they agree on.

They are started by ``torchrun`` or ``accelerate launch``; the first one writes, the others are silent.
Started alone, a process is the first of one, and nothing here does anything.
"""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist

from distilclip_eeg.endings import asked

T = TypeVar("T")


def several() -> bool:
    """Whether this work is shared by more than one process."""
    return count() > 1


def count() -> int:
    """Processes that share this work."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def number() -> int:
    """Which of them this is, from 0."""
    return dist.get_rank() if several() else 0


def first() -> bool:
    """Whether this is the one that writes."""
    return number() == 0


def parts(n: int) -> list[slice]:
    """``n`` things shared out among the processes: one stretch each, as even as can be, in their order."""
    size, more = divmod(n, count())
    ends = np.cumsum([size + (k < more) for k in range(count())])
    return [slice(int(end) - size - (k < more), int(end)) for k, end in enumerate(ends)]


def part(n: int) -> slice:
    """This process's stretch of ``n`` things."""
    return parts(n)[number()]


def from_first(make: Callable[[], T]) -> T:
    """What ``make`` gives in the first process, in all of them; the others wait for it.

    Where it raises there, the first process ends, and the others with it.
    """
    if not several():
        return make()
    told = [make() if first() else None]
    dist.broadcast_object_list(told, src=0)
    return told[0]  # type: ignore[return-value]  # the first process's


@contextmanager
def first_before_others() -> Iterator[None]:
    """The first process does what is inside, then the others: they find its files."""
    if not first():
        from_first(lambda: None)
    yield
    if first():
        from_first(lambda: None)


def in_order(rows: np.ndarray | None) -> np.ndarray:
    """The rows of every process, in the order of the processes; None: it has none."""
    if several():
        told: list[np.ndarray | None] = [None] * count()
        dist.all_gather_object(told, rows)
    else:
        told = [rows]
    return np.concatenate([one for one in told if one is not None])


def anybody_asked(device: torch.device) -> int | None:
    """The signal that asked any of the processes for the end, if one did; all are to call it at once."""
    if not several():
        return asked()
    heard = torch.tensor(asked() or 0, device=device)
    dist.all_reduce(heard, dist.ReduceOp.MAX)
    return signal.Signals(int(heard)) if heard else None
