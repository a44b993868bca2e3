"""Descriptions of windows: words for the measurements of ``text/measures.py``.

A description adds no information to the signal, only words for it; it exists at test time as well. The edges
between "low" and "high" are quantiles of the rows given to ``Describer.fit``: training rows only.
"""

import json
from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd

from distilclip_eeg.schema import ConfigError, check_choice
from distilclip_eeg.text.measures import BANDS, REGIONS, SIDES

DENY_LIST = (
    *("seizure", "ictal", "epilep", "spike", "convuls", "attack", "absence", "tonic", "clonic"),
    *("myoclon", "focal", "generali", "partial", "status", "onset", "discharge", "event", "annotat", "label"),
    *("sz", "bckg", "background", "normal", "diagnos", "patholog", "patient"),
)
"""No description contains one of these, upper or lower case: each would name the class or the annotation."""


class Describer:
    """Words for measurements; edges come from training rows and travel with the model.

    Args:
        detail: ``coarse`` has 24 sentences (band, amplitude, rhythm), few enough that a batch holds each
            one several times; ``full`` tells everything measured, in up to about 50 tokens.
    """

    def __init__(self, detail: str = "coarse"):
        check_choice("text.detail", detail, ("coarse", "full"))
        self.detail = detail
        self.edges: dict[str, list[float]] = {}

    LEVELS = {
        "amplitude_uv": {
            "coarse": ("low", "moderate", "high"),
            "full": ("very low", "low", "moderate", "high", "very high"),
        },
        "rhythmicity": {
            "coarse": ("Irregular", "Rhythmic"),
            "full": ("Irregular", "Semi-rhythmic", "Rhythmic"),
        },
        "sharpness": {"full": ("no", "some", "many")},
        "synchrony": {"full": ("low", "medium", "high")},
    }
    """Column to words, from the lowest value up; fewer edges than words by one, at equal quantiles."""
    FIXED = {
        "laterality": (
            (-0.15, 0.15),
            (", left greater than right", ", symmetric", ", right greater than left"),
        ),
        "evolution": ((-0.6, 0.6), ("decreasing", "stable", "increasing")),
        "artifact": ((0.3,), ("", ", muscle artifact likely")),
        "flat": ((1e-9,), ("", ", some channels flat")),
    }
    """Column to edges and words that mean the same in every data set."""

    def fit(self, measures: pd.DataFrame) -> "Describer":
        """Take the edges from these rows: training rows only, or the words would know the test fold."""
        if not len(measures):
            raise ValueError("Describer.fit needs at least one row")
        self.edges = {}
        for column, words in self._levels().items():
            quantiles = np.arange(1, len(words)) / len(words)
            if column == "rhythmicity":
                # "Rhythmic" is the upper third: half of all windows cannot stand out.
                quantiles = np.array([2 / 3]) if len(words) == 2 else np.array([1 / 2, 5 / 6])
            self.edges[column] = np.quantile(measures[column].to_numpy(np.float64), quantiles).tolist()
        return self

    def describe(self, measures: pd.DataFrame) -> list[str]:
        """One sentence per row, like a line of an EEG report."""
        if not self.edges:
            raise ConfigError("Describer.describe before fit: the edges come from the training rows.")
        words = {c: _choose(measures[c], self.edges[c], w) for c, w in self._levels().items()}
        band = measures["band"].to_numpy(object)
        if self.detail == "coarse":
            columns = zip(words["rhythmicity"], band, words["amplitude_uv"], strict=True)
            return [_coarse(*row) for row in columns]
        words |= {c: _choose(measures[c], *self.FIXED[c]) for c in self.FIXED}
        hz = np.clip(np.rint(measures["frequency_hz"].to_numpy()), 1, 70).astype(int)
        place = [f", maximal over the {m} region" if m else "" for m in measures["maximum"]]
        columns = [
            *(words["rhythmicity"], band, hz, words["amplitude_uv"], place, words["laterality"]),
            *(words["sharpness"], words["synchrony"]),
            *(words[c] for c in ("evolution", "artifact", "flat")),
        ]
        return [_full(*row) for row in zip(*columns, strict=True)]

    def vocabulary_sentences(self) -> list[str]:
        """Coarse: every sentence there is. Full: sentences that between them hold every word there is."""
        levels = self._levels()
        if self.detail == "coarse":
            return [_coarse(*row) for row in product(levels["rhythmicity"], BANDS, levels["amplitude_uv"])]
        places = [f", maximal over the {s} {r} region" for s in SIDES for r in REGIONS]
        columns = [
            *(levels["rhythmicity"], list(BANDS), list(range(1, 71)), levels["amplitude_uv"], places),
            *(self.FIXED["laterality"][1], levels["sharpness"], levels["synchrony"]),
            *(self.FIXED[c][1] for c in ("evolution", "artifact", "flat")),
        ]
        longest = max(len(column) for column in columns)
        return [_full(*(column[i % len(column)] for column in columns)) for i in range(longest)]

    def to_json(self) -> str:
        """Everything a saved model needs to describe windows the same way."""
        return json.dumps({"detail": self.detail, "edges": self.edges}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Describer":
        """The describer that ``to_json`` wrote."""
        saved = json.loads(text)
        describer = cls(saved["detail"])
        describer.edges = saved["edges"]
        return describer

    def _levels(self) -> dict[str, tuple[str, ...]]:
        return {c: words[self.detail] for c, words in self.LEVELS.items() if self.detail in words}


def denied(sentence: str) -> list[str]:
    """Words of the deny list that ``sentence`` contains."""
    return [word for word in DENY_LIST if word in sentence.lower()]


def _coarse(rhythm: str, band: str, amplitude: str) -> str:
    return f"{rhythm} {band} activity of {amplitude} amplitude."


def _full(rhythm, band, hz, amplitude, place, laterality, sharp, synchrony, evolution, artifact, flat) -> str:
    return (
        f"{rhythm} {band} activity, about {hz} Hz, of {amplitude} amplitude{place}{laterality}, with {sharp} "
        f"sharp transients, {synchrony} synchrony and {evolution} power{artifact}{flat}."
    )


def _choose(values: pd.Series, edges: Sequence[float], words: Sequence[str]) -> np.ndarray:
    """The word for each value; a value on an edge gets the lower one, a missing value none."""
    values = values.to_numpy(np.float64)
    level = np.searchsorted(edges, values, side="left").clip(0, len(words) - 1)
    return np.where(np.isnan(values), "", np.array(words, dtype=object)[level])
