"""Event scores of a run from its saved traces alone, without model or data."""

from dataclasses import asdict, dataclass, replace
from itertools import chain

import numpy as np
import pandas as pd

from distilclip_eeg.report.tables import aligned
from distilclip_eeg.runs import Run, read_json, write_atomic, write_json
from distilclip_eeg.schema import DataError
from distilclip_eeg.scoring.calibration import best_threshold
from distilclip_eeg.scoring.events import summary
from distilclip_eeg.scoring.events.counts import DAY_S
from distilclip_eeg.scoring.events.detect import DetectConfig, Trace, smooth
from distilclip_eeg.scoring.events.operating import Part, operating_points, operating_rows
from distilclip_eeg.scoring.events.spans import Track, shared_s
from distilclip_eeg.scoring.events.summary import Reference, Scores

EVENTS, RECORDED, TRACES, GRID = "events.tsv", "recorded.tsv", "continuous.parquet", "continuous.json"
"""In a run folder: reference seizures, what was recorded, a fold's traces, and their grid."""
WHOLE = ("recording", "subject", "leave_one_subject_out", "official")
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
    events, recorded = (pd.read_csv(run.path / name, sep="\t", dtype=str) for name in (EVENTS, RECORDED))
    known = dict(list(events.groupby("recording")))
    found = {}
    for name, stretches in recorded.groupby("recording", sort=False):
        seizures = known.get(name, events[:0])[["onset_s", "offset_s"]].to_numpy(float)
        track = Track(seizures, stretches[["start_s", "stop_s"]].to_numpy(float))
        found[name] = Reference(name, stretches["subject"].iloc[0], track)
    return found


def parts(run: Run, fold: int, known: dict[str, Reference]) -> dict[str, Part]:
    """Validation (``val``) and test recordings of a fold with the model's traces."""
    table = pd.read_parquet(run.fold(fold) / TRACES)
    grid = read_json(run.path / GRID)
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


def write_event_tables(run: Run, config: DetectConfig, threshold: float | str = "validation") -> str:
    """The tables as CSV in the run's folder ``continuous``, and the page that is returned."""
    tables = event_tables(run, config, threshold)
    folder = run.path / FOLDER
    folder.mkdir(exist_ok=True)
    for name in ("overall", "by_subject", "latency", "operating", "unscored"):
        write_atomic(folder / f"{name}.csv", getattr(tables, name).to_csv(index=False).encode())
    write_json(folder / SETTINGS, {str(fold): asdict(made) for fold, made in tables.detect.items()})
    text = page(run, config, threshold, tables)
    write_atomic(folder / "events.txt", f"{text}\n".encode())
    return text


def page(run: Run, config: DetectConfig, threshold: float | str, tables: EventTables) -> str:
    """Everything a reader needs beside the figures, and the figures."""
    made, first = run.config, tables.overall.iloc[0]
    how = "chosen on validation recordings" if threshold == "validation" else "given"
    lines = [
        f"{made['dataset']['name']}, {made['model']['name']}, split={made['split']['name']}: "
        f"{read_json(run.path / 'data.json')['leak_note']}",
        f"{first['subjects']} subjects, {first['recordings']} whole test recordings, {first['hours']:.2f} h, "
        f"{first['unscored']} unscored; every {read_json(run.path / GRID)['hop_s']:g} s, mean over "
        f"{config.smooth_s:g} s, events of {config.min_duration_s:g} s or more",
        f"thresholds by fold, {how}: {' '.join(f'{made.threshold:.3g}' for made in tables.detect.values())}",
    ]
    if first["seconds"] < DAY_S:
        lines.append("less than 24 h of recording: false alarms per 24 h are an extrapolation")
    head = ["score", "sensitivity %", "precision %", "F1 %", "false alarms / 24 h", "seizures", "defined in"]
    rows = [
        [
            r["scorer"],
            *(ranged(r, name, 100) for name in ("sensitivity", "precision", "f1")),
            ranged(r, "fp_per_24h", 1),
            f"{r['tp'] + r['fn']:g}",
            f"{r['sensitivity_n']} of {r['subjects']}",
        ]
        for _, r in tables.overall.iterrows()
    ]
    lines += [aligned(head, rows, 1), "in brackets: 95 % over subjects, none below six of them"]
    everyone = tables.latency[tables.latency["subject"] == "all"]
    lines += [
        f"{r['kind']}: median {r['median_s']:.1f} s, quartiles {r['q25_s']:.1f} to {r['q75_s']:.1f} s, "
        f"{r['hits']} of {r['events']} seizures hit"
        for _, r in everyone.iterrows()
    ]
    head = ["at most", "validation", "thresholds by fold", "test", "sensitivity %"]
    rows = [
        [
            f"{r['target_per_24h']:g} / 24 h",
            f"{r['validation_fp_per_24h']:.1f} in {r['validation_hours']:.1f} h",
            r["thresholds"],
            f"{r['fp_per_24h']:.1f}",
            ranged(r, "sensitivity", 100),
        ]
        for _, r in tables.operating.iterrows()
    ]
    if rows:
        if tables.operating["validation_hours"].iloc[0] * tables.operating["target_per_24h"].min() < 24:
            lines.append(
                "validation recordings are shorter than one allowed false alarm: they hold no rate down"
            )
        lines += [f"false alarms held down on validation recordings ({summary.SZCORE_EVENT}):"]
        lines += [aligned(head, rows, 1)]
    return "\n".join(lines)


def ranged(row: pd.Series, name: str, factor: float) -> str:
    """A pooled rate with its interval where there is one."""
    if np.isnan(row[name]):
        return "undefined"
    text = f"{factor * row[name]:.1f}"
    if np.isnan(row[f"{name}_low"]):
        return text
    return f"{text} [{factor * row[f'{name}_low']:.1f}, {factor * row[f'{name}_high']:.1f}]"
