"""The header of an EDF, EDF+C, EDF+D or BDF: its fields, checked against each other and the file's size.

No reader is trusted with a damaged file (several return wrong values in silence), so the header's
256 + 256 * signals bytes are parsed here and compared with the file before a sample is touched.

Format: Kemp et al. (1992), Electroencephalogr Clin Neurophysiol 82:391-393; EDF+: Kemp & Olivan (2003),
Clin Neurophysiol 114:1755-1761. BDF is EDF with samples of 24 bits and another first byte.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from distilclip_eeg.corpora.edf.montage import printable
from distilclip_eeg.corpora.edf.transfer import check_transfer
from distilclip_eeg.schema import DataError, SkipRecording

ANNOTATIONS = "EDF Annotations"
ANNOTATION_LABELS = (ANNOTATIONS, "BDF Annotations")
BDF_VERSION = b"\xffBIOSEMI"

CLOCK_TOLERANCE = 2e-6
"""A record whose duration is this near to one that makes every rate a whole number is read as that one:
the field has eight characters, and 1.000001 s is a second by a clock that was not set."""

_INTEGER = re.compile(r"[+-]?\d+")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
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
    """Place of its first sample in a record, in samples."""

    @property
    def columns(self) -> slice:
        """Where its samples stand in a record."""
        return slice(self.first, self.first + self.samples_per_record)


@dataclass(frozen=True)
class EdfFields:
    """The fields that matter, believed."""

    signals: tuple[EdfSignal, ...]
    n_records: int
    """Whole records that are there, not what the header claims."""
    record_duration_s: float
    lost_s: float
    """Seconds that the header claims and the file lacks."""
    discontinuous: bool
    """Marked ``EDF+D`` or ``BDF+D``: only the records themselves say when they start."""
    sample_bytes: int
    """2 in EDF, 3 in BDF."""
    patient: str = field(repr=False)
    """Free text, never to be printed or stored."""
    warnings: tuple[str, ...]


def read_fields(path: Path) -> EdfFields:
    """Read and check the header's bytes; nothing behind them is read.

    Raises:
        DataError: the file is no EDF, or its fields contradict each other or the file's size.
        SkipRecording: a valid file that holds no signal or no data.
    """
    size, fixed, per_signal = _read_bytes(path)
    patient, _, date, clock, _, reserved, claim, duration_field, _ = _split_fixed(fixed)
    warnings = []
    if b"\0" in fixed:
        warnings.append("nonstandard_padding: header fields are padded with NUL instead of spaces")
    if not _plausible_start(date, clock):
        warnings.append("bad_start_time: the start date or time is impossible; it is not used")
    signals = _parse_signals(path, per_signal)
    duration, odd = _record_duration(path, duration_field, signals)
    warnings += odd
    data_bytes = size - len(fixed) - len(per_signal)
    sample_bytes = 3 if fixed.startswith(BDF_VERSION) else 2
    record_bytes = sample_bytes * sum(signal.samples_per_record for signal in signals)
    n_records, lost_s, size_warnings = _count_records(path, claim, data_bytes, record_bytes, duration)
    if size_warnings:
        check_transfer(path, size - data_bytes)
    return EdfFields(
        signals=signals,
        n_records=n_records,
        record_duration_s=duration,
        lost_s=lost_s,
        discontinuous=reserved.startswith(("EDF+D", "BDF+D")),
        sample_bytes=sample_bytes,
        patient=patient,
        warnings=(*warnings, *size_warnings),
    )


def start_time(path: Path) -> datetime | None:
    """When the recording began, which is personal: only for who asks for it. None where it is impossible.

    Two-digit years from 85 are of the last century, as EDF has it.

    Raises:
        DataError: the file is no EDF, see :func:`read_fields`.
    """
    _, _, date, clock, *_ = _split_fixed(_read_bytes(path)[1])
    try:
        day, month, year = map(int, re.split(r"\D", date))
        hour, minute, second, fraction = (*map(int, re.split(r"\D", clock)), 0, 0, 0)[:4]
        return datetime(year + (1900 if year >= 85 else 2000), month, day, hour, minute, second, fraction)
    except ValueError:
        return None


def number(text: str) -> float:
    """A plain decimal number, else NaN: no commas, no ``nan``, no underscores."""
    return float(text) if _NUMBER.fullmatch(text) else float("nan")


def edf_error(
    path: Path, reason: str, found: str, expected: str, do: str, kind: type[DataError] = DataError
) -> DataError:
    """The error for a recording, in one line; the caller raises it.

    Args:
        reason: stable code.
        found: what stands there.
        expected: what should.
        do: what to do; empty: leave the file out or repair it.
        kind: class of the error; ``SkipRecording`` where the other recordings are still used.
    """
    do = do or "Leave the file out or repair it."
    return kind(f"{path}: {found}; expected {expected}. {do}", reason=reason)


def _read_bytes(path: Path) -> tuple[int, bytes, bytes]:
    """Size of the file, its 256 fixed bytes and the 256 per signal."""
    if path.exists() and not path.is_file():
        raise edf_error(path, "not_a_file", "a folder or device", "an EDF file", "Name the file itself.")
    try:
        with path.open("rb") as stream:
            size = path.stat().st_size
            fixed = stream.read(256)
            if not fixed:
                raise edf_error(path, "empty_file", "0 bytes", "an EDF header", "Fetch the file again.")
            bdf = path.suffix.lower() == ".bdf" and fixed.startswith(BDF_VERSION)
            if fixed[:8].strip(b" \0") != b"0" and not bdf:
                expected = "an EDF file (version '0'), or a BDF named .bdf"
                raise edf_error(path, "not_edf", _guess_kind(fixed), expected, "Replace it.")
            cut = "The download or copy is incomplete; fetch the file again."
            if len(fixed) < 256:
                raise edf_error(path, "header_truncated", f"{len(fixed)} bytes", "256 or more", cut)
            n_signals = _split_fixed(fixed)[8]
            if not _INTEGER.fullmatch(n_signals) or int(n_signals) < 0:
                raise edf_error(path, "bad_signal_count", f"signal count {n_signals!r}", "a whole number", "")
            if int(n_signals) == 0:
                raise edf_error(path, "no_signals", "signal count 0", "at least one signal", "")
            length = 256 * (int(n_signals) + 1)
            if size < length:
                found = f"{size} bytes for {int(n_signals)} signals"
                raise edf_error(path, "header_truncated", found, f"a header of {length} bytes", cut)
            if (said := _split_fixed(fixed)[4]) != str(length):
                found = f"header length field {said!r} for {int(n_signals)} signals"
                raise edf_error(path, "header_size_mismatch", found, repr(str(length)), "Export it again.")
            return size, fixed, stream.read(length - 256)
    except FileNotFoundError:
        raise edf_error(path, "missing_file", "no such file", "an EDF file", "Check the path.") from None
    except OSError as problem:
        found = f"unreadable ({problem.strerror})"
        raise edf_error(path, "unreadable", found, "a readable file", "Check its permissions.") from None


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
        BDF_VERSION: "a BDF file (24-bit data)",
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
    if parts[0] is None or parts[1] is None:
        return False
    (day, month, _), (hour, minute, second) = map(int, parts[0].groups()), map(int, parts[1].groups())
    return day <= 31 and month <= 12 and hour < 24 and minute < 60 and second < 60


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
            raise edf_error(path, "bad_samples_per_record", found, "a whole number above 0", "")
        signals.append(EdfSignal(label, unit, (pmin, pmax), (dmin, dmax), int(count), first))
        first += int(count)
    if all(signal.label in ANNOTATION_LABELS for signal in signals) or first == 0:
        found = "annotations only" if first else "no samples in any signal"
        raise edf_error(path, "no_signals", found, "at least one signal", "Leave it out.", SkipRecording)
    return tuple(signals)


def _record_duration(path: Path, text: str, signals: Sequence[EdfSignal]) -> tuple[float, list[str]]:
    """Seconds of a record, and a warning where it is not what stands there; without it no rate is defined."""
    duration = number(text)
    if not 0 < duration <= 1e7:
        raise edf_error(path, "bad_record_duration", f"record duration {text!r}", "seconds above 0", "")
    signals = [s for s in signals if s.samples_per_record and s.label not in ANNOTATION_LABELS]
    fastest = max((s.samples_per_record for s in signals), default=0)
    if not 1 <= fastest / duration < 1e9:
        return duration, []
    meant = fastest / round(fastest / duration)
    rates = [s.samples_per_record / meant for s in signals]
    whole = all(abs(rate - round(rate)) < 1e-9 for rate in rates)
    if whole and 1e-9 < abs(meant / duration - 1) <= CLOCK_TOLERANCE:
        return meant, [f"odd_record_duration: {text} s, read as {meant:g} s, which makes rates whole numbers"]
    return duration, []


def _count_records(
    path: Path, claim: str, data_bytes: int, record_bytes: int, duration_s: float
) -> tuple[int, float, list[str]]:
    """Whole records to read, seconds lost and warnings: the size decides, the claim only limits it."""
    if not _INTEGER.fullmatch(claim) or int(claim) < -1:
        raise edf_error(path, "bad_record_count", f"record count {claim!r}", "a whole number or -1", "")
    claimed, present = int(claim), data_bytes // record_bytes
    if claimed == 0 or data_bytes == 0:
        found = f"{claimed} records claimed, {data_bytes} bytes of data"
        raise edf_error(path, "no_data", found, "at least one record", "Leave it out.", SkipRecording)
    if present == 0:
        found = f"a record of {record_bytes} bytes, {data_bytes} bytes of data"
        raise edf_error(
            path, "record_larger_than_file", found, "at least one whole record", "Fetch it again."
        )
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
