"""The nouns every other part shares, and the errors a user may see.

Words: a *recording* is one file; an *event* is a stretch of it with a label; a *piece* is a stretch
of signal without a gap (plain EDF and EDF+C have one, EDF+D may have several). Times are seconds
from the start of the recording, intervals are half open. Signals are volts until normalised.
"""

import difflib
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import numpy as np

NOTE = "Research software, not a medical device: not for diagnosis, monitoring or treatment."
"""What every page, card and file for people says."""
BACKGROUND = "bckg"
SEIZURE = "seiz"
"""The class of a seizure whose type is not told."""
ANY_SEIZURE = "sz"
"""The same in SzCORE's words, and the root of all its types."""
PROTOCOLS = ("window", "event", "recording", "time", "subject", "leave_one_subject_out", "official")
"""Ways of splitting a corpus, the article's first; see ``signals.splitters``."""


_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")
"""What a terminal obeys, hides or cannot write: controls, marks of direction and width, undecoded bytes."""


_FORMULA = re.compile(r"'*[=+\-@\t\r\n].", re.DOTALL)


def visible(text: object) -> str:
    """Text of a file or its name for one line of a terminal, page or table: letters of all scripts stay.

    What cannot be seen is escaped: a line end is ``\\n``, ESC ``\\x1b``, a byte of a name that is not UTF-8
    (as Python decodes names of files) ``\\xfc``.
    """
    return _UNSEEN.sub(_escaped, str(text))


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    undecoded = 0xDC80 <= code <= 0xDCFF
    return f"\\x{code - 0xDC00:02x}" if undecoded else match[0].encode("unicode_escape").decode()


def guarded(cell: object) -> object:
    """A cell of a CSV that a spreadsheet takes for text, never for a formula; :func:`unguarded` undoes it.

    A text that begins with ``= + - @``, a tab or a line end, and is no number, gets an apostrophe before it.
    """
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) and not _is_number(cell) else cell


def unguarded(cell: object) -> object:
    """A cell as it was before :func:`guarded`."""
    return cell[1:] if isinstance(cell, str) and cell[:1] == "'" and _FORMULA.match(cell) else cell


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


class UserError(Exception):
    """A problem the user can mend; printed as one line, without a traceback.

    The message says where, what was found, what was expected and what to do.

    Args:
        message: one line; whatever names and texts of files put into it stays one (:func:`visible`).
        reason: stable short code, for reports and tests.
        mend: what to type or to set, where a line says it all; ``message`` says it, too.
    """

    exit_code = 2

    def __init__(self, message: str, *, reason: str = "user_error", mend: str = ""):
        super().__init__(visible(message))
        self.reason = reason
        """Stable short code, for reports and tests."""
        self.mend = visible(mend)
        self.parts: tuple[UserError, ...] = ()
        """Those that it stands for, where it stands for several (:func:`all_of`)."""


class ConfigError(UserError):
    """A setting is wrong."""


class DataError(UserError):
    """A file cannot be used; nothing of it is. Of a corpus the other recordings still are."""

    exit_code = 3


class CorpusError(DataError):
    """A listing of many recordings contradicts itself, so that nothing of the corpus is trusted."""


class MachineError(UserError):
    """Neither a setting nor the data: memory or disk do not suffice, or another process is at it."""

    exit_code = 4


class SkipRecording(DataError):
    """This recording is left out and counted; the others are still used."""


def all_of(attempts: Iterable[Callable[[], object]]) -> None:
    """Try each, and tell together all that they refuse.

    Raises:
        UserError: the only one; or one that has several as parts, a ``ConfigError`` where one of them is.
    """
    found: list[UserError] = []
    for attempt in attempts:
        try:
            attempt()
        except UserError as problem:
            found.append(problem)
    if len(found) == 1:
        raise found[0]
    if found:
        kind = ConfigError if any(isinstance(one, ConfigError) for one in found) else type(found[0])
        whole = kind(f"{len(found)} things are lacking; nothing was read or written.", reason="lacking")
        whole.parts = tuple(found)
        raise whole


EXTRAS = {
    **dict.fromkeys(("torch", "transformers", "tokenizers", "accelerate", "safetensors"), "train"),
    **dict.fromkeys(("huggingface_hub", "tensorboard"), "train"),
    **dict.fromkeys(("optuna", "filelock", "submitit"), "sweep"),
    **{"onnx": "export", "onnxscript": "export", "onnxruntime": "edge"},
}
"""Which extra of the package brings what the core does without."""


def lacking(what: str, error: ImportError) -> str | None:
    """One line that names the extra to install; None where no extra brings what is missing."""
    if not isinstance(error, ModuleNotFoundError) or error.name not in EXTRAS:
        return None
    extra = f"pip install 'distilclip-eeg[{EXTRAS[error.name]}]'"
    return f"{what} needs {error.name}, which is not installed: {extra}"


def check_choice(name: str, value: object, allowed: Collection[object], hint: str = "") -> None:
    """Refuse a setting whose value is not among those there are.

    Args:
        name: the setting's full name, such as ``signals.phase``.
        hint: what to do, where the list of values does not say it.

    Raises:
        ConfigError: names the setting, its value and every choice.
    """
    if value not in allowed:
        choices = ", ".join(repr(a) for a in allowed)
        raise ConfigError(f"{name}={value!r} is not one of {choices}. {hint}".rstrip())


def nearest(name: str, known: Iterable[str]) -> str:
    """`` Did you mean …?`` where a known name is near, else what is known; empty where nothing is."""
    known = list(known)
    last = name.rpartition(".")[2]
    near = [k for k in known if k.rpartition(".")[2] == last][:1] or difflib.get_close_matches(name, known, 1)
    if near:
        return f" Did you mean {near[0]}?"
    return f" There is {', '.join(known)}." if known else ""


def short(words: str, most: int = 240) -> str:
    """A message cut after the last whole word within ``most`` characters, for a page of many."""
    return words if len(words) <= most else f"{words[:most].rsplit(' ', 1)[0]} … (check.py tells all)"


@dataclass(frozen=True)
class Event:
    """A labelled stretch of a recording, ``[onset_s, offset_s)``."""

    onset_s: float
    offset_s: float
    label: str


@dataclass(frozen=True)
class Piece:
    """A stretch of signal without a gap."""

    start_s: float
    eeg_CT: np.ndarray
    """Volts, float32, channels in the montage's order."""


@dataclass(frozen=True)
class RecordingRef:
    """Where a recording lies; known without reading any signal."""

    recording: str
    """Unique name inside the corpus; a table may show it."""
    subject: str
    """The person: all recordings of one person share it, whatever the folder is called."""
    path: Path
    session: str = ""
    files: tuple[Path, ...] = ()
    """Every file whose change must rebuild the store (signal, annotations)."""
    part: str = ""
    """``train``, ``val`` or ``test`` where the corpus itself says so (TUSZ), for ``split=official``."""


@dataclass(frozen=True)
class Labels:
    """What the annotations of one recording say, on the axis whose zero is its first sample."""

    events: tuple[Event, ...] = ()
    """Ictal events only, sorted, not overlapping, clipped to the recording."""
    excluded: tuple[Event, ...] = ()
    """Stretches that are neither seizure nor background; the label says why. No window holds any of it."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Allow-listed facts only: age_band, sex. Nothing else leaves a file header or a table of persons."""
    warnings: tuple[str, ...] = ()
    """``"code: words"`` for everything odd but tolerated."""


@dataclass(frozen=True)
class Recording:
    """One recording as read from its native files."""

    ref: RecordingRef
    sfreq: float
    ch_names: tuple[str, ...]
    pieces: tuple[Piece, ...]
    events: tuple[Event, ...]
    excluded: tuple[Event, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Events, excluded stretches and metadata as in :class:`Labels`, with the montage's name."""
    filled: tuple[str, ...] = ()
    """Channels of the montage that the file lacks: all zero, or interpolated (``missing_channels``)."""
    warnings: tuple[str, ...] = ()
    """What was odd but tolerated, of signal and labels; the data report shows it."""
    clipped_samples: int = 0
    """Samples that stood at the rails of the digital range."""

    @property
    def duration_s(self) -> float:
        """Seconds of signal, gaps not counted."""
        return sum(p.eeg_CT.shape[1] for p in self.pieces) / self.sfreq


class Corpus(Protocol):
    """What a data set must offer; it never knows torch."""

    @property
    def name(self) -> str:
        """By which settings, stores and tables know it."""
        ...

    @property
    def classes(self) -> tuple[str, ...]:
        """Background first; the position is the class index."""
        ...

    @property
    def ch_names(self) -> tuple[str, ...]:
        """The montage, in the order of the rows of every signal."""
        ...

    @property
    def identified(self) -> bool:
        """Whether recording and subject of every window are known.

        Without, only ``split=window`` is possible and no audit can say what it lets through (the ready-made
        arrays of AUBMC).
        """
        ...

    @property
    def options(self) -> Mapping[str, object]:
        """Settings that change what is read from the same files; part of the store's key."""
        ...

    @property
    def missing(self) -> tuple[str, ...]:
        """Files that the corpus's own lists name and the disk lacks; known after ``recordings``."""
        ...

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is odd about the corpus as a whole; known after ``recordings``."""
        ...

    def recordings(self) -> list[RecordingRef]:
        """All recordings, sorted by name.

        Raises:
            DataError: there are none, or the folder is not the corpus.
        """
        ...

    def read(self, ref: RecordingRef) -> Recording:
        """The recording's signal in volts and its events.

        Raises:
            SkipRecording: this recording cannot be used; the others are.
            DataError: a file contradicts itself or another; it is left out like a skipped one.
            CorpusError: a listing contradicts itself, so that nothing of the corpus is trusted.
        """
        ...


def unreadable(path: Path, problem: DataError | OSError) -> DataError:
    """The problem of one file as an error of ours that names it, whatever the system calls it."""
    if isinstance(problem, DataError):
        return problem
    words = problem.strerror or type(problem).__name__
    return DataError(
        f"{path}: cannot be read ({words}); expected a readable file. Check disk and permissions.",
        reason="unreadable",
    )


def person_key(name: str) -> str:
    """What a person's name is compared by: Unicode form, case, blanks and zeros before a number are none.

    ``P01``, ``p1`` and ``P01 `` are one person; ``P-01`` is another.
    """
    text = "".join(unicodedata.normalize("NFKC", name).casefold().split())
    return re.sub(r"(?<!\d)0+(?=\d)", "", text)


def recordings_of(corpus: Corpus) -> tuple[list[RecordingRef], tuple[str, ...]]:
    """All recordings of a corpus under names that can be written, each person under one, and what was joined.

    Spellings that differ in nothing that tells people apart (:func:`person_key`) are taken for one person:
    were they two, nothing is lost; were they one, no fold has the same person on both sides.

    Raises:
        DataError: see :meth:`Corpus.recordings`.
    """
    refs = corpus.recordings()
    first: dict[str, str] = {}
    joined: dict[str, list[str]] = {}
    for name in dict.fromkeys(ref.subject for ref in refs):
        known = first.setdefault(person_key(name), name)
        if known != name:
            joined.setdefault(known, []).append(name)
    told = tuple(
        f"persons_joined: {visible(known)!r} is also spelt {', '.join(repr(visible(n)) for n in names)}; "
        "taken for one person. If they are different people, rename one"
        for known, names in joined.items()
    )
    named = [
        replace(
            ref,
            recording=visible(ref.recording),
            subject=visible(first[person_key(ref.subject)]),
            session=visible(ref.session),
        )
        for ref in refs
    ]
    return named, told
