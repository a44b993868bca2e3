"""The table of persons beside Table I: every model's figures by person, ours against each of the others.

A cell leaves a row for each person that it has tested; other detectors' files of scores leave theirs, on the
same windows. The page gives means over persons, and the paired difference from our teacher and our student.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from distilclip_eeg.files.digests import write_atomic
from distilclip_eeg.files.reading import read_csv
from distilclip_eeg.report.comparison import settings_of
from distilclip_eeg.report.tables import ALWAYS, HEADS
from distilclip_eeg.runs import Run, commit
from distilclip_eeg.scoring.peers import on_windows
from distilclip_eeg.scoring.persons import Paired, holm, person_rows, test_windows
from distilclip_eeg.scoring.uncertainty import Interval, bootstrap_subjects, mean_of_subjects
from distilclip_eeg.studies.cells import Cell, append, chosen_folds, made
from distilclip_eeg.training.data import load_data, test_rows

SHOWN = ("balanced_accuracy", "auroc", "average_precision")
SECTION = ["dataset", "split"]
OURS = ("teacher", "student")
"""What the names of our own networks begin with."""


def rows_of(one: Cell, runs: list[Run]) -> list[dict[str, Any]]:
    """A row a person of each of the cell's runs."""
    rows = []
    for run in runs:
        settings = run.settings
        about = {
            **{"dataset": settings.dataset.name, "split": settings.split.name},
            **{"model": settings.model.name, "seed": settings.seed},
            "folds": " ".join(map(str, run.folds_done())),
        }
        found = person_rows(test_windows(run))
        rows += [about | row | made(one, run, per=len(found)) for row in found.to_dict("records")]
    return rows


def add_scores(cells: Sequence[Cell], files: Sequence[Path], path: Path) -> None:
    """Append the rows of other detectors, once a protocol, on the windows that the protocol's cells test.

    Args:
        path: of the table of persons.

    Raises:
        DataError: the data or a file cannot be read, or they share no window.
    """
    known = set(read_csv(path)["digest"]) if path.exists() else set()
    for split in dict.fromkeys(one.study for one in cells):
        settings = next(one for one in cells if one.study == split).settings
        folds = chosen_folds(settings)
        keys = {file: f"scores-{file.stem}-{split}-{settings.dataset.name}-{folds}" for file in files}
        if known.issuperset(keys.values()):
            continue
        data = load_data(settings.data)
        rows = np.unique(np.concatenate([test_rows(data, fold) for fold in folds]))
        windows = data.windows.iloc[rows]
        windows = windows[["subject", "start_s"]].assign(
            recording=windows["recording_name"], label=(windows["label"] != 0).astype(int)
        )
        for file, key in keys.items():
            if key in known:
                continue
            about = {"dataset": settings.dataset.name, "split": split, "model": file.stem, "seed": 0}
            about |= {"folds": " ".join(map(str, folds))}
            found = person_rows(on_windows(windows, settings.windows.length_s, file))
            how = {"minutes": 0.0, "hardware": "", "commit": commit(), "command": "", "digest": key}
            append(path, pd.DataFrame([about | row | how for row in found.to_dict("records")]))


@dataclass(frozen=True)
class Figures:
    """One figure of all models of a protocol by person: mean over seeds, NaN where it is not known."""

    by_model: pd.DataFrame
    """A row a model, a column a person."""

    @classmethod
    def of(cls, rows: pd.DataFrame, figure: str) -> "Figures":
        """Of the persons' rows of one corpus and protocol, with the row that always answers seizure."""
        table = rows.pivot_table(index="model", columns="subject", values=figure, aggfunc="mean", sort=False)
        always = rows.groupby("subject")["prevalence"].first()[table.columns]
        trivial = always if figure in ("average_precision", "accuracy") else always * 0 + 0.5
        return cls(pd.concat([table, pd.DataFrame([trivial], index=[ALWAYS])]))

    def mean(self, model: str) -> Interval:
        """Over the model's persons."""
        value_U = self.by_model.loc[model].dropna().to_numpy()
        return bootstrap_subjects(value_U, mean_of_subjects)

    def less(self, ours: str, other: str) -> Paired:
        """Ours less another, over the persons that both have."""
        return Paired.of(self.by_model.loc[ours].to_numpy(), self.by_model.loc[other].to_numpy())


def newest(path: Path) -> pd.DataFrame:
    """The persons' rows as they stand, with the settings of their command; of rows made twice the later."""
    rows = read_csv(path, "command", "subject")
    rows = rows.assign(settings=rows["command"].fillna("").map(settings_of))
    return rows.drop_duplicates([*SECTION, "settings", "model", "seed", "subject"], keep="last")


def page(path: Path) -> str:
    """The table of persons as markdown, a section a protocol, written beside its CSV."""
    parts = []
    for (dataset, split), group in newest(path).groupby(SECTION, sort=False):
        others = group[group["command"].isna()]  # detectors of others, which belong to all settings
        for settings, mine in group.dropna(subset="command").groupby("settings", sort=False):
            parts.append(section(pd.concat([mine, others]), dataset, split, settings))
    text = "\n".join(parts)
    write_atomic(path.with_suffix(".md"), text.encode())
    return text


def section(rows: pd.DataFrame, dataset: str, split: str, settings: str) -> str:
    """Of one protocol and one choice of settings: means over persons, and ours less each."""
    figures = {name: Figures.of(rows, name) for name in SHOWN}
    table = figures["auroc"].by_model
    names = table.mean(axis=1).sort_values(ascending=False, kind="stable").index
    ours = [name for name in names if name.startswith(OURS)]
    heads = [HEADS[name] for name in SHOWN] + [f"{name} less it, AUROC, p" for name in ours]
    about = f"**{dataset}, split={split}**" + (f", {settings}" if settings else "")
    lines = [
        f"{about}: mean over persons [95 % interval from resampled persons] of each person's figures; "
        "differences over the persons that both tested, p by Wilcoxon's signed ranks with "
        "Holm's correction over the rows. Models that tested fewer persons had fewer folds.\n",
        f"| model | persons | {' | '.join(heads)} |",
        "|" + "---|" * (2 + len(heads)),
    ]
    against = {mine: {name: figures["auroc"].less(mine, name) for name in names} for mine in ours}
    p = {
        mine: dict(zip(names, holm([found[n].p for n in names]), strict=True))
        for mine, found in against.items()
    }
    for name in names:
        cells = [said(figures[figure].mean(name)) for figure in SHOWN]
        cells += ["" if name == mine else less(against[mine][name], p[mine][name]) for mine in ours]
        lines.append(f"| {name} | {table.loc[name].notna().sum()} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def said(interval: Interval) -> str:
    """A mean with its interval in per cent."""
    value = f"{100 * interval.value:.1f}"
    return value if interval.refused else f"{value} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def less(paired: Paired, p: float) -> str:
    """A difference with its interval in points, and its probability; a dash where no person differs."""
    one = paired.difference
    span = "" if one.refused else f" [{100 * one.low:+.1f}, {100 * one.high:+.1f}]"
    return f"{100 * one.value:+.1f}{span}, {'–' if np.isnan(p) else format(p, '.2f')}"
