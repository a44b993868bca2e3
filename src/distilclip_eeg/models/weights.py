"""A fold's network on disk: safetensors weights and the plain JSON that says how to build what they fit.

Nothing that a file names is executed beyond this registered parts (``registry``).
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from distilclip_eeg.artefact.folder import Folder, load_folder
from distilclip_eeg.config.component import Component
from distilclip_eeg.files.digests import write_atomic
from distilclip_eeg.files.reading import damaged, read_bytes, read_json
from distilclip_eeg.files.writing import write_json
from distilclip_eeg.models.contract import with_classifier
from distilclip_eeg.schema import ConfigError, DataError

WEIGHTS, ABOUT, TEXT = "model.safetensors", "model.json", "text.safetensors"
RETRAIN = "Train that fold again."
SIZES = ("n_chans", "n_times", "sfreq", "n_outputs")
NO_EXPORT = ("no_folder", "bad_folder", "format")
"""Reasons of ``load_folder`` that mean something else is there."""


def save_network(folder: Path, net: nn.Module, about: dict) -> None:
    """Inference weights, then what they are; ``about`` holds ``net``, as ``build`` takes it, and sizes."""
    body = save({k: v.detach().cpu().contiguous() for k, v in net.state_dict().items()})
    write_atomic(folder / WEIGHTS, body)
    write_json(folder / ABOUT, {**about, "sha256": hashlib.sha256(body).hexdigest()})


def load_network(folder: Path) -> nn.Module:
    """The network of one fold as ``load_encoder`` gives it, unless it cannot answer without text.

    Raises:
        DataError: ``needs_text``, or ``weights_changed``.
    """
    head = read_json(folder / ABOUT, *SIZES, "net", "sha256").get("needs_text")
    if head:
        raise DataError(
            f"{folder}: this model's head reads descriptions (head.input={head}), so its EEG side alone "
            "answers nothing. Train with head.input=eeg.",
            reason="needs_text",
        )
    return load_encoder(folder)


def load_encoder(folder: Path) -> nn.Module:
    """What a fold kept of its EEG side, in eval mode, its weights checked against the digest beside them.

    Raises:
        DataError: ``weights_changed``.
    """
    about = read_json(folder / ABOUT, *SIZES, "net", "sha256")
    body = read_bytes(folder / WEIGHTS)
    if hashlib.sha256(body).hexdigest() != about["sha256"]:
        raise DataError(
            f"{folder / WEIGHTS}: not the weights its {ABOUT} describes (sha256 differs). Train that fold "
            "again.",
            reason="weights_changed",
        )
    net = with_classifier(Component.of(about["net"], "model.json: net"), {k: about[k] for k in SIZES})
    try:
        net.load_state_dict(load(body))
    except (RuntimeError, SafetensorError) as error:  # names and shapes of another network
        said = " ".join(str(error).split())[:120]
        raise damaged(folder / WEIGHTS, f"does not fit the network of {ABOUT} ({said})", RETRAIN) from None
    return net.eval()


def check_start(folder: Path | str, ours: dict) -> None:
    """Refuse to start from an exported model that means something else by its input or output.

    Args:
        ours: ``ch_names``, ``classes``, ``n_times`` and ``sfreq`` of the data to train on.

    Raises:
        ConfigError: ``no_folder``, ``init_differs``, or it is an ensemble.
        DataError: the folder was changed since its export.
    """
    folder = Path(folder)
    try:
        start = load_folder(folder)
    except (OSError, DataError) as error:
        if getattr(error, "reason", "no_folder") not in NO_EXPORT:
            raise
        raise ConfigError(
            f"init_from={folder}: no exported model. Make one with scripts/export.py.", reason="no_folder"
        ) from None
    theirs = start.recipe.as_json() | {"sfreq": start.recipe.signals.sfreq}
    for key, value in ours.items():
        value = list(value) if isinstance(value, tuple) else value
        if theirs[key] != value:
            do = "Train with the exported model's montage, rate, window and classes."
            if key == "classes":
                do = "Say what the words of your table count as: dataset.label_map={WORD: CLASS, ...}."
            raise ConfigError(
                f"init_from={folder}: its {key} are {theirs[key]}, those of the data {value}. {do}",
                reason="init_differs",
            )
    if start.members > 1:
        raise ConfigError(f"init_from={folder} is an ensemble. Export one network: weights=final.")


def start_from(net: nn.Module, folder: Path) -> nn.Module:
    """``net`` with the weights of an exported model, whose only network it is like; returns it.

    Raises:
        ConfigError: ``init_differs``, a tensor that is not the same in both.
        DataError: the folder is damaged.
    """
    state = exported(load_folder(folder), 0)
    take(net, state | {k: None for k in net.state_dict() if k not in state}, folder)
    return net


def start_text(model: nn.Module, tokenizer: str, folder: Path) -> bool:
    """Give a freshly built teacher the exported one's text side as well, where it reads the same words.

    Args:
        tokenizer: the fresh one's, as ``text.tokenizer.save_tokenizer`` gives it.

    Returns:
        Whether it does.

    Raises:
        ConfigError: ``init_differs``, a tensor that is not the same in both.
        DataError: the folder is damaged.
    """
    start = load_folder(folder)
    same = start.reads_as(tokenizer)
    if same:
        take(model, exported(start, None), folder)
    return same


def exported(start: Folder, member: int | None) -> dict[str, Tensor]:
    """Tensors of an exported model, checked by their file's hash.

    Args:
        member: which of its networks; None: its text side.

    Raises:
        DataError: ``weights_changed``, or the file is not there.
    """
    try:
        return load(start.text_weights() if member is None else start.weights(member))
    except DataError as error:
        if error.reason != "file_changed":
            raise
        raise DataError(f"init_from={start.path}: {error}", reason="weights_changed") from error


def take(module: nn.Module, state: Mapping[str, Tensor | None], folder: Path) -> None:
    """Put ``state`` into ``module``, which must have every tensor of it in the same shape.

    Raises:
        ConfigError: ``init_differs``.
    """
    own = module.state_dict()
    for name, value in state.items():
        if name not in own or value is None or own[name].shape != value.shape:
            raise ConfigError(
                f"init_from={folder}: {name} is not the same there and in this model. Choose the exported "
                "model's own preset and sizes.",
                reason="init_differs",
            )
    module.load_state_dict(state, strict=False)


def save_text(folder: Path, state: dict[str, Tensor]) -> None:
    """What training changed of the text side."""
    write_atomic(folder / TEXT, save({k: v.contiguous() for k, v in state.items()}))


def load_text(folder: Path, model: nn.Module) -> None:
    """Put the saved text side into a freshly built teacher; its EEG side stays as it is.

    Raises:
        DataError: ``text_state``, a tensor that the teacher has no place for; ``file_changed``.
    """
    body = read_bytes(folder / TEXT)
    try:
        _, unexpected = model.load_state_dict(load(body), strict=False)
    except (RuntimeError, SafetensorError) as error:
        said = " ".join(str(error).split())[:120]
        raise damaged(folder / TEXT, f"does not fit its run's text_encoder ({said})", RETRAIN) from None
    unexpected = [k for k in unexpected if k not in dict(model.named_buffers())]  # BERT's position ids
    if unexpected:
        raise DataError(
            f"{folder / TEXT} does not fit its run's text_encoder ({unexpected[0]}).", reason="text_state"
        )
