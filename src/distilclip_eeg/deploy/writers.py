"""A detection as files that others read: tables for SzCORE, NEDC, MNE and EDFbrowser, parquet, figure, page.

No date, name or other field of a file header is written unless it is asked for.
"""

import hashlib
import io
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from distilclip_eeg.corpora.events_tsv import szcore_tsv
from distilclip_eeg.corpora.tusz_files import TERM
from distilclip_eeg.deploy.detection import SEIZURE, UNLIKE, Detection
from distilclip_eeg.deploy.review import review_page
from distilclip_eeg.files.digests import write_atomic
from distilclip_eeg.files.folders import make_folder
from distilclip_eeg.files.reading import read_json, read_parquet
from distilclip_eeg.files.writing import write_json
from distilclip_eeg.schema import BACKGROUND, NOTE, DataError, Event, visible

if TYPE_CHECKING:
    from distilclip_eeg.report.detection import Screened

EVENTS, TERMS, ANNOTATIONS = "_events.tsv", ".csv_bi", "_annotations.txt"
PROBABILITY, FIGURE, REVIEW = "_probability.parquet", ".png", "_review.html"
RECORD = "_detection.json"
"""Settings, warnings and counts; written last, so that it tells a finished recording."""
CLAIM = ".{}_detection.writing"
"""Says which files are ours until the record does."""
ENDINGS = (EVENTS, TERMS, ANNOTATIONS, PROBABILITY, FIGURE, REVIEW)
TRACE = ("start_s", "probability", "seizure")
"""Columns of the parquet file."""
TICK_S = 0.01
"""Times in ``events.tsv`` have two decimals."""


def write_detection(
    found: Detection,
    folder: Path,
    stem: str,
    about: dict,
    *,
    figure: bool = True,
    review: bool = True,
    start: datetime | None = None,
) -> list[Path]:
    """Write every file of one recording, each whole or not at all.

    Args:
        stem: what their names begin with.
        about: for the record: which model, which settings.
        figure: write a picture, where the detection keeps an excerpt.
        review: write the page, where it does.
        start: of the recording, for ``events.tsv``; None writes ``n/a``.

    Returns:
        The files, the record last.

    Raises:
        DataError: ``write_failed``, or ``not_ours``: another's file has one of the names.
    """
    bodies = {
        EVENTS: events_tsv(found, start),
        TERMS: csv_bi(found, stem),
        ANNOTATIONS: annotations_txt(found),
        PROBABILITY: probability_parquet(found),
    }
    if figure and found.excerpt:
        bodies[FIGURE] = figure_png(found, stem)
    if review and found.excerpt:
        bodies[REVIEW] = review_page(found, stem, about.get("model", {}).get("name", ""))
    check_place(folder, stem)
    make_folder(folder)
    record_path = folder / f"{stem}{RECORD}"
    for ending in ENDINGS:  # of an earlier start, whose figure may not be drawn again
        if ending not in bodies:
            (folder / f"{stem}{ending}").unlink(missing_ok=True)
    paths = [folder / f"{stem}{ending}" for ending in bodies]
    # First that they are ours, so that a start that is stopped between them finds its own.
    claim = folder / CLAIM.format(stem)
    write_json(claim, {"files": [path.name for path in paths], "note": NOTE})
    record_path.unlink(missing_ok=True)
    for path, body in zip(paths, bodies.values(), strict=True):
        write_atomic(path, body)
    names = [path.name for path in paths]
    write_json(record_path, about | record_of(found, dict(zip(names, bodies.values(), strict=True))))
    claim.unlink()
    return [*paths, record_path]


def record_of(found: Detection, written: dict[str, bytes]) -> dict:
    """What is noted of a detection, and of its files by name."""
    return {
        "seconds": round(found.track.recorded_s, 3),
        "span_s": round(found.span_s, 3),
        "events": len(found.events),
        "filled": list(found.filled),
        "warnings": list(found.warnings),
        "files": list(written),
        "sha256": {name: hashlib.sha256(body).hexdigest() for name, body in written.items()},
        "note": NOTE,
    }


def read_record(folder: Path, stem: str) -> dict:
    """What a detection wrote last of a recording; empty where none is finished, or the record is damaged."""
    path = folder / f"{stem}{RECORD}"
    try:
        return read_json(path, "files", "model", "settings", "seconds", "events", "warnings")
    except DataError:
        return {}


def foreign_files(folder: Path, stem: str) -> list[Path]:
    """Files with the names of a recording's outputs that no detection of ours wrote.

    A record beside them says which are ours; where it is damaged, probabilities as we alone write them do.
    """
    record_path, trace = folder / f"{stem}{RECORD}", folder / f"{stem}{PROBABILITY}"
    named = [*(folder / f"{stem}{ending}" for ending in ENDINGS), record_path]
    there = [path for path in named if path.exists() or path.is_symlink()]
    links = [path for path in there if path.is_symlink()]
    if not there:
        return []
    for told in (folder / CLAIM.format(stem), record_path):
        with suppress(DataError, TypeError):
            ours = {record_path.name, *map(str, read_json(told, "files", "note")["files"])}
            return links or [path for path in there if path.name not in ours]
    with suppress(DataError):
        read_parquet(trace, *TRACE)
        return links
    return there


def check_place(folder: Path, stem: str) -> None:
    """Refuse to replace what no detection of ours wrote.

    Raises:
        DataError: ``not_ours``.
    """
    if foreign := foreign_files(folder, stem):
        raise DataError(
            f"{foreign[0]}: is there already, and no detection wrote it (no {stem}{RECORD} beside it names "
            "it). Give another output folder.",
            reason="not_ours",
        )


def events_tsv(found: Detection, start: datetime | None = None) -> bytes:
    """SzCORE's ``events.tsv``: ``sz`` rows with the mean probability as confidence, or one ``bckg`` row.

    Times are those of the file, gaps counted; an event shorter than the last decimal is left out.
    """
    ends_s = np.round(found.track.events_E2 / TICK_S) * TICK_S
    long = [k for k, (onset, offset) in enumerate(ends_s) if offset > onset]
    events = [Event(float(ends_s[k, 0]), float(min(ends_s[k, 1], found.span_s)), SEIZURE) for k in long]
    return szcore_tsv(events, found.span_s, confidence=found.confidence_E[long].tolist(), start=start)


def csv_bi(found: Detection, name: str) -> bytes:
    """NEDC's annotation of a whole recording: ``seiz`` rows, or one ``bckg`` row where there is none."""
    rows = [
        (e.onset_s, e.offset_s, SEIZURE, c) for e, c in zip(found.events, found.confidence_E, strict=True)
    ]
    lines = [
        "# version = csv_v1.0.0",
        f"# bname = {visible(name)}",
        f"# duration = {found.span_s:.4f} secs",
        "#",
    ]
    lines.append("channel,start_time,stop_time,label,confidence")
    for onset, offset, label, confidence in rows or [(0.0, found.span_s, BACKGROUND, 1.0)]:
        lines.append(f"{TERM},{onset:.4f},{offset:.4f},{label},{confidence:.4f}")
    return ("\n".join(lines) + "\n").encode()


def annotations_txt(found: Detection) -> bytes:
    """``onset,duration,description`` in seconds below two lines of comment, a line an event.

    ``mne.read_annotations`` opens it, and so does EDFbrowser's import of ASCII annotations: separator comma,
    columns 1, 2 and 3, data from line 3 on. No ``.edf``, which the next walk through a folder would take for
    a recording.
    """
    lines = ["# MNE-Annotations", "# onset, duration, description"]
    lines += [f"{e.onset_s:.6f},{e.offset_s - e.onset_s:.6f},{SEIZURE}" for e in found.events]
    return ("\n".join(lines) + "\n").encode()


def probability_parquet(found: Detection) -> bytes:
    """A row a window: ``start_s``, ``probability``, and ``seizure``, whether an event holds all of it."""
    trace = found.trace
    table = pd.DataFrame({"start_s": trace.start_s_N, "probability": trace.probability_N.astype(np.float32)})
    table["seizure"] = inside(trace.start_s_N, trace.start_s_N + trace.length_s, found.track.events_E2)
    body = io.BytesIO()
    table.to_parquet(body, index=False)
    return body.getvalue()


def inside(start_N: np.ndarray, end_N: np.ndarray, events_E2: np.ndarray) -> np.ndarray:
    """Whether each stretch lies in one of the events (E, 2), which are sorted and apart; (N,)."""
    if not len(events_E2):
        return np.zeros(len(start_N), dtype=bool)
    event_N = np.searchsorted(events_E2[:, 0], start_N + 1e-6, side="right") - 1
    return (event_N >= 0) & (end_N < events_E2[event_N, 1] + 1e-6)


def figure_png(found: Detection, title: str) -> bytes:
    """Probability with events, and the EEG where it is highest, of a detection with an excerpt."""
    from distilclip_eeg.report.detection import detection_png

    return detection_png(screened(found, title))


def screened(found: Detection, title: str) -> "Screened":
    """What the figure shows."""
    from distilclip_eeg.report.detection import Screened

    eeg = found.excerpt
    assert eeg is not None  # a live detection has none, and no figure is asked for it
    return Screened(
        title=visible(title),
        start_s_N=found.trace.start_s_N,
        probability_N=found.trace.probability_N,
        smoothed_N=found.smoothed_N,
        hop_s=found.trace.hop_s,
        threshold=found.detect.threshold,
        events_E2=found.track.events_E2,
        gaps_G2=found.gaps_G2,
        span_s=found.span_s,
        eeg_start_s=eeg.start_s,
        eeg_sfreq=eeg.sfreq,
        ch_names=eeg.ch_names,
        uv_CT=eeg.uv_CT,
        warning="; ".join(visible(warning) for warning in found.warnings if warning.startswith(UNLIKE)),
    )
