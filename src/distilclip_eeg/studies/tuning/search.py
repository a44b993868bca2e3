"""``tune``: settings tried one after another, judged by macro F1 on validation windows alone.

A trial trains the chosen folds and takes the mean of their best epochs' validation F1. It never batches or
predicts a test window; the test part is for the one command that the search ends with. Each trial is a
command line like any other: the search's words and what it chose, composed and checked like any run's.
"""

import hashlib
import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import optuna

from distilclip_eeg.config.compose import load
from distilclip_eeg.config.experiment import DistillSettings, RunSettings, TrainSettings
from distilclip_eeg.config.older import digest_of
from distilclip_eeg.config.rules import plain
from distilclip_eeg.config.studies import TuneSettings, key_of, last_of
from distilclip_eeg.files.writing import write_yaml
from distilclip_eeg.runs import Run, provenance
from distilclip_eeg.schema import ConfigError
from distilclip_eeg.signals import splits
from distilclip_eeg.studies.tuning import space as spaces
from distilclip_eeg.studies.tuning.study import Study
from distilclip_eeg.studies.tuning.trial import run_trial
from distilclip_eeg.training.checks import check
from distilclip_eeg.training.data import Data, load_data
from distilclip_eeg.training.distillation import check_distill, check_folds, weights_of, with_teacher_data
from distilclip_eeg.workers import Failed, spread

OWN = ("space", "trials", "startup", "pruner", "jobs", "cluster", "slurm", "teacher")
"""Settings of the search itself, which no trial is told."""


@dataclass(frozen=True)
class Search:
    """One search."""

    settings: TuneSettings
    words: tuple[str, ...]
    """Of train, or of distil where there is a teacher; the searched settings left out."""
    held: dict[str, Any]
    """Searched settings that the command line fixes."""
    command: tuple[str, ...]
    """What to type for a run of the best setting on all folds, the searched settings left out."""
    teacher: Run | None = None

    @classmethod
    def of(cls, settings: TuneSettings, said: Sequence[str], teacher: Run | None = None) -> "Search":
        """The search that the words ``said`` ask for.

        Raises:
            ConfigError: the space is empty or says what no search may choose.
        """
        searched = list(spaces.read_space(settings.space))
        words = tuple(w for w in said if key_of(w).partition(".")[0] not in OWN and key_of(w) not in searched)
        held = {key: spaces.value_of(plain(settings), key) for key in searched if last_of(list(said), key)}
        start = ["train.py"] if teacher is None else ["distill.py", f"teacher={teacher.path}"]
        # A run wants all folds, whichever the search was given.
        return cls(
            settings, words, held, ("python", *start, *(w for w in words if key_of(w) != "fold")), teacher
        )

    @cached_property
    def space(self) -> spaces.Space:
        """What may be chosen, by dotted setting."""
        return spaces.read_space(self.settings.space)

    @cached_property
    def first(self) -> RunSettings:
        """Of some trial: what all of them share is here."""
        return self.trial(spaces.probes(self.space)[0])

    def trial(self, chosen: dict[str, Any]) -> RunSettings:
        """The settings of a trial, composed and checked like those of any run.

        Raises:
            ConfigError: a chosen value is not one that the setting can have.
        """
        words = [*self.words, *spaces.words(chosen)]
        if self.teacher is None:
            return load(TrainSettings, words).each_seed()[0]
        return with_teacher_data(load(DistillSettings, words), self.teacher, last_of(words, "dataset.root"))

    def check(self) -> None:
        """Refuse what can be refused before any file is read or written.

        Raises:
            ConfigError: whatever is wrong.
        """
        model = self.settings.model
        if model.kind == "floor":
            raise ConfigError(f"model={model.name} has no epochs to validate. Tune a network.")
        if "text_encoder" in self.settings.space and not self.settings.learning.uses_text:
            raise ConfigError(
                f"space.text_encoder: model={model.name} is trained without a text encoder "
                "of its own. Choose space=training or student, or add ~space.text_encoder."
            )
        spaces.check_held(self.space, self.held)
        for chosen in spaces.probes(self.space):
            settings = self.trial(chosen)
            check(settings.data, settings.learning)
            if self.teacher:
                check_distill(settings.learning, self.teacher)

    def digest(self, data: Data) -> str:
        """Stands for everything that can change what a trial is worth."""
        weights = weights_of(self.teacher) if self.teacher else {}
        body: list[Any] = [digest_of(self.first), plain(self.first.trainer), self.folds(data)]
        body += [self.settings.space, self.settings.pruner, self.settings.startup]
        body += [splits.folds_hash(data.windows), data.store.manifest["digest"], weights]
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:8]

    def folds(self, data: Data) -> list[int]:
        """The chosen ones."""
        return self.first.folds(data.split.n_folds)

    def study(self, data: Data) -> Study:
        """Its trials: ``runs/<dataset>/tune-<model>-<split>-s<seed>-<digest>/``, begun or found again."""
        first = self.first
        name = "-".join(("tune", first.model.name, data.split.name, f"s{first.seed}", self.digest(data)))
        return Study(
            Path(first.run.root) / first.dataset.name / name,
            self.space,
            held=self.held,
            trials=self.settings.trials,
            startup=self.settings.startup,
            pruner=self.settings.pruner,
            seed=first.seed,
        )


def tune(settings: TuneSettings, words: Sequence[str], teacher: Run | None = None) -> None:
    """Run a search, or continue it, and print its best setting as a command.

    Args:
        settings: with a teacher, of its student's preset and a space meant for students.
        words: the command line that ``settings`` were loaded from.
        teacher: whose student is tuned; None: a training is.

    Raises:
        ConfigError: settings that are wrong, before any file is written.
        DataError: the data are not what they should be.
    """
    run_search(Search.of(settings, words, teacher))


def run_search(search: Search) -> None:
    """Run a search, or continue it, and print its best setting as a command."""
    search.check()
    data = load_data(search.first.data)
    if search.teacher:
        check_folds(data, search.teacher)
    study = search.study(data)
    about = {
        "config": plain(search.first),  # of the first values of the space
        "space": search.settings.space,
        "command": shlex.join(search.command),
        "provenance": provenance(),
    }
    write_yaml(study.folder / "search.yaml", about)
    print(f"search folder: {study.folder}", flush=True)
    items, how = [(search,)] * search.settings.jobs, search.settings
    logs = study.folder / "logs"
    queue = partial(spread, jobs=how.jobs, cluster=how.cluster, slurm=how.slurm)
    for done in queue(work, items, name="tune", logs=logs):
        if isinstance(done, Failed):
            raise done.error
    study.save()  # a process may have been killed between a trial's end and its row
    print(summary(search, study, len(search.folds(data))))


def work(search: Search) -> None:
    """Run trials until the search has enough; several processes may do so at once."""
    data = load_data(search.first.data)
    study = search.study(data)
    while (trial := study.next()) is not None:
        run_trial(search.trial(trial.params), data, study, trial, search.teacher)


def summary(search: Search, study: Study, folds: int) -> str:
    """The best trials and the command of the best."""
    table = study.table()
    complete = table[table["state"] == "complete"].sort_values("val_macro_f1", ascending=False)
    lines = [
        f"{len(table)} trials ({len(complete)} complete, {len(table) - len(complete)} pruned) in "
        f"{study.folder / 'trials.csv'}",
        f"macro F1 on validation windows, mean of {folds} folds; no test window was predicted",
    ]
    if complete.empty:
        return "\n".join([*lines, "none was trained to its end"])
    shown = complete.head(5).drop(columns=["state", "note", "folder"])
    best = next(
        t for t in study.trials(optuna.trial.TrialState.COMPLETE) if t.number == shown["trial"].iloc[0]
    )
    command = shlex.join([*search.command, *spaces.words(best.params)])
    return "\n".join([*lines, shown.to_string(index=False), f"best, {best.value:.4f}:", command])
