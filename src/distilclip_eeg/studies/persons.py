"""The table of persons beside Table I: every model's figures by person, ours against each of the others.

A cell leaves a row for each person that it has tested; other detectors' files of scores leave theirs, on the
same windows. The page gives means over persons, and the paired difference from our teacher and our student.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from distilclip_eeg.files.digests import write_atomic
from distilclip_eeg.files.reading import read_csv
from distilclip_eeg.report.by_person import Figures, curves_figure, less, networks_figure, said
from distilclip_eeg.report.comparison import settings_of
from distilclip_eeg.report.tables import HEADS
from distilclip_eeg.runs import Run, commit
from distilclip_eeg.scoring.peers import on_windows
from distilclip_eeg.scoring.persons import holm, person_rows, test_windows
from distilclip_eeg.studies.cells import Cell, append, chosen_folds, made
from distilclip_eeg.training.data import load_data, test_rows

SHOWN = ("balanced_accuracy", "auroc", "average_precision")
SECTION = ["dataset", "split"]
CURVES = ("epoch", "step", "train_loss", "val_loss")
"""Of each epoch, beside what it was judged by."""
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


def curves_of(one: Cell, runs: list[Run]) -> list[dict[str, Any]]:
    """A row an epoch of each fold of the cell's networks."""
    rows = []
    for run in runs:
        settings, judge = run.settings, run.settings.trainer.judge
        about = {
            **{"dataset": settings.dataset.name, "split": settings.split.name},
            **{"model": settings.model.name, "seed": settings.seed, "judge": judge},
        }
        for fold in (k for k in run.folds_done() if (run.fold(k) / "history.csv").exists()):
            history = read_csv(run.fold(fold) / "history.csv", *CURVES, f"val_{judge}")
            history = history[[*CURVES]].assign(val_judged=history[f"val_{judge}"])
            rows += [about | {"fold": fold} | row for row in history.to_dict("records")]
    how = {"minutes": 0.0, **made(one, runs[0])} if rows else {}
    return [row | how for row in rows]


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


def newest(path: Path, *of_a_row: str) -> pd.DataFrame:
    """A table's rows as they stand, with the settings of their command; of rows made twice the later.

    Args:
        of_a_row: what tells the rows of a run apart.
    """
    rows = read_csv(path, "command", *of_a_row)
    rows = rows.assign(settings=rows["command"].fillna("").map(settings_of))
    return rows.drop_duplicates([*SECTION, "settings", "model", "seed", *of_a_row], keep="last")


def page(path: Path, curves: Path) -> str:
    """The table of persons as markdown, a section a protocol, written with its pictures beside its CSV.

    Args:
        curves: the CSV of ``curves_of``.
    """
    parts = []
    for (dataset, split), group in newest(path, "subject").groupby(SECTION, sort=False):
        others = group[group["command"].isna()]  # detectors of others, which belong to all settings
        for settings, mine in group.dropna(subset="command").groupby("settings", sort=False):
            parts.append(section(pd.concat([mine, others]), dataset, split, settings))
    text = "\n".join(parts)
    write_atomic(path.with_suffix(".md"), text.encode())
    for dataset, rows in newest(path, "subject").groupby("dataset"):
        write_atomic(path.with_suffix(".png"), networks_figure(rows, str(dataset)).png)
    for dataset, rows in newest(curves, "fold", "step").groupby("dataset") if curves.exists() else ():
        write_atomic(curves.with_suffix(".png"), curves_figure(rows, str(dataset)).png)
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
