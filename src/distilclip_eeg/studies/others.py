"""Other detectors in a study's table: their scores, on the windows that the networks are tested on."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from distilclip_eeg.report.comparison import OTHERS
from distilclip_eeg.runs import commit, public_command
from distilclip_eeg.scoring.metrics import COLUMNS, window_metrics
from distilclip_eeg.scoring.peers import on_windows
from distilclip_eeg.scoring.persons import person_rows
from distilclip_eeg.signals.audit import fold_columns
from distilclip_eeg.studies.cells import Grid, append, beside, chosen_folds
from distilclip_eeg.studies.speed import hardware
from distilclip_eeg.training.data import Data, load_data, test_rows

OF_SCORES = ("auroc", "average_precision")
"""Figures that need no decision."""
FIGURES = tuple(name for name in COLUMNS if name not in ("brier", "ece"))
"""A score need not be a probability."""
Row = dict[str, Any]


def over_folds(found: pd.DataFrame) -> list[Row]:
    """One row: mean and SD over folds of the figures."""
    figures = found[list(FIGURES)]
    row: Row = {"folds": len(found), "windows": found["n"].sum()}
    return [row | figures.mean().to_dict() | {f"{c}_sd": sd for c, sd in figures.std(ddof=1).items()}]


def add(
    grid: Grid,
    files: Sequence[Path],
    script: str,
    rows: Callable[[pd.DataFrame], list[Row]] = over_folds,
    about: Callable[[str], Row] = lambda name: {"model": name},
) -> None:
    """Append the rows of other detectors to a table and to that of persons, once a protocol and file.

    Args:
        script: that draws the table, for the column of commands.
        rows: what the table holds of a detector's figures a fold.
        about: the columns of either table that name a detector.

    Raises:
        DataError: the data or a file cannot be read, or they share no window.
    """
    known = set(grid.table()[grid.key])
    for split, settings in {one.settings.split.name: one.settings for one in reversed(grid.cells)}.items():
        name, asked = settings.dataset.name, "all" if settings.fold is None else chosen_folds(settings)
        keys = {file: f"{OTHERS}{file.stem}-{split}-{name}-{asked}".replace(" ", "") for file in files}
        lacking = {file: key for file, key in keys.items() if key not in known}
        data = load_data(settings.data) if lacking else None
        for file, key in lacking.items():
            assert data is not None  # where there is a file, there are data
            folds = settings.folds(len(fold_columns(data.windows)))
            windows = on_windows(tested(data, folds), settings.windows.length_s, file)
            named = {"dataset": name, "split": split, "seed": 0} | about(file.stem)
            words = (f"split={split}", f"dataset={name}", f"scores={file.name}")
            how = {"minutes": 0.0, "hardware": hardware(settings.device), "commit": commit()}
            how |= {"command": public_command(script, words), grid.key: key}
            append(beside(grid.path, "persons"), pd.DataFrame(by_person(windows)).assign(**named, **how))
            append(grid.path, pd.DataFrame(rows(by_fold(windows))).assign(**named, **how))


def tested(data: Data, folds: Sequence[int]) -> pd.DataFrame:
    """A row a tested window of each fold: fold, subject, recording, start_s, label."""
    parts = []
    for fold in folds:
        windows = data.windows.iloc[test_rows(data, fold)]
        ictal = {"label": (windows["label"] != 0).astype(int), "recording": windows["recording_name"]}
        parts.append(windows[["subject", "start_s"]].assign(fold=fold, **ictal))
    return pd.concat(parts, ignore_index=True)


def by_person(windows: pd.DataFrame) -> pd.DataFrame:
    """A row a person, each window counted once; figures of answers are NaN where the detector gives none."""
    persons = person_rows(windows.drop_duplicates(["recording", "start_s"]))
    if "answer" not in windows:
        persons[["accuracy", "balanced_accuracy"]] = np.nan
    return persons


def by_fold(windows: pd.DataFrame) -> pd.DataFrame:
    """A row a fold: fold, n and the figures; those of answers are NaN where the detector gives none."""
    rows = []
    for fold, group in windows.groupby("fold"):
        score = group["probability"].to_numpy(float)
        answer = group["answer"].to_numpy() if "answer" in group else None
        found = window_metrics(group["label"].to_numpy(), np.column_stack([-score, score]), answer)
        figures = {c: found[c] if answer is not None or c in OF_SCORES else np.nan for c in FIGURES}
        rows.append({"fold": fold, "n": len(group)} | figures)
    return pd.DataFrame(rows)
