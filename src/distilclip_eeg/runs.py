"""The run folder: where results lie, how they are written, how a finished run is found again."""

import functools
import io
import json
import os
import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from distilclip_eeg.config.experiment import RunSettings
from distilclip_eeg.config.older import read_settings
from distilclip_eeg.schema import DataError


def write_atomic(path: Path, data: bytes) -> None:
    """Write, flush to disk, rename: a reader sees the old file or the new one, never half of it.

    Raises:
        DataError: ``write_failed``.
    """
    temporary = path.with_name(f".{path.name}.tmp.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise DataError(
            f"{path} could not be written ({error}). What was there before is intact.", reason="write_failed"
        ) from error


def write_json(path: Path, content: object) -> None:
    """Plain values, keys sorted, so that the same content is the same bytes."""
    write_atomic(path, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """A table without its index, in the one form that every CSV of this package has."""
    write_atomic(path, table.to_csv(index=False).encode())


def write_yaml(path: Path, content: dict) -> None:
    """Plain values, keys in the order they have."""
    write_atomic(path, yaml.safe_dump(content, sort_keys=False).encode())


def write_npz(path: Path, **arrays: Any) -> None:
    """Arrays by name, uncompressed; a number or a text becomes an array of one."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_atomic(path, buffer.getvalue())


def read_json(path: Path) -> dict:
    """What ``write_json`` wrote.

    Raises:
        OSError, ValueError: there is no such file, or no JSON in it.
    """
    return json.loads(path.read_text(encoding="utf-8"))


class Run:
    """``runs/<dataset>/<model>-<split>-s<seed>-<digest8>/``."""

    def __init__(self, path: Path):
        self.path = path

    def fold(self, k: int) -> Path:
        """Folder of one fold."""
        return self.path / f"fold{k}"

    def fold_done(self, k: int, epochs: int | None = None) -> bool:
        """Whether fold ``k`` is finished, for at least ``epochs`` epochs where that is given."""
        path = self.fold(k) / "metrics.json"
        return path.exists() and (epochs is None or read_json(path).get("epochs", epochs) >= epochs)

    def forget(self, k: int) -> None:
        """Delete what says something of the network of fold ``k``, which is to be trained (again)."""
        fold = self.fold(k)
        for name in ("metrics.json", "continuous.parquet"):
            (fold / name).unlink(missing_ok=True)
        for folder in (fold / "explain", self.path / "continuous", self.path / "rehearsal"):
            shutil.rmtree(folder, ignore_errors=True)

    @property
    def finished(self) -> bool:
        """Whether all its folds are done and summed up."""
        return (self.path / "metrics.json").exists()

    @functools.cached_property
    def settings(self) -> RunSettings:
        """What it was told, read once.

        Raises:
            DataError: ``bad_config``: it is no run's, or of a version that knew other settings.
        """
        path = self.path / "config.yaml"
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, yaml.YAMLError) as error:
            raise DataError(
                f"{path}: cannot be read ({type(error).__name__}).", reason="bad_config"
            ) from None
        return read_settings(values, self.path)

    @property
    def data(self) -> dict[str, Any]:
        """``data.json``: which folds and which store it was made from, and what the audit said."""
        return read_json(self.path / "data.json")

    def metrics(self, k: int) -> dict[str, Any]:
        """``metrics.json`` of fold ``k``, which is finished."""
        return read_json(self.fold(k) / "metrics.json")

    @property
    def seconds(self) -> float:
        """Wall time of its folds, as far as it was noted."""
        path = self.path / "timing.json"
        times = read_json(path) if path.exists() else {}
        return sum(value for name, value in times.items() if name.startswith("fold"))

    def predictions(self, k: int) -> dict[str, np.ndarray]:
        """What ``write_predictions`` wrote for fold ``k``: its arrays by name."""
        with np.load(self.fold(k) / "predictions.npz", allow_pickle=False) as file:
            return dict(file)

    def folds_done(self) -> list[int]:
        """Numbers of the finished folds, ascending."""
        return sorted(int(p.parent.name[4:]) for p in self.path.glob("fold*/metrics.json"))

    def add_time(self, what: str, seconds: float) -> None:
        """Wall times live in this one file, so that everything else is the same twice."""
        path = self.path / "timing.json"
        times = read_json(path) if path.exists() else {}
        times[what] = round(times.get(what, 0.0) + seconds, 2)
        write_json(path, times)


def write_predictions(
    path: Path, windows: pd.DataFrame, part: np.ndarray, logits_NK: np.ndarray, classes: tuple[str, ...]
) -> None:
    """The one file every window metric is computed from.

    Args:
        windows: window_id, recording_name, subject, start_s, label of the N predicted windows.
        part: ``val`` or ``test`` for each.
    """
    shifted = logits_NK - logits_NK.max(1, keepdims=True)
    probability = np.exp(shifted) / np.exp(shifted).sum(1, keepdims=True)
    write_npz(
        path,
        part=part.astype("U4"),
        window_id=windows["window_id"].to_numpy(),
        recording=windows["recording_name"].to_numpy().astype("U"),
        subject=windows["subject"].to_numpy().astype("U"),
        start_s=windows["start_s"].to_numpy(),
        label=windows["label"].to_numpy(),
        probability_NK=probability.astype(np.float32),
        logits_NK=logits_NK.astype(np.float32),
        classes=np.array(classes),
    )


def provenance() -> dict:
    """Versions, code state and kind of machine; no host or user name."""
    libraries = (
        "torch",
        "transformers",
        "accelerate",
        "numpy",
        "scipy",
        "scikit-learn",
        "mne",
        "timescoring",
        "distilclip-eeg",
    )
    return {
        "libraries": {name: version(name) for name in libraries},
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "commit": commit(),
    }


def public_command(script: str, words: tuple[str, ...]) -> str:
    """What to type again; the shared folder by its variable, so that no machine is named."""
    text = f"python {script} {' '.join(words)}"
    shared = os.environ.get("DISTILCLIP_EEG_SHARED")
    return text.replace(shared, "$DISTILCLIP_EEG_SHARED") if shared else text


def commit() -> str:
    """The code's git commit, with ``+`` where files were changed; empty outside a checkout."""
    here = Path(__file__).parent
    try:
        head = subprocess.run(
            ["git", "-C", here, "rev-parse", "--short", "HEAD"], capture_output=True, text=True
        )
        dirty = subprocess.run(
            ["git", "-C", here, "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
        )
    except OSError:
        return ""
    return head.stdout.strip() + ("+" if dirty.stdout.strip() else "") if head.returncode == 0 else ""


def find_runs(root: Path, *, finished: bool = True) -> list[Run]:
    """Runs below ``root``, newest last."""
    name = "metrics.json" if finished else "config.yaml"
    found = [Run(p.parent) for p in root.glob(f"*/*/{name}")]
    return sorted(found, key=lambda run: ((run.path / name).stat().st_mtime, str(run.path)))
