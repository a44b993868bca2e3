"""Helsinki neonatal EEG (Zenodo 4940267): one EDF a neonate, every second judged by three experts.

The experts agree on some seconds only. By default a second is seizure where all three say so, background
where none does, and left out where they disagree. The tables: ``corpora/zenodo_files.py``.
"""

import hashlib
import re
from functools import cached_property
from pathlib import Path

import numpy as np

from distilclip_eeg.config.data import Links
from distilclip_eeg.config.registry import component
from distilclip_eeg.corpora.edf.header import EdfHeader
from distilclip_eeg.corpora.edf.montage import STANDARD_19, montage_of
from distilclip_eeg.corpora.edf.stretches import settle
from distilclip_eeg.corpora.edf_corpus import EdfCorpus, list_folder, root_hint
from distilclip_eeg.corpora.small_files import read_small
from distilclip_eeg.corpora.zenodo_files import EXPERTS, Annotations, read_annotations, read_sexes
from distilclip_eeg.schema import (
    BACKGROUND,
    SEIZURE,
    DataError,
    Event,
    Labels,
    RecordingRef,
    SkipRecording,
    check_choice,
)

VOTES = {"unanimous": 3, "majority": 2, "any": 1}
"""Experts needed to call a second a seizure, by ``dataset.consensus``."""
DISAGREEMENT, UNANNOTATED = "disagreement", "unannotated"
"""Why a stretch is excluded: the experts differ; or the annotation has ended, or not all three go on."""
LENGTH_TOLERANCE_S = 1.0
"""A trailing row more or less is usual."""
ROUNDING_S = 1e-6
"""Records of a tenth of a second add up to a whole one only nearly."""
EXPECTED = "the folder with eeg1.edf, eeg2.edf, ... and annotations_2017_*.csv"

_NAME = re.compile(r"eeg0*([1-9]\d*)\.edf", re.IGNORECASE)


@component("corpus", "zenodo")
class Zenodo(EdfCorpus):
    """The Helsinki neonatal corpus as Zenodo ships it; any subset of its recordings will do.

    Recordings are 19 electrodes at 256 Hz in volts; ECG and respiration are not read.

    Args:
        root: the folder that holds the EDF files and the annotations.
        montage: ``native`` (the 19), ``bipolar18`` or ``car19``.
        missing_channels: ``skip``, ``zero`` or ``interpolate``.
        consensus: ``unanimous`` leaves out the seconds on which the experts disagree; ``majority`` (two of
            three) and ``any`` decide every second.
        links: ``inside`` of the root, or ``follow`` those that lead out of it.

    Raises:
        ConfigError: a setting that is none of these.
    """

    name = "zenodo"
    classes = (BACKGROUND, SEIZURE)
    published = {"recordings": 79, "subjects": 79, "recordings_with_seizures": 39}
    notes = (
        "the article's 39 neonates with seizures are those with a second that all three experts marked; "
        "lists of 40 count those whom each expert marked somewhere",
        "the article's about 460 seizures are an expert's, the mean of 402 (A_fixed), 429 (B) and 548 (C); "
        "on 343 stretches all three agree",
        "the article does not say by which consensus a second is a seizure; here all three must agree, and "
        "the seconds on which they differ are left out",
    )

    def __init__(
        self,
        *,
        root: str | Path,
        montage: str = "native",
        missing_channels: str = "skip",
        consensus: str = "unanimous",
        links: Links = "inside",
    ):
        check_choice("dataset.consensus", consensus, tuple(VOTES))
        chosen = montage_of(montage, STANDARD_19, missing=missing_channels)
        super().__init__(root=root, montage=chosen, links=links)
        self.consensus = consensus
        self.options["consensus"] = consensus

    def recordings(self) -> list[RecordingRef]:
        """Every ``eegN.edf``, sorted by N (eeg10 after eeg9); each is a person of its own.

        Raises:
            DataError: ``missing_root``, ``empty_root``, ``no_recordings``, ``duplicate_file``, or
                annotations that cannot be used (see ``corpora/zenodo_files.py``).
        """
        edfs, warnings = self._edfs()
        found = self._annotations
        # The store looks at the ends of large files only, and a mended second lies anywhere in these.
        content = b"".join(read_small(path) for path in found.files)
        self.options["annotations"] = hashlib.sha256(content).hexdigest()
        self.missing = tuple(f"eeg{number}.edf" for number in found.experts if number not in edfs)
        absent = (f"listed_file_missing: {name} is annotated, not on disk" for name in self.missing)
        self.warnings = (*self.outside, *found.warnings, *warnings, *absent)
        tables = (*found.files, *self._clinical)
        return [
            RecordingRef(f"eeg{number}", f"eeg{number}", path, files=(path, *tables))
            for number, path in sorted(edfs.items())
        ]

    def labels(self, ref: RecordingRef, header: EdfHeader) -> Labels:
        """Seconds of seizure by consensus; the seconds of no consensus, or not annotated, are excluded.

        Raises:
            SkipRecording: ``missing_annotation``: no column for this neonate, or an empty one.
            DataError: ``duration_mismatch``: the recording or its annotation is less than half the other.
        """
        three = self._annotations.experts.get(_number(ref.path), ())
        if not three or not min(map(len, three)):
            raise SkipRecording(
                f"{ref.path}: no second is annotated by all of {', '.join(EXPERTS)}; expected a column for "
                "it in each table. Fetch the annotations again, or leave the recording out.",
                reason="missing_annotation",
            )
        recorded = int(header.span_s + ROUNDING_S)
        warnings = self._compare_lengths(ref.path, three, header)
        end = min(recorded, *map(len, three))
        votes = np.sum([seconds[:end] for seconds in three], axis=0)
        needed = VOTES[self.consensus]
        events, odd = settle(ref.path, _stretches(votes >= needed, SEIZURE), header)
        excluded = _stretches((votes > 0) & (votes < 3), DISAGREEMENT) if needed == 3 else []
        if end < header.span_s:
            excluded.append(Event(float(end), header.span_s, UNANNOTATED))
        sex = self._sexes.get(ref.recording)
        facts = {"age_band": "neonate"} | ({"sex": sex} if sex else {})
        return Labels(events, tuple(excluded), facts, (*warnings, *odd))

    def _edfs(self) -> tuple[dict[int, Path], list[str]]:
        """EDF files by number, and a warning for each whose name gives none."""
        edfs: dict[int, Path] = {}
        warnings = []
        for path in self.inside(list_folder(self.root, EXPECTED)):
            if path.suffix.lower() != ".edf" or not path.is_file():
                continue
            if not _NAME.fullmatch(path.name):
                warnings.append(f"unknown_file: {path.name} is not named eegN.edf and not read")
                continue
            if (number := _number(path)) in edfs:
                raise DataError(
                    f"{self.root}: {edfs[number].name} and {path.name}; expected one recording a neonate. "
                    "Remove one.",
                    reason="duplicate_file",
                )
            edfs[number] = path
        if not edfs:
            do = root_hint(self.root, lambda p: any(_NAME.fullmatch(q.name) for q in p.iterdir()))
            raise DataError(
                f"{self.root}: no eegN.edf in it; expected {EXPECTED}. {do}",
                reason="no_recordings",
            )
        return edfs, warnings

    def _compare_lengths(self, path: Path, three: tuple[np.ndarray, ...], header: EdfHeader) -> list[str]:
        """Warnings where experts and recording end at different times; a wrong pair is refused."""
        lengths, warnings = [len(seconds) for seconds in three], []
        # What a truncated file lost was recorded: it is the right file, and damaged.
        annotated, recorded = min(lengths), header.span_s + header.lost_s
        marked = np.unique(np.concatenate([np.flatnonzero(seconds) for seconds in three]))
        padding = self._annotations.padded and annotated > recorded and not (marked >= recorded).any()
        words = f"{annotated} s are annotated, {recorded:g} s recorded"
        if not padding and not 0.5 <= annotated / recorded <= 2:
            raise DataError(
                f"{path}: {words}; expected about the same. The file and its annotation do not belong "
                "together; fetch both again.",
                reason="duration_mismatch",
            )
        if max(lengths) - annotated > LENGTH_TOLERANCE_S:
            listed = ", ".join(f"{e} {n} s" for e, n in zip(EXPERTS, lengths, strict=True))
            warnings.append(f"duration_mismatch: the experts annotated {listed}")
        if abs(annotated - recorded) > LENGTH_TOLERANCE_S:
            why = ", the rest is zeros in every column" if padding else ""
            warnings.append(f"duration_mismatch: {words}{why}")
        if outside := int((marked >= int(header.span_s + ROUNDING_S)).sum()):
            warnings.append(f"annotation_outside: {outside} s that an expert marked lie past the end")
        return warnings

    @cached_property
    def _annotations(self) -> Annotations:
        return read_annotations(self.root)

    @cached_property
    def _clinical(self) -> tuple[Path, ...]:
        """The table of persons, whatever its copy is called; none where there is none."""
        tables = (p for p in list_folder(self.root, EXPECTED) if p.name.lower().endswith("_information.csv"))
        return tuple(tables)[:1]

    @cached_property
    def _sexes(self) -> dict[str, str]:
        return {name: sex for path in self._clinical for name, sex in read_sexes(path).items()}


def _number(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    assert match  # asked of files so named only
    return int(match[1])


def _stretches(mask: np.ndarray, label: str) -> list[Event]:
    """Runs of true seconds, each from its first to the second after its last."""
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0))
    return [Event(float(a), float(b), label) for a, b in zip(edges[::2], edges[1::2], strict=True)]
