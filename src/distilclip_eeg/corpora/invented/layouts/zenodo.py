"""Files in the native layout of the Helsinki neonatal corpus, with invented signal and invented experts."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.io import savemat

from distilclip_eeg.corpora.edf.montage import STANDARD_19
from distilclip_eeg.corpora.invented.layouts.edf import edf_bytes, signal_of
from distilclip_eeg.corpora.invented.layouts.people import person, potentials
from distilclip_eeg.schema import SEIZURE

SFREQ = 256
SHORTEST_S, APART_S = 40, 3
PHYSICAL_UV, DIGITAL = (-4999.84, 4999.847), (-32767, 32767)
CLINICAL_COLUMNS = (
    "ID", "EEG file", "Gender", "BW (g)", "GA (weeks)", "EEG to PMA (weeks)", "Diagnosis",
    "Neuroimaging Findings", "PNA of Imaging (days)", "Number of Reviewers Annotating Seizure",
    "Primary Localisation", "Other",
)  # fmt: skip
SECRET = "Invented finding"
"""What the columns hold that nobody may use."""
MAT_HEADER = "MATLAB 5.0 MAT-file, Platform: PCWIN64, Created on: Fri Mar 23 12:18:37 2018"


def labels(reference: str = "Ref") -> tuple[str, ...]:
    """The 21 signals in file order; ``REF`` as in eeg1 and eeg2, where ECG and respiration carry it, too."""
    suffix = f"-{reference}" if reference.isupper() else ""
    eeg = [f"EEG {name.capitalize()}-{reference}" for name in STANDARD_19]
    return (*eeg, f"ECG EKG{suffix}", f"Resp Effort{suffix}")


def recording_bytes(
    seconds: int,
    *,
    reference: str = "Ref",
    uv: Mapping[str, np.ndarray] | None = None,
    seed: int = 0,
    names: Sequence[str] | None = None,
    record_s: float = 1,
) -> bytes:
    """A neonate's EDF.

    Args:
        uv: microvolts by electrode; None gives white noise.
        names: signals in place of the 21.
        record_s: length of a data record.
    """
    rng = np.random.default_rng(seed)
    size, signals = round(seconds * SFREQ), []
    for label in names or labels(reference):
        electrode = label.removeprefix("EEG ").partition("-")[0].upper()
        row = uv[electrode] if uv and electrode in uv else rng.normal(0, 20, size)
        signals.append(signal_of(label, row, SFREQ, physical_range=PHYSICAL_UV, digital_range=DIGITAL))
    return edf_bytes(signals, record_s=record_s)


def annotation_csv(
    columns: Mapping[int, Sequence[int] | np.ndarray],
    *,
    spelling: Sequence[str] = ("0", "1"),
    blank: str = "",
    tail: Sequence[Sequence[str]] = (),
) -> str:
    """One expert's table: numbers of the neonates, then a row a second, short columns filled with blanks.

    Args:
        columns: seconds by neonate, in the order of the columns.
        spelling: of 0 and of 1; a re-saved table has ``0.0`` and ``1.0``.
        blank: of a cell after the end of a recording.
        tail: rows to add as they are.
    """
    length = max(map(len, columns.values()))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    for second in range(length):
        writer.writerow([spelling[c[second]] if second < len(c) else blank for c in columns.values()])
    writer.writerows(tail)
    return out.getvalue()


def annotation_mat(
    experts: Iterable[Sequence[Sequence[int] | np.ndarray]], variable: str = "annotat_new"
) -> bytes:
    """The one MATLAB file: a cell a neonate, each three rows of seconds."""
    tables = [np.asarray(three) for three in experts]
    cells = np.empty((1, len(tables)), object)
    for k, table in enumerate(tables):
        cells[0, k] = table.astype(np.uint8) if table.dtype.kind in "biu" else table
    out = io.BytesIO()
    savemat(out, {variable: cells}, do_compression=True)
    return MAT_HEADER.encode().ljust(116) + out.getvalue()[116:]  # savemat writes the time of day there


def clinical_csv(sexes: Mapping[int, str]) -> str:
    """The table of persons; every column but the number, the file and the gender holds invented findings."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(CLINICAL_COLUMNS)
    for number, sex in sexes.items():
        writer.writerow([number, f"eeg{number}", sex, *[SECRET] * (len(CLINICAL_COLUMNS) - 3)])
    return out.getvalue()


def write_zenodo(
    root: str | Path,
    *,
    n_subjects: int,
    recordings_per_subject: int = 1,
    recording_s: int = 90,
    seed: int = 0,
) -> dict:
    """A whole tree, and what a reader must find in it with the default consensus.

    Three of four neonates have seizures, the experts one second apart at their edges; every eighth has a
    stretch that one expert alone marks. Quirks: two references, unequal experts (eeg3), seizures to the last
    second, recordings three seconds longer than their annotation (every sixth), a re-saved table with its
    columns in another order, the old table of A with other contents, capitals in a file's name.

    Args:
        recordings_per_subject: one, as in the corpus.
        recording_s: mean length, 40 or more; each is up to 5 s shorter or longer.

    Raises:
        ValueError: more than one recording a neonate, or too short ones.
    """
    if recordings_per_subject != 1:
        raise ValueError(f"recordings_per_subject={recordings_per_subject}: a neonate has one recording")
    if recording_s < SHORTEST_S:
        raise ValueError(f"recording_s={recording_s}: expected {SHORTEST_S} or more")
    root = Path(root)
    root.mkdir(parents=True, exist_ok=True)
    experts: dict[int, list[np.ndarray]] = {}
    count = seizure_s = excluded_s = duration_s = longer = 0
    for number in range(1, n_subjects + 1):
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number, 1)))
        seconds = recording_s + int(rng.integers(-5, 6))
        spare = 3 if number % 6 == 0 else 0
        seizures = _draw_seizures(rng, number, seconds)
        uv = potentials(rng, person(number, seed), seconds + spare, seizures, SFREQ)
        data = recording_bytes(seconds + spare, reference="REF" if number < 3 else "Ref", uv=uv, seed=number)
        (root / f"eeg{number}.edf").write_bytes(data)
        experts[number] = three = _annotate(number, seconds, seizures)
        known = min(map(len, three))
        votes = np.sum([column[:known] for column in three], axis=0)
        count += len(seizures)
        seizure_s += int((votes == 3).sum())
        excluded_s += int(((votes > 0) & (votes < 3)).sum()) + seconds + spare - known
        duration_s += seconds + spare
        longer += spare > 0
    _write_tables(root, experts, np.random.default_rng(seed))
    return {
        "recordings": n_subjects,
        "skipped": {},
        "subjects": n_subjects,
        "seizures": {SEIZURE: count},
        "seizure_s": {SEIZURE: seizure_s},
        "excluded_s": excluded_s,
        "duration_s": duration_s,
        "warnings": {"duration_mismatch": longer} if longer else {},
    }


def _draw_seizures(rng: np.random.Generator, number: int, seconds: int) -> list[tuple[int, int]]:
    """None for every fourth neonate; one, or two where there is room, the last maybe to the end."""
    if number % 4 == 0:
        return []
    first = int(rng.integers(5, 12))
    out = [(first, first + int(rng.integers(12, 22)))]
    if number % 2:
        length = int(rng.integers(12, 22))
        last = seconds if number % 5 == 3 else seconds - int(rng.integers(3, 10))
        length = min(length, last - out[0][1] - APART_S)
        if length >= APART_S:
            out.append((last - length, last))
    return out


def _annotate(number: int, seconds: int, seizures: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    """Seconds of A, B and C: A as drawn, B begins a second early, C ends a second late."""
    three = [np.zeros(seconds, int) for _ in "ABC"]
    for onset, offset in seizures:
        for column, early, late in zip(three, (0, 1, 0), (0, 0, 1), strict=True):
            column[onset - early : offset + late] = 1
    if number % 8 == 4:
        three[2][20:30] = 1
    if number == 3:
        three[1] = three[1][:-1]
    return three


def _write_tables(root: Path, experts: Mapping[int, Sequence[np.ndarray]], rng: np.random.Generator) -> None:
    """Annotations in both forms, the corrected and the old A, and the table of persons."""
    a, b, c = ({n: three[k] for n, three in experts.items()} for k in range(3))
    old = {n: 1 - column for n, column in a.items()}
    for name, text in {
        "A_fixed": annotation_csv(a),
        "A": annotation_csv(old),
        "B": annotation_csv(dict(reversed(b.items()))),
        "C": annotation_csv(c, spelling=("0.0", "1.0"), blank="NaN"),
    }.items():
        (root / f"annotations_2017_{name}.csv").write_text(text)
    cells = [[column[: min(map(len, three))] for column in three] for three in experts.values()]
    (root / "annotations_2017.mat").write_bytes(annotation_mat(cells))
    sexes = {number: str(rng.choice(["m", "f", ""])) for number in experts}
    (root / "Clinical_Information.csv").write_text(clinical_csv(sexes))
