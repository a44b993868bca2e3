"""``text:`` of a config: what the text encoder reads."""

from dataclasses import dataclass

from distilclip_eeg.schema import ConfigError, check_choice
from distilclip_eeg.text.descriptors import FIELDS

SOURCES = ("none", "descriptors", "handcrafted", "metadata", "class_template")


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """``configs/base.yaml: text``; article, Sec. III-C, which shows no text of its own."""

    source: str = "descriptors"
    """``none``: the classifier without text. ``descriptors``: a line of an EEG report, worded from the
    window's own signal. ``handcrafted``: the same in fuller sentences behind a fixed preamble. ``metadata``:
    montage, channels and rate of the recording, and age band and sex where no person stands on both sides
    (``split=subject`` and ``official``; left out elsewhere). ``class_template``: each training window is
    paired with the sentence of its class, the reading of CoOp (Zhou et al. 2022); the sentence names the
    class, so this one source is not label-free, and a window outside training carries no text at all."""
    detail: str = "coarse"
    """``coarse``: at most 24 distinct descriptions, so that a batch repeats them and each is encoded once.
    ``full``: everything that is measured."""
    context_s: float | None = None
    """Describe this many seconds around the window, from the same piece, instead of the window alone: slow
    rhythms cannot be seen in one second. The stretch is made of signal alone. It reaches into neighbouring
    windows, so under ``split=window`` a training window's text may describe a test window's signal; under the
    other splits it never leaves the recording, and so never its side of the split."""
    class_prompts: list | None = None
    """The user's sentence for each class, in the order of the classes; null: ``text/classes.py``."""

    def __post_init__(self) -> None:
        check_choice("text.source", self.source, SOURCES)
        check_choice("text.detail", self.detail, FIELDS)
        if self.context_s is not None and not 0 < self.context_s <= 60:
            raise ConfigError(
                f"text.context_s={self.context_s} must be null or above 0 and at most 60 seconds."
            )
