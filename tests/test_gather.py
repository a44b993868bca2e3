"""Two processes that share a batch train like one that holds all of it."""

import os
import tempfile

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from distilclip_eeg.models.clip import DistilCLIP
from distilclip_eeg.models.conformer import Conformer
from distilclip_eeg.models.losses import TARGETS
from distilclip_eeg.models.text_backends import random_tiny
from distilclip_eeg.training.loaders import Batch
from distilclip_eeg.training.tasks import ClipTask
from distilclip_eeg.training.text_bank import TextBank

SENTENCES = ["Slow waves.", "Rhythmic sharp waves of high amplitude.", "Flat."]
DESCRIPTION = [SENTENCES[k] for k in (0, 1, 0, 2, 1, 0, 0, 1)]
CLASSES = ["A quiet recording.", "A rhythm that grows."]
SHARES = (slice(0, 5), slice(5, 8))
"""Uneven, and both hold windows of the first two sentences and of both classes."""


def gradients(targets: str, rows: slice, head_input: str = "eeg") -> np.ndarray:
    """Loss and gradients of a small teacher on some windows of one batch of eight."""
    torch.manual_seed(0)
    eeg = Conformer(
        n_chans=3,
        n_times=64,
        sfreq=64.0,
        n_outputs=2,
        dim=8,
        depth=1,
        heads=2,
        n_prompts=2,
        embed=6,
        dropout=0.0,
    )
    backend = random_tiny([*SENTENCES, *CLASSES], dim=8, depth=1, heads=2, n_prompts=2, dropout=0.0)
    model = DistilCLIP(eeg, backend.encoder, head_input=head_input, with_bias=targets == "sigmoid").eval()
    task = ClipTask(model, TextBank(backend.tokenizer, DESCRIPTION, CLASSES), alpha=0.5, targets=targets)
    windows = torch.randn(8, 3, 64, generator=torch.Generator().manual_seed(1))
    at = torch.arange(8)[rows]
    # Plain kernels: oneDNN's add in another order for another number of windows.
    with torch.backends.mkldnn.flags(enabled=False):
        loss = task(Batch(windows[at], at % 2, at))["loss"]
        loss.backward()
    parts = [p.grad.flatten() for p in task.parameters() if p.requires_grad]
    return torch.cat([loss.detach()[None], *parts]).double().numpy()


def work(rank: int, folder: str) -> None:
    """One of two processes; what it writes is the mean over both, as DistributedDataParallel takes it."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    for targets in TARGETS:
        mine = torch.from_numpy(gradients(targets, SHARES[rank]))
        dist.all_reduce(mine)
        np.save(os.path.join(folder, f"{targets}-{rank}.npy"), mine.numpy() / 2)
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def shared():
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(work, (folder,), nprocs=2)
        yield {t: [np.load(os.path.join(folder, f"{t}-{rank}.npy")) for rank in (0, 1)] for t in TARGETS}


@pytest.mark.parametrize("targets", TARGETS)
def test_two_processes_with_uneven_batches_have_the_gradient_of_one(targets, shared):
    alone = gradients(targets, slice(0, 8))
    for found in shared[targets]:
        np.testing.assert_allclose(found, alone, atol=1e-6)


def test_a_process_that_kept_to_its_own_windows_would_not():
    apart = (gradients("multi_positive", SHARES[0]) + gradients("multi_positive", SHARES[1])) / 2
    assert np.abs(apart - gradients("multi_positive", slice(0, 8))).max() > 1e-3
