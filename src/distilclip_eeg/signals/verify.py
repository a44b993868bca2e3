"""Whether a store is what was written: its manifest holds the SHA-256 of every file of it, and of itself.

Tables are checked whenever the store is opened, the signal in pieces of 64 MiB: one of up to ``CHEAP`` bytes
at the first opening in a process, a larger one by ``prepare verify=true`` alone.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from distilclip_eeg.files.digests import CHUNK, changed, chunks_of, sha256_of, write_atomic
from distilclip_eeg.files.reading import read_json
from distilclip_eeg.schema import DataError
from distilclip_eeg.signals.building import SEALED, SIGNAL

MANIFEST = "manifest.json"
KEYS = ("digest", "corpus", "sfreq", "ch_names", "classes", "n_samples", "identified", "signals")
REBUILD = "Delete the folder of the store; it will be built again."
CHEAP = 512 * 2**20
"""Bytes of signal that are hashed at the first opening: half a second at 1.2 GB/s."""
_seen: set[tuple[str, int, int]] = set()
"""Signal files that this process has found right: path, size and time of the last change."""


def seal(folder: Path, manifest: dict[str, Any]) -> None:
    """Write the manifest of a finished folder, with the digests of what is in it."""
    files = {name: sha256_of(folder / name) for name in SEALED}
    signal = {"chunk": CHUNK, "sha256": chunks_of(folder / SIGNAL)}
    content = manifest | {"files": files, "signal": signal}
    body = content | {"sha256": _digest(content)}
    write_atomic(folder / MANIFEST, json.dumps(body, indent=1).encode())


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a store, which is what was written; one of 0.1.0 has no digest.

    Raises:
        DataError: ``damaged_file``; ``store_damaged``: its own digest is another.
    """
    path = folder / MANIFEST
    manifest = read_json(path, *KEYS, again=REBUILD)
    if is_sealed(manifest) and manifest.get("sha256") != _digest(manifest):
        raise damaged(path, "changed since it was written (its own SHA-256 differs)")
    return manifest


def is_sealed(manifest: dict[str, Any]) -> bool:
    """Whether there are digests in it; a bit that changes one of these names is found by the others."""
    return any(key in manifest for key in ("files", "signal", "sha256"))


def check_files(folder: Path, manifest: dict[str, Any]) -> None:
    """Refuse a store one of whose files, beside the signal, changed.

    Raises:
        DataError: ``store_damaged``.
    """
    for name, wanted in manifest.get("files", {}).items():
        path = folder / name
        if not path.is_file():
            raise damaged(path, "is not there any more")
        if sha256_of(path) != wanted:
            raise damaged(path, "changed since it was written (SHA-256 differs)")


def check_signal(folder: Path, manifest: dict[str, Any], *, whole: bool = False) -> None:
    """Refuse a store whose signal changed; a large one is read only where ``whole`` is asked for.

    Raises:
        DataError: ``store_damaged``: it names the first bytes that differ.
    """
    path, sealed = folder / SIGNAL, manifest.get("signal")
    state = path.stat()
    key = (str(path.absolute()), state.st_size, state.st_mtime_ns)
    if sealed is None or not whole and (state.st_size > CHEAP or key in _seen):
        return
    found = chunks_of(path, sealed["chunk"])
    for number, wanted in enumerate(sealed["sha256"]):
        if number >= len(found) or found[number] != wanted:
            start = number * sealed["chunk"]
            end = min(start + sealed["chunk"], state.st_size)
            raise damaged(
                path, f"changed since it was written (SHA-256 of bytes {start:,} to {end:,} differs)"
            )
    _seen.add(key)


def verify(folder: Path, *, add: bool = False) -> str:
    """Read every byte of a store.

    Args:
        add: give a store of 0.1.0, which has no digests, those of its present files.

    Returns:
        A line that says what was found.

    Raises:
        DataError: ``store_damaged``, or ``file_changed`` of what was measured from it.
    """
    manifest = read_manifest(folder)
    if not is_sealed(manifest):
        if not add:
            return (
                f"verify: {folder} was built by 0.1.0, which kept no digests: whether its files changed "
                "cannot be known. verify=add notes those of today; deleting the folder builds it anew."
            )
        seal(folder, manifest)
        return f"verify: {folder}: the digests of its present files are noted; changes from now on are found"
    check_files(folder, manifest)
    check_signal(folder, manifest, whole=True)
    # What was measured may be deleted at any time: it is made again.
    if wrong := [name for name in changed(folder) if (folder / name).exists()]:
        raise damaged(
            folder / wrong[0], "changed since it was written", "Delete this file; it is made again."
        )
    size = (folder / SIGNAL).stat().st_size
    return (
        f"verify: {folder}: {size:,} bytes of signal and {len(manifest['files'])} other files are as written"
    )


def damaged(path: Path, what: str, then: str = REBUILD) -> DataError:
    """What is wrong with a file of a store, to be raised."""
    return DataError(f"{path}: {what}. {then}", reason="store_damaged")


def _digest(manifest: dict[str, Any]) -> str:
    content = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
