"""Hydra composes a command's settings; here they become one frozen dataclass, or one line that says why not.

The yaml files choose (which corpus, which network, what differs from the defaults); the dataclasses of this
room say what there is, with type, range, meaning and default.
"""

import functools
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

from hydra import compose, initialize_config_dir, initialize_config_module
from hydra.core.config_store import ConfigNode, ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from distilclip_eeg.config import commands, on_files, studies
from distilclip_eeg.config.component import Component
from distilclip_eeg.config.experiment import DistillSettings, TrainSettings
from distilclip_eeg.config.ranges import AsTyped, PathAsTyped, Words
from distilclip_eeg.config.rules import Settings, bare, check, freeze, hints, is_settings, marks, schema
from distilclip_eeg.config.words import (
    PATHS_OF_PARTS,
    at_home,
    bare_keys,
    home_word,
    quoted,
    readable,
    spoken,
    unquoted,
)
from distilclip_eeg.schema import ConfigError, nearest

PACKAGED = Path(__file__).parents[1] / "configs"
CONFIG_DIR = PACKAGED if PACKAGED.is_dir() else Path(__file__).parents[3] / "configs"
"""Inside the wheel, or the checkout's own folder."""

SETTINGS: dict[str, type[Settings]] = {
    "train": TrainSettings,
    "distill": DistillSettings,
    "tune": studies.TuneSettings,
    "table1": studies.Table1Settings,
    "ablations": studies.AblationsSettings,
    "gap": studies.GapSettings,
    "layouts": studies.LayoutsSettings,
    "evaluate": commands.EvaluateSettings,
    "report": commands.ReportSettings,
    "probe": commands.ProbeSettings,
    "rehearse": commands.RehearseSettings,
    "continuous": commands.ContinuousSettings,
    "explain": commands.ExplainSettings,
    "benchmark": commands.BenchmarkSettings,
    "export": commands.ExportSettings,
    "detect": on_files.DetectSettings,
    "search": on_files.SearchSettings,
    "prepare": commands.PrepareSettings,
    "describe": commands.DescribeSettings,
    "check": commands.CheckSettings,
    "synthesize": commands.SynthesizeSettings,
    "download": commands.DownloadSettings,
    "parameters": commands.ParametersSettings,
    "demo": commands.DemoSettings,
    "doctor": commands.DoctorSettings,
}
"""What each command is told; ``configs/<command>.yaml`` lists the groups that it composes, if any."""

READINGS = ("placement", "unimodal")
OmegaConf.register_new_resolver(
    "by_reading",
    lambda *values, _root_: values[READINGS.index(_root_.ablation_reading)],
    replace=True,
)
"""``${by_reading:A,B}``: what ``ablation_reading`` makes of a row of Table II."""

LEFT_OUT = tuple(
    f"~hydra/{group}"
    for group in ("launcher", "sweeper", "help", "hydra_help", "job_logging", "hydra_logging", "output")
)
"""Parts of Hydra that start a program: a composition would read and merge them for nothing, a fifth of its
time."""

S = TypeVar("S", bound=Settings)


@functools.cache
def node_of(command: str) -> ConfigNode:
    """A command's settings class as Hydra keeps it."""
    name = f"{command}_settings.yaml"
    return ConfigNode(name, OmegaConf.structured(schema(SETTINGS[command])), None, None, None)


@contextmanager
def registered(command: str) -> Iterator[None]:
    """Give Hydra the command's settings class meanwhile, as ``<command>_settings`` of the defaults lists.

    That of no other command: Hydra copies all that it was given for each composition.
    """
    given = ConfigStore.instance().repo
    others = {
        name: given.pop(name) for name in [f"{other}_settings.yaml" for other in SETTINGS] if name in given
    }
    mine = node_of(command)
    given[mine.name] = mine
    try:
        yield
    finally:
        del given[mine.name]
        given.update(others)


def load(cls: type[S], words: list[str]) -> S:
    """Compose a command's settings with the command line's ``words``, check and freeze them.

    Raises:
        ConfigError: whatever is wrong with them, in one line.
    """
    command = next(name for name, known in SETTINGS.items() if known is cls)
    settings = freeze(cls, composed(command, words))
    for where, part in parts(settings):
        if any(w.lstrip("+~").startswith(f"{where}.") for w in words):
            part.check(where)
    return settings


def composed(command: str, words: list[str]) -> dict[str, Any]:
    """The same as plain values, not checked beyond what OmegaConf does."""
    try:
        said = tuple(prepared(command, words))
        to_hydra = any(re.match(r"[+~]*hydra[./]", word) for word in said)  # configs of others may change
        node = anew(command, said) if to_hydra else composition(command, said)
        values = OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
        at_home(values, path_keys(command))
    except (HydraException, OmegaConfBaseException, ValueError, AssertionError) as error:
        raise explained(error, command, words) from None
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def anew(command: str, words: tuple[str, ...]) -> DictConfig:
    """What Hydra makes of the words, not resolved yet."""
    with registered(command), opened_folder(command):
        return compose(primary(command), overrides=list(words))


@functools.lru_cache(maxsize=256)
def composition(command: str, words: tuple[str, ...]) -> DictConfig:
    """The same of words that tell Hydra itself nothing; not to be changed.

    A command composes the same words more than once (to check them, to begin, to describe itself, for each
    of its cells), and a composition takes Hydra a tenth of a second.
    """
    return anew(command, (*words, *LEFT_OUT))


def primary(command: str) -> str:
    """The config that Hydra composes first: the command's yaml; its settings alone where it ``is_plain``."""
    return f"{command}_settings" if is_plain(command) else command


def opened_folder(command: str) -> AbstractContextManager:
    """Hydra at our configs; at this room, which has none, for a command that ``is_plain``."""
    if is_plain(command):
        return initialize_config_module(__package__, version_base="1.3")
    return initialize_config_dir(str(CONFIG_DIR), version_base="1.3")


def is_plain(command: str) -> bool:
    """Whether the command composes no group, and so has no yaml: its settings are all there is.

    Then ``dataset=`` and ``model=`` are plain values; Hydra takes them for a group wherever it knows one.
    """
    return not (CONFIG_DIR / f"{command}.yaml").exists()


def defaults(command: str, words: tuple[str, ...] = ()) -> dict[str, Any]:
    """Every setting with its default; ``???`` where one must be given."""
    values = OmegaConf.to_container(composition(command, words), resolve=False)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def prepared(command: str, words: list[str]) -> list[str]:
    """The command line as Hydra's grammar wants it.

    Raises:
        ConfigError: a word that is no ``key=value``, or whose value cannot be read.
    """
    known = keys(SETTINGS[command])
    open_ended = tuple(f"{name}." for name, hint in known if is_open(hint))
    names = [*(name for name, _ in known), *(folder.name for folder in group_folders())]
    typed, first = typed_keys(command), told_paths(command)
    mappings = [name for name, hint in known if Words in (bare(hint), *get_args(bare(hint)))]
    right = [bare_keys(quoted(spoken(word, names, first), typed), mappings) for word in words]
    return [readable(opened(word, open_ended)) for word in right]


def as_typed(command: str, words: list[str]) -> list[str]:
    """Words without the quotes of Hydra's grammar, the home folder in its place: as a person means them."""
    typed, paths = typed_keys(command), path_keys(command)
    return [home_word(unquoted(word, typed), paths) for word in words]


@functools.cache
def typed_keys(command: str) -> dict[str, bool]:
    """Keys that are taken as typed, and whether a list will do, too."""
    found = {path: False for path in path_keys(command)}
    for name, hint in keys(SETTINGS[command]):
        if any(isinstance(mark, AsTyped) for mark in marks(hint)):
            found[name] = bare(hint) is Any
    return found


@functools.cache
def path_keys(command: str) -> tuple[str, ...]:
    """Keys that are paths, those of parts included."""
    known = keys(SETTINGS[command])
    own = [name for name, hint in known if any(isinstance(mark, PathAsTyped) for mark in marks(hint))]
    parts = [name for name, hint in known if bare(hint) is Component]
    return (*own, *(f"{part}.{name}" for part in parts for name in PATHS_OF_PARTS))


def told_paths(command: str) -> list[str]:
    """The paths that a person most likely means: those without a default, then the corpus's folder."""
    required = [f.name for f in fields(SETTINGS[command]) if f.default is f.default_factory is MISSING]
    return [key for key in (*required, "run", "dataset.root") if key in path_keys(command)]


def keys(cls: type[Settings], prefix: str = "") -> list[tuple[str, Any]]:
    """Every dotted key of a settings class with its annotation, sections included."""
    found: list[tuple[str, Any]] = []
    for name, hint in hints(cls).items():
        found.append((prefix + name, hint))
        for member in (bare(hint), *get_args(bare(hint))):
            if is_settings(bare(member)):
                found += keys(bare(member), f"{prefix}{name}.")
    return found


def is_open(hint: Any) -> bool:
    """Whether a section takes keys that no dataclass lists: a part's arguments, a search space."""
    return bare(hint) is Component or get_origin(bare(hint)) is dict


def is_section(hint: Any) -> bool:
    """Whether it holds settings or a part, or null in their place: what a group's yaml file fills."""
    return any(is_settings(bare(m)) or is_open(m) for m in (hint, *get_args(bare(hint))))


def parts(settings: Settings, prefix: str = "") -> Iterator[tuple[str, Component]]:
    """Every part that the settings name, by its dotted key."""
    for name in hints(type(settings)):
        value = getattr(settings, name)
        if isinstance(value, Component):
            yield prefix + name, value
        elif isinstance(value, Settings):
            yield from parts(value, f"{prefix}{name}.")


def opened(word: str, open_ended: tuple[str, ...]) -> str:
    """An argument of a part, allowed although the yaml does not list it.

    The constructor refuses what it lacks, so each of a network's settings has its default in one place.
    """
    return f"++{word}" if word.startswith(open_ended) else word


# ------------------------------------------------------------------------------- one line for an error


def explained(error: Exception, command: str, words: list[str]) -> ConfigError:
    """What Hydra and OmegaConf say in several lines, as one."""
    cause = error.__cause__ or error
    text = " ".join(str(error).split())
    if key := re.search(r"Key '([^']+)' is not in struct|Could not override '([^']+)'", f"{text} {cause}"):
        return no_such(key.group(2) or getattr(cause, "full_key", None) or key.group(1), command, words)
    if "not in '" in text and (key := re.search(r"Key '([^']+)' not in", text)):
        return no_such(getattr(cause, "full_key", None) or key[1], command, words)
    if missing := re.search(r"Missing mandatory value: (\S+)", text):
        name = getattr(error, "full_key", None) or missing[1]
        return ConfigError(f"{name}: it has no default; expected {name}=... on the command line.")
    if option := re.search(r"Could not find '([^']+)'", text):
        group = option[1].rpartition("/")[0]
        there = ", ".join(sorted(p.stem for p in (CONFIG_DIR / group).glob("*.yaml")))
        return ConfigError(f"{option[1]}: there is no such config. {group or 'configs'} has: {there}.")
    groups = {folder.name for folder in group_folders()}
    if "Config group override must be" in text:
        for group, value in said_values(words):
            if group in groups and not isinstance(value, str | list):
                there = ", ".join(sorted(p.stem for p in (CONFIG_DIR / group).glob("*.yaml")))
                shown = "null" if value is None else value
                return ConfigError(f"{group}={shown}: expected one of {there}.", reason="wrong_type")
    if isinstance(error, AssertionError):  # OmegaConf's, of a value below a section that is null
        said = next((w for w in words if w.partition(".")[0].lstrip("+~") in groups), " ".join(words))
        group = said.partition(".")[0].lstrip("+~")
        return ConfigError(f"{said}: of which {group}? Add {group}=NAME.", reason="missing_key")
    for name, value in said_values(words):
        hint = dict(keys(SETTINGS[command])).get(name)
        if hint is not None and is_section(hint) and is_plain(command) and not isinstance(value, dict):
            return no_such(name, command, words)
        if hint is not None and not (name in groups and is_section(hint)):
            try:
                check(name, hint, tuple(value) if isinstance(value, list) else value)
            except ConfigError as wrong:
                return wrong
    return ConfigError(text, reason="bad_config")


def said_values(words: list[str]) -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of the command line, as far as it can be read."""
    for word in words:
        try:
            override = OverridesParser.create().parse_override(word)
            yield override.get_key_element().lstrip("+~"), override.value()
        except (HydraException, ValueError):
            continue


def no_such(name: str, command: str, words: list[str]) -> ConfigError:
    """An unknown setting, with the nearest known one."""
    known = [key for key, _ in keys(SETTINGS[command])]
    groups = [f.name for f in group_folders() if f.name in known or f.name == "experiment"]
    for word in words:
        if word.partition("=")[0].lstrip("+~") == name:
            break
        if word.partition("=")[0].lstrip("+~").endswith(f".{name}"):
            name = word.partition("=")[0].lstrip("+~")
            break
    if below := [key for key in known if name in known and key.startswith(f"{name}.")]:
        return ConfigError(
            f"{name}: nothing to choose here; it has {', '.join(below)}.", reason="unknown_key"
        )
    hint = nearest(name, [*known, *groups])
    if hint.startswith(" There is"):
        tops = sorted({key.partition(".")[0] for key in known})
        hint = f" Known keys begin with {', '.join(tops)}."
    return ConfigError(f"{name}: there is no such setting.{hint}", reason="unknown_key")


def group_folders() -> list[Path]:
    """Folders of alternatives: ``dataset``, ``model`` and the others."""
    return sorted(f for f in CONFIG_DIR.iterdir() if f.is_dir() and any(f.glob("*.yaml")))
