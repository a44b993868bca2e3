"""What a page is made of before it is markup: plain values, which the templates in ``assets`` draw."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from distilclip_eeg.report.drawing import COLUMN, DPI, Picture
from distilclip_eeg.report.grid import Grid

Cell = str | tuple[str, str]
"""A text, or a text and how it stands among its column: ``best``, ``second`` or nothing."""
LONG = 40
"""Characters from which on a cell is wrapped."""


@dataclass(frozen=True)
class Block:
    """Something on the page; ``kind`` is the macro that draws it."""

    kind: ClassVar[str]


@dataclass(frozen=True)
class Text(Block):
    """A paragraph; ``look`` is its class: nothing, ``head``, ``note`` or ``absent``."""

    kind = "text"
    text: str
    look: str = ""


@dataclass(frozen=True)
class Bullets(Block):
    """A list without numbers."""

    kind = "bullets"
    lines: Sequence[str]


@dataclass(frozen=True)
class Facts(Block):
    """Names, and what is to be said of each."""

    kind = "facts"
    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Printed(Block):
    """Text as a program printed it."""

    kind = "printed"
    text: str


@dataclass(frozen=True)
class Table(Block):
    """Rows of cells; the first ``words`` columns to the left, long texts wrapped."""

    kind = "table"
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    words: int = 1
    caption: str = ""

    def look(self, column: int, cell: Cell) -> str:
        """Class of a cell."""
        text = cell if isinstance(cell, str) else cell[0]
        return "word" if column < self.words else "long word" if len(text) > LONG else ""


@dataclass(frozen=True)
class Figure(Block):
    """A picture with its caption."""

    kind = "figure"
    picture: Picture

    @property
    def narrow(self) -> bool:
        """Whether it was drawn for one column, so that two of its kind fill a line."""
        return int.from_bytes(self.picture.png[16:20], "big") <= COLUMN * DPI + 1


@dataclass(frozen=True)
class Side(Block):
    """Narrow blocks next to each other where there is room."""

    kind = "side"
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Stack(Block):
    """Blocks one below the other, as one of those of a ``Side``."""

    kind = "stack"
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Missing(Block):
    """A part that is not there, and the command that makes it."""

    kind = "missing"
    what: str
    command: str


@dataclass(frozen=True)
class Folded(Block):
    """Blocks behind a line that opens them."""

    kind = "folded"
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Verdict(Block):
    """What a corpus's runs come to: the claim, and what has to be known of it."""

    kind = "verdict"
    claim: str
    facts: Sequence[tuple[str, str]]
    """Which protocol, how sure, what follows, what cannot be said."""
    limits: Sequence[str]


@dataclass(frozen=True)
class Section:
    """A heading with an anchor, what stands below it, and the headings one level further in."""

    title: str
    id: str
    blocks: Sequence[Block]
    parts: Sequence["Section"] = ()


def tables(grids: Sequence[Grid]) -> list[Block]:
    """Tables of figures one below the other; what is to be known to read them is told once, folded."""
    shown: list[Block] = []
    for grid in grids:
        shown.append(Table(grid.head(), grid.texts(), len(grid.words), grid.title))
    notes = list(dict.fromkeys(note for grid in grids for note in grid.notes))
    return [*shown, Folded("How to read this", [Bullets(notes)])] if notes else shown


def folded(title: str, grids: Sequence[Grid]) -> list[Block]:
    """Tables behind a line that opens them; nothing where there are none."""
    return [Folded(title, tables(grids))] if grids else []
