"""A laboratory's folder of EDF and BDF files with one table, with invented signal."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from distilclip_eeg.corpora.edf.montage import STANDARD_19
from distilclip_eeg.corpora.invented.layouts.bids import SHORTEST_S, recording_bytes
from distilclip_eeg.corpora.invented.layouts.people import person, potentials
from distilclip_eeg.schema import BACKGROUND

COLUMNS = ("recording", "onset", "duration", "label")
ALL_COLUMNS = (*COLUMNS, "subject", "session", "sex", "age", "reader")
"""``reader`` is one that nobody asks for."""
LABELS = tuple(name.capitalize() for name in STANDARD_19)
KINDS = {"absence": 2, "focal": 0}
"""Label of a seizure, and which of ``people.TYPES`` it is."""
RATES = (200, 250, 500)
SECRET = "Invented_Reader"
"""What a column holds that nobody may use."""


def table_bytes(
    rows: Sequence[Sequence[object]],
    columns: Sequence[str] = COLUMNS,
    *,
    delimiter: str = ",",
    end: str = "\n",
    encoding: str = "utf-8",
) -> bytes:
    """Rows below a line of column names, as a spreadsheet exports them."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator=end)
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue().encode(encoding)


@dataclass(frozen=True)
class Take:
    """One recording to be written."""

    path: str
    """Below the root."""
    subject: int
    sfreq: int
    seizures: tuple[tuple[int, int, str], ...]
    """Onset and end in seconds, label, one in each half of the recording; none: seizure-free."""


def write_folder(
    root: str | Path,
    *,
    n_subjects: int,
    recordings_per_subject: int = 2,
    recording_s: int = 60,
    seed: int = 0,
) -> dict:
    """A whole folder, and what a reader must find in it.

    Two wards with a folder each; EDF and BDF at 200, 250 and 500 Hz; an absence and a focal seizure in a
    recording; every second person's last recording is seizure-free and has one background row. The table
    names a file by its path, its name or its stem. Quirks: a recording without a row, a row without a
    recording.

    Raises:
        ValueError: ``recording_s`` below 60.
    """
    if recording_s < SHORTEST_S:
        raise ValueError(f"recording_s={recording_s}: expected {SHORTEST_S} or more")
    root = Path(root)
    rows: list[tuple[object, ...]] = []
    numbers = [(k, n) for k in range(1, n_subjects + 1) for n in range(recordings_per_subject)]
    takes = [_draw_take(k, n, recordings_per_subject, recording_s, seed) for k, n in numbers]
    for place, take in enumerate(takes):
        path = root / take.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_signal(take, recording_s, np.random.default_rng([seed, take.subject, place]), seed))
        spelling = (take.path, path.name, path.stem)[place % 3]
        facts = (f"P{take.subject:02d}", "", "FM"[take.subject % 2], 9 * take.subject, SECRET)
        for onset, end, label in take.seizures or ((0, recording_s, BACKGROUND),):
            rows.append((spelling, onset, end - onset, label, *facts))
    (root / "unlabelled.edf").write_bytes(recording_bytes(10, labels=LABELS))
    rows.append(("absent.edf", 1, 2, "focal", "P01", "", "", "", ""))
    (root / "table.csv").write_bytes(table_bytes(rows, ALL_COLUMNS))
    seizures = [seizure for take in takes for seizure in take.seizures]
    return {
        "recordings": len(takes),
        "skipped": {"unlabelled_recording": 1},
        "subjects": n_subjects,
        "seizures": {kind: sum(label == kind for *_, label in seizures) for kind in KINDS},
        "seizure_s": {kind: sum(b - a for a, b, label in seizures if label == kind) for kind in KINDS},
        "excluded_s": 0,
        "duration_s": len(takes) * recording_s,
        "warnings": {},
    }


def _draw_take(k: int, number: int, n_recordings: int, recording_s: int, seed: int) -> Take:
    """Recording ``number`` of person ``k``, and where its seizures lie."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(k, number)))
    suffix = ".bdf" if (k + number) % 4 == 0 else ".edf"
    path, sfreq = f"ward_{'ab'[k % 2]}/p{k:02d}_{number}{suffix}", RATES[(k + number) % 3]
    if k % 2 == 0 and number == n_recordings - 1 > 0:
        return Take(path, k, sfreq, ())
    half, seizures = recording_s // 2, []
    for start, label in zip((0, half), sorted(KINDS), strict=True):
        length = int(rng.integers(12, min(25, half - 5)))
        onset = start + int(rng.integers(3, half - length - 1))
        seizures.append((onset, onset + length, label))
    return Take(path, k, sfreq, tuple(seizures))


def _signal(take: Take, recording_s: int, rng: np.random.Generator, seed: int) -> bytes:
    """The file's bytes: each half is drawn with the rhythm of its own seizure."""
    half, halves = recording_s // 2, []
    for start, length in ((0, half), (half, recording_s - half)):
        inside = [s for s in take.seizures if start <= s[0] < start + length]
        spans = [(onset - start, end - start) for onset, end, _ in inside]
        kind = KINDS[inside[0][2]] if inside else None
        halves.append(potentials(rng, person(take.subject, seed), length, spans, take.sfreq, kind))
    uv = {name: np.concatenate([part[name] for part in halves]) for name in STANDARD_19}
    bdf = take.path.endswith(".bdf")
    return recording_bytes(recording_s, labels=LABELS, uv=uv, sfreq=take.sfreq, bdf=bdf)
