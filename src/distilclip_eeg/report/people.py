"""How sure the main figure of each run is: its interval over people, and a dot for every one of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from distilclip_eeg.report import subjects
from distilclip_eeg.report.article_tables import scored, splits_of
from distilclip_eeg.report.blocks import Table
from distilclip_eeg.report.drawing import (
    GREY,
    OKABE_ITO,
    PAGE,
    Picture,
    file_name,
    new_figure,
    picture,
    styled,
)
from distilclip_eeg.report.entries import Entry
from distilclip_eeg.report.tables import HEADS, ORDER, cell, n_classes, named
from distilclip_eeg.scoring.answers import AS_SAVED, pooled
from distilclip_eeg.scoring.uncertainty import bootstrap_subjects

BESIDE = ("f1", "auroc", "ece")
"""Figures beside the balanced accuracy, which alone has an interval."""
SPREAD = 0.26
"""Of the room of a row, which dots are spread over so that they can be told apart."""


@dataclass(frozen=True, eq=False)
class Sure:
    """Balanced accuracy of all test windows of a run together, as a fraction, and how sure it is."""

    entry: Entry
    value: float
    low: float = np.nan
    high: float = np.nan
    """NaN below six people, and where the windows name nobody."""
    each_U: tuple[float, ...] = ()
    """The same of each person's windows alone."""

    def __str__(self) -> str:
        """In per cent, with the interval where there is one."""
        return f"{100 * self.value:.1f}{subjects.ranged(100 * self.low, 100 * self.high)}"

    @property
    def by_person(self) -> str:
        """The lowest and the highest, in per cent; nothing where nobody is known."""
        return f"{100 * min(self.each_U):.0f} to {100 * max(self.each_U):.0f}" if self.each_U else "–"


def sure_of(entry: Entry) -> Sure:
    """The figure of a run, with its interval where its people are known."""
    if not subjects.comparable(entry.run):
        return Sure(entry, pooled(entry.run, AS_SAVED)["balanced_accuracy"])
    _, counts_UKK = subjects.subject_counts(entry.run)
    found = bootstrap_subjects(counts_UKK, subjects.balanced_accuracy)
    return Sure(entry, found.value, found.low, found.high, found.per_subject)


def strictest_first(entries: Sequence[Entry]) -> list[str]:
    """Protocols by how little they let through: what an audit does not know counts as everything."""
    first = {split: next(e for e in entries if e.split == split) for split in splits_of(entries)}

    def shared(split: str) -> tuple[float, float, int]:
        audit = first[split].audit
        of = [1.0 if audit.get(name) is None else float(audit[name] or 0) for name in ("subject", "event")]
        return of[0], of[1], -ORDER.index(split)

    return sorted(first, key=shared)


def comparison_table(found: Sequence[Sure]) -> Table:
    """A row a run: balanced accuracy with its interval, and figures that have none."""
    rows = []
    for sure in found:
        figures = scored(sure.entry, BESIDE, None, AS_SAVED)
        texts = [cell(figures[c], figures[f"{c}_sd"]) for c in BESIDE]
        people = str(len(sure.each_U)) if sure.each_U else "–"
        rows.append(
            [
                sure.entry.split,
                named(sure.entry.label, sure.entry.run.part),
                str(sure),
                sure.by_person,
                people,
                *texts,
                tested_on(sure.entry),
            ]
        )
    head = ["protocol", "model", "BAcc % [95 %]", "by person %", "people", *(HEADS[c] for c in BESIDE)]
    caption = (
        "Test windows; in brackets the 95 % interval over people; ± is the SD over folds and no interval"
    )
    return Table([*head, "tested on"], rows, 2, caption)


def tested_on(entry: Entry) -> str:
    """Whether the audit found the tested people among those trained on, in three words."""
    share = entry.audit.get("subject")
    return "new people" if share == 0 else "people known from training" if share else "unknown people"


@styled
def people_figure(found: Sequence[Sure], dataset: str) -> Picture | None:
    """Balanced accuracy of each person as a dot, of all with its interval as a bar; a panel a protocol."""
    shown = [sure for sure in found if sure.each_U]
    if not shown:
        return None
    splits = splits_of([sure.entry for sure in shown])
    labels = list(dict.fromkeys(sure.entry.label for sure in shown))
    figure = new_figure(PAGE, 0.75 + 0.34 * len(labels))
    axes = figure.subplots(1, len(splits), sharex=True, sharey=True, squeeze=False)[0]
    for axis, split in zip(axes, splits, strict=True):
        for sure in (one for one in shown if one.entry.split == split):
            draw_person_dots(axis, labels.index(sure.entry.label), sure)
        axis.set(title=f"split={split}: {tested_on(next(s.entry for s in shown if s.entry.split == split))}")
        axis.set(xlabel="balanced accuracy (%)", ylim=(len(labels) - 0.4, -0.6))
        axis.set_yticks(range(len(labels)), labels)
        axis.tick_params(axis="y", length=0)
        axis.grid(axis="x", color="#dddddd", lw=0.6)
    most = max(len(sure.each_U) for sure in shown)
    lacking = "" if any(np.isfinite(s.low) for s in shown) else ", which fewer than six do not have"
    said = [f"{s.entry.label}, split={s.entry.split}: {s}, by person {s.by_person}" for s in shown]
    return picture(
        figure,
        file_name("people", dataset),
        "A dot a person",
        "Small: the test windows of one person alone. Large: all windows together, with the 95 % interval "
        f"over {most} people{lacking}. Dotted: the same answer to everything.",
        f"Balanced accuracy in per cent. {'; '.join(said)}.",
    )


def draw_person_dots(axis: Axes, row: int, sure: Sure) -> None:
    """One row: people, every second one a little lower, and the figure of all with its interval."""
    each_U = 100 * np.array(sure.each_U)
    off_U = SPREAD * np.cos(np.pi * np.arange(len(each_U)))
    axis.scatter(
        each_U, row + off_U, s=9, color=OKABE_ITO[5], edgecolors=OKABE_ITO[0], linewidths=0.4, zorder=2
    )
    if np.isfinite(sure.low):
        axis.plot([100 * sure.low, 100 * sure.high], [row, row], color="black", lw=1.6, zorder=3)
    axis.plot(100 * sure.value, row, marker="D", markersize=5, color="black", zorder=4)
    axis.axvline(100 / n_classes(sure.entry.run), color=GREY, lw=0.8, ls=":", zorder=1)
