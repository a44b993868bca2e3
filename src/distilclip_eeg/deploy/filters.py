"""The causal filter of ``signals.preprocess`` for recordings longer than memory, and for those not over yet.

It gives the numbers of the whole-piece function, whatever the chunks.
"""

from fractions import Fraction

import numpy as np
from scipy import signal

from distilclip_eeg.config.data import SignalConfig
from distilclip_eeg.signals.preprocess import causal_sections, n_resampled, ratio, settled

LOBES = 10
"""Of the kernel on each side, in samples of the slower rate: ``scipy.signal.resample_poly``'s own filter."""


class Resampler:
    """``scipy.signal.resample_poly`` along the last axis, in chunks of any length.

    Args:
        change: new rate / old rate.
    """

    def __init__(self, change: Fraction):
        self.change = change
        self.half = LOBES * max(change.numerator, change.denominator)
        """Reach of the kernel to each side, on the grid ``numerator`` times finer than the old one."""
        cutoff = 1 / max(change.numerator, change.denominator)
        self.kernel = signal.firwin(2 * self.half + 1, cutoff, window=("kaiser", 5.0))
        self.kept: np.ndarray | None = None
        self.first, self.given = 0, 0

    def push(self, x_CT: np.ndarray, *, last: bool = False) -> np.ndarray:
        """The new samples (C, T') that these old ones (C, T) settle; all that are left at the last."""
        up, down = self.change.numerator, self.change.denominator
        kept = x_CT if self.kept is None else np.concatenate([self.kept, x_CT], axis=1)
        end = self.first + kept.shape[1]
        stop = n_resampled(end, self.change) if last else -(-(end * up - self.half) // down)
        if stop <= self.given:
            self.kept = kept
            return np.empty((len(x_CT), 0))
        offset = self.first * up // down
        y_CT = signal.resample_poly(kept, up, down, axis=1, window=self.kernel)
        out_CT = y_CT[:, self.given - offset : stop - offset]
        needed = max(0, (stop * down - self.half) // up) // down * down
        self.kept, self.first, self.given = kept[:, needed - self.first :], needed, stop
        return out_CT


class Causal:
    """``preprocess.causal`` of one piece, in chunks of any length."""

    def __init__(self, sfreq: float, config: SignalConfig):
        self.sections = causal_sections(sfreq, config)
        self.states: list[np.ndarray] | None = None
        change = ratio(sfreq, config.sfreq)
        self.resampler = Resampler(change) if change != 1 else None
        self.lookahead_s = self.resampler.half / change.numerator / sfreq if self.resampler else 0.0
        """Seconds that a sample waits for those after it."""

    def push(self, uv_CT: np.ndarray, *, last: bool = False) -> np.ndarray:
        """Filtered microvolts (C, T'), float32; ``last`` tells that the piece ends here."""
        x = uv_CT.astype(np.float64)
        if x.shape[1]:
            if self.states is None:
                self.states = self._start(x)
            for k, sos in enumerate(self.sections):
                x, self.states[k] = signal.sosfilt(sos, x, axis=1, zi=self.states[k])
        if self.resampler:
            x = self.resampler.push(x, last=last)
        return x.astype(np.float32)

    def _start(self, x: np.ndarray) -> list[np.ndarray]:
        """Each section starts as if its own first input had always stood."""
        states = []
        for sos in self.sections:
            states.append(settled(sos, x))
            x = signal.sosfilt(sos, x[:, :1], axis=1, zi=states[-1])[0]
        return states
