"""``tune``: settings tried one after another, judged by macro F1 on validation windows alone.

A trial trains the chosen folds and takes the mean of their best epochs' validation F1. It never batches or
predicts a test window; the test part is for the one command that the search ends with.
"""

import hashlib
import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import optuna
from optuna.trial import Trial

from distilclip_eeg.runs import Run, digest_of, provenance, write_yaml
from distilclip_eeg.schema import ConfigError, DataError, check_choice
from distilclip_eeg.signals import splits
from distilclip_eeg.studies.tuning import space as spaces
from distilclip_eeg.studies.tuning.study import PRUNERS, Study
from distilclip_eeg.training import pipeline
from distilclip_eeg.training.crossval import chosen_folds, open_fit
from distilclip_eeg.training.data import Data, load_data
from distilclip_eeg.training.engine import Timed
from distilclip_eeg.workers import CLUSTERS, spread


@dataclass(frozen=True)
class Search:
    """One search; its settings as the verb tune reads them (``configs/tune.yaml``)."""

    config: dict
    """What ``train.py`` would be given, or ``distill.py`` where there is a teacher."""
    teacher: Path | None
    space: dict
    held: dict
    """Searched settings that the command line fixes."""
    command: list[str]
    """What to type for a run with this config, the searched settings left out."""
    trials: int
    startup: int
    pruner: str
    jobs: int
    cluster: str | None

    def check(self) -> None:
        """Refuse what can be refused before any file is read or written."""
        check_choice("pruner", self.pruner, PRUNERS)
        check_choice("cluster", self.cluster, (None, *CLUSTERS))
        for name in ("trials", "startup", "jobs"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}={getattr(self, name)} must be 1 or more.")
        if self.config["model"]["kind"] == "floor":
            name = self.config["model"]["name"]
            raise ConfigError(f"model={name} has no epochs to validate. Tune a network.")
        space = spaces.read_space(self.space, self.config)
        if "text_encoder" in self.space and not pipeline.uses_text(self.config):
            raise ConfigError(
                f"space.text_encoder: model={self.config['model']['name']} is trained without a text encoder "
                "of its own. Choose space=training or student, or add ~space.text_encoder."
            )
        spaces.check_held(space, self.held)
        for chosen in spaces.probes(space):
            config = spaces.with_values(self.config, chosen)
            pipeline.check(config)
            if self.teacher:
                pipeline.check_distill(config, Run(self.teacher))

    def digest(self, data: Data) -> str:
        """Stands for everything that can change what a trial is worth."""
        searched = dict.fromkeys(spaces.read_space(self.space, self.config))
        config = spaces.with_values(self.config, searched)
        weights = pipeline.weights_of(Run(self.teacher)) if self.teacher else {}
        body = [digest_of(config), config["trainer"], chosen_folds(config), self.space, self.pruner]
        body += [self.startup, splits.folds_hash(data.windows), data.store.manifest["digest"], weights]
        return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:8]

    def study(self, data: Data) -> Study:
        """Its trials: ``runs/<dataset>/tune-<model>-<split>-s<seed>-<digest>/``, begun or found again."""
        config = self.config
        parts = ("tune", config["model"]["name"], config["split"]["name"], f"s{config['seed']}")
        name = "-".join((*parts, self.digest(data)))
        return Study(
            Path(config["run"]["root"]) / config["dataset"]["name"] / name,
            spaces.read_space(self.space, config),
            held=self.held,
            trials=self.trials,
            startup=self.startup,
            pruner=self.pruner,
            seed=config["seed"],
        )


def tune(search: Search) -> None:
    """Run a search, or continue it, and print its best setting as a command."""
    search.check()
    data = load_data(search.config)
    if search.teacher:
        pipeline.check_folds(data, Run(search.teacher))
    study = search.study(data)
    about = {"config": search.config, "space": search.space, "command": shlex.join(search.command)}
    write_yaml(study.folder / "search.yaml", about | {"provenance": provenance()})
    print(f"search folder: {study.folder}", flush=True)
    items = [(search,)] * search.jobs
    logs = study.folder / "logs"
    for problem in spread(work, items, jobs=search.jobs, cluster=search.cluster, name="tune", logs=logs):
        if problem:
            raise problem
    study.save()  # a process may have been killed between a trial's end and its row
    print(summary(search, study))


def work(search: Search) -> ConfigError | DataError | None:
    """Run trials until the search has enough; several processes may do so at once."""
    try:
        data = load_data(search.config)
        study = search.study(data)
        while (trial := study.next()) is not None:
            run_trial(search, data, study, trial)
    except (ConfigError, DataError) as problem:
        return problem
    return None


def run_trial(search: Search, data: Data, study: Study, trial: Trial) -> None:
    """Train one setting and record its score."""
    config = spaces.with_values(search.config, trial.params)
    name = hashlib.sha256(json.dumps(trial.params, sort_keys=True).encode()).hexdigest()[:8]
    if search.teacher:
        make_task = pipeline.distill_task(config, data, Run(search.teacher))
    else:
        make_task = pipeline.train_task(config, data)
    value, note = None, ""
    with Timed() as timed:
        try:
            value = validate(config, data, study.folder / name, make_task, trial)
        except optuna.TrialPruned:
            pass
        except DataError as problem:
            if problem.reason != "non_finite":
                raise
            note = "the loss was not finite"
    study.finish(trial, value, note=note, seconds=round(timed.seconds, 2), folder=name)
    for large in (study.folder / name).glob("fold*/checkpoint.pt"):
        large.unlink()  # history.csv stays
    score = "pruned" if value is None else f"validation macro F1 {value:.4f}"
    print(
        f"trial {trial.number}: {score} ({timed.seconds:.0f} s) {' '.join(spaces.words(trial.params))}",
        flush=True,
    )


def validate(config: dict, data: Data, folder: Path, make_task: Callable, trial: Trial) -> float:
    """Macro F1 on each chosen fold's validation windows at its best epoch, mean over the folds.

    After every epoch the mean so far is reported, and a trial that falls behind the others is stopped.
    """
    best: list[float] = []
    for place, fold in enumerate(chosen_folds(config)):
        seen = [0.0]

        def watch(row: dict) -> None:
            seen.append(row["val_macro_f1"])
            step = place * config["trainer"]["epochs"] + row["epoch"]
            trial.report(float(np.mean([*best, max(seen)])), step)
            if trial.should_prune():
                raise optuna.TrialPruned

        fit, _ = open_fit(config, data, folder / f"fold{fold}", fold, make_task, after_epoch=watch)
        for row in fit.history:  # of a process that was stopped
            watch(row)
        fit.run()
        best.append(fit.best["f1"])
    return float(np.mean(best))


def summary(search: Search, study: Study) -> str:
    """The best trials and the command of the best."""
    table = study.table()
    complete = table[table["state"] == "complete"].sort_values("val_macro_f1", ascending=False)
    folds = len(chosen_folds(search.config))
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
