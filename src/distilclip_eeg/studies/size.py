"""``benchmark what=size``: a corpus as large as TUSZ that is not there, from the index to the metrics.

Recordings, persons and seizures are as many and as long as TUSZ's; the signal is a hole in a file, which has
its size and takes no disk. What is counted in windows is done by the functions that commands call; nothing is
filtered and no network is trained.
"""

import multiprocessing
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from distilclip_eeg.config.commands import BenchmarkSettings
from distilclip_eeg.config.compose import load
from distilclip_eeg.config.experiment import TrainSettings
from distilclip_eeg.corpora.edf.montage import STANDARD_19
from distilclip_eeg.corpora.tusz import TYPES
from distilclip_eeg.deploy.benchmark import peak_mib
from distilclip_eeg.files.folders import make_folder
from distilclip_eeg.files.writing import write_csv
from distilclip_eeg.report.tables import write_evaluation
from distilclip_eeg.runs import provenance
from distilclip_eeg.schema import BACKGROUND
from distilclip_eeg.signals.store import Store
from distilclip_eeg.training.crossval import finish_fold
from distilclip_eeg.training.data import arrange, test_rows, train_rows
from distilclip_eeg.training.loaders import WindowSource, epoch_order
from distilclip_eeg.training.opening import open_run

SFREQ, SEED, BATCH, BATCHES = 256, 0, 32, 500
RECORDINGS, PERSONS, MEAN_S, ICTAL = 7000, 675, 627.0, 0.05
"""TUSZ as the article counts it: 5 million windows, a twentieth of the time in seizures of a minute."""
SEIZURE_S, SHORTEST_S = 60.0, 20.0
SAME = ("first touch", "gather")
"""Parts that take as many batches whatever the size."""
CLASSES = (BACKGROUND, *TYPES)


@dataclass
class Stages:
    """Seconds, those of the processor, and peak memory of one part of the work after the other."""

    rows: list[dict] = field(default_factory=list)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """What is done inside is one row."""
        forget_peak()
        start, cpu = time.perf_counter(), time.process_time()
        yield
        taken = {"seconds": time.perf_counter() - start, "cpu_s": time.process_time() - cpu}
        self.rows.append({"part": name} | taken | {"peak_mib": peak_mib()})


def forget_peak() -> None:
    """Let the kernel count this process's peak memory anew; elsewhere than on Linux it is of all so far."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def simulated(folder: Path, recordings: int) -> Store:
    """A store of so many recordings, whose signal is a hole in a file."""
    rng = np.random.default_rng([SEED, recordings])
    duration_s = np.round(SHORTEST_S + rng.exponential(MEAN_S - SHORTEST_S, recordings))
    person = np.sort(rng.integers(0, max(3, recordings * PERSONS // RECORDINGS), recordings))
    n_samples = (duration_s * SFREQ).astype(np.int64)
    names = [f"aaaaa{p:03d}_s{r % 10:03d}_t{r % 100:03d}_{r:05d}" for r, p in enumerate(person)]
    signal = folder / "signal.i16"
    total = int(n_samples.sum())
    with signal.open("wb") as file:
        file.truncate(2 * total * len(STANDARD_19))
    table = pd.DataFrame({"recording": names, "subject": [f"aaaaa{p:03d}" for p in person]})
    table = table.assign(session="", part="", skipped="", detail="", number=np.arange(recordings))
    table = table.assign(duration_s=duration_s, n_pieces=1, n_seizures=0, filled="", metadata="{}")
    counted = ("short_for_filter", "flat_channels", "rail_samples", "clipped_samples", "loud_seconds")
    table = table.assign(**dict.fromkeys(counted, 0))
    first = np.cumsum(n_samples) - n_samples
    pieces = pd.DataFrame({"recording": np.arange(recordings), "start_s": 0.0, "first": first})
    events = seizures(duration_s, rng)
    scale = np.ones((recordings, len(STANDARD_19)), np.float32)
    manifest = {"digest": f"size{recordings}", "corpus": "simulated", "sfreq": SFREQ, "identified": True}
    manifest |= {"ch_names": list(STANDARD_19), "classes": list(CLASSES), "n_samples": total, "missing": []}
    return Store(
        path=folder,
        manifest=manifest | {"warnings": [], "signals": {"clip_uv": None}},
        signal_TC=np.memmap(signal, "<i2", "r", shape=(total, len(STANDARD_19))),
        recordings=table,
        pieces=pieces.assign(n_samples=n_samples),
        events=events,
        gain_RC=scale,
        mean_RC=0 * scale,
        sd_RC=scale,
        filled_RC=scale < 0,
        excluded=events[:0],
    )


def seizures(duration_s: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    """Seizures of every second recording or so, none of which touch: recording, onset_s, offset_s, label."""
    rows = []
    for recording, seconds in enumerate(duration_s):
        slots = int(seconds // (2 * SEIZURE_S))  # two seizures a slot would fill it
        for slot in np.flatnonzero(rng.random(slots) < 2 * ICTAL):
            onset = 2 * SEIZURE_S * slot + rng.uniform(0, SEIZURE_S / 2)
            label = CLASSES[rng.integers(1, len(CLASSES))]
            rows.append((recording, onset, onset + rng.uniform(0.5, 1.5) * SEIZURE_S, label))
    return pd.DataFrame(rows, columns=["recording", "onset_s", "offset_s", "label"])


def measure(sizes: Sequence[int]) -> pd.DataFrame:
    """:func:`pipeline` of corpora of so many recordings, each in a process of its own."""
    tables = []
    for recordings in sizes:
        with (
            tempfile.TemporaryDirectory() as folder,
            ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool,
        ):
            tables.append(pool.submit(pipeline, Path(folder), recordings).result())
    return pd.concat(tables, ignore_index=True)


def size(settings: BenchmarkSettings) -> Iterator[str]:
    """The table; writes ``output``.csv."""
    table, made = measure(settings.recordings), provenance()
    csv = Path(f"{settings.output}.csv")
    about = {"command": "python scripts/benchmark.py what=size", "seed": SEED, "commit": made["commit"]}
    write_csv(csv, table.assign(minutes=table["seconds"] / 60, hardware=made["machine"], **about))
    yield page(table)


def page(table: pd.DataFrame) -> str:
    """Wall and processor seconds and peak memory by part and size, and how the cost of a window grew.

    Processor seconds tell what a machine that does nothing else would need at most.

    Args:
        table: from :func:`measure`.
    """
    n = table["windows"].drop_duplicates().tolist()
    wall, cpu, peak = (
        table.pivot(index="part", columns="windows", values=v) for v in ("seconds", "cpu_s", "peak_mib")
    )
    lines = [f"{'windows':20}" + "".join(f"{k:>34,}" for k in n) + f"{'cpu s a window, last/first':>30}"]
    for part in table["part"].drop_duplicates():
        cells = (
            f"{wall.at[part, k]:9.2f} s {cpu.at[part, k]:7.2f} cpu {peak.at[part, k]:5.0f} MiB" for k in n
        )
        growth = cpu.at[part, n[-1]] / cpu.at[part, n[0]] / (1 if part in SAME else n[-1] / n[0])
        lines.append(f"{part:20}" + "".join(f"{cell:>34}" for cell in cells) + f"{growth:30.2f}")
    return "\n".join(lines)


def pipeline(folder: Path, recordings: int, batches: int = BATCHES) -> pd.DataFrame:
    """Every part of the work on a corpus of so many recordings, below an empty folder."""
    stages = Stages()
    store = simulated(folder, recordings)
    words = ["model=random_forest", "windows.seizure_overlap=0.75", f"run.root={folder}", "run.name=size"]
    (settings,) = load(TrainSettings, words).each_seed()
    with stages.part("index, folds, audit"):
        data = arrange(store, settings)
    with stages.part("run folder"):
        run = open_run(settings, data)
    with stages.part("balance"):
        rows = train_rows(data, 0)
    with stages.part("order of an epoch"):
        order = epoch_order(rows, SEED, 0)
    with stages.part("source"):
        source = data.source(rows)
        source.settle("auto", torch.device("cpu"))
    for name in ("first touch", "gather"):
        with stages.part(name):
            gather(source, order, batches)
    rng, label = np.random.default_rng(SEED), data.windows["label"].to_numpy()
    with stages.part("predictions"):
        for fold in range(data.split.n_folds or 1):
            make_folder(run.fold(fold))
            parts = {"val": data.rows(fold, "val"), "test": test_rows(data, fold)}
            logits = {part: guesses(label[rows], rng) for part, rows in parts.items()}
            finish_fold(data, run, fold, parts, logits)
    with stages.part("metrics"), redirect_stdout(StringIO()):
        write_evaluation([run], folder)
    table = pd.DataFrame(stages.rows)
    table.insert(0, "windows", len(label))
    table.insert(0, "recordings", recordings)
    return table


def gather(source: WindowSource, order: np.ndarray, batches: int) -> None:
    """The first batches of an epoch."""
    for first in range(0, min(batches * BATCH, len(order)), BATCH):
        source.batch(order[first : first + BATCH])


def guesses(label: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Logits (N, K) of a network that is right more often than not; no two are equal."""
    logits = rng.standard_normal((len(label), len(CLASSES)), np.float32)
    logits[np.arange(len(label)), label] += 2
    return logits
