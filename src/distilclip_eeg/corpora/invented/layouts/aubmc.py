"""AUBMC's native layouts with invented signal: the four arrays, and the EDF files with their time table.

Grammar and quirks are told where the files are read (``corpora/aubmc.py``, ``corpora/aubmc_raw.py``).
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy import signal

from distilclip_eeg.corpora.edf.montage import AUBMC_19
from distilclip_eeg.corpora.invented.layouts.edf import Header, edf_bytes, signal_of
from distilclip_eeg.corpora.invented.layouts.people import person, potentials
from distilclip_eeg.schema import BACKGROUND, SEIZURE

SFREQ = 500
CLASSES = (BACKGROUND, "complex_partial", "electrographic", "video_detected")
LENGTH_S = (0, 28, 20, 14)
"""Of an invented seizure of each class, so that the classes are as uneven as the release's."""
ELECTRODES = (
    "Fp1", "Fp2", "F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2",
    "F7", "F8", "T3", "T4", "T5", "T6", "Fz", "Cz", "Pz", "A1", "A2",
)  # fmt: skip
MIDLINE = ("Cz", "Pz")
"""What the files of p10 lack."""
FIRST_PATIENT = 10

Row = tuple[int, int, int, int]
"""Hour, minute and second of a seizure's onset, and its length in seconds."""
Times = Mapping[int, Mapping[int, Sequence[Row]]]
"""Rows of the time table by patient and record."""


# ------------------------------------------------------------------------------------------------- arrays


def write_arrays(root: Path, part: str, x: np.ndarray, y: np.ndarray, column_labels: bool = False) -> None:
    """One pair of arrays as they are given, ``Npy_files/x_<part>.npy`` and ``y_<part>.npy``.

    Args:
        column_labels: write the classes as (n, 1) rather than (n,); readers of the release tell of both.
    """
    folder = root / "Npy_files"
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"x_{part}.npy", x)
    np.save(folder / f"y_{part}.npy", y[:, None] if column_labels else y)


def noise_windows(n: int, seed: int = 0, uv: float = 30.0) -> np.ndarray:
    """White noise of ``uv`` microvolts SD, (n, 19, 500), float32."""
    rng = np.random.default_rng(seed)
    return rng.normal(0.0, uv, (n, len(AUBMC_19), SFREQ)).astype(np.float32)


def write_aubmc(
    root: Path,
    *,
    n_subjects: int = 6,
    recordings_per_subject: int = 3,
    recording_s: int = 60,
    seed: int = 0,
    column_labels: bool = True,
    dtype: str = "float32",
    test_share: float = 0.1,
) -> dict:
    """The arrays: a seizure of one class in each invented recording, and as many normal seconds in all.

    Classes take turns over recordings; training and test arrays have them in the same proportion.

    Returns:
        The truth, as ``AubmcWindows`` should find it.
    """
    ictal: list[list[np.ndarray]] = [[] for _ in CLASSES]
    for number in range(n_subjects * recordings_per_subject):
        kind = 1 + number % 3
        rng = np.random.default_rng([seed, number])
        length = min(LENGTH_S[kind], recording_s // 2 - 4)
        onset = int(rng.integers(2, recording_s - length - 1))
        who = person(number // recordings_per_subject, seed)
        uv = potentials(rng, who, recording_s, [(onset, onset + length)], SFREQ, kind - 1)
        seconds = _as_released(np.array([uv[name] for name in AUBMC_19]))
        ictal[kind] += list(seconds[onset : onset + length])
        ictal[0] += [*seconds[:onset], *seconds[onset + length :]]
    rng = np.random.default_rng([seed, 10**6])
    normal = rng.permutation(len(ictal[0]))[: sum(map(len, ictal[1:]))]
    ictal[0] = [ictal[0][k] for k in normal]
    parts: dict[str, list[tuple[int, np.ndarray]]] = {"train": [], "test": []}
    for kind, windows in enumerate(ictal):
        cut = round(len(windows) * test_share)
        parts["test"] += [(kind, window) for window in windows[:cut]]
        parts["train"] += [(kind, window) for window in windows[cut:]]
    for part, rows in parts.items():
        order = rng.permutation(len(rows))
        x = np.array([rows[k][1] for k in order], dtype)
        write_arrays(root, part, x, np.array([rows[k][0] for k in order]), column_labels)
    counts = {name: len(windows) for name, windows in zip(CLASSES[1:], ictal[1:], strict=True)}
    return {
        "recordings": sum(-(-len(rows) // 500) for rows in parts.values()),
        "skipped": {},
        "subjects": 1,
        "seizures": counts,
        "seizure_s": counts,
        "excluded_s": 0,
        "duration_s": sum(len(windows) for windows in ictal),
        "warnings": {},
    }


def _as_released(uv_CT: np.ndarray) -> np.ndarray:
    """Band-pass 0.625 to 70 Hz, notch at 50 Hz, cut into seconds: (seconds, 19, 500)."""
    band = signal.butter(2, [0.625, 70.0], "bandpass", fs=SFREQ, output="sos")
    notch = signal.tf2sos(*signal.iirnotch(50.0, 30.0, fs=SFREQ))
    clean = signal.sosfiltfilt(np.concatenate([band, notch]), uv_CT, axis=1)
    return clean.reshape(len(uv_CT), -1, SFREQ).swapaxes(0, 1)


# --------------------------------------------------------------------------------------------- recordings


def raw_edf(
    seconds: int,
    *,
    clock: str = "09.00.00",
    midline: bool = True,
    sex: str = "X",
    uv: Mapping[str, np.ndarray] | None = None,
    seed: int = 0,
) -> bytes:
    """One file: 19 or 21 electrodes against ``Ref``, ``ECG EKG`` and ``Manual``, all at 500 Hz.

    Args:
        clock: start time in the header.
        midline: whether Cz and Pz were recorded.
        uv: microvolts by electrode, canonical spelling; by default white noise, ten seconds repeated.
    """
    rng = np.random.default_rng(seed)
    signals = []
    for name in ELECTRODES:
        block = rng.normal(0.0, 30.0, 10 * SFREQ)  # drawn for all, so that p10's are the same signals
        if midline or name not in MIDLINE:
            values = np.resize(block, seconds * SFREQ) if uv is None else uv[name.upper()]
            signals.append(signal_of(f"EEG {name}-Ref", values, SFREQ))
    beat = 200.0 * (np.arange(seconds * SFREQ) % SFREQ < 20)
    signals.append(signal_of("ECG EKG", beat, SFREQ))
    signals.append(signal_of("Manual", np.zeros(seconds * SFREQ), SFREQ))
    return edf_bytes(signals, header=Header(f"X {sex} X X", date="01.01.14", clock=clock))


def write_edf(root: Path, name: str, data: bytes) -> Path:
    """One recording where the release has it, ``Raw_EDF_Files/<name>.edf``; gives its path."""
    path = root / "Raw_EDF_Files" / f"{name}.edf"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def write_table(root: Path, times: Times, by_patient: bool = False) -> Path:
    """``Preprocessing_Scripts/Seizure_times.py``, patients in one dictionary or in one each.

    Args:
        by_patient: ``seizures_10 = {1: [...]}`` for each patient rather than one ``{10: {1: [...]}}``.
    """
    path = root / "Preprocessing_Scripts" / "Seizure_times.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    if by_patient:
        blocks = [f"seizures_{patient} = {_dictionary(records, '')}" for patient, records in times.items()]
    else:
        inner = [f"    {patient}: {_dictionary(records, '    ')},\n" for patient, records in times.items()]
        blocks = [f"seizure_times = {{\n{''.join(inner)}}}\n"]
    path.write_text("# hour, minute, second of onset, seconds of seizure\n" + "\n".join(blocks))
    return path


def _dictionary(records: Mapping[int, Sequence[Row]], indent: str) -> str:
    lines = [f"{indent}    {record}: {list(rows)},\n" for record, rows in records.items()]
    return f"{{\n{''.join(lines)}{indent}}}" + ("" if indent else "\n")


def write_aubmc_raw(
    root: Path,
    *,
    n_subjects: int = 6,
    recordings_per_subject: int = 3,
    recording_s: int = 90,
    seed: int = 0,
    by_patient: bool = False,
) -> dict:
    """Recordings with one or two seizures each, p10's without Cz and Pz.

    Quirks: the second record passes midnight before its seizure; the last patient's last seizure takes half
    its record; every fourth record has its first seizure listed twice; one file more is in no table.

    Returns:
        The truth, as ``AubmcRaw`` should find it in the native montage.
    """
    times: dict[int, dict[int, list[Row]]] = {}
    lengths: list[int] = []
    warnings: Counter[str] = Counter()
    for number in range(n_subjects * recordings_per_subject):
        subject, record = divmod(number, recordings_per_subject)
        patient = FIRST_PATIENT + subject
        rng = np.random.default_rng([seed, number, 1])
        seizures = _draw_seizures(rng, recording_s, number, n_subjects * recordings_per_subject)
        start = 6 * 3600 + 900 * number
        if number == 1:
            start = 86400 - seizures[0][0] // 2
        uv = potentials(rng, person(subject, seed), recording_s, seizures, SFREQ)
        data = raw_edf(
            recording_s, clock=_clock(start), midline=subject > 0, sex="FM"[subject % 2], uv=uv, seed=number
        )
        write_edf(root, f"p{patient}_Record{record + 1}", data)
        rows = [(*_time_of(start + onset), offset - onset) for onset, offset in seizures]
        if number % 4 == 3:
            rows.insert(0, rows[0])
            warnings["duplicate_event"] += 1
        times.setdefault(patient, {})[record + 1] = rows
        lengths += [offset - onset for onset, offset in seizures]
    write_edf(root, f"p{patient}_Record{recordings_per_subject + 1}", raw_edf(12, seed=number + 1))
    write_table(root, times, by_patient)
    return {
        "recordings": n_subjects * recordings_per_subject,
        "skipped": {"unknown_seizures": 1},
        "subjects": n_subjects,
        "seizures": {SEIZURE: len(lengths)},
        "seizure_s": {SEIZURE: sum(lengths)},
        "excluded_s": 0,
        "duration_s": n_subjects * recordings_per_subject * recording_s,
        "warnings": dict(warnings),
    }


def _draw_seizures(rng: np.random.Generator, length: int, number: int, total: int) -> list[tuple[int, int]]:
    """Onsets and ends, whole seconds: one seizure, in every third recording two, in the last a long one."""
    if number == total - 1:
        return [(length // 4, length // 4 + length // 2)]
    onset = int(rng.integers(4, length // 4))
    seizures = [(onset, onset + int(rng.integers(12, max(13, min(30, length // 4)))))]
    if number % 3 == 2 and length >= 80:
        seizures.append((length - 25, length - 25 + int(rng.integers(12, 20))))
    return seizures


def _time_of(second: int) -> tuple[int, int, int]:
    second %= 86400
    return second // 3600, second // 60 % 60, second % 60


def _clock(second: int) -> str:
    return "{:02d}.{:02d}.{:02d}".format(*_time_of(second))
