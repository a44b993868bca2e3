"""Figures with a time axis: example windows of EEG, and the probability trace of a recording with events."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from distilclip_eeg.config.detection import DetectConfig
from distilclip_eeg.report.drawing import (
    DIVERGING,
    GREY,
    OKABE_ITO,
    PAGE,
    Picture,
    new_figure,
    picture,
    styled,
)
from distilclip_eeg.scoring.events.detect import Trace, events_from_probability

ROW_IN = 0.13
"""Inches a channel takes, so that names of eight points do not touch."""
SHADE, ALARM = OKABE_ITO[4], OKABE_ITO[1]


@styled
def example_window(
    microvolts_CT: np.ndarray,
    ch_names: Sequence[str],
    sfreq: float,
    about: Mapping,
    name: str,
    relevance_C: np.ndarray | None = None,
) -> Picture:
    """One window in microvolts, a channel a line, with a bar that says how much that is.

    Args:
        about: true, predicted, probability, subject and start_s of ``examples.json``.
        relevance_C: of each channel for the answer, 1 the strongest's; it colours the room behind a line.
    """
    step = nice(4 * float(np.median(microvolts_CT.std(1))))
    n = len(ch_names)
    figure = new_figure(PAGE, 0.7 + max(ROW_IN * n, 1.2) + 0.35)
    axis = figure.subplots()
    time_s = np.arange(microvolts_CT.shape[1]) / sfreq
    offset = -np.arange(n)[:, None] * step
    centred_CT = microvolts_CT - microvolts_CT.mean(1, keepdims=True)
    lines_CT = centred_CT + offset
    axis.plot(time_s, lines_CT.T, color="black", lw=0.5)
    axis.set_yticks(offset[:, 0], list(ch_names))
    axis.set(
        xlabel="time in the window (s)",
        xlim=(0, time_s[-1] + 1 / sfreq),
        ylim=(-n * step, min(max(lines_CT.max(), step), 3 * step)),
    )
    axis.tick_params(axis="y", length=0)
    axis.spines["left"].set_visible(False)
    behind = "."
    if relevance_C is not None:
        room = (0.0, time_s[-1] + 1 / sfreq, (0.5 - n) * step, step / 2)
        axis.imshow(
            relevance_C[:, None], cmap=DIVERGING, vmin=-1, vmax=1, alpha=0.55, extent=room, aspect="auto"
        )
        most = ch_names[int(relevance_C.argmax())]
        behind = (
            f"; the redder, the more a channel speaks for the answer, most of all {most}; blue: against it."
        )
    x = time_s[-1] + 2 / sfreq
    bar: dict[str, Any] = {"clip_on": False, "color": OKABE_ITO[1], "lw": 2}
    axis.plot([x, x], [-step, 0], **bar)
    axis.annotate(
        f"{step:g} µV", (x, -step / 2), (4, 0), textcoords="offset points", va="center", annotation_clip=False
    )
    answer = f"true: {about['true']}; answered: {about['predicted']} ({100 * about['probability']:.0f} %)"
    axis.set_title(answer, loc="left")
    where = f"subject {about['subject']}, second {about['start_s']:g} of its recording; {answer}"
    return picture(figure, name, "Example window", f"{where}{behind}", f"EEG of {n} channels. {answer}.")


def nice(value: float) -> float:
    """The number of 1, 2 or 5 times a power of ten next above a value."""
    if not value > 0:
        return 1.0
    power = 10 ** np.floor(np.log10(value))
    return float(next(m * power for m in (1, 2, 5, 10) if m * power >= value * (1 - 1e-9)))


@styled
def trace_with_events(
    trace: Trace, reference: pd.DataFrame, config: DetectConfig, name: str, recording: str, protocol: str
) -> Picture:
    """The probability of each window of a recording, with reference seizures and detected events.

    Args:
        reference: onset_s, offset_s and label of the recording's seizures.
    """
    found = events_from_probability(trace, config).events_E2
    figure = new_figure(PAGE, 2.1)
    axis = figure.subplots()
    for stretch in trace.stretches:
        axis.plot(trace.start_s_N[stretch] / 60, 100 * trace.probability_N[stretch], color="black", lw=0.6)
    for i, row in enumerate(reference.itertuples()):
        words = "annotated seizure" if i == 0 else None
        axis.axvspan(row.onset_s / 60, row.offset_s / 60, color=SHADE, alpha=0.35, lw=0, label=words)
    for i, (onset, offset) in enumerate(found):
        words = "detected event" if i == 0 else None
        axis.plot(
            [onset / 60, offset / 60], [104, 104], color=ALARM, lw=4, solid_capstyle="butt", label=words
        )
    if np.isfinite(config.threshold):
        axis.axhline(100 * config.threshold, color=GREY, lw=0.8, ls="--", label="threshold")
    axis.set(xlabel="time in the recording (min)", ylabel="probability of\nseizure (%)", ylim=(-2, 108))
    axis.set_xlim(0, trace.recorded_P2[-1, 1] / 60)
    axis.set_title(recording, loc="left")
    figure.legend(loc="outside lower center", ncols=3)
    said = f"{len(reference)} annotated seizures, {len(found)} detected events"
    return picture(
        figure,
        name,
        "Events over a recording",
        f"{recording}: {said}; smoothed over {config.smooth_s:g} s, threshold {config.threshold:.3g}, at "
        f"least {config.min_duration_s:g} s. {protocol}.",
        f"Probability by time of {recording}: {said}.",
    )
