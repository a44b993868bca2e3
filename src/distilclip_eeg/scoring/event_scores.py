"""Event scores of a run from its saved traces alone, without model or data."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any

import pandas as pd

from distilclip_eeg.config.detection import DetectConfig, EventConfig
from distilclip_eeg.files.reading import read_csv, read_json, read_parquet
from distilclip_eeg.runs import Run
from distilclip_eeg.schema import DataError
from distilclip_eeg.scoring.beside import Beside, Judged, beside
from distilclip_eeg.scoring.events import summary
from distilclip_eeg.scoring.events.budget import Chosen, choose, prevalence_of
from distilclip_eeg.scoring.events.detect import Trace
from distilclip_eeg.scoring.events.operating import Part, operating_points, operating_rows
from distilclip_eeg.scoring.events.spans import Track
from distilclip_eeg.scoring.events.summary import Reference, Scores
from distilclip_eeg.signals.audit import PROMISES

EVENTS, RECORDED, TRACES, GRID = "events.tsv", "recorded.tsv", "continuous.parquet", "continuous.json"
"""In a run folder: reference seizures, what was recorded, a fold's traces, and their grid."""
WHOLE = tuple(name for name, apart in PROMISES.items() if "recording" in apart)
"""Protocols that never train on a part of a test recording."""
FOLDER, SETTINGS = "continuous", "detect.json"
"""Where the tables go, and how their events were made in each fold."""


@dataclass(frozen=True)
class EventTables:
    """A run's event scores, all folds together; each recording is tested in one of them."""

    detect: dict[int, DetectConfig]
    """How events were made in each fold, its threshold included."""
    basis: dict[int, dict[str, Any]]
    """What each fold's choice rests on (``budget.Chosen``); empty where the threshold was given."""
    overall: pd.DataFrame
    by_subject: pd.DataFrame
    latency: pd.DataFrame
    operating: pd.DataFrame
    unscored: pd.DataFrame
    beside: Beside
    """The same tables with always on, chance and position only; sweep, seconds and other detectors."""


def references(run: Run) -> dict[str, Reference]:
    """What is known of every recording of a run, by its name."""
    events, recorded = (
        read_csv(run.path / name, "recording", "subject", *columns, sep="\t", dtype=str)
        for name, columns in ((EVENTS, ("onset_s", "offset_s")), (RECORDED, ("start_s", "stop_s")))
    )
    known = dict(list(events.groupby("recording")))
    found = {}
    for name, stretches in recorded.groupby("recording", sort=False):
        seizures = known.get(name, events[:0])[["onset_s", "offset_s"]].to_numpy(float)
        track = Track(seizures, stretches[["start_s", "stop_s"]].to_numpy(float))
        found[name] = Reference(name, stretches["subject"].iloc[0], track)
    return found


def parts(run: Run, fold: int, known: dict[str, Reference]) -> dict[str, Part]:
    """Validation (``val``) and test recordings of a fold with the model's traces.

    Args:
        known: as ``references`` gives it.
    """
    table = read_parquet(run.fold(fold) / TRACES, "part", "recording", "start_s", "probability")
    grid = read_json(run.path / GRID, "hop_s", "length_s")
    found = {}
    for part in ("val", "test"):
        traces = {
            name: Trace(rows["probability"], rows["start_s"], grid["hop_s"], grid["length_s"])
            for name, rows in table[table["part"] == part].groupby("recording", sort=False)
        }
        found[part] = Part([known[name] for name in traces], traces)
    return found


def held_out(run: Run, fold: int | None, known: dict[str, Reference], folds: Iterable[int]) -> Part:
    """What a threshold is chosen on: recordings with the trace of a network that never saw them.

    A fold's own validation part is few persons, often the same in every fold. So what the other folds test
    or validate on is taken too, with their own networks' traces. Nobody whom ``fold`` tests is among them:
    no answer about a recording has a say in the threshold that it is judged by.

    Args:
        fold: whose test part is kept out, and whose validation part goes first; None: nobody's.
        folds: those to take.
    """
    both = {k: parts(run, k, known) for k in folds if (run.fold(k) / TRACES).exists()}
    tested = both[fold]["test"].references if fold is not None else []
    names = {r.recording for r in tested}
    by_person = "subject" in PROMISES.get(run.settings.split.name, ())
    people = {r.subject for r in tested} if by_person else set()
    own = [both[fold]["val"]] if fold is not None else []
    others = [both[k][part] for part in ("test", "val") for k in both if k != fold]
    traces: dict[str, Trace] = {}
    for part in own + others:
        for reference in part.references:
            if reference.recording not in names and reference.subject not in people:
                traces.setdefault(reference.recording, part.traces[reference.recording])
    return Part([known[name] for name in traces], traces)


def detection_of(held: Part, config: EventConfig, threshold: float | str) -> Chosen:
    """How events are made: at a threshold that is given, or (``validation``) chosen within the budget.

    Raises:
        DataError: a threshold cannot be chosen.
    """
    if threshold == "validation":
        return choose(held, config)
    prevalence = prevalence_of(held) if config.prior is not None else None
    return Chosen(config.with_threshold(float(threshold), prevalence), {})


def event_tables(
    run: Run, config: EventConfig, threshold: float | str = "validation", scores: tuple[str, ...] = ()
) -> EventTables:
    """Score the test recordings of every fold that has traces.

    Args:
        threshold: ``validation`` (see ``scoring.events.budget``) or a probability.
        scores: files of other detectors' scores (``scoring.peers``).

    Raises:
        DataError: no fold has traces (``not_scored``), a threshold cannot be chosen, or a file of scores does
            not fit.
    """
    known = references(run)
    chosen: dict[int, Chosen] = {}
    found, points, tested = [], [], []
    folds = [fold for fold in run.folds_done() if (run.fold(fold) / TRACES).exists()]
    for fold in folds:
        both, held = parts(run, fold, known), held_out(run, fold, known, folds)
        chosen[fold] = detection_of(held, config, threshold)
        detect, test = chosen[fold].detect, both["test"]
        tested.append(Judged.of(test, detect, held, config))
        found.append(summary.score(test.references, tested[-1].tracks))
        if both["val"].traces:
            points.append(operating_points(both["val"], test, detect))
    if not found:
        raise DataError(
            f"{run.path}: no fold has {TRACES}. Run `python scripts/continuous.py run={run.path}` first.",
            reason="not_scored",
        )
    all_scores: Scores = summary.combine(found)
    return EventTables(
        {fold: made.detect for fold, made in chosen.items()},
        {fold: made.basis for fold, made in chosen.items()},
        summary.overall(all_scores),
        summary.by_subject(all_scores),
        summary.latency_rows(all_scores),
        operating_rows(list(chain.from_iterable(points))),
        all_scores.unscored,
        beside(tested, files=scores),
    )


def detect_config(run: Run, fold: int) -> DetectConfig:
    """How the events of the run's tables were made.

    Before there are any: as they would be by default; where held-out recordings settle no threshold, no alarm
    is raised.
    """
    path = run.path / FOLDER / SETTINGS
    found = read_json(path).get(str(fold)) if path.exists() else None
    if found:
        return DetectConfig(**found)
    usual = EventConfig()
    try:
        return choose(held_out(run, fold, references(run), run.folds_done()), usual).detect
    except DataError:
        return usual.with_threshold(math.inf)
