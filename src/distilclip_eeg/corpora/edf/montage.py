"""Channel names: one spelling per electrode, and the montages a recording can be given in.

Files spell electrodes in many ways (``EEG FP1-REF``, ``Fp1.``, ``T7`` for ``T3``) and in any order. Signals
are therefore chosen by canonical label, never by position, and always come out in the montage's order.

A montage is a list of channels. ``native`` is what the corpus's own release records; ``bipolar18`` (the
double banana) and ``car19`` (common average of the 10-20 electrodes) are the same list for every corpus, so
that a model carries over from one to another.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from distilclip_eeg.schema import ConfigError, check_choice

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

EARS = ("A1", "A2")
"""As a second half they name a reference, as a first half an electrode."""
REFERENCES = frozenset(
    "REF REFERENCE VREF COM LE LER CLE LM AR AV AVE AVG AVERAGE CAR CAV CS2 A1A2 A1A22 M1M2 M1M22".split()
) | {*EARS}
"""Second halves that name a reference, without signs and brackets: ``(A1+A2)/2`` is A1A22."""

ELECTRODE = (
    r"(?:(?:FP|AFP|AF|F|FFT|FFC|FT|FC|C|CCP|T|TP|TTP|CP|P|PPO|PO|O|I|N)(?:Z|\d{1,2})H?|[AM][12]|0[12])"
)
"""Names of 10-20, 10-10 and most of 10-5, upper case."""
KIND = re.compile(rf"(?:EEG|POL)(?:\s+|[-_:.](?={ELECTRODE}))", re.IGNORECASE)
"""What stands before the name: the kind of signal as EDF+ has it, or Nihon Kohden's."""
JOINED = re.compile(rf"({ELECTRODE})\.*(\s*[_:/\u2013\u2212]\s*|\s+)([^-\s].*)", re.IGNORECASE)
"""An electrode and a second half that something else than a hyphen parts."""

MONTAGES = ("native", "bipolar18", "car19")
POLICIES = ("skip", "zero", "interpolate")
"""What to do with a recording that lacks channels of the montage (``missing_channels``)."""
IN_TRAINING, OF_OWN = ("", "dataset.missing_channels"), ("dataset.rename", "dataset.missing_channels")
"""Names of the settings that help where channels are missing: of a known corpus, of one's own recordings."""


def bare(label: str) -> str:
    """A label as written, without the kind of signal before it: ``EEG Fp1-Ref`` gives ``Fp1-Ref``."""
    name = label.strip()
    return name[kind.end() :].strip() if (kind := KIND.match(name)) else name


def halves_of(label: str) -> list[str]:
    """The parts of a label as written: ``EEG T7-P7-0`` gives ``["T7", "P7"]``.

    A trailing number is the counter that MNE appends to repeated names. ``Fp1_ref``, ``Fp1:M2`` and
    ``Fp1 Ref`` have two halves, too.
    """
    name = bare(label).strip(".")
    if joined := JOINED.fullmatch(name):
        first, between, second = joined.groups()
        electrode = re.fullmatch(ELECTRODE, second.strip(" ."), re.IGNORECASE) and between.strip()
        if electrode or squeezed(second) in REFERENCES:
            name = f"{first}-{second}"
    halves = [part.strip().strip(".") for part in name.split("-")]
    if len(halves) > 1 and halves[-1].isdecimal() and halves[-1] not in ALIASES:
        halves.pop()
    return halves


def squeezed(text: str) -> str:
    """Letters and digits alone, upper case: ``(A1+A2)/2`` gives A1A22."""
    return re.sub(r"[^A-Z0-9]", "", text.upper())


def split_reference(label: str) -> tuple[str, str]:
    """The canonical electrode (or derivation) of a label and its reference, ``""`` where none is named.

    ``EEG T7-REF`` gives ``("T3", "REF")``, ``T7-P7`` and ``T7-P7-1`` give ``("T3-T5", "")``. A dummy (``-``,
    ``.``, blank) gives ``""``, which matches nothing; ECG, VNS and their like keep names that no montage
    holds.
    """
    halves = [part.upper() for part in halves_of(label)]
    if not halves[0]:
        return "", ""
    named = len(halves) == 2 and squeezed(halves[1]) in REFERENCES
    reference = squeezed(halves.pop()) if named else ""
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
    """Whether ``A-B`` may be computed from other signals where the file has none of that name."""
    average: bool = False
    """Subtract the mean of the channels (common average reference)."""
    missing: str = "skip"
    """Where channels are missing: ``skip`` the recording, ``zero`` them, or ``interpolate`` electrodes on the
    sphere from the others (Perrin et al. 1989, Electroencephalogr Clin Neurophysiol 72:184-187)."""
    settings: tuple[str, str] = IN_TRAINING
    """What a user calls ``rename`` and ``missing``, for messages; empty where there is no such setting."""

    def __post_init__(self) -> None:
        check_choice("signals.montage", self.name, MONTAGES)
        check_choice("dataset.missing_channels", self.missing, POLICIES)
        if self.missing == "interpolate" and not (self.derive or all("-" not in c for c in self.ch_names)):
            raise ConfigError(
                "dataset.missing_channels=interpolate needs electrodes; the derivations of this montage "
                "cannot be interpolated. Use skip or zero."
            )


def montage_of(
    name: str,
    native: Sequence[str],
    *,
    missing: str = "skip",
    derive: bool = False,
    settings: tuple[str, str] = IN_TRAINING,
) -> Montage:
    """The montage called ``name`` for a corpus that records ``native`` channels.

    Args:
        missing, derive, settings: see :class:`Montage`; ``bipolar18`` is always derived.

    Raises:
        ConfigError: an unknown name or policy, or ``car19`` of a corpus that records derivations only.
    """
    check_choice("signals.montage", name, MONTAGES)
    if name == "native":
        return Montage(name, tuple(native), derive=derive, missing=missing, settings=settings)
    if name == "bipolar18":
        return Montage(name, BIPOLAR_18, derive=True, missing=missing, settings=settings)
    if all("-" in channel for channel in native):
        raise ConfigError(
            "signals.montage=car19 needs electrodes against one reference; this corpus records derivations, "
            "from which they cannot be had back. Use signals.montage=bipolar18."
        )
    return Montage(name, STANDARD_19, average=True, missing=missing, settings=settings)


def electrodes_of(ch_names: Sequence[str]) -> list[str]:
    """Every electrode the channels are made of, once, in canonical spelling."""
    return list(dict.fromkeys(e for name in ch_names for e in canonical(name).split("-")))


def printable(label: str) -> str:
    """A label fit for a one-line message: blanks and odd bytes made visible."""
    text = label.strip()
    return text if text and text.isascii() and text.isprintable() else ascii(text)
