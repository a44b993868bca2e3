"""The README does what it says: every command line in it is run, and its figures are counted again.

A new command needs a rule here first; until then these tests fail.
"""

import os
import re
import shlex
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

from distilclip_eeg.config.compose import CONFIG_DIR, load
from distilclip_eeg.config.experiment import TrainSettings
from distilclip_eeg.models.contract import build_network
from distilclip_eeg.runs import find_runs

REPO = Path(__file__).parents[1]
README = (REPO / "README.md").read_text(encoding="utf-8")
SHARED = os.environ.get("DISTILCLIP_EEG_SHARED", "")
LAUNCHERS = ("train.py", "distill.py", "evaluate.py")
SCRIPTS = tuple(
    f"scripts/{name}.py"
    for name in (
        *("parameters", "describe", "prepare", "check", "synthesize", "download", "reproduce_table1"),
        *(
            "probe",
            "ablations",
            "tune",
            "gap",
            "export",
            "detect",
            "search",
            "continuous",
            "rehearse",
            "explain",
            "report",
        ),
    )
)
MAKES = {"demo": ["scripts/demo.py"], "test": ['pytest -q -m "not slow"', "pytest -q -m slow"]}
"""What the recipe of each target calls."""


def commands(text: str) -> list[str]:
    """The command lines of the bash blocks, without their comments."""
    blocks = re.findall(r"(?ms)^```(?:bash|sh|shell|console)\n(.*?)^```", text)
    lines = [shlex.join(shlex.split(line, comments=True)) for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


def rule(line: str) -> str:
    """Which of the rules below covers a command: make, synthetic, real, or none."""
    program, *words = line.split()
    if program == "make" and len(words) == 1 and words[0] in MAKES:
        return "make"
    if words[:1] == ["scripts/download.py"] and "dataset=tusz" not in words:
        return "none"
    if program == "python" and words and words[0] in LAUNCHERS + SCRIPTS:
        return "real" if "FOLDER" in line else "synthetic"
    return "none"


LINES = commands(README)


def of(kind: str) -> list[str]:
    return [line for line in LINES if rule(line) == kind]


# ------------------------------------------------------------------------------------- what is in there


def test_the_commands_are_found():
    text = "```bash\nmake demo   # x\n\npython a.py 'b c'  # y\n```\n```text\nnot me\n```\n```bash\nz\n```\n"
    assert commands(text) == ["make demo", "python a.py 'b c'", "z"]
    assert {"make demo", "make test", "python train.py", "python distill.py"} <= set(LINES)


@pytest.mark.parametrize("line", LINES)
def test_every_command_has_a_rule(line):
    assert rule(line) != "none", "write a rule for this command, so that a test runs it"


@pytest.mark.parametrize(
    "line",
    [
        *("make install", "make demo X=1", "pip install x", "python export.py", "python scripts/new.py"),
        "python scripts/download.py dataset=chbmit",  # no test reaches the internet
        *("distilclip-eeg train", "python -m pytest", "python", "cd FOLDER"),
    ],
)
def test_a_command_without_a_rule_is_noticed(line):
    assert commands(f"```bash\n{line}\n```\n") == [line] and rule(line) == "none"


@pytest.mark.parametrize("line", of("make"))
def test_the_makefile_has_the_target_and_it_calls_what_it_should(line):
    target = line.split()[1]
    recipe = re.search(rf"(?m)^{target}:.*\n((?:\t.*\n)+)", (REPO / "Makefile").read_text())
    assert recipe, f"no target {target}"
    for word in MAKES[target]:
        assert word in recipe[1]
        assert not word.endswith(".py") or (REPO / word).is_file()


def test_it_says_what_it_is_not_and_how_to_start():
    assert "**Research software, not a medical device.**" in README
    for word in ("diagnosis", "monitoring", "treatment", 'never "normal"'):
        assert word in README
    assert README.index("not a medical device") < README.index("make demo")
    assert {"make demo", "make test"} <= set(LINES)


def test_no_path_of_a_machine_stands_in_it():
    assert not re.findall(r"(?<![\w.~>-])/(?:home|work|root|tmp|mnt|opt|Users|farm)\b\S*", README)


def test_every_file_it_names_is_there():
    words = re.findall(r"`([\w./-]+)`|\]\(([\w./-]+)\)", README)
    named = {a or b for a, b in words}
    ours = {n for n in named if re.match(r"(docs|results|scripts|configs|tests|notebooks|src)/", n)}
    ours |= {n for n in named if re.search(r"\.(md|cff|py|toml)$", n)}
    ours |= {word for line in LINES for word in line.split() if word.endswith(".py")}
    assert {"docs/LOG.md", "docs/dependencies.md", "results/", "CITATION.cff", "train.py"} <= ours
    assert not [name for name in sorted(ours) if not (REPO / name).exists()]


def test_each_row_of_results_has_what_the_readme_promises():
    files = sorted((REPO / "results").glob("*.csv"))
    assert files
    for path in files:
        table = pd.read_csv(path)
        for column in ("command", "seed", "hardware", "minutes"):
            assert table[column].notna().all(), f"{path.name}: {column}"


# ------------------------------------------------------------------------------------------------ sizes


CLASSES = 8
"""As ``python scripts/parameters.py`` counts: TUSZ in the article, seven kinds of seizure and background."""


def size_rows() -> list[tuple[list[str], list[float] | None]]:
    """Models and millions of parameters of each row of the table of sizes; None where it shows a dash."""
    lines = README.partition("| model | EEG side")[2].partition("\n\n")[0].splitlines()[2:]
    rows = []
    for line in lines:
        first, second, _ = [cell.strip() for cell in line.strip("|").split("|")]
        millions = [float(m) for m in re.findall(r"([\d.]+) M", second)]
        rows.append((re.findall(r"`(\w+)`", first), millions or None))
    return rows


def test_every_model_is_named_ours_and_the_floors_once_in_the_table():
    named = [name for models, _ in size_rows() for name in models]
    kinds = {
        path.stem: yaml.safe_load(path.read_text(encoding="utf-8"))["model"]["kind"]
        for path in (CONFIG_DIR / "model").glob("*.yaml")
    }
    assert sorted(named) == sorted(name for name, kind in kinds.items() if kind != "baseline")
    assert all(f"`{name}`" in README for name, kind in kinds.items() if kind == "baseline")


@pytest.mark.parametrize("models, millions", size_rows(), ids=lambda v: "-".join(map(str, v or ["floor"])))
def test_the_sizes_are_those_of_the_presets(models, millions):
    if millions is None:
        for name in models:
            assert (
                yaml.safe_load((CONFIG_DIR / "model" / f"{name}.yaml").read_text())["model"]["kind"]
                == "floor"
            )
        return
    for name, said in zip(models, millions * (len(models) if len(millions) == 1 else 1), strict=True):
        with torch.device("meta"):
            sizes = {"n_chans": 23, "n_times": 256, "sfreq": 256.0, "n_outputs": CLASSES}
            net = build_network(load(TrainSettings, [f"model={name}"]).model, sizes)
        assert round(sum(p.numel() for p in net.parameters()) / 1e6, 1) == said, name


# ------------------------------------------------------------------------------------------ every command


def extra_words(line: str, data: list[str], net: list[str], text: list[str]) -> list[str]:
    """Overrides that make a line tiny without touching what it says."""
    _, script, *words = line.split()
    if script == "scripts/synthesize.py":
        return ["n_subjects=16" if "layout=tusz" in words else "n_subjects=8"]
    if script in ("scripts/reproduce_table1.py", "scripts/gap.py"):
        return [*data, "trainer.max_steps=2", "fold=0", "device=cpu", "n_jobs=1"]
    if script in ("scripts/ablations.py", "scripts/tune.py"):
        steps = ["trainer.max_steps=2"] + (["fold=0"] if "fold=[0]" not in words else [])
        return [*data, *(o for o in net if not o.startswith("trainer.batch_size")), *text, *steps]
    if script in ("scripts/detect.py", "scripts/search.py"):
        root = next(o.partition("=")[2] for o in data if o.startswith("dataset.root="))
        return [f"input={root}", "device=cpu"]
    if script == "scripts/explain.py":
        return ["device=cpu", "n_jobs=1", "windows=24"]
    if script in ("scripts/export.py", "scripts/continuous.py", "scripts/rehearse.py"):
        return ["device=cpu", "n_jobs=1"]
    if script == "scripts/parameters.py" and words:
        return ["tokens=24"]  # shorter to count
    if script not in ("train.py", "distill.py") or "--help" in words:
        return []
    if "dataset=tusz" in words or "dataset=folder" in words:  # written by the line before
        return [*net, *text, "trainer.max_steps=5"]
    if script == "distill.py":  # data and text encoder are the teacher's
        return net
    model = next((w.partition("=")[2] for w in words if w.startswith("model=")), "teacher_tiny")
    kind = yaml.safe_load((CONFIG_DIR / "model" / f"{model}.yaml").read_text())["model"]["kind"]
    extra = [*data, "n_jobs=1"] if kind == "floor" else [*data, *net, *text]
    said = {w.partition("=")[0] for w in words}
    return [o for o in extra if o.partition("=")[0] not in said]


def run_all(lines: list[str], cwd: Path, as_script, *sets: list[str]) -> dict:
    """Every line as typed, in order, in one folder, its script found in the checkout, our words behind."""
    folder, done = str(Path(SHARED) / "data" / "chbmit"), {}
    for line in lines:
        _, script, *words = shlex.split(line.replace("FOLDER", folder))
        done[line] = as_script(script, *words, *extra_words(line, *sets), cwd=cwd)
    return done


TEXT = ["text_encoder.dim=8", "text_encoder.depth=1", "text_encoder.n_prompts=1"]
TABLE = ["test windows sharing with training", "mean ± SD over folds", "always seizure"]
SHOWN = {
    "train.py": [*TABLE, "recordings used", "run folder: runs"],
    "distill.py": [*TABLE, "teacher=runs", "student", "recordings used"],
    "evaluate.py": [*TABLE, "each class against the rest", "written: runs"],
    "scripts/parameters.py": ["article", "teacher"],
    "scripts/describe.py": ["published", "recordings with seizures", "sampling rate:", "montage:"],
    "scripts/prepare.py": ["recordings used", "store: store", "every recording: store"],
    "scripts/check.py": ['"outcome": "tolerate"', '"outcome": "warn"', '"reasons": ["discontinuous"]'],
    "scripts/synthesize.py": ["invented recordings in the layout of", "truth.json", "python train.py"],
    "scripts/reproduce_table1.py": [
        "expected:",
        "| eegnet |",
        "| rnn |",
        "| always seizure |",
        "split=subject",
    ],
    "scripts/download.py": ["only on application", "dataset.root"],
    "scripts/probe.py": [
        "person from text",
        "chance %",
        "test windows sharing with training",
        "written: runs",
    ],
    "scripts/ablations.py": ["base_lp", "text_hp", "AUROC against base", "split=subject: test windows"],
    "scripts/tune.py": ["python train.py"],
    "scripts/export.py": ["written: model", "config.json", "model.onnx", "read model/card.md before use"],
    "scripts/detect.py": ["events of p >=", "written: events", "not a medical device"],
    "scripts/search.py": ["windows of 5 recordings", "similarity", "written: search"],
    "scripts/continuous.py": ["SzCORE event (timescoring", "NEDC TAES", "onset latency", "written: runs"],
    "scripts/rehearse.py": [
        "onset error",
        "read back from events.tsv",
        "no rate of false alarms",
        "written: runs",
    ],
    "scripts/explain.py": ["hires", "occlusion", "next: python scripts/report.py"],
    "scripts/report.py": ["index.html", "Fig", "not a medical device"],
    "scripts/gap.py": ["window − subject", "eegnet", "always seizure"],
}
"""What each script prints, whatever its settings."""
DRY = ["recordings used", "what the run will cost"]
HELP = ["Groups", "model", "split", "dataset", "Settings", "n_folds", "Exit codes", "not a medical device"]


def check(line: str, done: subprocess.CompletedProcess) -> None:
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    shown = HELP if "--help" in line else DRY if "run.dry" in line else SHOWN[line.split()[1]]
    for word in shown:
        assert word in done.stdout, f"{word!r} is not in\n{done.stdout}"


@pytest.fixture(scope="module")
def synthetic(tmp_path_factory, tiny_data, sizes, as_script):
    """The lines on synthetic data; the split is the README's."""
    here = tmp_path_factory.mktemp("readme")
    data = [o for o in tiny_data if not o.startswith("split=")]
    return here, run_all(of("synthetic"), here, as_script, data, sizes, TEXT)


@pytest.mark.slow
@pytest.mark.parametrize("line", of("synthetic"))
def test_it_runs(synthetic, line):
    check(line, synthetic[1][line])


@pytest.mark.slow
def test_the_comments_beside_the_commands_are_true(synthetic):
    here, done = synthetic
    found = [r for r in find_runs(here / "runs") if r.path.parent.name == "synthetic"]
    runs = [r.path.name.rpartition("-s0-")[0] for r in found if len(r.folds_done()) == 5]
    models = [
        "logreg_bandpower-subject",
        "student_tiny-subject",
        "teacher_tiny-subject",
        *2 * ["teacher_tiny-window"],  # plain, and an ablation of it
    ]
    assert sorted(runs) == models
    evaluated = done["python evaluate.py"].stdout
    assert "teacher_tiny" in evaluated and "student_tiny" in evaluated
    assert "not an estimate for new patients" in done["python train.py split=window"].stdout
    assert "1 of 1 folds are finished already" in done["python train.py fold=0"].stdout
    article = re.search(
        r"article +23 +256 +30,[78]\d\d,\d{3} +17,[89]\d\d,\d{3}", done["python scripts/parameters.py"].stdout
    )
    assert article, done["python scripts/parameters.py"].stdout


@pytest.fixture(scope="module")
def real(tmp_path_factory, sizes, as_script):
    """The lines on a folder of recordings; two steps a fold, all folds, so that distill finds its teacher."""
    here = tmp_path_factory.mktemp("real")
    return run_all(of("real"), here, as_script, [], [*sizes, "trainer.max_steps=2"], TEXT)


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.skipif(not SHARED, reason="DISTILCLIP_EEG_SHARED is not set")
@pytest.mark.parametrize("line", of("real"))
def test_it_runs_on_real_recordings(real, line):
    check(line, real[line])
    if line.split()[1] not in ("scripts/describe.py", "scripts/check.py"):  # these repeat what was typed
        assert SHARED not in real[line].stdout
