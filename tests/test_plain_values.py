"""Plain values that no setting can mean: one line with exit code 2 before any work, never a traceback."""

import math
import re
from dataclasses import MISSING, fields

import numpy as np
import pytest
import torch
from sklearn.model_selection import StratifiedKFold

from distilclip_eeg.commands import COMMANDS, cli
from distilclip_eeg.config.commands import SynthesizeSettings
from distilclip_eeg.config.component import Component
from distilclip_eeg.config.compose import CONFIG_DIR, SETTINGS, composed, is_open, keys, load
from distilclip_eeg.config.data import small_seed
from distilclip_eeg.config.experiment import TrainSettings
from distilclip_eeg.config.ranges import LARGEST, Range, Seed
from distilclip_eeg.config.rules import bare, check, freeze, is_settings, marks
from distilclip_eeg.schema import ConfigError
from distilclip_eeg.signals.splitters import k_folds
from distilclip_eeg.training import checks

VALUES = (-1, 0, math.nan, math.inf, -1e30, 1e30, 10**30, "text", None, [], [-1], {})
"""Typed for every key that takes a number."""
MODELS = sorted(p.stem for p in (CONFIG_DIR / "model").glob("*.yaml") if p.stem != "external")


def told(verb):
    """Values of a verb with nothing but what it must be told."""
    paths = ("weights", "input", "output", "path", "layout", "root")
    cls = SETTINGS[verb]
    words = [
        f"{f.name}=x" for f in fields(cls) if f.name in paths and f.default is f.default_factory is MISSING
    ]
    return composed(verb, [*words, *(["dataset=chbmit"] if verb == "download" else [])])


def with_value(tree, name, value):
    """The tree with one dotted key set; None where a section above it is null."""
    first, _, rest = name.partition(".")
    if not rest:
        return {**tree, first: value}
    inner = with_value(tree[first], rest, value) if isinstance(tree.get(first), dict) else None
    return None if inner is None else {**tree, first: inner}


@pytest.mark.parametrize("verb", SETTINGS)
def test_every_key_of_every_verb_takes_a_value_or_refuses_it_in_one_line(verb):
    tree, refused = told(verb), 0
    for name, hint in keys(SETTINGS[verb]):
        for value in VALUES:
            if is_open(hint) and isinstance(value, dict):
                continue
            changed = with_value(tree, name, value)
            try:
                settings = None if changed is None else freeze(SETTINGS[verb], changed)
            except ConfigError as error:
                refused += 1
                assert "\n" not in str(error) and name.rpartition(".")[2] in str(error), str(error)
            else:
                took = isinstance(value, int | float) and settings is not None
                assert not took or abs(value) <= LARGEST or "background" in name or bounded(hint, value), name
    assert refused > 10


def bounded(hint, value):
    """Whether a range of the key's own lets a large number in."""
    return any(value in mark for mark in marks(hint) if isinstance(mark, Range)) or bare(hint) is not float


@pytest.mark.parametrize("verb", SETTINGS)
def test_every_number_of_every_verb_has_a_range(verb):
    for name, hint in keys(SETTINGS[verb]):
        kinds = {bare(hint), *map(bare, getattr(bare(hint), "__args__", ()))}
        if kinds & {int, float} and not any(map(is_settings, kinds)):
            assert any(isinstance(mark, Range) for mark in marks(hint) + inner_marks(hint)), name


def inner_marks(hint):
    """Marks of a list's items."""
    return tuple(
        mark for item in getattr(bare(hint), "__args__", ()) if item is not ... for mark in marks(item)
    )


@pytest.mark.parametrize("model", MODELS)
def test_every_argument_of_every_network_refuses_what_no_network_has(model):
    net = load(TrainSettings, [f"model={model}"]).model.net
    sizes = {"n_chans": 19, "n_times": 256, "sfreq": 256.0, "n_outputs": 2}
    for name, usual in net.arguments.items():
        if isinstance(usual, bool) or not isinstance(usual, int | float):
            continue
        for value in (-1, math.nan, 1e30, 10**30, "text"):
            with pytest.raises(ConfigError) as caught:
                net.with_arguments(**{name: value}).build("network", **sizes)
            assert "\n" not in str(caught.value) and name in str(caught.value)


@pytest.mark.parametrize(
    "section, values",
    [
        ("corpus", {"n_subjects": (-1, 0, math.nan, 1e30, 10**30, "text"), "seed": (-1, 2**64, "text")}),
        ("corpus", {"difficulty": (-1, math.nan, 1e30, "text"), "recording_s": (-1, 0, math.nan, 1e30)}),
        ("text_encoder", {"dim": (-1, 0, 10**30, "text"), "dropout": (-1, 2, math.nan), "depth": (0, 10**9)}),
    ],
)
def test_arguments_of_corpora_and_text_encoders_are_refused_alike(section, values, tmp_path):
    settings = load(TrainSettings, [f"dataset.root={tmp_path}"])
    part = settings.dataset.corpus if section == "corpus" else settings.text_encoder
    runtime = {} if section == "corpus" else {"sentences": ["a"]}
    for name, several in values.items():
        for value in several:
            with pytest.raises(ConfigError) as caught:
                part.with_arguments(**{name: value}).build(section, **runtime)
            assert "\n" not in str(caught.value) and name in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_part_of_others_may_take_any_number_that_is_one():
    def part(*, offset: int = 0, scale: float = 1.0):
        return offset, scale

    part.__module__ = "mylab"
    registry = pytest.MonkeyPatch()
    registry.setattr("distilclip_eeg.config.registry.find", lambda *_: part)
    try:
        assert Component.of({"_target_": "p", "offset": -5, "scale": 1e20}).build() == (-5, 1e20)
        with pytest.raises(ConfigError, match="scale=nan"):
            Component.of({"_target_": "p", "scale": math.nan}).build()
    finally:
        registry.undo()


END_TO_END = [
    ("train", "optim.lr=-1", "optim.lr=-1.0 must be in (0, 1000]"),
    ("train", "optim.weight_decay=-1", "optim.weight_decay=-1"),
    ("train", "optim.warmup_steps=-1", "optim.warmup_steps=-1 must be 0 or more"),
    (
        "train",
        "trainer.epochs=1000000000000",
        "must be 1 or more, and 1e+09 at most",
    ),
    ("train", "n_jobs=0", "n_jobs=0 must be in [-1024, 1024], not 0"),
    ("train", "seed=-1", "seed=-1 must be"),
    ("train", "seed=[0,-1]", "seed=-1 must be"),
    ("train", "seed=[]", "seed=[]: nothing to do"),
    ("train", "fold=-1", "fold=-1 must be"),
    ("train", "trainer=null", "trainer=null: it is a section; set its own keys, trainer.KEY=VALUE"),
    ("train", "model=null", "model=null: expected one of cbam3d"),
    ("train", "dataset=null", "dataset=null: expected one of aubmc"),
    ("train", "dataset.corpus=null", "dataset.corpus=null: it is a section"),
    ("train", "signals.sfreq=1e30", "signals.sfreq=1e+30 must be in (0, 100000]"),
    ("train", "windows.length_s=1e-9", "is 0 samples"),
    ("train", "signals.l_freq=nan", "signals.l_freq=nan"),
    ("train", "dataset.corpus.n_subjects=-1", "dataset.corpus.n_subjects=-1"),
    ("distill", "distill.temperature=0", "distill.temperature=0"),
    ("distill", "teacher=null", "teacher"),
    ("tune", "trials=0", "trials=0"),
    ("tune", "jobs=100000", "jobs=100000"),
    ("table1", "jobs=0", "jobs=0"),
    ("gap", "seed=a", "seed='a'"),
    ("prepare", "n_jobs=0", "n_jobs=0"),
    ("benchmark", "hours=[-1]", "hours=-1 must be in [1, 168]"),
    ("benchmark", "minutes=100000", "minutes=100000"),
    ("parameters", "channels=10000000", "channels=10000000"),
    ("export", "weights=-1", "weights=-1"),
    ("continuous", "threshold=-1", "threshold=-1"),
    ("rehearse", "hop_s=nan", "hop_s=nan"),
    ("explain", "fold=-1", "fold=-1"),
    ("evaluate", "n_jobs=0", "n_jobs=0"),
    ("demo", "steps=0", "steps=0"),
]


@pytest.mark.parametrize("verb, word, said", END_TO_END, ids=lambda v: v if isinstance(v, str) else "")
def test_a_value_out_of_range_ends_a_command_in_one_line_before_any_work(
    verb, word, said, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        cli.run(verb, [word])
    seen = capsys.readouterr()
    assert caught.value.code == 2 and seen.out == "" and list(tmp_path.iterdir()) == []
    assert re.fullmatch(r"error: [^\n]*\n", seen.err) and said in seen.err, seen.err


@pytest.mark.parametrize(
    "words, said",
    [
        (["model.net.dim=16000", "model.net.heads=1", "model.net.depth=1000"], "expected 2,000,000,000"),
        (["model=logreg_bandpower", "model.kind=teacher"], "is no network"),
        (["model=eegnet", "model.kind=floor"], "is a network. Leave model.kind out"),
        (["model=eegnet", "windows.length_s=0.01"], "eegnet"),
        (["model=zhu_transformer", "model.net.heads=7"], "not a multiple of model.net.heads=7"),
    ],
)  # fmt: skip
def test_a_network_that_cannot_be_is_told_before_any_file(words, said, tmp_path):
    settings = load(TrainSettings, [f"dataset.root={tmp_path}", *words]).each_seed()[0]
    with pytest.raises(ConfigError, match=re.escape(said)):
        checks.check(settings.data, settings.learning)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("model", MODELS)
def test_every_preset_passes_the_same_checks(model, tmp_path):
    words = [f"dataset.root={tmp_path}", f"model={model}", "text.source=none"]
    settings = load(TrainSettings, words).each_seed()[0]
    checks.check(settings.data, settings.learning)


# ------------------------------------------------------------------------------------------------- seeds


@pytest.mark.parametrize("seed", [0, 7, 20240131, 2024013112, 20240131123059, 2**63 - 1])
def test_a_seed_may_be_a_date_or_a_time_in_digits(seed):
    check("seed", Seed, seed)
    for fold in (0, 4):
        value = small_seed(seed, fold)
        np.random.seed(value)
        torch.manual_seed(value)
    y = np.arange(20) % 2
    assert len(list(k_folds(y, None, 5, seed))) == 5


def test_small_seeds_are_what_they_always_were():
    assert [small_seed(seed, 3) for seed in (0, 1, 4_294_967)] == [3, 1003, 4_294_967_003]
    assert small_seed(20240131, 3) == 20240131003 - 4 * 2**32 == 3_060_261_819
    y = np.arange(40) % 2
    ours = [tuple(test) for _, test in k_folds(y, None, 5, 11)]
    theirs = [tuple(test) for _, test in StratifiedKFold(5, shuffle=True, random_state=11).split(y, y)]
    assert ours == theirs


def test_two_dates_give_two_orders():
    assert small_seed(20240131, 0) != small_seed(20240201, 0)


def test_an_invented_corpus_takes_a_date_as_its_seed():
    assert load(SynthesizeSettings, ["layout=chbmit", "root=x", "seed=20240131"]).seed == 20240131


def test_every_verb_is_in_the_sample():
    quiet = {
        "report",
        "probe",
        "detect",
        "search",
        "check",
        "describe",
        "synthesize",
        "download",
        "ablations",
        "layouts",
        "doctor",
    }
    assert {verb for verb, *_ in END_TO_END} | quiet == set(COMMANDS)
