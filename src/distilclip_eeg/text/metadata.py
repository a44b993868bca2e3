"""``text.source=metadata``: the recording in words, from facts that no annotation enters.

Montage, number of channels and sampling rate are the same for a whole prepared corpus, so that where age
and sex are left out all windows carry one sentence: a control for what the text encoder adds by itself.
"""

import json
from collections.abc import Sequence
from itertools import product

import pandas as pd

FACTS = ("age_band", "sex")
"""Of a person; nothing else is ever read from ``Recording.metadata``."""
SEXES = {"F": "female", "M": "male"}
MONTAGES = {"bipolar18": "bipolar", "car19": "common average"}


class MetadataWriter:
    """Sentences for recordings, such as ``Scalp EEG, child, female; 23 channels, bipolar montage, 256 Hz.``

    Args:
        montage: ``signals.montage``; ``native`` is called by its channels' names.
        sfreq: of the prepared signal, Hz.
        age_bands: those there are (``corpora.edf.header.AGE_BANDS``).
        person: whether age band and sex are told. They tell persons apart, and where windows of a person
            stand on both sides of a split, a person may give the class away.
    """

    def __init__(
        self, montage: str, ch_names: Sequence[str], sfreq: float, age_bands: Sequence[str], *, person: bool
    ):
        pairs = all("-" in name for name in ch_names)
        kind = MONTAGES.get(montage, "bipolar" if pairs else "referential")
        self.technique = f"{len(ch_names)} channels, {kind} montage, {sfreq:g} Hz"
        self.words = {"age_band": {band: band for band in age_bands}, "sex": SEXES}
        self.person = person

    def fit(self, facts: pd.DataFrame) -> "MetadataWriter":
        """The writer itself: its words do not depend on data. Here for the protocol of ``Describer``."""
        return self

    def describe(self, facts: pd.DataFrame) -> list[str]:
        """One sentence per row; a fact that is not known, or not one of the known words, is left out.

        Args:
            facts: columns ``age_band`` and ``sex``, one row a window.
        """
        columns = [[self.words[name].get(value, "") for value in facts[name]] for name in FACTS]
        return [self._sentence(*row) for row in zip(*columns, strict=True)]

    def vocabulary_sentences(self) -> list[str]:
        """Every sentence there is, at most 21: the tokenizer's vocabulary is built from them."""
        said = [("", *self.words[name].values()) for name in FACTS]
        return list(dict.fromkeys(self._sentence(*row) for row in product(*said)))

    def to_json(self) -> str:
        """What a saved model needs to describe recordings the same way."""
        return json.dumps({"source": "metadata", "technique": self.technique, "person": self.person})

    def _sentence(self, age_band: str, sex: str) -> str:
        told = [fact for fact in (age_band, sex) if fact and self.person]
        return f"{', '.join(['Scalp EEG', *told])}; {self.technique}."
