"""Our own reader of EDF, EDF+C, EDF+D and BDF: only the signals asked for, in volts, and what is odd.

The header is checked before a sample is touched (``corpora/edf/header.py``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from distilclip_eeg.corpora.edf.fields import EdfSignal, edf_error, number
from distilclip_eeg.corpora.edf.header import RECORDS, EdfHeader, map_records, read_header, samples
from distilclip_eeg.corpora.edf.montage import Montage, printable
from distilclip_eeg.corpora.edf.plan import copies, montage_warnings, plan_channels
from distilclip_eeg.corpora.edf.quality import Quality
from distilclip_eeg.corpora.edf.rereference import arrange
from distilclip_eeg.schema import Piece, SkipRecording

UNITS = {"uv": 1e-6, "\xb5v": 1e-6, "\xe2\xb5v": 1e-6, "\xee\xbcv": 1e-6, "mv": 1e-3, "v": 1.0}
"""Volts per unit, lower case; the third and fourth are UTF-8 micro signs read as Latin-1."""
TAPS = 10
"""Of ``resample_poly``: its filter reaches this many samples of the slower rate to either side."""
CACHED = 16384
"""Samples of a signal that are decoded at a time."""
MOST_HZ = 16384.0
"""The fastest scalp EEG amplifiers; a filter of 0.1 Hz grows with the rate."""
MOST_STEPS = 20_000
"""Of a rate as a fraction p / q with q up to 1000: what p may be (173.61 Hz is 17361 / 100)."""
MOST_APART, MOST_UPS = 16, 1000
"""The fastest chosen signal against the slowest, and by how much one is raised before it is lowered: bounds
on what is made of few bytes."""
Scale = tuple[float, float, float, float]
"""Gain and offset (volts of a digital value), digital minimum and maximum."""


@dataclass(frozen=True)
class EdfEeg:
    """A montage's channels out of one file, and everything odd about them."""

    header: EdfHeader
    pieces: tuple[Piece, ...]
    sfreq: float
    clipped_samples: int
    filled: tuple[str, ...]
    """Channels that the file lacks: zero, or interpolated."""
    warnings: tuple[str, ...]


def read_eeg(path: str | Path, montage: Montage | Sequence[str], header: EdfHeader | None = None) -> EdfEeg:
    """Check a file, pick a montage, decode it and judge the signal: what a corpus calls.

    Args:
        montage: or the names of channels wanted as they stand in the file.
        header: of the same file, where it has been read already.

    Raises:
        DataError: see :func:`read_header` and :func:`read_pieces`; also another signal under the name
            of a chosen one (``duplicate_channel``), an amplitude no EEG has (``implausible_amplitude``).
        SkipRecording: also ``missing_channels``, ``mixed_references``, ``too_short``, ``all_flat``.
    """
    path = Path(path)
    if not isinstance(montage, Montage):
        montage = Montage("native", tuple(montage))
    header = header or read_header(path)
    plan = plan_channels(header.labels, montage, str(path))
    pieces, sfreq, clipped_C, odd = read_pieces(path, header, plan.picks)
    warnings = [*header.warnings, *montage_warnings(header.labels, plan.picks), *odd]
    warnings += compare_copies(path, header, plan.picks)
    names = [printable(header.labels[index]) for index in plan.picks]
    quality = Quality(path, names, sfreq, [piece.eeg_CT.shape[1] for piece in pieces])
    for piece in pieces:
        quality.add(piece.eeg_CT)
    warnings += quality.judge(clipped_C)
    pieces = arrange(pieces, sfreq, plan, montage)
    warnings += plan.told(montage.missing)
    return EdfEeg(header, pieces, sfreq, int(clipped_C.sum()), plan.filled, tuple(warnings))


def read_pieces(
    path: str | Path, header: EdfHeader, picks: Sequence[int]
) -> tuple[tuple[Piece, ...], float, np.ndarray, list[str]]:
    """Decode the chosen signals, nothing else, to float32 volts.

    Signals slower than the fastest one are brought to its rate (polyphase filter) and reported.

    Args:
        header: of the same file, from :func:`read_header`.
        picks: positions in ``header.signals``; one row each, in this order.

    Returns:
        One piece per stretch without a gap, each (C, T); their sampling rate in Hz; how many samples of
        each signal stood at the digital minimum or maximum, (C,); and what is odd about the scaling.

    Raises:
        SkipRecording: a chosen signal has no samples, range, unit or usable rate.
        DataError: a range of a chosen signal is not a number.
    """
    path = Path(path)
    table, sfreq, warnings = scaling(path, header, picks)
    raw = map_records(path, header)
    pieces, clipped_C = [], np.zeros(len(picks), np.int64)
    for first, last in header.stretches:
        eeg_CT, clipped = decode(raw[first:last], header, picks, table)
        clipped_C += clipped
        pieces.append(Piece(start_s=float(header.onsets_s[first]), eeg_CT=eeg_CT))
    return tuple(pieces), sfreq, clipped_C, warnings


def decode(
    raw: np.ndarray, header: EdfHeader, picks: Sequence[int], table: Sequence[Scale]
) -> tuple[np.ndarray, np.ndarray]:
    """Some records that follow each other: the chosen signals in volts, (C, T) float32, at the fastest
    one's rate, and how many samples of each stood at the digital minimum or maximum, (C,).

    Args:
        raw: as :func:`~distilclip_eeg.corpora.edf.header.map_records` gives them.
        picks: positions in ``header.signals``.
        table: from :func:`scaling`, one entry a pick.
    """
    per_record = max(header.signals[index].samples_per_record for index in picks)
    eeg_CT = np.empty((len(picks), len(raw) * per_record), np.float32)
    clipped_C = np.zeros(len(picks), np.int64)
    at_once = max(1, CACHED // per_record)
    volts = np.empty((at_once, per_record))
    for first in range(0, len(raw), at_once):
        block = raw[first : first + at_once]
        part_CT = eeg_CT[:, first * per_record : (first + len(block)) * per_record]
        for row, (index, (gain, offset, dmin, dmax)) in enumerate(zip(picks, table, strict=True)):
            digital = np.ascontiguousarray(samples(block, header.signals[index].columns))
            if digital.min() <= dmin or digital.max() >= dmax:
                clipped_C[row] += np.count_nonzero((digital == dmin) | (digital == dmax))
            if digital.shape[1] == per_record:
                made = volts[: len(block)]
                made[...] = digital  # in float64: float32 arithmetic would cost a digit
                made *= gain
                made += offset
                part_CT[row].reshape(made.shape)[...] = made
    for row, (index, (gain, offset, *_)) in enumerate(zip(picks, table, strict=True)):
        if (width := header.signals[index].samples_per_record) < per_record:
            change = Fraction(per_record, width)
            slow = samples(raw, header.signals[index].columns).reshape(-1) * gain + offset
            eeg_CT[row] = resample_poly(slow, change.numerator, change.denominator, padtype="line")
    return eeg_CT, clipped_C


def decode_slow(
    raw: np.ndarray, signal: EdfSignal, scale: Scale, per_record: int, span: tuple[int, int]
) -> np.ndarray:
    """A part of one slower signal at the fastest one's rate, in volts, as the whole decoded gives it.

    Args:
        raw: all records of a stretch, mapped; only those around the part are read.
        per_record: samples of the fastest signal in a record.
        span: first sample and end of the part, in samples of the fastest signal.
    """
    (start, stop), width = span, signal.samples_per_record
    change, n = Fraction(per_record, width), len(raw) * width
    up, down = change.numerator, change.denominator
    margin = TAPS * max(up, down) // up + 2
    low, high = start * down // up - margin, -(-stop * down // up) + margin
    low -= low % down  # where the two grids meet
    inside = np.arange(max(low, 0), min(high, n))
    first = inside[0] // width
    part = samples(raw[first : inside[-1] // width + 1], signal.columns).reshape(-1)
    ends = [
        samples(raw[k], signal.columns)[i] for k, i in ((slice(0, 1), (0, 0)), (slice(-1, None), (0, -1)))
    ]
    slope = (float(ends[1]) - ends[0]) / max(n - 1, 1)
    digital = np.concatenate(  # beyond the stretch its ends' line goes on, as padtype="line" has it
        [
            ends[0] + slope * np.arange(low, 0),
            part[inside - first * width],
            ends[1] + slope * np.arange(1, high - n + 1),
        ]
    )
    made = resample_poly(digital * scale[0] + scale[1], up, down)
    return made[start - low * up // down :][: stop - start]


def scaling(path: Path, header: EdfHeader, picks: Sequence[int]) -> tuple[list[Scale], float, list[str]]:
    """How to decode each chosen signal, the fastest one's rate in Hz, and what is odd.

    Raises:
        SkipRecording: ``empty_channel``, ``bad_sampling_rate``, ``unknown_unit``, ``bad_digital_range``,
            ``bad_physical_range``.
        DataError: a range that is no number.
    """
    rates = sorted({header.sfreqs[index] for index in picks})
    empty = [printable(header.labels[i]) for i in picks if header.signals[i].samples_per_record == 0]
    if empty:
        found = f"no samples in {', '.join(empty)}"
        raise edf_error(path, "empty_channel", found, "samples in every chosen signal", "", SkipRecording)
    _check_rates(path, header, picks)
    warnings, table = [], []
    if len(rates) > 1:
        found = ", ".join(f"{rate:g}" for rate in rates)
        warnings.append(f"mixed_eeg_rates: signals at {found} Hz, all brought to {rates[-1]:g} Hz")
    if rates[-1] != int(rates[-1]):
        warnings.append(f"odd_sampling_rate: {rates[-1]:g} Hz is not a whole number")
    signals = [header.signals[index] for index in picks]
    if blank := [printable(s.label) for s in signals if not s.unit]:
        warnings.append(f"unknown_unit: no unit given, taken as uV: {', '.join(blank)}")
    for signal in signals:
        gain, offset, dmin, dmax = _scale_of(path, signal, header.sample_bytes)
        if gain < 0:
            warnings.append(f"inverted_polarity: physical range of {printable(signal.label)} runs downwards")
        table.append((gain, offset, dmin, dmax))
    return table, float(rates[-1]), warnings


def _check_rates(path: Path, header: EdfHeader, picks: Sequence[int]) -> None:
    """Refuse rates that no EEG has, or whose handling would cost more than the file is worth."""
    rates = sorted({header.sfreqs[index] for index in picks})
    found = ", ".join(f"{rate:.9g}" for rate in rates[:8])
    for rate in rates:
        if not 1 <= rate <= MOST_HZ:
            found = f"a sampling rate of {rate:g} Hz"
            raise edf_error(path, "bad_sampling_rate", found, f"1 to {MOST_HZ:g} Hz", "", SkipRecording)
        exact = Fraction(rate).limit_denominator(1000)
        if exact.numerator > MOST_STEPS or abs(float(exact) / rate - 1) > 1e-9:
            found = f"a sampling rate of {rate:.9g} Hz"
            expected = "a whole number, or a fraction such as 173.61"
            raise edf_error(path, "bad_sampling_rate", found, expected, "Export it again.", SkipRecording)
    counts = [header.signals[index].samples_per_record for index in picks]
    steps = [Fraction(max(counts), count) for count in counts]
    if max(steps) > MOST_APART or max(step.numerator for step in steps) > MOST_UPS:
        expected = f"rates within a factor of {MOST_APART} whose ratio is a small fraction"
        found = f"signals at {found} Hz"
        raise edf_error(path, "mixed_eeg_rates", found, expected, "Export it at one rate.", SkipRecording)


def _scale_of(path: Path, signal: EdfSignal, width: int) -> Scale:
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
    # The widest sample must still be a float32, else the signal turns into inf or NaN.
    if gain == 0 or not abs(gain) * 2 ** (8 * width) + abs(offset) < float(np.finfo(np.float32).max):
        found = f"physical range {signal.physical[0]} to {signal.physical[1]} of signal {name}"
        raise edf_error(
            path, "bad_physical_range", found, "two different limits of EEG size", "", SkipRecording
        )
    return gain, offset, dmin, dmax


def compare_copies(path: Path, header: EdfHeader, picks: Sequence[int]) -> list[str]:
    """What to say of signals under one name.

    Two equal ones that the montage takes both are the layout of CHB-MIT (T8-P8), so nothing. Of two that
    differ where only one is taken, nobody knows which is meant: the file is refused.

    Args:
        picks: positions in ``header.signals`` that the montage takes.

    Raises:
        DataError: ``duplicate_channel``.
    """
    warnings = []
    for picked, other in copies(header.labels, picks):
        a, b = header.signals[picked], header.signals[other]
        same_scale = (a.unit, a.physical, a.digital) == (b.unit, b.physical, b.digital)
        same = same_scale and all(
            np.array_equal(raw[:, a.columns], raw[:, b.columns])
            for raw in (
                map_records(path, header)[k : k + RECORDS] for k in range(0, header.n_records, RECORDS)
            )
        )
        found = f"signals {picked + 1} and {other + 1} are both {printable(a.label)} and differ"
        if other in picks:
            warnings += [] if same else [f"duplicate_channel: {found}, the montage takes both"]
        elif same:
            warnings.append(f"duplicate_channel: signal {other + 1} repeats {printable(a.label)}, not used")
        else:
            raise edf_error(path, "duplicate_channel", found, "one signal per name", "Rename or remove one.")
    return warnings
