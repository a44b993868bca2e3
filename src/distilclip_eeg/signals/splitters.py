"""Folds by protocol, as scikit-learn's splitters give them, each with a disjoint validation part.

    cross_validate(model, X, y, groups=windows, cv=Splitter("event"))

``window`` is the article's: windows, overlapping ones too, are shuffled. Every other protocol keeps whole
units on one side: ``event`` a seizure with the background nearest to it, ``recording``, ``subject``, and
``leave_one_subject_out``, one fold a subject. ``time`` goes forward through each subject's recordings: fold k
trains on what stands before its test part. ``official`` takes the corpus's own parts.
"""

from collections.abc import Iterator, Sized
from typing import cast

import numpy as np
import pandas as pd
from sklearn.model_selection import BaseCrossValidator, LeaveOneGroupOut, StratifiedKFold

from distilclip_eeg.config.data import small_seed
from distilclip_eeg.schema import PROTOCOLS, ConfigError, DataError, check_choice
from distilclip_eeg.signals.audit import TOLERANCE_S, distance_s

PURGED = ("event", "time")
"""Protocols that cut through recordings, so that windows may stand on both sides of a border."""
ALL = slice(None)
VAL_SHARES = (1.0, 1.5, 2.0, 3.0)
"""Multiples of the validation share that ``time`` tries until every class stands on both sides."""


def surroundings(windows: pd.DataFrame) -> np.ndarray:
    """The event each window belongs to: its own, or the nearest one of its recording; (N,) codes.

    Each code is one stretch of time. A recording without events is one by itself.

    Args:
        windows: recording, start_s and event (a number of its own, -1 for background).
    """
    table = windows[["recording", "start_s", "event"]].reset_index(drop=True)
    table = table.sort_values(["recording", "start_s"], kind="stable")
    seen = table[["event", "start_s"]].where(table["event"] >= 0)
    before, after = seen.groupby(table["recording"]).ffill(), seen.groupby(table["recording"]).bfill()
    gone, to_come = table["start_s"] - before["start_s"], after["start_s"] - table["start_s"]
    event = before["event"].where((gone <= to_come) | to_come.isna(), after["event"])
    event = event.fillna(-1 - pd.Series(pd.factorize(table["recording"])[0], index=table.index))
    return event.sort_index().to_numpy(np.int64)


def place_in_time(windows: pd.DataFrame) -> np.ndarray:
    """Where each window stands among its subject's, oldest first, in [0, 1); (N,).

    The windows of one event stand together at its middle, so that no border cuts an event.

    Args:
        windows: subject, recording, start_s and event; recordings in the order of their names or numbers.
    """
    table = windows[["subject", "recording", "start_s", "event"]].reset_index(drop=True)
    table = table.sort_values(["subject", "recording", "start_s"], kind="stable")
    subject = table.groupby("subject")["start_s"]
    place = subject.cumcount() / subject.transform("size")
    ictal = table["event"] >= 0
    place[ictal] = place[ictal].groupby(table["event"]).transform("mean")
    return place.sort_index().to_numpy()


class Splitter(BaseCrossValidator):
    """Train and test rows of every fold of one protocol.

    Args:
        protocol: one of ``schema.PROTOCOLS``.
        n_splits: folds; ``leave_one_subject_out`` and ``official`` have their own number.
        seed: of the shuffles; ``time`` and ``official`` have none.
        val_share: part of the training side that ``nested`` sets apart.
        purge_s: training windows with less than this between them and a test window of their recording are
            left out (0: those that overlap one); None: ``length_s`` for ``event`` and ``time``, else no gap.
        length_s: length of every window.

    Raises:
        ConfigError: no such protocol.
    """

    def __init__(
        self,
        protocol: str = "subject",
        n_splits: int = 5,
        *,
        seed: int = 0,
        val_share: float = 0.15,
        purge_s: float | None = None,
        length_s: float = 1.0,
    ):
        check_choice("protocol", protocol, PROTOCOLS)
        self.protocol, self.n_splits, self.seed, self.val_share = protocol, n_splits, seed, val_share
        self.purge_s, self.length_s = purge_s, length_s

    @property
    def gap_s(self) -> float | None:
        """The purge that holds, seconds; None where there is none."""
        return self.length_s if self.purge_s is None and self.protocol in PURGED else self.purge_s

    def get_n_splits(
        self, X: Sized | None = None, y: np.ndarray | None = None, groups: pd.DataFrame | None = None
    ) -> int:
        """Number of folds; ``leave_one_subject_out`` counts the subjects of ``groups``.

        Raises:
            ConfigError: ``leave_one_subject_out`` without ``groups``.
        """
        if self.protocol == "official":
            return 1
        if self.protocol != "leave_one_subject_out":
            return self.n_splits
        self._check_given(groups)
        units = self._units(groups)
        assert units is not None
        return len(pd.unique(units))

    def split(
        self, X: Sized | None = None, y: np.ndarray | None = None, groups: pd.DataFrame | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Rows of the training side, validation included, and of the test side, once a fold.

        Args:
            y: class of each window, for folds of like shares; None: folds of like sizes.
            groups: the window table, with the columns that the protocol asks of recording, subject, start_s,
                event (-1 for background) and part; ``window`` without a purge needs none, and for whole
                recordings or subjects their names alone will do.

        Raises:
            ConfigError: no ``groups`` where the protocol needs them.
            DataError: ``too_few`` units for the folds, or ``empty_part``.
        """
        self._check_given(groups)
        n = next(len(v) for v in (groups, y, X) if v is not None)
        y = np.zeros(n, dtype=int) if y is None else np.asarray(y)
        for fold, (train, test) in enumerate(self._outer(y, groups)):
            train = self._purged(groups, train, test)
            for part, rows in (("test", test), ("train", train)):
                if not len(rows):
                    raise empty_part(self.protocol, fold, part)
            yield train, test

    def nested(self, y: np.ndarray, windows: pd.DataFrame) -> Iterator[tuple]:
        """The same with the training side cut in two: rows of train, of val and of test, once a fold.

        Validation is cut as the protocol cuts: by the same units, and the latest part under ``time``; the
        purge keeps training windows off it as it keeps both off the test windows.

        Args:
            y: class index of each window, (N,).
            windows: as ``groups`` of :meth:`split`.

        Raises:
            DataError: as :meth:`split`; also where nothing is left to choose the epoch on.
        """
        for fold, (train, test) in enumerate(self.split(None, y, windows)):
            val = self._validation(train, y, windows, self.seed + 1000 + fold)
            left = np.zeros(len(y), bool)
            left[train] = True
            left[val] = False
            yield self._purged(windows, np.flatnonzero(left), val), val, test

    def _outer(self, y: np.ndarray, windows: pd.DataFrame | None) -> Iterator[tuple]:
        if self.protocol == "official":
            assert windows is not None
            part = windows["part"].to_numpy()
            return iter([(np.flatnonzero(np.isin(part, ("train", "val"))), np.flatnonzero(part == "test"))])
        if self.protocol == "time":
            block = np.floor(place_in_time(windows) * (self.n_splits + 1))
            cuts = range(1, self.n_splits + 1)
            return ((np.flatnonzero(block < k), np.flatnonzero(block == k)) for k in cuts)
        units = self._units(windows)
        self._check_enough(units)
        if self.protocol == "leave_one_subject_out":
            return LeaveOneGroupOut().split(y, y, units)
        return k_folds(y, units, self.n_splits, self.seed)

    def _units(self, windows: pd.DataFrame | None, rows: np.ndarray | slice = ALL) -> np.ndarray | None:
        """What stands on one side as a whole, (N,) codes in the order of the names; None: the window."""
        if self.protocol == "window":
            return None
        if self.protocol == "event":
            return surroundings(cast(pd.DataFrame, windows)[["recording", "start_s", "event"]].iloc[rows])
        units = windows[self._unit] if isinstance(windows, pd.DataFrame) else pd.Series(windows)
        return pd.factorize(units.iloc[rows], sort=True)[0]

    @property
    def _unit(self) -> str:
        """The word for what stands on one side."""
        return "subject" if self.protocol == "leave_one_subject_out" else self.protocol

    def _check_given(self, groups: pd.DataFrame | None) -> None:
        if groups is None and (self.protocol != "window" or self.gap_s is not None):
            raise ConfigError(f"split={self.protocol}: no groups. Give the window table, groups=windows.")

    def _check_enough(self, units: np.ndarray | None) -> None:
        if units is None:
            return
        found = pd.unique(units)
        found = found[found >= 0] if self.protocol == "event" else found  # seizures, not quiet recordings
        problem = ""
        if self.protocol == "leave_one_subject_out" and len(found) < 3:
            problem = "expected at least 3, to train, to choose the epoch and to test"
        elif self.protocol != "leave_one_subject_out" and len(found) < self.n_splits:
            problem = f"which cannot fill split.n_folds={self.n_splits} folds. Lower split.n_folds"
        if problem:
            raise DataError(
                f"split={self.protocol}: {len(found)} {self._unit}s, {problem}; or choose another split.",
                reason="too_few",
            )

    def _purged(self, windows: pd.DataFrame | None, rows: np.ndarray, others: np.ndarray) -> np.ndarray:
        """``rows`` without those nearer to any of ``others`` than the purge allows."""
        if self.gap_s is None:
            return rows
        needed = self.length_s + self.gap_s - TOLERANCE_S
        return rows[distance_s(windows, rows, others) >= needed]

    def _validation(self, train: np.ndarray, y: np.ndarray, windows: pd.DataFrame, seed: int) -> np.ndarray:
        """The validation rows of a training side.

        Of the cuts tried, the first that leaves every class on both sides; where none does, the one that
        leaves most.
        """
        if self.protocol == "official":
            return train[windows["part"].to_numpy()[train] == "val"]
        n_classes = len(pd.unique(y[train]))
        chosen, most = None, (0, 0)
        for rest, val in self._inner(train, y[train], windows, seed):
            covers = len(pd.unique(y[train[rest]])), len(pd.unique(y[train[val]]))
            if covers > most:
                chosen, most = val, covers
            if most == (n_classes, n_classes):
                break
        return train[chosen]

    def _inner(self, train: np.ndarray, y: np.ndarray, windows: pd.DataFrame, seed: int) -> Iterator[tuple]:
        """Cuts of a training side in two, the preferred first: inner folds, then fewer and larger ones."""
        if self.protocol == "time":
            place = place_in_time(windows.iloc[train])
            for share in np.minimum(self.val_share * np.array(VAL_SHARES), 0.5):
                yield np.flatnonzero(place < 1 - share), np.flatnonzero(place >= 1 - share)
            return
        units = self._units(windows, train)
        n = max(2, round(1 / self.val_share))
        n = n if units is None else min(n, len(pd.unique(units)))
        if n < 2:
            raise DataError(
                "A fold's training side is one group, so nothing is left to choose the epoch on. Use more "
                "recordings or subjects, another split.n_folds, or another split."
            )
        for k in range(n, 1, -1):
            yield from k_folds(y, units, k, seed)


def empty_part(split: str, fold: int, part: str) -> DataError:
    """The error for a fold without any window of a part; the caller raises it."""
    return DataError(
        f"split={split}: fold {fold} has no {part} windows. Use more recordings, fewer split.n_folds, a "
        "shorter split.purge_s, or another split.",
        reason="empty_part",
    )


def k_folds(y: np.ndarray, units: np.ndarray | None, n: int, seed: int) -> Iterator[tuple]:
    """Rows of training and test side of ``n`` shuffled folds with like shares of the classes.

    Args:
        y: class index of each window, (N,).
        units: what each window belongs to, (N,), kept on one side as a whole; None: windows are free.
    """
    if units is None:
        return StratifiedKFold(n, shuffle=True, random_state=small_seed(seed)).split(y, y)
    unit_N = pd.factorize(units, sort=True)[0]
    fold_N = fold_of_units(class_counts(y, unit_N), n, small_seed(seed))[unit_N]
    return ((np.flatnonzero(fold_N != k), np.flatnonzero(fold_N == k)) for k in range(n))


def class_counts(y: np.ndarray, unit_N: np.ndarray) -> np.ndarray:
    """How many windows of each class each unit has, (U, K), of the classes that occur."""
    class_N, classes = pd.factorize(y, sort=True)
    shape = unit_N.max() + 1, len(classes)
    return np.bincount(unit_N * shape[1] + class_N, minlength=shape[0] * shape[1]).reshape(shape)


def fold_of_units(counts_UK: np.ndarray, n: int, seed: int) -> np.ndarray:
    """The fold that each unit is tested in, (U,): what scikit-learn's ``StratifiedGroupKFold`` gives.

    Shuffled, then the units whose classes are least alike first, each to the fold that leaves the classes'
    shares most even, or to the smaller one. Theirs goes through all windows in Python, once a fold; of a unit
    no more than its counts is needed.
    """
    order = np.arange(len(counts_UK))
    np.random.RandomState(seed).shuffle(order)
    counts_UK = counts_UK[order].astype(float)
    total_K = counts_UK.sum(0)
    of_fold, fold_U = np.zeros((n, counts_UK.shape[1])), np.empty(len(order), np.int64)
    for unit in np.argsort(-np.std(counts_UK, axis=1), kind="stable"):
        tried = np.repeat(of_fold[None], n, axis=0)
        tried[range(n), range(n)] += counts_UK[unit]
        uneven = np.std(tried / total_K, axis=1).mean(axis=1)
        best, least, size = 0, np.inf, np.inf
        for k, (value, held) in enumerate(zip(uneven, of_fold.sum(1), strict=True)):
            if value < least or (np.isclose(value, least) and held < size):
                best, least, size = k, value, held
        of_fold[best] += counts_UK[unit]
        fold_U[order[unit]] = best
    return fold_U
