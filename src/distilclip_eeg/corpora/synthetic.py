"""A synthetic corpus: invented people in the native layout of CHB-MIT, read by the CHB-MIT reader.

For trying the whole road without data: files, gaps, dummy channels and summary grammar are the real ones'
(``invented/files.py``); the people, what happens to them (``invented/plan.py``) and their signals
(``invented/eeg.py``) are drawn. Every sixth recording is an EDF+D with a gap, every fifth has 28 signals
of which five are dummies, and every third of a person has no seizure. The bytes depend on the settings
alone, not on the number of workers.
"""

import hashlib
import json
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed

from distilclip_eeg.config.registry import component
from distilclip_eeg.corpora.chbmit import ChbMit
from distilclip_eeg.corpora.invented.eeg import draw_recording
from distilclip_eeg.corpora.invented.files import edf_bytes, seizure_bytes, summary_text
from distilclip_eeg.corpora.invented.plan import Plan, draw_person, draw_plan
from distilclip_eeg.schema import ConfigError, DataError, Recording, RecordingRef

GENERATOR_VERSION = 2
"""Raise it with every change of the bytes a setting gives, so that no old tree passes for a new one."""
MANIFEST = "manifest.json"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What determines the bytes of a tree; the words are those of :class:`Synthetic`.

    Raises:
        ConfigError: a value outside its bounds.
    """

    n_subjects: int
    recordings_per_subject: int
    recording_s: int
    difficulty: float
    seed: int
    focality: float = 0.0

    def __post_init__(self) -> None:
        bounds = {
            "n_subjects": (1, 98),
            "recordings_per_subject": (1, 99),
            "recording_s": (40, 3600),
            "difficulty": (0.0, 1.0),
            "focality": (0.0, 1.0),
            "seed": (0, 2**63),
        }
        for name, (low, high) in bounds.items():
            if not low <= getattr(self, name) <= high:
                raise ConfigError(
                    f"dataset.{name}={getattr(self, name)!r}: expected {low} to {high}. Change it."
                )

    def manifest(self) -> dict:
        """What a finished tree says of itself: settings, and the generator's version."""
        return {"generator_version": GENERATOR_VERSION, "settings": asdict(self)}

    @property
    def digest(self) -> str:
        """Twelve hexadecimal digits, alike only for alike settings and generator."""
        return hashlib.sha256(json.dumps(self.manifest(), sort_keys=True).encode()).hexdigest()[:12]


@component("corpus", "synthetic")
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
        focality: 0 (a seizure is all over the head within seconds, largest in front) to 1 (it stays at its
            focus for its first third), for questions about where.
        workers: processes that write; the bytes are the same for any number.
        montage, missing_channels: see ``ChbMit``.

    Raises:
        ConfigError: a setting outside its bounds.
    """

    name = "synthetic"
    classes = ChbMit.classes
    identified = True

    def __init__(
        self,
        *,
        root: str | Path,
        n_subjects: int = 12,
        recordings_per_subject: int = 2,
        recording_s: float = 120,
        difficulty: float = 0.5,
        seed: int = 0,
        focality: float = 0.0,
        workers: int = 1,
        montage: str = "native",
        missing_channels: str = "skip",
    ):
        self.settings = Settings(
            n_subjects=int(n_subjects),
            recordings_per_subject=int(recordings_per_subject),
            recording_s=int(recording_s),
            difficulty=float(difficulty),
            seed=int(seed),
            focality=float(focality),
        )
        self.root = Path(root)
        self.tree = self.root / f"synthetic-{self.settings.digest}"
        self.workers = workers
        self._corpus = ChbMit(root=self.tree, montage=montage, missing_channels=missing_channels)
        self.ch_names, self.options = self._corpus.ch_names, self._corpus.options

    @property
    def missing(self) -> tuple[str, ...]:
        """Files that the tree's lists name and the disk lacks; known after :meth:`recordings`."""
        return self._corpus.missing

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is odd about the tree as a whole; known after :meth:`recordings`."""
        return self._corpus.warnings

    def recordings(self) -> list[RecordingRef]:
        """All recordings, sorted by name; generates them where they are not there yet.

        Raises:
            ConfigError, DataError: see :func:`ensure_tree`.
        """
        ensure_tree(self.tree, self.settings, self.workers)
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
    if tree.exists():
        raise DataError(
            f"{tree}: exists and is not the tree of these settings; expected nothing there, or a {MANIFEST} "
            "with them. Move it away, or set another dataset.root.",
            reason="not_ours",
        )
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


def case_of(number: int) -> str:
    """Name of a person's folder; 21 is left out, which the reader takes for case 1's person."""
    return f"chb{number + 1 + (number >= 20):02d}"


def generator(settings: Settings, number: int, which: int) -> np.random.Generator:
    """What a person (``which`` 0) or their recordings (1, 2, ...) are drawn from."""
    return np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=(number, which)))


def plan_of(settings: Settings, number: int, index: int) -> tuple[Plan, np.random.Generator]:
    """What a person's recording will hold, and the generator that its signal comes from next."""
    rng = generator(settings, number, 1 + index)
    count = number * settings.recordings_per_subject + index
    return draw_plan(rng, case_of(number), index, count, settings.recording_s), rng


def write_person(root: Path, settings: Settings, number: int) -> tuple[str, list[Plan]]:
    """One case folder; gives its row of SUBJECT-INFO and what was written."""
    case, rng = case_of(number), generator(settings, number, 0)
    person = draw_person(rng, number, settings.difficulty, settings.focality)
    row = f"{case}\t{rng.choice(['F', 'M'])}\t{rng.integers(2, 20)}\n"
    folder = root / case
    folder.mkdir()
    plans = []
    for index in range(settings.recordings_per_subject):
        plan, rng = plan_of(settings, number, index)
        eeg = draw_recording(rng, person, plan.length_s, list(plan.seizures))
        (folder / plan.file).write_bytes(edf_bytes(plan, eeg))
        if plan.seizures:
            (folder / f"{plan.file}.seizures").write_bytes(seizure_bytes(plan.seizures))
        plans.append(plan)
    (folder / f"{case}-summary.txt").write_text(summary_text(plans))
    return row, plans
