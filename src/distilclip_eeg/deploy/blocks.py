"""A recording of any length as filtered microvolts in a model's channels, with memory for one block of it.

Files are read by the strict reader of training, judged by the same rules and refused for the same reasons;
what comes out equals ``signals.preprocess.preprocess`` on the whole. Memory holds one block, or one record
of the file where that is longer.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import mne
import numpy as np

from distilclip_eeg.config.data import SignalConfig
from distilclip_eeg.corpora.edf.fields import edf_error
from distilclip_eeg.corpora.edf.header import map_records, read_header
from distilclip_eeg.corpora.edf.montage import Montage, printable
from distilclip_eeg.corpora.edf.plan import Plan, montage_warnings, plan_channels
from distilclip_eeg.corpora.edf.quality import Quality
from distilclip_eeg.corpora.edf.reader import compare_copies, decode, decode_slow, scaling
from distilclip_eeg.corpora.edf.rename import Rename
from distilclip_eeg.corpora.edf.rereference import arrange
from distilclip_eeg.deploy.filters import Causal
from distilclip_eeg.plausible import check_rate
from distilclip_eeg.schema import Piece, SkipRecording
from distilclip_eeg.signals.preprocess import BLOCK_S, clip, zero_phase, zero_phase_blocks

MICRO = np.float32(1e6)
EDGE_S = 20.0
"""Beside an excerpt, so that the filter's edges lie outside."""
AS_WRITTEN = Rename("rename")
"""No label is anything else than the file says."""
GAPS = ("BAD_ACQ_SKIP", "BAD_BOUNDARY", "EDGE_BOUNDARY")
"""mne's annotations of time in which nothing was recorded, and of joints between recordings."""


class Source(Protocol):
    """Where signals come from: a file or an mne object."""

    name: str
    labels: tuple[str, ...]
    """Of the signals, as written or as the user renamed them; empty where a channel is marked bad."""
    bads: tuple[str, ...]
    """Channels marked bad by somebody; they count as missing."""
    sfreq: float
    pieces: tuple[tuple[float, int], ...]
    """Start in seconds and samples of each stretch without a gap."""
    age_band: str
    warnings: tuple[str, ...]

    def choose(self, picks: Sequence[int]) -> None:
        """Which signals ``read`` gives; raises where one cannot be used."""
        ...

    def read(self, piece: int, start: int, stop: int) -> np.ndarray:
        """Volts of the chosen signals, (S, stop - start) float32."""
        ...

    def rails(self) -> np.ndarray:
        """Lowest and highest volts that each chosen signal can hold, (S, 2)."""
        ...


def plan_of(source: Source, montage: Montage) -> Plan:
    """How a source's signals become the montage's channels.

    Raises:
        SkipRecording: see :func:`~distilclip_eeg.corpora.edf.plan.plan_channels`.
    """
    try:
        return plan_channels(source.labels, montage, source.name)
    except SkipRecording as problem:
        if not source.bads:
            raise
        names = ", ".join(map(printable, source.bads))
        words = f"{problem} Its info['bads'] are taken as missing: {names}."
        raise SkipRecording(words, reason=problem.reason) from None


class EdfSource:
    """An EDF or BDF file.

    Args:
        rename: what its labels are to be read as.

    Raises:
        DataError, SkipRecording: see :func:`~distilclip_eeg.corpora.edf.reader.read_eeg`, and ``rename``.
    """

    bads: tuple[str, ...] = ()

    def __init__(self, path: str | Path, rename: Rename = AS_WRITTEN):
        self.path = Path(path)
        self.name = str(path)
        self.header = rename.header(read_header(self.path), self.path)
        self.labels = self.header.labels
        self.age_band = self.header.age_band
        self.warnings = self.header.warnings

    def choose(self, picks: Sequence[int]) -> None:
        """Which signals ``read`` gives; sets rate, pieces and warnings, which depend on them.

        Raises:
            DataError: a signal that cannot be scaled.
        """
        header, self.picks = self.header, picks
        self.table, self.sfreq, odd = scaling(self.path, header, picks)
        self.per_record = max(header.signals[index].samples_per_record for index in picks)
        self.pieces = tuple(
            (float(header.onsets_s[first]), (last - first) * self.per_record)
            for first, last in header.stretches
        )
        self.warnings = (*header.warnings, *odd, *compare_copies(self.path, header, picks))

    def read(self, piece: int, start: int, stop: int) -> np.ndarray:
        """Volts of the chosen signals, (S, stop - start) float32; whole records are read and cut."""
        header, per_record = self.header, self.per_record
        low, high = start // per_record, -(-stop // per_record)
        raw = map_records(self.path, header)[slice(*header.stretches[piece])]
        volts_ST, _ = decode(raw[low:high], header, self.picks, self.table)
        volts_ST = volts_ST[:, start - low * per_record : stop - low * per_record]
        for row, (index, scale) in enumerate(zip(self.picks, self.table, strict=True)):
            if (signal := header.signals[index]).samples_per_record < per_record:
                volts_ST[row] = decode_slow(raw, signal, scale, per_record, (start, stop))
        return volts_ST

    def rails(self) -> np.ndarray:
        """Lowest and highest volts that each chosen signal can hold, (S, 2), by the header's digital ends."""
        ends = [[digital * gain + offset for digital in ends] for gain, offset, *ends in self.table]
        return np.array(ends, np.float32)


class RawSource:
    """An ``mne.io.Raw``.

    Time that mne marks as ``BAD_ACQ_SKIP`` is a gap, and so are the joints of ``mne.concatenate_raws``
    (``BAD boundary``, ``EDGE boundary``): nothing is filtered across them. Channels in ``info["bads"]`` count
    as missing.

    Args:
        rename: what its channels' names are to be read as.

    Raises:
        SkipRecording: as ``rename`` has it.
    """

    age_band = ""

    def __init__(self, raw: mne.io.BaseRaw, rename: Rename = AS_WRITTEN):
        self.raw, self.name = raw, "mne.io.Raw"
        self.bads = tuple(name for name in raw.ch_names if name in raw.info["bads"])
        labels = rename.labels(raw.ch_names, self.name)
        named = zip(raw.ch_names, labels, strict=True)
        self.labels = tuple("" if name in self.bads else label for name, label in named)
        self.sfreq = float(raw.info["sfreq"])
        said = f"bad_channels: in info['bads'], taken as missing: {', '.join(map(printable, self.bads))}"
        self.warnings: tuple[str, ...] = (said,) if self.bads else ()
        edges = [0]
        for note in raw.annotations:
            if str(note["description"]).upper().replace(" ", "_") in GAPS:
                onset_s = note["onset"] - raw.first_time
                ends = (round(s * self.sfreq) for s in (onset_s, onset_s + note["duration"]))
                edges += [min(max(end, edges[-1]), raw.n_times) for end in ends]
        edges.append(raw.n_times)
        self.stretches = [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=True) if b > a]
        self.pieces = tuple((a / self.sfreq, b - a) for a, b in self.stretches)

    def choose(self, picks: Sequence[int]) -> None:
        """Which signals ``read`` gives."""
        self.picks = list(picks)

    def read(self, piece: int, start: int, stop: int) -> np.ndarray:
        """Volts of the chosen signals, (S, stop - start) float32."""
        first = self.stretches[piece][0]
        distinct, place = np.unique(self.picks, return_inverse=True)  # mne wants each once, in order
        volts = self.raw.get_data(distinct, first + start, first + stop, verbose="error")
        return volts[place].astype(np.float32)

    def rails(self) -> np.ndarray:
        """NaN, (S, 2): an mne object does not tell what its signals could hold."""
        return np.full((len(self.picks), 2), np.nan, np.float32)


@dataclass(frozen=True)
class Block:
    """Filtered microvolts (C, T); blocks of one piece follow each other without a gap."""

    piece: int
    start_s: float
    """Of the piece."""
    uv_CT: np.ndarray


class Blocks:
    """A recording, judged when it is opened; every iteration reads it from the start.

    Args:
        montage: of the model; what is missing in the file is handled as it says.
        config: of the model. A file that lacks the upper end of its band is refused.

    Raises:
        SkipRecording, DataError: see :func:`~distilclip_eeg.corpora.edf.reader.read_eeg`; also ``low_rate``,
            ``bad_sampling_rate``, ``not_finite``.
    """

    def __init__(self, source: Source, montage: Montage, config: SignalConfig):
        self.source, self.montage, self.config = source, montage, config
        self.plan = plan_of(source, montage)
        source.choose(self.plan.picks)
        self.filled = self.plan.filled
        self.clipped = 0
        """Samples beyond ``clip_uv`` in the last iteration."""
        warnings, self.means_PC = self._survey()
        check_rate(source.name, source.sfreq, config.h_freq, config.sfreq)
        warnings += self.plan.told(montage.missing)
        odd = montage_warnings(source.labels, self.plan.picks)
        self.warnings = (*source.warnings, *odd, *warnings)

    def __iter__(self) -> Iterator[Block]:
        self.clipped = 0
        for piece, (start_s, n) in enumerate(self.source.pieces):
            for uv_CT in self._zero(piece, n) if self.config.phase == "zero" else self._causal(piece, n):
                self.clipped += clip(uv_CT, self.config)
                yield Block(piece, start_s, uv_CT)

    def statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and SD of each channel over the whole recording, as ``normalize=recording`` takes them, (C,).

        Sums of blocks are joined as Chan et al. do (1983, Am Stat 37:242-247), so that none cancels.
        """
        n, mean_C, square_C = 0, np.zeros(len(self.montage.ch_names)), 0.0
        for block in self:
            x_CT = block.uv_CT.astype(float)
            m, here_C = x_CT.shape[1], x_CT.mean(axis=1)
            x_CT -= here_C[:, None]
            more_C = here_C - mean_C
            square_C = square_C + np.einsum("ct,ct->c", x_CT, x_CT) + more_C**2 * n * m / (n + m)
            mean_C = mean_C + more_C * m / (n + m)
            n += m
        return mean_C, np.sqrt(square_C / n)

    def excerpt(
        self, at_s: float, length_s: float, signals: SignalConfig | None = None
    ) -> tuple[float, np.ndarray]:
        """What to show of a moment: start, and up to ``length_s`` seconds in microvolts (C, T).

        Filtered without delay and with ``EDGE_S`` of what is beside it: nearly what the model saw.

        Args:
            signals: another band and rate than the model's.
        """
        sfreq, signals = self.source.sfreq, signals or self.config
        piece = max(k for k, (start_s, _) in enumerate(self.source.pieces) if k == 0 or start_s <= at_s)
        begin_s, n = self.source.pieces[piece]
        low = round((at_s - length_s / 2 - begin_s) * sfreq)
        low = max(0, min(low, n - round(length_s * sfreq)))
        high = min(n, low + round(length_s * sfreq))
        left = max(0, low - round(EDGE_S * sfreq))
        volts_ST = self.source.read(piece, left, min(n, high + round(EDGE_S * sfreq)))
        uv_CT, _ = zero_phase(self._microvolts(piece, volts_ST), sfreq, signals)
        first, last = (round((k - left) / sfreq * signals.sfreq) for k in (low, high))
        return begin_s + low / sfreq, uv_CT[:, first:last]

    def _zero(self, piece: int, n: int) -> Iterator[np.ndarray]:
        def read(start: int, stop: int) -> np.ndarray:
            return self._microvolts(piece, self.source.read(piece, start, stop))

        return zero_phase_blocks(read, n, self.means_PC[piece], self.source.sfreq, self.config)

    def _causal(self, piece: int, n: int) -> Iterator[np.ndarray]:
        path, step = Causal(self.source.sfreq, self.config), round(BLOCK_S * self.source.sfreq)
        for start in range(0, n, step):
            stop = min(start + step, n)
            volts_ST = self.source.read(piece, start, stop)
            yield path.push(self._microvolts(piece, volts_ST), last=stop == n)

    def _microvolts(self, piece: int, volts_ST: np.ndarray) -> np.ndarray:
        """The montage's channels from the file's signals."""
        picked = Piece(self.source.pieces[piece][0], volts_ST)
        (made,) = arrange([picked], self.source.sfreq, self.plan, self.montage)
        return made.eeg_CT * MICRO

    def _survey(self) -> tuple[list[str], np.ndarray]:
        """What is odd about the signals, and each channel's mean in each piece, microvolts (P, C)."""
        source = self.source
        names = [printable(source.labels[index]) for index in self.plan.picks]
        quality = Quality(Path(source.name), names, source.sfreq, [n for _, n in source.pieces])
        step = quality.block * max(1, round(BLOCK_S * source.sfreq) // quality.block)
        rails_S2 = source.rails()
        clipped_S, means_PC = np.zeros(len(names), np.int64), []
        for piece, (start_s, n) in enumerate(source.pieces):
            sum_C = np.zeros(len(self.montage.ch_names))
            for start in range(0, n, step):
                volts_ST = source.read(piece, start, min(start + step, n))
                low_S, high_S = quality.add(volts_ST, start)
                if not np.isfinite(low_S + high_S).all():
                    found = f"samples that are no number after {start_s + start / source.sfreq:g} s"
                    raise edf_error(quality.path, "not_finite", found, "volts", "Mend or cut it.")
                for row in np.flatnonzero((low_S == rails_S2[:, 0]) | (high_S == rails_S2[:, 1])):
                    clipped_S[row] += np.isin(volts_ST[row], rails_S2[row]).sum()
                sum_C += self._microvolts(piece, volts_ST).sum(axis=1)
            means_PC.append(sum_C / n)
        return quality.judge(clipped_S), np.array(means_PC)
