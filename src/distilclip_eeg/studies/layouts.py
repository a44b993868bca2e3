"""Teacher and student on an invented corpus in every native layout.

    python scripts/layouts.py layouts=tusz,bids trainer.max_steps=200 root=data/layouts

A cell is one layout: its tree is written where it is not there yet, a teacher trained, a student distilled.
Rows by class, as in Tables III to V of the article, stand in ``results/native_layouts.csv``. The signals are
invented, so the figures show that every layout goes the whole way with all its classes, and nothing about
epilepsy.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from distilclip_eeg.config.studies import ALL, LayoutsSettings, last_of
from distilclip_eeg.corpora.invented.layouts.tree import LAYOUTS, synthesize
from distilclip_eeg.files.reading import read_csv
from distilclip_eeg.report.tables import format_classes, summary_rows
from distilclip_eeg.runs import Run
from distilclip_eeg.schema import check_choice
from distilclip_eeg.scoring.answers import class_rows
from distilclip_eeg.studies import cells as runner
from distilclip_eeg.studies.cells import Cell, Grid, made, seeded

NAME = "native_layouts"
SUBJECTS = {"tusz": 24}
"""Eight classes need more people than the others' twelve."""
STUDENT = "student_tiny"
STEPS = "trainer.max_steps"
ORDER = ["dataset", "split", "model", "class"]


def cells_of(settings: LayoutsSettings, words: Sequence[str]) -> list[Cell]:
    """A cell a layout, known by its command.

    Args:
        words: of train, for all cells alike.
    """
    chosen = list(LAYOUTS) if ALL in settings.layouts else settings.layouts
    for layout in chosen:
        check_choice("layouts", layout, LAYOUTS)
    steps = [] if last_of(list(words), STEPS) else [f"{STEPS}={settings.trainer.max_steps}"]
    return [
        cell_of(layout, Path(settings.root) / layout, told)
        for layout in chosen
        for told in seeded(settings, [*words, *steps])
    ]


def cell_of(layout: str, tree: Path, words: Sequence[str]) -> Cell:
    """One layout, whose files lie, or will lie, at ``tree``."""
    data = f"dataset={layout}", f"dataset.root={tree}"
    command = f"{synthesis(layout, tree)}; python train.py {' '.join((*data, *words))}"
    label = " ".join([layout, *(word.replace("=", " ") for word in words if word.startswith("seed="))])
    distill = (*data, f"model={STUDENT}", *words)
    return Cell(label, (*data, *words), command, command, distill, study=layout)


def synthesis(layout: str, tree: Path) -> str:
    """What to type for the tree alone."""
    return f"python scripts/synthesize.py layout={layout} root={tree} n_subjects={SUBJECTS.get(layout, 12)}"


def write_tree(one: Cell) -> None:
    """Write the tree of a cell where it is not there yet."""
    tree = Path(one.settings.dataset.root)
    if not tree.exists():
        synthesize(one.study, tree, n_subjects=SUBJECTS.get(one.study, 12))


def rows_of(one: Cell, runs: list[Run]) -> list[dict[str, Any]]:
    """The classes of both runs and, as the class ``overall``, their averages."""
    return [row for run in runs for row in rows_of_run(one, run)]


def rows_of_run(one: Cell, run: Run) -> list[dict[str, Any]]:
    """A row a class, and one of all of them."""
    whole, classes = summary_rows([run]).iloc[0], class_rows(run)
    names = ["accuracy", *(c for c in classes.columns if c in whole.index and c not in ("split", "model"))]
    overall = {name: whole[name] for name in ("split", "model")}
    overall |= {"class": "overall", "support": whole["windows"]}
    overall |= {n: whole[n] for k in names for n in (k, f"{k}_sd") if n in whole.index}
    table = pd.concat([classes, pd.DataFrame([overall])], ignore_index=True)
    about = {"dataset": one.study, "seed": run.settings.seed, "folds": whole["folds"]}
    how = about | made(one, run, key="command")
    return [{name: (about | row)[name] for name in ORDER} | row | how for row in rounded(table)]


def rounded(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows with four decimals."""
    return [
        {str(name): round(value, 4) if isinstance(value, float) else value for name, value in row.items()}
        for row in table.to_dict("records")
    ]


def expected_s(todo: Sequence[Cell], path: Path) -> list[float]:
    """Seconds of each layout as when it was last run, whatever it was told then; NaN where it never was."""
    if not path.exists():
        return [np.nan] * len(todo)
    rows = read_csv(path).drop_duplicates(["dataset", "model"], keep="last")
    seconds = 60 * rows.groupby("dataset")["minutes"].sum()
    return [float(seconds.get(one.study, np.nan)) for one in todo]


def page(cells: Sequence[Cell], path: Path) -> str:
    """The newest rows of each layout as text."""
    rows = read_csv(path)
    rows = rows.drop_duplicates(["dataset", "model", "class", "seed"], keep="last")
    found = {one.study: rows[rows["dataset"] == one.study] for one in cells}
    return "\n\n".join(f"{name}\n{format_classes(mine)}" for name, mine in found.items() if len(mine))


def nothing() -> None:
    """There is no page between cells."""


def layouts(settings: LayoutsSettings, words: Sequence[str]) -> None:
    """Run what is lacking of the table and print it; see the module.

    Args:
        words: of train, for all cells alike: ``settings.train_words`` of the command line.
    """
    cells = cells_of(settings, words)
    path = Path(settings.results) / f"{settings.name or NAME}.csv"
    expected = partial(expected_s, path=path)
    grid = Grid("layouts", path, cells, rows_of, nothing, expected, "command", write_tree)
    runner.fill(grid, settings)
    if path.exists():
        print(page(cells, path))
