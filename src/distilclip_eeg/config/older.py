"""A run's ``config.yaml``, of this version or an older one, as settings; and the digest that names a run."""

import functools
import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from distilclip_eeg.config.experiment import RunSettings
from distilclip_eeg.config.rules import freeze, plain
from distilclip_eeg.config.starter import located
from distilclip_eeg.schema import ConfigError, DataError

GONE = {
    "EEGNet": ("pool_s",),
    "GGN": ("window_s", "stride_s", "max_bins"),
    "MultiSincNet": ("pool_s", "stride_s"),
}
"""Arguments that networks of 0.1.0 had and that are constants now, at what were their defaults."""

NOT_IN_DIGEST = (
    *("run", "store", "device", "n_jobs", "fold", "teacher", "ablation_reading"),
    *("jobs", "cluster", "slurm"),
)
"""Settings that never change a run's numbers, only where or how fast it is made; a teacher counts by its
weights, a reading by the settings it stands for."""
NOT_OF_TRAINER = ("epochs", "log_every", "log_with", "compile")
"""Settings of the loop that do not either: a run may go on for more epochs, or look at itself more often."""

ADDED_LATER: dict[str, Any] = {
    "augment": "none",
    "init_from": None,
    "distill": None,
    "split.purge_s": None,
    "split.table": None,
    "windows.labels": "annotations",
    "windows.context_s": 0.0,
    "windows.context": "both",
    "signals.montage": "native",
    "dataset.corpus.montage": "native",
    "dataset.corpus.missing_channels": "skip",
    "dataset.corpus.rebuild_bipolar": False,
    "dataset.corpus.links": "inside",
    "dataset.corpus.label_map": None,
    "dataset.corpus.rename": None,
    "text.context_s": None,
    "text.class_prompts": None,
    "loss.class_weights": "none",
    "loss.classification": "cross_entropy",
    "head": {"input": "eeg", "inference": "head"},
    "trainer.steps_per_epoch": None,
    "trainer.max_train_windows": None,
    "trainer.judge": "macro_f1",
    **{
        f"{side}.{key}": default
        for side in ("model.net", "text_encoder")
        for key, default in (("prompts", "deep"), ("prompt_layers", None), ("prompt_init", "normal"))
    },
    "distill.logits": "head",
    "distill.init": "random",
    "distill.cosine": 0.0,
    "distill.mse": 0.0,
    "distill.teacher_sha256": None,
}
"""A run at these values is the same run as before there was a choice. They are frozen history, not today's
defaults: a default may change, what an older run was may not."""


def read_settings(values: object, where: Path) -> RunSettings:
    """The settings of a run; what an older version did not know has its default.

    Args:
        values: what its ``config.yaml`` holds.
        where: the run folder, for messages.

    Raises:
        DataError: ``bad_config``: no settings, or some that this version does not have.
    """
    if not isinstance(values, Mapping):
        raise DataError(f"{where}/config.yaml: no settings of a run.", reason="bad_config")
    try:
        settings = freeze(RunSettings, _completed(values))
    except ConfigError as error:
        raise DataError(
            f"{where}/config.yaml: {error} It was written by another version or changed by hand; train "
            "again, or open it with the version that made it.",
            reason="bad_config",
        ) from error
    net = settings.model.net
    for name in GONE.get(net.target.rpartition(".")[2], ()):
        if name in net.arguments:
            raise DataError(
                f"{where}/config.yaml: model.net.{name} is gone. It is a constant of the network now, at "
                "what was its default. Train again, or open the run with version 0.1.0.",
                reason="bad_config",
            )
    return settings


def _completed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Older spellings as they are now; a teacher's student went by its name before it was named."""
    model = dict(values.get("model") or {})
    if model.get("kind") == "teacher" and not model.get("student"):
        model["student"] = str(model.get("name")).replace("teacher", "student")
    return {**values, "model": model}


def digest_of(settings: RunSettings) -> str:
    """Eight characters that stand for every setting that can change a number.

    A pinned table of folds counts by its bytes, an exported model to start from by its weights, wherever they
    lie; a corpus by its class and arguments, not by where its files are.
    """
    body = counted(settings)
    return hashlib.sha256(json.dumps(body, sort_keys=True, default=str).encode()).hexdigest()[:8]


def rests_on_files(settings: RunSettings) -> bool:
    """Whether the digest depends on files beside the settings, which may have moved or changed since."""
    return bool(settings.split.table or settings.init_from)


def differences(made: RunSettings, asked: RunSettings) -> list[str]:
    """The settings that can change a number and are not the same, each with both values."""
    before, now = (leaves(counted(settings)) for settings in (made, asked))
    there, here = (leaves(plain(settings)) for settings in (made, asked))
    changed = sorted(k for k in before.keys() | now.keys() if before.get(k, ...) != now.get(k, ...))
    return [f"{key}={there.get(key)} there, {here.get(key)} asked" for key in changed]


def leaves(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Leaves by their dotted names."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        deeper = isinstance(value, Mapping) and value
        found |= leaves(value, f"{prefix}{key}.") if deeper else {prefix + key: value}
    return found


def counted(settings: RunSettings) -> dict[str, Any]:
    """What the digest stands for: every setting that can change a number, defaults of before left out."""
    content = plain(settings)
    body = {k: v for k, v in content.items() if k not in NOT_IN_DIGEST}
    corpus = {k: v for k, v in body["dataset"]["corpus"].items() if k != "root"}
    body["dataset"] = {"name": body["dataset"]["name"], "corpus": corpus}
    body["model"] = {k: v for k, v in body["model"].items() if k != "student"}
    if body["model"]["meta_lr"] is None and "meta_gnn" not in settings.model.net.target:
        del body["model"]["meta_lr"]  # its own yaml has always named it
    if table := settings.split.table:
        if Path(table).is_file():
            body["split"]["table"] = hashlib.sha256(Path(table).read_bytes()).hexdigest()
    if settings.init_from:
        with suppress(OSError, ValueError, KeyError, TypeError):  # no export there: told where it is opened
            about = json.loads((located(settings.init_from) / "config.json").read_text(encoding="utf-8"))
            body["init_from"] = [about["weights"], about["text"]]
    if settings.model.kind == "floor":  # which has neither epochs nor an optimiser
        body["trainer"] = body["optim"] = {}
    body["trainer"] = {k: v for k, v in body["trainer"].items() if k not in NOT_OF_TRAINER}
    body["text_encoder"] = {k: v for k, v in body["text_encoder"].items() if k != "path"}
    if body["text_encoder"].get("offline", True) is None:
        body["text_encoder"]["offline"] = True  # as it was before BERT-base was fetched unasked
    for name, default in ADDED_LATER.items():
        *path, key = name.split(".")
        section = functools.reduce(lambda tree, part: tree.get(part) or {}, path, body)
        if key in section and section[key] == default:
            del section[key]
    return body
