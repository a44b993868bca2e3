"""EEG channel activation maps (article, Fig. 9): how much each channel speaks for a class, window by window.

The article names no formula. ``hires`` is HiResCAM (Draelos and Carin, arXiv 2011.08891) at the output A of
the temporal convolution, the last tensor of the Conformer that still has an electrode axis; the spatial
convolution weighs a filter differently at each electrode, so electrodes are told apart. ``gradcam``
(Selvaraju et al., ICCV 2017) averages these weights over electrodes and time, which blurs them. ``ig``
(Sundararajan et al., ICML 2017) and ``occlusion`` ask nothing of a network but logits.

The explained number y_c is a class's logit. Networks are in eval mode and none is changed.

Shapes: B windows, C channels, T samples, F filters, K classes.
"""

import copy
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from distilclip_eeg.models.conformer import Stem
from distilclip_eeg.models.literal import LiteralStem
from distilclip_eeg.schema import ConfigError, check_choice

STEPS = 32
"""Points of ``ig`` between the zero window and the window, at the nodes of Gauss and Legendre."""


def channel_map(net: nn.Module, eeg_BCT: Tensor, target_B: Tensor, method: str) -> Tensor:
    """How much each channel speaks for class ``target_B``, (B, C), in units of its logit.

    ``hires``, ``gradcam`` and ``ig`` are 0 or more; ``occlusion`` is below 0 where a channel speaks against.

    Raises:
        ConfigError: the method is unknown, or needs a layer that ``net`` lacks.
    """
    check_method(net, method)
    return METHODS[method](net, eeg_BCT, target_B)


def methods_for(net: nn.Module) -> tuple[str, ...]:
    """The methods that can explain ``net``."""
    return tuple(name for name in METHODS if name not in AT_ELECTRODES or hasattr(net, "electrode_layer"))


def check_method(net: nn.Module, method: str) -> None:
    """Refuse a method that cannot explain ``net``.

    Raises:
        ConfigError: it is unknown, or ``no_electrodes``.
    """
    check_choice("method", method, tuple(METHODS))
    if method not in methods_for(net):
        raise ConfigError(
            f"method={method} reads the output of a temporal convolution that keeps electrodes apart, and "
            f"{type(net).__name__} has none. Use method=ig or method=occlusion.",
            reason="no_electrodes",
        )


def by_electrode(net: nn.Module) -> tuple[nn.Module, nn.Module]:
    """A frozen copy of ``net`` that computes electrode by electrode, and the layer that does.

    A stem merges its convolutions over time and electrodes into one. In the copy one runs after the other,
    the same function (``models.literal``).
    """
    net = copy.deepcopy(net).eval().requires_grad_(False)
    layer = net.get_submodule(str(net.electrode_layer))
    for parent in list(net.modules()):
        stem = getattr(parent, "stem", None)
        if isinstance(stem, Stem):
            parent.stem = LiteralStem(stem)
    return net, layer


def activation_and_gradient(net: nn.Module, eeg_BCT: Tensor, target_B: Tensor) -> tuple[Tensor, Tensor]:
    """A and dy_c/dA at the electrode layer, each (B, F, C, T')."""
    net, layer = by_electrode(net)
    activation = []

    def cut_here(_: nn.Module, inputs: tuple, output: Tensor) -> Tensor:
        activation.append(output.detach().requires_grad_())
        return activation[0]

    layer.register_forward_hook(cut_here)
    (gradient,) = torch.autograd.grad(logit(net, eeg_BCT, target_B).sum(), activation)
    return activation[0].detach(), gradient


def logit(net: nn.Module, eeg_BCT: Tensor, target_B: Tensor) -> Tensor:
    """y_c, (B,)."""
    return net(eeg_BCT).gather(1, target_B[:, None])[:, 0]


def hires(net: nn.Module, eeg_BCT: Tensor, target_B: Tensor) -> Tensor:
    """R(e) = sum over t of ReLU(sum over f of A dy_c/dA), (B, C)."""
    activation, gradient = activation_and_gradient(net, eeg_BCT, target_B)
    return (activation * gradient).sum(1).relu().sum(-1)


def gradcam(net: nn.Module, eeg_BCT: Tensor, target_B: Tensor) -> Tensor:
    """Sum over t of ReLU(sum over f of A times the mean over e and t of dy_c/dA), (B, C)."""
    activation, gradient = activation_and_gradient(net, eeg_BCT, target_B)
    return (activation * gradient.mean((2, 3), keepdim=True)).sum(1).relu().sum(-1)


def integrated_gradients(net: nn.Module, eeg_BCT: Tensor, target_B: Tensor, steps: int = STEPS) -> Tensor:
    """Integrated gradients from the zero window, (B, C, T); they add up to y_c(x) - y_c(0)."""
    node, weight = np.polynomial.legendre.leggauss(steps)
    total = torch.zeros_like(eeg_BCT)
    with torch.backends.cudnn.flags(enabled=False):  # its recurrent layers have no backward in eval mode
        for share, part in zip((node + 1) / 2, weight / 2, strict=True):
            x = (float(share) * eeg_BCT).requires_grad_()
            (gradient,) = torch.autograd.grad(logit(net, x, target_B).sum(), x)
            total += float(part) * gradient
    return total * eeg_BCT


def ig(net: nn.Module, eeg_BCT: Tensor, target_B: Tensor) -> Tensor:
    """Sum over t of the integrated gradients' absolute values, (B, C)."""
    return integrated_gradients(net, eeg_BCT, target_B).abs().sum(-1)


@torch.no_grad()
def occlusion(net: nn.Module, eeg_BCT: Tensor, target_B: Tensor) -> Tensor:
    """y_c(x) - y_c(x with the channel at zero, which is its mean), (B, C)."""
    whole_B, lost = logit(net, eeg_BCT, target_B), []
    for channel in range(eeg_BCT.shape[1]):
        without = eeg_BCT.clone()
        without[:, channel] = 0
        lost.append(whole_B - logit(net, without, target_B))
    return torch.stack(lost, dim=1)


METHODS: dict[str, Callable[[nn.Module, Tensor, Tensor], Tensor]] = {
    "hires": hires,
    "gradcam": gradcam,
    "ig": ig,
    "occlusion": occlusion,
}
AT_ELECTRODES = ("hires", "gradcam")
"""Those that need a network with an ``electrode_layer``."""
