"""The optimism gap: the same models under every protocol, side by side in one table.

    python scripts/gap.py dataset=chbmit dataset.root=FOLDER models=teacher_small,random_forest

Cells, their rows in ``results/gap_<dataset>.csv`` and what is not run again are Table I's (``table1.py``);
a cell that stands in a ``results/table1_*.csv`` is taken from there.
"""

import contextlib
from pathlib import Path

import numpy as np
import pandas as pd

from distilclip_eeg.config.compose import load
from distilclip_eeg.report.tables import ALWAYS, HEADS, cell
from distilclip_eeg.runs import write_atomic
from distilclip_eeg.schema import PROTOCOLS, ConfigError, UserError
from distilclip_eeg.scoring.metrics import PAPER_COLUMNS
from distilclip_eeg.signals.audit import SHARED
from distilclip_eeg.studies.table1 import Cell, cells_of, fill, settings
from distilclip_eeg.training.data import load_data

SHOWN = ("accuracy", "f1", "balanced_accuracy", "auroc")
HONEST = "subject"
"""The protocol whose figures are subtracted from those of the article's."""


def possible(cells: list[Cell]) -> list[Cell]:
    """The cells of the protocols that the corpus allows; one line for each other protocol."""
    left_out = set()
    for split in dict.fromkeys(one.split for one in cells):
        first = next(one for one in cells if one.split == split)
        try:
            with contextlib.redirect_stdout(None):
                load_data(load("train", first.words()))
        except UserError as problem:
            print(f"left out: {problem}", flush=True)
            left_out.add(split)
    kept = [one for one in cells if one.split not in left_out]
    if not kept:
        raise ConfigError("split: none of these protocols is possible on this corpus; see the lines above.")
    return kept


def page(rows: pd.DataFrame) -> str:
    """The gap as markdown: protocols in columns, what each lets through, then every model's figures.

    Args:
        rows: as ``table1.row_of`` gives them, of one corpus and one setting.
    """
    splits = [split for split in PROTOCOLS if split in set(rows["split"])]
    ends = (splits[0], HONEST if HONEST in splits else splits[-1])
    first = rows.groupby("split").first()  # of each column what is known: older rows lack some

    def line(name: str, texts, difference: str = "") -> str:
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
            texts = [said(found, s, column) for s in splits]
            gap = 100 * (found[column].get(ends[0], np.nan) - found[column].get(ends[1], np.nan))
            gap = "" if np.isnan(gap) else f"{gap:+.1f}"
            lines.append(line(f"{model}: {name}", texts, gap))
    lines.append(line(f"{ALWAYS}: {HEADS['accuracy']}", share("always_accuracy")))
    return "\n".join(lines)


def said(found: pd.DataFrame, split: str, column: str) -> str:
    """Mean and SD of a figure; a row of an older table may lack it."""
    if split not in found.index:
        return "not run"
    value, sd = found.loc[split, column], found.loc[split, f"{column}_sd"]
    return "–" if column.startswith("paper_") and np.isnan(value) else cell(value, sd)


def borrow(cells: list[Cell], path: Path) -> None:
    """Take the rows of cells that stand in a Table I beside ``path``: the same cell is not run twice."""
    rows = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["digest"])
    wanted = {one.digest for one in cells} - set(rows["digest"])
    tables = [pd.read_csv(table) for table in sorted(path.parent.glob("table1_*.csv"))]
    found = [table[table["digest"].isin(wanted)] for table in tables]
    found = [table for table in found if len(table)]
    if found:
        both = pd.concat([*([rows] if len(rows) else []), *found]).drop_duplicates(["digest", "model"])
        write_atomic(path, both.to_csv(index=False).encode())


def measure(overrides: list[str], root: Path = Path("results")) -> None:
    """``python scripts/gap.py``; see the module."""
    words = ["models=teacher_tiny", "split=all", *overrides]
    own = settings(words)
    splits = ",".join(PROTOCOLS) if own["split"] == "all" else own["split"]
    cells = possible(cells_of(own["models"], splits, own["ours"], words))
    dataset = load("train", cells[0].words())["dataset"]["name"]
    path = root / f"{own['name'] or f'gap_{dataset}'}.csv"
    borrow(cells, path)
    fill(cells, path, own)
    if not path.exists():
        raise ConfigError(f"{path}: no cell could be run; see the lines above.")
    rows = pd.read_csv(path)
    text = page(rows[rows["digest"].isin([one.digest for one in cells])])
    write_atomic(path.with_suffix(".md"), f"{text}\n".encode())
    print(text)
