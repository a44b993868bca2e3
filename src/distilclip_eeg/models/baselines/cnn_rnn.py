"""Baseline ``cnn_rnn``: a CNN and a convolutional LSTM on the spectrogram, joined by an outer product.

Shapes: B batch, C channels, T samples, F frequency bins, N frames, P positions, D width.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from distilclip_eeg.config.registry import component
from distilclip_eeg.schema import ConfigError


class ConvLSTM(nn.Module):
    """LSTM whose gates are convolutions over frequency: (B, N, C, F) to hidden states (B, N, D, F - K + 1).

    X. Shi et al., NeurIPS 2015, without peepholes; forget gates begin at 1. What the gates take from the
    input is computed for every step at once.
    """

    def __init__(self, inputs: int, dim: int, kernel: int):
        super().__init__()
        self.from_input = nn.Conv1d(inputs, 4 * dim, kernel)
        self.from_state = nn.Conv1d(dim, 4 * dim, kernel, padding="same", bias=False)
        nn.init.ones_(self.from_input.get_parameter("bias").data[dim : 2 * dim])

    def forward(self, x_BNCF: Tensor) -> Tensor:
        """Hidden states of every step, (B, N, D, F - K + 1), from a state of zeros."""
        steps = self.from_input(x_BNCF.flatten(0, 1)).unflatten(0, x_BNCF.shape[:2]).unbind(1)
        hidden: Tensor | None = None
        carried: Tensor | float = 0.0
        states = []
        for gates in steps:
            if hidden is not None:
                gates = gates + self.from_state(hidden)
            enter, keep, new, leave = gates.chunk(4, dim=1)
            cell = keep.sigmoid() * carried + enter.sigmoid() * new.tanh()
            hidden, carried = leave.sigmoid() * cell.tanh(), cell
            states.append(hidden)
        return torch.stack(states, dim=1)


class BatchNorm(nn.BatchNorm1d):
    """Batch norm of vectors that, given a single one to train on, waits: it uses its running statistics."""

    def forward(self, x_BD: Tensor) -> Tensor:
        """Normalised vectors (B, D)."""
        if self.training and len(x_BD) == 1:
            return F.batch_norm(
                x_BD, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(x_BD)


@component("network", "cnn_rnn")
class CnnRnn(nn.Module):
    """T. Liu, N. Truong, A. Nikpour, L. Zhou and O. Kavehei, IEEE JBHI 24(10), 2020.

    Public: text and Keras code (NeuroSyd/Epileptic-Seizure-Classification). Followed: spectrogram of one
    second in frames of a quarter of a second, half overlapping, without the constant: 32 bins x 9 frames x
    channels; all layers; the outer product of both branches over the positions they share. Ours: both
    branches learn end to end (there each is trained alone, then frozen, and only the last layers learn),
    logistic instead of piecewise linear gates, a floor of 0.01 before the logarithm, no class weights; the
    bins of mains hum, which the authors' loader cuts out at a resolution of 1 Hz, stay.
    1,743,124 parameters at 19 channels and 8 classes.

    Raises:
        ConfigError: a window has fewer frames or frequency bins than the convolutions need.
    """

    window: Tensor

    def __init__(
        self,
        *,
        n_chans: int,
        n_times: int,
        sfreq: float,
        n_outputs: int,
        frame_s: float = 0.25,
        high_hz: float = 128.0,
        dropout: float = 0.5,
    ):
        super().__init__()
        self.frame = round(frame_s * sfreq)
        self.bins = min(round(high_hz * frame_s), self.frame // 2)
        self.register_buffer("window", torch.hann_window(self.frame), persistent=False)
        frames = n_times // (self.frame // 2) + 1
        if frames < 7 or self.bins < 18:
            raise ConfigError(
                f"cnn_rnn needs 7 frames and 18 frequency bins; {n_times} samples at {sfreq:g} Hz "
                f"have {frames} and {self.bins}. Raise windows.length_s or change model.net.frame_s."
            )
        self.cnn = nn.Sequential(
            nn.BatchNorm2d(n_chans),
            *(nn.Conv2d(n_chans, 32, 3), nn.MaxPool2d((2, 1)), nn.ReLU(), nn.BatchNorm2d(32)),
            *(nn.Conv2d(32, 64, 3), nn.MaxPool2d((2, 1)), nn.ReLU(), nn.BatchNorm2d(64)),
            *(nn.Conv2d(64, 64, 3), nn.ReLU()),
        )
        self.rnn_norm = nn.BatchNorm2d(n_chans)
        self.rnn1, self.rnn2 = ConvLSTM(n_chans, 128, 5), ConvLSTM(128, 64, 5)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Sequential(
            BatchNorm(64 * 64),
            nn.Dropout(dropout),
            nn.Linear(64 * 64, 256),
            nn.Sigmoid(),
            nn.Dropout(dropout),
            nn.Linear(256, n_outputs),
        )

    def spectrogram(self, eeg_BCT: Tensor) -> Tensor:
        """Decimal logarithm of magnitudes, (B, C, F, N), in float32."""
        flat = eeg_BCT.float().flatten(0, 1)
        z = torch.stft(flat, self.frame, self.frame // 2, window=self.window, return_complex=True)
        return (z[:, 1 : self.bins + 1].abs() + 0.01).log10().unflatten(0, eeg_BCT.shape[:2])

    def forward(self, eeg_BCT: Tensor) -> Tensor:
        """Class logits, (B, K)."""
        x = self.spectrogram(eeg_BCT)
        cnn_BDP = self.cnn(x).flatten(2)
        states = self.rnn1(self.rnn_norm(x).permute(0, 3, 1, 2))
        last = self.rnn2(self.dropout(states.relu()))[:, -1].relu()
        rnn_BDP = F.adaptive_max_pool1d(last, cnn_BDP.shape[-1])
        bilinear = cnn_BDP @ rnn_BDP.mT / cnn_BDP.shape[-1]  # (B, 64, 64)
        return self.classifier(bilinear.flatten(1))
