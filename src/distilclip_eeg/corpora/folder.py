"""A folder of EDF or BDF files and one table of labelled stretches: a laboratory's own recordings.

The table has a row for each stretch: ``recording`` (the file's name), ``onset``, ``duration`` (seconds) and a
label; ``subject``, ``session``, ``sex`` and ``age`` where they are known. A recording without any row is left
out: silence is not seizure-free, but one background row is enough.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from distilclip_eeg.config.data import Links
from distilclip_eeg.config.registry import component
from distilclip_eeg.corpora.edf.fields import number
from distilclip_eeg.corpora.edf.header import EdfHeader
from distilclip_eeg.corpora.edf.montage import printable
from distilclip_eeg.corpora.edf.stretches import complement, settle
from distilclip_eeg.corpora.edf_corpus import EdfCorpus, list_folder
from distilclip_eeg.corpora.own import (
    DECIMALS,
    DELIMITERS,
    SUFFIXES,
    UNLABELLED,
    TextTable,
    own_classes,
    own_map,
    own_montage,
    person,
    read_table,
    table_error,
)
from distilclip_eeg.corpora.walk import spelt
from distilclip_eeg.schema import (
    BACKGROUND,
    ConfigError,
    CorpusError,
    DataError,
    Event,
    Labels,
    RecordingRef,
    SkipRecording,
    check_choice,
    visible,
)

EXPECTED = "EDF or BDF files and a table (.csv or .tsv) of labelled stretches"
FACTS = ("subject", "session", "sex", "age")
"""Columns that say something of the whole recording; all rows of one must agree."""


@dataclass(frozen=True)
class Row:
    """One row of the table, believed."""

    where: str
    recording: str
    event: Event
    """With the class's name for a label."""
    cells: dict[str, str]


@component("corpus", "folder")
class Folder(EdfCorpus):
    """EDF and BDF files anywhere below a folder, labelled by one table.

    Args:
        root: the folder.
        table: its name in ``root``, or a path; None: the only .csv or .tsv that lies in ``root``.
        label_column: of the table.
        background: the label, or labels, of time without seizure.
        classes: the other labels in the order of the classes; None: all there are, sorted.
        label_map: what words of the label column count as: a class, or background; others count as they are.
        unlabelled: time that no row covers is ``background``, or ``exclude`` it.
        channels: the native montage, by default the 19 electrodes of 10-20. ``A-B`` is taken where a file
            has it, else computed from what it follows from.
        montage: ``native``, ``bipolar18`` or ``car19``.
        missing_channels: ``skip``, ``zero`` or ``interpolate``.
        links: ``inside`` of the root, or ``follow`` those that lead out of it.
        rename: labels of the files by the electrode or derivation that each is; ``-`` for none.

    Raises:
        ConfigError: a setting that is none of these; ``bad_classes``, a label that is class and background.
    """

    name = "folder"
    published: dict[str, float] = {}
    notes: tuple[str, ...] = ()

    def __init__(
        self,
        *,
        root: str | Path,
        table: str | Path | None = None,
        label_column: str = "label",
        background: str | int | float | list = BACKGROUND,
        classes: list | None = None,
        unlabelled: str = "background",
        channels: list | None = None,
        montage: str = "native",
        missing_channels: str = "skip",
        links: Links = "inside",
        label_map: dict | None = None,
        rename: dict | None = None,
    ):
        chosen = own_montage(montage, channels, missing_channels)
        super().__init__(root=root, montage=chosen, links=links, rename=rename)
        check_choice("dataset.unlabelled", unlabelled, UNLABELLED)
        self.table, self.label_column, self.unlabelled = table, label_column, unlabelled
        names = [background] if isinstance(background, str | int | float) else list(background)
        self.background = frozenset(str(name).strip() for name in names)
        self.listed = None if classes is None else own_classes(str(name).strip() for name in classes)
        if both := self.background & {*(self.listed or ())}:
            raise ConfigError(
                f"dataset.classes: {', '.join(sorted(both))} is in dataset.background, too; expected each "
                "label in one of them.",
                reason="bad_classes",
            )
        self.options |= {"label_column": label_column, "unlabelled": unlabelled}
        self.options |= {"background": sorted(self.background)}
        self.words = own_map(label_map)
        if self.words:
            self.options["label_map"] = self.words

    @property
    def classes(self) -> tuple[str, ...]:
        """Background, then the other labels; reads the table once.

        Raises:
            DataError: the table cannot be used.
        """
        found = {row.event.label for row in self._rows} - {BACKGROUND}
        return (BACKGROUND, *(self.listed or sorted(found)))

    def recordings(self) -> list[RecordingRef]:
        """Every EDF and BDF below the root, sorted by name.

        Raises:
            DataError: ``missing_root``, ``empty_root``, ``no_recordings``, ``missing_table``,
                ``ambiguous_table``; the table cannot be read (:func:`~distilclip_eeg.corpora.own.read_table`)
                or used: ``bad_number``, ``bad_interval``, ``unknown_label``, ``no_classes``,
                ``no_background``, ``unsafe_path``, ``ambiguous_name``, ``conflicting_rows``, ``no_match``
                (not one of its recordings is here).
        """
        files = self._files
        if not self._rows_of:
            first = printable(self._rows[0].recording), files[0].relative_to(self.root).as_posix()
            found = "no row names one of the {} files here (row 1: {}; file 1: {})".format(len(files), *first)
            do = "Mend the column recording, or set dataset.table or dataset.root."
            raise table_error(self._table.path, "no_match", found, f"paths below {self.root}, or names", do)
        refs, strangers = [], 0
        for path in files:
            rows = self._rows_of.get(path, [])
            facts = self._facts(rows)
            name = self._name(path)
            strangers += bool(rows) and not facts["subject"]
            both = (path, self._table.path)
            refs.append(RecordingRef(name, facts["subject"] or name, path, facts["session"], both))
        self.missing = tuple(dict.fromkeys(row.recording for row in self._rows if not self._find(row)))
        warnings = [f"listed_file_missing: {printable(n)} is in the table, not on disk" for n in self.missing]
        if strangers:
            words = f"{strangers} recordings have no subject; each counts as a person of its own"
            warnings.append(f"subject_unknown: {words}")
        if not any(row.event.label == BACKGROUND for row in self._rows):
            names, labels = ", ".join(sorted(self.background)), ", ".join(map(printable, self.classes[1:]))
            words = f"no row is labelled {names}, so all time outside the rows is background; if one of "
            warnings.append(f"no_background_label: {words}{labels} means it, set dataset.background")
        if unused := [w for w in self.words if w not in {c.casefold() for c in self._written}]:
            words = f"dataset.label_map names {', '.join(map(printable, unused))}, which no row has"
            warnings.append(f"unused_map: {words}")
        self.warnings = (*self.outside, *self._table.warnings, *warnings)
        return sorted(refs, key=lambda ref: ref.recording)

    def labels(self, ref: RecordingRef, header: EdfHeader) -> Labels:
        """Events by the table; sex and age band by the table, else by the header.

        Raises:
            SkipRecording: ``unlabelled_recording``, or ``annotation_outside`` where a row lies wholly past an
                undamaged file.
            CorpusError: ``conflicting_labels``.
        """
        rows = self._rows_of.get(ref.path)
        if not rows:
            raise SkipRecording(
                f"{ref.path}: no row in {self._table.path.name}; expected at least one. Add a background row "
                "if it is free of seizures.",
                reason="unlabelled_recording",
            )
        try:
            marked, warnings = settle(ref.path, [row.event for row in rows], header, "row")
        except SkipRecording:
            raise
        except DataError as problem:  # of the one table of the whole corpus
            raise CorpusError(str(problem), reason=problem.reason) from None
        events = tuple(event for event in marked if event.label != BACKGROUND)
        apart = complement(marked, header.span_s, "unlabelled") if self.unlabelled == "exclude" else ()
        known = {"sex": header.sex, "age_band": header.age_band} | person(self._facts(rows))
        facts = {key: value for key, value in known.items() if value}
        return Labels(events, excluded=tuple(apart), metadata=facts, warnings=tuple(warnings))

    @cached_property
    def _files(self) -> list[Path]:
        """Every recording below the root, sorted."""
        list_folder(self.root, EXPECTED)
        files = self.files(SUFFIXES)
        if not files:
            do = "Set dataset.root=... to the folder that has them."
            raise DataError(
                f"{self.root}: no EDF or BDF file below it; expected {EXPECTED}. {do}", reason="no_recordings"
            )
        return files

    @cached_property
    def _table(self) -> TextTable:
        """The table as text, found and read once."""
        required = ("recording", "onset", "duration", self.label_column)
        do = "Mend the table, or set dataset.label_column=... to its column of labels."
        if self.table is not None:
            return read_table(self.root / self.table, required, do)
        found = [
            p for p in list_folder(self.root, EXPECTED) if p.suffix.lower() in DELIMITERS and p.is_file()
        ]
        if len(found) != 1:
            names = ", ".join(path.name for path in found) or "none"
            reason = "ambiguous_table" if found else "missing_table"
            do = "Set dataset.table=... to its name, or dataset.root=... to the folder that holds it."
            raise DataError(f"{self.root}: tables: {names}; expected one .csv or .tsv. {do}", reason=reason)
        return read_table(found[0], required, do)

    @cached_property
    def _rows(self) -> list[Row]:
        """Every row of the table, checked."""
        rows = [self._row(self._table.where(line), cells) for line, cells in self._table.rows]
        labels = {row.event.label for row in rows}
        spelt: dict[str, str] = {}
        for label in sorted(labels):
            if (other := spelt.setdefault(label.casefold(), label)) != label:
                found = f"labels {printable(other)} and {printable(label)}"
                raise table_error(self._table.path, "unknown_label", found, "one spelling of each label")
        if self.listed is None and labels == {BACKGROUND}:
            found = f"no label in {self.label_column} but {', '.join(sorted(self.background))}"
            raise table_error(self._table.path, "no_classes", found, "at least one other, or dataset.classes")
        if self.unlabelled == "exclude" and BACKGROUND not in labels:
            found = f"no row labelled {', '.join(sorted(self.background))}, and dataset.unlabelled=exclude"
            expected = f"background; set dataset.background=... to one of {', '.join(sorted(labels))}"
            raise table_error(self._table.path, "no_background", found, expected)
        return rows

    @property
    def _written(self) -> set[str]:
        """Labels as they stand in the table."""
        return {cells[self.label_column.casefold()] for _, cells in self._table.rows}

    def _row(self, where: str, cells: dict[str, str]) -> Row:
        times = []
        for name in ("onset", "duration"):
            times.append(number(cells[name]))
            if not abs(times[-1]) < float("inf"):
                found = f"{name} {printable(cells[name])}"
                raise table_error(where, "bad_number", found, "seconds with a decimal point")
        onset, duration = times
        if duration < 0:
            raise table_error(where, "bad_interval", f"duration {duration:g} s", "an end after its onset")
        written = cells[self.label_column.casefold()]
        text = self.words.get(written.casefold(), written)
        meant = text in self.background or written.casefold() in self.words
        label = BACKGROUND if text in self.background else text
        allowed = self.listed is None or label in (BACKGROUND, *self.listed)
        if not text or not allowed or (label == BACKGROUND and not meant):
            expected = f"background ({', '.join(sorted(self.background))})"
            expected += " or a seizure's label" if self.listed is None else f" or {', '.join(self.listed)}"
            do = "Mend the table, dataset.label_map, dataset.background or dataset.classes."
            raise table_error(where, "unknown_label", f"label {printable(text)}", expected, do)
        place = PurePosixPath(cells["recording"].replace("\\", "/"))
        if not place.parts or ".." in place.parts:
            found = f"recording {printable(cells['recording'])}"
            raise table_error(where, "unsafe_path", found, f"a file's name or its path below {self.root}")
        event = Event(onset, round(onset + duration, DECIMALS), label)
        return Row(where, place.as_posix(), event, cells)

    @cached_property
    def _by_name(self) -> list[dict[str, list[Path]]]:
        """Files by path below the root, path without suffix, name, and name without suffix."""
        names: list[dict[str, list[Path]]] = [{}, {}, {}, {}]
        for path in self._files:
            inside = path.relative_to(self.root)
            spellings: tuple[str | Path, ...] = (inside, inside.with_suffix(""), path.name, path.stem)
            for known, name in zip(names, spellings, strict=True):
                plain = PurePosixPath(name).as_posix()
                for spelling in {plain, spelt(plain)}:
                    known.setdefault(spelling, []).append(path)
        return names

    def _find(self, row: Row) -> Path | None:
        """The file that a row means, looked up among those that are here; text never becomes a path."""
        found = next((known[row.recording] for known in self._by_name if row.recording in known), [])
        if len(found) > 1:
            names = ", ".join(path.relative_to(self.root).as_posix() for path in found)
            what = f"recording {printable(row.recording)} may be {names}"
            raise table_error(row.where, "ambiguous_name", what, "one of these paths")
        return found[0] if found else None

    @cached_property
    def _rows_of(self) -> dict[Path, list[Row]]:
        """The rows of every file that has any."""
        out: dict[Path, list[Row]] = {}
        for row in self._rows:
            if path := self._find(row):
                out.setdefault(path, []).append(row)
        return out

    def _name(self, path: Path) -> str:
        """The path below the root, without suffix unless two files differ in nothing else."""
        inside = path.relative_to(self.root)
        short = inside.with_suffix("").as_posix()
        return visible(short if self._by_name[1][short] == [path] else inside.as_posix())

    def _facts(self, rows: Sequence[Row]) -> dict[str, str]:
        """What the rows of one recording say of it; cells may be blank."""
        facts = {}
        for name in FACTS:
            said = {row.cells.get(name, ""): row.where for row in rows}
            said.pop("", None)
            if len(said) > 1:
                found = f"{name} {' and '.join(map(printable, said))} of one recording"
                raise table_error([*said.values()][-1], "conflicting_rows", found, "one")
            facts[name] = next(iter(said), "")
        return facts
