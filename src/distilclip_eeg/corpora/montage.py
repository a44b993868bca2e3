"""Channel names: one spelling per electrode, and picking a montage by name.

Files spell electrodes in many ways (``EEG FP1-REF``, ``Fp1.``, ``T7`` for ``T3``) and in any order. Signals
are therefore chosen by canonical label, never by position, and always come out in the montage's order.
"""

from collections import Counter
from collections.abc import Sequence

from distilclip_eeg.schema import SkipRecording

STANDARD_19 = (
    "FP1", "FP2", "F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2",
    "F7", "F8", "T3", "T4", "T5", "T6", "FZ", "CZ", "PZ",
)  # fmt: skip
"""The 10-20 electrodes in the order most TUSZ readers use."""

CHBMIT_23 = (
    "FP1-F7", "F7-T7", "T7-P7", "P7-O1", "FP1-F3", "F3-C3", "C3-P3", "P3-O1",
    "FP2-F4", "F4-C4", "C4-P4", "P4-O2", "FP2-F8", "F8-T8", "T8-P8", "P8-O2",
    "FZ-CZ", "CZ-PZ", "P7-T7", "T7-FT9", "FT9-FT10", "FT10-T8", "T8-P8-1",
)  # fmt: skip
"""The conventional CHB-MIT montage. The files name T8-P8 twice; the second is ``T8-P8-1`` here so that
names stay unique. P7-T7 is minus T7-P7, so the 23 rows carry 21 independent derivations."""

CHBMIT_18 = CHBMIT_23[:18]
"""The double banana, present in every CHB-MIT file but three."""

ALIASES = {"T7": "T3", "T8": "T4", "P7": "T5", "P8": "T6", "01": "O1", "02": "O2"}
"""Other spellings of an electrode: the modern 10-20 names, and a zero typed for the letter O (chb12)."""

REFERENCES = frozenset({"REF", "LE", "AR", "AVG", "CS2", "A1", "A2"})
"""Second halves that name a reference. As a *first* half, A1 and A2 are electrodes."""


def split_reference(label: str) -> tuple[str, str]:
    """The canonical electrode (or derivation) of a label and its reference, ``""`` where none is named.

    ``EEG T7-REF`` gives ``("T3", "REF")``, ``T7-P7`` and ``T7-P7-1`` give ``("T3-T5", "")``: a trailing
    number is the counter that MNE appends to repeated names. A dummy (``-``, ``.``, blank) gives ``""``,
    which matches nothing; ECG, VNS and their like keep names that no montage holds.
    """
    name = label.strip().upper().removeprefix("EEG ").strip().strip(".")
    halves = [part.strip().strip(".") for part in name.split("-")]
    if len(halves) > 1 and halves[-1].isdecimal() and halves[-1] not in ALIASES:
        halves.pop()
    if not halves[0]:
        return "", ""
    reference = halves.pop() if len(halves) == 2 and halves[1] in REFERENCES else ""
    return "-".join(ALIASES.get(part, part) for part in halves).rstrip("-"), reference


def canonical(label: str) -> str:
    """The one spelling of a label; see :func:`split_reference`."""
    return split_reference(label)[0]


def pick_channels(available: Sequence[str], montage: Sequence[str], source: str) -> list[int]:
    """Positions in ``available`` of the montage's channels, in montage order.

    The k-th channel of a name in the montage takes the k-th signal of that name, or the last one where the
    file has fewer (CHB-MIT's T8-P8 stands twice in most files, once in some).

    Args:
        available: labels as the file writes them.
        montage: labels wanted; repeated names are allowed.
        source: what to call the file in a message.

    Raises:
        SkipRecording: reason ``missing_channels``; says which are missing and what the file has.
    """
    places: dict[str, list[int]] = {}
    for index, label in enumerate(available):
        if name := canonical(label):
            places.setdefault(name, []).append(index)
    missing = list(dict.fromkeys(label for label in montage if canonical(label) not in places))
    if missing:
        has = ", ".join(printable(label) for label in available) or "nothing"
        raise SkipRecording(
            f"{source}: {len(missing)} of {len(montage)} montage channels are missing: {', '.join(missing)}; "
            f"expected all, the file has {has}. Add the file's spelling to corpora/montage.py:ALIASES, "
            "or leave the file out.",
            reason="missing_channels",
        )
    taken: Counter[str] = Counter()
    picks = []
    for name in map(canonical, montage):
        picks.append(places[name][min(taken[name], len(places[name]) - 1)])
        taken[name] += 1
    return picks


def copies(available: Sequence[str], picks: Sequence[int]) -> list[tuple[int, int]]:
    """Signals that share a picked name, as (first picked, other); the other may be picked, too.

    Whoever reads the file must compare the two: an equal copy is harmless, two different signals under one
    name cannot be told apart.
    """
    chosen = {canonical(available[index]): index for index in reversed(picks)}
    return [
        (chosen[canonical(label)], index)
        for index, label in enumerate(available)
        if chosen.get(canonical(label), index) != index
    ]


def montage_warnings(available: Sequence[str], picks: Sequence[int]) -> tuple[str, ...]:
    """What is odd about a choice: linked-ear reference, mixed references."""
    references = sorted({split_reference(available[index])[1] for index in picks} - {""})
    out = []
    if "LE" in references:
        out.append("linked_ear_reference: the reference is linked ears (LE)")
    if len(references) > 1:
        out.append(f"mixed_references: channels have different references ({', '.join(references)})")
    return tuple(out)


def printable(label: str) -> str:
    """A label fit for a one-line message: blanks and odd bytes made visible."""
    text = label.strip()
    return text if text and text.isascii() and text.isprintable() else ascii(text)
