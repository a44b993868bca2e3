"""Channel names: one spelling per electrode, and the montages a recording can be given in.

Files spell electrodes in many ways (``EEG FP1-REF``, ``Fp1.``, ``T7`` for ``T3``) and in any order. Signals
are therefore chosen by canonical label, never by position, and always come out in the montage's order.

A montage is a list of channels. ``native`` is what the corpus's own release records; ``bipolar18`` (the
double banana) and ``car19`` (common average of the 10-20 electrodes) are the same list for every corpus, so
that a model carries over from one to another.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from distilclip_eeg.schema import ConfigError, SkipRecording, check_choice

STANDARD_19 = (
    "FP1", "FP2", "F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2",
    "F7", "F8", "T3", "T4", "T5", "T6", "FZ", "CZ", "PZ",
)  # fmt: skip
"""The 10-20 electrodes in the order most TUSZ readers use."""

AUBMC_19 = (*STANDARD_19[:17], "A1", "A2")
"""The electrodes of AUBMC's ready-made windows: no CZ, no PZ, but both earlobes."""

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

MONTAGES = ("native", "bipolar18", "car19")
POLICIES = ("skip", "zero", "interpolate")
"""What to do with a recording that lacks channels of the montage (``missing_channels``)."""


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


BIPOLAR_18 = tuple(canonical(name) for name in CHBMIT_18)
"""The double banana in the names every corpus shares (T3 for T7)."""


@dataclass(frozen=True)
class Montage:
    """The channels a recording is given in, and how they come out of what a file holds.

    Raises:
        ConfigError: no such montage or policy, or interpolation of derivations.
    """

    name: str
    """``native``, ``bipolar18`` or ``car19``."""
    ch_names: tuple[str, ...]
    derive: bool = False
    """Whether ``A-B`` may be computed from electrodes A and B where the file has no such signal."""
    average: bool = False
    """Subtract the mean of the channels (common average reference)."""
    missing: str = "skip"
    """Where channels are missing: ``skip`` the recording, ``zero`` them, or ``interpolate`` electrodes on the
    sphere from the others (Perrin et al. 1989, Electroencephalogr Clin Neurophysiol 72:184-187)."""

    def __post_init__(self) -> None:
        check_choice("signals.montage", self.name, MONTAGES)
        check_choice("dataset.missing_channels", self.missing, POLICIES)
        if self.missing == "interpolate" and not (self.derive or all("-" not in c for c in self.ch_names)):
            raise ConfigError(
                "dataset.missing_channels=interpolate needs electrodes; the derivations of this montage "
                "cannot be interpolated. Use skip or zero."
            )


def montage_of(name: str, native: Sequence[str], *, missing: str = "skip", derive: bool = False) -> Montage:
    """The montage called ``name`` for a corpus that records ``native`` channels.

    Raises:
        ConfigError: an unknown name or policy, or ``car19`` of a corpus that records derivations only.
    """
    check_choice("signals.montage", name, MONTAGES)
    if name == "native":
        return Montage(name, tuple(native), derive=derive, missing=missing)
    if name == "bipolar18":
        return Montage(name, BIPOLAR_18, derive=True, missing=missing)
    if all("-" in channel for channel in native):
        raise ConfigError(
            "signals.montage=car19 needs electrodes against one reference; this corpus records derivations, "
            "from which they cannot be had back. Use signals.montage=bipolar18."
        )
    return Montage(name, STANDARD_19, average=True, missing=missing)


@dataclass(frozen=True)
class Plan:
    """How one file's signals become a montage's channels."""

    picks: tuple[int, ...]
    """Positions of the signals to decode."""
    rows: tuple[tuple[int, int | None] | None, ...]
    """For each channel, positions in ``picks``: a signal, or one minus another; None where there is none."""
    filled: tuple[str, ...] = ()
    """Channels of the montage that the file does not give."""
    electrodes: tuple[str, ...] = ()
    """Names of the picks, where missing ones are to be interpolated from them; ``rows`` is empty then."""

    @property
    def plain(self) -> bool:
        """Whether the picks are the channels, as they stand."""
        return self.rows == tuple((k, None) for k in range(len(self.picks)))


def plan_channels(available: Sequence[str], montage: Montage, source: str) -> Plan:
    """Find every channel of the montage in a file, by name.

    The k-th channel of a name takes the k-th signal of that name, or the last one where the file has fewer
    (CHB-MIT's T8-P8 stands twice in most files, once in some).

    Args:
        available: labels as the file writes them.
        source: what to call the file in a message.

    Raises:
        SkipRecording: ``missing_channels``, with what is missing and what the file has, unless the montage
            may fill them and at least half are there; ``mixed_references`` where two electrodes that are
            to be subtracted have different ones.
    """
    places: dict[str, list[int]] = {}
    for index, label in enumerate(available):
        if name := canonical(label):
            places.setdefault(name, []).append(index)
    taken: Counter[str] = Counter()
    found: list[tuple[int, int | None] | None] = []
    for name in map(canonical, montage.ch_names):
        first, _, second = name.partition("-")
        if name in places:
            found.append((places[name][min(taken[name], len(places[name]) - 1)], None))
            taken[name] += 1
        elif montage.derive and second and first in places and second in places:
            found.append((places[first][0], places[second][0]))
        else:
            found.append(None)
    missing = [c for c, pair in zip(montage.ch_names, found, strict=True) if pair is None]
    if missing and (montage.missing == "skip" or 2 * len(missing) > len(montage.ch_names)):
        raise _missing_channels(available, montage, missing, source)
    pairs = [pair for pair in found if pair]
    for left, right in pairs:
        if right is not None:
            _check_one_reference([available[left], available[right]], source)
    if montage.average:
        _check_one_reference([available[left] for left, _ in pairs], source)
    if missing and montage.missing == "interpolate":
        wanted = electrodes_of(montage.ch_names)
        there = [name for name in wanted if name in places]
        if 2 * len(there) < len(wanted):  # derivations, which cannot be interpolated
            raise _missing_channels(available, montage, missing, source)
        return Plan(tuple(places[name][0] for name in there), (), tuple(missing), tuple(there))
    picks = list(dict.fromkeys(index for pair in pairs for index in pair if index is not None))
    if not missing and all(right is None for _, right in pairs):
        picks = [left for left, _ in pairs]  # as they stand, a signal that serves two channels twice
        return Plan(tuple(picks), tuple((k, None) for k in range(len(picks))))
    at = {index: k for k, index in enumerate(picks)}
    rows = [pair and (at[pair[0]], None if pair[1] is None else at[pair[1]]) for pair in found]
    return Plan(tuple(picks), tuple(rows), tuple(missing))


def electrodes_of(ch_names: Sequence[str]) -> list[str]:
    """Every electrode the channels are made of, once, in canonical spelling."""
    return list(dict.fromkeys(e for name in ch_names for e in canonical(name).split("-")))


def _missing_channels(
    available: Sequence[str], montage: Montage, missing: Sequence[str], source: str
) -> SkipRecording:
    has = ", ".join(printable(label) for label in available) or "nothing"
    names = list(dict.fromkeys(name.removesuffix("-1") for name in missing))
    return SkipRecording(
        f"{source}: {len(names)} of {len(montage.ch_names)} montage channels are missing: "
        f"{', '.join(names)}; expected all, the file has {has}. Add the file's spelling to "
        "corpora/montage.py:ALIASES, set dataset.missing_channels=zero or interpolate (at least half must be "
        "there), or leave the file out.",
        reason="missing_channels",
    )


def _check_one_reference(labels: Sequence[str], source: str) -> None:
    by_reference = {split_reference(label)[1]: label for label in labels}
    if len(by_reference) > 1:
        names = " and ".join(printable(label) for label in by_reference.values())
        raise SkipRecording(
            f"{source}: {names} have different references; expected one, so that it cancels. Use "
            "signals.montage=native, or leave the file out.",
            reason="mixed_references",
        )


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
