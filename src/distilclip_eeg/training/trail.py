"""Where the numbers of a fold's training go beside ``history.csv``: accelerate's trackers, one run a fold.

A training that was stopped goes on in the same run: TensorBoard is told which steps are void, the others are
not told again what they have. Nothing here draws a random number or changes one of the training.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import numpy as np
from accelerate.tracking import AimTracker, GeneralTracker, MLflowTracker, TensorBoardTracker, WandBTracker
from accelerate.utils import (
    is_aim_available,
    is_mlflow_available,
    is_tensorboard_available,
    is_wandb_available,
)
from torch.utils.tensorboard.summary import hparams

from distilclip_eeg.files.digests import write_atomic
from distilclip_eeg.files.folders import make_folder
from distilclip_eeg.schema import ConfigError

Kind = Literal["tensorboard", "wandb", "mlflow", "aim", "none"]
PROJECT = "distilclip-eeg"
"""What W&B and MLflow file the runs under."""
STATE = "run.json"
"""In ``fold<k>/<kind>``, of a tracker that keeps its runs elsewhere: which is ours, and how far it is."""
AVAILABLE = {
    "tensorboard": is_tensorboard_available,
    "wandb": is_wandb_available,
    "mlflow": is_mlflow_available,
    "aim": is_aim_available,
}


BRING = {
    "tensorboard": "pip install 'distilclip-eeg[train]'",
    "wandb": "pip install 'distilclip-eeg[wandb]'",
    "mlflow": "pip install mlflow-skinny",
    "aim": "pip install aim",
}
"""Two are no extras: what they ask of protobuf and filelock does not go with our pins."""


def check_tracker(kind: str) -> None:
    """Refuse a tracker whose library is not installed.

    Raises:
        ConfigError: ``no_tracker``.
    """
    if kind != "none" and not AVAILABLE[kind]():
        raise ConfigError(
            f"trainer.log_with={kind} needs {kind}, which is not installed: {BRING[kind]}",
            reason="no_tracker",
            mend=BRING[kind],
        )


class Trail:
    """One fold's run in a tracker.

    Args:
        kind: as ``trainer.log_with``; ``none`` notes nothing.
        folder: of the fold.
        settings: what the run was told, by dotted names.
        classes: of the confusion figure.
    """

    def __init__(self, kind: str, folder: Path, settings: Mapping[str, Any], classes: tuple[str, ...]):
        self.kind, self.folder, self.classes = kind, folder, classes
        as_is = bool | int | float | str
        self.settings = {k: v if isinstance(v, as_is) else str(v) for k, v in settings.items()}
        self.tracker: GeneralTracker | None = None
        self.told = -1
        """The last step that an earlier process told, which is not told again."""

    @contextmanager
    def open(self, step: int) -> Iterator[None]:
        """The run, begun or gone on with, where ``step`` steps are done; closed on leaving."""
        if self.kind != "none":
            self.tracker = self.begun(step)
        try:
            yield
        finally:
            if self.tracker is not None:
                self.tracker.finish()
                self.tracker = None

    def begun(self, step: int) -> GeneralTracker:
        """The tracker at work, with the settings told."""
        place, name = self.folder / self.kind, f"{self.folder.parent.name}/{self.folder.name}"
        if self.kind == "tensorboard":
            void = {"purge_step": step + 1} if place.exists() else {}
            tracker = TensorBoardTracker(self.kind, self.folder, **void)
            tracker.start()
            # accelerate's own way makes a folder and an event file more; TensorBoard wants them in this one.
            for part in hparams(self.settings, {}):
                tracker.writer.file_writer.add_summary(part)
            return tracker
        known = self.known(place / STATE) if step else {}
        self.told = known.get("step", -1)
        run = known.get("id")
        if self.kind == "wandb":
            run = run or uuid4().hex[:12]
            tracker = WandBTracker(PROJECT, name=name, id=run, resume="allow", dir=str(self.folder))
        elif self.kind == "mlflow":
            tracker = MLflowTracker(PROJECT, run_id=run, run_name=name)
        else:
            tracker = AimTracker(name, **({"run_hash": run} if run else {}))
        tracker.start()
        if run is None:
            run = tracker.tracker.info.run_id if self.kind == "mlflow" else tracker.tracker.hash
        self.run = run
        if not known:
            tracker.store_init_configuration(dict(self.settings))
        return tracker

    @staticmethod
    def known(path: Path) -> dict[str, Any]:
        """What an earlier process noted of its run; nothing where there was none."""
        with suppress(OSError, ValueError):
            return dict(json.loads(path.read_text(encoding="utf-8")))
        return {}

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Numbers by name, after ``step`` steps."""
        if self.tracker is None or step <= self.told:
            return
        self.tracker.log({name: float(value) for name, value in values.items()}, step=step)
        if self.kind != "tensorboard":
            place = self.folder / self.kind
            make_folder(place)
            write_atomic(place / STATE, json.dumps({"id": self.run, "step": step}).encode())

    def confusion(self, counts_KK: np.ndarray, step: int) -> None:
        """The confusion of validation windows by the weights that are kept, counts (K, K), as a figure."""
        if self.tracker is None:
            return
        # A tenth of a command's start is matplotlib's, and the first figure is drawn when a fold ends.
        from distilclip_eeg.report.confusion import as_image, matrix

        name, figure = "val/confusion", matrix(counts_KK, self.classes)
        if self.kind == "mlflow":
            self.tracker.log_figure(figure, f"{name}.png")
        elif self.kind == "tensorboard":
            self.tracker.log_images({name: as_image(figure)[None]}, step=step, dataformats="NHWC")
        elif self.kind == "wandb":
            self.tracker.log_images({name: [as_image(figure)]}, step=step)
        else:
            self.tracker.log_images({name: as_image(figure)}, step=step)
