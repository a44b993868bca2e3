"""Networks compared by the figures of the same persons: means with intervals, differences, two pictures.

Rows are those of ``results/persons_*.csv``, one a person, model and protocol, and of
``results/curves_*.csv``, one an epoch. Shapes: U persons.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

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
from distilclip_eeg.report.tables import ALWAYS, HEADS
from distilclip_eeg.schema import PROTOCOLS
from distilclip_eeg.scoring.persons import Paired
from distilclip_eeg.scoring.uncertainty import Interval, bootstrap_subjects, mean_of_subjects

DRAWN = ("accuracy", "auroc")
"""A panel each."""
JUDGES = {"auroc": "AUROC", "macro_f1": "macro F1"}
OFF = 0.17
"""Of the room of a row, by which two protocols stand apart."""


@dataclass(frozen=True)
class Figures:
    """One figure of all models of a protocol by person: mean over seeds, NaN where it is not known."""

    by_model: pd.DataFrame
    """A row a model, a column a person."""

    @classmethod
    def of(cls, rows: pd.DataFrame, figure: str) -> "Figures":
        """Of the persons' rows of one corpus and protocol, with the row that always answers seizure."""
        table = rows.pivot_table(index="model", columns="subject", values=figure, aggfunc="mean", sort=False)
        table = table.reindex(index=rows["model"].unique(), columns=rows["subject"].unique())
        always = rows.groupby("subject")["prevalence"].first()[table.columns]
        trivial = always if figure in ("average_precision", "accuracy") else always * 0 + 0.5
        return cls(pd.concat([table, pd.DataFrame([trivial], index=[ALWAYS])]))

    def mean(self, model: str) -> Interval:
        """Over the model's persons."""
        value_U = self.by_model.loc[model].dropna().to_numpy()
        return bootstrap_subjects(value_U, mean_of_subjects)

    def less(self, ours: str, other: str) -> Paired:
        """Ours less another, over the persons that both have."""
        return Paired.of(self.by_model.loc[ours].to_numpy(), self.by_model.loc[other].to_numpy())


def said(interval: Interval) -> str:
    """A mean with its interval in per cent; a dash where no person has the figure."""
    if np.isnan(interval.value):
        return "–"
    value = f"{100 * interval.value:.1f}"
    return value if interval.refused else f"{value} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def less(paired: Paired, p: float) -> str:
    """A difference with its interval in points, and its probability; a dash where no person differs."""
    one = paired.difference
    span = "" if one.refused else f" [{100 * one.low:+.1f}, {100 * one.high:+.1f}]"
    return f"{100 * one.value:+.1f}{span}, {probability(p)}"


def probability(p: float) -> str:
    """Two decimals; a dash where there is none, and never 0."""
    if np.isnan(p):
        return "–"
    return f"{p:.2f}" if p >= 0.005 else "<0.01"


@styled
def networks_figure(rows: pd.DataFrame, dataset: str) -> Picture:
    """Accuracy and AUROC of every model with their intervals over persons, protocols side by side."""
    splits = [split for split in PROTOCOLS if split in set(rows["split"])]
    tables = {(s, f): Figures.of(rows[rows["split"] == s], f) for s in splits for f in DRAWN}
    order = tables[splits[-1], "auroc"].by_model.mean(axis=1).sort_values(ascending=False)
    names = list(dict.fromkeys([*order.index, *rows["model"]]))
    figure = new_figure(PAGE, 1.0 + 0.2 * len(names))
    told = []
    for axis, column in zip(figure.subplots(1, len(DRAWN), sharey=True), DRAWN, strict=True):
        for i, split in enumerate(splits):
            table, off = tables[split, column], OFF * (2 * i - len(splits) + 1)
            for row, name in ((r, n) for r, n in enumerate(names) if n in table.by_model.index):
                mean = table.mean(name)
                colour = OKABE_ITO[i] if name != ALWAYS else GREY
                axis.plot(100 * np.array([mean.low, mean.high]), [row + off] * 2, color=colour)
                label = f"split={split}" if row == 0 and column == DRAWN[0] else None
                axis.plot(100 * mean.value, row + off, "os"[i % 2], color=colour, markersize=4, label=label)
                told.append(f"{name}, split={split}, {HEADS[column]}: {said(mean)}")
        axis.set(xlabel=f"{HEADS[column].removesuffix(' %')} (%)", ylim=(len(names) - 0.4, -0.6))
        axis.set_yticks(range(len(names)), names)
        axis.tick_params(axis="y", length=0)
        axis.grid(axis="x", color="#dddddd", lw=0.6)
    figure.legend(loc="outside upper center", ncols=len(splits))
    return picture(
        figure,
        file_name("networks", dataset),
        "Every network by person",
        "Mean over persons of each person's figure, with the 95 % interval from resampled persons.",
        f"{'; '.join(told)}.",
    )


def best_so_far(rows: pd.DataFrame) -> pd.DataFrame:
    """Of one network, by step, the best of each fold and seed until then; a row a step.

    A fold that ended early keeps its best: a mean over those still trained would jump where one ends.
    """
    table = rows.pivot_table(index="step", columns=["fold", "seed"], values="val_judged")
    return (table.cummin() if (rows["judge"] == "loss").all() else table.cummax()).ffill()


@styled
def curves_figure(rows: pd.DataFrame, dataset: str) -> Picture:
    """The best of the epochs so far on validation windows, mean over folds and seeds; a panel a protocol."""
    splits = [split for split in PROTOCOLS if split in set(rows["split"])]
    models = list(rows["model"].unique())
    judge = " or ".join(JUDGES.get(name, name) for name in rows["judge"].unique())
    figure = new_figure(PAGE, 3.4)
    axes = figure.subplots(1, len(splits), sharey=True, squeeze=False)[0]
    for axis, split in zip(axes, splits, strict=True):
        for i, name in enumerate(models):
            found = rows[(rows["split"] == split) & (rows["model"] == name)]
            if len(found):
                mean = best_so_far(found).mean(axis=1)
                dash = ("-", "--", ":")[i // len(OKABE_ITO) % 3]
                axis.plot(mean.index, mean, dash, color=OKABE_ITO[i % len(OKABE_ITO)], label=name)
        axis.set(title=f"split={split}", xlabel="steps", ylabel=f"best {judge} on validation windows")
        axis.label_outer()
        axis.grid(color="#dddddd", lw=0.6)
    drawn = [zip(*reversed(axis.get_legend_handles_labels()), strict=True) for axis in axes]
    lines = {name: line for panel in drawn for name, line in panel}  # a model may be in one panel alone
    figure.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=4)
    return picture(
        figure,
        file_name("learning", dataset),
        "Learning curves",
        f"The best {judge} on validation windows until each epoch, mean over folds and seeds; a fold that "
        "ended early keeps its best.",
        f"Curves of {', '.join(models)}.",
    )
