"""A SzCORE / BIDS-EEG tree as its tools write it, with invented signal."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from distilclip_eeg.corpora.edf.montage import canonical
from distilclip_eeg.corpora.invented.layouts.edf import WHOLE, WHOLE_UV, Header, edf_bytes, signal_of
from distilclip_eeg.corpora.invented.layouts.people import person, potentials
from distilclip_eeg.schema import ANY_SEIZURE, BACKGROUND, SEIZURE

SFREQ = 256
ELECTRODES = (
    "Fp1", "F3", "C3", "P3", "O1", "F7", "T3", "T5", "Fz", "Cz", "Pz",
    "Fp2", "F4", "C4", "P4", "O2", "F8", "T4", "T6",
)  # fmt: skip
"""SzCORE's order."""
LABELS = tuple(f"{name}-Avg" for name in ELECTRODES)
COLUMNS = ("onset", "duration", "eventType", "confidence", "channels", "dateTime", "recordingDuration")
EXTRA = ("lateralization", "localization", "vigilance")
"""Columns that SeizeIT2 puts behind eventType."""
MODERN = {"T3-Avg": "T7-Avg", "T4-Avg": "T8-Avg", "T5-Avg": "P7-Avg", "T6-Avg": "P8-Avg"}
FOCAL = ("sz_foc_ia", "sz_foc_a_m_automatisms", "sz-foc-f2b")
GENERALISED = ("sz_gen_nm_typical", "sz_gen_m_tonicClonic")
WIDE_UV, WIDE = (-262144.0, 262143.0), (-(2**23), 2**23 - 1)
"""Ranges of a BDF: 24 bits, 1/32 uV a step."""
POINTER = b"/annex/objects/MD5E-s123456--0123456789abcdef0123456789abcdef.edf\n"
SHORTEST_S = 60
"""Room for two seizures and what lies between them."""
SECRET = "Invented_Name"
"""What the patient field holds that nobody may use."""

Row = tuple[float, float, str]
"""Onset and duration in seconds, level."""


def events_bytes(
    rows: Sequence[Row],
    recording_s: float,
    *,
    columns: Sequence[str] = COLUMNS,
    end: str = "\n",
    encoding: str = "utf-8",
    **cells: str,
) -> bytes:
    """An ``events.tsv``; ``cells`` gives the text of a column in every row, the rest is ``n/a``."""
    lines = ["\t".join(columns)]
    for onset, duration, level in rows:
        known = {"onset": f"{onset:.2f}", "duration": f"{duration:.2f}", "eventType": level}
        known |= {"dateTime": "2000-01-01 00:00:00", "recordingDuration": f"{recording_s:.2f}", **cells}
        lines.append("\t".join(known.get(name, "n/a") for name in columns))
    return "".join(line + end for line in lines).encode(encoding)


def recording_bytes(
    seconds: int,
    *,
    labels: Sequence[str] = LABELS,
    uv: Mapping[str, np.ndarray] | None = None,
    sfreq: int = SFREQ,
    bdf: bool = False,
    seed: int = 0,
    **header: Any,
) -> bytes:
    """An EDF or BDF.

    Args:
        uv: microvolts by electrode in canonical spelling; what it lacks is white noise, 20 uV.
        header: see :func:`~distilclip_eeg.corpora.invented.layouts.edf.edf_bytes`.
    """
    rng = np.random.default_rng(seed)
    physical, digital = (WIDE_UV, WIDE) if bdf else (WHOLE_UV, WHOLE)
    signals = []
    for label in labels:
        noise = rng.normal(0, 20, seconds * sfreq)
        row = (uv or {}).get(canonical(label), noise)
        signals.append(signal_of(label, row, sfreq, physical_range=physical, digital_range=digital))
    return edf_bytes(signals, bdf=bdf, **header)


def put(
    root: str | Path, name: str, data: bytes | None, events: bytes | None = None, suffix: str = ".edf"
) -> Path:
    """A recording and its events where BIDS wants them; ``name`` begins ``sub-XX_`` or ``sub-XX_ses-YY_``.

    None leaves a file out. Gives the path of the recording.
    """
    folders = [part for part in name.split("_") if part.startswith(("sub-", "ses-"))]
    folder = Path(root, *folders, "eeg")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}_eeg{suffix}"
    if data is not None:
        path.write_bytes(data)
    if events is not None:
        (folder / f"{name}_events.tsv").write_bytes(events)
    return path


@dataclass(frozen=True)
class Run:
    """One recording to be written."""

    name: str
    subject: int
    seizure: tuple[int, int] | None
    """Onset and end in seconds; None: seizure-free."""
    level: str = BACKGROUND
    apart: tuple[Row, ...] = ()
    """Rows that are neither seizure nor background."""
    variant: int = 0

    @property
    def kind(self) -> str:
        """Which of the two coarse levels its seizure belongs to, ``sz_foc`` or ``sz_gen``."""
        return "sz_foc" if self.level in FOCAL else "sz_gen"


def write_bids(
    root: str | Path,
    *,
    n_subjects: int,
    recordings_per_subject: int = 2,
    recording_s: int = 60,
    seed: int = 0,
) -> dict:
    """A whole tree, and what a reader must find in it.

    Every numbered run holds one seizure, focal and generalised in turn; every second person has a
    seizure-free recording, too. Variants: sessions and none, a BDF, electrodes in another order with an ECG
    before them, modern names, CRLF and columns of SeizeIT2, levels with hyphens, stretches of impedance check
    and of a level that only ``events.json`` knows. Quirks of the first person: a recording without events,
    one that was not fetched, events without a recording.

    Returns:
        The truth for the default settings; ``types`` and ``type_s`` for ``classes: [sz_foc, sz_gen]``.

    Raises:
        ValueError: ``recording_s`` below 60.
    """
    if recording_s < SHORTEST_S:
        raise ValueError(f"recording_s={recording_s}: expected {SHORTEST_S} or more")
    root, runs = Path(root), []
    for k in range(1, n_subjects + 1):
        runs += [_draw_run(k, run, recording_s, seed) for run in range(recordings_per_subject)]
        if k % 2 == 0:
            runs.append(Run(f"sub-{k:02d}_task-rest", k, None))
    for run in runs:
        _write_run(root, run, recording_s, seed)
    data, events = recording_bytes(10), events_bytes([(2, 5, ANY_SEIZURE)], 10)
    put(root, "sub-01_task-szMonitoring_run-90", data)
    put(root, "sub-01_task-szMonitoring_run-91", POINTER, events)
    put(root, "sub-01_task-szMonitoring_run-92", None, events)
    _write_tree_files(root, n_subjects)
    ictal = [(run.kind, run.seizure[1] - run.seizure[0]) for run in runs if run.seizure]
    seconds = sum(length for _, length in ictal)
    kinds = sorted({kind for kind, _ in ictal})
    odd = sum(run.variant == 3 for run in runs)
    return {
        "recordings": len(runs),
        "skipped": {"missing_annotation": 1, "not_fetched": 1},
        "subjects": n_subjects,
        "seizures": {SEIZURE: len(ictal)},
        "seizure_s": {SEIZURE: seconds},
        "excluded_s": sum(duration for run in runs for _, duration, _ in run.apart),
        "duration_s": len(runs) * recording_s,
        "warnings": {"bad_encoding": odd} if odd else {},
        "types": {kind: sum(found == kind for found, _ in ictal) for kind in kinds},
        "type_s": {kind: sum(length for found, length in ictal if found == kind) for kind in kinds},
    }


def _draw_run(k: int, number: int, recording_s: int, seed: int) -> Run:
    """Where a seizure lies and what else is odd about run ``number`` of person ``k``."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(k, number)))
    length = int(rng.integers(12, min(30, recording_s - 30)))
    onset = int(rng.integers(20, recording_s - length - 2))
    level = str(rng.choice(FOCAL if (k + number) % 2 else GENERALISED))
    apart = {1: ((3, 8, "impd"),), 2: ((3, 4, "artf_chew"),)}.get(k, ())
    session = {0: "ses-01_", 1: "", 2: "ses-02_" if number else "ses-01_"}[k % 3]
    name = f"sub-{k:02d}_{session}task-szMonitoring_run-{number:02d}"
    return Run(name, k, (onset, onset + length), level, apart, k if number == 0 else 0)


def _write_run(root: Path, run: Run, recording_s: int, seed: int) -> None:
    """Signal and events of one run, in the form that its variant says."""
    key = [int(byte) for byte in run.name.encode()]
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(run.subject, *key)))
    kind = None if run.seizure is None else ("sz_foc", "sz_gen").index(run.kind) * 2
    spans = [run.seizure] if run.seizure else []
    uv = potentials(rng, person(run.subject, seed), recording_s, spans, SFREQ, kind)
    mean = np.mean([uv[canonical(name)] for name in ELECTRODES], axis=0)
    uv = {canonical(name): uv[canonical(name)] - mean for name in ELECTRODES}
    labels = {2: ("ECG", *reversed(LABELS)), 4: [MODERN.get(n, n) for n in LABELS]}.get(run.variant, LABELS)
    rows = [(onset, duration, level) for onset, duration, level in run.apart]
    rows += [(onset, end - onset, run.level) for onset, end in spans] or [(0, recording_s, BACKGROUND)]
    columns: tuple[str, ...] = COLUMNS
    if run.variant == 1:
        columns = (*COLUMNS[:3], *EXTRA, *COLUMNS[3:])
        events = events_bytes(rows, recording_s, columns=columns, end="\r\n", lateralization="left")
    elif run.variant == 3:
        columns = (*COLUMNS, "note")
        events = events_bytes(rows, recording_s, columns=columns, encoding="latin-1", note="n\xe9")
    else:
        events = events_bytes(rows, recording_s)
    bdf = run.variant == 5
    data = recording_bytes(recording_s, labels=labels, uv=uv, bdf=bdf, header=Header(f"X X X {SECRET}"))
    put(root, run.name, data, events, ".bdf" if bdf else ".edf")


def _write_tree_files(root: Path, n_subjects: int) -> None:
    """What describes the tree; two levels stand nowhere else, one carries SzCORE's stray colon."""
    levels = {BACKGROUND: "", "impd": "", "artf_chew": "", "sz_gen:": ""}
    write_json(root / "events.json", {"onset": {"Units": "s"}, "eventType": {"Levels": levels}})
    write_json(root / "dataset_description.json", {"Name": "Invented", "BIDSVersion": "1.9.0"})
    write_json(root / "participants.json", {"age": {"Units": "years"}, "sex": {"Levels": {"f": "", "m": ""}}})
    lines = ["participant_id\tage\tsex\tcomment"]
    for k in range(1, n_subjects + 1):
        age = "n/a" if k % 5 == 0 else str(7 * k)
        lines.append(f"sub-{k:02d}\t{age}\t{'fm'[k % 2]}\t{SECRET}")
    (root / "participants.tsv").write_text("\n".join(lines) + "\n")


def write_json(path: Path, tree: dict) -> None:
    """Write a tree of plain values as JSON, indented as BIDS tools do."""
    path.write_text(json.dumps(tree, indent=4) + "\n")
