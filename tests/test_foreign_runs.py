"""A run from someone else is read as data: nothing of it is called, and nothing is written where it says."""

import hashlib
import io
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from tools import one_run

from distilclip_eeg.commands import cli
from distilclip_eeg.runs import Run
from distilclip_eeg.training import pipeline

VERBS = {
    "export": ["weights=0", "onnx=false"],
    "explain": ["windows=4"],
    "continuous": [],
    "probe": [],
    "rehearse": [],
    "distill": [],
    "evaluate": [],
    "report": [],
}
"""Every command that opens a run, and the fewest words it needs."""


class Canary:
    """Creates a file where it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.fixture(scope="module")
def honest(tiny, tmp_path_factory) -> Path:
    """A run of two folds, one of them trained, as its owner sends it."""
    root = tmp_path_factory.mktemp("honest")
    words = [*tiny, "split.n_folds=2", "trainer.max_steps=2", f"run.root={root}"]
    return pipeline.training(one_run(words), report=False).train().path


@pytest.fixture
def place(honest, tmp_path, monkeypatch):
    """A working folder with the run in it, and beside it a folder that must stay as it is."""
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "precious.edf").write_text("signal")
    without_digests = shutil.ignore_patterns("sha256.json")  # who means harm leaves them out, or has them fit
    shutil.copytree(honest, tmp_path / "here" / "runs" / "synthetic" / "sent", ignore=without_digests)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("CANARY", str(tmp_path / "canary"))
    return tmp_path


def said(verb, place, capsys):
    """The one line with which the verb ends; everything outside the run's own place is as it was."""
    run = place / "here" / "runs" / "synthetic" / "sent"
    words = {"distill": [f"teacher={run}"], "report": [f"run={run}"], "evaluate": [f"run={run}"]}
    before = outside(place, run)
    with pytest.raises(SystemExit) as ended:
        cli.run(verb, [*words.get(verb, [f"run={run}"]), *VERBS[verb]])
    out, err = capsys.readouterr()
    assert ended.value.code in (2, 3), err
    assert err.startswith("error: ") and err.count("\n") == 1 and "Traceback" not in out + err
    assert outside(place, run) == before, f"{verb} changed something"
    assert not (place / "canary").exists()
    return err


def outside(place, run):
    """Every file but the run's own, and those of the store and the student that distill begins."""
    files = (p for p in sorted(place.rglob("*")) if p.is_file() and not p.is_relative_to(run))
    return {p: p.read_bytes() for p in files if not {"store"} & set(p.parts) and "student_tiny" not in str(p)}


def planted(place, *where, **values):
    """Change the run's config at a dotted place, and forget what says that it was changed."""
    run = place / "here" / "runs" / "synthetic" / "sent"
    config = yaml.safe_load((run / "config.yaml").read_text())
    section = config
    for key in where:
        section = section[key]
    section.update(values)
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    data = json.loads((run / "data.json").read_text())
    data.pop("digest", None)
    (run / "data.json").write_text(json.dumps(data) + "\n")


TARGETS = [
    "distilclip_eeg.commands.cli.run",
    "distilclip_eeg.commands.training.train",
    "distilclip_eeg.studies.demo.demo",
    "distilclip_eeg.files.digests.write_atomic",
    "distilclip_eeg.signals.store.remove_remains",
    "distilclip_eeg.corpora.invented.layouts.tree.synthesize",
    "distilclip_eeg.corpora.download.corpus.Download",
    "shutil.rmtree",
    "os.system",
    "builtins.eval",
]


@pytest.mark.parametrize("verb", ["export", "explain", "continuous", "probe", "rehearse", "distill"])
@pytest.mark.parametrize("target", TARGETS)
def test_a_verb_or_a_callable_as_a_part_is_refused(target, verb, place, capsys):
    arguments = {"path": str(place / "victim"), "root": str(place / "victim"), "command": "touch $CANARY"}
    planted(place, "dataset", corpus={"_target_": target, **arguments})
    assert "_target_" in said(verb, place, capsys) or "no registered" in said(verb, place, capsys)


@pytest.mark.parametrize("section", [("model", "net"), ("text_encoder",)])
def test_a_callable_as_another_part_is_refused_where_it_is_used(section, place, capsys):
    *outer, last = section
    planted(place, *outer, **{last: {"_target_": "os.system", "command": "touch $CANARY"}})
    assert "no registered" in said("probe", place, capsys)
    about = Run(place / "here" / "runs" / "synthetic" / "sent").fold(0) / "model.json"
    net = json.loads(about.read_text()) | {"net": {"_target_": "os.system", "command": "touch $CANARY"}}
    about.write_text(json.dumps(net) + "\n")
    for verb in ("export", "explain", "continuous"):
        assert "no registered" in said(verb, place, capsys)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    "section, name", [("dataset", "../../.."), ("model", "../../../victim/x"), ("dataset", "/elsewhere/x")]
)
def test_a_path_as_a_name_is_refused(section, name, verb, place, capsys):
    planted(place, section, name=name)
    assert "must be a plain folder name" in said(verb, place, capsys)


@pytest.mark.parametrize("verb", VERBS)
def test_a_yaml_tag_is_refused(verb, place, capsys):
    config = place / "here" / "runs" / "synthetic" / "sent" / "config.yaml"
    config.write_text(f"dataset: !!python/object/apply:os.system ['touch {place / 'canary'}']\n")
    assert "config.yaml: is no whole YAML" in said(verb, place, capsys)


@pytest.mark.parametrize("verb", ["export", "explain", "continuous", "rehearse", "distill"])
def test_a_pickle_behind_the_right_hash_is_not_read(verb, place, capsys):
    run = Run(place / "here" / "runs" / "synthetic" / "sent")
    body = pickle.dumps(Canary(place / "canary"))
    for fold in run.folds_done():
        (run.fold(fold) / "model.safetensors").write_bytes(body)
        about = json.loads((run.fold(fold) / "model.json").read_text())
        about["sha256"] = hashlib.sha256(body).hexdigest()
        (run.fold(fold) / "model.json").write_text(json.dumps(about) + "\n")
    assert "does not fit the network" in said(verb, place, capsys)


@pytest.mark.parametrize("verb", ["evaluate", "report"])
def test_arrays_of_objects_are_not_read(verb, place, capsys):
    run = Run(place / "here" / "runs" / "synthetic" / "sent")
    buffer = io.BytesIO()
    np.savez(buffer, part=np.array([Canary(place / "canary")], dtype=object))
    (run.fold(0) / "predictions.npz").write_bytes(buffer.getvalue())
    assert "predictions.npz: is no whole archive" in said(verb, place, capsys)


@pytest.mark.parametrize("verb", ["export", "explain", "continuous", "probe", "rehearse"])
@pytest.mark.parametrize("section", ["store", "dataset"])
def test_no_store_and_no_corpus_is_made_where_only_the_config_says(section, verb, place, capsys):
    planted(place, section, root=str(place / "victim"))
    if section == "dataset":
        planted(place, "dataset", "corpus", root=str(place / "victim"))
    line = said(verb, place, capsys)
    assert f"{section}.root=" in line and "where nothing of ours is. Say" in line


def test_a_teacher_s_folder_is_no_path(place, capsys):
    run = Run(place / "here" / "runs" / "synthetic" / "sent")
    data = json.loads((run.path / "data.json").read_text())
    data |= {"teacher": {"run": "../../../victim", "weights_sha256": {}}}
    data.pop("digest", None)
    (run.path / "data.json").write_text(json.dumps(data) + "\n")
    planted_distill = {"distill": {"alpha": 0.5}}
    config = yaml.safe_load((run.path / "config.yaml").read_text()) | planted_distill
    config["model"] = config["model"] | {"kind": "student"}
    (run.path / "config.yaml").write_text(yaml.safe_dump(config))
    VERBS["export"] = ["weights=final", "onnx=false"]
    try:
        assert "must be a plain folder name" in said("export", place, capsys)
    finally:
        VERBS["export"] = ["weights=0", "onnx=false"]


# ------------------------------------------------------------ damage told by the commands that read it


SMALL = ["config.yaml", "data.json", "metrics.json", "data_report.txt", "folds.parquet", "provenance.json"]
SMALL += ["timing.json", "fold0/metrics.json", "fold0/predictions.npz", "fold0/history.csv"]
SMALL += ["fold0/model.json"]


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_a_damaged_run_is_passed_over_with_a_line_and_the_others_go_on(name, place, drawn, capsys):
    runs = place / "here" / "runs" / "synthetic"
    shutil.copytree(runs / "sent", runs / "whole")
    body = (runs / "sent" / name).read_bytes()
    for damage in (b"", body[: len(body) // 2]):
        (runs / "sent" / name).write_bytes(damage)
        for verb in ("evaluate", "report"):
            cli.run(verb, [])
            out = capsys.readouterr().out
            lines = [line for line in out.splitlines() if line.startswith("passed over: ")]
            assert len(lines) == 1 and f"sent/{name}: " in lines[0], (verb, name, out[:300])
            assert "written: " in out
        line = said("evaluate", place, capsys)
        assert name in line
