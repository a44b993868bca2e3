"""The one training loop.

Everything random is a pure function of seed and step: the order of windows, how each is varied, and the state
of dropout, which is seeded at every step. A checkpoint is therefore weights, optimiser and a step number,
and a run that was killed ends with the same bytes as one that was not (CPU, fp32).

The host never waits for the device within a step: loss and accuracy stay there and are read every
``trainer.log_every`` steps and at the end of an epoch. Several processes (``training.processes``) train one
fold together: the batches are those of one process, each encodes its part of a batch, the first one writes,
and a checkpoint can be continued by any number of them.
"""

import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
import torch
from accelerate import Accelerator

from distilclip_eeg.config.learning import OptimConfig, TrainerConfig
from distilclip_eeg.endings import Stop, unbroken
from distilclip_eeg.files.writing import write_csv
from distilclip_eeg.schema import DataError
from distilclip_eeg.scoring.metrics import auroc, confusion, macro_f1
from distilclip_eeg.training import processes
from distilclip_eeg.training.averaging import RunningMean, broken, kept_state, put_state
from distilclip_eeg.training.checkpoints import newest_checkpoint, write_checkpoint
from distilclip_eeg.training.gather import share_statistics
from distilclip_eeg.training.loaders import Batch, Schedule, Source, ahead
from distilclip_eeg.training.predicting import predict
from distilclip_eeg.training.tally import Tally
from distilclip_eeg.training.tasks import Task
from distilclip_eeg.training.trail import Trail


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
    trail: Trail | None = None
    """Where its numbers go beside history.csv; None: nowhere."""


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
        source: Source,
        train_rows: np.ndarray,
        val_rows: np.ndarray,
        folder: Path,
        loop: Loop,
    ):
        self.source, self.val_rows, self.folder = source, val_rows, folder
        self.loop, self.trainer, self.optim, self.seed = loop, loop.trainer, loop.optim, loop.seed
        self.accelerator = accelerator = loop.accelerator
        if processes.several():
            share_statistics(task)
        self.task, self.optimizer = accelerator.prepare(task, make_optimizer(task, loop.optim))
        self.plain: Task = accelerator.unwrap_model(self.task)
        self.averaged = RunningMean(self.plain, loop.optim.ema) if loop.optim.ema else None
        trainer = loop.trainer
        self.schedule = Schedule(train_rows, trainer.batch_size, self.seed, trainer.steps_per_epoch)
        self.steps_per_epoch = self.schedule.steps_per_epoch
        self.on_gpu = accelerator.device.type == "cuda"
        self.compiles = self.on_gpu and trainer.compile == "auto"
        self.epoch, self.step = 0, 0
        self.history: list[dict] = []
        self.best: dict = {}
        """Epoch, F1, loss and state of the best epoch so far; empty before the first."""
        self.confused: list[list[int]] = []
        """Of the validation windows, as they were answered last, (K, K)."""
        self.trail = loop.trail if processes.first() else None
        self.checkpoint = folder / "checkpoint.pt"
        self.seen = Tally()
        """Of the running epoch."""
        self.within = 0
        """Steps of the running epoch that are done."""
        self.resume()

    @property
    def total_steps(self) -> int:
        """Steps of the whole training."""
        return self.trainer.steps(len(self.schedule.rows))

    @property
    def evaluated(self) -> Task:
        """The task whose weights are judged and kept."""
        return cast(Task, self.averaged.module) if self.averaged else self.plain

    def run(self) -> Task:
        """Train; returns the task with the weights of the best epoch, in eval mode.

        Raises:
            DataError: ``non_finite``: the loss is no number any more.
        """
        compiled: AbstractContextManager = self.plain.compiled() if self.compiles else nullcontext()
        with unbroken(), compiled, self.trail.open(self.step) if self.trail else nullcontext():
            while not self.finished():
                self.task.train()
                with closing(self.batches()) as batches:
                    for made in batches:
                        batch = self.prepare_step(made)
                        with self.accelerator.autocast():
                            terms = self.task(batch)
                        self.finish_step(terms, batch)
                        self.tell()
                self.close_epoch()
            if self.trail and self.best.get("confusion"):  # not where nothing is validated
                self.trail.confusion(np.array(self.best["confusion"]), self.step)
        put_state(self.plain, self.best["state"])
        return self.plain.eval()

    def finished(self) -> bool:
        """Whether the last step is done, or too many epochs have passed without a better one."""
        patience = self.trainer.patience
        if self.within:  # stopped in the last epoch, which is to be judged yet
            return False
        stale = patience is not None and self.best and self.epoch - self.best["epoch"] >= patience
        return bool(self.step >= self.total_steps or stale)

    def batches(self) -> Generator[Batch, None, None]:
        """The batches of this epoch that are not done and are wanted; a thread makes them beside a GPU."""
        end = min(self.step - self.within + self.steps_per_epoch, self.total_steps)
        return ahead(self.made, range(self.step, end), thread=self.on_gpu and not self.source.resident)

    def made(self, step: int) -> Batch:
        """A step's batch, augmented; a pure function of seed and step. It lies where its signal does."""
        number, rows = self.schedule.batch(step)
        own = rows[processes.part(len(rows))]
        batch = self.source.batch(own, self.accelerator.device if self.source.resident else "cpu")
        if self.loop.augment is not None:
            eeg_BCT = self.loop.augment(batch.eeg_BCT, own, seed=self.seed, epoch=number)
            batch = replace(batch, eeg_BCT=eeg_BCT)
        if processes.several():
            batch = replace(batch, label_B=torch.from_numpy(self.source.label[rows]), row_B=rows)
        return batch.pinned() if self.on_gpu and not self.source.resident else batch

    def prepare_step(self, made: Batch) -> Batch:
        """The batch on its way to the device; dropout's seed and the rate depend on the step alone.

        Each of several processes draws its own dropout; the first one's is that of a process alone.
        """
        number = processes.number()
        seed = hash((self.seed, self.step, number) if number else (self.seed, self.step)) % 2**31
        torch.default_generator.manual_seed(seed)  # torch.manual_seed formats a stack at every call
        if self.on_gpu:
            torch.cuda.manual_seed(seed)
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak_lr"] * min(1.0, (self.step + 1) / (self.optim.warmup_steps + 1))
        if self.compiles:
            torch.compiler.cudagraph_mark_step_begin()
        return made.on(self.accelerator.device)

    def finish_step(self, terms: dict[str, torch.Tensor], batch: Batch) -> None:
        """Backward, clip, step; loss and answers are noted, not read."""
        self.optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(terms["loss"])
        if self.optim.grad_clip:
            self.accelerator.clip_grad_norm_(self.plain.parameters(), self.optim.grad_clip)
        self.optimizer.step()
        self.plain.after_step()
        if self.averaged:
            self.averaged.update(self.plain, self.step)
        self.seen.add(self.step, terms, batch.label_B, batch.row_B)
        self.step += 1
        self.within += 1

    def tell(self) -> None:
        """Between two steps: the bar, every ``log_every`` steps the numbers, and the end where it is asked
        for, which several processes then agree on.

        Raises:
            Stop: a signal asked; the step is saved, and the next start goes on with the next one.
        """
        due = self.step % self.trainer.log_every == 0
        if due:
            self.read()
            rate = self.optimizer.param_groups[0]["lr"]
            self.note({"step/loss": cast(float, self.seen.loss), "optim/lr": rate})
        loss = "" if self.seen.loss is None else f", loss {self.seen.loss:.3f}"
        self.loop.tick(1, f"epoch {self.epoch + 1}/{self.trainer.epochs}{loss}")
        if due or not processes.several():
            self.stop_if_asked()

    def stop_if_asked(self) -> None:
        """Save and end, where a signal asks for it.

        Raises:
            Stop: it does.
        """
        if signum := processes.anybody_asked(self.accelerator.device):
            self.check()
            self.save()
            raise Stop(signum)

    def read(self) -> None:
        """Take over the numbers of the steps since the last reading.

        Raises:
            DataError: ``non_finite``: one of their losses is no number.
        """
        if wrong := self.seen.read():
            raise DataError(
                f"{self.folder}: the loss is {self.seen.loss} at step {wrong.step} (epoch {self.epoch + 1}, "
                f"windows {wrong.row_B[:4].tolist()} …). Lower optim.lr; the last epoch's checkpoint is "
                "intact.",
                reason="non_finite",
            )

    def check(self) -> None:
        """Before anything is judged or saved: losses and weights are numbers.

        Raises:
            DataError: ``non_finite``: one of them is none.
        """
        self.read()
        if names := broken(self.plain):
            raise DataError(
                f"{self.folder}: {names[0]} and {len(names) - 1} other weights are no numbers after step "
                f"{self.step - 1} (epoch {self.epoch + 1}). Lower optim.lr; the last epoch's checkpoint is "
                "intact.",
                reason="non_finite",
            )

    def save(self) -> None:
        """Write a checkpoint, in the first process."""
        if processes.first():
            write_checkpoint(self.checkpoint, self.state())

    def close_epoch(self) -> None:
        """Validate, remember the best, save."""
        self.check()
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
        self.seen, self.within = Tally(), 0
        if not self.best or not judged or self.beaten(row):
            self.best = {
                "epoch": self.epoch,
                "f1": row.get("val_macro_f1"),
                "loss": row.get("val_loss"),
                "confusion": self.confused,
                "state": kept_state(self.evaluated),
            }
        if processes.first():
            self.log(row)
        self.save()
        self.loop.after_epoch(row)

    def beaten(self, row: dict) -> bool:
        """Whether an epoch is better than the best so far, as ``trainer.judge`` says."""
        return self.merit(row) > self.merit(self.history[self.best["epoch"] - 1])

    def merit(self, row: dict) -> tuple[float, float]:
        """What an epoch is judged by, more is better; between equals the lower loss decides."""
        judge, loss = self.trainer.judge, row["val_loss"]
        value = -loss if judge == "loss" else row[f"val_{judge}"]
        return (0.0 if np.isnan(value) else value), -loss  # no AUROC where one class is left

    def validate(self) -> dict[str, float]:
        """Loss, accuracy and macro F1 on the validation windows, and AUROC where that is judged."""
        logits = predict(self.evaluated, self.source, self.val_rows, self.accelerator)
        label, predicted = self.source.label[self.val_rows], logits.argmax(1)
        log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        self.confused = confusion(label, predicted, logits.shape[1]).tolist()
        judged = {
            "val_loss": float(-log_p[np.arange(len(label)), label].mean()),
            "val_accuracy": float((predicted == label).mean()),
            "val_macro_f1": macro_f1(label, predicted, logits.shape[1]),
        }
        return judged | ({"val_auroc": auroc(label, np.exp(log_p))} if self.trainer.judge == "auroc" else {})

    def log(self, row: dict) -> None:
        """``history.csv`` anew, and the epoch's figures for whoever follows."""
        write_csv(self.folder / "history.csv", pd.DataFrame(self.history))
        self.note({name.replace("_", "/", 1): value for name, value in row.items() if name != "step"})

    def note(self, values: dict[str, float]) -> None:
        """Numbers of this step for whoever follows the training."""
        if self.trail:
            self.trail.log(values, self.step)

    def state(self) -> dict:
        """What a checkpoint holds."""
        return {
            "made_by": self.loop.made_by,
            "epoch": self.epoch,
            "step": self.step,
            "within": self.within,
            "seen": self.seen.state(),
            "history": self.history,
            "best": self.best or None,
            "task": kept_state(self.plain),
            "optimizer": self.optimizer.state_dict(),
            "averaged": kept_state(self.averaged) if self.averaged else None,
            "scaler": self.accelerator.scaler.state_dict() if self.accelerator.scaler else None,
        }

    def resume(self) -> None:
        """Continue after the last step that was saved, if any was, by however many processes."""
        saved = processes.from_first(lambda: newest_checkpoint(self.checkpoint))
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
        self.seen = Tally(**saved.get("seen", {}))


class Timed:
    """``with Timed() as t: …; t.seconds``."""

    def __enter__(self) -> "Timed":
        self.start = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.perf_counter() - self.start
