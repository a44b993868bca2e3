"""Settings of a run: what train and distill are told, and what a run's ``config.yaml`` holds."""

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from distilclip_eeg.config.data import DataSettings, Device, Places
from distilclip_eeg.config.learning import DistillConfig, Learning
from distilclip_eeg.config.rules import Settings, Text, check
from distilclip_eeg.schema import ConfigError, check_choice

S = TypeVar("S", bound=Settings)


@dataclass(frozen=True, kw_only=True)
class RunConfig(Settings):
    """The run folder."""

    where: ClassVar[str] = "run"

    root: Text = "runs"
    """Folder of all runs."""
    name: str | None = None
    """Another name for the run's folder; null: model, split, seed and digest of the settings."""
    fresh: bool = False
    """true: delete this run's folder and start anew."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name is not None and (Path(self.name).name != self.name or self.name in ("", ".", "..")):
            raise ConfigError(
                f"run.name={self.name!r} must be a plain folder name, without a path.", reason="unsafe_path"
            )


@dataclass(frozen=True, kw_only=True)
class RunSettings(DataSettings, Learning):
    """Every setting of one run; functions below the command's edge take ``data``, ``learning`` or less."""

    seed: int = 0
    """Of everything random; a list: one run each."""
    fold: Any = None
    """The folds to train: one, or a list; null: all of split.n_folds."""
    n_jobs: int = -1
    """Threads that prepare recordings; -1: as many as there are cores. Never changes a number."""
    device: Device = "auto"
    """auto takes a CUDA GPU where there is one."""
    augment: str = "none"
    """Training windows varied at random: none, standard (shift, gain, channel drop and noise), or a
    registered augmentation."""
    init_from: Text | None = None
    """An exported model (export) that the network starts from, to fine-tune it."""
    ablation_reading: Literal["placement", "unimodal"] = "placement"
    """Of experiment=ablation_*: where prompts stand in the full model; unimodal: one encoder alone."""
    run: RunConfig = field(default_factory=RunConfig)
    teacher: Text | None = None
    """Of a distilled run: the teacher's run folder, or latest, the newest finished teacher run."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for k in _several(self.fold):
            check("fold", int | None, k)

    @property
    def data(self) -> DataSettings:
        """What says which windows there are, and in which part."""
        return narrowed(DataSettings, self)

    @property
    def learning(self) -> Learning:
        """What says which network is trained, and how."""
        return narrowed(Learning, self)

    def folds(self, n_folds: int | None) -> list[int]:
        """The chosen folds of ``n_folds``, checked.

        Raises:
            ConfigError: there is no such fold.
        """
        assert n_folds is not None, "the data tell how many folds there are"
        chosen = list(range(n_folds)) if self.fold is None else list(_several(self.fold))
        for k in chosen:
            check_choice("fold", k, range(n_folds))
        return chosen

    def at(self, places: Places) -> "RunSettings":
        """The same settings with data, store and device as ``places`` says."""
        store = self.store if places.store is None else replace(self.store, root=str(places.store))
        return replace(
            self,
            dataset=self.dataset.at(places.dataset),
            store=store,
            device=places.device,
            n_jobs=places.n_jobs,
        )


@dataclass(frozen=True, kw_only=True)
class TrainSettings(RunSettings):
    """Cross-validation of one model, a run a seed."""

    seed: Any = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        for seed in _several(self.seed):
            check("seed", int, seed)

    def each_seed(self) -> list[RunSettings]:
        """The settings of one run a seed."""
        return [narrowed(RunSettings, replace(self, seed=seed)) for seed in _several(self.seed)]


@dataclass(frozen=True, kw_only=True)
class DistillSettings(RunSettings):
    """A student from a finished teacher run; data, folds and seed are the teacher's."""

    teacher: Text = "latest"
    distill: DistillConfig = field(default_factory=DistillConfig)


def narrowed(cls: type[S], settings: Settings) -> S:
    """Only the fields of ``cls``."""
    return cls(**{f.name: getattr(settings, f.name) for f in fields(cls)})


def _several(value: Any) -> tuple:
    """One value, or several."""
    return tuple(value) if isinstance(value, list | tuple) else (value,)
