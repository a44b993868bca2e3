"""A run's event scores as tables and as a page of text."""

from dataclasses import asdict

import numpy as np
import pandas as pd

from distilclip_eeg.config.detection import EventConfig
from distilclip_eeg.files.digests import write_atomic
from distilclip_eeg.files.reading import read_json
from distilclip_eeg.files.writing import write_csv, write_json
from distilclip_eeg.report.beside import blocks
from distilclip_eeg.report.budgets import budget_lines
from distilclip_eeg.report.columns import aligned
from distilclip_eeg.runs import Run
from distilclip_eeg.scoring.event_scores import FOLDER, GRID, SETTINGS, EventTables, event_tables
from distilclip_eeg.scoring.events.counts import DAY_S
from distilclip_eeg.scoring.events.summary import SZCORE_EVENT

BUDGET = "budget.json"
"""Beside the tables: what each fold's choice rests on."""
BESIDE = ("events", "burden", "curve", "seconds", "differences")
"""Tables with always on, chance and position only: ``beside_<name>.csv``."""


def write_event_tables(
    run: Run, config: EventConfig, threshold: float | str = "validation", scores: tuple[str, ...] = ()
) -> str:
    """The tables as CSV in the run's folder ``continuous``, and the page that is returned.

    Args:
        scores: files of other detectors' scores on the same seconds.
    """
    tables = event_tables(run, config, threshold, scores)
    folder = run.path / FOLDER
    folder.mkdir(exist_ok=True)
    for name in ("overall", "by_subject", "latency", "operating", "unscored"):
        write_csv(folder / f"{name}.csv", getattr(tables, name))
    for name in BESIDE:
        write_csv(folder / f"beside_{name}.csv", getattr(tables.beside, name))
    write_json(folder / SETTINGS, {str(fold): asdict(made) for fold, made in tables.detect.items()})
    write_json(folder / BUDGET, {str(fold): basis for fold, basis in tables.basis.items()})
    text = page(run, config, tables)
    write_atomic(folder / "events.txt", f"{text}\n".encode())
    return text


def page(run: Run, config: EventConfig, tables: EventTables) -> str:
    """Everything a reader needs beside the figures, and the figures."""
    made, first = run.settings, tables.overall.iloc[0]
    lines = [run.part_line] if run.part else []
    lines += [
        f"{made.dataset.name}, {made.model.name}, split={made.split.name}: {run.data['leak_note']}",
        f"{first['subjects']} subjects, {first['recordings']} whole test recordings, {first['hours']:.2f} h, "
        f"{first['unscored']} unscored; every {read_json(run.path / GRID)['hop_s']:g} s, mean over "
        f"{config.smooth_s:g} s",
        *budget_lines(tables.detect, tables.basis),
    ]
    if first["seconds"] < DAY_S:
        lines.append("less than 24 h of recording: false alarms per 24 h are an extrapolation")
    lines += ["", blocks(tables.beside), ""]
    everyone = tables.latency[tables.latency["subject"] == "all"]
    lines += [
        f"{r['kind']}: median {r['median_s']:.1f} s, quartiles {r['q25_s']:.1f} to {r['q75_s']:.1f} s, "
        f"{r['hits']} of {r['events']} seizures hit"
        for _, r in everyone.iterrows()
    ]
    return "\n".join([*lines, *operating_lines(tables.operating)])


def operating_lines(operating: pd.DataFrame) -> list[str]:
    """Sensitivity at so many false alarms a day, held down on each fold's own validation recordings."""
    head = ["at most", "validation", "thresholds by fold", "test", "sensitivity %"]
    rows = [
        [
            f"{r['target_per_24h']:g} / 24 h",
            f"{r['validation_fp_per_24h']:.1f} in {r['validation_hours']:.1f} h",
            r["thresholds"],
            f"{r['fp_per_24h']:.1f}",
            ranged(r, "sensitivity", 100),
        ]
        for _, r in operating.iterrows()
    ]
    if not rows:
        return []
    lines = []
    if operating["validation_hours"].iloc[0] * operating["target_per_24h"].min() < 24:
        lines.append("validation recordings are shorter than one allowed false alarm: they hold no rate down")
    lines.append(f"false alarms held down on the fold's own validation recordings ({SZCORE_EVENT}):")
    return [*lines, aligned(head, rows, 1)]


def ranged(row: pd.Series, name: str, factor: float) -> str:
    """A pooled rate with its interval where there is one."""
    if np.isnan(row[name]):
        return "undefined"
    text = f"{factor * row[name]:.1f}"
    if np.isnan(row[f"{name}_low"]):
        return text
    return f"{text} [{factor * row[f'{name}_low']:.1f}, {factor * row[f'{name}_high']:.1f}]"
