"""The table of persons beside Table I: every model's figures by person, ours against each of the others.

A cell leaves a row for each person that it has tested; other detectors have theirs from ``others``. The page
gives means over persons, and the paired difference from our teacher and our student.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from distilclip_eeg.files.digests import write_atomic
from distilclip_eeg.files.reading import read_csv
from distilclip_eeg.report.by_person import Figures, curves_figure, less, networks_figure, said
from distilclip_eeg.report.comparison import of_others, settings_of
from distilclip_eeg.report.tables import HEADS
from distilclip_eeg.runs import Run
from distilclip_eeg.scoring.persons import holm, person_rows, test_windows
from distilclip_eeg.studies.cells import Cell, made

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
    return [row | made(one, runs[0], per=len(rows)) for row in rows]


def newest(path: Path, *of_a_row: str) -> pd.DataFrame:
    """A table's rows as they stand, with the settings of their command; of rows made twice the later.

    Args:
        of_a_row: what tells the rows of a run apart.
    """
    rows = read_csv(path, "command", *of_a_row)
    rows = rows.assign(settings=rows["command"].fillna("").map(settings_of))
    return rows.drop_duplicates([*SECTION, "settings", "model", "seed", *of_a_row], keep="last")


def sections(path: Path) -> Iterator[tuple[str, str, str, pd.DataFrame]]:
    """Dataset, protocol, settings and the newest rows of each section of the table of persons.

    Other detectors have no settings, so they stand in all sections of their windows.
    """
    for (dataset, split), group in newest(path, "subject").groupby(SECTION, sort=False):
        theirs = of_others(group)
        for settings, mine in group[~theirs].groupby("settings", sort=False):
            yield dataset, split, settings, pd.concat([mine, group[theirs]])


def page(path: Path, curves: Path) -> str:
    """The table of persons as markdown, a section a protocol, written with its pictures beside its CSV.

    The pictures are of the newest settings of each protocol.

    Args:
        curves: the CSV of ``curves_of``.
    """
    found = list(sections(path))
    text = "\n".join(section(rows, dataset, split, settings) for dataset, split, settings, rows in found)
    write_atomic(path.with_suffix(".md"), text.encode())
    shown = {(dataset, split): rows for dataset, split, _, rows in found}
    picture = networks_figure(pd.concat(shown.values()), path.stem)
    write_atomic(path.with_suffix(".png"), picture.png)
    if curves.exists():
        rows = newest(curves, "fold", "step")
        write_atomic(curves.with_suffix(".png"), curves_figure(rows, curves.stem).png)
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
