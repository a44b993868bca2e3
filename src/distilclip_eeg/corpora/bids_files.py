"""What lies where in a BIDS-EEG tree: recordings, their events files, sidecars and persons.

Layout: Gorgolewski et al. (2016), Sci Data 3:160044; EEG: Pernet et al. (2019), Sci Data 6:103.
"""

from collections.abc import Callable
from pathlib import Path

from distilclip_eeg.corpora.edf_corpus import list_folder, root_hint
from distilclip_eeg.corpora.events_tsv import read_levels
from distilclip_eeg.corpora.own import person, read_table
from distilclip_eeg.corpora.small_files import json_of, read_small
from distilclip_eeg.schema import DataError

EXPECTED = "a BIDS tree: sub-XX/[ses-YY/]eeg/*_eeg.edf with *_events.tsv beside them"


def eeg_files(root: Path, find: Callable[..., list[Path]]) -> dict[Path, list[Path]]:
    """What lies in every ``eeg`` folder of every person and session: files by folder, both sorted.

    Args:
        find: gives the files of the folders it is told to enter, as ``EdfCorpus.files`` does.

    Raises:
        DataError: ``missing_root``, ``empty_root``.
    """
    entries = list_folder(root, EXPECTED)
    people = [path for path in entries if _is_person(path)]
    if not people:
        do = root_hint(root, lambda folder: any(map(_is_person, folder.iterdir())))
        words = f"no sub-XX folder among {len(entries)} entries"
        raise DataError(f"{root}: {words}; expected {EXPECTED}. {do}", reason="empty_root")
    found: dict[Path, list[Path]] = {}
    for path in find(enters=_is_person):
        parts = path.parent.relative_to(root).parts
        if (
            len(parts) in (2, 3)
            and parts[-1] == "eeg"
            and all(part.startswith("ses-") for part in parts[1:-1])
        ):
            found.setdefault(path.parent, []).append(path)
    return dict(sorted(found.items()))


def _is_person(path: Path) -> bool:
    return path.name.startswith("sub-") and path.is_dir()


def events_of(recording: Path) -> Path:
    """The events file of a recording: same name, other ending."""
    return recording.with_name(recording.stem.removesuffix("_eeg") + "_events.tsv")


def entity(inside: Path, prefix: str) -> str:
    """The folder that names a person (``sub-``) or session (``ses-``) in a path below the root, if any."""
    return next((part for part in inside.parts[:-1] if part.startswith(prefix)), "")


class Sidecars:
    """The ``events.json`` files of a tree; each folder is listed and each file read once.

    Args:
        root: of the tree.
        column: of ``events.tsv`` that holds the labels.
    """

    def __init__(self, root: Path, column: str):
        self.root, self.column = root, column
        self._listed: dict[Path, list[Path]] = {}
        self._levels: dict[Path, tuple[str, ...]] = {}

    def of(self, recording: Path) -> list[Path]:
        """Those that apply to a recording: in its folder or above, naming no other person, task or run."""
        entities, folder, found = {"events", *recording.stem.split("_")}, self.root, []
        for part in ("", *recording.parent.relative_to(self.root).parts):
            folder = folder / part
            if folder not in self._listed:
                self._listed[folder] = sorted(folder.glob("*events.json"))
            found += [path for path in self._listed[folder] if {*path.stem.split("_")} <= entities]
        return found

    def levels(self, recording: Path) -> list[str]:
        """The labels that they list for the label column.

        Raises:
            DataError: ``bad_json``.
        """
        for path in (paths := self.of(recording)):
            if path not in self._levels:
                self._levels[path] = read_levels(path, self.column)
        return [level for path in paths for level in self._levels[path]]


def read_participants(root: Path) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Sex and age band by person, from ``participants.tsv``, and what is odd about it.

    A table that cannot be used costs those facts and a warning: no label rests on them.
    """
    path, about = root / "participants.tsv", root / "participants.json"
    if not path.is_file():
        return {}, []
    try:
        table = read_table(path, ["participant_id"])
        units = _age_units(about)
    except (DataError, OSError, ValueError, AttributeError) as problem:
        return {}, [f"bad_participants: {' '.join(str(problem).split())} Sex and age are not used."]
    people: dict[str, dict[str, str]] = {}
    warnings = list(table.warnings)
    if not units.startswith("y"):
        warnings.append(
            f"unknown_unit: {about.name} gives ages in {units[:20]}, not years; they are not used"
        )
    for _, cells in table.rows:
        name = f"sub-{cells['participant_id'].removeprefix('sub-')}"
        facts = person(cells if units.startswith("y") else cells | {"age": ""})
        if name in people:  # a row a session: what differs is not known of the person
            facts = {key: value for key, value in facts.items() if people[name].get(key) == value}
        people[name] = facts
    return people, warnings


def _age_units(path: Path) -> str:
    """What ``participants.json`` says, lower case; years where it says nothing."""
    tree = json_of(read_small(path)) if path.is_file() else {}
    return str(tree.get("age", {}).get("Units") or "years").strip().casefold()
