"""Settings of every other command."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from distilclip_eeg.config.data import (
    DatasetConfig,
    Device,
    Links,
    Places,
    SignalConfig,
    StoreConfig,
    WindowConfig,
)
from distilclip_eeg.config.detection import EventConfig, Probability
from distilclip_eeg.config.ranges import (
    Batch,
    Count,
    Fold,
    Jobs,
    Range,
    Seconds,
    Seed,
    Text,
    Words,
)
from distilclip_eeg.config.rules import Settings


@dataclass(frozen=True, kw_only=True)
class MovedDataset(Settings):
    """Where the data are now."""

    where: ClassVar[str] = "dataset"

    root: Text | None = None
    """Where the recordings are now, if not where the run had them."""


@dataclass(frozen=True, kw_only=True)
class MovedStore(Settings):
    """Where the store is now."""

    where: ClassVar[str] = "store"

    root: Text | None = None
    """Where the filtered recordings are now, if not where the run had them."""


@dataclass(frozen=True, kw_only=True)
class OfRun(Settings):
    """A command about a run, whose data may have moved."""

    run: Text = "latest"
    """A run folder; latest: the newest finished run that will do."""
    dataset: MovedDataset = field(default_factory=MovedDataset)
    store: MovedStore = field(default_factory=MovedStore)
    device: Device = "auto"
    """auto takes a CUDA GPU where there is one."""
    n_jobs: Jobs = -1
    """Threads that prepare recordings; -1: as many as there are cores."""

    @property
    def places(self) -> Places:
        """Where data and store are now, and what may be used."""
        return Places(self.dataset.root, self.store.root, self.device, self.n_jobs)


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings(Settings):
    """Metric tables from saved predictions; a model is loaded only to test it on another corpus."""

    run: Text = "all"
    """A run folder, or all finished runs below root."""
    root: Text = "runs"
    """Folder of all runs."""
    metrics: Literal["standard", "paper"] = "standard"
    """paper: the article's mixture of averages, balanced under split=window."""
    calibration: Literal["none", "prior", "temperature", "platt"] = "none"
    """Fitted on each fold's validation windows."""
    threshold: Literal["argmax", "validation"] = "argmax"
    """validation: highest macro F1 on each fold's validation windows."""
    dataset: DatasetConfig | None = None
    """run=RUN dataset=OTHER dataset.root=FOLDER scores that corpus with the run's models."""
    signals: SignalConfig = field(default_factory=SignalConfig)
    """Not to be given: a model is tested as it was trained."""
    windows: WindowConfig = field(default_factory=WindowConfig)
    """Not to be given: a model is tested as it was trained."""
    store: StoreConfig = field(default_factory=StoreConfig)
    device: Device = "auto"
    """auto takes a CUDA GPU where there is one."""
    n_jobs: Jobs = -1
    """Threads that prepare recordings; -1: as many as there are cores."""


@dataclass(frozen=True, kw_only=True)
class ReportSettings(Settings):
    """Tables, figures and one page of all finished runs; no model or recording is loaded."""

    run: Text = "all"
    """A run folder, or of each model and protocol below root the newest finished run."""
    root: Text = "runs"
    """Folder of all runs; the report goes to root/report."""
    results: Text = "results"
    """Where table1, ablations and gap put their CSVs."""
    dataset: DatasetConfig | None = None
    """dataset=chbmit: only the runs on it."""
    signals: SignalConfig = field(default_factory=SignalConfig)
    """Not read."""
    windows: WindowConfig = field(default_factory=WindowConfig)
    """Not read."""


@dataclass(frozen=True, kw_only=True)
class ProbeSettings(OfRun):
    """What the text of a teacher run gives away of class and person."""

    table: Text | None = None
    """Also add the rows, with how they were made, to this CSV file."""


@dataclass(frozen=True, kw_only=True)
class RehearseSettings(OfRun):
    """Detection on the recordings that each fold of a run has not seen, scored."""

    hop_s: Seconds = 1.0
    """Seconds from one window to the next."""
    detect: EventConfig = field(default_factory=EventConfig)


@dataclass(frozen=True, kw_only=True)
class ContinuousSettings(OfRun):
    """Whole recordings scored every second, and what comes of them as seizure events."""

    hop_s: Seconds = 1.0
    """One window every so many seconds."""
    threshold: Literal["validation"] | Probability = "validation"
    """validation: chosen for detect.budget on recordings that the network never saw and this fold does not
    test; or a number."""
    detect: EventConfig = field(default_factory=EventConfig)
    scores: Text | None = None
    """Other detectors' scores on the same seconds, to stand beside: a parquet file, or several with commas
    between (recording, subject, piece, second, label, score, decision)."""

    @property
    def score_files(self) -> tuple[str, ...]:
        """``scores``, one by one."""
        return tuple(name.strip() for name in (self.scores or "").split(",") if name.strip())


@dataclass(frozen=True, kw_only=True)
class ExplainSettings(OfRun):
    """Where one fold's network looks, and what the report shows of it."""

    run: Text = "latest"
    """The newest finished run of a network below root; all of them; or a folder."""
    root: Text = "runs"
    """Folder of all runs."""
    fold: Fold = 0
    """The fold whose network is looked at."""
    method: Literal["hires", "gradcam", "ig", "occlusion"] = "hires"
    """Of the maps."""
    windows: Count = 400
    """Test windows at most, as many of each class as there are."""
    fresh: bool = False
    """true: again, although it is there."""


@dataclass(frozen=True, kw_only=True)
class BenchmarkSettings(Settings):
    """Time and memory, measured here and now."""

    what: Literal["detect", "size", "goals", "gpu"] = "detect"
    """detect: a recording from file to events, beside the network alone and beside a longer one; size: a
    corpus as large as TUSZ, without its signal, from index and folds to metrics; goals: G1 to G10, ratios to
    peers and to the machine's own limits, in under ten minutes on two cores; gpu: G11, a training step on a
    GPU."""
    net: str = "student_lean"
    """A preset; its weights are random: they change no time."""
    minutes: Annotated[int, Range(least=1, most=1440)] = 5
    """Minutes of the recording whose time is measured."""
    rounds: Annotated[int, Range(least=1, most=1000)] = 3
    """Detector and bare network take turns."""
    hours: tuple[Annotated[int, Range(least=1, most=168)], ...] = (1, 6)
    """Hours of the recordings whose peak memory is measured, with a network that does nothing."""
    batch_size: Batch = 128
    """Windows at a time."""
    output: Text = "bench"
    """Where the table goes: output.txt and output.json of goals and gpu, output.csv of size."""
    before: Text | None = None
    """Of goals: an earlier output.json, shown beside."""
    recordings: tuple[Annotated[int, Range(least=50, most=100_000)], ...] = (438, 1750, 7000)
    """Of size: how many; 7000 make 4.9 million windows."""


@dataclass(frozen=True, kw_only=True)
class ExportSettings(OfRun):
    """A run's model as one folder that needs nothing else of the run."""

    weights: Literal["final", "ensemble"] | Fold = "final"
    """final: trained on all data; ensemble: the networks of all folds; or the number of a fold."""
    output: Text | None = None
    """The folder to write; null: export in the run's folder."""
    onnx: bool = True
    """Also as ONNX, fp32 and int8, checked and measured: pip install 'distilclip-eeg[export]'."""
    persons: bool = False
    """true writes the codes of the persons it was trained on into the folder, so that detect can tell when a
    file is named after one of them. Codes may be personal: for public corpora."""
    detect: EventConfig = field(default_factory=EventConfig)


@dataclass(frozen=True, kw_only=True)
class OfCorpus(Settings):
    """A command about a corpus."""

    dataset: DatasetConfig
    signals: SignalConfig = field(default_factory=SignalConfig)
    windows: WindowConfig = field(default_factory=WindowConfig)
    n_jobs: Jobs = -1
    """Threads, or workers of the backend; -1: as many as there are cores."""


@dataclass(frozen=True, kw_only=True)
class PrepareSettings(OfCorpus):
    """Recordings to the store only, with a report of what was used, skipped and why."""

    store: StoreConfig = field(default_factory=StoreConfig)
    backend: str | None = None
    """A registered joblib backend (dask, ray) that takes over from the threads."""
    scheduler: str | None = None
    """backend=dask: its scheduler, tcp://HOST:8786. Its workers read the corpus under the same path."""
    verify: bool | Literal["add"] = False
    """true: read every byte of the store and compare it with the digests of its manifest; add: note them for
    a store of 0.1.0, which has none."""


@dataclass(frozen=True, kw_only=True)
class DescribeSettings(OfCorpus):
    """What is on disk, from headers and annotations, beside the published totals."""


@dataclass(frozen=True, kw_only=True)
class CheckSettings(Settings):
    """One JSON line for each recording or annotation file: read, warned of, skipped or refused, and why."""

    path: Text
    """A file or a folder."""
    recording: Text | None = None
    """The EDF of annotation files that have none beside them and name none below path."""
    signals: SignalConfig = field(default_factory=SignalConfig)
    links: Links = "inside"
    """Links below path: inside of it they are followed, those that lead out are named; follow: all are."""
    rename: Words | None = None
    """What labels of recordings are: {EEG 1: Fp1, EEG 2: F7-T7}, - for none; null: as they are."""


@dataclass(frozen=True, kw_only=True)
class SynthesizeSettings(Settings):
    """An invented corpus in the native layout of a real one, with its quirks."""

    layout: str
    """tusz, aubmc, aubmc_raw, chbmit, zenodo, bids or folder."""
    root: Text
    """An empty or new folder."""
    n_subjects: Annotated[int, Range(least=1, most=10_000)] = 12
    """People."""
    recordings_per_subject: Annotated[int, Range(least=1, most=10_000)] | None = None
    """Recordings of each; null: what the layout is written with by default."""
    recording_s: Annotated[int, Range(least=1, most=86_400)] | None = None
    """Seconds of each recording; null: what the layout is written with by default."""
    seed: Seed = 0
    """Of everything random."""


@dataclass(frozen=True, kw_only=True)
class DownloadSettings(Settings):
    """Fetch an open corpus from where its owners publish it; interrupted, the same command continues.

    Every file is checked against its published checksum before it gets its name; files that are there and
    right are not fetched again. Proxies: HTTPS_PROXY, HTTP_PROXY, NO_PROXY.
    """

    dataset: Literal["chbmit", "zenodo", "aubmc", "tusz"]
    """chbmit (PhysioNet, 42 GB), zenodo (Helsinki, 4 GB), aubmc (Mendeley Data), or tusz: how to apply."""
    root: Text | None = None
    """Where to put it; null: DATASET in $DISTILCLIP_EEG_DATA, or in ./data."""
    cases: tuple[str, ...] = ()
    """Only these and the files common to all, such as chb01, eeg7, p10."""
    workers: Annotated[int, Range(least=1, most=16)] = 4
    """Files at once."""
    dry_run: bool = False
    """true: say what would be fetched, write nothing."""
    url: Text = ""
    """A mirror with the same listing, such as https://physionet-open.s3.amazonaws.com/chbmit/1.0.0/"""

    @property
    def where_to(self) -> str:
        """The folder that is filled."""
        data = Path(os.environ.get("DISTILCLIP_EEG_DATA") or "data")
        return self.root or str(data / self.dataset)


@dataclass(frozen=True, kw_only=True)
class ParametersSettings(Settings):
    """Parameters, bytes and FLOPs of teachers and students; the article says 30.8 M and 17.9 M parameters.

    FLOPs are of one forward pass, two a multiply-add: of the article's architecture word for word, and as
    executed here (prompts as keys and values only, one convolution for two).
    """

    model: str | None = None
    """One model by layer, text included, cumulative; null: the EEG encoders of every pair, three montages."""
    batch: Batch = 32
    """Windows in the batch."""
    texts: Batch = 32
    """Distinct texts in the batch."""
    tokens: Annotated[int, Range(least=1, most=512)] = 64
    """Tokens of each text, prompts included."""
    channels: Annotated[int, Range(least=1, most=4096)] = 19
    """Channels."""
    sfreq: Annotated[int, Range(least=1, most=100_000)] = 256
    """Samples a second; a window is one second."""
    classes: Annotated[int, Range(least=1, most=4096)] = 8
    """Classes."""
    csv: Text | None = None
    """Also write the layers as CSV to this file."""


@dataclass(frozen=True, kw_only=True)
class RunsRoot(Settings):
    """Where runs will lie."""

    where: ClassVar[str] = "run"

    root: Text = "runs"
    """Folder of all runs."""


@dataclass(frozen=True, kw_only=True)
class StoreRoot(Settings):
    """Where filtered recordings will lie."""

    where: ClassVar[str] = "store"

    root: Text = "store"
    """Folder of filtered recordings, shared by all runs."""


@dataclass(frozen=True, kw_only=True)
class DoctorSettings(Settings):
    """What this machine has for the framework: libraries, GPU, memory, disk, hub, corpora; what it lacks, and
    the line that mends it.

    Nothing is written, and nothing is fetched: the hub is only asked whether it is there. The exit code is 0
    where the framework can train; what is optional may be absent.
    """

    timeout_s: Seconds = 2.5
    """How long the hub is waited for; HF_HUB_OFFLINE=1: it is not asked."""
    run: RunsRoot = field(default_factory=RunsRoot)
    store: StoreRoot = field(default_factory=StoreRoot)


@dataclass(frozen=True, kw_only=True)
class DemoSettings(Settings):
    """Synthetic recordings in; teacher, student and floor out, under two protocols side by side.

    One process, minutes on two CPU cores. Prints the time of every stage, and leaves a report with every
    figure: runs/report/index.html.
    """

    steps: Count = 150
    """Optimiser steps of each training."""
    explained: Count = 120
    """Test windows of one fold that are looked at for the report."""
