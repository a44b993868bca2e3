"""Files and folders of ours, written: each format in one form, and what may be replaced.

No file of another's is ever replaced (``claim``).
"""

import io
import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from distilclip_eeg.files.digests import write_atomic
from distilclip_eeg.files.reading import read_json, texts
from distilclip_eeg.schema import ConfigError, DataError, guarded

WRITTEN = ".written.json"
"""In a folder of outputs: which files of it are ours."""


def write_json(path: Path, content: object) -> None:
    """Plain values, keys sorted, so that the same content is the same bytes."""
    write_atomic(path, (json.dumps(content, indent=1, sort_keys=True) + "\n").encode())


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """A table without its index, in the one form that every CSV of this package has."""
    write_atomic(path, csv_bytes(table))


def csv_bytes(table: pd.DataFrame, sep: str = ",") -> bytes:
    """A table as CSV whose texts no spreadsheet runs (:func:`~distilclip_eeg.schema.guarded`)."""
    return texts(table, guarded).to_csv(index=False, sep=sep).encode(errors="backslashreplace")


def write_yaml(path: Path, content: dict) -> None:
    """Plain values, keys in the order they have."""
    write_atomic(path, yaml.safe_dump(content, sort_keys=False).encode())


def write_npz(path: Path, **arrays: Any) -> None:
    """Arrays by name, uncompressed; a number or a text becomes an array of one."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_atomic(path, buffer.getvalue())


def claim(folder: Path, names: Iterable[str], before: Callable[[], object]) -> None:
    """Say in an output folder which of its files are ours, before any is written or replaced.

    Args:
        names: what is to be written, relative to the folder.
        before: reads what a version without this marker wrote there; a ``DataError`` means that none did.

    Raises:
        ConfigError: ``not_ours``: another's file has one of the names; nothing was changed.
    """
    wanted, ours = list(names), set[str]()
    there = {name for name in wanted if (folder / name).exists() or (folder / name).is_symlink()}
    with suppress(DataError, TypeError):
        ours = set(map(str, read_json(folder / WRITTEN, "files")["files"]))
    if there and not ours:
        with suppress(DataError):
            before()
            ours = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    if foreign := sorted(there - ours):
        raise ConfigError(
            f"{folder / foreign[0]}: is there already, and none of our commands wrote it. Move it away, or "
            "write to another folder; nothing was changed.",
            reason="not_ours",
        )
    if not ours.issuperset(wanted) or not (folder / WRITTEN).exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / WRITTEN, {"by": "distilclip-eeg", "files": sorted(ours.union(wanted))})
