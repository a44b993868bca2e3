"""Baseline ``stacked_lstm``: three LSTM layers over samples or over hand-made features."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distilclip_eeg.config.registry import component
from distilclip_eeg.models.baselines.recurrent import Recurrent
from distilclip_eeg.schema import check_choice

BANDS_HZ = ((0.5, 4), (4, 8), (8, 13), (13, 30), (30, 70))
SLICE_S = 1 / 8
N_FEATURES = 3 + len(BANDS_HZ)
FLOOR = 1e-4
"""Of SD, line length and power of the z-scored signal, so that those of a flat channel have a logarithm."""


@component("network", "stacked_lstm")
class StackedLSTM(nn.Module):
    """Three LSTM layers of 128, then 64 units.

    After Pandey, Singh, Udmale and Shukla, An intelligent optimized deep learning model to achieve early
    prediction of epileptic seizures, Biomedical Signal Processing and Control 84 (2023) 104798: seizure
    prediction from a space of several kinds of hand-made features, the network's settings found by a
    metaheuristic search. Known to us: the abstract; features, layers and sizes are our construction, the
    search is left out. 349,256 parameters at 19 channels and 8 classes.

    Args:
        features: ``raw`` takes every sample, ``handcrafted`` eight numbers a channel and 1/8 s.

    Shapes: B batch, C channels, T samples, N slices, F features, K classes.

    Raises:
        ConfigError: ``features`` is unknown.
    """

    def __init__(
        self,
        *,
        n_chans: int,
        n_times: int,
        sfreq: float,
        n_outputs: int,
        features: str = "raw",
        width: int = 128,
        depth: int = 3,
        hidden: int = 64,
        dropout: float = 0.3,
    ):
        super().__init__()
        check_choice("model.net.features", features, ("raw", "handcrafted"))
        self.sfreq, self.handcrafted = sfreq, features == "handcrafted"
        self.net = Recurrent(
            cell="lstm",
            n_features=n_chans * (N_FEATURES if self.handcrafted else 1),
            n_outputs=n_outputs,
            width=width,
            depth=depth,
            hidden=hidden,
            dropout=dropout,
        )

    def forward(self, eeg_BCT: Tensor) -> Tensor:
        """Class logits, (B, K)."""
        if self.handcrafted:
            return self.net(slice_features(eeg_BCT, self.sfreq))
        return self.net(eeg_BCT.transpose(1, 2))


def slice_features(eeg_BCT: Tensor, sfreq: float) -> Tensor:
    """(B, N, 8 C): mean, log SD, log line length and log power in five bands, per 1/8 s and channel.

    The bands are cut out of the whole window's spectrum, since 1/8 s alone cannot tell delta from theta.
    """
    n = max(1, round(eeg_BCT.shape[-1] / sfreq / SLICE_S))
    with torch.autocast(eeg_BCT.device.type, enabled=False):
        x = eeg_BCT.float()
        spectrum = torch.fft.rfft(x)
        hz = torch.fft.rfftfreq(x.shape[-1], 1 / sfreq, device=x.device)
        bands = [
            torch.fft.irfft(spectrum * ((hz >= low) & (hz < high)), n=x.shape[-1]) for low, high in BANDS_HZ
        ]
        step = F.pad(x.diff(dim=-1).abs(), (1, 0))
        centred = x - x.mean(-1, keepdim=True)
        parts = (x, centred, centred**2, step, *(band**2 for band in bands))
        mean, offset, square, length, *powers = (F.adaptive_avg_pool1d(part, n) for part in parts)
        log_sd = ((square - offset**2).clamp(min=0) + FLOOR**2).log() / 2
        logs = [log_sd, *((part + FLOOR).log() for part in (length, *powers))]
        return torch.cat([mean, *logs], dim=1).transpose(1, 2)  # (B, N, 8 C)
