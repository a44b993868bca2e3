"""The text of every window of a corpus in one fold, as ``text:`` asks for it."""

import numpy as np

from distilclip_eeg.config.learning import TextConfig
from distilclip_eeg.corpora.edf.header import AGE_BANDS
from distilclip_eeg.schema import ConfigError
from distilclip_eeg.signals.audit import PROMISES
from distilclip_eeg.text.classes import ClassTemplate, class_sentences
from distilclip_eeg.text.descriptors import Describer
from distilclip_eeg.text.metadata import MetadataWriter
from distilclip_eeg.training.data import Data

APART = tuple(name for name, kept in PROMISES.items() if "subject" in kept)
"""Splits in which no person stands on both sides."""
MEASURED = ("descriptors", "handcrafted")
"""Sources whose texts are worded from measures of the signal."""
AGES = tuple(name for _, name in AGE_BANDS)


def check_text(text: TextConfig, length_s: float, classes: tuple[str, ...]) -> None:
    """Refuse text settings that do not fit windows of ``length_s`` seconds, or the classes."""
    class_sentences(classes, text.class_prompts)
    if text.context_s is not None and text.context_s < length_s:
        raise ConfigError(
            f"text.context_s={text.context_s} is shorter than windows.length_s={length_s}. Set it longer, or "
            "null for the window alone."
        )


def describe_fold(
    text: TextConfig, data: Data, fold: int
) -> tuple[list[str], Describer | MetadataWriter | ClassTemplate]:
    """Every window's text, and its writer, which saw this fold's training rows and no label.

    Of ``class_template`` the text of a training window is its class's sentence, put there by label; any other
    window's is empty, which ``tasks.TextBank`` refuses to give out.
    """
    train = data.rows(fold, "train")
    if text.source == "class_template":
        template = ClassTemplate(class_sentences(data.store.classes, text.class_prompts))
        described = np.full(len(data.windows), "", dtype=object)
        described[train] = np.array(template.sentences, dtype=object)[data.windows["label"].to_numpy()[train]]
        return described.tolist(), template
    writer: Describer | MetadataWriter
    if text.source == "metadata":
        technique = (data.signals.montage, data.store.ch_names, data.store.sfreq)
        writer = MetadataWriter(*technique, AGES, person=data.split.name in APART)
        rows = data.metadata()
    else:
        writer, rows = Describer(text.detail, text.source), data.measures(text.context_s)
    return writer.fit(rows.iloc[train]).describe(rows), writer
