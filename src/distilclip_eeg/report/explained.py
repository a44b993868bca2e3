"""What ``scripts/explain.py`` left in a fold's ``explain`` folder, and figures of it that are no EEG."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from distilclip_eeg.files.reading import read_csv, read_json, read_npz
from distilclip_eeg.report.drawing import (
    COLUMN,
    GREY,
    OKABE_ITO,
    PAGE,
    Picture,
    look,
    new_figure,
    picture,
    sentence,
    styled,
)

MARKERS = "os^Dv<>P"


@dataclass(frozen=True)
class Explained:
    """The explain folder of one fold."""

    path: Path

    def arrays(self, name: str) -> dict[str, np.ndarray] | None:
        """A ``.npz`` file; None where there is none."""
        if not (self.path / name).exists():
            return None
        return read_npz(self.path / name)

    def json(self, name: str) -> Any:
        """A ``.json`` file; None where there is none."""
        path = self.path / name
        return read_json(path) if path.exists() else None

    def table(self, name: str) -> pd.DataFrame | None:
        """A ``.csv`` file; None where there is none."""
        path = self.path / name
        return read_csv(path) if path.exists() else None


@styled
def deletion_curves(methods: Mapping[str, Mapping], name: str, protocol: str) -> Picture | None:
    """Probability of the answered class as channels are silenced; None where no curve was saved.

    Args:
        methods: ``faithfulness.json``: numbers and curve by method.
    """
    shown = {m: said for m, said in methods.items() if said.get("curve")}
    if not shown:
        return None
    figure = new_figure(COLUMN, 2.2 + 0.16 * len(shown))
    axis = figure.subplots()
    said = []
    for i, (method, numbers) in enumerate(shown.items()):
        curve = numbers["curve"]
        label = f"{method}: area {numbers['deletion_auc']:.3f}"
        axis.plot(
            100 * np.array(curve["share"]), 100 * np.array(curve["probability"]), label=label, **look(i)
        )
        said.append(label)
    label = f"random order: area {numbers['deletion_auc_random']:.3f}"
    axis.plot(
        100 * np.array(curve["share"]), 100 * np.array(curve["random"]), color=GREY, lw=0.8, label=label
    )
    axis.set(xlabel="channels silenced (%), most relevant first", ylabel="probability of\nthe answer (%)")
    figure.legend(loc="outside lower center")
    return picture(
        figure,
        name,
        "Deletion curves",
        "The faster a curve falls, the more the channels that a method names first matter to the model; the "
        f"area is to be below that of a random order. {protocol}.",
        f"{sentence([*said, label])}.",
    )


@styled
def embedding_map(saved: Mapping[str, np.ndarray], name: str, protocol: str) -> Picture:
    """Test windows by the first two principal components of their features, by class and by person.

    Args:
        saved: ``embedding.npz``.
    """
    xy_N2, label_N, subject_N = saved["xy_N2"], saved["label_N"], saved["subject_N"].astype(str)
    figure = new_figure(PAGE, 2.9)
    by_class, by_subject = figure.subplots(1, 2, sharex=True, sharey=True)
    for k, word in enumerate(saved["classes"]):
        dots(by_class, xy_N2[label_N == k], k, f"{word} ({(label_N == k).sum():,})")
    people = sorted(set(subject_N))
    for i, who in enumerate(people):
        dots(by_subject, xy_N2[subject_N == who], i, who if len(people) <= 8 else None)
    one, two = (
        f"component {i + 1} ({100 * v:.0f} % of variance)" for i, v in enumerate(saved["explained_2"])
    )
    by_class.set(title="class", xlabel=one, ylabel=two)
    by_subject.set(title=f"person ({len(people)})", xlabel=one)
    for axis in (by_class, by_subject):
        if axis.get_legend_handles_labels()[0]:
            axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=3, handletextpad=0.1)
    return picture(
        figure,
        name,
        "Map of the EEG features",
        "Test windows of one fold; near points have similar EEG features. Points that group by person rather "
        f"than by class show what a split by window can lean on. {protocol}.",
        f"{len(label_N):,} test windows of {len(people)} people as points, coloured by class and by person.",
    )


def dots(axis: Axes, xy_N2: np.ndarray, i: int, label: str | None) -> None:
    """One group of points, with a colour and a marker of its own."""
    marker = MARKERS[(i // len(OKABE_ITO) + i) % 8]
    x_N, y_N = xy_N2.T
    style: dict[str, Any] = {"color": OKABE_ITO[i % len(OKABE_ITO)], "marker": marker}
    axis.scatter(x_N, y_N, s=7, alpha=0.7, linewidths=0, label=label, **style)
