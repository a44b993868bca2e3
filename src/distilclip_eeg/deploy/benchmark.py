"""``python scripts/benchmark.py what=detect``: file to events beside the bare network, and peak memory."""

import multiprocessing
import resource
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from distilclip_eeg.artefact.recipe import Network, Recipe
from distilclip_eeg.config.commands import BenchmarkSettings
from distilclip_eeg.config.compose import load
from distilclip_eeg.config.data import SignalConfig
from distilclip_eeg.config.experiment import TrainSettings
from distilclip_eeg.corpora.edf.montage import CHBMIT_23
from distilclip_eeg.corpora.invented.layouts.edf import edf_bytes, signal_of
from distilclip_eeg.deploy.detector import Detector
from distilclip_eeg.deploy.networks import TorchNetwork
from distilclip_eeg.models.contract import build_network
from distilclip_eeg.models.frozen import frozen

SFREQ, SEED = 256, 0
RECIPE = Recipe(ch_names=CHBMIT_23, classes=("bckg", "seiz"), n_times=SFREQ, signals=SignalConfig())
"""The usual one: 23 channels, windows of a second, one each second, normalised over the recording."""


class Timed:
    """A network, and the seconds that it took so far."""

    def __init__(self, network: Network):
        self.network, self.seconds = network, 0.0

    def logits(self, eeg_BCT: np.ndarray) -> np.ndarray:
        """The network's own answer, (B, K)."""
        start = time.perf_counter()
        answer = self.network.logits(eeg_BCT)
        self.seconds += time.perf_counter() - start
        return answer


class Silent:
    """A network that costs nothing."""

    def logits(self, eeg_BCT: np.ndarray) -> np.ndarray:
        """Zeros for two classes, (B, 2)."""
        return np.zeros((len(eeg_BCT), 2), np.float32)


def write_long(path: Path, minutes: int) -> Path:
    """An EDF of 23 channels of noise: one minute, over and over."""
    noise = 30 * np.random.default_rng(SEED).standard_normal((len(CHBMIT_23), 60 * SFREQ))
    labels = [name.removesuffix("-1") for name in CHBMIT_23]  # as the corpus writes the one that stands twice
    signals = [signal_of(label, uv, SFREQ) for label, uv in zip(labels, noise, strict=True)]
    minute = edf_bytes(signals, claim=60 * minutes)
    with path.open("wb") as file:
        file.write(minute)
        for _ in range(minutes - 1):
            file.write(minute[256 * (len(labels) + 1) :])
    return path


def peak_mib() -> float:
    """The most memory that this process had at once."""
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage says on Linux counts the parent's memory at the fork, too
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def memory_of(path: Path, recipe: Recipe = RECIPE) -> tuple[float, float]:
    """MiB before a file is opened and at the most, in a process of its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_memory, path, recipe).result()


def _memory(path: Path, recipe: Recipe) -> tuple[float, float]:
    before = peak_mib()
    Detector(recipe, Silent()).file(path, review=True)  # as detect.py does
    return before, peak_mib()


def seconds_of(path: Path, network: Network, rounds: int, batch_size: int) -> pd.DataFrame:
    """From file to events, and the bare network on as many windows, in turns: a row a round.

    ``ratio`` is of the two; ``within`` is the whole to the network's part of the same run, batch by batch,
    which other work on the machine falls on alike.
    """
    timed, rows = Timed(network), []
    detector = Detector(RECIPE, timed, batch_size=batch_size)
    eeg_BCT = np.random.default_rng(SEED).standard_normal((batch_size, len(CHBMIT_23), SFREQ), np.float32)
    network.logits(eeg_BCT)  # the first call sets up what later ones reuse
    for _ in range(rounds):
        timed.seconds, start = 0.0, time.perf_counter()
        n = len(detector.file(path).trace.start_s_N)
        middle = time.perf_counter()
        for first in range(0, n, batch_size):
            network.logits(eeg_BCT[: min(batch_size, n - first)])
        whole, bare = middle - start, time.perf_counter() - middle
        rows.append((n, whole, bare, whole / bare, whole / timed.seconds))
    return pd.DataFrame(rows, columns=["windows", "whole", "bare", "ratio", "within"])


def benchmark(settings: BenchmarkSettings) -> Iterator[str]:
    """Both measurements, a line each."""
    sizes = {"n_chans": len(CHBMIT_23), "n_times": SFREQ, "sfreq": float(SFREQ), "n_outputs": 2}
    torch.manual_seed(SEED)
    model = load(TrainSettings, [f"model={settings.net}"]).model
    network = TorchNetwork(frozen(build_network(model, sizes)))
    with tempfile.TemporaryDirectory() as folder:
        path = write_long(Path(folder) / "long.edf", settings.minutes)
        table = seconds_of(path, network, settings.rounds, settings.batch_size)
        took = table.median()
        yield (
            f"{settings.net}, {settings.minutes} min of {len(CHBMIT_23)} channels, "
            f"{took['windows']:.0f} windows, batches of {settings.batch_size}, {settings.rounds} rounds in "
            f"turns, medians: file to events {took['whole']:.2f} s, bare network {took['bare']:.2f} s, ratio "
            f"{took['ratio']:.3f} ({table['ratio'].min():.3f} to {table['ratio'].max():.3f}); whole run to "
            f"the network's part of it {took['within']:.3f} ({table['within'].min():.3f} to "
            f"{table['within'].max():.3f})"
        )
        for hours in settings.hours:
            write_long(path, 60 * hours)
            before, peak = memory_of(path)
            size = path.stat().st_size / 2**20
            yield f"{hours} h, a file of {size:.0f} MiB: {before:.0f} MiB before, {peak:.0f} MiB at most"
