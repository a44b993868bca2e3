"""A run folder belongs to one digest of settings: under the same name, others are refused or kept apart."""

import dataclasses
import json

import pytest
from tools import one_run

from distilclip_eeg.commands import cli
from distilclip_eeg.config.compose import load
from distilclip_eeg.config.experiment import TrainSettings
from distilclip_eeg.config.learning import DistillConfig
from distilclip_eeg.config.older import differences, digest_of
from distilclip_eeg.files.reading import read_json, read_parquet
from distilclip_eeg.files.writing import write_json
from distilclip_eeg.runs import Run, find_runs
from distilclip_eeg.schema import ConfigError, DataError
from distilclip_eeg.studies import cells
from distilclip_eeg.training import engine, pipeline
from distilclip_eeg.training.data import load_data
from distilclip_eeg.training.opening import open_run


@pytest.fixture(scope="module")
def words(tiny):
    return [*tiny, "split.n_folds=2", "run.name=a"]


@pytest.fixture(scope="module")
def data(words):
    return load_data(one_run(words).data)


@pytest.fixture
def run(words, data, tmp_path):
    return open_run(one_run([*words, f"run.root={tmp_path}"]), data)


OTHERS = {
    "model": (["model=logreg_bandpower"], "model.kind=teacher there, floor asked"),
    "network": (["model=eegnet"], "model.kind=teacher there, baseline asked"),
    "rate": (["optim.lr=0.02"], "optim.lr=0.003 there, 0.02 asked"),
    "width": (["model.net.dim=16"], "model.net.dim=8 there, 16 asked"),
    "batch": (["trainer.batch_size=16"], "trainer.batch_size=32 there, 16 asked"),
    "steps": (["trainer.max_steps=3"], "trainer.max_steps=None there, 3 asked"),
    "text": (["text.detail=full"], "text.detail=coarse there, full asked"),
    "loss": (["loss.alpha=0.25"], "loss.alpha=0.5 there, 0.25 asked"),
    "augment": (["augment=standard"], "augment=none there, standard asked"),
    "filter": (["signals.h_freq=40"], "signals.h_freq=70.0 there, 40"),
    "windows": (["windows.seizure_overlap=0.25"], "windows.seizure_overlap=0.5 there, 0.25 asked"),
    "seed": (["seed=3"], "seed=0 there, 3 asked"),
    "recordings": (["dataset.corpus.difficulty=0.1"], "dataset.corpus.difficulty=0.5 there, 0.1 asked"),
}
"""Words of a second command under the first one's name, and what is said of it."""


@pytest.mark.parametrize("what", OTHERS)
def test_the_same_name_with_other_settings_is_refused_with_both_values(what, run, words, data, tmp_path):
    before = {p: p.read_bytes() for p in run.path.iterdir()}
    more, said = OTHERS[what]
    kept = [w for w in words if what not in ("model", "network") or not w.startswith(("model.", "text_e"))]
    with pytest.raises(ConfigError, match="a run of other settings") as told:
        open_run(one_run([*kept, *more, f"run.root={tmp_path}"]), data)
    assert said in str(told.value) and told.value.reason == "other_settings" and "\n" not in str(told.value)
    assert "run.name" in str(told.value) and "run.fresh=true" in str(told.value)
    assert {p: p.read_bytes() for p in run.path.iterdir()} == before


def test_a_student_of_another_teacher_is_another_run(words, data, tmp_path):
    settings = one_run([*words, f"run.root={tmp_path}"])
    first, second = (
        dataclasses.replace(settings, distill=DistillConfig(teacher_sha256=sha)) for sha in ("aa", "bb")
    )
    open_run(first, data)
    with pytest.raises(ConfigError, match="distill.teacher_sha256=aa there, bb asked"):
        open_run(second, data)


def test_what_never_changes_a_number_may_change(run, words, data, tmp_path):
    for more in ("device=auto", "n_jobs=2", "fold=1", "trainer.epochs=9", "model.student=another"):
        again = open_run(one_run([*words, more, f"run.root={tmp_path}"]), data)
        assert again.path == run.path and again.data["digest"] == run.data["digest"]


def test_more_than_six_differences_are_counted(run, words, data, tmp_path):
    more = [
        one
        for name in ("rate", "width", "batch", "steps", "loss", "augment", "text")
        for one in OTHERS[name][0]
    ]
    with pytest.raises(ConfigError, match="and 1 more"):
        open_run(one_run([*words, *more, f"run.root={tmp_path}"]), data)


def test_an_exported_model_that_changed_since_is_another_start(words, data, tmp_path):
    start = tmp_path / "start"
    start.mkdir()
    settings = one_run([*words, f"run.root={tmp_path}", f"init_from={start}"])
    write_json(start / "config.json", {"weights": ["one"], "text": None})
    open_run(settings, data)
    write_json(start / "config.json", {"weights": ["two"], "text": None})
    with pytest.raises(ConfigError, match="a file that they name has changed since"):
        open_run(settings, data)


def test_the_digest_stands_in_the_name_where_it_is_asked_for(words, data, tmp_path):
    settings = one_run([*words, f"run.root={tmp_path}", "run.name='rate-{digest}'"])
    assert open_run(settings, data).path.name == f"rate-{digest_of(settings)}"


def test_several_seeds_under_one_name_have_folders_of_their_own(words):
    many = load(TrainSettings, [*words, "seed=[1,11]"]).each_seed()
    assert [(one.seed, one.run.name) for one in many] == [(1, "a-s1"), (11, "a-s11")]
    (one,) = load(TrainSettings, [*words, "seed=1"]).each_seed()
    assert one.run.name == "a"


def test_the_cells_of_a_grid_under_one_name_have_folders_of_their_own(words):
    assert cells.composed(tuple(words)).run.name == "a-{digest}"
    assert cells.composed(tuple(words[:-1])).run.name is None


@pytest.mark.parametrize(
    "word, apart",
    [
        ("run.name=sweep", "run.name='sweep-{digest}'"),
        ("run.name='my sweep'", "run.name='my sweep-{digest}'"),
        ("run.name=a,b", "run.name=a,b"),
        ("run.name=choice(a,b)", "run.name=choice(a,b)"),
        ("run.name='x-{digest}'", "run.name='x-{digest}'"),
        ("run.name=null", "run.name=null"),
        ("optim.lr=1,2", "optim.lr=1,2"),
    ],
)
def test_a_sweep_tells_its_runs_apart(word, apart):
    assert cli.apart(word) == apart


@pytest.mark.slow
def test_a_sweep_and_several_seeds_under_one_name_are_trained_each(tiny, launch, tmp_path):
    one = [*tiny, "split.n_folds=2", "fold=0"]
    sweep = launch("train", *one, "optim.lr=0.001,0.01", "run.name=sweep", "-m", cwd=tmp_path)
    assert sweep.returncode == 0, sweep.stderr
    seeds = launch("train", *one, "seed=[0,1]", "run.name=seeds", cwd=tmp_path)
    assert seeds.returncode == 0, seeds.stderr
    assert "finished already" not in sweep.stdout + seeds.stdout
    names = sorted(p.name for p in (tmp_path / "runs" / "synthetic").iterdir())
    assert names[:2] == ["seeds-s0", "seeds-s1"] and len(names) == 4
    assert all(len(name) == len("sweep-") + 8 for name in names[2:])


def test_a_half_fold_is_not_continued_with_another_rate(words, data, tmp_path):
    settings = one_run([*words, f"run.root={tmp_path}", "trainer.epochs=1"])
    cross = pipeline.training(settings, report=False)
    cross.open(0, engine.say_nothing)[0].run()
    checkpoint = cross.run.fold(0) / "checkpoint.pt"
    before = checkpoint.read_bytes()
    # as where someone copies a fold into another run's folder
    other = one_run([*words, f"run.root={tmp_path}", "trainer.epochs=2", "optim.lr=0.01", "run.name=b"])
    second = pipeline.training(other, report=False)
    second.run.fold(0).mkdir()
    (second.run.fold(0) / "checkpoint.pt").write_bytes(before)
    with pytest.raises(DataError, match="a checkpoint of other settings.*Delete it") as told:
        second.open(0, engine.say_nothing)
    assert told.value.reason == "other_settings"
    more = pipeline.training(dataclasses.replace(settings, trainer=other.trainer), report=False)
    assert more.open(0, engine.say_nothing)[0].epoch == 1


def test_a_run_of_0_1_0_that_notes_no_digest_is_known_by_its_settings(run, words, data, tmp_path):
    write_json(run.path / "data.json", {k: v for k, v in run.data.items() if k != "digest"})
    with pytest.raises(ConfigError, match="optim.lr=0.003 there, 0.02 asked"):
        open_run(one_run([*words, "optim.lr=0.02", f"run.root={tmp_path}"]), data)
    assert open_run(one_run([*words, f"run.root={tmp_path}"]), data).data["digest"]


@pytest.mark.parametrize("lost", ["config.yaml", "data.json"])
def test_either_file_may_be_lost_and_the_same_command_goes_on(lost, run, words, data, tmp_path):
    whole = (run.path / lost).read_bytes()
    (run.path / lost).unlink()
    open_run(one_run([*words, f"run.root={tmp_path}"]), data)
    assert (run.path / lost).read_bytes() == whole
    (run.path / lost).write_bytes(b"")
    with pytest.raises(DataError, match=f"{lost}: is empty. Delete it and give the command") as told:
        open_run(one_run([*words, f"run.root={tmp_path}"]), data)
    assert told.value.reason == "damaged_file"


def test_a_second_start_renews_no_digest_of_what_it_did_not_write(run, words, data, tmp_path):
    path = run.path / "folds.parquet"
    body = path.read_bytes()
    path.write_bytes(body[:100] + bytes([body[100] ^ 1]) + body[101:])
    open_run(one_run([*words, f"run.root={tmp_path}"]), data)
    with pytest.raises(DataError, match="folds.parquet: changed since it was written"):
        read_parquet(path)


def test_a_config_cut_at_any_line_is_told_or_means_the_same(run):
    path = run.path / "config.yaml"
    lines = path.read_text().splitlines(keepends=True)
    told, digest = 0, run.data["digest"]
    for n in range(1, len(lines)):
        path.write_text("".join(lines[:n]))
        try:
            assert digest_of(Run(run.path).settings) == digest
        except DataError as problem:
            told += str(path) in str(problem)
    assert told > len(lines) / 2


def test_differences_name_nothing_where_there_is_none(words):
    assert differences(one_run(words), one_run([*words, "device=auto", "run.name=b"])) == []


def test_the_folder_of_a_finished_run_is_found_whatever_else_lies_there(run, tmp_path, capsys):
    write_json(run.path / "metrics.json", {"folds": 0, "test": {}})
    (tmp_path / "x" / "foreign").mkdir(parents=True)
    (tmp_path / "x" / "foreign" / "metrics.json").write_text("{}")
    assert [one.path for one in find_runs(tmp_path)] == [run.path]
    said = capsys.readouterr().out
    assert said.count("passed over:") == 1 and "foreign" in said
    assert json.loads((run.path / "data.json").read_text()) == read_json(run.path / "data.json")
