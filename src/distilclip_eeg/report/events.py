"""Event scores of whole recordings as the page shows them: tables with units, from the CSVs of a run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from distilclip_eeg.files.reading import read_csv, read_json, read_text
from distilclip_eeg.report import beside
from distilclip_eeg.report.blocks import Block, Bullets, Folded, Printed, Table, Text
from distilclip_eeg.report.budgets import rests_on
from distilclip_eeg.report.event_tables import BUDGET
from distilclip_eeg.scoring.event_scores import SETTINGS
from distilclip_eeg.scoring.events.counts import DAY_S

MODEL = "model"
"""Name of the row that is none of the comparisons."""
DAY_H = DAY_S / 3600
UNITS = {
    "hours": "recorded (h)",
    "seconds": "recorded (s)",
    "tp": "found",
    "fp": "false alarms",
    "fn": "missed",
    "fp_per_24h": "false alarms / 24 h",
    "median_s": "median (s)",
    "q25_s": "lower quartile (s)",
    "q75_s": "upper quartile (s)",
    "target_per_24h": "at most, false alarms / 24 h",
    "validation_hours": "validation (h)",
    "validation_fp_per_24h": "validation, false alarms / 24 h",
}
"""Heads of columns whose names do not tell their unit."""
SHARES = ("sensitivity", "precision", "f1", "false time", "validation_sensitivity")
"""Columns, or ends of them, that hold fractions: shown in per cent."""
KEPT = {
    "by_subject": ("Each person", ()),
    "latency": ("How long after a seizure's onset the alarm comes", ()),
    "operating": (
        "With false alarms held down on the validation recordings",
        (
            "target_per_24h",
            "validation_fp_per_24h",
            "validation_hours",
            "thresholds",
            "sensitivity",
            "fp_per_24h",
        ),
    ),
}
"""Tables that are shown folded, as they are or these columns of them."""


@dataclass(frozen=True)
class Burden:
    """What alarms find in whole recordings, and what they cost."""

    hits: float
    seizures: float
    quiet_share: float
    quiet_hours: float
    hours: float

    def __str__(self) -> str:
        return (
            f"{self.hits:.0f} of {self.seizures:.0f} seizures found, {100 * self.quiet_share:.1f} % of the "
            f"{self.quiet_hours:.2f} h without seizure under alarm."
        )


def burden_of(run: Path) -> Burden | None:
    """Of a run whose whole recordings were scored; None where they were not."""
    places = run / "continuous" / "beside_burden.csv", run / "continuous" / "overall.csv"
    if not all(path.exists() for path in places):
        return None
    table, overall = (read_csv(path) for path in places)
    row = table[table["row"] == MODEL].iloc[0]
    hits, seizures, share, quiet = (float(row[c]) for c in ("hits", "seizures", "quiet_share", "quiet_hours"))
    return Burden(hits, seizures, share, quiet, float(overall["hours"].iloc[0]))


def event_blocks(folder: Path, known: Mapping[str, str]) -> list[Block]:
    """What ``continuous.py`` or ``rehearse.py`` left in a folder; nothing where there is none.

    Args:
        known: texts that the page holds already, by what stands in their place. A folder of an older version
            has its page of text alone.
    """
    if not (folder / "beside_burden.csv").exists():
        page = folder / "events.txt"
        text = read_text(page) if page.exists() else ""
        for said, instead in known.items():
            text = text.replace(said, instead)
        printed: list[Block] = [Folded("As printed by the command", [Printed(text)])] if text else []
        return [*printed, *kept(folder)]
    overall = read_csv(folder / "overall.csv")
    first = overall.iloc[0]
    hours = float(first["hours"])
    words = f"{first['subjects']} people, {first['recordings']} whole test recordings, {hours:.2f} h"
    shown: list[Block] = [Text(f"{words}, {first['unscored']} of the recordings unscored.")]
    shown += [burden_table(read_csv(folder / "beside_burden.csv"))]
    events = read_csv(folder / "beside_events.csv")
    shown += [scores_table(events[events["row"] == MODEL], hours, "Event scores of the model")]
    notes = [beside.ROWS + "."]
    if hours < DAY_H:
        notes.append(f"Of {hours:.2f} h no rate a day can be told, so rates are an hour.")
    shown.append(Folded("How to read this", [Bullets(notes)]))
    shown.append(
        Folded("Event scores beside always on, chance and position", [scores_table(events, hours, "")])
    )
    return [*shown, Folded("More tables", [*more_tables(folder), *thresholds(folder), *kept(folder)])]


def burden_table(table: pd.DataFrame) -> Table:
    """Seizures found and time under alarm, beside what finds them without EEG."""
    head = [
        "alarms",
        "seizures found",
        "found % [95\u00a0%]",
        "% of quiet time under alarm [95\u00a0%]",
        "by person %",
    ]
    head += ["% of all time under alarm", "alarms / h", "false alarms / h of quiet"]
    return Table(head, beside.burden_rows(table), 1, "What alarms find, and what part of the time they take")


def scores_table(table: pd.DataFrame, hours: float, caption: str) -> Table:
    """A row a scorer and kind of alarm; rates a day where a day was recorded, else an hour."""
    per_h = hours < DAY_H
    head = ["score", "alarms", "sensitivity % [95\u00a0%]", "precision % [95\u00a0%]", "F1 % [95\u00a0%]"]
    head.append(f"false alarms / {'h' if per_h else '24 h'} [95\u00a0%]")
    rates = ["fp_per_24h", "fp_per_24h_low", "fp_per_24h_high"]
    table = table.assign(**{name: table[name] / (DAY_H if per_h else 1) for name in rates})
    return Table(head, beside.events_rows(table), 2, caption)


def more_tables(folder: Path) -> list[Block]:
    """The sweep over thresholds and the areas second by second, folded."""
    shown: list[Block] = []
    if (path := folder / "beside_curve.csv").exists():
        body = beside.curve_rows(read_csv(path))
        head = ["sensitivity % [95\u00a0%] at so many false alarms / h of quiet", *beside.CURVE_HEAD[1:]]
        shown.append(
            Folded(
                "Sensitivity at each rate of false alarms", [Table(head, body), Text(beside.SWEPT, "note")]
            )
        )
    areas = [(name, folder / f"beside_{name}.csv") for name in ("seconds", "differences")]
    tables = {name: read_csv(path) for name, path in areas if path.exists()}
    heads = {"seconds": "of", "differences": "of the model, less that of"}
    blocks = [
        Table([f"area under the ROC curve {heads[name]}", *beside.AREA_HEAD], beside.seconds_rows(table))
        for name, table in tables.items()
        if len(table)
    ]
    return shown + ([Folded("Second by second", [*blocks, Text(beside.MIXED, "note")])] if blocks else [])


def thresholds(folder: Path) -> list[Block]:
    """How events are made in each fold, and what its threshold rests on."""
    if not all((folder / name).exists() for name in (SETTINGS, BUDGET)):
        return []
    made, basis = read_json(folder / SETTINGS), read_json(folder / BUDGET)
    head = ["fold", "threshold", "release", "least (s)", "join below (s)", "quiet (h)", "people", "found"]
    head += ["quiet under alarm %", "by person %", "false alarms / 24 h"]
    rows = []
    for fold, how in made.items():
        release = how["threshold"] if how["release"] is None else how["release"]
        row = [fold, f"{how['threshold']:.3g}", f"{release:.3g}", f"{how['min_duration_s']:g}"]
        rows.append([*row, f"{how['merge_gap_s']:g}", *rests_on(basis.get(fold, {}))])
    rules = dict.fromkeys(said["rule"] for said in basis.values() if said.get("rule"))
    blocks = [Table(head, rows), *(Text(f"Budget: {rule}.", "note") for rule in rules)]
    words = "From the sixth column on: held-out recordings of people whom the fold does not test."
    return [Folded("Threshold of each fold, and what it rests on", [*blocks, Text(words, "note")])]


def kept(folder: Path) -> list[Block]:
    """Tables as they were written, with units in their heads, folded."""
    shown: list[Block] = []
    for name, (title, columns) in KEPT.items():
        path = folder / f"{name}.csv"
        table = read_csv(path) if path.exists() else pd.DataFrame()
        if len(table):
            shown.append(
                Folded(title, [frame_table(table[[c for c in columns if c in table]] if columns else table)])
            )
    return shown


def frame_table(table: pd.DataFrame) -> Table:
    """A table as it is: fractions in per cent, other numbers to four digits, units in the heads."""
    shares = [str(name) for name in table.columns if str(name).endswith(SHARES)]
    table = table.assign(**{name: 100 * table[name] for name in shares})
    heads = [f"{UNITS.get(str(c), str(c))}{' %' if str(c) in shares else ''}" for c in table.columns]
    rows = [[number(value) for value in row] for row in table.itertuples(index=False)]
    words = [not pd.api.types.is_numeric_dtype(kind) for kind in table.dtypes]
    return Table(heads, rows, [*words, False].index(False))


def number(value: object) -> str:
    """A value of any table as text: numbers to four digits, a dash where there is none."""
    if isinstance(value, float | np.floating):
        return "–" if np.isnan(value) else f"{value:.4g}"
    return "–" if value is None else str(value)
