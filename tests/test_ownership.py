"""Nothing is replaced or deleted that we did not write: runs, detections, exports, indexes, tables."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from deploy_tools import brain, recipe, write_edf
from report_runs import make_run
from tools import one_run

from distilclip_eeg.artefact.folder import check_output, entry, write_folder
from distilclip_eeg.config.component import Component
from distilclip_eeg.config.detection import DetectConfig
from distilclip_eeg.deploy import screen, writers
from distilclip_eeg.deploy.index import Index
from distilclip_eeg.deploy.networks import save_state
from distilclip_eeg.files.writing import WRITTEN, claim, write_json
from distilclip_eeg.runs import find_runs
from distilclip_eeg.schema import ConfigError, DataError
from distilclip_eeg.signals import store
from distilclip_eeg.training.data import load_data
from distilclip_eeg.training.opening import open_run

NET = {"_target_": "distilclip_eeg.models.baselines.eegnet.EEGNet"}
SIZES = {"n_chans": 3, "n_times": 256, "sfreq": 256.0, "n_outputs": 2}


def everything(folder: Path) -> dict:
    return {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


# ------------------------------------------------------------------------------------------------ runs


@pytest.fixture(scope="module")
def told(tiny):
    return [*tiny, "split.n_folds=2"]


@pytest.fixture(scope="module")
def data(told):
    return load_data(one_run(told).data)


def settings(told, root, *more):
    return one_run([*told, f"run.root={root}", *more])


@pytest.mark.parametrize("fresh", ["run.fresh=true", "run.fresh=false"])
@pytest.mark.parametrize(
    "files",
    [
        {"notes.txt": "mine"},
        {"config.yaml": "lr: 3\nname: theirs\n"},
        {"config.yaml": "lr: 3\n", "data.json": '{"mine": 1}', "fold0/metrics.json": "{}"},
        {"data.json": "[]", "metrics.json": "{}"},
        {"config.yaml": "", "data.json": ""},
        {"deep/er/precious.edf": "signal"},
    ],
    ids=lambda files: " ".join(files),
)
def test_a_folder_that_no_run_wrote_is_neither_used_nor_deleted(files, fresh, told, data, tmp_path):
    for name, body in files.items():
        path = tmp_path / "synthetic" / "a" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(body)
    before = everything(tmp_path)
    with pytest.raises(ConfigError, match="which no run of ours wrote; nothing was changed") as refused:
        open_run(settings(told, tmp_path, "run.name=a", fresh), data)
    assert refused.value.reason == "not_ours" and everything(tmp_path) == before


def test_fresh_deletes_a_run_of_ours_and_no_neighbour(told, data, tmp_path):
    one, other = (open_run(settings(told, tmp_path, f"run.name={name}"), data) for name in "ab")
    (one.fold(0)).mkdir()
    write_json(one.fold(0) / "metrics.json", {"test": {}})
    (tmp_path / "precious").write_text("x")
    before = everything(other.path)
    again = open_run(settings(told, tmp_path, "run.name=a", "run.fresh=true", "optim.lr=0.02"), data)
    assert again.path == one.path and not again.fold(0).exists()
    assert again.settings.optim.lr == 0.02
    assert everything(other.path) == before and (tmp_path / "precious").exists()


def test_fresh_deletes_nothing_that_someone_put_into_a_run(told, data, tmp_path):
    run = open_run(settings(told, tmp_path, "run.name=a"), data)
    (run.path / "my notes.md").write_text("x")
    before = everything(tmp_path)
    with pytest.raises(ConfigError, match="holds my notes.md"):
        open_run(settings(told, tmp_path, "run.name=a", "run.fresh=true"), data)
    assert everything(tmp_path) == before
    open_run(settings(told, tmp_path, "run.name=a"), data)  # which deletes nothing


@pytest.mark.parametrize("lost", ["config.yaml", "data.json"])
def test_fresh_helps_where_one_of_the_two_files_is_damaged(lost, told, data, tmp_path):
    run = open_run(settings(told, tmp_path, "run.name=a"), data)
    (run.path / lost).write_bytes(b"")
    open_run(settings(told, tmp_path, "run.name=a", "run.fresh=true"), data)
    assert (run.path / lost).stat().st_size


@pytest.mark.parametrize("fresh", ["run.fresh=true", "run.fresh=false"])
def test_a_link_or_a_file_in_the_place_of_a_run_is_left_alone(fresh, told, data, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "precious").write_text("x")
    (tmp_path / "synthetic").mkdir()
    (tmp_path / "synthetic" / "a").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "synthetic" / "b").write_text("x")
    before = everything(tmp_path)
    for name in "ab":
        with pytest.raises(ConfigError, match="is no folder of its own"):
            open_run(settings(told, tmp_path, f"run.name={name}", fresh), data)
    assert everything(tmp_path) == before


@pytest.mark.parametrize("key", ["run.name", "dataset.name", "model.name", "model.student"])
@pytest.mark.parametrize("value", ["..", ".", "a/b", "../../x", "/elsewhere/x", "a\\\\b", "''"])
def test_a_name_is_a_name_and_never_a_path(key, value, told, tmp_path):
    with pytest.raises(ConfigError):
        settings(told, tmp_path, f"{key}={value}")


def test_a_start_that_was_killed_before_its_first_file_is_gone_on_with(told, data, tmp_path):
    (tmp_path / "synthetic" / "a").mkdir(parents=True)
    run = open_run(settings(told, tmp_path, "run.name=a"), data)
    (run.path / "data.json").unlink()
    (run.path / "provenance.json").unlink()
    assert open_run(settings(told, tmp_path, "run.name=a"), data).data["digest"]


def test_foreign_folders_below_runs_are_passed_over_with_a_line_each(tmp_path, capsys):
    run = make_run(tmp_path, "teacher_tiny", "teacher")
    for name, files in {"mlflow": ["metrics.json"], "x": ["metrics.json", "config.yaml"]}.items():
        (tmp_path / "other" / name).mkdir(parents=True)
        for file in files:
            (tmp_path / "other" / name / file).write_text("{}")
    assert [one.path for one in find_runs(tmp_path)] == [run.path]
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and all(line.startswith("passed over: ") for line in lines)
    (run.path / "fold-in").mkdir()
    (run.path / "fold-in" / "metrics.json").write_text("{}")
    assert run.folds_done() == [0, 1]


# ------------------------------------------------------------------------------------------ detections


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    files = {"model.safetensors": save_state(Component.of(NET).build(**SIZES).eval())}
    about = {"recipe": recipe(detect=DetectConfig(smooth_s=0)).as_json(), "text": None, "made": {}}
    about |= {"model": {"name": "eegnet", "kind": "baseline", "net": NET, **SIZES}, "onnx": []}
    about["weights"] = [entry(*item) for item in files.items()]
    return write_folder(tmp_path_factory.mktemp("model") / "model", about, files, "# a card\n").path


@pytest.fixture
def tree(tmp_path):
    """A BIDS tree of two people with annotations of experts."""
    root = tmp_path / "bids"
    for who in ("01", "02"):
        folder = root / f"sub-{who}" / "eeg"
        folder.mkdir(parents=True)
        write_edf(folder / f"sub-{who}_task-sz_eeg.edf", brain(20, 256), 256)
        (folder / f"sub-{who}_task-sz_events.tsv").write_text("onset\tduration\n12.0\t20.0\n")
        (folder / f"sub-{who}_task-sz.csv_bi").write_text("# version = csv_v1.0.0\n")
    return root


def detected(as_script, model, tree, output, *more):
    words = [f"weights={model}", f"input={tree}", f"output={output}", "figure=false", "ages=any"]
    return as_script("scripts/detect.py", *words, "device=cpu", "engine=torch", *more)


def test_annotations_of_experts_are_refused_as_output_before_any_work(model, tree, as_script):
    before = everything(tree)
    ran = detected(as_script, model, tree, tree)
    assert ran.returncode == 2 and everything(tree) == before
    assert ran.stderr.count("\n") == 1 and "4 files there are named like those of a detection" in ran.stderr
    assert "sub-01_task-sz_events.tsv" in ran.stderr and "1/2" not in ran.stdout


@pytest.mark.parametrize(
    "name",
    [
        *("_events.tsv", ".csv_bi", "_annotations.txt", "_probability.parquet", ".png", "_review.html"),
        "_detection.json",
    ],
)
def test_any_single_file_of_others_is_enough(name, model, tree, as_script, tmp_path):
    out = tmp_path / "out" / "sub-02" / "eeg"
    out.mkdir(parents=True)
    (out / f"sub-02_task-sz{name}").write_text("{}")
    before = everything(out)
    ran = detected(as_script, model, tree, tmp_path / "out")
    assert ran.returncode == 2 and name in ran.stderr and everything(tmp_path / "out") == before


def test_our_own_detections_are_replaced_and_a_stopped_start_finds_its_own(model, tree, as_script, tmp_path):
    out = tmp_path / "out"
    assert detected(as_script, model, tree, out).returncode == 0
    ran = detected(as_script, model, tree, out, "detect.threshold=0.9")
    assert ran.returncode == 0 and "was finished" not in ran.stdout
    folder, stem = out / "sub-01" / "eeg", "sub-01_task-sz"
    record = json.loads((folder / f"{stem}_detection.json").read_text())
    write_json(folder / f".{stem}_detection.writing", {"files": record["files"], "note": record["note"]})
    (folder / f"{stem}_detection.json").unlink()
    (folder / f"{stem}_probability.parquet").unlink()
    ran = detected(as_script, model, tree, out, "detect.threshold=0.9")
    assert ran.returncode == 0 and ran.stdout.count("was finished") == 1
    assert (folder / f"{stem}_probability.parquet").exists()
    assert not list(out.rglob(".*"))


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"files": 3, "note": 1}', b"\xff"])
def test_a_damaged_record_of_ours_is_scored_anew(body, model, tree, as_script, tmp_path):
    out = tmp_path / "out"
    assert detected(as_script, model, tree, out).returncode == 0
    (out / "sub-01" / "eeg" / "sub-01_task-sz_detection.json").write_bytes(body)
    ran = detected(as_script, model, tree, out)
    assert ran.returncode == 0 and ran.stdout.count("was finished") == 1
    assert detected(as_script, model, tree, out).stdout.count("was finished") == 2


def test_a_record_cannot_make_us_delete_or_replace_elsewhere(model, tree, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (tmp_path / "precious").write_text("x")
    record = {"files": ["../precious", "a_events.tsv"], "note": "", "model": {}, "settings": {}}
    write_json(folder / "a_detection.json", record | {"seconds": 1, "events": 0, "warnings": []})
    assert writers.foreign_files(folder, "a") == []
    (folder / "a.png").symlink_to(tmp_path / "precious")
    assert [p.name for p in writers.foreign_files(folder, "a")] == ["a.png"]
    with pytest.raises(DataError, match="no detection wrote it"):
        writers.check_place(folder, "a")
    with pytest.raises(ConfigError, match="1 files there are named"):
        screen.check_output(folder, [screen.Item(tmp_path / "a.edf", Path("a"))])
    assert (tmp_path / "precious").read_text() == "x"


# ---------------------------------------------------------------------------------------------- exports


@pytest.mark.parametrize(
    "files",
    [
        {"config.json": '{"model_type": "bert"}', "pytorch_model.bin": "x"},
        {"config.json": ""},
        {"config.json": '{"format": 1}'},
        {"notes.txt": "x"},
    ],
    ids=["hub model", "empty", "half", "notes"],
)
def test_a_folder_that_no_export_wrote_is_not_replaced(files, tmp_path):
    for name, body in files.items():
        (tmp_path / name).write_text(body)
    before = everything(tmp_path)
    with pytest.raises(ConfigError, match="something else is there") as refused:
        check_output(tmp_path)
    assert refused.value.reason == "not_ours" and everything(tmp_path) == before


def test_an_export_with_a_file_of_someone_s_own_is_not_replaced(model, tmp_path):
    os.link(model / "config.json", tmp_path / "config.json")
    check_output(tmp_path)
    (tmp_path / "my results.csv").write_text("x")
    with pytest.raises(ConfigError, match="my results.csv, which no export wrote"):
        check_output(tmp_path)


def test_neither_the_working_folder_nor_a_link_is_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="output=.: something else"):
        check_output(Path())
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(ConfigError, match="link: something else"):
        check_output(tmp_path / "link")


# ------------------------------------------------------------- indexes, reports, tables: folders of outputs


def none_before():
    raise DataError("nothing of ours")


def test_outputs_are_claimed_once_and_replaced_ever_after(tmp_path):
    claim(tmp_path / "out", ["a.csv", "deep/b.csv"], none_before)
    (tmp_path / "out" / "a.csv").write_text("1")
    claim(tmp_path / "out", ["a.csv", "c.csv"], none_before)
    assert json.loads((tmp_path / "out" / WRITTEN).read_text())["files"] == ["a.csv", "c.csv", "deep/b.csv"]
    (tmp_path / "out" / "theirs.csv").write_text("x")
    with pytest.raises(ConfigError, match="theirs.csv: is there already, and none of our commands wrote it"):
        claim(tmp_path / "out", ["a.csv", "theirs.csv"], none_before)


def test_an_older_folder_without_the_marker_is_known_by_its_content(tmp_path):
    (tmp_path / "a.csv").write_text("1")
    (tmp_path / "b.csv").write_text("1")
    with pytest.raises(ConfigError, match="a.csv: is there already"):
        claim(tmp_path, ["a.csv"], none_before)
    assert not (tmp_path / WRITTEN).exists()
    claim(tmp_path, ["a.csv"], lambda: None)
    claim(tmp_path, ["b.csv"], none_before)
    (tmp_path / WRITTEN).write_bytes(b"")  # damaged: as if it were not there
    with pytest.raises(ConfigError):
        claim(tmp_path, ["a.csv"], none_before)


def test_a_foreign_index_table_or_figure_is_not_replaced_by_a_search(tmp_path):
    windows = pd.DataFrame({"recording": ["a"], "start_s": [0.0]})
    np.savez(tmp_path / "index.npz", x=1)
    with pytest.raises(ConfigError, match="index.npz: is there already"):
        claim(tmp_path, ["index.npz"], lambda: Index.load(tmp_path / "index.npz"))
    Index(windows, np.zeros((1, 2), np.float32), 1.0, 1.0, "m").save(tmp_path / "index.npz")
    claim(tmp_path, ["index.npz"], lambda: Index.load(tmp_path / "index.npz"))
    (tmp_path / "classes.csv").write_text("mine")
    with pytest.raises(ConfigError, match="classes.csv: is there already"):
        claim(tmp_path, ["index.npz", "classes.csv"], lambda: Index.load(tmp_path / "index.npz"))


def test_evaluation_and_report_leave_foreign_files_of_their_names(tmp_path, as_script, drawn):
    make_run(tmp_path / "runs", "teacher_tiny", "teacher")
    (tmp_path / "runs" / "evaluation").mkdir()
    (tmp_path / "runs" / "evaluation" / "chbmit.csv").write_text("mine,too\n1,2\n")
    (tmp_path / "runs" / "report").mkdir()
    (tmp_path / "runs" / "report" / "index.html").write_text("<p>my own page</p>\n")
    before = everything(tmp_path)
    for script, name in (("evaluate.py", "chbmit.csv"), ("scripts/report.py", "index.html")):
        ran = as_script(script, cwd=tmp_path)
        assert ran.returncode == 2 and name in ran.stderr and ran.stderr.count("\n") == 1, ran.stderr
        assert everything(tmp_path) == before
    for path in ("evaluation/chbmit.csv", "report/index.html"):
        (tmp_path / "runs" / path).unlink()
    for script in ("evaluate.py", "scripts/report.py") * 2:
        assert as_script(script, cwd=tmp_path).returncode == 0


def test_a_table_of_others_is_not_written_over_by_parameters_or_probe(tmp_path, as_script):
    (tmp_path / "mine.csv").write_text("a,b\n1,2\n")
    ran = as_script("scripts/parameters.py", "model=student_tiny", "csv=mine.csv", cwd=tmp_path)
    assert ran.returncode == 3 and "mine.csv" in ran.stderr and "Give another csv=" in ran.stderr
    assert (tmp_path / "mine.csv").read_text() == "a,b\n1,2\n"


# ------------------------------------------------------------------------------------------------ stores


def test_what_stands_in_the_place_of_a_store_is_deleted_only_where_it_is_the_rest_of_one(tmp_path):
    for name in ("signal.i16", "scale.npz", "events.parquet", "measures-0123456789abcdef.parquet"):
        (tmp_path / "rest").mkdir(exist_ok=True)
        (tmp_path / "rest" / name).touch()
    store.remove_remains(tmp_path / "rest")
    assert not (tmp_path / "rest").exists()
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "signal.i16").touch()
    (tmp_path / "theirs" / "thesis.docx").touch()
    with pytest.raises(DataError, match=r"thesis\.docx does, which none wrote"):
        store.remove_remains(tmp_path / "theirs")
    assert len(everything(tmp_path / "theirs")) == 2
