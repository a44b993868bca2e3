"""Who follows a training: one run a fold, gone on with after a stop, and no number of it changed."""

import sys
import time
import types
from dataclasses import replace

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_engine import TRAIN, VAL, Windows, assert_same, conformer, result, stop_at
from tools import one_run

from distilclip_eeg.config.learning import OptimConfig, TrainerConfig
from distilclip_eeg.config.older import digest_of
from distilclip_eeg.schema import ConfigError
from distilclip_eeg.scoring.metrics import confusion
from distilclip_eeg.training import trail
from distilclip_eeg.training.devices import make_accelerator
from distilclip_eeg.training.engine import Fit, Loop
from distilclip_eeg.training.tasks import ClassifyTask
from distilclip_eeg.training.trail import Trail, check_tracker

CLASSES = ("bckg", "seiz")


def fit(folder, kind="tensorboard", val=VAL, **trainer):
    """The fold of ``test_engine``, four steps an epoch, followed."""
    folder.mkdir(parents=True, exist_ok=True)
    told = {"epochs": 3, "batch_size": 6, "log_every": 3} | trainer
    loop = Loop(
        TrainerConfig(**told),
        OptimConfig(lr=1e-2, ema=0.9, warmup_steps=5),
        seed=3,
        accelerator=make_accelerator("fp32", "cpu"),
        trail=Trail(
            kind, folder, {"model.name": "conformer", "optim.lr": 1e-2, "fold": 0, "x": None}, CLASSES
        ),
    )
    return Fit(ClassifyTask(conformer()), Windows(), TRAIN, val, folder, loop)


def read(folder) -> EventAccumulator:
    """What TensorBoard shows of a folder."""
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return events


def shown(folder) -> dict[str, list[tuple[int, float]]]:
    """Every curve as TensorBoard shows it: steps and values."""
    events = read(folder)
    return {name: [(e.step, e.value) for e in events.Scalars(name)] for name in events.Tags()["scalars"]}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training without a stop: its folder and what came of it."""
    folder = tmp_path_factory.mktemp("whole") / "fold0"
    return folder, result(fit(folder))


def test_one_file_a_fold_holds_curves_settings_and_the_confusion_figure(whole):
    folder, (_, history, _) = whole
    (file,) = (folder / "tensorboard").iterdir()
    assert file.name.startswith("events.out.tfevents.")
    curves = shown(folder)
    assert [step for step, _ in curves["step/loss"]] == [3, 6, 9, 12]
    rows = [line.split(",") for line in history.decode().splitlines()]
    at = rows[0].index("val_loss")
    assert [step for step, _ in curves["val/loss"]] == [4, 8, 12]
    assert [value for _, value in curves["val/loss"]] == pytest.approx(
        [float(r[at]) for r in rows[1:]], rel=1e-6
    )
    # Step k is taken at min(1, k / 6) of the rate: warm-up over five steps.
    assert curves["optim/lr"] == [(3, pytest.approx(5e-3)), *((k, pytest.approx(1e-2)) for k in (6, 9, 12))]
    events = read(folder)
    assert set(events.summary_metadata) >= {"_hparams_/experiment", "_hparams_/session_start_info"}
    (image,) = events.Images("val/confusion")
    assert image.step == 12 and image.width > 100 and image.encoded_image_string.startswith(b"\x89PNG")


def test_the_confusion_is_that_of_the_weights_that_are_kept(tmp_path):
    training = fit(tmp_path / "fold0")
    _, _, logits = result(training)
    answer = np.frombuffer(logits, dtype=np.float32).reshape(len(VAL), 2).argmax(1)
    assert training.best["confusion"] == confusion(Windows().label[VAL], answer, 2).tolist()


def test_without_validation_windows_there_is_no_figure(tmp_path):
    fit(tmp_path / "fold0", val=VAL[:0], epochs=1).run()  # as the final model of an export is trained
    tags = read(tmp_path / "fold0").Tags()
    assert tags["images"] == [] and "train/loss" in tags["scalars"] and "val/loss" not in tags["scalars"]


@pytest.mark.parametrize("step", [2, 4, 6, 7, 11])
def test_a_training_that_died_goes_on_without_a_step_told_twice_and_with_the_same_bytes(
    step, whole, tmp_path
):
    folder = tmp_path / "fold0"
    stop_at(fit(folder), step)  # the checkpoint is of an epoch before, what was told goes further
    time.sleep(1 - time.time() % 1)  # TensorBoard reads files by their second; a real start is in another
    assert_same(result(fit(folder)), whole[1])
    assert shown(folder) == shown(whole[0])


def test_whoever_follows_or_not_the_bytes_are_the_same(whole, tmp_path):
    assert_same(result(fit(tmp_path / "fold0", kind="none")), whole[1])
    assert not (tmp_path / "fold0" / "tensorboard").exists()
    words = ["trainer.log_with=wandb", "trainer.log_with=none"]
    assert {digest_of(one_run([word])) for word in words} == {digest_of(one_run([]))}


@pytest.mark.parametrize("kind", ["wandb", "mlflow", "aim"])
def test_a_tracker_that_is_not_installed_is_told_with_the_line_that_brings_it(kind, monkeypatch):
    monkeypatch.setitem(trail.AVAILABLE, kind, lambda: False)
    with pytest.raises(ConfigError, match=f"needs {kind}, which is not installed: pip install") as caught:
        check_tracker(kind)
    named = {"wandb": "'distilclip-eeg[wandb]'", "mlflow": "mlflow-skinny", "aim": "aim"}[kind]
    assert caught.value.mend == f"pip install {named}" and caught.value.exit_code == 2
    check_tracker("none")
    check_tracker("tensorboard")


@pytest.fixture
def wandb(monkeypatch):
    """Stands for W&B's library, as far as accelerate calls it: what each of its runs was told."""
    runs, module = {}, types.ModuleType("wandb")

    class Run:
        def __init__(self, **how):
            self.how, self.config, self.rows, self.finished = how, {}, [], 0

        def log(self, values, step=None, **_):
            self.rows.append((step, dict(values)))

        def finish(self):
            self.finished += 1

    def init(**how):
        run = runs.setdefault(how["id"], Run(**how))
        module.config = types.SimpleNamespace(update=lambda values, **_: run.config.update(values))
        return run

    module.init, module.Image = init, lambda image: image.shape
    monkeypatch.setitem(sys.modules, "wandb", module)
    return runs


def test_another_tracker_goes_on_in_its_run_and_is_not_told_again_what_it_has(wandb, whole, tmp_path):
    folder = tmp_path / "run" / "fold0"
    stop_at(fit(folder, kind="wandb"), 7)  # told: 3, 4, 6; the checkpoint is of step 4
    (run,) = wandb.values()
    assert [step for step, _ in run.rows] == [3, 4, 6]
    assert_same(result(fit(folder, kind="wandb")), whole[1])
    (run,) = wandb.values()  # the same one
    assert [step for step, _ in run.rows] == [3, 4, 6, 8, 9, 12, 12, 12]  # at 12 a step, an epoch, the figure
    assert run.how["project"] == "distilclip-eeg" and run.how["name"] == "run/fold0"
    assert run.how["resume"] == "allow" and run.config["model.name"] == "conformer" and run.finished == 2
    assert run.rows[0][1].keys() == {"step/loss", "optim/lr"} and "val/confusion" in run.rows[-1][1]


def test_a_fold_that_begins_anew_is_another_run(wandb, tmp_path):
    folder = tmp_path / "run" / "fold0"
    result(fit(folder, kind="wandb", epochs=1))
    (folder / "checkpoint.pt").unlink()
    for old in folder.glob("checkpoint.prev*"):
        old.unlink()
    result(fit(folder, kind="wandb", epochs=1))
    assert len(wandb) == 2 and len({len(run.rows) for run in wandb.values()}) == 1


def test_what_a_run_will_cost_is_measured_without_telling_anybody(monkeypatch):
    from distilclip_eeg.training import measure

    seen = []
    monkeypatch.setattr(measure, "open_fit", lambda learning, *_, **__: seen.append(learning) or (seen, None))
    monkeypatch.setattr(measure, "weakref", types.SimpleNamespace(finalize=lambda *_: None))
    settings = one_run(["trainer.log_with=wandb", "model=eegnet"])
    plan = types.SimpleNamespace(tasks=lambda data: None)
    measure.opened(plan, settings.learning, 0, None)
    assert [learning.trainer.log_with for learning in seen] == ["none"]
    assert replace(seen[0].trainer, log_with="wandb") == settings.trainer


def test_the_figure_names_classes_and_is_a_picture():
    from distilclip_eeg.report.confusion import as_image, matrix

    figure = matrix(np.array([[8, 2], [1, 4]]), CLASSES)
    texts = {text.get_text() for text in figure.axes[0].texts}
    assert texts == {"8\n80 %", "2\n20 %", "1\n20 %", "4\n80 %"}
    pixels = as_image(figure)
    assert pixels.dtype == np.uint8 and pixels.shape[2] == 3 and len(np.unique(pixels)) > 50
    assert torch.from_numpy(pixels).ndim == 3
