"""Baseline ``external``: any network of another package, under this one's training and evaluation."""

import os
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from distilclip_eeg.config.registry import component
from distilclip_eeg.schema import ConfigError, check_choice

SWITCH = "DISTILCLIP_EEG_EXTERNAL"
"""Environment variable that lists the packages whose networks may be built, with commas between."""


@component("network", "external")
class External(nn.Module):
    """A network of another package, built with the sizes of the data and checked once.

    A config may come from someone else's run folder, so foreign code runs only where ``SWITCH`` lists its
    package.

    Args:
        target: dotted path of the class, ``braindecode.models.EEGNet``.
        arguments: what its constructor takes besides the sizes.
        names: how it calls ``n_chans``, ``n_times``, ``sfreq`` and ``n_outputs`` where it has another name
            for them; a size that it does not take has the name null.

    Shapes: B batch, C channels, T samples, K classes.

    Raises:
        ConfigError: the package is not allowed, the class cannot be found or built, or what it gives is
            not (B, K).
    """

    def __init__(
        self,
        *,
        n_chans: int,
        n_times: int,
        sfreq: float,
        n_outputs: int,
        target: str,
        arguments: dict | None = None,
        names: dict | None = None,
    ):
        super().__init__()
        sizes = {"n_chans": n_chans, "n_times": n_times, "sfreq": sfreq, "n_outputs": n_outputs}
        for name in names or {}:
            check_choice("model.net.names", name, tuple(sizes))
        named = {(names or {}).get(size, size): value for size, value in sizes.items()}
        named.pop(None, None)
        found = find_network(target)
        try:
            with torch.device("cpu"):  # many constructors compute with values, which "meta" has not
                self.net = found(**named, **(arguments or {}))
                shape = try_shape(self, n_chans, n_times)
        except Exception as error:
            what = " ".join(f"{type(error).__name__}: {error}".split())
            raise ConfigError(f"{target}: {what}", reason="external_failed") from error
        if shape != (2, n_outputs):
            raise ConfigError(
                f"{target}: two windows of {n_chans} x {n_times} give {shape}, expected {(2, n_outputs)}.",
                reason="external_shape",
            )

    def forward(self, eeg_BCT: Tensor) -> Tensor:
        """Class logits, (B, K); of a tuple the first item."""
        out = self.net(eeg_BCT)
        return out[0] if isinstance(out, tuple) else out


@component("network", "external_encoder")
class ExternalEncoder(External):
    """A network of another package as a teacher or a student; features are what one of its layers is given.

    Args:
        features: dotted name of that layer, usually the last; it takes (B, E), or what flattens to it.
        settings: as for ``External``.

    Raises:
        ConfigError: as ``External``; ``no_layer``: there is no such layer, or it is not used.
    """

    def __init__(self, *, n_chans: int, n_times: int, features: str, **settings: Any):
        super().__init__(n_chans=n_chans, n_times=n_times, **settings)
        layers = dict(self.net.named_modules())
        if features not in layers:
            named = ", ".join(name for name, _ in self.net.named_children())
            raise ConfigError(
                f"model.net.features={features}: no layer of {settings['target']} has this name. Its layers: "
                f"{named}.",
                reason="no_layer",
            )
        self.seen: list[Tensor] = []
        layers[features].register_forward_pre_hook(self._keep)
        with torch.device("cpu"):
            try_shape(self, n_chans, n_times)
        if not self.seen:
            raise ConfigError(f"model.net.features={features}: this layer is not used.", reason="no_layer")
        self.dim = int(self.seen.pop().flatten(1).shape[1])

    def _keep(self, layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        self.seen[:] = [given[0]]

    def encode(self, eeg_BCT: Tensor) -> Tensor:
        """Features of windows (B, C, T), (B, E)."""
        self.net(eeg_BCT)
        return self.seen.pop().flatten(1)


def find_network(target: str) -> type[nn.Module]:
    """The class at ``target``, if the user allows its package.

    Raises:
        ConfigError: ``external_not_allowed`` or ``external_not_found``.
    """
    allowed = {name.strip() for name in os.environ.get(SWITCH, "").split(",")} - {""}
    package = target.partition(".")[0]
    if package not in allowed:
        raise ConfigError(
            f"model.net.target={target}: code of another package runs only if you trust it and say so: "
            f"set {SWITCH}={','.join(sorted(allowed | {package}))}.",
            reason="external_not_allowed",
        )
    module, _, name = target.rpartition(".")
    try:
        found = getattr(import_module(module), name, None)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"model.net.target={target}: {error}.", reason="external_not_found") from error
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise ConfigError(f"model.net.target={target} is no torch.nn.Module.", reason="external_not_found")
    return found


@torch.no_grad()
def try_shape(net: nn.Module, n_chans: int, n_times: int) -> tuple[int, ...]:
    """Shape of the output for two windows of zeros, without a trace in the network's statistics."""
    net.eval()
    shape = tuple(net(torch.zeros(2, n_chans, n_times)).shape)
    net.train()
    return shape
