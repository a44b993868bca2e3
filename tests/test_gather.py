"""Two processes that share a step, and a training, do what one does that holds all of it."""

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn

from distilclip_eeg.config.learning import OptimConfig, TrainerConfig
from distilclip_eeg.models.clip import DistilCLIP
from distilclip_eeg.models.conformer import Conformer
from distilclip_eeg.models.losses import TARGETS
from distilclip_eeg.models.text_backends import random_tiny
from distilclip_eeg.training import processes
from distilclip_eeg.training.averaging import kept_state
from distilclip_eeg.training.devices import make_accelerator
from distilclip_eeg.training.engine import Fit, Loop
from distilclip_eeg.training.gather import share_statistics
from distilclip_eeg.training.loaders import Batch
from distilclip_eeg.training.predicting import predict
from distilclip_eeg.training.tasks import ClipTask
from distilclip_eeg.training.text_bank import TextBank
from distilclip_eeg.training.trail import Trail

SENTENCES = ["Slow waves.", "Rhythmic sharp waves of high amplitude.", "Flat."]
DESCRIPTION = [SENTENCES[k] for k in (0, 1, 0, 2, 1, 0, 0, 1)]
CLASSES = ["A quiet recording.", "A rhythm that grows."]
CASES = [*((targets, "eeg", 8) for targets in TARGETS), ("identity", "fused", 8)] + [
    *(("multi_positive", "eeg", n) for n in (7, 3, 1)),  # uneven; one text for two; a window for two
]


def teacher(targets: str, head_input: str = "eeg", dropout: float = 0.0, texts=DESCRIPTION) -> ClipTask:
    """A small teacher."""
    torch.manual_seed(0)
    sizes = {"dim": 8, "depth": 1, "heads": 2, "n_prompts": 2, "dropout": dropout}
    eeg = Conformer(n_chans=3, n_times=64, sfreq=64.0, n_outputs=2, embed=6, **sizes)
    backend = random_tiny([*SENTENCES, *CLASSES], **sizes)
    model = DistilCLIP(eeg, backend.encoder, head_input=head_input, with_bias=targets == "sigmoid")
    bank = TextBank(backend.tokenizer, texts, CLASSES)
    return ClipTask(model, bank, alpha=0.5, targets=targets).train()


def gradients(targets: str, head_input: str, n: int) -> np.ndarray:
    """Loss, gradients and running statistics of a teacher after the first ``n`` windows, as far as ours."""
    task = teacher(targets, head_input)
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


class Windows:
    """Random windows whose class shows in their size; it notes which were asked for."""

    resident = False

    def __init__(self):
        rng = np.random.default_rng(0)
        self.label = np.arange(30) % 2
        eeg = rng.standard_normal((30, 3, 64)) * (1 + self.label[:, None, None])
        self.eeg, self.seen = torch.from_numpy(eeg.astype(np.float32)), []

    def batch(self, rows, device="cpu"):
        self.seen.append(rows.tolist())
        return Batch(self.eeg[rows], torch.from_numpy(self.label[rows]), rows)


def fold(folder: Path, dropout: float, stop: int | None = None) -> dict[str, np.ndarray]:
    """A training of two epochs on 19 windows, the last batch of one; ``stop``: dies before that step."""
    folder.mkdir(exist_ok=True, parents=True)
    texts = [SENTENCES[k % 3] for k in range(30)]
    task = teacher("multi_positive", dropout=dropout, texts=texts)
    loop = Loop(
        TrainerConfig(epochs=2, batch_size=6),
        OptimConfig(lr=1e-2, ema=0.9),
        3,
        make_accelerator("fp32", "cpu"),
        trail=Trail("tensorboard", folder, {}, ("bckg", "seiz")),
    )
    fit = Fit(task, Windows(), np.arange(19), np.arange(19, 30), folder, loop)
    begun, prepare_step = fit.step, fit.prepare_step

    def prepare(made):
        if fit.step == stop:
            raise KeyboardInterrupt
        return prepare_step(made)

    fit.prepare_step = prepare
    try:
        trained = fit.run()
    except KeyboardInterrupt:
        return {}
    seen = np.concatenate(fit.source.seen)
    return {
        "begun": np.array(begun),
        "seen": seen,
        "weights": np.concatenate([v.double().flatten().numpy() for v in kept_state(trained).values()]),
        "answers": predict(trained, fit.source, np.arange(29, 18, -1), fit.accelerator, batch_size=2),
    }


def trainings(folder: Path) -> dict[str, dict]:
    """Trainings by these processes, whole ones and ones that died and were started again."""
    done = {"by one, then two": fold(folder / "from-one", 0.0)}
    for dropout in (0.0, 0.3):
        done[f"whole {dropout}"] = fold(folder / f"whole{dropout}", dropout)
        fold(folder / f"broken{dropout}", dropout, stop=6)
        if processes.first() and not dropout:
            shutil.copytree(folder / "broken0.0", folder / "for-one")
        done[f"again {dropout}"] = fold(folder / f"broken{dropout}", dropout)
    return done


def work(rank: int, folder: str) -> None:
    """One of two processes; what it writes is the mean over both, as DistributedDataParallel takes it."""
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"}
    os.environ |= dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE"), "2")
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
    for name, found in trainings(Path(folder) / "folds").items():
        np.savez(os.path.join(folder, f"{name}-{rank}.npz"), **found)
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def shared():
    with tempfile.TemporaryDirectory() as folder:
        fold(Path(folder) / "folds" / "from-one", 0.0, stop=6)
        mp.start_processes(work, (folder,), nprocs=2, start_method="forkserver")

        def found(name):
            [kind] = {path.suffix for path in Path(folder).glob(f"{name}-?.np*")}
            return [np.load(os.path.join(folder, f"{name}-{rank}{kind}")) for rank in (0, 1)]

        found.folds = Path(folder) / "folds"
        yield found


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


# ------------------------------------------------------------------------------------ a whole training


def test_two_processes_train_a_fold_like_one(shared, tmp_path):
    """Adam divides by the size of a gradient: weights whose gradient is rounding may differ, answers not."""
    alone, two = fold(tmp_path, 0.0), shared("whole 0.0")
    ours, theirs = (pd.read_csv(path / "history.csv") for path in (tmp_path, shared.folds / "whole0.0"))
    pd.testing.assert_frame_equal(ours, theirs, rtol=1e-4)
    for found in two:
        np.testing.assert_allclose(found["answers"], alone["answers"], atol=1e-3)
    assert np.array_equal(two[0]["weights"], two[1]["weights"])


def test_each_window_is_seen_once_an_epoch_by_one_of_them(shared):
    one, other = (found["seen"].tolist() for found in shared("whole 0.0"))
    assert sorted(one + other) == sorted([*range(30), *range(30)])
    trained = [len([row for row in rows if row < 19]) for rows in (one, other)]
    assert trained == [2 * (3 + 3 + 3 + 1), 2 * (3 + 3 + 3)]  # the window at the end is the first one's


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_two_processes_that_died_end_with_the_same_bytes(shared, dropout):
    for whole, again in zip(shared(f"whole {dropout}"), shared(f"again {dropout}"), strict=True):
        assert again["begun"] == 4 and whole["begun"] == 0
        assert np.array_equal(whole["weights"], again["weights"])
        assert np.array_equal(whole["answers"], again["answers"])
    whole, broken = (shared.folds / f"{kind}{dropout}" / "history.csv" for kind in ("whole", "broken"))
    assert whole.read_bytes() == broken.read_bytes()


def test_another_number_of_processes_goes_on_from_a_checkpoint(shared, tmp_path):
    alone = fold(tmp_path, 0.0)
    by_one = fold(shared.folds / "for-one", 0.0)  # which two began
    assert by_one["begun"] == 4
    np.testing.assert_allclose(by_one["answers"], alone["answers"], atol=1e-3)
    for by_two in shared("by one, then two"):
        assert by_two["begun"] == 4
        np.testing.assert_allclose(by_two["answers"], alone["answers"], atol=1e-3)


def test_the_first_process_alone_writes(shared):
    written = sorted(path.name for path in (shared.folds / "whole0.0").iterdir())
    assert written == ["checkpoint.prev.pt", "checkpoint.pt", "history.csv", "tensorboard"]
    assert len(list((shared.folds / "whole0.0" / "tensorboard").iterdir())) == 1
