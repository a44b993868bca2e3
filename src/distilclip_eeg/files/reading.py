"""Our own small files read back: each whole and as it was written, or one line that names it.

Whatever a library makes of damaged bytes becomes a ``DataError`` here, so that nobody above has to know
what JSON, YAML, parquet, NumPy and CSV readers raise. Nothing that a file holds is executed.
"""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import yaml

from distilclip_eeg.files.digests import check_body
from distilclip_eeg.schema import DataError, unguarded

AGAIN = "Delete it and give the command that made it again."
LARGE = 64 * 2**20
"""Bytes from which ``check_file`` looks at a table's or an archive's frame alone."""
MOST_NODES = 100_000
"""Values in a YAML file; a handful of aliases can stand for more than any memory holds."""
Content = TypeVar("Content")


def damaged(path: Path, what: str, again: str = AGAIN) -> DataError:
    """What is wrong with a file of our own, to be raised.

    Args:
        again: what to do about it.
    """
    return DataError(f"{path}: {what}. {again}", reason="damaged_file")


def read_bytes(path: Path, again: str = AGAIN) -> bytes:
    """A file's content, of which there is some.

    Raises:
        DataError: ``missing_file``, ``unreadable_file``, ``damaged_file`` where it is empty, or
            ``file_changed`` where a digest beside it says otherwise.
    """
    try:
        body = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{path}: there is no such file. {again}", reason="missing_file") from None
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}). Make it readable, or delete it.",
            reason="unreadable_file",
        ) from None
    if not body:
        raise damaged(path, "is empty", again)
    check_body(path, body)
    return body


def _parsed(path: Path, kind: str, parse: Callable[[bytes], Content], again: str) -> Content:
    """What ``parse`` makes of a file.

    Raises:
        DataError: as ``read_bytes``; ``damaged_file`` where it makes nothing of it.
    """
    body = read_bytes(path, again)
    try:
        return parse(body)
    except Exception as error:  # each library has its own ways to fail at damaged bytes
        said = " ".join(f"{type(error).__name__}: {error}".split())[:120]
        raise damaged(path, f"is no whole {kind} ({said})", again) from None


def _with(path: Path, found: Content, there: Any, keys: tuple[str, ...], again: str) -> Content:
    """``found``, in which all ``keys`` are ``there``."""
    if lacking := [key for key in keys if key not in there]:
        raise damaged(path, f"has no {lacking[0]}, which this version writes into it", again)
    return found


def read_json(path: Path, *keys: str, again: str = AGAIN) -> dict[str, Any]:
    """A JSON object that was written by this package.

    Args:
        keys: what it must hold.
        again: what to do where it is damaged.

    Raises:
        DataError: ``missing_file``, ``unreadable_file`` or ``damaged_file``.
    """
    found = _parsed(path, "JSON", lambda body: json.loads(body.decode()), again)
    if not isinstance(found, dict):
        raise damaged(path, f"holds a {type(found).__name__}, expected names and values", again)
    return _with(path, found, found, keys, again)


def read_yaml(path: Path, *keys: str, again: str = AGAIN) -> dict[str, Any]:
    """A YAML file of plain values by name; tags are refused.

    Raises:
        DataError: as ``read_json``.
    """
    found = _parsed(path, "YAML", _plain_yaml, again)
    if not isinstance(found, dict):
        raise damaged(path, f"holds a {type(found).__name__}, expected names and values", again)
    return _with(path, found, found, keys, again)


def _plain_yaml(body: bytes) -> object:
    """Plain values, of which aliases make no more than a run could have."""
    found = yaml.safe_load(body)
    ahead, seen = [found], 0
    while ahead:
        node, seen = ahead.pop(), seen + 1
        if seen > MOST_NODES:
            raise ValueError(f"more than {MOST_NODES:,} values")
        ahead += node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    return found


def read_text(path: Path, again: str = AGAIN) -> str:
    """Lines of UTF-8, the last of which has its end.

    Raises:
        DataError: as ``read_json``.
    """
    text = _parsed(path, "text", bytes.decode, again)
    if not text.endswith("\n"):
        raise damaged(path, "was cut: its last line has no end", again)
    return text


def read_csv(path: Path, *columns: str, again: str = AGAIN, **how: Any) -> pd.DataFrame:
    """A table of text; one without any column is an empty table.

    Args:
        columns: what it must have.
        how: for ``pandas.read_csv``.

    Raises:
        DataError: as ``read_json``.
    """
    text = read_text(path, again)
    if not text.strip():
        return _with(path, pd.DataFrame(), (), columns, again)
    table = _parsed(path, "table", lambda body: pd.read_csv(io.BytesIO(body), **how), again)
    table = texts(table, unguarded)
    return _with(path, table, table.columns, columns, again)


def texts(table: pd.DataFrame, change: Callable[[object], object]) -> pd.DataFrame:
    """The same table with its texts changed, those of its head, too."""
    made = table.copy(deep=False)
    for place, kind in enumerate(table.dtypes):
        if not pd.api.types.is_numeric_dtype(kind):
            made.isetitem(place, table.iloc[:, place].map(change))
    made.columns = pd.Index([change(name) for name in table.columns])
    return made


def read_parquet(path: Path, *columns: str, again: str = AGAIN) -> pd.DataFrame:
    """A parquet table.

    Raises:
        DataError: as ``read_json``.
    """
    table = _parsed(path, "parquet table", lambda body: pd.read_parquet(io.BytesIO(body)), again)
    return _with(path, table, table.columns, columns, again)


def read_npz(path: Path, *names: str, again: str = AGAIN) -> dict[str, np.ndarray]:
    """Arrays by name; arrays of objects, which would have to be executed, are refused.

    Raises:
        DataError: as ``read_json``.
    """

    def parse(body: bytes) -> dict[str, np.ndarray]:
        with np.load(io.BytesIO(body), allow_pickle=False) as file:
            found = dict(file)
        if odd := [name for name, value in found.items() if not isinstance(value, np.ndarray)]:
            raise ValueError(f"{odd[0]} is no array")
        return found

    arrays = _parsed(path, "archive of arrays", parse, again)
    return _with(path, arrays, arrays, names, again)


def check_file(path: Path) -> None:
    """Refuse a small file that is empty, cut or otherwise no more what its ending says; others are not read.

    Raises:
        DataError: as ``read_json``.
    """
    large = path.stat().st_size > LARGE
    if path.suffix == ".json":
        _parsed(path, "JSON", lambda body: json.loads(body.decode()), AGAIN)
    elif path.suffix == ".yaml":
        read_yaml(path)
    elif path.suffix in (".csv", ".tsv"):
        read_csv(path, sep="\t" if path.suffix == ".tsv" else ",")
    elif path.suffix == ".txt":
        read_text(path)
    elif path.suffix == ".npz":
        _whole_archive(path) if large else read_npz(path)
    elif path.suffix == ".parquet" and not large:
        read_parquet(path)


def _whole_archive(path: Path) -> None:
    """Refuse an archive that lacks its end, without reading what is in it."""
    try:
        with zipfile.ZipFile(path):
            pass
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise damaged(path, f"is no whole archive of arrays ({error})") from None
