"""Table I of the article as markdown: every network, ours beside the published figures."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from distilclip_eeg.report.published import COLUMNS, TABLE_1, table_1
from distilclip_eeg.report.tables import ALWAYS, HEADS, cell

BASELINES = tuple(name for name in TABLE_1 if name not in ("teacher", "student"))
"""The article's sixteen, in its order."""
EXTRA = ("zhu_transformer", "eeg_conformer", "filterbank")
"""Beside them: the transformer that its EEGNet row cites, Song's conformer, log power in learned bands."""
FLOORS = (
    *("logreg_bandpower", "random_forest", "logreg_relative", "forest_relative"),
    *("logreg_relative_5s", "forest_relative_5s"),
)
COMPARABLE = ("window",)
"""Protocols whose figures may stand beside the article's; the others are there to show the difference."""
FIGURES = (*COLUMNS, "balanced_accuracy", "auroc", "average_precision")
HEAD = (
    f"| model | folds | {' | '.join(HEADS[name] for name in FIGURES)} | article, full corpus: "
    "Acc / Pre / Rec / F1 | rate | steps | best | min | parameters | ms a step | windows/s |"
)
"""``steps`` and ``best``: steps done, and those of the weights that were kept, means over folds."""
STEPS, SPEED = ("steps_per_fold", "best_step"), ("parameters", "step_ms", "windows_per_s")
OF_A_CELL = ("split=", "models=", "ours=", "dataset=", "fold=", "seed=", "rates=", "name=")
OTHERS = "scores-"
"""What the digests of other detectors' rows begin with."""
PLACES = ("dataset.root=", "store.root=", "run.root=", "device=", "n_jobs=")
"""Words of a command that change where and how fast, never a figure."""


def of_others(rows: pd.DataFrame) -> pd.Series:
    """Which rows are of other detectors, whose scores were made elsewhere."""
    return rows["digest"].astype(str).str.startswith(OTHERS)


def settings_of(command: str) -> str:
    """What a row's command says besides its cell and places; rows of one section agree in it."""
    words = [word for word in command.split() if "=" in word]
    return " ".join(sorted(word for word in words if not word.startswith(OF_A_CELL + PLACES)))


def in_order(names: set[str]) -> list[str]:
    """The lines of a section: the article's networks and the floors always, ``names`` where they belong."""
    ours = [name for name in names if name.startswith(("teacher", "student"))]
    ours.sort(key=lambda name: (name.partition("_")[2], name.startswith("student")))
    others = sorted(names - {*BASELINES, *EXTRA, *FLOORS, *ours})
    return [*BASELINES, *EXTRA, *others, *ours, *FLOORS]


def comparison(rows: pd.DataFrame, asked: list[tuple[str, str, str, str]]) -> str:
    """Accuracy, precision, recall and F1 of each model as the article prints them, a section a protocol.

    Args:
        rows: ``results/table1_*.csv`` with the columns ``parameters``, ``step_ms`` and ``windows_per_s``.
        asked: dataset, split, settings and model of cells that may have no row yet: they read "not run".
    """
    rows, others = rows[~of_others(rows)], rows[of_others(rows)]
    found = list(
        zip(rows["dataset"], rows["split"], rows["command"].map(settings_of), rows["model"], strict=True)
    )
    sections: dict[tuple[str, str, str], set[str]] = {}
    for dataset, split, settings, model in (*found, *asked):
        sections.setdefault((dataset, split, settings), set()).add(model)
    parts = []
    for section, names in sections.items():
        mine = rows[[place[:3] == section for place in found]]
        theirs = others[(others["dataset"] == section[0]) & (others["split"] == section[1])]
        parts += [
            *heading(*section, mine),
            *(line_of(mine[mine["model"] == name], name, *section[:2]) for name in in_order(names)),
            *(line_of(theirs[theirs["model"] == name], name) for name in theirs["model"].unique()),
        ]
        if len(mine):
            last = mine.sort_values("folds", kind="stable").iloc[-1]
            always = [last[f"always_{c}"] for c in COLUMNS] + [0.5, 0.5, last["prevalence"]]
            parts.append(row_of(ALWAYS, "–", [cell(value, np.nan) for value in always]))
        parts.append("")
    return "\n".join(parts)


def heading(dataset: str, split: str, settings: str, rows: pd.DataFrame) -> list[str]:
    """Protocol and settings of a section, and the table's head."""
    about = f"**{dataset}, split={split}**" + (f", {settings}" if settings else "")
    if len(rows):
        first = rows.iloc[0]
        about += (
            " (mean ± SD over folds; test windows: "
            f"{'balanced' if first['balanced_test'] else 'natural prevalence'}). {first['leak_note']}"
        )
    return [f"{about}.\n", HEAD, "|" + "---|" * HEAD.count(" | ") + "---|"]


def line_of(found: pd.DataFrame, name: str, dataset: str = "", split: str = "") -> str:
    """One model's line, of its newest row; 'not run' where there is none."""
    said = table_1(name, dataset)
    article = " / ".join(f"{said[c]:.2f}" for c in COLUMNS) if said and split in COMPARABLE else "–"
    if found.empty:
        return row_of(name, "–", ["not run"] * len(FIGURES), article)
    row = found.iloc[-1]
    figures = [cell(row[c], row[f"{c}_sd"]) for c in FIGURES]
    rest = [shown(row.get("learning_rate"), "g"), *(shown(row.get(c), ",.0f") for c in STEPS)]
    rest += [shown(row["minutes"], ".1f"), *(shown(row[c], ",.0f") for c in SPEED)]
    return row_of(name, f"{row['folds']}", figures, article, rest)


def row_of(
    name: str, folds: str, figures: Sequence[str], article: str = "–", rest: Sequence[str] = ("–",) * 7
) -> str:
    """A line of the table."""
    return f"| {name} | {' | '.join([folds, *figures, article, *rest])} |"


def shown(value: float | None, form: str) -> str:
    """A number, or a dash where there is none; older rows lack some."""
    return "–" if value is None or pd.isna(value) or value == "" else format(float(value), form)
