"""A fold's network on disk: safetensors weights and the plain JSON that says how to build what they fit.

Nothing that a file names is executed beyond this package's own classes (``config.build``).
"""

import hashlib
from pathlib import Path

from safetensors.torch import load, save
from torch import Tensor, nn

from distilclip_eeg.config.compose import build
from distilclip_eeg.runs import read_json, write_atomic, write_json
from distilclip_eeg.schema import ConfigError, DataError

WEIGHTS, ABOUT, TEXT = "model.safetensors", "model.json", "text.safetensors"
SIZES = ("n_chans", "n_times", "sfreq", "n_outputs")


def save_network(folder: Path, net: nn.Module, about: dict) -> None:
    """Inference weights, then what they are; ``about`` holds ``net``, as ``build`` takes it, and sizes."""
    body = save({k: v.detach().cpu().contiguous() for k, v in net.state_dict().items()})
    write_atomic(folder / WEIGHTS, body)
    write_json(folder / ABOUT, {**about, "sha256": hashlib.sha256(body).hexdigest()})


def load_network(folder: Path) -> nn.Module:
    """The network of one fold as ``load_encoder`` gives it, unless it cannot answer without text."""
    head = read_json(folder / ABOUT).get("needs_text")
    if head:
        raise DataError(
            f"{folder}: this model's head reads descriptions (head.input={head}), so its EEG side alone "
            "answers nothing. Train with head.input=eeg.",
            reason="needs_text",
        )
    return load_encoder(folder)


def load_encoder(folder: Path) -> nn.Module:
    """What a fold kept of its EEG side, in eval mode, its weights checked against the digest beside them."""
    about = read_json(folder / ABOUT)
    body = (folder / WEIGHTS).read_bytes()
    if hashlib.sha256(body).hexdigest() != about["sha256"]:
        raise DataError(
            f"{folder / WEIGHTS}: not the weights its {ABOUT} describes (sha256 differs). Train that fold "
            "again.",
            reason="weights_changed",
        )
    net = build(about["net"], **{k: about[k] for k in SIZES})
    net.load_state_dict(load(body))
    return net.eval()


def check_start(folder: Path, ours: dict) -> None:
    """Refuse to start from an exported model that means something else by its input or output.

    Args:
        ours: ``ch_names``, ``classes``, ``n_times`` and ``sfreq`` of the data to train on.
    """
    try:
        about = read_json(folder / "config.json")
        theirs = about["recipe"] | {"sfreq": about["recipe"]["signals"]["sfreq"]}
        members = len(about["weights"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(
            f"init_from={folder}: no exported model. Make one with scripts/export.py.", reason="no_folder"
        ) from None
    for key, value in ours.items():
        value = list(value) if isinstance(value, tuple) else value
        if theirs[key] != value:
            raise ConfigError(
                f"init_from={folder}: its {key} are {theirs[key]}, those of the data {value}. Train with the "
                "exported model's montage, rate, window and classes.",
                reason="init_differs",
            )
    if members > 1:
        raise ConfigError(f"init_from={folder} is an ensemble. Export one network: weights=final.")


def start_from(net: nn.Module, folder: Path) -> nn.Module:
    """``net`` with the weights of an exported model; returns it."""
    state = exported_weights(folder, read_json(folder / "config.json")["weights"][0])
    take(net, state | {k: None for k in net.state_dict() if k not in state}, folder)
    return net


def start_text(model: nn.Module, tokenizer: str, folder: Path) -> bool:
    """Give a freshly built teacher the exported one's text side as well, where it reads the same words.

    Args:
        tokenizer: the fresh one's, as ``text.tokenizer.save_tokenizer`` gives it.
    """
    text = read_json(folder / "config.json")["text"]
    same = text is not None and hashlib.sha256(tokenizer.encode()).hexdigest() == text["tokenizer"]["sha256"]
    if same:
        take(model, exported_weights(folder, text["weights"]), folder)
    return same


def exported_weights(folder: Path, named: dict) -> dict[str, Tensor]:
    """Tensors of a file of an exported model, checked by its hash."""
    body = (folder / named["file"]).read_bytes()
    if hashlib.sha256(body).hexdigest() != named["sha256"]:
        raise DataError(
            f"init_from={folder}: {named['file']} is not the file config.json describes (sha256 differs). "
            "Export again.",
            reason="weights_changed",
        )
    return load(body)


def take(module: nn.Module, state: dict[str, Tensor | None], folder: Path) -> None:
    """Put ``state`` into ``module``, which must have every tensor of it in the same shape."""
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
    """Put the saved text side into a freshly built teacher; its EEG side stays as it is."""
    _, unexpected = model.load_state_dict(load((folder / TEXT).read_bytes()), strict=False)
    unexpected = [k for k in unexpected if k not in dict(model.named_buffers())]  # BERT's position ids
    if unexpected:
        raise DataError(
            f"{folder / TEXT} does not fit its run's text_encoder ({unexpected[0]}).", reason="text_state"
        )
