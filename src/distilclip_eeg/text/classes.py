"""One sentence a class: class prompts, for zero-shot classification and for ``text.source=class_template``.

They name the class, so they are not label-free and no window is described by one at test time. A window's
description comes from ``text/descriptors.py`` or ``text/metadata.py``, where no label can be passed.
"""

import json
from collections.abc import Sequence

from distilclip_eeg.schema import ANY_SEIZURE, BACKGROUND, SEIZURE, ConfigError

CLASS_SENTENCES = {
    BACKGROUND: "Background EEG without a seizure: no rhythm that evolves in frequency, amplitude or place.",
    SEIZURE: "EEG during a seizure: rhythmic activity that evolves in frequency, amplitude and place.",
    "absz": "Absence seizure: generalized spike-and-wave discharges near 3 Hz with abrupt onset and end.",
    "cpsz": "Focal seizure with impaired awareness (complex partial): rhythmic theta or delta activity, "
    "often temporal, that evolves and spreads.",
    "fnsz": "Focal seizure of unspecified type: rhythmic activity that begins over one region and evolves.",
    "gnsz": "Generalized seizure of unspecified type: rhythmic or spike-and-wave activity over both "
    "hemispheres from its onset.",
    "spsz": "Focal seizure with preserved awareness (simple partial): rhythmic activity confined to one "
    "region, sometimes hardly visible at the scalp.",
    "tcsz": "Tonic-clonic seizure: fast generalized activity of growing amplitude, then repeated bursts of "
    "polyspikes and slow waves, under muscle artifact.",
    "tnsz": "Tonic seizure: abrupt flattening or fast activity of low amplitude over both hemispheres, under "
    "muscle artifact.",
    "complex_partial": "Complex partial seizure: rhythmic theta or delta activity, often temporal, that "
    "evolves and spreads while awareness is impaired.",
    "electrographic": "Electrographic seizure: rhythmic activity that evolves, without clinical signs.",
    "video_detected": "Seizure seen on video: clinical signs without a visible change of the EEG.",
}
"""By class name: both classes of CHB-MIT, Zenodo and the synthetic corpus; the types of TUSZ, in the words of
textbooks; those of AUBMC's ready-made windows. No neurologist has read them."""

SZCORE_WORDS = {
    **{"foc": "focal", "gen": "generalized", "uo": "of unknown onset"},
    **{"a": "with preserved awareness", "ia": "with impaired awareness", "ua": "with unknown awareness"},
    **{"f2b": "spreading to bilateral tonic-clonic", "m": "motor", "nm": "non-motor"},
    **{"um": "with unknown motor signs", "tonicClonic": "tonic-clonic", "behavior": "behavioral arrest"},
    **{"myoTC": "myoclonic-tonic-clonic", "myoAtonic": "myoclonic-atonic", "eyelidMyio": "eyelid myoclonia"},
    **{"typical": "typical absence", "atypical": "atypical absence"},
}
"""Parts of a level of SzCORE whose name is not the word itself (Dan et al. 2024; ILAE 2017)."""


class ClassTemplate:
    """The writer of ``text.source=class_template``: it has the K sentences and pairs none with a window.

    The reading of CoOp (Zhou et al. 2022, IJCV 130:2337-2348): with ``loss.targets=multi_positive``, pairing
    each training window with the sentence of its class makes L1 a classifier over K class prompts. The label
    enters through the text, so nothing learned this way may be called label-free.

    Args:
        sentences: one a class, in the order of the classes, from :func:`class_sentences`.
    """

    def __init__(self, sentences: list[str]):
        self.sentences = sentences

    def vocabulary_sentences(self) -> list[str]:
        """The K sentences, from which the tokenizer's vocabulary is built."""
        return self.sentences

    def to_json(self) -> str:
        """What a saved model needs to know of its text."""
        return json.dumps({"source": "class_template", "sentences": self.sentences})


def class_sentences(classes: Sequence[str], own: Sequence[str] | None = None) -> list[str]:
    """The class prompts of a corpus, in the order of its classes.

    Args:
        classes: a SzCORE level (``sz_foc_ia``) is spelled out; a name that nobody here knows is quoted.
        own: the user's sentences instead, ``text.class_prompts``.

    Raises:
        ConfigError: ``own`` has not one distinct sentence a class.
    """
    if own is None:
        return [CLASS_SENTENCES.get(name) or _spelled(name) for name in classes]
    sentences = [sentence.strip() if isinstance(sentence, str) else "" for sentence in own]
    if len(sentences) != len(classes) or len(set(sentences)) != len(classes) or "" in sentences:
        raise ConfigError(
            f"text.class_prompts has {len(sentences)} sentences, {len(set(sentences) - {''})} different; "
            f"expected one for each of {', '.join(classes)}, in this order."
        )
    return sentences


def _spelled(name: str) -> str:
    root, *parts = name.split("_")
    if root == ANY_SEIZURE:
        return f"EEG during a seizure: {', '.join(SZCORE_WORDS.get(p, p) for p in parts) or 'type not told'}."
    return f"Scalp EEG of the class {name.replace('_', ' ')}."
