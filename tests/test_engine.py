"""The training loop: exact resume, damage and full disks, precision, and the choice of the epoch."""

import errno
import functools
import hashlib
import os
import signal
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from distilclip_eeg import runs
from distilclip_eeg.config.learning import OptimConfig, TrainerConfig
from distilclip_eeg.endings import Stop, listening
from distilclip_eeg.files.digests import write_atomic
from distilclip_eeg.models.conformer import Conformer
from distilclip_eeg.schema import ConfigError, DataError
from distilclip_eeg.training import checkpoints
from distilclip_eeg.training.averaging import RunningMean
from distilclip_eeg.training.checkpoints import read_checkpoint
from distilclip_eeg.training.devices import make_accelerator
from distilclip_eeg.training.engine import Fit, Loop
from distilclip_eeg.training.loaders import Batch, ahead, epoch_order
from distilclip_eeg.training.predicting import predict
from distilclip_eeg.training.tasks import ClassifyTask, Task

CHANS, TIMES, TRAIN, VAL = 3, 64, np.arange(20), np.arange(20, 30)


class Windows:
    """A source of random windows whose class shows in their size."""

    resident = False

    def __init__(self):
        rng = np.random.default_rng(0)
        self.label = np.arange(30) % 2
        eeg = rng.standard_normal((30, CHANS, TIMES)) * (1 + self.label[:, None, None])
        self.eeg = torch.from_numpy(eeg.astype(np.float32))

    def batch(self, rows, device="cpu"):
        rows = np.asarray(rows)
        return Batch(self.eeg[rows], torch.from_numpy(self.label[rows]), rows)


def conformer():
    torch.manual_seed(11)
    return Conformer(
        **{"n_chans": CHANS, "n_times": TIMES, "sfreq": 64.0, "n_outputs": 2, "dim": 8, "depth": 1},
        **{"heads": 2, "n_prompts": 2, "embed": 6, "filters": 4, "dropout": 0.3},
    )


def fit(folder, task=None, precision="fp32", ema=0.9, lr=1e-2, source=None, grad_clip=1.0, **trainer):
    folder.mkdir(parents=True, exist_ok=True)
    return Fit(
        task or ClassifyTask(conformer()),
        source or Windows(),
        TRAIN,
        VAL,
        folder,
        Loop(
            TrainerConfig(**({"epochs": 3, "batch_size": 6, "precision": precision} | trainer)),
            OptimConfig(lr=lr, ema=ema, warmup_steps=5, grad_clip=grad_clip),
            seed=3,
            accelerator=make_accelerator(precision, "cpu"),
        ),
    )


def result(training):
    """Weights, history and predictions of a finished training."""
    task = training.run()
    logits = predict(task, training.source, VAL, training.accelerator)
    weights = {k: v.clone() for k, v in task.state_dict().items()}
    return weights, (training.folder / "history.csv").read_bytes(), logits.tobytes()


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """``unbroken(ema=0.0)``: the result of a training that nothing disturbs; each is trained once."""

    @functools.cache
    def trained(**settings):
        return result(fit(tmp_path_factory.mktemp("whole"), **settings))

    return trained


def assert_same(a, b):
    assert a[0].keys() == b[0].keys()
    for name in a[0]:
        assert torch.equal(a[0][name], b[0][name]), name
    assert a[1:] == b[1:]


def stop_at(training, step):
    """Let ``training`` die in front of ``step``, as if the machine had."""
    original = training.prepare_step

    def prepare_step(made):
        if training.step == step:
            raise KeyboardInterrupt
        return original(made)

    training.prepare_step = prepare_step
    with pytest.raises(KeyboardInterrupt):
        training.run()
    del training.prepare_step


# ------------------------------------------------------------------------------------ exact resume


def test_the_order_of_an_epoch_depends_on_seed_and_epoch_alone():
    rows = np.arange(100, 140)
    np.random.seed(0)
    first = epoch_order(rows, 1, 2)
    np.random.rand(7)
    np.testing.assert_array_equal(first, epoch_order(rows, 1, 2))
    assert sorted(first) == list(rows)
    for seed, epoch in ((1, 3), (2, 2)):
        assert list(epoch_order(rows, seed, epoch)) != list(first)


def test_the_running_mean_of_a_short_training_forgets_its_first_weights():
    weight = torch.nn.Linear(1, 1, bias=False)
    mean = RunningMean(weight, 0.3)
    for n, value in enumerate((1.0, 0.0, 0.0, 0.0)):
        torch.nn.init.constant_(weight.weight, value)
        mean.update(weight, n)
    # Decays 2/11, 3/12 and, as 4/13 is above it, the decay asked for.
    assert mean.module.weight.item() == pytest.approx(2 / 11 * 3 / 12 * 0.3)


@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize("step", [0, 3, 5, 8, 11])
def test_a_broken_training_ends_like_an_unbroken_one(tmp_path, ema, step, unbroken):
    """Four steps an epoch; dropout is on; the break is at any place of any epoch."""
    whole = unbroken(ema=ema)
    stop_at(fit(tmp_path / "broken", ema=ema), step)
    torch.manual_seed(12345)  # what another process would have instead
    task = ClassifyTask(conformer())
    if step >= 4:  # there is a checkpoint, so nothing of a fresh start may survive
        with torch.no_grad():
            for parameter in task.parameters():
                parameter.add_(1.0)
    again = fit(tmp_path / "broken", task=task, ema=ema)
    assert_same(result(again), whole)


def test_several_breaks_in_a_row_change_nothing(tmp_path, unbroken):
    whole = unbroken()
    for step in (2, 4, 7, 9):
        stop_at(fit(tmp_path / "broken"), step)
    assert_same(result(fit(tmp_path / "broken")), whole)


def test_going_on_for_more_epochs_equals_having_asked_for_them(tmp_path, unbroken):
    whole = unbroken(epochs=4)
    fit(tmp_path / "longer", epochs=2).run()
    assert_same(result(fit(tmp_path / "longer", epochs=4)), whole)


def test_a_finished_training_is_not_trained_again(tmp_path):
    first = result(fit(tmp_path))
    again = fit(tmp_path)
    again.prepare_step = lambda made: pytest.fail("trained")
    assert_same(result(again), first)


def test_a_checkpoint_holds_plain_values_and_tensors_only(tmp_path):
    fit(tmp_path, epochs=1).run()

    def walk(value):
        if isinstance(value, dict):
            for key, child in value.items():
                assert type(key) in (str, int)
                walk(child)
        elif isinstance(value, list | tuple):
            for child in value:
                walk(child)
        else:
            assert value is None or type(value) in (str, int, float, bool, torch.Tensor), type(value)

    walk(read_checkpoint(tmp_path / "checkpoint.pt"))


# ------------------------------------------------------------------------------------- things go wrong


class Explodes(ClassifyTask):
    """NaN from step ``at`` on."""

    at = 6
    calls = 0

    def forward(self, batch):
        terms = super().forward(batch)
        self.calls += 1
        return terms | {"loss": terms["loss"] * float("nan")} if self.calls > self.at else terms


def test_a_loss_that_is_not_a_number_stops_and_leaves_the_checkpoint_intact(tmp_path):
    training = fit(tmp_path, Explodes(conformer()))
    with pytest.raises(DataError, match=r"loss is nan at step 6 .*Lower optim.lr") as caught:
        training.run()
    assert caught.value.reason == "non_finite" and "\n" not in str(caught.value)
    saved = read_checkpoint(tmp_path / "checkpoint.pt")
    assert (saved["epoch"], saved["step"]) == (1, 4)
    assert all(torch.isfinite(v).all() for v in saved["task"].values())
    assert_same(result(fit(tmp_path)), result(fit(tmp_path.parent / f"{tmp_path.name}-whole")))


@pytest.mark.parametrize("log_every", [1, 3, 1000])
def test_it_is_found_however_seldom_the_loss_is_read(tmp_path, log_every):
    training = fit(tmp_path, Explodes(conformer()), log_every=log_every)
    with pytest.raises(DataError, match=r"loss is nan at step 6 \(epoch 2, windows \[") as caught:
        training.run()
    assert caught.value.reason == "non_finite"
    assert training.step <= 6 + log_every and training.step <= 8  # the epoch's end at the latest
    assert read_checkpoint(tmp_path / "checkpoint.pt")["step"] == 4


def test_weights_that_are_no_numbers_are_never_saved(tmp_path):
    """Every loss is a number; the last step's gradient is none, so that no later loss could tell."""
    training = fit(tmp_path, grad_clip=None)
    training.plain.net.classifier.weight.register_hook(
        lambda gradient: gradient * float("nan") if training.step == 7 else gradient
    )
    with pytest.raises(DataError, match=r"classifier.weight .*no numbers after step 7 \(epoch 2\)") as caught:
        training.run()
    assert caught.value.reason == "non_finite"
    saved = read_checkpoint(tmp_path / "checkpoint.pt")
    assert saved["step"] == 4 and all(torch.isfinite(v).all() for v in saved["task"].values())


def test_how_often_the_loss_is_read_changes_nothing(tmp_path):
    often, seldom = (result(fit(tmp_path / str(n), log_every=n)) for n in (1, 1000))
    assert_same(often, seldom)


def test_the_bar_shows_the_last_loss_that_was_read(tmp_path):
    training, said = fit(tmp_path, log_every=2, epochs=1), []
    training.loop = replace(training.loop, tick=lambda steps, text: said.append(text))
    training.run()
    losses = [text.partition("loss ")[2] for text in said]
    assert losses[0] == "" and losses[1] == losses[2] != losses[3]
    assert all(text.startswith("epoch 1/1") for text in said)


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "longer"])
def test_a_damaged_checkpoint_is_refused_by_name(tmp_path, damage):
    fit(tmp_path, epochs=1).run()
    path = tmp_path / "checkpoint.pt"
    good = path.read_bytes()
    places = np.random.default_rng(0).integers(0, len(good), 25)
    for place in places if damage in ("flip", "cut") else [0]:
        bad = {
            "flip": good[:place] + bytes([good[place] ^ 1 << int(place) % 8]) + good[place + 1 :],
            "cut": good[:place],
            "empty": b"",
            "longer": good + b"\0",
        }[damage]
        path.write_bytes(bad)
        with pytest.raises(DataError, match="checkpoint.pt is damaged .*Delete this file") as caught:
            fit(tmp_path).run()
        assert caught.value.reason == "corrupt_checkpoint"
        assert path.read_bytes() == bad
    path.write_bytes(good)
    fit(tmp_path).run()


@pytest.mark.parametrize("damage", [b"", b"cut", None])
def test_the_checkpoint_before_takes_the_place_of_a_damaged_one(tmp_path, capsys, damage, unbroken):
    whole = unbroken()
    training = fit(tmp_path / "damaged")
    stop_at(training, 10)  # two epochs of four steps are saved
    path, before = training.checkpoint, tmp_path / "damaged" / "checkpoint.prev.pt"
    assert (read_checkpoint(before)["step"], read_checkpoint(path)["step"]) == (4, 8)
    path.unlink() if damage is None else path.write_bytes(damage)
    again = fit(tmp_path / "damaged")
    assert again.step == 4
    said = capsys.readouterr().out
    assert said.count("\n") == (damage is not None)
    assert damage is None or "checkpoint.pt is damaged" in said and "going on from checkpoint.prev.pt" in said
    assert_same(result(again), whole)


def test_a_checkpoint_that_cannot_be_read_back_leaves_the_one_before(tmp_path, monkeypatch):
    training = fit(tmp_path)
    stop_at(training, 5)
    before = training.checkpoint.read_bytes()
    monkeypatch.setattr(checkpoints, "write_atomic", lambda path, body: path.write_bytes(body[:-1]))
    with pytest.raises(DataError, match="what is read back is not what was written") as caught:
        training.run()
    assert caught.value.reason == "write_failed"
    assert training.checkpoint.read_bytes() == before and not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    "number, step",
    [*((signal.SIGTERM, step) for step in (0, 1, 3, 4, 6, 11)), (signal.SIGINT, 0), (signal.SIGINT, 6)],
)
def test_a_signal_saves_the_step_and_the_end_is_the_same(tmp_path, number, step, unbroken):
    whole = unbroken()
    training = fit(tmp_path / "stopped")
    original = training.finish_step

    def finish_step(terms, batch):
        if training.step == step:
            os.kill(os.getpid(), number)
        original(terms, batch)

    training.finish_step = finish_step
    with listening(), pytest.raises(Stop):
        training.run()
    again = fit(tmp_path / "stopped")
    assert again.step == step + 1
    assert_same(result(again), whole)


def test_a_signal_while_an_epoch_is_judged_loses_no_step(tmp_path, monkeypatch, unbroken):
    whole = unbroken()
    for epoch in (0, 2):  # the first, and the last one, whose steps are all done
        training, judge = fit(tmp_path / "stopped"), Fit.validate

        def validate(self, epoch=epoch, judge=judge):
            if self.epoch == epoch:
                os.kill(os.getpid(), signal.SIGTERM)
            return judge(self)

        with monkeypatch.context() as patch, listening(), pytest.raises(Stop):
            patch.setattr(Fit, "validate", validate)
            training.run()
        again = fit(tmp_path / "stopped")
        assert (again.step, again.epoch, len(again.history)) == (4 * (epoch + 1), epoch, epoch)
    assert_same(result(again), whole)


@pytest.mark.parametrize("where", ["replace", "fsync"])
def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, where):
    path = tmp_path / "file"
    write_atomic(path, b"old")

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(runs.os, where, full)
    with pytest.raises(DataError, match="file could not be written .*No space left") as caught:
        write_atomic(path, b"new")
    assert caught.value.reason == "write_failed" and "\n" not in str(caught.value)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["file"]


def test_a_disk_that_fills_up_in_training_leaves_the_last_epochs_checkpoint(tmp_path, monkeypatch, unbroken):
    whole = unbroken()
    training = fit(tmp_path / "full")
    stop_at(training, training.steps_per_epoch)
    before = training.checkpoint.read_bytes()
    with monkeypatch.context() as patch:

        def full(*args):
            raise OSError(errno.ENOSPC, "No space left on device")

        patch.setattr(runs.os, "fsync", full)
        with pytest.raises(DataError, match="could not be written"):
            training.run()
    assert training.checkpoint.read_bytes() == before
    assert not list(training.folder.glob(".*"))
    assert_same(result(fit(tmp_path / "full")), whole)


# --------------------------------------------------------------------------------- device and precision


@pytest.mark.parametrize(
    "precision, device, message",
    [
        ("fp16", "cpu", "trainer.precision=fp16 needs a CUDA GPU"),
        ("fp16", "auto", "trainer.precision=fp16 needs a CUDA GPU"),
        ("fp32", "cuda", "device=cuda, but torch finds no CUDA GPU"),
        ("fp32", "gpu", "device='gpu' is not one of 'auto', 'cpu', 'cuda'"),
    ],
)
def test_what_the_machine_cannot_do_is_refused_in_one_line(monkeypatch, precision, device, message):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match=message) as caught:
        make_accelerator(precision, device)
    assert "\n" not in str(caught.value)


def test_bf16_trains_on_a_cpu_and_its_weights_stay_float32(tmp_path):
    seen = []
    task = ClassifyTask(conformer())
    task.net.classifier.register_forward_hook(lambda module, args, out: seen.append(out.dtype))
    before = task.net.classifier.weight.detach().clone()
    weights, _, _ = result(fit(tmp_path, task, precision="bf16"))
    assert torch.bfloat16 in seen
    assert weights["net.classifier.weight"].dtype == torch.float32
    assert not torch.equal(weights["net.classifier.weight"], before)
    assert np.isfinite(pd.read_csv(tmp_path / "history.csv").to_numpy()).all()


def test_one_process_may_use_one_precision_after_another():
    assert [make_accelerator(p, "cpu").mixed_precision for p in ("fp32", "bf16", "fp32")] == [
        "no",
        "bf16",
        "no",
    ]


@pytest.mark.parametrize("batch_size", [1, 7, 30])
def test_a_prediction_does_not_depend_on_the_batch_size(batch_size):
    task, source, accelerator = ClassifyTask(conformer()), Windows(), make_accelerator("fp32", "cpu")
    rows = np.random.default_rng(0).permutation(30)
    found = predict(task.train(), source, rows, accelerator, batch_size)
    np.testing.assert_allclose(found, predict(task, source, rows, accelerator), atol=1e-5)
    assert found.shape == (30, 2) and found.dtype == np.float32
    assert task.training  # as it was


# ------------------------------------------------------------------------------- the choice of the epoch


class Scripted(Task):
    """Answers ``scripts[epoch]`` on the validation windows; the epoch is told by its one parameter."""

    def __init__(self, scripts):
        super().__init__()
        self.scripts = torch.tensor(np.array(scripts), dtype=torch.float32)  # (epochs, windows), P(class 1)
        self.epoch = torch.nn.Parameter(torch.tensor(-1.0))
        self.net = self.Net(self)

    class Net(torch.nn.Module):
        def __init__(self, task):
            super().__init__()
            self.answers = lambda: task.scripts[int(task.epoch.round())]

        def forward(self, eeg_BCT):
            p = self.answers()[: len(eeg_BCT)]
            return torch.stack([1 - p, p], dim=1).log()

    def after_step(self):
        """One step an epoch, so the parameter counts epochs, whatever the optimiser did to it."""
        with torch.no_grad():
            self.count = getattr(self, "count", -1) + 1
            self.epoch.fill_(self.count)

    def forward(self, batch):
        loss = (self.epoch * 0.0).sum() + 1.0
        return {"loss": loss, "logits": torch.zeros(len(batch.label_B), 2)}


def scripted(folder, *hits, **trainer):
    """One epoch for every entry: how many of the ten validation windows are right, and how surely."""
    truth = np.arange(20, 30) % 2
    rows = []
    for right, sure in hits:
        p = np.where(truth == 1, sure, 1 - sure)
        p[right:] = 1 - p[right:]
        rows.append(p)
    return fit(folder, Scripted(rows), ema=0.0, **({"epochs": len(hits), "batch_size": len(TRAIN)} | trainer))


def test_validation_macro_f1_chooses_the_epoch(tmp_path):
    # The second epoch is right most often; its loss is the worst of all by far.
    training = scripted(tmp_path, (6, 0.6), (9, 0.999), (8, 0.9))
    task = training.run()
    history = pd.read_csv(tmp_path / "history.csv")
    assert training.best["epoch"] == 2 and task.epoch.item() == 1
    assert history["val_macro_f1"].idxmax() == 1
    assert history["val_loss"].idxmax() == 1
    assert history["val_accuracy"].tolist() == pytest.approx([0.6, 0.9, 0.8])


def test_the_lower_loss_decides_between_equal_f1_and_the_earlier_epoch_between_equals(tmp_path):
    assert scripted_best(tmp_path / "a", (8, 0.6), (8, 0.9), (8, 0.9)) == 2
    assert scripted_best(tmp_path / "b", (8, 0.6), (8, 0.6)) == 1


def scripted_best(folder, *hits):
    training = scripted(folder, *hits)
    training.run()
    return training.best["epoch"]


def test_macro_f1_is_not_accuracy(tmp_path):
    """All-background answers can win by accuracy, never by macro F1."""
    source = Windows()
    source.label = np.r_[np.zeros(20, int), np.zeros(8, int), 1, 1]  # two seizures among ten
    lazy = np.full(10, 0.1)  # accuracy 0.8, macro F1 (0.889 + 0) / 2
    alert = np.r_[0.9, 0.9, 0.9, np.full(5, 0.1), 0.9, 0.9]  # accuracy 0.7, macro F1 (0.769 + 0.571) / 2
    training = fit(tmp_path, Scripted([alert, lazy]), ema=0.0, source=source, epochs=2, batch_size=20)
    training.run()
    history = pd.read_csv(tmp_path / "history.csv")
    assert history["val_accuracy"].tolist() == pytest.approx([0.7, 0.8])
    assert history["val_macro_f1"].tolist() == pytest.approx([(10 / 13 + 4 / 7) / 2, 8 / 18])
    assert training.best["epoch"] == 1


def test_patience_stops_after_so_many_epochs_without_a_better_one(tmp_path):
    hits = [(6, 0.6), (8, 0.6), (7, 0.6), (7, 0.6), (9, 0.6)]
    for patience, epochs, best in ((1, 3, 2), (2, 4, 2), (3, 5, 5), (None, 5, 5)):
        training = scripted(tmp_path / str(patience), *hits, patience=patience)
        training.run()
        assert (training.epoch, training.best["epoch"]) == (epochs, best), patience


@pytest.mark.parametrize("max_steps, epochs, steps", [(1, 1, 1), (4, 1, 4), (6, 2, 6), (100, 3, 12)])
def test_max_steps_ends_training_whatever_the_epochs(tmp_path, max_steps, epochs, steps):
    training = fit(tmp_path, max_steps=max_steps)
    training.run()
    assert (training.step, training.epoch, training.total_steps) == (steps, epochs, steps)
    assert pd.read_csv(tmp_path / "history.csv")["step"].tolist()[-1] == steps


@pytest.mark.parametrize("name", ["epochs", "batch_size", "max_steps", "patience", "log_every"])
def test_a_number_below_one_is_refused(name):
    with pytest.raises(ConfigError, match=rf"trainer.{name}=0 must be (1 or more|in \[1, 1048576\])"):
        TrainerConfig(**({"epochs": 1} | {name: 0}))


@pytest.mark.parametrize("judge, best", [("loss", 1), ("macro_f1", 2), ("auroc", 3)])
def test_an_epoch_is_judged_by_what_is_asked_for(tmp_path, judge, best):
    truth = np.arange(20, 30) % 2
    mild = np.where(truth == 1, 0.7, 0.3)  # loss 0.45, eight of ten right, 24 of 25 pairs in order
    mild[[0, 1]] = [0.55, 0.45]
    sure = np.where(truth == 1, 0.999, 0.001)  # loss 0.92, nine right, 20 pairs in order
    sure[0] = 0.9999
    all_seizures = np.where(truth == 1, 0.9, 0.8)  # loss 0.86, five right, every pair in order
    scripts = [mild, sure, all_seizures]
    training = fit(tmp_path, Scripted(scripts), ema=0.0, judge=judge, batch_size=len(TRAIN))
    training.run()
    assert training.best["epoch"] == best
    history = pd.read_csv(tmp_path / "history.csv")
    assert history["val_loss"].tolist() == pytest.approx([0.445, 0.922, 0.857], abs=1e-3)
    if judge == "auroc":
        assert history["val_auroc"].tolist() == pytest.approx([0.96, 0.8, 1.0])
    else:
        assert "val_auroc" not in history


def test_auroc_of_one_class_leaves_the_choice_to_the_loss(tmp_path):
    source = Windows()
    source.label = np.r_[np.arange(20) % 2, np.zeros(10, int)]
    task = Scripted([np.full(10, p) for p in (0.4, 0.2, 0.3)])
    training = fit(tmp_path, task, ema=0.0, source=source, judge="auroc", batch_size=len(TRAIN))
    training.run()
    assert training.best["epoch"] == 2


# ----------------------------------------------------------------------- epochs of a corpus that is too long


@pytest.mark.parametrize("steps", [1, 3, 7])
def test_every_window_comes_once_a_pass_wherever_epochs_end(tmp_path, steps):
    """Twenty windows, four batches a pass; an epoch is a part of a pass, or more than one."""
    training = fit(tmp_path, steps_per_epoch=steps, epochs=3)
    seen, batch = [], training.source.batch
    training.source.batch = lambda rows, *rest: seen.append(rows.tolist()) or batch(rows, *rest)
    training.run()
    trained = [rows for rows in seen if max(rows) < 20]
    assert training.step == 3 * steps == len(trained) and len(training.history) == 3
    for k in range(3 * steps // 4):
        assert sum(trained[4 * k : 4 * k + 4], []) == epoch_order(TRAIN, 3, k).tolist()


@pytest.mark.parametrize("step", [2, 3, 5])
def test_a_broken_training_in_pieces_ends_like_an_unbroken_one(tmp_path, step, unbroken):
    settings = {"steps_per_epoch": 3, "epochs": 2}
    whole = unbroken(**settings)
    stop_at(fit(tmp_path / "broken", **settings), step)
    assert_same(result(fit(tmp_path / "broken", **settings)), whole)


def test_epochs_of_the_length_of_a_pass_are_passes(tmp_path):
    assert_same(result(fit(tmp_path / "a", steps_per_epoch=4)), result(fit(tmp_path / "b")))


def test_batches_of_a_thread_are_those_made_when_asked_for():
    def made(step):
        if step == 5:
            raise DataError("at 5")
        return step, threading.current_thread() is threading.main_thread()

    for thread in (False, True):
        assert list(ahead(made, range(5), thread=thread)) == [(k, not thread) for k in range(5)]
        with pytest.raises(DataError, match="at 5"):
            list(ahead(made, range(9), thread=thread))


def test_a_thread_is_no_more_than_three_batches_ahead():
    made = []
    batches = ahead(made.append, range(100), thread=True)
    for _ in range(4):
        next(batches)
    batches.close()
    assert 4 <= len(made) <= 7


# ---------------------------------------------------------------------------------- a real kill


def outcome(root: Path) -> dict[str, str]:
    """SHA-256 of everything that must not depend on how often a run was broken."""
    names = ("predictions.npz", "metrics.json", "history.csv", "model.safetensors", "text.safetensors")
    files = [p for p in sorted(root.rglob("fold*/*")) if p.name in names]
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
