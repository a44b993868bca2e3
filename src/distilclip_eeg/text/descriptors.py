"""Descriptions of windows: words for the measurements of ``text/measures.py``.

A description adds no information to the signal, only words for it; it exists at test time as well. The edges
between "low" and "high" are quantiles of the rows given to ``Describer.fit``: training rows only.
"""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from distilclip_eeg.schema import ConfigError, check_choice
from distilclip_eeg.text.measures import BANDS, REGIONS, SIDES

DENY_LIST = (
    *("seizure", "ictal", "epilep", "spike", "convuls", "attack", "absence", "tonic", "clonic"),
    *("myoclon", "focal", "generali", "partial", "status", "onset", "discharge", "event", "annotat", "label"),
    *("sz", "seiz", "bckg", "background", "normal", "diagnos", "patholog", "patient"),
)
"""No description contains one of these, upper or lower case: each would name the class or the annotation."""

LEVELS: dict[str, dict[str, tuple[str, ...]]] = {
    "amplitude_uv": {
        "coarse": ("low", "moderate", "high"),
        "full": ("very low", "low", "moderate", "high", "very high"),
    },
    "rhythmicity": {
        "coarse": ("irregular", "rhythmic"),
        "full": ("irregular", "semi-rhythmic", "rhythmic"),
    },
    "sharpness": {"full": ("no", "some", "many")},
    "synchrony": {"full": ("low", "moderate", "high")},
}
"""Column to words, from the lowest value up; fewer edges than words by one, at equal quantiles."""
FIXED: dict[str, tuple[tuple[float, ...], tuple[str, ...]]] = {
    "laterality": ((-0.15, 0.15), ("left greater than right", "symmetric", "right greater than left")),
    "evolution": ((-0.6, 0.6), ("decreasing", "steady", "increasing")),
    "artifact": ((0.3,), ("", "muscle or mains artifact")),
    "flat": ((1e-9,), ("", "some channels flat")),
}
"""Column to edges and words that mean the same in every data set."""
FIELDS = {
    "coarse": ("rhythmicity", "band", "amplitude_uv"),
    "full": (
        *("rhythmicity", "band", "frequency_hz", "amplitude_uv", "maximum", "laterality", "sharpness"),
        *("synchrony", "evolution", "artifact", "flat"),
    ),
}
"""What a sentence tells, in the order in which the sentence functions below take it."""
HZ = (1, 70)
"""Frequencies are told as whole numbers between these."""
GAMMA_HZ = 30
"""Above it the full detail says gamma, which the coarse one counts as beta."""
PREAMBLE = "Scalp EEG segment."


class Describer:
    """Words for measurements; edges come from training rows and travel with the model.

    Args:
        detail: ``coarse`` has 24 sentences (rhythm, band, amplitude), few enough that a batch holds each
            one several times; ``full`` tells everything measured, in up to 64 tokens.
        source: ``descriptors``, a line of an EEG report, or ``handcrafted``, the same in fuller sentences
            behind a fixed preamble.

    Raises:
        ConfigError: no such detail or source.
    """

    def __init__(self, detail: str = "coarse", source: str = "descriptors"):
        check_choice("text.detail", detail, FIELDS)
        check_choice("text.source", source, ("descriptors", "handcrafted"))
        self.detail, self.source = detail, source
        self.edges: dict[str, list[float]] = {}

    def fit(self, measures: pd.DataFrame) -> "Describer":
        """Take the edges between words from these rows, as quantiles.

        Args:
            measures: from :func:`~distilclip_eeg.text.measures.measure`, training rows only, or the words
                would know the test fold.

        Raises:
            ValueError: no row.
        """
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
        """Put measurements into words, one sentence a row.

        Args:
            measures: from :func:`~distilclip_eeg.text.measures.measure`; a missing value gets no word.

        Raises:
            ConfigError: called before :meth:`fit`.
        """
        if not self.edges:
            raise ConfigError("Describer.describe before fit: the edges come from the training rows.")
        said = {c: _choose(measures[c], self.edges[c], words) for c, words in self._levels().items()}
        said |= {c: _choose(measures[c], *FIXED[c]) for c in FIXED}
        said |= {c: measures[c].to_numpy(object) for c in ("band", "maximum")}
        said["frequency_hz"] = np.clip(np.rint(measures["frequency_hz"].to_numpy()), *HZ).astype(int)
        if self.detail == "full":
            said["band"] = np.where(said["frequency_hz"] > GAMMA_HZ, "gamma", said["band"])
        return self._sentences(zip(*(said[c] for c in FIELDS[self.detail]), strict=True))

    def vocabulary_sentences(self) -> list[str]:
        """Coarse: every sentence there is. Full: sentences that between them hold every word there is."""
        words: dict[str, Sequence] = {**self._levels(), **{c: chosen for c, (_, chosen) in FIXED.items()}}
        words |= {"band": (*BANDS, "gamma"), "frequency_hz": range(HZ[0], HZ[1] + 1)}
        words["maximum"] = ["", *(f"{side} {region}" for side in SIDES for region in REGIONS)]
        if self.detail == "coarse":
            return self._sentences(product(words["rhythmicity"], BANDS, words["amplitude_uv"]))
        columns = [words[c] for c in FIELDS["full"]]
        longest = max(len(column) for column in columns)
        return self._sentences([column[i % len(column)] for column in columns] for i in range(longest))

    def to_json(self) -> str:
        """Everything a saved model needs to describe windows the same way."""
        saved = {"source": self.source, "detail": self.detail, "edges": self.edges}
        return json.dumps(saved, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Describer":
        """The fitted describer that ``to_json`` wrote; a text without a source means ``descriptors``."""
        saved = json.loads(text)
        describer = cls(saved["detail"], saved.get("source", "descriptors"))
        describer.edges = saved["edges"]
        return describer

    def _levels(self) -> dict[str, tuple[str, ...]]:
        return {c: words[self.detail] for c, words in LEVELS.items() if self.detail in words}

    def _sentences(self, rows: Iterable[Sequence]) -> list[str]:
        sentence = SENTENCES[self.source, self.detail]
        return [sentence(*row) for row in rows]


def denied(sentence: str, classes: Sequence[str] = ()) -> list[str]:
    """Terms of the deny list, and names of ``classes``, that ``sentence`` contains."""
    text = sentence.lower()
    names = [name.lower().replace("_", " ") for name in classes]
    return [w for w in DENY_LIST if w in text] + [n for n in names if re.search(rf"\b{re.escape(n)}\b", text)]


def _line(rhythm: str, band: str, amplitude: str) -> str:
    return f"{rhythm.capitalize()} {band} activity of {amplitude} amplitude."


class _Full(NamedTuple):
    """``FIELDS["full"]`` in words."""

    rhythm: str
    band: str
    hz: int
    amplitude: str
    place: str
    side: str
    sharp: str
    synchrony: str
    evolution: str
    artifact: str
    flat: str


def _full_line(*row: Any) -> str:
    said = _Full(*row)
    where = f", maximal over the {said.place} region" if said.place else ""
    where += f", {said.side}" if said.side else ""
    return (
        f"{said.rhythm.capitalize()} {said.band} activity at about {said.hz} Hz, of {said.amplitude} "
        f"amplitude{where}, with {said.sharp} sharp transients and {said.synchrony} synchrony, "
        f"{said.evolution} in amplitude.{_also(said.artifact, said.flat)}"
    )


def _told(rhythm: str, band: str, amplitude: str) -> str:
    return f"{PREAMBLE} The activity is {rhythm} {band}. Its amplitude is {amplitude}."


def _full_told(*row: Any) -> str:
    said = _Full(*row)
    where = f", maximal over the {said.place} region" if said.place else ""
    where += f" and {said.side}" if said.side else ""
    return (
        f"{PREAMBLE} The activity is {said.rhythm} {said.band} near {said.hz} Hz. Its amplitude is "
        f"{said.amplitude} and {said.evolution}{where}. It has {said.sharp} sharp transients and "
        f"{said.synchrony} synchrony.{_also(said.artifact, said.flat)}"
    )


def _also(*remarks: str) -> str:
    return "".join(f" {remark.capitalize()}." for remark in remarks if remark)


SENTENCES: dict[tuple[str, str], Callable[..., str]] = {
    ("descriptors", "coarse"): _line,
    ("descriptors", "full"): _full_line,
    ("handcrafted", "coarse"): _told,
    ("handcrafted", "full"): _full_told,
}


def _choose(values: pd.Series, edges: Sequence[float], words: Sequence[str]) -> np.ndarray:
    """The word for each value; a value on an edge gets the lower one, a missing value none."""
    numbers = values.to_numpy(np.float64)
    level = np.searchsorted(edges, numbers, side="left").clip(0, len(words) - 1)
    return np.where(np.isnan(numbers), "", np.array(words, dtype=object)[level])
