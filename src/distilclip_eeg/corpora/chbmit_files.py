"""The text and binary files beside CHB-MIT's recordings: bytes in, plain values out.

Layout, grammar and quirks: Shoeb, Application of Machine Learning to Epileptic Seizure Onset Detection and
Treatment (PhD thesis, MIT, 2009); data: Guttag (2010), PhysioNet, DOI 10.13026/C2K01R (ODC-By 1.0).

Clock times in summaries pass 24:00 and are absent for chb24, and the years are surrogates, so none of them
is used: offsets from the start of a file are what counts.
"""

import re
import struct
from pathlib import Path

from distilclip_eeg.corpora.edf.header import age_band
from distilclip_eeg.corpora.small_files import read_small, text_of
from distilclip_eeg.schema import DataError

CASE = re.compile(r"chb\d+", re.IGNORECASE)
"""Name of a case: of its folder and in ``SUBJECT-INFO``."""
ONSET_CODE, OFFSET_CODE = 32, 33

_FILE = re.compile(r"File Name:\s*(.*?)\s*$", re.IGNORECASE)
_COUNT = re.compile(r"Number of Seizures in File:\s*(\d{1,9})\s*$", re.IGNORECASE)
_SECONDS = r"(\d{1,9}(?:\.\d{1,20})?)"
_BOUND = re.compile(rf"Seizure\s*\d*\s*(Start|End)\s*Time:\s*{_SECONDS}\s*seconds?\s*$", re.IGNORECASE)
_MUST_PARSE = re.compile(r"(Seizure|Number of Seizures)", re.IGNORECASE)

Span = tuple[float, float]
"""A seizure's start and end, seconds from the start of its file."""


def read_summary(path: Path) -> dict[str, list[Span]]:
    """Seizures of every file a summary lists, in seconds from the start of that file.

    Ends close the last open start, whatever number the line carries: chb09 labels a second end as
    ``Seizure 1 End Time``. Channel lists between the blocks neither open nor close a file.

    Raises:
        DataError: ``bad_number``, ``bad_row``, ``bad_interval``, ``count_mismatch``, ``duplicate_file``,
            ``unsafe_path``, ``no_rows``; the message names file and line.
    """
    spans: dict[str, list[Span]] = {}
    claimed: dict[str, int] = {}
    name, start = None, None
    lines = text_of(read_small(path)).splitlines()
    for number, line in enumerate(map(str.strip, lines), start=1):
        where = f"{path}, line {number}"
        if match := _FILE.match(line):
            _check_closed(where, start)
            name = _safe_name(where, match[1])
            if name in spans:
                raise _bad(where, "duplicate_file", f"{name} is listed twice", "each file once")
            spans[name] = []
        elif match := _COUNT.match(line):
            if name is None or name in claimed:
                raise _bad(where, "bad_row", "a number of seizures without file", "'File Name:' before it")
            claimed[name] = int(match[1])
        elif match := _BOUND.match(line):
            second, opens = float(match[2]), match[1].lower() == "start"
            if name is None or (not opens and start is None):
                raise _bad(where, "bad_row", "a seizure time without file or start", "start, then end")
            if opens:
                _check_closed(where, start)
                start = second
                continue
            assert start is not None
            if second <= start:
                raise _bad(where, "bad_interval", f"{start:g} to {second:g} s", "an end after its start")
            spans[name].append((start, second))
            start = None
        elif _MUST_PARSE.match(line):
            raise _bad(where, "bad_number", f"{line[:60]!r}", "'Seizure [k] Start|End Time: N seconds'")
    _check_closed(f"{path}, end", start)
    if not spans:
        raise _bad(str(path), "no_rows", "no 'File Name:' line", "one block per EDF")
    for name, found in spans.items():
        if claimed.get(name) != len(found):
            claim = f"{claimed[name]} announced" if name in claimed else "no number announced"
            raise _bad(f"{path}, {name}", "count_mismatch", f"{claim}, {len(found)} listed", "equal counts")
    return spans


def _safe_name(where: str, name: str) -> str:
    """A name from a text file is never joined to a path unless it is a plain EDF name."""
    if not name.lower().endswith(".edf") or "/" in name or "\\" in name or name.startswith("."):
        raise _bad(where, "unsafe_path", f"file name {name[:60]!r}", "a plain name such as chb01_03.edf")
    return name


def _check_closed(where: str, start: float | None) -> None:
    if start is not None:
        raise _bad(where, "count_mismatch", f"the seizure at {start:g} s has no end", "start, then end")


def _bad(where: str, reason: str, found: str, expected: str) -> DataError:
    return DataError(
        f"{where}: {found}; expected {expected}. Fetch the summary again or mend that line.", reason=reason
    )


def read_seizure_file(path: Path) -> list[Span]:
    """Seizures of a ``.edf.seizures`` file in seconds: WFDB annotations with codes 32 (start) and 33 (end).

    Words are 16-bit little-endian, code in the upper six bits, interval in the lower ten. Code 63 carries
    text, 59 a four-byte interval with its high half first, 60 to 62 set attributes. ``0`` ends the file.

    Raises:
        ValueError: the bytes do not follow the format.
    """
    raw, place, tick, rate = read_small(path), 0, 0, 256.0
    spans, start = [], None
    while True:
        if place + 2 > len(raw):
            raise ValueError("ends without the closing word")
        (word,) = struct.unpack_from("<H", raw, place)
        code, interval, place = word >> 10, word & 1023, place + 2
        if word == 0:
            break
        if code == 63:
            text = raw[place : place + interval].decode("latin-1")
            if match := re.match(r"## time resolution: (\d{1,9}(?:\.\d{1,9})?)", text):
                rate = float(match[1])
            place += interval + interval % 2
        elif code == 59:
            if place + 4 > len(raw):
                raise ValueError("cut inside an interval")
            high, low = struct.unpack_from("<hH", raw, place)
            tick, place = tick + high * 65536 + low, place + 4
        elif code < 60:
            tick += interval
            if code == ONSET_CODE:
                start = tick
            elif code == OFFSET_CODE:
                if start is None:
                    raise ValueError("an end without a start")
                spans.append((start, tick))
                start = None
    if start is not None or rate <= 0:
        raise ValueError("a start without an end, or no time resolution")
    return [(first / rate, last / rate) for first, last in spans]


def read_list(path: Path) -> list[str]:
    """File names, without folders, of ``RECORDS`` or ``RECORDS-WITH-SEIZURES``; none where it is absent."""
    text = text_of(read_small(path)) if path.is_file() else ""
    return [line.strip().rpartition("/")[2] for line in text.splitlines() if line.strip()]


def read_subject_info(path: Path) -> dict[str, dict[str, str]]:
    """Sex and age band by case, from the tab-separated ``SUBJECT-INFO``; empty where it is absent."""
    people = {}
    text = text_of(read_small(path)) if path.is_file() else ""
    for row in (line.split("\t") for line in text.splitlines()):
        if len(row) < 3 or not CASE.fullmatch(row[0].strip()):
            continue
        sex, age = row[1].strip(), row[2].strip()
        known = {
            "sex": sex if sex in ("F", "M") else "",
            "age_band": age_band(float(age)) if re.fullmatch(r"\d+(\.\d+)?", age) else "",
        }
        people[row[0].strip().lower()] = {key: value for key, value in known.items() if value}
    return people
