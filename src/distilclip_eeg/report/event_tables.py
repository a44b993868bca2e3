"""A run's event scores as tables and as a page of text."""

from dataclasses import asdict

import numpy as np
import pandas as pd

from distilclip_eeg.config.detection import DetectConfig
from distilclip_eeg.files.digests import write_atomic
from distilclip_eeg.files.reading import read_json
from distilclip_eeg.files.writing import write_csv, write_json
from distilclip_eeg.report.tables import aligned
from distilclip_eeg.runs import Run
from distilclip_eeg.scoring.event_scores import FOLDER, GRID, SETTINGS, EventTables, event_tables
from distilclip_eeg.scoring.events.counts import DAY_S
from distilclip_eeg.scoring.events.summary import SZCORE_EVENT


def write_event_tables(run: Run, config: DetectConfig, threshold: float | str = "validation") -> str:
    """The tables as CSV in the run's folder ``continuous``, and the page that is returned."""
    tables = event_tables(run, config, threshold)
    folder = run.path / FOLDER
    folder.mkdir(exist_ok=True)
    for name in ("overall", "by_subject", "latency", "operating", "unscored"):
        write_csv(folder / f"{name}.csv", getattr(tables, name))
    write_json(folder / SETTINGS, {str(fold): asdict(made) for fold, made in tables.detect.items()})
    text = page(run, config, threshold, tables)
    write_atomic(folder / "events.txt", f"{text}\n".encode())
    return text


def page(run: Run, config: DetectConfig, threshold: float | str, tables: EventTables) -> str:
    """Everything a reader needs beside the figures, and the figures."""
    made, first = run.settings, tables.overall.iloc[0]
    how = "chosen on validation recordings" if threshold == "validation" else "given"
    lines = [
        f"{made.dataset.name}, {made.model.name}, split={made.split.name}: {run.data['leak_note']}",
        f"{first['subjects']} subjects, {first['recordings']} whole test recordings, {first['hours']:.2f} h, "
        f"{first['unscored']} unscored; every {read_json(run.path / GRID)['hop_s']:g} s, mean over "
        f"{config.smooth_s:g} s, events of {config.min_duration_s:g} s or more",
        f"thresholds by fold, {how}: {' '.join(f'{made.threshold:.3g}' for made in tables.detect.values())}",
    ]
    if first["seconds"] < DAY_S:
        lines.append("less than 24 h of recording: false alarms per 24 h are an extrapolation")
    head = ["score", "sensitivity %", "precision %", "F1 %", "false alarms / 24 h", "seizures", "defined in"]
    rows = [
        [
            r["scorer"],
            *(ranged(r, name, 100) for name in ("sensitivity", "precision", "f1")),
            ranged(r, "fp_per_24h", 1),
            f"{r['tp'] + r['fn']:g}",
            f"{r['sensitivity_n']} of {r['subjects']}",
        ]
        for _, r in tables.overall.iterrows()
    ]
    lines += [aligned(head, rows, 1), "in brackets: 95 % over subjects, none below six of them"]
    everyone = tables.latency[tables.latency["subject"] == "all"]
    lines += [
        f"{r['kind']}: median {r['median_s']:.1f} s, quartiles {r['q25_s']:.1f} to {r['q75_s']:.1f} s, "
        f"{r['hits']} of {r['events']} seizures hit"
        for _, r in everyone.iterrows()
    ]
    head = ["at most", "validation", "thresholds by fold", "test", "sensitivity %"]
    rows = [
        [
            f"{r['target_per_24h']:g} / 24 h",
            f"{r['validation_fp_per_24h']:.1f} in {r['validation_hours']:.1f} h",
            r["thresholds"],
            f"{r['fp_per_24h']:.1f}",
            ranged(r, "sensitivity", 100),
        ]
        for _, r in tables.operating.iterrows()
    ]
    if rows:
        if tables.operating["validation_hours"].iloc[0] * tables.operating["target_per_24h"].min() < 24:
            lines.append(
                "validation recordings are shorter than one allowed false alarm: they hold no rate down"
            )
        lines += [f"false alarms held down on validation recordings ({SZCORE_EVENT}):"]
        lines += [aligned(head, rows, 1)]
    return "\n".join(lines)


def ranged(row: pd.Series, name: str, factor: float) -> str:
    """A pooled rate with its interval where there is one."""
    if np.isnan(row[name]):
        return "undefined"
    text = f"{factor * row[name]:.1f}"
    if np.isnan(row[f"{name}_low"]):
        return text
    return f"{text} [{factor * row[f'{name}_low']:.1f}, {factor * row[f'{name}_high']:.1f}]"
