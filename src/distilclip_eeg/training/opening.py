"""A run before its training: what it is made of, where it will lie, and its folder begun."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from distilclip_eeg.config.experiment import RunSettings
from distilclip_eeg.config.older import digest_of
from distilclip_eeg.config.rules import plain
from distilclip_eeg.files.digests import digests, sign, write_atomic
from distilclip_eeg.files.folders import make_folder, remove_left
from distilclip_eeg.files.writing import write_json, write_yaml
from distilclip_eeg.runs import Run, provenance
from distilclip_eeg.schema import DataError
from distilclip_eeg.signals import splits
from distilclip_eeg.training import processes
from distilclip_eeg.training.crossval import CrossValidation, MakeTask
from distilclip_eeg.training.data import Data, describe_data

SIGNED = ("config.yaml", "data.json", "data_report.txt", "folds.parquet", "provenance.json")
"""Files of a run behind a digest; ``metrics.json`` comes last."""


@dataclass(frozen=True)
class Planned:
    """A run whose settings are checked and whose data are read; its folder is not touched yet."""

    settings: RunSettings
    data: Data
    folds: list[int]
    """The chosen ones."""
    tasks: Callable[[Data], MakeTask]
    """How the folds of these data are learned, or of some of their windows."""
    about: Mapping[str, Any] = field(default_factory=dict)
    """More of ``data.json``."""

    @property
    def run(self) -> Run:
        """Where it will lie, or lies."""
        return run_of(self.settings, self.data)[0]

    def begin(self) -> CrossValidation:
        """The run with its folder begun, or found again.

        Raises:
            ConfigError, DataError: see :func:`written_run`.
        """
        run = open_run(self.settings, self.data, **self.about)
        print(f"run folder: {run.path}", flush=True)
        return CrossValidation(self.settings.learning, self.data, run, self.folds, self.tasks(self.data))


def run_of(settings: RunSettings, data: Data) -> tuple[Run, str]:
    """The run of these settings and its digest."""
    settings = replace(settings, split=data.split)
    digest = digest_of(settings)
    name = (settings.run.name or "").replace("{digest}", digest) or "-".join(
        (settings.model.name, data.split.name, f"s{settings.seed}", digest)
    )
    return Run(Path(settings.run.root) / settings.dataset.name / name), digest


def open_run(settings: RunSettings, data: Data, **extra: object) -> Run:
    """The run's folder as the first process writes it, see :func:`written_run`; the same in all."""
    return Run(processes.from_first(lambda: written_run(settings, data, **extra).path))


def written_run(settings: RunSettings, data: Data, **extra: object) -> Run:
    """The run's folder, with config, provenance and folds written; continued where it already stands.

    Args:
        settings: written as they are into ``config.yaml``, the split as the data gave it.
        extra: more of ``data.json``.

    Raises:
        ConfigError: ``other_settings`` or ``not_ours``: the folder is another run's, or no run's.
        DataError: ``data_changed``: it was made from other data or folds.
    """
    settings = replace(settings, split=data.split)
    run, digest = run_of(settings, data)
    run.begin(digest, settings)
    info = {
        "digest": digest,
        **made_from(data),
        "audit": data.audit,
        "leak_note": data.leak_note,
        "windows": plain(data.cut),
        **extra,
    }
    if (run.path / "data.json").exists():
        check_made_from(run, info)
    make_folder(run.path)
    remove_left(run.path)
    write_yaml(run.path / "config.yaml", plain(settings))
    write_json(run.path / "data.json", info)
    if not (run.path / "provenance.json").exists():
        write_atomic(run.path / "data_report.txt", f"{describe_data(data)}\n".encode())
        write_atomic(run.path / "folds.parquet", data.windows.to_parquet())
        write_json(run.path / "provenance.json", provenance())  # last: with it, the other two are whole
    known = digests(run.path)  # of what was not written now: a digest is never renewed for changed bytes
    sign(run.path, [name for name in SIGNED if name not in known])
    return run


def made_from(data: Data) -> dict[str, str]:
    """Stands for the data and the folds."""
    return {
        "folds_sha256": splits.folds_hash(data.windows),
        "store_digest": data.store.manifest["digest"],
    }


def check_made_from(run: Run, info: Mapping[str, Any]) -> None:
    """Refuse to go on with a run of other data or folds.

    Raises:
        DataError: ``data_changed``.
    """
    before = run.data
    if any(before.get(key) != info[key] for key in ("folds_sha256", "store_digest")):
        raise DataError(
            f"{run.path}: was made from other data or folds than are there now. Add run.fresh=true to "
            "start anew, or run.name=… to keep both.",
            reason="data_changed",
        )
