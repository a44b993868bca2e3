"""The figure of one screened recording: probability over all of it, and the EEG where it is highest."""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap

import numpy as np
from matplotlib.axes import Axes

from distilclip_eeg.report.drawing import OKABE_ITO, new_figure, png_of, styled
from distilclip_eeg.schema import NOTE

LINE, EVENT, FAINT, GAP = *OKABE_ITO[:2], OKABE_ITO[5], "#BBBBBB"
"""Told apart with any colour vision; events and gaps differ in more than colour."""
WIDE = 130
"""Characters in a line of the warning."""
BARS_UV = (20, 50, 100, 200, 500, 1000, 2000)


@dataclass(frozen=True, eq=False)
class Screened:
    """What the figure shows; seconds from the first sample."""

    title: str
    start_s_N: np.ndarray
    probability_N: np.ndarray
    smoothed_N: np.ndarray
    """What the threshold is compared with; the main line."""
    hop_s: float
    threshold: float
    events_E2: np.ndarray
    gaps_G2: np.ndarray
    span_s: float
    eeg_start_s: float
    eeg_sfreq: float
    ch_names: Sequence[str]
    uv_CT: np.ndarray
    warning: str = ""
    """What a reader must know first: that the recording is unlike those of training."""


@styled
def detection_png(shown: Screened) -> bytes:
    """The figure as PNG, the same bytes twice."""
    height = 2.4 + 0.16 * len(shown.ch_names)
    figure = new_figure(9, 1.9 + height)
    above, below = figure.subplots(2, 1, height_ratios=[1.9, height])
    draw_probability(above, shown)
    draw_eeg(below, shown)
    above.set_title(shown.title, loc="left")
    if shown.warning:
        figure.suptitle("\n".join(wrap(shown.warning, WIDE)), fontsize=7, color=EVENT, x=0.01, ha="left")
    figure.supxlabel(NOTE, fontsize=6)
    return png_of(figure)


def draw_probability(axes: Axes, shown: Screened) -> None:
    """The smoothed probability, which decides, over that of each window; broken where there is no data.

    Each value is drawn over its own step, so that the line is above the threshold where an event is. Time is
    in hours where the recording is long.
    """
    unit_s, unit = (3600.0, "h") if shown.span_s >= 2 * 3600 else (1.0, "s")
    breaks = np.flatnonzero(np.diff(shown.start_s_N) > 1.5 * shown.hop_s) + 1
    time_M = closed(shown.start_s_N, breaks, shown.hop_s) / unit_s
    for values_N, color, width, label in (
        (shown.probability_N, FAINT, 0.5, "each window"),
        (shown.smoothed_N, LINE, 1.0, "smoothed, decides"),
    ):
        value_M = closed(values_N, breaks)
        axes.plot(time_M, value_M, drawstyle="steps-post", color=color, linewidth=width, label=label)
    # One collection each: an alarm every few seconds of a day would be a minute of single patches.
    if len(events_E2 := shown.events_E2 / unit_s):
        axes.broken_barh(lengths(events_E2), (0, 1.08), facecolor=EVENT, alpha=0.3, label="event")
        axes.hlines([1.04] * len(events_E2), *events_E2.T, color=EVENT, linewidth=3, clip_on=False)
    if len(gaps_G2 := shown.gaps_G2 / unit_s):
        spans, tall = lengths(gaps_G2), (0, 1.08)
        axes.broken_barh(spans, tall, facecolor=GAP, hatch="///", alpha=0.5, label="no data")
    if np.isfinite(shown.threshold):
        axes.axhline(shown.threshold, color="black", linestyle="--", linewidth=0.8, label="threshold")
    axes.set(xlim=(0, shown.span_s / unit_s), ylim=(0, 1.08))
    axes.set(xlabel=f"time from the first sample ({unit})", ylabel="probability of seizure")
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)


def closed(values_N: np.ndarray, breaks: np.ndarray, further: float = 0.0) -> np.ndarray:
    """Values with the end of the last step after each stretch, and NaN, at which a line breaks."""
    parts = [[*part, part[-1] + further, np.nan] for part in np.split(values_N, breaks) if len(part)]
    return np.concatenate(parts)


def lengths(stretches_E2: np.ndarray) -> list[tuple[float, float]]:
    """Where each begins and how long it is, as matplotlib takes them."""
    return [(first, last - first) for first, last in stretches_E2.tolist()]


def draw_eeg(axes: Axes, shown: Screened) -> None:
    """Channels one below the other, upward positive, with a bar that says how large they are."""
    uv_CT = shown.uv_CT - np.median(shown.uv_CT, axis=1, keepdims=True)
    spread = max(float(np.percentile(np.abs(uv_CT), 99)), 1e-6)
    step = 2 * spread
    time_s = shown.eeg_start_s + np.arange(uv_CT.shape[1]) / shown.eeg_sfreq
    places = -step * np.arange(len(uv_CT))
    axes.plot(time_s, (uv_CT + places[:, None]).T, color="black", linewidth=0.5)
    axes.set_yticks(places, shown.ch_names)
    bar = next((size for size in BARS_UV if size >= spread), BARS_UV[-1])
    right = time_s[-1] + 0.02 * (time_s[-1] - time_s[0])
    axes.plot([right, right], [places[-1], places[-1] + bar], color="black", linewidth=2, clip_on=False)
    at, beside = (right, places[-1] + bar / 2), (4, 0)
    axes.annotate(f"{bar} uV", at, beside, textcoords="offset points", annotation_clip=False, va="center")
    axes.set(xlim=(time_s[0], time_s[-1]), ylim=(places[-1] - step, step), xlabel="time (s)")
    axes.set_title("most probable stretch", loc="left")
    inside = shown.events_E2[(shown.events_E2[:, 1] > time_s[0]) & (shown.events_E2[:, 0] < time_s[-1])]
    for first, last in inside:
        axes.axvspan(max(first, time_s[0]), min(last, time_s[-1]), color=EVENT, alpha=0.15)
