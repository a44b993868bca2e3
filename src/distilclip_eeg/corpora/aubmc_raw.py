"""AUBMC, "Epileptic EEG Dataset": its raw recordings, EDF files and a table of seizures by the clock.

The table says when a seizure begins and how long it lasts, not of which kind it is, so there are two
classes; the four of the article are those of the ready-made windows (``corpora/aubmc.py``).

Data: Nasreddine (2021), Epileptic EEG Dataset, Mendeley Data, V1, DOI 10.17632/5pc2j46cbc.1.
"""

import ast
import re
import warnings
from pathlib import Path

from distilclip_eeg.config.data import Links
from distilclip_eeg.config.registry import component
from distilclip_eeg.corpora.edf.header import EdfHeader
from distilclip_eeg.corpora.edf.montage import AUBMC_19, montage_of
from distilclip_eeg.corpora.edf.stretches import settle
from distilclip_eeg.corpora.edf_corpus import EdfCorpus, is_edf, list_folder, root_hint
from distilclip_eeg.corpora.small_files import read_small
from distilclip_eeg.corpora.walk import Walk
from distilclip_eeg.schema import BACKGROUND, SEIZURE, DataError, Event, Labels, RecordingRef, SkipRecording

FOLDER, TABLE = "raw_edf_files", "seizure_times.py"
DAY_S = 86400
MOST_TABLE = 2**20
"""Bytes of the time table, which Python's parser makes large trees of."""

Clock = tuple[float, float]
"""A seizure's onset, seconds since midnight, and its length in seconds."""
Table = dict[tuple[int, int], list[Clock]]
"""Seizures by patient and record."""

_NAME = re.compile(r"p(\d+)_record(\d+)\.edf", re.IGNORECASE)
_START = re.compile(r"(\d\d)[.:/-](\d\d)[.:/-](\d\d)")
_PATIENT = re.compile(r"\D*(\d+)")
"""A name such as ``seizures_10``."""


@component("corpus", "aubmc_raw")
class AubmcRaw(EdfCorpus):
    """The recordings of AUBMC, six patients p10 to p15; any subset will do.

    Volts at 500 Hz. The native channels are the 19 of the ready-made windows, which every file has. The other
    montages need CZ and PZ, which the files of p10 lack: ``missing_channels`` says what becomes of those.

    Args:
        root: the release's folder, or its ``Raw_EDF_Files`` with the table inside or beside it.
        montage: ``native``, ``bipolar18`` or ``car19``.
        missing_channels: ``skip``, ``zero`` or ``interpolate``.
        links: ``inside`` of the root, or ``follow`` those that lead out of it.
    """

    name = "aubmc_raw"
    classes = (BACKGROUND, SEIZURE)
    published = {
        "recordings": 20,
        "subjects": 6,
        "recordings_with_seizures": 20,
        "seizures": 34,
        "seizure_s": 3895,
    }
    notes = (
        "The time table holds 34 different seizures; one report counts 35. It lists some twice.",
        "The article names four classes; the time table gives no type, so the recordings have two.",
    )

    def __init__(
        self,
        *,
        root: str | Path,
        montage: str = "native",
        missing_channels: str = "skip",
        links: Links = "inside",
    ):
        chosen = montage_of(montage, AUBMC_19, missing=missing_channels)
        super().__init__(root=root, montage=chosen, links=links)
        self._tables: dict[Path, Table] = {}

    def recordings(self) -> list[RecordingRef]:
        """Every EDF of the folder, sorted by name.

        Raises:
            DataError: ``missing_root``, ``empty_root``, ``no_recordings``, ``missing_table``, ``two_tables``,
                or a table that cannot be trusted (see :func:`read_table`).
        """
        expected = "the folder of AUBMC that holds Raw_EDF_Files with files such as p10_Record1.edf"
        entries = list_folder(self.root, expected)
        folder = next((p for p in self.inside(entries) if p.is_dir() and p.name.lower() == FOLDER), self.root)
        edfs = self.inside(path for path in folder.iterdir() if is_edf(path))
        if not edfs:
            do = root_hint(self.root, lambda other: any(map(_numbers, other.iterdir())))
            raise DataError(
                f"{folder}: no EDF file; expected {expected}. The ready-made windows are read by "
                f"dataset=aubmc. {do}",
                reason="no_recordings",
            )
        table = _find_table(self.root)
        listed = self._seizures(table)
        present = {_numbers(path) for path in edfs}
        self.missing = tuple(f"p{p}_Record{r}.edf" for p, r in sorted(listed) if (p, r) not in present)
        self.warnings = (
            *self.outside,
            *(f"listed_file_missing: {name} is in {table.name}, not on disk" for name in self.missing),
        )
        return sorted(
            (RecordingRef(path.stem, _subject(path), path, files=(path, table)) for path in edfs),
            key=lambda ref: ref.recording,
        )

    def labels(self, ref: RecordingRef, header: EdfHeader) -> Labels:
        """Seizures by the time table, placed by the clock in the file's header.

        Raises:
            SkipRecording: ``unknown_seizures`` where the table has no entry for the file; ``bad_start_time``
                where it has seizures and the file no clock; ``annotation_outside``.
            DataError: the table cannot be used.
        """
        _, table = ref.files
        numbers = _numbers(ref.path)
        clocks = self._seizures(table).get(numbers) if numbers else None
        if clocks is None:
            raise SkipRecording(
                f"{ref.path}: no entry in {table.name}; expected one for patient and record of its name, as "
                "in p10_Record1.edf. Add it, or leave the recording out.",
                reason="unknown_seizures",
            )
        person = {"sex": header.sex, "age_band": header.age_band}
        metadata = {key: value for key, value in person.items() if value}
        if not clocks:
            return Labels(metadata=metadata)
        start_s, odd = start_clock(ref.path), []
        if start_s == 0:
            odd.append("midnight_start: the header says 00.00.00, which often means unknown; it is believed")
        onsets = [((at - start_s) % DAY_S, length) for at, length in clocks]
        events, changed = settle(ref.path, [Event(on, on + length, SEIZURE) for on, length in onsets], header)
        return Labels(events, metadata=metadata, warnings=(*odd, *changed))

    def _seizures(self, table: Path) -> Table:
        """A table is read once per corpus object."""
        if table not in self._tables:
            self._tables[table] = read_table(table)
        return self._tables[table]


def _numbers(path: Path) -> tuple[int, int] | None:
    """Patient and record of a file's name."""
    match = _NAME.fullmatch(path.name)
    return (int(match[1]), int(match[2])) if match else None


def _subject(path: Path) -> str:
    """``p10``; a file of another name is skipped later, as nobody knows its seizures."""
    numbers = _numbers(path)
    return f"p{numbers[0]}" if numbers else path.stem


def _find_table(root: Path) -> Path:
    """The one ``Seizure_times.py`` below ``root``, or beside it where ``root`` is the folder of EDFs."""
    places = [root, root.absolute().parent] if root.name.lower() == FOLDER else [root]
    for place in places:
        found = [p for p in Walk(place).files() if p.name.lower() == TABLE and p.is_file()]
        if len(found) > 1:
            raise DataError(
                f"{place}: {len(found)} time tables, {found[0]} and {found[1]}; expected one "
                "Seizure_times.py. Move the others away.",
                reason="two_tables",
            )
        if found:
            return found[0]
    raise DataError(
        f"{root}: no Seizure_times.py; expected it in Preprocessing_Scripts of the release. It holds the "
        "seizure times; fetch it.",
        reason="missing_table",
    )


def start_clock(path: Path) -> int:
    """Time of day at which an EDF starts, seconds since midnight, from bytes 176 to 184 of its header.

    Raises:
        SkipRecording: ``bad_start_time``.
    """
    with path.open("rb") as stream:
        stream.seek(176)
        text = stream.read(8).decode("latin-1").strip(" \0")
    match = _START.fullmatch(text)
    hour, minute, second = map(int, match.groups()) if match else (24, 0, 0)
    if hour > 23 or minute > 59 or second > 59:
        raise SkipRecording(
            f"{path}: start time {ascii(text)} in the header; expected hh.mm.ss, as its seizures are listed "
            "by the clock. Mend the header, or leave the recording out.",
            reason="bad_start_time",
        )
    return 3600 * hour + 60 * minute + second


def read_table(path: Path) -> Table:
    """Seizures by patient and record, out of a Python file that is parsed and never run.

    The file assigns either ``{patient: {record: [(h, m, s, length), ...]}}``, or for each patient a
    ``{record: [...]}`` to a name that ends in the patient's number (``seizures_10``). Repeats stay in.

    Raises:
        DataError: ``unsafe_table`` (anything but literals), ``bad_row``, ``bad_number``, ``duplicate_file``,
            ``no_rows``; the message names file and line.
    """
    try:
        with warnings.catch_warnings():  # Python's own about odd literals, without a file's name
            warnings.simplefilter("ignore", SyntaxWarning)
            statements = ast.parse(read_small(path, MOST_TABLE)).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as problem:
        line = getattr(problem, "lineno", None) or 1
        raise _bad(path, line, "bad_row", "this is no Python", "dictionaries of literals") from None
    table: Table = {}
    for statement in statements:
        line = statement.lineno
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue  # a text that describes the file
        names = statement.targets if isinstance(statement, ast.Assign) else []
        if not isinstance(statement, ast.Assign) or len(names) != 1 or not isinstance(names[0], ast.Name):
            found = f"a statement that is no assignment to a name ({type(statement).__name__})"
            raise _bad(path, line, "unsafe_table", found, "dictionaries of literals only")
        for key, rows in _by_record(path, line, names[0].id, _literal(path, statement.value)).items():
            if key in table:
                raise _bad(path, line, "duplicate_file", f"p{key[0]}, record {key[1]} again", "each once")
            table[key] = rows
    if not table:
        raise _bad(path, 1, "no_rows", "no seizure times", "a dictionary of patients and records")
    return table


def _literal(path: Path, node: ast.expr) -> object:
    """The value of a literal; a dictionary that names a key twice would lose one, so it is refused."""
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        found, expected = "a value that is no literal; it was not run", "dictionaries of literals only"
        raise _bad(path, node.lineno, "unsafe_table", found, expected) from None
    for inner in ast.walk(node):
        if isinstance(inner, ast.Dict):
            keys = [ast.literal_eval(key) for key in inner.keys if key is not None]
            if repeated := [key for key in keys if keys.count(key) > 1]:
                found = f"key {ascii(repeated[0])[:60]} stands twice"
                raise _bad(path, inner.lineno, "duplicate_file", found, "each record once")
    return value


def _by_record(path: Path, line: int, name: str, value: object) -> Table:
    """One assignment as seizures by patient and record."""
    expected = "{patient: {record: [(h, m, s, length), ...]}}, or seizures_10 = {record: [...]}"
    if not isinstance(value, dict):
        raise _bad(path, line, "bad_row", f"{name} is no dictionary", expected)
    by_patient = value
    if value and not any(isinstance(inner, dict) for inner in value.values()):
        if not (match := _PATIENT.fullmatch(name)):
            raise _bad(path, line, "bad_row", f"{name} names no patient", expected)
        by_patient = {int(match[1]): value}
    table: Table = {}
    for patient, records in by_patient.items():
        for record, rows in records.items() if isinstance(records, dict) else ((None, None),):
            if type(patient) is not int or type(record) is not int or not isinstance(rows, list | tuple):
                found = f"patient {ascii(patient)[:40]}, record {ascii(record)[:40]}"
                raise _bad(path, line, "bad_row", found, expected)
            table[patient, record] = [_clock(path, line, patient, record, row) for row in rows]
    return table


def _clock(path: Path, line: int, patient: int, record: int, row: object) -> Clock:
    """One ``(h, m, s, length)``."""
    where = f"{ascii(row)[:60]} of p{patient}, record {record}"
    if not isinstance(row, list | tuple) or len(row) != 4:
        raise _bad(path, line, "bad_row", where, "(hour, minute, second, seconds of seizure)")
    if not all(type(part) in (int, float) and abs(part) < 1e9 for part in row):
        raise _bad(path, line, "bad_number", where, "four numbers")
    hour, minute, second, length = row
    if not (0 <= hour < 24 and 0 <= minute < 60 and 0 <= second < 60):
        raise _bad(path, line, "bad_number", where, "a time of day from 00:00:00 to 23:59:59")
    if length < 0:
        raise _bad(path, line, "bad_interval", where, "a length of 0 s or more")
    return 3600.0 * hour + 60.0 * minute + second, float(length)


def _bad(path: Path, line: int, reason: str, found: str, expected: str) -> DataError:
    return DataError(
        f"{path}, line {line}: {found}; expected {expected}. Fetch the table again or mend that line.",
        reason=reason,
    )
