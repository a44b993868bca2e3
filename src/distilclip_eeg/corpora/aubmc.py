"""AUBMC, "Epileptic EEG Dataset" (American University of Beirut Medical Center): its ready-made windows.

Four arrays: ``x_train.npy`` and ``x_test.npy`` hold windows of one second, (n, 19, 500), already filtered;
``y_train.npy`` and ``y_test.npy`` one class each. No window says which patient or recording it is of, so
folds by patient and windows with overlap need the raw recordings (``corpora/aubmc_raw.py``).

Data: Nasreddine (2021), Epileptic EEG Dataset, Mendeley Data, V1, DOI 10.17632/5pc2j46cbc.1.
"""

import math
from itertools import pairwise
from pathlib import Path

import numpy as np

from distilclip_eeg.config.registry import component
from distilclip_eeg.corpora.edf.montage import AUBMC_19
from distilclip_eeg.corpora.edf_corpus import list_folder, root_hint
from distilclip_eeg.schema import BACKGROUND, DataError, Event, Piece, Recording, RecordingRef, check_choice

SFREQ = 500.0
PARTS = ("train", "test")
UNKNOWN = "unknown"
"""The subject of every window."""
MOST_WINDOWS = 500
"""In one pseudo-recording; 19 MB of signal, so that memory stays flat."""
UNITS = {"uV": 1e-6, "mV": 1e-3, "V": 1.0}
"""Volts per unit."""
PLAUSIBLE_UV = (0.5, 1000.0)
"""Between which the median SD of a second of filtered EEG lies, whoever is recorded."""
PUBLISHED = ((3895,), (3034, 3079), (705,), (111,))
"""Windows of each class. The text says 3034, which leaves 45 of the 7790 windows without a class; 3079 does
not, and gives as many ictal windows as there are normal ones."""


@component("corpus", "aubmc")
class AubmcWindows:
    """The arrays of AUBMC as recordings: each piece is one window, a gap lies between any two.

    An array is cut into pseudo-recordings of at most 500 windows; window i of one stands at ``[i, i + 1)``
    seconds, and is one event where its class is not the background. Volts, 19 electrodes, 500 Hz.

    Args:
        root: the release's folder, or the one that holds the arrays.
        unit: of the arrays' numbers, which name none: ``uV``, ``mV`` or ``V``.
        montage: ``native`` alone: without CZ and PZ no other can be derived.
        missing_channels: ``skip`` alone: an array has all its channels or is refused.

    Raises:
        ConfigError: another unit, montage or policy.
    """

    name = "aubmc"
    classes = (BACKGROUND, "complex_partial", "electrographic", "video_detected")
    ch_names = AUBMC_19
    identified = False
    published = {"seizure_s": 3895, "hours": 7790 / 3600}
    notes = (
        "The classes as published (3895, 3034, 705, 111) sum to 7745, 45 short of the 7790 windows; 3079 of "
        "the first seizure class fits both that sum and the 3895 s of seizure in the time table.",
        "The article names 19 electrodes of the 10-20 system; the release's 19 are 17 of them and the "
        "earlobes A1 and A2, without CZ and PZ. The arrays themselves name no channel.",
        "The article overlaps ictal windows by 75 %; ready-made windows cannot be cut again.",
        "The high-pass is stated as 1.6 Hz in one place, as 1/1.6 Hz or a time constant of 1.6 s in others.",
    )

    def __init__(
        self,
        *,
        root: str | Path,
        unit: str = "uV",
        montage: str = "native",
        missing_channels: str = "skip",
    ):
        check_choice("dataset.unit", unit, UNITS)
        why = "The arrays hold 19 unnamed channels; other choices need dataset=aubmc_raw."
        check_choice("signals.montage", montage, ("native",), why)
        check_choice("dataset.missing_channels", missing_channels, ("skip",), why)
        self.root = Path(root)
        self.unit = unit
        self.options: dict[str, object] = {"unit": unit, "missing_channels": missing_channels}
        self.missing: tuple[str, ...] = ()
        self.warnings: tuple[str, ...] = ()

    def recordings(self) -> list[RecordingRef]:
        """Pseudo-recordings of both arrays, named by array and first window; no signal is read.

        Raises:
            DataError: ``missing_root``, ``empty_root``, ``no_recordings``, ``missing_file`` (an array without
                its labels or the reverse), or an array that cannot be used (see :func:`open_pair`).
        """
        refs, counts = [], np.zeros(len(self.classes), int)
        missing: list[str] = []
        files = _array_files(self.root)
        for part in PARTS:
            names = (f"x_{part}.npy", f"y_{part}.npy")
            paths = tuple(files[name] for name in names if name in files)
            if len(paths) == 1:
                (absent,) = (name for name in names if name not in files)
                raise DataError(
                    f"{paths[0]}: no {absent} beside it; expected windows and their classes together. Fetch "
                    "it again, or move both out of dataset.root=...",
                    reason="missing_file",
                )
            if not paths:
                missing += names
                continue
            _, label = open_pair(*paths)
            counts += np.bincount(label, minlength=len(self.classes))
            refs += [
                RecordingRef(f"{part}_{first:05d}", UNKNOWN, paths[0], files=paths, part=part)
                for first, _ in pairwise(_edges(len(label)))
            ]
        self.missing = tuple(missing)
        self.warnings = (
            *(f"listed_file_missing: {name} of the release is not on disk" for name in missing),
            *_compare_counts(counts),
            f"assumed_channel_order: the arrays name no channel; rows are taken as {', '.join(AUBMC_19)}",
            f"assumed_unit: the arrays name no unit; numbers are taken as {self.unit} (dataset.unit)",
        )
        return sorted(refs, key=lambda ref: ref.recording)

    def read(self, ref: RecordingRef) -> Recording:
        """The windows of one pseudo-recording as pieces, and an event for each that is ictal.

        Raises:
            DataError: see :func:`open_pair`; also ``non_finite`` and ``implausible_amplitude``.
        """
        x, label = open_pair(*ref.files)
        first = int(ref.recording.rpartition("_")[2])
        last = next(edge for edge in _edges(len(label)) if edge > first)
        with np.errstate(over="ignore"):  # what becomes infinite is refused below
            eeg_BCT = x[first:last].astype(np.float32) * np.float32(UNITS[self.unit])
        return Recording(
            ref=ref,
            sfreq=SFREQ,
            ch_names=self.ch_names,
            pieces=tuple(Piece(float(k), window) for k, window in enumerate(eeg_BCT)),
            events=tuple(
                Event(float(k), k + 1.0, self.classes[kind])
                for k, kind in enumerate(label[first:last])
                if self.classes[kind] != BACKGROUND
            ),
            metadata={"montage": "native"},
            warnings=tuple(_judge(ref.path, first, eeg_BCT, self.unit)),
        )


def _edges(n: int) -> list[int]:
    """Where pseudo-recordings of ``n`` windows begin and end; alike in length, none is a short rest."""
    count = -(-n // MOST_WINDOWS)
    return [n * k // count for k in range(count + 1)]


def _array_files(root: Path) -> dict[str, Path]:
    """The arrays by name in lower case: of ``root``, or of its folder ``Npy_files``.

    Raises:
        DataError: ``missing_root``, ``empty_root``, ``no_recordings``.
    """
    expected = "the folder of AUBMC that holds Npy_files with x_train.npy and y_train.npy"
    entries = list_folder(root, expected)
    folder = next((p for p in entries if p.is_dir() and p.name.lower() == "npy_files"), root)
    names = {f"{axis}_{part}.npy" for part in PARTS for axis in "xy"}
    found = (path for path in folder.iterdir() if path.name.lower() in names and path.is_file())
    files = {path.name.lower(): path for path in found}
    if not files:
        do = root_hint(root, lambda other: any(path.name.lower() in names for path in other.iterdir()))
        raise DataError(
            f"{folder}: no x_train.npy or x_test.npy; expected {expected}. The EDF files are read by "
            f"dataset=aubmc_raw. {do}",
            reason="no_recordings",
        )
    return files


def _compare_counts(counts: np.ndarray) -> list[str]:
    """A warning where the classes are not those of the full release."""
    if all(count in known for count, known in zip(counts, PUBLISHED, strict=True)):
        return []
    expected = ", ".join(" or ".join(map(str, known)) for known in PUBLISHED)
    found = ", ".join(map(str, counts))
    return [f"count_differs: {counts.sum()} windows ({found} by class), the release has 7790 ({expected})"]


def open_pair(x_path: Path, y_path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Windows, mapped, (n, 19, 500), and their classes, (n,), checked against each other.

    Raises:
        DataError: see :func:`open_array`; also ``bad_shape``, ``bad_dtype``, ``unknown_label`` and
            ``count_mismatch`` (as many classes as windows are expected).
    """
    x, y = open_array(x_path), open_array(y_path)
    shape = (len(AUBMC_19), int(SFREQ))
    if x.ndim != 3 or x.shape[1:] != shape:
        raise _bad(x_path, "bad_shape", f"shape {x.shape}", f"(n, {shape[0]}, {shape[1]})")
    if y.ndim not in (1, 2) or y.size != len(y):
        raise _bad(y_path, "bad_shape", f"shape {y.shape}", "(n,) or (n, 1)")
    for path, array in ((x_path, x), (y_path, y)):
        if array.dtype.kind not in "iuf":
            raise _bad(path, "bad_dtype", f"numbers of type {array.dtype}", "integers or floats")
    if len(x) != len(y):
        raise _bad(y_path, "count_mismatch", f"{len(y)} classes for {len(x)} windows", "equal counts")
    label = np.array(y).ravel()
    known = np.isin(label, np.arange(len(PUBLISHED)))
    if not known.all():
        place = int(np.argmin(known))
        raise _bad(y_path, "unknown_label", f"class {label[place]} of window {place}", "0, 1, 2 or 3")
    return x, label.astype(int)


def open_array(path: Path) -> np.ndarray:
    """A ``.npy`` file mapped read-only: nothing in it is run, and no more is claimed than the file holds.

    Raises:
        DataError: ``unreadable``, ``not_npy``, ``unsafe_array`` (Python objects, which are code),
            ``size_mismatch`` (header and size of the file disagree), ``no_rows`` (empty).
    """
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        with path.open("rb") as stream:
            shape, _, dtype = readers[np.lib.format.read_magic(stream)](stream)
            start, size = stream.tell(), path.stat().st_size
    except OSError as problem:
        raise _bad(path, "unreadable", f"unreadable ({problem.strerror})", "a readable file") from None
    except Exception:  # numpy's parser of the header raises of many kinds, tokenize.TokenError for one
        raise _bad(path, "not_npy", "no header of a .npy file of version 1 or 2", "one array") from None
    if dtype.hasobject:
        found = "an array of Python objects, which may run code when loaded; it was not loaded"
        raise _bad(path, "unsafe_array", found, "plain numbers")
    claimed = start + math.prod(shape) * dtype.itemsize
    if claimed != size or any(length < 0 for length in shape):
        found = f"{size} bytes, the header {shape} claims {claimed}"
        raise _bad(path, "size_mismatch", found, "a whole array and nothing else")
    if claimed == start:
        raise _bad(path, "no_rows", f"an empty array {shape}", "at least one window")
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _judge(path: Path, first: int, eeg_BCT: np.ndarray, unit: str) -> list[str]:
    """Warnings about windows in volts; refuses what no reader could have meant."""
    if not np.isfinite(eeg_BCT).all():
        window, channel = np.argwhere(~np.isfinite(eeg_BCT).all(axis=2))[0]
        found = f"window {first + window}, {AUBMC_19[channel]} holds NaN or infinite values"
        raise _bad(path, "non_finite", found, "numbers")
    uv_BC = eeg_BCT.std(axis=2, dtype=np.float64) * 1e6
    low, high = PLAUSIBLE_UV
    if not low <= (median := float(np.median(uv_BC))) <= high:
        raise DataError(
            f"{path}, windows from {first}: a median SD of {median:.3g} uV if the numbers are {unit}; "
            f"expected {low:g} to {high:g} uV. Set dataset.unit=uV, mV or V.",
            reason="implausible_amplitude",
        )
    flat = int((uv_BC == 0).all(axis=1).sum())
    return [f"flat_window: {flat} windows in which no channel changes"] if flat else []


def _bad(path: Path, reason: str, found: str, expected: str) -> DataError:
    return DataError(f"{path}: {found}; expected {expected}. Fetch the file again.", reason=reason)
