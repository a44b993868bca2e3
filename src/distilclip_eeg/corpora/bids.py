"""Any SzCORE / BIDS-EEG tree of EDF or BDF files, each with an ``events.tsv`` beside it.

A seizure-free recording says so by a ``bckg`` row; a recording without events file is left out, since
silence is not seizure-free. Where things lie: ``corpora/bids_files.py``; the grammar of the events:
``corpora/events_tsv.py``.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from distilclip_eeg.config.data import Links
from distilclip_eeg.config.registry import component
from distilclip_eeg.corpora.bids_files import (
    EXPECTED,
    Sidecars,
    eeg_files,
    entity,
    events_of,
    read_participants,
)
from distilclip_eeg.corpora.edf.header import EdfHeader
from distilclip_eeg.corpora.edf.montage import printable
from distilclip_eeg.corpora.edf.stretches import complement, settle
from distilclip_eeg.corpora.edf_corpus import EdfCorpus
from distilclip_eeg.corpora.events_tsv import (
    LABEL_COLUMN,
    SZCORE,
    EventRow,
    EventsFile,
    read_events,
    spell,
)
from distilclip_eeg.corpora.own import SUFFIXES, UNLABELLED, own_classes, own_map, own_montage
from distilclip_eeg.corpora.walk import link_outside
from distilclip_eeg.schema import (
    ANY_SEIZURE,
    BACKGROUND,
    SEIZURE,
    ConfigError,
    DataError,
    Event,
    Labels,
    RecordingRef,
    SkipRecording,
    check_choice,
)

OTHER_FORMATS = (".vhdr", ".set", ".fif", ".cnt", ".mefd", ".nwb")
MOST_TYPES = 8
"""That are named in a warning; the others are counted."""
OTHER_TYPE = "other_type"
"""Why a seizure of none of the listed classes is excluded."""
LENGTH_TOLERANCE_S = 1.0
"""``recordingDuration`` may be rounded to whole seconds."""
ROUNDING_S = 0.011
"""Times have two decimals: stretches that touch may overlap by one of the last."""


@component("corpus", "bids")
class Bids(EdfCorpus):
    """A BIDS-EEG tree as SzCORE defines it; trees with more columns, levels or sessions will do.

    Rows of any level that is neither seizure nor ``bckg`` (``impd``, artifacts) are excluded.

    Args:
        root: the folder that holds ``sub-*``, participants.tsv and events.json.
        montage: ``native``, ``bipolar18`` or ``car19``.
        missing_channels: ``skip``, ``zero`` or ``interpolate``.
        channels: the native montage, by default the 19 electrodes of 10-20. ``A-B`` is taken where a file
            has it, else computed from what it follows from.
        classes: levels to tell apart, such as ``[sz_foc, sz_gen]``; each seizure belongs to the longest one
            that is its ancestor, or is excluded as ``other_type``. None: every seizure is ``seiz``.
        label_column: of events.tsv. Labels other than SzCORE's must stand in events.json.
        unlabelled: time that no row covers is ``background``, or ``exclude`` it.
        links: ``inside`` of the root, or ``follow`` those that lead out of it.
        label_map: what words of the label column count as: a level of a seizure, a class, or ``bckg``; each
            word that stands here is known, whatever events.json lists.
        rename: labels of the files by the electrode or derivation that each is; ``-`` for none.

    Raises:
        ConfigError: a setting that is none of these.
    """

    name = "bids"
    published: dict[str, float] = {}
    notes: tuple[str, ...] = ()

    def __init__(
        self,
        *,
        root: str | Path,
        montage: str = "native",
        missing_channels: str = "skip",
        channels: list | None = None,
        classes: list | None = None,
        label_column: str = LABEL_COLUMN,
        unlabelled: str = "background",
        links: Links = "inside",
        label_map: dict | None = None,
        rename: dict | None = None,
    ):
        chosen = own_montage(montage, channels, missing_channels)
        super().__init__(root=root, montage=chosen, links=links, rename=rename)
        check_choice("dataset.unlabelled", unlabelled, UNLABELLED)
        self.levels = () if classes is None else own_classes(spell(str(level)) for level in classes)
        self.classes = (BACKGROUND, *(self.levels or (SEIZURE,)))
        self.label_column, self.unlabelled = label_column, unlabelled
        self.options |= {"label_column": label_column, "unlabelled": unlabelled}
        self.words = own_map({spell(str(k)): v for k, v in (label_map or {}).items()})
        if self.words:
            self.options["label_map"] = self.words
        allowed = {*self.classes, *SZCORE, SEIZURE}
        if wrong := [meaning for meaning in self.words.values() if meaning not in allowed]:
            raise ConfigError(
                f"dataset.label_map: {', '.join(wrong)} is no class; expected {', '.join(self.classes)} or a "
                "level of SzCORE (sz, sz_foc, ...). Mend the setting.",
                reason="bad_map",
            )
        self._sidecars = Sidecars(self.root, label_column)
        self._people: dict[str, dict[str, str]] | None = None

    def recordings(self) -> list[RecordingRef]:
        """Every ``*_eeg.edf`` and ``*_eeg.bdf`` of every person and session, sorted by name.

        Raises:
            DataError: ``missing_root``, ``empty_root``, ``no_recordings``, ``duplicate_recording``,
                ``bad_json``.
            ConfigError: ``unknown_label``, a class that is no level of this tree.
        """
        refs: dict[str, RecordingRef] = {}
        missing, unread, levels = [], [], {*SZCORE}
        for entries in eeg_files(self.root, self.files).values():
            signals = [path for path in entries if path.stem.endswith("_eeg")]
            unread += [path for path in signals if path.suffix.lower() in OTHER_FORMATS]
            signals = [path for path in signals if path.suffix.lower() in SUFFIXES]
            known = {events_of(path) for path in signals}
            missing += [p.name for p in entries if p.name.endswith("_events.tsv") and p not in known]
            for path in signals:
                ref = self._ref(path)
                if ref.recording in refs:
                    found = f"a second file for {refs[ref.recording].path.name}"
                    do = "Move one of them away."
                    raise DataError(f"{path}: {found}; expected one. {do}", reason="duplicate_recording")
                refs[ref.recording] = ref
                levels |= {*self._sidecars.levels(path)}
        if not refs:
            found = (
                f"{len(missing)} events files and {len(unread)} recordings of another format, no EDF or BDF"
            )
            do = "Fetch the recordings or convert them, or set dataset.root=... to the tree that has them."
            raise DataError(f"{self.root}: {found}; expected {EXPECTED}. {do}", reason="no_recordings")
        if wrong := [level for level in self.levels if level not in levels]:
            raise ConfigError(
                f"dataset.classes: {', '.join(wrong)} is no level of this tree; expected SzCORE's (sz_foc, "
                "sz_gen, ...) or one that its events.json lists. Mend the setting.",
                reason="unknown_label",
            )
        self.missing = tuple(name.replace("_events.tsv", "_eeg.edf") for name in missing)
        warnings = [f"listed_file_missing: {name} is here, its recording is not" for name in missing]
        if unread:
            words = f"{len(unread)} recordings are neither EDF nor BDF, the first: {unread[0].name}"
            warnings.append(f"unread_format: {words}")
        people, odd = read_participants(self.root)
        subjects = sorted({ref.subject for ref in refs.values()})
        if people and (strangers := [name for name in subjects if name not in people]):
            words = f"{len(strangers)} of {len(subjects)} persons are not in participants.tsv, the first: "
            odd.append(f"unlisted_person: {words}{strangers[0]}")
        self.warnings = (*self.outside, *self._uncounted(refs.values()), *warnings, *odd)
        return [refs[name] for name in sorted(refs)]

    def _uncounted(self, refs: Iterable[RecordingRef]) -> list[str]:
        """A warning with every type that is neither seizure nor background, and how often it occurs."""
        counts: Counter[str] = Counter()
        for ref in refs:
            try:
                counts.update(row.label for row in self._read(ref).rows)
            except DataError:  # told when the recording's turn comes
                continue
        others = {k: n for k, n in counts.most_common() if not _is_counted(self.words.get(k.casefold(), k))}
        if not others:
            return []
        listed = ", ".join(f"{printable(label)} ({n})" for label, n in [*others.items()][:MOST_TYPES])
        more = f" and {len(others) - MOST_TYPES} more types" if len(others) > MOST_TYPES else ""
        words = (
            f"{sum(others.values())} events are neither seizure nor background and excluded: {listed}{more}"
        )
        first = next(iter(others))
        return [
            f"uncounted_type: {words}; dataset.label_map={{{first}: seiz}} would make the first a seizure"
        ]

    def _read(self, ref: RecordingRef) -> EventsFile:
        levels = [*self._sidecars.levels(ref.path), *self.words]
        return read_events(events_of(ref.path), levels, self.label_column)

    def _ref(self, path: Path) -> RecordingRef:
        beside = [events_of(path), *self._sidecars.of(path)]
        beside += [self.root / "participants.tsv", self.root / "participants.json"]
        inside = path.relative_to(self.root)
        return RecordingRef(
            path.stem.removesuffix("_eeg"),
            entity(inside, "sub-"),
            path,
            session=entity(inside, "ses-"),
            files=(path, *(p for p in beside if p.is_file())),
        )

    def labels(self, ref: RecordingRef, header: EdfHeader) -> Labels:
        """Seizures and what is excluded by events.tsv, sex and age band by participants.tsv.

        Raises:
            SkipRecording: ``missing_annotation``, or ``annotation_outside`` where a row lies wholly past an
                undamaged file.
            DataError: the events file cannot be used (see
                :func:`~distilclip_eeg.corpora.events_tsv.read_events`), is another recording's
                (``duration_mismatch``), or says two things of one moment (``conflicting_labels``).
        """
        path = events_of(ref.path)
        if path.is_symlink() and not self.walk.allows(path):
            raise link_outside(path, self.root, "dataset.links")
        if not path.is_file():
            raise SkipRecording(
                f"{ref.path}: no events file; expected {path.name} beside it, with one {BACKGROUND} row "
                "where there is no seizure. Write or fetch it.",
                reason="missing_annotation",
            )
        found = self._read(ref)
        warnings = list(found.warnings)
        spans: list[Event] = []
        others: dict[str, list[Event]] = {}
        for row in found.rows:
            _check_length(path, row, header)
            event = self._event(row, header.span_s)
            (spans if event.label in self.classes else others.setdefault(event.label, [])).append(event)
        marked, odd = settle(path, _trim(spans), header, "event")
        warnings += odd
        apart: list[Event] = []
        for reason, stretches in sorted(others.items()):
            kept, odd = settle(path, stretches, header, reason)
            apart += kept
            warnings += odd
        if OTHER_TYPE in others:
            words = f"{len(others[OTHER_TYPE])} seizures of none of {', '.join(self.levels)} are excluded"
            warnings.append(f"{OTHER_TYPE}: {words}")
        seizures = tuple(event for event in marked if event.label != BACKGROUND)
        warnings += _covered(seizures, apart)
        if self.unlabelled == "exclude":
            apart += complement([*marked, *apart], header.span_s, "unlabelled")
        facts = self._person(entity(ref.path.relative_to(self.root), "sub-"))
        return Labels(seizures, excluded=_flat(apart), metadata=facts, warnings=tuple(warnings))

    def _event(self, row: EventRow, end_s: float) -> Event:
        """A row with its class for a label, or with the reason why it is none."""
        counts_as = self.words.get(row.label.casefold(), row.label)
        if counts_as == BACKGROUND:  # written as long as the recording, up to its rounding
            rounded = end_s < row.offset_s <= end_s + LENGTH_TOLERANCE_S and row.onset_s < end_s
            return Event(row.onset_s, end_s if rounded else row.offset_s, BACKGROUND)
        if counts_as in self.classes:
            return Event(row.onset_s, row.offset_s, counts_as)
        label = OTHER_TYPE if self.levels else SEIZURE
        label = label if _is_counted(counts_as) else counts_as
        parts = counts_as.split("_")
        ancestors = ("_".join(parts[:n]) for n in range(len(parts), 0, -1))
        return Event(row.onset_s, row.offset_s, next((a for a in ancestors if a in self.levels), label))

    def _person(self, subject: str) -> dict[str, str]:
        """The table of persons is read once per corpus object."""
        if self._people is None:
            self._people = read_participants(self.root)[0]
        return self._people.get(subject, {})


def _is_counted(label: str) -> bool:
    """Whether a level is a seizure's or background."""
    return label in (BACKGROUND, SEIZURE, ANY_SEIZURE) or label.startswith(f"{ANY_SEIZURE}_")


def _check_length(path: Path, row: EventRow, header: EdfHeader) -> None:
    """``recordingDuration`` tells whether events and recording belong together; gaps may count or not."""
    shortest, longest = header.n_records * header.record_duration_s, header.span_s + header.lost_s
    length = shortest if row.recording_s is None else row.recording_s
    if not shortest - LENGTH_TOLERANCE_S <= length <= longest + LENGTH_TOLERANCE_S:
        raise DataError(
            f"{path}, line {row.line}: recordingDuration {length:g} s; expected the recording's own, "
            f"{longest:g} s. The two do not belong together; fetch or export both again.",
            reason="duration_mismatch",
        )


def _trim(events: Sequence[Event]) -> list[Event]:
    """Events of different labels that overlap by no more than rounding touch instead."""
    out: list[Event] = []
    for event in sorted(events, key=lambda e: (e.onset_s, e.offset_s)):
        if out and out[-1].label != event.label and 0 < out[-1].offset_s - event.onset_s <= ROUNDING_S:
            out[-1] = replace(out[-1], offset_s=event.onset_s)
        out.append(event)
    return out


def _covered(seizures: Sequence[Event], apart: Sequence[Event]) -> list[str]:
    """A warning for every seizure of which something is excluded."""
    return [
        f"excluded_in_seizure: {a.label} {a.onset_s:g} to {a.offset_s:g} s lies over the seizure at "
        f"{s.onset_s:g} s"
        for s in seizures
        for a in apart
        if a.onset_s < s.offset_s and s.onset_s < a.offset_s
    ]


def _flat(events: Sequence[Event]) -> tuple[Event, ...]:
    """Sorted, no moment twice: the earlier stretch keeps what two claim."""
    out: list[Event] = []
    for event in sorted(events, key=lambda e: (e.onset_s, e.offset_s)):
        first = max(event.onset_s, out[-1].offset_s if out else 0.0)
        if event.offset_s > first:
            out.append(replace(event, onset_s=first))
    return tuple(out)
