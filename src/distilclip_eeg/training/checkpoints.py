"""Checkpoints of a training: behind a digest, two of them, the older one until the newer is proven."""

import hashlib
import io
from pathlib import Path

import torch

from distilclip_eeg.endings import unbroken
from distilclip_eeg.files.digests import write_atomic
from distilclip_eeg.schema import DataError


def write_checkpoint(path: Path, content: dict) -> None:
    """A torch file behind its own SHA-256; the one before stays as ``previous`` names it.

    Raises:
        DataError: ``write_failed``; both checkpoints are then as they were.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    body = buffer.getvalue()
    new = path.with_name(f".{path.name}.new")
    write_atomic(new, hashlib.sha256(body).hexdigest().encode() + body)
    del buffer, body
    try:
        checked_body(new)
    except DataError:
        new.unlink()
        raise DataError(
            f"{path} could not be written: what is read back is not what was written. The one before is "
            "intact; look after the disk.",
            reason="write_failed",
        ) from None
    with unbroken():
        if path.exists():
            path.replace(previous(path))
        new.replace(path)


def previous(path: Path) -> Path:
    """Where the checkpoint before the newest lies."""
    return path.with_name(f"{path.stem}.prev{path.suffix}")


def checked_body(path: Path) -> bytes:
    """What ``torch.save`` wrote into a checkpoint.

    Raises:
        DataError: ``corrupt_checkpoint``.
    """
    data = path.read_bytes()
    if hashlib.sha256(data[64:]).hexdigest().encode() != data[:64]:
        raise DataError(
            f"{path} is damaged (its SHA-256 does not fit). Delete this file to train the fold anew.",
            reason="corrupt_checkpoint",
        )
    return data[64:]


def read_checkpoint(path: Path) -> dict:
    """What ``write_checkpoint`` wrote; a damaged file is an error, never a silent fresh start."""
    return torch.load(io.BytesIO(checked_body(path)), map_location="cpu", weights_only=True)


def newest_checkpoint(path: Path) -> dict | None:
    """The newest checkpoint that is whole, with a line where it is not the last one; None: there is none.

    Raises:
        DataError: ``corrupt_checkpoint``: it is damaged and there is none before it.
    """
    before = previous(path)
    if not path.exists():  # between two renames
        return read_checkpoint(before) if before.exists() else None
    try:
        return read_checkpoint(path)
    except DataError as damage:
        if not before.exists():
            raise
        try:
            saved = read_checkpoint(before)
        except DataError:
            raise damage from None
        print(f"{path} is damaged (its SHA-256 does not fit); going on from {before.name}", flush=True)
        path.unlink()
        return saved
