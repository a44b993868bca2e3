"""Whole recordings, a window every second: what a run's models say of recordings they were not trained on.

``python scripts/continuous.py run=RUN`` writes, beside what the run has,

- ``events.tsv`` and ``recorded.tsv``: the reference, and the stretches in which anything is known;
- ``fold<k>/continuous.parquet``: the probability of seizure in each window of the fold's validation and test
  recordings;

and from these alone the tables of ``report/continuous.py``.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.special import softmax

from distilclip_eeg.config.data import HERE, Places, WindowConfig
from distilclip_eeg.config.learning import Learning
from distilclip_eeg.files.digests import sign, write_atomic
from distilclip_eeg.files.reading import read_json
from distilclip_eeg.files.writing import csv_bytes, write_json
from distilclip_eeg.models.weights import load_network
from distilclip_eeg.progress import track
from distilclip_eeg.runs import Run
from distilclip_eeg.schema import ConfigError
from distilclip_eeg.scoring.calibration import ictal_score
from distilclip_eeg.scoring.event_scores import EVENTS, GRID, RECORDED, TRACES
from distilclip_eeg.signals.windows import cut, without
from distilclip_eeg.training.classic import floor_logits
from distilclip_eeg.training.data import Data, reopen, train_rows
from distilclip_eeg.training.devices import make_accelerator
from distilclip_eeg.training.predicting import predict
from distilclip_eeg.training.tasks import ClassifyTask


def score(
    run: Run,
    folds: Sequence[int] | None = None,
    *,
    hop_s: float = 1.0,
    places: Places = HERE,
) -> None:
    """Score the recordings of finished folds; those that are scored at this hop already are kept.

    Args:
        folds: None: every finished one.
        hop_s: seconds from one window to the next; no more than a window's length.
        places: where data and store are now, if not where the run had them.

    Raises:
        ConfigError: ``hop_s`` leaves time out, or the protocol trains on parts of the recordings it tests on.
        DataError: the data are not the run's.
    """
    length_s = run.settings.windows.length_s
    if not 0 < hop_s <= length_s:
        raise ConfigError(f"hop_s={hop_s}: expected above 0 and up to {length_s:g}, the length of a window.")
    before = read_json(run.path / GRID, "hop_s") if (run.path / GRID).exists() else {}
    other_grid = before.get("hop_s") != hop_s
    wanted = run.folds_done() if folds is None else folds
    todo = [k for k in wanted if other_grid or not (run.fold(k) / TRACES).exists()]
    if not todo:
        return
    settings, data = reopen(run, places)
    for fold in todo:
        check_whole(run, data, fold)
    for fold in run.folds_done() if other_grid else todo:  # a run's traces are all on one grid
        (run.fold(fold) / TRACES).unlink(missing_ok=True)
    write_reference(run, data)
    write_json(run.path / GRID, {"hop_s": hop_s, "length_s": data.length / data.store.sfreq})
    sign(run.path, [EVENTS, RECORDED, GRID])
    everything = with_grid(data, hop_s)
    for fold in track(todo, len(todo), "scoring whole recordings"):
        write_traces(run, settings.learning, everything, fold)


def check_whole(run: Run, data: Data, fold: int) -> None:
    """Refuse a fold that trains on one part of a recording and tests on another."""
    parts = data.windows.groupby("recording")[f"fold{fold}"].nunique()
    if (parts > 1).any():
        raise ConfigError(
            f"run={run.path}: under split={run.settings.split.name} {int((parts > 1).sum())} of "
            f"{len(parts)} recordings stand in more than one part, so none of them is new as a whole. Give a "
            "run with split=recording, subject, leave_one_subject_out or official.",
            reason="shared_recordings",
        )


def write_reference(run: Run, data: Data) -> None:
    """What is known of every recording: seizures, and the stretches that were looked at."""
    store = data.store
    used = store.recordings[store.recordings["skipped"] == ""].set_index("number")
    pieces = without(store.pieces, store.excluded, store.sfreq)
    recorded = pieces.assign(stop_s=pieces["start_s"] + pieces["n_samples"] / store.sfreq)
    tables = (
        (EVENTS, store.events, ["onset_s", "offset_s", "label"]),
        (RECORDED, recorded, ["start_s", "stop_s"]),
    )
    for name, table, columns in tables:
        who = used.loc[table["recording"], ["recording", "subject"]].reset_index(drop=True)
        write_atomic(run.path / name, csv_bytes(who.join(table[columns].reset_index(drop=True)), "\t"))


def with_grid(data: Data, hop_s: float) -> Data:
    """The same data with windows every ``hop_s`` behind the others; part ``grid`` in no fold.

    Training windows keep their rows: normalisation and floors are fitted on them.
    """
    store = data.store
    length_s = data.length / store.sfreq
    pieces = without(store.pieces, store.excluded, store.sfreq)
    config = WindowConfig(length_s=length_s, background_overlap=1 - hop_s / length_s)
    grid = cut(pieces, store.events[:0], store.classes, store.sfreq, config)
    return replace(data, windows=pd.concat([data.windows, grid], ignore_index=True))


def write_traces(run: Run, learning: Learning, data: Data, fold: int) -> None:
    """The fold's ``continuous.parquet``: part, recording, start_s, probability of any seizure class."""
    windows = data.windows
    known = windows[windows[f"fold{fold}"].notna()]
    names = known.drop_duplicates("recording").set_index("recording")
    grid = np.flatnonzero(windows[f"fold{fold}"].isna())
    part = windows["recording"].map(names[f"fold{fold}"].astype(str)).to_numpy()
    tables = []
    for name in ("val", "test"):
        rows = grid[part[grid] == name]
        logits_NK = logits_of(run, learning, data, fold, name, rows)
        tables.append(
            pd.DataFrame(
                {
                    "part": name,
                    "recording": windows["recording"].iloc[rows].map(names["recording_name"]),
                    "start_s": windows["start_s"].iloc[rows],
                    "probability": ictal_score(softmax(logits_NK, axis=1)),
                }
            )
        )
    body = pd.concat(tables, ignore_index=True).to_parquet(index=False)
    write_atomic(run.fold(fold) / TRACES, body)
    sign(run.fold(fold), [TRACES])


def logits_of(run: Run, learning: Learning, data: Data, fold: int, part: str, rows: np.ndarray) -> np.ndarray:
    """(N, K) of the fold's model; a floor keeps no weights and is fitted again, as it was for this part."""
    train = train_rows(data, fold)
    if learning.model.kind == "floor":
        extra = train_rows(data, fold, "val") if part == "test" else train[:0]
        return floor_logits(learning.model.net, data, np.sort(np.concatenate([train, extra])), rows)
    accelerator = make_accelerator("fp32", learning.device)
    net = load_network(run.fold(fold)).to(accelerator.device)
    return predict(ClassifyTask(net).eval(), data.source(train), rows, accelerator)
