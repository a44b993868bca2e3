"""Settings: what composes, what is refused, and in which words."""

import dataclasses

import pytest
import yaml

from distilclip_eeg.commands import which_run as chosen
from distilclip_eeg.config import compose as config_module
from distilclip_eeg.config.compose import CONFIG_DIR, build, load, read
from distilclip_eeg.report.published import table_1
from distilclip_eeg.schema import ConfigError
from distilclip_eeg.signals.preprocess import SignalConfig
from distilclip_eeg.signals.splits import SplitConfig
from distilclip_eeg.signals.windows import WindowConfig
from distilclip_eeg.training.engine import OptimConfig, TrainerConfig

VERBS = ("train", "distill", "evaluate", "probe", "explain")


def options(group):
    return sorted(p.stem for p in (CONFIG_DIR / group).glob("*.yaml"))


def kind_of(model):
    """teacher, student, baseline or floor, as its yaml says."""
    return yaml.safe_load((CONFIG_DIR / "model" / f"{model}.yaml").read_text(encoding="utf-8"))["model"][
        "kind"
    ]


def refused(verb, *overrides):
    """The message of the error, which must be one line."""
    with pytest.raises(ConfigError) as caught:
        load(verb, list(overrides))
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.exit_code == 2
    return message


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_composes_without_arguments(verb):
    assert isinstance(load(verb, []), dict)


@pytest.mark.parametrize("verb", ["train", "distill"])
@pytest.mark.parametrize("name", [n for n in options("model") if n != "external"])  # it must be told a class
def test_every_model_composes(verb, name):
    config = load(verb, [f"model={name}"])
    assert config["model"]["name"] == name
    given = yaml.safe_load((CONFIG_DIR / "model" / f"{name}.yaml").read_text(encoding="utf-8"))
    for part in ("model", "trainer", "optim"):  # the preset wins over the base file
        assert config[part] == given[part]
    assert config["model"]["kind"] in ("teacher", "student", "baseline", "floor")
    if config["model"]["kind"] != "floor":
        assert read(TrainerConfig, config["trainer"], "trainer").batch_size == 32  # the article's
        read(OptimConfig, config["optim"], "optim")


@pytest.mark.parametrize("name", [n for n in options("model") if kind_of(n) != "baseline"])
@pytest.mark.parametrize("n_chans", [19, 23])
def test_every_model_is_built_from_the_sizes_of_the_data(name, n_chans):
    config = yaml.safe_load((CONFIG_DIR / "model" / f"{name}.yaml").read_text(encoding="utf-8"))
    if config["model"]["kind"] == "floor":
        assert build(config["model"]["net"]).kind == config["model"]["net"]["kind"]
    else:
        net = build(config["model"]["net"], n_chans=n_chans, n_times=256, sfreq=256.0, n_outputs=2)
        assert net.stem.space.kernel_size == (n_chans, 1)
        assert len(net.blocks) == config["model"]["net"]["depth"]


@pytest.mark.parametrize("name", options("dataset"))
def test_every_dataset_composes_and_its_settings_are_valid(name, tmp_path):
    config = load("train", [f"dataset={name}", f"dataset.root={tmp_path}"])
    assert config["dataset"]["name"] == name
    assert config["dataset"]["corpus"]["root"] == str(tmp_path)  # one key moves both
    signals = read(SignalConfig, config["signals"], "signals")
    windows = read(WindowConfig, config["windows"], "windows")
    assert set(config["signals"]) == {f.name for f in dataclasses.fields(signals)}  # nothing hidden
    assert set(config["windows"]) == {f.name for f in dataclasses.fields(windows)}


@pytest.mark.parametrize("name", options("split"))
def test_every_split_composes(name):
    config = load("train", [f"split={name}", *([f"split.table={__file__}"] if name == "table" else [])])
    assert config["split"]["name"] == name
    if name != "auto":
        own = {"official": 1, "leave_one_subject_out": None, "table": None}
        assert read(SplitConfig, config["split"], "split").n_folds == own.get(name, 5)


@pytest.mark.parametrize("name", options("text_encoder"))
def test_every_text_encoder_composes_beside_any_teacher(name):
    for model in ("teacher", "teacher_tiny"):
        config = load("train", [f"model={model}", f"text_encoder={name}"])
        given = yaml.safe_load((CONFIG_DIR / "text_encoder" / f"{name}.yaml").read_text())
        assert config["text_encoder"] == given


def test_the_small_text_encoder_is_built():
    config = load("train", ["text_encoder=random_tiny"])
    backend = build(config["text_encoder"], sentences=["Strong slow waves on the left."])
    assert backend.dim == config["text_encoder"]["dim"]


def test_teacher_and_student_of_a_pair_share_what_must_fit():
    for name in options("model"):
        if name.startswith("teacher"):
            teacher = load("train", [f"model={name}"])["model"]["net"]
            student = load("distill", [f"model={name.replace('teacher', 'student')}"])["model"]["net"]
            assert student["embed"] == teacher["embed"]
            assert student["depth"] * 2 == teacher["depth"]


def test_the_articles_values_are_the_articles():
    config = load("train", ["model=teacher", "dataset=chbmit"])
    assert (config["optim"]["lr"], config["optim"]["weight_decay"]) == (1e-5, 1e-4)
    assert (config["trainer"]["epochs"], config["trainer"]["batch_size"]) == (400, 32)
    assert (config["signals"]["l_freq"], config["signals"]["h_freq"]) == (0.1, 70)
    assert (config["windows"]["length_s"], config["windows"]["seizure_overlap"]) == (1, 0.5)
    assert load("distill", ["model=student"])["trainer"]["epochs"] == 100
    assert load("distill", [])["distill"] == {
        "alpha": 0.5,
        "temperature": 1.0,
        "direction": "forward",
        **{"logits": "head", "init": "random", "cosine": 0.0, "mse": 0.0, "contrast": 0.0},
    }


PAPERS = {"tusz": (256, 0.75), "aubmc": (500, 0.75), "chbmit": (256, 0.5), "zenodo": (256, 0.5)}
"""Hz, and overlap of seizure windows (Sec. IV-A and IV-B)."""


def published(dataset):
    """The dataset's figures in the comment of its experiment."""
    return (CONFIG_DIR / "experiment" / f"paper_{dataset}.yaml").read_text(encoding="utf-8")


def check_recipe(config, epochs):
    """What the article says of training, for teacher and student alike (Sec. IV-C)."""
    assert (config["optim"]["name"], config["optim"]["lr"]) == ("adam", 1e-5)
    assert config["optim"]["weight_decay"] > 0
    trainer = read(TrainerConfig, config["trainer"], "trainer")
    assert (trainer.epochs, trainer.batch_size, trainer.precision) == (epochs, 32, "fp16")
    assert trainer.max_steps is None and trainer.patience is None
    net = config["model"]["net"]
    assert (net["heads"], net["ffn_mult"], net["dropout"]) == (10, 4, 0.3)
    assert config["text"]["detail"] == "full" and config["text_encoder"]["dropout"] == 0.2
    assert config["text_encoder"]["_target_"].endswith(".pretrained")


@pytest.mark.parametrize("dataset", PAPERS)
def test_the_articles_recipe_composes_for_each_of_its_corpora(dataset):
    config = load("train", [f"experiment=paper_{dataset}"])
    check_recipe(config, epochs=400)
    assert config["model"]["name"] == "teacher" and config["model"]["net"]["depth"] == 8
    assert config["dataset"]["name"] == dataset
    assert (config["split"]["name"], config["split"]["n_folds"]) == ("window", 5)
    windows = read(WindowConfig, config["windows"], "windows")
    assert (config["signals"]["sfreq"], windows.seizure_overlap) == PAPERS[dataset]
    assert (windows.length_s, windows.background_overlap) == (1, 0)
    assert windows.balance_train and windows.balance_test
    for model in ("teacher", "student"):
        row = table_1(model, dataset)
        said = [f"{row[name]:.2f}" for name in ("accuracy", "precision", "recall", "f1")]
        (line,) = [text for text in published(dataset).splitlines() if text.startswith(f"#   {model}:")]
        assert all(figure in line for figure in said), line


@pytest.mark.parametrize("dataset", PAPERS)
def test_the_student_of_that_recipe_trains_100_epochs_on_its_teachers_data(dataset, tmp_path):
    made = load("train", [f"experiment=paper_{dataset}", f"dataset.root={tmp_path}", "seed=3"])
    run = tmp_path / "runs" / dataset / "teacher"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text(yaml.safe_dump(made))
    (run / "metrics.json").write_text("{}")
    for words in ([], [f"experiment=paper_{dataset}"]):
        words = [*words, f"teacher={run}"]
        config = load("distill", [*chosen.student_of(words), *words])
        config = chosen.with_teacher_data(config, chosen.find_teacher(config), words)
        if len(words) > 1:
            check_recipe(config, epochs=100)
        assert config["trainer"]["epochs"] == 100 and config["optim"]["lr"] == 1e-5
        assert (config["model"]["name"], config["model"]["net"]["depth"]) == ("student", 4)
        assert config["distill"]["temperature"] == 1 and config["distill"]["direction"] == "forward"
        for shared in ("dataset", "signals", "windows", "split", "seed", "text"):
            assert config[shared] == made[shared]


def test_overrides_reach_their_place_and_keep_their_type():
    config = load(
        "train",
        ["seed=[1,2]", "fold=3", "trainer.epochs=2", "signals.notch_hz=50", "split.n_folds=3", "run.name=x"],
    )
    assert (config["seed"], config["fold"]) == ([1, 2], 3)
    assert (config["trainer"]["epochs"], config["signals"]["notch_hz"]) == (2, 50)
    assert (config["split"]["n_folds"], config["run"]["name"]) == (3, "x")


def test_the_data_folder_follows_the_environment(monkeypatch):
    monkeypatch.setenv("DISTILCLIP_EEG_DATA", "elsewhere")
    assert load("train", ["dataset=chbmit"])["dataset"]["root"] == "elsewhere/chbmit"
    monkeypatch.delenv("DISTILCLIP_EEG_DATA")
    assert load("train", ["dataset=chbmit"])["dataset"]["root"] == "data/chbmit"


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
    message = refused("train", override)
    assert override.partition("=")[0] in message
    assert "there is no such setting" in message
    if nearest:
        assert f"Did you mean {nearest}?" in message


def test_an_unknown_key_unlike_any_other_lists_what_there_is():
    message = refused("train", "zzzzqqqq=1")
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
    message = refused("train", override)
    group, _, value = override.partition("=")
    assert f"{group}/{value}" in message and known in message


@pytest.mark.parametrize("override", ["trainer.epochs=[1", "seed={", "=3", "seed", "dataset.root=${nowhere}"])
def test_what_cannot_be_read_is_one_line(override):
    refused("train", override)


@pytest.mark.parametrize("override", ["+extra=1", "trainer.epochs=???"])
def test_hydra_specials_do_not_end_in_a_traceback(override):
    try:
        load("train", [override])
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
        (TrainerConfig, {}, "trainer: .*epochs"),
        (OptimConfig, {"lr": "fast"}, "optim.lr='fast' is str, expected float"),
        (OptimConfig, {"name": "sgd"}, "optim.name='sgd'.*'adamw'"),
        (OptimConfig, {"ema": 1.0}, "optim.ema=1.0"),
        (OptimConfig, {"zzz": 1}, "optim.zzz: .*optim has: name, lr"),
    ],
)
def test_a_wrong_value_is_refused_in_one_line(cls, values, message):
    where = {TrainerConfig: "trainer", OptimConfig: "optim"}[cls]
    with pytest.raises(ConfigError, match=message) as caught:
        read(cls, values, where)
    assert "\n" not in str(caught.value)


def test_a_whole_number_will_do_for_a_fraction_and_null_where_it_is_allowed():
    assert read(OptimConfig, {"lr": 1, "text_lr": None, "grad_clip": 2}, "optim").lr == 1
    assert read(OptimConfig, {"grad_clip": None}, "optim").grad_clip is None
    assert read(TrainerConfig, {"epochs": 2, "max_steps": None, "patience": 3}, "trainer").patience == 3


@pytest.mark.parametrize(
    "target", ["os.system", "subprocess.run", "distilclip_eegx.evil", "builtins.eval", "", None, 3]
)
def test_a_target_outside_the_package_is_never_called(target, monkeypatch):
    monkeypatch.setattr(config_module, "instantiate", lambda *a, **k: pytest.fail("was called"))
    with pytest.raises(ConfigError, match="_target_.*must begin with distilclip_eeg") as caught:
        build({"_target_": target, "command": "true"})
    assert caught.value.reason == "unknown_target"


def test_a_target_hidden_inside_another_is_never_called(tmp_path):
    canary = tmp_path / "canary"
    values = {
        "_target_": "distilclip_eeg.models.floors.Floor",
        "kind": {
            "_target_": "pathlib.Path.touch",
            "self": {"_target_": "pathlib.Path", "_args_": [str(canary)]},
        },
        "units": "microvolt",
    }
    with pytest.raises(ConfigError):
        build(values)
    assert not canary.exists()


@pytest.mark.parametrize("where", ["settings", "list", "deep"])
def test_a_target_in_any_corner_is_never_called(tmp_path, where):
    canary = tmp_path / "canary"
    evil = {"_target_": "subprocess.run", "args": ["touch", str(canary)]}
    inside = {"settings": evil, "list": [[evil]], "deep": {"a": {"b": [evil]}}}[where]
    with pytest.raises(ConfigError, match="_target_='subprocess.run'"):
        build({"_target_": "distilclip_eeg.models.text_backends.random_tiny", "sentences": inside})
    assert not canary.exists()


@pytest.mark.parametrize(
    "target, arguments",
    [
        ("distilclip_eeg.runs.subprocess.run", [["touch"]]),
        ("distilclip_eeg.runs.os.system", ["touch "]),
        ("distilclip_eeg.runs.Path.touch", []),
        ("distilclip_eeg.runs.Path", []),
        ("distilclip_eeg.corpora", []),
        ("distilclip_eeg.signals.store.shutil.copy", ["/dev/null"]),
    ],
)
def test_a_target_that_leads_through_the_package_to_elsewhere_is_never_called(target, arguments, tmp_path):
    canary = tmp_path / "canary"
    last = arguments[-1] if arguments else None
    arguments = {
        list: [[*last, str(canary)]] if isinstance(last, list) else [],
        str: [last, str(canary)] if "copy" in target else [f"{last}{canary}"],
    }.get(type(last), [str(canary)])
    with pytest.raises(ConfigError, match="defined there"):
        build({"_target_": target, "_args_": arguments})
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
        build(values)


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
