"""What a run will cost, said before it starts, and refused where it cannot end."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from distilclip_eeg.config.experiment import SideBySide
from distilclip_eeg.files.folders import free_bytes
from distilclip_eeg.files.reading import read_csv
from distilclip_eeg.progress import clock, size
from distilclip_eeg.schema import ConfigError, MachineError
from distilclip_eeg.training import measure
from distilclip_eeg.training.data import learned_rows, test_rows
from distilclip_eeg.training.descriptions import MEASURED
from distilclip_eeg.training.devices import make_accelerator
from distilclip_eeg.training.measure import Costs, Network
from distilclip_eeg.training.opening import Planned
from distilclip_eeg.workers import memory_here

LONG = 2000
"""A run of so many steps takes a few on a copy first, to tell its time and memory."""
PREDICTED = 320
"""Bytes of a window in ``predictions.npz``, with names of a usual length."""


@dataclass(frozen=True)
class Fold:
    """What is to do of one."""

    train: int
    """Windows."""
    val: int
    test: int
    steps: int
    """That are not done yet, if patience does not end them."""


@dataclass(frozen=True)
class Forecast:
    """Of a run that is planned."""

    plan: Planned
    how: SideBySide
    folds: tuple[Fold, ...]
    """Those that are not finished."""
    network: Network | None
    """None: a floor."""
    costs: Costs | None
    """None: not measured."""

    @classmethod
    def of(cls, plan: Planned, how: SideBySide) -> "Forecast":
        """Its sizes, and what its parts cost where the run is long or dry.

        Not on a cluster, whose machines are others.
        """
        todo = numbers_to_do(plan)
        folds = tuple(to_do(plan, k) for k in todo)
        floor = plan.settings.model.kind == "floor"
        network = costs = None
        if todo and not floor:
            network = measure.network(plan, todo[0])
        asked = plan.settings.run.dry or sum(fold.steps for fold in folds) >= LONG
        if todo and asked and how.cluster is None:
            costs = (measure.floor_costs if floor else measure.costs)(plan, todo[0])
        return cls(plan, how, folds, network, costs)

    # ------------------------------------------------------------------------------------------- time

    def seconds(self, fold: Fold) -> float:
        """What a fold will take here, alone."""
        costs, trainer = self.costs, self.plan.settings.trainer
        assert costs is not None, "not measured"
        if self.network is None:  # a floor is fitted twice: without its validation windows and with them
            return costs.answer_s * (2 * fold.train + 2 * fold.val + fold.test)
        whole = fold.train / trainer.batch_size
        filled = whole / -(-fold.train // trainer.batch_size)  # the last batch of an epoch may be small
        epochs = -(-fold.steps // trainer.steps_of_epoch(fold.train))
        opened = costs.open_s + costs.open_window_s * self._windows_opened(fold)
        answered = costs.answer_s * (epochs * fold.val + fold.val + fold.test)
        return opened + costs.step_s * fold.steps * filled + epochs * costs.epoch_s + answered + costs.save_s

    def _windows_opened(self, fold: Fold) -> int:
        """How many opening a fold depends on: a teacher describes all, a student's are answered before."""
        return fold.train if self.plan.settings.teacher else len(self.plan.data.windows)

    @property
    def before_s(self) -> float:
        """What is done once for all folds: windows are measured for their texts, unless they have been."""
        learning, data = self.plan.settings.learning, self.plan.data
        described = learning.uses_text and learning.text.source in MEASURED
        if self.costs is None or not described or data.measures_path(learning.text.context_s).exists():
            return 0.0
        return self.costs.describe_s * len(data.windows)

    @property
    def total_s(self) -> float:
        """Of all folds, one after another."""
        return self.before_s + sum(map(self.seconds, self.folds))

    # ----------------------------------------------------------------------------------- memory and disk

    @cached_property
    def device(self) -> torch.device:
        """Where it will be trained, if here."""
        learning = self.plan.settings.learning
        return make_accelerator(learning.trainer.precision, learning.device).device

    @property
    def memory(self) -> int:
        """Bytes that one fold needs at its peak, as measured; else those that it cannot do without."""
        if self.costs is not None:
            return self.costs.peak
        return self.network.least_memory if self.network else 0

    @property
    def most_memory(self) -> int:
        """Bytes that this machine has where the run trains."""
        return all_memory(self.device)

    @property
    def at_once(self) -> int:
        """Folds that share one device."""
        here = min(self.how.jobs, len(self.folds)) if self.how.cluster is None else 1
        return -(-here // max(1, torch.cuda.device_count())) if self.device.type == "cuda" else here

    @cached_property
    def disk(self) -> int:
        """Bytes of all folds, with the older checkpoints of those that are at work at once."""
        each = [PREDICTED * (fold.val + fold.test) for fold in self.folds]
        if self.network is not None:
            each = [size + self.network.checkpoint + self.network.bytes_kept for size in each]
            each.append(2 * min(self.how.jobs, len(self.folds)) * self.network.checkpoint)
        return sum(each)

    @property
    def free(self) -> int:
        """Bytes that are free where runs lie."""
        return free_bytes(Path(self.plan.settings.run.root))

    def check(self) -> None:
        """Refuse a run that cannot end.

        Raises:
            MachineError: ``disk_too_small`` or ``memory_too_small``.
        """
        root, n = self.plan.settings.run.root, len(self.folds)
        if self.disk > self.free:
            raise MachineError(
                f"run.root={root}: {n} folds need {size(self.disk)} of disk and {size(self.free)} are free. "
                "Free some, or set run.root to another disk.",
                reason="disk_too_small",
            )
        if self.how.cluster is None and self.memory * self.at_once > self.most_memory:
            raise MachineError(
                f"{self.at_once} folds at a time need {size(self.memory * self.at_once)} of memory and "
                f"{self.device.type} has {size(self.most_memory)}. Lower jobs or trainer.batch_size, or take "
                "a smaller model.",
                reason="memory_too_small",
            )

    # ------------------------------------------------------------------------------------------- words

    def lines(self) -> list[str]:
        """What is printed."""
        if not self.folds:
            return ["nothing is left to do"]
        told = {
            "device": self._device_line(),
            "model": self._model_line(),
            "windows": self._windows_line(),
            "steps": self._steps_line(),
            "text": self._text_line(),
            "time": self._time_line(),
            "memory": self._memory_line(),
            "disk": self._disk_line(),
        }
        return [f"  {name:9s}{text}" for name, text in told.items() if text]

    def _device_line(self) -> str:
        settings = self.plan.settings
        if self.how.cluster is not None:
            return f"cluster={self.how.cluster}, {settings.trainer.precision}"
        if self.device.type == "cuda":
            name = f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(self.device)}"
        else:
            name = f"cpu, threads={torch.get_num_threads()}"
        return name if self.network is None else f"{name}, {settings.trainer.precision}"

    def _model_line(self) -> str:
        name, network = self.plan.settings.model.name, self.network
        if network is None:
            return f"{name}, no network"
        return f"{name}, {network.parameters:,} parameters, {network.trained:,} of them trained"

    def _windows_line(self) -> str:
        parts = [(name, [getattr(fold, name) for fold in self.folds]) for name in ("train", "val", "test")]
        said = ", ".join(f"{name} {span(counts)}" for name, counts in parts)
        return f"{len(self.plan.data.windows):,}; in each of {len(self.folds)} folds {said}"

    def _steps_line(self) -> str:
        if self.network is None:
            return ""
        trainer, total = self.plan.settings.trainer, sum(fold.steps for fold in self.folds)
        size = f"of {trainer.batch_size} windows"
        ends = "" if trainer.patience is None else f", fewer where {trainer.patience} epochs bring nothing"
        return f"{total:,} {size}, {span([fold.steps for fold in self.folds])} a fold{ends}"

    def _text_line(self) -> str:
        learning = self.plan.settings.learning
        if self.network is None or not learning.uses_text:
            return ""
        share = f", {100 * self.costs.text_share:.0f} % of the forward pass" if self.costs else ""
        return f"{learning.text.source}{share}"

    def _time_line(self) -> str:
        if self.how.cluster is not None:
            return "unknown here; each job says how it gets on in its log"
        if self.costs is None:
            return f"told while it runs ({LONG:,} steps or run.dry=true: measured before)"
        longest = max(self.seconds(fold) for fold in self.folds)
        said = f"{clock(self.total_s)}, a fold {clock(longest)} at most"
        if self.how.jobs > 1:
            said += f"; one after another, and jobs={self.how.jobs} share what there is"
        return said + (f"; {1000 * self.costs.step_s:.1f} ms a step" if self.network else "")

    def _memory_line(self) -> str:
        if self.how.cluster is not None or not self.memory:
            return ""
        times = f"{self.at_once} x " if self.at_once > 1 else ""
        least = "" if self.costs else "at least "
        return f"{least}{times}{size(self.memory)} of {size(self.most_memory)}"

    def _disk_line(self) -> str:
        store = sum(path.stat().st_size for path in self.plan.data.store.path.iterdir() if path.is_file())
        return f"{size(self.disk)} of {size(self.free)} free; the store of {size(store)} is there"


def told(plan: Planned, how: SideBySide) -> Planned:
    """Say what a planned run will cost, before it is begun; not where a fold is trained by several processes.

    Raises:
        MachineError: it cannot end.
        ConfigError: ``run.dry`` of several processes, which would say nothing.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        if plan.settings.run.dry:
            raise ConfigError("run.dry=true tells what one process costs. Start it without torchrun.")
        return plan
    forecast = Forecast.of(plan, how)
    print("\n".join(["what the run will cost:", *forecast.lines()]), flush=True)
    forecast.check()
    return plan


def numbers_to_do(plan: Planned) -> list[int]:
    """The chosen folds that are not finished."""
    if plan.settings.run.fresh:
        return plan.folds
    epochs = None if plan.settings.model.kind == "floor" else plan.settings.trainer.epochs
    return [k for k in plan.folds if not plan.run.fold_done(k, epochs)]


def to_do(plan: Planned, fold: int) -> Fold:
    """Windows and steps of a fold."""
    data, trainer = plan.data, plan.settings.trainer
    train = len(learned_rows(data, fold, trainer.max_train_windows))
    steps = 0 if plan.settings.model.kind == "floor" else trainer.steps(train) - steps_done(plan, fold)
    return Fold(train, len(data.rows(fold, "val")), len(test_rows(data, fold)), max(0, steps))


def steps_done(plan: Planned, fold: int) -> int:
    """Steps of the whole epochs that a fold was trained before it was stopped."""
    path = plan.run.fold(fold) / "history.csv"
    if plan.settings.run.fresh or not path.exists():
        return 0
    return int(read_csv(path, "step")["step"].iloc[-1])


def all_memory(device: torch.device) -> int:
    """Bytes of a device; of the CPU what the machine has, or its container may use."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[1]
    return memory_here()


def span(counts: Sequence[int]) -> str:
    """Smallest and largest of some numbers."""
    low, high = min(counts), max(counts)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
