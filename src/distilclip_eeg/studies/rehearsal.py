"""A dress rehearsal of ``scripts/detect.py`` on recordings that the networks of a run have not seen.

``python scripts/rehearse.py run=RUN`` exports the network of every fold, sends the files of the fold's test
part down ``detect.py``'s own road, reads the ``events.tsv`` that come out and scores them. Nothing of the run
takes part but the exported folder, with the threshold that it has from held-out recordings.

Written into ``RUN/rehearsal``: what ``detect.py`` writes of each recording, ``overall.csv``,
``by_subject.csv``, ``beside_*.csv`` and the page, ``events.txt``.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from distilclip_eeg.artefact.folder import load_folder
from distilclip_eeg.config.data import HERE, DatasetConfig, Places
from distilclip_eeg.config.detection import DetectConfig, EventConfig
from distilclip_eeg.config.on_files import DetectSettings
from distilclip_eeg.config.rules import freeze
from distilclip_eeg.corpora.events_tsv import read_events
from distilclip_eeg.deploy.detector import CHANNELS, Detector
from distilclip_eeg.deploy.export import export
from distilclip_eeg.deploy.screen import Item, about_of, detector_of, score
from distilclip_eeg.deploy.writers import EVENTS, PROBABILITY, TRACE
from distilclip_eeg.files.digests import write_atomic
from distilclip_eeg.files.reading import read_parquet
from distilclip_eeg.files.writing import csv_bytes
from distilclip_eeg.progress import track
from distilclip_eeg.report.beside import blocks
from distilclip_eeg.report.budgets import budget_lines
from distilclip_eeg.report.columns import aligned
from distilclip_eeg.report.event_tables import ranged
from distilclip_eeg.report.tables import cell
from distilclip_eeg.runs import Run
from distilclip_eeg.schema import BACKGROUND
from distilclip_eeg.scoring.beside import Beside, Judged, beside
from distilclip_eeg.scoring.event_scores import held_out, references
from distilclip_eeg.scoring.events import summary, szcore
from distilclip_eeg.scoring.events.counts import DAY_S, Counts
from distilclip_eeg.scoring.events.detect import Trace
from distilclip_eeg.scoring.events.latency import onset_errors, summarise
from distilclip_eeg.scoring.events.operating import Part
from distilclip_eeg.scoring.events.spans import Track
from distilclip_eeg.scoring.events.summary import NEDC_OVLP, NEDC_TAES, SZCORE_SAMPLE, Reference, Scores
from distilclip_eeg.training.data import Data, reopen
from distilclip_eeg.training.traces import check_whole, write_reference

FOLDER = "rehearsal"
About = dict[str, Any]
STRICT = szcore.SzcoreConfig(tolerance_start_s=0, tolerance_end_s=0, max_event_s=DAY_S, merge_gap_s=0)
"""An alarm counts where it overlaps a seizure; nothing is widened, merged or split."""
OVERLAP = f"overlap ({szcore.LIBRARY})"
SCORERS: dict[str, Callable[[Track, Track], Counts]] = {
    **summary.SCORERS,
    OVERLAP: partial(szcore.event_counts, config=STRICT),
}
LATENCIES = {"onset error": onset_errors}


@dataclass
class Rehearsed:
    """What comes together over the folds."""

    detect: dict[int, DetectConfig] = field(default_factory=dict)
    basis: dict[int, About] = field(default_factory=dict)
    scores: list[Scores] = field(default_factory=list)
    tested: list[Judged] = field(default_factory=list)


def rehearse(run: Run, hop_s: float = 1.0, places: Places = HERE, events: EventConfig | None = None) -> str:
    """Detect and score the test recordings of every finished fold; files that still hold are kept.

    Args:
        hop_s: seconds from one window to the next.
        places: where data and store are now, if not where the run had them, and what may be used here.
        events: the budget of false alarms that thresholds are chosen for; None: the usual one.

    Returns:
        The page.

    Raises:
        ConfigError: the run's networks cannot be exported, or were trained on parts of what they would test.
        DataError: the data are not the run's, or ``detect.py`` refuses one of its files.
    """
    run_settings, data = reopen(run, places)
    corpus = run_settings.dataset.corpus.build("corpus")
    path_of = {ref.recording: ref.path for ref in corpus.recordings()}
    for fold in run.folds_done():
        check_whole(run, data, fold)
    write_reference(run, data)
    known, found, config = references(run), Rehearsed(), events or EventConfig()
    settings = detect_settings(run_settings.dataset, hop_s, places)
    for fold in run.folds_done():
        detector, about, found.basis[fold] = exported(run, fold, settings, places, config)
        names = tested(data, fold)
        for name in track(names, len(names), f"fold {fold}: from file to events"):
            score(detector, Item(path_of[name], Path(name)), run.path / FOLDER, about, settings)
        chosen = [known[name] for name in names]
        tracks = {name: read_back(run.path / FOLDER, known[name]) for name in names}
        found.detect[fold] = detector.detect
        found.scores.append(summary.score(chosen, tracks, SCORERS, LATENCIES))
        part = Part(chosen, {name: trace_of(run.path / FOLDER, name, detector) for name in names})
        held = held_out(run, fold, known, run.folds_done())
        found.tested.append(Judged.of(part, detector.detect, held, config, tracks))
    return write_tables(run, found, hop_s)


def detect_settings(dataset: DatasetConfig, hop_s: float, places: Places) -> DetectSettings:
    """What ``detect.py`` is told: channels are named, and filled where a file lacks them, as in the run."""
    channels = next(name for name, meant in CHANNELS.items() if meant == dataset.missing_channels)
    given: dict[str, object] = {"hop_s": hop_s, "device": places.device, "figure": False, "review": False}
    given |= {"channels": channels, "rename": dataset.rename}
    return freeze(DetectSettings, {"weights": "-", "input": "-", "output": "-", **given})


def exported(
    run: Run, fold: int, settings: DetectSettings, places: Places, events: EventConfig
) -> tuple[Detector, About, About]:
    """A fold's network as whoever gets its folder has it, what its records say of it and of its threshold."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "model"
        export(run, fold, path, onnx=False, places=places, events=events)
        folder = load_folder(path)
        detector = detector_of(folder, settings)
    return detector, about_of(folder, detector, settings), folder.about["made"]["threshold"]


def tested(data: Data, fold: int) -> list[str]:
    """Recordings of the test part."""
    return sorted(data.windows["recording_name"][data.rows(fold, "test")].unique())


def read_back(folder: Path, reference: Reference) -> Track:
    """The events that were written of a recording; its gaps are no data."""
    rows = read_events(folder / f"{reference.recording}{EVENTS}").rows
    events = [(row.onset_s, row.offset_s) for row in rows if row.label != BACKGROUND]
    return Track(np.array(events).reshape(-1, 2), reference.track.recorded_P2)


def trace_of(folder: Path, name: str, detector: Detector) -> Trace:
    """The probabilities that were written of a recording."""
    table = read_parquet(folder / f"{name}{PROBABILITY}", *TRACE)
    probability_N = table["probability"].to_numpy(float)
    return Trace(probability_N, table["start_s"].to_numpy(float), detector.hop_s, detector.recipe.length_s)


def write_tables(run: Run, found: Rehearsed, hop_s: float) -> str:
    """All tables and the page, in the run's folder ``rehearsal``."""
    scores = summary.combine(found.scores)
    overall, people, others = summary.overall(scores), by_subject(scores), beside(found.tested, SCORERS)
    text = page(run, found, overall, people, others, hop_s)
    folder = run.path / FOLDER
    write_atomic(folder / "overall.csv", csv_bytes(overall))
    write_atomic(folder / "by_subject.csv", csv_bytes(people))
    for name in ("events", "burden", "curve", "seconds"):
        write_atomic(folder / f"beside_{name}.csv", csv_bytes(getattr(others, name)))
    write_atomic(folder / "events.txt", f"{text}\n".encode())
    return text


def by_subject(scores: Scores) -> pd.DataFrame:
    """A row a subject: seizures, hours, sensitivity and false alarms by each scorer, onset error; last, all.

    ``false time`` is the share of the time without seizure that is under alarm, second by second: an alarm
    that never ends finds every seizure.
    The onset error is the first overlapping alarm's start less the seizure's, seconds, negative where the
    alarm came first: its median, quartiles, and how many seizures have one.
    """
    table = summary.by_subject(scores)
    rows = []
    for who, part in [*table.groupby("subject"), ("all", table)]:
        sums = part.groupby("scorer")[["tp", "fp", "fn", "hours"]].sum()
        row = {"subject": who, "seizures": int(sums.loc[NEDC_OVLP, ["tp", "fn"]].sum())}
        row["hours"] = sums.loc[NEDC_OVLP, "hours"]
        for name in (OVERLAP, NEDC_OVLP, NEDC_TAES):
            tp, fp, fn, _ = sums.loc[name]
            row |= {f"{name} sensitivity": tp / (tp + fn) if tp + fn else np.nan, f"{name} false alarms": fp}
        tp, fp, fn, hours = sums.loc[SZCORE_SAMPLE]
        quiet_s = 3600 * hours - tp - fn
        row["false time"] = fp / quiet_s if quiet_s else np.nan
        errors = scores.latency if who == "all" else scores.latency[scores.latency["subject"] == who]
        rows.append(row | {f"onset error {k}": v for k, v in summarise(errors["latency_s"]).items()})
    return pd.DataFrame(rows)


def page(
    run: Run, found: Rehearsed, overall: pd.DataFrame, people: pd.DataFrame, others: Beside, hop_s: float
) -> str:
    """Everything a reader needs beside the figures, and the figures."""
    settings, first = run.settings, overall.iloc[0]
    signals = settings.signals
    lines = [run.part_line] if run.part else []
    lines += [
        f"{settings.dataset.name}, {settings.model.name}, split={settings.split.name}, "
        f"signals.phase={signals.phase} signals.normalize={signals.normalize}:\n{run.data['leak_note']}",
        f"{first['recordings']} test recordings of {first['subjects']} subjects, {first['hours']:.2f} h, "
        f"{first['unscored']} unscored; each file by the exported\nnetwork of a fold that never saw it, "
        f"every {hop_s:g} s; events read back from events.tsv",
        *budget_lines(found.detect, found.basis),
        "",
        people_block(people),
        f"overlap: {szcore.LIBRARY} without tolerance or merging; false alarms as OVLP counts them;\nfalse "
        "time: share of the time without seizure that is under alarm; onset error: start of the first\nalarm "
        "on a seizure less its onset",
        "",
        blocks(others),
        "",
    ]
    if first["seconds"] < DAY_S:
        lines.append("less than 24 h of recording: no rate of false alarms can be told")
    else:
        lines += [
            f"{r['scorer']}: sensitivity {ranged(r, 'sensitivity', 100)} %, false alarms per 24 h "
            f"{ranged(r, 'fp_per_24h', 1)}, precision {ranged(r, 'precision', 100)} %"
            for _, r in overall.iterrows()
        ]
        lines.append("in brackets: 95 % over subjects, none below six of them")
    return "\n".join(lines)


def people_block(people: pd.DataFrame) -> str:
    """A line a subject, and one of all."""
    head = ["subject", "seizures", "minutes", "overlap %", "OVLP %", "TAES %", "false alarms"]
    head += ["false time %", "onset error s (quartiles)"]
    body = []
    for _, row in people.iterrows():
        share = [cell(row[f"{name} sensitivity"], np.nan) for name in (OVERLAP, NEDC_OVLP, NEDC_TAES)]
        errors = [row[f"onset error {name}"] for name in ("median_s", "q25_s", "q75_s")]
        error = "-" if np.isnan(errors[0]) else "{:+.1f} ({:+.1f} to {:+.1f})".format(*errors)
        minutes, alarms = f"{60 * row['hours']:.1f}", f"{row[f'{NEDC_OVLP} false alarms']:.0f}"
        cells = [row["subject"], str(row["seizures"]), minutes, *share, alarms]
        body.append([*cells, cell(row["false time"], np.nan), error])
    return aligned(head, body, 1)
