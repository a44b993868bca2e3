"""The one training loop, and prediction.

Everything random is a pure function of (seed, epoch) or (seed, step): the order of windows, and the state
of dropout, which is seeded at every step. A checkpoint is therefore weights, optimiser and a step number,
and a run that was killed ends with the same bytes as one that was not (CPU, fp32).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.tensorboard import SummaryWriter

from distilclip_eeg.config.learning import OptimConfig, TrainerConfig
from distilclip_eeg.endings import Stop, asked, stop_if_asked, unbroken
from distilclip_eeg.files.writing import write_csv
from distilclip_eeg.schema import ConfigError, DataError, check_choice
from distilclip_eeg.scoring.metrics import macro_f1
from distilclip_eeg.training.checkpoints import newest_checkpoint, write_checkpoint
from distilclip_eeg.training.loaders import Batch, WindowSource, epoch_order
from distilclip_eeg.training.tasks import Task

MIXED = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}


def make_accelerator(precision: str, device: str) -> Accelerator:
    """Device and mixed precision; what the device cannot do is refused before any work."""
    check_choice("device", device, ("auto", "cpu", "cuda"))
    cuda = torch.cuda.is_available() and device != "cpu"
    if device == "cuda" and not cuda:
        raise ConfigError("device=cuda, but torch finds no CUDA GPU. Use device=auto or device=cpu.")
    if precision == "fp16" and not cuda:
        raise ConfigError("trainer.precision=fp16 needs a CUDA GPU and none is in use; use bf16 or fp32.")
    AcceleratorState._reset_state(reset_partial_state=True)  # else a process keeps its first precision
    accelerator = Accelerator(mixed_precision=MIXED[precision], cpu=not cuda)
    if accelerator.num_processes > 1:
        raise ConfigError(
            f"started with {accelerator.num_processes} processes; one fold trains on one device. Start one "
            "process a GPU with fold=0, fold=1, … instead: they fill the same run folder."
        )
    return accelerator


def make_optimizer(task: Task, config: OptimConfig) -> torch.optim.Optimizer:
    """Adam over everything trainable; the text encoder's own parameters at ``text_lr``."""
    text = [p for p in task.text_parameters() if p.requires_grad]
    others = {id(p) for p in text}
    rest = [p for p in task.parameters() if p.requires_grad and id(p) not in others]
    groups = [{"params": rest, "lr": config.lr}]
    if text:
        groups.append({"params": text, "lr": config.lr if config.text_lr is None else config.text_lr})
    kind = torch.optim.Adam if config.name == "adam" else torch.optim.AdamW
    optimizer = kind(groups, betas=(0.9, 0.999), weight_decay=config.weight_decay, fused=True)
    for group in optimizer.param_groups:
        group["peak_lr"] = group["lr"]
    return optimizer


def running_mean(decay: float) -> Callable:
    """Exponential mean of the weights; its decay at step n is min(decay, (1 + n) / (10 + n)).

    A constant decay of 0.995 would leave a third of a 200-step run's mean to its first weights.
    """

    def update(averaged: list, current: list, n: torch.Tensor) -> None:
        get_ema_multi_avg_fn(min(decay, (1 + int(n)) / (10 + int(n))))(averaged, current, n)

    return update


def kept_state(module: nn.Module) -> dict[str, torch.Tensor]:
    """What training changes: trainable parameters and buffers; a frozen body is not copied."""
    state = {k: v for k, v in module.named_parameters() if v.requires_grad} | dict(module.named_buffers())
    return {k: v.detach().cpu().clone() for k, v in state.items()}


@torch.no_grad()
def put_state(module: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Copy what ``kept_state`` gave back into ``module``."""
    target = dict(module.named_parameters()) | dict(module.named_buffers())
    for name, value in state.items():
        target[name].copy_(value)


class Seen:
    """Sums over the windows of an epoch."""

    def __init__(self, sums: dict[str, float] | None = None, hits: int = 0, windows: int = 0) -> None:
        self.sums: dict[str, float] = {} if sums is None else sums
        self.hits, self.windows = hits, windows

    def add(self, terms: dict[str, torch.Tensor], label_B: np.ndarray) -> None:
        """A step's loss terms and logits."""
        self.hits += int((terms["logits"].detach().argmax(1).cpu() == torch.from_numpy(label_B)).sum())
        self.windows += len(label_B)
        for name, value in terms.items():
            if name != "logits":
                self.sums[name] = self.sums.get(name, 0.0) + float(value.detach()) * len(label_B)

    def means(self) -> dict[str, float]:
        """Mean of every term over the windows, and the share of right answers as ``accuracy``."""
        return {k: v / self.windows for k, v in self.sums.items()} | {"accuracy": self.hits / self.windows}


def say_nothing(steps: int, text: str) -> None:
    """A ``tick`` for who does not watch."""


def go_on(row: dict) -> None:
    """An ``after_epoch`` for who does not watch."""


@dataclass(frozen=True)
class Loop:
    """How a fold is trained."""

    trainer: TrainerConfig
    optim: OptimConfig
    seed: int
    accelerator: Accelerator
    augment: Callable[..., torch.Tensor] | None = None
    """Varies the EEG of a training batch, ``augment(eeg_BCT, rows, seed=, epoch=)``; None: leaves it."""
    tick: Callable[[int, str], None] = say_nothing
    """Called as ``tick(steps, text)`` while working."""
    after_epoch: Callable[[dict], None] = go_on
    """Called with the epoch's row of history.csv once that epoch is saved; what it raises ends training,
    which can be continued."""
    made_by: str = ""
    """Stands for the settings; a checkpoint of others is refused."""


class Fit:
    """One fold's training; it begins at the newest checkpoint and ``run()`` goes to the last epoch.

    Args:
        task: see ``tasks``; ``task.answer`` answers a batch that is not trained on.
        train_rows, val_rows: rows of the window index; without any to validate on, the last epoch is kept.
        folder: checkpoint, history.csv and tensorboard go here.
    """

    def __init__(
        self,
        task: Task,
        source: WindowSource,
        train_rows: np.ndarray,
        val_rows: np.ndarray,
        folder: Path,
        loop: Loop,
    ):
        self.source, self.train_rows, self.val_rows, self.folder = source, train_rows, val_rows, folder
        self.loop, self.trainer, self.optim, self.seed = loop, loop.trainer, loop.optim, loop.seed
        self.accelerator = accelerator = loop.accelerator
        trainer, optim = loop.trainer, loop.optim
        self.task, self.optimizer = accelerator.prepare(task, make_optimizer(task, optim))
        self.plain: Task = accelerator.unwrap_model(self.task)
        self.averaged = (
            AveragedModel(self.plain, multi_avg_fn=running_mean(optim.ema), use_buffers=True)
            if optim.ema
            else None
        )
        self.steps_per_epoch = -(-len(train_rows) // trainer.batch_size)
        self.epoch, self.step = 0, 0
        self.history: list[dict] = []
        self.best: dict = {}
        """Epoch, F1, loss and state of the best epoch so far; empty before the first."""
        self.checkpoint = folder / "checkpoint.pt"
        self.seen = Seen()
        """Of the running epoch."""
        self.within = 0
        """Steps of the running epoch that are done."""
        self.resume()

    @property
    def total_steps(self) -> int:
        """Steps of the whole training."""
        steps = self.steps_per_epoch * self.trainer.epochs
        return min(steps, self.trainer.max_steps or steps)

    @property
    def evaluated(self) -> Task:
        """The task whose weights are judged and kept."""
        return cast(Task, self.averaged.module) if self.averaged else self.plain

    def run(self) -> Task:
        """Train; returns the task with the weights of the best epoch, in eval mode.

        Raises:
            DataError: ``non_finite``: the loss is no number any more.
        """
        with unbroken():
            while not self.finished():
                self.task.train()
                for rows in self.batches():
                    batch = self.prepare_step(rows)
                    with self.accelerator.autocast():
                        terms = self.task(batch)
                    self.finish_step(terms, rows)
                    loss = float(terms["loss"].detach())
                    self.loop.tick(1, f"epoch {self.epoch + 1}/{self.trainer.epochs}, loss {loss:.3f}")
                    self.stop_if_asked()
                self.close_epoch()
        put_state(self.plain, self.best["state"])
        return self.plain.eval()

    def stop_if_asked(self) -> None:
        """Save between two steps and end, where a signal asks for it.

        Raises:
            Stop: it does; the next start goes on with the next step.
        """
        if asked():
            write_checkpoint(self.checkpoint, self.state())
            stop_if_asked()

    def finished(self) -> bool:
        """Whether the last step is done, or too many epochs have passed without a better one."""
        patience = self.trainer.patience
        if self.within:  # stopped in the last epoch, which is to be judged yet
            return False
        stale = patience is not None and self.best and self.epoch - self.best["epoch"] >= patience
        return bool(self.step >= self.total_steps or stale)

    def batches(self) -> list[np.ndarray]:
        """Rows of the window index, a batch each, of this epoch, as far as they are not done and wanted."""
        order = epoch_order(self.train_rows, self.seed, self.epoch)
        size = self.trainer.batch_size
        left = [order[i : i + size] for i in range(0, len(order), size)][self.within :]
        return left[: self.total_steps - self.step]

    def prepare_step(self, rows: np.ndarray) -> Batch:
        """The batch, augmented; dropout's seed and the rate depend on the step alone."""
        torch.manual_seed(hash((self.seed, self.step)) % 2**31)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak_lr"] * min(1.0, (self.step + 1) / (self.optim.warmup_steps + 1))
        batch = self.source.batch(rows, self.accelerator.device)
        if self.loop.augment is None:
            return batch
        return replace(
            batch, eeg_BCT=self.loop.augment(batch.eeg_BCT, rows, seed=self.seed, epoch=self.epoch)
        )

    def finish_step(self, terms: dict[str, torch.Tensor], rows: np.ndarray) -> None:
        """Backward, clip, step; ``rows`` are named where the loss is no number."""
        if not torch.isfinite(terms["loss"]):
            raise DataError(
                f"{self.folder}: the loss is {terms['loss'].item()} at step {self.step} (epoch {self.epoch}, "
                f"windows {rows[:4].tolist()} …). Lower optim.lr; the last epoch's checkpoint is intact.",
                reason="non_finite",
            )
        self.optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(terms["loss"])
        if self.optim.grad_clip:
            self.accelerator.clip_grad_norm_(self.plain.parameters(), self.optim.grad_clip)
        self.optimizer.step()
        self.plain.after_step()
        if self.averaged:
            self.averaged.update_parameters(self.plain)
        self.step += 1
        self.within += 1
        self.seen.add(terms, self.source.label[rows])

    def close_epoch(self) -> None:
        """Validate, remember the best, save."""
        try:
            judged = self.validate() if len(self.val_rows) else {}
        except Stop:
            self.stop_if_asked()
            raise
        terms = self.seen.means()
        row = {
            "epoch": self.epoch + 1,
            "step": self.step,
            "train_loss": terms.pop("loss"),
            "train_accuracy": terms.pop("accuracy"),
            **judged,
            **{f"train_{k}": v for k, v in terms.items()},
        }
        self.history.append(row)
        self.epoch += 1
        self.seen, self.within = Seen(), 0
        if not self.best or not judged or self.beaten(row):
            self.best = {
                "epoch": self.epoch,
                "f1": row.get("val_macro_f1"),
                "loss": row.get("val_loss"),
                "state": kept_state(self.evaluated),
            }
        self.log(row)
        write_checkpoint(self.checkpoint, self.state())
        self.loop.after_epoch(row)

    def beaten(self, row: dict) -> bool:
        """Whether an epoch is better than the best so far."""
        return (row["val_macro_f1"], -row["val_loss"]) > (self.best["f1"], -self.best["loss"])

    def validate(self) -> dict[str, float]:
        """Loss, accuracy and macro F1 on the validation windows."""
        logits = predict(self.evaluated, self.source, self.val_rows, self.accelerator)
        label, predicted = self.source.label[self.val_rows], logits.argmax(1)
        log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        return {
            "val_loss": float(-log_p[np.arange(len(label)), label].mean()),
            "val_accuracy": float((predicted == label).mean()),
            "val_macro_f1": macro_f1(label, predicted, logits.shape[1]),
        }

    def log(self, row: dict) -> None:
        """``history.csv`` anew, and the epoch's figures for TensorBoard."""
        write_csv(self.folder / "history.csv", pd.DataFrame(self.history))
        with SummaryWriter(str(self.folder / "tensorboard")) as writer:
            for name, value in row.items():
                part, _, what = name.partition("_")
                if what:
                    writer.add_scalar(f"{part}/{what}", value, row["epoch"])

    def state(self) -> dict:
        """What a checkpoint holds."""
        return {
            "made_by": self.loop.made_by,
            "epoch": self.epoch,
            "step": self.step,
            "within": self.within,
            "seen": {"sums": self.seen.sums, "hits": self.seen.hits, "windows": self.seen.windows},
            "history": self.history,
            "best": self.best or None,
            "task": kept_state(self.plain),
            "optimizer": self.optimizer.state_dict(),
            "averaged": kept_state(self.averaged) if self.averaged else None,
            "scaler": self.accelerator.scaler.state_dict() if self.accelerator.scaler else None,
        }

    def resume(self) -> None:
        """Continue after the last step that was saved, if any was."""
        saved = newest_checkpoint(self.checkpoint)
        if saved is None:
            return
        made_by = saved.get("made_by", self.loop.made_by)  # 0.1.0 has none
        if self.loop.made_by and made_by != self.loop.made_by:
            raise DataError(
                f"{self.checkpoint}: a checkpoint of other settings ({made_by}, these are "
                f"{self.loop.made_by}). Delete it to train the fold anew.",
                reason="other_settings",
            )
        put_state(self.plain, saved["task"])
        if self.averaged is not None:
            put_state(self.averaged, saved["averaged"])
        self.optimizer.load_state_dict(saved["optimizer"])
        if self.accelerator.scaler and saved["scaler"]:
            self.accelerator.scaler.load_state_dict(saved["scaler"])
        self.epoch, self.step = saved["epoch"], saved["step"]
        self.history, self.best = saved["history"], saved["best"] or {}
        self.within = saved.get("within", 0)  # 0.1.0 saved whole epochs only
        self.seen = Seen(**saved.get("seen", {}))


@torch.no_grad()
def predict(
    task: Task, source: WindowSource, rows: np.ndarray, accelerator: Accelerator, batch_size: int = 256
) -> np.ndarray:
    """What ``task.answer`` answers to the windows at ``rows``, (N, K) float32, dropout off.

    Raises:
        Stop: a signal asked for the end.
    """
    training = task.training
    task.eval()
    out = []
    for i in range(0, len(rows), batch_size):
        stop_if_asked()
        with accelerator.autocast():
            logits = task.answer(source.batch(rows[i : i + batch_size], accelerator.device))
        out.append(logits.float().cpu().numpy())
    task.train(training)
    return np.concatenate(out)


class Timed:
    """``with Timed() as t: …; t.seconds``."""

    def __enter__(self) -> "Timed":
        self.start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self.start
