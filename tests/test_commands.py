"""Every verb: what ``--help`` tells, and one line with exit code 2 for whatever is mistyped."""

import subprocess
import sys
from pathlib import Path

import pytest

from distilclip_eeg import __version__
from distilclip_eeg.commands import COMMANDS, cli
from distilclip_eeg.config.compose import SETTINGS, is_open, keys
from distilclip_eeg.config.describe import describe
from distilclip_eeg.config.ranges import Range
from distilclip_eeg.config.rules import bare, is_settings, marks

SCRIPTS = Path(__file__).parents[1]
NEEDED = {
    "detect": ["weights=w", "input=i", "output=o"],
    "search": ["weights=w", "input=i", "query=slow"],
    "check": ["path=p"],
    "synthesize": ["layout=bids", "root=r"],
    "download": ["dataset=tusz"],
}
"""What a verb must be told."""


def refused(verb, *words, capsys):
    """The one line of a verb that ends with code 2."""
    with pytest.raises(SystemExit) as ended:
        cli.run(verb, [*NEEDED.get(verb, []), *words])
    out, err = capsys.readouterr()
    assert ended.value.code == 2, err
    assert err.startswith("error: ") and err.count("\n") == 1 and "Traceback" not in out + err, err
    return err


@pytest.mark.parametrize("verb", COMMANDS)
def test_help_tells_purpose_examples_keys_and_exit_codes(verb, capsys):
    cli.run(verb, ["--help"])
    said = capsys.readouterr().out
    command = COMMANDS[verb]
    assert " ".join(command.purpose.split()[:4]) in " ".join(said.split())
    assert len(command.examples) == 3
    for words in command.examples:
        assert f".py {words}".rstrip() in said
    for key in describe(verb):
        assert f"  {key.name}" in said
        assert key.meaning[:30] in " ".join(said.split())
    for code in (0, 1, 2, 3, 130):
        assert f"\n  {code} " in said
    assert "not a medical device" in said
    assert max(map(len, said.splitlines())) <= 130


def test_help_loads_no_torch():
    """One process tells the help of all: what one of them imports is there for good."""
    code = """
import sys
from distilclip_eeg.commands import cli
for verb in sys.argv[1:]:
    cli.run(verb, ["--help"])
    if any(m in sys.modules for m in ("torch", "transformers", "sklearn", "pandas")):
        sys.exit(f"{verb} imports something heavy")
"""
    done = subprocess.run([sys.executable, "-c", code, *COMMANDS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Exit codes") == len(COMMANDS)


@pytest.mark.parametrize("verb", COMMANDS)
def test_a_wrong_key_is_one_line_with_the_nearest_name(verb, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = next(key.name for key in describe(verb) if "." not in key.name and key.kind and len(key.name) > 3)
    said = refused(verb, f"{name}x=1", capsys=capsys)
    assert f"{name}x" in said and "no such setting" in said
    assert "Did you mean" in said, said
    assert list(tmp_path.iterdir()) == []


def numbers(verb):
    """Plain numeric keys of a verb with a bound."""
    for name, hint in keys(SETTINGS[verb]):
        if verb == "evaluate" and name.startswith(("signals.", "windows.")):
            continue  # refused whatever they are
        kinds = {bare(hint), *map(bare, getattr(bare(hint), "__args__", ()))}
        if kinds & {int, float} and not is_settings(bare(hint)) and not is_open(hint) and str not in kinds:
            yield name, [mark for mark in marks(hint) if isinstance(mark, Range)]


@pytest.mark.parametrize("verb", [verb for verb in COMMANDS if any(numbers(verb))])
def test_a_wrong_type_and_a_value_out_of_range_are_one_line(verb, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, limits in list(numbers(verb))[:2]:  # test_plain_values asks all keys
        assert f"{name}='wrong'" in refused(verb, f"{name}=wrong", capsys=capsys)
        if limits:
            bad = next(value for value in (-1, 0, 1e30) if value not in limits[0])
            assert "must be" in refused(verb, f"{name}={bad}", capsys=capsys)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_verb_has_a_launcher_of_a_few_lines(verb):
    path = SCRIPTS / f"{verb}.py" if verb in cli.AT_TOP else SCRIPTS / "scripts" / f"{verb}.py"
    text = path.read_text(encoding="utf-8")
    assert f'run("{verb}")' in text and len(text.splitlines()) < 10


def test_the_usage_lists_every_verb_and_what_it_is_for():
    said = cli.usage()
    for verb, command in COMMANDS.items():
        assert f"  {verb}" in said and command.purpose.split()[0] in said


def test_version_module_and_unknown_verbs():
    def start(*words):
        return subprocess.run(
            [sys.executable, "-m", "distilclip_eeg", *words], capture_output=True, text=True
        )

    assert start("--version").stdout.split() == ["distilclip-eeg", __version__]
    assert "usage: distilclip-eeg" in start().stdout
    wrong = start("trian")
    assert wrong.returncode == 2 and wrong.stderr.strip().endswith("Did you mean train?")


def test_a_config_folder_of_ones_own_is_searched(tmp_path, capsys):
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset" / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - synthetic\n  - _self_\ndataset:\n  name: mine\n"
    )
    for words in (
        [f"--config-dir={tmp_path}"],
        ["--config-dir", str(tmp_path)],
        [f"hydra.searchpath=[file://{tmp_path}]"],
    ):
        cli.run("describe", [*words, "dataset=mine", f"dataset.root={tmp_path / 'data'}", "n_jobs=1",
                             "dataset.corpus.n_subjects=1", "dataset.corpus.recording_s=40",
                             "dataset.corpus.recordings_per_subject=1"])  # fmt: skip
        assert "synthetic: " in capsys.readouterr().out
    assert "no such folder" in refused("describe", "--config-dir", "nowhere", capsys=capsys)


def test_the_settings_are_printed_and_the_tab_key_completes(as_script, tmp_path):
    shown = as_script("train.py", "optim.lr=0.5", "--cfg", "job", cwd=tmp_path)
    assert shown.returncode == 0 and "lr: 0.5" in shown.stdout, shown.stderr
    script = as_script("train.py", "-sc", "install=bash", cwd=tmp_path)
    assert script.returncode == 0 and "complete" in script.stdout, script.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_choice_is_shown_letter_by_letter():
    assert "channels  (strict|zero|interpolate)" in cli.help_of("detect")
