"""Every command line and code block of README and pages is run, or stands below with the reason why not."""

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from page_tools import REPO, blocks, commands, languages, pages
from tools import unrendered

from distilclip_eeg.commands import COMMANDS
from distilclip_eeg.config.compose import CONFIG_DIR, load
from distilclip_eeg.corpora.synthetic import Synthetic, write_person
from distilclip_eeg.runs import find_runs
from distilclip_eeg.studies import parameters, speed

PAGES = pages()
SHARED = os.environ.get("DISTILCLIP_EEG_SHARED", "")
LINES = list(dict.fromkeys(line for text in PAGES.values() for line in commands(text)))
"""In the order in which the pages are run, each once."""
MAKES = {"demo": ["scripts/demo.py"], "test": ["pytest -q -n $(JOBS)"]}
"""What the recipe of each target calls."""
NOT_RUN = {
    "python scripts/download.py dataset=chbmit": "fetches 40 GB; tests reach no other machine",
    "python train.py experiment=paper_chbmit": "the whole corpus, a CUDA GPU and BERT-base",
    "python distill.py model=student": "the article's size: a GPU",
    "python train.py experiment=detector dataset=chbmit dataset.root=ROOT split=subject": "half an hour",
    "python scripts/export.py run=latest persons=true output=starter": "exports the run of the line above",
    "python scripts/reproduce_table1.py models=all split=window,subject jobs=2": "all networks: hours",
    "python scripts/reproduce_table1.py models=all split=window,subject cluster=slurm": "a SLURM cluster",
    "python scripts/tune.py trials=40 jobs=4 split=subject": "forty trainings",
    "torchrun --nproc_per_node 8 train.py dataset=tusz model=teacher split=official": "eight GPUs",
    "accelerate launch train.py dataset=tusz model=teacher split=official": "GPUs",
    "python scripts/prepare.py dataset=tusz dataset.root=TUSZ store.root=STORE backend=dask "
    "scheduler=tcp://HOST:8786": "tests/test_dask.py",
    "torchrun --nproc_per_node 8 train.py dataset=tusz dataset.root=TUSZ store.root=STORE split=official "
    "fold=0": "eight GPUs",
    "python distill.py dataset.root=TUSZ model=student": "the whole corpus",
    **dict.fromkeys(
        (
            "python scripts/describe.py dataset=tusz dataset.root=TUSZ",
            "python scripts/prepare.py dataset=tusz dataset.root=TUSZ store.root=STORE n_jobs=-1",
            "python scripts/prepare.py dataset=tusz dataset.root=TUSZ store.root=STORE n_jobs=16",
            "python train.py dataset=tusz dataset.root=TUSZ store.root=STORE split=official run.dry=true",
            "python train.py dataset=tusz dataset.root=TUSZ store.root=STORE model=teacher split=official",
            "python train.py dataset=tusz dataset.root=TUSZ store.root=STORE split=subject jobs=5",
            "python train.py dataset=tusz dataset.root=TUSZ store.root=STORE split=subject 'seed=[0,1,2]' "
            "cluster=slurm slurm.partition=gpu",
        ),
        "the whole corpus",
    ),
    "python scripts/detect.py input=FILE 'rename={EEG 1: Fp1, EEG 2: F7}'": "test_any_montage.py renames",
    "torchrun --nproc_per_node 2 train.py fold=0 device=cpu": "tests/test_torchrun.py runs it on less",
    "docker build -f container/Dockerfile --build-arg MODEL=model -t distilclip-eeg .": "docker",
    "docker run --rm --network none -e INPUT=a.edf -e OUTPUT=a_events.tsv -v DATA:/data:ro -v OUT:/output "
    "distilclip-eeg": "docker",
    "pip install 'distilclip-eeg[edge]'": "on no index; tests/test_packaging.py installs it",
    "pip install 'distilclip-eeg[train]'": "on no index; tests/test_packaging.py installs it",
}
"""Lines that no test runs, each with the reason; their settings are composed."""


def verb_of(line: str) -> str | None:
    """The verb that a line starts; None where it is no launcher of ours."""
    found = re.match(r"python (?:scripts/)?(\w+)\.py\b", line)
    verb = {"reproduce_table1": "table1"}.get(found[1], found[1]) if found else ""
    return verb if verb in COMMANDS else None


def rule(line: str) -> str:
    """Which of the rules below covers a command: make, told, synthetic, real, or none."""
    if line in NOT_RUN:
        return "told"
    program, *words = line.split()
    if program == "make" and len(words) == 1 and words[0] in MAKES:
        return "make"
    if not verb_of(line) or not (REPO / words[0]).is_file():
        return "none"
    return "real" if "FOLDER" in line else "synthetic"


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


def test_what_is_not_run_is_still_there():
    assert set(NOT_RUN) <= set(LINES) and all(NOT_RUN.values())


@pytest.mark.parametrize("line", [line for line in NOT_RUN if verb_of(line)])
def test_what_is_not_run_can_be_composed(line):
    command = COMMANDS[verb_of(line)]
    words = shlex.split(line)[2:]
    if verb_of(line) not in ("distill", "tune"):  # these look for a teacher first
        words = command.complete(words)
    assert isinstance(load(command.settings, words), command.settings)


@pytest.mark.parametrize(
    "line",
    [
        *("make install", "make demo X=1", "pip install x", "python export.py", "python scripts/new.py"),
        "python scripts/download.py",  # without a corpus that needs no network
        *("distilclip-eeg train", "python -m pytest", "python", "cd FOLDER"),
    ],
)
def test_a_command_without_a_rule_is_noticed(line):
    assert commands(f"```bash\n{line}\n```\n") == [line]
    assert rule(line) == "none" or line not in LINES


@pytest.mark.parametrize("line", of("make"))
def test_the_makefile_has_the_target_and_it_calls_what_it_should(line):
    target = line.split()[1]
    recipe = re.search(rf"(?m)^{target}:.*\n((?:\t.*\n)+)", (REPO / "Makefile").read_text())
    assert recipe, f"no target {target}"
    for word in MAKES[target]:
        assert word in recipe[1]
        assert not word.endswith(".py") or (REPO / word).is_file()


def test_every_block_is_of_a_kind_that_a_test_reads():
    """``text`` is output or a file: the README's is compared below, the table of a folder is read."""
    kinds = {(page, kind) for page, text in PAGES.items() for kind in languages(text)}
    text = {page for page, kind in kinds if kind == "text"}
    assert text == {"README.md", "docs/howto/own-recordings.md"}
    told = {"bash", "python", "text", "{toctree}", "{image}", "{include}", "{eval-rst}"}
    drawn = {("docs/architecture.md", "")}  # arrows between rooms
    assert {(page, kind) for page, kind in kinds if kind not in told} <= drawn


# ------------------------------------------------------------------------------------------ every command


def extra_words(line: str, data: list[str], net: list[str], text: list[str]) -> list[str]:
    """Overrides that make a line tiny without touching what it says."""
    _, script, *words = shlex.split(line)
    said = {w.partition("=")[0] for w in words}
    verb = verb_of(line)
    if verb == "synthesize":
        if "layout=tusz" in words:
            return ["n_subjects=16", "recordings_per_subject=2", "recording_s=35"]
        return ["n_subjects=6", "recordings_per_subject=1", "recording_s=60"]
    if verb in ("table1", "gap"):
        return [*data, "trainer.max_steps=2", "fold=0", "device=cpu", "n_jobs=1"]
    if verb in ("ablations", "tune"):
        steps = ["trainer.max_steps=2"] + (["fold=0"] if "fold=[0]" not in words else [])
        return [*data, *(o for o in net if not o.startswith("trainer.batch_size")), *text, *steps]
    if verb in ("describe", "prepare") and "dataset=chbmit" not in words:
        return (
            [*data, "n_jobs=1"] if verb == "prepare" else [*(o for o in data if "dataset" in o), "n_jobs=1"]
        )
    if verb in ("detect", "search"):
        root = next((o.partition("=")[2] for o in data if o.startswith("dataset.root=")), None)
        there = Path(SHARED) / "data" / "chbmit" / "chb02" if root is None else Path(root)
        return [f"input={there}", "device=cpu"]
    if verb == "explain":
        return ["device=cpu", "n_jobs=1", "windows=24"]
    if verb == "export":
        return ["device=cpu", "n_jobs=1"] + (["onnx=false"] if "dataset.root" in said else [])
    if verb in ("continuous", "rehearse"):
        return ["device=cpu", "n_jobs=1"]
    if verb == "parameters" and words:
        return ["tokens=24"]  # shorter to count
    if verb not in ("train", "distill") or "--help" in words:
        return []
    model = next((w.partition("=")[2] for w in words if w.startswith("model=")), "teacher_tiny")
    kind = yaml.safe_load((CONFIG_DIR / "model" / f"{model}.yaml").read_text())["model"]["kind"]
    if kind == "baseline":
        net = [o for o in net if not o.startswith("model.net.")]
    if kind in ("baseline", "student"):
        text = []
    if "dataset=tusz" in words or "dataset=folder" in words:  # written by the line before
        folds = [] if "split=official" in words else ["split.n_folds=2"]
        return [*net, *text, "trainer.max_steps=5", *folds]
    if verb == "distill":  # data and text encoder are the teacher's
        return net
    extra = [*data, "n_jobs=1"] if kind == "floor" else [*data, *net, *text]
    extra += ["split.n_folds=2"]
    return [o for o in extra if o.partition("=")[0].lstrip("+") not in {s.lstrip("+") for s in said}]


def run_all(lines: list[str], cwd: Path, as_script, *sets: list[str]) -> dict:
    """Every line as typed, in order, in one folder, its script found in the checkout, our words behind.

    FOLDER is the folder ``recordings`` in there.
    """
    done = {}
    for line in lines:
        _, script, *words = shlex.split(line.replace("FOLDER", str(cwd / "recordings")))
        done[line] = as_script(script, *words, *extra_words(line, *sets), cwd=cwd)
    return done


TEXT = ["text_encoder.dim=8", "text_encoder.depth=1", "text_encoder.n_prompts=1"]
TABLE = ["test windows sharing with training", "mean ± SD over folds", "always seizure"]
SHOWN = {
    "train": [*TABLE, "recordings used", "run folder: runs"],
    "distill": [*TABLE, "teacher=runs", "student", "recordings used"],
    "evaluate": [*TABLE, "each class against the rest", "written: runs"],
    "parameters": ["article", "teacher"],
    "doctor": ["Libraries", "torch", "ready: "],
    "describe": ["recordings with seizures", "sampling rate:", "montage:"],
    "prepare": ["recordings used", "store: ", "every recording: "],
    "check": ['"outcome": "tolerate"', '"outcome": "warn"', '"reasons": ["discontinuous"]'],
    "synthesize": ["invented recordings in the layout of", "truth.json", "python train.py"],
    "table1": ["expected:", "| eegnet |", "| rnn |", "| always seizure |", "split=subject"],
    "download": ["only on application", "dataset.root"],
    "probe": ["person from text", "chance %", "test windows sharing with training", "written: runs"],
    "ablations": ["base_lp", "text_hp", "AUROC against base", "split=subject: test windows"],
    "tune": ["python train.py"],
    "export": ["config.json", "card.md before use"],
    "detect": ["events of p >=", "written: events", "not a medical device"],
    "search": ["windows of 5 recordings", "similarity", "written: search"],
    "continuous": ["SzCORE event (timescoring", "NEDC TAES", "onset latency", "written: runs"],
    "rehearse": ["onset error", "read back from events.tsv", "no rate of false alarms", "written: runs"],
    "explain": ["hires", "occlusion", "next: python scripts/report.py"],
    "report": ["index.html", "Fig", "not a medical device"],
    "gap": ["window − subject", "eegnet", "always seizure"],
}
"""What each verb prints, whatever its settings."""


def check(line: str, done: subprocess.CompletedProcess) -> None:
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "Traceback" not in done.stderr
    for word in ["verify: ", "are as written"] if "verify=true" in line else SHOWN[verb_of(line)]:
        assert word in done.stdout, f"{word!r} is not in\n{done.stdout}"


@pytest.fixture(scope="module")
def quick():
    """Nothing is drawn, speeds are taken once, sizes counted for one corpus."""
    with pytest.MonkeyPatch.context() as patch:
        unrendered(patch)
        patch.setattr(speed, "ROUNDS", 1)
        patch.setattr(parameters, "SHAPES", parameters.SHAPES[1:2])
        yield


@pytest.fixture(scope="module")
def synthetic(quick, tmp_path_factory, tiny_data, sizes, as_script):
    """The lines on synthetic data; the split is the page's."""
    here = tmp_path_factory.mktemp("pages")
    data = [o for o in tiny_data if not o.startswith("split=")]
    return here, run_all(of("synthetic"), here, as_script, data, sizes, TEXT)


@pytest.mark.slow
@pytest.mark.parametrize("line", of("synthetic"))
def test_it_runs(synthetic, line):
    check(line, synthetic[1][line])


PYTHON = [(page, block) for page, text in PAGES.items() for block in blocks(text, "python")]


@pytest.mark.slow
@pytest.mark.parametrize("page, block", PYTHON, ids=[page for page, _ in PYTHON])
def test_the_python_of_a_page_runs_after_its_commands(synthetic, page, block, monkeypatch):
    monkeypatch.chdir(synthetic[0])
    for setting, least in (("recordings_per_subject", 1), ("recording_s", 40)):
        monkeypatch.setitem(Synthetic.__init__.__kwdefaults__, setting, least)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(block, page, "exec"), {})
    assert said.getvalue()


@pytest.mark.slow
def test_the_comments_beside_the_commands_are_true(synthetic):
    here, done = synthetic
    finished = {run.path.name.rpartition("-s0-")[0] for run in find_runs(here / "runs")}
    assert {"teacher_tiny-subject", "teacher_tiny-window", "student_tiny-subject"} <= finished
    evaluated = done["python evaluate.py"].stdout
    assert "teacher_tiny" in evaluated and "logreg_bandpower" in evaluated
    assert "not an estimate for new patients" in done["python train.py split=window"].stdout
    assert "1 of 1 folds are finished already" in done["python train.py fold=0"].stdout
    article = re.search(
        r"article +23 +256 +30,[78]\d\d,\d{3} +17,[89]\d\d,\d{3}", done["python scripts/parameters.py"].stdout
    )
    assert article, done["python scripts/parameters.py"].stdout


@pytest.mark.slow
def test_the_readme_shows_what_the_starter_says_of_a_recording_of_the_demo(as_script, tmp_path):
    write_person(tmp_path, Synthetic(root=tmp_path).settings, number=11)
    path = tmp_path / "chb12" / "chb12_01.edf"
    done = as_script("scripts/detect.py", f"input={path}", "engine=onnx", "review=false", cwd=tmp_path)
    assert blocks(PAGES["README.md"], "text")[1] in done.stdout, done.stdout


def test_the_table_of_a_folder_has_the_columns_that_are_read(tmp_path):
    from distilclip_eeg.corpora.folder import Folder

    (block,) = blocks(PAGES["docs/howto/own-recordings.md"], "text")
    (tmp_path / "labels.csv").write_text(block)
    for line in block.splitlines()[1:]:
        path = tmp_path / line.partition(",")[0]
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    refs = Folder(root=tmp_path).recordings()
    assert {ref.subject for ref in refs} == {"p01"} and len(refs) == 2


@pytest.fixture(scope="module")
def real(quick, tmp_path_factory, sizes, as_script):
    """The lines on three persons' recordings; two steps of each fold, so that distill finds its teacher."""
    here = tmp_path_factory.mktemp("real")
    for path in (Path(SHARED) / "data" / "chbmit").glob("chb0[125]/*"):
        (folder := here / "recordings" / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / path.name)
    return run_all(of("real"), here, as_script, [], [*sizes, "trainer.max_steps=2"], TEXT)


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.skipif(not SHARED, reason="DISTILCLIP_EEG_SHARED is not set")
@pytest.mark.parametrize("line", of("real"))
def test_it_runs_on_real_recordings(real, line):
    check(line, real[line])
    if verb_of(line) not in ("describe", "check", "detect"):  # these repeat what was typed
        assert "recordings/chb01" not in real[line].stdout
