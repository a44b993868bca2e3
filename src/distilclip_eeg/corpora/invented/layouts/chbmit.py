"""Files in the native layout of CHB-MIT with any of its quirks; the ordinary ones are the synthetic corpus's.

The grammar of the texts is ``corpora/invented/files.py``'s, told where it is read.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from distilclip_eeg.corpora.edf.montage import split_reference
from distilclip_eeg.corpora.invented.files import (
    DIGITAL,
    PHYSICAL_UV,
    channels_changed,
    seizure_bytes,
    summary_block,
    summary_head,
)
from distilclip_eeg.corpora.invented.layouts.edf import Header, Signal, edf_bytes, signal_of
from distilclip_eeg.corpora.invented.layouts.people import person, potentials
from distilclip_eeg.corpora.invented.plan import LABELS_23, Plan
from distilclip_eeg.corpora.synthetic import Settings, write_person
from distilclip_eeg.schema import SEIZURE

SFREQ = 256
LABELS_22 = LABELS_23[:22]
"""As the files that hold T8-P8 once."""
LABELS_20 = (*LABELS_23[:19], LABELS_23[22])
"""Without the three derivations of the lower temporal electrodes."""
REFERENTIAL = (
    "F7-CS2", "T7-CS2", "P7-CS2", "-", "FP1-CS2", "F3-CS2", "C3-CS2", "P3-CS2", "O1-CS2", "-",
    "FZ-CS2", "CZ-CS2", "PZ-CS2", "-", "FP2-CS2", "F4-CS2", "C4-CS2", "P4-CS2", "O2-CS2", "-",
    "F8-CS2", "T8-CS2", "P8-CS2", "-", "C2-CS2", "C6-CS2", "CP2-CS2", "CP4-CS2", "CP6-CS2",
)  # fmt: skip
"""chb12_27."""
BARE = tuple("01" if name == "O1-CS2" else name.removesuffix("-CS2") for name in REFERENTIAL)
"""chb12_28 and chb12_29, with a zero for the letter in O1."""
CLOCKS = ("13:43:04", "14:43:04")


def recording_bytes(
    labels: Sequence[str] = LABELS_23,
    seconds: float = 20,
    *,
    seed: int = 0,
    record_s: float = 1,
    uv: Mapping[str, np.ndarray] | None = None,
    onsets_s: Sequence[float] | None = None,
    date: str = "06.11.76",
    tail: bytes = b"",
) -> bytes:
    """A recording of 256 Hz in the header's ranges.

    Args:
        uv: microvolts by electrode in canonical spelling, from which the derivations are made; None gives
            white noise, see :func:`noise`.
        onsets_s: start of each record; given, the file is EDF+D.
        tail: bytes after the records.
    """
    header = Header(date=date, clock="13.43.04")
    if uv is None:
        digital = [noise(labels, label, seconds, seed) for label in labels]
        signals = [
            Signal(label, row, SFREQ, PHYSICAL_UV, DIGITAL)
            for label, row in zip(labels, digital, strict=True)
        ]
    else:
        signals = [
            signal_of(label, _derive(label, uv), SFREQ, physical_range=PHYSICAL_UV, digital_range=DIGITAL)
            for label in labels
        ]
    return edf_bytes(signals, record_s=record_s, onsets_s=onsets_s, header=header) + tail


def noise(labels: Sequence[str], label: str, seconds: float, seed: int = 0) -> np.ndarray:
    """Digital white noise; it goes with the label, not its place, so a repeated label repeats its signal."""
    number = list(dict.fromkeys(labels)).index(label)
    return np.random.default_rng([seed, number]).integers(-500, 500, round(seconds * SFREQ))


def _derive(label: str, uv: Mapping[str, np.ndarray]) -> np.ndarray:
    """One electrode minus the other, or an electrode as it stands; a dummy or an unknown one is level."""
    first, _, second = split_reference(label)[0].partition("-")
    level = np.zeros_like(next(iter(uv.values())))
    return uv.get(first, level) - uv.get(second, level)


def block(
    name: str,
    *seizures: tuple[float, float],
    numbered: bool = False,
    count: int | str | None = None,
    clocks: tuple[str, str] | None = CLOCKS,
) -> str:
    """One file's part of a summary, a blank line after it; arguments as of ``files.summary_block``."""
    return "\n".join([*summary_block(name, seizures, clocks, numbered, count), "", ""])


def head(labels: Sequence[str] = LABELS_23) -> str:
    """A summary's first lines, a blank line after them."""
    return "\n".join([*summary_head(labels), "", ""])


def changed(labels: Sequence[str]) -> str:
    """Lines that tell of other channels, a blank line after them."""
    return "\n".join([*channels_changed(labels), "", ""])


def write_case(root: Path, case: str, summary: str | None, **files: bytes | tuple[bytes, bytes]) -> Path:
    """A case's folder: ``chb99_01=edf``, or ``chb99_01=(edf, seizure file)``; gives ``root``."""
    folder = Path(root) / case
    folder.mkdir(parents=True, exist_ok=True)
    if summary is not None:
        (folder / f"{case}-summary.txt").write_text(summary)
    for name, data in files.items():
        edf, binary = data if isinstance(data, tuple) else (data, None)
        (folder / f"{name}.edf").write_bytes(edf)
        if binary is not None:
            (folder / f"{name}.edf.seizures").write_bytes(binary)
    return Path(root)


def write_chbmit(
    root: str | Path,
    *,
    n_subjects: int,
    recordings_per_subject: int = 2,
    recording_s: int = 90,
    seed: int = 0,
    difficulty: float = 0.3,
) -> dict:
    """A whole tree, and what a reader must find in it by the native montage.

    All persons but the last are the synthetic corpus's, with its gaps and dummies. chb21 is the first again,
    with odd names, one T8-P8, a wrong number in the summary, zeros after the records, a referential file and
    one that is listed and absent. The last is chb24: no clock times, a file that its summary does not list, a
    seizure file of its own mind, no entry among the persons. ``RECORDS-WITH-SEIZURES`` names a wrong file.

    Args:
        n_subjects: 2 to 21 persons.
        recordings_per_subject: of the ordinary persons.

    Raises:
        ValueError: another number of persons.
    """
    if not 2 <= n_subjects <= 21:
        raise ValueError(f"n_subjects={n_subjects}: expected 2 to 21")
    root = Path(root)
    root.mkdir(parents=True, exist_ok=True)
    settings = Settings(
        n_subjects=n_subjects - 1,
        recordings_per_subject=recordings_per_subject,
        recording_s=recording_s,
        difficulty=difficulty,
        seed=seed,
    )
    people = [write_person(root, settings, number) for number in range(n_subjects - 1)]
    plans = [plan for _, found in people for plan in found]
    truth: dict[str, Any] = {"recordings": 0, "seizures": 0, "seizure_s": 0, "duration_s": 0, "warnings": {}}
    for plan in plans:
        _count(truth, plan.length_s, plan.seizures, *_oddities(plan))
        truth["duration_s"] -= plan.gap[1] - plan.gap[0] if plan.gap else 0
    ordinary = [f"{plan.case}/{plan.file}" for plan in plans]
    ictal = [f"{plan.case}/{plan.file}" for plan in plans if plan.seizures]
    again = _write_chb21(root, truth, seed, difficulty)
    last = _write_chb24(root, truth, seed, difficulty)
    (root / "RECORDS").write_text("".join(f"{name}\n" for name in (*ordinary, *again, *last)))
    listed = (*ictal, *again[:3], last[1])  # the one after the true one
    (root / "RECORDS-WITH-SEIZURES").write_text("".join(f"{name}\n" for name in listed))
    rows = "".join(row for row, _ in people) + people[0][0].replace("chb01", "chb21")
    (root / "SUBJECT-INFO").write_text(f"Case\tGender\tAge (years)\n\n{rows}")
    by_class = {"seizures": {SEIZURE: truth["seizures"]}, "seizure_s": {SEIZURE: truth["seizure_s"]}}
    more = {"skipped": {"missing_channels": 1}, "subjects": n_subjects, "excluded_s": 0}
    return truth | by_class | more


def _count(truth: dict, length_s: int, seizures: Sequence[tuple[int, int]], *odd: str) -> None:
    """Add one used recording to the totals."""
    truth["recordings"] += 1
    truth["seizures"] += len(seizures)
    truth["seizure_s"] += sum(offset - onset for onset, offset in seizures)
    truth["duration_s"] += length_s
    for code in odd:
        truth["warnings"][code] = truth["warnings"].get(code, 0) + 1


def _oddities(plan: Plan) -> list[str]:
    """What a reader says of a recording with a gap."""
    if plan.gap is None:
        return []
    short = min(plan.gap[0], plan.length_s - plan.gap[1]) < 10  # less than a cycle of the high-pass
    return ["discontinuous"] + ["short_for_filter"] * short


def _write_chb21(root: Path, truth: dict, seed: int, difficulty: float) -> list[str]:
    """The first person again; gives what RECORDS says of the case."""
    rng, who = np.random.default_rng([seed, 21]), person(0, seed, difficulty)
    two, one = ((10, 28), (50, 70)), ((30, 52),)
    uv = [potentials(rng, who, 90, spans, SFREQ) for spans in (two, one, one)]
    mistaken = block("chb21a_01.edf", *two, numbered=True).replace(
        "Seizure 2 End Time:", "Seizure 1 End Time:   "
    )
    summary = head(LABELS_22) + mistaken + changed(LABELS_23) + block("chb21_02+.edf", *one)
    summary += changed(REFERENTIAL) + block("chb21_03.edf", *one) + block("chb21_04.edf")
    files: dict[str, bytes | tuple[bytes, bytes]] = {
        "chb21a_01": (recording_bytes(LABELS_22, uv=uv[0]), seizure_bytes(two)),
        "chb21_02+": (recording_bytes(uv=uv[1], tail=b"\0" * 256), seizure_bytes(one)),
        "chb21_03": (recording_bytes(REFERENTIAL, uv=uv[2]), seizure_bytes(one)),
    }
    write_case(root, "chb21", summary, **files)
    _count(truth, 90, two)
    _count(truth, 90, one, "size_mismatch")
    return [f"chb21/{name}.edf" for name in (*files, "chb21_04")]


def _write_chb24(root: Path, truth: dict, seed: int, difficulty: float) -> list[str]:
    """A person nobody is told about; gives what RECORDS says of the case."""
    rng, who = np.random.default_rng([seed, 24]), person(24, seed, difficulty)
    spans = ((40, 60),)
    ictal, quiet = (potentials(rng, who, 90, s, SFREQ) for s in (spans, ()))
    summary = head() + block("chb24_01.edf", *spans, clocks=None) + block("chb24_02.edf", clocks=None)
    files: dict[str, bytes | tuple[bytes, bytes]] = {
        "chb24_01": (recording_bytes(uv=ictal), seizure_bytes(((30, 60),))),
        "chb24_02": recording_bytes(uv=quiet),
        "chb24_03": recording_bytes(uv=quiet, seed=1),
    }
    write_case(root, "chb24", summary, **files)
    _count(truth, 90, spans, "seizure_file_differs")
    for _ in range(2):
        _count(truth, 90, ())
    return [f"chb24/{name}.edf" for name in files]
