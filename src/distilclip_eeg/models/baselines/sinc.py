"""Band-pass filters whose cut-offs are learned (SincNet), and their convolution, for two baselines.

Shapes: B batch, C channels, T samples, F filters, K taps.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

UNIT_HZ = 50.0
"""A parameter of 1 is this many hertz: a step of Adam at 1e-3 then moves a cut-off by 0.05 Hz."""
MIN_HZ, MIN_BAND_HZ = 0.5, 1.0
"""No filter starts lower or is narrower."""


class SincFilters(nn.Module):
    """Kernels of band-pass filters that have their two cut-offs as only parameters.

    M. Ravanelli and Y. Bengio, SLT 2018; the formula and the code are public. An ideal band-pass filter
    cut to ``kernel_s`` by a Hamming window, its middle tap scaled to 1. The bands begin side by side,
    from ``low_hz`` to ``high_hz``: the mel scale of the paper is all but linear below 100 Hz.

    Args:
        banks: how many sets of ``filters``, one after the other, each learned for itself.
    """

    time_K: Tensor
    window_K: Tensor

    def __init__(
        self,
        filters: int,
        *,
        kernel_s: float,
        sfreq: float,
        banks: int = 1,
        low_hz: float = 1.0,
        high_hz: float = 70.0,
    ):
        super().__init__()
        self.nyquist = sfreq / 2
        half = round(kernel_s * sfreq / 2)
        self.register_buffer("time_K", torch.arange(-half, half + 1) / sfreq, persistent=False)
        self.register_buffer("window_K", torch.hamming_window(2 * half + 1, periodic=False), persistent=False)
        edges = torch.linspace(low_hz, min(high_hz, self.nyquist), filters + 1)
        self.low = nn.Parameter(((edges[:-1] - MIN_HZ) / UNIT_HZ).repeat(banks))
        self.band = nn.Parameter((edges.diff() - MIN_BAND_HZ).clamp_min(0.1).div(UNIT_HZ).repeat(banks))

    def cutoffs(self) -> tuple[Tensor, Tensor]:
        """Lower and upper cut-off of every filter in hertz, (F,) each."""
        low = (MIN_HZ + UNIT_HZ * self.low.abs()).clamp(max=self.nyquist - MIN_BAND_HZ)
        return low, (low + MIN_BAND_HZ + UNIT_HZ * self.band.abs()).clamp(max=self.nyquist)

    def forward(self) -> Tensor:
        """Kernels (F, K) at the present cut-offs."""
        low, high = (hz[:, None] for hz in self.cutoffs())
        ideal = high * torch.sinc(2 * high * self.time_K) - low * torch.sinc(2 * low * self.time_K)
        return ideal / (high - low) * self.window_K


def convolve(x: Tensor, kernel: Tensor, padding: int = 0) -> Tensor:
    """``kernel`` (..., K), symmetric, along the last axis of ``x`` (..., T); leading axes broadcast.

    By FFT, in float32: filter by filter, that is many times cheaper on a CPU than a grouped convolution.
    """
    x = F.pad(x.float(), (padding, padding))
    n = x.shape[-1]
    y = torch.fft.irfft(torch.fft.rfft(x) * torch.fft.rfft(kernel.float(), n), n)
    return y[..., kernel.shape[-1] - 1 :]  # the first K - 1 are wrapped around
