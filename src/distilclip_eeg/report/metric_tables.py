"""The page's own tables: standard and paper presets, each class, the audit of every protocol."""

from collections.abc import Sequence

import numpy as np

from distilclip_eeg.report.article_tables import (
    AVERAGES,
    SPREAD,
    STANDARD,
    audit_of,
    scored,
    setting_of,
    splits_of,
)
from distilclip_eeg.report.entries import Entry
from distilclip_eeg.report.grid import NONE, Grid
from distilclip_eeg.report.tables import ALWAYS, HEADS, head_of, n_classes
from distilclip_eeg.scoring.answers import CLASS_COLUMNS, Reading, class_rows, fold_metrics
from distilclip_eeg.scoring.metrics import PRESETS, always_seizure

SHARED = {
    "samples": "samples",
    "event": "the same seizure",
    "recording": "the recording",
    "subject": "the person",
    "future": "a later training window",
}


def metric_tables(dataset: str, entries: Sequence[Entry], preset: str) -> list[Grid]:
    """Every model under each protocol, with the model that always answers seizure."""
    reading, grids = Reading(preset), []
    for split in splits_of(entries):
        group = [entry for entry in entries if entry.split == split]
        heads = {c: head_of(c, preset, n_classes(group[0].run)) for c in PRESETS[preset]}
        rows = [{"model": e.label, "folds": e.folds, **scored(e, heads, None, reading)} for e in group]
        always = scored(group[0], heads, always_seizure, reading)
        rows.append({"model": ALWAYS, "folds": rows[0]["folds"], **always})
        notes = (setting_of(group) + ".", SPREAD, STANDARD if preset == "standard" else AVERAGES)
        title, words = f"{dataset}, split={split}, {preset} preset", ("model", "folds")
        grids.append(Grid(title, notes, words, heads, rows, audit=audit_of(group)))
    return grids


def class_tables(dataset: str, entries: Sequence[Entry]) -> list[Grid]:
    """Each class against the rest, standard preset."""
    columns, grids = CLASS_COLUMNS["standard"], []
    for split in splits_of(entries):
        group = [entry for entry in entries if entry.split == split]
        kept = [*columns, *(f"{c}_sd" for c in columns)]
        rows = [
            {"class": row["class"], "model": entry.label, "windows": f"{int(row['support']):,}"}
            | row[kept].to_dict()
            for entry in group
            for _, row in class_rows(entry.run).iterrows()
        ]
        order = list(dict.fromkeys(row["class"] for row in rows))
        rows.sort(key=lambda row: order.index(row["class"]))
        title, words = f"{dataset}, split={split}, each class against the rest", ("class", "model", "windows")
        heads = {c: HEADS[c] for c in columns}
        notes = (setting_of(group) + ".", SPREAD)
        grids.append(Grid(title, notes, words, heads, rows, "class", audit=audit_of(group)))
    return grids


def audit_rows(entries: Sequence[Entry]) -> tuple[list[str], list[list[str]]]:
    """Head and rows: what the test windows of each protocol share with training, in per cent."""
    head = ["protocol", "folds", "test windows", "seizures among them %"]
    head += [f"{words} %" for words in SHARED.values()]
    rows = []
    for split in splits_of(entries):
        entry = next(e for e in entries if e.split == split)
        folds, audit = fold_metrics(entry.run), entry.audit
        shares = [share(audit.get(name)) for name in SHARED]
        seizures = share(folds["prevalence"].mean())
        rows.append([split, str(len(folds)), f"{int(folds['n'].sum()):,}", seizures, *shares])
    return head, rows


def share(value: float | None) -> str:
    """A fraction as whole per cent, a dash where it is unknown."""
    return NONE if value is None or np.isnan(value) else f"{100 * value:.0f}"
