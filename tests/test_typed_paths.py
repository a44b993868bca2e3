"""Paths and texts as typed: in single runs, in sweeps, in --config-dir; and words that are not key=value."""

import os
import re
from dataclasses import MISSING, fields
from pathlib import Path

import numpy as np
import pytest

from distilclip_eeg.commands import cli
from distilclip_eeg.config.commands import CheckSettings
from distilclip_eeg.config.compose import SETTINGS, as_typed, keys, load, path_keys, prepared, typed_keys
from distilclip_eeg.config.experiment import DistillSettings, TrainSettings
from distilclip_eeg.config.on_files import SearchSettings
from distilclip_eeg.config.ranges import PathAsTyped
from distilclip_eeg.config.rules import marks
from distilclip_eeg.config.words import in_quotes

ODD = [
    *("with space", "ü/ö", "a'b", 'a"b', "'open", '"open', "C:\\data\\eeg", "C:\\", "ends\\", "two\\\\"),
    *("\\\\host\\share", "(1),[2]=3", "[x", "[x]", "{x}", "a=b", "=", "a,b", "a$b", "$HOME", "${x", "a:b"),
    *("a;b", "a|b", "a&b", "#x", "%20", "1e5", "1", "true", "null ", " x", "*.edf", "a?", "!x", "a\tb", "-x"),
    *("@x", "x\\'y", "a\\", "`x`", "<x>", "^x"),
]
"""Names that a folder may have."""
CHARACTERS = "ab 1~'\"\\[](){},=:$;|&#%!*?-+@.<>^`/\tü"


def value_of(settings, name):
    for part in name.split("."):
        settings = getattr(settings, part)
    return settings


@pytest.mark.parametrize("path, other", list(zip(ODD, [*ODD[1:], ODD[0]], strict=True)))
def test_a_path_is_taken_as_typed(path, other):
    settings = load(TrainSettings, [f"dataset.root={path}", f"run.root={other}"])
    assert settings.dataset.root == settings.dataset.corpus.get("root") == path
    assert settings.run.root == other


def test_a_path_of_a_command_without_a_yaml_is_taken_as_typed():
    for path in ODD:
        assert load(CheckSettings, [f"path={path}"]).path == path


def test_any_three_characters_are_taken_as_typed():
    """600 seeded strings of what shells, yaml and Hydra give a meaning to."""
    rng = np.random.default_rng(14)
    for _ in range(600):
        text = "x" + "".join(rng.choice(list(CHARACTERS), 3))
        (word,) = prepared("check", [f"path={text}"])
        assert as_typed("check", [word]) == [f"path={text}"], text
    for _ in range(40):
        text = "x" + "".join(rng.choice(list(CHARACTERS), 3))
        assert load(CheckSettings, [f"path={text}"]).path == text


@pytest.mark.parametrize("verb", SETTINGS)
def test_every_key_marked_as_typed_is(verb):
    cls, odd = SETTINGS[verb], "C:\\a b's (1),[2]\\"
    must = [f.name for f in fields(cls) if f.default is f.default_factory is MISSING]
    said = {name: "x" for name in must if name in ("weights", "input", "output", "path", "layout", "root")}
    said |= {"dataset": "chbmit"} if verb == "download" else {}
    for name, hint in keys(cls):
        sectioned = name.partition(".")[0] == "dataset" and verb in ("evaluate", "report")
        if any(isinstance(m, PathAsTyped) for m in marks(hint)) and not sectioned and name != "split.table":
            if name not in ("dataset.table", "dataset.label_column"):
                said[name] = odd
    settings = load(cls, [f"{name}={value}" for name, value in said.items()])
    assert all(value_of(settings, name) == odd for name, value in said.items() if value == odd)
    assert not said or set(said) & set(path_keys(verb)) or verb in ("synthesize", "download")


def test_arguments_of_parts_that_are_paths_are_as_typed():
    words = ["dataset.corpus.root=C:\\a, b\\", "text_encoder=bert_base", "text_encoder.path=~/b'c"]
    settings = load(TrainSettings, words)
    assert settings.dataset.corpus.get("root") == "C:\\a, b\\"
    assert settings.text_encoder.get("path") == os.path.expanduser("~/b'c")


def test_what_is_in_quotes_of_hydras_is_still_read_so():
    for word in ("run.root='a b'", 'run.root="a b"', "run.root=a b"):
        assert load(TrainSettings, [word]).run.root == "a b"
    assert load(TrainSettings, ["run.root='it\\'s'"]).run.root == "it's"


def test_an_interpolation_is_still_one(monkeypatch):
    monkeypatch.setenv("PLACE", "/fast disk")
    assert load(TrainSettings, ["run.root=${oc.env:PLACE}/a (b)"]).run.root == "/fast disk/a (b)"
    assert load(TrainSettings, ["store.root=${run.root}/s"]).store.root == "runs/s"


def test_a_query_may_be_a_list_or_any_text():
    files = ["weights=a", "input=b"]
    assert load(SearchSettings, [*files, "query=[one,another]"]).query == ["one", "another"]
    assert load(SearchSettings, [*files, "query=spikes, left (F7): ~3/s"]).query == "spikes, left (F7): ~3/s"


@pytest.mark.parametrize("word, there", [("~", ""), ("~/runs of me", "/runs of me"), ("'~/x'", "/x")])
def test_home_is_put_in_where_a_path_is_meant(word, there, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = load(TrainSettings, [f"dataset.root={word}", f"run.root={word}"])
    assert settings.run.root == settings.dataset.root == settings.dataset.corpus.get("root")
    assert settings.run.root == f"{tmp_path}{there}"
    assert load(DistillSettings, ["teacher=~/r"]).teacher == f"{tmp_path}/r"
    assert load(SearchSettings, ["weights=a", "input=b", "query=~x"]).query == "~x"


def test_home_is_put_in_in_a_yaml_of_ones_own_too(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / "my 'configs', (new)"
    (folder / "dataset").mkdir(parents=True)
    (folder / "dataset" / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - synthetic\n  - _self_\ndataset:\n  name: mine\n  root: ~/data\n"
    )
    quick = ["n_jobs=1", "dataset.corpus.n_subjects=1", "dataset.corpus.recording_s=40"]
    for flag in (["--config-dir", str(folder)], [f"--config-dir=~/{folder.name}"]):
        cli.run("describe", [*flag, "dataset=mine", *quick, "dataset.corpus.recordings_per_subject=1"])
        assert "synthetic: " in capsys.readouterr().out
    assert list((tmp_path / "data").iterdir())


@pytest.mark.parametrize(
    "name, other", [("a b", "a'b"), ("a,b", "a=b"), ("[x", "ends\\"), ("C:\\x", "a$b"), ("(1)", 'a"b')]
)
def test_a_sweep_gives_each_of_its_runs_the_path_as_typed(name, other, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    seen = []
    monkeypatch.setattr(
        cli, "act", lambda verb, words: seen.append(load(TrainSettings, as_typed(verb, words)))
    )
    cli.run("train", ["-m", f"run.root={name}", f"dataset.root={other}", "split=window,subject"])
    assert [one.split.name for one in seen] == ["window", "subject"]
    assert [one.run.root for one in seen] == [name] * 2
    assert [one.dataset.corpus.get("root") for one in seen] == [other] * 2


def test_a_home_folder_in_a_sweep(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/people/a b")
    seen = []
    monkeypatch.setattr(cli, "act", lambda verb, words: seen.append(load(TrainSettings, words)))
    cli.run("train", ["run.root=~/r", "split=window,subject", "-m"])
    assert [one.run.root for one in seen] == ["/people/a b/r"] * 2


@pytest.mark.parametrize("value", ODD)
def test_quotes_are_put_on_and_taken_off_again(value):
    assert typed_keys("train")["run.root"] is False and typed_keys("search")["query"] is True
    assert as_typed("train", [f"run.root={in_quotes(value)}"]) == [f"run.root={value}"]


@pytest.mark.parametrize(
    "verb, word, said",
    [
        ("train", "trainer.epochs", "Did you mean trainer.epochs=VALUE?"),
        ("train", "trainer.epoch", "Did you mean trainer.epochs=VALUE?"),
        ("train", "~/data", "Did you mean dataset.root=~/data?"),
        ("train", "C:\\data", "Did you mean dataset.root=C:\\data?"),
        ("check", "some/file.edf", "Did you mean path=some/file.edf?"),
        ("detect", "/a/night.edf", "Did you mean input=/a/night.edf?"),
        ("export", "runs/synthetic/x", "Did you mean run=runs/synthetic/x?"),
        ("train", "zzzz qqqq", "--help lists the keys"),
        ("train", "=3", "--help lists the keys"),
        ("train", "", "--help lists the keys"),
        ("train", "'a b'", "--help lists the keys"),
        ("train", "a b=3", "expected KEY=VALUE"),
        ("train", "seed={", "cannot be read"),
        ("train", "trainer.epochs=[1", "cannot be read"),
        ("train", "run.name=a (b", "in two pairs of quotes"),
    ],
)
@pytest.mark.parametrize("flags", [[], ["-m"]], ids=["", "sweep"])
def test_a_word_that_is_no_key_and_value_gets_one_helpful_line(
    verb, word, said, flags, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        cli.run(verb, [word, *flags])
    seen = capsys.readouterr()
    assert caught.value.code == 2 and seen.out == "" and not list(tmp_path.iterdir())
    assert re.fullmatch(r"error: [^\n]*\n", seen.err) and said in seen.err, seen.err


def test_a_file_that_is_there_is_taken_for_a_forgotten_key(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("night.edf").write_bytes(b"")
    with pytest.raises(SystemExit):
        cli.run("check", ["night.edf"])
    assert "Did you mean path=night.edf?" in capsys.readouterr().err
