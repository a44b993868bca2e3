"""What a run will cost is said before it starts, and leaves no trace in the run."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from test_stops import RUN_FILES, digests
from tools import one_run

from distilclip_eeg import workers
from distilclip_eeg.commands import cli
from distilclip_eeg.config.compose import load
from distilclip_eeg.config.experiment import TrainSettings
from distilclip_eeg.progress import Ticker
from distilclip_eeg.schema import MachineError
from distilclip_eeg.training import crossval, engine, forecast, measure, pipeline
from distilclip_eeg.training.forecast import Fold, Forecast
from distilclip_eeg.training.measure import Costs, Network

TWO = ["split.n_folds=2", "trainer.epochs=1"]
COSTS = Costs(
    open_s=1.0, open_window_s=0.001, describe_s=0.002, step_s=0.1, epoch_s=0.5, answer_s=0.01, save_s=2.0,
    text_share=0.25, peak=10**9,
)  # fmt: skip
SIZES = Network(1000, 800, 3200, 4000, 4200, averaged=False)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def stores(tiny):
    return [word for word in tiny if word.startswith("store.root=")]


@pytest.fixture
def plan(tiny, here):
    return pipeline.plan(one_run([*tiny, *TWO]), report=False)


@pytest.fixture
def how(tiny):
    return lambda *words: load(TrainSettings, [*tiny, *words])


def test_a_dry_run_says_what_is_to_come_and_writes_nothing(tiny, here, capsys):
    cli.act("train", [*tiny, *TWO, "run.dry=true"])
    said = capsys.readouterr().out
    told = dict(line.split(maxsplit=1) for line in said.partition("what the run")[2].splitlines()[1:])
    assert list(told) == ["device", "model", "windows", "steps", "text", "time", "memory", "disk"]
    assert told["device"] == f"cpu, threads={torch.get_num_threads()}, fp32"
    assert told["model"].startswith("teacher_tiny, 5,111 parameters, 5,111 of them trained")
    assert told["text"].endswith(" % of the forward pass") and told["time"].endswith(" ms a step")
    assert "test accuracy" not in said and not list(here.iterdir())


@pytest.mark.parametrize("model", ["eegnet", "logreg_bandpower"])
def test_a_network_without_text_and_a_floor_can_be_asked_too(model, tiny_data, here, capsys):
    small = ["n_jobs=1", "device=cpu", "trainer.epochs=3", "trainer.batch_size=16"]
    cli.act("train", [*tiny_data, *small, *TWO[:1], f"model={model}", "run.dry=true"])
    said = capsys.readouterr().out
    assert "\n  time     " in said and "\n  text" not in said and ("\n  steps" in said) == (model == "eegnet")


def test_a_student_can_be_asked_and_its_teacher_is_left_as_it_was(tiny, sizes, here, capsys):
    cli.act("train", [*tiny, *TWO])
    before = digests(here)
    cli.act("distill", [*sizes, *stores(tiny), "run.dry=true", "distill.cosine=0.5"])
    assert "model    student_tiny" in capsys.readouterr().out and digests(here) == before


def test_measuring_first_changes_no_byte_of_the_run(tiny, here, monkeypatch):
    words = [*tiny, "split.n_folds=2", "fold=0", "optim.ema=0.9"]
    cli.act("train", [*words, "run.root=without"])
    monkeypatch.setattr(forecast, "LONG", 1)
    cli.act("train", [*words, "run.root=with"])
    files = (*RUN_FILES, "checkpoint.pt")
    without = digests(here / "without", files)
    assert len(without) == 6 and digests(here / "with", files) == without


@pytest.mark.parametrize("more", [[], ["optim.ema=0.9"], ["optim.name=adamw"]])
def test_a_checkpoint_is_as_large_as_was_said(more, tiny_data, here):
    words = ["model=student_tiny", "trainer.max_steps=1", "device=cpu", "n_jobs=1", "fold=0"]
    plan = pipeline.plan(one_run([*tiny_data, "split.n_folds=2", *words, *more]), report=False)
    said = measure.network(plan, 0).checkpoint
    run = plan.begin().train()
    written = (run.fold(0) / "checkpoint.pt").stat().st_size
    assert said <= written <= 1.15 * said  # names, shapes and the order of many small tensors


def test_time_is_the_sum_of_its_parts(plan, how):
    small = replace(plan.settings.trainer, batch_size=10, epochs=4)
    plan = replace(plan, settings=replace(plan.settings, trainer=small))
    fold = Fold(train=95, val=20, test=30, steps=40)
    told = Forecast(plan, how(), (fold, fold), SIZES, COSTS)
    opened = 1 + 0.001 * len(plan.data.windows)
    steps = 0.1 * 38  # 40, of which every tenth has 5 windows in place of 10
    epochs = 4 * (0.5 + 0.01 * 20)
    end = 0.01 * (20 + 30) + 2
    assert told.seconds(fold) == pytest.approx(opened + steps + epochs + end)
    assert told.total_s == pytest.approx(2 * told.seconds(fold) + told.before_s)
    assert told.seconds(replace(fold, steps=15)) == pytest.approx(opened + 0.1 * 14.25 + 2 * 0.7 + end)


def test_short_epochs_are_counted_as_often_as_they_are_judged(plan, how):
    short = replace(plan.settings.trainer, batch_size=10, epochs=6, steps_per_epoch=5, max_train_windows=100)
    assert [short.steps(n) for n in (95, 1000)] == [30, 30]
    assert [replace(short, steps_per_epoch=None).steps(n) for n in (95, 1000)] == [60, 60]
    plan = replace(plan, settings=replace(plan.settings, trainer=short))
    told = Forecast(plan, how(), (), SIZES, COSTS)
    fold = Fold(train=100, val=20, test=30, steps=30)
    judged = told.seconds(fold) - told.seconds(replace(fold, steps=25)) - 5 * 0.1
    assert judged == pytest.approx(0.5 + 0.01 * 20)


def test_disk_is_what_all_folds_keep_and_two_older_checkpoints_of_each_at_work(plan, how):
    fold = Fold(train=95, val=20, test=30, steps=40)
    checkpoint = 2 * 4000 + 2 * 3200
    kept = 3 * (checkpoint + 4000 + 320 * 50)
    assert Forecast(plan, how(), (fold,) * 3, SIZES, COSTS).disk == kept + 2 * checkpoint
    assert Forecast(plan, how("jobs=2"), (fold,) * 3, SIZES, COSTS).disk == kept + 4 * checkpoint
    averaged = replace(SIZES, averaged=True)
    assert averaged.checkpoint == checkpoint + 4000 and averaged.least_memory == SIZES.least_memory + 4000


@pytest.mark.parametrize("words", [["jobs=1"], ["cluster=debug"]])
def test_a_disk_that_is_too_small_is_told_before_anything_is_written(words, tiny, here, monkeypatch):
    monkeypatch.setattr(forecast, "free_bytes", lambda folder: 1000)
    with pytest.raises(MachineError, match=r"run.root=runs: 2 folds need .* MB of disk and 0.0 MB are free"):
        cli.act("train", [*tiny, *TWO, *words])
    assert not list(here.iterdir())


def test_memory_that_is_too_small_for_all_processes_is_told(plan, how, monkeypatch):
    fold = Fold(train=95, val=20, test=30, steps=40)
    monkeypatch.setattr(forecast, "all_memory", lambda device: 2.5e9)
    for jobs in (1, 2):
        Forecast(plan, how(f"jobs={jobs}"), (fold,) * 4, SIZES, COSTS).check()
    Forecast(plan, how("jobs=3"), (fold,) * 2, SIZES, COSTS).check()  # there are only two
    Forecast(plan, how("jobs=3", "cluster=debug"), (fold,) * 4, SIZES, COSTS).check()  # on other machines
    with pytest.raises(
        MachineError, match="3 folds at a time need 3.0 GB of memory and cpu has 2.5 GB"
    ) as told:
        Forecast(plan, how("jobs=3"), (fold,) * 4, SIZES, COSTS).check()
    assert told.value.reason == "memory_too_small"


def test_a_container_s_limit_counts_where_it_is_below_the_machine_s_memory(tmp_path, monkeypatch):
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(workers, "LIMITS", (str(limit), str(tmp_path / "none")))
    machine = forecast.all_memory(torch.device("cpu"))
    limit.write_text("max\n")
    assert forecast.all_memory(torch.device("cpu")) == machine > 10**8
    limit.write_text("1000000\n")
    assert forecast.all_memory(torch.device("cpu")) == 1_000_000


def test_only_what_is_left_counts(plan, how, here):
    said = Forecast.of(plan, how())
    first, second = said.folds
    assert [forecast.numbers_to_do(plan), first.steps] == [[0, 1], -(-first.train // 32)]
    plan.begin().train()
    assert Forecast.of(plan, how()).lines() == ["nothing is left to do"]
    longer = replace(plan, settings=replace(plan.settings, trainer=replace(plan.settings.trainer, epochs=3)))
    assert [fold.steps for fold in Forecast.of(longer, how()).folds] == [2 * first.steps, 2 * second.steps]
    anew = replace(longer, settings=replace(longer.settings, run=replace(plan.settings.run, fresh=True)))
    assert [fold.steps for fold in Forecast.of(anew, how()).folds] == [3 * first.steps, 3 * second.steps]


class Bar(Ticker):
    """Notes what the bar says."""

    def __init__(self, total, text, said):
        super().__init__(total, text)
        self.noted = said
        said.append((0, total))

    def advance(self, n=1, text=None):
        super().advance(n, text)
        self.noted.append((self.done, self.total))


@pytest.mark.parametrize(
    "words, steps",
    [
        (["trainer.epochs=2"], None),
        (["trainer.max_steps=3"], [3, 3]),
        (["trainer.epochs=2", "trainer.steps_per_epoch=2"], [4, 4]),
        (["trainer.patience=1"], None),
    ],
)
def test_the_bar_counts_what_will_be_done_from_the_first_moment(words, steps, tiny, here):
    plan = pipeline.plan(one_run([*tiny, "split.n_folds=2", "optim.lr=1e-9", *words]), report=False)
    rows = [len(crossval.train_rows(plan.data, k)) for k in (0, 1)]
    steps = steps or [plan.settings.trainer.steps(n) for n in rows]
    said: list[tuple[int, int]] = []
    cross = replace(plan.begin(), ticker=partial(Bar, said=said))
    assert [cross.open(k, lambda n, text: None)[0].total_steps for k in (0, 1)] == steps
    cross.train()
    done = sum(plan.begin().run.metrics(k)["steps"] for k in (0, 1))
    assert said[0] == (0, sum(steps)) and said[-1][0] == done
    if "trainer.patience=1" not in words:
        assert {total for _, total in said} == {sum(steps)} and done == sum(steps)


def test_patience_shortens_the_bar_when_a_fold_ends_early(tiny, here, monkeypatch):
    monkeypatch.setattr(engine.Fit, "beaten", lambda fit, row: False)  # no epoch is better than the first
    words = ["split.n_folds=2", "trainer.epochs=5", "trainer.patience=1"]
    plan = pipeline.plan(one_run([*tiny, *words]), report=False)
    each = [plan.settings.trainer.steps(len(crossval.train_rows(plan.data, k))) for k in (0, 1)]
    said: list[tuple[int, int]] = []
    run = replace(plan.begin(), ticker=partial(Bar, said=said)).train()
    first = run.metrics(0)["steps"]
    assert first < each[0]
    assert said[0] == (0, sum(each)) and (first + 1, first + each[1]) in said


def test_a_sample_has_as_many_windows_as_are_asked_for_each_on_its_side(plan):
    few = measure.sample(plan.data, 0, 1000, 70)
    assert len(few.rows(0, "train")) == 1000 and len(few.rows(0, "val")) == 70
    assert len(crossval.train_rows(few, 0)) == 1000  # nothing is balanced away
    first = plan.data.windows["first"].to_numpy()
    assert set(few.windows["first"][:1000]) <= set(first[crossval.train_rows(plan.data, 0)])
    before = set(plan.data.store.path.iterdir())
    table = few.measures()
    assert set(plan.data.store.path.iterdir()) == before and few.described_s > 0
    row = int(np.flatnonzero(first == few.windows["first"].iloc[0])[0])
    np.testing.assert_array_equal(table.iloc[0], plan.data.measures().iloc[row])
