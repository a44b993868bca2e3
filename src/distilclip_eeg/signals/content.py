"""What a signal is known by, whatever its file is called: fingerprints, and which recordings share them.

Two kinds are taken of each recording as it was decoded, before any filter. *Seconds*: a hash of every whole
second of up to eight channels, which only a copy of the same numbers has. *Anchors*: hashes of the distances
between six maxima in a row of one smoothed channel, which do not change with gain, offset or header, nor
where samples are cut off in front. Flat or dead stretches, and seconds in which all channels are alike (a
calibration), give none.

Both are 16 bytes an entry, 150 kB an hour of EEG in all and about half a second of work, in
``content.seconds`` and ``content.anchors`` beside the signal; pairs that share enough stand in
``copies.parquet``. Finding them is one sort of 16 bytes a second of EEG.
"""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage

from distilclip_eeg.files.reading import read_parquet
from distilclip_eeg.schema import Recording

ENTRY = np.dtype([("hash", "<u8"), ("recording", "<i4"), ("at", "<i4")])
"""``at``: in seconds or samples, from the recording's first."""
FILES = ("content.seconds", "content.anchors")
COPIES = "copies.parquet"
SAME_S = 5
"""Equal seconds at one distance in time that chance does not give; fewer where a recording is shorter."""
LIKE, SHARE = 8, 0.25
"""Equal anchors of the same kind; and the share of the shorter recording's that makes the two one signal."""
HASHED = 8
"""Channels of a second that are hashed, spread over all; more cost time and tell no more."""
CHANNELS, IN_A_ROW, KEPT = 2, 5, 2
"""Channels that give anchors, distances in a hash, and one hash in how many is kept, chosen by its value."""
LONGEST_S = 4.0
"""Between two anchors; more is a pause."""
MOST_IN_ONE = 64
"""Places of one hash: what is more common (a pulse, a calibration) tells nothing."""


def fingerprints(recording: Recording) -> tuple[np.ndarray, np.ndarray]:
    """Seconds and anchors of a recording, each of dtype ``ENTRY``; the recording's number is left zero."""
    there = [k for k, name in enumerate(recording.ch_names) if name not in recording.filled]
    seconds, anchors, first = [], [], 0
    for piece in recording.pieces:
        seconds.append(_seconds(piece.eeg_CT[_spread(there, HASHED)], recording.sfreq, first))
        for k in _spread(there, CHANNELS):
            anchors.append(_anchors(piece.eeg_CT[k], recording.sfreq, k, first))
        first += piece.eeg_CT.shape[1]
    empty = np.zeros(0, ENTRY)
    return np.concatenate([empty, *seconds]), np.concatenate([empty, *anchors])


def _spread(rows: list[int], most: int) -> list[int]:
    """At most ``most`` of the rows, evenly from all of them."""
    return [rows[k * len(rows) // most] for k in range(most)] if len(rows) > most else rows


def _seconds(eeg_CT: np.ndarray, sfreq: float, first: int) -> np.ndarray:
    """A hash of each lively second, counted from the piece's own first sample."""
    length = max(1, round(sfreq))
    n = eeg_CT.shape[1] // length
    found = np.zeros(n, ENTRY)
    keep = np.zeros(n, bool)
    for k in range(n):
        second_CT = np.ascontiguousarray(eeg_CT[:, k * length : (k + 1) * length])
        moves_C = np.count_nonzero(second_CT[:, 1:] != second_CT[:, :-1], axis=1) >= length // 8
        alike = len(second_CT) > 1 and (second_CT == second_CT[0]).all()
        keep[k] = 2 * moves_C.sum() >= max(1, len(moves_C)) and not alike
        if keep[k]:
            digest = hashlib.sha256(second_CT.tobytes()).digest()[:8]
            found[k] = int.from_bytes(digest, "little"), 0, round(first / sfreq) + k
    return found[keep]


def _anchors(x_T: np.ndarray, sfreq: float, channel: int, first: int) -> np.ndarray:
    """A hash of each run of ``IN_A_ROW`` distances between maxima of a quarter of a second around."""
    smooth, around = max(1, round(sfreq / 16)), max(1, round(sfreq / 4))
    # Whole numbers, so that a constant stretch stays constant in the running sum.
    total = np.cumsum(np.concatenate([[0], np.rint(x_T.astype(float) * 1e8).astype(np.int64)]))
    y = total[smooth:] - total[:-smooth]
    if len(y) < 2 * around + 1:
        return np.zeros(0, ENTRY)
    highest = ndimage.maximum_filter1d(y, 2 * around + 1)
    top = np.flatnonzero((y[1:] == highest[1:]) & (y[1:] > y[:-1])) + 1
    top = top[(top >= around) & (top < len(y) - around)]
    steps = np.diff(top)
    if len(steps) < IN_A_ROW:
        return np.zeros(0, ENTRY)
    rows = np.lib.stride_tricks.sliding_window_view(steps, IN_A_ROW)
    near = rows.max(axis=1) <= LONGEST_S * sfreq
    hashed = np.full(len(rows), channel + 1, np.uint64)
    for column in rows.T.astype(np.uint64):
        hashed = _mixed(hashed ^ column)
    keep = near & (hashed % np.uint64(KEPT) == 0)
    found = np.zeros(int(keep.sum()), ENTRY)
    found["hash"], found["at"] = hashed[keep], first + top[: len(rows)][keep]
    return found


def _mixed(x: np.ndarray) -> np.ndarray:
    """Steele et al.'s finaliser of splitmix64 (2014, OOPSLA), so that near numbers have far hashes."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def write_copies(folder: Path) -> None:
    """Find the copies among a store's recordings, whose fingerprints stand in ``folder``."""
    seconds, anchors = (np.fromfile(folder / name, ENTRY) for name in FILES)
    find_copies(seconds, anchors).to_parquet(folder / COPIES)


def find_copies(seconds: np.ndarray, anchors: np.ndarray) -> pd.DataFrame:
    """Pairs of recordings that share signal.

    Args:
        seconds, anchors: of all recordings, dtype ``ENTRY``.

    Returns:
        recording and other (numbers, in this order), equal (``seconds`` or ``anchors``), n (how many, at one
        distance in time), share (of the shorter one's) and whole: true where the two are one signal; else
        they share a stretch of it.
    """
    rows = []
    for equal, entries in (("seconds", seconds), ("anchors", anchors)):
        numbers, counts = np.unique(entries["recording"], return_counts=True)
        size = dict(zip(numbers.tolist(), counts.tolist(), strict=True))
        for a, b, n in _shared(entries):
            shorter = min(size[a], size[b])
            least = min(SAME_S, shorter) if equal == "seconds" else LIKE
            if n >= least:
                whole = n >= SHARE * shorter
                rows.append((a, b, equal, n, n / shorter, whole))
    table = pd.DataFrame(rows, columns=["recording", "other", "equal", "n", "share", "whole"])
    table = table.astype({"recording": int, "other": int, "n": int, "share": float, "whole": bool})
    return table.drop_duplicates(["recording", "other"]).reset_index(drop=True)


def _shared(entries: np.ndarray) -> list[tuple[int, int, int]]:
    """Two recordings, and how many distinct hashes they share at their best distance in time.

    Places of one hash are compared with their neighbours in the order of recordings, so that the work is one
    sort; copies of copies are joined by whoever asks.
    """
    order = np.lexsort((entries["at"], entries["recording"], entries["hash"]))
    entries = entries[order]
    if not len(entries):
        return []
    new = np.flatnonzero(np.r_[True, entries["hash"][1:] != entries["hash"][:-1]])
    length = np.diff(np.r_[new, len(entries)])
    common = np.repeat(length > MOST_IN_ONE, length)
    one, two = entries[:-1], entries[1:]
    pair = (one["hash"] == two["hash"]) & (one["recording"] != two["recording"]) & ~common[1:]
    one, two = one[pair], two[pair]
    table = pd.DataFrame(
        {
            "a": one["recording"],
            "b": two["recording"],
            "lag": two["at"].astype(np.int64) - one["at"],
            "hash": one["hash"],
        }
    ).drop_duplicates()
    counts = table.groupby(["a", "b", "lag"]).size().groupby(["a", "b"]).max()
    return [(int(a), int(b), int(n)) for (a, b), n in counts.items()]


def read_copies(store: Path) -> pd.DataFrame | None:
    """A store's table of :func:`find_copies`; None where it was prepared before there was one."""
    path = store / COPIES
    return read_parquet(path) if path.is_file() else None


def how_alike(pair: pd.Series) -> str:
    """What a row of :func:`find_copies` says, in words."""
    if pair["equal"] == "seconds":
        return f"{pair['n']} s are equal"
    return f"{100 * pair['share']:.0f} % of its marks, whatever gain and start"


def told(copies: pd.DataFrame | None, names: pd.Series, store: Path) -> list[str]:
    """Lines of the data report: which recordings share signal, or that nobody has looked.

    Args:
        names: of the recordings, by number.
    """
    if copies is None:
        return [
            f"  {store}: prepared before signals were compared; a recording under two names is not found. "
            "Delete the folder to have it prepared anew."
        ]
    lines = []
    for whole, words in ((True, "hold the same signal"), (False, "share a stretch of signal")):
        pairs = copies[copies["whole"] == whole]
        if len(pairs):
            first = pairs.iloc[0]
            both = f"{names[first['recording']]} and {names[first['other']]}"
            lines.append(
                f"  {len(pairs)} pairs of recordings {words}, the first: {both} ({how_alike(first)})"
            )
    return lines


def families(copies: pd.DataFrame) -> list[list[int]]:
    """Recordings that are one signal, directly or by way of others; numbers, sorted."""
    family: dict[int, list[int]] = {}
    for row in copies[copies["whole"]].itertuples():
        ours, theirs = (family.setdefault(k, [k]) for k in (row.recording, row.other))
        if ours is not theirs:
            ours += theirs
            family.update(dict.fromkeys(theirs, ours))
    return [sorted(f) for f in {id(f): f for f in family.values()}.values()]
