"""The files of an invented recording in the native layout of CHB-MIT: EDF, ``.edf.seizures``, summary.

The grammar and its quirks are told where the files are read (``corpora/chbmit_files.py``).
"""

import struct
from collections.abc import Sequence

import numpy as np

from distilclip_eeg.corpora.edf.fields import ANNOTATIONS
from distilclip_eeg.corpora.invented.eeg import SFREQ
from distilclip_eeg.corpora.invented.plan import NAMES, Plan

PHYSICAL_UV, DIGITAL = (-800, 800), (-2048, 2047)
DUMMY_RANGE = -1, 1
"""Physical and digital range of a dummy signal, as in chb17a_03."""
TAL_BYTES = 22
"""Size of the annotation signal in one record; holds an onset such as ``+1234``."""


def edf_bytes(plan: Plan, eeg: np.ndarray) -> bytes:
    """The recording as EDF, or as EDF+D where it has a gap.

    Args:
        plan: its gap is left out of the records, its labels are the signals.
        eeg: potentials in microvolts, (electrode, sample), from the first to the last second.
    """
    samples = np.array([_digital(eeg, label) for label in plan.labels])
    kept = [s for s in range(plan.length_s) if plan.gap is None or not plan.gap[0] <= s < plan.gap[1]]
    records = samples.reshape(len(plan.labels), plan.length_s, SFREQ)[:, kept].swapaxes(0, 1)
    body = [record.tobytes() for record in records]
    if plan.gap is not None:
        tals = (b"+%d\x14\x14" % second for second in kept)
        body = [data + tal.ljust(TAL_BYTES, b"\0") for data, tal in zip(body, tals, strict=True)]
    return _edf_header(plan, len(kept)) + b"".join(body)


def _digital(eeg: np.ndarray, label: str) -> np.ndarray:
    """First electrode minus second in steps of the file, clipped at its rails; a dummy is level."""
    if label == "-":
        return np.zeros(eeg.shape[1], "<i2")
    first, second = label.split("-")
    low, high = PHYSICAL_UV
    uv = eeg[NAMES.index(first)] - eeg[NAMES.index(second)]
    steps = (uv - low) * (DIGITAL[1] - DIGITAL[0]) / (high - low) + DIGITAL[0]
    return np.clip(np.rint(steps), *DIGITAL).astype("<i2")


def _edf_header(plan: Plan, n_records: int) -> bytes:
    """File and signal headers, field by field; nobody is named in them."""
    plus = plan.gap is not None
    n = len(plan.labels) + plus
    clock = _clock(plan.clock_s % 86400, "{:02d}.{:02d}.{:02d}")
    fixed = (
        ("0", 8), ("X X X X", 80), ("Startdate X X X X", 80), ("01.01.85", 8), (clock, 8), (256 * (n + 1), 8),
        ("EDF+D" if plus else "", 44), (n_records, 8), (1, 8), (n, 4),
    )  # fmt: skip
    ranges = [DUMMY_RANGE * 2 if label == "-" else PHYSICAL_UV + DIGITAL for label in plan.labels]
    ranges += [(-1, 1, -32768, 32767)] * plus
    fields = [f"{value:<{width}}" for value, width in fixed]
    fields += [f"{label:<16}" for label in (*plan.labels, *[ANNOTATIONS] * plus)]
    fields += [" " * 80] * n  # transducers
    fields += [f"{unit:<8}" for unit in ["uV"] * len(plan.labels) + [""] * plus]
    for column in zip(*ranges, strict=True):
        fields += [f"{value:<8}" for value in column]
    fields += [" " * 80] * n  # prefilters
    fields += [f"{count:<8}" for count in [SFREQ] * len(plan.labels) + [TAL_BYTES // 2] * plus]
    fields += [" " * 32] * n
    return "".join(fields).encode("ascii")


def seizure_bytes(seizures: Sequence[tuple[float, float]], rate: int = SFREQ) -> bytes:
    """WFDB annotations: the time resolution, then code 32 at each onset and 33 at each end.

    Args:
        seizures: (onset, offset) in seconds.
        rate: ticks in a second.
    """

    def skip(ticks: int) -> bytes:
        return struct.pack("<HhH", 59 << 10, ticks >> 16, ticks & 0xFFFF)  # high half first

    text = b"## time resolution: %d" % rate
    out = struct.pack("<HH", 22 << 10, 63 << 10 | len(text)) + text + b"\0" * (len(text) % 2)
    out += skip(-1) + struct.pack("<H", 1)
    now = 0
    for onset, offset in seizures:
        for second, code in ((onset, 32), (offset, 33)):
            tick = round(second * rate)
            out += skip(tick - now) + struct.pack("<H", code << 10)
            now = tick
    return out + b"\0\0"


def summary_block(
    file: str,
    seizures: Sequence[tuple[float, float]],
    clocks: tuple[str, str] | None,
    numbered: bool | None = None,
    count: int | str | None = None,
) -> list[str]:
    """Lines of one file in a summary.

    Args:
        clocks: start and end of the file as times of day; None leaves them out, as in chb24.
        numbered: whether seizures carry numbers; None: where there are several.
        count: number of seizures to announce; None gives the true one.
    """
    lines = [f"File Name: {file}"]
    if clocks:
        lines += [f"File Start Time: {clocks[0]}", f"File End Time: {clocks[1]}"]
    lines += [f"Number of Seizures in File: {len(seizures) if count is None else count}"]
    numbered = len(seizures) > 1 if numbered is None else numbered
    for k, (onset, offset) in enumerate(seizures, start=1):
        mark = f"Seizure {k}" if numbered else "Seizure"
        lines += [f"{mark} Start Time: {onset} seconds", f"{mark} End Time: {offset} seconds"]
    return lines


def summary_head(labels: Sequence[str]) -> list[str]:
    """The first lines of a summary: rate and channels."""
    return [
        "Data Sampling Rate: 256 Hz",
        "*" * 25,
        "",
        "Channels in EDF Files:",
        "*" * 22,
        *_channels(labels),
    ]


def channels_changed(labels: Sequence[str]) -> list[str]:
    """Lines that tell of another list of channels, anywhere between the files."""
    return ["Channels changed:", "*" * 17, *_channels(labels)]


def _channels(labels: Sequence[str]) -> list[str]:
    return [f"Channel {k}: {label}" for k, label in enumerate(labels, start=1)]


def summary_text(plans: Sequence[Plan]) -> str:
    """The case's summary; a lone seizure carries no number, as in chb01, several do, as in chb03."""
    labels = plans[0].labels
    lines = summary_head(labels)
    for plan in plans:
        if plan.labels != labels:
            lines += ["", *channels_changed(plan.labels)]
            labels = plan.labels
        clocks = (_clock(plan.clock_s), _clock(plan.clock_s + plan.length_s))
        lines += ["", *summary_block(plan.file, plan.seizures, clocks)]
    return "\n".join(lines) + "\n"


def _clock(seconds: int, form: str = "{:d}:{:02d}:{:02d}") -> str:
    """Time of day; past midnight the hours go on (24:20:11), as in the native summaries."""
    return form.format(seconds // 3600, seconds // 60 % 60, seconds % 60)
