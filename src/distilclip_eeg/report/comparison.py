"""Table I of the article as markdown: every network, ours beside the published figures."""

import pandas as pd

from distilclip_eeg.report.published import COLUMNS, TABLE_1, table_1
from distilclip_eeg.report.tables import ALWAYS, cell

BASELINES = tuple(name for name in TABLE_1 if name not in ("teacher", "student"))
"""The article's sixteen, in its order."""
EXTRA = ("zhu_transformer", "eeg_conformer")
"""Beside them: the transformer that its EEGNet row cites, and Song's conformer."""
FLOORS = ("logreg_bandpower", "random_forest")
COMPARABLE = ("window",)
"""Protocols whose figures may stand beside the article's; the others are there to show the difference."""
HEAD = (
    "| model | Acc % | Pre % | Rec % | F1 % | AUROC % | article, full corpus: Acc / Pre / Rec / F1 "
    "| min | parameters | ms a step | windows/s |"
)
OF_A_CELL = ("split=", "models=", "ours=", "dataset=")
PLACES = ("dataset.root=", "store.root=", "run.root=", "device=", "n_jobs=")
"""Words of a command that change where and how fast, never a figure."""


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


def comparison(rows: pd.DataFrame, asked: list[tuple[str, str, str, str]], rates: dict[str, float]) -> str:
    """Accuracy, precision, recall and F1 of each model as the article prints them, a section a protocol.

    Args:
        rows: ``results/table1_*.csv`` with the columns ``parameters``, ``step_ms`` and ``windows_per_s``.
        asked: dataset, split, settings and model of cells that may have no row yet: they read "not run".
        rates: learning rate by model.
    """
    found = list(
        zip(rows["dataset"], rows["split"], rows["command"].map(settings_of), rows["model"], strict=True)
    )
    sections: dict[tuple[str, str, str], set[str]] = {}
    for dataset, split, settings, model in (*found, *asked):
        sections.setdefault((dataset, split, settings), set()).add(model)
    parts = []
    for section, names in sections.items():
        mine = rows[[place[:3] == section for place in found]]
        parts += [
            *heading(*section, mine, {name: rates[name] for name in in_order(names) if name in rates}),
            *(line_of(mine[mine["model"] == name], name, *section[:2]) for name in in_order(names)),
        ]
        if len(mine):
            always = " | ".join(f"{100 * mine.iloc[-1][f'always_{c}']:.1f}" for c in COLUMNS)
            parts.append(f"| {ALWAYS} | {always} | 50.0 | – | – | – | – | – |")
        parts.append("")
    return "\n".join(parts)


def heading(
    dataset: str, split: str, settings: str, rows: pd.DataFrame, rates: dict[str, float]
) -> list[str]:
    """Protocol, settings and learning rates of a section, and the table's head."""
    about = f"**{dataset}, split={split}**" + (f", {settings}" if settings else "")
    if len(rows):
        first = rows.iloc[0]
        steps = sorted({int(n) for n in pd.to_numeric(rows["steps_per_fold"]).dropna()})
        about += (
            f" ({int(first['folds'])} folds, mean ± SD over folds; seed {first['seed']}; test windows: "
            f"{'balanced' if first['balanced_test'] else 'natural prevalence'}; steps a fit: "
            f"{' or '.join(f'{n:,}' for n in steps) or '–'}). {first['leak_note']}"
        )
    usual = max(set(rates.values()), key=list(rates.values()).count)
    own = [f"{name} {rate:g}" for name, rate in rates.items() if rate != usual]
    about += f". Learning rate {usual:g}" + (f"; of its own: {', '.join(own)}" if own else "")
    return [f"{about}.\n", HEAD, "|" + "---|" * 11]


def line_of(found: pd.DataFrame, name: str, dataset: str, split: str) -> str:
    """One model's line, of its newest row; 'not run' where there is none."""
    said = table_1(name, dataset)
    article = " / ".join(f"{said[c]:.2f}" for c in COLUMNS) if said and split in COMPARABLE else "–"
    if found.empty:
        return f"| {name} | " + " | ".join(["not run"] * 5) + f" | {article} | – | – | – | – |"
    row = found.iloc[-1]
    ours = " | ".join(cell(row[c], row[f"{c}_sd"]) for c in (*COLUMNS, "auroc"))
    speed = "– | – | –"
    if not pd.isna(row["parameters"]):
        speed = f"{row['parameters']:,.0f} | {row['step_ms']:.0f} | {row['windows_per_s']:,.0f}"
    return f"| {name} | {ours} | {article} | {row['minutes']:.1f} | {speed} |"
