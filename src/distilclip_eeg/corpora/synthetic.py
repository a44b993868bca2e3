"""A synthetic corpus: invented people in the native layout of CHB-MIT, read by the CHB-MIT reader.

For trying the whole road without data: files, gaps, dummy channels and summary grammar are the real ones'
(see ``corpora/chbmit.py``), the signals are those of ``corpora/synthetic_eeg.py``. Every sixth recording
is an EDF+D with a gap, every fifth has 28 signals of which five are dummies, and every third of a person
has no seizure. The bytes depend on the settings alone, not on the number of workers.
"""

import hashlib
import json
import shutil
import struct
import tempfile
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed

from distilclip_eeg.corpora.chbmit import ChbMit
from distilclip_eeg.corpora.synthetic_eeg import NAMES, SFREQ, draw_person, draw_recording
from distilclip_eeg.schema import ConfigError, DataError, Recording, RecordingRef

GENERATOR_VERSION = 1
"""Raise it with every change of the bytes a setting gives, so that no old tree passes for a new one."""
MANIFEST = "manifest.json"

LABELS_23 = (
    "FP1-F7", "F7-T7", "T7-P7", "P7-O1", "FP1-F3", "F3-C3", "C3-P3", "P3-O1",
    "FP2-F4", "F4-C4", "C4-P4", "P4-O2", "FP2-F8", "F8-T8", "T8-P8", "P8-O2",
    "FZ-CZ", "CZ-PZ", "P7-T7", "T7-FT9", "FT9-FT10", "FT10-T8", "T8-P8",
)  # fmt: skip
LABELS_28 = (
    *LABELS_23[:4], "-", *LABELS_23[4:8], "-", *LABELS_23[16:18], "-", *LABELS_23[8:12], "-",
    *LABELS_23[12:16], "-", *LABELS_23[18:],
)  # fmt: skip
"""The 28-signal layout of chb14 to chb22: the chains in another order, dummies between them."""

PHYSICAL_UV, DIGITAL = (-800, 800), (-2048, 2047)
DUMMY_RANGE = -1, 1
"""Physical and digital range of a dummy signal, as in chb17a_03."""
GAPS_S = (9, 6, 3)
"""Lengths tried for the gap of an EDF+D, until one fits beside the seizures."""
TAL_BYTES = 22
"""Size of the annotation signal in one record; holds an onset such as ``+1234``."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What determines the bytes of a tree."""

    n_subjects: int
    recordings_per_subject: int
    recording_s: int
    difficulty: float
    seed: int

    def __post_init__(self) -> None:
        bounds = {
            "n_subjects": (1, 98),
            "recordings_per_subject": (1, 99),
            "recording_s": (40, 3600),
            "difficulty": (0.0, 1.0),
            "seed": (0, 2**63),
        }
        for name, (low, high) in bounds.items():
            if not low <= getattr(self, name) <= high:
                raise ConfigError(
                    f"dataset.{name}={getattr(self, name)!r}: expected {low} to {high}. Change it."
                )

    def manifest(self) -> dict:
        return {"generator_version": GENERATOR_VERSION, "settings": asdict(self)}

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits, alike only for alike settings and generator."""
        return hashlib.sha256(json.dumps(self.manifest(), sort_keys=True).encode()).hexdigest()[:12]


class Synthetic:
    """Invented recordings with seizures; 23 bipolar channels at 256 Hz in volts, as ``ChbMit`` gives them.

    The tree is made on first use in a folder of ``root`` named by a digest of the settings, so trees of
    several settings and whatever else ``root`` holds live side by side.

    Args:
        root: folder for the trees; made where it is missing.
        n_subjects: invented people.
        recordings_per_subject: files per person.
        recording_s: mean length of a file; each is up to 15 % shorter or longer.
        difficulty: 0 (strong seizures, hardly a look-alike) to 1.
        seed: another seed gives other people.
        workers: processes that write; the bytes are the same for any number.
    """

    name = "synthetic"
    classes = ChbMit.classes
    ch_names = ChbMit.ch_names

    def __init__(
        self,
        *,
        root: str | Path,
        n_subjects: int = 12,
        recordings_per_subject: int = 2,
        recording_s: float = 120,
        difficulty: float = 0.5,
        seed: int = 0,
        workers: int = 1,
    ):
        self.settings = Settings(
            n_subjects=int(n_subjects),
            recordings_per_subject=int(recordings_per_subject),
            recording_s=int(recording_s),
            difficulty=float(difficulty),
            seed=int(seed),
        )
        self.root = Path(root)
        self.tree = self.root / f"synthetic-{self.settings.digest}"
        self.workers = workers

    @cached_property
    def _corpus(self) -> ChbMit:
        ensure_tree(self.tree, self.settings, self.workers)
        return ChbMit(root=self.tree)

    @property
    def missing(self) -> tuple[str, ...]:
        """See :class:`ChbMit`."""
        return self._corpus.missing

    @property
    def warnings(self) -> tuple[str, ...]:
        """See :class:`ChbMit`."""
        return self._corpus.warnings

    def recordings(self) -> list[RecordingRef]:
        """All recordings, sorted by name; generates them where they are not there yet."""
        return self._corpus.recordings()

    def read(self, ref: RecordingRef) -> Recording:
        """The recording as the CHB-MIT reader sees it."""
        return self._corpus.read(ref)


def ensure_tree(tree: Path, settings: Settings, workers: int) -> None:
    """Make ``tree`` unless it is there; written beside its place and renamed when complete.

    Raises:
        ConfigError: the place cannot be written.
        DataError: something else lies at ``tree``; it is left as it is.
    """
    if _is_complete(tree, settings):
        return
    _refuse_foreign(tree)
    try:
        tree.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{tree.name}.", dir=tree.parent))
    except OSError as problem:
        raise ConfigError(
            f"dataset.root={tree.parent}: cannot be written ({problem.strerror}); expected a folder to put "
            "synthetic recordings in. Set dataset.root=... to one."
        ) from problem
    try:
        write_tree(scratch, settings, workers)
        scratch.chmod(0o755)
        scratch.rename(tree)
    except OSError:
        if not _is_complete(tree, settings):  # else another process was first, with the same bytes
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _refuse_foreign(tree: Path) -> None:
    """For when no complete tree of ours lies at ``tree``: whatever else is there stays untouched."""
    if tree.exists():
        raise DataError(
            f"{tree}: exists and is not the tree of these settings; expected nothing there, or a {MANIFEST} "
            "with them. Move it away, or set another dataset.root.",
            reason="not_ours",
        )


def _is_complete(tree: Path, settings: Settings) -> bool:
    """The manifest is written last, so a tree that has it has everything."""
    try:
        return json.loads((tree / MANIFEST).read_text("utf-8")) == settings.manifest()
    except (OSError, ValueError):
        return False


def write_tree(folder: Path, settings: Settings, workers: int = 1) -> None:
    """Every file of the corpus; each person by a seed of their own, so the order of work does not matter."""
    jobs = (delayed(write_person)(folder, settings, number) for number in range(settings.n_subjects))
    people = Parallel(n_jobs=workers)(jobs)
    plans = [plan for _, found in people for plan in found]
    (folder / "RECORDS").write_text("".join(f"{p.case}/{p.file}\n" for p in plans))
    ictal = [p for p in plans if p.seizures]
    (folder / "RECORDS-WITH-SEIZURES").write_text("".join(f"{p.case}/{p.file}\n" for p in ictal))
    rows = "".join(row for row, _ in people)
    (folder / "SUBJECT-INFO").write_text(f"Case\tGender\tAge (years)\n\n{rows}")
    (folder / MANIFEST).write_text(json.dumps(settings.manifest(), indent=2, sort_keys=True) + "\n")


@dataclass(frozen=True)
class Plan:
    """What a recording will hold; whole seconds from its start, gap included."""

    case: str
    file: str
    length_s: int
    seizures: tuple[tuple[int, int], ...]
    gap: tuple[int, int] | None
    labels: tuple[str, ...]
    clock_s: int
    """Time of day at the start, seconds."""


def write_person(root: Path, settings: Settings, number: int) -> tuple[str, list[Plan]]:
    """One case folder; gives its row of SUBJECT-INFO and what was written."""
    case = f"chb{number + 1 + (number >= 20):02d}"  # 21 is left out: the reader takes it for case 1's person
    rng = np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=(number, 0)))
    person = draw_person(rng, number, settings.difficulty)
    row = f"{case}\t{rng.choice(['F', 'M'])}\t{rng.integers(2, 20)}\n"
    folder = root / case
    folder.mkdir()
    plans = []
    for index in range(settings.recordings_per_subject):
        rng = np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=(number, 1 + index)))
        plan = draw_plan(rng, case, index, number * settings.recordings_per_subject + index, settings)
        eeg = draw_recording(rng, person, plan.length_s, list(plan.seizures))
        (folder / plan.file).write_bytes(edf_bytes(plan, eeg))
        if plan.seizures:
            (folder / f"{plan.file}.seizures").write_bytes(seizure_bytes(plan.seizures))
        plans.append(plan)
    (folder / f"{case}-summary.txt").write_text(summary_text(plans))
    return row, plans


def draw_plan(rng: np.random.Generator, case: str, index: int, count: int, settings: Settings) -> Plan:
    """Lengths, seizures and layout of recording ``index`` of a person, ``count`` of the corpus (from 0)."""
    length = round(settings.recording_s * rng.uniform(0.85, 1.15))
    wanted = 0 if index % 3 == 2 else int(rng.integers(1, 3)) if length >= 90 else 1
    seizures = []
    for slot in range(wanted):
        room = length // wanted
        duration = round(min(rng.triangular(12, 34, 40), 0.6 * room))
        onset = slot * room + int(rng.integers(3, room - duration - 2))
        seizures.append((onset, onset + duration))
    return Plan(
        case=case,
        file=f"{case}_{index + 1:02d}.edf",
        length_s=length,
        seizures=tuple(seizures),
        gap=draw_gap(rng, length, seizures) if count % 6 == 1 else None,
        labels=LABELS_28 if count % 5 == 2 else LABELS_23,
        clock_s=int(rng.integers(0, 86400)),
    )


def draw_gap(rng: np.random.Generator, length: int, seizures: list) -> tuple[int, int] | None:
    """A stretch to lose that leaves two seconds about each seizure and at the ends."""
    for lost in GAPS_S:
        starts = [
            s
            for s in range(2, length - lost - 1)
            if all(s + lost + 2 <= onset or s >= offset + 2 for onset, offset in seizures)
        ]
        if starts:
            start = int(rng.choice(starts))
            return start, start + lost
    return None


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
    fields += [f"{label:<16}" for label in (*plan.labels, *["EDF Annotations"] * plus)]
    fields += [" " * 80] * n  # transducers
    fields += [f"{unit:<8}" for unit in ["uV"] * len(plan.labels) + [""] * plus]
    for column in zip(*ranges, strict=True):
        fields += [f"{value:<8}" for value in column]
    fields += [" " * 80] * n  # prefilters
    fields += [f"{count:<8}" for count in [SFREQ] * len(plan.labels) + [TAL_BYTES // 2] * plus]
    fields += [" " * 32] * n
    return "".join(fields).encode("ascii")


def seizure_bytes(seizures: tuple[tuple[int, int], ...]) -> bytes:
    """WFDB annotations: the time resolution, then code 32 at each onset and 33 at each end."""

    def skip(ticks: int) -> bytes:
        return struct.pack("<HhH", 59 << 10, ticks >> 16, ticks & 0xFFFF)  # high half first

    text = b"## time resolution: 256"
    out = struct.pack("<HH", 22 << 10, 63 << 10 | len(text)) + text + b"\0" + skip(-1) + struct.pack("<H", 1)
    now = 0
    for onset, offset in seizures:
        for second, code in ((onset, 32), (offset, 33)):
            out += skip(second * SFREQ - now) + struct.pack("<H", code << 10)
            now = second * SFREQ
    return out + b"\0\0"


def summary_text(plans: list[Plan]) -> str:
    """The case's summary; a lone seizure carries no number, as in chb01, several do, as in chb03."""
    lines = ["Data Sampling Rate: 256 Hz", "*" * 25, "", "Channels in EDF Files:", "*" * 22]
    lines += [f"Channel {k}: {label}" for k, label in enumerate(plans[0].labels, start=1)]
    labels = plans[0].labels
    for plan in plans:
        if plan.labels != labels:
            lines += ["", "Channels changed:", "*" * 17]
            lines += [f"Channel {k}: {label}" for k, label in enumerate(plan.labels, start=1)]
            labels = plan.labels
        lines += ["", f"File Name: {plan.file}"]
        lines += [f"File Start Time: {_clock(plan.clock_s)}"]
        lines += [f"File End Time: {_clock(plan.clock_s + plan.length_s)}"]
        lines += [f"Number of Seizures in File: {len(plan.seizures)}"]
        for k, (onset, offset) in enumerate(plan.seizures, start=1):
            mark = f"Seizure {k}" if len(plan.seizures) > 1 else "Seizure"
            lines += [f"{mark} Start Time: {onset} seconds", f"{mark} End Time: {offset} seconds"]
    return "\n".join(lines) + "\n"


def _clock(seconds: int, form: str = "{:d}:{:02d}:{:02d}") -> str:
    """Time of day; past midnight the hours go on (24:20:11), as in the native summaries."""
    return form.format(seconds // 3600, seconds // 60 % 60, seconds % 60)
