"""One trial of a search: a setting trained on the chosen folds, and what its validation windows say."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import Trial

from distilclip_eeg.config.experiment import RunSettings
from distilclip_eeg.config.older import digest_of
from distilclip_eeg.runs import Run
from distilclip_eeg.schema import DataError
from distilclip_eeg.studies.tuning import space as spaces
from distilclip_eeg.studies.tuning.study import Study
from distilclip_eeg.training.crossval import MakeTask, open_fit
from distilclip_eeg.training.data import Data
from distilclip_eeg.training.distillation import distill_task
from distilclip_eeg.training.engine import Timed
from distilclip_eeg.training.pipeline import train_task


def run_trial(settings: RunSettings, data: Data, study: Study, trial: Trial, teacher: Run | None) -> None:
    """Train one setting and record its score; a loss that is not finite ends the trial alone.

    Raises:
        DataError: anything else that goes wrong.
    """
    name = hashlib.sha256(json.dumps(trial.params, sort_keys=True).encode()).hexdigest()[:8]
    learning = settings.learning
    make_task = distill_task(learning, data, teacher) if teacher else train_task(learning, data)
    value, note = None, ""
    with Timed() as timed:
        try:
            value = validate(settings, data, study.folder / name, make_task, trial)
        except optuna.TrialPruned:
            pass
        except DataError as problem:
            if problem.reason != "non_finite":
                raise
            note = "the loss was not finite"
    study.finish(trial, value, note=note, seconds=round(timed.seconds, 2), folder=name)
    for large in (study.folder / name).glob("fold*/checkpoint*.pt"):
        large.unlink()  # history.csv stays
    score = "pruned" if value is None else f"validation macro F1 {value:.4f}"
    print(
        f"trial {trial.number}: {score} ({timed.seconds:.0f} s) {' '.join(spaces.words(trial.params))}",
        flush=True,
    )


def validate(settings: RunSettings, data: Data, folder: Path, make_task: MakeTask, trial: Trial) -> float:
    """Macro F1 on each chosen fold's validation windows at its best epoch, mean over the folds.

    After every epoch the mean so far is reported, and a trial that falls behind the others is stopped.

    Raises:
        TrialPruned: it fell behind.
    """
    learning, best = settings.learning, list[float]()
    for place, fold in enumerate(settings.folds(data.split.n_folds)):
        watch = Watch(trial, place * learning.trainer.epochs, list(best))
        told: dict[str, Any] = {"after_epoch": watch, "made_by": digest_of(settings)}
        fit, _ = open_fit(learning, data, folder / f"fold{fold}", fold, make_task, **told)
        for row in fit.history:  # of a process that was stopped
            watch(row)
        fit.run()
        assert fit.best is not None, "an epoch was validated"
        best.append(fit.best["f1"])
    return float(np.mean(best))


class Watch:
    """Tells a trial of each epoch of a fold.

    Args:
        first: epochs of the folds before.
        best: their best scores.
    """

    def __init__(self, trial: Trial, first: int, best: list[float]):
        self.trial, self.first, self.best = trial, first, best
        self.seen = [0.0]

    def __call__(self, row: dict[str, Any]) -> None:
        """Report an epoch's row of ``history.csv``.

        Raises:
            TrialPruned: the trial falls behind the others.
        """
        self.seen.append(row["val_macro_f1"])
        self.trial.report(float(np.mean([*self.best, max(self.seen)])), self.first + row["epoch"])
        if self.trial.should_prune():
            raise optuna.TrialPruned
