"""What a report shows beside maps: windows with their texts, and how a model arranges windows.

Shapes: N windows, C channels, T samples, E features, U texts.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.signal import decimate
from scipy.special import softmax
from sklearn.decomposition import PCA

from distilclip_eeg.config.learning import Learning
from distilclip_eeg.explain.model import FoldModel
from distilclip_eeg.runs import Run
from distilclip_eeg.training.data import Data
from distilclip_eeg.training.descriptions import describe_fold
from distilclip_eeg.training.pipeline import frozen_teacher

EACH = 2
"""Example windows of each class that the model got right, and of each that it got wrong."""
NEAREST = 3
DRAWN_HZ = 100
"""What is drawn keeps at least this rate."""


@dataclass(frozen=True)
class Texts:
    """Descriptions as one fold's model knows them."""

    sentence_N: np.ndarray
    """By row of the window index; empty where a window has none."""
    test_U: np.ndarray
    """The distinct ones of test windows."""
    features_UE: np.ndarray | None
    """Of ``test_U``, in the space shared with EEG; None where model or test windows know no text."""


def texts_of(run: Run, learning: Learning, data: Data, fold: int, test: np.ndarray) -> Texts:
    """The text of every window, and what a teacher makes of those of the rows ``test``; no label in reach."""
    if not learning.uses_text:
        told = learning.text.source != "none"
        described = describe_fold(learning.text, data, fold)[0] if told else [""] * len(data.windows)
        sentence_N = np.array(described)
        return Texts(sentence_N, np.unique(sentence_N[test]), None)
    model, bank = frozen_teacher(run, fold, data)
    text_N = bank.text_N
    sentence_N = np.where(text_N < 0, "", bank.sentences[text_N])
    used_U = np.unique(text_N[test])
    used_U = used_U[used_U >= 0]
    if not len(used_U):  # class_template: no window outside training has a text
        return Texts(sentence_N, bank.sentences[used_U], None)
    with torch.no_grad():
        features_UE = model.encode_text(bank.input_ids[used_U], bank.attention_mask[used_U]).numpy()
    return Texts(sentence_N, bank.sentences[used_U], features_UE)


def draw(label_N: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """At most ``most`` positions in labels (N,), in order: as many of a class as others leave room for."""
    chosen: list[np.ndarray] = []
    classes = [np.flatnonzero(label_N == k) for k in np.unique(label_N)]
    for left, members in enumerate(sorted(classes, key=len)):
        room = (most - sum(map(len, chosen))) // (len(classes) - left)
        chosen.append(rng.permutation(members)[:room])
    return np.sort(np.concatenate(chosen))


def choose(label_N: np.ndarray, predicted_N: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Positions of ``EACH`` windows a class that were named right, then of ``EACH`` that were not."""
    shuffled = rng.permutation(len(label_N))
    right_N = (label_N == predicted_N)[shuffled]
    of_class = [label_N[shuffled] == k for k in np.unique(label_N)]
    return np.concatenate([shuffled[kind & k][:EACH] for kind in (right_N, ~right_N) for k in of_class])


def examples(
    data: Data, model: FoldModel, rows: np.ndarray, logits_NK: np.ndarray, texts: Texts
) -> tuple[dict[str, np.ndarray | float], dict[str, Any]]:
    """``examples.npz``, the windows in microvolts (N, C, T), and ``examples.json``, what is known of each."""
    uv_NCT, sfreq = drawn(model.source.microvolts(rows), data.store.sfreq)
    classes, probability_NK = data.store.classes, softmax(logits_NK, axis=1)
    features = [None] * len(rows) if texts.features_UE is None else model.features(rows)
    records = []
    for row, eeg_E, probability_K in zip(rows, features, probability_NK, strict=True):
        window, k = data.windows.iloc[row], int(probability_K.argmax())
        records.append(
            {
                "window_id": int(window["window_id"]),
                "subject": str(window["subject"]),
                "start_s": float(window["start_s"]),
                "true": classes[window["label"]],
                "predicted": classes[k],
                "probability": round(float(probability_K[k]), 4),
                "text": str(texts.sentence_N[row]),
                "nearest": [] if eeg_E is None else nearest(eeg_E, texts),
            }
        )
    ids = np.array([record["window_id"] for record in records])
    pictures: dict[str, np.ndarray | float] = {
        "uv_NCT": uv_NCT,
        "sfreq": sfreq,
        "ch_names": np.array(data.store.ch_names),
    }
    about: dict[str, Any] = {"texts_compared": 0 if texts.features_UE is None else len(texts.test_U)}
    return pictures | {"window_id_N": ids}, about | {"windows": records}


def drawn(uv_NCT: np.ndarray, sfreq: float) -> tuple[np.ndarray, float]:
    """Microvolts (N, C, T) for a picture, float16, at a whole part of their rate, and that rate in Hz."""
    step = max(1, int(sfreq // DRAWN_HZ))
    thinner = decimate(uv_NCT, step, ftype="fir", axis=-1) if step > 1 else uv_NCT
    return thinner.astype(np.float16), sfreq / step


def nearest(eeg_E: np.ndarray, texts: Texts) -> list[dict]:
    """The ``NEAREST`` texts of a window by cosine similarity, the nearest first."""
    assert texts.features_UE is not None  # asked only of windows with features
    text_UE = texts.features_UE / np.linalg.norm(texts.features_UE, axis=1, keepdims=True)
    similarity_U = text_UE @ (eeg_E / np.linalg.norm(eeg_E))
    return [
        {"text": str(texts.test_U[u]), "similarity": round(float(similarity_U[u]), 4)}
        for u in np.argsort(-similarity_U, kind="stable")[:NEAREST]
    ]


def flat_map(features_NE: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The first two principal components, (N, 2), and their shares of the variance, (2,)."""
    pca = PCA(2, svd_solver="full").fit(features_NE)
    return pca.transform(features_NE), pca.explained_variance_ratio_
