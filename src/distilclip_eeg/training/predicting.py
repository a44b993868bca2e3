"""Answers of a task to windows that it is not trained on."""

from contextlib import closing

import numpy as np
import torch
from accelerate import Accelerator

from distilclip_eeg.endings import stop_if_asked
from distilclip_eeg.training import processes
from distilclip_eeg.training.loaders import Batch, Source, ahead
from distilclip_eeg.training.tasks import Task


@torch.no_grad()
def predict(
    task: Task, source: Source, rows: np.ndarray, accelerator: Accelerator, batch_size: int = 256
) -> np.ndarray:
    """What ``task.answer`` answers to the windows at ``rows``, (N, K) float32, dropout off.

    Several processes share the batches out, and all get the answers of all, in the order of ``rows``.

    Raises:
        Stop: a signal asked for the end, of a process alone.
    """
    training, device = task.training, accelerator.device
    beside = device.type == "cuda" and not source.resident
    starts = list(range(0, len(rows), batch_size))
    task.eval()

    def made(start: int) -> Batch:
        batch = source.batch(rows[start : start + batch_size], device if source.resident else "cpu")
        return batch.pinned() if beside else batch

    out = []
    with closing(ahead(made, starts[processes.part(len(starts))], thread=beside)) as batches:
        for batch in batches:
            if not processes.several():
                stop_if_asked()
            with accelerator.autocast():
                logits = task.answer(batch.on(device))
            out.append(logits.float().cpu().numpy())
    task.train(training)
    return processes.in_order(np.concatenate(out) if out else None)
