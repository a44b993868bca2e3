"""What a fold costs here, from a few true steps of the one loop on a throwaway copy of it.

The copy has some of the fold's windows, its network and batch, and a folder of its own that is deleted; what
is measured leaves no trace in the run, whose every random number depends on its seed and step alone.
"""

import resource
import sys
import tempfile
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from distilclip_eeg.config.learning import Learning
from distilclip_eeg.models.clip import DistilCLIP
from distilclip_eeg.training.averaging import kept_state
from distilclip_eeg.training.classic import floor_logits
from distilclip_eeg.training.crossval import Saver, open_fit
from distilclip_eeg.training.data import Data, train_rows
from distilclip_eeg.training.descriptions import MEASURED
from distilclip_eeg.training.devices import make_accelerator
from distilclip_eeg.training.engine import Fit
from distilclip_eeg.training.opening import Planned
from distilclip_eeg.training.predicting import predict

WARM, STEPS = {"cpu": 2, "cuda": 20}, {"cpu": 10, "cuda": 50}
"""Steps before the clock runs, and with it; a GPU chooses its kernels in the first ones."""
ANSWERS = 256
"""Windows of a batch that is predicted."""
FLOOR_ROWS = 2000
"""Windows that a floor is fitted on to measure it."""


@dataclass
class Sample(Data):
    """Some windows of a corpus in one fold; nothing of it is kept in the store."""

    described_s: float = 0.0
    """What it took to measure them for their texts."""

    def measures(self, context_s: float | None = None) -> pd.DataFrame:
        """As of the whole corpus."""
        if context_s not in self._measures:
            began = time.perf_counter()
            self._measures[context_s] = self._measure(*self._stretches(context_s))
            self.described_s += time.perf_counter() - began
        return self._measures[context_s]


def sample(data: Data, fold: int, n_train: int, n_val: int = 0) -> Sample:
    """Windows drawn with repetition, so that there are as many as are asked for."""
    rng = np.random.default_rng(0)
    parts = [(train_rows(data, fold), n_train), (data.rows(fold, "val"), n_val)]
    rows = np.concatenate([rng.choice(rows, n) for rows, n in parts if len(rows)])
    return Sample(
        data.store,
        data.windows.iloc[rows].reset_index(drop=True),
        *(data.view, data.signals, replace(data.cut, balance_train=False), data.split, data.seed),
        *(data.audit, data.leak_note),
    )


@dataclass(frozen=True)
class Network:
    """Sizes of what a fold trains, in numbers and bytes."""

    parameters: int
    trained: int
    bytes_trained: int
    bytes_kept: int
    """Of trained parameters and buffers, as one copy of the weights in a checkpoint."""
    bytes_all: int
    averaged: bool
    """Whether a running mean of the weights is kept too."""

    @classmethod
    def of(cls, fit: Fit) -> "Network":
        """Of an opened fold."""
        parameters = list(fit.plain.parameters())
        trained = [p for p in parameters if p.requires_grad]
        return cls(
            sum(p.numel() for p in parameters),
            sum(p.numel() for p in trained),
            _bytes(trained),
            sum(value.nbytes for value in kept_state(fit.plain).values()),
            _bytes(parameters),
            fit.averaged is not None,
        )

    @property
    def checkpoint(self) -> int:
        """Bytes of a checkpoint: the newest and the best weights, Adam's two moments, a running mean."""
        return (3 if self.averaged else 2) * self.bytes_kept + 2 * self.bytes_trained

    @property
    def least_memory(self) -> int:
        """Bytes without which no step is possible: weights, gradients, Adam's moments, the running mean."""
        return self.bytes_all + 3 * self.bytes_trained + (self.bytes_kept if self.averaged else 0)


def _bytes(parameters: list[nn.Parameter]) -> int:
    return sum(p.nbytes for p in parameters)


@dataclass(frozen=True)
class Costs:
    """Seconds and bytes of one fold's parts."""

    open_s: float
    """From nothing to the first step, whatever the number of windows."""
    open_window_s: float
    """More of it for each window."""
    describe_s: float
    """To measure a window for its text."""
    step_s: float
    """A step of a whole batch."""
    epoch_s: float
    """Of the end of an epoch, its predictions left out."""
    answer_s: float
    """To predict a window."""
    save_s: float
    """To save the network."""
    text_share: float
    """Of the forward pass, what the text encoder takes."""
    peak: int
    """Bytes of memory, of the device that trains."""


@dataclass
class Watch:
    """Notes when steps end: the first ones warm up, the others count."""

    warm: int
    steps: int
    device: torch.device
    done: int = 0
    begun: tuple[int, float] = (0, 0.0)
    ended: tuple[int, float] = (0, 0.0)
    closed: float = 0.0
    """When the epoch was."""

    def tick(self, steps: int, text: str) -> None:
        """Of the loop."""
        before, self.done = self.done, self.done + steps
        if before < self.warm <= self.done:
            self.begun = self.done, now(self.device)
        if before < self.warm + self.steps <= self.done:
            self.ended = self.done, now(self.device)

    def after_epoch(self, row: dict) -> None:
        """Of the loop."""
        self.closed = now(self.device)

    @property
    def step_s(self) -> float:
        """Seconds of a step."""
        (n, began), (m, ended) = self.begun, self.ended
        return (ended - began) / (m - n)


@dataclass
class Share:
    """Seconds that a module's forward passes take."""

    device: torch.device
    seconds: float = 0.0

    def watch(self, module: nn.Module) -> None:
        """Of this module from now on."""
        module.register_forward_pre_hook(self.begin)
        module.register_forward_hook(self.end)

    def begin(self, *_: object) -> None:
        """Before a pass."""
        self.began = now(self.device)

    def end(self, *_: object) -> None:
        """After it."""
        self.seconds += now(self.device) - self.began


def now(device: torch.device) -> float:
    """The time, once the device is idle."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def network(plan: Planned, fold: int) -> Network:
    """Sizes of a fold's network, opened on the CPU."""
    learning = plan.settings.learning
    learning = replace(learning, device="cpu", trainer=replace(learning.trainer, precision="fp32"))
    return Network.of(opened(plan, learning, fold, sample(plan.data, fold, learning.trainer.batch_size))[0])


def opened(plan: Planned, learning: Learning, fold: int, data: Sample, **watch: Any) -> tuple[Fit, Saver]:
    """A fold of the sample, in a folder that is deleted again when nobody holds it."""
    learning = replace(learning, trainer=replace(learning.trainer, log_with="none"))
    folder = tempfile.TemporaryDirectory(prefix="distilclip-eeg-")
    fit, saver = open_fit(learning, data, Path(folder.name), fold, plan.tasks(data), **watch)
    weakref.finalize(fit, folder.cleanup)
    return fit, saver


def costs(plan: Planned, fold: int) -> Costs:
    """What the parts of a fold cost on its device, from a few steps of its network and batch."""
    learning, data = plan.settings.learning, plan.data
    device = make_accelerator(learning.trainer.precision, learning.device).device
    warm, steps = WARM[device.type], STEPS[device.type]
    few = replace(learning, trainer=replace(learning.trainer, epochs=1, max_steps=warm + steps))
    size, n_val = learning.trainer.batch_size, min(2 * ANSWERS, len(data.rows(fold, "val")))
    small, large = sample(data, fold, size), sample(data, fold, size * (warm + steps), n_val)
    if learning.uses_text and learning.text.source in MEASURED:
        large.measures(learning.text.context_s)
    opened(plan, few, fold, small)  # what is imported and compiled once is not a fold's
    small_s = _seconds(lambda: opened(plan, few, fold, small))
    watch = Watch(warm, steps, device)
    began = time.perf_counter()
    fit, saver = opened(plan, few, fold, large, tick=watch.tick, after_epoch=watch.after_epoch)
    large_s = time.perf_counter() - began
    whole, text = Share(device), Share(device)
    whole.watch(fit.task)
    model = getattr(fit.plain, "model", None)
    if isinstance(model, DistilCLIP):
        text.watch(model.text)
    task = fit.run()
    rows = large.rows(fold, "train")[: 2 * ANSWERS]
    answer_s = _seconds(lambda: predict(task, fit.source, rows, fit.accelerator)) / len(rows)
    return Costs(
        open_s=small_s,
        open_window_s=max(0.0, large_s - small_s) / (len(large.windows) - len(small.windows)),
        describe_s=large.described_s / len(large.windows),
        step_s=watch.step_s,
        epoch_s=max(0.0, watch.closed - watch.ended[1] - n_val * answer_s),
        answer_s=answer_s,
        save_s=_seconds(lambda: saver(fit.folder, task)),
        text_share=text.seconds / whole.seconds,
        peak=peak_memory(device),
    )


def floor_costs(plan: Planned, fold: int) -> Costs:
    """What a window costs a classic classifier, fitted on some of them."""
    # Without its view of whole recordings, which would be read for a few windows of each.
    net = plan.settings.model.net.with_arguments(relative=False, span_s=None)
    train = train_rows(plan.data, fold)
    rows = np.sort(np.random.default_rng(0).permutation(train)[:FLOOR_ROWS])
    seconds = _seconds(lambda: floor_logits(net, plan.data, rows, rows)) / (2 * len(rows))
    return Costs(0, 0, 0, 0, 0, seconds, 0, 0, peak_memory(torch.device("cpu")))


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def peak_memory(device: torch.device) -> int:
    """Bytes that this process has held at most, on the device."""
    if device.type == "cuda":
        return torch.cuda.max_memory_reserved(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
