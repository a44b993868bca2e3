"""Files whole or not at all, and their digests.

``sha256.json`` in a folder names files of it with their SHA-256 (``sign``). Who reads a named file through
``files.reading`` is told where one bit of it changed. A file that is written anew loses its entry first, so
that a process which dies in between leaves a file without a digest and never a wrong alarm.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from distilclip_eeg.endings import unbroken
from distilclip_eeg.files.locks import Lock, unfinished
from distilclip_eeg.schema import DataError

DIGESTS = "sha256.json"
CHUNK = 64 * 2**20
"""Bytes that are read at once, and behind one digest, of a large file."""


def write_atomic(path: Path, data: bytes) -> None:
    """Write, flush to disk, rename: a reader sees the old file or the new one, never half of it.

    Raises:
        DataError: ``write_failed``.
    """
    unsign(path.parent, [path.name])
    temporary = path.with_name(unfinished(path.name))
    try:
        with unbroken():
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise DataError(
            f"{path} could not be written ({error}). What was there before is intact.", reason="write_failed"
        ) from error


def sha256_of(path: Path) -> str:
    """SHA-256 of a file of any size, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def chunks_of(path: Path, size: int = CHUNK) -> list[str]:
    """SHA-256 of each ``size`` bytes of a file."""
    found = []
    with path.open("rb") as file:
        while body := file.read(size):
            found.append(hashlib.sha256(body).hexdigest())
    return found


def digests(folder: Path) -> dict[str, str]:
    """What ``sha256.json`` of a folder says, by file name; empty where there is none.

    Raises:
        DataError: ``file_changed``: it is damaged itself.
    """
    path = folder / DIGESTS
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict):
        raise DataError(
            f"{path}: damaged, no JSON of digests. Delete it to use the files beside it unchecked.",
            reason="file_changed",
        )
    return found


def sign(folder: Path, names: Iterable[str]) -> None:
    """Add the digests of these files of the folder, as far as they are there, to its ``sha256.json``."""
    _change(folder, {n: sha256_of(folder / n) for n in names if (folder / n).is_file()}, ())


def unsign(folder: Path, names: Iterable[str]) -> None:
    """Forget the digests of files that are about to be written anew."""
    path = folder / DIGESTS
    try:
        known = json.loads(path.read_text(encoding="utf-8")).keys() & set(names)
    except (OSError, ValueError, AttributeError):
        return
    if known:
        _change(folder, {}, known)


def _change(folder: Path, new: dict[str, str], old: Iterable[str]) -> None:
    """One process after the other: several folds may finish in one run folder at once."""
    if not new and not old:
        return
    with unbroken(), Lock(folder / f".{DIGESTS}.lock", str(folder / DIGESTS), wait=True):
        try:
            known = digests(folder)
        except DataError:  # damaged: what is written now is right
            known = {}
        kept = {name: value for name, value in known.items() if name not in set(old)} | new
        write_atomic(folder / DIGESTS, (json.dumps(kept, indent=1, sort_keys=True) + "\n").encode())


def check_body(path: Path, body: bytes) -> None:
    """Refuse what was read from a file that was signed, and is not what was written then.

    Raises:
        DataError: ``file_changed``.
    """
    wanted = None if path.name == DIGESTS else digests(path.parent).get(path.name)
    if wanted is not None and hashlib.sha256(body).hexdigest() != wanted:
        raise DataError(
            f"{path}: changed since it was written (its SHA-256 is not the one in {DIGESTS} beside it). "
            "Restore it, or make it again; where the change is meant, delete its line there.",
            reason="file_changed",
        )


def changed(folder: Path) -> list[str]:
    """Names of signed files of a folder that are missing or not what they were."""
    return [
        name
        for name, wanted in digests(folder).items()
        if not (folder / name).is_file() or sha256_of(folder / name) != wanted
    ]
