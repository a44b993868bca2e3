"""The search of settings: what it may choose, who runs which trial, and that no test window is touched."""

import functools
import itertools
import math
import shlex
import time

import numpy as np
import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from distilclip_eeg.config.compose import CONFIG_DIR, load
from distilclip_eeg.config.experiment import DistillSettings, TrainSettings
from distilclip_eeg.config.rules import plain
from distilclip_eeg.config.studies import TuneSettings
from distilclip_eeg.runs import find_runs
from distilclip_eeg.schema import ConfigError
from distilclip_eeg.studies.tuning import search
from distilclip_eeg.studies.tuning import space as spaces
from distilclip_eeg.studies.tuning import trial as trials_of
from distilclip_eeg.studies.tuning.study import Study
from distilclip_eeg.training.data import Data, load_data
from distilclip_eeg.training.distillation import distillation, with_teacher_data
from distilclip_eeg.training.loaders import WindowSource
from distilclip_eeg.training.pipeline import training

NETWORKS = [
    p.stem
    for p in sorted((CONFIG_DIR / "model").glob("*.yaml"))
    if p.stem not in ("logreg_bandpower", "random_forest", "external")
]


@functools.cache
def space_of(*words):
    return spaces.read_space(load(TuneSettings, list(words)).space)


def tune(words, teacher=None):
    """``python scripts/tune.py``, its teacher found already."""
    search.tune(load(TuneSettings, words), words, teacher)


def train(words):
    """``python train.py``."""
    (settings,) = load(TrainSettings, words).each_seed()
    return training(settings, report=False).train()


# ------------------------------------------------------------------------------------------- the space


@pytest.mark.parametrize(
    "leaf, expected",
    [
        ([16, 32, 64], CategoricalDistribution([16, 32, 64])),
        (["adam"], CategoricalDistribution(["adam"])),
        ([None, 3], CategoricalDistribution([None, 3])),
        (["log", 1e-5, 1e-3], FloatDistribution(1e-5, 1e-3, log=True)),
        (["linear", 0, 0.5], FloatDistribution(0, 0.5)),
        (["linear", 4, 12], IntDistribution(4, 12)),
    ],
)
def test_a_list_is_values_or_a_range(leaf, expected):
    assert spaces.distribution("space.x", leaf) == expected


@pytest.mark.parametrize(
    "leaf", [3, [], "log", ["log", 0, 1], ["log", 1], ["linear", 2, 1], ["linear", "a", "b"], ["log", 1, 1]]
)
def test_anything_else_is_refused_by_name(leaf):
    with pytest.raises(ConfigError, match="space.optim.lr="):
        spaces.distribution("space.optim.lr", leaf)


def test_the_article_s_search_is_the_article_s():
    space = space_of()
    assert space["optim.lr"] == FloatDistribution(1e-5, 1e-3, log=True)
    assert spaces.values(space["trainer.batch_size"]) == [16, 32, 64]
    for key in ("model.net.dropout", "text_encoder.dropout"):
        assert spaces.values(space[key]) == [0.1, 0.2, 0.3, 0.4, 0.5]
    student = load(TuneSettings, ["space=student"]).space
    assert student["distill"] == {"temperature": [1.0, 3.0, 5.0]} and "text_encoder" not in student


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_has_the_settings_of_the_space_meant_for_it(name):
    cls, which = TrainSettings, "training"
    if name.startswith("teacher"):
        which = "article"
    if name.startswith("student"):
        cls, which = DistillSettings, "student"
    space = space_of(f"space={which}")
    assert len(space) == {"training": 3, "article": 5, "student": 5}[which]
    tree = plain(load(cls, [f"model={name}", *spaces.words(spaces.probes(space)[0])]))
    for key, value in spaces.probes(space)[0].items():
        assert spaces.value_of(tree, key) == value


def test_a_list_on_the_command_line_replaces_a_range_and_others_are_added_or_taken_out():
    words = ["space.optim.lr=[1e-4,1e-3]", "~space.optim.name", "+space.loss.alpha=[linear,0.1,0.9]"]
    space = space_of(*words)
    assert spaces.values(space["optim.lr"]) == [1e-4, 1e-3] and "optim.name" not in space
    assert space["loss.alpha"] == FloatDistribution(0.1, 0.9)


@pytest.mark.parametrize(
    "key", ["seed", "fold", "split.n_folds", "windows.length_s", "text.detail", "store.root"]
)
def test_what_all_trials_share_cannot_be_searched(key):
    tree = {}
    node = tree
    for part in key.split(".")[:-1]:
        node = node.setdefault(part, {})
    node[key.rpartition(".")[2]] = [1, 2]
    with pytest.raises(ConfigError, match=f"space.{key}: trials are compared on the same windows"):
        spaces.read_space(tree)


SMALL = {"a": CategoricalDistribution([1, 2, 3]), "b.c": CategoricalDistribution(["x", "y"])}
WIDE = {"lr": FloatDistribution(1e-5, 1e-3, log=True), "n": CategoricalDistribution([16, 32, 64])}


def test_combinations_are_counted_by_hand():
    assert spaces.n_combinations(SMALL, {}) == 6 and spaces.n_combinations(SMALL, {"a": 2}) == 2
    assert spaces.n_combinations(WIDE, {}) == math.inf and spaces.n_combinations(WIDE, {"lr": 1e-4}) == 3
    assert list(spaces.combinations(SMALL, {"b.c": "y"})) == [{"a": k, "b.c": "y"} for k in (1, 2, 3)]


def test_every_value_and_both_ends_of_every_range_are_checked_before_anything_is_read():
    probes = spaces.probes(WIDE | SMALL)
    assert {p["n"] for p in probes} == {16, 32, 64} and {p["lr"] for p in probes} == {1e-5, 1e-3}
    assert {p["b.c"] for p in probes} == {"x", "y"} and len(probes) == 3


def test_words_bring_back_every_digit_of_what_was_chosen():
    chosen = {"optim.lr": 0.00011781448719376506, "optim.name": "adamw", "trainer.patience": None}
    chosen |= {"trainer.batch_size": 64, "run.fresh": True, "optim.grad_clip": 1e-25}
    tree = plain(load(TrainSettings, spaces.words(chosen)))
    assert {key: spaces.value_of(tree, key) for key in chosen} == chosen


# ------------------------------------------------------------------------------------------- the study


def study(folder, space=WIDE, held=None, trials=8, startup=3, pruner="none"):
    return Study(folder, space, held=held or {}, trials=trials, startup=startup, pruner=pruner, seed=0)


def score(params):
    """Something to climb."""
    return -abs(math.log10(params["lr"]) + 4) + params["n"] / 640


def left_alone(one):
    """What the kernel does to the locks of a process that dies."""
    one.running.release()


def outcome(one):
    return [(p["lr"], p["n"]) for p in one.table().to_dict("records")], one.table()["val_macro_f1"].tolist()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    one = study(tmp_path_factory.mktemp("whole"))
    while (trial := one.next()) is not None:
        one.finish(trial, score(trial.params))
    return one


def test_a_search_ends_after_its_trials_and_its_table_is_a_csv(whole):
    table = pd.read_csv(whole.folder / "trials.csv")
    assert len(table) == 8 and (table["state"] == "complete").all()
    assert list(table.columns[:5]) == ["trial", "state", "val_macro_f1", "lr", "n"]
    assert table["lr"].between(1e-5, 1e-3).all() and table["lr"].nunique() == 8


@pytest.mark.parametrize("dies_at", [{0}, {3}, {2, 3, 7}, set(range(8))])
def test_a_search_that_dies_draws_what_it_would_have_drawn(tmp_path, whole, dies_at):
    one, begun = study(tmp_path), 0
    while (trial := one.next()) is not None:
        if begun in dies_at:
            dies_at = dies_at - {begun}
            left = trial.params
            left_alone(one)
            one = study(tmp_path)
            trial = one.next()
            assert trial.params == left  # taken over, not forgotten
        one.finish(trial, score(trial.params))
        begun += 1
    assert outcome(one) == outcome(whole)


def test_a_process_that_dies_while_drawing_leaves_nothing_behind(tmp_path, whole):
    one = study(tmp_path)
    one.finish(trial := one.next(), score(trial.params))
    one.optuna.ask()  # a trial without settings, held by nobody
    one = study(tmp_path)
    while (trial := one.next()) is not None:
        one.finish(trial, score(trial.params))
    assert outcome(one) == outcome(whole)


def test_a_trial_that_a_living_process_runs_is_not_taken_over(tmp_path):
    first, second = study(tmp_path, trials=3), study(tmp_path, trials=3)
    trials = [first.next(), second.next()]
    assert trials[0].params != trials[1].params
    third = study(tmp_path, trials=3)
    trials.append(third.next())
    assert study(tmp_path, trials=3).next() is None  # three are under way
    for one, begun in zip((first, second, third), trials, strict=True):
        one.finish(begun, 0.5)
    assert first.table()["trial"].tolist() == [0, 1, 2] and first.next() is None


def test_a_finite_space_is_tried_once_through_and_no_setting_twice(tmp_path):
    one = study(tmp_path, SMALL, trials=100)
    while (trial := one.next()) is not None:
        one.finish(trial, 1.0 if trial.params == {"a": 2, "b.c": "x"} else 0.0)  # tempts to repeat
    table = one.table()
    assert sorted(zip(table["a"], table["b.c"], strict=True)) == list(itertools.product((1, 2, 3), "xy"))


def test_what_the_command_line_fixes_is_fixed_and_joins_the_same_search(tmp_path):
    for held in ({"n": 32}, {"n": 64}, {"n": 32}):  # the third finds its trials done
        one = study(tmp_path, held=held, trials=2)
        while (trial := one.next()) is not None:
            one.finish(trial, score(trial.params))
    assert one.table()["n"].tolist() == [32, 32, 64, 64]
    with pytest.raises(ConfigError, match="n=48 is not in space.n"):
        spaces.check_held(WIDE, {"n": 48})
    with pytest.raises(ConfigError, match="lr=0.1 is not in space.lr"):
        spaces.check_held(WIDE, {"lr": 0.1})
    spaces.check_held(WIDE, {"lr": 1e-3, "n": 16})


def test_a_trial_behind_the_median_is_pruned_once_the_startup_is_over(tmp_path):
    one, pruned = study(tmp_path, trials=5, startup=3, pruner="median"), []
    for value in (0.5, 0.6, 0.1, 0.55, 0.4):  # median of the first three: 0.5
        trial = one.next()
        trial.report(value, 1)
        pruned.append(trial.should_prune())
        one.finish(trial, None if pruned[-1] else value)
    assert pruned == [False, False, False, False, True]
    assert one.table()["state"].tolist() == ["complete"] * 4 + ["pruned"]
    assert one.table()["val_macro_f1"].iloc[-1] == 0.4


# ------------------------------------------------------------------------------------- a real search


TRIALS = 8


def words(tiny, root, *more):
    kept = [o for o in tiny if not o.startswith("trainer.batch_size")]
    own = ["space=training", "space.optim.lr=[log,1e-3,1e-1]", "startup=4", f"trials={TRIALS}"]
    return [*kept, *own, "fold=[0,2]", f"run.root={root}", *more]


@pytest.fixture(scope="module")
def searched(tiny, tmp_path_factory):
    """A search of a few trials in this process: the rows batched in each fold, and what was printed."""
    root, rows, said = tmp_path_factory.mktemp("search"), {}, []
    batch, rows_of, open_fit = WindowSource.batch, Data.rows, trials_of.open_fit

    def noted_fit(learning, data, folder, fold, *args, **watch):
        rows["now"] = rows.setdefault(fold, set())
        return open_fit(learning, data, folder, fold, *args, **watch)

    def noted_batch(self, chosen, *args):
        rows["now"].update(chosen.tolist())
        return batch(self, chosen, *args)

    def checked_rows(self, fold, part):
        assert part in ("train", "val"), "a search asked for the test part"
        return rows_of(self, fold, part)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trials_of, "open_fit", noted_fit)
        patch.setattr(WindowSource, "batch", noted_batch)
        patch.setattr(Data, "rows", checked_rows)
        patch.setattr("builtins.print", lambda *words, **_: said.append(" ".join(map(str, words))))
        tune(words(tiny, root))
    (folder,) = root.glob("synthetic/tune-teacher_tiny-subject-s0-*")
    return {"folder": folder, "rows": rows, "said": said, "table": pd.read_csv(folder / "trials.csv")}


def test_no_trial_batches_or_predicts_a_test_window(searched, tiny):
    windows = load_data(load(TrainSettings, tiny).data).windows
    for fold in (0, 2):
        part = windows[f"fold{fold}"]
        validated, tested = (set(np.flatnonzero(part == name)) for name in ("val", "test"))
        assert validated <= searched["rows"][fold] and tested
        assert not searched["rows"][fold] & tested
    assert not list(searched["folder"].rglob("predictions.npz"))
    assert not list(searched["folder"].rglob("metrics.json"))


def test_the_score_is_the_mean_of_the_folds_best_validation_f1(searched):
    complete = searched["table"][searched["table"]["state"] == "complete"]
    assert len(complete) >= 4
    for _, row in complete.iterrows():
        files = [searched["folder"] / row["folder"] / f"fold{k}" / "history.csv" for k in (0, 2)]
        best = [pd.read_csv(f)["val_macro_f1"].max() for f in files]
        assert row["val_macro_f1"] == pytest.approx(np.mean(best), abs=1e-12)
    pruned = searched["table"][searched["table"]["state"] == "pruned"]
    assert len(searched["table"]) == len(complete) + len(pruned) == TRIALS
    assert not list(searched["folder"].rglob("checkpoint.pt"))  # nothing large is kept


def test_the_last_line_is_a_command_that_trains_the_best_setting_on_all_folds(searched):
    argv = shlex.split(searched["said"][-1].splitlines()[-1])
    assert argv[:2] == ["python", "train.py"] and not [w for w in argv if w.startswith(("fold", "trials"))]
    settings, table = load(TrainSettings, argv[2:]), searched["table"]
    assert settings.fold is None
    complete = table[table["state"] == "complete"]
    best = complete.loc[complete["val_macro_f1"].idxmax(), ["optim.lr", "optim.name", "trainer.batch_size"]]
    tried = {key: spaces.value_of(plain(settings), key) for key in best.index}
    assert tried == best.to_dict() and settings.trainer.epochs == 2


def test_that_command_trains_what_was_tried(searched, tmp_path, capsys):
    argv, table = shlex.split(searched["said"][-1].splitlines()[-1]), searched["table"]
    said = [w for w in argv[2:] if not w.startswith("run.root=")]
    train([*said, "fold=0", f"run.root={tmp_path}"])
    (ours,) = tmp_path.glob("synthetic/teacher_tiny-*/fold0/history.csv")
    complete = table[table["state"] == "complete"]
    folder = complete.loc[complete["val_macro_f1"].idxmax(), "folder"]
    assert ours.read_bytes() == (searched["folder"] / folder / "fold0" / "history.csv").read_bytes()


def test_a_row_that_a_kill_left_out_is_written_by_the_next_start(searched, tiny, capsys):
    path = searched["folder"] / "trials.csv"
    before = path.read_bytes()
    path.write_bytes(b"".join(before.splitlines(keepends=True)[:-1]))
    tune(words(tiny, searched["folder"].parents[1]))
    assert path.read_bytes() == before


def test_a_second_start_runs_nothing_and_more_trials_join_the_same_search(searched, tiny, capsys):
    root, before = searched["folder"].parents[1], (searched["folder"] / "trials.csv").read_bytes()
    tune(words(tiny, root))
    assert (searched["folder"] / "trials.csv").read_bytes() == before
    assert f"trial {TRIALS}" not in capsys.readouterr().out


def test_another_space_fold_or_length_of_training_is_another_search(tiny, tmp_path):
    others = ["trials=5", "jobs=2", "optim.lr=0.01", "device=auto"]  # the same search
    others += ["space.optim.lr=[log,1e-4,1e-3]", "fold=[0,1]", "trainer.epochs=1", "pruner=none", "startup=1"]
    others += ["seed=1", "model.net.dropout=0.1"]
    said = [words(tiny, tmp_path, other) for other in others]
    made = [search.Search.of(load(TuneSettings, one), one) for one in said]
    digests = [one.digest(load_data(one.first.data)) for one in made]
    assert len(set(digests[:4])) == 1 and len(set(digests)) == 8


def test_a_loss_that_is_not_finite_ends_the_trial_and_not_the_search(tiny, tmp_path):
    tune(
        [
            *words(tiny, tmp_path),
            "trials=2",
            "space.optim.lr=[1000]",
            "space.optim.name=[adamw]",
            "optim.grad_clip=null",
            "optim.weight_decay=1e6",
        ]
    )
    (path,) = tmp_path.glob("synthetic/tune-*/trials.csv")
    table = pd.read_csv(path)
    assert table["state"].tolist() == ["pruned", "pruned"]
    assert (table["note"] == "the loss was not finite").all()


@pytest.mark.slow
def test_a_grid_by_hydra_multirun_fills_one_search(tiny, tmp_path, monkeypatch, capsys):
    from distilclip_eeg.commands import cli

    monkeypatch.chdir(tmp_path)
    grid = ["-m", "optim.lr=1e-3,1e-2", "trainer.batch_size=16,32", "optim.name=adam"]
    cli.run("tune", [*words(tiny, "runs"), *grid])
    (path,) = tmp_path.glob("runs/synthetic/tune-*/trials.csv")
    table = pd.read_csv(path)
    found = sorted(zip(table["optim.lr"], table["trainer.batch_size"], strict=True))
    assert found == list(itertools.product((1e-3, 1e-2), (16, 32)))
    assert [p.name for p in tmp_path.iterdir()] == ["runs"]
    assert "4 trials" in capsys.readouterr().out


@pytest.mark.parametrize(
    "word, message",
    [
        ("model=random_forest", "no epochs to validate"),
        ("model=eegnet", "trained without a text encoder"),
        ("space.optim.name=[adam,sgd]", "optim.name='sgd'"),
        ("space.model.net.dropout=[0.1,2]", "dropout"),
        ("+space.model.net.dpth=[1,2]", "Did you mean model.net.depth"),
        ("optim.lr=1", "optim.lr=1.0 is not in space.optim.lr"),
        ("seed=[0,1]", "seed="),
        ("pruner=best", "pruner='best'"),
        ("~space", "space is empty"),
        ("trials=0", "trials=0"),
        ("jobs=0", "jobs=0"),
        ("startup=0", "startup=0"),
        ("cluster=pbs", "cluster='pbs'"),
        ("trails=3", "Did you mean trials"),
        ("space=all", "article, student, training"),
    ],
)
def test_a_wrong_word_is_refused_before_anything_is_written(word, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as refused:
        tune([word])
    assert message in str(refused.value) and "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


# --------------------------------------------------------------------------- processes, kills, clusters


@pytest.mark.slow
def test_a_killed_search_ends_with_all_its_trials_none_lost_and_none_repeated(
    tiny, searched, tmp_path, child, launch
):
    argv = words(tiny, tmp_path / "runs")
    process, path = child("scripts/tune", *argv, cwd=tmp_path), None
    while path is None or len(pd.read_csv(path)) < 4:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
        path = next(tmp_path.glob("runs/synthetic/tune-*/trials.csv"), None)
    process.kill()
    process.wait()
    assert 4 <= len(pd.read_csv(path)) < TRIALS
    done = launch("scripts/tune", *argv, cwd=tmp_path)
    assert done.returncode == 0 and f"{TRIALS} trials" in done.stdout, done.stderr
    table, same = pd.read_csv(path), ["state", "val_macro_f1", "optim.lr", "optim.name", "trainer.batch_size"]
    assert len(table) == TRIALS and not table.duplicated(["optim.lr"]).any()
    pd.testing.assert_frame_equal(table[same], searched["table"][same])  # as if never killed


@pytest.mark.slow
@pytest.mark.parametrize("how", [["jobs=2"], ["jobs=2", "cluster=debug"]], ids=["processes", "submitit"])
def test_several_workers_share_one_search(tiny, tmp_path, how):
    tune([*words(tiny, tmp_path), "trials=3", "fold=0", *how])
    (path,) = tmp_path.glob("synthetic/tune-*/trials.csv")
    table = pd.read_csv(path)
    assert len(table) == 3 and table["optim.lr"].nunique() == 3


@pytest.mark.slow
def test_a_student_s_temperature_is_tuned_on_its_teacher_s_folds(tiny, sizes, tmp_path, capsys):
    teacher = train([*tiny, "split.n_folds=2", f"run.root={tmp_path}"])
    small = [o for o in sizes if not o.startswith("trainer.batch_size")]
    own = ["model=student_tiny", "space=student", f"teacher={teacher.path}"]
    capsys.readouterr()
    tune([*own, *small, "fold=0", "trials=3", f"run.root={tmp_path}"], teacher)
    said = capsys.readouterr().out
    (path,) = tmp_path.glob("synthetic/tune-student_tiny-*/trials.csv")
    assert pd.read_csv(path)["distill.temperature"].isin([1, 3, 5]).all()
    argv = shlex.split(said.strip().splitlines()[-1])
    assert argv[:3] == ["python", "distill.py", f"teacher={teacher.path}"]
    found = load(DistillSettings, argv[2:])
    student = distillation(with_teacher_data(found, teacher), teacher).train()
    assert student.settings.model.name == "student_tiny" and find_runs(tmp_path)[-1].path == student.path
