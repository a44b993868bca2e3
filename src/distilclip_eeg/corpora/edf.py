"""Our own reader of EDF, EDF+C and EDF+D: only the signals asked for, in volts, and what is odd about them.

The header is checked before a sample is touched (``corpora/edf_header.py``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from distilclip_eeg.corpora.edf_fields import EdfSignal, edf_error, number
from distilclip_eeg.corpora.edf_header import EdfHeader, map_records, read_header
from distilclip_eeg.corpora.montage import copies, montage_warnings, pick_channels, printable
from distilclip_eeg.schema import Piece, SkipRecording

MIN_DURATION_S = 1.0
"""The shortest recording that holds one window."""
FILTER_CYCLE_S = 10.0
"""One cycle of the 0.1 Hz high-pass; below that the filter is mostly edge."""
IMPLAUSIBLE_V = 0.01
"""Half of a channel further than 10 mV from its median is no scalp EEG, the unit is wrong."""
SATURATED_FRACTION = 0.1

UNITS = {"uv": 1e-6, "\xb5v": 1e-6, "\xe2\xb5v": 1e-6, "\xee\xbcv": 1e-6, "mv": 1e-3, "v": 1.0}
"""Volts per unit, lower case; the third and fourth are UTF-8 micro signs read as Latin-1."""


@dataclass(frozen=True)
class EdfEeg:
    """The chosen signals of one file and everything odd about them."""

    header: EdfHeader
    pieces: tuple[Piece, ...]
    sfreq: float
    clipped_samples: int
    warnings: tuple[str, ...]


def read_eeg(path: str | Path, montage: Sequence[str]) -> EdfEeg:
    """Check a file, pick a montage, decode it and judge the signal: what a corpus calls.

    Raises:
        DataError: see :func:`read_header` and :func:`read_pieces`; also another signal under the name
            of a chosen one (``duplicate_channel``), an amplitude no EEG has (``implausible_amplitude``).
        SkipRecording: also ``missing_channels``, ``too_short``, ``all_flat``.
    """
    path = Path(path)
    header = read_header(path)
    picks = pick_channels(header.labels, montage, str(path))
    pieces, sfreq, clipped_C, odd = read_pieces(path, header, picks)
    warnings = [*header.warnings, *montage_warnings(header.labels, picks), *odd]
    warnings += _compare_copies(path, header, picks)
    names = [printable(header.labels[index]) for index in picks]
    warnings += _judge_signal(path, pieces, sfreq, names, clipped_C)
    return EdfEeg(header, pieces, sfreq, int(clipped_C.sum()), tuple(warnings))


def read_pieces(
    path: str | Path, header: EdfHeader, picks: Sequence[int]
) -> tuple[tuple[Piece, ...], float, np.ndarray, list[str]]:
    """Decode the chosen signals, nothing else, to float32 volts.

    Args:
        header: of the same file, from :func:`read_header`.
        picks: positions in ``header.signals``; one row each, in this order.

    Returns:
        One piece per stretch without a gap, each (C, T); their sampling rate in Hz; how many samples of
        each signal stood at the digital minimum or maximum, (C,); and what is odd about the scaling.

    Raises:
        SkipRecording: the chosen signals have no common rate, or one has no samples, range or unit.
        DataError: a range of a chosen signal is not a number.
    """
    path = Path(path)
    table, sfreq, warnings = _scaling(path, header, picks)
    raw = map_records(path, header)
    per_record = header.signals[picks[0]].samples_per_record
    pieces, clipped_C = [], np.zeros(len(picks), np.int64)
    for first, last in header.stretches:
        eeg_CT = np.empty((len(picks), (last - first) * per_record), np.float32)
        for row, (index, (gain, offset, dmin, dmax)) in enumerate(zip(picks, table, strict=True)):
            digital = raw[first:last, header.signals[index].columns].reshape(-1)
            eeg_CT[row] = digital * gain + offset  # in float64: float32 arithmetic would cost a digit
            clipped_C[row] += np.count_nonzero((digital == dmin) | (digital == dmax))
        pieces.append(Piece(start_s=float(header.onsets_s[first]), eeg_CT=eeg_CT))
    return tuple(pieces), sfreq, clipped_C, warnings


def _scaling(
    path: Path, header: EdfHeader, picks: Sequence[int]
) -> tuple[list[tuple[float, float, float, float]], float, list[str]]:
    """(gain, offset, digital minimum, maximum) of each chosen signal in volts, the rate, and warnings."""
    rates = sorted({header.sfreqs[index] for index in picks})
    empty = [printable(header.labels[i]) for i in picks if header.signals[i].samples_per_record == 0]
    if empty:
        found = f"no samples in {', '.join(empty)}"
        raise edf_error(path, "empty_channel", found, "samples in every chosen signal", "", SkipRecording)
    if len(rates) != 1:
        found = f"chosen signals at {', '.join(f'{rate:g}' for rate in rates)} Hz"
        raise edf_error(
            path, "mixed_eeg_rates", found, "one common rate", "Resample the file.", SkipRecording
        )
    if not 1 <= rates[0] <= 1e5:
        found = f"a sampling rate of {rates[0]:g} Hz"
        raise edf_error(path, "bad_sampling_rate", found, "1 to 100000 Hz", "", SkipRecording)
    warnings, table = [], []
    if rates[0] != int(rates[0]):
        warnings.append(f"odd_sampling_rate: {rates[0]:g} Hz is not a whole number")
    signals = [header.signals[index] for index in picks]
    if blank := [printable(s.label) for s in signals if not s.unit]:
        warnings.append(f"unknown_unit: no unit given, taken as uV: {', '.join(blank)}")
    for signal in signals:
        gain, offset, dmin, dmax = _scale_of(path, signal)
        if gain < 0:
            warnings.append(f"inverted_polarity: physical range of {printable(signal.label)} runs downwards")
        table.append((gain, offset, dmin, dmax))
    return table, float(rates[0]), warnings


def _scale_of(path: Path, signal: EdfSignal) -> tuple[float, float, float, float]:
    """``volts = digital * gain + offset``; refuses a range that would give silence, NaN or nonsense."""
    name = printable(signal.label)
    for what, limits in (("physical", signal.physical), ("digital", signal.digital)):
        if np.isnan([number(text) for text in limits]).any():
            found = f"{what} range {limits[0]!r} to {limits[1]!r} of signal {name}"
            raise edf_error(
                path, f"bad_{what}_range", found, "two numbers, decimal point", "Mend the header."
            )
    if signal.unit and signal.unit.lower() not in UNITS:
        found = f"unit {printable(signal.unit)} of signal {name}"
        raise edf_error(path, "unknown_unit", found, "uV, mV or V", "Mend the header.", SkipRecording)
    (pmin, pmax), (dmin, dmax) = map(number, signal.physical), map(number, signal.digital)
    if not -np.inf < dmin < dmax < np.inf:
        found = f"digital range {signal.digital[0]} to {signal.digital[1]} of signal {name}"
        raise edf_error(path, "bad_digital_range", found, "minimum below maximum", "", SkipRecording)
    volts = UNITS[signal.unit.lower() or "uv"]
    gain = (pmax - pmin) / (dmax - dmin) * volts
    offset = pmin * volts - dmin * gain
    # The widest 16-bit sample must still be a float32, else the signal turns into inf or NaN.
    if gain == 0 or not abs(gain) * 65536 + abs(offset) < float(np.finfo(np.float32).max):
        found = f"physical range {signal.physical[0]} to {signal.physical[1]} of signal {name}"
        raise edf_error(
            path, "bad_physical_range", found, "two different limits of EEG size", "", SkipRecording
        )
    return gain, offset, dmin, dmax


def _compare_copies(path: Path, header: EdfHeader, picks: Sequence[int]) -> list[str]:
    """What to say of signals under one name.

    Two equal ones that the montage takes both are the layout of CHB-MIT (T8-P8), so nothing. Of two that
    differ where only one is taken, nobody knows which is meant: the file is refused.
    """
    raw, warnings = map_records(path, header), []
    for picked, other in copies(header.labels, picks):
        a, b = header.signals[picked], header.signals[other]
        same_scale = (a.unit, a.physical, a.digital) == (b.unit, b.physical, b.digital)
        same = same_scale and np.array_equal(raw[:, a.columns], raw[:, b.columns])
        found = f"signals {picked + 1} and {other + 1} are both {printable(a.label)} and differ"
        if other in picks:
            warnings += [] if same else [f"duplicate_channel: {found}, the montage takes both"]
        elif same:
            warnings.append(f"duplicate_channel: signal {other + 1} repeats {printable(a.label)}, not used")
        else:
            raise edf_error(path, "duplicate_channel", found, "one signal per name", "Rename or remove one.")
    return warnings


def _judge_signal(
    path: Path, pieces: Sequence[Piece], sfreq: float, names: Sequence[str], clipped_C: np.ndarray
) -> list[str]:
    """Faults only the samples show: length, amplitude, flat or saturated channels, drop-outs."""
    lengths = [piece.eeg_CT.shape[1] for piece in pieces]
    if sum(lengths) / sfreq < MIN_DURATION_S:
        found = f"{sum(lengths) / sfreq:g} s of signal"
        raise edf_error(path, "too_short", found, f"at least {MIN_DURATION_S:g} s", "", SkipRecording)
    warnings = []
    if min(lengths) / sfreq < FILTER_CYCLE_S:
        words = f"shortest piece {min(lengths) / sfreq:g} s, one cycle of the 0.1 Hz high-pass is 10 s"
        warnings.append(f"short_for_filter: {words}")
    # Ten thousand samples tell the size of a channel; sorting an hour of it would cost seconds.
    sample = np.concatenate([p.eeg_CT[:, :: max(1, sum(lengths) // 10_000)] for p in pieces], axis=1)
    spread_C = np.median(np.abs(sample - np.median(sample, axis=1, keepdims=True)), axis=1)
    if (spread_C > IMPLAUSIBLE_V).any():
        worst = int(np.argmax(spread_C))
        found = f"{names[worst]} varies by {spread_C[worst]:.3g} V"
        raise edf_error(
            path, "implausible_amplitude", found, "microvolts to millivolts", "Mend the unit field."
        )
    low_C = np.min([p.eeg_CT.min(axis=1) for p in pieces], axis=0)
    high_C = np.max([p.eeg_CT.max(axis=1) for p in pieces], axis=0)
    flat = [name for name, same in zip(names, high_C == low_C, strict=True) if same]
    if len(flat) == len(names):
        raise edf_error(path, "all_flat", "every chosen signal is constant", "EEG", "", SkipRecording)
    if flat:
        warnings.append(f"flat_channel: constant throughout: {', '.join(flat)}")
    if lost := sum(_flat_seconds(piece.eeg_CT, sfreq) for piece in pieces):
        warnings.append(f"flat_window: {lost} s in which no channel changes")
    railed = [n for n, c in zip(names, clipped_C / sum(lengths), strict=True) if c > SATURATED_FRACTION]
    railed = [name for name in railed if name not in flat]
    if railed:
        warnings.append(f"saturated_channel: over a tenth of the samples at the rails: {', '.join(railed)}")
    return warnings


def _flat_seconds(eeg_CT: np.ndarray, sfreq: float) -> int:
    """Whole seconds, counted from the start of the piece, in which every channel is constant."""
    width = max(2, int(sfreq))
    blocks = eeg_CT[:, : eeg_CT.shape[1] // width * width].reshape(len(eeg_CT), -1, width)
    return int((blocks.max(axis=2) == blocks.min(axis=2)).all(axis=0).sum())
