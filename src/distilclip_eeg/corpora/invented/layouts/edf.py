"""Bytes of an EDF, EDF+D or BDF file, every header field free to be set: the writer behind the layouts.

Written here rather than by a library because the layouts need what a careful library refuses: dummies,
repeated labels, gaps, odd dates. Format: see ``corpora/edf/fields.py``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

TAL_BYTES = 24
"""Size of the annotation signal in one record; holds an onset such as ``+1234``."""


WHOLE_UV, WHOLE = (-3276.8, 3276.7), (-32768, 32767)
"""Physical and digital range that use all 16 bits, 0.1 uV a step."""


@dataclass(frozen=True)
class Signal:
    """One signal of a file."""

    label: str
    digital: np.ndarray
    """Digital values, (records * rate * record length,)."""
    sfreq: float
    physical_range: tuple[float, float] = WHOLE_UV
    digital_range: tuple[int, int] = WHOLE
    unit: str = "uV"


def signal_of(
    label: str,
    uv: np.ndarray,
    sfreq: float,
    *,
    physical_range: tuple[float, float] = WHOLE_UV,
    digital_range: tuple[int, int] = WHOLE,
    unit: str = "uV",
) -> Signal:
    """Microvolts as a signal: rounded to the steps of the header's range and held at its ends."""
    (low, high), (dmin, dmax) = physical_range, digital_range
    steps = np.rint((np.asarray(uv) - low) * (dmax - dmin) / (high - low) + dmin)
    digital = np.clip(steps, dmin, dmax).astype(np.int32)
    return Signal(label, digital, sfreq, physical_range, digital_range, unit)


@dataclass(frozen=True)
class Header:
    """Header fields as they shall stand, cut to their widths."""

    patient: str = "X X X X"
    recording: str = "Startdate X X X X"
    date: str = "01.01.85"
    clock: str = "00.00.00"


ANONYMOUS = Header()


def edf_bytes(
    signals: Sequence[Signal],
    *,
    record_s: float = 1,
    header: Header = ANONYMOUS,
    onsets_s: Sequence[float] | None = None,
    kept: Sequence[int] | None = None,
    claim: int | None = None,
    bdf: bool = False,
) -> bytes:
    """A whole file.

    Args:
        record_s: length of a data record, seconds.
        header: of the whole file.
        onsets_s: start of each record written; given, the file is discontinuous (``+D``) with an annotation
            signal that carries them.
        kept: records to write, by default all; with ``onsets_s`` it makes gaps.
        claim: number of records the header states, by default the true one.
        bdf: 24 bits a sample and the first bytes of BioSemi's BDF.
    """
    width, version = (3, b"\xffBIOSEMI") if bdf else (2, b"0       ")
    per_record = [round(s.sfreq * record_s) for s in signals]
    n_records = len(signals[0].digital) // per_record[0]
    kept = range(n_records) if kept is None else kept
    columns = [_encode(s.digital.reshape(n_records, -1), width) for s in signals]
    body = []
    for place, record in enumerate(kept):
        body += [column[record].tobytes() for column in columns]
        if onsets_s is not None:
            body.append((b"+%g\x14\x14\0" % onsets_s[place]).ljust(TAL_BYTES * width // 2, b"\0"))
    kind = "BDF" if bdf else "EDF"
    rows = [
        (s.label, s.unit, *s.physical_range, *s.digital_range, n)
        for s, n in zip(signals, per_record, strict=True)
    ]
    if onsets_s is not None:
        rows.append((f"{kind} Annotations", "", -1, 1, -32768, 32767, TAL_BYTES // 2))
    fixed = (
        (header.patient, 80), (header.recording, 80), (header.date, 8), (header.clock, 8),
        (256 * (len(rows) + 1), 8),
        (f"{kind}+D" if onsets_s is not None else "24BIT" if bdf else "", 44),
        (len(kept) if claim is None else claim, 8), (f"{record_s:g}", 8), (len(rows), 4),
    )  # fmt: skip
    fields = [f"{value!s:<{size}.{size}}" for value, size in fixed]
    label, unit, *numbers, count = zip(*rows, strict=True)
    blank = [""] * len(rows)
    layout = ((label, 16), (blank, 80), (unit, 8), *((n, 8) for n in numbers), (blank, 80), (count, 8))
    for column, size in (*layout, (blank, 32)):
        fields += [f"{value!s:<{size}.{size}}" for value in column]
    return version + "".join(fields).encode("latin-1") + b"".join(body)


def _encode(digital: np.ndarray, width: int) -> np.ndarray:
    """Little-endian integers of ``width`` bytes, (records, samples, width)."""
    return np.ascontiguousarray(digital.astype("<i4")).view("u1").reshape(*digital.shape, 4)[..., :width]
