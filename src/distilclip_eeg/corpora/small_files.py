"""Annotations and listings as bytes, text, cells or JSON: bounded in size, and every damage a typed error.

Real ones hold at most a few megabytes; what is larger is not read, whoever made it.
"""

import csv
import io
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from distilclip_eeg.schema import DataError

MOST_BYTES = 64 * 2**20
"""Of one annotation file or listing, unpacked."""
MOST_DEEP = 100
"""Objects and lists inside each other, in JSON."""
_PACKED = 15
"""Type of an element of a MATLAB 5 file that is compressed."""


def read_small(path: Path, most: int = MOST_BYTES) -> bytes:
    """A whole file of at most ``most`` bytes.

    Raises:
        DataError: ``too_large``.
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        body = stream.read(most + 1)
    if len(body) > most:
        raise _bad(path, "too_large", f"more than {most:,} bytes", "an annotation or table of people's size")
    return body


def text_of(body: bytes) -> str:
    """UTF-8 with or without its mark; a byte that is none becomes the replacement character."""
    return body.decode("utf-8-sig", "replace")


def json_of(body: bytes | str) -> Any:
    """JSON that is not deeper than ``MOST_DEEP`` and holds no number of thousands of figures.

    Raises:
        ValueError: it is none.
    """
    text = body if isinstance(body, str) else body.decode("utf-8-sig")
    try:
        tree = json.loads(text)
    except RecursionError:
        raise ValueError(f"deeper than {MOST_DEEP}") from None
    level, wave = 0, [tree]
    while wave:
        level += 1
        if level > MOST_DEEP:
            raise ValueError(f"deeper than {MOST_DEEP}")
        wave = [
            child
            for node in wave
            if isinstance(node, dict | list)
            for child in (node.values() if isinstance(node, dict) else node)
        ]
    return tree


def csv_rows(text: str, **how: object) -> Iterator[tuple[int, list[str]]]:
    """Line and cells of every record; ``how`` as :func:`csv.reader` takes it.

    Raises:
        csv.Error: quotes without end, or a cell longer than 128 KiB.
    """
    reader = csv.reader(io.StringIO(text, newline=""), **how)  # type: ignore[arg-type]
    for cells in reader:
        yield reader.line_num, cells


def check_matlab(path: Path, most: int = MOST_BYTES) -> None:
    """Refuse a MATLAB 5 file that unpacks to more than ``most`` bytes; nothing is kept of what is unpacked.

    Raises:
        DataError: ``too_large``.
        OSError, ValueError: it cannot be read, or is no such file.
    """
    body = read_small(path, most)
    order: Literal["little", "big"] = "little" if body[126:128] == b"IM" else "big"
    place, left = 128, most
    while place + 8 <= len(body):
        kind, length = (int.from_bytes(body[k : k + 4], order) for k in (place, place + 4))
        if kind == _PACKED:
            for chunk in _unpacked(body[place + 8 : place + 8 + length]):
                left -= len(chunk)
                if left < 0:
                    raise _bad(path, "too_large", f"unpacks to more than {most:,} bytes", "less")
        place += 8 + length


def _unpacked(packed: bytes) -> Iterator[bytes]:
    """What a stream unpacks to, a megabyte at a time; ends where it is damaged."""
    stream = zlib.decompressobj()
    try:
        while packed:
            chunk = stream.decompress(packed, 2**20)
            yield chunk
            packed = stream.unconsumed_tail
            if not chunk:
                return
    except zlib.error:
        return


def bounded(chunks: Iterator[bytes], refuse: Callable[[int], DataError], most: int = MOST_BYTES) -> bytes:
    """Chunks of a body joined, of at most ``most`` bytes.

    Args:
        refuse: the error for more, given ``most``; raised here.
    """
    kept, size = [], 0
    for chunk in chunks:
        size += len(chunk)
        if size > most:
            raise refuse(most)
        kept.append(chunk)
    return b"".join(kept)


def _bad(path: Path, reason: str, found: str, expected: str) -> DataError:
    return DataError(f"{path}: {found}; expected {expected}. Fetch it again or leave it out.", reason=reason)
