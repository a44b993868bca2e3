"""An exported model in torch: ``DistilCLIPEEG.from_pretrained(FOLDER)``."""

import copy
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from distilclip_eeg.artefact.folder import CARD, Folder, entry, write_folder
from distilclip_eeg.artefact.recipe import Recipe
from distilclip_eeg.config.component import Component
from distilclip_eeg.deploy.hub import opened, push_to_hub
from distilclip_eeg.deploy.text_side import TextSide
from distilclip_eeg.files.reading import read_text
from distilclip_eeg.models.contract import Encoder, with_classifier
from distilclip_eeg.models.weights import SIZES
from distilclip_eeg.schema import ConfigError, DataError

CHANGED = "\n**The weights were changed after the export: no score on this page belongs to them.**\n"
Net = TypeVar("Net", bound=nn.Module)


class Ensemble(nn.Module):
    """Several networks as one: the mean of their probabilities, as logits."""

    def __init__(self, nets: Sequence[nn.Module]):
        super().__init__()
        self.nets = nn.ModuleList(nets)

    def forward(self, eeg_BCT: Tensor) -> Tensor:
        """Class logits, (B, K)."""
        logs_NBK = torch.stack([net(eeg_BCT).log_softmax(-1) for net in self.nets])
        return logs_NBK.logsumexp(0) - np.log(len(self.nets))


class DistilCLIPEEG(nn.Module):
    """A trained network with its recipe, card and, of a teacher, its text encoder; in eval mode.

    ``recipe`` says what a recording must become first: filter, channels, window, normalisation, threshold.
    Research software, not a medical device.

    Args:
        nets: one network, or the members of an ensemble.
        text: the text side, where there is one and it was asked for.
        about: ``config.json`` of the folder it came from, or will go to.
        card: ``card.md`` likewise.
    """

    def __init__(
        self, nets: Sequence[nn.Module], recipe: Recipe, text: TextSide | None, about: dict, card: str
    ):
        super().__init__()
        self.net = together(nets)
        self.text, self.recipe, self.about, self.card = text, recipe, about, card
        self.eval()

    @classmethod
    def from_pretrained(cls, folder_or_hub_id: str | Path, *, revision: str | None = None) -> "DistilCLIPEEG":
        """Load an exported folder, or fetch one from the hub by its id, such as ``owner/name``.

        Nothing is executed and every file is checked by its SHA-256; a folder on disk needs no network.

        Args:
            revision: branch, tag or, to get the same bytes for ever, commit of a hub id.

        Raises:
            ConfigError, DataError: as :func:`distilclip_eeg.deploy.hub.opened`.
        """
        return cls.from_folder(opened(folder_or_hub_id, revision))

    @classmethod
    def from_folder(cls, folder: Folder, *, text: bool = True) -> "DistilCLIPEEG":
        """The model of a folder already read; ``text=False`` leaves the text side on the disk."""
        model = folder.about["model"]
        nets = [
            filled(
                lambda: with_classifier(
                    Component.of(model["net"], "model.net"), {k: model[k] for k in SIZES}
                ),
                folder.read(named),
                folder.path / named["file"],
            )
            for named in folder.about["weights"]
        ]
        side, about = None, folder.about["text"] if text else None
        if about:
            tokenizer = folder.read(about["tokenizer"]).decode()
            side = filled(
                lambda: TextSide.empty(about, tokenizer),
                folder.read(about["weights"]),
                folder.path / about["weights"]["file"],
            )
        card = read_text(folder.path / CARD)
        return cls(nets, folder.recipe, side, copy.deepcopy(folder.about), card)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write model, recipe and card as ``from_pretrained`` reads them, whole or not at all.

        ONNX files are not written: make them with ``scripts/export.py``.
        """
        nets = self.net.nets if isinstance(self.net, Ensemble) else [self.net]
        bodies = [save_state(net) for net in nets]
        files = dict(zip(weight_names(len(nets)), bodies, strict=True))
        about = self.about | {"weights": [entry(*item) for item in files.items()], "onnx": []}
        about["text"], text_files = pack_text(self.text)
        changed = about["weights"] != self.about["weights"] and CHANGED not in self.card
        write_folder(Path(folder), about, files | text_files, self.card + CHANGED * changed)

    def push_to_hub(self, repo_id: str, **how: Any) -> str:
        """Put the model on the hub as ``save_pretrained`` writes it, so without ONNX files.

        Args:
            how: see :func:`distilclip_eeg.deploy.hub.push_to_hub`, which puts a whole folder there.

        Returns:
            The address of the commit.

        Raises:
            ConfigError: as there.
        """
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(Path(folder) / "model")
            return push_to_hub(Path(folder) / "model", repo_id, **how)

    def forward(self, eeg_BCT: Tensor) -> Tensor:
        """Class logits (B, K), with gradients where asked for."""
        return self.net(eeg_BCT)

    @torch.inference_mode()
    def logits(self, eeg_BCT: np.ndarray) -> np.ndarray:
        """Class logits (B, K) of normalised float32 windows (B, C, T)."""
        return answer(self.net, eeg_BCT)

    @torch.inference_mode()
    def encode_eeg(self, eeg_BCT: np.ndarray) -> np.ndarray:
        """Features of windows in the space shared with text, (B, E), each of length one.

        Raises:
            ConfigError: an ensemble has a space for every member; a baseline has none.
        """
        if not hasattr(self.net, "encode"):
            raise ConfigError(
                f"{self.about['model']['name']}: an ensemble or a baseline has no space shared with text. "
                "Export one teacher: weights=final.",
                reason="no_features",
            )
        return unit(cast(Encoder, self.net).encode(placed(self.net, eeg_BCT)))

    @torch.inference_mode()
    def encode_text(self, sentences: Sequence[str]) -> np.ndarray:
        """Features of sentences in the same space, (U, E), each of length one.

        Raises:
            ConfigError: the model has no text side.
        """
        if self.text is None:
            raise ConfigError(
                f"{self.about['model']['name']}: this folder has no text side. Export a teacher that was "
                "trained with text.",
                reason="no_text",
            )
        return unit(self.text.encode(sentences))


class TorchNetwork(nn.Module):
    """A network of torch that answers windows, in eval mode; see ``artefact.recipe.Network``."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net.eval()

    @torch.inference_mode()
    def logits(self, eeg_BCT: np.ndarray) -> np.ndarray:
        """Class logits (B, K) of normalised float32 windows (B, C, T)."""
        return answer(self.net, eeg_BCT)


def answer(net: nn.Module, eeg_BCT: np.ndarray) -> np.ndarray:
    """What ``net`` answers to windows (B, C, T), float32."""
    return net(placed(net, eeg_BCT)).float().cpu().numpy()


def placed(net: nn.Module, eeg_BCT: np.ndarray) -> Tensor:
    """Windows (B, C, T) on the network's device, float32."""
    device = next(net.parameters()).device
    return torch.as_tensor(np.ascontiguousarray(eeg_BCT, dtype=np.float32), device=device)


def together(nets: Sequence[nn.Module]) -> nn.Module:
    """One network, or several as one."""
    return nets[0] if len(nets) == 1 else Ensemble(nets)


def pack_text(side: TextSide | None) -> tuple[dict | None, dict[str, bytes]]:
    """What ``config.json`` says of a text side, and its files by name."""
    if side is None:
        return None, {}
    files = {"text.safetensors": save_state(side), "tokenizer.json": side.tokenizer.encode()}
    weights, tokenizer = (entry(*item) for item in files.items())
    return {**side.settings(), "weights": weights, "tokenizer": tokenizer}, files


def weight_names(n: int) -> list[str]:
    """File names of the weights of ``n`` networks."""
    return ["model.safetensors"] if n == 1 else [f"model{i}.safetensors" for i in range(n)]


def save_state(module: nn.Module) -> bytes:
    """All weights of a module, as safetensors."""
    return save({k: v.detach().cpu().contiguous() for k, v in module.state_dict().items()})


def filled(make: Callable[[], Net], body: bytes, where: Path) -> Net:
    """What ``make`` builds, holding exactly the tensors of a safetensors file; nothing is allocated before
    their names and shapes are known to fit.

    Raises:
        DataError: ``not_safetensors`` or ``wrong_shape``.
    """
    try:
        found = load(body)
    except (SafetensorError, ValueError, KeyError) as error:
        raise DataError(
            f"{where}: not safetensors ({error}). Nothing else is read, because a pickle may run code.",
            reason="not_safetensors",
        ) from error
    with torch.device("meta"):
        expected = make().state_dict()
    shapes = [{k: (tuple(v.shape), v.dtype) for k, v in state.items()} for state in (found, expected)]
    if shapes[0] != shapes[1]:
        name = min(k for k in shapes[0] | shapes[1] if shapes[0].get(k) != shapes[1].get(k))
        there, wanted = (s.get(name, ("nothing",))[0] for s in shapes)
        raise DataError(
            f"{where}: {name} is {there}, the model wants {wanted}. Export the model again.",
            reason="wrong_shape",
        )
    module = make()
    module.load_state_dict(found)
    return module.eval()


def unit(features: Tensor) -> np.ndarray:
    """Rows (B, E) at length one."""
    return nn.functional.normalize(features.float(), dim=-1).cpu().numpy()
