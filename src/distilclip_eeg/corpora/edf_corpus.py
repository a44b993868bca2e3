"""What corpora of EDF or BDF files have in common: one way from a file and its annotations to a recording."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import get_args

from distilclip_eeg.config.data import Links
from distilclip_eeg.corpora.edf.header import EdfHeader, read_header
from distilclip_eeg.corpora.edf.montage import Montage
from distilclip_eeg.corpora.edf.reader import read_eeg
from distilclip_eeg.corpora.edf.rename import Rename
from distilclip_eeg.corpora.walk import Walk, hidden, told
from distilclip_eeg.schema import (
    DataError,
    Labels,
    Recording,
    RecordingRef,
    SkipRecording,
    check_choice,
)

POINTER_BYTES = 1024
POINTERS = (b"annex/objects/", b"version https://git-lfs")
"""What stands in a file whose content git-annex or Git LFS has not fetched."""
LEVELS, MOST_FOLDERS = 4, 2000
"""How far above and below a wrong root the right one is looked for, and in how many folders."""


class EdfCorpus:
    """Base of the corpora that are folders of EDF files; a subclass says where they lie and what they mean.

    It sets ``name`` and ``classes``, and gives ``recordings`` and ``labels``. Signals come out in volts, in
    the montage's channels and order.

    Args:
        root: the corpus's folder.
        montage: the channels every recording is given in.
        links: ``inside`` of the root, or ``follow`` those that lead out of it; see
            :mod:`~distilclip_eeg.corpora.walk`.
        rename: what labels of the files are to be read as, where the user may say so; see
            :class:`~distilclip_eeg.corpora.edf.rename.Rename`.
    """

    name: str
    identified = True

    def __init__(
        self,
        *,
        root: str | Path,
        montage: Montage,
        links: Links = "inside",
        rename: Mapping[str, str] | None = None,
    ):
        check_choice("dataset.links", links, get_args(Links))
        self.root = Path(root)
        self.walk = Walk(self.root, links)
        self._outside: dict[Path, None] = {}
        self.montage = montage
        self.options: dict[str, object] = {"missing_channels": montage.missing, "derive": montage.derive}
        """Settings that change what is read from the same files; a subclass adds its own."""
        words = {str(label): str(name) for label, name in sorted((rename or {}).items())}
        self.rename = Rename("dataset.rename", words)
        if words:
            self.options["rename"] = words
        self.missing: tuple[str, ...] = ()
        """Files that the corpus's own lists name and the disk lacks; known after :meth:`recordings`."""
        self.warnings: tuple[str, ...] = ()
        """What is odd about the corpus as a whole; known after :meth:`recordings`."""

    @property
    def ch_names(self) -> tuple[str, ...]:
        """The montage's channels, the rows of every signal."""
        return self.montage.ch_names

    def files(self, suffixes: tuple[str, ...] = (), *, enters: Callable[[Path], bool] = bool) -> list[Path]:
        """Files below the root, as every walk here finds them; with ``suffixes``, those alone."""
        found = self.walk.files(enters)
        self._outside |= dict.fromkeys(self.walk.refused)
        return [path for path in found if not suffixes or path.suffix.lower() in suffixes]

    def inside(self, paths: Iterable[Path]) -> list[Path]:
        """Those that do not lead out of the root, sorted; the others are remembered and told."""
        kept = []
        for path in sorted(paths):
            if path.is_symlink() and not self.walk.allows(path):
                self._outside[path] = None
            else:
                kept.append(path)
        return kept

    @property
    def outside(self) -> tuple[str, ...]:
        """A warning about links that lead out of the root, where any were met."""
        return told(sorted(self._outside), self.root, "dataset.links")

    def recordings(self) -> list[RecordingRef]:
        """All recordings, sorted by name.

        Raises:
            DataError: there are none, or the folder is not the corpus.
        """
        raise NotImplementedError

    def header(self, ref: RecordingRef) -> EdfHeader:
        """What the file says about itself.

        Raises:
            SkipRecording: ``not_fetched`` where only a link or pointer to the file is here; as ``rename``
                has it.
            DataError: see :func:`~distilclip_eeg.corpora.edf.header.read_header`.
        """
        if is_pointer(ref.path):
            raise SkipRecording(
                f"{ref.path}: a link or pointer without the data; expected the recording itself. Fetch it "
                "(datalad get, git annex get, git lfs pull, or the archive's own download).",
                reason="not_fetched",
            )
        return self.rename.header(read_header(ref.path), ref.path)

    def labels(self, ref: RecordingRef, header: EdfHeader) -> Labels:
        """What the annotations of one recording say, checked against its header; no signal is read.

        Raises:
            SkipRecording: nobody knows this recording's seizures, or they do not fit it.
            DataError: an annotation file cannot be trusted.
        """
        raise NotImplementedError

    def read(self, ref: RecordingRef) -> Recording:
        """The recording's signal and events.

        Raises:
            SkipRecording, DataError: see ``labels`` of the corpus and
                :func:`~distilclip_eeg.corpora.edf.reader.read_eeg`.
        """
        header = self.header(ref)
        labels = self.labels(ref, header)
        eeg = read_eeg(ref.path, self.montage, header)
        return Recording(
            ref=ref,
            sfreq=eeg.sfreq,
            ch_names=self.ch_names,
            pieces=eeg.pieces,
            events=labels.events,
            excluded=labels.excluded,
            metadata={**labels.metadata, "montage": self.montage.name},
            filled=eeg.filled,
            warnings=(*eeg.warnings, *labels.warnings),
            clipped_samples=eeg.clipped_samples,
        )


def list_folder(root: Path, expected: str) -> list[Path]:
    """What lies in ``root``, sorted, hidden entries left out.

    Raises:
        DataError: ``missing_root`` or ``empty_root``; ``expected`` says what should be there.
    """
    if not root.is_dir():
        found = "not a folder" if root.exists() else "no such folder"
        do = "Set dataset.root=... or fetch the corpus."
        raise DataError(f"{root}: {found}; expected {expected}. {do}", reason="missing_root")
    entries = sorted(path for path in root.iterdir() if not hidden(path.name))
    if not entries:
        raise DataError(
            f"{root}: an empty folder; expected {expected}. Set dataset.root=... to it.", reason="empty_root"
        )
    return entries


def root_hint(root: Path, fits: Callable[[Path], bool]) -> str:
    """What to do about a root that is a few levels too high or too deep: the nearest folder that fits."""
    wave = [root]
    folders = [*root.absolute().parents[:LEVELS]]
    for _ in range(LEVELS):
        wave = [below for folder in wave for below in _folders_in(folder)][:MOST_FOLDERS]
        folders += wave
    for folder in folders:
        try:
            if fits(folder):
                return f"Set dataset.root={folder}"
        except OSError:  # not ours to look into
            continue
    return "Set dataset.root=... to it."


def _folders_in(folder: Path) -> list[Path]:
    try:
        return sorted(p for p in folder.iterdir() if p.is_dir() and not hidden(p.name))
    except OSError:
        return []


def is_edf(path: Path, suffixes: tuple[str, ...] = (".edf",)) -> bool:
    """Whether a file calls itself an EDF; hidden copies (``._x.edf``) and folders are none."""
    return path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file()


def is_pointer(path: Path) -> bool:
    """Whether only a link or pointer to the data is here, as in a clone that has not fetched them."""
    if path.is_symlink() and not path.exists():
        return True
    if not path.is_file() or path.stat().st_size > POINTER_BYTES:
        return False
    return any(mark in path.read_bytes() for mark in POINTERS)
