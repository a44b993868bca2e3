"""The final model of a run: its settings, trained on all of its data, with nothing left to test on.

The number of epochs is the median of the folds' best ones, so that no window of any test part chose it; the
loop is the one of the folds (``crossval.open_fit``), without a validation part.
"""

import math
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from distilclip_eeg.config.experiment import RunSettings
from distilclip_eeg.config.older import digest_of
from distilclip_eeg.config.rules import check_name
from distilclip_eeg.files.digests import sign
from distilclip_eeg.files.folders import make_folder
from distilclip_eeg.files.locks import Lock
from distilclip_eeg.files.reading import read_json
from distilclip_eeg.progress import Ticker
from distilclip_eeg.runs import Run
from distilclip_eeg.schema import DataError
from distilclip_eeg.signals.audit import fold_columns
from distilclip_eeg.training import pipeline
from distilclip_eeg.training.crossval import OF_FOLD, open_fit
from distilclip_eeg.training.data import Data
from distilclip_eeg.training.distillation import check_folds, distill_task, weights_of


class Final(Run):
    """A run seen through its final model, which stands where a fold's would."""

    @cached_property
    def epochs(self) -> int:
        """Median of the folds' best epochs, the later one between two."""
        best = [
            read_json(super(Final, self).fold(k) / "metrics.json", "best_epoch")["best_epoch"]
            for k in self.folds_done()
        ]
        return math.ceil(np.median(best))

    def fold(self, k: int) -> Path:
        """Folder of the final model, whatever ``k``."""
        return self.path / f"final-{self.epochs}epochs"


def everything(data: Data) -> Data:
    """The same windows in one fold, all of them to train on."""
    windows = data.windows.drop(columns=fold_columns(data.windows))
    return replace(data, windows=windows.assign(fold0="train"))


def train_final(run: Run, settings: RunSettings, data: Data) -> Final:
    """Train the final model of a finished run, or find it trained; a student's after its teacher's.

    Args:
        settings: the run's, with the places where data and store are now.
        data: the run's.

    Raises:
        DataError: the teacher of a student is not there any more, or was trained again since.
    """
    final, whole, learning = Final(run.path), everything(data), settings.learning
    if learning.distill is not None:
        teacher = find_teacher(run, settings.teacher, data)
        theirs = replace(
            teacher.settings,
            dataset=settings.dataset,
            store=settings.store,
            device=settings.device,
            n_jobs=settings.n_jobs,
        )
        make_task = distill_task(learning, whole, train_final(teacher, theirs, data))
    else:
        make_task = pipeline.train_task(learning, whole)
    trainer = replace(learning.trainer, epochs=final.epochs, patience=None)
    learning = replace(learning, trainer=trainer)
    make_folder(final.fold(0))
    alone = Lock(final.fold(0) / ".lock", str(final.fold(0)))
    with alone, Ticker(0, f"{run.path.name}, final model") as ticker:
        watch = {"tick": ticker.advance, "made_by": f"{digest_of(run.settings)}-final"}
        fit, save = open_fit(learning, whole, final.fold(0), 0, make_task, **watch)
        ticker.expect(fit.total_steps - fit.step)
        save(final.fold(0), fit.run())
        sign(final.fold(0), OF_FOLD)
    return final


def find_teacher(run: Run, told: str | None, data: Data) -> Run:
    """The finished run that a student was distilled from, unchanged since.

    Args:
        told: where the student's command found it.

    Raises:
        DataError: ``teacher_changed``, or ``folds_differ``.
    """
    made = run.data["teacher"]
    check_name("data.json: teacher", str(made["run"]))
    places = (run.path.parent / made["run"], Path(told or made["run"]))
    found = [Run(path) for path in places if (path / "metrics.json").exists()]
    if not found or weights_of(found[0]) != made["weights_sha256"]:
        state = "was trained again since" if found else "is not there any more"
        raise DataError(
            f"{run.path}: its teacher {made['run']} {state}, and a final student needs it. Distil again, or "
            "export a fold: weights=0.",
            reason="teacher_changed",
        )
    check_folds(data, found[0])
    return found[0]
