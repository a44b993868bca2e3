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


def outcome(copy, *quirks):
    """How pytest ends for these quirks' tests against the copy, and what it says."""
    env = os.environ | {
        "PYTHONPATH": str(copy / "src"),
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    files = [str(REPO / f"tests/test_quirks_{quirk.partition('_')[0]}.py") for quirk in quirks]
    chosen = " or ".join(f"test_{quirk}" for quirk in quirks)
    words = ["-q", "-x", "-rp", "-p", "no:cacheprovider", "-k", chosen, *files]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        env=env,
        capture_output=True,
        text=True,
        cwd=copy,
        timeout=120,
    )
    return done.returncode, done.stdout


@pytest.fixture(scope="module")
def undamaged(copy):
    """The same for all of them before anything is taken out."""
    return outcome(copy, *CASES)


@pytest.mark.slow
@pytest.mark.parametrize("quirk", CASES)
def test_the_test_of_a_quirk_fails_without_its_handling(copy, undamaged, quirk):
    module, words, without = CASES[quirk]
    path = copy / "src" / "distilclip_eeg" / "corpora" / module
    whole = path.read_text()
    assert whole.count(words) == 1
    assert undamaged[0] == 0 and f"::test_{quirk}" in undamaged[1]
    try:
        path.write_text(whole.replace(words, without))
        code, said = outcome(copy, quirk)
    finally:
        path.write_text(whole)
    assert code == 1 and "1 failed" in said, said
