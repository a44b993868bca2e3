"""What one's own recordings need (``dataset=bids``, ``dataset=folder``): settings, tables, persons.

Tables are read as a laboratory keeps them: comma, tab or semicolon, any spreadsheet's export.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from distilclip_eeg.corpora.edf.fields import number
from distilclip_eeg.corpora.edf.header import age_band
from distilclip_eeg.corpora.edf.montage import (
    OF_OWN,
    STANDARD_19,
    Montage,
    canonical,
    montage_of,
    printable,
)
from distilclip_eeg.corpora.small_files import csv_rows, read_small
from distilclip_eeg.schema import BACKGROUND, ConfigError, DataError

SUFFIXES = (".edf", ".bdf")
UNLABELLED = ("background", "exclude")
"""What time that no row covers may be."""
DELIMITERS = {".tsv": "\t,;", ".csv": ",;\t"}
"""What may part the cells, likeliest first."""
SEXES = {"f": "F", "female": "F", "m": "M", "male": "M"}
MEND = "Mend the table."
DECIMALS = 6
"""An end is onset plus duration: without rounding, stretches that touch would overlap by 1e-15 s."""


def own_montage(name: str, channels: Sequence[str] | None, missing: str) -> Montage:
    """The montage of recordings whose channels the user names; by default the 19 electrodes of 10-20.

    ``A-B`` is taken where a file has it, else computed from what it follows from.

    Raises:
        ConfigError: no channel, an empty name, or one electrode under two names (T3 is T7).
    """
    native = STANDARD_19 if channels is None else tuple(canonical(str(channel)) for channel in channels)
    if not native or "" in native or len({*native}) < len(native):
        found = "[]" if not native else ", ".join(map(str, channels or native))
        raise ConfigError(
            f"dataset.channels={found}: expected different electrodes or derivations (T3 is T7, Fp1-Avg is "
            "Fp1). Name each once.",
            reason="bad_channels",
        )
    derive = any("-" in channel for channel in native)
    return montage_of(name, native, missing=missing, derive=derive, settings=OF_OWN)


def own_classes(labels: Iterable[str]) -> tuple[str, ...]:
    """The classes that the user lists, background not among them.

    Raises:
        ConfigError: none, one twice, or the background.
    """
    names = tuple(labels)
    if not names or "" in names or len({*names}) < len(names) or BACKGROUND in names:
        raise ConfigError(
            f"dataset.classes={list(names)}: expected the seizure labels to tell apart, each once, without "
            f"{BACKGROUND}, which is always a class. Or null for the usual ones.",
            reason="bad_classes",
        )
    return names


def own_map(words: Mapping[str, str] | None) -> dict[str, str]:
    """``dataset.label_map`` by words in lower case, as they are looked up.

    Raises:
        ConfigError: ``bad_map``: an empty word, or two that differ in upper and lower case alone.
    """
    found = {str(word).strip().casefold(): str(meaning).strip() for word, meaning in (words or {}).items()}
    if len(found) < len(words or {}) or not all(found) or not all(found.values()):
        raise ConfigError(
            f"dataset.label_map={dict(words or {})}: expected each word of the table once, upper and lower "
            "case alike, and what it counts as, such as {ictal: seiz, spikes: bckg}.",
            reason="bad_map",
        )
    return found


@dataclass(frozen=True)
class TextTable:
    """A table's cells as text, blanks around them taken off."""

    path: Path
    columns: tuple[str, ...]
    """Lower case: a spreadsheet's ``Onset`` is ``onset``."""
    rows: tuple[tuple[int, dict[str, str]], ...]
    """Line in the file, and cells by column; blank lines left out."""
    warnings: tuple[str, ...] = ()

    def where(self, line: int) -> str:
        """Words for a line of the file, for messages."""
        return f"{self.path}, line {line}"


def read_table(path: Path, required: Sequence[str], do: str = MEND) -> TextTable:
    """Read a ``.csv`` or ``.tsv``; columns that nobody asks for are kept and do no harm.

    Args:
        required: columns that must stand in it once.
        do: what to do where one does not.

    Raises:
        DataError: ``missing_table``, ``empty_annotation``, ``missing_column``, ``no_rows``, ``bad_row``.
    """
    try:
        raw, warnings = read_small(path), []
    except OSError as problem:
        found, do_name = f"cannot be read ({problem.strerror})", "Set dataset.table=... to its name."
        raise table_error(path, "missing_table", found, "a .csv or .tsv file", do_name) from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
        warnings.append(f"bad_encoding: {path.name} is not UTF-8, read as Latin-1")
    if not text.strip():
        raise table_error(path, "empty_annotation", "no text", "a header and at least one row")
    (_, header), *lines = _cells(path, text)
    columns = tuple(name.strip().casefold() for name in header)
    wanted = [name.casefold() for name in required]
    if missing := [name for name in wanted if columns.count(name) != 1]:
        there = ", ".join(printable(name) for name in columns)
        found = f"{', '.join(missing)} not found once among the columns {there}"
        raise table_error(path, "missing_column", found, ", ".join(wanted), do)
    rows = []
    for line, cells in lines:
        if len(cells) < len(columns) or any(map(str.strip, cells[len(columns) :])):
            found, expected = f"{len(cells)} cells", f"{len(columns)}, one for each column"
            raise table_error(f"{path}, line {line}", "bad_row", found, expected)
        rows.append((line, dict(zip(columns, map(str.strip, cells), strict=False))))
    if not rows:
        raise table_error(path, "no_rows", "a header and no row", "one row for each labelled stretch")
    return TextTable(path, columns, tuple(rows), tuple(warnings))


def _cells(path: Path, text: str) -> list[tuple[int, list[str]]]:
    """Line number and cells of every line that is not blank."""
    header = text.lstrip("\r\n").splitlines()[0]
    delimiter = max(DELIMITERS.get(path.suffix.lower(), ",;\t"), key=header.count)
    rows: list[tuple[int, list[str]]] = []
    line = 0
    try:
        for line, cells in csv_rows(text, delimiter=delimiter, strict=True):
            rows += [(line, cells)] if any(map(str.strip, cells)) else []
        return rows
    except csv.Error as problem:
        found = f"after line {line}, {problem}"
        raise table_error(path, "bad_row", found, "quotes in pairs") from None


def table_error(where: Path | str, reason: str, found: str, expected: str, do: str = MEND) -> DataError:
    """The error for a table, in one line; the caller raises it.

    Args:
        where: file, or file and line.
        reason: stable code.
        found: what stands there.
        expected: what should.
        do: what to do about it.
    """
    return DataError(f"{where}: {found}; expected {expected}. {do}", reason=reason)


def person(cells: dict[str, str]) -> dict[str, str]:
    """Sex and age band by the columns ``sex`` and ``age`` (years); the only facts that leave a table."""
    age = number(cells.get("age", "").rstrip("+"))
    facts = {"sex": SEXES.get(cells.get("sex", "").casefold(), ""), "age_band": age_band(age)}
    return {key: value for key, value in facts.items() if value}
