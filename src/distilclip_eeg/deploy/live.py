"""Detection while the recording goes on: chunks in, alarms out, all state carried."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from distilclip_eeg.config.data import SignalConfig
from distilclip_eeg.config.detection import DetectConfig
from distilclip_eeg.corpora.edf.montage import Montage
from distilclip_eeg.corpora.edf.plan import plan_channels
from distilclip_eeg.corpora.edf.rereference import arrange
from distilclip_eeg.deploy.blocks import MICRO
from distilclip_eeg.deploy.detection import Detection
from distilclip_eeg.deploy.filters import Causal
from distilclip_eeg.deploy.windows import Windows
from distilclip_eeg.plausible import check_rate
from distilclip_eeg.schema import DataError, Piece
from distilclip_eeg.scoring.events.detect import Trace, deciding, under_alarm
from distilclip_eeg.signals.preprocess import clip

NAME = "live"


@dataclass(frozen=True)
class Alarm:
    """An event that has become certain; how long it will last is not known yet."""

    onset_s: float
    """Start of its first window, from the first sample."""
    raised_s: float
    """Seconds that had arrived when it was raised."""


class Alarms:
    """``events_from_probability`` as the probabilities come: each event once, when it is long enough.

    An event is only ever made longer by what follows, so an alarm is never taken back.
    """

    def __init__(self, detect: DetectConfig, hop_s: float, length_s: float):
        self.detect, self.hop_s, self.length_s = detect, hop_s, length_s
        self.half = int(detect.smooth_s / 2 / hop_s + 1e-9)
        self.probability: list[float] = []
        self.settled = 0
        """Windows whose smoothed value cannot change any more."""
        self.first: int | None = None
        """Of the windows of the event that may go on; ``last`` is one past them."""
        self.last, self.raised = 0, False
        self.on = False
        """Whether the last settled window was under alarm."""

    def push(self, probability_N: np.ndarray, *, over: bool = False) -> list[int]:
        """First window of each event that these probabilities make certain; ``over``: no more will come."""
        self.probability += probability_N.tolist()
        n = len(self.probability)
        stop = n if over else max(self.settled, n - self.half)
        low = max(0, self.settled - self.half)
        seen_N = np.array(self.probability[low:])
        part = Trace(seen_N, np.arange(len(seen_N)) * self.hop_s, self.hop_s, self.length_s)
        value_N = deciding(part, self.detect)[self.settled - low : stop - low]
        on_N = under_alarm(value_N, self.detect, on=self.on)
        begun = [self._extend(i) for i, on in enumerate(on_N, start=self.settled) if on]
        self.settled, self.on = stop, bool(on_N[-1]) if len(on_N) else self.on
        return [first for first in begun if first is not None]

    def _extend(self, window: int) -> int | None:
        """Add a window under alarm; the first one of its event where that is long enough only now."""
        between_s = self.length_s - self.hop_s
        gap_s = (window - self.last) * self.hop_s - between_s
        if self.first is None or (gap_s > 1e-9 and gap_s > self.detect.merge_gap_s - 1e-9):
            self.first, self.raised = window, False
        self.last = window + 1
        event_s = (self.last - self.first) * self.hop_s + between_s
        if self.raised or event_s < self.detect.min_duration_s - 1e-9:
            return None
        self.raised = True
        return self.first


class Stream:
    """One recording that is under way.

    Args:
        score: windows (B, C, T) to probabilities (B,).
        sfreq: of the chunks, in Hz.
        ch_names: of their rows; None where they are the montage's own.

    Raises:
        SkipRecording: ``missing_channels``, ``mixed_references``, ``low_rate``, ``bad_sampling_rate``.
    """

    def __init__(
        self,
        score: Callable[[np.ndarray], np.ndarray],
        windows: Windows,
        montage: Montage,
        signals: SignalConfig,
        detect: DetectConfig,
        sfreq: float,
        ch_names: tuple[str, ...] | None = None,
    ):
        check_rate(NAME, sfreq, signals.h_freq, signals.sfreq)
        self.score, self.windows, self.montage, self.signals = score, windows, montage, signals
        self.plan = plan_channels(ch_names or montage.ch_names, montage, NAME)
        self.n_chans = len(ch_names or montage.ch_names)
        self.as_is = ch_names is None
        self.sfreq, self.detect, self.seen = sfreq, detect, 0
        self.filter = Causal(sfreq, signals)
        self.length_s, self.hop_s = windows.view.length / windows.sfreq, windows.hop / windows.sfreq
        self.alarms = Alarms(detect, self.hop_s, self.length_s)

    def push(self, chunk_CT: np.ndarray) -> list[Alarm]:
        """Alarms that these samples raise.

        Args:
            chunk_CT: volts, any number of samples.

        Raises:
            DataError: ``wrong_shape``, ``not_finite``.
        """
        return self._advance(self._checked(chunk_CT))

    def finish(self) -> tuple[Detection, list[Alarm]]:
        """The recording is over: all events, and the alarms that were still waiting for what comes next.

        Raises:
            DataError: ``too_short``, less than a window has come.
        """
        late = self._advance(np.empty((len(self.montage.ch_names), 0), np.float32), last=True)
        probability_N = np.array(self.alarms.probability)
        if not len(probability_N):
            raise DataError(
                f"live: {self.seen / self.sfreq:g} s have come; expected at least a window, "
                f"{self.length_s:g} s. Push more before the end.",
                reason="too_short",
            )
        trace = Trace(probability_N, self._starts(len(probability_N)), self.hop_s, self.length_s)
        recorded_P2 = np.array([[0.0, self.seen / self.sfreq]])
        return Detection(NAME, trace, self.detect, recorded_P2, self.plan.filled), late

    def _advance(self, uv_CT: np.ndarray, *, last: bool = False) -> list[Alarm]:
        self.seen += uv_CT.shape[1]
        if not self.seen:
            return []
        uv_CT = self.filter.push(uv_CT, last=last)
        clip(uv_CT, self.signals)
        found = []
        for _, eeg_BCT in self.windows.push(uv_CT):
            found += self.alarms.push(self.score(eeg_BCT))
        if last:
            for _, eeg_BCT in self.windows.end():
                found += self.alarms.push(self.score(eeg_BCT))
            found += self.alarms.push(np.empty(0), over=True)
        return [Alarm(float(self._starts(k + 1)[k]), self.seen / self.sfreq) for k in found]

    def _starts(self, n: int) -> np.ndarray:
        return np.arange(n) * self.windows.hop / self.windows.sfreq

    def _checked(self, chunk_CT: np.ndarray) -> np.ndarray:
        """The montage's channels in microvolts."""
        chunk_CT = np.asarray(chunk_CT, np.float32)
        if chunk_CT.ndim != 2 or len(chunk_CT) != self.n_chans:
            raise DataError(
                f"live: a chunk of shape {chunk_CT.shape}; expected ({self.n_chans}, samples), volts. Give "
                "one row a channel.",
                reason="wrong_shape",
            )
        if not np.isfinite(chunk_CT).all():
            raise DataError(
                f"live: samples that are no number after {self.seen / self.sfreq:g} s; expected volts. "
                "Finish and start again after the gap.",
                reason="not_finite",
            )
        if not self.as_is:
            picked = chunk_CT[list(self.plan.picks)]
            chunk_CT = arrange([Piece(0.0, picked)], self.sfreq, self.plan, self.montage)[0].eeg_CT
        return chunk_CT * MICRO
