"""Features of every window of some recordings, ranked by nearness to a text or to another stretch of EEG.

Shapes: N windows, E features, Q queries. Features have unit length, so a product is a cosine.
"""

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pandas as pd

from distilclip_eeg.files.digests import write_atomic
from distilclip_eeg.schema import DataError

FILE = "index.npz"
COLUMNS = ["rank", "recording", "onset_s", "offset_s", "similarity", "windows", "best_s"]


@dataclass(frozen=True, eq=False)
class Index:
    """Windows of some recordings and their features."""

    windows: pd.DataFrame
    """recording, start_s: one row a window, in time order within a recording."""
    features_NE: np.ndarray
    length_s: float
    hop_s: float
    model: str
    """Stands for the weights that made the features; features of two models say nothing to each other."""
    files: dict[str, str] = field(default_factory=dict)
    """What each recording's file was, so that a changed one is read again."""

    def __post_init__(self) -> None:
        if len(self.windows) != len(self.features_NE):
            raise ValueError(f"{len(self.windows)} windows, {len(self.features_NE)} features")

    def save(self, path: Path) -> None:
        """Write one file; ``load`` reads it without executing anything."""
        about = {k: getattr(self, k) for k in ("length_s", "hop_s", "model", "files")}
        buffer = io.BytesIO()
        np.savez(
            buffer,
            about=json.dumps(about),
            recording=self.windows["recording"].to_numpy().astype("U"),
            start_s=self.windows["start_s"].to_numpy(float),
            features_NE=self.features_NE.astype(np.float32),
        )
        write_atomic(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path) -> "Index":
        """Read a saved index.

        Raises:
            DataError: ``bad_index``.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                windows = pd.DataFrame({"recording": file["recording"], "start_s": file["start_s"]})
                return cls(windows, file["features_NE"], **json.loads(str(file["about"])))
        except (OSError, ValueError, KeyError, TypeError, BadZipFile) as error:
            raise DataError(
                f"{path}: no index of this version ({error}). Delete it; it will be made again.",
                reason="bad_index",
            ) from error

    def only(self, recordings: list[str]) -> "Index":
        """The same for some of the recordings."""
        kept = self.windows["recording"].isin(recordings).to_numpy()
        files = {name: self.files[name] for name in recordings if name in self.files}
        windows = self.windows[kept].reset_index(drop=True)
        return Index(windows, self.features_NE[kept], self.length_s, self.hop_s, self.model, files)

    def joined(self, other: "Index") -> "Index":
        """Both together, ``other`` behind.

        Raises:
            DataError: ``other_model`` where they were made by other weights, or on another grid.
        """
        if (self.model, self.length_s, self.hop_s) != (other.model, other.length_s, other.hop_s):
            raise DataError(
                f"index: made by model {self.model[:8]} every {self.hop_s:g} s, the new part by model "
                f"{other.model[:8]} every {other.hop_s:g} s. Give another output folder.",
                reason="other_model",
            )
        windows = pd.concat([self.windows, other.windows], ignore_index=True)
        features_NE = np.concatenate([self.features_NE, other.features_NE])
        return Index(
            windows, features_NE, self.length_s, self.hop_s, self.model, {**self.files, **other.files}
        )

    def similarity(self, queries_QE: np.ndarray) -> np.ndarray:
        """Cosine of every window with every query, (Q, N)."""
        length_Q1 = np.linalg.norm(queries_QE, axis=1, keepdims=True)
        return (queries_QE / np.maximum(length_Q1, 1e-12)) @ self.features_NE.T

    def at(self, recording: str, time_s: float) -> np.ndarray:
        """The features of the window nearest to a time of a recording, (E,).

        Raises:
            DataError: ``no_such_time`` where no window of that recording covers it.
        """
        rows = np.flatnonzero((self.windows["recording"] == recording).to_numpy())
        middle_s = self.windows["start_s"].to_numpy()[rows] + self.length_s / 2
        away_s = np.abs(middle_s - time_s)
        if not len(rows) or away_s.min() > self.length_s:
            known = ", ".join(self.windows["recording"].unique()[:5])
            raise DataError(
                f"{recording} at {time_s:g} s: no window there. Known recordings: {known}.",
                reason="no_such_time",
            )
        return self.features_NE[rows[away_s.argmin()]]


def moments(index: Index, score_N: np.ndarray, n: int, margin: float = 0.05) -> pd.DataFrame:
    """The ``n`` best moments: each a best window, and its neighbours that are nearly as good.

    From the best window on, a moment grows over neighbours without a gap that are within ``margin`` of its
    best one; the next moment begins at the best window that is in none yet.

    Args:
        score_N: higher is better.

    Returns:
        rank, recording, onset_s, offset_s, similarity (of its best window), windows, best_s (where its best
        window begins); best first.
    """
    start_s_N = index.windows["start_s"].to_numpy()
    recording_N = index.windows["recording"].to_numpy()
    joins_N = np.diff(start_s_N) <= index.length_s + 1e-6
    joins_N &= (np.diff(start_s_N) > 0) & (recording_N[1:] == recording_N[:-1])
    free_N = np.ones(len(score_N), dtype=bool)
    rows: list[dict[str, object]] = []
    for best in np.argsort(-score_N, kind="stable"):
        if len(rows) == n:
            break
        if not free_N[best]:
            continue
        good_N = free_N & (score_N >= score_N[best] - margin)
        first = last = best
        while first > 0 and joins_N[first - 1] and good_N[first - 1]:
            first -= 1
        while last + 1 < len(score_N) and joins_N[last] and good_N[last + 1]:
            last += 1
        free_N[first : last + 1] = False
        rows.append(
            {
                "rank": len(rows) + 1,
                "recording": recording_N[best],
                "onset_s": start_s_N[first],
                "offset_s": start_s_N[last] + index.length_s,
                "similarity": float(score_N[best]),
                "windows": int(last - first + 1),
                "best_s": start_s_N[best],
            }
        )
    return pd.DataFrame(rows, columns=COLUMNS)
