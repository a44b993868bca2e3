"""What a command of the command line is."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from distilclip_eeg.config.rules import Settings

EXITS = {
    0: "done",
    1: "a bug, with its traceback",
    2: "a setting is wrong; nothing was read or written",
    3: "the data cannot be used",
    4: "memory or disk do not suffice, or another process is at the same work",
    130: "stopped from the keyboard; the same command continues",
    143: "stopped by SIGTERM, as a queue or a shutdown sends it; the same command continues",
}
"""What every command ends with."""


def as_typed(words: list[str]) -> list[str]:
    """The words as they are."""
    return words


@dataclass(frozen=True)
class Command:
    """A verb of ``distilclip-eeg``."""

    settings: type[Settings]
    """Its keys; the class's docstring is what it is for."""
    run: Callable[[Any, list[str]], int | None]
    """Does it: given the settings and the words they were composed from; returns the exit code, or None."""
    examples: tuple[str, ...]
    """Words of three calls."""
    complete: Callable[[list[str]], list[str]] = as_typed
    """Puts older or shorter spellings into the words, before they are composed."""
    writes: tuple[str, ...] = ()
    """Settings that name folders which it fills, such as ``run.root``."""
    exits: dict[int, str] = field(default_factory=dict)
    """Exit codes that mean something else here."""

    @property
    def paragraphs(self) -> list[str]:
        """What it is for, and what else there is to know."""
        return [" ".join(part.split()) for part in (self.settings.__doc__ or "").split("\n\n")]

    @property
    def purpose(self) -> str:
        """The first paragraph."""
        return self.paragraphs[0]
