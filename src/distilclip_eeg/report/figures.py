"""Figures 5 to 8 of the article: training curves, parameters, FLOPs, confusion matrices."""

from collections.abc import Sequence

import matplotlib.ticker
import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from distilclip_eeg.files.reading import read_csv
from distilclip_eeg.report.confusion import draw
from distilclip_eeg.report.drawing import (
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
"""What a network learns from, and what it is watched on."""
CURVES = (
    ("training loss", {"train": "train_loss"}),
    ("validation loss", {"val": "val_loss"}),
    ("accuracy (%)", {"train": "train_accuracy", "val": "val_accuracy"}),
)
"""Axes of Fig. 5 with their lines. The two losses are of different things, so neither is beside the other."""


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
    """Fig. 5: losses and accuracy of teacher (above) and student (below), one kind of loss an axis."""
    shown = [(e, histories(e)) for e in entries if e.kind in ("teacher", "student") and not e.ablated]
    shown = [(e, tables) for e, tables in shown if tables]
    if not shown:
        return None
    figure = new_figure(PAGE, 1.48 * len(shown) + 0.3)
    axes = figure.subplots(len(shown), len(CURVES), squeeze=False)
    said = []
    for row, (entry, tables) in zip(axes, shown, strict=True):
        for axis, (words, lines) in zip(row, CURVES, strict=True):
            scale = 100 if words.endswith("(%)") else 1
            for part, column in lines.items():
                draw_folds(axis, over_folds(tables, column) * scale, part)
            axis.set(xlabel="epoch", ylabel=words)
            axis.set_xlim(0.5, max(t["epoch"].max() for t in tables) + 0.5)
            axis.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
        row[0].set_title(entry.label, loc="left")
        said.append(f"{entry.label} ends at {last(tables, 'val_accuracy'):.0f} % on validation")
    handles, names = axes[0, -1].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2)
    first = shown[0][0]
    return picture(
        figure,
        file_name("fig5_curves", first.dataset, first.split),
        "Training curves (Fig. 5)",
        f"Mean over folds, band from lowest to highest fold. {first.setting}. The training loss is what each "
        "was trained on, such as a teacher's contrast and cross-entropy; the validation loss is "
        "cross-entropy alone, so they have axes of their own.",
        f"Losses and accuracy by epoch: {sentence(said)}.",
    )


def draw_folds(axis: Axes, line: pd.DataFrame, part: str) -> None:
    """Mean over folds by epoch, and the band from the lowest to the highest."""
    i = list(PARTS).index(part)
    axis.plot(line.index, line["mean"], label=PARTS[part], **look(i), marker="os"[i], markersize=3)
    axis.fill_between(line.index, line["low"], line["high"], color=OKABE_ITO[i], alpha=0.15, lw=0)


def last(tables: Sequence[pd.DataFrame], column: str) -> float:
    """Mean over folds in the last epoch, in per cent."""
    return 100 * over_folds(tables, column)["mean"].iloc[-1]


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
    """Fig. 6: parameters of each model by component, on a scale on which the smallest and the largest show.

    Args:
        costs: ``cost.csv`` by model.
    """
    sums = {m: t.groupby(t.apply(kind_of, axis=1), sort=False)["parameters"].sum() for m, t in costs.items()}
    order = list({kind_of(row): None for t in costs.values() for _, row in t.iterrows()})
    figure = new_figure(PAGE, 0.8 + 0.15 * len(order) * len(costs))
    axis = figure.subplots()
    off = 0.6 / len(costs)
    for i, (model, counts) in enumerate(sums.items()):
        counts = counts[counts > 0]
        at = np.array([order.index(part) for part in counts.index]) + off * (i - (len(costs) - 1) / 2)
        axis.plot(counts, at, "os^D"[i % 4], color=OKABE_ITO[i % len(OKABE_ITO)], markersize=5, label=model)
        for y, n in zip(at, counts, strict=True):
            axis.annotate(f"{int(n):,}", (n, y), (6, 0), textcoords="offset points", va="center")
    axis.set_yticks(range(len(order)), order)
    axis.set(xlabel="parameters", xscale="log", ylim=(len(order) - 0.5, -0.5))
    most = max(counts.max() for counts in sums.values())
    axis.set_xlim(10 ** np.floor(np.log10(min(c[c > 0].min() for c in sums.values()))), most * 6)
    axis.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda n, _: f"{n:,.0f}"))
    axis.grid(axis="x", color="#dddddd", lw=0.6)
    axis.hlines(
        np.arange(len(order) - 1) + 0.5, 0, 1, transform=axis.get_yaxis_transform(), color="#eeeeee", lw=0.6
    )
    figure.legend(loc="outside lower center", ncols=len(costs))
    eeg = {m: t.loc[t["side"] == "eeg", "parameters"].sum() for m, t in costs.items()}
    said = [f"{m} {int(n):,}" for m, n in eeg.items()]
    return picture(
        figure,
        name,
        "Parameters by component (Fig. 6)",
        f"Each step of the scale is ten times the one before. EEG encoders alone: {sentence(said)}. "
        + " ".join(f"{m}: {about_cost(t)}." for m, t in costs.items())
        + " The article's EEG encoders: 30.8 and 17.9 million.",
        f"Parameters in all: {sentence([f'{m} {int(t.parameters.sum()):,}' for m, t in costs.items()])}.",
    )


@styled
def cumulative_flops(costs: dict[str, pd.DataFrame], name: str) -> Picture:
    """Fig. 7: FLOPs of a forward pass up to each layer, of the article's architecture and as executed."""
    longest = max(costs.values(), key=len)
    labels = [f"{side} {layer}" for side, layer in zip(longest["side"], longest["layer"], strict=True)]
    figure = new_figure(PAGE, 0.85 + 0.165 * len(labels))
    axes = figure.subplots(1, 2, sharex=True, sharey=True)
    counts = {"article": "the article's architecture", "executed": "as executed here"}
    for axis, (count, words) in zip(axes, counts.items(), strict=True):
        for i, (model, table) in enumerate(costs.items()):
            total = table[f"{count}_cumulative"] / 1e9
            names = zip(table["side"], table["layer"], strict=True)
            at = [labels.index(f"{side} {layer}") for side, layer in names]
            axis.plot(total, at, marker="os^D"[i % 4], markersize=4 - i % 2, label=model, **look(i))
        axis.set_yticks(range(len(labels)), labels)
        axis.grid(axis="x", color="#dddddd", lw=0.6)
        axis.set(title=words, xlabel="GFLOP up to this layer")
    axes[0].set(xlim=(0, None), ylim=(len(labels) - 0.5, -0.5))
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(costs))
    ends = {m: t["article_cumulative"].iloc[-1] / 1e9 for m, t in costs.items()}
    return picture(
        figure,
        name,
        "Cumulative FLOPs by layer (Fig. 7)",
        f"Up to and with each layer: {next(iter(costs.values()))['unit'].iloc[0]}; products of matrices and "
        "convolutions alone. "
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
        f"{first.setting}.",
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
