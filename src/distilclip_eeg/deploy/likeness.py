"""Whether a recording is like those that a model was trained on: what its channels do, never what it means.

A few plain statistics of filtered seconds, one every ten, are compared with the range over the training
recordings. They tell noise, mains, another scale, dead channels, and signals under each other's names: round
a closed loop of derivations potentials add up to nothing (Kirchhoff), whatever the brain does.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.linalg

from distilclip_eeg.corpora.edf.montage import canonical
from distilclip_eeg.signals.preprocess import FLAT_UV
from distilclip_eeg.signals.store import Store

EVERY = 10
"""One second of so many is looked at."""
FAST_HZ = 20.0
MAINS_HZ = (50.0, 60.0)
MOST = 500
"""Training recordings that are looked at."""
LOOPS = "loops"


@dataclass(frozen=True)
class Statistic:
    """One number of a recording."""

    words: str
    """What it is, for a message."""
    margin: float
    """How far outside the range over training recordings is still like them."""
    unit: str = ""

    def shown(self, value: float) -> str:
        """A value as a reader wants it."""
        value = 10**value if self.unit == " uV" else 100 * value if self.unit == " %" else value
        return f"{value:.3g}{self.unit}"


STATISTICS: Mapping[str, Statistic] = {
    "amplitude": Statistic("amplitude (median SD of its channels)", 0.2, " uV"),  # as log10
    "spread": Statistic("spread over channels (SD of their log10 SD)", 0.06),
    "fast": Statistic(f"power above {FAST_HZ:g} Hz", 0.15, " %"),
    "mains": Statistic("power at 50 or 60 Hz", 0.1, " %"),
    "flat": Statistic("flat seconds", 0.2, " %"),
    LOOPS: Statistic("loops of derivations that do not add up", 0.2, " %"),
}
Profile = dict[str, float]
"""By the names of ``STATISTICS``; without loops where the montage has none."""


class Profiler:
    """Collects the statistics of one recording.

    Args:
        ch_names: electrodes or derivations, the rows of what is pushed.
        sfreq: of it, in Hz.
        filled: rows that the recording lacks; they are left out, and so are loops.
    """

    def __init__(self, ch_names: Sequence[str], sfreq: float, filled: Iterable[str] = ()):
        gone = {canonical(name) for name in filled}
        self.rows = [k for k, name in enumerate(ch_names) if canonical(name) not in gone]
        self.length, self.sfreq, self.seen = round(sfreq), sfreq, 0
        self.loops_CK = np.zeros((len(ch_names), 0)) if gone else loops_of(ch_names)
        self.tail_CT = np.zeros((len(ch_names), 0), np.float32)
        self.found: list[list[float]] = []

    def push(self, uv_CT: np.ndarray) -> None:
        """Filtered microvolts (C, T) that come next; seconds are counted over gaps."""
        uv_CT = np.concatenate([self.tail_CT, uv_CT], axis=1)
        n = uv_CT.shape[1] // self.length
        for k in range(-self.seen % EVERY, n, EVERY):
            self.add(uv_CT[:, k * self.length : (k + 1) * self.length])
        self.seen += n
        self.tail_CT = uv_CT[:, n * self.length :]

    def profile(self) -> Profile:
        """Medians over the seconds; of flat channels the mean. Empty before the first second."""
        if not self.found:
            return {}
        table = np.array(self.found)
        values = dict(zip(STATISTICS, np.median(table, axis=0).tolist(), strict=True))
        values["flat"] = float(table[:, list(STATISTICS).index("flat")].mean())
        if not self.loops_CK.shape[1]:
            del values[LOOPS]
        return values

    def add(self, uv_CT: np.ndarray) -> None:
        """Look at one second."""
        x_CT = uv_CT.astype(float) - uv_CT.mean(axis=1, keepdims=True)
        there_CT = x_CT[self.rows]
        sd_C = there_CT.std(axis=1)
        log_C = np.log10(np.maximum(sd_C, FLAT_UV))
        power_CF = np.abs(np.fft.rfft(there_CT * np.hanning(self.length))) ** 2
        hertz_F = np.fft.rfftfreq(self.length, 1 / self.sfreq)
        total_C = power_CF.sum(axis=1) + 1e-9
        near_MF = [np.abs(hertz_F - mains) < 1.5 for mains in MAINS_HZ]
        mains_C = np.max([power_CF[:, near_F].sum(axis=1) for near_F in near_MF], axis=0) / total_C
        fast_C = power_CF[:, hertz_F >= FAST_HZ].sum(axis=1) / total_C
        left = np.sqrt(((x_CT.T @ self.loops_CK) ** 2).mean()) if self.loops_CK.shape[1] else 0.0
        loops = left / max(float(np.sqrt((x_CT**2).mean())), FLAT_UV)
        flat = float((sd_C < FLAT_UV).mean())
        spread = float(log_C.std())
        amplitude, fast, mains = (float(np.median(values)) for values in (log_C, fast_C, mains_C))
        self.found.append([amplitude, spread, fast, mains, flat, loops])


def profiles_of(store: Store, recordings: Sequence[int]) -> list[Profile]:
    """Profiles of recordings of a store, by number; of many, ``MOST`` spread over all."""
    numbers = sorted(set(recordings))
    chosen = numbers[:: -(-len(numbers) // MOST)] if numbers else []
    pieces, found = dict(list(store.pieces.groupby("recording"))), []
    for number in chosen:
        filled = [name for name, is_so in zip(store.ch_names, store.filled_RC[number], strict=True) if is_so]
        made = Profiler(store.ch_names, store.sfreq, filled)
        for piece in pieces[number].itertuples():
            for first in range(0, piece.n_samples - made.length + 1, EVERY * made.length):
                at = int(piece.first) + first
                made.add((store.signal_TC[at : at + made.length] * store.gain_RC[number]).T)
        found.append(made.profile())
    return found


def loops_of(ch_names: Sequence[str]) -> np.ndarray:
    """Weights (C, K) of sums of derivations that are zero whatever the electrodes have; K may be 0."""
    pairs = [canonical(name).split("-") for name in ch_names]
    if any(len(pair) != 2 for pair in pairs):
        return np.zeros((len(ch_names), 0))
    electrodes = sorted({e for pair in pairs for e in pair})
    from_CE = np.zeros((len(pairs), len(electrodes)))
    for row, (a, b) in zip(from_CE, pairs, strict=True):
        row[electrodes.index(a)], row[electrodes.index(b)] = 1, -1
    return scipy.linalg.null_space(from_CE.T)


def ranges(profiles: Sequence[Profile]) -> dict[str, list[float]]:
    """Lowest and highest of each statistic over recordings that have it."""
    found = {}
    for name in STATISTICS:
        values = [profile[name] for profile in profiles if name in profile]
        if values:
            found[name] = [min(values), max(values)]
    return found


def differences(profile: Profile, known: Mapping[str, Sequence[float]]) -> list[str]:
    """What is unlike the training recordings, in words; empty where nothing is, or nothing is known.

    Args:
        known: as :func:`ranges` gives it.
    """
    said = []
    for name, statistic in STATISTICS.items():
        if name not in profile or name not in known:
            continue
        low, high = known[name]
        value = profile[name]
        if not low - statistic.margin <= value <= high + statistic.margin:
            shown, first, last = map(statistic.shown, (value, low, high))
            said.append(f"{statistic.words} {shown}, training recordings {first} to {last}")
    return said
