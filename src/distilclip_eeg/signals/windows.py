"""Cut continuous signal into windows: a table of starts and labels, never copies of the signal."""

import numpy as np
import pandas as pd

from distilclip_eeg.config.data import WindowConfig


def cut_piece(n: int, length: int, hop: int, seizure_hop: int, events: np.ndarray) -> np.ndarray:
    """Starts of the windows in one piece of ``n`` samples, walking from its beginning.

    The walk steps by ``hop`` over background and by ``seizure_hop`` from every window that touches a
    seizure. ``events``: (E, 2) onsets and offsets in samples of this piece, sorted, not overlapping;
    parts outside the piece do no harm.

    Args:
        n: samples of the piece.
        length: of a window, in samples.

    Returns:
        (N,) int64, ascending; every window lies inside the piece.
    """
    starts, at = [], 0
    for onset, offset in events:
        if offset <= at:
            continue
        clear = int(np.floor((onset - length - at) / hop)) + 1  # windows that end before the onset
        if clear > 0:
            starts.append(at + hop * np.arange(clear))
            at += hop * clear
        touching = max(0, int(np.ceil((offset - at) / seizure_hop)))
        starts.append(at + seizure_hop * np.arange(touching))
        at += seizure_hop * touching
    starts.append(np.arange(at, n - length + 1, hop))
    found = np.concatenate(starts).astype(np.int64)
    return found[(found >= 0) & (found + length <= n)]


def overlaps(starts: np.ndarray, length: int, events: np.ndarray) -> np.ndarray:
    """Shared samples of every window with every event, shape (N, E).

    Args:
        starts: (N,), in samples.
        events: (E, 2) onsets and offsets, in samples.
    """
    first = np.maximum(starts[:, None], events[None, :, 0])
    last = np.minimum(starts[:, None] + length, events[None, :, 1])
    return np.maximum(last - first, 0.0)


def without(pieces: pd.DataFrame, excluded: pd.DataFrame, sfreq: float) -> pd.DataFrame:
    """Pieces less the excluded stretches: each is cut there, so that no window holds any of it.

    Args:
        pieces: recording (number), start_s, first (row of the store), n_samples.
        excluded: recording (number), onset_s, offset_s; seconds on the recording's time axis.
    """
    if not len(excluded):
        return pieces
    rows = []
    by_recording = dict(list(excluded.groupby("recording")))
    for piece in pieces.itertuples():
        at, end = 0, piece.n_samples
        spans = by_recording.get(piece.recording, excluded[:0])[["onset_s", "offset_s"]].to_numpy(float)
        for onset, offset in np.round((np.sort(spans, axis=0) - piece.start_s) * sfreq, 6):
            first, last = max(int(np.floor(onset)), at), min(int(np.ceil(offset)), end)
            if last > first:
                rows.append((piece.recording, piece.start_s + at / sfreq, piece.first + at, first - at))
                at = last
        rows.append((piece.recording, piece.start_s + at / sfreq, piece.first + at, end - at))
    return pd.DataFrame([row for row in rows if row[3] > 0], columns=list(pieces.columns))


def cut(
    pieces: pd.DataFrame, events: pd.DataFrame, classes: tuple[str, ...], sfreq: float, config: WindowConfig
) -> pd.DataFrame:
    """The window index of a corpus.

    A window that touches any part of a seizure is ictal (paper, Sec. IV-A); where several touch it,
    the one it shares most with names its class. No window leaves its piece, so none spans a gap.

    Args:
        pieces: recording (number), start_s, first (row of the store), n_samples.
        events: recording (number), onset_s, offset_s, label; seconds on the recording's time axis.

    Returns:
        One row a window, in time order within a recording: window_id (position), recording, start_s,
        first (row of the store), label (class index), event (row of ``events``, -1 for background).
    """
    length = round(config.length_s * sfreq)
    hop = max(1, round(length * (1 - config.background_overlap)))
    seizure_hop = max(1, round(length * (1 - config.seizure_overlap)))
    class_index = np.array([classes.index(name) for name in events["label"]], dtype=np.int64)
    by_recording = dict(list(events.groupby("recording").indices.items()))
    times_E2 = events[["onset_s", "offset_s"]].to_numpy(float)
    columns: dict[str, list[np.ndarray]] = {
        k: [] for k in ("recording", "start_s", "first", "label", "event")
    }
    for piece in pieces.itertuples():
        rows = np.asarray(by_recording.get(piece.recording, ()), dtype=np.int64)
        end_s = piece.start_s + piece.n_samples / sfreq
        rows = rows[(times_E2[rows, 1] > piece.start_s) & (times_E2[rows, 0] < end_s)]
        span = np.round((times_E2[rows] - piece.start_s) * sfreq, 6)
        starts = cut_piece(piece.n_samples, length, hop, seizure_hop, span)
        shared = overlaps(starts, length, span) if len(span) else np.zeros((len(starts), 1))
        best = shared.argmax(axis=1)
        ictal = shared.max(axis=1) > 0
        event = np.where(ictal, rows[best] if len(rows) else -1, -1)
        columns["recording"].append(np.full(len(starts), piece.recording, dtype=np.int64))
        columns["start_s"].append(piece.start_s + starts / sfreq)
        columns["first"].append(piece.first + starts)
        columns["event"].append(event)
        columns["label"].append(np.where(ictal, class_index[event] if len(class_index) else 0, 0))
    table = pd.DataFrame({k: np.concatenate(v) if v else np.zeros(0) for k, v in columns.items()})
    table.insert(0, "window_id", np.arange(len(table)))
    return table


def piece_of(first_N: np.ndarray, pieces: pd.DataFrame) -> np.ndarray:
    """Number of the piece that each window lies in, counted by where pieces begin in the store, (N,).

    Args:
        first_N: where each window begins, as a row of the store.
    """
    return np.searchsorted(np.sort(pieces["first"].to_numpy()), first_N, side="right") - 1


def around(
    first_N: np.ndarray, length: int, context: int, pieces: pd.DataFrame
) -> tuple[np.ndarray, np.ndarray]:
    """The stretch of ``context`` samples around each window, inside its piece: start and length, (N,).

    The window stands in its middle, but near an end of the piece the stretch is moved inward rather than
    cut, so that all are alike; a shorter piece is taken whole. No stretch spans a gap.

    Args:
        first_N: where each window of ``length`` samples begins, as a row of the store.
        context: at least ``length``.
        pieces: first (row of the store) and n_samples.

    Raises:
        ValueError: ``context`` is less than ``length``.
    """
    if context < length:
        raise ValueError(f"a context of {context} samples is shorter than a window of {length}")
    pieces, piece_N = pieces.sort_values("first"), piece_of(first_N, pieces)
    begin_N, n_N = pieces["first"].to_numpy()[piece_N], pieces["n_samples"].to_numpy()[piece_N]
    length_N = np.minimum(context, n_N)
    start_N = np.clip(first_N - (context - length) // 2, begin_N, begin_N + n_N - length_N)
    return start_N, length_N


def coin_labels(windows: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The placebo: all windows of a subject are seizure or all are background, by a coin.

    Nothing but the subject's identity can be learned from them, so what a protocol scores above chance is
    leakage. Half of the subjects are heads; events stay where they were.
    """
    subjects, code = np.unique(windows["subject"], return_inverse=True)
    heads = np.random.default_rng([seed, 2]).permutation(len(subjects)) < len(subjects) // 2
    return windows.assign(label=heads[code].astype(np.int64))


def balanced(label: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Positions of all seizure windows and of at most as many background ones, in order."""
    background = np.flatnonzero(label == 0)
    seizure = np.flatnonzero(label != 0)
    if len(background) > len(seizure) > 0:
        background = rng.choice(background, len(seizure), replace=False)
    return np.sort(np.concatenate([background, seizure]))
