"""Settings of the studies: the commands that train a whole grid of models, or search for the best one.

A study is told in the words of ``train``, beside a few of its own. ``words`` reads the shorter spellings
(``split=window,subject``), ``load`` checks everything, ``train_words`` gives what is left for the cells.
"""

import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

from distilclip_eeg.config.data import SplitName
from distilclip_eeg.config.experiment import DistillSettings, SideBySide, TrainSettings
from distilclip_eeg.config.ranges import Range, Text, Workers
from distilclip_eeg.schema import PROTOCOLS, ConfigError, check_choice

ALL = "all"
POSSIBLE = tuple(name for name in get_args(SplitName) if name not in ("auto", "transfer"))
"""Protocols that a cell can be of."""
VARIANT_GROUPS = ("table2", "targets", "text", "student")
"""Parts of the table of ablations."""


def key_of(word: str) -> str:
    """The setting that a word of the command line is about: ``loss.alpha`` of ``+loss.alpha=0.3``."""
    return re.split(r"[=@]", word.lstrip("+~"))[0]


def last_of(words: list[str], key: str) -> str | None:
    """What the command line says last of ``key``; None where it says nothing."""
    values = [word.partition("=")[2].strip("'\"") for word in words if key_of(word) == key]
    return values[-1] if values else None


@dataclass(frozen=True, kw_only=True)
class GridSettings(TrainSettings):
    """Of every grid of trainings."""

    lists: ClassVar[tuple[str, ...]] = ("seed",)
    """Keys that may be typed without brackets: ``seed=0,1,2``."""
    split_is: ClassVar[str] = "split"
    """What the word ``split=`` means: one protocol of train, or several of the grid."""
    placed: ClassVar[tuple[str, ...]] = ("seed",)
    """Train's words that each cell says for itself."""

    jobs: Workers = 1
    """Cells at a time: processes here, or jobs of the queue."""
    name: str | None = None
    """The table is results/NAME.csv; null: the study's and the dataset's name."""
    results: Text = "results"
    """Folder of tables."""
    fill: bool = True
    """false: train nothing, draw the page of what stands in the table."""

    @classmethod
    def words(cls, said: list[str]) -> list[str]:
        """The command line as ``load`` reads it: lists in brackets, ``split=`` as what it means here."""
        return [cls._word(word) for word in said]

    @classmethod
    def _word(cls, word: str) -> str:
        key, is_value, value = word.partition("=")
        key = cls.split_is if key == "split" else key
        if not is_value or key not in (*cls.lists, "protocols"):
            return f"{key}{is_value}{value}"
        items = value.strip("[]")
        items = ",".join(PROTOCOLS) if key == "protocols" and items == ALL else items
        single = key == "seed" and "," not in items
        return f"{key}={items}" if single else f"{key}=[{items}]"

    @classmethod
    def train_words(cls, words: list[str]) -> list[str]:
        """Of ``words`` those that every cell hands on to train and distil."""
        own = {f.name for f in fields(cls)} - {f.name for f in fields(TrainSettings)}
        own |= {f.name for f in fields(SideBySide)} | {*cls.placed}
        return [w for w in words if key_of(w) not in own and not key_of(w).startswith("slurm.")]

    @property
    def seeds(self) -> list[int]:
        """One or several."""
        return list(self.seed) if isinstance(self.seed, list | tuple) else [self.seed]


@dataclass(frozen=True, kw_only=True)
class ProtocolGrid(GridSettings):
    """Of a grid under several protocols."""

    split_is: ClassVar[str] = "protocols"
    placed: ClassVar[tuple[str, ...]] = ("seed", "split", "model")

    protocols: tuple[str, ...] = ("window",)
    """One or several protocols (split=window,subject is understood); all: every one of them."""
    scores: Text | None = None
    """Other detectors' scores, as evaluate.py reads them: a parquet file, or several with commas between.
    Each has its rows in the table and in that of persons, on the windows that the networks are tested on;
    with fill=false too."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.protocols:
            check_choice("split", name, POSSIBLE)

    @property
    def score_files(self) -> tuple[Path, ...]:
        """``scores``, one by one."""
        return tuple(Path(name.strip()) for name in (self.scores or "").split(",") if name.strip())


@dataclass(frozen=True, kw_only=True)
class ModelGrid(ProtocolGrid):
    """Of a grid of models under several protocols."""

    lists: ClassVar[tuple[str, ...]] = ("seed", "models", "rates")

    models: tuple[str, ...] = (ALL,)
    """Presets of configs/model, one or several; a teacher brings its student."""
    ours: Literal["tiny", "small", "best_small", "lean"] = "tiny"
    """Size of our teacher and student where models=all."""
    rates: tuple[Annotated[float, Range(above=0, most=1e3)], ...] = ()
    """Multiples of each network's own learning rate: the first of the folds is trained with each, and the one
    that does best on its validation windows is taken for all folds. None: its own."""

    @classmethod
    def words(cls, said: list[str]) -> list[str]:
        """As of any grid; what is said of ``model.`` is checked against the first of the models."""
        words = super().words(said)
        first = (last_of(words, "models") or ALL).strip("[]").partition(",")[0]
        if first == ALL or last_of(words, "model"):
            return words
        return [f"model={first}", *words]


@dataclass(frozen=True, kw_only=True)
class Table1Settings(ModelGrid):
    """Table I: all models under the same folds, ours beside the published figures."""

    page: Literal["article", "evidence"] = "article"
    """article: beside the published figures; evidence: floors, teacher and student under each protocol, with
    the figures of all folds pooled."""


@dataclass(frozen=True, kw_only=True)
class GapSettings(ModelGrid):
    """The optimism gap: the same models under every protocol, side by side."""

    models: tuple[str, ...] = ("teacher_tiny",)
    """Presets of configs/model, one or several; a teacher brings its student."""
    protocols: tuple[str, ...] = PROTOCOLS
    """One or several protocols (split=window,subject is understood); those that the corpus does not allow are
    left out with a line."""


@dataclass(frozen=True, kw_only=True)
class AblationsSettings(ProtocolGrid):
    """Table II and its neighbours: what text, prompts, targets and distillation are worth."""

    lists: ClassVar[tuple[str, ...]] = ("seed", "what")
    placed: ClassVar[tuple[str, ...]] = ("seed", "split", "ablation_reading")

    what: tuple[str, ...] = (ALL,)
    """Parts of the table: table2, targets, text, student; all of them."""
    protocols: tuple[str, ...] = ("window", "subject")
    """One or several protocols (split=window,subject is understood); all: every one of them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.what:
            check_choice("what", name, (*VARIANT_GROUPS, ALL))
        if self.model.kind != "teacher":
            raise ConfigError(
                f"model={self.model.name}: expected a teacher, such as teacher_tiny or teacher_small."
            )


@dataclass(frozen=True, kw_only=True)
class LayoutsSettings(GridSettings):
    """Teacher and student on an invented corpus in every native layout, a row a class."""

    lists: ClassVar[tuple[str, ...]] = ("seed", "layouts")
    placed: ClassVar[tuple[str, ...]] = ("seed", "dataset", "dataset.root", "model")

    layouts: tuple[str, ...] = (ALL,)
    """One or several layouts of synthesize; all of them."""
    root: Text = "data/layouts"
    """Folder of the trees; what is not there is written."""


@dataclass(frozen=True, kw_only=True)
class TuneSettings(DistillSettings):
    """Settings searched by macro F1 on validation windows; the test part is never predicted."""

    teacher: Text | None = None  # type: ignore[assignment]
    """A run folder: its student's distillation is tuned instead of a training."""
    space: dict[str, Any] = field(default_factory=dict)
    """What is searched; space=article, student or training, or space.KEY=[...]."""
    trials: Annotated[int, Range(least=1, most=10**6)] = 12
    """Settings to try, those of earlier starts of the same search included."""
    startup: Annotated[int, Range(least=1, most=10**6)] = 5
    """Of these, drawn at random before the search learns and before any trial is pruned."""
    pruner: Literal["median", "none"] = "median"
    """median: a trial worse than the median of the others at the same epoch stops."""
    jobs: Workers = 1
    """Processes side by side on one search, here or on the cluster."""
