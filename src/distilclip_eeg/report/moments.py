"""The figure of a search: the best moments, each with the EEG around it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from distilclip_eeg.report.detection import EVENT
from distilclip_eeg.report.drawing import new_figure, png_of, styled
from distilclip_eeg.schema import NOTE

COLUMNS = 3


@dataclass(frozen=True, eq=False)
class Moment:
    """A stretch of EEG with a moment in it; seconds from the recording's first sample."""

    title: str
    start_s: float
    sfreq: float
    ch_names: Sequence[str]
    uv_CT: np.ndarray
    onset_s: float
    offset_s: float


@styled
def moments_png(query: str, found: Sequence[Moment]) -> bytes:
    """Up to six moments side by side as PNG, one scale for all, the same bytes twice."""
    rows = max(1, -(-len(found) // COLUMNS))
    channels = max((len(moment.ch_names) for moment in found), default=1)
    spread_uv = max((float(np.percentile(np.abs(m.uv_CT), 98)) for m in found), default=1.0)
    figure = new_figure(11, 0.9 + rows * (0.8 + 0.14 * channels))
    grid = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes, moment in zip(grid, found, strict=False):
        draw(axes, moment, max(spread_uv, 1e-6))
    for axes in grid[len(found) :]:
        axes.set_axis_off()
    figure.suptitle(f"“{query}”; channels stand {2 * spread_uv:.0f} uV apart", x=0.01, ha="left")
    figure.supxlabel(NOTE, fontsize=6)
    return png_of(figure)


def draw(axes: Axes, moment: Moment, spread_uv: float) -> None:
    """Channels one below the other, upward positive, the moment shaded."""
    uv_CT = moment.uv_CT - np.median(moment.uv_CT, axis=1, keepdims=True)
    places = -2 * spread_uv * np.arange(len(uv_CT))
    time_s = moment.start_s + np.arange(uv_CT.shape[1]) / moment.sfreq
    axes.axvspan(max(moment.onset_s, time_s[0]), min(moment.offset_s, time_s[-1]), color=EVENT, alpha=0.15)
    axes.plot(time_s, (uv_CT + places[:, None]).T, color="black", linewidth=0.4)
    axes.set_yticks(places, moment.ch_names, fontsize=6)
    axes.set(
        xlim=(time_s[0], time_s[-1]), ylim=(places[-1] - 2 * spread_uv, 2 * spread_uv), xlabel="time (s)"
    )
    axes.set_title(moment.title, loc="left", fontsize=8)
