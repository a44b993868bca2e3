"""The one walk over folders: check, prepare, describe, detect, search and every corpus find the same files.

Hidden entries (``.git``, ``.Trash-0``, ``._x.edf``) and bins of other systems are passed over. A link to a
folder is followed once and only inside the folder that was named: what leads out of it is told by name, and
followed only where ``links=follow`` says so. Data that git-annex keeps for a tree count as inside.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from distilclip_eeg.config.data import Links
from distilclip_eeg.schema import SkipRecording

RELATED = (".edf", ".bdf", ".gdf", ".rec")
"""Endings of EDF and its near relations, which the reader takes or refuses in words."""
BINS = frozenset({"$RECYCLE.BIN", "System Volume Information", "__MACOSX", "lost+found"})
"""Trees that no person made, on disks of other systems."""
ANNEX = (".git", "annex", "objects")


class Walk:
    """Files below a folder, each once, in an order that depends on names alone.

    Args:
        root: the folder; it may itself be hidden, or a link.
        links: ``inside``, or ``follow`` those that lead out of it, too.
    """

    def __init__(self, root: Path, links: Links = "inside"):
        self.root, self.links = root, links
        self.real = root.resolve()
        self.annexes = [
            place for parent in (self.real, *self.real.parents) if (place := parent.joinpath(*ANNEX)).is_dir()
        ]
        self.refused: list[Path] = []
        """Links that lead out of ``root`` and are not followed; known after :meth:`files`."""

    def allows(self, path: Path) -> bool:
        """Whether what stands at ``path`` lies inside, wherever links on the way lead, or may lie outside."""
        if self.links == "follow":
            return True
        try:
            target = path.resolve()
        except (OSError, RuntimeError):  # a ring of links
            return False
        return any(target.is_relative_to(place) for place in (self.real, *self.annexes))

    def files(self, enters: Callable[[Path], bool] = lambda _: True) -> list[Path]:
        """Every visible file, every link whose target is gone, and folders that call themselves recordings.

        Sorted. A folder is listed under its own name, and under a link's only where it has none here.

        Args:
            enters: which folders directly below ``root`` to look into.
        """
        self.refused = []
        found: list[Path] = []
        linked: list[Path] = []
        seen: set[Path] = set()
        self._descend(self.root, self.real, seen, found, linked, enters)
        while linked:
            folder = linked.pop(0)
            real = folder.resolve()
            if real not in seen:
                more: list[Path] = []
                self._descend(folder, real, seen, found, more, enters)
                linked += more
        own = {path.parent.resolve() / path.name for path in found if not path.is_symlink()}
        files = [path for path in found if not (path.is_symlink() and path.resolve() in own)]
        self.refused.sort()
        return sorted(files)

    def _descend(
        self,
        folder: Path,
        real: Path,
        seen: set[Path],
        found: list[Path],
        linked: list[Path],
        enters: Callable[[Path], bool],
    ) -> None:
        """Files below ``folder`` into ``found``, links to folders into ``linked``."""
        waiting = [(folder, real)]
        while waiting:
            folder, real = waiting.pop()
            if real in seen:
                continue
            seen.add(real)
            for entry in entries(folder):
                path = folder / entry.name
                if entry.is_dir(follow_symlinks=False):
                    found += [path] if looks_like_edf(path) else []
                    if folder != self.root or enters(path):
                        waiting.append((path, real / entry.name))
                elif not entry.is_symlink():
                    if entry.is_file(follow_symlinks=False):
                        found.append(path)
                elif not self.allows(path):
                    self.refused.append(path)
                elif not path.is_dir():
                    if path.is_file() or not path.exists():
                        found.append(path)
                elif folder != self.root or enters(path):
                    linked.append(path)


def entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Visible entries of a folder, sorted by name; none where it may not be looked into."""
    try:
        with os.scandir(folder) as listing:
            there = sorted(listing, key=lambda entry: entry.name)
    except OSError:
        return
    yield from (entry for entry in there if not hidden(entry.name))


def looks_like_edf(path: Path) -> bool:
    """Whether a file or folder has one of the endings in ``RELATED``; its name alone is looked at."""
    return path.suffix.lower() in RELATED


def spelt(name: str) -> str:
    """A name as a table may write it: bytes that are not UTF-8 are read as Latin-1."""
    raw = os.fsencode(name)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def hidden(name: str) -> bool:
    """Whether a file or folder of this name is passed over."""
    return name.startswith(".") or name in BINS


def link_outside(link: Path, root: Path, setting: str) -> SkipRecording:
    """The error of one link that is not followed.

    Args:
        setting: the whole key of the setting that follows it, such as ``dataset.links``.
    """
    return SkipRecording(
        f"{link}: a link to {os.readlink(link)}, outside of {root}; expected links inside of it. Set "
        f"{setting}=follow, or name the folder itself.",
        reason="link_outside",
    )


def told(refused: list[Path], root: Path, setting: str) -> tuple[str, ...]:
    """A warning that names the links that were not followed; none where there are none.

    Args:
        setting: the whole key of the setting that follows them, such as ``dataset.links``.
    """
    if not refused:
        return ()
    first = refused[0]
    words = f"{len(refused)} links lead out of {root} and are not followed, the first: {first} -> "
    return (f"link_outside: {words}{os.readlink(first)}; {setting}=follow reads them",)
