"""The confusion of one model as a matrix: for Fig. 8, and for who follows a training."""

from collections.abc import Sequence
from typing import cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from distilclip_eeg.report.drawing import SEQUENTIAL, new_figure, styled

CROWDED = 6
"""From so many classes on, counts stand beside the class and cells hold per cent alone."""


def draw(axis: Axes, counts_KK: np.ndarray, classes: Sequence[str]) -> AxesImage:
    """Counts and per cent of the true class in every cell, true classes downwards."""
    k = len(classes)
    share_KK = 100 * counts_KK / np.maximum(counts_KK.sum(1, keepdims=True), 1)
    image = axis.imshow(share_KK, vmin=0, vmax=100, cmap=SEQUENTIAL)
    for (i, j), n in np.ndenumerate(counts_KK):
        colour = "white" if share_KK[i, j] < 50 else "black"
        text = f"{n:,}\n{share_KK[i, j]:.0f} %" if k < CROWDED else f"{share_KK[i, j]:.0f}"
        axis.text(j, i, text, ha="center", va="center", color=colour)
    axis.set_xticks(range(k), classes, rotation=90 if k > 3 else 0)
    totals = [f" ({n:,})" if k >= CROWDED else "" for n in counts_KK.sum(1)]
    axis.set_yticks(range(k), [name + total for name, total in zip(classes, totals, strict=True)])
    axis.set(xlabel="answered", ylabel="true")
    axis.spines[:].set_visible(False)
    return image


@styled
def matrix(counts_KK: np.ndarray, classes: Sequence[str]) -> Figure:
    """A figure of one matrix, validation windows of one fold."""
    side = max(1.6, 0.7 * len(classes))
    figure = new_figure(side + 1.8, side + 0.9)
    axis = figure.subplots()
    image = draw(axis, counts_KK, classes)
    axis.set_title(f"{counts_KK.sum():,} validation windows")
    figure.colorbar(image, ax=axis, label="% of the true class", shrink=0.8)
    return figure


@styled
def as_image(figure: Figure) -> np.ndarray:
    """A figure as pixels (H, W, 3), uint8."""
    canvas = cast(FigureCanvasAgg, figure.canvas)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
