"""The annotations of a SzCORE / BIDS-EEG tree: ``*_events.tsv`` and the levels in ``events.json``.

A file is parsed without loss: every column, cell, line end and odd byte is kept, so that what is written
back is the same file. What is checked, and what a detector writes, follows SzCORE: Dan et al. (2025),
Epilepsia 66(S3):14-24, and the seizure types of Fisher et al. (2017), Epilepsia 58:522-530.
"""

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from pathlib import Path

from distilclip_eeg.corpora.edf.fields import number
from distilclip_eeg.corpora.edf.montage import printable
from distilclip_eeg.corpora.own import DECIMALS
from distilclip_eeg.corpora.small_files import json_of, read_small
from distilclip_eeg.schema import ANY_SEIZURE, BACKGROUND, SEIZURE, DataError, Event

COLUMNS = ("onset", "duration", "eventType", "confidence", "channels", "dateTime", "recordingDuration")
"""What SzCORE writes, in this order; a tree may add columns of its own."""
LABEL_COLUMN = COLUMNS[2]
ABSENT = frozenset({"", "n/a", "na", "nan"})
SURROGATE_START = datetime(2000, 1, 1)
"""Written where no date may be told, for tools that want one; None writes ``n/a``."""

_FOCAL = {
    "m": "automatisms atonic clonic spasms hyperkinetic myoclonic tonic",
    "nm": "autonomic behavior cognitive emotional sensory",
    "um": "",
}
_TREE = {
    **{f"sz_foc_{aware}": _FOCAL for aware in ("a", "ia", "ua")},
    "sz_gen": {
        "m": "tonicClonic clonic tonic myoTC myoAtonic atonic spasms",
        "nm": "typical atypical myoclonic eyelidMyio",
    },
    "sz_uo": {"m": "tonicClonic spasms", "nm": "behavior"},
}


def _vocabulary() -> Iterable[str]:
    """Every level of SzCORE; awareness unknown is told only together with motor signs."""
    yield from (BACKGROUND, ANY_SEIZURE, "sz_foc", "sz_foc_f2b")
    for onset, groups in _TREE.items():
        if onset != "sz_foc_ua":
            yield onset
        for group, kinds in groups.items():
            yield from (f"{onset}_{group}", *(f"{onset}_{group}_{kind}" for kind in kinds.split()))


SZCORE = tuple(_vocabulary())
"""The levels of ``eventType``; underscores are the hierarchy."""


@dataclass(frozen=True)
class Line:
    """A line as it stands."""

    cells: tuple[str, ...]
    end: str
    """``\\n``, ``\\r\\n``, ``\\r`` or nothing, which only the last line can have."""

    @property
    def blank(self) -> bool:
        """Whether every cell is empty or white space."""
        return not any(cell.strip() for cell in self.cells)


@dataclass(frozen=True)
class EventsTable:
    """A file of tab-separated values, nothing changed and nothing judged."""

    lines: tuple[Line, ...]
    """The first holds the names of the columns."""
    encoding: str
    """``utf-8``, or ``latin-1`` where the bytes are none."""
    mark: str = ""
    """The byte-order mark, where the file begins with one."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, in the file's order."""
        return tuple(cell.strip() for cell in self.lines[0].cells) if self.lines else ()


def parse(data: bytes) -> EventsTable:
    """Any bytes as a table; ``write`` gives the same bytes back."""
    try:
        text, encoding = data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        text, encoding = data.decode("latin-1"), "latin-1"
    body = text.removeprefix("\ufeff")
    lines = []
    for raw in io.StringIO(body, newline=""):
        cells = raw.rstrip("\r\n")
        lines.append(Line(tuple(cells.split("\t")), raw[len(cells) :]))
    return EventsTable(tuple(lines), encoding, text[: len(text) - len(body)])


def write(table: EventsTable) -> bytes:
    """A table as bytes; of one that ``parse`` gave, the bytes that it was given."""
    lines = ("\t".join(line.cells) + line.end for line in table.lines)
    return (table.mark + "".join(lines)).encode(table.encoding)


@dataclass(frozen=True)
class EventRow:
    """One row, believed."""

    onset_s: float
    duration_s: float
    label: str
    """A level, spelt as in the vocabulary."""
    confidence: float | None
    """0 to 1, None where it is not told."""
    channels: tuple[str, ...]
    """Names as written, ``("all",)``, or nothing."""
    start: datetime | None
    """Of the recording; never to leave the table."""
    recording_s: float | None
    """Length of the recording as the annotator saw it; None only in a tree that has no such column."""
    cells: Mapping[str, str]
    """Every cell by column, as text, the extra columns too."""
    line: int

    @property
    def offset_s(self) -> float:
        """End in seconds, rounded so that stretches which touch do not overlap."""
        return round(self.onset_s + self.duration_s, DECIMALS)


@dataclass(frozen=True)
class EventsFile:
    """A checked annotation file."""

    table: EventsTable
    rows: tuple[EventRow, ...]
    warnings: tuple[str, ...]


def read_events(
    path: str | Path, levels: Iterable[str] | None = None, column: str = LABEL_COLUMN
) -> EventsFile:
    """Read and check an ``events.tsv``.

    Args:
        levels: labels known beside SzCORE's, see :func:`read_levels`.
        column: which one holds the labels. ``recordingDuration`` may lack only where it is not SzCORE's.

    Raises:
        DataError: ``missing_annotation``, ``empty_annotation``, ``missing_column``, ``no_rows``, ``bad_row``,
            ``bad_number``, ``bad_interval``, ``unknown_label``; the message names file and line.
    """
    path = Path(path)
    try:
        table = parse(read_small(path))
    except OSError as problem:
        raise _bad(
            path, "missing_annotation", f"unreadable ({problem.strerror})", "a file of events"
        ) from None
    if all(line.blank for line in table.lines):
        raise _bad(path, "empty_annotation", "no text", "a header and at least one row")
    required = [*COLUMNS[:2], column] + ([COLUMNS[-1]] if column == LABEL_COLUMN else [])
    if missing := [name for name in required if table.columns.count(name) != 1]:
        there = ", ".join(printable(name) for name in table.columns)
        found = f"{', '.join(missing)} not found once among the columns {there}"
        do = "Mend it, or set dataset.label_column=... to its column of labels."
        raise _bad(path, "missing_column", found, f"{', '.join(required)}, tab-separated", do)
    known = {spell(level).casefold(): spell(level) for level in (*(levels or ()), *SZCORE)}
    rows, warnings = [], []
    for place, line in enumerate(table.lines[1:], start=2):
        if not line.blank:
            rows.append(_check(f"{path}, line {place}", place, table.columns, line.cells, column, known))
    if not rows:
        expected = f"one {BACKGROUND} row where there is no seizure: silence is not seizure-free"
        raise _bad(path, "no_rows", "a header and no row", expected)
    if table.encoding != "utf-8":
        warnings.append("bad_encoding: events.tsv is not UTF-8, read as Latin-1")
    if any(row.start is None and not _absent(row.cells.get("dateTime", "")) for row in rows):
        warnings.append("bad_start_time: a dateTime in events.tsv is none; it is not used")
    return EventsFile(table, tuple(rows), tuple(warnings))


def _check(
    where: str, place: int, columns: Sequence[str], cells: Sequence[str], column: str, known: dict[str, str]
) -> EventRow:
    """One line as a row; ``where`` and ``place`` say which."""
    if len(cells) != len(columns):
        raise _bad(where, "bad_row", f"{len(cells)} cells", f"{len(columns)}, one for each column")
    by_name = dict(zip(columns, cells, strict=True))
    onset, duration = (_seconds(where, name, by_name[name]) for name in COLUMNS[:2])
    if duration < 0:
        raise _bad(where, "bad_interval", f"duration {duration:g} s", "an end after its onset")
    label = known.get(spell(by_name[column]).casefold())
    if label is None:
        found = f"{column} {printable(by_name[column])}"
        expected = "a level of SzCORE, or one that the tree's events.json lists under Levels"
        raise _bad(where, "unknown_label", found, expected)
    length = by_name.get(COLUMNS[-1], "")
    if column == LABEL_COLUMN or not _absent(length):
        recording_s = _seconds(where, COLUMNS[-1], length)
    else:
        recording_s = None
    confidence, channels = by_name.get("confidence", ""), by_name.get("channels", "")
    return EventRow(
        onset_s=onset,
        duration_s=duration,
        label=label,
        confidence=None if _absent(confidence) else _share(where, confidence),
        channels=() if _absent(channels) else tuple(name.strip() for name in channels.split(",")),
        start=_date(by_name.get("dateTime", "")),
        recording_s=recording_s,
        cells=by_name,
        line=place,
    )


def spell(level: str) -> str:
    """A level with underscores; the web pages of SzCORE show hyphens, its JSON a stray colon."""
    return level.strip().rstrip(":").replace("-", "_")


def _absent(text: str) -> bool:
    return text.strip().casefold() in ABSENT


def _seconds(where: str, name: str, text: str) -> float:
    value = number(text.strip())
    if not isfinite(value):
        raise _bad(where, "bad_number", f"{name} {printable(text)}", "seconds with a decimal point")
    return value


def _share(where: str, text: str) -> float:
    value = number(text.strip())
    if not 0 <= value <= 1:
        raise _bad(where, "bad_number", f"confidence {printable(text)}", "a number from 0 to 1, or n/a")
    return value


def _date(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        return None


def _bad(
    where: Path | str, reason: str, found: str, expected: str, do: str = "Mend it or export it again."
) -> DataError:
    return DataError(f"{where}: {found}; expected {expected}. {do}", reason=reason)


def read_levels(path: str | Path, column: str = LABEL_COLUMN) -> tuple[str, ...]:
    """The labels that an ``events.json`` lists for a column, under ``Levels`` or as keys of ``HED``.

    epilepsy2bids writes ``Levels`` beside ``eventType`` instead of inside; that is read, too.

    Raises:
        DataError: ``bad_json``.
    """
    path = Path(path)
    try:
        tree = json_of(read_small(path))
        about = tree.get(column, {})
    except (OSError, ValueError, AttributeError) as problem:
        words = f"not readable as JSON ({' '.join(str(problem).split())})"
        raise _bad(path, "bad_json", words, "an object with one entry for each column") from None
    places = [about.get("Levels"), about.get("HED")] if isinstance(about, dict) else []
    places += [tree.get("Levels")] if column == LABEL_COLUMN else []
    found = dict.fromkeys(spell(level) for place in places if isinstance(place, dict) for level in place)
    return tuple(level for level in found if level)


def szcore_tsv(
    events: Sequence[Event],
    recording_s: float,
    *,
    confidence: Sequence[float | None] | None = None,
    channels: str = "n/a",
    start: datetime | None = SURROGATE_START,
) -> bytes:
    """Events as SzCORE wants them: seven columns, two decimals, one ``bckg`` row where there is no seizure.

    Args:
        events: labels of ``SZCORE``, or ``seiz``, which becomes ``sz``; written in order of onset.
        recording_s: length of the whole recording.
        confidence: of each event, 0 to 1.
        channels: names with commas between, ``all`` or ``n/a``; the same for all events.

    Raises:
        ValueError: a label is no seizure of SzCORE, or an event lies outside the recording.
    """
    scores = [None] * len(events) if confidence is None else confidence
    rows = sorted(zip(events, scores, strict=True), key=lambda pair: (pair[0].onset_s, pair[0].offset_s))
    lines = ["\t".join(COLUMNS)]
    for event, score in rows or [(Event(0.0, recording_s, BACKGROUND), None)]:
        label = ANY_SEIZURE if event.label == SEIZURE else event.label
        if label not in SZCORE or (rows and label == BACKGROUND):
            raise ValueError(f"{event.label!r} is no seizure of SzCORE")
        if not 0 <= event.onset_s < event.offset_s <= recording_s:
            raise ValueError(f"{event.onset_s:g} to {event.offset_s:g} s does not lie in {recording_s:g} s")
        cells = [f"{event.onset_s:.2f}", f"{event.offset_s - event.onset_s:.2f}", label]
        cells += ["n/a" if score is None else f"{score:.2f}", channels]
        cells.append(f"{start:%Y-%m-%d %H:%M:%S}" if start else "n/a")
        lines.append("\t".join([*cells, f"{recording_s:.2f}"]))
    return ("\n".join(lines) + "\n").encode()
