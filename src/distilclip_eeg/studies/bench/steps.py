"""G5 to G9: a training step beside its parts, a bare loop, a recipe without savings, matrix products."""

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn import functional as F

from distilclip_eeg.config.compose import load
from distilclip_eeg.config.experiment import TrainSettings
from distilclip_eeg.config.learning import DistillConfig, Learning
from distilclip_eeg.models.clip import DistilCLIP
from distilclip_eeg.models.contract import EncoderWithHead, build_network
from distilclip_eeg.models.cost import flops
from distilclip_eeg.studies.bench.contest import Contest, Ratio
from distilclip_eeg.training.data import Data
from distilclip_eeg.training.devices import make_accelerator
from distilclip_eeg.training.engine import Fit, Loop, make_optimizer
from distilclip_eeg.training.loaders import Batch, epoch_order
from distilclip_eeg.training.tasks import ClassifyTask, ClipTask, DistillTask, Task
from distilclip_eeg.training.text_bank import TextBank

SEED, BATCH = 0, 32
SIZES: dict[str, Any] = {"n_chans": 19, "n_times": 256, "sfreq": 256.0, "n_outputs": 2}
TEXTS, TOKENS, PADDED = 4, 24, 64
"""Distinct texts of a batch, their length, and the length that a fixed padding would give them."""
MATMUL = 2048
BERT = ("text_encoder=random_tiny", "text_encoder.dim=768", "text_encoder.depth=12", "text_encoder.heads=12")
"""BERT-base's size with random weights; they change no time."""


def learning_of(*words: str) -> Learning:
    """What ``train`` is told to learn, without running mean and warm-up."""
    return load(TrainSettings, [*words, "optim.ema=0", "optim.warmup_steps=0"]).each_seed()[0].learning


class Ticks:
    """A ``tick`` that remembers when it was called."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, int]] = []

    def __call__(self, steps: int, text: str) -> None:
        self.calls.append((time.perf_counter(), steps))

    @property
    def per_step(self) -> float:
        """Seconds, from the first call to the last."""
        return (self.calls[-1][0] - self.calls[0][0]) / sum(steps for _, steps in self.calls[1:])


def engine(learning: Learning, data: Data, steps: int, accelerator: Accelerator) -> float:
    """Seconds that a step of the product's loop takes, batch included."""
    rows, ticks = np.arange(len(data.windows)), Ticks()
    torch.manual_seed(SEED)
    task = ClassifyTask(build_network(learning.model, data.sizes()))
    trainer = replace(learning.trainer, max_steps=steps)
    with tempfile.TemporaryDirectory() as folder:
        loop = Loop(trainer, learning.optim, SEED, accelerator, tick=ticks)
        Fit(task, data.source(rows), rows, rows[:0], Path(folder), loop).run()
    return ticks.per_step


def bare(learning: Learning, data: Data, steps: int) -> float:
    """Seconds that a step of a loop takes that does nothing else, batch included."""
    rows, ticks = np.arange(len(data.windows)), Ticks()
    torch.manual_seed(SEED)
    task = ClassifyTask(build_network(learning.model, data.sizes()))
    optimizer, source = make_optimizer(task, learning.optim), data.source(rows)
    task.train()
    order = np.resize(epoch_order(rows, SEED, 0), (steps, BATCH))
    for part in order:
        step(task, optimizer, source.batch(part))
        ticks(1, "")
    return ticks.per_step


def step(task: Task, optimizer: torch.optim.Optimizer, batch: Batch) -> None:
    """Forward, backward, clip, step."""
    loss = task(batch)["loss"]
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(task.parameters(), 1.0)
    optimizer.step()


def loops(data: Data, rounds: int) -> Iterator[Contest]:
    """G5 and G9, tiny and small."""
    accelerator = make_accelerator("fp32", "cpu")
    rows = np.arange(len(data.windows))
    source = data.source(rows)

    def batches(steps: int) -> float:
        start = time.perf_counter()
        for part in np.resize(epoch_order(rows, SEED, 1), (steps, BATCH)):
            source.batch(part)
        return (time.perf_counter() - start) / steps

    for size, steps in (("tiny", 40), ("small", 20)):
        learning = learning_of(f"model=student_{size}", "text.source=none")
        yield Contest(
            f"student_{size}, {steps} steps of {BATCH} windows",
            {
                "batch": partial(batches, steps),
                "bare": partial(bare, learning, data, steps),
                "engine": partial(engine, learning, data, steps, accelerator),
            },
            (
                Ratio("G5", f"batch / step of the loop, student_{size}", "batch", "engine", "<= 0.01"),
                Ratio("G9", f"step of the loop / bare loop, student_{size}", "engine", "bare", "<= 1.02"),
            ),
            rounds,
        )


def batch_of(sizes: dict) -> Batch:
    """Random windows."""
    eeg_BCT = torch.randn(BATCH, sizes["n_chans"], sizes["n_times"])
    return Batch(eeg_BCT, torch.arange(BATCH) % sizes["n_outputs"], np.arange(BATCH))


def ready(task: Task, learning: Learning, batch: Batch, autocast: bool = False) -> Callable[[], None]:
    """A training step of ``task``, again and again on the same windows."""
    optimizer = make_optimizer(task.train(), learning.optim)

    def work() -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            loss = task(batch)["loss"]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return work


class Spendthrift(Task):
    """Algorithm 1 as a naive program does it: every window's text anew, padded to a fixed length."""

    def __init__(self, model: DistilCLIP, ids_BL: Tensor):
        super().__init__()
        self.model, self.ids_BL = model, ids_BL

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The sum of both losses."""
        eeg = self.model.eeg.encode(batch.eeg_BCT)
        text = self.model.encode_text(self.ids_BL, torch.ones_like(self.ids_BL))
        logits = F.normalize(eeg, dim=-1) @ F.normalize(text, dim=-1).T * self.model.logit_scale.exp()
        contrast = F.cross_entropy(logits, torch.arange(BATCH))
        return {"loss": contrast + F.cross_entropy(self.model.eeg.classifier(eeg), batch.label_B)}

    def text_parameters(self) -> list[nn.Parameter]:
        """Those of the text encoder."""
        return list(self.model.text.parameters())


def teacher(train: str) -> tuple[DistilCLIP, TextBank, Learning]:
    """``teacher_lean`` with a text encoder of BERT-base's size and a bank of four texts."""
    learning = learning_of("model=teacher_lean", *BERT, f"text_encoder.train={train}")
    words = [f"word{i}" for i in range(TOKENS - 2)]
    sentences = [" ".join([*words[i:], *words[:i]]) for i in range(TEXTS)]
    torch.manual_seed(SEED)
    backend = learning.text_encoder.build("text_encoder", sentences=sentences)
    eeg = build_network(learning.model, SIZES)
    assert isinstance(eeg, EncoderWithHead)
    bank = TextBank(backend.tokenizer, [sentences[i % TEXTS] for i in range(BATCH)])
    return DistilCLIP(eeg, backend.encoder), bank, learning


def texts(rounds: int) -> Contest:
    """G6."""
    batch, ids_BL = batch_of(SIZES), torch.full((BATCH, PADDED), 5)
    ways: dict[str, Callable[[], None]] = {}
    for train in ("prompts", "full"):
        model, bank, learning = teacher(train)
        if train == "prompts":
            clip = ClipTask(model, bank, alpha=learning.loss.alpha, targets=learning.loss.targets)
            ways |= {"own": ready(clip, learning, batch), "bf16": ready(clip, learning, batch, autocast=True)}
        ways[train] = ready(Spendthrift(model, ids_BL), learning, batch)
    return Contest(
        f"teacher_lean with BERT-base's size, {BATCH} windows, {TEXTS} texts of {TOKENS} tokens",
        ways,
        (
            Ratio("G6", "teacher, body frozen: 32 texts of 64 / own, 4 of 24", "prompts", "own", ">= 7"),
            Ratio("G6", "teacher: 32 of 64, all trained, fp32 / own, bf16", "full", "bf16", ">= 12"),
        ),
        rounds,
        warm=False,
    )


def distilling(rounds: int) -> Contest:
    """G7."""
    batch, ids_BL = batch_of(SIZES), torch.full((BATCH, PADDED), 5)
    model, _, _ = teacher("prompts")
    model.eval()
    learning = learning_of("model=student_lean", "text.source=none")
    student = build_network(learning.model, SIZES)
    assert isinstance(student, EncoderWithHead)
    step_of_own = ready(
        DistillTask(student, torch.randn(BATCH, SIZES["n_outputs"]), DistillConfig()), learning, batch
    )

    def both() -> None:
        with torch.no_grad():
            model.eeg(batch.eeg_BCT)
            model.encode_text(ids_BL, torch.ones_like(ids_BL))
        step_of_own()

    return Contest(
        f"student_lean beside its teacher, {BATCH} windows",
        {"own": step_of_own, "both": both},
        (Ratio("G7", "distillation: teacher and text anew / own, cached", "both", "own", ">= 8"),),
        rounds,
        warm=False,
    )


def products(rounds: int) -> Contest:
    """G8; a step is counted as three forward passes."""
    learning = learning_of("model=teacher_lean", "text.source=none")
    batch = batch_of(SIZES)
    net = build_network(learning.model, SIZES)
    work = 3 * flops(net, batch.eeg_BCT)[""]
    net.requires_grad_(True)
    task = ClassifyTask(net)
    a, b = torch.randn(2, MATMUL, MATMUL)
    low = a.bfloat16(), b.bfloat16()
    share = work / (2 * MATMUL**3)
    return Contest(
        f"teacher_lean's EEG side, {work / 1e9:.0f} GFLOP a step of {BATCH} windows",
        {
            "step": ready(task, learning, batch),
            "step bf16": ready(task, learning, batch, autocast=True),
            "matmul": lambda: a @ b,
            "matmul bf16": lambda: low[0] @ low[1],
        },
        (
            Ratio("G8", "EEG step's FLOP/s / matmul's, fp32", "matmul", "step", ">= 0.75", share),
            Ratio("G8", "EEG step's FLOP/s / matmul's, bf16", "matmul bf16", "step bf16", ">= 0.65", share),
        ),
        rounds,
    )


def contests(data: Data, rounds: int) -> Iterator[Contest]:
    """G5 to G9."""
    yield from loops(data, rounds)
    yield texts(min(rounds, 3))
    yield distilling(min(rounds, 3))
    yield products(rounds)
