"""The launchers as a user meets them: a whole road, one-line errors, and no word of a patient anywhere."""

import hashlib
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from distilclip_eeg.commands import cli
from distilclip_eeg.config.experiment import SideBySide
from distilclip_eeg.corpora.edf.montage import CHBMIT_23
from distilclip_eeg.files.writing import write_json
from distilclip_eeg.runs import find_runs
from distilclip_eeg.schema import ConfigError, DataError
from distilclip_eeg.training import forecast

LABELS = [*CHBMIT_23[:22], "T8-P8"]
FOLD_FILES = {
    "history.csv",
    "tensorboard",
    "model.safetensors",
    "model.json",
    "predictions.npz",
    "metrics.json",
}
RUN_FILES = {"provenance.json", "folds.parquet", "timing.json", "metrics.json", "data_report.txt"}
CANARIES = ("MRN0012345", "Haagse", "Harry", "02-MAY-1951", "Dr_Visible", "EMG561")


# ------------------------------------------------------------------------ recordings made by hand


def edf_bytes(seconds=40, seed=0, labels=LABELS, patient="X X X X", recording="Startdate X X X X"):
    """Noise with a strong rhythm from 10 to 25 s, in CHB-MIT's layout."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 60, (len(labels), seconds * 256))
    x[:, 10 * 256 : 25 * 256] += 300 * np.sin(2 * np.pi * 4 * np.arange(15 * 256) / 256)
    samples = np.clip(x, -2000, 2000).astype("<i2").reshape(len(labels), seconds, 256)
    n = len(labels)
    fixed = [("0", 8), (patient, 80), (recording, 80), ("06.11.76", 8), ("13.43.04", 8)]
    fixed += [(256 * (n + 1), 8), ("", 44), (seconds, 8), ("1", 8), (n, 4)]
    columns = [(labels, 16), ([""] * n, 80), (["uV"] * n, 8), (["-800"] * n, 8), (["800"] * n, 8)]
    columns += [(["-2048"] * n, 8), (["2047"] * n, 8), ([""] * n, 80), (["256"] * n, 8), ([""] * n, 32)]
    header = "".join(str(value).ljust(width) for value, width in fixed)
    header += "".join("".join(value.ljust(width) for value in column) for column, width in columns)
    return header.encode() + samples.swapaxes(0, 1).tobytes()


def chbmit(root, people, **edf):
    """A folder like CHB-MIT's; ``people`` maps a case to its recordings, bytes or a number of them."""
    for number, (case, files) in enumerate(people.items()):
        folder = root / case
        folder.mkdir(parents=True)
        if isinstance(files, int):
            files = [edf_bytes(seed=100 * number + k, **edf) for k in range(files)]
        lines = ["Data Sampling Rate: 256 Hz", ""]
        for k, raw in enumerate(files, start=1):
            (folder / f"{case}_{k:02d}.edf").write_bytes(raw)
            lines += [f"File Name: {case}_{k:02d}.edf", "Number of Seizures in File: 1"]
            lines += ["Seizure Start Time: 10 seconds", "Seizure End Time: 25 seconds", ""]
        (folder / f"{case}-summary.txt").write_text("\n".join(lines))
    return root


def sha256(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Run a verb in this process and an empty folder; one line on stderr, nothing half written."""
    monkeypatch.chdir(tmp_path)

    def attempt(verb, *argv, code=2, nothing_written=True):
        before = {p for p in tmp_path.rglob("*")}
        with pytest.raises(SystemExit) as ended:
            cli.run(verb, list(argv))
        out, err = capsys.readouterr()
        assert ended.value.code == code, err
        assert err.startswith("error: ") and err.count("\n") == 1 and err.endswith("\n"), err
        assert "Traceback" not in out + err
        new = {p for p in tmp_path.rglob("*")} - before
        assert not [p for p in new if p.name.startswith(".")], new
        if nothing_written:
            assert not [p for p in new if p.is_file()], new
        return err

    return attempt


# ------------------------------------------------------------------------------------- the whole road


@pytest.fixture(scope="module")
def road(tmp_path_factory, launch, as_script, tiny, sizes):
    """train, train again, distill and evaluate, away from the checkout; what is new as processes."""
    here = tmp_path_factory.mktemp("elsewhere with ä space")
    tracked = "trainer.log_with=tensorboard"  # the default
    done = {"here": here, "train": launch("train", *tiny, tracked, cwd=here)}
    assert done["train"].returncode == 0, done["train"].stderr
    done["teacher"] = find_runs(here / "runs")[0]
    done["before"] = sha256(done["teacher"].path)
    done["again"] = as_script("train.py", *tiny, tracked, cwd=here)
    done["files"] = sha256(done["teacher"].path)
    done["distill"] = launch("distill", *sizes, tracked, cwd=here)
    assert done["distill"].returncode == 0, done["distill"].stderr
    done["student"] = next(r for r in find_runs(here / "runs") if r.path.name.startswith("student"))
    done["after"] = sha256(done["teacher"].path)
    done["evaluate"] = launch("evaluate", cwd=here)
    return done


@pytest.mark.slow
@pytest.mark.parametrize("which", ["teacher", "student"])
def test_a_run_folder_holds_what_is_promised(road, which):
    run = road[which]
    assert re.fullmatch(rf"{which}_tiny-subject-s0-[0-9a-f]{{8}}", run.path.name)
    names = {p.name for p in run.path.iterdir()}
    assert names >= RUN_FILES | {f"fold{k}" for k in range(5)}
    assert "config.yaml" in names or "config.json" in names
    for k in range(5):
        assert {p.name for p in run.fold(k).iterdir()} >= FOLD_FILES
        assert any((run.fold(k) / "tensorboard").iterdir())
        history = pd.read_csv(run.fold(k) / "history.csv")
        wanted = {"train_loss", "val_loss", "train_accuracy", "val_accuracy", "val_macro_f1"}
        assert wanted <= set(history) and len(history) == 2
        saved = run.predictions(k)
        wanted = {"part", "window_id", "recording", "subject", "start_s", "label"}
        assert set(saved) == wanted | {"probability_NK", "logits_NK", "classes"}
        assert set(saved["part"]) == {"val", "test"}
        np.testing.assert_allclose(saved["probability_NK"].sum(1), 1, atol=1e-6)
        about = json.loads((run.fold(k) / "model.json").read_text())
        weights = (run.fold(k) / "model.safetensors").read_bytes()
        assert about["sha256"] == hashlib.sha256(weights).hexdigest()
    assert len(pd.read_parquet(run.path / "folds.parquet")) > 0
    assert set(json.loads((run.path / "timing.json").read_text())) >= {f"fold{k}_s" for k in range(5)}
    assert not list(run.path.rglob(".*"))


@pytest.mark.slow
def test_every_window_is_tested_once(road):
    parts = [road["teacher"].predictions(k) for k in range(5)]
    tested = np.concatenate([p["window_id"][p["part"] == "test"] for p in parts])
    folds = pd.read_parquet(road["teacher"].path / "folds.parquet")
    assert sorted(tested) == sorted(folds["window_id"])


@pytest.mark.slow
def test_a_second_start_trains_nothing_and_says_so(road):
    assert road["again"].returncode == 0
    assert "5 of 5 folds are finished already" in road["again"].stdout
    assert "fold 0: test" not in road["again"].stdout
    assert road["files"] == road["before"]


@pytest.mark.slow
def test_distill_takes_the_newest_teacher_names_it_first_and_leaves_it_as_it_was(road):
    first = road["distill"].stdout.splitlines()[0]
    assert first == f"teacher={Path('runs') / road['teacher'].path.relative_to(road['here'] / 'runs')}"
    assert road["after"] == road["before"]
    assert road["student"].settings.dataset == road["teacher"].settings.dataset


@pytest.mark.slow
def test_the_same_teacher_named_by_its_path_is_the_same_distillation(road, as_script, sizes):
    done = as_script("distill.py", f"teacher={road['teacher'].path}", *sizes, cwd=road["here"])
    assert "5 of 5 folds are finished already" in done.stdout, done.stdout + done.stderr
    one = as_script("distill.py", f"teacher={road['teacher'].path}", "fold=1", *sizes, cwd=road["here"])
    assert "1 of 1 folds are finished already" in one.stdout, one.stdout + one.stderr


@pytest.mark.slow
def test_evaluate_names_protocol_leak_spread_and_the_trivial_answer(road):
    text = road["evaluate"].stdout
    assert road["evaluate"].returncode == 0
    for needed in ("subject", "teacher_tiny", "student_tiny", "always seizure", "test windows sharing with"):
        assert needed in text
    assert "mean ± SD over folds" in text and re.search(r"\d+\.\d ± \d+\.\d", text)
    folder = road["here"] / "runs" / "evaluation"
    table = pd.read_csv(folder / "synthetic.csv")
    assert set(table["model"]) == {"teacher_tiny", "student_tiny", "always seizure"}
    always = table[table["model"] == "always seizure"].iloc[0]
    assert (always["recall"], always["specificity"]) == (1, 0)
    assert (folder / "synthetic.txt").exists()


@pytest.mark.slow
def test_one_finished_run_can_be_evaluated_by_its_path(road, as_script):
    done = as_script("evaluate.py", f"run={road['student'].path}", cwd=road["here"])
    assert done.returncode == 0 and "student_tiny" in done.stdout and "teacher_tiny" not in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "override",
    [
        *("split=window", "seed=3", "windows.length_s=2", "dataset=chbmit", "dataset.corpus.n_subjects=6"),
        *("+dataset.corpus.recording_s=50", "signals.h_freq=40", "text.detail=full"),
    ],
)
def test_a_distillation_refuses_other_data_than_its_teachers(road, refused, sizes, override):
    teacher = f"teacher={road['teacher'].path}"
    root = f"dataset.root={road['teacher'].settings.dataset.root}"  # stands first and is allowed
    said = refused("distill", root, teacher, *sizes, override)
    assert override in said and "teacher" in said


@pytest.mark.slow
def test_a_teacher_of_other_folds_is_refused(road, refused, sizes, tmp_path, tiny_root):
    copy = tmp_path / "copy"
    for name, path in ((p.relative_to(road["teacher"].path), p) for p in road["teacher"].path.rglob("*")):
        if path.is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes(path.read_bytes())
    made = json.loads((copy / "data.json").read_text())
    write_json(copy / "data.json", made | {"folds_sha256": "0" * 64})
    store = f"store.root={tiny_root / 'store'}"
    said = refused("distill", f"teacher={copy}", store, *sizes, code=3)
    assert "folds (00000000) are not those of this run" in said


@pytest.mark.slow
def test_contrast_needs_features_of_one_size(road, refused, sizes):
    teacher = f"teacher={road['teacher'].path}"
    said = refused("distill", teacher, *sizes, "model.net.embed=16", "distill.contrast=0.5")
    assert "model.net.embed=16" in said and "distill.contrast" in said


@pytest.mark.slow
def test_a_sweep_makes_one_run_a_seed_and_leaves_nothing_else(tmp_path, launch, as_script, tiny):
    done = launch("train", *tiny, "fold=0", "-m", "seed=0,1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(p.name.rpartition("-")[0] for p in tmp_path.glob("runs/synthetic/*")) == [
        *("teacher_tiny-subject-s0", "teacher_tiny-subject-s1")
    ]
    assert [p.name for p in tmp_path.iterdir()] == ["runs"]
    listed = as_script("train.py", *tiny, "fold=0", "seed=[0,1]", cwd=tmp_path)
    assert listed.stdout.count("1 of 1 folds are finished already") == 2


# ------------------------------------------------------------------------------------ help and usage


def test_without_arguments_the_console_script_prints_its_usage_and_what_it_is_not(tmp_path):
    script = Path(sys.executable).with_name("distilclip-eeg")
    done = subprocess.run([script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "not a medical device" in done.stdout
    for verb in ("train", "distill", "evaluate"):
        assert verb in done.stdout
    wrong = subprocess.run([script, "trian"], cwd=tmp_path, capture_output=True, text=True)
    assert wrong.returncode == 2 and "Did you mean train?" in wrong.stderr


@pytest.mark.parametrize("verb", ["train", "distill", "evaluate"])
def test_help_and_the_config_are_printed_and_nothing_is_done(verb, as_script, tmp_path):
    shown = as_script(f"{verb}.py", "--help", cwd=tmp_path)
    assert shown.returncode == 0 and "not a medical device" in shown.stdout and "root" in shown.stdout
    key = {"train": "seed=7", "distill": "seed=7", "evaluate": "root=r7"}[verb]
    config = as_script(f"{verb}.py", key, "--cfg", "job", cwd=tmp_path)
    assert config.returncode == 0 and key.replace("=", ": ") in config.stdout, config.stderr
    assert list(tmp_path.iterdir()) == []


# -------------------------------------------------------------------------------------- bad settings


@pytest.mark.parametrize(
    "override, words",
    [
        ("traner.epochs=3", ["traner.epochs", "Did you mean trainer.epochs"]),
        ("trainer.epoch=3", ["trainer.epoch", "trainer.epochs"]),
        ("+signals.foo=1", ["signals.foo", "no such setting", "signals."]),
        ("+windows.lenght_s=1", ["windows.lenght_s", "Did you mean windows.length_s"]),
        ("+trainer.foo=1", ["trainer.foo"]),
        ("+loss.foo=1", ["loss.foo", "no such setting"]),
        ("+foo=1", ["foo", "no such setting"]),
        ("+model.net.foo=1", ["model.net.foo", "no such setting"]),
        ("+text_encoder.foo=1", ["foo", "no such setting"]),
        ("+dataset.corpus.foo=1", ["dataset.corpus.foo", "no such setting"]),
        ("model=teacher_huge", ["model/teacher_huge", "teacher_tiny"]),
        ("split=person", ["split/person", "subject"]),
        ("trainer.epochs=abc", ["trainer.epochs='abc'", "expected int"]),
        ("trainer.epochs=2.5", ["trainer.epochs=2.5", "expected int"]),
        ("trainer.batch_size=0", ["trainer.batch_size=0", "in [1, 1048576]"]),
        ("trainer.precision=fp64", ["trainer.precision='fp64'", "bf16"]),
        ("optim.lr=fast", ["optim.lr='fast'", "expected float"]),
        ("loss.alpha=abc", ["loss.alpha='abc'", "expected float"]),
        ("loss.alpha=1.5", ["loss.alpha=1.5", "in [0, 1]"]),
        ("loss.targets=class_id", ["loss.targets='class_id'", "multi_positive"]),
        ("text.detail=poem", ["text.detail='poem'", "coarse"]),
        ("text.source=labels", ["text.source='labels'", "descriptors"]),
        ("+text.sorce=none", ["text.sorce", "Did you mean text.source"]),
        ("text.context_s=0.5", ["text.context_s=0.5", "windows.length_s=1.0"]),
        ("text.class_prompts=[calm]", ["text.class_prompts has 1", "bckg, seiz"]),
        ("seed=abc", ["seed='abc'", "expected int"]),
        ("seed=[0,abc]", ["seed='abc'", "expected int"]),
        ("fold=9", ["fold=9", "0, 1, 2, 3, 4"]),
        ("device=gpu", ["device='gpu'", "cpu"]),
        ("run.fresh=maybe", ["run.fresh='maybe'", "expected bool"]),
        ("windows.seizure_overlap=1", ["windows.seizure_overlap=1"]),
        ("split.n_folds=1", ["split.n_folds=1", "2 or more"]),
        ("signals.phase=minimum", ["signals.phase='minimum'", "causal"]),
        # Two settings that do not fit each other.
        ("signals.h_freq=200", ["signals.h_freq=200", "signals.sfreq=256.0"]),
        ("model.net.heads=3", ["model.net.dim=8", "model.net.heads=3"]),
        ("windows.length_s=0.1", ["windows.length_s", "too short"]),
        ("text_encoder.heads=3", ["text_encoder.dim=8", "text_encoder.heads=3"]),
        ("dataset.corpus.n_subjects=0", ["n_subjects=0", "in [1, 16384]"]),
    ],
)
def test_a_wrong_setting_is_one_line_before_any_file_is_written(refused, tiny, override, words):
    said = refused("train", *tiny, override)
    for word in words:
        assert word in said, said


def test_bert_without_weights_is_refused_before_any_file_is_written(refused, tiny_data, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    said = refused("train", *tiny_data, "text_encoder=bert_base", "text_encoder.path=nobody/bert-of-nowhere")
    assert "nobody/bert-of-nowhere" in said and "text_encoder.path" in said and "random_tiny" in said


@pytest.mark.parametrize("name", ["../out", "/out", "a/b"])
def test_a_run_name_cannot_leave_its_folder(refused, tiny, name):
    assert "run.name" in refused("train", *tiny, f"run.name={name}")


@pytest.mark.parametrize(
    "verb, override, words",
    [
        ("evaluate", "run=missing", ["run=missing", "no run folder"]),
        ("evaluate", "root=nowhere", ["nowhere", "train.py"]),
        ("evaluate", "run=Müller's runs (old), 2", ["run=Müller's runs (old), 2", "no run folder"]),
        ("evaluate", "rot=nowhere", ["rot", "root"]),
        ("evaluate", "+foo=1", ["foo", "no such setting"]),
        ("distill", "teacher=missing", ["missing", "no run folder"]),
        ("distill", "run.root=nowhere", ["teacher=latest", "nowhere", "train.py"]),
    ],
)
def test_a_run_that_is_not_there_is_named(refused, verb, override, words):
    said = refused(verb, override)
    for word in words:
        assert word in said


def test_an_unfinished_run_is_not_evaluated(refused, tmp_path):
    (tmp_path / "half" / "fold0").mkdir(parents=True)
    (tmp_path / "half" / "config.json").write_text("{}")
    (tmp_path / "half" / "config.yaml").write_text("{}")
    assert "no fold is finished yet" in refused("evaluate", "run=half")


def test_a_wrong_setting_ends_a_real_process_in_one_line_too(command, tmp_path):
    for argv in (["traner.epochs=3"], ["-m", "seed=0,1", "traner.epochs=3"], ["-m", "traner.epochs=3,4"]):
        done = subprocess.run(command("train", *argv), cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
        assert done.stderr.startswith("error: traner.epochs") and done.stdout == ""
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------------------------------ bad data


def test_a_missing_root_and_an_empty_one_are_named(refused, tmp_path):
    said = refused("train", "dataset=chbmit", "dataset.root=nowhere", code=3)
    assert "nowhere: no such folder" in said and "dataset.root" in said
    (tmp_path / "empty").mkdir()
    said = refused("train", "dataset=chbmit", "dataset.root=empty", code=3)
    assert "empty: an empty folder" in said and "chb01" in said
    (tmp_path / "store").mkdir(exist_ok=True)
    assert not any((tmp_path / "store").iterdir())


@pytest.mark.parametrize("broken", ["cut in the header", "not an EDF", "no bytes"])
def test_a_folder_whose_only_recording_is_broken_ends_in_one_line_and_no_store(refused, tmp_path, broken):
    raw = {"cut in the header": edf_bytes()[:3000], "not an EDF": b"%PDF-1.7 " * 500, "no bytes": b""}[broken]
    chbmit(tmp_path / "data", {"chb01": [raw]})
    said = refused("train", "dataset=chbmit", "dataset.root=data", "device=cpu", code=3)
    assert "chb01_01" in said and "expected" in said
    assert not any((tmp_path / "store").glob("*")) and not (tmp_path / "runs").exists()


def test_other_channels_than_the_montages_are_named(refused, tmp_path):
    labels = ["EEG O1-REF", "EEG O2-REF", "EEG C3-REF"]
    chbmit(tmp_path / "data", {"chb01": [edf_bytes(labels=labels)]})
    said = refused("train", "dataset=chbmit", "dataset.root=data", "device=cpu", code=3)
    assert "none of 1 recordings can be used" in said and "missing_channels" in said and "chb01_01" in said
    assert not any((tmp_path / "store").glob("*")) and not (tmp_path / "runs").exists()


def test_too_few_people_for_the_split_are_counted(refused, tmp_path, sizes):
    chbmit(tmp_path / "data", {"chb01": 1, "chb02": 1})
    said = refused(
        "train", "dataset=chbmit", "dataset.root=data", "split=subject", *sizes, code=3, nothing_written=False
    )
    assert "2 subjects, which cannot fill split.n_folds=5" in said
    assert not (tmp_path / "runs").exists()


FLOOR = ["dataset=chbmit", "model=logreg_bandpower", "split=subject", "split.n_folds=2", "n_jobs=1"]


def test_a_cut_recording_among_good_ones_is_counted_and_the_rest_is_used(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    cut, channels = edf_bytes(seed=9)[:-70000], edf_bytes(labels=["O1", "O2"])
    chbmit(tmp_path / "data", {"chb01": 2, "chb02": 2, "chb03": [cut, channels], "chb04": 2})
    cli.run("train", [*FLOOR, "dataset.root=data"])
    said = capsys.readouterr().out
    assert "7 of 8 recordings used" in said
    assert "skipped 1 (missing_channels)" in said and "chb03_02" in said
    assert re.search(r"1 recordings with truncated, the first: chb03_01: ", said), said
    report = find_runs(tmp_path / "runs")[0].path / "data_report.txt"
    assert report.read_text().strip() in said


# -------------------------------------------------------------------------------------------- privacy


def canary_spellings() -> list[bytes]:
    words = [*CANARIES, *(w.lower() for w in CANARIES), *(w.upper() for w in CANARIES)]
    return sorted({w.encode(code) for w in words for code in ("latin-1", "utf-16-le", "utf-16-be")})


def canaries_in(raw: bytes) -> list[bytes]:
    return [spelling for spelling in canary_spellings() if spelling in raw]


def test_the_canary_would_be_found():
    assert canaries_in(b"x" + "Haagse".encode("utf-16-le")) and canaries_in(b"..harry..")
    assert not canaries_in(b"a window")


@pytest.mark.slow
@pytest.mark.parametrize("model", ["teacher_tiny", "logreg_bandpower"])
def test_no_word_of_a_patient_leaves_the_header(tmp_path, launch, as_script, sizes, model):
    """Header fields with canary words through train, evaluate and two errors."""
    header = {
        "patient": "MRN0012345 M 02-MAY-1951 Haagse_Harry",
        "recording": "Startdate 02-MAY-1951 EMG561 Dr_Visible Haagse_Harry",
    }
    data = chbmit(tmp_path / "data", {f"chb{k:02d}": 1 for k in range(1, 5)}, **header)
    broken = chbmit(tmp_path / "broken", {"chb01": [edf_bytes(**header)[:3000]]})
    labels = ["O1", "O2"]
    other = chbmit(tmp_path / "other", {"chb01": [edf_bytes(labels=labels, **header)]})
    here = tmp_path / "here"
    here.mkdir()
    net = [*sizes] if model == "teacher_tiny" else ["n_jobs=1"]
    common = ["dataset=chbmit", "split=subject", "split.n_folds=2", f"model={model}", *net]
    runs = [
        launch("train", *common, f"dataset.root={data}", cwd=here),
        as_script("evaluate.py", cwd=here),
        as_script("train.py", *common, f"dataset.root={broken}", cwd=here),
        as_script("train.py", *common, f"dataset.root={other}", cwd=here),
    ]
    assert [r.returncode for r in runs] == [0, 0, 3, 3], [r.stderr for r in runs]
    if model == "teacher_tiny":
        runs.append(as_script("distill.py", *sizes, cwd=here))
        assert runs[-1].returncode == 0, runs[-1].stderr
    for done in runs:
        assert canaries_in((done.stdout + done.stderr).encode()) == []
    assert canaries_in(next(data.rglob("*.edf")).read_bytes()) != []
    files = [p for p in here.rglob("*") if p.is_file()]
    assert len(files) > 10
    for path in files:
        assert canaries_in(path.read_bytes()) == [], path.name
        assert canaries_in(os.fsencode(path.name)) == []


def test_the_store_keeps_allow_listed_facts_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    header = {
        "patient": "MRN0012345 M 02-MAY-1951 Haagse_Harry",
        "recording": "Startdate X Dr_Visible EMG561 X",
    }
    chbmit(tmp_path / "data", {f"chb{k:02d}": 1 for k in range(1, 5)}, **header)
    cli.run("train", [*FLOOR, "dataset.root=data"])
    table = pd.read_parquet(next((tmp_path / "store").rglob("recordings.parquet")))
    assert {key for text in table["metadata"] for key in json.loads(text)} <= {"age_band", "sex", "montage"}
    written = [p for top in ("store", "runs") for p in (tmp_path / top).rglob("*") if p.is_file()]
    assert [p.name for p in written if canaries_in(p.read_bytes())] == []


@pytest.mark.parametrize("module, extra", [("torch", "train"), ("optuna", "sweep")])
def test_what_is_not_installed_is_named_with_the_extra_that_brings_it(module, extra, monkeypatch, capsys):
    def lacks(*_):
        raise ModuleNotFoundError(f"No module named '{module}'", name=module)

    monkeypatch.setitem(cli.COMMANDS, "train", replace(cli.COMMANDS["train"], run=lacks))
    with pytest.raises(SystemExit) as stop:
        cli.run("train", [])
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert f"train needs {module}" in said and f"pip install 'distilclip-eeg[{extra}]'" in said


def test_a_module_that_no_extra_brings_is_a_bug_and_shows_its_traceback(monkeypatch):
    def broken(*_):
        raise ModuleNotFoundError("No module named 'distilclip_eeg.nowhere'", name="distilclip_eeg.nowhere")

    monkeypatch.setitem(cli.COMMANDS, "train", replace(cli.COMMANDS["train"], run=broken))
    with pytest.raises(ModuleNotFoundError):
        cli.run("train", [])


# ------------------------------------------------------------------------------------ several processes


@pytest.fixture
def second_of_two(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(sys, "stdout", sys.stdout)  # put back what the command line replaces


@pytest.mark.parametrize("verb", ["evaluate", "export", "tune"])
def test_what_one_process_does_is_refused_by_several(verb, second_of_two, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=f"{verb}: 2 processes were started, and one does this"):
        cli.act(verb, [])


def test_a_dry_run_of_several_says_that_it_tells_of_one(second_of_two):
    plan = SimpleNamespace(settings=SimpleNamespace(run=SimpleNamespace(dry=True)))
    with pytest.raises(ConfigError, match="run.dry=true tells what one process costs"):
        forecast.told(plan, SideBySide())


def test_a_floor_is_refused_by_several(second_of_two, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="logreg_bandpower is fitted by one process; 2 were started"):
        cli.act("train", ["model=logreg_bandpower"])


@pytest.mark.parametrize(
    "raised, said",
    [
        (ConfigError("seen by all"), ""),
        (RuntimeError("[gloo/transport/tcp/pair.cc:525] Connection closed by peer"), ""),
        (DataError("a disk of its own", reason="disk"), "process 1: error: a disk of its own"),
    ],
)
def test_the_second_process_says_only_what_the_first_cannot(
    raised, said, second_of_two, tmp_path, monkeypatch, capfd
):
    def run(settings, words):
        print("not shown")
        raise raised

    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(cli.COMMANDS, "train", replace(cli.COMMANDS["train"], run=run))
    with pytest.raises(SystemExit) as end:
        cli.run("train", [])
    out, err = capfd.readouterr()
    assert (out, err.strip()) == ("", said) and end.value.code in (2, 3, 4)
