"""Metric tables from saved predictions; every table names its protocol and what it lets through."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from textwrap import wrap

import numpy as np
import pandas as pd

from distilclip_eeg.config.older import digest_of
from distilclip_eeg.files.digests import write_atomic
from distilclip_eeg.files.reading import read_csv, read_text
from distilclip_eeg.files.writing import claim, write_csv
from distilclip_eeg.report import subjects
from distilclip_eeg.report.columns import WIDTH, aligned
from distilclip_eeg.runs import Run
from distilclip_eeg.schema import PROTOCOLS
from distilclip_eeg.scoring.answers import (
    AS_SAVED,
    CLASS_COLUMNS,
    Reading,
    class_rows,
    fold_metrics,
    pooled,
    read_answers,
)
from distilclip_eeg.scoring.metrics import PRESETS, always_seizure

HEADS = {
    "accuracy": "Acc %",
    "precision": "Pre %",
    "recall": "Rec %",
    "specificity": "Spe %",
    "f1": "F1 %",
    "balanced_accuracy": "BAcc %",
    "auroc": "AUROC %",
    "average_precision": "AP %",
    "mcc": "MCC %",
    "brier": "Brier %",
    "ece": "ECE %",
    "auc": "AUC* %",
}
AVERAGED = ("precision", "recall", "specificity", "f1", "auroc", "average_precision")
WEIGHTED = {"standard": (), "paper": ("precision", "f1")}
"""Columns weighted by support where there are more than two classes; the others of ``AVERAGED`` are macro."""
NOTES = {
    "standard": "precision, recall, specificity and F1 of the seizure class where there are two classes",
    "paper": "the article's mixture of averages, of the seizure class where there are two classes; AUC* is "
    "the mean of recall and specificity of hard answers",
}
ORDER = (*PROTOCOLS, "table", "transfer")
"""Of the protocols in a table; the last is a model on another corpus."""
ALWAYS = "always seizure"


def summary_rows(runs: list[Run], reading: Reading = AS_SAVED) -> pd.DataFrame:
    """One row a model, and one a protocol for the model that always answers seizure.

    Runs that differ in the seed alone share a row: mean and SD over the folds of all seeds.
    """
    rows, seen = [], set()
    full = fullest(runs)
    columns = PRESETS[reading.metrics]
    families: dict[tuple, list[Run]] = {}
    for run in runs:
        key = family(run), 0
        while any(one.settings.seed == run.settings.seed for one in families.get(key, ())):
            key = key[0], key[1] + 1  # the same run under another name
        families.setdefault(key, []).append(run)
    for group in families.values():
        run = group[0]
        settings = run.settings
        split = settings.split.name
        folds = pd.concat([fold_metrics(one, None, reading) for one in group])
        pools = pd.DataFrame([pooled(one, reading) for one in group])
        names = " ".join(one.path.name for one in group)
        asked = sum(one.settings.split.n_folds or len(one.folds_done()) for one in group)
        entries = [(settings.model.name, folds, pools.mean(), names, asked)]
        if (settings.dataset.name, split) not in seen:
            seen.add((settings.dataset.name, split))
            whole = full[settings.dataset.name, split]
            told = fold_metrics(whole, always_seizure, reading)
            entries.append((ALWAYS, told, None, "", whole.settings.split.n_folds or len(told)))
        seeds = [one.settings.seed for one in group]
        for name, folds, pool, where, asked in entries:
            row = {
                "dataset": settings.dataset.name,
                "split": split,
                "model": name,
                "seed": ",".join(str(s) for s in seeds) if len(seeds) > 1 else settings.seed,
                "folds": len(folds),
                "folds_asked": asked,
                "classes": n_classes(run),
                "windows": int(folds["n"].sum()),
                "balanced_test": settings.windows.balance_test or reading.balances(split),
                "prevalence": folds["prevalence"].mean(),
                "leak_note": run.data["leak_note"],
                "run": where,
            }
            for column in columns:
                row[column] = folds[column].mean()
                row[f"{column}_sd"] = folds[column].std(ddof=1)
                row[f"{column}_pooled"] = np.nan if pool is None else pool[column]
            rows.append(row)
    table = pd.DataFrame(rows)
    # Within a protocol: models in the order given, the trivial row last.
    table["order"] = table["split"].map(ORDER.index) * 2 + (table["model"] == ALWAYS)
    return table.sort_values("order", kind="stable").drop(columns="order").reset_index(drop=True)


def fullest(runs: Iterable[Run]) -> dict[tuple[str, str], Run]:
    """Of each corpus and protocol the first run with the most finished folds, by their names."""
    found: dict[tuple[str, str], Run] = {}
    for run in runs:
        place = run.settings.dataset.name, run.settings.split.name
        if len(run.folds_done()) > len(found.setdefault(place, run).folds_done()):
            found[place] = run
    return found


def family(run: Run) -> str:
    """Equal for runs that differ in the seed alone; a student's teacher may be of another seed, too."""
    settings = run.settings
    if settings.distill is not None:
        settings = replace(settings, distill=replace(settings.distill, teacher_sha256=None))
    return digest_of(replace(settings, seed=0))


def n_classes(run: Run) -> int:
    """Number of classes, background among them, of the run's predictions."""
    return len(read_answers(run, run.folds_done()[0]).classes)


def header(runs: list[Run], reading: Reading = AS_SAVED) -> list[str]:
    """Runs that lack folds, data, then one line a protocol: prevalence and what the split shares."""
    report = read_text(runs[0].path / "data_report.txt").splitlines()[0]
    lines = [run.part_line for run in runs if run.part]
    lines += [report, "mean ± SD over folds (SD is not a confidence interval);"]
    lines += wrap(NOTES[reading.metrics], WIDTH, initial_indent="  ", subsequent_indent="  ")
    if reading.calibration != "none" or reading.threshold != "argmax":
        lines.append(
            f"calibration={reading.calibration} threshold={reading.threshold}, chosen on each fold's "
            "validation windows"
        )
    full = {split: run for (_, split), run in fullest(runs).items()}
    for split in sorted(full, key=ORDER.index):
        run = full[split]
        share = fold_metrics(run, None, reading)["prevalence"].mean()
        balance = "balanced" if run.settings.windows.balance_test else "natural"
        balance = "balanced by weight, as the article's figures imply" if reading.balances(split) else balance
        lines.append(
            f"{split}: seizures {100 * share:.0f} % of test windows ({balance});\n  {run.data['leak_note']}"
        )
    return lines


def head_of(column: str, metrics: str, classes: int) -> str:
    """A column's head, with its average where there are more than two classes."""
    if classes == 2 or column not in AVERAGED:
        return HEADS[column]
    return f"{HEADS[column]} {'weighted' if column in WEIGHTED[metrics] else 'macro'}"


def format_table(table: pd.DataFrame, metrics: str = "standard") -> str:
    """Aligned columns, mean ± SD in per cent; one table for each number of classes."""
    shown = []
    for classes, group in table.groupby("classes"):
        columns = PRESETS[metrics]
        head = ["protocol", "model", "folds", *(head_of(c, metrics, classes) for c in columns)]
        body = [
            [r["split"], r["model"], folds_of(r), *(cell(r[c], r[f"{c}_sd"]) for c in columns)]
            for _, r in group.iterrows()
        ]
        shown.append(aligned(head, body, 3))
    return "\n".join(shown)


def folds_of(row: pd.Series) -> str:
    """How many folds a row rests on, and of how many where some are not finished."""
    return (
        f"{row['folds']} of {row['folds_asked']}" if row["folds_asked"] > row["folds"] else str(row["folds"])
    )


def cell(mean: float, sd: float) -> str:
    """A mean fraction and its SD in per cent; the SD is left out where it is NaN, as of a single fold."""
    if np.isnan(mean):
        return "undefined"
    return f"{100 * mean:.1f}" if np.isnan(sd) else f"{100 * mean:.1f} ± {100 * sd:.1f}"


def run_table(runs: list[Run], reading: Reading = AS_SAVED, rows: pd.DataFrame | None = None) -> str:
    """Header and table of runs on one dataset.

    Args:
        rows: :func:`summary_rows` of the same, where they are known already.
    """
    done = [run for run in runs if run.folds_done()]
    if not done:
        return "no fold is finished yet"
    table = format_table(summary_rows(done, reading) if rows is None else rows, reading.metrics)
    return "\n".join(["", *header(done, reading), table])


def format_classes(table: pd.DataFrame, metrics: str = "standard") -> str:
    """Per-class rows as aligned text, mean ± SD in per cent."""
    columns = CLASS_COLUMNS[metrics]
    head = ["protocol", "model", "class", "windows", *(HEADS[c] for c in columns)]
    body = [
        [
            r["split"],
            named(r["model"], r.get("part", "")),
            r["class"],
            f"{int(r['support']):,}",
            *(cell(r[c], r[f"{c}_sd"]) for c in columns),
        ]
        for _, r in table.iterrows()
    ]
    return aligned(head, body, 3)


def named(model: str, part: str) -> str:
    """A model, and how many of its folds are finished where not all are."""
    return f"{model} ({part})" if part else model


def of_ours(folder: Path) -> None:
    """Refuse tables that no evaluation wrote, to know those of a version that did not say so.

    Raises:
        DataError: one of them is none.
    """
    for path in folder.glob("*.csv"):
        if not path.stem.endswith(("_classes", "_subjects", "_pairs")):
            read_csv(path, "dataset", "split", "model", "leak_note")


def write_evaluation(runs: list[Run], root: Path, reading: Reading = AS_SAVED) -> str:
    """Tables of every dataset, printed and written below ``root/evaluation``.

    File names end in the preset's name unless it is the standard one.
    """
    groups = defaultdict(list)
    for run in runs:
        groups[run.settings.dataset.name].append(run)
    folder = root / "evaluation"
    folder.mkdir(parents=True, exist_ok=True)
    shown = []
    for dataset, group in groups.items():
        name = dataset if reading.metrics == "standard" else f"{dataset}_{reading.metrics}"
        ends = (".csv", "_classes.csv", "_subjects.csv", "_pairs.csv", ".txt")
        claim(folder, [name + end for end in ends], partial(of_ours, folder))
        classes = pd.concat([class_rows(run, reading).assign(part=run.part) for run in group])
        rows = summary_rows(group, reading).assign(
            metrics=reading.metrics, calibration=reading.calibration, threshold=reading.threshold
        )
        write_csv(folder / f"{name}.csv", rows)
        write_csv(folder / f"{name}_classes.csv", classes)
        text = run_table(group, reading, rows)
        known = [run for run in group if subjects.comparable(run)]
        kinds = {"subjects": subjects.subject_rows, "pairs": subjects.pair_rows} if known else {}
        for kind, rows_of in kinds.items():
            write_csv(folder / f"{name}_{kind}.csv", rows_of(known, reading))
        sure = subjects.page(known, reading)
        by_class = format_classes(classes, reading.metrics)
        body = "\n".join([text, "", by_class, *sure])
        write_atomic(folder / f"{name}.txt", f"{body}\n".encode())
        shown += [
            text,
            "",
            "each class against the rest (what the article calls a class's accuracy is its recall):",
            by_class,
            *sure,
            f"written: {folder / name}.csv, {name}_({'|'.join(['classes', *kinds])}).csv, {name}.txt",
        ]
    return "\n".join(shown)
