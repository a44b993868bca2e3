"""Baseline ``external``: any network of another package, under this one's training and evaluation."""

import os
from importlib import import_module

import torch
from torch import Tensor, nn

from distilclip_eeg.schema import ConfigError, check_choice

SWITCH = "DISTILCLIP_EEG_EXTERNAL"
"""Environment variable that lists the packages whose networks may be built, with commas between."""


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


def find_network(target: str) -> type[nn.Module]:
    """The class at ``target``, if the user allows its package."""
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
