"""The one runner of grids: cells, which of them a table has already, and how the others are run.

A cell is one training (model, protocol, seed, folds and whatever else its words say), with the distillation
of its student where there is one. Its runs are runs like any other: an interrupted one continues, a finished
one is found again. A study says which cells it has, how a finished one becomes rows and how the page is
drawn; here they are run, in processes or on SLURM, and their rows appended to the study's CSV as each ends.
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from distilclip_eeg.config.compose import load
from distilclip_eeg.config.experiment import DistillSettings, RunSettings, TrainSettings
from distilclip_eeg.config.older import digest_of
from distilclip_eeg.config.studies import GridSettings
from distilclip_eeg.files.folders import make_folder
from distilclip_eeg.files.locks import Lock
from distilclip_eeg.files.reading import read_csv
from distilclip_eeg.files.writing import write_csv
from distilclip_eeg.progress import clock, track
from distilclip_eeg.runs import Run, commit
from distilclip_eeg.schema import ConfigError, UserError
from distilclip_eeg.studies.speed import hardware
from distilclip_eeg.training.distillation import distillation, with_teacher_data
from distilclip_eeg.training.pipeline import training
from distilclip_eeg.workers import Failed, spread

S = TypeVar("S", bound=RunSettings)


@dataclass(frozen=True)
class Cell:
    """One training, and the distillation after it."""

    label: str
    """What lines and logs call it."""
    train: tuple[str, ...]
    """Words of train."""
    key: str
    """Stands for all that can change its rows; what the table's key column holds."""
    command: str
    """What to type for it alone."""
    distill: tuple[str, ...] | None = None
    """Words of distil, where a student follows."""
    study: str = ""
    """What the study calls it, for its rows: a variant, a preset, a layout."""
    rates: tuple[float, ...] = ()
    """Multiples of each network's learning rate, of which the best on validation windows is taken."""

    def __str__(self) -> str:
        return self.label

    @property
    def settings(self) -> RunSettings:
        """Of its training."""
        return composed(self.train)

    @property
    def student(self) -> DistillSettings | None:
        """Of its distillation, as the words say; the teacher's data come later."""
        return None if self.distill is None else composed_student(self.distill)


ADD = "Give another name= to the table, or mend it."
"""What to do where a study's rows cannot be added to a file."""
Rows = Callable[[Cell, list[Run]], list[dict[str, Any]]]
"""A function of a module: what a finished cell, its training and distillation, adds to the table."""


@dataclass(frozen=True)
class Grid:
    """A study as the runner needs it."""

    name: str
    """Of logs and of the cluster's jobs."""
    path: Path
    """The CSV; rows are only added."""
    cells: Sequence[Cell]
    rows: Rows
    draw: Callable[[], object]
    """Called after each cell, and at the end: writes the page."""
    expected: Callable[[Sequence[Cell]], list[float]]
    """Seconds that each of these cells will take on one core; NaN where nothing tells."""
    key: str = "digest"
    """The column of ``Cell.key``."""
    prepare: Callable[[Cell], object] | None = None
    """A function of a module, called before a cell's training."""
    beside: Mapping[str, Rows] = field(default_factory=dict)
    """Functions of a module: rows that a finished cell adds to further tables, by what these are called."""

    @property
    def logs(self) -> Path:
        """Folder of what the cells print."""
        return self.path.parent.parent / "runs" / self.name

    def table(self) -> pd.DataFrame:
        """What stands in the CSV; no row where there is none."""
        return (
            read_csv(self.path, self.key, again=ADD) if self.path.exists() else pd.DataFrame({self.key: []})
        )

    def todo(self) -> list[Cell]:
        """The cells that the CSV lacks."""
        known = set(self.table()[self.key])
        return [one for one in self.cells if one.key not in known]


@functools.cache
def composed(words: tuple[str, ...]) -> RunSettings:
    """Settings of train with these words, of one seed."""
    (settings,) = load(TrainSettings, list(words)).each_seed()
    return replace(settings, run=settings.run.apart("{digest}"))


@functools.cache
def composed_student(words: tuple[str, ...]) -> DistillSettings:
    """Settings of distil with these words."""
    settings = load(DistillSettings, list(words))
    return replace(settings, run=settings.run.apart("{digest}"))


def digest_key(words: Iterable[str]) -> str:
    """Stands for every setting of a training, its folds included."""
    settings = composed(tuple(words))
    fold = settings.fold
    said = "all" if fold is None else list(fold) if isinstance(fold, list | tuple) else fold
    return f"{digest_of(settings)}-{said}".replace(" ", "")


def seeded(settings: GridSettings, words: Iterable[str]) -> list[list[str]]:
    """``words`` once a seed; the default one is left unsaid."""
    several = len(settings.seeds) > 1
    return [[*words, *([f"seed={seed}"] if seed or several else [])] for seed in settings.seeds]


def beside(path: Path, name: str) -> Path:
    """Where a further table of the same cells stands: ``results/<name>_<table>.csv``."""
    return path.with_name(f"{name}_{path.name}")


def csv_path(settings: GridSettings, study: str, cells: Sequence[Cell]) -> Path:
    """``results/<name>.csv``, by default of the study's and the dataset's name."""
    name = settings.name or f"{study}_{cells[0].settings.dataset.name}"
    return Path(settings.results) / f"{name}.csv"


# -------------------------------------------------------------------------------------- running them


def fill(grid: Grid, how: GridSettings) -> None:
    """Run the cells that the table lacks; rows and page are written as each one is done.

    Args:
        how: ``jobs``, ``cluster`` and ``slurm``; nothing is run where ``fill`` is false.

    Raises:
        ConfigError: the queue's settings are wrong, or there is no row in the end.
    """
    todo = grid.todo() if how.fill else []
    if how.fill:
        n = len(grid.cells)
        print(f"{n - len(todo)} of {n} cells stand in {grid.path} already", flush=True)
    failed = run_all(grid, todo, how) if todo else []
    for one in failed:
        print(f"not run: {one}", flush=True)
    for one in failed:
        if not isinstance(one.error, UserError):  # a bug of ours
            raise one.error
    if not how.fill and not grid.path.exists():
        raise ConfigError(f"{grid.path}: there is no such table. Leave fill=false out to make it.")


def run_all(grid: Grid, todo: list[Cell], how: GridSettings) -> list[Failed]:
    """Run ``todo`` and append their rows; those that could not be run."""
    announce(todo, grid.expected(todo), how.jobs)
    failed: list[Failed] = []
    # The table itself last: a cell counts as done by its row in it.
    tables = {**{beside(grid.path, name): rows for name, rows in grid.beside.items()}, grid.path: grid.rows}
    items = [(one, tables, grid.prepare, grid.logs / f"{one.label.replace(' ', '-')}.log") for one in todo]
    queue = partial(spread, jobs=how.jobs, cluster=how.cluster, slurm=how.slurm)
    done = queue(rows_of, items, name=grid.name, logs=grid.logs, log_of=log_of)
    for made in track(done, len(todo), "cells"):
        if isinstance(made, Failed):
            failed.append(made)
            continue
        for path, rows in made.items():
            if rows:
                append(path, pd.DataFrame(rows))
        grid.draw()
    return failed


def announce(todo: Sequence[Cell], seconds: Sequence[float], jobs: int) -> None:
    """What will be run and how long it should take, before it starts."""
    for one, expected in zip(todo, seconds, strict=True):
        print(f"  {one.label:42s}{clock(expected) if expected == expected else 'unknown':>10s}")
    known = [s for s in seconds if s == s]
    more = f" for {len(known)} of {len(todo)} cells" if len(known) < len(todo) else ""
    total = sum(known)
    told = f"{clock(total)} on one core, about {clock(total / jobs)} with jobs={jobs}" if known else "unknown"
    print(f"expected: {told}{more}", flush=True)


def append(path: Path, rows: pd.DataFrame) -> None:
    """Add rows to a CSV, whole or not at all; the one place where a study's table is written.

    Several commands may fill one table at once: each waits until the one before it has written.
    """
    make_folder(path.parent)
    with Lock(path.with_name(f".{path.name}.lock"), str(path), wait=True):
        before = [read_csv(path)] if path.exists() else []
        write_csv(path, pd.concat([*before, rows], ignore_index=True))


def rows_of(
    one: Cell, tables: Mapping[Path, Rows], prepare: Callable[[Cell], object] | None, log: Path
) -> dict[Path, list[dict[str, Any]]]:
    """A cell's rows of every table, once it is run."""
    if prepare:
        prepare(one)
    runs = run_cell(one)
    return {path: rows(one, runs) for path, rows in tables.items()}


def log_of(
    one: Cell, tables: Mapping[Path, Rows], prepare: Callable[[Cell], object] | None, log: Path
) -> Path:
    """Where what a cell prints goes."""
    return log


def run_cell(one: Cell) -> list[Run]:
    """Train a cell, or find it finished: the run of its training, and that of its distillation."""

    def trained(settings: RunSettings) -> Run:
        return training(settings, report=False).train()

    teacher = trained(best_rate(one.settings, one.rates, trained))
    if one.student is None:
        return [teacher]

    def distilled(settings: RunSettings) -> Run:
        return distillation(settings, teacher).train()

    student = best_rate(with_teacher_data(one.student, teacher), one.rates, distilled)
    return [teacher, distilled(student)]


def best_rate(settings: S, rates: Sequence[float], train: Callable[[S], Run]) -> S:
    """The same with the learning rate that does best on the first fold's validation windows.

    A rate is judged by what an epoch is judged by (``trainer.judge``). Test windows are not looked at.

    Args:
        rates: multiples of the settings' own rate; none, or the multiple 1 alone: it stays.
    """
    own, judge = settings.optim.lr, settings.trainer.judge
    tried = [replace(settings, optim=replace(settings.optim, lr=own * rate)) for rate in rates]
    if len(tried) < 2:
        return tried[0] if tried else settings
    first = chosen_folds(settings)[0]
    scores = [best_score(train(replace(one, fold=first)), first, judge) for one in tried]
    for one, score in zip(tried, scores, strict=True):
        print(f"optim.lr={one.optim.lr:g}: {judge} {score:.4f} on validation windows of fold {first}")
    return tried[int(np.argmax(scores)) if judge != "loss" else int(np.argmin(scores))]


def chosen_folds(settings: RunSettings) -> list[int]:
    """The folds that the settings name; the first one where they name none."""
    fold = settings.fold
    return list(fold) if isinstance(fold, list | tuple) else [fold or 0]


def best_score(run: Run, fold: int, judge: str) -> float:
    """Of a fold's epochs the best, by what they are judged by."""
    column = read_csv(run.fold(fold) / "history.csv", f"val_{judge}")[f"val_{judge}"]
    return float(column.min() if judge == "loss" else column.max())


def made(one: Cell, run: Run, key: str = "digest", per: int = 1) -> dict[str, Any]:
    """How a row was made: minutes of its training, kind of machine, commit, command and key.

    Args:
        per: rows among which the run's minutes are shared.
    """
    return {
        "minutes": round(run.seconds / 60 / per, 2),
        "hardware": hardware(run.settings.device),
        "commit": commit(),
        "command": one.command,
        key: one.key,
    }
