"""What a network must offer to be a baseline, a teacher or a student.

A baseline is called with windows (B, C, T) and answers class logits (B, K). A teacher or a student also has
features: ``encode(eeg_BCT)`` gives them as (B, E), ``dim`` is E. Where such an encoder has no ``classifier``
of its own, one linear layer is put behind it. Nothing else is asked for: an encoder of any package will do,
and need not inherit from the classes here, which only write down what is asked.
"""

import inspect
from typing import cast

from torch import Tensor, nn

from distilclip_eeg.config import registry
from distilclip_eeg.config.component import Component
from distilclip_eeg.config.learning import ModelConfig
from distilclip_eeg.schema import ConfigError

NEEDED = ("encode", "dim")


class Encoder(nn.Module):
    """A network with features."""

    dim: int
    """Width E of a feature."""

    def encode(self, eeg_BCT: Tensor) -> Tensor:
        """Features of windows (B, C, T), (B, E)."""
        raise NotImplementedError


class EncoderWithHead(Encoder):
    """An encoder with the linear classifier behind its features: a teacher's EEG side, or a student."""

    classifier: nn.Linear
    """Features (B, E) to class logits (B, K)."""


class Headed(EncoderWithHead):
    """An encoder without a classifier, with a linear one behind it.

    Args:
        encoder: offers ``encode`` and ``dim``.
        n_outputs: classes K.
    """

    def __init__(self, encoder: Encoder, n_outputs: int):
        super().__init__()
        self.encoder = encoder
        self.dim = int(encoder.dim)
        self.classifier = nn.Linear(self.dim, n_outputs)

    def encode(self, eeg_BCT: Tensor) -> Tensor:
        """Features of windows (B, C, T), (B, E)."""
        return self.encoder.encode(eeg_BCT)

    def forward(self, eeg_BCT: Tensor) -> Tensor:
        """Class logits (B, K) of windows (B, C, T)."""
        return self.classifier(self.encode(eeg_BCT))


def build_network(model: ModelConfig, sizes: dict) -> nn.Module:
    """The network of a config, as its kind needs it; see ``check_encoder`` for a teacher's or a student's.

    Args:
        sizes: n_chans, n_times, sfreq and n_outputs.

    Raises:
        ConfigError: ``no_encoder``: it lacks what a teacher or a student must offer.
    """
    net = with_classifier(model.net, sizes)
    if model.kind in ("teacher", "student"):
        check_encoder(net, model)
    return net


def with_classifier(component: Component, sizes: dict) -> nn.Module:
    """Build a network; an encoder that cannot classify gets a linear classifier.

    Args:
        sizes: n_chans, n_times, sfreq and n_outputs.

    Raises:
        ConfigError: no such network, or settings that it refuses.
    """
    arguments = inspect.signature(registry.find(component.target, "network")).parameters.values()
    if not any(a.name == "n_chans" or a.kind is a.VAR_KEYWORD for a in arguments):
        raise ConfigError(
            f"model.net._target_={component.target} is no network: it is not built from n_chans, n_times, "
            "sfreq and n_outputs. A floor has model.kind=floor.",
            reason="no_network",
        )
    net = component.build("network", **sizes)
    offers = all(hasattr(net, name) for name in NEEDED)
    return Headed(net, sizes["n_outputs"]) if offers and not hasattr(net, "classifier") else net


def check_encoder(net: nn.Module, model: ModelConfig) -> EncoderWithHead:
    """The same network, which has what a teacher or a student needs.

    Raises:
        ConfigError: ``no_encoder``, with what it lacks.
    """
    lacking = [name for name in NEEDED if not hasattr(net, name)]
    if lacking:
        kind = type(getattr(net, "encoder", net)).__name__
        raise ConfigError(
            f"model={model.name}: {kind} lacks {' and '.join(lacking)}, "
            f"which model.kind={model.kind} needs (encode(eeg_BCT) gives features (B, dim)). Use "
            "model.kind=baseline, or a network that has them.",
            reason="no_encoder",
        )
    return cast(EncoderWithHead, net)  # whatever it inherits from
