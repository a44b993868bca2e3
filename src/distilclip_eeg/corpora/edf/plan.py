"""How one file's signals become a montage's channels: found by name, derived, filled, or refused."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from distilclip_eeg.corpora.edf.derive import Signals, Term
from distilclip_eeg.corpora.edf.montage import (
    BIPOLAR_18,
    Montage,
    canonical,
    electrodes_of,
    printable,
    split_reference,
)
from distilclip_eeg.schema import SkipRecording

MOST_PAIRS = 3
"""Derivations that a message names one by one."""


@dataclass(frozen=True)
class Plan:
    """How one file's signals become a montage's channels."""

    picks: tuple[int, ...]
    """Positions of the signals to decode."""
    rows: tuple[tuple[Term, ...] | None, ...]
    """For each channel, the positions in ``picks`` and signs of what is added up; None where nothing is."""
    names: tuple[str, ...]
    """Each channel as the file's reader knows it: the file's label where it is one signal, else in the file's
    spelling of the electrodes (T7 where the file says T7)."""
    filled: tuple[str, ...] = ()
    """Channels of the montage that the file does not give."""
    electrodes: tuple[str, ...] = ()
    """Names of the first picks, where missing channels are to be interpolated from them."""

    @property
    def plain(self) -> bool:
        """Whether the picks are the channels, as they stand."""
        return self.rows == tuple(((k, 1),) for k in range(len(self.picks)))

    def told(self, how: str) -> list[str]:
        """A warning with the filled channels, where there are any.

        Args:
            how: the montage's way with missing channels.
        """
        names = [name for name, row in zip(self.names, self.rows, strict=True) if row is None]
        made = "all zero" if how == "zero" else "interpolated"
        return [f"filled_channels: not in the file, {made}: {', '.join(names)}"] if self.filled else []


def plan_channels(available: Sequence[str], montage: Montage, source: str) -> Plan:
    """Find every channel of the montage in a file, by name.

    The k-th channel of a name takes the k-th signal of that name, or the last one where the file has fewer
    (CHB-MIT's T8-P8 stands twice in most files, once in some). Where the montage may be derived, a channel
    without a signal of its own is made of others (:mod:`~distilclip_eeg.corpora.edf.derive`).

    Args:
        available: labels as the file writes them.
        source: what to call the file in a message.

    Raises:
        SkipRecording: ``missing_channels``, with what is missing, what would be needed and what the file has,
            unless the montage may fill them and at least half are there; ``mixed_references`` where two
            electrodes that are to be subtracted have different ones.
    """
    signals = Signals(available)
    found = [*_rows(signals, montage)]
    wanted = [canonical(name) for name in montage.ch_names]
    lacking = [k for k, row in enumerate(found) if row is None]
    apart = [k for k in lacking if montage.derive and _both_there(signals, wanted[k])]
    missing = [k for k in lacking if k not in apart]
    if missing and (montage.missing == "skip" or 2 * len(missing) > len(wanted)):
        raise _missing_channels(signals, montage, missing, source)
    pairs = [[available[signals.places[e][0]] for e in wanted[k].split("-")] for k in apart]
    if montage.average:
        pairs.append([available[row[0][0]] for row in found if row])
    there: list[str] = []
    if missing and montage.missing == "interpolate":
        electrodes = electrodes_of(montage.ch_names)
        there = [name for name in electrodes if name in signals.places]
        if 2 * len(there) < len(electrodes):  # derivations, which cannot be interpolated
            raise _missing_channels(signals, montage, missing, source)
        if montage.derive:
            pairs.append([available[signals.places[name][0]] for name in there])
    for labels in pairs:
        _check_one_reference(labels, montage, source)
    names = tuple(signals.named(n, row) for n, row in zip(montage.ch_names, found, strict=True))
    filled = tuple(montage.ch_names[k] for k in missing)
    used = [index for row in found if row for index, _ in row]
    if not missing and all(row and len(row) == 1 and row[0][1] == 1 for row in found):
        # As they stand, a signal that serves two channels twice.
        return Plan(tuple(used), tuple(((k, 1),) for k in range(len(used))), names)
    picks = [*dict.fromkeys([*(signals.places[name][0] for name in there), *used])]
    at = {index: k for k, index in enumerate(picks)}
    rows = [row and tuple((at[index], sign) for index, sign in row) for row in found]
    return Plan(tuple(picks), tuple(rows), names, filled, tuple(there))


def _rows(signals: Signals, montage: Montage) -> list[tuple[Term, ...] | None]:
    """Each channel as a sum of signals, by their position in the file; None where it cannot be had."""
    taken: Counter[str] = Counter()
    found: list[tuple[Term, ...] | None] = []
    for name in map(canonical, montage.ch_names):
        first, _, second = name.partition("-")
        if places := signals.places.get(name):
            found.append(((places[min(taken[name], len(places) - 1)], 1),))
            taken[name] += 1
        else:
            found.append(signals.follow(first, second) if montage.derive and second else None)
    return found


def _both_there(signals: Signals, name: str) -> bool:
    """Whether a derivation's electrodes are signals, so that only their references keep them apart."""
    return "-" in name and all(electrode in signals.places for electrode in name.split("-"))


def _missing_channels(
    signals: Signals, montage: Montage, missing: Sequence[int], source: str
) -> SkipRecording:
    has = ", ".join(printable(label) for label in signals.labels) or "nothing"
    names = list(dict.fromkeys(signals.written(montage.ch_names[k]) for k in missing))
    rename, fill = montage.settings
    expected, unnamed = "each as a signal", names[0]
    if montage.derive:
        absent = _absent(signals, [montage.ch_names[k] for k in missing])
        unnamed = (absent or [unnamed])[0]
        needed = _needed(signals, absent, [montage.ch_names[k] for k in missing])
        expected += f", or what it follows from: {needed}"
    do = [f"say which label is which by {rename}={{LABEL: {unnamed}}}"] if rename else []
    if not montage.derive and fill != "channels" and all(signals.follow(*n.split("-")) for n in BIPOLAR_18):
        do.append("use signals.montage=bipolar18, which the file can give")
    if fill and 2 * len(missing) <= len(montage.ch_names):
        electrodes = montage.derive or "-" not in "".join(montage.ch_names)
        do.append(f"set {fill}=zero{' or interpolate' * electrodes}")
    return SkipRecording(
        f"{source}: {len(names)} of {len(montage.ch_names)} montage channels are missing: "
        f"{', '.join(names)}; expected {expected}; the file has {has}. {_advice(do)}",
        reason="missing_channels",
    )


def _advice(do: Sequence[str]) -> str:
    """What may be done, as a sentence."""
    words = ", ".join([*do, "or leave the file out"]) if do else "leave the file out"
    return f"{words[0].upper()}{words[1:]}."


def _absent(signals: Signals, missing: Sequence[str]) -> list[str]:
    """Electrodes of the missing channels that no signal has, in the file's or the montage's spelling."""
    return [signals.written(name) for name in electrodes_of(missing) if name not in signals.edges]


def _needed(signals: Signals, absent: Sequence[str], missing: Sequence[str]) -> str:
    """Which further derivations would give the missing ones."""
    needed = []
    if absent:
        references = signals.references()
        against = f"{references[0]} or another electrode" if references else "an electrode"
        needed.append(f"{' and '.join(absent)} against {against} of the file")
    pairs = [canonical(n).split("-") for n in missing if {*canonical(n).split("-")} <= {*signals.edges}]
    if pairs:
        words = [" with ".join(map(signals.written, pair)) for pair in pairs]
        needed.append(f"a derivation that connects {', '.join(words[:MOST_PAIRS])}")
    return "; ".join(needed)


def _check_one_reference(labels: Sequence[str], montage: Montage, source: str) -> None:
    by_reference = {split_reference(label)[1]: label for label in labels}
    if len(by_reference) > 1:
        names = " and ".join(printable(label) for label in by_reference.values())
        rename, fill = montage.settings
        first = canonical(labels[0])
        do = [f"where it is one, name it alike by {rename}={{LABEL: {first}-REF}}"] if rename else []
        do += ["use signals.montage=native"] if fill != "channels" else []
        raise SkipRecording(
            f"{source}: {names} have different references; expected one, so that it cancels. {_advice(do)}",
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
