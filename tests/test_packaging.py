"""What is installed: the wheel's contents, declared and pinned dependencies, nothing tied to one machine."""

import ast
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from build import ProjectBuilder
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pyproject_hooks import quiet_subprocess_runner

from distilclip_eeg.config.starter import FOLDER

REPO = Path(__file__).parents[1]
PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = PROJECT["optional-dependencies"]
SOURCES = [p for top in ("src", "scripts", "notebooks") for p in sorted((REPO / top).rglob("*.py"))] + sorted(
    REPO.glob("*.py")
)
REGISTRY = re.compile(
    r"--(?:extra-)?index[-_ ]url|(?:extra-)?index[-]url\s*=|--find[-]links|--trusted[-]host"
    r"|pypi[.]org|python[h]osted|registry[.]npmjs|deb[.]debian|download[.]pytorch"
)


def names(requirements: list[str]) -> set[str]:
    """Canonical names; the package's own, by which one extra takes in others, is no dependency."""
    return {canonicalize_name(Requirement(r).name) for r in requirements} - {"distilclip-eeg"}


def constraints() -> dict[str, Requirement]:
    lines = [x.partition("#")[0].strip() for x in (REPO / "constraints.txt").read_text().splitlines()]
    found = [Requirement(line) for line in lines if line]
    return {canonicalize_name(r.name): r for r in found}


# ------------------------------------------------------------------------------------------- the wheel


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> tuple[Path, Path]:
    """The sdist and the wheel that is built from it, by the backend that the extra dev brings."""
    folder = tmp_path_factory.mktemp("built")
    sdist = Path(ProjectBuilder(REPO, runner=quiet_subprocess_runner).build("sdist", folder))
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    source = folder / sdist.name.removesuffix(".tar.gz")
    return sdist, Path(ProjectBuilder(source, runner=quiet_subprocess_runner).build("wheel", folder))


@pytest.fixture(scope="module")
def unpacked(built, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(built[1]) as archive:
        archive.extractall(folder)
    return folder


@pytest.mark.slow
def test_the_wheel_holds_every_module_every_config_and_the_licence(unpacked):
    inside = {p.relative_to(unpacked).as_posix() for p in unpacked.rglob("*") if p.is_file()}
    package = {p.relative_to(REPO / "src").as_posix() for p in (REPO / "src").rglob("*.py")}
    configs = {f"distilclip_eeg/{p.relative_to(REPO)}" for p in (REPO / "configs").rglob("*.yaml")}
    assert {"distilclip_eeg/configs/train.yaml", "distilclip_eeg/configs/model/teacher.yaml"} <= configs
    assert package | configs <= inside, sorted((package | configs) - inside)
    others = {name for name in inside - package - configs if ".dist-info/" not in name}
    parts = ("blocks.html", "report.css", "report.html", "review.css", "review.html", "review.js")
    assets = {f"distilclip_eeg/report/assets/{part}" for part in parts}
    starter = {p.relative_to(REPO / "src").as_posix() for p in FOLDER.iterdir()}
    assert others == {"distilclip_eeg/py.typed", *assets, *starter} and len(starter) == 6
    (licence,) = unpacked.glob("*.dist-info/licenses/LICENSE")
    assert licence.read_text() == (REPO / "LICENSE").read_text()


@pytest.mark.slow
def test_the_wheel_says_what_it_needs_and_starts_the_command(unpacked):
    (points,) = unpacked.glob("*.dist-info/entry_points.txt")
    assert "distilclip-eeg = distilclip_eeg.__main__:main" in points.read_text().splitlines()
    (metadata,) = unpacked.glob("*.dist-info/METADATA")
    text = metadata.read_text(encoding="utf-8")
    needed = re.findall(r"(?m)^Requires-Dist: (.*)$", text)
    assert names([r for r in needed if "extra ==" not in r]) == names(PROJECT["dependencies"])
    assert set(re.findall(r"(?m)^Provides-Extra: (.*)$", text)) == set(EXTRAS)
    assert "not a medical device" in text


@pytest.mark.slow
def test_the_unpacked_wheel_composes_its_own_configs(unpacked, tmp_path):
    code = (
        "from distilclip_eeg.config.compose import CONFIG_DIR, SETTINGS, load\n"
        "for verb in ('train', 'distill', 'evaluate', 'export'): load(SETTINGS[verb], [])\n"
        "load(SETTINGS['train'], ['dataset=chbmit', 'model=teacher_small', 'split=recording'])\n"
        "print(CONFIG_DIR)"
    )
    kept = {k: v for k, v in os.environ.items() if not k.startswith("DISTILCLIP_EEG_")}
    env = kept | {"PYTHONPATH": str(unpacked), "OMP_NUM_THREADS": "1"}

    def python(*argv):
        return subprocess.run(
            [sys.executable, *argv], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300
        )

    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).resolve() == (unpacked / "distilclip_eeg" / "configs").resolve()
    done = python("-c", "from distilclip_eeg.__main__ import main; main()", "train", "--help")
    assert done.returncode == 0 and "model.net.depth" in done.stdout, done.stderr
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------- the sdist, and what is installed


@pytest.mark.slow
def test_the_sdist_holds_what_a_wheel_and_the_tests_are_made_of(built):
    with tarfile.open(built[0]) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    named = {
        "pyproject.toml",
        "constraints.txt",
        "README.md",
        "LICENSE",
        "CITATION.cff",
        "Makefile",
        "train.py",
    }
    named |= {"configs/train.yaml", "tests/test_packaging.py", "docs/images/detection.png", "docs/conf.py"}
    named |= {p.relative_to(REPO).as_posix() for p in (REPO / "src").rglob("*.py")}
    assert named <= inside, sorted(named - inside)
    assert not [
        name for name in inside if name.startswith(("docs/_", "runs/", "data/")) and "_static" not in name
    ]


@pytest.fixture(scope="module")
def installed(built, tmp_path_factory) -> Path:
    """The interpreter of a fresh environment that holds the package alone, from its sdist by its wheel."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder)
    python = folder / "bin" / "python"
    argv = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps"]
    argv += ["--no-compile", str(built[1])]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return python


HIDDEN = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in ('torch', 'transformers', 'safetensors', 'huggingface_hub'):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hidden())
"""
"""An installation without the extra ``train``."""


def start(python: Path, code: str, cwd: Path) -> subprocess.CompletedProcess:
    """Code in the fresh environment, which finds dependencies where this one has them."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONPATH" and not k.startswith("DISTILCLIP_EEG_")}
    sites = f"import sys; sys.path.append({str(Path(pytest.__file__).parents[1])!r})\n"
    argv = [python, "-c", sites + code]
    return subprocess.run(argv, cwd=cwd, env=kept, capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_what_is_installed_from_the_sdist_starts_and_says_its_version(installed, tmp_path):
    from distilclip_eeg import __version__

    code = "import distilclip_eeg, runpy; print(distilclip_eeg.__file__); sys.argv = ['x', '--version']\n"
    done = start(installed, code + "runpy.run_module('distilclip_eeg', run_name='__main__')", tmp_path)
    place, said = done.stdout.splitlines()
    assert Path(place).is_relative_to(installed.parents[1]), place
    assert said.split() == ["distilclip-eeg", __version__]


@pytest.mark.slow
def test_without_torch_one_line_names_the_extra(installed, tmp_path):
    done = start(installed, HIDDEN + "from distilclip_eeg import DistilCLIPEEG", tmp_path)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and last.startswith("ImportError: DistilCLIPEEG needs "), done.stderr
    assert last.endswith("which is not installed: pip install 'distilclip-eeg[train]'")
    words = "sys.argv = ['distilclip-eeg', 'train', 'model=eegnet']\n"
    done = start(installed, HIDDEN + words + "from distilclip_eeg.__main__ import main; main()", tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("error: train needs ")
    assert done.stderr.endswith("which is not installed: pip install 'distilclip-eeg[train]'\n")


def test_metadata_names_ranges_and_the_pythons_it_is_for():
    asked = [*PROJECT["dependencies"], *(r for extra in EXTRAS.values() for r in extra)]
    for requirement in map(Requirement, asked):
        if requirement.name != PROJECT["name"]:
            operators = {one.operator for one in requirement.specifier}
            assert ">=" in operators or requirement.name in ("edfio",), requirement
            assert "==" not in operators, requirement
    told = {
        c.rpartition(" ")[2]
        for c in PROJECT["classifiers"]
        if c.startswith("Programming Language :: Python :: 3.")
    }
    assert PROJECT["requires-python"] == ">=3.11,<3.14" and told == {"3.11", "3.12", "3.13"}


# ---------------------------------------------------------------------------------------- dependencies


def test_every_dependency_is_pinned_within_what_is_asked_for():
    pins = constraints()
    asked = [*PROJECT["dependencies"], *(r for extra in EXTRAS.values() for r in extra)]
    assert not names(asked) - set(pins)
    for requirement in map(Requirement, asked):
        if requirement.name == PROJECT["name"]:
            assert requirement.extras <= set(EXTRAS)
            continue
        pin = pins[canonicalize_name(requirement.name)]
        (one,) = pin.specifier
        assert one.operator == "==" and "*" not in one.version, pin
        assert requirement.specifier.contains(one.version), f"{pin} is not within {requirement}"


def test_torch_is_pinned_without_a_local_suffix():
    """So that a CPU build and a CUDA build both satisfy it."""
    assert str(constraints()["torch"]) == "torch==2.13.0"
    assert "torch==2.13.0+" not in (REPO / "Makefile").read_text()


def test_a_small_device_needs_no_torch():
    heavy = {"torch", "transformers", "tokenizers", "accelerate", "tensorboard"}
    assert not names([*PROJECT["dependencies"], *EXTRAS["edge"]]) & heavy


def imported(path: Path) -> set[str]:
    """Top-level names of every absolute import in a file, wherever it stands."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names - {"distilclip_eeg"}


def test_every_import_is_declared():
    """No module leans on what another dependency happens to bring along."""
    extras = [
        line for extra, lines in PROJECT["optional-dependencies"].items() if extra != "dev" for line in lines
    ]
    declared, owners = names([*PROJECT["dependencies"], *extras]), packages_distributions()
    missing = {
        f"{path.relative_to(REPO)}: {name}"
        for path in SOURCES
        for name in imported(path)
        if not declared & {canonicalize_name(d) for d in owners.get(name, [name])}
    }
    assert not missing
    assert {"torch", "sklearn", "hydra", "yaml"} <= set().union(*map(imported, SOURCES))


# ------------------------------------------------------------------------------------------- any machine


def tracked() -> list[Path]:
    done = subprocess.run(["git", "-C", str(REPO), "ls-files", "-z"], capture_output=True, text=True)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [REPO / name for name in done.stdout.split("\0") if name and (REPO / name).is_file()]


def test_no_tracked_file_names_an_index_or_a_host():
    for line in ("pip install --index" + "-url x", "--extra-index" + "-url=x", "https://pypi" + ".org/x"):
        assert REGISTRY.search(line), line
    files = tracked()
    assert REPO / "pyproject.toml" in files
    found = [p.relative_to(REPO) for p in files if REGISTRY.search(p.read_text("utf-8", errors="replace"))]
    assert not found


def test_no_tracked_file_names_a_place_on_one_machine():
    machine = re.compile(r"(?:^|[^.\w/~-])/(?:home|work|root|farm|Users)/[\w.-]+")
    assert machine.search("cd /wo" + "rk/x") and not machine.search("the ~/work/x of a user")
    found = [
        f"{p.relative_to(REPO)}: {line.strip()}"
        for p in tracked()
        for line in p.read_text("utf-8", errors="replace").splitlines()
        if machine.search(line)
    ]
    assert not found
