"""Every numbered quirk has its test, and the tests can fail: without the handling line they notice."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPO = Path(__file__).parents[1]
SHARED = os.environ.get("DISTILCLIP_EEG_SHARED")
SECTIONS = {"tusz": "1.5", "aubmc": "2.4", "chbmit": "3.5", "zenodo": "4.4"}
"""Where ``spec/datasets.md`` numbers the quirks of each corpus."""
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
"""Quirk, module, the line's words, and what is left without the handling. Each is of another corpus, so that
no test meets the damage of two."""


def failures(package: Path) -> set[str]:
    """Quirks whose tests fail with the package that lies there."""
    env = os.environ | {
        "PYTHONPATH": str(package),
        "OMP_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    words = ["-q", "-p", "no:cacheprovider", "-k", " or ".join(f"test_{quirk}" for quirk in CASES)]
    files = [str(REPO / f"tests/test_quirks_{corpus}.py") for corpus in SECTIONS]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words, *files],
        env=env,
        capture_output=True,
        text=True,
        cwd=package,
        timeout=120,
    )
    found = {quirk for quirk in CASES if re.search(rf"FAILED \S+::test_{quirk}_", done.stdout)}
    assert done.returncode == bool(found), done.stdout
    return found


@pytest.mark.slow
def test_the_tests_of_four_quirks_fail_without_their_handling(tmp_path):
    for name in ("src", "configs"):
        shutil.copytree(REPO / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    assert failures(tmp_path / "src") == set()
    for module, words, without in CASES.values():
        path = tmp_path / "src" / "distilclip_eeg" / "corpora" / module
        whole = path.read_text()
        assert whole.count(words) == 1
        path.write_text(whole.replace(words, without))
    assert failures(tmp_path / "src") == set(CASES)


@pytest.mark.shared
@pytest.mark.skipif(not SHARED, reason="DISTILCLIP_EEG_SHARED is not set")
@pytest.mark.parametrize("corpus", SECTIONS)
def test_every_numbered_quirk_of_the_specification_has_a_test_of_its_number(corpus):
    text = (Path(SHARED) / "spec" / "datasets.md").read_text()
    section = text.partition(f"\n### {SECTIONS[corpus]} Quirks")[2].partition("\n### ")[0]
    last = 0
    for n in re.findall(
        r"(?:^|(?<=\s))(\d+)\. (?=\S)", section
    ):  # "ids start at 10. 9. ..." counts on with 9
        last += int(n) == last + 1
    tests = (REPO / "tests" / f"test_quirks_{corpus}.py").read_text()
    tested = {int(n) for n in re.findall(rf"def test_{corpus}_quirk_(\d\d)_", tests)}
    assert last == {"tusz": 15, "aubmc": 9, "chbmit": 15, "zenodo": 10}[corpus]
    assert tested == set(range(1, last + 1))
