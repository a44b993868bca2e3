"""G11, ``python scripts/benchmark.py what=gpu``: a training step on a GPU, in under ten minutes.

Without a GPU it measures on the CPU what can be measured there, and says what was not seen on a GPU.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch import nn

from distilclip_eeg.config.commands import BenchmarkSettings
from distilclip_eeg.models.contract import build_network
from distilclip_eeg.progress import clock
from distilclip_eeg.studies.bench import ingest
from distilclip_eeg.studies.bench.bench import written
from distilclip_eeg.studies.bench.contest import Contest, Ratio, fact, row_of
from distilclip_eeg.studies.bench.steps import BATCH, SEED, SIZES, batch_of, learning_of
from distilclip_eeg.training.data import Data
from distilclip_eeg.training.devices import make_accelerator
from distilclip_eeg.training.engine import Fit, Loop, make_optimizer
from distilclip_eeg.training.tasks import ClassifyTask

NETS = ("teacher_lean", "teacher_tiny")
"""On a GPU, and on a CPU, where the larger one would take too long."""
STEPS, LEARNED, WARM = 50, 200, 5
UNSEEN = "NOT SEEN ON A GPU: {}. torch finds none here; what stands above was measured on the CPU."


class Stepper:
    """A training step of the EEG side on windows that lie on the device.

    Args:
        autocast: dtype of the products; None: float32.
    """

    def __init__(self, net: str, device: torch.device, autocast: torch.dtype | None = None):
        torch.manual_seed(SEED)
        learning = learning_of(f"model={net}", "text.source=none")
        self.device, self.autocast = device, autocast
        self.task = ClassifyTask(build_network(learning.model, SIZES)).to(device).train()
        self.forward: Callable = self.task
        self.batch = batch_of(SIZES).on(device)
        self.optimizer = make_optimizer(self.task, learning.optim)

    def step(self) -> None:
        """Forward, backward, clip, step; nothing is read back."""
        with torch.autocast(self.device.type, self.autocast, enabled=self.autocast is not None):
            loss = self.forward(self.batch)["loss"]
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.task.parameters(), 1.0)
        self.optimizer.step()

    def compiled(self, mode: str | None = None) -> "Stepper":
        """The same with the forward and backward that torch.compile makes of it."""
        self.forward = torch.compile(self.task, mode=mode)
        return self

    def captured(self) -> Callable[[], None]:
        """The whole step as one CUDA graph."""
        for group in self.optimizer.param_groups:
            group["capturable"] = True
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(WARM):
                self.step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.step()
        return graph.replay


def seconds_of(step: Callable[[], object], device: torch.device, steps: int) -> float:
    """Of one step, to the end of what it started."""
    start = time.perf_counter()
    for _ in range(steps):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return (time.perf_counter() - start) / steps


def ways_of_a_step(device: torch.device, rounds: int, steps: int) -> Contest:
    """Eager, compiled and, on a GPU, as graphs; bf16 beside."""
    cuda = device.type == "cuda"
    net = NETS[0] if cuda else NETS[1]
    ways: dict[str, Callable[[], None]] = {
        "eager": Stepper(net, device).step,
        "eager bf16": Stepper(net, device, torch.bfloat16).step,
        "compiled": Stepper(net, device).compiled().step,
    }
    asked = [
        Ratio("G11", f"step of {net}: eager / compiled", "eager", "compiled"),
        Ratio("G11", f"step of {net}: eager fp32 / eager bf16", "eager", "eager bf16"),
    ]
    if cuda:
        ways["reduce-overhead"] = Stepper(net, device).compiled("reduce-overhead").step
        ways["graph"] = Stepper(net, device).captured()
        ways["graph bf16"] = Stepper(net, device, torch.bfloat16).captured()
        asked += [
            Ratio("G11", f"step of {net}: eager / compiled with graphs", "eager", "reduce-overhead"),
            Ratio("G11", f"step of {net}: eager / one graph", "eager", "graph", ">= 3"),
            Ratio("G11", f"step of {net}: eager / one graph, both bf16", "eager bf16", "graph bf16", ">= 3"),
        ]
    timed = {name: partial(seconds_of, way, device, steps) for name, way in ways.items()}
    return Contest(f"{net}, {BATCH} windows, {device.type}", timed, tuple(asked), rounds)


def gathering(data: Data, device: torch.device, rounds: int, steps: int) -> Contest:
    """A batch from the store to the device beside a step on it."""
    rows = np.arange(len(data.windows))
    source, rng = data.source(rows), np.random.default_rng(SEED)
    net = NETS[0] if device.type == "cuda" else NETS[1]
    ways = {"batch": lambda: source.batch(rng.choice(rows, BATCH), device), "step": Stepper(net, device).step}
    timed = {name: partial(seconds_of, way, device, steps) for name, way in ways.items()}
    asked = (Ratio("G11", f"batch to the device / eager step of {net}", "batch", "step", "<= 0.03"),)
    return Contest(f"batches from the store, {device.type}", timed, asked, rounds)


def fold(data: Data, precision: str, device: str, steps: int, tick: Callable[[int, str], None]) -> dict:
    """Trains ``student_tiny`` as ``train`` does; what the last epoch's history says."""
    learning = learning_of("model=student_tiny", "text.source=none", f"trainer.precision={precision}")
    trainer = replace(learning.trainer, max_steps=steps)
    rows = np.random.default_rng(SEED).permutation(len(data.windows))
    cut = len(rows) // 5
    torch.manual_seed(SEED)
    task = ClassifyTask(build_network(learning.model, data.sizes()))
    with tempfile.TemporaryDirectory() as folder:
        loop = Loop(trainer, learning.optim, SEED, make_accelerator(precision, device), tick=tick)
        fit = Fit(task, data.source(rows[cut:]), rows[cut:], rows[:cut], Path(folder), loop)
        fit.run()
    return fit.history[-1]


def silent(steps: int, text: str) -> None:
    """A ``tick`` that does nothing."""


def precisions(data: Data, device: str, steps: int) -> list[dict]:
    """The validation loss that each precision reaches, beside that of fp32."""
    kinds = ("fp32", "bf16", "fp16") if device == "cuda" else ("fp32", "bf16")
    loss = {kind: fold(data, kind, device, steps, silent)["val_loss"] for kind in kinds}
    return [
        fact("G11", f"validation loss after {steps} steps: {k} / fp32", loss[k] / loss["fp32"])
        for k in kinds[1:]
    ]


def side_by_side(data: Data, device: str, steps: int) -> list[dict]:
    """Two folds one after the other beside two at once, each in a process of its own."""
    seconds = []
    for workers in (1, 2):
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            list(pool.map(_warm, range(workers)))
            start = time.perf_counter()
            jobs = [pool.submit(fold, data, "fp32", device, steps, silent) for _ in range(2)]
            for job in jobs:
                job.result()
            seconds.append(time.perf_counter() - start)
    what = "two folds: one after the other / side by side"
    return [row_of(Ratio("G11", what, "", ""), np.array([seconds[0] / seconds[1]]))]


def _warm(worker: int) -> int:
    """Starts a process and its device."""
    return int(torch.zeros(1, device="cuda" if torch.cuda.is_available() else "cpu").item())


class Watch:
    """A ``tick`` behind which every wait for the device is an error, until the last step but one."""

    def __init__(self, steps: int):
        self.left = steps - 1

    def __call__(self, steps: int, text: str) -> None:
        self.left -= steps
        torch.cuda.set_sync_debug_mode("error" if self.left > 0 else "default")


def waits(data: Data, steps: int = 8) -> str:
    """Whether a step of the loop waits for the GPU, by torch's own check."""
    try:
        fold(data, "fp32", "cuda", steps, Watch(steps))
    except RuntimeError as error:
        return f"sync check: a training step waits for the device ({str(error).splitlines()[0][:60]})"
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return "sync check: no training step waited for the device"


def gpu(settings: BenchmarkSettings, steps: int = STEPS, learned: int = LEARNED) -> Iterator[str]:
    """A line for each part, then the table; writes ``output``.json and ``output``.txt."""
    cuda = torch.cuda.is_available()
    device, rows, notes = torch.device("cuda" if cuda else "cpu"), [], []
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        data = ingest.data_of(Path(scratch), 3)
        for make in (partial(ways_of_a_step, device), partial(gathering, data, device)):
            contest = make(settings.rounds, steps)
            rows += contest.rows(contest.run())
            yield f"G11  {contest.what} ({clock(time.perf_counter() - begun)})"
        rows += precisions(data, device.type, learned)
        yield f"G11  precisions ({clock(time.perf_counter() - begun)})"
        rows += side_by_side(data, device.type, learned)
        yield f"G11  two folds ({clock(time.perf_counter() - begun)})"
        if cuda:
            notes.append(waits(data))
    if not cuda:
        unseen = "CUDA graphs, reduce-overhead, fp16, the sync check, and every figure of this table"
        notes.append(UNSEEN.format(unseen))
    yield written(settings, rows, notes, begun, [])
