"""A corpus as the models see it: store, window index, folds, and the rows of each part."""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from distilclip_eeg.config.compose import load
from distilclip_eeg.config.data import (
    DataSettings,
    Places,
    SignalConfig,
    SplitConfig,
    SplitName,
    View,
    WindowConfig,
)
from distilclip_eeg.config.experiment import RunSettings, TrainSettings
from distilclip_eeg.config.words import spoken_by
from distilclip_eeg.files.digests import digests, sign, write_atomic
from distilclip_eeg.files.reading import read_parquet
from distilclip_eeg.progress import track
from distilclip_eeg.runs import Run
from distilclip_eeg.schema import ConfigError, DataError, short
from distilclip_eeg.signals import audit, splits
from distilclip_eeg.signals.content import read_copies
from distilclip_eeg.signals.data_report import data_report
from distilclip_eeg.signals.store import Store, prepare
from distilclip_eeg.signals.windows import around, balanced, coin_labels, cut, without
from distilclip_eeg.text.measures import VERSION as MEASURES_VERSION
from distilclip_eeg.text.measures import measure
from distilclip_eeg.text.metadata import FACTS
from distilclip_eeg.training import processes
from distilclip_eeg.training.loaders import WindowSource

CHUNK = 512
"""Windows that are measured at a time; fewer where each is seen with its surroundings."""


@dataclass
class Data:
    """A corpus as the models see it."""

    store: Store
    windows: pd.DataFrame
    """The index with recording_name, subject and a ``fold<k>`` column a fold."""
    view: View
    """Samples of a window and of its context."""
    signals: SignalConfig
    cut: WindowConfig
    split: SplitConfig
    """With the name and the number of folds that the data gave."""
    seed: int
    audit: dict[str, float | None]
    leak_note: str
    """The audit in words, as every table carries it."""
    device: str = "auto"
    """Where batches are gathered (``StoreConfig.device``)."""
    _measures: dict[float | None, pd.DataFrame] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """Samples of a window, its context left out."""
        return self.view.length

    def rows(self, fold: int, part: str) -> np.ndarray:
        """Rows of the window index that stand in a part of a fold."""
        return np.flatnonzero(self.windows[f"fold{fold}"] == part)

    def source(self, fit_rows: np.ndarray) -> WindowSource:
        """Windows normalised as configured; ``fit_rows`` are training rows."""
        return WindowSource(self.store, self.windows, self.view, self.signals.normalize, fit_rows)

    def arrays(self, rows: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Windows as scikit-learn takes them: ``X, y, groups``.

        ``normalize=train`` takes mean and SD from these rows.

        Args:
            rows: of the window index; None: all, which takes 66 MB an hour at 18 channels and 256 Hz.

        Returns:
            EEG (N, C, T), float32, normalised as configured; class names (N,); persons (N,).
        """
        rows = np.arange(len(self.windows)) if rows is None else np.asarray(rows)
        source, chosen = self.source(rows), self.windows.iloc[rows]
        eeg_NCT = np.empty((len(rows), len(self.store.ch_names), self.view.total), np.float32)
        for start in range(0, len(rows), CHUNK):
            part = slice(start, start + CHUNK)
            eeg_NCT[part] = source.batch(rows[part]).eeg_BCT.numpy()
        return eeg_NCT, np.array(self.store.classes)[chosen["label"]], chosen["subject"].to_numpy(str)

    def measures(self, context_s: float | None = None) -> pd.DataFrame:
        """What the descriptions are made of, for every window: from its own microvolts, no label in reach.

        Kept in the store beside the signal, so that no later command measures the same windows again.

        Args:
            context_s: measure this many seconds around each window instead (``TextConfig.context_s``).
        """
        if context_s not in self._measures:
            path = self.measures_path(context_s)
            with processes.first_before_others():
                if path.exists():
                    self._measures[context_s] = read_parquet(path)
                    with suppress(DataError):
                        if path.name not in digests(path.parent):  # a start ended before it was written
                            sign(path.parent, [path.name])
                else:
                    self._measures[context_s] = table = self._measure(*self._stretches(context_s))
                    with suppress(DataError):  # a store that belongs to others may be read-only
                        write_atomic(path, table.to_parquet())
                        sign(path.parent, [path.name])
        return self._measures[context_s]

    def measures_path(self, context_s: float | None = None) -> Path:
        """Where the measures are kept, or will be."""
        start_N, length_N = self._stretches(context_s)
        version = str(MEASURES_VERSION).encode()  # what was kept by an earlier way is not used
        key = hashlib.sha256(version + start_N.tobytes() + length_N.tobytes()).hexdigest()[:16]
        return self.store.path / f"measures-{key}.parquet"

    def _stretches(self, context_s: float | None) -> tuple[np.ndarray, np.ndarray]:
        """First sample and length of what is measured for each window."""
        first = self.windows["first"].to_numpy()
        length = self.length if context_s is None else round(context_s * self.store.sfreq)
        # Pieces as recorded: where time was excluded is known from annotations.
        return around(first, self.length, length, self.store.pieces)

    def _measure(self, start_N: np.ndarray, length_N: np.ndarray) -> pd.DataFrame:
        """A row a stretch, in their order."""
        stretches, parts = self.windows.assign(first=start_N), []
        for n in np.unique(length_N):
            source = WindowSource(self.store, stretches, View(int(n)), "recording")
            rows = np.flatnonzero(length_N == n)
            size = max(1, CHUNK * self.length // n)
            parts += [(source, rows[i : i + size]) for i in range(0, len(rows), size)]
        tables = [
            measure(source.microvolts(rows), self.store.sfreq, self.store.ch_names).set_index(rows)
            for source, rows in track(parts, len(parts), "describing windows")
        ]
        return pd.concat(tables).sort_index()

    def metadata(self) -> pd.DataFrame:
        """Allow-listed facts of each window's recording (``text.metadata.FACTS``), empty where unknown."""
        used = self.store.recordings[self.store.recordings["skipped"] == ""].set_index("number")
        known = used["metadata"].map(json.loads)
        facts = {fact: known.map(lambda facts, fact=fact: facts.get(fact, "")) for fact in FACTS}
        return pd.DataFrame(facts).loc[self.windows["recording"]].reset_index(drop=True)

    def sizes(self) -> dict:
        """The four sizes every model takes from the data."""
        return {
            "n_chans": len(self.store.ch_names),
            "n_times": self.view.total,
            "sfreq": self.store.sfreq,
            "n_outputs": len(self.store.classes),
        }


def load_data(settings: DataSettings) -> Data:
    """Store, window index and folds of a corpus.

    Raises:
        ConfigError: the protocol is not possible where windows have no name.
        DataError: see ``signals.store.prepare``, ``splits.make_folds`` and ``audit.check_audit``.
    """
    if settings.split.name == "table":
        splits.table_of(settings.split)  # told before any recording is read
    corpus = settings.dataset.corpus.build("corpus")
    root = Path(settings.store.root)
    with processes.first_before_others():
        store = prepare(corpus, settings.signals, root, n_jobs=settings.n_jobs, progress=track)
    return arrange(store, settings)


def load_corpus(
    name: str = "synthetic", root: str | Path | None = None, settings: Mapping[str, Any] | None = None
) -> Data:
    """A corpus by its name in ``configs/dataset``, filtered, cut into windows and dealt into folds.

    The filtered signal is kept in a store, by default in the folder ``store``, and found there again. The
    default corpus is invented and is written where it is not there yet.

    Args:
        root: where its files lie; None: as ``dataset.root`` has it.
        settings: further settings as ``train.py`` knows them, by their dotted keys: ``{"split": "subject",
            "store.root": "STORE", "windows.length_s": 2.0}``.

    Returns:
        ``.arrays()`` gives windows, labels and persons as scikit-learn takes them, ``.windows`` is their
        table, ``.leak_note`` says what the folds let through.

    Raises:
        ConfigError: a wrong setting.
        DataError: as :func:`load_data`.
    """
    said = {"dataset": name, **({} if root is None else {"dataset.root": root}), **(settings or {})}
    return load_data(load(TrainSettings, spoken_by(said)).data)


def arrange(store: Store, settings: DataSettings) -> Data:
    """Window index and folds of a store, audited.

    Raises:
        ConfigError, DataError: as :func:`load_data`.
    """
    cut, split = settings.windows, settings.split
    windows = index_windows(store, cut)
    check_classes(store, windows)
    if split.name == "auto":
        split = replace(split, name=auto_split(store, windows))
    if split.name != "window" and not store.manifest["identified"]:
        raise ConfigError(
            f"split={split.name}: the windows of {store.manifest['corpus']} carry neither recording nor "
            "subject. Use split=window, or the recordings themselves."
        )
    placebo = cut.labels == "coin"
    windows = coin_labels(windows, settings.seed) if placebo else windows
    view = View.of(cut, store.sfreq)
    # What two windows share is counted over all that a network sees of them.
    seen_s = view.total / store.sfreq
    folds = splits.make_folds(windows, split, settings.seed, seen_s)
    split = replace(split, n_folds=len(audit.fold_columns(folds)))  # a split's own number
    shares = audit.audit(folds, seen_s) if store.manifest["identified"] else audit.UNKNOWN
    audit.check_audit(shares, split.name)
    copies = audit.check_copies(folds, read_copies(store.path), split.name)
    note = ("placebo labels, a coin per subject; " if placebo else "") + audit.audit_line(split.name, shares)
    note += copies
    return Data(
        store, folds, view, settings.signals, cut, split, settings.seed, shares, note, settings.store.device
    )


def reopen(run: Run, places: Places) -> tuple[RunSettings, Data]:
    """The settings of a run and the data it was made from.

    Args:
        places: where data and store are now, if not where the run had them.

    Raises:
        ConfigError: ``place_not_said``, see :func:`check_places`.
        DataError: ``folds_differ`` where the data that are there now give other folds.
    """
    check_places(run, places)
    settings = run.settings.at(places)
    data = load_data(settings.data)
    if splits.folds_hash(data.windows) != run.data["folds_sha256"]:
        raise DataError(
            f"run={run.path}: its folds are not those of the data that are there now. Give the data it was "
            "trained on, dataset.root=FOLDER.",
            reason="folds_differ",
        )
    return settings, data


def check_places(run: Run, places: Places) -> None:
    """Refuse to write where only a run's own config says, since that may be anybody's.

    A store or an invented corpus is made where the command line says, below the working folder, or beside
    others that are there already.

    Raises:
        ConfigError: ``place_not_said``.
    """
    settings = run.settings
    asked = {"store.root": (settings.store.root, places.store, "*/manifest.json")}
    if settings.dataset.corpus.target.rpartition(".")[2].lower() == "synthetic":
        asked["dataset.root"] = (settings.dataset.root, places.dataset, "*/manifest.json")
        root = settings.dataset.corpus.get("root", settings.dataset.root)
        asked["dataset.corpus.root"] = (str(root), places.dataset, "*/manifest.json")
    for key, (named, said, there) in asked.items():
        root, here = Path(named).resolve(), Path.cwd()
        if said is None and not root.is_relative_to(here) and not any(root.glob(there)):
            raise ConfigError(
                f"run={run.path}: its config names {key}={named}, where nothing of ours is. Say "
                f"{key.replace('corpus.', '')}=FOLDER to make it anew there.",
                reason="place_not_said",
            )


def index_windows(store: Store, config: WindowConfig) -> pd.DataFrame:
    """The window index of a store, with recording_name, subject and official part of each window."""
    pieces = without(store.pieces, store.excluded, store.sfreq)
    windows = cut(pieces, store.events, store.classes, store.sfreq, config)
    used = store.recordings[store.recordings["skipped"] == ""].set_index("number")
    row = used.index.get_indexer(windows["recording"])
    for column, source in (("recording_name", "recording"), ("subject", "subject"), ("part", "part")):
        windows[column] = used[source].array.take(row)
    return windows


def check_classes(store: Store, windows: pd.DataFrame) -> None:
    """Refuse a corpus of which one class is left: there is nothing to tell apart.

    Raises:
        DataError: ``one_class``: says what is left, and how many recordings were lost to what.
    """
    left = [store.classes[k] for k in windows["label"].unique()]
    if len(left) > 1:
        return
    table = store.recordings
    lost = table[table["skipped"] != ""]
    counts = ", ".join(f"{n} {reason}" for reason, n in lost["skipped"].value_counts().items())
    why = (
        f"{len(lost)} recordings were left out ({counts}), the first: {short(lost['detail'].iloc[0])}"
        if len(lost)
        else "none was left out, so look at the annotations"
    )
    found = f"all {len(windows):,} windows are {left[0]}" if left else "no recording holds a window"
    raise DataError(
        f"{store.manifest['corpus']}: {found} in {len(table) - len(lost)} of {len(table)} recordings; "
        f"expected two classes or more. {why}",
        reason="one_class",
    )


def auto_split(store: Store, windows: pd.DataFrame) -> SplitName:
    """``split=auto``: the strictest protocol that the corpus allows."""
    if not store.manifest["identified"]:
        return "window"
    return "subject" if windows["subject"].nunique() >= 5 else "recording"


def describe_data(data: Data) -> str:
    """The data report, with windows by class."""
    counts = data.windows["label"].value_counts().sort_index()
    names = ", ".join(f"{data.store.classes[k]} {n:,}" for k, n in counts.items())
    return f"{data_report(data.store)}\n  windows of {data.cut.length_s:g} s: {names}"


def train_rows(data: Data, fold: int, part: str = "train") -> np.ndarray:
    """Training rows of a fold, balanced where configured; a pure function of the seed."""
    rows = data.rows(fold, part)
    if data.cut.balance_train:
        rng = np.random.default_rng([data.seed, fold])
        rows = rows[balanced(data.windows["label"].to_numpy()[rows], rng)]
    return rows


def learned_rows(data: Data, fold: int, most: int | None) -> np.ndarray:
    """The training rows that are trained on: ``most`` of them, drawn by the seed, or None: all.

    A smaller draw is part of a larger one. What is fitted beside the network (normalisation, descriptions)
    rests on all training rows.
    """
    rows = train_rows(data, fold)
    if most is None or len(rows) <= most:
        return rows
    return np.sort(np.random.default_rng([data.seed, fold, 2]).permutation(rows)[:most])


def test_rows(data: Data, fold: int) -> np.ndarray:
    """Test rows of a fold, balanced only where configured."""
    rows = data.rows(fold, "test")
    if data.cut.balance_test:
        rng = np.random.default_rng([data.seed, fold, 1])
        rows = rows[balanced(data.windows["label"].to_numpy()[rows], rng)]
    return rows
