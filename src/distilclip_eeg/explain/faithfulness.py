"""Whether a map tells the truth about its network: what happens when the channels it names are taken away.

Deletion (Petsiuk et al., RISE, BMVC 2018): channels become zero one after the other, the map's first one
first; the faster the class's probability falls, the smaller the area under the curve. The same in random
order stands beside it. Agreement with occlusion is Spearman's correlation over channels, window by window.

Shapes: B windows, C channels, T samples, K classes.
"""

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor, nn


@torch.no_grad()
def deletion(net: nn.Module, eeg_BCT: Tensor, target_B: Tensor, order_BC: Tensor) -> np.ndarray:
    """Probability of class ``target_B`` after 0, 1, ... C channels are zero, (B, C + 1).

    Args:
        order_BC: channels of each window, the first to go first.
    """
    left, window_B = eeg_BCT.clone(), torch.arange(len(eeg_BCT), device=eeg_BCT.device)
    probability = []
    for step in range(eeg_BCT.shape[1] + 1):
        if step:
            left[window_B, order_BC[:, step - 1]] = 0
        probability.append(net(left).softmax(-1).gather(1, target_B[:, None])[:, 0])
    return torch.stack(probability, dim=1).cpu().numpy()


def descending(map_BC: np.ndarray) -> np.ndarray:
    """Channels from the map's largest value down, (B, C); ties in the montage's order."""
    return np.argsort(-map_BC, axis=1, kind="stable")


def area(curve: np.ndarray) -> float:
    """Area under a curve over the share removed, 0 to 1, by trapezia."""
    return float(np.trapezoid(curve, dx=1 / (len(curve) - 1)))


def spearman(one_BC: np.ndarray, other_BC: np.ndarray) -> np.ndarray:
    """Rank correlation over channels, (B,); NaN where either map is constant."""
    ranks = [rankdata(values, axis=1) for values in (one_BC, other_BC)]
    one, other = (r - r.mean(axis=1, keepdims=True) for r in ranks)
    with np.errstate(invalid="ignore"):
        return (one * other).sum(1) / np.sqrt((one**2).sum(1) * (other**2).sum(1))


def summary(maps: dict[str, np.ndarray], curves: dict[str, np.ndarray], random_BC: np.ndarray) -> dict:
    """``faithfulness.json``: a record a method.

    Args:
        maps: (B, C) by method, ``occlusion`` among them.
        curves: (B, C + 1) by method, of ``deletion`` in the map's order.
        random_BC: the same in random order.

    Returns:
        By method: spearman_occlusion_mean over the spearman_n windows that have one (None where there is
        none; 1 for occlusion itself), deletion_auc and deletion_auc_random, windows, and curve, the mean
        probability by share removed: share, probability, random.
    """
    share = np.linspace(0, 1, random_BC.shape[1]).round(4).tolist()
    random, found = random_BC.mean(0), {}
    for method, curve_BC in curves.items():
        agreement = spearman(maps[method], maps["occlusion"])
        agreement = agreement[np.isfinite(agreement)]
        curve = curve_BC.mean(0)
        found[method] = {
            "spearman_occlusion_mean": float(agreement.mean()) if len(agreement) else None,
            "spearman_n": len(agreement),
            "deletion_auc": area(curve),
            "deletion_auc_random": area(random),
            "windows": len(curve_BC),
            "curve": {"share": share, "probability": curve.tolist(), "random": random.tolist()},
        }
    return found
