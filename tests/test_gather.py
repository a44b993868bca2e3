"""Two processes that share a step train like one that holds all of it."""

import os
import tempfile

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from distilclip_eeg.models.clip import DistilCLIP
from distilclip_eeg.models.conformer import Conformer
from distilclip_eeg.models.losses import TARGETS
from distilclip_eeg.models.text_backends import random_tiny
from distilclip_eeg.training import processes
from distilclip_eeg.training.gather import share_statistics
from distilclip_eeg.training.loaders import Batch
from distilclip_eeg.training.tasks import ClipTask
from distilclip_eeg.training.text_bank import TextBank

SENTENCES = ["Slow waves.", "Rhythmic sharp waves of high amplitude.", "Flat."]
DESCRIPTION = [SENTENCES[k] for k in (0, 1, 0, 2, 1, 0, 0, 1)]
CLASSES = ["A quiet recording.", "A rhythm that grows."]
CASES = [*((targets, "eeg", 8) for targets in TARGETS), ("identity", "fused", 8)] + [
    *(("multi_positive", "eeg", n) for n in (7, 3, 1)),  # uneven; one text for two; a window for two
]


def gradients(targets: str, head_input: str, n: int) -> np.ndarray:
    """Loss, gradients and buffers of a small teacher after the first ``n`` windows, as far as they are ours."""
    torch.manual_seed(0)
    sizes = {"dim": 8, "depth": 1, "heads": 2, "n_prompts": 2, "dropout": 0.0}
    eeg = Conformer(n_chans=3, n_times=64, sfreq=64.0, n_outputs=2, embed=6, **sizes)
    backend = random_tiny([*SENTENCES, *CLASSES], **sizes)
    model = DistilCLIP(eeg, backend.encoder, head_input=head_input, with_bias=targets == "sigmoid")
    bank = TextBank(backend.tokenizer, DESCRIPTION, CLASSES)
    task = ClipTask(model, bank, alpha=0.5, targets=targets).train()
    if processes.several():
        share_statistics(task)
    windows = torch.randn(8, 3, 64, generator=torch.Generator().manual_seed(1))
    rows = np.arange(n)
    # Plain kernels: oneDNN's add in another order for another number of windows.
    with torch.backends.mkldnn.flags(enabled=False):
        label = torch.from_numpy(rows % 2)
        loss = task(Batch(windows[:n][processes.part(n)], label, rows))["loss"]
        loss.backward()
    parts = [p.grad.flatten() for p in task.parameters() if p.requires_grad]
    buffers = [b.detach().flatten() for name, b in task.named_buffers() if "running" in name]
    return torch.cat([loss.detach()[None], *parts, *buffers]).double().numpy()


def work(rank: int, folder: str) -> None:
    """One of two processes; what it writes is the mean over both, as DistributedDataParallel takes it."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    for k, case in enumerate(CASES):
        mine = torch.from_numpy(gradients(*case))
        dist.all_reduce(mine)
        np.save(os.path.join(folder, f"{k}-{rank}.npy"), mine.numpy() / 2)
    told = processes.in_order(np.arange(3) + 10 * rank if rank else None)
    np.save(os.path.join(folder, f"told-{rank}.npy"), told)
    parts = [processes.part(n) for n in (0, 1, 2, 7)]
    np.save(os.path.join(folder, f"parts-{rank}.npy"), [(part.start, part.stop) for part in parts])
    first = processes.from_first(lambda: rank + 5)
    np.save(os.path.join(folder, f"first-{rank}.npy"), first)
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def shared():
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(work, (folder,), nprocs=2)
        yield lambda name: [np.load(os.path.join(folder, f"{name}-{rank}.npy")) for rank in (0, 1)]


@pytest.mark.parametrize("k", range(len(CASES)), ids=[f"{t}, {h}, {n} windows" for t, h, n in CASES])
def test_two_processes_have_the_loss_gradient_and_statistics_of_one(k, shared):
    alone = gradients(*CASES[k])
    assert np.isfinite(alone).all()
    for found in shared(k):
        np.testing.assert_allclose(found, alone, atol=5e-6)
        assert np.linalg.norm(found - alone) < 1e-6 * np.linalg.norm(alone)


def test_each_process_has_its_stretch_and_hears_the_others(shared):
    assert shared("parts")[0].tolist() == [[0, 0], [0, 1], [0, 1], [0, 4]]
    assert shared("parts")[1].tolist() == [[0, 0], [1, 1], [1, 2], [4, 7]]
    for told in shared("told"):  # the first has nothing to tell
        assert told.tolist() == [10, 11, 12]
    assert [int(first) for first in shared("first")] == [5, 5]


def test_a_process_alone_is_the_first_and_has_all():
    assert not processes.several() and processes.first() and processes.part(7) == slice(0, 7)
    assert processes.from_first(lambda: 3) == 3


def test_shared_batch_norm_alone_is_batch_norm():
    """The sums are over one process here; in eval mode it is torch's own."""
    torch.manual_seed(0)
    x = torch.randn(5, 3, 4) * 3 + 2
    own, ours = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dist, "all_reduce", lambda x: None)
        share_statistics(ours)
        for _ in range(2):
            torch.testing.assert_close(ours(x), own(x), atol=1e-6, rtol=1e-6)
    for name, value in own.named_buffers():
        torch.testing.assert_close(dict(ours.named_buffers())[name], value, atol=1e-6, rtol=1e-6)
    assert torch.equal(ours.eval()(x), ours.eval()(x)) and ours(x).shape == x.shape
