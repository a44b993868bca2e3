"""Settings: what composes, what is refused, and in which words."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
import yaml

from distilclip_eeg.commands import COMMANDS, which_run
from distilclip_eeg.config import registry
from distilclip_eeg.config.component import Component
from distilclip_eeg.config.compose import CONFIG_DIR, SETTINGS, keys, load
from distilclip_eeg.config.data import DataSettings, SplitConfig
from distilclip_eeg.config.describe import meaning_of
from distilclip_eeg.config.experiment import DistillSettings, RunSettings, TrainSettings
from distilclip_eeg.config.learning import OptimConfig, TrainerConfig
from distilclip_eeg.config.older import digest_of, read_settings
from distilclip_eeg.config.rules import Settings, bare, freeze, hints, is_settings, plain
from distilclip_eeg.models.contract import build_network
from distilclip_eeg.report.published import table_1
from distilclip_eeg.runs import Run
from distilclip_eeg.schema import ConfigError, DataError
from distilclip_eeg.training.distillation import with_teacher_data

GOLDEN = json.loads(Path(__file__).with_name("golden_digests.json").read_text())
"""Command lines and the digests that version 0.1.0 gave their settings."""


def options(group):
    return sorted(p.stem for p in (CONFIG_DIR / group).glob("*.yaml"))


def given(group, name):
    return yaml.safe_load((CONFIG_DIR / group / f"{name}.yaml").read_text(encoding="utf-8"))


def kind_of(model):
    """teacher, student, baseline or floor, as its yaml says."""
    return given("model", model)["model"]["kind"]


def told(*words):
    """Settings of one run of ``train``."""
    return load(TrainSettings, list(words)).each_seed()[0]


def refused(*overrides, cls=TrainSettings):
    """The message of the error, which must be one line."""
    with pytest.raises(ConfigError) as caught:
        load(cls, list(overrides))
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.exit_code == 2
    return message


def needs(cls):
    """Keys without a default that no group fills."""
    return [
        f.name
        for f in dataclasses.fields(cls)
        if f.name in ("weights", "input", "output", "path", "layout")
        and f.default is f.default_factory is dataclasses.MISSING
    ]


@pytest.mark.parametrize("verb", SETTINGS)
def test_every_verb_composes_with_nothing_but_what_it_must_be_told(verb):
    cls = SETTINGS[verb]
    words = [f"{name}=somewhere" for name in needs(cls)]
    words += {"synthesize": ["root=somewhere"], "download": ["dataset=chbmit"]}.get(verb, [])
    settings = load(cls, words)
    assert isinstance(settings, cls)
    assert freeze(cls, plain(settings)) == settings  # written and read again


def test_every_verb_has_its_settings():
    assert set(COMMANDS) == set(SETTINGS)
    assert all(COMMANDS[name].settings is SETTINGS[name] for name in SETTINGS)


@pytest.mark.parametrize("verb", SETTINGS)
def test_every_key_says_what_it_means(verb):
    for name, hint in keys(SETTINGS[verb]):
        sections = [m for m in (bare(hint), *getattr(bare(hint), "__args__", ())) if is_settings(bare(m))]
        if not sections:
            assert len(meaning_of(SETTINGS[verb], name)) > 4, f"{verb}: {name}"


def test_settings_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        told().trainer.epochs = 3


@pytest.mark.parametrize(
    "verb, words, digest", GOLDEN, ids=lambda v: " ".join(v) if isinstance(v, list) else v
)
def test_settings_of_before_have_the_digest_of_before(verb, words, digest):
    settings = load(SETTINGS[verb], words)
    assert digest_of(settings.each_seed()[0] if verb == "train" else settings) == digest


@pytest.mark.parametrize("cls", [TrainSettings, DistillSettings])
@pytest.mark.parametrize("name", [n for n in options("model") if n != "external"])  # it must be told a class
def test_every_model_composes(cls, name):
    settings = load(cls, [f"model={name}"])
    assert settings.model.name == name
    told = given("model", name)
    assert settings.model.net.plain() == told["model"]["net"]
    for part in ("trainer", "optim"):  # the preset wins over the defaults
        for key, value in told.get(part, {}).items():
            assert getattr(getattr(settings, part), key) == value
    assert settings.trainer.batch_size == 32  # the article's


@pytest.mark.parametrize("name", [n for n in options("model") if kind_of(n) != "baseline"])
def test_every_model_is_built_from_the_sizes_of_the_data(name):
    model = told(f"model={name}").model
    if model.kind == "floor":
        assert model.net.build("network").kind == model.net.get("kind")
        return
    for n_chans in (19, 23):
        with torch.device("meta"):  # shapes without the weights
            net = build_network(model, {"n_chans": n_chans, "n_times": 256, "sfreq": 256.0, "n_outputs": 2})
        assert net.stem.n_chans == n_chans
        assert not hasattr(net.stem, "space") or net.stem.space.kernel_size == (n_chans, 1)
        assert len(net.blocks) == model.net.get("depth")


@pytest.mark.parametrize("name", options("dataset"))
def test_every_dataset_composes_and_one_key_moves_its_files(name, tmp_path):
    settings = told(f"dataset={name}", f"dataset.root={tmp_path}")
    assert settings.dataset.name == name
    assert settings.dataset.root == settings.dataset.corpus.get("root") == str(tmp_path)


@pytest.mark.parametrize("name", options("split"))
def test_every_split_composes(name):
    split = told(f"split={name}", *([f"split.table={__file__}"] if name == "table" else [])).split
    own = {"official": 1, "leave_one_subject_out": None, "table": None}
    assert (split.name, split.n_folds) == (name, own.get(name, 5))


@pytest.mark.parametrize("name", options("text_encoder"))
def test_every_text_encoder_composes_beside_any_teacher(name):
    for model in ("teacher", "teacher_tiny"):
        settings = told(f"model={model}", f"text_encoder={name}")
        assert settings.text_encoder.plain() == given("text_encoder", name)


def test_the_small_text_encoder_is_built():
    part = told("text_encoder=random_tiny").text_encoder
    backend = part.build("text_encoder", sentences=["Strong slow waves on the left."])
    assert backend.dim == part.get("dim")


def test_a_teacher_names_its_student_and_the_pair_shares_what_must_fit():
    for name in options("model"):
        if name.startswith("teacher"):
            teacher = told(f"model={name}").model
            student = load(DistillSettings, [f"model={teacher.student}"]).model
            assert student.kind == "student"
            assert student.net.get("embed") == teacher.net.get("embed")
            assert student.net.get("depth") * 2 == teacher.net.get("depth")


def test_the_articles_values_are_the_articles():
    settings = told("model=teacher", "dataset=chbmit")
    assert (settings.optim.lr, settings.optim.weight_decay) == (1e-5, 1e-4)
    assert (settings.trainer.epochs, settings.trainer.batch_size) == (400, 32)
    assert (settings.signals.l_freq, settings.signals.h_freq) == (0.1, 70)
    assert (settings.windows.length_s, settings.windows.seizure_overlap) == (1, 0.5)
    assert load(DistillSettings, ["model=student"]).trainer.epochs == 100
    assert plain(load(DistillSettings, []).distill) == {
        "alpha": 0.5,
        "temperature": 1.0,
        "direction": "forward",
        **{"logits": "head", "init": "random", "cosine": 0.0, "mse": 0.0, "contrast": 0.0},
        "teacher_sha256": None,
    }


PAPERS = {"tusz": (256, 0.75), "aubmc": (500, 0.75), "chbmit": (256, 0.5), "zenodo": (256, 0.5)}
"""Hz, and overlap of seizure windows (Sec. IV-A and IV-B)."""


def published(dataset):
    """The dataset's figures in the comment of its experiment."""
    return (CONFIG_DIR / "experiment" / f"paper_{dataset}.yaml").read_text(encoding="utf-8")


def check_recipe(settings, epochs):
    """What the article says of training, for teacher and student alike (Sec. IV-C)."""
    assert (settings.optim.name, settings.optim.lr) == ("adam", 1e-5)
    assert settings.optim.weight_decay > 0
    trainer = settings.trainer
    assert (trainer.epochs, trainer.batch_size, trainer.precision) == (epochs, 32, "fp16")
    assert trainer.max_steps is None and trainer.patience is None
    net = settings.model.net
    assert (net.get("heads"), net.get("ffn_mult"), net.get("dropout")) == (10, 4, 0.3)
    assert settings.text.detail == "full" and settings.text_encoder.get("dropout") == 0.2
    assert settings.text_encoder.target.endswith(".pretrained")


@pytest.mark.parametrize("dataset", PAPERS)
def test_the_articles_recipe_composes_for_each_of_its_corpora(dataset):
    settings = told(f"experiment=paper_{dataset}")
    check_recipe(settings, epochs=400)
    assert settings.model.name == "teacher" and settings.model.net.get("depth") == 8
    assert settings.dataset.name == dataset
    assert (settings.split.name, settings.split.n_folds) == ("window", 5)
    windows = settings.windows
    assert (settings.signals.sfreq, windows.seizure_overlap) == PAPERS[dataset]
    assert (windows.length_s, windows.background_overlap) == (1, 0)
    assert windows.balance_train and windows.balance_test
    for model in ("teacher", "student"):
        row = table_1(model, dataset)
        said = [f"{row[name]:.2f}" for name in ("accuracy", "precision", "recall", "f1")]
        (line,) = [text for text in published(dataset).splitlines() if text.startswith(f"#   {model}:")]
        assert all(figure in line for figure in said), line


@pytest.mark.parametrize("dataset", PAPERS)
def test_the_student_of_that_recipe_trains_100_epochs_on_its_teachers_data(dataset, tmp_path):
    made = told(f"experiment=paper_{dataset}", f"dataset.root={tmp_path}", "seed=3")
    run = tmp_path / "runs" / dataset / "teacher"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text(yaml.safe_dump(plain(made)))
    (run / "metrics.json").write_text("{}")
    for words in ([], [f"experiment=paper_{dataset}"]):
        words = [*words, f"teacher={run}"]
        settings = load(DistillSettings, COMMANDS["distill"].complete(words))
        settings = with_teacher_data(settings, which_run.find_teacher(settings.teacher, tmp_path))
        if len(words) > 1:
            check_recipe(settings, epochs=100)
        assert settings.trainer.epochs == 100 and settings.optim.lr == 1e-5
        assert (settings.model.name, settings.model.net.get("depth")) == ("student", 4)
        assert settings.distill.temperature == 1 and settings.distill.direction == "forward"
        for shared in ("dataset", "signals", "windows", "split", "seed", "text"):
            assert getattr(settings, shared) == getattr(made, shared)


def test_overrides_reach_their_place_and_keep_their_type():
    settings = load(
        TrainSettings,
        ["seed=[1,2]", "fold=3", "trainer.epochs=2", "signals.notch_hz=50", "split.n_folds=3", "run.name=x"],
    )
    assert ([one.seed for one in settings.each_seed()], settings.folds(5)) == ([1, 2], [3])
    assert (settings.trainer.epochs, settings.signals.notch_hz) == (2, 50)
    assert (settings.split.n_folds, settings.run.name) == (3, "x")


def test_the_data_folder_follows_the_environment(monkeypatch):
    monkeypatch.setenv("DISTILCLIP_EEG_DATA", "elsewhere")
    assert told("dataset=chbmit").dataset.root == "elsewhere/chbmit"
    monkeypatch.delenv("DISTILCLIP_EEG_DATA")
    assert told("dataset=chbmit").dataset.root == "data/chbmit"


@pytest.mark.parametrize(
    "path",
    ["with space", "ü/ö", "a'b", "C:\\data\\eeg", "ends\\", "(1),[2]=3", "a b\\'c", "1e5", "null "],
)
def test_a_path_is_taken_as_typed(path):
    assert load(TrainSettings, [f"run.root={path}"]).run.root == path


@pytest.mark.parametrize(
    "override, nearest",
    [
        ("sed=1", "seed"),
        ("trainer.epoch=3", "trainer.epochs"),
        ("model.net.dpth=3", "model.net.depth"),
        ("signals.lfreq=1", "signals.l_freq"),
        ("windows.seizure_overlaps=0.5", "windows.seizure_overlap"),
        ("optim.learning_rate=1", ""),
        ("n_folds=3", "split.n_folds"),
        ("epochs=3", "trainer.epochs"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_name(override, nearest):
    message = refused(override)
    assert override.partition("=")[0] in message
    assert "there is no such setting" in message
    if nearest:
        assert f"Did you mean {nearest}?" in message


def test_an_unknown_key_unlike_any_other_lists_what_there_is():
    message = refused("zzzzqqqq=1")
    assert "zzzzqqqq" in message and "trainer" in message


@pytest.mark.parametrize(
    "override, known",
    [
        ("model=teachr", "teacher_tiny"),
        ("dataset=chb", "chbmit"),
        ("split=patient", "subject"),
        ("text_encoder=bert", "bert_base"),
    ],
)
def test_an_unknown_option_is_refused_with_the_list(override, known):
    message = refused(override)
    group, _, value = override.partition("=")
    assert f"{group}/{value}" in message and known in message


@pytest.mark.parametrize("override", ["trainer.epochs=[1", "seed={", "=3", "seed", "dataset.root=${nowhere}"])
def test_what_cannot_be_read_is_one_line(override):
    refused(override)


@pytest.mark.parametrize("override", ["+extra=1", "trainer.epochs=???"])
def test_hydra_specials_do_not_end_in_a_traceback(override):
    try:
        load(TrainSettings, [override])
    except ConfigError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    "cls, values, message",
    [
        (TrainerConfig, {"epochs": "3"}, "trainer.epochs='3' is str, expected int"),
        (TrainerConfig, {"epochs": 3.5}, "trainer.epochs=3.5 is float, expected int"),
        (TrainerConfig, {"epochs": True}, "trainer.epochs=True is bool, expected int"),
        (TrainerConfig, {"epochs": None}, "trainer.epochs=None"),
        (TrainerConfig, {"epochs": 1, "max_steps": 1.5}, "trainer.max_steps=1.5"),
        (TrainerConfig, {"epochs": 0}, "trainer.epochs=0 must be 1 or more"),
        (TrainerConfig, {"epochs": 1, "batch_size": 0}, "trainer.batch_size=0"),
        (TrainerConfig, {"epochs": 1, "precision": "fp8"}, "trainer.precision='fp8'.*'bf16'"),
        (TrainerConfig, {"epochs": 1, "epoch": 2}, "trainer.epoch: .*Did you mean trainer.epochs"),
        (OptimConfig, {"lr": "fast"}, "optim.lr='fast' is str, expected float"),
        (OptimConfig, {"name": "sgd"}, "optim.name='sgd'.*'adamw'"),
        (OptimConfig, {"ema": 1.0}, r"optim.ema=1.0 must be in \[0, 1\)"),
        (OptimConfig, {"zzz": 1}, "optim.zzz: there is no such setting."),
    ],
)
def test_a_wrong_value_is_refused_in_one_line(cls, values, message):
    where = {TrainerConfig: "trainer", OptimConfig: "optim"}[cls]
    with pytest.raises(ConfigError, match=message) as caught:
        freeze(cls, values, f"{where}.")
    assert "\n" not in str(caught.value)


def test_a_whole_number_will_do_for_a_fraction_and_null_where_it_is_allowed():
    assert freeze(OptimConfig, {"lr": 1, "text_lr": None, "grad_clip": 2}, "optim.").lr == 1
    assert freeze(OptimConfig, {"grad_clip": None}, "optim.").grad_clip is None
    assert freeze(TrainerConfig, {"epochs": 2, "max_steps": None, "patience": 3}, "trainer.").patience == 3


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "subprocess.run",
        "distilclip_eegx.evil",
        "builtins.eval",
        "distilclip_eeg.commands.cli.main",
        "distilclip_eeg.runs.Path.touch",
        "distilclip_eeg.corpora",
        "distilclip_eeg.signals.store.shutil.copy",
        "distilclip_eeg.corpora.edf_corpus.list_folder",
        "distilclip_eeg.models.weights.load_network",
    ],
)
def test_a_target_that_is_not_registered_is_never_called(target, tmp_path):
    canary = tmp_path / "canary"
    with pytest.raises(ConfigError, match="_target_.*is no registered") as caught:
        Component.of({"_target_": target, "command": f"touch {canary}", "path": str(canary)}).build()
    assert caught.value.reason == "unknown_target"
    assert not canary.exists()


def test_a_part_of_another_kind_is_not_built():
    with pytest.raises(ConfigError, match="no registered network"):
        Component.of({"_target_": "distilclip_eeg.corpora.synthetic.Synthetic"}).build("network")


@pytest.mark.parametrize("target", ["", None, 3])
def test_a_section_without_a_target_is_told(target):
    with pytest.raises(ConfigError, match="expected _target_"):
        Component.of({"_target_": target})


@pytest.mark.parametrize("where", ["settings", "list", "deep"])
def test_a_target_in_any_corner_is_never_called(tmp_path, where):
    canary = tmp_path / "canary"
    evil = {"_target_": "subprocess.run", "args": ["touch", str(canary)]}
    inside = {"settings": evil, "list": [[evil]], "deep": {"a": {"b": [evil]}}}[where]
    with pytest.raises(ConfigError, match="a _target_ inside"):
        Component.of({"_target_": "distilclip_eeg.models.text_backends.random_tiny", "sentences": inside})
    assert not canary.exists()


@pytest.mark.parametrize(
    "values",
    [
        {"_target_": "distilclip_eeg.models.conformer.Nothing"},
        {"_target_": "distilclip_eeg.nowhere.Net"},
        {"_target_": "distilclip_eeg.models.floors.Floor", "kind": "logreg"},  # units are missing
        {"_target_": "distilclip_eeg.models.floors.Floor", "kind": "logreg", "units": "microvolt", "c": 1},
        {"_target_": "distilclip_eeg.models.floors.Floor", "kind": "svm", "units": "microvolt"},
    ],
)
def test_what_cannot_be_built_is_a_config_error(values):
    with pytest.raises(ConfigError):
        Component.of(values).build()


@pytest.mark.parametrize("group", ["dataset", "model", "text_encoder"])
def test_every_yaml_names_a_registered_part(group):
    kind = {"dataset": "corpus", "model": "network", "text_encoder": "text_encoder"}[group]
    for name in options(group):
        tree = given(group, name)
        node = {"dataset": lambda: tree["dataset"]["corpus"], "model": lambda: tree["model"]["net"]}.get(
            group, lambda: tree
        )()
        if "_target_" in node:  # placebo takes synthetic's
            assert callable(registry.find(node["_target_"], kind))


def test_an_older_run_without_newer_settings_has_their_defaults(tmp_path):
    values = plain(told("split=subject"))
    for section in ("head", "augment", "init_from", "ablation_reading", "teacher", "distill"):
        del values[section]
    del values["windows"]["labels"], values["model"]["student"], values["dataset"]["missing_channels"]
    settings = read_settings(values, tmp_path)
    assert settings.head.input == "eeg" and settings.augment == "none"
    assert settings.model.student == "student_tiny"
    assert digest_of(settings) == digest_of(told("split=subject"))


def test_a_run_with_a_setting_that_is_not_there_says_so(tmp_path):
    values = plain(told())
    values["trainer"]["warp"] = 9
    with pytest.raises(DataError, match=r"config.yaml: trainer.warp: there is no such setting.*train again"):
        read_settings(values, tmp_path)
    values = plain(told("model=eegnet"))
    values["model"]["net"]["pool_s"] = 0.03
    with pytest.raises(DataError, match="model.net.pool_s is gone. It is a constant of the network now"):
        read_settings(values, tmp_path)
    (tmp_path / "config.yaml").write_text("[1, 2]")
    with pytest.raises(DataError, match="expected names and values"):
        print(Run(tmp_path).settings)


def test_sections_are_all_that_is_passed_on():
    settings = told("model=eegnet")
    assert type(settings.data) is DataSettings and not hasattr(settings.data, "trainer")
    assert not hasattr(settings.learning, "dataset")
    for cls in (RunSettings, *SETTINGS.values()):
        assert issubclass(cls, Settings) and set(hints(cls)) == {f.name for f in dataclasses.fields(cls)}
    assert isinstance(settings.split, SplitConfig)


SIZES = {"n_chans", "n_times", "n_outputs", "n_channels", "n_classes", "ch_names", "classes"}


def keys_of(tree):
    for key, value in tree.items() if isinstance(tree, dict) else ():
        yield key
        yield from keys_of(value)


@pytest.mark.parametrize("path", sorted(CONFIG_DIR.rglob("*.yaml")), ids=lambda p: p.stem)
def test_no_yaml_names_a_size_that_comes_from_the_data(path):
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    own = {"bids": {"classes"}, "folder": {"classes"}, "external": SIZES}.get(path.stem, set())
    assert not SIZES & (set(keys_of(tree)) - own)
    if path.parent.name == "model":
        assert path.stem == "external" or "sfreq" not in set(keys_of(tree))


@pytest.mark.parametrize("path", sorted(CONFIG_DIR.rglob("*.yaml")), ids=lambda p: p.stem)
def test_every_yaml_says_what_it_is_and_names_no_machine(path):
    text = path.read_text(encoding="utf-8")
    first = next(line for line in text.splitlines() if not line.startswith("# @package"))
    assert first.startswith("# ") and len(first) > 20
    assert not any(part in text for part in ("/home/", "/work/", "/Users/", "/tmp/", "C:\\"))
