"""Settings of the data: corpus, signals, windows, split."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from distilclip_eeg.config.component import Component
from distilclip_eeg.config.ranges import Jobs, NotNegative, Positive, Range, Rate, Seconds, Seed, Text, Words
from distilclip_eeg.config.rules import Settings, check_name
from distilclip_eeg.schema import ConfigError

Device = Literal["auto", "cpu", "cuda"]
Missing = Literal["skip", "zero", "interpolate"]
Links = Literal["inside", "follow"]


@dataclass(frozen=True, kw_only=True)
class DatasetConfig(Settings):
    """The corpus and how its files are read; ``configs/dataset/NAME.yaml`` names its class.

    What stands beside ``corpus`` are shorter names of its arguments; each is known to some corpora alone.
    """

    where: ClassVar[str] = "dataset"

    name: str
    """Folder of its runs, and what tables call it."""
    root: Text
    """Where its files lie; by default DATASET in $DISTILCLIP_EEG_DATA, or in ./data."""
    missing_channels: Missing = "skip"
    """A recording that lacks channels of the montage: skip it, zero or interpolate them."""
    links: Links | None = None
    """Links among its files: inside of root they are followed, those that lead out are told by name; follow:
    all are followed."""
    labels: str | None = None
    """TUSZ: types (seven seizure types) or binary (seizure of any type)."""
    unit: str | None = None
    """Ready-made arrays, whose numbers name none: uV, mV or V."""
    consensus: str | None = None
    """Helsinki: seizure where all three experts agree (unanimous), or majority, any."""
    channels: tuple[str, ...] | None = None
    """Own recordings: the channels to read, such as [F7-T7, T7-P7]; null: the 19 electrodes of 10-20."""
    classes: tuple[str, ...] | None = None
    """Own recordings: the labels to tell apart, in the order of the classes; null: as the corpus says."""
    table: Text | None = None
    """Own recordings: the table of labels; null: the only .csv or .tsv in root."""
    label_column: Text | None = None
    """Own recordings: the table's column with the label."""
    unlabelled: str | None = None
    """Own recordings: time that no row covers is background, or exclude it."""
    background: Any = None
    """Own recordings: the label of time without seizure, or a list of them."""
    label_map: Words | None = None
    """Own recordings: what the table's words count as: {ictal: seiz, spikes: bckg}; null: as they are."""
    rename: Words | None = None
    """Own recordings: what labels of the files are: {EEG 1: Fp1, EEG 2: F7-T7}; null: as they are."""
    corpus: Component
    """Class of the corpus and its arguments; dataset.corpus.NAME=VALUE sets any of them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_name("dataset.name", self.name)
        for name in SHORT_NAMES:
            if getattr(self, name) is not None and name not in self.corpus.arguments:
                raise ConfigError(
                    f"dataset.{name}: dataset={self.name} has no such setting. It has: "
                    f"{', '.join(sorted(self.corpus.arguments))}.",
                    reason="unknown_key",
                )

    def at(self, root: Path | str | None) -> "DatasetConfig":
        """The same corpus, its files now at ``root``; None: where they were."""
        if root is None:
            return self
        return replace(self, root=str(root), corpus=self.corpus.with_arguments(root=str(root)))


SHORT_NAMES = (
    *("labels", "unit", "consensus", "channels", "classes", "table", "label_column", "unlabelled"),
    *("background", "links", "label_map", "rename"),
)
"""Settings of ``dataset`` that only some corpora know."""


@dataclass(frozen=True, kw_only=True)
class SignalConfig(Settings):
    """What a recording becomes before it is cut; paper, Sec. IV-B."""

    where: ClassVar[str] = "signals"

    l_freq: NotNegative | None = 0.1
    """High-pass edge in Hz; null: none."""
    h_freq: NotNegative | None = 70.0
    """Low-pass edge in Hz; null: none."""
    notch_hz: NotNegative | None = None
    """Mains frequency in Hz to remove (1 Hz wide), or null."""
    sfreq: Rate = 256.0
    """Sampling rate in Hz after resampling."""
    phase: Literal["zero", "causal"] = "zero"
    """zero: FIR, looks 16 s ahead at 0.1 Hz. causal: Butterworth of order 4, for live use."""
    clip_uv: Positive | None = 1000.0
    """Artifact rule: filtered samples beyond this many microvolts are set to it and counted. Null: none."""
    montage: Literal["native", "bipolar18", "car19"] = "native"
    """native: what the corpus records. bipolar18, car19: the same for every corpus, so that a model carries
    over. Made when a file is read."""
    normalize: Literal["recording", "running", "train"] = "recording"
    """Z-score per channel over the recording; running: over the past of the recording only; train: over the
    recordings of the training windows. Applied at load, never stored."""

    def __post_init__(self) -> None:
        super().__post_init__()
        low, high = self.l_freq or 0.0, self.h_freq or self.sfreq / 2
        if not 0 <= low < high <= self.sfreq / 2:
            raise ConfigError(
                f"signals.l_freq={self.l_freq}, signals.h_freq={self.h_freq} do not fit signals.sfreq="
                f"{self.sfreq}: expected 0 <= l_freq < h_freq <= sfreq / 2."
            )
        if self.notch_hz is not None and not 1 < self.notch_hz < self.sfreq / 2:
            raise ConfigError(
                f"signals.notch_hz={self.notch_hz} must be null or in (1, {self.sfreq / 2:g}), below half of "
                "signals.sfreq."
            )


Overlap = Annotated[float, Range(least=0, below=1)]


@dataclass(frozen=True, kw_only=True)
class WindowConfig(Settings):
    """How recordings are cut; paper, Sec. IV-A."""

    where: ClassVar[str] = "windows"

    length_s: Seconds = 1.0
    """Seconds of a window."""
    context_s: Annotated[float, Range(least=0, most=600)] = 0.0
    """Seconds beside the window that a network sees, too; only the window itself is labelled and scored. Zero
    beyond the ends of a stretch. The article has none."""
    context: Literal["both", "past"] = "both"
    """Where they are: so many before and as many after, or before it alone, as live detection needs."""
    background_overlap: Overlap = 0.0
    """Fraction shared by neighbouring background windows; the paper uses none."""
    seizure_overlap: Overlap = 0.5
    """The same of seizure windows: 0.5 for CHB-MIT and Zenodo, 0.75 for TUSZ and AUBMC."""
    balance_train: bool = True
    """Draw about as many background windows as there are seizure windows, in training parts."""
    balance_test: bool = False
    """The same in test parts; the article's tables imply it. Hides false alarms."""
    labels: Literal["annotations", "coin"] = "annotations"
    """coin: the placebo, one label a subject, by chance."""


SplitName = Literal[
    "auto", "window", "event", "recording", "time", "subject", "leave_one_subject_out", "official", "table",
    "transfer",
]  # fmt: skip
"""``auto`` is resolved by the data; ``transfer`` is written by ``evaluate dataset=OTHER``, never asked."""
OWN_NUMBER = ("leave_one_subject_out", "official", "table", "transfer")
"""Splits whose number of folds is not the user's: the data tell it, and ``official`` is one."""


@dataclass(frozen=True, kw_only=True)
class SplitConfig(Settings):
    """Which windows train, validate and test in each fold; ``configs/split/NAME.yaml``."""

    where: ClassVar[str] = "split"

    name: SplitName = "auto"
    """The protocol; auto: subject where there are at least five subjects, else recording."""
    n_folds: Annotated[int, Range(least=1, most=100_000)] | None = 5
    """None where the data tell: one a subject (leave_one_subject_out), the table's own (table)."""
    val_share: Annotated[float, Range(above=0, below=0.5)] = 0.15
    """Share of the training side set apart, by the same grouping, to choose the epoch."""
    purge_s: NotNegative | None = None
    """Training windows with less than this many seconds between them and a test window of their recording are
    left out; null: a window's length for event and time, else none are."""
    table: Text | None = None
    """split=table: CSV, TSV or Parquet that names windows by any of subject, recording (or recording_name)
    and start_s, and says train, val, test or unused in part or in fold0, fold1 and so on."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name == "official" and self.n_folds != 1:
            raise ConfigError(f"split.n_folds={self.n_folds}: the official split is one fold. Leave it out.")
        if self.n_folds is None and self.name not in OWN_NUMBER:
            raise ConfigError(f"split.n_folds=null: split={self.name} needs a number, 2 or more.")
        if self.n_folds is not None and self.n_folds < 2 and self.name not in OWN_NUMBER[1:]:
            raise ConfigError(f"split.n_folds={self.n_folds} must be 2 or more.")
        if self.name not in ("table", "transfer") and self.table is not None:
            raise ConfigError(f"split.table={self.table}: split={self.name} takes none. Set split=table.")
        if self.name == "table" and self.purge_s is not None:
            raise ConfigError(f"split.purge_s={self.purge_s}: a table is taken as it is. Write unused in it.")


@dataclass(frozen=True, kw_only=True)
class StoreConfig(Settings):
    """Filtered recordings on disk."""

    where: ClassVar[str] = "store"

    root: Text = "store"
    """Folder of filtered recordings, shared by all runs."""
    device: Device = "auto"
    """Where batches are gathered: cpu (a thread is ahead of the GPU), cuda (the signal lies in the GPU's
    memory), or auto: there where training is on a GPU and half of its free memory holds the signal."""


@dataclass(frozen=True, kw_only=True)
class DataSettings(Settings):
    """Everything that says which windows there are, and in which part of which fold."""

    dataset: DatasetConfig
    signals: SignalConfig = field(default_factory=SignalConfig)
    windows: WindowConfig = field(default_factory=WindowConfig)
    split: SplitConfig = field(default_factory=SplitConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    seed: Seed = 0
    n_jobs: Jobs = -1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_window(self.windows, self.signals)


SAMPLES = Range(least=2, most=2**20)
"""Of a window, and of a window with its context."""


@dataclass(frozen=True)
class View:
    """What a network sees for a window, in samples."""

    length: int
    """Of the window, which is labelled and scored."""
    before: int = 0
    """Context in front of it."""
    after: int = 0
    """Context behind it."""

    @classmethod
    def of(cls, windows: WindowConfig, sfreq: float) -> "View":
        """As configured, at a rate in Hz."""
        context = round(windows.context_s * sfreq)
        return cls(round(windows.length_s * sfreq), context, context if windows.context == "both" else 0)

    @property
    def total(self) -> int:
        """Samples in all."""
        return self.before + self.length + self.after


def check_window(windows: WindowConfig, signals: SignalConfig) -> None:
    """Refuse windows of no sample, or of more than any memory holds a batch of.

    Raises:
        ConfigError: ``out_of_range``.
    """
    view = View.of(windows, signals.sfreq)
    for key, samples in (("length_s", view.length), ("context_s", view.total)):
        if samples not in SAMPLES:
            value = getattr(windows, key)
            raise ConfigError(
                f"windows.{key}={value} at signals.sfreq={signals.sfreq} is {samples} samples; expected "
                f"{SAMPLES}. Change one of them.",
                reason="out_of_range",
            )


def small_seed(seed: int, fold: int | None = None) -> int:
    """A seed as numpy, torch and scikit-learn all take it: below 2**32; of one fold, where it is named.

    Dates and times in digits are larger and are folded; smaller ones are what they are.
    """
    return (seed if fold is None else seed * 1000 + fold) % 2**32


@dataclass(frozen=True)
class Places:
    """Where a run's data are now, if not where the run had them, and what may be used here."""

    dataset: str | None = None
    """Folder of the corpus."""
    store: str | None = None
    """Folder of filtered recordings."""
    device: Device = "auto"
    n_jobs: int = -1


HERE = Places()
"""Where the run had them, on whatever there is."""
