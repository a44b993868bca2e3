"""TUSZ's ``.csv`` and ``.csv_bi``: their grammar, and what their rows say about a whole recording.

A ``.csv`` names the type of a seizure on each derivation of the TCP montage; a ``.csv_bi`` has the one
channel ``TERM`` and says ``seiz`` or ``bckg``. Either may hold any label of the vocabulary.

What counts as background is the recording less its seizures, never a ``bckg`` row: most files with seizures
have none, and in half of the others the only one covers about a second.

Data: Shah et al. (2018), The Temple University Hospital Seizure Detection Corpus, Front Neuroinform 12:83.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from distilclip_eeg.corpora.edf.fields import number
from distilclip_eeg.corpora.edf.header import EdfHeader
from distilclip_eeg.corpora.edf.montage import printable
from distilclip_eeg.corpora.edf.stretches import settle, union
from distilclip_eeg.corpora.small_files import read_small
from distilclip_eeg.schema import BACKGROUND, SEIZURE, DataError, Event, Labels

TYPES = ("absz", "cpsz", "fnsz", "gnsz", "spsz", "tcsz", "tnsz")
"""The types that are classes: all that occur but myoclonic ones (article, Sec. IV-A)."""
LEFT_OUT = ("mysz", "atsz", "cnsz", "nesz")
"""Types that are no class: too few (myoclonic), or in TUH's vocabulary and never seen (atonic, clonic,
non-epileptic). Their stretches are excluded, never background."""
NON_SPECIFIC = ("fnsz", "gnsz")
"""Focal and generalised seizures about which no more is known; every other type says more."""
VOCABULARY = frozenset({BACKGROUND, SEIZURE, *TYPES, *LEFT_OUT})
UNTYPED = "untyped_seizure"
"""Why a ``seiz`` is excluded where types are wanted."""

TERM = "TERM"
"""The only channel of a ``.csv_bi``: the recording as a whole."""
COLUMNS = ("channel", "start_time", "stop_time", "label")
CONFIDENCE = "confidence"
DURATION_TOLERANCE_S = 1.0

_LINE_END = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True)
class TuszRow:
    """One row: an event on one channel; ``bckg`` rows are kept, and mean nothing."""

    channel: str
    event: Event


@dataclass(frozen=True)
class TuszFile:
    """One annotation file whose every line was understood."""

    path: Path
    rows: tuple[TuszRow, ...]
    duration_s: float | None
    """Of the recording, by the comment; None where there is none."""
    name: str = ""
    """Of the recording, by the comment; compared with names of files, never made a path."""
    warnings: tuple[str, ...] = ()


def read_csv(path: str | Path) -> TuszFile:
    """A ``.csv`` or ``.csv_bi``, checked line by line against the grammar.

    Columns are found by name. Of the comments only ``duration`` and ``bname`` matter: older tools write
    others.

    Raises:
        DataError: ``unreadable``, ``empty_annotation``, ``missing_column``, ``no_rows``, ``bad_row``,
            ``bad_number``, ``bad_interval``, ``unknown_label``, ``unsafe_path``; with the line.
    """
    path = Path(path)
    text, warnings = _decoded(path)
    columns: list[str] | None = None
    rows, duration_s, name = [], None, ""
    for place, line in enumerate(map(str.strip, _LINE_END.split(text)), start=1):
        where = f"{path}, line {place}"
        if line.startswith("#"):
            key, _, value = (part.strip() for part in line[1:].partition("="))
            if key.lower() == "bname":
                _check_name(where, value)
                name = value
            elif key.lower() == "duration":
                duration_s = _duration(where, value)
        elif not line:
            continue
        elif columns is None:
            columns = _columns(where, line)
        else:
            rows.append(_row(where, line, columns))
    if columns is None:
        raise _bad(str(path), "missing_column", "comments only", f"the header {','.join(COLUMNS)}")
    if not rows:
        raise _bad(str(path), "no_rows", "a header without rows", f"at least one {BACKGROUND} row")
    if duration_s is None:
        warnings.append("missing_duration: no duration to compare with the recording's")
    return TuszFile(path, tuple(rows), duration_s, name, tuple(warnings))


def _decoded(path: Path) -> tuple[str, list[str]]:
    """The text of a file, and what is odd about its bytes."""
    try:
        raw = read_small(path)
    except OSError as problem:
        raise _bad(str(path), "unreadable", f"{problem.strerror}", "a readable file") from None
    if not raw.strip():
        raise _bad(str(path), "empty_annotation", f"{len(raw)} bytes, no text", "a header and rows")
    warnings = []
    if not raw.endswith((b"\n", b"\r")):
        warnings.append("no_final_newline: the last line has no end, rows may be lost")
    try:
        return raw.decode("utf-8-sig"), warnings
    except UnicodeDecodeError:
        return raw.decode("latin-1"), [*warnings, "bad_encoding: not UTF-8, read as Latin-1"]


def _check_name(where: str, name: str) -> None:
    """The name of the recording; never used, but one that points elsewhere is no honest file."""
    if name.startswith(".") or any(c in name for c in "/\\:\0"):
        raise _bad(
            where, "unsafe_path", f"bname {ascii(name[:60])}", "a plain name such as aaaaaaaa_s001_t000"
        )


def _duration(where: str, value: str) -> float:
    words = value.lower().split()
    if words[1:] not in ([], ["s"], ["sec"], ["secs"], ["seconds"]):
        raise _bad(where, "bad_number", f"duration {ascii(value[:40])}", "seconds, such as '410.00 secs'")
    return _number(where, "duration", words[0] if words else "")


def _columns(where: str, line: str) -> list[str]:
    """Names of the columns in the file's order; any further ones are left unread."""
    names = [name.strip().lower() for name in line.split(",")]
    if lacking := [name for name in COLUMNS if names.count(name) != 1]:
        found = f"{', '.join(lacking)} not once in {ascii(line[:80])}"
        raise _bad(where, "missing_column", found, f"the header {','.join((*COLUMNS, CONFIDENCE))}")
    return names


def _row(where: str, line: str, columns: Sequence[str]) -> TuszRow:
    fields = line.split(",")
    if len(fields) != len(columns):
        found = f"{len(fields)} fields in {ascii(line[:60])}"
        if ";" in line:
            raise _bad(where, "missing_column", f"semicolons, {found}", f"{len(columns)} fields with commas")
        raise _bad(where, "bad_row", found, f"{len(columns)} fields")
    cells = dict(zip(columns, map(str.strip, fields), strict=True))
    onset, offset = (_number(where, name, cells[name]) for name in COLUMNS[1:3])
    if CONFIDENCE in cells:
        _number(where, CONFIDENCE, cells[CONFIDENCE])  # not used, but a cut or shifted row shows here
    label = cells["label"].casefold()
    if label not in VOCABULARY:
        found = f"label {ascii(cells['label'][:40])}"
        raise _bad(where, "unknown_label", found, f"one of {', '.join(sorted(VOCABULARY))}")
    if offset < onset:
        raise _bad(where, "bad_interval", f"{onset:g} to {offset:g} s", "an end after its start")
    return TuszRow(cells["channel"].upper(), Event(onset, offset, label))


def _number(where: str, name: str, text: str) -> float:
    value = number(text)
    if not abs(value) < float("inf"):  # NaN, too
        raise _bad(where, "bad_number", f"{name} {ascii(text[:40])}", "seconds, decimal point")
    return value


def _bad(where: str, reason: str, found: str, expected: str) -> DataError:
    do = "Fetch the annotation again or mend it."
    return DataError(f"{where}: {found}; expected {expected}. {do}", reason=reason)


def labels_of(file: TuszFile, header: EdfHeader, *, typed: bool) -> Labels:
    """What a file's rows say about the recording it belongs to.

    A seizure is a stretch in which any channel has a row other than ``bckg``. Where types are wanted it is
    given the one type with most channel-seconds; of equals, one that says more than "focal" or
    "generalised", then the one that begins first.

    Args:
        header: of the EDF; its length is the recording's.
        typed: give types; a stretch of nothing but ``seiz`` is excluded. Otherwise every seizure is ``seiz``.

    Returns:
        Labels. Stretches of a type that is no class stand in ``excluded``.

    Raises:
        DataError: ``duration_mismatch``; ``conflicting_labels`` where ``TERM`` has two labels at once.
        SkipRecording: ``annotation_outside``, a row wholly past the recording's end.
    """
    _check_duration(file, header)
    rows, warnings = _settled(file, header)
    events: list[Event] = []
    excluded: list[Event] = []
    for stretch in union(rows, SEIZURE):
        inside = [e for e in rows if stretch.onset_s <= e.onset_s < stretch.offset_s]
        label, words = _label_of(inside, typed), f"{stretch.onset_s:g} to {stretch.offset_s:g} s"
        found = Event(stretch.onset_s, stretch.offset_s, label)
        if label in LEFT_OUT:
            warnings.append(f"excluded_class: {label} {words} is neither seizure nor background")
        elif label == UNTYPED:
            warnings.append(f"{UNTYPED}: {SEIZURE} {words} has no type, it is excluded")
        elif others := sorted({e.label for e in inside} - {label, SEIZURE}) if typed else ():
            warnings.append(f"mixed_types: seizure {words} is {label}, on some channels {', '.join(others)}")
        (excluded if label in (*LEFT_OUT, UNTYPED) else events).append(found)
    about = {"sex": header.sex, "age_band": header.age_band}
    about = {key: value for key, value in about.items() if value}
    return Labels(tuple(events), tuple(excluded), about, (*file.warnings, *_counted(warnings)))


def _check_duration(file: TuszFile, header: EdfHeader) -> None:
    """The comment's duration against the EDF's, or against what a truncated EDF had once."""
    said, lengths = file.duration_s, (header.span_s, header.span_s + header.lost_s)
    if said is not None and min(abs(said - length) for length in lengths) > DURATION_TOLERANCE_S:
        raise DataError(
            f"{file.path}: a duration of {said:g} s; expected the EDF's {header.span_s:g} s. The two do not "
            "belong together; fetch both again.",
            reason="duration_mismatch",
        )


def _settled(file: TuszFile, header: EdfHeader) -> tuple[list[Event], list[str]]:
    """Rows of each channel put in order against the recording; ``bckg`` rows left out.

    On one channel of a montage two types may overlap (releases before 2.0.1): both then count. ``TERM`` is
    the whole recording, which has one type at a time.
    """
    groups: dict[tuple[str, str], list[Event]] = {}
    for row in file.rows:
        if row.event.label != BACKGROUND:
            key = row.channel, "" if row.channel == TERM else row.event.label
            groups.setdefault(key, []).append(row.event)
    by_channel: dict[str, list[Event]] = {}
    warnings = []
    for (channel, _), events in groups.items():
        what = "seizure" if channel == TERM else f"seizure on {printable(channel)},"
        kept, odd = settle(file.path, events, header, what)
        by_channel.setdefault(channel, []).extend(kept)
        warnings += odd
    for channel, events in by_channel.items():
        if seconds(events) > seconds(union(events, SEIZURE)) + 1e-6:
            warnings.append(f"overlapping_events: {printable(channel)} has two types at once, both count")
    return [event for events in by_channel.values() for event in events], warnings


def _label_of(rows: Sequence[Event], typed: bool) -> str:
    """One label for a stretch in which these rows lie, from whatever channels."""
    labels = {row.label for row in rows}
    if not typed and labels - set(LEFT_OUT):
        return SEIZURE
    if labels == {SEIZURE}:
        return UNTYPED

    def rank(label: str) -> tuple:
        mine = [row for row in rows if row.label == label]
        # Times have four decimals: rounding keeps equal sums equal.
        return -round(seconds(mine), 3), label in NON_SPECIFIC, min(row.onset_s for row in mine), label

    return min(labels - {SEIZURE}, key=rank)


def seconds(events: Sequence[Event]) -> float:
    """The events' lengths added up, in seconds; what two of them cover counts twice."""
    return sum(event.offset_s - event.onset_s for event in events)


def _counted(warnings: Sequence[str]) -> list[str]:
    """The first warning of each code, with the number of others: a seizure stands on up to 22 channels."""
    codes = [warning.partition(":")[0] for warning in warnings]
    out = []
    for place, (code, warning) in enumerate(zip(codes, warnings, strict=True)):
        if code not in codes[:place]:
            others = codes.count(code) - 1
            out.append(warning + (f" (and {others} more)" if others else ""))
    return out
