"""A whole invented corpus in any native layout: ``python scripts/synthesize.py layout=tusz root=FOLDER``."""

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from distilclip_eeg.corpora.invented.layouts.aubmc import write_aubmc, write_aubmc_raw
from distilclip_eeg.corpora.invented.layouts.bids import write_bids
from distilclip_eeg.corpora.invented.layouts.chbmit import write_chbmit
from distilclip_eeg.corpora.invented.layouts.folder import write_folder
from distilclip_eeg.corpora.invented.layouts.tusz import write_tusz
from distilclip_eeg.corpora.invented.layouts.zenodo import write_zenodo
from distilclip_eeg.schema import ConfigError, check_choice

LAYOUTS: dict[str, Callable[..., dict]] = {
    "tusz": write_tusz,
    "aubmc": write_aubmc,
    "aubmc_raw": write_aubmc_raw,
    "chbmit": write_chbmit,
    "zenodo": write_zenodo,
    "bids": write_bids,
    "folder": write_folder,
}
"""By the name of the dataset that reads them."""
LEAST = {"n_subjects": 1, "recordings_per_subject": 1, "recording_s": 20}
"""Sizes that every layout can be written with, or refuses itself."""
TRUTH = "truth.json"
"""What was written, counted by the writer, beside the tree's own files."""


def synthesize(layout: str, root: Path, **sizes: int) -> dict:
    """Write the tree at ``root`` complete or not at all.

    Args:
        sizes: n_subjects, recordings_per_subject, recording_s, seed; None is the layout's default.

    Returns:
        The truth: recordings used and skipped, subjects, seizures and seconds by class, warnings.

    Raises:
        ConfigError: an unknown layout, sizes that cannot be, or something lies at ``root`` already.
    """
    check_choice("layout", layout, LAYOUTS)
    for name, least in LEAST.items():
        if (size := sizes.get(name)) is not None and size < least:
            raise ConfigError(f"{name}={size}: expected {least} or more. Choose another size.")
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise ConfigError(f"root={root}: not empty; expected nothing there. Name another folder.")
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{root.name}.", dir=root.parent))
    except OSError as problem:
        raise ConfigError(f"root={root}: cannot be written ({problem.strerror}). Name another.") from problem
    try:
        truth = LAYOUTS[layout](scratch, **{k: v for k, v in sizes.items() if v is not None})
        (scratch / TRUTH).write_text(json.dumps(truth, indent=1, sort_keys=True) + "\n")
        scratch.chmod(0o755)
        if root.exists():
            root.rmdir()
        scratch.rename(root)
    except ValueError as problem:
        raise ConfigError(f"layout={layout}: {problem}. Choose other sizes.") from problem
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return truth
