"""Figures 5 to 8 of the article: training curves, parameters, FLOPs, confusion matrices."""

from collections.abc import Sequence
from typing import Any

import matplotlib.ticker
import numpy as np
import pandas as pd

from distilclip_eeg.files.reading import read_csv
from distilclip_eeg.report.confusion import draw
from distilclip_eeg.report.drawing import (
    COLUMN,
    OKABE_ITO,
    PAGE,
    Picture,
    file_name,
    look,
    new_figure,
    picture,
    sentence,
    styled,
)
from distilclip_eeg.report.entries import Entry
from distilclip_eeg.scoring.answers import read_answers
from distilclip_eeg.scoring.metrics import confusion

PARTS = {"train": "training", "val": "validation"}
CURVES = {"loss": "loss", "accuracy": "accuracy (%)"}


def histories(entry: Entry) -> list[pd.DataFrame]:
    """``history.csv`` of every finished fold; floors have none."""
    paths = [entry.run.fold(k) / "history.csv" for k in entry.run.folds_done()]
    return [read_csv(path, "epoch") for path in paths if path.exists()]


def over_folds(tables: Sequence[pd.DataFrame], column: str) -> pd.DataFrame:
    """Mean, lowest and highest of the folds at each epoch that any of them reached."""
    stacked = pd.concat([t.set_index("epoch")[column] for t in tables], axis=1)
    return pd.DataFrame(
        {name: stacked.agg(of, axis=1) for name, of in (("mean", "mean"), ("low", "min"), ("high", "max"))}
    )


@styled
def training_curves(entries: Sequence[Entry]) -> Picture | None:
    """Fig. 5: loss and accuracy of teacher (above) and student (below), training and validation."""
    shown = [(e, histories(e)) for e in entries if e.kind in ("teacher", "student") and not e.ablated]
    shown = [(e, tables) for e, tables in shown if tables]
    if not shown:
        return None
    figure = new_figure(PAGE, 1.9 * len(shown) + 0.2)
    axes = figure.subplots(len(shown), len(CURVES), squeeze=False)
    said = []
    for row, (entry, tables) in zip(axes, shown, strict=True):
        for axis, (what, unit) in zip(row, CURVES.items(), strict=True):
            scale = 100 if what == "accuracy" else 1
            for i, (part, words) in enumerate(PARTS.items()):
                line = over_folds(tables, f"{part}_{what}") * scale
                one = {"marker": "os"[i], "markersize": 3}
                axis.plot(line.index, line["mean"], label=words, **look(i), **one)
                axis.fill_between(line.index, line["low"], line["high"], color=OKABE_ITO[i], alpha=0.15, lw=0)
                if part == "val" and what == "accuracy":
                    said.append(f"{entry.label} ends at {line['mean'].iloc[-1]:.0f} % on validation")
            axis.set(xlabel="epoch", ylabel=unit, title=entry.label)
            axis.set_xlim(0.5, max(t["epoch"].max() for t in tables) + 0.5)
            axis.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    handles, words = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, words, loc="outside lower center", ncols=2)
    first = shown[0][0]
    return picture(
        figure,
        file_name("fig5_curves", first.dataset, first.split),
        "Training curves (Fig. 5)",
        f"Mean over folds, band from lowest to highest fold. {first.protocol}. Loss is what each was trained "
        "on: a teacher's contrast and cross-entropy in training, cross-entropy alone on validation.",
        f"Loss and accuracy by epoch: {sentence(said)}.",
    )


def kind_of(row: pd.Series) -> str:
    """Component of a layer in ``cost.csv``."""
    name = str(row["layer"])
    return f"{'EEG' if row['side'] == 'eeg' else 'text'}: {'layers' if name.startswith('layer') else name}"


def about_cost(table: pd.DataFrame) -> str:
    """What ``cost.csv`` was counted of."""
    first = table.iloc[0]
    text = "text not included"
    if "text" in set(table["side"]):
        text = f"text included: {first['texts']:g} texts of {first['tokens']:g} tokens, prompts among them"
    return f"batch of {first['batch']:g} windows, {text}"


@styled
def parameters(costs: dict[str, pd.DataFrame], name: str) -> Picture:
    """Fig. 6: parameters of each model by component, as stacked bars.

    Args:
        costs: ``cost.csv`` by model.
    """
    sums = pd.DataFrame(
        {m: t.groupby(t.apply(kind_of, axis=1), sort=False)["parameters"].sum() for m, t in costs.items()}
    ).fillna(0)
    order = {kind_of(row): None for t in costs.values() for _, row in t.iterrows()}
    sums = sums.loc[list(order)]
    unit, scale = ("million", 1e6) if sums.sum().max() >= 1e6 else ("thousand", 1e3)
    figure = new_figure(COLUMN, 1.6 + 0.35 * len(costs) + 0.17 * len(sums))
    axis = figure.subplots()
    left = np.zeros(len(costs))
    for i, (part, row) in enumerate(sums.iterrows()):
        hatch = "//" if str(part).startswith("text") else ""
        colour = OKABE_ITO[i % len(OKABE_ITO)]
        style: dict[str, Any] = {"color": colour, "hatch": hatch, "edgecolor": "white"}
        axis.barh(range(len(costs)), row / scale, 0.6, left=left, label=part, **style)
        left += row.to_numpy() / scale
    for i, total in enumerate(left):
        axis.annotate(f"{total:,.1f}", (total, i), (3, 0), textcoords="offset points", va="center")
    axis.set_yticks(range(len(costs)), list(costs))
    axis.set(xlabel=f"parameters ({unit})", xlim=(0, left.max() * 1.18), ylim=(len(costs) - 0.4, -0.6))
    figure.legend(loc="outside lower center", ncols=2)
    eeg = {m: t.loc[t["side"] == "eeg", "parameters"].sum() for m, t in costs.items()}
    said = [f"{m} {int(n):,}" for m, n in eeg.items()]
    return picture(
        figure,
        name,
        "Parameters by component (Fig. 6)",
        f"EEG encoders alone: {sentence(said)}. "
        + " ".join(f"{m}: {about_cost(t)}." for m, t in costs.items())
        + " The article's EEG encoders: 30.8 and 17.9 million.",
        f"Parameters in all: {sentence([f'{m} {int(t.parameters.sum()):,}' for m, t in costs.items()])}.",
    )


@styled
def cumulative_flops(costs: dict[str, pd.DataFrame], name: str) -> Picture:
    """Fig. 7: FLOPs of a forward pass up to each layer, the article's architecture and what is executed."""
    figure = new_figure(PAGE, 3.0)
    axes = figure.subplots(1, 2, sharey=True)
    longest = max(costs.values(), key=len)
    labels = [f"{side} {layer}" for side, layer in zip(longest["side"], longest["layer"], strict=True)]
    counts = {"article": "the article's architecture", "executed": "as executed here"}
    for axis, (count, words) in zip(axes, counts.items(), strict=True):
        for i, (model, table) in enumerate(costs.items()):
            total = table[f"{count}_cumulative"] / 1e9
            at = [
                labels.index(f"{side} {layer}")
                for side, layer in zip(table["side"], table["layer"], strict=True)
            ]
            axis.plot(at, total, marker="os^D"[i % 4], markersize=3, label=model, **look(i))
        axis.set_xticks(range(len(longest)), labels, rotation=90)
        axis.set(title=words, xlabel="up to this layer")
    axes[0].set_ylabel("GFLOP of one forward pass")
    axes[0].legend()
    ends = {m: t["article_cumulative"].iloc[-1] / 1e9 for m, t in costs.items()}
    return picture(
        figure,
        name,
        "Cumulative FLOPs by layer (Fig. 7)",
        f"{next(iter(costs.values()))['unit'].iloc[0]}; products of matrices and convolutions alone. "
        + " ".join(f"{m}: {about_cost(t)}." for m, t in costs.items())
        + " The article, without a unit or a batch: above 7e11 for the teacher, below 2e11 for the student.",
        f"Of the article's architecture in all: {sentence([f'{m} {n:.3g} GFLOP' for m, n in ends.items()])}.",
    )


@styled
def confusion_matrices(entries: Sequence[Entry]) -> Picture:
    """Fig. 8: teacher, ablations and student, or whatever else was run; counts and per cent by true class."""
    entries = [e for e in entries if e.kind in ("teacher", "student")] or entries
    classes = [str(c) for c in entries[0].run.predictions(entries[0].run.folds_done()[0])["classes"]]
    k = len(classes)
    across = min(3 if k < 4 else 2, len(entries))
    down = -(-len(entries) // across)
    side = min((PAGE - 1.1) / across - 0.6, 0.7 * k)
    figure = new_figure(PAGE, down * (side + 0.95))
    axes = figure.subplots(down, across, squeeze=False)
    said = []
    for axis, entry in zip(axes.flat, entries, strict=False):
        counts_KK = counted(entry, k)
        image = draw(axis, counts_KK, classes)
        done = len(entry.run.folds_done())
        axis.set_title(f"{wrapped(entry.label)}\n{done} folds")
        said.append(f"{entry.label} {100 * np.trace(counts_KK) / counts_KK.sum():.0f} %")
    for axis in axes.flat[len(entries) :]:
        axis.set_axis_off()
    figure.colorbar(image, ax=axes, label="% of the true class", shrink=0.8)
    first = entries[0]
    return picture(
        figure,
        file_name("fig8_confusion", first.dataset, first.split),
        "Confusion matrices (Fig. 8)",
        "Test windows of the finished folds together: counts, and per cent of the true class. "
        f"{first.protocol}.",
        f"Windows answered right: {sentence(said)}.",
    )


def counted(entry: Entry, n_classes: int) -> np.ndarray:
    """Counts (K, K) over the test windows of all finished folds."""
    answers = [read_answers(entry.run, fold) for fold in entry.run.folds_done()]
    counts = (confusion(a.label, a.predicted, n_classes) for a in answers)
    return sum(counts, np.zeros((n_classes, n_classes), dtype=int))


def wrapped(label: str) -> str:
    """A long label in lines."""
    return label.replace(", ", ",\n")
