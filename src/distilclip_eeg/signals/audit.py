"""What test windows share with training: an audit of any table of folds, and what each protocol promises."""

from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np
import pandas as pd

from distilclip_eeg.schema import DataError
from distilclip_eeg.signals.content import families, how_alike

SHARED = ("samples", "event", "recording", "subject", "future")
"""What an audit counts. ``future``: a training window of the same subject is later than the test window."""
UNKNOWN = dict.fromkeys(SHARED, None)
"""The audit of windows that carry neither recording nor subject."""
PROMISES = {
    "window": (),
    "event": ("samples", "event"),
    "recording": ("samples", "event", "recording"),
    "time": ("samples", "event", "future"),
    "subject": SHARED,
    "leave_one_subject_out": SHARED,
    "official": SHARED,
    "table": (),
}
"""By protocol: what its test windows never share with training."""
TOLERANCE_S = 1e-6
"""Starts are floats; a microsecond is less than a sample of any EEG."""


def fold_columns(folds: pd.DataFrame) -> list[str]:
    """The columns ``fold0``, ``fold1``, … of a table, in the order of their numbers."""
    found = [c for c in folds.columns if str(c).startswith("fold") and str(c)[4:].isdecimal()]
    return sorted(found, key=lambda c: int(c[4:]))


def distance_s(windows: pd.DataFrame, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Seconds between the starts of each of ``rows`` and the nearest of ``others`` in the same recording.

    Args:
        windows: recording and start_s of N windows.
        rows, others: positions in ``windows``.

    Returns:
        (len(rows),), infinite where the recording holds none of ``others``.
    """
    start = windows["start_s"].to_numpy(float)
    recording = pd.factorize(windows["recording"])[0]
    wide = 2 * (np.ptp(start) if len(start) else 0.0) + 1.0
    place = recording * wide + start  # one axis, recordings farther apart than any two of one's windows
    there = np.sort(place[others])
    if not len(there):
        return np.full(len(rows), np.inf)
    after = np.searchsorted(there, place[rows]).clip(max=len(there) - 1)
    nearest = np.minimum(
        np.abs(there[after] - place[rows]), np.abs(there[(after - 1).clip(min=0)] - place[rows])
    )
    return np.where(nearest < wide / 2, nearest, np.inf)


def audit_folds(folds: pd.DataFrame, length_s: float) -> pd.DataFrame:
    """Of each fold, the share of test windows that share something with the training side.

    Training side means train and val: both steer the model. Windows of any other part count on neither side.

    Args:
        folds: one row a window: recording and start_s, and fold0 … with train, val, test or unused; subject
            and event (a number of its own, -1 for background) where they are known. Recordings of a subject
            follow each other in the order of their names or numbers.
        length_s: length of every window.

    Returns:
        One row a fold, columns ``SHARED``; NaN where the table cannot tell, or the fold has none to ask.
    """
    recording = pd.factorize(folds["recording"], sort=True)[0]
    known = {name: pd.factorize(folds[name])[0] for name in ("event", "subject") if name in folds}
    known["recording"] = recording
    when = np.empty(len(folds), np.int64)
    when[np.lexsort((folds["start_s"], recording))] = np.arange(len(folds))
    rows = []
    for column in fold_columns(folds):
        test = np.flatnonzero(folds[column] == "test")
        train = np.flatnonzero(folds[column].isin(("train", "val")))
        shares = dict.fromkeys(SHARED, np.nan)
        shares["samples"] = share_of(distance_s(folds, test, train) < length_s - TOLERANCE_S)
        for name, code_N in known.items():
            asked = test[folds["event"].to_numpy()[test] >= 0] if name == "event" else test
            seen = np.zeros(code_N.max(initial=0) + 1, bool)
            seen[code_N[train]] = True
            shares[name] = share_of(seen[code_N[asked]])
        if "subject" in known:
            last = np.full(known["subject"].max(initial=0) + 1, -1)
            np.maximum.at(last, known["subject"][train], when[train])
            shares["future"] = share_of(when[test] < last[known["subject"][test]])
        rows.append(shares)
    return pd.DataFrame(rows, columns=list(SHARED), dtype=float)


def share_of(true_N: np.ndarray) -> float:
    """How much of it is true, NaN of nothing."""
    return float(true_N.mean()) if len(true_N) else np.nan


def audit(folds: pd.DataFrame, length_s: float = 1.0) -> dict[str, float | None]:
    """Shares in [0, 1] by the names in ``SHARED``: the mean over folds of :func:`audit_folds`.

    None where the table cannot tell.
    """
    means = audit_folds(folds, length_s).mean()
    if "event" in folds and not (folds["event"] >= 0).any():
        means["event"] = 0.0  # no seizure to share
    return {k: None if np.isnan(v) else float(v) for k, v in means.items()}


def check_audit(shares: dict[str, float | None], split: str) -> None:
    """Stop when the audit contradicts the protocol's promise, or cannot vouch for it.

    Args:
        shares: from :func:`audit`.
        split: a key of ``PROMISES``.

    Raises:
        DataError: ``leak``: what the protocol keeps apart is shared.
    """
    broken = {k: share for k in PROMISES[split] if (share := shares[k]) is None or share > 0}
    if broken:
        raise DataError(
            f"split={split}: the folds share {broken} with training, expected none. This is a bug in the "
            "split or a recording that stands under two names; nothing was trained.",
            reason="leak",
        )


def check_copies(folds: pd.DataFrame, copies: pd.DataFrame | None, split: str) -> str:
    """Stop where one signal stands on two sides of a fold under two names; what to say of what is less sure.

    A protocol that shares samples by its nature, or a user's own table, is told of it and not stopped.

    Args:
        folds: as of :func:`audit_folds`, with recording (number) and recording_name.
        copies: from :func:`~distilclip_eeg.signals.content.find_copies`; None where nothing is known.

    Returns:
        An addition to the leak note, empty where there is nothing to say.

    Raises:
        DataError: ``same_signal``: names both recordings.
    """
    if copies is None or copies.empty:
        return ""
    sides = [
        [
            set(part["recording"].unique())
            for part in (folds[of_test], folds[folds[column].isin(("train", "val"))])
        ]
        for column in fold_columns(folds)
        for of_test in [folds[column] == "test"]
    ]
    sure = [pair for family in families(copies) for pair in combinations(family, 2)]
    exact = copies[copies["equal"] == "seconds"]
    sure += zip(exact["recording"], exact["other"], strict=True)
    unsure = copies[~copies["whole"] & (copies["equal"] == "anchors")]
    part = zip(unsure["recording"], unsure["other"], strict=True)
    names = folds.drop_duplicates("recording").set_index("recording")["recording_name"]
    apart = split_pairs(sure, sides)
    if apart and "samples" in PROMISES[split]:
        one, other, fold = apart[0]
        known = copies[(copies["recording"] == one) & (copies["other"] == other)]
        how = f" ({how_alike(known.iloc[0])})" if len(known) else ""
        more = f" So do {len(apart) - 1} more pairs." if len(apart) > 1 else ""
        raise DataError(
            f"split={split}: {names[one]} and {names[other]} hold the same signal{how} and stand on two "
            f"sides of fold {fold}; expected each signal under one name.{more} Leave one of them out, or "
            "give both the same subject; nothing was trained.",
            reason="same_signal",
        )
    said = ""
    for pairs, words in ((apart, "hold the same signal"), (split_pairs(part, sides), "share a part")):
        if pairs:
            one, other, _ = pairs[0]
            said += f"; {len(pairs)} pairs of recordings on two sides {words}: {names[one]}, {names[other]}"
    return said


def split_pairs(
    pairs: Iterable[tuple[int, int]], sides: Sequence[Sequence[set]]
) -> list[tuple[int, int, int]]:
    """The pairs of which one is tested and the other trained on, each with the first such fold.

    Args:
        sides: of each fold, the recordings of its test and of its training side.
    """
    found: dict[tuple[int, int], int] = {}
    for one, other in pairs:
        for fold, (test, train) in enumerate(sides):
            if (one in test and other in train) or (other in test and one in train):
                found.setdefault((int(one), int(other)), fold)
    return [(one, other, fold) for (one, other), fold in found.items()]


def audit_line(split: str, shares: dict[str, float | None]) -> str:
    """The leak note that every table carries: what test windows share with training, in per cent.

    Args:
        split: the protocol's name.
        shares: from :func:`audit`, or ``UNKNOWN``.
    """
    if shares == UNKNOWN:
        return (
            "test windows sharing with training: unknown, the windows carry neither recording nor subject. "
            "Neighbouring seconds of one seizure may be on both sides; not an estimate for new patients"
        )
    said = {k: "unknown" if v is None else f"{100 * v:.0f} %" for k, v in shares.items()}
    note = "test windows sharing with training: "
    note += ", ".join(f"{name} {said[name]}" for name in SHARED if name != "future")
    if shares["subject"] != 0:
        note += f"; older than a training window of their subject: {said['future']}"
    if split == "window":
        note += ". Windows of the same seizure are on both sides; not an estimate for new patients"
    elif shares["subject"] != 0:
        note += ". Patients are on both sides; not an estimate for new patients"
    return note
