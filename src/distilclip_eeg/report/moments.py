"""The figure of a search: the best moments, each with the EEG around its best window."""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap

import numpy as np
from matplotlib.axes import Axes

from distilclip_eeg.report.detection import EVENT
from distilclip_eeg.report.drawing import new_figure, png_of, styled
from distilclip_eeg.report.review import clock
from distilclip_eeg.schema import NOTE

COLUMNS = 3
LONGEST = 44
"""Characters of a name that the room above a panel has; of a longer one the end is shown."""
WIDE = 130
"""Characters in a line of the question."""


@dataclass(frozen=True, eq=False)
class Moment:
    """The best window of a moment with what is around it; seconds from the recording's first sample."""

    rank: int
    recording: str
    """As it is called in the tables: its path below the folder that was searched."""
    similarity: float
    start_s: float
    sfreq: float
    ch_names: Sequence[str]
    uv_CT: np.ndarray
    onset_s: float
    offset_s: float
    """Of the window, not of its neighbours that are nearly as good."""


@styled
def moments_png(query: str, found: Sequence[Moment]) -> bytes:
    """Up to six moments side by side as PNG, one scale for all, the same bytes twice."""
    rows = max(1, -(-len(found) // COLUMNS))
    channels = max((len(moment.ch_names) for moment in found), default=1)
    spread_uv = max((float(np.percentile(np.abs(m.uv_CT), 98)) for m in found), default=1.0)
    title = wrap(f"“{query}”", WIDE)
    figure = new_figure(11, 0.9 + 0.16 * len(title) + rows * (0.95 + 0.14 * channels))
    grid = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    names = short_names([moment.recording for moment in found])
    alike = len({tuple(moment.ch_names) for moment in found}) == 1
    for i, (axes, moment) in enumerate(zip(grid, found, strict=False)):
        draw(axes, moment, max(spread_uv, 1e-6), named=not alike or i % COLUMNS == 0)
        when = f"at {clock(moment.onset_s)}, similarity {moment.similarity:.2f}"
        axes.set_title(f"{moment.rank}. {names[i]}\n{when}", loc="left")
    for axes in grid[len(found) :]:
        axes.set_axis_off()
    about = f"shaded: the window that is most like it; channels stand {2 * spread_uv:.0f} µV apart"
    figure.suptitle("\n".join([*title, about]), x=0.01, ha="left", fontsize=10)
    figure.supxlabel(NOTE, fontsize=6)
    return png_of(figure)


def short_names(recordings: Sequence[str]) -> list[str]:
    """What a reader calls them: the last part of each path, and as much before it as tells them apart."""
    paths = [name.split("/") for name in recordings]
    depth = 1
    while len({"/".join(path[-depth:]) for path in paths}) < len(set(recordings)):
        depth += 1
    names = ["/".join(path[-depth:]) for path in paths]
    return [name if len(name) <= LONGEST else f"…{name[1 - LONGEST :]}" for name in names]


def draw(axes: Axes, moment: Moment, spread_uv: float, named: bool = True) -> None:
    """Channels one below the other, upward positive, the window shaded.

    Args:
        named: whether the channels are named beside it, or only beside the first panel of the line.
    """
    uv_CT = moment.uv_CT - np.median(moment.uv_CT, axis=1, keepdims=True)
    places = -2 * spread_uv * np.arange(len(uv_CT))
    time_s = moment.start_s + np.arange(uv_CT.shape[1]) / moment.sfreq
    first, last = max(moment.onset_s, time_s[0]), min(moment.offset_s, time_s[-1])
    axes.axvspan(first, last, color=EVENT, alpha=0.25, lw=0)
    axes.plot(time_s, (uv_CT + places[:, None]).T, color="black", linewidth=0.4)
    axes.set_yticks(places, moment.ch_names if named else [""] * len(places), fontsize=7)
    axes.tick_params(axis="y", length=0)
    axes.set(xlim=(time_s[0], time_s[-1]), ylim=(places[-1] - 2 * spread_uv, 2 * spread_uv))
    axes.set_xlabel("seconds of the recording")
