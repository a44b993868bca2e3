"""CHB-MIT Scalp EEG Database 1.0.0: folders of EDF files, seizures in one summary per folder.

The summary is the truth about seizures; the binary ``.edf.seizures`` files and ``RECORDS-WITH-SEIZURES``
only check it, and the header of each EDF is the truth about its channels. What the text files look like:
``corpora/chbmit_files.py``.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from distilclip_eeg.config.data import Links
from distilclip_eeg.config.registry import component
from distilclip_eeg.corpora.chbmit_files import (
    CASE,
    Span,
    read_list,
    read_seizure_file,
    read_subject_info,
    read_summary,
)
from distilclip_eeg.corpora.edf.header import EdfHeader
from distilclip_eeg.corpora.edf.montage import CHBMIT_23, montage_of
from distilclip_eeg.corpora.edf.stretches import settle
from distilclip_eeg.corpora.edf_corpus import EdfCorpus, is_edf, list_folder, root_hint
from distilclip_eeg.schema import BACKGROUND, SEIZURE, DataError, Event, Labels, RecordingRef, SkipRecording

SAME_PERSON = {"chb21": "chb01"}
"""chb21 is chb01 a year and a half later: one child, never on both sides of a split."""
CROSS_CHECK_S = 1.0
"""Summary and ``.edf.seizures`` may differ by the summary's rounding to whole seconds."""


@component("corpus", "chbmit")
class ChbMit(EdfCorpus):
    """The CHB-MIT corpus as PhysioNet ships it; any subset of its folders and files will do.

    Recordings are 23 bipolar channels at 256 Hz in volts. A recording that lacks one of the 23 (at least
    28 files do) is skipped as ``missing_channels`` unless ``missing_channels=zero``; so are chb12_27 to
    chb12_29, which are referential, unless their derivations are rebuilt.

    Args:
        root: the folder that holds chb01, chb02, ...
        montage: ``native`` (the 23) or ``bipolar18``.
        missing_channels: ``skip`` or ``zero``.
        rebuild_bipolar: subtract electrodes where a file is referential. FT9 and FT10 were not recorded
            there, so the native montage needs ``missing_channels=zero``, too.
        links: ``inside`` of the root, or ``follow`` those that lead out of it.
    """

    name = "chbmit"
    classes = (BACKGROUND, SEIZURE)
    published = {
        "recordings": 686,
        "subjects": 23,
        "recordings_with_seizures": 141,
        "seizures": 198,
        "hours": 982.9,
        "seizure_s": 11_611,
    }
    notes = (
        "the article's 664 recordings, 129 with seizures, are chb01 to chb23; its 198 seizures are those of "
        "all 24 cases, which are 686 recordings, 141 with seizures",
        "the article's 967.85 hours are neither scope's; the recordings add up to 982.9",
        "23 cases are 22 children (chb21 is chb01); chb24 came later and makes 23 persons",
        "chb12_27 to chb12_29 are referential: 13 of the 198 seizures, left out without rebuild_bipolar",
        "at least 28 more recordings lack T7-FT9, FT9-FT10 and FT10-T8, and with them the 23 channels",
    )

    def __init__(
        self,
        *,
        root: str | Path,
        montage: str = "native",
        missing_channels: str = "skip",
        rebuild_bipolar: bool = False,
        links: Links = "inside",
    ):
        chosen = montage_of(montage, CHBMIT_23, missing=missing_channels, derive=rebuild_bipolar)
        super().__init__(root=root, montage=chosen, links=links)
        self._summaries: dict[Path, dict[str, list[Span]]] = {}
        self._people: dict[str, dict[str, str]] | None = None

    def recordings(self) -> list[RecordingRef]:
        """Every EDF of every case folder, sorted by name.

        Raises:
            DataError: ``missing_root``, ``empty_root``, ``missing_summary``, ``no_recordings``, or a summary
                that cannot be trusted (see :func:`~distilclip_eeg.corpora.chbmit_files.read_summary`).
        """
        refs, present = [], set()
        spans: dict[str, list[Span]] = {}
        people = [path for path in (self.root / "SUBJECT-INFO",) if path.is_file()]
        for folder in self.inside(_case_folders(self.root)):
            summary = _summary_of(folder)
            # By suffix, not by chbNN_*: chb17 names its files chb17a_03.
            edfs = self.inside(path for path in folder.iterdir() if is_edf(path))
            if summary is None and edfs:
                raise DataError(
                    f"{folder}: {len(edfs)} EDF files and no summary; expected {folder.name}-summary.txt, "
                    "which holds the seizure times. Fetch it, or move the folder out of dataset.root=...",
                    reason="missing_summary",
                )
            if summary is None:
                continue
            present |= {path.name.lower() for path in edfs}
            spans |= self._seizures(summary)
            for path in edfs:
                files = tuple(p for p in (path, summary, _binary_of(path), *people) if p)
                subject = SAME_PERSON.get(folder.name.lower(), folder.name.lower())
                refs.append(RecordingRef(path.stem, subject, path, session=folder.name, files=files))
        if not refs:
            raise DataError(
                f"{self.root}: case folders, but no EDF file in them; expected chbNN/chbNN_MM.edf. Fetch the "
                "recordings, or set dataset.root=... to the folder that has them.",
                reason="no_recordings",
            )
        listed = dict.fromkeys((*spans, *read_list(self.root / "RECORDS")))
        self.missing = tuple(sorted(name for name in listed if name.lower() not in present))
        self.warnings = (
            *_check_list(read_list(self.root / "RECORDS-WITH-SEIZURES"), spans),
            *self.outside,
            *(f"listed_file_missing: {name} is listed, not on disk" for name in self.missing),
        )
        return sorted(refs, key=lambda ref: ref.recording)

    def labels(self, ref: RecordingRef, header: EdfHeader) -> Labels:
        """Seizures by the summary, sex and age band by ``SUBJECT-INFO``.

        Raises:
            SkipRecording: ``unknown_seizures`` where a seizure file exists and the summary is silent;
                ``annotation_outside`` where a seizure lies wholly past an undamaged file.
            DataError: the summary cannot be used.
        """
        spans, warnings = self._spans(ref)
        events, odd = settle(ref.path, [Event(*span, SEIZURE) for span in spans], header)
        return Labels(events, metadata=self._person(ref.session), warnings=(*warnings, *odd))

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
    entries = list_folder(root, expected)
    folders = [p for p in entries if _is_case(p)]
    if not folders:
        found = f"no chbNN folder among {len(entries)} entries"
        do = root_hint(root, lambda folder: any(map(_is_case, folder.iterdir())))
        raise DataError(f"{root}: {found}; expected {expected}. {do}", reason="empty_root")
    return folders


def _is_case(path: Path) -> bool:
    return CASE.fullmatch(path.name) is not None and path.is_dir()


def _summary_of(folder: Path) -> Path | None:
    return _find(folder, f"{folder.name}-summary.txt")


def _binary_of(edf: Path) -> Path | None:
    return _find(edf.parent, f"{edf.name}.seizures")


def _find(folder: Path, name: str) -> Path | None:
    """A file by name; where a copy changed its case, too, or its seizures would silently be lost."""
    if (path := folder / name).is_file():
        return path
    return next((path for path in folder.iterdir() if path.name.lower() == name.lower()), None)


def _check_list(listed: Sequence[str], spans: Mapping[str, Sequence[Span]]) -> list[str]:
    """A warning where the list of recordings with seizures is wrong; of other cases it says nothing."""
    if not listed:
        return []
    wrong = sorted(name for name in set(listed) & set(spans) if not spans[name])
    lacking = sorted(name for name in set(spans) - set(listed) if spans[name])
    words = [f"lists {', '.join(wrong)} without a seizure"] if wrong else []
    words += [f"lacks {', '.join(lacking)}"] if lacking else []
    if not words:
        return []
    return [f"records_list_differs: RECORDS-WITH-SEIZURES {', '.join(words)}; the summaries are believed"]


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
