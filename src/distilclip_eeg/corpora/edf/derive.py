"""What a file's signals say about potentials: which derivation follows from which, by one rule.

Every signal is a difference of two potentials: ``A-B`` of two electrodes, ``A-Ref`` of an electrode and its
reference. So the signals are the edges of a graph whose nodes are electrodes and references, and a wanted
``A-B`` is the sum along a path from A to B, an edge that is walked backwards with the sign turned round:

- the signal ``A-B`` itself, or minus ``B-A``;
- electrodes A and B against one reference: ``A-Ref`` minus ``B-Ref``, be the reference an ear, an average or
  an electrode (``Fp1-Cz``);
- a chain such as ``A-C`` plus ``C-B``.

The path of fewest signals is taken, for each adds its own rounding (half a step of the file); of several, the
one over a reference, then the one whose signals stand first in the file.
"""

import re
from collections import deque
from collections.abc import Sequence

from distilclip_eeg.corpora.edf.montage import (
    ALIASES,
    EARS,
    REFERENCES,
    bare,
    halves_of,
    printable,
    split_reference,
    squeezed,
)

LOCAL = frozenset({"SD", "SL", "LAP", "LAPLACE", "LAPLACIAN", "HJORTH", "CSD"})
"""Second halves that are another potential for each electrode, so that they do not cancel."""
MODERN = {name: ALIASES[name] for name in ("T7", "T8", "P7", "P8")}
REFERENCE = "reference "
"""Begins the node of a reference, which no electrode's name does."""
Term = tuple[int, int]
"""Position of a signal, and 1 or -1."""


class Signals:
    """A file's signals by what they are differences of.

    Args:
        labels: as the file writes them, or as a user renamed them.
    """

    def __init__(self, labels: Sequence[str]):
        self.labels = labels
        self.places: dict[str, list[int]] = {}
        """Positions by canonical name."""
        self.spelling: dict[str, str] = {}
        """Electrodes by canonical name, as the file spells them."""
        self.edges: dict[str, list[tuple[str, Term]]] = {}
        """Of each node: the other node, and the signal that leads there."""
        for index, label in enumerate(labels):
            name, reference = split_reference(label)
            if not name:
                continue
            self._note_spelling(label)
            if name not in self.places:  # a repeated name counts once, by its first signal
                self._connect(name, reference, index)
            self.places.setdefault(name, []).append(index)
        for others in self.edges.values():
            others.sort(key=lambda edge: not edge[0].startswith(REFERENCE))  # stable: then as in the file

    def _note_spelling(self, label: str) -> None:
        for place, half in enumerate(halves_of(label)):
            if half and not (place and squeezed(half) in REFERENCES):
                name = half.upper()
                self.spelling.setdefault(ALIASES.get(name, name), half)

    def _connect(self, name: str, reference: str, index: int) -> None:
        first, *others = name.split("-")
        second = others[0] if others else reference if reference in EARS else f"{REFERENCE}{reference}"
        if len(others) > 1 or second == first or squeezed(second) in LOCAL or not first or not second:
            return
        self.edges.setdefault(first, []).append((second, (index, 1)))
        self.edges.setdefault(second, []).append((first, (index, -1)))

    def follow(self, first: str, second: str) -> tuple[Term, ...] | None:
        """The signals whose sum, with their signs, is ``first`` minus ``second``; None where none is."""
        reached: dict[str, tuple[str, Term] | None] = {first: None}
        waiting = deque([first])
        while waiting and second not in reached:
            node = waiting.popleft()
            for other, term in self.edges.get(node, ()):
                if other not in reached:
                    reached[other] = node, term
                    waiting.append(other)
        if first not in self.edges or second not in reached:
            return None
        path, step = [], reached[second]
        while step:
            path.append(step[1])
            step = reached[step[0]]
        return tuple(reversed(path))

    def references(self) -> list[str]:
        """What electrodes are measured against, as far as a name says."""
        return [n.removeprefix(REFERENCE) for n in self.edges if n.startswith(REFERENCE) and n != REFERENCE]

    def written(self, name: str) -> str:
        """A channel in the file's own spelling of its electrodes: ``F7-T3`` is ``F7-T7`` where it says T7.

        Electrodes that the file lacks are written in its manner: ``Cz`` beside ``Fz``, ``P7`` beside ``T7``.
        """
        return "-".join(printable(self._electrode(half)) for half in halves_of(name))

    def _electrode(self, half: str) -> str:
        name = ALIASES.get(half.upper(), half.upper())
        if name in self.spelling:
            return self.spelling[name]
        there = {*self.spelling.values()}
        if {text.upper() for text in there} & MODERN.keys():
            half = next((new for new, old in MODERN.items() if old == name), half)
        elif there & {*MODERN.values()}:
            half = MODERN.get(half, half)
        if any(text != text.upper() for text in there):
            half = re.sub("^FP", "Fp", re.sub("Z$", "z", half))
        return half

    def named(self, name: str, row: Sequence[Term] | None) -> str:
        """What to call a channel in figures: the file's label where it is one signal as it stands."""
        if row and len(row) == 1 and row[0][1] == 1:
            return printable(bare(self.labels[row[0][0]]))
        return self.written(name)
