"""What an EDF says about itself: its signals, when each record starts, its annotations.

Onsets and annotations come from the time-stamped annotation lists (TALs) of EDF+. Of the patient and
recording fields nothing leaves this module but sex and age band. A warning is ``"code: words"``; its code
is stable, like the ``reason`` of an error.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from distilclip_eeg.corpora.edf.fields import (
    ANNOTATION_LABELS,
    EdfFields,
    EdfSignal,
    edf_error,
    read_fields,
)
from distilclip_eeg.corpora.edf.transfer import misplaced_stamp
from distilclip_eeg.schema import Event, SkipRecording

ONSET_TOLERANCE_S = 0.002
"""Record onsets are written with few decimals, and this much is no gap at any rate."""
LONGEST_SAMPLE_S = 0.02
"""A step of less than a sample is no gap either, but signals below 50 Hz do not say how long that is."""
RECORDS = 4096
"""As many are mapped at a time where a whole file is walked through, so that memory stays flat."""
UNSTAMPED = 64
"""Records without a readable time stamp that are searched for it."""
PADDING_S, MOST_PADDING, SHORT_S = 33.0, 5e7, 2.0
"""What a 0.1 Hz filter adds to each piece, how many samples of that are borne, and the mean length of pieces
from which on any number of them is."""
AGE_BANDS = (
    (28 / 365.25, "neonate"),
    (2, "infant"),
    (12, "child"),
    (18, "adolescent"),
    (65, "adult"),
    (130, "older adult"),
)
"""Upper end in years, exclusive, and name."""

_TAL = re.compile(rb"([+-]\d+(?:\.\d*)?)(?:\x15(\d+(?:\.\d*)?))?\x14([^\0]*)\x14")


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
    sample_bytes: int = 2
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
        off = np.abs(np.diff(self.onsets_s) - self.record_duration_s)
        gaps = np.flatnonzero(off > tolerance_s(self.signals, self.record_duration_s)) + 1
        edges = [0, *gaps.tolist(), self.n_records]
        return list(zip(edges[:-1], edges[1:], strict=True))


def read_header(path: str | Path) -> EdfHeader:
    """Parse and check a header, and place every record in time, without reading a signal.

    Raises:
        DataError: see :func:`~distilclip_eeg.corpora.edf.fields.read_fields`; also records of an EDF+D
            without an onset (``bad_annotations``) or that overlap (``records_overlap``).
        SkipRecording: a valid file that holds no signal or no data.
    """
    path = Path(path)
    fields = read_fields(path)
    onsets, annotations, warnings = _read_times(path, fields)
    sex, age = _sex_and_age(fields.patient)
    header = EdfHeader(
        signals=fields.signals,
        n_records=fields.n_records,
        record_duration_s=fields.record_duration_s,
        onsets_s=onsets,
        lost_s=fields.lost_s,
        annotations=annotations,
        warnings=(*fields.warnings, *warnings),
        sample_bytes=fields.sample_bytes,
        sex=sex,
        age_band=age,
    )
    _check_pieces(path, header)
    return header


def _check_pieces(path: Path, header: EdfHeader) -> None:
    """Refuse a file in crumbs: each piece is filtered by itself, so a few kilobytes could cost minutes."""
    pieces, rate = len(header.stretches), max(256.0, *header.sfreqs)
    padding = pieces * PADDING_S * rate * len(header.signals)
    length_s = header.n_records * header.record_duration_s / pieces
    if padding > MOST_PADDING and length_s < SHORT_S and pieces > 1:
        found = f"{pieces} pieces of {length_s:g} s in the mean"
        expected = f"fewer, or {SHORT_S:g} s and more"
        raise edf_error(path, "too_many_pieces", found, expected, "Export it again.", SkipRecording)


def tolerance_s(signals: Sequence[EdfSignal], record_duration_s: float) -> float:
    """How far the step between two records may be from their length without a gap: just below a sample.

    The sample is that of most signals: an EEG has more channels of EEG than of anything else.
    """
    counts = Counter(s.samples_per_record for s in signals if s.label not in ANNOTATION_LABELS)
    usual = counts.most_common(1)[0][0] if counts else 0
    sample_s = record_duration_s / usual if usual else 0.0
    return max(ONSET_TOLERANCE_S, min(sample_s, LONGEST_SAMPLE_S) - 1e-6)


def age_band(years: float) -> str:
    """The name of an age, empty where it cannot be one."""
    return next((name for end, name in AGE_BANDS if 0 <= years < end), "")


def map_records(path: Path, header: EdfFields | EdfHeader) -> np.ndarray:
    """All records, mapped, not read: bytes of shape (n_records, samples of a record, bytes of a sample)."""
    count = sum(signal.samples_per_record for signal in header.signals)
    offset = 256 * (len(header.signals) + 1)
    return np.memmap(path, "u1", "r", offset, (header.n_records, count, header.sample_bytes))


def samples(raw: np.ndarray, columns: slice) -> np.ndarray:
    """Digital values of one signal out of mapped records, (records, samples in each)."""
    chosen = raw[:, columns]
    if chosen.shape[-1] == 2:
        return chosen.view("<i2")[..., 0]
    low, middle, high = np.moveaxis(chosen, -1, 0)
    return low | middle.astype(np.int32) << 8 | high.view("i1").astype(np.int32) << 16


def _sex_and_age(patient: str) -> tuple[str, str]:
    """The two facts allowed out of the patient field: EDF+ subfield two, and TUH's ``Age:``."""
    tokens = patient.split()
    sex = tokens[1] if len(tokens) > 1 and tokens[1] in ("F", "M") else ""
    age = re.search(r"\bAge:(\d{1,3}(?:\.\d+)?)\b", patient)
    return sex, age_band(float(age[1])) if age else ""


def _read_times(path: Path, fields: EdfFields) -> tuple[np.ndarray, tuple[Event, ...], list[str]]:
    """Record onsets and annotations on the axis whose zero is the first record, and what was odd."""
    n_records, duration_s = fields.n_records, fields.record_duration_s
    regular = np.arange(n_records) * duration_s
    columns = [s.columns for s in fields.signals if s.label in ANNOTATION_LABELS]
    if not columns:
        if fields.discontinuous:
            found = "EDF+D without an annotation signal"
            expected = f"onsets in {ANNOTATION_LABELS[0]!r}"
            raise edf_error(path, "bad_annotations", found, expected, "Export it again.")
        return regular, (), []
    onsets, notes, unreadable = _parse_tals(path, fields, columns)
    warnings = [f"bad_annotations: {unreadable} unreadable entries left out"] if unreadable else []
    start = onsets[0] if np.isfinite(onsets[0]) else 0.0
    off, limit_s = np.diff(onsets) - duration_s, tolerance_s(fields.signals, duration_s)
    if not np.isfinite(onsets).all():
        if fields.discontinuous:
            found = f"{int((~np.isfinite(onsets)).sum())} of {n_records} records of an EDF+D have no onset"
            raise edf_error(path, "bad_annotations", found, "an onset in every record", "Export it again.")
        if not unreadable:
            warnings.append("bad_annotations: records without onset; taken as contiguous")
        onsets = regular
    elif (off < -limit_s).any():
        record = int(np.argmax(off < -limit_s)) + 2
        if fields.discontinuous:
            found = f"record {record} starts before record {record - 1} ends"
            raise edf_error(path, "records_overlap", found, "records in order of time", "Export it again.")
        warnings.append(f"bad_annotations: onset of record {record} contradicts EDF+C; taken as contiguous")
        onsets = regular
    elif (off > limit_s).any():
        gaps = off[off > limit_s]
        warnings.append(f"discontinuous: {gaps.sum():g} s in {len(gaps)} gap(s); read as separate pieces")
        onsets = onsets - start
    else:
        stamps, onsets = onsets - start, regular
        if n_records > 1 and abs(drift_s := stamps[-1] - regular[-1]) > limit_s:
            words = f"time stamps run {drift_s:+.3g} s off the samples, each by less than one"
            warnings.append(f"drifting_clock: {words}; taken as contiguous")
            notes = [_on_samples(note, start, stamps, regular) for note in notes]
    events, outside = _clip_notes(notes, start, onsets[-1] + duration_s)
    if outside:
        warnings.append(f"annotation_outside: {outside} annotations clipped or dropped at the ends")
    return onsets, events, warnings


def _parse_tals(
    path: Path, fields: EdfFields, columns: Sequence[slice]
) -> tuple[np.ndarray, list[tuple[float, float, str]], int]:
    """Onset of each record (NaN: unreadable), annotations (onset, duration, text), unreadable entries."""
    onsets, notes, unreadable = np.full(fields.n_records, np.nan), [], 0
    for record in range(fields.n_records):
        if record % RECORDS == 0:
            raw = map_records(path, fields)
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
    _check_grid(path, fields, columns, np.flatnonzero(np.isnan(onsets)))
    return onsets, notes, unreadable


def _check_grid(path: Path, fields: EdfFields, columns: Sequence[slice], unstamped: np.ndarray) -> None:
    """Refuse a file whose records do not begin where its header says: their time stamps stand elsewhere.

    Raises:
        DataError: ``shifted_records``.
    """
    width = fields.sample_bytes
    spans = [(column.start * width, column.stop * width) for column in columns]
    for record in unstamped[:UNSTAMPED].tolist():
        if misplaced_stamp(map_records(path, fields)[record].tobytes(), spans):
            found = (
                f"the time stamp of record {record + 1} stands among its signals: bytes were lost or added"
            )
            expected = "every record as long as the header says"
            raise edf_error(path, "shifted_records", found, expected, "Fetch the file again.")


def _on_samples(
    note: tuple[float, float, str], start_s: float, stamps: np.ndarray, regular: np.ndarray
) -> tuple[float, float, str]:
    """An annotation moved from the clock of the time stamps to that of the samples."""
    onset, length, text = note
    record = int(np.clip(np.searchsorted(stamps, onset - start_s, "right") - 1, 0, len(stamps) - 1))
    return onset + regular[record] - stamps[record], length, text


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
