"""Settings: composed by Hydra, checked before any data are read, built in one place."""

import difflib
import re
from dataclasses import fields
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from distilclip_eeg.schema import ConfigError

PACKAGED = Path(__file__).parent / "configs"
CONFIG_DIR = PACKAGED if PACKAGED.is_dir() else Path(__file__).parents[2] / "configs"
"""Inside the wheel, or the checkout's own folder."""

TARGETS = ("distilclip_eeg.",)
"""What a ``_target_`` may begin with."""


def load(verb: str, overrides: list[str]) -> dict:
    """Compose ``configs/<verb>.yaml`` with the command line's overrides into plain values."""
    try:
        with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
            node = compose(verb, overrides=overrides)
            return OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(explain(error, verb), reason="bad_config") from None


def explain(error: Exception, verb: str) -> str:
    """One line for what Hydra says in several."""
    cause = error.__cause__ or error
    text = " ".join(str(error).split())
    key = re.search(r"Key '([^']+)' is not in struct|Could not override '([^']+)'", text + " " + str(cause))
    if key:
        name = key.group(2) or key.group(1)
        known = known_keys(verb)
        near = (
            difflib.get_close_matches(name, known, 1)
            or [k for k in known if k.rpartition(".")[2] == name.rpartition(".")[2]][:1]
        )
        hint = f"Did you mean {near[0]}?" if near else f"Known keys begin with {', '.join(top_keys(known))}."
        return f"{name}: there is no such setting. {hint}"
    option = re.search(r"Could not find '([^']+)'", text)
    if option:
        group = option.group(1).rpartition("/")[0]
        names = sorted(p.stem for p in (CONFIG_DIR / group).glob("*.yaml"))
        return f"{option.group(1)}: there is no such config. {group or 'configs'} has: {', '.join(names)}."
    return text


def known_keys(verb: str) -> list[str]:
    """Every dotted key of the verb's default config, and the groups."""
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        node = compose(verb)

    def walk(tree, prefix=""):
        for key, value in tree.items():
            yield prefix + key
            if isinstance(value, dict):
                yield from walk(value, f"{prefix}{key}.")

    return list(walk(OmegaConf.to_container(node)))


def top_keys(known: list[str]) -> list[str]:
    return sorted({k for k in known if "." not in k})


def read(cls, values: dict, where: str):
    """Build settings dataclass ``cls``; an unknown key, a missing one or a wrong type is an error."""
    names = {f.name: f for f in fields(cls)}
    for key, value in values.items():
        if key not in names:
            near = difflib.get_close_matches(key, names, 1)
            hint = f"Did you mean {where}.{near[0]}?" if near else f"{where} has: {', '.join(names)}."
            raise ConfigError(f"{where}.{key}: there is no such setting. {hint}", reason="unknown_key")
        check_type(f"{where}.{key}", value, names[key].type)
    try:
        return cls(**values)
    except TypeError as error:
        raise ConfigError(f"{where}: {str(error).partition(') ')[2] or error}") from None


def check_type(name: str, value: object, expected) -> None:
    """A number where a number is expected, and so on; a whole number will do for a float."""
    if isinstance(value, bool):
        ok = expected is bool
    else:
        # `5` for a float setting is fine; `5.5` for a whole number is not.
        ok = isinstance(value, expected) or (isinstance(value, int) and isinstance(1.0, expected))
    if not ok:
        kind = getattr(expected, "__name__", str(expected))
        raise ConfigError(
            f"{name}={value!r} is {type(value).__name__}, expected {kind}.", reason="wrong_type"
        )


def build(values: dict, **runtime):
    """Construct what ``_target_`` names; ``runtime`` adds what no yaml can know."""
    target = values.get("_target_", "")
    if not str(target).startswith(TARGETS):
        raise ConfigError(
            f"_target_={target!r} must begin with {' or '.join(TARGETS)}", reason="unknown_target"
        )
    node: DictConfig = OmegaConf.create(values)
    try:
        return instantiate(node, **runtime)
    except HydraException as error:
        cause = error.__cause__
        if isinstance(cause, ConfigError):
            raise cause from None
        raise ConfigError(f"{target}: {cause or error}") from error
