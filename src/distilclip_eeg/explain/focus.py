"""Do maps find where a seizure starts? Answerable where seizures are invented: on the synthetic corpus.

A *hit* is a window whose map is largest on a channel that contains the focus electrode. Beside the share of
hits stand two numbers without which it says little. ``chance``: the share of channels that contain the focus.
``wave``: how often the invented wave itself, as strong as the network sees it, is largest on such a channel.
Some seconds after the onset the wave has spread and is stronger elsewhere, which a map may rightly say.

Shapes: N windows, C channels.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from distilclip_eeg.config.component import Component
from distilclip_eeg.corpora.invented.truth import at_focus, truths
from distilclip_eeg.corpora.synthetic import Synthetic
from distilclip_eeg.training.data import Data

SPREAD_S = 3.0
"""The wave reaches the next electrodes at about this time after the onset."""


def since_onset(data: Data, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Seconds from the onset of each window's seizure to the window's middle, and the same as a share of
    the seizure, each (N,); NaN for background."""
    windows = data.windows.iloc[rows]
    times = data.store.events.reindex(windows["event"].to_numpy())  # event -1 is none: NaN
    onset_N, offset_N = times["onset_s"].to_numpy(), times["offset_s"].to_numpy()
    seconds_N = windows["start_s"].to_numpy() + data.length / data.store.sfreq / 2 - onset_N
    return seconds_N, seconds_N / (offset_N - onset_N)


def early(data: Data, rows: np.ndarray) -> np.ndarray:
    """Those of ``rows`` that lie in the first third, or the first ``SPREAD_S`` seconds, of a seizure."""
    seconds_N, share_N = since_onset(data, rows)
    return rows[(share_N < 1 / 3) | (seconds_N < SPREAD_S)]


def focus_table(
    component: Component, data: Data, rows: np.ndarray, maps: dict[str, np.ndarray]
) -> pd.DataFrame:
    """A row a method and stage that has windows: stage, method, n, share, chance, wave.

    Args:
        component: the synthetic corpus of a run with a bipolar montage.
        rows: correctly detected windows of seizures (see ``early``).
        maps: (N, C) by method.
    """
    windows, ch_names = data.windows.iloc[rows], data.store.ch_names
    corpus: Synthetic = component.build("corpus")
    known = truths(corpus.settings, windows["recording_name"].unique())
    length_s = data.length / data.store.sfreq
    at_NC, wave_NC = [], []
    for window in windows.itertuples():
        truth = known[window.recording_name]
        at_NC.append(at_focus(ch_names, truth.focus))
        seen_C = data.store.sd_RC[window.recording] ** 2  # a window is divided by its recording's SD
        wave_NC.append(truth.power(ch_names, window.start_s, length_s) / np.maximum(seen_C, 1e-6))
    stages = stages_of(data, rows)
    return pd.DataFrame(list(table_rows(stages, np.array(at_NC), np.array(wave_NC), maps)))


def stages_of(data: Data, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Which windows belong to each stage that has any, (N,)."""
    seconds_N, share_N = since_onset(data, rows)
    stages = {"first third": share_N < 1 / 3, f"first {SPREAD_S:g} s": seconds_N < SPREAD_S}
    return {stage: chosen_N for stage, chosen_N in stages.items() if chosen_N.any()}


def table_rows(
    stages: dict[str, np.ndarray], at_NC: np.ndarray, wave_NC: np.ndarray, maps: dict[str, np.ndarray]
) -> Iterator[dict]:
    """See ``focus_table``; ``at_NC`` says which channels contain the focus."""
    for stage, chosen_N in stages.items():
        for method, map_NC in maps.items():
            row = {"stage": stage, "method": method, "n": int(chosen_N.sum())}
            row["share"] = hits(map_NC[chosen_N], at_NC[chosen_N])
            row["chance"] = float(at_NC[chosen_N].mean())
            yield row | {"wave": hits(wave_NC[chosen_N], at_NC[chosen_N])}


def hits(map_NC: np.ndarray, at_NC: np.ndarray) -> float:
    """Share of windows whose maximum lies on one of the marked channels."""
    return float(np.take_along_axis(at_NC, map_NC.argmax(axis=1)[:, None], axis=1).mean())
