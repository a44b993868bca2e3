"""Our own reader of EDF, EDF+C and EDF+D: a strict header check first, then only the signals asked for.

No reader is trusted with a damaged file (several return wrong values in silence), so the header's
256 + 256 * signals bytes are parsed here and compared with the file before a sample is touched.

Format: Kemp et al. (1992), Electroencephalogr Clin Neurophysiol 82:391-393; EDF+: Kemp & Olivan (2003),
Clin Neurophysiol 114:1755-1761. The patient and recording fields never leave this module, except sex and
age band. A warning is ``"code: words"``; its code is stable, like the ``reason`` of an error.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from distilclip_eeg.corpora.montage import left_over_copies, montage_warnings, pick_channels, printable
from distilclip_eeg.schema import DataError, Event, Piece, SkipRecording

ANNOTATIONS = "EDF Annotations"
ONSET_TOLERANCE_S = 0.002
"""Record onsets are written with few decimals; half a sample at 250 Hz is no gap."""
MIN_DURATION_S = 1.0
"""The shortest recording that holds one window."""
FILTER_CYCLE_S = 10.0
"""One cycle of the 0.1 Hz high-pass; below that the filter is mostly edge."""
IMPLAUSIBLE_V = 0.01
"""Half of a channel further than 10 mV from its median is no scalp EEG, the unit is wrong."""
SATURATED_FRACTION = 0.1

UNITS = {"uv": 1e-6, "\xb5v": 1e-6, "\xe2\xb5v": 1e-6, "\xee\xbcv": 1e-6, "mv": 1e-3, "v": 1.0}
"""Volts per unit, lower case; the third and fourth are UTF-8 micro signs read as Latin-1."""
AGE_BANDS = (
    (28 / 365.25, "neonate"),
    (2, "infant"),
    (12, "child"),
    (18, "adolescent"),
    (65, "adult"),
    (130, "older adult"),
)
"""Upper end in years, exclusive, and name."""

_INTEGER = re.compile(r"[+-]?\d+")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_TAL = re.compile(rb"([+-]\d+(?:\.\d*)?)(?:\x15(\d+(?:\.\d*)?))?\x14([^\0]*)\x14")
_FIELD_WIDTHS = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)


@dataclass(frozen=True)
class EdfSignal:
    """One signal of the header. Ranges stay text until the signal is chosen: only then they matter."""

    label: str
    unit: str
    physical: tuple[str, str]
    digital: tuple[str, str]
    samples_per_record: int
    first: int
    """Place of its first sample in a record, in 16-bit words."""

    @property
    def columns(self) -> slice:
        """Its samples in a record."""
        return slice(self.first, self.first + self.samples_per_record)


@dataclass(frozen=True)
class EdfHeader:
    """What a file says about itself, checked against its size."""

    signals: tuple[EdfSignal, ...]
    n_records: int
    """Whole records that are there, not what the header claims."""
    record_duration_s: float
    onsets_s: np.ndarray
    """Start of each record from the start of the first, shape (n_records,)."""
    lost_s: float = 0.0
    """Seconds that the header claims and the file lacks."""
    annotations: tuple[Event, ...] = field(default=(), repr=False)
    """EDF+ annotations inside the recording; free text, so never print or store it unseen."""
    warnings: tuple[str, ...] = ()
    sex: str = ""
    """``F``, ``M`` or empty."""
    age_band: str = ""

    @property
    def labels(self) -> tuple[str, ...]:
        """Signal names as written, annotation signals included."""
        return tuple(signal.label for signal in self.signals)

    @property
    def sfreqs(self) -> tuple[float, ...]:
        """Sampling rate of each signal in Hz."""
        rates = (s.samples_per_record / self.record_duration_s for s in self.signals)
        return tuple(round(r) if r < 1e9 and abs(r - round(r)) < 1e-6 else r for r in rates)

    @property
    def span_s(self) -> float:
        """Seconds from the first sample to the end of the last record, gaps included."""
        return float(self.onsets_s[-1]) + self.record_duration_s

    @property
    def stretches(self) -> list[tuple[int, int]]:
        """Records without a gap between them, as ``[first, last)``."""
        steps = np.diff(self.onsets_s)
        gaps = np.flatnonzero(np.abs(steps - self.record_duration_s) > ONSET_TOLERANCE_S) + 1
        edges = [0, *gaps.tolist(), self.n_records]
        return list(zip(edges[:-1], edges[1:], strict=True))


@dataclass(frozen=True)
class EdfEeg:
    """The chosen signals of one file and everything odd about them."""

    header: EdfHeader
    pieces: tuple[Piece, ...]
    sfreq: float
    clipped_samples: int
    warnings: tuple[str, ...]


def age_band(years: float) -> str:
    """The name of an age, empty where it cannot be one."""
    return next((name for end, name in AGE_BANDS if 0 <= years < end), "")


def read_header(path: str | Path) -> EdfHeader:
    """Parse and check a header, and place every record in time, without reading a signal.

    Raises:
        DataError: the file is no EDF, or its fields contradict each other or the file's size.
        SkipRecording: a valid file that holds no signal or no data.
    """
    path = Path(path)
    size, fixed, per_signal = _read_header_bytes(path)
    patient, _, date, clock, _, reserved, claim, duration_field, _ = _split_fixed(fixed)
    warnings = []
    if b"\0" in fixed:
        warnings.append("nonstandard_padding: header fields are padded with NUL instead of spaces")
    if not _plausible_start(date, clock):
        warnings.append("bad_start_time: the start date or time is impossible; it is not used")
    signals = _parse_signals(path, per_signal)
    duration = _record_duration(path, duration_field)
    data_bytes = size - len(fixed) - len(per_signal)
    record_bytes = 2 * sum(signal.samples_per_record for signal in signals)
    n_records, lost_s, size_warnings = _count_records(path, claim, data_bytes, record_bytes, duration)
    onsets, annotations, time_warnings = _read_times(
        path, signals, n_records, duration, reserved.startswith("EDF+D")
    )
    sex, age = _sex_and_age(patient)
    return EdfHeader(
        signals=signals,
        n_records=n_records,
        record_duration_s=duration,
        onsets_s=onsets,
        lost_s=lost_s,
        annotations=annotations,
        warnings=(*warnings, *size_warnings, *time_warnings),
        sex=sex,
        age_band=age,
    )


def read_pieces(
    path: str | Path, header: EdfHeader, picks: Sequence[int]
) -> tuple[tuple[Piece, ...], float, int]:
    """Decode the chosen signals, nothing else, to float32 volts.

    Args:
        header: of the same file, from :func:`read_header`.
        picks: positions in ``header.signals``; one row each, in this order.

    Returns:
        One piece per stretch without a gap, each (C, T); their sampling rate in Hz; and how many samples
        stood at the digital minimum or maximum.

    Raises:
        SkipRecording: the chosen signals have no common rate, or one has no samples, range or unit.
        DataError: a range of a chosen signal is not a number.
    """
    pieces, sfreq, clipped_C = _decode(Path(path), header, picks)
    return pieces, sfreq, int(clipped_C.sum())


def read_eeg(path: str | Path, montage: Sequence[str]) -> EdfEeg:
    """Check a file, pick a montage, decode it and judge the signal: what a corpus calls.

    Raises:
        DataError: see :func:`read_header` and :func:`read_pieces`; also two different signals under one
            name (``duplicate_channel``) and an amplitude no EEG has (``implausible_amplitude``).
        SkipRecording: also ``missing_channels``, ``too_short``, ``all_flat``.
    """
    path = Path(path)
    header = read_header(path)
    picks = pick_channels(header.labels, montage, str(path))
    _, sfreq, warnings = _scaling(path, header, picks)
    warnings = [*header.warnings, *montage_warnings(header.labels, picks), *warnings]
    warnings += _compare_copies(path, header, left_over_copies(header.labels, picks))
    pieces, sfreq, clipped_C = _decode(path, header, picks)
    names = [printable(header.labels[index]) for index in picks]
    warnings += _judge_signal(path, pieces, sfreq, names, clipped_C)
    return EdfEeg(header, pieces, sfreq, int(clipped_C.sum()), tuple(warnings))


# ---------------------------------------------------------------------------------------------- header


def _read_header_bytes(path: Path) -> tuple[int, bytes, bytes]:
    """Size of the file, its 256 fixed bytes and the 256 per signal."""
    if path.exists() and not path.is_file():
        raise _error(path, "not_a_file", "a folder or device", "an EDF file", "Name the file itself.")
    try:
        with path.open("rb") as stream:
            size = path.stat().st_size
            fixed = stream.read(256)
            if not fixed:
                raise _error(path, "empty_file", "0 bytes", "an EDF header", "Fetch the file again.")
            if fixed[:8].strip(b" \0") != b"0":
                raise _error(path, "not_edf", _guess_kind(fixed), "an EDF file (version '0')", "Replace it.")
            cut = "The download or copy is incomplete; fetch the file again."
            if len(fixed) < 256:
                raise _error(path, "header_truncated", f"{len(fixed)} bytes", "256 or more", cut)
            n_signals = _split_fixed(fixed)[8]
            if not _INTEGER.fullmatch(n_signals) or int(n_signals) < 0:
                raise _error(path, "bad_signal_count", f"signal count {n_signals!r}", "a whole number", "")
            if int(n_signals) == 0:
                raise _error(path, "no_signals", "signal count 0", "at least one signal", "")
            expected = 256 * (int(n_signals) + 1)
            if size < expected:
                found = f"{size} bytes for {int(n_signals)} signals"
                raise _error(path, "header_truncated", found, f"a header of {expected} bytes", cut)
            if (length := _split_fixed(fixed)[4]) != str(expected):
                found = f"header length field {length!r} for {int(n_signals)} signals"
                raise _error(path, "header_size_mismatch", found, repr(str(expected)), "Export it again.")
            return size, fixed, stream.read(expected - 256)
    except FileNotFoundError:
        raise _error(path, "missing_file", "no such file", "an EDF file", "Check the path.") from None
    except OSError as problem:
        found = f"unreadable ({problem.strerror})"
        raise _error(path, "unreadable", found, "a readable file", "Check its permissions.") from None


def _split_fixed(fixed: bytes) -> list[str]:
    """patient, recording, date, time, header length, reserved, records, record duration, signals."""
    edges = (8, 88, 168, 176, 184, 192, 236, 244, 252, 256)
    return [_text(fixed[a:b]) for a, b in zip(edges[:-1], edges[1:], strict=True)]


def _text(raw: bytes) -> str:
    """Latin-1 never fails, so a name with an accent costs nothing."""
    return raw.decode("latin-1").strip(" \0")


def _guess_kind(start: bytes) -> str:
    """Words for a file that is no EDF."""
    known = {
        b"\xffBIOSEMI": "a BDF file (24-bit data)",
        b"\x1f\x8b": "a gzip archive",
        b"PK": "a zip archive",
        b"<": "a web page",
        b"version ": "a Git LFS pointer without the data",
        b"/annex": "a git-annex pointer without the data",
    }
    return next((words for magic, words in known.items() if start.startswith(magic)), "another kind of data")


def _plausible_start(date: str, clock: str) -> bool:
    """Whether date and time could be real; 00.00.00 stands for unknown, other separators occur."""
    parts = [re.fullmatch(r"(\d\d)[.:/-](\d\d)[.:/-](\d\d)", text) for text in (date, clock)]
    if not all(parts):
        return False
    (day, month, _), (hour, minute, second) = (map(int, part.groups()) for part in parts)
    return day <= 31 and month <= 12 and hour < 24 and minute < 60 and second < 60


def _sex_and_age(patient: str) -> tuple[str, str]:
    """The two facts allowed out of the patient field: EDF+ subfield two, and TUH's ``Age:``."""
    tokens = patient.split()
    sex = tokens[1] if len(tokens) > 1 and tokens[1] in ("F", "M") else ""
    age = re.search(r"\bAge:(\d{1,3}(?:\.\d+)?)\b", patient)
    return sex, age_band(float(age[1])) if age else ""


def _parse_signals(path: Path, raw: bytes) -> tuple[EdfSignal, ...]:
    """Signal headers stand field by field: all labels, then all transducers, and so on."""
    n_signals, place, columns = len(raw) // 256, 0, []
    for width in _FIELD_WIDTHS:
        columns.append([_text(raw[place + i * width : place + (i + 1) * width]) for i in range(n_signals)])
        place += width * n_signals
    signals, first = [], 0
    for label, _, unit, pmin, pmax, dmin, dmax, _, count, _ in zip(*columns, strict=True):
        if not _INTEGER.fullmatch(count) or int(count) < 0:
            found = f"samples per record {count!r} of signal {printable(label)}"
            raise _error(path, "bad_samples_per_record", found, "a whole number above 0", "")
        signals.append(EdfSignal(label, unit, (pmin, pmax), (dmin, dmax), int(count), first))
        first += int(count)
    if all(signal.label == ANNOTATIONS for signal in signals) or first == 0:
        found = "annotations only" if first else "no samples in any signal"
        raise _error(path, "no_signals", found, "at least one signal", "Leave it out.", SkipRecording)
    return tuple(signals)


def _record_duration(path: Path, text: str) -> float:
    """Seconds of a record; without it no rate is defined."""
    duration = _number(text)
    if not 0 < duration <= 1e7:
        raise _error(path, "bad_record_duration", f"record duration {text!r}", "seconds above 0", "")
    return duration


def _count_records(
    path: Path, claim: str, data_bytes: int, record_bytes: int, duration_s: float
) -> tuple[int, float, list[str]]:
    """Whole records to read, seconds lost and warnings: the size decides, the claim only limits it."""
    if not _INTEGER.fullmatch(claim) or int(claim) < -1:
        raise _error(path, "bad_record_count", f"record count {claim!r}", "a whole number or -1", "")
    claimed, present = int(claim), data_bytes // record_bytes
    if claimed == 0 or data_bytes == 0:
        found = f"{claimed} records claimed, {data_bytes} bytes of data"
        raise _error(path, "no_data", found, "at least one record", "Leave it out.", SkipRecording)
    if present == 0:
        found = f"a record of {record_bytes} bytes, {data_bytes} bytes of data"
        raise _error(path, "record_larger_than_file", found, "at least one whole record", "Fetch it again.")
    if claimed == -1:
        tail = f", {data_bytes % record_bytes} bytes over" if data_bytes % record_bytes else ""
        return present, 0.0, [f"record_count_unknown: never closed; {present} records found{tail}"]
    if present < claimed:
        lost_s = (claimed - present) * duration_s
        words = f"{present} of {claimed} records are there, {lost_s:g} s lost"
        return present, lost_s, [f"truncated: {words}"]
    if extra := data_bytes - claimed * record_bytes:
        return claimed, 0.0, [f"size_mismatch: {extra} bytes after the {claimed} records claimed, not read"]
    return claimed, 0.0, []


# ------------------------------------------------------------------------------------ times (EDF+ TALs)


def _read_times(
    path: Path, signals: Sequence[EdfSignal], n_records: int, duration_s: float, discontinuous: bool
) -> tuple[np.ndarray, tuple[Event, ...], list[str]]:
    """Record onsets and annotations on the axis whose zero is the first record, and what was odd."""
    regular = np.arange(n_records) * duration_s
    columns = [s.columns for s in signals if s.label == ANNOTATIONS]
    if not columns:
        if discontinuous:
            found = "EDF+D without an annotation signal"
            raise _error(path, "bad_annotations", found, f"onsets in {ANNOTATIONS!r}", "Export it again.")
        return regular, (), []
    raw = _map_records(path, signals, n_records)
    onsets, notes, unreadable = _parse_tals(raw, columns)
    warnings = [f"bad_annotations: {unreadable} unreadable entries left out"] if unreadable else []
    start = onsets[0] if np.isfinite(onsets[0]) else 0.0
    steps = np.diff(onsets)
    if not np.isfinite(onsets).all():
        if discontinuous:
            found = f"{int((~np.isfinite(onsets)).sum())} of {n_records} records of an EDF+D have no onset"
            raise _error(path, "bad_annotations", found, "an onset in every record", "Export it again.")
        if not unreadable:
            warnings.append("bad_annotations: records without onset; taken as contiguous")
        onsets = regular
    elif (steps < duration_s - ONSET_TOLERANCE_S).any():
        record = int(np.argmax(steps < duration_s - ONSET_TOLERANCE_S)) + 2
        if discontinuous:
            found = f"record {record} starts before record {record - 1} ends"
            raise _error(path, "records_overlap", found, "records in order of time", "Export it again.")
        warnings.append(f"bad_annotations: onset of record {record} contradicts EDF+C; taken as contiguous")
        onsets = regular
    elif (steps > duration_s + ONSET_TOLERANCE_S).any():
        gaps = steps[steps > duration_s + ONSET_TOLERANCE_S] - duration_s
        warnings.append(f"discontinuous: {gaps.sum():g} s in {len(gaps)} gap(s); read as separate pieces")
        onsets = onsets - start
    else:
        onsets = regular
    events, outside = _clip_notes(notes, start, onsets[-1] + duration_s)
    if outside:
        warnings.append(f"annotation_outside: {outside} annotations clipped or dropped at the ends")
    return onsets, events, warnings


def _parse_tals(
    raw: np.ndarray, columns: Sequence[slice]
) -> tuple[np.ndarray, list[tuple[float, float, str]], int]:
    """Onset of each record (NaN: unreadable), annotations (onset, duration, text), unreadable entries."""
    onsets, notes, unreadable = np.full(len(raw), np.nan), [], 0
    for record in range(len(raw)):
        for k, column in enumerate(columns):
            for j, entry in enumerate(filter(None, raw[record, column].tobytes().split(b"\0"))):
                match = _TAL.fullmatch(entry)
                if match is None or not np.isfinite(float(match[1])):
                    unreadable += 1
                    continue
                onset, texts = float(match[1]), match[3].split(b"\x14")
                if k == j == 0 and not texts[0]:  # the first entry of a record keeps its time
                    onsets[record] = onset
                length = min(float(match[2] or 0), 1e9)
                notes += [(onset, length, text.decode("utf-8", "replace")) for text in texts if text]
    return onsets, notes, unreadable


def _clip_notes(
    notes: Sequence[tuple[float, float, str]], start_s: float, span_s: float
) -> tuple[tuple[Event, ...], int]:
    """Annotations on our time axis, cut to ``[0, span_s]``, sorted; and how many stuck out."""
    events, outside = [], 0
    for onset, length, text in notes:
        first, last = onset - start_s, onset - start_s + length
        outside += first < -ONSET_TOLERANCE_S or last > span_s + ONSET_TOLERANCE_S
        if last >= -ONSET_TOLERANCE_S and first <= span_s:
            events.append(Event(max(first, 0.0), min(max(last, 0.0), span_s), text))
    return tuple(sorted(events, key=lambda e: (e.onset_s, e.offset_s))), outside


# --------------------------------------------------------------------------------------------- signals


def _map_records(path: Path, signals: Sequence[EdfSignal], n_records: int) -> np.ndarray:
    """All records as little-endian int16, shape (n_records, words), mapped, not read."""
    words = sum(signal.samples_per_record for signal in signals)
    offset = 256 * (len(signals) + 1)
    return np.memmap(path, "<i2", mode="r", offset=offset, shape=(n_records, words))


def _scaling(
    path: Path, header: EdfHeader, picks: Sequence[int]
) -> tuple[list[tuple[float, float, float, float]], float, list[str]]:
    """(gain, offset, digital minimum, maximum) of each chosen signal in volts, the rate, and warnings."""
    rates = sorted({header.sfreqs[index] for index in picks})
    empty = [printable(header.labels[i]) for i in picks if header.signals[i].samples_per_record == 0]
    if empty:
        found = f"no samples in {', '.join(empty)}"
        raise _error(path, "empty_channel", found, "samples in every chosen signal", "", SkipRecording)
    if len(rates) != 1:
        found = f"chosen signals at {', '.join(f'{rate:g}' for rate in rates)} Hz"
        raise _error(path, "mixed_eeg_rates", found, "one common rate", "Resample the file.", SkipRecording)
    if not 1 <= rates[0] <= 1e5:
        found = f"a sampling rate of {rates[0]:g} Hz"
        raise _error(path, "bad_sampling_rate", found, "1 to 100000 Hz", "", SkipRecording)
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
        if any(not _NUMBER.fullmatch(text) for text in limits):
            found = f"{what} range {limits[0]!r} to {limits[1]!r} of signal {name}"
            raise _error(path, f"bad_{what}_range", found, "two numbers, decimal point", "Mend the header.")
    if signal.unit and signal.unit.lower() not in UNITS:
        found = f"unit {printable(signal.unit)} of signal {name}"
        raise _error(path, "unknown_unit", found, "uV, mV or V", "Mend the header.", SkipRecording)
    (pmin, pmax), (dmin, dmax) = map(_number, signal.physical), map(_number, signal.digital)
    if not -np.inf < dmin < dmax < np.inf:
        found = f"digital range {signal.digital[0]} to {signal.digital[1]} of signal {name}"
        raise _error(path, "bad_digital_range", found, "minimum below maximum", "", SkipRecording)
    volts = UNITS[signal.unit.lower() or "uv"]
    gain = (pmax - pmin) / (dmax - dmin) * volts
    offset = pmin * volts - dmin * gain
    # The widest 16-bit sample must still be a float32, else the signal turns into inf or NaN.
    if gain == 0 or not abs(gain) * 65536 + abs(offset) < float(np.finfo(np.float32).max):
        found = f"physical range {signal.physical[0]} to {signal.physical[1]} of signal {name}"
        raise _error(path, "bad_physical_range", found, "two different limits of EEG size", "", SkipRecording)
    return gain, offset, dmin, dmax


def _decode(
    path: Path, header: EdfHeader, picks: Sequence[int]
) -> tuple[tuple[Piece, ...], float, np.ndarray]:
    """Pieces, rate, and samples at the rails per chosen signal, shape (C,)."""
    table, sfreq, _ = _scaling(path, header, picks)
    raw = _map_records(path, header.signals, header.n_records)
    per_record = header.signals[picks[0]].samples_per_record
    pieces, clipped_C = [], np.zeros(len(picks), np.int64)
    for first, last in header.stretches:
        eeg_CT = np.empty((len(picks), (last - first) * per_record), np.float32)
        for row, (index, (gain, offset, dmin, dmax)) in enumerate(zip(picks, table, strict=True)):
            digital = raw[first:last, header.signals[index].columns].reshape(-1)
            eeg_CT[row] = digital * gain + offset  # in float64: float32 arithmetic would cost a digit
            clipped_C[row] += np.count_nonzero((digital == dmin) | (digital == dmax))
        pieces.append(Piece(start_s=float(header.onsets_s[first]), eeg_CT=eeg_CT))
    return tuple(pieces), sfreq, clipped_C


def _compare_copies(path: Path, header: EdfHeader, copies: Sequence[tuple[int, int]]) -> list[str]:
    """Same name, same samples: warn. Same name, other samples: nobody knows which is meant."""
    warnings = []
    for picked, other in copies:
        a, b = header.signals[picked], header.signals[other]
        raw = _map_records(path, header.signals, header.n_records)
        same_scale = (a.unit, a.physical, a.digital) == (b.unit, b.physical, b.digital)
        if not same_scale or not np.array_equal(raw[:, a.columns], raw[:, b.columns]):
            found = f"signals {picked + 1} and {other + 1} are both {printable(a.label)} and differ"
            raise _error(path, "duplicate_channel", found, "one signal per name", "Rename or remove one.")
        warnings.append(f"duplicate_channel: signal {other + 1} repeats {printable(a.label)}, not used")
    return warnings


def _judge_signal(
    path: Path, pieces: Sequence[Piece], sfreq: float, names: Sequence[str], clipped_C: np.ndarray
) -> list[str]:
    """Faults only the samples show: length, amplitude, flat or saturated channels, drop-outs."""
    lengths = [piece.eeg_CT.shape[1] for piece in pieces]
    if sum(lengths) / sfreq < MIN_DURATION_S:
        found = f"{sum(lengths) / sfreq:g} s of signal"
        raise _error(path, "too_short", found, f"at least {MIN_DURATION_S:g} s", "", SkipRecording)
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
        raise _error(path, "implausible_amplitude", found, "microvolts to millivolts", "Mend the unit field.")
    low_C = np.min([p.eeg_CT.min(axis=1) for p in pieces], axis=0)
    high_C = np.max([p.eeg_CT.max(axis=1) for p in pieces], axis=0)
    flat = [name for name, same in zip(names, high_C == low_C, strict=True) if same]
    if len(flat) == len(names):
        raise _error(path, "all_flat", "every chosen signal is constant", "EEG", "", SkipRecording)
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


def _number(text: str) -> float:
    """A plain decimal number, else NaN: no commas, no ``nan``, no underscores."""
    return float(text) if _NUMBER.fullmatch(text) else float("nan")


def _error(
    path: Path, reason: str, found: str, expected: str, do: str, kind: type[DataError] = DataError
) -> DataError:
    """One line: file, what was found, what was expected, what to do."""
    do = do or "Leave the file out or repair it."
    return kind(f"{path}: {found}; expected {expected}. {do}", reason=reason)
