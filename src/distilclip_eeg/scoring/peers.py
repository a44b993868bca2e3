"""Other detectors' scores on the same seconds, from a file each, beside the model's.

A file is a parquet with ``COLUMNS``, a row a second: ``label`` (1: any part inside a seizure), ``score``
(higher is more like a seizure) and ``decision`` (1: under alarm at the detector's own threshold; empty where
it has none).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from distilclip_eeg.files.reading import read_parquet
from distilclip_eeg.schema import DataError
from distilclip_eeg.scoring.seconds import KEY

COLUMNS = ("recording", "subject", "piece", "second", "label", "score", "decision")
AGAIN = "Give a file with a row a second, or leave it out of scores=."


@dataclass(frozen=True, eq=False)
class Peers:
    """Seconds that the model and every file have, and what the files say of them."""

    table: pd.DataFrame
    """The model's rows, of those seconds alone; a column of scores for each name."""
    names: tuple[str, ...]
    """Of the files, without ending, in the order given."""
    said: tuple[str, ...]
    """A line for each file whose seconds are not all the model's, or the other way round."""


def join_peers(table: pd.DataFrame, files: tuple[str, ...]) -> Peers:
    """Put other detectors' scores beside the model's; only seconds that all of them have are kept.

    Args:
        table: as ``second_table`` gives it.

    Raises:
        DataError: ``other_labels`` where a second is seizure in one and not in the other, ``twice`` where a
            file has a second more than once, ``not_finite`` where a score is no number, ``no_second`` where
            none is shared; or a file that cannot be read.
    """
    names: list[str] = []
    said: list[str] = []
    joined = table.assign(second=table["second"].round(3))
    for file in files:
        path = Path(file)
        if path.stem in (*names, *table.columns):
            raise DataError(
                f"{path}: another row has the name {path.stem}. Give the file another.", reason="twice"
            )
        theirs = _read(path)
        both = joined.merge(theirs.drop(columns="decision"), on=KEY, how="inner", suffixes=("", "_theirs"))
        differ = both[both["label"] != both["label_theirs"]]
        if len(differ):
            first = differ.iloc[0]
            raise DataError(
                f"{path}: {first['recording']} at {first['second']:g} s is labelled {first['label_theirs']}, "
                f"and {first['label']} in the run, {len(differ)} seconds in all; expected the same labels. "
                "Score it on the recordings and annotations of the run.",
                reason="other_labels",
            )
        if not len(both):
            raise DataError(f"{path}: shares no second with the run. {AGAIN}", reason="no_second")
        lacking = len(joined) - len(both), len(theirs) - len(both)
        if any(lacking):
            said.append(
                f"{path.stem}: {lacking[0]} of {len(joined)} seconds are not in it and left out of every row"
                f" here; {lacking[1]} of its own are not tested here"
            )
        names.append(path.stem)
        joined = both.drop(columns="label_theirs").rename(columns={"score": path.stem})
    return Peers(joined, tuple(names), tuple(said))


def on_windows(windows: pd.DataFrame, length_s: float, file: Path) -> pd.DataFrame:
    """Windows with a file's score and answer: the mean of its seconds in each, as far as they reach into it.

    Args:
        windows: recording and start_s, a row a window, any further columns.
        length_s: of a window.

    Returns:
        Those of which the file holds half or more; ``probability`` is the score, ``answer`` is 1 where half
        or more of the window is under the detector's alarm, and left out where the file has no decisions.

    Raises:
        DataError: as :func:`join_peers`.
    """
    theirs = _read(file)
    parts = []
    for recording, group in windows.groupby("recording", sort=False):
        mine = theirs[theirs["recording"] == recording].sort_values("second")
        start_N = group["start_s"].to_numpy(float)
        second_M = mine["second"].to_numpy(float)
        held_N = _inside(second_M, np.ones(len(mine)), start_N, length_s)
        kept = held_N >= length_s / 2
        said = {
            new: _inside(second_M, mine[old].to_numpy(float), start_N, length_s)[kept] / held_N[kept]
            for new, old in (("probability", "score"), ("answer", "decision"))
        }
        parts.append(group[kept].assign(**said))
    found = pd.concat(parts, ignore_index=True)
    if not len(found):
        raise DataError(f"{file}: shares no window with the run. {AGAIN}", reason="no_second")
    if found["answer"].isna().any():
        return found.drop(columns="answer")
    return found.assign(answer=(found["answer"] >= 0.5).astype(int))


def _inside(second_M: np.ndarray, value_M: np.ndarray, start_N: np.ndarray, length_s: float) -> np.ndarray:
    """Sum of a value a second over what of those seconds lies in each window, (N,).

    Args:
        second_M: when each begins, ascending.
    """
    if not len(second_M):
        return np.zeros(len(start_N))
    edge_s = np.column_stack([second_M, second_M + 1]).ravel()  # between seconds it stays as it is
    sum_at_edge = np.column_stack([np.cumsum(value_M) - value_M, np.cumsum(value_M)]).ravel()
    until_end, until_start = (np.interp(at, edge_s, sum_at_edge) for at in (start_N + length_s, start_N))
    return until_end - until_start


def _read(path: Path) -> pd.DataFrame:
    """Recording, second, label, score and decision of a file."""
    theirs = read_parquet(path, *COLUMNS, again=AGAIN)[[*KEY, "label", "score", "decision"]]
    theirs = theirs.assign(second=theirs["second"].astype(float).round(3))
    theirs["recording"] = theirs["recording"].astype(str)
    if theirs.duplicated(KEY).any():
        first = theirs[theirs.duplicated(KEY)].iloc[0]
        raise DataError(
            f"{path}: {first['recording']} at {first['second']:g} s is in two rows; expected one. {AGAIN}",
            reason="twice",
        )
    if not np.isfinite(theirs["score"].to_numpy(float)).all():
        raise DataError(f"{path}: a score is no number; expected one a second. {AGAIN}", reason="not_finite")
    return theirs
