"""The optimism gap: the same models under every protocol, side by side in one table.

    python scripts/gap.py dataset=chbmit dataset.root=FOLDER models=teacher_small,random_forest

Cells and rows, in ``results/gap_<dataset>.csv``, are Table I's (``table1``); a cell that stands in a
``results/table1_*.csv`` is taken from there.
"""

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from distilclip_eeg.config.studies import GapSettings
from distilclip_eeg.files.digests import write_atomic
from distilclip_eeg.files.reading import read_csv
from distilclip_eeg.report.by_person import Figures, less
from distilclip_eeg.report.comparison import of_others
from distilclip_eeg.report.tables import ALWAYS, HEADS, cell
from distilclip_eeg.schema import PROTOCOLS, ConfigError, UserError
from distilclip_eeg.scoring.metrics import PAPER_COLUMNS
from distilclip_eeg.scoring.persons import Paired, holm
from distilclip_eeg.signals.audit import SHARED
from distilclip_eeg.studies import cells as runner
from distilclip_eeg.studies import others, persons
from distilclip_eeg.studies.cells import Cell, Grid
from distilclip_eeg.studies.table1 import cells_of, grid_of
from distilclip_eeg.training.data import load_data

SCRIPT = "scripts/gap.py"
SHOWN = ("accuracy", "f1", "balanced_accuracy", "auroc")
BY_PERSON = ("balanced_accuracy", "auroc")
HONEST = "subject"
"""The protocol whose figures are subtracted from those of the article's."""


def possible(cells: Sequence[Cell]) -> list[Cell]:
    """The cells of the protocols that the corpus allows; one line for each other protocol.

    Raises:
        ConfigError: there is none.
    """
    left_out = set()
    for split in dict.fromkeys(one.study for one in cells):
        first = next(one for one in cells if one.study == split)
        try:
            with contextlib.redirect_stdout(None):
                load_data(first.settings.data)
        except UserError as problem:
            print(f"left out: {problem}", flush=True)
            left_out.add(split)
    kept = [one for one in cells if one.study not in left_out]
    if not kept:
        raise ConfigError("split: none of these protocols is possible on this corpus; see the lines above.")
    return kept


def page(rows: pd.DataFrame) -> str:
    """The gap as markdown: protocols in columns, what each lets through, then every model's figures.

    Args:
        rows: as ``table1.rows_of`` gives them, of one corpus and one setting.
    """
    splits = [split for split in PROTOCOLS if split in set(rows["split"])]
    ends = (splits[0], HONEST if HONEST in splits else splits[-1])
    first = rows.groupby("split").first()  # of each column what is known: older rows lack some

    def line(name: str, texts: Iterable[str], difference: str = "") -> str:
        return f"| {name} | {' | '.join(texts)} | {difference} |"

    def share(column: str) -> list[str]:
        return ["–" if pd.isna(v) else f"{100 * v:.0f}" for v in first.loc[splits, column]]

    lines = [
        f"**{rows['dataset'].iloc[0]}**: mean ± SD over folds (SD is not a confidence interval). What test "
        "windows share with training makes a figure look better than it is for new patients.\n",
        line("", splits, f"{ends[0]} − {ends[1]}"),
        "|" + "---|" * (len(splits) + 2),
        line("folds", [f"{first.loc[split, 'folds']}" for split in splits]),
        line("seizures, % of test windows", share("prevalence")),
        *(line(f"sharing {name}, % of test windows", share(f"shares_{name}")) for name in SHARED[:-1]),
        line("older than a training window of their subject, %", share("shares_future")),
    ]
    for model in rows["model"].unique():
        found = rows[rows["model"] == model].drop_duplicates("split", keep="last").set_index("split")
        for column in (*SHOWN, *(f"paper_{c}" for c in PAPER_COLUMNS[:1])):
            name = HEADS[column.removeprefix("paper_")]
            name += ", paper preset" if column.startswith("paper_") else ""
            if column not in found or found[column].isna().all():
                continue  # another detector without answers, or no such preset
            texts = [said(found, s, column) for s in splits]
            gap = 100 * (found[column].get(ends[0], np.nan) - found[column].get(ends[1], np.nan))
            lines.append(line(f"{model}: {name}", texts, "" if np.isnan(gap) else f"{gap:+.1f}"))
    lines.append(line(f"{ALWAYS}: {HEADS['accuracy']}", share("always_accuracy")))
    return "\n".join(lines)


def said(found: pd.DataFrame, split: str, column: str) -> str:
    """Mean and SD of a figure; a row of an older table may lack it."""
    if split not in found.index:
        return "not run"
    value, sd = found.loc[split, column], found.loc[split, f"{column}_sd"]
    return "–" if column.startswith("paper_") and np.isnan(value) else cell(value, sd)


def of_persons(rows: pd.DataFrame) -> str:
    """What the article's protocol adds to the figures of each person, as markdown; empty where none is known.

    Args:
        rows: as ``persons.newest`` gives them, of one corpus and one setting.
    """
    ends = (PROTOCOLS[0], HONEST)
    if not set(ends) <= set(rows["split"]):
        return ""
    tables = {split: rows[rows["split"] == split] for split in ends}
    models = [name for name in tables[HONEST]["model"].unique() if name in set(tables[ends[0]]["model"])]
    lines = [
        f"**By person, {ends[0]} − {ends[1]}**: mean over the persons tested under both, in points [95 % "
        "interval from resampled persons]; p of Wilcoxon's signed ranks, corrected by Holm over the models; "
        "rank-biserial correlation: 1 where every person's figure is inflated, -1 where none is.\n",
        "| model | persons | " + " | ".join(f"{HEADS[c]}, p, rank-biserial" for c in BY_PERSON) + " |",
        "|" + "---|" * (2 + len(BY_PERSON)),
    ]
    found = {column: inflation(tables, models, column) for column in BY_PERSON}
    corrected = {column: holm([one.p for one in paired]) for column, paired in found.items()}
    for i, model in enumerate(models):
        texts = [inflated(found[c][i], corrected[c][i]) for c in BY_PERSON]
        lines.append(f"| {model} | {max(found[c][i].n for c in BY_PERSON)} | {' | '.join(texts)} |")
    return "\n".join(lines)


def inflated(paired: Paired, p: float) -> str:
    """A difference with its test; a dash where no person has the figure."""
    return f"{less(paired, p)}, {paired.rank_biserial:+.2f}" if paired.n else "–"


def inflation(tables: dict[str, pd.DataFrame], models: Sequence[str], column: str) -> list[Paired]:
    """Of each model a figure under the first protocol less that under the second, person by person."""
    first, second = (Figures.of(rows, column).by_model for rows in tables.values())
    known = first.columns.intersection(second.columns)
    return [Paired.of(first.loc[name, known], second.loc[name, known]) for name in models]


def borrow(grid: Grid) -> None:
    """Take the rows of cells that stand in a Table I beside the grid's: the same cell is not run twice."""
    wanted = {one.key for one in grid.todo()}
    # Persons first: a cell counts as done by its row in the other table.
    by_person = runner.beside(grid.path, "persons")
    for path, key in ((by_person, ["digest", "model", "subject"]), (grid.path, ["digest", "model"])):
        others = path.name.replace(grid.path.name, "table1_*.csv")
        tables = [read_csv(table) for table in sorted(path.parent.glob(others))]
        found = [table[table["digest"].isin(wanted)] for table in tables]
        if any(len(table) for table in found):
            rows = pd.concat([table for table in found if len(table)]).drop_duplicates(key)
            runner.append(path, rows)


def draw(cells: Sequence[Cell], path: Path) -> str:
    """The page of the cells' rows, written beside ``path`` as markdown."""
    asked = [one.key for one in cells]
    rows = read_csv(path)
    theirs = of_others(rows) & rows["split"].isin({one.study for one in cells})
    parts = [page(rows[rows["digest"].isin(asked) | theirs])]
    by_person = runner.beside(path, "persons")
    if by_person.exists():
        rows = persons.newest(by_person, "subject")
        parts.append(of_persons(rows[rows["digest"].isin(asked)]))
    text = "\n\n".join(part for part in parts if part)
    write_atomic(path.with_suffix(".md"), f"{text}\n".encode())
    return text


def gap(settings: GapSettings, words: Sequence[str]) -> None:
    """Run what is lacking of the table and print it; see the module.

    Args:
        words: of train, for all cells alike: ``settings.train_words`` of the command line.

    Raises:
        ConfigError: no protocol is possible, or no cell could be run.
    """
    cells = cells_of(settings, words)
    cells = possible(cells) if settings.fill else cells
    path = runner.csv_path(settings, "gap", cells)
    grid = replace(grid_of(cells, path, "gap"), draw=partial(draw, cells, path))
    if settings.fill:
        borrow(grid)
    runner.fill(grid, settings)
    if not path.exists():
        raise ConfigError(f"{path}: no cell could be run; see the lines above.")
    others.add(grid, settings.score_files, SCRIPT)
    print(draw(cells, path))
