"""How much a reader gets out of texts: the scores behind ``probes``, on plain arrays.

Shapes: N windows, U distinct sentences, E features.
"""

from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

from distilclip_eeg.scoring.metrics import confusion, per_class

CHUNK = 1024
"""Windows compared with all texts at a time."""

Row = dict[str, Any]


def texts(train_N: np.ndarray, own_N: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """The text that each window is given, by kind; constant is the most frequent one of training."""
    constant = np.full(len(own_N), np.bincount(train_N).argmax())
    return {"own": own_N, "shuffled": rng.permutation(own_N), "constant": constant}


def named(
    probe: str,
    readers: dict[str, Any],
    text_N: np.ndarray,
    target_N: np.ndarray,
    fit: np.ndarray,
    test: np.ndarray,
    rng: np.random.Generator,
) -> list[Row]:
    """A regression on the texts of the rows ``fit`` names the target of the rows ``test``.

    Args:
        readers: features of each distinct text, (U, E), by name of what reads it.
        target_N: class or person, as whole numbers. Where ``fit`` holds only one, the score is NaN.
    """
    rows = []
    given = texts(text_N[fit], text_N[test], rng)
    for reader, features_UE in readers.items():
        several = len(np.unique(target_N[fit])) > 1
        model = regression(features_UE[text_N[fit]], target_N[fit]) if several else None
        for text, given_N in given.items():
            score = scored(target_N[test], model.predict(features_UE[given_N]) if model else None)
            rows.append({"probe": probe, "reader": reader, "text": text, **score})
    return rows


def regression(features: np.ndarray, target: np.ndarray) -> LogisticRegression:
    """Every class, or person, weighs the same, as in the score."""
    return LogisticRegression(class_weight="balanced", max_iter=2000).fit(features, target)


def scored(truth: np.ndarray, answer: np.ndarray | None) -> Row:
    """Balanced accuracy of the answers, NaN where there are none, and what any constant answer can reach."""
    chance = 1 / len(np.unique(truth))
    if answer is None:
        return {"score": np.nan, "chance": chance, "n": len(truth)}
    n_classes = int(max(truth.max(), answer.max())) + 1
    recall = per_class(confusion(truth, answer, n_classes))["recall"]
    return {"score": float(np.nanmean(recall)), "chance": chance, "n": len(truth)}


def standardised(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Columns with mean 0 and SD 1 over ``rows``; a constant one becomes zero."""
    mean, sd = values[rows].mean(axis=0), values[rows].std(axis=0)
    return (values - mean) / np.where(sd < 1e-6, np.inf, sd)


def numbers_of(measures: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
    """The measurements as standardised columns, band and place as one column a word."""
    table = pd.get_dummies(measures, columns=["band", "maximum"]).fillna(0.0)
    return standardised(table.to_numpy(np.float64), rows)


def agreement(eeg_NE: np.ndarray, text_UE: np.ndarray, given_N: np.ndarray, own_N: np.ndarray) -> float:
    """Share of pairs in which a window is nearer (cosine) to the text it is given than to another's own text.

    A pair is a window and a window of another text; ties count half. Texts given at random win half of the
    pairs, whatever the encoders prefer; NaN where all windows share one text.
    """
    eeg_NE = eeg_NE / np.linalg.norm(eeg_NE, axis=1, keepdims=True)
    text_UE = text_UE / np.linalg.norm(text_UE, axis=1, keepdims=True)
    count_U = np.bincount(own_N, minlength=len(text_UE))
    won = pairs = 0.0
    for first in range(0, len(eeg_NE), CHUNK):
        near_BU = eeg_NE[first : first + CHUNK] @ text_UE.T
        given_B1 = given_N[first : first + CHUNK, None]
        mine_B1 = np.take_along_axis(near_BU, given_B1, axis=1)
        weight_BU = count_U * (np.arange(len(text_UE)) != given_B1)
        won += (weight_BU * ((mine_B1 > near_BU) + 0.5 * (mine_B1 == near_BU))).sum()
        pairs += weight_BU.sum()
    return float(won / pairs) if pairs else float("nan")


def retrieval(eeg_NE: np.ndarray, text_UE: np.ndarray, own_N: np.ndarray) -> tuple[float, float]:
    """Mean average precision of a search for each text that some window has, and what a random order reaches.

    Windows are ranked by cosine to the text; those that carry it are right, and their share is chance.
    """
    eeg_NE = eeg_NE / np.linalg.norm(eeg_NE, axis=1, keepdims=True)
    text_UE = text_UE / np.linalg.norm(text_UE, axis=1, keepdims=True)
    known = [u for u in np.unique(own_N) if (own_N != u).any()]
    if not known:
        return float("nan"), float("nan")
    found = [average_precision_score(own_N == u, eeg_NE @ text_UE[u]) for u in known]
    return float(np.mean(found)), float(np.mean([(own_N == u).mean() for u in known]))
