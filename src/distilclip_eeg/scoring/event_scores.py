"""Event scores of a run from its saved traces alone, without model or data."""

from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import pandas as pd

from distilclip_eeg.files.reading import read_csv, read_json, read_parquet
from distilclip_eeg.runs import Run
from distilclip_eeg.schema import DataError
from distilclip_eeg.scoring.calibration import best_threshold
from distilclip_eeg.scoring.events import summary
from distilclip_eeg.scoring.events.detect import DetectConfig, Trace, smooth
from distilclip_eeg.scoring.events.operating import Part, operating_points, operating_rows
from distilclip_eeg.scoring.events.spans import Track, shared_s
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
    overall: pd.DataFrame
    by_subject: pd.DataFrame
    latency: pd.DataFrame
    operating: pd.DataFrame
    unscored: pd.DataFrame


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


def watched(part: Part, smooth_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Whether each window of the recordings touches a seizure, and its smoothed probability, (N,) each."""
    label, score = [np.zeros(0, int)], [np.zeros(0)]
    for reference in part.references:
        trace = part.traces[reference.recording]
        window_N2 = np.column_stack([trace.start_s_N, trace.start_s_N + trace.length_s])
        touches_N = (shared_s(window_N2, reference.track.events_E2) > 0).any(axis=1)
        label.append(touches_N.astype(int))
        score.append(smooth(trace, smooth_s))
    return np.concatenate(label), np.concatenate(score)


def chosen_threshold(validation: Part, config: DetectConfig) -> float:
    """The threshold with the highest macro F1 over the windows of the validation recordings, smoothed.

    Raises:
        DataError: no validation recording, or seconds of one class only.
    """
    label_N, score_N = watched(validation, config.smooth_s)
    if not len(label_N):
        raise DataError(
            "threshold=validation: there is no validation recording. Give a number.", reason="no_validation"
        )
    chosen = best_threshold(label_N, np.column_stack([1 - score_N, score_N]))
    return float(np.clip(chosen, np.finfo(float).tiny, 1.0))


def event_tables(run: Run, config: DetectConfig, threshold: float | str = "validation") -> EventTables:
    """Score the test recordings of every fold that has traces.

    Args:
        config: all but its threshold is used.
        threshold: ``validation`` (see ``chosen_threshold``) or a probability.

    Raises:
        DataError: no fold has traces (``not_scored``), or a threshold cannot be chosen.
    """
    known = references(run)
    detect, scores, points = {}, [], []
    for fold in run.folds_done():
        if not (run.fold(fold) / TRACES).exists():
            continue
        both = parts(run, fold, known)
        chosen = chosen_threshold(both["val"], config) if threshold == "validation" else float(threshold)
        test, detect[fold] = both["test"], replace(config, threshold=chosen)
        scores.append(summary.score(test.references, test.detect(detect[fold])))
        if both["val"].traces:
            points.append(operating_points(both["val"], test, config))
    if not scores:
        raise DataError(
            f"{run.path}: no fold has {TRACES}. Run `python scripts/continuous.py run={run.path}` first.",
            reason="not_scored",
        )
    all_scores: Scores = summary.combine(scores)
    return EventTables(
        detect,
        summary.overall(all_scores),
        summary.by_subject(all_scores),
        summary.latency_rows(all_scores),
        operating_rows(list(chain.from_iterable(points))),
        all_scores.unscored,
    )


def detect_config(run: Run, fold: int) -> DetectConfig:
    """How the events of the run's tables were made.

    Before there are any: by default, at the threshold of the fold's validation recordings; where those settle
    none, no alarm is raised.
    """
    path = run.path / FOLDER / SETTINGS
    found = read_json(path).get(str(fold)) if path.exists() else None
    if found:
        return DetectConfig(**found)
    usual = DetectConfig()
    try:
        threshold = chosen_threshold(parts(run, fold, references(run))["val"], usual)
    except DataError:
        threshold = float("inf")
    return replace(usual, threshold=threshold)
