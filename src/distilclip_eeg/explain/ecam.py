"""``ecam.npz``: maps of windows, gathered into maps of classes (article, Fig. 9).

Shapes: N windows, C channels, K classes.
"""

import numpy as np

from distilclip_eeg.explain.positions import positions
from distilclip_eeg.training.data import Data


def ecam(data: Data, rows: np.ndarray, predicted_N: np.ndarray, map_NC: np.ndarray) -> dict[str, np.ndarray]:
    """The file's arrays: each window's map, divided by its largest value, and the means over persons.

    ``class_map_KC`` are correctly classified windows of each class; ``difference_C`` those of all seizure
    classes less those of background. NaN where there is none.

    Args:
        map_NC: of the class that was predicted.
    """
    ch_names, classes = data.store.ch_names, data.store.classes
    about = window_columns(data, rows)
    label_N, subject_N = about["label_N"], about["subject_N"]
    map_NC = map_NC / np.maximum(np.abs(map_NC).max(axis=1, keepdims=True), 1e-30)
    right_N = predicted_N == label_N
    class_KC = [mean_map(map_NC, subject_N, right_N & (label_N == k)) for k in range(len(classes))]
    times = data.store.events.reindex(data.windows["event"].to_numpy()[rows])  # event -1 is none: NaN
    return about | {
        "predicted_N": predicted_N,
        "ch_names": np.array(ch_names),
        "positions_C2": positions(ch_names),
        "classes": np.array(classes),
        "event_onset_s_N": times["onset_s"].to_numpy(float),
        "event_offset_s_N": times["offset_s"].to_numpy(float),
        "map_NC": map_NC.astype(np.float32),
        "class_map_KC": np.array(class_KC),
        "difference_C": mean_map(map_NC, subject_N, right_N & (label_N > 0)) - class_KC[0],
    }


def window_columns(data: Data, rows: np.ndarray) -> dict[str, np.ndarray]:
    """What is told of each window, (N,): class, where it lies, the corpus's own code of its person."""
    windows = data.windows.iloc[rows]
    return {
        "label_N": windows["label"].to_numpy(),
        "window_id_N": windows["window_id"].to_numpy(),
        "subject_N": windows["subject"].to_numpy().astype("U"),
        "start_s_N": windows["start_s"].to_numpy(),
    }


def mean_map(map_NC: np.ndarray, subject_N: np.ndarray, chosen_N: np.ndarray) -> np.ndarray:
    """Mean over the chosen windows of each person, then over persons, (C,); NaN where none is chosen."""
    people = np.unique(subject_N[chosen_N])
    if not len(people):
        return np.full(map_NC.shape[1], np.nan)
    return np.mean([map_NC[chosen_N & (subject_N == person)].mean(0) for person in people], axis=0)
