"""TUSZ v2.0.x in its native layout with invented signal: folders, EDF headers, ``.csv`` and ``.csv_bi``.

Labels, rates, ranges, header fields and the habits of the annotation files are the released ones' (which file
has which is chosen here); people and signals are ``people``'s. Every so many recordings one is odd in a way
that releases are: see ``QUIRKS``.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from distilclip_eeg.corpora.invented.layouts.edf import Header, Signal, edf_bytes, signal_of
from distilclip_eeg.corpora.invented.layouts.people import person, potentials
from distilclip_eeg.corpora.invented.plan import Person
from distilclip_eeg.corpora.tusz_files import NON_SPECIFIC, TERM, TYPES
from distilclip_eeg.schema import BACKGROUND, SEIZURE, Event

TCP = (
    "FP1-F7", "F7-T3", "T3-T5", "T5-O1", "FP2-F8", "F8-T4", "T4-T6", "T6-O2", "A1-T3", "T3-C3", "C3-CZ",
    "CZ-C4", "C4-T4", "T4-A2", "FP1-F3", "F3-C3", "C3-P3", "P3-O1", "FP2-F4", "F4-C4", "C4-P4", "P4-O2",
)  # fmt: skip
"""Derivations of the annotations; the signals are referential."""
ELECTRODES = (
    "FP1", "FP2", "F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2", "F7", "F8", "T3", "T4", "T5", "T6",
    "A1", "A2", "FZ", "CZ", "PZ",
)  # fmt: skip
MONTAGES = ("01_tcp_ar", "02_tcp_le", "03_tcp_ar_a")
FOCAL = ("cpsz", "fnsz", "spsz")

UNITS = {"IBI": "sec", "BURSTS": "brst/min", "SUPPR": "%", "PHOTIC PH": "mm"}
ONE_HZ = ("IBI", "BURSTS", "SUPPR")
NUMBERED = tuple(f"EEG {k}-REF" for k in range(26, 33))
EXTRAS = (
    ("EEG EKG1-REF", *ONE_HZ),
    ("EEG ROC-REF", "EEG LOC-REF", "EEG EKG1-REF", "EMG-REF", *NUMBERED, "EEG T1-REF", "EEG T2-REF",
     "PHOTIC-REF"),
    ("EEG EKG-REF", "PHOTIC PH", *(f"DC{k}-DC" for k in range(1, 9))),
    (),
)  # fmt: skip
"""What stands beside the electrodes; in montage 02 with ``LE`` for ``REF``."""
LIMITS_UV = (4999.85, 5482.29, 29483.1)
DIGITAL = (-32767, 32767)
WIDE = (-4999850, 4999850)
"""Physical range of the DC inputs."""

QUIRKS = {4: "mysz", 7: "no_midline", 9: "past_end", 12: "short", 15: "overlap", 18: "differs", 21: "mixed"}
"""By number of the recording modulo ``QUIRK_PERIOD``: what is odd about it."""
QUIRK_PERIOD = 25
SHORTEST_S = 35
WARNING_OF = {
    "mysz": "excluded_class",
    "past_end": "annotation_outside",
    "short": "short_for_filter",
    "overlap": "overlapping_events",
    "differs": "annotations_differ",
    "mixed": "mixed_types",
}

Row = tuple[str, float, float, str]
"""Channel, start, stop, label."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One recording to be written."""

    patient: str = "aaaaaaaa"
    part: str = "train"
    session: str = "s001_2009"
    token: int = 0
    montage: str = "01_tcp_ar"
    seconds: int = 20
    sfreq: int = 256
    seizures: tuple[Event, ...] = ()
    """As annotated, with their types."""
    quirk: str = ""
    midline: bool = True
    """Whether FZ and PZ were recorded."""
    extras: tuple[str, ...] = EXTRAS[0]
    backwards: bool = False
    """Electrodes in the other order."""
    limit_uv: float = LIMITS_UV[0]
    sex: str = "F"
    age: str = "45"
    """As the header writes it; empty: no age."""
    date: str = "01.01.09"
    clock: str = "00.00.00"

    @property
    def name(self) -> str:
        """Stem of its files: patient, session and token, as TUH names them."""
        return f"{self.patient}_{self.session[:4]}_t{self.token:03d}"

    @property
    def channels(self) -> tuple[str, ...]:
        """Derivations of its ``.csv``: montage 03 has no earlobes."""
        ears = self.montage.endswith("_a")
        return tuple(c for c in TCP if not ears or c not in ("A1-T3", "T4-A2"))


def write_recording(
    root: Path,
    recipe: Recipe,
    *,
    uv: Mapping[str, np.ndarray] | None = None,
    csv: Sequence[Row] | None = None,
    csv_bi: Sequence[Row] | None = None,
) -> Path:
    """The EDF and its two annotation files in their place below ``root``; gives the EDF's path.

    Args:
        uv: microvolts by electrode, as from ``people.potentials``; white noise where none is given.
        csv, csv_bi: rows to write instead of what the recipe's seizures give.
    """
    folder = root / "edf" / recipe.part / recipe.patient / recipe.session / recipe.montage
    folder.mkdir(parents=True, exist_ok=True)
    age = f" Age:{recipe.age}" if recipe.age else ""
    path = folder / f"{recipe.name}.edf"
    path.write_bytes(
        edf_bytes(
            signals_of(recipe, uv),
            header=Header(
                patient=f"{recipe.patient} {recipe.sex} 01-JAN-1960 {recipe.patient}{age}",
                recording=f"Startdate 01-JAN-2009 {recipe.patient}_{recipe.session[:4]} 00 X",
                date=recipe.date,
                clock=recipe.clock,
            ),
        )
    )
    for suffix, rows in (
        (".csv", channel_rows(recipe) if csv is None else csv),
        (".csv_bi", term_rows(recipe) if csv_bi is None else csv_bi),
    ):
        path.with_suffix(suffix).write_text(csv_text(rows, recipe.name, recipe.seconds), newline="\n")
    return path


def signals_of(recipe: Recipe, uv: Mapping[str, np.ndarray] | None = None) -> list[Signal]:
    """Every signal of a recording's EDF: electrodes, then what stands beside them."""
    n = recipe.seconds * recipe.sfreq
    rng = np.random.default_rng([recipe.token, recipe.seconds, recipe.sfreq])
    noise = rng.normal(0.0, 30.0, n)
    ears = recipe.montage.endswith("_a")
    left_out = ("A1", "A2") * ears + ("FZ", "PZ") * (not recipe.midline)
    names = [name for name in ELECTRODES if name not in left_out]
    limits: tuple[float, float] = (-recipe.limit_uv, recipe.limit_uv)
    reference = "LE" if recipe.montage.endswith("_le") else "REF"
    signals = [
        signal_of(
            f"EEG {name}-{reference}",
            rng.normal(0.0, 30.0, n) if uv is None else uv[name],
            recipe.sfreq,
            physical_range=limits,
            digital_range=DIGITAL,
        )
        for name in (names[::-1] if recipe.backwards else names)
    ]
    for label in recipe.extras:
        unit, rate = UNITS.get(label, "uV"), 1 if label in ONE_HZ else recipe.sfreq
        signals.append(
            signal_of(
                label.replace("-REF", f"-{reference}"),
                noise[: recipe.seconds * rate],
                rate,
                physical_range=WIDE if label.startswith("DC") else limits,
                digital_range=DIGITAL,
                unit=unit,
            )
        )
    return signals


def csv_text(rows: Sequence[Row], name: str, duration_s: float) -> str:
    """A ``.csv`` or ``.csv_bi``: comments, header, rows."""
    head = f"# version = csv_v1.0.0\n# bname = {name}\n# duration = {duration_s:.2f} secs\n"
    head += "# montage_file = $NEDC_NFC/lib/nedc_eas_default_montage.txt\n#\n"
    body = "".join(f"{c},{first:.4f},{last:.4f},{label},1.0000\n" for c, first, last, label in rows)
    return f"{head}channel,start_time,stop_time,label,confidence\n{body}"


def channel_rows(recipe: Recipe) -> list[Row]:
    """Rows of the ``.csv``: each channel tiled, background and seizures in turn.

    A focal seizure stands on eight channels, later on each; any other on all.
    """
    rows: list[Row] = []
    for place, channel in enumerate(recipe.channels):
        at = 0.0
        for seizure in recipe.seizures:
            focal = seizure.label in FOCAL
            if focal and place >= 8:
                continue
            late = 0.05 * place * (seizure.offset_s - seizure.onset_s) if focal else 0.0
            onset, offset, label = seizure.onset_s + late, seizure.offset_s, seizure.label
            if recipe.quirk == "mixed" and place in (1, 2):
                label = NON_SPECIFIC[label == NON_SPECIFIC[0]]
            if onset > at:
                rows.append((channel, at, onset, BACKGROUND))
            if recipe.quirk == "overlap" and place == 0:  # one seizure twice on one channel
                rows.append((channel, onset, offset - 2.0, label))
                rows.append((channel, onset + 4.0, offset, label))
            else:
                rows.append((channel, onset, offset, label))
            at = offset
        if at < recipe.seconds:
            rows.append((channel, at, recipe.seconds, BACKGROUND))
    return rows


def term_rows(recipe: Recipe) -> list[Row]:
    """Rows of the ``.csv_bi``: nothing but seizures; without any, one row, often of a second only."""
    if not recipe.seizures:
        if recipe.token % 2:
            return [(TERM, 0.0, recipe.seconds, BACKGROUND)]
        return [(TERM, 0.0059, 1.0373, BACKGROUND)]
    cut_s = 5.0 if recipe.quirk == "differs" else 0.0
    return [(TERM, e.onset_s, e.offset_s - cut_s, SEIZURE) for e in recipe.seizures]


def draw_seizures(rng: np.random.Generator, seconds: int) -> list[tuple[int, int]]:
    """Onset and offset in whole seconds of one seizure, or of two where there is room for them."""
    n = 2 if seconds >= 90 else 1
    room, found = seconds // n, []
    for slot in range(n):
        length = int(rng.integers(12, max(14, min(31, room // 2))))
        onset = slot * room + int(rng.integers(4, room - length - 4))
        found.append((onset, onset + length))
    return found


def write_tusz(
    root: Path,
    *,
    n_subjects: int = 30,
    recordings_per_subject: int = 2,
    recording_s: int = 70,
    seed: int = 0,
    n_recordings: int | None = None,
) -> dict:
    """A whole release; three of five people are in train, one in dev, one in eval.

    Args:
        recording_s: mean length, 35 or more; each is up to 15 % shorter or longer.
        n_recordings: instead of ``n_subjects``: as many people as it takes.

    Returns:
        What a reader must find with ``missing_channels=skip`` and ``labels=types``; of the whole corpus also
        ``corpus_warnings``.

    Raises:
        ValueError: ``recording_s`` below 35.
    """
    if recording_s < SHORTEST_S:
        raise ValueError(f"recording_s={recording_s}: expected {SHORTEST_S} or more")
    total = n_recordings or n_subjects * recordings_per_subject
    people: dict[int, Person] = {}
    written: list[Recipe] = []
    typed: Counter[str] = Counter()
    doubled = False
    for count in range(total):
        number, index = divmod(count, recordings_per_subject)
        rng = np.random.default_rng([seed, count])
        recipe, spans = _draw(rng, number, index, count, recording_s, typed)
        doubles = recipe.part == "eval" and not doubled and recipe.midline
        if doubles:
            recipe = replace(recipe, montage=MONTAGES[2])
        who = people.setdefault(number, person(number, seed))
        kind = (*TYPES, "mysz").index(recipe.seizures[0].label) if spans else None
        uv = potentials(rng, who, recipe.seconds, spans, recipe.sfreq, kind)
        write_recording(root, recipe, uv=uv)
        if doubles:
            write_recording(root, replace(recipe, montage=MONTAGES[0]), uv=uv)
        doubled = doubled or doubles
        written.append(recipe)
    (root / "AAREADME.txt").write_text("An invented corpus in the layout of TUSZ v2.0.x.\n")
    truth = _truth(written)
    return {**truth, "corpus_warnings": {"duplicate_recording": 1} if doubled else {}}


def _draw(
    rng: np.random.Generator, number: int, index: int, count: int, recording_s: int, typed: Counter[str]
) -> tuple[Recipe, list[tuple[int, int]]]:
    """Recording ``index`` of a person, ``count`` of all; and where its seizures are in the signal.

    Types go round in each part (``typed`` counts them), so that none is lacking.
    """
    quirk = QUIRKS.get(count % QUIRK_PERIOD, "")
    seconds = 7 if quirk == "short" else round(recording_s * rng.uniform(0.85, 1.15))
    part = ("train", "train", "train", "dev", "eval")[number % 5]
    spans, events = [], []
    if quirk not in ("short", "no_midline") and (quirk or count % 6 != 5):
        spans = draw_seizures(rng, seconds)
        label = "mysz" if quirk == "mysz" else TYPES[typed[part] % len(TYPES)]
        typed[part] += quirk != "mysz"
        if quirk == "past_end":
            spans[-1] = (spans[-1][0], seconds)
        inward_s = rng.integers(0, 5000, (len(spans), 2)) / 1e4  # annotated a little inside what is drawn
        events = [
            Event(a + first, b - last, label) for (a, b), (first, last) in zip(spans, inward_s, strict=True)
        ]
        if quirk == "past_end":
            events[-1] = replace(events[-1], offset_s=seconds + 3.5)
    montage = MONTAGES[(0, 0, 2, 0, 0, 0, 1, 2, 0, 0)[count % 10]]
    odd_date = count % 9 == 5
    recipe = Recipe(
        patient="".join(chr(ord("a") + number // 26**place % 26) for place in range(7, -1, -1)),
        part=part,
        session=f"s{index // 2 + 1:03d}_{2003 + number % 15}" + "_03_17" * (count % 10 == 9),
        token=2 * (index % 2) + number % 2,
        montage=montage,
        seconds=seconds,
        sfreq=(250, 256, 400)[count % 3],
        seizures=tuple(events),
        quirk=quirk,
        midline=quirk != "no_midline",
        extras=EXTRAS[count % 4],
        backwards=count % 5 == 4,
        limit_uv=LIMITS_UV[count // 3 % 3],
        sex="FMX"[number % 7 % 3],
        age=("45", "7", "71", "0.0109", "")[number % 5],
        date="01:01:09" if odd_date else "01.01.09",
        clock="00:00:00" if odd_date else "00.00.00",
    )
    return recipe, spans


def _truth(written: Sequence[Recipe]) -> dict:
    """What the annotations of the recordings that can be used add up to."""
    used = [recipe for recipe in written if recipe.midline]
    seizures: Counter[str] = Counter()
    seizure_s: dict[str, float] = defaultdict(float)
    warnings: Counter[str] = Counter()
    for recipe in used:
        for event in recipe.seizures:
            seizures[event.label] += 1
            seizure_s[event.label] += min(event.offset_s, recipe.seconds) - event.onset_s
        if recipe.quirk:
            warnings[WARNING_OF[recipe.quirk]] += 1
        if recipe.montage == MONTAGES[1]:
            warnings["linked_ear_reference"] += 1
    seizures.pop("mysz", None)
    return {
        "recordings": len(used),
        "skipped": {"missing_channels": len(written) - len(used)} if len(used) < len(written) else {},
        "subjects": len({recipe.patient for recipe in used}),
        "excluded_s": seizure_s.pop("mysz", 0.0),
        "seizures": dict(seizures),
        "seizure_s": dict(seizure_s),
        "duration_s": sum(recipe.seconds for recipe in used),
        "warnings": dict(warnings),
    }
