"""CONTRIBUTING.md as a newcomer follows it: its own parts, outside the package, train, distil and report."""

import os
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import warm

from distilclip_eeg.corpora.edf.montage import STANDARD_19
from distilclip_eeg.corpora.invented.layouts.edf import edf_bytes, signal_of
from distilclip_eeg.runs import find_runs

REPO = Path(__file__).parents[1]
PAGE = (REPO / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.M | re.S)


def files():
    """Every file that the page shows, its blocks in their order."""
    found = {}
    for language, block in BLOCKS:
        first, _, rest = block.partition("\n")
        if language in ("python", "yaml") and first.startswith("# my"):
            found[first[2:]] = found.get(first[2:], "") + rest + "\n"
    return found


def calls():
    """The words of each command under "Using them"."""
    block = next(b for language, b in BLOCKS if language == "bash" and "DISTILCLIP_EEG_PLUGINS" in b)
    return [shlex.split(line)[1:] for line in block.splitlines() if line.startswith("python ")]


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder outside the package with the page's files and a ward of five people."""
    here = tmp_path_factory.mktemp("lab")
    for name, text in files().items():
        path = here / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for k in range(5):
        rng, seconds = np.random.default_rng(k), np.arange(60 * 256) / 256
        uv = rng.normal(0, 20, (len(STANDARD_19), len(seconds)))
        uv += np.where((seconds >= 20) & (seconds < 35), 150 * np.sin(2 * np.pi * (3 + k / 5) * seconds), 0)
        signals = [signal_of(name, row, 256) for name, row in zip(STANDARD_19, uv, strict=True)]
        person = here / "data" / "ward" / f"p{k}"
        person.mkdir(parents=True)
        (person / f"p{k}_night.edf").write_bytes(edf_bytes(signals))
        (person / f"p{k}_night.txt").write_text("20 35\n")
    return here


def start(here, *words, plugins="mylab.py", code=0, **more):
    """A launcher in a process of its own, in the lab's folder."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("DISTILCLIP_EEG_")}
    env = kept | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "DISTILCLIP_EEG_PLUGINS": plugins} | more
    done = warm.run(list(words), here, env)
    assert done.returncode == code, done.stdout + done.stderr
    return done


PATHS = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
SHORT = ["trainer.max_steps=4", "split.n_folds=2", "device=cpu", "n_jobs=1"]


@pytest.mark.slow
def test_the_pages_own_parts_train_distil_and_report_from_outside_the_package(here):
    baseline, teacher, student, report = calls()
    start(here, *baseline, *SHORT)
    start(here, *teacher, *SHORT)
    start(here, *student, "trainer.max_steps=4", "device=cpu")
    runs = {run.settings.model.kind: run for run in find_runs(here / "runs")}
    assert set(runs) == {"baseline", "teacher", "student"}
    assert all(run.settings.dataset.name == "ward" for run in runs.values())
    assert runs["baseline"].settings.augment == "flip"
    assert runs["baseline"].settings.loss.classification == "focal"
    assert runs["teacher"].settings.loss.targets == "cosine"
    assert "contrastive" in (runs["teacher"].fold(0) / "history.csv").read_text().partition("\n")[0]
    said = start(here, *report).stdout
    assert "figures/steps.png" in said.replace(".png .pdf", ".png") or "figures/steps" in said
    page = (here / "runs" / "report" / "index.html").read_text()
    assert "Figures of plug-ins" in page and "Optimiser steps of the first fold" in page


FOREIGN = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, n_chans, n_times, n_classes, width=6):
        super().__init__()
        self.body = nn.Sequential(nn.Conv1d(n_chans, width, 7, stride=8), nn.ReLU())
        self.last = nn.Linear(width, n_classes)

    def forward(self, x):
        return self.last(self.body(x).mean(-1))
"""


@pytest.mark.slow
def test_a_network_of_another_package_teaches_and_learns_through_the_adapter(here):
    (here / "otherlab.py").write_text(FOREIGN)
    adapter = [
        *("model=external", "model.name=foreign", "model.net._target_=external_encoder"),
        *(
            "model.net.target=otherlab.Net",
            "model.net.names.n_outputs=n_classes",
            "model.net.names.sfreq=null",
        ),
        "model.net.features=last",
    ]
    own = {"DISTILCLIP_EEG_EXTERNAL": "otherlab", "PYTHONPATH": os.pathsep.join([str(here), *PATHS])}
    data = ["--config-dir", "myconfigs", "dataset=ward", *SHORT]
    start(here, "train.py", *data, *adapter, "model.kind=teacher", **own)
    (teacher,) = (here / "runs" / "ward").glob("foreign-*")
    student = [f"teacher={teacher}", "device=cpu", "trainer.max_steps=4", "distill.mse=0.1"]
    start(here, "distill.py", "--config-dir", "myconfigs", *student, *adapter, "model.kind=student", **own)
    runs = {
        run.settings.model.kind: run for run in find_runs(here / "runs") if run.path.name.startswith("for")
    }
    assert set(runs) == {"teacher", "student"}
    assert "contrastive" in (runs["teacher"].fold(0) / "history.csv").read_text()
    missing = start(here, "train.py", *data, *adapter, "model.net.features=lost", code=2, **own)
    assert "no layer of otherlab.Net" in missing.stderr and "body, last" in missing.stderr


@pytest.mark.slow
def test_a_plugin_that_fails_is_named_and_the_rest_works(here):
    (here / "broken.py").write_text("import nothing_of_this_name\n")
    done = start(here, "scripts/describe.py", "--config-dir", "myconfigs", "dataset=ward", "n_jobs=1",
                 plugins="broken.py,mylab.py")  # fmt: skip
    assert "plug-in broken.py" in done.stderr and "nothing_of_this_name" in done.stderr
    assert (
        done.stderr.count("\n") == 1
        and "5 subjects" in done.stdout.replace("people", "subjects")
        or "5" in done.stdout
    )


@pytest.mark.slow
def test_without_the_plugin_one_line_says_what_is_missing(here):
    done = start(here, "train.py", "--config-dir", "myconfigs", "dataset=ward", plugins="", code=2)
    assert done.stderr.count("\n") == 1 and "_target_='ward' is no registered corpus" in done.stderr
    assert "DISTILCLIP_EEG_PLUGINS" in done.stderr


@pytest.mark.slow
def test_a_network_without_features_cannot_teach_and_one_line_says_what_it_lacks(here):
    done = start(here, "train.py", "model=eegnet", "model.kind=teacher", *SHORT, code=2)
    assert done.stderr.count("\n") == 1
    assert "EEGNet lacks encode and dim" in done.stderr and "model.kind=baseline" in done.stderr
    done = start(here, "train.py", "model=eegnet", "model.kind=student", *SHORT, code=2)
    assert "EEGNet lacks encode and dim" in done.stderr


def test_every_file_of_the_page_is_shown_whole():
    assert sorted(files()) == ["myconfigs/dataset/ward.yaml", "myconfigs/model/twoconv.yaml", "mylab.py"]
    compile(files()["mylab.py"], "mylab.py", "exec")


@pytest.mark.slow
def test_what_cannot_be_a_teacher_or_a_student_is_told_in_one_line(here):
    done = start(here, "train.py", "model=random_forest", "model.kind=teacher", *SHORT, code=2)
    assert "is no network" in done.stderr and done.stderr.count("\n") == 1
    words = ["--config-dir", "myconfigs", "dataset=ward", "model=twoconv", "model.kind=teacher"]
    start(here, "train.py", *words, "run.name=guide", *SHORT)
    teacher = "teacher=runs/ward/guide"
    for model, words in (("eegnet", "EEGNet lacks encode and dim"), ("random_forest", "cannot be a student")):
        done = start(here, "distill.py", teacher, f"model={model}", "device=cpu", code=2)
        assert words in done.stderr and done.stderr.count("\n") == 1
