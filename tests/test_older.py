"""A run and an exported model of version 0.1.0 open, evaluate, continue, distil, export and detect."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from distilclip_eeg.files.reading import read_json
from distilclip_eeg.runs import Run, find_runs

OLDER = Path(__file__).parent / "older"
NAME = "teacher_tiny-subject-s0-ea1f1afa"
SIZES = [
    *(
        "model.net.dim=8",
        "model.net.heads=2",
        "model.net.embed=8",
        "model.net.depth=1",
        "model.net.filters=4",
    ),
    *("model.net.n_prompts=1", "trainer.epochs=2", "device=cpu", "n_jobs=1"),
]
DATA = [
    *("dataset.corpus.n_subjects=5", "+dataset.corpus.recordings_per_subject=1"),
    *("+dataset.corpus.recording_s=40", "dataset.root=data", "split=subject", "split.n_folds=2"),
]
TEXT = ["text_encoder.dim=8", "text_encoder.depth=1", "text_encoder.n_prompts=1"]


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder that holds the run where its own version left it, and the exported model."""
    here = tmp_path_factory.mktemp("older")
    shutil.copytree(OLDER / "run", here / "runs" / "synthetic" / NAME)
    shutil.copytree(OLDER / "exported", here / "exported")
    return here


def test_its_settings_are_read_with_the_defaults_of_what_it_did_not_know():
    settings = Run(OLDER / "run").settings
    assert (settings.model.name, settings.model.student) == ("teacher_tiny", "student_tiny")
    assert settings.model.net.get("dim") == 8 and settings.text_encoder.get("dim") == 8
    assert settings.distill is None and settings.split.table is None


def test_it_is_evaluated(here, as_script):
    done = as_script("evaluate.py", cwd=here)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(here / "runs" / "evaluation" / "synthetic.csv")
    row = table[table["model"] == "teacher_tiny"].iloc[0]
    known = read_json(OLDER / "run" / "metrics.json")["test"]
    for name in ("accuracy", "f1", "auroc"):
        assert row[name] == pytest.approx(known[name]["mean"], abs=1e-12)


@pytest.mark.slow
def test_the_same_command_finds_it_finished(here, as_script):
    done = as_script("train.py", *DATA, *SIZES, *TEXT, cwd=here)
    assert done.returncode == 0, done.stderr
    assert "2 of 2 folds are finished already" in done.stdout
    assert [run.path.name for run in find_runs(here / "runs")] == [NAME]


@pytest.mark.slow
def test_a_student_is_distilled_from_it(here, as_script):
    done = as_script("distill.py", f"teacher=runs/synthetic/{NAME}", *SIZES, "fold=0", cwd=here)
    assert done.returncode == 0, done.stderr
    (student,) = (here / "runs" / "synthetic").glob("student_tiny-*")
    assert Run(student).fold_done(0)
    assert read_json(student / "data.json")["teacher"]["run"] == NAME


@pytest.mark.slow
def test_it_is_exported_with_the_weights_of_then_and_a_threshold_for_a_budget(here, as_script):
    words = [f"run=runs/synthetic/{NAME}", "weights=0", "onnx=false", "device=cpu", "output=again"]
    done = as_script("scripts/export.py", *words, cwd=here)
    assert done.returncode == 0, done.stderr
    for name in ("model.safetensors", "text.safetensors", "tokenizer.json"):
        then, now = ((folder / name).read_bytes() for folder in (OLDER / "exported", here / "again"))
        assert hashlib.sha256(now).hexdigest() == hashlib.sha256(then).hexdigest()
    then, now = (json.loads((f / "config.json").read_text()) for f in (OLDER / "exported", here / "again"))
    assert "macro F1" in then["made"]["threshold"]["rule"]
    assert "under alarm" in now["made"]["threshold"]["rule"]
    assert now["made"]["threshold"]["quiet_share"] <= 0.1
    assert now["model"] == then["model"] and now["weights"] == then["weights"] and now["text"] == then["text"]


@pytest.mark.slow
def test_the_exported_model_of_then_gives_the_probabilities_of_then(here, as_script):
    if not (here / "data").exists():
        assert as_script("scripts/prepare.py", *DATA[:4], "n_jobs=1", cwd=here).returncode == 0
    words = ["weights=exported", "input=data", "output=detected", "device=cpu", "figure=false"]
    done = as_script("scripts/detect.py", *words, cwd=here)
    assert done.returncode == 0, done.stderr
    found = pd.read_parquet(next(here.glob("detected/*/chb01/chb01_01_probability.parquet")))
    known = pd.read_csv(OLDER / "detected.csv")
    np.testing.assert_allclose(found["probability"], known["probability"], atol=1e-5)
    assert found["seizure"].tolist() == known["seizure"].tolist()
