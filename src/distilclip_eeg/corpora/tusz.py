"""TUSZ v2.0.x: EDF files with two annotation files each, in the official parts train, dev and eval.

What the annotation files look like and mean: ``corpora/tusz_files.py``. The release is given out by Temple
University's Neural Engineering Data Consortium on application.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from distilclip_eeg.config.data import Links
from distilclip_eeg.config.registry import component
from distilclip_eeg.corpora.edf.header import EdfHeader
from distilclip_eeg.corpora.edf.montage import STANDARD_19, montage_of
from distilclip_eeg.corpora.edf.stretches import union
from distilclip_eeg.corpora.edf_corpus import EdfCorpus, list_folder, root_hint
from distilclip_eeg.corpora.tusz_files import TYPES, labels_of, read_csv, seconds
from distilclip_eeg.schema import (
    BACKGROUND,
    SEIZURE,
    DataError,
    Labels,
    RecordingRef,
    SkipRecording,
    check_choice,
)

PARTS = {"train": "train", "dev": "val", "eval": "test"}
"""Folder of the official split, and our name for it."""
LABELS = ("types", "binary")
CROSS_CHECK_S = 1.0
"""Seconds of seizure that ``.csv`` and ``.csv_bi`` may mark differently without a warning."""
EXPECTED = "TUSZ v2.0.x: edf/{train,dev,eval}/<patient>/<session>/<montage>/*.edf"

_STEM = re.compile(r"([a-z]{8})_(s\d{3})_t\d{3}")
_OLD_STEM = re.compile(r"\d{8}_s\d{3}_t\d{3}")
_SESSION = re.compile(r"s\d{3}_\d{4}(_\d\d_\d\d)?")
_TCP = re.compile(r"0\d_tcp_\w+")


@component("corpus", "tusz")
class Tusz(EdfCorpus):
    """The TUH EEG Seizure Corpus as released since v2.0.0; any subset of its files will do.

    Recordings are the 19 electrodes of the 10-20 system against one reference, in volts, at the file's own
    rate. 249 files lack FZ and PZ, so what to do with them is a setting.

    Args:
        root: the release folder, its ``edf``, or one split of it.
        montage: ``native`` (the 19), ``bipolar18`` or ``car19``.
        missing_channels: ``skip``, ``zero`` or ``interpolate``.
        labels: ``types``: seven seizure types by the ``.csv``, checked against the ``.csv_bi``; myoclonic
            seizures are excluded. ``binary``: seizures of any type by the ``.csv_bi``.
        links: ``inside`` of the root, or ``follow`` those that lead out of it.

    Raises:
        ConfigError: a setting that is none of these.
    """

    name = "tusz"
    published = {
        "recordings": 7361,
        "subjects": 675,
        "recordings_with_seizures": 1391,
        "seizures": 3971,
        "hours": 5_304_914 / 3600,
        "seizure_s": 274_243.5,
    }
    """Of v2.0.3, by its README."""
    notes = (
        "Releases differ: 7361 recordings by the README of 2.0.3, 7364 counted in it, 7377 in 2.0.0.",
        "The article used 2.0.1, which has two eval sessions of one patient twice, and 35 other annotations.",
        "3971 seizures are rows of .csv_bi; with types, stretches of the .csv are counted, mysz left out.",
        "The README says that every file has the 19 electrodes; 249 files lack FZ and PZ.",
        "The article names history and medication; the files of 2.0.x hold neither.",
    )

    def __init__(
        self,
        *,
        root: str | Path,
        montage: str = "native",
        missing_channels: str = "skip",
        labels: str = "types",
        links: Links = "inside",
    ):
        check_choice("dataset.labels", labels, LABELS)
        chosen = montage_of(montage, STANDARD_19, missing=missing_channels)
        super().__init__(root=root, montage=chosen, links=links)
        self.typed = labels == "types"
        self.classes = (BACKGROUND, *TYPES) if self.typed else (BACKGROUND, SEIZURE)
        self.options["labels"] = labels

    def recordings(self) -> list[RecordingRef]:
        """Every EDF below the root, sorted by name; one that stands under two montages, once.

        Raises:
            DataError: ``missing_root``, ``empty_root``, ``no_recordings``, ``old_release`` (v1.5.x),
                ``duplicate_recording`` (two releases), ``subject_in_two_parts``.
        """
        list_folder(self.root, EXPECTED)
        found: dict[str, list[RecordingRef]] = defaultdict(list)
        strange = []
        files = self.files()
        for path in (file for file in files if file.suffix.lower() == ".edf"):
            _check_release(path)
            if _STEM.fullmatch(path.stem):
                found[path.stem].append(self._ref(path))
            else:
                strange.append(path)
        if not found:
            do = root_hint(self.root, lambda folder: (folder / "edf").is_dir())
            raise DataError(
                f"{self.root}: no recording, {len(strange)} EDF files of other names; expected {EXPECTED}. "
                f"{do}",
                reason="no_recordings",
            )
        _check_parts([ref for copies in found.values() for ref in copies])
        refs = [_chosen(found[stem]) for stem in sorted(found)]
        self.missing = _without_edf(files, found)
        self.warnings = (*self.outside, *_oddities(found, strange))
        return refs

    def labels(self, ref: RecordingRef, header: EdfHeader) -> Labels:
        """Seizures by ``.csv`` or ``.csv_bi``; sex, age band and the folder's montage.

        Raises:
            SkipRecording: ``missing_annotation``; ``annotation_outside``.
            DataError: see :func:`~distilclip_eeg.corpora.tusz_files.read_csv` and ``labels_of``.
        """
        files = _annotations_of(ref.path, self.typed)
        for path in files:
            if not path.is_file():
                raise SkipRecording(
                    f"{ref.path}: no {path.suffix} beside it; expected {path.name}. Without it nobody knows "
                    "whether there are seizures; fetch it, or leave the recording out.",
                    reason="missing_annotation",
                )
        found = labels_of(read_csv(files[0]), header, typed=False)
        if self.typed:
            found = _cross_checked(labels_of(read_csv(files[1]), header, typed=True), found)
        tcp = {"tcp_montage": ref.path.parent.name} if _TCP.fullmatch(ref.path.parent.name) else {}
        return replace(found, metadata={**found.metadata, **tcp})

    def _ref(self, path: Path) -> RecordingRef:
        """What name and folders say; nothing is opened."""
        match = _STEM.fullmatch(path.stem)
        assert match  # asked of files so named only
        patient, session = match.groups()
        folders = (self.root.absolute().name, *path.relative_to(self.root).parts[:-1])[::-1]
        return RecordingRef(
            recording=path.stem,
            subject=patient,
            path=path,
            session=next((name for name in folders if _SESSION.fullmatch(name)), session),
            files=(path, *(p for p in _annotations_of(path, self.typed) if p.is_file())),
            part=next((PARTS[name] for name in folders if name in PARTS), ""),
        )


def _annotations_of(edf: Path, typed: bool) -> tuple[Path, ...]:
    """The annotation files that are read: ``.csv_bi``, and for types ``.csv``."""
    suffixes = (".csv_bi", ".csv") if typed else (".csv_bi",)
    return tuple(edf.with_suffix(suffix) for suffix in suffixes)


def _check_release(path: Path) -> None:
    """Releases before 2.0 have eight digits for a patient, and other annotation files."""
    old = _OLD_STEM.fullmatch(path.stem) or (
        not path.with_suffix(".csv_bi").exists() and path.with_suffix(".tse").exists()
    )
    if old:
        raise DataError(
            f"{path}: a recording of TUSZ v1.5 or older; expected {EXPECTED}. Fetch v2.0.x, with revised "
            "annotations, or set dataset.root=... to it.",
            reason="old_release",
        )


def _without_edf(files: Sequence[Path], found: Mapping[str, object]) -> tuple[str, ...]:
    """EDF files that must have been there: their annotations are."""
    stems = {path.stem for path in files if path.suffix == ".csv_bi"}
    return tuple(f"{stem}.edf" for stem in sorted(stems - set(found)) if _STEM.fullmatch(stem))


def _oddities(found: Mapping[str, Sequence[RecordingRef]], strange: Sequence[Path]) -> Iterator[str]:
    """Warnings about the corpus as a whole."""
    if doubles := [stem for stem, copies in found.items() if len(copies) > 1]:
        words = f"{len(doubles)} recordings stand under two montages, the later is read: {doubles[0]}"
        yield f"duplicate_recording: {words}"
    if strange:
        words = f"{len(strange)} EDF files not named <patient>_sNNN_tNNN are left out: {strange[0].name}"
        yield f"unexpected_name: {words}"


def _chosen(copies: Sequence[RecordingRef]) -> RecordingRef:
    """Of one recording under several montages, the last: 03 stayed when 2.0.2 dropped the other."""
    montages = [ref.path.parent.name for ref in copies]
    if len(copies) > 1 and (len(set(montages)) < len(copies) or not all(map(_TCP.fullmatch, montages))):
        raise DataError(
            f"{copies[0].path}: stands again at {copies[1].path}; expected each recording once. Set "
            "dataset.root=... to one release.",
            reason="duplicate_recording",
        )
    return max(copies, key=lambda ref: ref.path.parent.name)


def _check_parts(refs: Sequence[RecordingRef]) -> None:
    """The official split keeps patients apart; a tree that does not was put together wrongly."""
    first: dict[str, RecordingRef] = {}
    for ref in refs:
        known = first.setdefault(ref.subject, ref)
        if known.part != ref.part:
            raise DataError(
                f"{ref.path}: patient {ref.subject} is also in {known.path.parent}; expected each patient in "
                "one of train, dev, eval. Fetch the release again.",
                reason="subject_in_two_parts",
            )


def _cross_checked(typed: Labels, binary: Labels) -> Labels:
    """Labels by type, with a warning where the two files mark other stretches as seizures."""
    a, b = (union((*labels.events, *labels.excluded), SEIZURE) for labels in (typed, binary))
    apart_s = 2 * seconds(union((*a, *b), SEIZURE)) - seconds(a) - seconds(b)
    known = {warning.partition(":")[0] for warning in typed.warnings}
    warnings = [*typed.warnings, *(w for w in binary.warnings if w.partition(":")[0] not in known)]
    if apart_s > CROSS_CHECK_S:
        words = f"{apart_s:g} s of seizure are in only one of .csv and .csv_bi, the .csv is used"
        warnings.append(f"annotations_differ: {words}")
    return replace(typed, warnings=tuple(warnings))
