"""Other detectors in Table I: their files of scores, on the windows that the networks are tested on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from distilclip_eeg.files.reading import read_csv
from distilclip_eeg.report.comparison import OTHERS
from distilclip_eeg.report.published import COLUMNS
from distilclip_eeg.runs import commit, public_command
from distilclip_eeg.scoring.metrics import window_metrics
from distilclip_eeg.scoring.peers import on_windows
from distilclip_eeg.scoring.persons import person_rows
from distilclip_eeg.studies.cells import Cell, append, beside, chosen_folds
from distilclip_eeg.studies.speed import hardware
from distilclip_eeg.training.data import Data, load_data, test_rows

OF_SCORES = ("auroc", "average_precision")
"""Figures that need no decision."""
FIGURES = (*COLUMNS, "balanced_accuracy", *OF_SCORES)


def add(cells: Sequence[Cell], files: Sequence[Path], path: Path, script: str) -> None:
    """Append the rows of other detectors to the table and to that of persons, once a protocol and file.

    Args:
        path: of the table.
        script: that draws it, for the column of commands.

    Raises:
        DataError: the data or a file cannot be read, or they share no window.
    """
    known = set(read_csv(path)["digest"]) if path.exists() else set()
    for split in dict.fromkeys(one.study for one in cells):
        settings = next(one for one in cells if one.study == split).settings
        folds, name = chosen_folds(settings), settings.dataset.name
        lacking = {file: f"{OTHERS}{file.stem}-{split}-{name}-{folds}".replace(" ", "") for file in files}
        lacking = {file: key for file, key in lacking.items() if key not in known}
        data = load_data(settings.data) if lacking else None
        for file, key in lacking.items():
            assert data is not None  # where there is a file, there are data
            windows = on_windows(tested(data, folds), settings.windows.length_s, file)
            about = {"dataset": name, "split": split, "model": file.stem, "seed": 0}
            words = (f"split={split}", f"dataset={name}", f"scores={file.name}")
            how = {"minutes": 0.0, "hardware": hardware(settings.device), "commit": commit()}
            how |= {"command": public_command(script, words), "digest": key}
            persons = person_rows(windows.drop_duplicates(["recording", "start_s"]))
            if "answer" not in windows:
                persons[["accuracy", "balanced_accuracy"]] = np.nan
            by_person = [about | row | how for row in persons.to_dict("records")]
            append(beside(path, "persons"), pd.DataFrame(by_person))
            append(path, pd.DataFrame([about | over_folds(windows) | how]))


def tested(data: Data, folds: Sequence[int]) -> pd.DataFrame:
    """A row a tested window of each fold: fold, subject, recording, start_s, label."""
    parts = []
    for fold in folds:
        windows = data.windows.iloc[test_rows(data, fold)]
        ictal = {"label": (windows["label"] != 0).astype(int), "recording": windows["recording_name"]}
        parts.append(windows[["subject", "start_s"]].assign(fold=fold, **ictal))
    return pd.concat(parts, ignore_index=True)


def over_folds(windows: pd.DataFrame) -> dict[str, Any]:
    """Mean and SD over folds of the figures; those of answers are NaN where the detector gives none."""
    rows = []
    for _, group in windows.groupby("fold"):
        score = group["probability"].to_numpy(float)
        answer = group["answer"].to_numpy() if "answer" in group else None
        found = window_metrics(group["label"].to_numpy(), np.column_stack([-score, score]), answer)
        rows.append({c: found[c] if answer is not None or c in OF_SCORES else np.nan for c in FIGURES})
    table = pd.DataFrame(rows)
    row: dict[str, Any] = {"folds": len(rows), "windows": len(windows)}
    return row | table.mean().to_dict() | {f"{c}_sd": sd for c, sd in table.std(ddof=1).items()}
