"""The quirk tests can fail: a line that handles a quirk is taken out of a copy, and its test notices."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).parents[1]
CASES = {
    "tusz_quirk_10": ("tusz.py", "max(copies, key=lambda ref: ref.path.parent.name)", "copies[0]"),
    "aubmc_quirk_03": ("aubmc_raw.py", "(at - start_s) % DAY_S", "at - start_s"),
    "chbmit_quirk_12": (
        "chbmit.py",
        "SAME_PERSON.get(folder.name.lower(), folder.name.lower())",
        "folder.name",
    ),
    "zenodo_quirk_05": (
        "zenodo_files.py",
        'fixed or find_file(folder, CSV.format("A"))',
        'find_file(folder, CSV.format("A")) or fixed',
    ),
}
"""Quirk, module, the line's words, and what is left without the handling."""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The package and its configs somewhere else, to be damaged."""
    root = tmp_path_factory.mktemp("copy")
    for name in ("src", "configs"):
        shutil.copytree(REPO / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    return root


def outcome(copy, quirk):
    """How pytest ends for the quirk's tests against the copy."""
    env = os.environ | {
        "PYTHONPATH": str(copy / "src"),
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    corpus = quirk.partition("_")[0]
    words = [
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        "-k",
        f"test_{quirk}",
        str(REPO / f"tests/test_quirks_{corpus}.py"),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        env=env,
        capture_output=True,
        text=True,
        cwd=copy,
        timeout=120,
    )
    return done.returncode, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("quirk", CASES)
def test_the_test_of_a_quirk_fails_without_its_handling(copy, quirk):
    module, words, without = CASES[quirk]
    path = copy / "src" / "distilclip_eeg" / "corpora" / module
    whole = path.read_text()
    assert whole.count(words) == 1
    assert outcome(copy, quirk)[0] == 0
    try:
        path.write_text(whole.replace(words, without))
        code, said = outcome(copy, quirk)
    finally:
        path.write_text(whole)
    assert code == 1 and "1 failed" in said, said
