r"""Floors, teacher and student under each protocol in one table, with the figures of all folds pooled.

    python scripts/reproduce_table1.py page=evidence name=chbmit_excerpts split=window,recording,subject \
        dataset=chbmit dataset.root=FOLDER trainer.precision=bf16

A student is a cell of its own here, after its teacher's; ``augment=standard`` is the teacher's alone and
makes rows of another name. ``fill=false`` prints what stands in the table.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from distilclip_eeg.config.older import digest_of
from distilclip_eeg.config.studies import ALL, Table1Settings
from distilclip_eeg.files.digests import write_atomic
from distilclip_eeg.files.reading import read_csv
from distilclip_eeg.report.comparison import FLOORS, of_others
from distilclip_eeg.report.tables import ALWAYS, cell, summary_rows
from distilclip_eeg.runs import Run, public_command
from distilclip_eeg.schema import ConfigError
from distilclip_eeg.scoring.metrics import COLUMNS
from distilclip_eeg.studies import cells as runner
from distilclip_eeg.studies import others
from distilclip_eeg.studies.cells import Cell, Grid, composed, composed_student, made, seeded
from distilclip_eeg.studies.expected import expect

SCRIPT = "scripts/reproduce_table1.py page=evidence"
SPLITS = ("window", "recording", "subject")
MODELS = ("random_forest", "logreg_bandpower", "teacher_small", "student_small")
AUGMENTED = " + augment"
"""Behind the name of a model that was trained, or whose teacher was trained, with augment=standard."""
SHOWN = ("accuracy", "precision", "recall", "specificity", "f1", "balanced_accuracy", "auroc")
HEAD = (
    "| protocol | model | Acc % | Pre % | Rec % | Spe % | F1 % | BAcc % | AUROC % "
    "| pooled Acc / AUROC | min |"
)


def teachers() -> dict[str, str]:
    """Preset of the teacher by that of its student, as the teachers' configs name them."""
    sizes = ("", "_tiny", "_small", "_lean")
    models = {f"teacher{size}": composed((f"model=teacher{size}",)).model for size in sizes}
    return {model.student: preset for preset, model in models.items() if model.student}


def cells_of(settings: Table1Settings, words: Sequence[str]) -> list[Cell]:
    """A cell a protocol and model, a student's behind its teacher's.

    Args:
        words: of train, for all cells alike.
    """
    chosen = MODELS if settings.models == (ALL,) else settings.models
    return [
        cell_of(split, name, told)
        for split in settings.protocols
        for name in chosen
        for told in seeded(settings, words)
    ]


def cell_of(split: str, model: str, words: Sequence[str]) -> Cell:
    """One model under one protocol; a student's cell begins with its teacher, finished already as a rule."""
    command = public_command(SCRIPT, (f"split={split}", f"models={model}", *words))
    first = composed((f"model={model}",)).model
    if first.kind != "student":
        train = words_of(split, model, words)
        return Cell(f"{split} {model}", train, digest_of(composed(train)), command, study=split)
    if model not in teachers():
        raise ConfigError(f"models={model}: no teacher's config names it as its student.")
    train = words_of(split, teachers()[model], words)
    kept = [word for word in words if not word.startswith("augment=")]  # the teacher's alone
    distill = words_of(split, model, kept)
    key = f"{digest_of(composed_student(distill))}-{digest_of(composed(train))}"
    return Cell(f"{split} {model}", train, key, command, distill, study=split)


def words_of(split: str, model: str, words: Sequence[str]) -> tuple[str, ...]:
    """What train is told of a model under a protocol; a floor has neither steps nor augmentation."""
    network_only = ("trainer.", "augment=") if model in FLOORS else ()
    return (f"split={split}", f"model={model}", *(w for w in words if not w.startswith(network_only)))


def rows_of(one: Cell, runs: list[Run]) -> list[dict[str, Any]]:
    """The row of the cell's last run."""
    run = runs[-1]
    table = summary_rows([run])
    always = table[table["model"] == ALWAYS].iloc[0]
    row = table[table["model"] != ALWAYS].iloc[0].to_dict()
    if runs[0].settings.augment != "none":
        row["model"] += AUGMENTED
    row |= {f"always_{c}": always[c] for c in COLUMNS}
    return [row | {f"shares_{k}": v for k, v in run.data["audit"].items()} | made(one, run)]


def page(path: Path) -> str:
    """Markdown, written beside the table: protocols and models in order, 'not run' where a cell is empty."""
    rows = read_csv(path) if path.exists() else pd.DataFrame(columns=["split", "model"])
    lines = [HEAD, "|" + "---|" * 11]
    named = [*MODELS[:2], *(m + a for a in ("", AUGMENTED) for m in MODELS[2:])]
    for split in SPLITS:
        of_split = rows[rows["split"] == split]
        theirs = of_split.loc[of_others(of_split), "model"].unique() if len(of_split) else ()
        lines += [line for model in (*named, *theirs) for line in line_of(of_split, split, model)]
        if len(of_split):
            row = of_split.iloc[0]
            always = " | ".join(cell(row[f"always_{c}"], float("nan")) for c in SHOWN)
            lines.append(f"| {split} | {ALWAYS} | {always} | – | – |")
    text = "\n".join(lines)
    if len(rows):
        write_atomic(path.with_suffix(".md"), f"{text}\n".encode())
    return text


def line_of(rows: pd.DataFrame, split: str, model: str) -> list[str]:
    """One model's line, of its newest row; none of an augmented one that was not run."""
    found = rows[rows["model"] == model]
    if found.empty:
        empty = f"| {split} | {model} | {' | '.join(['not run'] * 9)} |"
        return [] if model.endswith(AUGMENTED) else [empty]
    row = found.iloc[-1]
    figures = " | ".join("–" if pd.isna(row[c]) else cell(row[c], row[f"{c}_sd"]) for c in SHOWN)
    if of_others(found).iloc[-1]:
        return [f"| {split} | {model} | {figures} | – | – |"]
    pool = f"{row['accuracy_pooled']:.3f} / {row['auroc_pooled']:.3f}"
    return [f"| {split} | {model} | {figures} | {pool} | {row['minutes']:.0f} |"]


def evidence(settings: Table1Settings, words: Sequence[str]) -> None:
    """Run what is lacking of the table and print it; see the module.

    Args:
        words: of train, for all cells alike: ``settings.train_words`` of the command line.
    """
    cells = cells_of(settings, words)
    path = runner.csv_path(settings, "evidence", cells)
    expected = partial(expect, cells=cells, results=path.parent)
    grid = Grid("evidence", path, cells, rows_of, partial(page, path), expected)
    runner.fill(grid, settings)
    others.add(grid, settings.score_files, SCRIPT)
    print(page(path))
