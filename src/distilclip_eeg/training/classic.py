"""Classic classifiers on features of windows: the floors, whose rows are windows as those of any network.

Shapes: N windows, F features, M windows of the recordings concerned.
"""

import numpy as np
import pandas as pd

from distilclip_eeg.config.component import Component
from distilclip_eeg.config.data import small_seed
from distilclip_eeg.models.floors import Floor, band_features
from distilclip_eeg.signals.windows import piece_of
from distilclip_eeg.training.data import CHUNK, Data


def floor_logits(net: Component, data: Data, fit: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Log probabilities (N, K) of ``rows`` by a classifier fitted on the rows ``fit``."""
    floor = net.build("network")
    label = data.windows["label"].to_numpy()
    return floor.fit_predict(
        features(floor, data, fit, fit),
        label[fit],
        features(floor, data, fit, rows),
        len(data.store.classes),
        small_seed(data.seed),
    )


def features(floor: Floor, data: Data, fit: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """What the floor sees of ``rows``, (N, F): of each window, its neighbours and its recording."""
    if not floor.relative and floor.span_s is None:
        return of_windows(floor, data, fit, rows)
    number = data.windows["recording"].to_numpy()
    whole = np.flatnonzero(np.isin(number, number[rows]))
    found_MF = of_windows(floor, data, fit, whole)
    if floor.relative:
        found_MF = found_MF - pd.DataFrame(found_MF).groupby(number[whole]).transform("median").to_numpy()
    if floor.span_s is not None:
        windows = data.windows.iloc[whole]
        piece_M = piece_of(windows["first"].to_numpy(), data.store.pieces)
        found_MF = mean_around(found_MF, piece_M, windows["start_s"].to_numpy(), floor.span_s)
    return found_MF[np.searchsorted(whole, rows)]


def of_windows(floor: Floor, data: Data, fit: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Band powers and line length of each window alone, (N, F)."""
    source = data.source(fit)

    def signal(rows: np.ndarray) -> np.ndarray:
        return source.microvolts(rows) if floor.units == "microvolt" else source.batch(rows).eeg_BCT.numpy()

    chunks = np.array_split(rows, -(-len(rows) // CHUNK))
    return np.concatenate([band_features(signal(chunk), data.store.sfreq) for chunk in chunks])


def mean_around(value_MF: np.ndarray, piece_M: np.ndarray, start_M: np.ndarray, span_s: float) -> np.ndarray:
    """Mean of the windows of the same piece that begin within half of ``span_s`` of each, (M, F).

    How many they are is not told: near the end of an excerpt there are fewer, and where it ends tells labels.
    """
    order = np.lexsort((start_M, piece_M))
    piece_M, start_M = piece_M[order], start_M[order]
    sum_MF = np.concatenate([np.zeros((1, value_MF.shape[1])), np.cumsum(value_MF[order], axis=0)])
    mean_MF = np.empty_like(value_MF)
    for begin, end in zip(*_runs(piece_M), strict=True):
        at = start_M[begin:end]
        first = begin + np.searchsorted(at, at - span_s / 2 - 1e-6)
        last = begin + np.searchsorted(at, at + span_s / 2 + 1e-6, side="right")
        mean_MF[order[begin:end]] = (sum_MF[last] - sum_MF[first]) / (last - first)[:, None]
    return mean_MF


def _runs(value_M: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each run of equal values begins and ends."""
    change = np.flatnonzero(np.diff(value_M)) + 1
    return np.concatenate([[0], change]), np.concatenate([change, [len(value_M)]])
