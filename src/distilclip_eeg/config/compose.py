"""Settings: composed by Hydra, checked before any data are read, built in one place."""

import difflib
import functools
import inspect
import re
from collections.abc import Mapping
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from types import UnionType

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from distilclip_eeg.schema import ConfigError, check_choice

PACKAGED = Path(__file__).parents[1] / "configs"
CONFIG_DIR = PACKAGED if PACKAGED.is_dir() else Path(__file__).parents[3] / "configs"
"""Inside the wheel, or the checkout's own folder."""

TARGETS = ("distilclip_eeg.",)
"""What a ``_target_`` may begin with."""

CHECKED_ELSEWHERE = (
    "signals",
    "windows",
    "split",
    "text",
    "trainer",
    "optim",
    "space",
    "dataset.corpus",
    "model.net",
    "text_encoder",
)
"""Each of these belongs to a dataclass (``read``) or a constructor (``build``) that refuses what it lacks."""
CONSTRUCTORS = ("model.net.", "text_encoder.", "dataset.corpus.")
"""Sections whose every key is an argument of what their ``_target_`` names."""
PATHS = (
    "dataset.root",
    "dataset.table",
    "path",
    "table",
    "recording",
    "split.table",
    "store.root",
    "run.root",
    "root",
    "weights",
    "input",
    "output",
    "results",
    "run",
    "teacher",
    "text_encoder.path",
    "init_from",
)
"""Settings whose value may be any path, quoted for Hydra by ``quoted``."""
TEXTS = ("query", "like")
"""The same for free text; a value in brackets is a list of them."""
COMMON = {
    "seed": int | list,
    "fold": int | list | None,
    "device": str,
    "augment": str,
    "ablation_reading": str,
    "n_jobs": int,
    "init_from": str | None,
    "loss.targets": str,
    "loss.alpha": float,
    "loss.class_weights": str,
    "head.input": str,
    "head.inference": str,
    "store.root": str,
    "run.root": str,
    "run.name": str | None,
    "run.fresh": bool,
    "dataset.name": str,
    "dataset.root": str,
    "dataset.missing_channels": str,
    "dataset.labels": str,
    "dataset.unit": str,
    "dataset.consensus": str,
    "dataset.table": str | None,
    "dataset.label_column": str,
    "dataset.unlabelled": str,
    "dataset.background": str | int | list,
    "dataset.classes": list | None,
    "dataset.channels": list | None,
    "model.name": str,
    "model.kind": str,
    "model.meta_lr": float | None,
}
"""Type of every other setting."""
DISTILL = COMMON | {
    "teacher": str,
    "distill.alpha": float,
    "distill.temperature": float,
    "distill.direction": str,
    "distill.logits": str,
    "distill.init": str,
    "distill.cosine": float,
    "distill.mse": float,
    "distill.contrast": float,
}
TUNE = {"trials": int, "startup": int, "pruner": str, "jobs": int, "cluster": str | None}
"""What ``tune`` has beside the settings of what it tunes."""
DATA = {k: v for k, v in COMMON.items() if k.startswith(("dataset.", "store.")) or k == "n_jobs"}
PLAIN = {
    "train": COMMON,
    "distill": DISTILL,
    "tune": DISTILL | TUNE | {"teacher": str | None},
    "evaluate": DATA
    | {"device": str, "run": str, "root": str, "metrics": str, "calibration": str, "threshold": str},
    "report": DATA | {"run": str, "root": str, "results": str},
    "probe": {
        **{"run": str, "table": str | None, "device": str, "n_jobs": int},
        **{"dataset.root": str | None, "store.root": str | None},
    },
    "rehearse": {
        **{"run": str, "hop_s": float, "device": str, "n_jobs": int},
        **{"dataset.root": str | None, "store.root": str | None},
    },
    "continuous": {
        **{"run": str, "hop_s": float, "threshold": str | float, "device": str, "n_jobs": int},
        **{"dataset.root": str | None, "store.root": str | None},
        **{f"detect.{name}": float for name in ("smooth_s", "merge_gap_s", "min_duration_s")},
    },
    "explain": {
        **{"run": str, "root": str, "fold": int, "method": str, "windows": int, "fresh": bool},
        **{"device": str, "n_jobs": int, "dataset.root": str | None, "store.root": str | None},
    },
    "benchmark": {
        **{"what": str, "net": str, "minutes": int, "rounds": int, "hours": list, "batch_size": int},
    },
    "export": {
        **{
            "run": str,
            "weights": str | int,
            "output": str | None,
            "onnx": bool,
            "device": str,
            "n_jobs": int,
        },
        **{"dataset.root": str | None, "store.root": str | None},
    },
    "detect": {
        **{"weights": str, "input": str, "output": str, "hop_s": float, "channels": str, "ages": str | None},
        **{"engine": str, "precision": str, "device": str, "batch_size": int, "figure": bool, "dates": bool},
        **{
            f"detect.{name}": float | None
            for name in ("smooth_s", "threshold", "merge_gap_s", "min_duration_s")
        },
    },
    "search": {
        **{
            "weights": str,
            "input": str,
            "output": str,
            "query": str | list | None,
            "like": str | list | None,
        },
        **{
            "class_texts": list | None,
            "top": int,
            "margin": float,
            "hop_s": float,
            "channels": str,
            "device": str,
        },
        **{"ages": str | None, "batch_size": int, "figure": bool},
    },
    "prepare": DATA | {"backend": str | None},
    "describe": DATA,
    "check": {"path": str, "recording": str | None},
    "synthesize": {
        **{"layout": str, "root": str, "n_subjects": int, "recordings_per_subject": int | None},
        **{"recording_s": int | None, "seed": int},
    },
}


READINGS = ("placement", "unimodal")
OmegaConf.register_new_resolver(
    "by_reading",
    lambda *values, _root_: values[READINGS.index(_root_.ablation_reading)],
    replace=True,
)
"""``${by_reading:A,B}``: what ``ablation_reading`` makes of a row of Table II."""


def load(verb: str, overrides: list[str]) -> dict:
    """Compose ``configs/<verb>.yaml`` with the command line's overrides into plain values."""
    try:
        with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
            node = compose(verb, overrides=[opened(quoted(o)) for o in overrides])
            config = OmegaConf.to_container(node, resolve=True, throw_on_missing=True)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise ConfigError(explain(error, verb, overrides), reason="bad_config") from None
    check_plain(config, PLAIN[verb])
    if "ablation_reading" in config:
        check_choice("ablation_reading", config["ablation_reading"], READINGS)
    for section in CONSTRUCTORS:
        if any(o.startswith(section) for o in overrides):
            name = section.rstrip(".")
            values = functools.reduce(dict.get, name.split("."), config)
            target = values["_target_"]
            check_arguments(name, inspect.signature(find_target(target)).parameters, values)
    return config


def defaults(verb: str) -> dict:
    """Every setting with its default; ``???`` where one must be given."""
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        return OmegaConf.to_container(compose(verb), resolve=True)


def quoted(override: str) -> str:
    """A path or a text as typed, in the quotes that Hydra's grammar wants where it is not plain ASCII."""
    key, _, value = override.partition("=")
    key = key.lstrip("+")
    plain = re.fullmatch(r"[\w./~-]*", value, re.ASCII) or value[:1] in "'\"" or "${" in value
    listed = key in TEXTS and value[:1] == "["
    if key not in (*PATHS, *TEXTS) or plain or listed:
        return override
    return f"{override.partition('=')[0]}='{value.replace(chr(39), chr(92) + chr(39))}'"


def opened(override: str) -> str:
    """A setting of a constructor, allowed although the yaml does not list it.

    The constructor refuses what it lacks, so each of a network's settings has its default in one place.
    """
    return f"++{override}" if override.startswith(CONSTRUCTORS) else override


def check_plain(tree: dict, types: dict, prefix: str = "") -> None:
    """Refuse an unknown setting or a wrong type, wherever no dataclass or constructor does."""
    for key, value in tree.items():
        name = prefix + key
        if name in CHECKED_ELSEWHERE:
            continue
        if name in types:
            check_type(name, value, types[name])
        elif isinstance(value, dict) and any(t.startswith(f"{name}.") for t in types):
            check_plain(value, types, f"{name}.")
        else:
            raise ConfigError(f"{name}: {no_such(name, list(types))}", reason="unknown_key")


def no_such(name: str, known: list[str]) -> str:
    """The second half of the message about an unknown setting."""
    last = name.rpartition(".")[2]
    near = [k for k in known if k.rpartition(".")[2] == last][:1] or difflib.get_close_matches(name, known, 1)
    hint = f"Did you mean {near[0]}?" if near else f"Known keys begin with {', '.join(top_keys(known))}."
    return f"there is no such setting. {hint}"


def explain(error: Exception, verb: str, overrides: list[str]) -> str:
    """One line for what Hydra says in several."""
    cause = error.__cause__ or error
    text = " ".join(str(error).split())
    key = re.search(r"Key '([^']+)' is not in struct|Could not override '([^']+)'", text + " " + str(cause))
    if key:
        name = key.group(2) or key.group(1)
        groups = [o for o in overrides if (CONFIG_DIR / o.partition("=")[0]).is_dir()]
        return f"{name}: {no_such(name, known_keys(verb, groups))}"
    if missing := re.search(r"Missing mandatory value: (\S+)", text):
        name = getattr(error, "full_key", None) or missing[1]
        return f"{name}: it has no default; expected {name}=... on the command line."
    option = re.search(r"Could not find '([^']+)'", text)
    if option:
        group = option.group(1).rpartition("/")[0]
        names = sorted(p.stem for p in (CONFIG_DIR / group).glob("*.yaml"))
        return f"{option.group(1)}: there is no such config. {group or 'configs'} has: {', '.join(names)}."
    return text


def known_keys(verb: str, groups: list[str]) -> list[str]:
    """Every dotted key of the verb's config with the chosen ``groups``, and the groups."""
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        node = compose(verb, overrides=groups)

    def walk(tree, prefix=""):
        for key, value in tree.items():
            yield prefix + key
            if isinstance(value, dict):
                yield from walk(value, f"{prefix}{key}.")

    return list(walk(OmegaConf.to_container(node)))


def top_keys(known: list[str]) -> list[str]:
    return sorted({k.partition(".")[0] for k in known})


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
    accepted = inspect.signature(find_target(target)).parameters
    check_inner_targets(values)
    try:
        check_arguments(target.rpartition(".")[2], accepted, values)
        node: DictConfig = OmegaConf.create(values)
        return instantiate(node, **runtime)
    except HydraException as error:
        cause = error.__cause__
        if isinstance(cause, ConfigError):
            raise cause from None
        strange = re.search(r"unexpected keyword argument '(\w+)'", str(cause))
        if strange:  # handed on to another constructor, which knows no such argument
            what = target.rpartition(".")[2]
            raise ConfigError(
                f"{what}.{strange[1]}: there is no such setting.", reason="unknown_key"
            ) from None
        raise ConfigError(f"{target}: {' '.join(str(cause or error).split())}") from error


def check_arguments(what: str, accepted: Mapping[str, inspect.Parameter], values: dict) -> None:
    """``values`` of ``what`` against a signature: names, and types where it states plain ones."""
    open_ended = any(p.kind is p.VAR_KEYWORD for p in accepted.values())
    for key, value in values.items():
        if key in accepted:
            expected = accepted[key].annotation
            if isinstance(expected, type | UnionType):
                check_type(f"{what}.{key}", value, expected)
        elif not key.startswith("_") and not open_ended:
            near = difflib.get_close_matches(key, accepted, 1)
            hint = f"Did you mean {what}.{near[0]}?" if near else f"{what} has: {', '.join(accepted)}."
            raise ConfigError(f"{what}.{key}: there is no such setting. {hint}", reason="unknown_key")


def find_target(target: object):
    """What ``_target_`` names: something written in this package, never what it happens to import.

    A config may come from someone else's run folder, so nothing else is ever called.
    """
    module, _, name = str(target).rpartition(".")
    found, why = None, ""
    if str(target).startswith(TARGETS):
        try:
            found = getattr(import_module(module), name, None)
        except ImportError as error:
            why = f" ({error})"
    if not callable(found) or not str(found.__module__).startswith(TARGETS):
        raise ConfigError(
            f"_target_={target!r} must begin with {' or '.join(TARGETS)} and be defined there{why}.",
            reason="unknown_target",
        )
    return found


def check_inner_targets(tree: object) -> None:
    """The same for every ``_target_`` below; instantiate would call those too."""
    for child in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list | tuple) else ():
        if isinstance(child, dict) and "_target_" in child:
            find_target(child["_target_"])
        check_inner_targets(child)
