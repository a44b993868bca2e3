"""The reference of settings is whole: every key of every verb and part, with meaning, unit and default."""

import shlex
import sys

import pytest
from page_tools import REPO

from distilclip_eeg.commands import COMMANDS
from distilclip_eeg.config.compose import CONFIG_DIR, load
from distilclip_eeg.config.describe import describe

sys.path.insert(0, str(REPO / "docs"))
import generated  # noqa: E402

CHOICES = [
    (group, path.stem) for group in generated.PARTS for path in sorted((CONFIG_DIR / group).glob("*.yaml"))
]


@pytest.fixture(scope="module")
def pages():
    """All generated pages, made here and not where the file is read, since every test process reads it."""
    return generated.pages()


def shown(key) -> str:
    """A setting as its page shows it."""
    return "\n".join(generated.entry(key))


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_key_stands_on_the_page_of_its_verb_or_as_it_is_on_the_page_of_train(verb, pages):
    page, base = pages[f"settings-{verb}"], pages[f"settings-{generated.BASE}"]
    keys = describe(verb)
    assert keys or verb == "report"
    for key in keys:
        assert key.meaning, f"{key.name} has no meaning"
        assert key.kind, f"{key.name} has no type"
        assert shown(key) in page or (shown(key) in base and "settings as in [train]" in page), key.name
    if verb != generated.BASE and "settings as in [train]" in page:
        told = sum(shown(key) in base for key in keys)
        assert f"And {told} settings as in" in page


@pytest.mark.parametrize("group, name", CHOICES)
def test_every_argument_of_every_part_is_told(group, name, pages):
    place = generated.PARTS[group]
    section = pages["settings-parts"].partition(f"### {group}={name}\n")[2].partition("\n### ")[0]
    keys = [key for key in describe("train", (f"{group}={name}",)) if key.name.startswith(f"{place}.")]
    for key in keys:
        assert key.meaning and shown(key) in section, key.name


@pytest.mark.parametrize(
    "name, kind, unit",
    [
        ("windows.length_s", "float", "s"),
        ("signals.notch_hz", "float or null", "Hz"),
        ("signals.l_freq", "float", "Hz"),
        ("signals.clip_uv", "float", "µV"),
        ("detect.budget_hours", "float", "h"),
        ("model.net.depth", "int", ""),
        ("store.units", "text", ""),
    ],
)
def test_a_number_has_the_unit_that_its_name_tells(name, kind, unit):
    from distilclip_eeg.config.usual import unit_of

    assert unit_of(name, kind) == unit


def test_help_shows_the_unit_and_what_is_handed_on_to_the_text_encoder(capsys):
    from distilclip_eeg.commands.cli import help_of

    said = help_of("train")
    assert "windows.length_s  (float, in (0, 3600], s)  = 1.0" in said
    names = {key.name for key in describe("train", ("text_encoder=minilm",))}
    assert {"text_encoder.pool", "text_encoder.train", "text_encoder.offline"} <= names


@pytest.mark.parametrize("verb", COMMANDS)
def test_examples_of_help_and_pages_compose(verb):
    command = COMMANDS[verb]
    for example in command.examples:
        words = [word for word in shlex.split(example) if not word.startswith("-") and "," not in word]
        complete = (
            (lambda as_is: as_is) if verb in ("distill", "tune") else command.complete
        )  # these seek a run
        settings = load(command.settings, complete(words))
        assert isinstance(settings, command.settings), example


def test_every_module_has_its_place_in_the_api(pages):
    there = "\n".join(text for name, text in pages.items() if name.startswith("api-"))
    for room in generated.rooms():
        for module in generated.modules(room):
            assert f".. automodule:: {module}\n" in there
    for name in ("deploy.detector", "models.conformer", "schema", "runs", "scoring.metrics"):
        assert f"automodule:: distilclip_eeg.{name}\n" in there
