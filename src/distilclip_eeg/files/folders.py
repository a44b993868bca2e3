"""Folders that are written to: made, tried before work begins, and cleared of what a killed process left."""

import shutil
from pathlib import Path
from uuid import uuid4

from distilclip_eeg.files.locks import is_left
from distilclip_eeg.schema import ConfigError, DataError


def make_folder(path: Path) -> None:
    """Make a folder and those above it.

    Raises:
        DataError: ``write_failed``.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{path} could not be made ({error}).", reason="write_failed") from error


def check_writable(key: str, folder: Path) -> None:
    """Refuse a folder in which nothing can be written, before any work; it need not exist, and is not made.

    Args:
        key: the setting that names it, for the message.

    Raises:
        ConfigError: ``not_writable``.
    """
    there = folder.absolute()
    try:
        while not there.exists() and there != there.parent:
            there = there.parent
        probe = there / f".{uuid4().hex[:12]}"
        probe.mkdir()
        probe.rmdir()
    except OSError as error:
        where = "" if there == folder.absolute() else f"{there}: "
        raise ConfigError(
            f"{key}={folder}: nothing can be written there ({where}{error.strerror or error}). Give a folder "
            f"that can be, {key}=FOLDER.",
            reason="not_writable",
        ) from None


def free_bytes(folder: Path) -> int:
    """Of the disk on which a folder lies, or will lie."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    return shutil.disk_usage(there).free


def remove_left(folder: Path, pattern: str = ".*") -> None:
    """Delete unfinished files and folders of processes that are gone."""
    for path in folder.glob(pattern):
        if is_left(path):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
