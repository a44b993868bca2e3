"""The tables beside Helsinki's recordings: three experts' seconds, and who is boy or girl.

Layout and meaning: Stevenson et al. (2019), A dataset of neonatal EEG recordings with seizure annotations,
Scientific Data 6:190039, DOI 10.1038/sdata.2019.39; data: DOI 10.5281/zenodo.4940267 (CC BY 4.0).
"""

import csv
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.io import loadmat

from distilclip_eeg.corpora.small_files import check_matlab, csv_rows, read_small, text_of
from distilclip_eeg.schema import DataError

EXPERTS = ("A", "B", "C")
CSV = "annotations_2017_{}.csv"
MAT, VARIABLE = "annotations_2017.mat", "annotat_new"
BLANK = -1
"""A cell without a value: the recording is over, and nothing is known."""
NAMED = 5
"""Neonates named in a warning; the others are counted."""

Seconds = dict[int, np.ndarray]
"""One expert's seconds by neonate: 1 where a seizure is marked, else 0; uint8, (T,)."""


@dataclass(frozen=True)
class Annotations:
    """What the three experts marked, and where it was read."""

    experts: Mapping[int, tuple[np.ndarray, ...]]
    """By neonate: the seconds of A, B and C. Their lengths may differ."""
    files: tuple[Path, ...]
    """Every file that was looked at."""
    warnings: tuple[str, ...] = ()

    @property
    def padded(self) -> bool:
        """Whether every column fills its table: re-saving may have turned the blank tails into zeros."""
        lengths = {len(seconds) for three in self.experts.values() for seconds in three}
        return len(self.experts) > 1 and len(lengths) == 1


def find_file(folder: Path, name: str) -> Path | None:
    """The file of a name in a folder, upper and lower case alike; None where there is none."""
    return next((p for p in sorted(folder.iterdir()) if p.name.lower() == name.lower()), None)


def read_annotations(folder: Path) -> Annotations:
    """The csv files, A_fixed before A, checked against the mat file; or the mat file where csv files lack.

    Raises:
        DataError: ``missing_annotation`` where neither is complete; else see :func:`read_seconds` and
            :func:`read_mat`.
    """
    fixed = find_file(folder, CSV.format("A_fixed"))
    wanted = [fixed or find_file(folder, CSV.format("A")), *(find_file(folder, CSV.format(e)) for e in "BC")]
    tables, mat = [table for table in wanted if table], find_file(folder, MAT)
    if len(tables) == len(EXPERTS):
        odd = "" if fixed else f"{tables[0].name} was corrected later; fetch {CSV.format('A_fixed')}"
        return _from_csv(tables, mat, [f"old_annotations: {odd}"] if odd else [])
    if mat is None:
        lacking = ", ".join(CSV.format(e) for e, table in zip(EXPERTS, wanted, strict=True) if not table)
        raise DataError(
            f"{folder}: no {lacking}; expected the tables of all three experts, or {MAT}. Fetch them.",
            reason="missing_annotation",
        )
    found = ", ".join(table.name for table in tables)
    warnings = (f"incomplete_annotations: of the csv files only {found}; {MAT} is used",) if found else ()
    return Annotations(read_mat(mat), (mat,), warnings)


def _from_csv(tables: Sequence[Path], mat: Path | None, warnings: list[str]) -> Annotations:
    """Three tables as one, compared with the mat file where there is one."""
    columns = [read_seconds(table) for table in tables]
    everyone, shared = set().union(*columns), set(columns[0]).intersection(*columns)
    if partial := sorted(everyone - shared):
        warnings.append(f"incomplete_annotations: not in all three csv files: neonates {_names(partial)}")
    experts = {neonate: tuple(column[neonate] for column in columns) for neonate in sorted(shared)}
    if mat is None:
        return Annotations(experts, tuple(tables), tuple(warnings))
    try:
        warnings += _cross_check(experts, read_mat(mat))
    except DataError as problem:
        warnings.append(f"{problem.reason}: {problem} The csv files are used")
    return Annotations(experts, (*tables, mat), tuple(warnings))


def read_seconds(path: Path) -> Seconds:
    """One expert's table: a row of neonates' numbers, then a row a second, blank after a recording's end.

    Raises:
        DataError: ``no_rows``, ``bad_row`` (more or fewer cells than neonates), ``bad_value`` (neither 0, 1
            nor blank), ``duplicate_neonate``, ``hole_in_column`` (a blank with seconds after it).
    """
    lines = text_of(_body(path)).rstrip("\r\n").splitlines()
    try:
        rows = [row or [""] for row in csv.reader(lines)]
    except csv.Error as problem:
        raise _bad(str(path), "bad_row", str(problem), "cells with commas between them") from problem
    neonates = _neonates(path, rows[0] if rows else [])
    if len(rows) < 2:
        raise _bad(str(path), "no_rows", "no row of seconds", "a row a second below the neonates' numbers")
    table, values = np.empty((len(rows) - 1, len(neonates)), np.int8), _Values()
    for second, row in enumerate(rows[1:]):
        where = f"{path}, line {second + 2}"
        if len(row) != len(neonates):
            raise _bad(where, "bad_row", f"{len(row)} cells", f"{len(neonates)}, one a neonate")
        try:
            table[second] = [values[cell] for cell in row]
        except ValueError as problem:
            raise _bad(where, "bad_value", f"a cell holds {problem}", "0, 1 or blank") from problem
    return {n: _trim(f"{path}, neonate {n}", table[:, k]) for k, n in enumerate(neonates)}


def read_mat(path: Path) -> dict[int, tuple[np.ndarray, ...]]:
    """All experts' seconds out of the one MATLAB file: ``annotat_new``, a cell a neonate, rows A, B, C.

    Raises:
        DataError: ``bad_annotations`` (not such a file), ``bad_value``, ``hole_in_column``, ``no_rows``.
    """
    expected = f"a MATLAB 5 file with {VARIABLE}, a cell a neonate, each 3 rows of seconds"
    try:
        check_matlab(path)
        cells = loadmat(path, variable_names=[VARIABLE])[VARIABLE].ravel()
    except DataError:
        raise
    except Exception as problem:  # scipy meets a damaged file with whatever its parts raise
        found = f"cannot be read ({type(problem).__name__})"
        raise _bad(str(path), "bad_annotations", found, expected) from problem
    if not cells.size:
        raise _bad(str(path), "no_rows", f"{VARIABLE} is empty", expected)
    out = {}
    for neonate, cell in enumerate(cells, start=1):
        where = f"{path}, neonate {neonate}"
        if getattr(cell, "ndim", 0) != 2 or len(cell) != len(EXPERTS) or cell.dtype.kind not in "buif":
            raise _bad(where, "bad_annotations", "no table of three rows", expected)
        seconds = np.where(np.isnan(cell), BLANK, cell) if cell.dtype.kind == "f" else cell.astype(int)
        if (odd := ~np.isin(seconds, (BLANK, 0, 1))).any():
            raise _bad(where, "bad_value", f"{seconds[odd][0]:g}", "0, 1 or NaN")
        out[neonate] = tuple(_trim(where, row) for row in seconds)
    return out


def read_sexes(path: Path) -> dict[str, str]:
    """``F`` or ``M`` by name of the recording (``eeg17``), from columns ``EEG file`` and ``Gender``.

    No other column is looked at: what experts concluded about a neonate must not reach a description.

    Raises:
        DataError: ``missing_column``.
    """
    try:  # free text in quotes may hold line ends
        rows = [cells for _, cells in csv_rows(text_of(_body(path)))]
    except csv.Error as problem:
        raise _bad(str(path), "bad_row", str(problem), "cells with commas between them") from None
    header = [cell.strip().lower() for cell in rows[0]] if rows else []
    if "eeg file" not in header or "gender" not in header:
        raise _bad(str(path), "missing_column", "no 'EEG file' or no 'Gender'", "both among the columns")
    file, gender = header.index("eeg file"), header.index("gender")
    found = {
        row[file].strip().lower().removesuffix(".edf"): row[gender].strip().upper()
        for row in rows[1:]
        if len(row) > max(file, gender)
    }
    return {name: sex for name, sex in found.items() if sex in ("F", "M")}


def _body(path: Path) -> bytes:
    try:
        return read_small(path)
    except OSError as problem:
        raise _bad(str(path), "unreadable", f"{problem.strerror}", "a readable file") from None


class _Values(dict):
    """Value of a cell by its text, each spelling understood once: ``1``, ``1.0``, blank, ``NaN``."""

    def __missing__(self, text: str) -> int:
        try:
            number = float(text.strip() or "nan")
        except ValueError:
            number = math.inf
        if not math.isnan(number) and number not in (0, 1):
            raise ValueError(f"{text[:20]!r}")
        self[text] = BLANK if math.isnan(number) else int(number)
        return self[text]


def _neonates(path: Path, header: Sequence[str]) -> list[int]:
    """The first row: numbers from 1, each once; a row of seconds in its place is found out."""
    where, expected = f"{path}, line 1", "the neonates' numbers, such as 1,2,3"
    if not any(cell.strip() for cell in header):
        raise _bad(where, "no_rows", "blank", expected)
    for cell in header:
        if not re.fullmatch(r"\s*[1-9]\d{0,5}(\.0+)?\s*", cell):
            raise _bad(where, "bad_value", f"{cell[:20]!r}", expected)
    neonates = [int(float(cell)) for cell in header]
    if len(set(neonates)) < len(neonates):
        raise _bad(where, "duplicate_neonate", "a number twice", f"{expected}, each once")
    return neonates


def _trim(where: str, column: np.ndarray) -> np.ndarray:
    """A column without its blank tail; a blank before a value would shift what follows in time."""
    known = np.flatnonzero(column != BLANK)
    length = known[-1] + 1 if len(known) else 0
    if len(known) < length:
        hole = np.flatnonzero(column[:length] == BLANK)[0]
        raise _bad(
            where, "hole_in_column", f"blank at second {hole}, values after it", "blanks at the end only"
        )
    return column[:length].astype(np.uint8)


def _cross_check(experts: Mapping[int, Sequence[np.ndarray]], other: Mapping) -> list[str]:
    """Where the mat file tells another story; a neonate that only one of the two knows counts, too."""
    differ = [
        neonate
        for neonate in sorted(set(experts) | set(other))
        if neonate not in experts
        or neonate not in other
        or not all(map(_agree, experts[neonate], other[neonate]))
    ]
    if not differ:
        return []
    words = f"{MAT} and the csv files differ for neonates {_names(differ)}"
    return [f"annotations_differ: {words}; the csv files are used"]


def _agree(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Whether two columns say the same; a trailing row more or less is usual."""
    known = min(len(ours), len(theirs))
    return abs(len(ours) - len(theirs)) <= 1 and np.array_equal(ours[:known], theirs[:known])


def _names(neonates: Sequence[int]) -> str:
    more = f" and {len(neonates) - NAMED} more" if len(neonates) > NAMED else ""
    return ", ".join(map(str, neonates[:NAMED])) + more


def _bad(where: str, reason: str, found: str, expected: str) -> DataError:
    return DataError(
        f"{where}: {found}; expected {expected}. Fetch the file again or mend it.", reason=reason
    )
