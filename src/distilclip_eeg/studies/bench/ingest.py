"""G1 to G4: from a file to batches, beside mne, scipy and torch's DataLoader."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import mne
import numpy as np
import torch
from scipy import fft, signal
from torch.utils.data import DataLoader, TensorDataset

from distilclip_eeg.config.compose import load
from distilclip_eeg.config.data import SignalConfig
from distilclip_eeg.config.experiment import RunSettings, TrainSettings
from distilclip_eeg.corpora.edf.header import read_header
from distilclip_eeg.corpora.edf.montage import STANDARD_19
from distilclip_eeg.corpora.edf.reader import read_eeg, read_pieces
from distilclip_eeg.corpora.invented.layouts.edf import edf_bytes, signal_of
from distilclip_eeg.schema import Piece, Recording, RecordingRef
from distilclip_eeg.signals.preprocess import preprocess
from distilclip_eeg.signals.store import prepare
from distilclip_eeg.studies.bench.contest import Contest, Ratio
from distilclip_eeg.training.data import Data, load_data

FILES, SEED, BATCHES, COPIES = 4, 0, 100, 20
HEADER_BYTES = 256 * (len(STANDARD_19) + 1)


def write_noise(path: Path, minutes: int, sfreq: int) -> Path:
    """An EDF of noise on the 19 usual electrodes."""
    rng = np.random.default_rng([SEED, *path.stem.encode()])
    uv_CT = 30 * rng.standard_normal((len(STANDARD_19), 60 * minutes * sfreq), np.float32)
    signals = [signal_of(name, uv, sfreq) for name, uv in zip(STANDARD_19, uv_CT, strict=True)]
    path.write_bytes(edf_bytes(signals))
    return path


def write_corpus(folder: Path, minutes: int) -> Path:
    """Four recordings of four people at 256 Hz, each with a labelled minute; for ``dataset=folder``."""
    folder.mkdir(parents=True)
    rows = ["recording,subject,onset,duration,label"]
    for i in range(FILES):
        write_noise(folder / f"p{i}.edf", minutes, 256)
        rows.append(f"p{i},s{i},60,60,seiz")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def settings_of(corpus: Path, store: Path, *words: str) -> RunSettings:
    """Settings of a training on a corpus of ``write_corpus``."""
    places = [f"dataset.root={corpus}", f"store.root={store}"]
    found = load(TrainSettings, ["dataset=folder", "split=window", *places, "n_jobs=2", *words])
    return found.each_seed()[0]


def data_of(folder: Path, minutes: int) -> Data:
    """An invented corpus as the models see it, windows of a second."""
    corpus = folder / "corpus"
    if not corpus.exists():
        write_corpus(corpus, minutes)
    return load_data(settings_of(corpus, folder / "store").data)


def reading(folder: Path, minutes: int, rounds: int) -> Contest:
    """G1."""
    path = write_noise(folder / "fast.edf", minutes, 400)

    def own() -> object:
        header = read_header(path)
        return read_pieces(path, header, range(len(header.signals)))

    def floor() -> np.ndarray:
        return np.fromfile(path, "<i2", offset=HEADER_BYTES).astype(np.float32)

    return Contest(
        f"EDF to float32, 19 channels, 400 Hz, {minutes} min",
        {
            "own": own,
            "judged": partial(read_eeg, path, STANDARD_19),
            "mne": partial(mne.io.read_raw_edf, path, preload=True, verbose="error"),
            "floor": floor,
        },
        (
            Ratio("G1", "EDF to float32: mne preload / own", "mne", "own", ">= 2.5"),
            Ratio("G1", "EDF to float32: own / bare read and convert", "own", "floor", "<= 1.5"),
            Ratio("G1", "EDF to float32: own, checked and judged / own", "judged", "own"),
        ),
        rounds,
    )


def filtering(minutes: int, rounds: int) -> Contest:
    """G2."""
    rng = np.random.default_rng(SEED)
    fast, slow = (
        (3e-5 * rng.standard_normal((len(STANDARD_19), 60 * minutes * sfreq))).astype(np.float32)
        for sfreq in (400, 256)
    )
    config = SignalConfig()
    info = mne.create_info(list(STANDARD_19), 400, "eeg")
    quiet = {"verbose": "error"}

    def own(eeg_CT: np.ndarray, sfreq: float) -> object:
        ref = RecordingRef("a", "a", Path("a.edf"))
        return preprocess(Recording(ref, sfreq, STANDARD_19, (Piece(0.0, eeg_CT),), ()), config)

    def by_mne(**how: str) -> object:
        raw = mne.io.RawArray(fast.astype(float), info, **quiet)
        return raw.filter(config.l_freq, config.h_freq, **quiet).resample(256, **how, **quiet)

    def mne_filter() -> object:
        return mne.filter.filter_data(slow.astype(float), 256, config.l_freq, config.h_freq, **quiet)

    def by_scipy() -> None:
        sos = signal.butter(4, (config.l_freq, config.h_freq), "bandpass", fs=400, output="sos")
        for row in fast:
            signal.resample_poly(signal.sosfiltfilt(sos, row), 16, 25).astype(np.float32)

    def pair(eeg_CT: np.ndarray, up: int, down: int) -> None:
        n = fft.next_fast_len(-(-eeg_CT.shape[1] // down), real=True) * down
        for row in eeg_CT:
            fft.irfft(fft.rfft(row, n)[: n * up // down // 2 + 1], n * up // down)

    return Contest(
        f"0.1 to 70 Hz and 400 to 256 Hz, 19 channels, {minutes} min",
        {
            "own": partial(own, fast, 400.0),
            "mne": by_mne,
            "polyphase": partial(by_mne, method="polyphase"),
            "scipy": by_scipy,
            "FFT pair": partial(pair, fast, 16, 25),
            "own filter": partial(own, slow, 256.0),
            "mne filter": mne_filter,
            "FFT pair, filter": partial(pair, slow, 1, 1),
        },
        (
            Ratio("G2", "400 to 256 Hz, filtered: mne default / own", "mne", "own", ">= 20"),
            Ratio("G2", "400 to 256 Hz, filtered: mne polyphase / own", "polyphase", "own", ">= 6"),
            Ratio("G2", "400 to 256 Hz, filtered: scipy by channel / own", "scipy", "own", ">= 2.5"),
            Ratio("G2", "400 to 256 Hz, filtered: own / bare FFT pair", "own", "FFT pair", "<= 2"),
            Ratio("G2", "filter alone: mne / own", "mne filter", "own filter", ">= 2.5"),
            Ratio("G2", "filter alone: own / bare FFT pair", "own filter", "FFT pair, filter", "<= 2.7"),
        ),
        rounds,
        warm=False,
    )


def ingesting(folder: Path, minutes: int, rounds: int) -> Contest:
    """G3."""
    files = sorted(write_corpus(folder / "ingest", minutes).glob("*.edf"))
    data = settings_of(folder / "ingest", folder / "unused").data

    def own() -> None:
        with tempfile.TemporaryDirectory(dir=folder) as root:
            prepare(data.dataset.corpus.build("corpus"), data.signals, Path(root), n_jobs=2)

    def save(path: Path, root: Path) -> None:
        raw = mne.io.read_raw_edf(path, preload=True, verbose="error")
        raw.filter(data.signals.l_freq, data.signals.h_freq, verbose="error")
        raw.save(root / f"{path.stem}_raw.fif", verbose="error")

    def by_mne(threads: int) -> None:
        root = Path(tempfile.mkdtemp(dir=folder))
        with mne.use_log_level("error"), ThreadPoolExecutor(threads) as pool:  # threads share the level
            list(pool.map(partial(save, root=root), files))
        shutil.rmtree(root)

    return Contest(
        f"EDF to disk, {FILES} files of {minutes} min, 19 channels, 256 Hz, own on two threads",
        {"own": own, "mne": partial(by_mne, 1), "mne, two threads": partial(by_mne, 2)},
        (
            Ratio("G3", "EDF to store: mne read, filter, save / own", "mne", "own", ">= 4"),
            Ratio("G3", "EDF to store: mne on two threads / own", "mne, two threads", "own"),
        ),
        rounds,
        warm=False,
    )


def feeding(data: Data, rounds: int) -> Contest:
    """G4."""
    rows = np.random.default_rng(SEED).permutation(len(data.windows))
    source = data.source(rows)
    parts = [np.take(rows, range(32 * i, 32 * (i + 1)), mode="wrap") for i in range(BATCHES)]
    windows = torch.cat([source.batch(part).eeg_BCT for part in parts])  # as many as are drawn
    label = torch.from_numpy(data.windows["label"].to_numpy()[np.concatenate(parts)])
    loader = DataLoader(TensorDataset(windows, label), batch_size=32, shuffle=True)
    sizes = data.sizes()
    int16 = np.ones((BATCHES, 32, sizes["n_chans"], sizes["n_times"]), np.int16)
    there = np.empty_like(int16[0])

    def own() -> None:
        for part in parts:
            source.batch(part)

    def others() -> None:
        for _ in loader:
            pass

    def copies() -> float:
        start = time.perf_counter()
        for _ in range(COPIES):  # about as long as the others, so that a busy machine falls on all alike
            for batch in int16:
                np.copyto(there, batch)
        return (time.perf_counter() - start) / COPIES

    return Contest(
        f"{BATCHES} batches of 32 windows, {sizes['n_chans']} channels, 1 s",
        {"own": own, "DataLoader": others, "memcpy": copies},
        (
            Ratio("G4", "batch of 32: DataLoader, preloaded / own", "DataLoader", "own", ">= 2"),
            Ratio("G4", "batch of 32, float32: own / memcpy of int16", "own", "memcpy", "<= 6"),
        ),
        rounds,
    )


def contests(folder: Path, data: Data, minutes: int, rounds: int) -> Iterator[Contest]:
    """G1 to G4, each set up when it is asked for."""
    yield reading(folder, minutes, rounds)
    yield filtering(minutes, min(rounds, 3))
    yield ingesting(folder, minutes, min(rounds, 3))
    yield feeding(data, rounds)
