"""The run folder: where results lie, how they are written, how a finished run is found again."""

import functools
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from distilclip_eeg.config.experiment import RunSettings
from distilclip_eeg.config.older import differences, digest_of, read_settings, rests_on_files
from distilclip_eeg.files.digests import sign, unsign
from distilclip_eeg.files.locks import Lock
from distilclip_eeg.files.reading import check_file, damaged, read_json, read_npz, read_yaml
from distilclip_eeg.files.writing import write_json, write_npz
from distilclip_eeg.schema import ConfigError, DataError

CONFIG, DATA = "config.yaml", "data.json"
"""What a run was told and what it was made from; where either is of ours, the folder is."""
OURS = re.compile(
    r"config\.yaml|data\.json|data_report\.txt|folds\.parquet|provenance\.json|timing\.json|metrics\.json|"
    r"events\.tsv|recorded\.tsv|continuous(\.json)?|rehearsal|probes\.csv|export|fold\d+|final-\d+epochs|"
    r"sha256\.json|logs|\..+\.(tmp|old)\.([0-9a-f]{8}-)?\d+|.*\.lock"
)
"""Names that commands give to what they put into a run folder."""
CHECKED = (
    *("*.json", "*.yaml", "data_report.txt", "folds.parquet", "*.tsv", "probes.csv", "continuous/*"),
    *(
        "rehearsal/events.txt",
        "fold*/*.json",
        "fold*/*.npz",
        "fold*/*.csv",
        "fold*/*.parquet",
        "fold*/explain/*",
    ),
)
"""Small files of a run that tables and the report read."""
PREDICTED = "predictions.npz"
"""In a fold: what every window metric is computed from."""
MOST_DIFFERENCES = 6


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
        return path.exists() and (epochs is None or self.metrics(k).get("epochs", epochs) >= epochs)

    def forget(self, k: int) -> None:
        """Delete what says something of the network of fold ``k``, which is to be trained (again)."""
        fold = self.fold(k)
        for name in ("metrics.json", "continuous.parquet"):
            (fold / name).unlink(missing_ok=True)
        unsign(fold, ("metrics.json", "continuous.parquet"))
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
                ``damaged_file``: it is not what the run was made with.
        """
        path = self.path / CONFIG
        settings = read_settings(read_yaml(path), self.path)
        noted = self.data.get("digest") if (self.path / DATA).exists() else None
        if noted is not None and not rests_on_files(settings) and digest_of(settings) != noted:
            raise damaged(path, f"holds other settings than the run was made with ({DATA}: {noted})")
        return settings

    @property
    def data(self) -> dict[str, Any]:
        """``data.json``: which folds and which store it was made from, and what the audit said."""
        return read_json(self.path / DATA, "leak_note")

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
        return read_npz(self.fold(k) / PREDICTED, "part", "label", "probability_NK", "classes")

    def folds_done(self) -> list[int]:
        """Numbers of the finished folds, ascending."""
        names = (p.parent.name for p in self.path.glob("fold*/metrics.json"))
        return sorted(int(name[4:]) for name in names if re.fullmatch(r"fold\d+", name, re.ASCII))

    @property
    def part(self) -> str:
        """``2 of 5 folds`` where not all are finished; empty where all are."""
        done, asked = len(self.folds_done()), self.settings.split.n_folds
        return "" if asked is None or done >= asked else f"{done} of {asked} folds"

    @property
    def part_line(self) -> str:
        """The same as a sentence, for the top of whatever rests on these folds; empty where all are there."""
        numbers = ", ".join(map(str, self.folds_done()))
        return (
            self.part and f"{self.path.name}: {self.part} are finished ({numbers}); all below rests on these"
        )

    @property
    def ours(self) -> bool:
        """Whether the folder was written by this package: by what its config or its data say."""
        for name, read, keys in (
            (CONFIG, read_yaml, ("dataset", "model", "trainer", "split")),
            (DATA, read_json, ("leak_note", "audit")),
        ):
            with suppress(DataError):
                read(self.path / name, *keys)
                return True
        return False

    def check(self) -> None:
        """Refuse a run of which any small file is no more what was written.

        Raises:
            DataError: the first that is found.
        """
        for name in (CONFIG, DATA):
            if not (self.path / name).is_file():
                raise DataError(f"{self.path}: no run of ours (it has no {name}).", reason="no_run")
        _ = self.settings, self.data
        for pattern in CHECKED:
            for path in sorted(self.path.glob(pattern)):
                if path.is_file() and not path.name.startswith("."):
                    check_file(path)
        for fold in self.folds_done():
            self.metrics(fold)

    def begin(self, digest: str, settings: RunSettings) -> None:
        """Take the folder for a run of these settings: it is empty, or theirs; ``run.fresh`` empties it.

        Args:
            digest: of ``settings``, whose split is as the data gave it.

        Raises:
            ConfigError: ``not_ours``, or ``other_settings`` with each setting that differs.
            DataError: ``damaged_file``.
        """
        if not self.path.is_symlink() and not self.path.exists():
            return
        names = [] if not self.path.is_dir() else [p.name for p in self.path.iterdir()]
        kept = sorted(name for name in names if not OURS.fullmatch(name))
        elsewhere = self.path.is_symlink() or not self.path.is_dir()
        if elsewhere or (names and not self.ours) or (settings.run.fresh and kept):
            what = "is no folder of its own" if elsewhere else f"holds {(kept or sorted(names))[0]}"
            raise ConfigError(
                f"{self.path}: {what}, which no run of ours wrote; nothing was changed. Give another "
                "run.name or run.root, or move it away.",
                reason="not_ours",
            )
        if settings.run.fresh:
            shutil.rmtree(self.path)
        elif names:
            self._check_same(digest, settings)

    def _check_same(self, digest: str, settings: RunSettings) -> None:
        """Refuse to go on with a run of other settings.

        Raises:
            ConfigError: ``other_settings``.
        """
        made = self.settings if (self.path / CONFIG).exists() else None
        noted = self.data.get("digest") if (self.path / DATA).exists() else None
        if noted is None:  # of 0.1.0, whose name may tell, or stopped before it was noted
            noted = digest if made is None or self.path.name.endswith(digest) else digest_of(made)
        if noted == digest:
            return
        said = differences(made, settings) if made else []
        more = [f"and {len(said) - MOST_DIFFERENCES} more"] if len(said) > MOST_DIFFERENCES else []
        words = "; ".join([*said[:MOST_DIFFERENCES], *more])
        raise ConfigError(
            f"{self.path}: a run of other settings ({words or 'a file that they name has changed since'}). "
            "Give another run.name, or run.fresh=true to delete that run and start anew.",
            reason="other_settings",
        )

    def add_time(self, what: str, seconds: float) -> None:
        """Wall times live in this one file, so that everything else is the same twice."""
        path = self.path / "timing.json"
        with Lock(self.path / ".timing.lock", str(path), wait=True):  # folds may end at once
            times = read_json(path) if path.exists() else {}
            times[what] = round(times.get(what, 0.0) + seconds, 2)
            write_json(path, times)
            sign(self.path, [path.name])


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
    """Runs below ``root``, newest last; what else lies there is passed over with a line."""
    name = "metrics.json" if finished else CONFIG
    found = []
    for path in sorted(root.glob(f"*/*/{name}")):
        run = Run(path.parent)
        if all((run.path / file).is_file() for file in (CONFIG, DATA)):
            found.append(run)
        else:
            print(f"passed over: {run.path}: no run of ours (it lacks {CONFIG} or {DATA})", flush=True)
    return sorted(found, key=lambda run: ((run.path / name).stat().st_mtime, str(run.path)))


def find_scored(root: Path) -> list[Run]:
    """Runs below ``root`` with a finished fold or more; the one whose last fold ended last comes last."""

    def ended(run: Run) -> float:
        whole = run.path / "metrics.json"
        files = [whole] if whole.exists() else [run.fold(k) / "metrics.json" for k in run.folds_done()]
        return max(path.stat().st_mtime for path in files)

    found = [run for run in find_runs(root, finished=False) if run.folds_done()]
    return sorted(found, key=lambda run: (ended(run), str(run.path)))


def sound(runs: Iterable[Run]) -> list[Run]:
    """The runs whose files are whole; each other is passed over with a line that names the file."""
    kept = []
    for run in runs:
        try:
            run.check()
        except DataError as problem:
            print(f"passed over: {problem}", flush=True)
        else:
            kept.append(run)
    return kept
