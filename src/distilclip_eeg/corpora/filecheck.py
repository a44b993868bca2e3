"""``python scripts/check.py path=…``: what training would do with each file, by the readers it uses.

An *outcome* is ``tolerate`` (used as it is), ``warn`` (used, and the data report says what is odd), ``skip``
(this recording or event is left out, the others are used) or ``error`` (refused); its *reasons* are the
stable codes that reports and exceptions carry.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from distilclip_eeg.config.data import Links, SignalConfig
from distilclip_eeg.corpora.aubmc import open_array
from distilclip_eeg.corpora.aubmc_raw import read_table
from distilclip_eeg.corpora.chbmit_files import read_seizure_file, read_summary
from distilclip_eeg.corpora.edf.header import EdfHeader, read_header
from distilclip_eeg.corpora.edf.montage import (
    AUBMC_19,
    BIPOLAR_18,
    CHBMIT_23,
    STANDARD_19,
    Montage,
    canonical,
    montage_of,
)
from distilclip_eeg.corpora.edf.plan import plan_channels
from distilclip_eeg.corpora.edf.reader import read_eeg
from distilclip_eeg.corpora.edf.rename import Rename
from distilclip_eeg.corpora.edf.stretches import settle
from distilclip_eeg.corpora.events_tsv import read_events, read_levels
from distilclip_eeg.corpora.tusz_files import TYPES, TuszFile, labels_of, read_csv
from distilclip_eeg.corpora.walk import Walk, link_outside, looks_like_edf
from distilclip_eeg.corpora.zenodo_files import read_mat, read_seconds
from distilclip_eeg.plausible import check_rate
from distilclip_eeg.schema import (
    ANY_SEIZURE,
    SEIZURE,
    DataError,
    Event,
    SkipRecording,
    unreadable,
    visible,
)

NATIVES = (STANDARD_19, CHBMIT_23, AUBMC_19, BIPOLAR_18)
"""Channel lists of the corpora; a recording is read as the first it has, or the one it comes nearest to."""
RENAME = Rename("rename")
"""The setting that names spellings unknown here; empty."""
EVENTS_SKIPPED = ("excluded_class", "untyped_seizure")
"""Warnings that say an event is left out, not only that it is odd."""


@dataclass(frozen=True)
class Recordings:
    """The EDF files that annotations may belong to: all that are checked, and one for those without any."""

    by_name: Mapping[str, Path]
    """By name in lower case; what an annotation says is looked up here and never becomes a path."""
    default: Path | None = None
    signals: SignalConfig = SignalConfig()
    """What the recordings are to become: the band and rate that they must hold, and the montage."""
    rename: Rename = RENAME


def check(
    path: Path,
    recording: Path | None = None,
    signals: SignalConfig | None = None,
    links: Links = "inside",
    rename: Mapping[str, str] | None = None,
) -> Iterator[dict]:
    """One line for each recording and annotation file at ``path``, sorted; other files give none.

    Args:
        path: a file, or a folder that is searched to its depth.
        recording: the EDF of annotation files that have none beside them and name none below ``path``.
        signals: what recordings are to become; the article's by default.
        links: below ``path``; those that lead out of it are skipped by name unless ``follow``.
        rename: what labels of recordings are to be read as; see
            :class:`~distilclip_eeg.corpora.edf.rename.Rename`.

    Yields:
        ``path``, ``kind``, ``outcome``, ``reasons`` and ``messages``.

    Raises:
        DataError: ``missing_file``: nothing is at ``path``.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file or folder; give path=FILE or FOLDER.", reason="missing_file")
    alone = path.is_file() or looks_like_edf(path)
    walk = Walk(path, links)
    files = [path] if alone else walk.files()
    edfs = [file for file in (*files, *([recording] if recording else ())) if looks_like_edf(file)]
    around = Recordings(
        {edf.name.lower(): edf for edf in edfs if edf.is_file()},
        recording,
        signals or SignalConfig(),
        replace(RENAME, words=rename or {}),
    )
    for file in files:
        kind = kind_of(file)
        if kind is None and not alone:
            continue
        yield {"path": visible(file), "kind": kind or "unknown", **judge(file, kind, around)}
    for link in walk.refused:
        words = link_outside(link, path, "links")
        yield {"path": visible(link), "kind": "link", **verdict("skip", [words.reason], [str(words)])}


def kind_of(path: Path) -> str | None:
    """What a file is by its name, or by its first line where several kinds share a name."""
    name = path.name.lower()
    if looks_like_edf(path):
        return "recording"
    for ending, kind in (
        ("-summary.txt", "chbmit_summary"),
        (".seizures", "chbmit_seizures"),
        ("_events.tsv", "bids_events"),
        (".csv_bi", "tusz_csv"),
        (".npy", "aubmc_array"),
        ("seizure_times.py", "aubmc_table"),
        ("annotations_2017.mat", "helsinki_mat"),
    ):
        if name.endswith(ending):
            return kind
    if name.endswith(".csv"):
        with path.open("rb") as stream:
            first = stream.read(4096).lstrip(b"\xef\xbb\xbf").split(b"\n")[0].strip()
        if first.startswith(b"#") or b"start_time" in first:
            return "tusz_csv"
        if first and all(cell.strip().isdigit() for cell in first.split(b",")):
            return "helsinki_csv"
    return None


def judge(path: Path, kind: str | None, around: Recordings) -> dict:
    """Outcome, reasons and messages of one file; errors of its reader become the outcome.

    Args:
        kind: from :func:`kind_of`; None is an error.
        around: recordings that an annotation may belong to.
    """
    if kind is None:
        expected = "an EDF, BDF, or an annotation file of one of the corpora"
        words = f"{path}: not a kind of file known here; expected {expected}."
        return verdict("error", ["unknown_kind"], [words])
    try:
        warnings = CHECKS[kind](path, around)
    except SkipRecording as problem:
        return verdict("skip", [problem.reason], [str(problem)])
    except (DataError, OSError) as problem:
        problem = unreadable(path, problem)
        return verdict("error", [problem.reason], [str(problem)])
    codes = list(dict.fromkeys(warning.partition(":")[0] for warning in warnings))
    outcome = "skip" if set(codes) & set(EVENTS_SKIPPED) else "warn" if codes else "tolerate"
    return verdict(outcome, codes, [visible(f"{path}: {warning}") for warning in warnings])


def verdict(outcome: str, reasons: list[str], messages: list[str]) -> dict:
    """The part of a line that says how a file was judged."""
    return {"outcome": outcome, "reasons": reasons, "messages": messages}


def check_recording(path: Path, around: Recordings) -> Iterable[str]:
    """Header, channels, scaling and signal, decoded as for training.

    Raises:
        SkipRecording, DataError: see :func:`~distilclip_eeg.corpora.edf.reader.read_eeg` and
            :func:`~distilclip_eeg.plausible.check_rate`.
    """
    header, band = around.rename.header(read_header(path), path), around.signals
    montage = nearest(header.labels)
    if band.montage != montage.name:
        montage = montage_of(band.montage, STANDARD_19, settings=montage.settings)
    plan_channels(header.labels, montage, str(path))
    eeg = read_eeg(path, montage, header)
    check_rate(str(path), eeg.sfreq, band.h_freq, band.sfreq)
    return eeg.warnings


def nearest(labels: Sequence[str]) -> Montage:
    """The corpora's own montage that a file's signals have whole, or lack least of."""
    there = {canonical(label) for label in labels}
    lacking = [sum(canonical(c) not in there for c in names) / len(names) for names in NATIVES]
    return Montage("native", NATIVES[int(np.argmin(lacking))], settings=(RENAME.setting, ""))


def partner_of(path: Path, file: TuszFile, around: Recordings) -> EdfHeader | None:
    """Header of an annotation's recording: beside it, else the one it names, else as long as it says."""
    beside = [p for p in path.parent.iterdir() if p.stem == path.stem and looks_like_edf(p) and p.is_file()]
    partner = beside[0] if beside else around.by_name.get(f"{file.name.lower()}.edf", around.default)
    if partner:
        return read_header(partner)
    return header_of_length(file.duration_s) if file.duration_s else None


def header_of_length(duration_s: float) -> EdfHeader:
    """A header that says nothing but how long the recording is."""
    return EdfHeader(signals=(), n_records=1, record_duration_s=duration_s, onsets_s=np.zeros(1))


def check_tusz(path: Path, around: Recordings) -> Iterable[str]:
    """Grammar of a ``.csv`` or ``.csv_bi``; against the recording's length where that is known."""
    file = read_csv(path)
    header = partner_of(path, file, around)
    if header is None:
        return file.warnings
    typed = path.suffix.lower() == ".csv" or any(row.event.label in TYPES for row in file.rows)
    return labels_of(file, header, typed=typed).warnings


def check_summary(path: Path, around: Recordings) -> Iterable[str]:
    """The summary, whether the files it lists are there, and seizures against the length of those."""
    warnings = []
    places = {**around.by_name, **{p.name.lower(): p for p in path.parent.iterdir() if looks_like_edf(p)}}
    for name, spans in read_summary(path).items():
        if name.lower() not in places:
            warnings.append(f"listed_file_missing: {name} is in the summary, not on disk")
        elif spans:
            edf = places[name.lower()]
            warnings += settle(edf, [Event(*span, SEIZURE) for span in spans], read_header(edf))[1]
    return warnings


def check_seizures(path: Path, _: Recordings) -> Iterable[str]:
    """The binary file beside a CHB-MIT recording; the summary is used where it is damaged."""
    try:
        read_seizure_file(path)
    except ValueError as problem:
        return [f"bad_annotations: {problem}; the summary is used"]
    return []


def check_events(path: Path, _: Recordings) -> Iterable[str]:
    """An ``events.tsv`` by the nearest ``events.json`` above it; its seizures against its own length."""
    sidecars = (folder / "events.json" for folder in path.parents)
    levels = next((read_levels(side) for side in sidecars if side.is_file()), ())
    file = read_events(path, levels)
    length = next((row.recording_s for row in file.rows if row.recording_s), None)
    header = header_of_length(length) if length else None
    seizures = (row for row in file.rows if row.label.startswith(ANY_SEIZURE))
    events = [Event(row.onset_s, row.offset_s, row.label) for row in seizures]
    odd = settle(path, events, header)[1] if header else []
    return [*file.warnings, *odd]


def check_seconds(path: Path, _: Recordings) -> Iterable[str]:
    """One Helsinki expert's table; it is believed or refused."""
    read_seconds(path)
    return []


def check_mat(path: Path, _: Recordings) -> Iterable[str]:
    """The Helsinki experts' MATLAB file; it is believed or refused."""
    read_mat(path)
    return []


def check_array(path: Path, _: Recordings) -> Iterable[str]:
    """Header and size of an AUBMC array; it is believed or refused."""
    open_array(path)
    return []


def check_table(path: Path, _: Recordings) -> Iterable[str]:
    """AUBMC's table of seizures, parsed and not run; it is believed or refused."""
    read_table(path)
    return []


CHECKS: dict[str, Callable[[Path, Recordings], Iterable[str]]] = {
    "recording": check_recording,
    "tusz_csv": check_tusz,
    "chbmit_summary": check_summary,
    "chbmit_seizures": check_seizures,
    "bids_events": check_events,
    "helsinki_csv": check_seconds,
    "helsinki_mat": check_mat,
    "aubmc_array": check_array,
    "aubmc_table": check_table,
}
