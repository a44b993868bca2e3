"""CHB-MIT Scalp EEG Database 1.0.0: folders of EDF files, seizures in one summary per folder.

The summary is the truth about seizures; the binary ``.edf.seizures`` files only check it, and the header of
each EDF is the truth about its channels. What the text files look like: ``corpora/chbmit_files.py``.
"""

from collections.abc import Sequence
from pathlib import Path

from distilclip_eeg.corpora.chbmit_files import (
    CASE,
    Span,
    read_seizure_file,
    read_subject_info,
    read_summary,
)
from distilclip_eeg.corpora.edf import read_eeg
from distilclip_eeg.corpora.edf_header import EdfHeader
from distilclip_eeg.corpora.montage import CHBMIT_23
from distilclip_eeg.schema import BACKGROUND, DataError, Event, Recording, RecordingRef, SkipRecording

SEIZURE = "seiz"
SAME_PERSON = {"chb21": "chb01"}
"""chb21 is chb01 a year and a half later: one child, never on both sides of a split."""
CROSS_CHECK_S = 1.0
"""Summary and ``.edf.seizures`` may differ by the summary's rounding to whole seconds."""


class ChbMit:
    """The CHB-MIT corpus as PhysioNet ships it; any subset of its folders and files will do.

    Recordings are 23 bipolar channels at 256 Hz in volts. A recording that lacks one of the 23 (at least
    28 files do), or has other derivations (chb12_27 to chb12_29), is skipped as ``missing_channels``.
    """

    name = "chbmit"
    classes = (BACKGROUND, SEIZURE)
    ch_names = CHBMIT_23

    def __init__(self, *, root: str | Path):
        self.root = Path(root)
        self.missing: tuple[str, ...] = ()
        """Files that a summary lists and the disk lacks; known after :meth:`recordings`."""
        self.warnings: tuple[str, ...] = ()
        """What is odd about the corpus as a whole; known after :meth:`recordings`."""
        self._summaries: dict[Path, dict[str, list[Span]]] = {}
        self._people: dict[str, dict[str, str]] | None = None

    def recordings(self) -> list[RecordingRef]:
        """Every EDF of every case folder, sorted by name.

        Raises:
            DataError: ``missing_root``, ``empty_root``, ``missing_summary``, ``no_recordings``, or a summary
                that cannot be trusted (see :func:`~distilclip_eeg.corpora.chbmit_files.read_summary`).
        """
        refs, missing = [], []
        for folder in _case_folders(self.root):
            summary = _summary_of(folder)
            edfs = sorted(path for path in folder.iterdir() if _is_edf(path))
            if summary is None and edfs:
                raise DataError(
                    f"{folder}: {len(edfs)} EDF files and no summary; expected {folder.name}-summary.txt, "
                    "which holds the seizure times. Fetch it, or move the folder out of dataset.root=...",
                    reason="missing_summary",
                )
            if summary is None:
                continue
            present = {path.name.lower() for path in edfs}
            missing += [name for name in self._seizures(summary) if name.lower() not in present]
            for path in edfs:
                files = tuple(p for p in (path, summary, _binary_of(path)) if p)
                subject = SAME_PERSON.get(folder.name.lower(), folder.name.lower())
                refs.append(RecordingRef(path.stem, subject, path, session=folder.name, files=files))
        if not refs:
            raise DataError(
                f"{self.root}: case folders, but no EDF file in them; expected chbNN/chbNN_MM.edf. Fetch the "
                "recordings, or set dataset.root=... to the folder that has them.",
                reason="no_recordings",
            )
        self.missing = tuple(missing)
        self.warnings = tuple(f"listed_file_missing: {name} is in a summary, not on disk" for name in missing)
        return sorted(refs, key=lambda ref: ref.recording)

    def read(self, ref: RecordingRef) -> Recording:
        """Signal of the 23 channels and its seizures.

        Raises:
            SkipRecording: ``unknown_seizures`` where a seizure file exists and the summary is silent;
                ``annotation_outside`` where a seizure lies wholly past an undamaged file; see also
                :func:`~distilclip_eeg.corpora.edf.read_eeg`.
            DataError: the EDF or the summary cannot be used.
        """
        spans, warnings = self._spans(ref)
        eeg = read_eeg(ref.path, self.ch_names)
        events, odd = _events(ref.path, spans, eeg.header)
        return Recording(
            ref=ref,
            sfreq=eeg.sfreq,
            ch_names=self.ch_names,
            pieces=eeg.pieces,
            events=events,
            metadata={**self._person(ref.session), "montage": "bipolar"},
            warnings=(*eeg.warnings, *warnings, *odd),
            clipped_samples=eeg.clipped_samples,
        )

    def _spans(self, ref: RecordingRef) -> tuple[list[Span], list[str]]:
        """Seizures by the summary, checked against the binary file where there is one."""
        summary, binary = _summary_of(ref.path.parent), _binary_of(ref.path)
        listed = {name.lower(): spans for name, spans in self._seizures(summary).items()} if summary else {}
        spans = listed.get(ref.path.name.lower())
        if spans is None:
            if binary:
                raise SkipRecording(
                    f"{ref.path}: has a seizure file but no entry in the summary; expected 'File Name: "
                    f"{ref.path.name}' there. Fetch the summary again, or leave the recording out.",
                    reason="unknown_seizures",
                )
            return [], []  # chb24 lists only files with seizures
        return spans, _cross_check(binary, spans) if binary else []

    def _seizures(self, summary: Path) -> dict[str, list[Span]]:
        """A summary is read once per corpus object."""
        if summary not in self._summaries:
            self._summaries[summary] = read_summary(summary)
        return self._summaries[summary]

    def _person(self, session: str) -> dict[str, str]:
        """Sex and age band of a case; by folder, since one child was recorded at two ages."""
        if self._people is None:
            self._people = read_subject_info(self.root / "SUBJECT-INFO")
        return self._people.get(session.lower(), {})


def _case_folders(root: Path) -> list[Path]:
    """The ``chbNN`` folders, sorted."""
    expected = "the folder that holds chb01, chb02, ... of CHB-MIT 1.0.0"
    if not root.is_dir():
        found = "not a folder" if root.exists() else "no such folder"
        do = "Set dataset.root=... or fetch the corpus."
        raise DataError(f"{root}: {found}; expected {expected}. {do}", reason="missing_root")
    folders = sorted(p for p in root.iterdir() if p.is_dir() and CASE.fullmatch(p.name))
    if not folders:
        entries = sorted(path.name for path in root.iterdir())
        found = f"no chbNN folder among {len(entries)} entries" if entries else "an empty folder"
        do = "Set dataset.root=... to it."
        if _summary_of(root):
            do = f"This is one case; set dataset.root={root.parent}"
        raise DataError(f"{root}: {found}; expected {expected}. {do}", reason="empty_root")
    return folders


def _is_edf(path: Path) -> bool:
    """EDFs by suffix, not by ``chbNN_*`` (chb17 names its files chb17a_03); hidden copies left out."""
    return path.suffix.lower() == ".edf" and not path.name.startswith(".") and path.is_file()


def _summary_of(folder: Path) -> Path | None:
    return _find(folder, f"{folder.name}-summary.txt")


def _binary_of(edf: Path) -> Path | None:
    return _find(edf.parent, f"{edf.name}.seizures")


def _find(folder: Path, name: str) -> Path | None:
    """A file by name; where a copy changed its case, too, or its seizures would silently be lost."""
    if (path := folder / name).is_file():
        return path
    return next((path for path in folder.iterdir() if path.name.lower() == name.lower()), None)


def _cross_check(binary: Path, spans: Sequence[Span]) -> list[str]:
    """Warnings where the binary file tells another story; the summary is kept."""
    try:
        other = sorted(read_seizure_file(binary))
    except ValueError as problem:
        return [f"bad_annotations: {binary.name}: {problem}; the summary is used"]
    if len(other) != len(spans):
        return [f"seizure_file_differs: {binary.name} has {len(other)} seizures, the summary {len(spans)}"]
    return [
        f"seizure_file_differs: {binary.name} has {b[0]:g} to {b[1]:g} s, the summary {a[0]:g} to {a[1]:g} s"
        for a, b in zip(sorted(spans), other, strict=True)
        if max(abs(a[0] - b[0]), abs(a[1] - b[1])) > CROSS_CHECK_S
    ]


def _events(path: Path, spans: Sequence[Span], header: EdfHeader) -> tuple[tuple[Event, ...], list[str]]:
    """Spans as sorted events that do not overlap, inside the recording, each with some signal under it.

    Summary seconds count from the first record's onset, across the gaps of an EDF+D.
    """
    end_s, warnings, kept = header.span_s, [], []
    for first, last in sorted(spans):
        words = f"seizure {first:g} to {last:g} s"
        if first >= end_s:
            if not header.lost_s:
                raise SkipRecording(
                    f"{path}: {words} lies past the end at {end_s:g} s; expected it inside. The file and its "
                    "summary do not belong together; fetch both again.",
                    reason="annotation_outside",
                )
            warnings.append(f"annotation_outside: {words} lies in the part that was lost")
            continue
        if last > end_s:
            warnings.append(f"annotation_outside: {words} is cut at the end, {end_s:g} s")
        if not _has_signal(header, first, last):
            warnings.append(f"annotation_outside: {words} lies in a gap of the recording")
        elif kept and first < kept[-1][1]:
            warnings.append(f"overlapping_events: {words} is joined to the one before")
            kept[-1] = (kept[-1][0], max(kept[-1][1], min(last, end_s)))
        else:
            kept.append((first, min(last, end_s)))
    return tuple(Event(first, last, SEIZURE) for first, last in kept), warnings


def _has_signal(header: EdfHeader, first_s: float, last_s: float) -> bool:
    """Whether any stretch of signal overlaps ``[first_s, last_s)``."""
    for first, last in header.stretches:
        begin = header.onsets_s[first]
        if first_s < begin + (last - first) * header.record_duration_s and last_s > begin:
            return True
    return False
