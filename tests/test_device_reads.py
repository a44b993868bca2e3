"""A training step never waits for its device: nothing of it is read, but every ``log_every`` steps."""

from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest
import torch
from test_tasks import DESCRIPTION, SENTENCES, TIMES, Windows, conformer, distillation, teacher
from torch.utils._python_dispatch import TorchDispatchMode

from distilclip_eeg.config.data import View
from distilclip_eeg.config.learning import OptimConfig, TrainerConfig
from distilclip_eeg.models.losses import TARGETS
from distilclip_eeg.models.text_backends import random_tiny
from distilclip_eeg.training import engine
from distilclip_eeg.training.augment import hide_context, standard
from distilclip_eeg.training.devices import make_accelerator
from distilclip_eeg.training.engine import Fit, Loop
from distilclip_eeg.training.tasks import CachedText, ClassifyTask, MetaTask
from distilclip_eeg.training.text_bank import TextBank

READERS = ("item", "tolist", "numpy", "cpu", "__float__", "__int__", "__bool__", "__index__", "__array__")
WAITING = {
    *("aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::unique_dim"),
    *("aten::_unique", "aten::_unique2", "aten::unique_consecutive", "aten::equal"),
}
"""Operations whose answer, or its shape, the host must know: behind each stands a wait."""


class Watch(TorchDispatchMode):
    """Counts reads while ``on``, of whichever way."""

    def __init__(self, monkeypatch):
        super().__init__()
        self.on, self.found = False, []
        for name in READERS:
            monkeypatch.setattr(torch.Tensor, name, self.told(name, getattr(torch.Tensor, name)))

    def told(self, name, original):
        def read(tensor, *args, **kwargs):
            if self.on:
                self.found.append(name)
            return original(tensor, *args, **kwargs)

        return read

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if self.on and func.name().partition(".")[0] in WAITING:
            self.found.append(func.name())
        return func(*args, **(kwargs or {}))


def student():
    made = teacher().eval().model
    bank = TextBank(random_tiny(SENTENCES, dim=8, heads=2).tokenizer, DESCRIPTION)
    text_UE = made.encode_text(bank.input_ids, bank.attention_mask).detach()
    text = CachedText(bank, text_UE, torch.zeros(2, 6), made.logit_scale.detach())
    weights = {"contrast": 0.3, "cosine": 0.1, "mse": 0.1}
    return distillation(conformer(1), torch.randn(12, 2), teacher_NE=torch.randn(12, 6), text=text, **weights)


TASKS = {
    "without text": lambda: ClassifyTask(conformer()),
    "student": student,
    "over subjects": lambda: MetaTask(conformer(), np.arange(12) % 3, inner_lr=0.05),
    **{f"teacher, {targets}": partial(teacher, targets=targets) for targets in TARGETS},
    "teacher, fused": partial(teacher, head_input="fused"),
    "teacher, text": partial(teacher, head_input="text", alpha=0.0),
}


def augment(eeg_BCT, rows, *, seed, epoch):
    eeg_BCT = standard(eeg_BCT, rows, seed=seed, epoch=epoch, sfreq=64.0)
    return hide_context(eeg_BCT, rows, seed=seed, epoch=epoch, view=View(TIMES - 8, 4, 4))


def fit(task, folder, ema=0.9, **trainer):
    trainer = TrainerConfig(**({"epochs": 1, "batch_size": 2, "log_every": 2} | trainer))
    optim = OptimConfig(ema=ema, warmup_steps=2)
    loop = Loop(trainer, optim, 5, make_accelerator("fp32", "cpu"), augment)
    return Fit(task, Windows(), np.arange(8), np.arange(8, 12), folder, loop)


@pytest.mark.parametrize("name, ema", [*((name, 0.9) for name in TASKS), ("teacher, identity", 0.0)])
def test_nothing_is_read_between_two_log_steps(name, ema, tmp_path, monkeypatch):
    training = fit(TASKS[name](), tmp_path, ema)
    watch, read, reads = Watch(monkeypatch), training.read, []

    def look():
        was, watch.on = watch.on, False
        reads.append(training.step)
        read()
        watch.on = was

    def closed(close=training.close_epoch):
        watch.on = False
        close()

    monkeypatch.setattr(training, "read", look)
    monkeypatch.setattr(training, "close_epoch", closed)
    with watch:
        watch.on = True
        training.run()
    assert watch.found == []
    assert training.step == 4 and reads == [2, 4, 4]  # the last one where the epoch ends


@pytest.mark.parametrize("read", [float, bool, int, torch.nonzero, torch.unique, lambda x: x.tolist()])
def test_the_watch_sees_every_way_of_reading(read, monkeypatch):
    watch = Watch(monkeypatch)
    with watch:
        watch.on = True
        read(torch.ones(()) + 1)
    assert watch.found


@pytest.mark.parametrize("name", TASKS)
def test_a_step_runs_where_there_is_nothing_to_read(name, tmp_path, monkeypatch):
    """On torch's meta device tensors have shapes and no values; any read is an error, below Python too."""
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: nullcontext())  # unknown to that device
    monkeypatch.setattr(engine, "make_optimizer", unfused)
    accelerator = make_accelerator("fp32", "cpu")
    monkeypatch.setattr(type(accelerator), "device", torch.device("meta"))
    training = Fit(
        TASKS[name](),
        Windows(),
        np.arange(8),
        np.arange(8, 12),
        tmp_path,
        Loop(TrainerConfig(epochs=1, batch_size=2), OptimConfig(ema=0.9), 5, accelerator, augment),
    )
    for step in range(3):
        batch = training.prepare_step(training.made(step))
        assert batch.eeg_BCT.is_meta and batch.label_B.is_meta
        training.finish_step(training.task(batch), batch)
    with pytest.raises((RuntimeError, NotImplementedError), match="meta tensor"):
        training.read()


def unfused(task, config):
    """The optimiser without its fused kernel, which that device has not."""
    optimizer = torch.optim.AdamW([p for p in task.parameters() if p.requires_grad], lr=config.lr)
    for group in optimizer.param_groups:
        group["peak_lr"] = group["lr"]
    return optimizer
