"""A user's word on what a file's signals are: ``rename={EEG 1: Fp1, EEG 2: F7-T7}``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from distilclip_eeg.corpora.edf.header import EdfHeader
from distilclip_eeg.corpora.edf.montage import canonical, printable
from distilclip_eeg.schema import ConfigError, SkipRecording

NOTHING = "-"
"""A label renamed to this is not used: its canonical name is empty."""


@dataclass(frozen=True)
class Rename:
    """Labels of files by what they are to be read as.

    Raises:
        ConfigError: ``bad_map``: an empty label or name, or a label twice.
    """

    setting: str
    """What the user calls it, for messages."""
    words: Mapping[str, str] = field(default_factory=dict)
    """A label as a file has it (upper and lower case alike) to an electrode, a derivation, or ``-``."""

    def __post_init__(self) -> None:
        labels = [_key(label) for label in self.words]
        named = all(canonical(name) or name.strip() == NOTHING for name in self.words.values())
        if "" in labels or len({*labels}) < len(labels) or not named:
            raise ConfigError(
                f"{self.setting}={dict(self.words)}: expected each label once, upper and lower case alike, "
                "and the electrode or derivation that it is, such as {EEG 1: Fp1, EEG 2: F7-T7}; "
                f"{NOTHING} for none.",
                reason="bad_map",
            )

    def __bool__(self) -> bool:
        return bool(self.words)

    def labels(self, available: Sequence[str], source: str) -> tuple[str, ...]:
        """A file's labels, those that are named here replaced.

        Files of one folder may differ: of several labels for one electrode, one has to be there.

        Args:
            source: what to call the file in a message.

        Raises:
            SkipRecording: ``unknown_label``, none of the labels for an electrode is in the file, nor is the
                electrode by its own name; ``duplicate_channel``, two signals would be one electrode.
        """
        if not self.words:
            return tuple(available)
        words = {_key(label): name.strip() for label, name in self.words.items()}
        found = tuple(words.get(_key(label), label) for label in available)
        there = [canonical(label) for label in found]
        has = ", ".join(map(printable, available))
        for label, name in self.words.items():
            if canonical(name) not in there and _key(label) not in map(_key, available):
                raise SkipRecording(
                    f"{source}: no signal is called {printable(label)}, which {self.setting} reads as "
                    f"{printable(name)}; expected a label of the file, which has {has}. Mend the setting.",
                    reason="unknown_label",
                )
        for name in filter(None, map(canonical, words.values())):
            twice = [printable(a) for a, b in zip(available, there, strict=True) if b == name]
            if len(twice) > 1:
                raise SkipRecording(
                    f"{source}: by {self.setting}, {' and '.join(twice)} are both {name}; expected one "
                    f"signal for it. Name the other one {NOTHING}, or mend the setting.",
                    reason="duplicate_channel",
                )
        return found

    def header(self, header: EdfHeader, path: Path) -> EdfHeader:
        """A file's header with its labels replaced.

        Raises:
            SkipRecording: as :meth:`labels`.
        """
        if not self.words:
            return header
        named = zip(header.signals, self.labels(header.labels, str(path)), strict=True)
        return replace(header, signals=tuple(replace(signal, label=label) for signal, label in named))


def _key(label: str) -> str:
    """A label as it is looked up."""
    return " ".join(label.split()).casefold()
