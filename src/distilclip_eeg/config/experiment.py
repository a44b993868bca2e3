"""Settings of a run: what train and distill are told, and what a run's ``config.yaml`` holds."""

from dataclasses import dataclass, field, fields, replace
from typing import Any, ClassVar, Literal, TypeVar

from distilclip_eeg.config.data import DataSettings, Device, Places
from distilclip_eeg.config.learning import DistillConfig, Learning
from distilclip_eeg.config.ranges import Fold, Jobs, Seed, Text, Workers
from distilclip_eeg.config.rules import Settings, check, check_name
from distilclip_eeg.schema import ConfigError, check_choice

S = TypeVar("S", bound=Settings)
Cluster = Literal["slurm", "local", "debug"]


@dataclass(frozen=True, kw_only=True)
class RunConfig(Settings):
    """The run folder."""

    where: ClassVar[str] = "run"

    root: Text = "runs"
    """Folder of all runs."""
    name: str | None = None
    """Another name for the run's folder; null: model, split, seed and digest of the settings. It belongs to
    these settings; {digest} in it stands for them, and sweeps and several seeds add what tells them apart."""
    fresh: bool = False
    """true: delete this run's folder and start anew; nothing but a run is deleted."""
    dry: bool = False
    """true: say what the run will cost, measured on a throwaway copy of its first fold, and stop there;
    nothing is written into its folder."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name is not None:
            check_name("run.name", self.name)

    def apart(self, what: str) -> "RunConfig":
        """The same with ``what`` behind the name, where one is given."""
        return self if self.name is None else replace(self, name=f"{self.name}-{what}")


@dataclass(frozen=True, kw_only=True)
class RunSettings(DataSettings, Learning):
    """Every setting of one run; functions below the command's edge take ``data``, ``learning`` or less."""

    seed: Seed = 0
    """Of everything random; a list: one run each."""
    fold: Any = None
    """The folds to train: one, or a list; null: all of split.n_folds."""
    n_jobs: Jobs = -1
    """Threads that prepare recordings; -1: as many as there are cores. Never changes a number."""
    device: Device = "auto"
    """auto takes a CUDA GPU where there is one."""
    augment: str = "none"
    """Training windows varied at random: none, standard (shift, gain, channel drop and noise), gain, drop,
    shift, band_noise, redraw (channels drawn anew from a window's own), several of these with + between, or a
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
        _not_empty("fold", self.fold)
        for k in _several(self.fold):
            check("fold", Fold | None, k)

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
class SideBySide(Settings):
    """How several trainings share this machine or a cluster."""

    jobs: Workers = 1
    """Folds and seeds at a time: processes here, or jobs of the queue. Of several GPUs here each process
    takes the next; on one they share it."""
    cluster: Cluster | None = None
    """slurm, through submitit (extra sweep); local: its processes on this machine; null: none."""
    slurm: dict[str, Any] = field(default_factory=dict)
    """slurm.partition=, slurm.gpus_per_node= and sbatch's other settings, as submitit names them."""

    @property
    def alone(self) -> bool:
        """Whether everything is done in this process, one after the other."""
        return self.jobs == 1 and self.cluster is None


@dataclass(frozen=True, kw_only=True)
class TrainSettings(RunSettings, SideBySide):
    """Cross-validation of one model, a run a seed."""

    seed: Any = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        _not_empty("seed", self.seed)
        for seed in _several(self.seed):
            check("seed", Seed, seed)

    def each_seed(self) -> list[RunSettings]:
        """The settings of one run a seed, each in a folder of its own."""
        seeds = _several(self.seed)
        runs = [self.run.apart(f"s{seed}") if len(seeds) > 1 else self.run for seed in seeds]
        return [
            narrowed(RunSettings, replace(self, seed=seed, run=run))
            for seed, run in zip(seeds, runs, strict=True)
        ]


@dataclass(frozen=True, kw_only=True)
class DistillSettings(RunSettings, SideBySide):
    """A student from a finished teacher run; data, folds and seed are the teacher's."""

    teacher: Text = "latest"
    distill: DistillConfig = field(default_factory=DistillConfig)


def narrowed(cls: type[S], settings: Settings) -> S:
    """Only the fields of ``cls``."""
    return cls(**{f.name: getattr(settings, f.name) for f in fields(cls)})


def _not_empty(name: str, value: Any) -> None:
    if isinstance(value, list | tuple) and not value:
        raise ConfigError(f"{name}=[]: nothing to do; expected one number, or several.")


def _several(value: Any) -> tuple:
    """One value, or several."""
    return tuple(value) if isinstance(value, list | tuple) else (value,)
