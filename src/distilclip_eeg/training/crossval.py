"""Cross-validation: the run folder, every fold of it, one model a fold, predictions and metrics.

Networks go through ``engine.Fit``, floors through scikit-learn; both leave the same files. Of several
processes that share a fold, the first one alone holds it and writes; the others find its files.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch import Tensor

from distilclip_eeg.config import registry
from distilclip_eeg.config.component import Component
from distilclip_eeg.config.data import View, small_seed
from distilclip_eeg.config.learning import Learning
from distilclip_eeg.config.older import leaves
from distilclip_eeg.config.rules import plain
from distilclip_eeg.files.digests import DIGESTS, changed, sign
from distilclip_eeg.files.folders import make_folder, remove_left
from distilclip_eeg.files.locks import Lock
from distilclip_eeg.files.writing import write_json
from distilclip_eeg.progress import Ticker
from distilclip_eeg.runs import Run, write_predictions
from distilclip_eeg.schema import DataError
from distilclip_eeg.scoring.metrics import window_metrics
from distilclip_eeg.training import processes
from distilclip_eeg.training.augment import hide_context
from distilclip_eeg.training.checkpoints import previous
from distilclip_eeg.training.classic import floor_logits
from distilclip_eeg.training.data import Data, learned_rows, test_rows, train_rows
from distilclip_eeg.training.devices import make_accelerator
from distilclip_eeg.training.engine import Fit, Loop, Timed
from distilclip_eeg.training.loaders import WindowSource
from distilclip_eeg.training.predicting import predict
from distilclip_eeg.training.tasks import Task
from distilclip_eeg.training.trail import Trail

OF_FOLD = ("history.csv", "model.safetensors", "model.json", "text.safetensors", "predictions.npz")
"""Files of a fold behind a digest; ``metrics.json`` comes last."""
Saver = Callable[[Path, Any], None]
"""Writes the trained network of a task into a folder."""
MakeTask = Callable[[int, WindowSource, Accelerator], tuple[Task, Saver]]
"""What a fold learns, and what saves it."""


@dataclass(frozen=True)
class CrossValidation:
    """A run that is ready to be trained."""

    learning: Learning
    data: Data
    run: Run
    folds: list[int]
    """The chosen ones."""
    make_task: MakeTask
    ticker: Callable[[int, str], Ticker] = Ticker
    """Counts steps, or the folds of a floor."""

    def train(self) -> Run:
        """Train and predict every chosen fold that is not finished; ``metrics.json`` is written last."""
        floor, run = self.epochs is None, self.run
        todo = processes.from_first(self.todo)
        left = [self.units(fold) for fold in todo]
        with self.ticker(sum(left), run.path.name) as ticker:
            for k, fold in enumerate(todo):
                ticker.expect(sum(left[k:]))  # the folds before may have ended early
                with self.alone(fold), Timed() as timed:
                    if processes.from_first(partial(run.fold_done, fold, self.epochs)):  # another was faster
                        continue
                    if floor:
                        floor_fold(self.learning.model.net, self.data, run, fold)
                        ticker.advance(1)
                    else:
                        tick = partial(told, ticker, fold)
                        fit, saver = self.open(fold, tick)
                        ticker.expect(fit.total_steps - fit.step + sum(left[k + 1 :]))
                        close_fold(self.data, run, fold, fit, fit.run(), saver)
                if processes.first():
                    run.add_time(f"fold{fold}_s", timed.seconds)
                    print(line_of(run, fold, timed.seconds), flush=True)
            ticker.expect(0)
        processes.from_first(partial(sum_up, run, self.data.split.n_folds))
        return run

    @property
    def epochs(self) -> int | None:
        """Of each fold; None: a floor has none."""
        return None if self.learning.model.kind == "floor" else self.learning.trainer.epochs

    def todo(self) -> list[int]:
        """The chosen folds that are not finished; where there are any, neither is the run."""
        todo = [k for k in self.folds if not self.done(k)]
        if done := len(self.folds) - len(todo):
            others = (self.data.split.n_folds or 0) - len(self.folds)
            more = (
                f"; fold={self.folds} was asked for, without it {others} more are trained"
                if others > 0
                else ""
            )
            print(f"{done} of {len(self.folds)} folds are finished already{more}")
        if todo:
            (self.run.path / "metrics.json").unlink(missing_ok=True)
        return todo

    def units(self, fold: int) -> int:
        """What the bar counts of a fold: its steps; a floor has none, and is one itself."""
        if self.epochs is None:
            return 1
        return self.learning.trainer.steps(len(train_rows(self.data, fold)))

    def done(self, fold: int) -> bool:
        """Whether a fold is finished and its files are what they were; a damaged one is finished again."""
        folder = self.run.fold(fold)
        try:
            damaged = [name for name in changed(folder) if name in (*OF_FOLD, "metrics.json")]
        except DataError:
            damaged = [DIGESTS]
        if damaged and (folder / "metrics.json").exists():
            print(f"{folder}: {', '.join(damaged)} changed since it was written; the fold is finished again")
            (folder / DIGESTS).unlink(missing_ok=True)
            return False
        return self.run.fold_done(fold, self.epochs)

    @contextmanager
    def alone(self, fold: int) -> Iterator[None]:
        """Holds a fold while it is trained, so that no other process, of another command, trains it too.

        Raises:
            MachineError: ``held``: another process does.
        """
        folder = self.run.fold(fold)
        with ExitStack() as held:

            def take() -> None:
                make_folder(folder)
                held.enter_context(Lock(folder / ".lock", str(folder)))

            processes.from_first(take)
            yield

    def open(self, fold: int, tick: Callable[[int, str], None]) -> tuple[Fit, Saver]:
        """One fold's training in the run's folder; what is there of an older network is forgotten."""
        processes.from_first(lambda: self.run.forget(fold))
        watch = {"tick": tick, "made_by": self.run.data["digest"]}
        return open_fit(self.learning, self.data, self.run.fold(fold), fold, self.make_task, **watch)


def told(ticker: Ticker, fold: int, steps: int, text: str) -> None:
    """Move the bar on by ``steps`` of a fold."""
    ticker.advance(steps, f"fold {fold}, {text}")


def line_of(run: Run, fold: int, seconds: float) -> str:
    """What is said of a fold that has just been finished."""
    row = run.metrics(fold)["test"]
    return (
        f"fold {fold}: test accuracy {row['accuracy']:.3f}, f1 {row['f1']:.3f}, auroc {row['auroc']:.3f} "
        f"({seconds:.0f} s)"
    )


def sum_up(run: Run, n_folds: int | None) -> None:
    """Write ``metrics.json`` of a run of which every fold is there; else it is not finished."""
    if len(run.folds_done()) == n_folds:
        rows = [run.metrics(k)["test"] for k in run.folds_done()]
        write_json(run.path / "metrics.json", {"folds": len(rows), "test": summary_of(rows)})
        sign(run.path, ["metrics.json"])


def summary_of(rows: list[dict]) -> dict[str, dict]:
    """Mean and SD of each metric over the folds that define it, and how many they are."""
    summary = {}
    for name in rows[0].keys() - {"n"}:
        defined = [row[name] for row in rows if np.isfinite(row[name])]
        summary[name] = {
            "mean": float(np.mean(defined)) if defined else None,
            "sd": float(np.std(defined, ddof=1)) if len(defined) > 1 else None,
            "folds": len(defined),
        }
    return summary


def finish_fold(
    data: Data, run: Run, fold: int, rows: dict[str, np.ndarray], logits: dict[str, np.ndarray], **info: Any
) -> None:
    """Write predictions, then metrics: a fold that has metrics is finished."""
    order = list(rows)
    windows = data.windows.iloc[np.concatenate([rows[p] for p in order])]
    part = np.repeat(order, [len(rows[p]) for p in order])
    write_predictions(
        run.fold(fold) / "predictions.npz",
        windows,
        part,
        np.concatenate([logits[p] for p in order]),
        data.store.classes,
    )
    saved = run.predictions(fold)
    metrics = {
        p: window_metrics(saved["label"][saved["part"] == p], saved["probability_NK"][saved["part"] == p])
        for p in order
    }
    sign(run.fold(fold), OF_FOLD)
    write_json(run.fold(fold) / "metrics.json", {**metrics, **info})
    sign(run.fold(fold), ["metrics.json"])


def floor_fold(net: Component, data: Data, run: Run, fold: int) -> None:
    """Fit a classic classifier; it has no epoch to choose, so it trains on train and validation windows.

    Its validation windows are scored by a second one, trained without them, to choose a threshold on.
    """
    train, val = (train_rows(data, fold, part) for part in ("train", "val"))
    rows = {"val": data.rows(fold, "val"), "test": test_rows(data, fold)}
    logits = {
        "val": floor_logits(net, data, train, rows["val"]),
        "test": floor_logits(net, data, np.sort(np.concatenate([train, val])), rows["test"]),
    }
    finish_fold(data, run, fold, rows, logits)


def close_fold(data: Data, run: Run, fold: int, fit: Fit, task: Task, saver: Saver) -> None:
    """Predict validation and test windows with a trained network, and save it, in the first process."""
    parts = {"val": fit.val_rows, "test": test_rows(data, fold)}
    logits = {p: predict(task, fit.source, r, fit.accelerator) for p, r in parts.items()}
    if not processes.first():
        return
    saver(run.fold(fold), task)
    info = {"epochs": fit.trainer.epochs, "best_epoch": fit.best["epoch"], "steps": fit.step}
    finish_fold(data, run, fold, parts, logits, **info)
    previous(fit.checkpoint).unlink(missing_ok=True)  # the network is saved


def open_fit(
    learning: Learning, data: Data, folder: Path, fold: int, make_task: MakeTask, **watch: Any
) -> tuple[Fit, Saver]:
    """One fold's training in ``folder``, at its newest checkpoint, and what saves its network.

    It knows training and validation windows alone; ``watch``: tick, after_epoch, made_by of ``engine.Loop``.
    """
    accelerator = make_accelerator(learning.trainer.precision, learning.device)
    if processes.first():
        make_folder(folder)
        remove_left(folder)
    source = data.source(train_rows(data, fold))
    source.settle(data.device, accelerator.device)
    seed = small_seed(data.seed, fold)
    set_seed(seed)
    task, saver = make_task(fold, source, accelerator)
    augment = augmentation(learning.augment, source.store.sfreq, data.view)
    about = {"fold": fold, "split": data.split.name, **leaves(plain(learning))}
    trail = Trail(learning.trainer.log_with, folder, about, data.store.classes)
    loop = Loop(learning.trainer, learning.optim, seed, accelerator, augment, trail=trail, **watch)
    rows = learned_rows(data, fold, learning.trainer.max_train_windows)
    return Fit(task, source, rows, data.rows(fold, "val"), folder, loop), saver


def augmentation(name: str, sfreq: float, view: View) -> Callable | None:
    """The registered augmentations at the data's rate, and what hides context; None where there is neither.

    Args:
        name: one, or several with ``+`` between, in their order.

    Raises:
        ConfigError: one is registered by no such name.
    """
    parts = [] if name == "none" else [registry.find(part, "augmentation") for part in name.split("+")]
    steps = [partial(part, sfreq=sfreq) for part in parts]
    if view.total > view.length:
        steps.append(partial(hide_context, view=view))

    def vary(eeg_BCT: Tensor, row_B: Sequence[int], *, seed: int, epoch: int) -> Tensor:
        for step in steps:
            eeg_BCT = step(eeg_BCT, row_B, seed=seed, epoch=epoch)
        return eeg_BCT

    return vary if steps else None
