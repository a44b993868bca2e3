"""Parts by name: corpora, networks, text encoders, contrasts, augmentations, figures; ours and others'.

A config may come from someone else's run folder, so a ``_target_`` is looked up here and never imported and
called as it stands. The package's own parts register themselves where they are defined; those of others are
imported only where their owner asks for it: as an entry point of an installed package (group
``distilclip_eeg``), or as a module named in ``DISTILCLIP_EEG_PLUGINS``, never because a config names it.
"""

import functools
import importlib
import importlib.util
import os
import pkgutil
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, TypeVar

from distilclip_eeg.schema import ConfigError, nearest

KINDS = ("corpus", "network", "text_encoder", "contrast", "loss", "augmentation", "figure")
"""What can be registered; ``CONTRIBUTING.md`` says what each must offer."""
GROUP, VARIABLE = "distilclip_eeg", "DISTILCLIP_EEG_PLUGINS"
OWN = "distilclip_eeg"
ROOMS = tuple(f"{OWN}.{room}." for room in ("corpora", "models", "training", "report"))
"""Where the package's own parts are defined; no other module is imported for a ``_target_``."""
HOMES = {
    "corpus": f"{OWN}.corpora",
    "network": f"{OWN}.models.baselines",
    "text_encoder": f"{OWN}.models.text_backends",
    "contrast": f"{OWN}.models.losses",
    "loss": f"{OWN}.models.losses",
    "augmentation": f"{OWN}.training.augment",
    "figure": f"{OWN}.report.figures",
}
"""The module, or the folder of modules, that holds the package's own parts of a kind."""

Part = TypeVar("Part", bound=Callable[..., Any])

_parts: dict[str, dict[str, Callable[..., Any]]] = {kind: {} for kind in KINDS}


def component(kind: str, name: str | None = None) -> Callable[[Part], Part]:
    """Class or function decorator: what it stands on can be named in a config.

    Args:
        kind: one of ``KINDS``.
        name: what users type; by default the name in the code.

    Raises:
        ValueError: another part of this kind has the name already.
    """
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is not one of {KINDS}")

    def register(part: Part) -> Part:
        full, short = f"{part.__module__}.{part.__qualname__}", name or part.__qualname__
        known = _parts[kind]
        taken = known.get(short)
        if taken is not None and f"{taken.__module__}.{taken.__qualname__}" != full:
            raise ValueError(f"{kind} {short!r} is {taken.__module__}.{taken.__qualname__} already")
        known[full] = known[short] = part
        return part

    return register


def find(target: object, kind: str | None = None) -> Callable[..., Any]:
    """The registered part that ``target`` names, by its short or its dotted name.

    Args:
        kind: the only kind wanted; None: any.

    Raises:
        ConfigError: ``unknown_target``: nothing registered has this name.
    """
    load_plugins()
    name = str(target)
    if name.startswith(ROOMS):
        _import_own(name)
    kinds = KINDS if kind is None else (kind,)
    if "." not in name and not any(name in _parts[one] for one in kinds):
        for one in kinds:
            _import_home(one)
    for one in kinds:
        if name in _parts[one]:
            return _parts[one][name]
    raise ConfigError(
        f"_target_={name!r} is no registered {kind or 'part'}.{nearest(name, names(kind))} Parts of your own "
        f"are registered by a plug-in ({VARIABLE}); see CONTRIBUTING.md.",
        reason="unknown_target",
    )


def _import_home(kind: str) -> None:
    """Import every module that holds the package's own parts of a kind."""
    home = importlib.import_module(HOMES[kind])
    for found in pkgutil.iter_modules(getattr(home, "__path__", ())):
        if not found.ispkg:
            importlib.import_module(f"{HOMES[kind]}.{found.name}")


def _import_own(name: str) -> None:
    """Import the module of one of the package's own parts; one that does not exist registers nothing."""
    module = name.rpartition(".")[0]
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if not module.startswith(error.name or ""):
            raise  # an extra is not installed; the command says which


def names(kind: str | None = None) -> list[str]:
    """Short names of what is registered by now, the package's own only where their module is imported."""
    load_plugins()
    kinds = KINDS if kind is None else (kind,)
    return sorted({name for one in kinds for name in _parts[one] if "." not in name})


def registered(kind: str) -> dict[str, Callable[..., Any]]:
    """The parts of one kind by their short names, the package's own included."""
    _import_home(kind)
    return {name: _parts[kind][name] for name in names(kind)}


def registered_targets(kind: str) -> set[str]:
    """Every name, short or dotted, that ``find`` knows by now without importing more of the package."""
    load_plugins()
    return set(_parts[kind])


@functools.cache
def load_plugins() -> tuple[str, ...]:
    """Import other people's parts, once a process.

    One that cannot be imported is told on the error stream, with the reason; the rest stays usable.

    Returns:
        A line for each that failed.
    """
    failed = []
    for entry in entry_points(group=GROUP):
        failed += _attempt(f"{entry.name} ({entry.value})", entry.load)
    for word in filter(None, (w.strip() for w in os.environ.get(VARIABLE, "").split(","))):
        failed += _attempt(f"{word} ({VARIABLE})", functools.partial(_load, word))
    for line in failed:
        print(f"warning: {line}", file=sys.stderr)
    return tuple(failed)


def _attempt(what: str, load: Callable[[], object]) -> list[str]:
    """Load a plug-in, or say what is wrong with it: whatever it raises is its own affair."""
    try:
        load()
    except Exception as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        return [f"plug-in {what} could not be loaded and its parts are missing: {said}"]
    return []


def _load(word: str) -> object:
    """Import a module by its dotted name, or a file by its path."""
    if not word.endswith(".py"):
        return importlib.import_module(word)
    path = Path(word).expanduser().resolve()
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ImportError(f"{path}: no such file")
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        raise
    return module
