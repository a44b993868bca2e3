"""Tables of a model beside always on, chance and position only: rows, and text of at most 100 columns."""

from textwrap import fill

import numpy as np
import pandas as pd

from distilclip_eeg.report.columns import aligned
from distilclip_eeg.scoring.beside import Beside
from distilclip_eeg.scoring.events import szcore
from distilclip_eeg.scoring.events.curve import RATES_PER_H
from distilclip_eeg.scoring.events.trivial import DRAWS
from distilclip_eeg.scoring.seconds import AREAS

WIDTH = 100
ROWS = (
    f"always on: one alarm over all of each stretch; chance: the same alarms shifted around each recording, "
    f"{DRAWS} times; position only: even-numbered stretch first, earlier second first, without EEG, its own "
    "threshold within the same budget. In brackets 95 %: over subjects, none below six; of chance, over draws"
)

SWEPT = (
    "thresholds swept over the tested recordings themselves; quiet %: of the time without seizure under "
    "alarm there; chance: the model's alarms there, shifted; area: mean over the logarithm of the rate"
)
MIXED = "mixed stretches: only those that hold both seizure and quiet; the others show their label by place"
CURVE_HEAD = ["sensitivity %", *(f"{rate:g}/h" for rate in RATES_PER_H), "area %"]
AREA_HEAD = ["pooled", "mean over subjects", "mixed stretches"]


def blocks(found: Beside) -> str:
    """All tables, each with what it says."""
    lines = ["what alarms find, what part of the time they take, alarms an hour, false ones an hour of quiet"]
    lines += [burden_block(found.burden), fill(ROWS, WIDTH)]
    lines += ["", f"event scores ({szcore.LIBRARY})", events_block(found.events)]
    lines += ["", *curve_lines(found)]
    lines += ["", "second by second: area under the ROC curve", seconds_block(found.seconds)]
    lines += [MIXED]
    lines += [fill(line, WIDTH) for line in found.said]
    if len(found.differences):
        lines += [
            "",
            "the model's area less that of each, paired over subjects",
            seconds_block(found.differences),
        ]
    return "\n".join(lines)


def burden_block(table: pd.DataFrame) -> str:
    """Hits and time under alarm."""
    head = ["alarms", "hits", "%", "% of quiet", "by person", "% of all", "alarms/h", "false/h"]
    return aligned(head, burden_rows(table), 1)


def burden_rows(table: pd.DataFrame) -> list[list[str]]:
    """Of each kind of alarm: seizures found, quiet time and all time under alarm, rates."""
    body = []
    for _, r in table.iterrows():
        hits = f"{r['hits']:.0f}" if r["hits"] % 1 == 0 else f"{r['hits']:.1f}"
        ends = [100 * r[f"person_{end}"] for end in ("low", "high")]
        people = "-" if np.isnan(ends[0]) else f"{ends[0]:.0f} to {ends[1]:.0f}"
        cells = [str(r["row"]), f"{hits} of {r['seizures']:.0f}", percent(r, "sensitivity")]
        cells += [percent(r, "quiet_share"), people, share(r["in_warning"])]
        body.append([*cells, number(r["alarms_per_h"]), number(r["false_per_h"])])
    return body


def events_block(table: pd.DataFrame) -> str:
    """Event scores, a block a scorer."""
    head = ["score", "alarms", "sensitivity %", "precision %", "F1 %", "false / 24 h"]
    return aligned(head, events_rows(table), 2)


def events_rows(table: pd.DataFrame) -> list[list[str]]:
    """Of each scorer and kind of alarm: sensitivity, precision, F1, and ``fp_per_24h`` as it is."""
    return [
        [
            scorer.partition(" (")[0],
            str(r["row"]),
            *(percent(r, name) for name in ("sensitivity", "precision", "f1")),
            between(r, "fp_per_24h"),
        ]
        for scorer, rows in table.groupby("scorer", sort=False)
        for _, r in rows.iterrows()
    ]


def curve_lines(found: Beside) -> list[str]:
    """Sensitivity over false alarms an hour, and what it rests on."""
    hours = float(found.burden["quiet_hours"].iloc[0])
    lines = [
        f"at so many false alarms (NEDC OVLP) an hour without seizure, of which there are {hours:.2f}",
        aligned(CURVE_HEAD, curve_rows(found.curve), 1),
        fill(SWEPT, WIDTH),
    ]
    if hours * RATES_PER_H[0] < 1:
        one = 1 / hours if hours else np.inf
        words = f"extrapolation: in {hours:.2f} h a single false alarm is {one:.2g} an hour, so what stands "
        lines.append(fill(f"{words}below that rate was measured without any", WIDTH))
    return lines


def curve_rows(table: pd.DataFrame) -> list[list[str]]:
    """Of each kind of alarm two rows: sensitivity at each rate, and the time under alarm that it takes."""
    body = []
    for _, r in table.iterrows():
        area = "-" if "area" not in r or np.isnan(r["area"]) else percent(r, "area", 0)
        body.append([str(r["row"]), *(percent(r, f"at_{rate:g}", 0) for rate in RATES_PER_H), area])
        quiet = [share(r.get(f"quiet_share_at_{rate:g}", np.nan)) for rate in RATES_PER_H]
        body.append([f"{r['row']}, quiet %", *quiet, ""])
    return body


def seconds_block(table: pd.DataFrame) -> str:
    """Areas under the ROC curve."""
    return aligned(["score", *AREA_HEAD], seconds_rows(table), 1)


def seconds_rows(table: pd.DataFrame) -> list[list[str]]:
    """Of each score its areas."""
    return [[str(r["row"]), *(area_cell(r, name) for name in AREAS)] for _, r in table.iterrows()]


def area_cell(row: pd.Series, name: str) -> str:
    """Three decimals, with an interval where there is one."""
    if np.isnan(row[name]):
        return "undefined"
    text = f"{row[name]:.3f}"
    return (
        text
        if np.isnan(row[f"{name}_low"])
        else f"{text} [{row[f'{name}_low']:.3f}, {row[f'{name}_high']:.3f}]"
    )


def percent(row: pd.Series, name: str, digits: int = 1) -> str:
    """A share in per cent, with whole per cents in brackets where there is an interval."""
    if np.isnan(row[name]):
        return "undefined"
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    text = share(row[name], digits)
    return text if np.isnan(low) else f"{text} [{100 * low:.0f}, {100 * high:.0f}]"


def between(row: pd.Series, name: str) -> str:
    """A rate with its interval where there is one."""
    if np.isnan(row[name]):
        return "undefined"
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    text = number(row[name])
    return text if np.isnan(low) else f"{text} [{number(low)}, {number(high)}]"


def number(value: float) -> str:
    """One decimal below 100, none above."""
    if np.isnan(value):
        return "-"
    return f"{value:.1f}" if abs(value) < 100 else f"{value:.0f}"


def share(value: float, digits: int = 1) -> str:
    """Per cent; all of it without decimals."""
    return "-" if np.isnan(value) else f"{100 * value:.{0 if value == 1 else digits}f}"
