"""A peer that many have and few need: braindecode, where it is installed."""

import importlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import mne
import numpy as np
from torch.utils.data import DataLoader

from distilclip_eeg.signals.store import prepare
from distilclip_eeg.studies.bench.contest import Contest, Ratio
from distilclip_eeg.studies.bench.ingest import BATCHES, SEED, settings_of, write_corpus
from distilclip_eeg.training.data import Data

MISSING = "braindecode is not installed, or cannot be imported: its rows are left out."


def there() -> bool:
    """Whether braindecode can be used; its torchaudio needs a build that fits torch's."""
    try:
        importlib.import_module("braindecode.datasets")
        importlib.import_module("braindecode.preprocessing")
    except (ImportError, OSError):
        return False
    return True


def dataset_of(raws: Sequence[mne.io.BaseRaw]) -> Any:
    """Its data set of these recordings, all of one class."""
    datasets = importlib.import_module("braindecode.datasets")
    about = {"description": {"target": 0}, "target_name": "target"}
    return datasets.BaseConcatDataset([datasets.RawDataset(raw, **about) for raw in raws])


def feeding(data: Data, rounds: int) -> Contest:
    """G4: its windows, preloaded, through torch's DataLoader."""
    preprocessing = importlib.import_module("braindecode.preprocessing")
    rows = np.random.default_rng(SEED).permutation(len(data.windows))
    source, store, sizes = data.source(rows), data.store, data.sizes()
    parts = [np.take(rows, range(32 * i, 32 * (i + 1)), mode="wrap") for i in range(BATCHES)]
    info = mne.create_info(list(store.ch_names), store.sfreq, "eeg")
    raws = [
        mne.io.RawArray(store.signal_TC[p.first : p.first + p.n_samples].T * 1e-6, info, verbose="error")
        for p in store.pieces.itertuples()
    ]
    length = sizes["n_times"]
    windows = preprocessing.create_fixed_length_windows(
        dataset_of(raws),
        window_size_samples=length,
        window_stride_samples=length,
        drop_last_window=True,
        preload=True,
    )
    loader = DataLoader(windows, batch_size=32, shuffle=True)

    def own() -> None:
        for part in parts:
            source.batch(part)

    def others() -> None:
        for i, _ in enumerate(loader, 1):
            if i == BATCHES:
                break

    return Contest(
        f"{BATCHES} batches of 32 windows beside braindecode",
        {"own": own, "braindecode": others},
        (Ratio("G4", "batch of 32: braindecode, preloaded / own", "braindecode", "own", ">= 6"),),
        rounds,
    )


def ingesting(folder: Path, minutes: int, rounds: int) -> Contest:
    """G3: its filter and its saving, on two processes."""
    preprocessing = importlib.import_module("braindecode.preprocessing")
    files = sorted(write_corpus(folder / "braindecode", minutes).glob("*.edf"))
    data = settings_of(folder / "braindecode", folder / "unused").data
    l_freq, h_freq = data.signals.l_freq, data.signals.h_freq

    def own() -> None:
        with tempfile.TemporaryDirectory(dir=folder) as root:
            prepare(data.dataset.corpus.build("corpus"), data.signals, Path(root), n_jobs=2)

    def others() -> None:
        with tempfile.TemporaryDirectory(dir=folder) as root:
            raws = [mne.io.read_raw_edf(path, preload=False, verbose="error") for path in files]
            steps = [preprocessing.Preprocessor("filter", l_freq=l_freq, h_freq=h_freq, verbose="error")]
            preprocessing.preprocess(dataset_of(raws), steps, save_dir=root, overwrite=True, n_jobs=2)

    return Contest(
        f"EDF to disk beside braindecode, files of {minutes} min, two workers each",
        {"own": own, "braindecode": others},
        (Ratio("G3", "EDF to store: braindecode, saved / own", "braindecode", "own", ">= 2.5"),),
        rounds,
        warm=False,
    )


def contests(folder: Path, data: Data, minutes: int, rounds: int) -> Iterator[Contest]:
    """None where braindecode is not there."""
    if there():
        os.environ.setdefault("MNE_LOGGING_LEVEL", "ERROR")  # its processes have no other way to be told
        yield ingesting(folder, minutes, rounds)
        yield feeding(data, rounds)
