"""A corpus, a network or a text encoder in a config: the name of a registered part, and its arguments."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType, UnionType
from typing import Any, get_origin

from distilclip_eeg.config import registry
from distilclip_eeg.schema import ConfigError, nearest

TARGET = "_target_"
IGNORED = ("_convert_", "_recursive_")
"""Of Hydra's ``instantiate``, in configs of before; lists and dicts are plain here anyway."""


@dataclass(frozen=True)
class Component:
    """``_target_`` and what stands beside it."""

    target: str
    arguments: Mapping[str, Any]
    """What its constructor is given, sizes that the data tell left out."""

    @classmethod
    def of(cls, values: Mapping[str, Any], where: str = "component") -> "Component":
        """Read a section of a config.

        Raises:
            ConfigError: it has no ``_target_``, or one hides among its arguments, where nothing is built.
        """
        given = dict(values)
        target = given.pop(TARGET, None)
        if not isinstance(target, str) or not target:
            raise ConfigError(
                f"{where}: expected {TARGET}, the name of a registered part.", reason="no_target"
            )
        if _names_a_target(given):
            raise ConfigError(
                f"{where}: a {TARGET} inside another part's arguments is not built; leave it out.",
                reason="unknown_target",
            )
        return cls(target, MappingProxyType(given))

    def __reduce__(self) -> tuple:
        return Component.of, (self.plain(),)

    def __hash__(self) -> int:
        return hash((self.target, repr(sorted(self.arguments.items()))))

    def plain(self) -> dict[str, Any]:
        """The section again, with values of its own."""
        return {TARGET: self.target, **_copied(self.arguments)}

    def get(self, name: str, default: Any = None) -> Any:
        """An argument, where it is given."""
        return self.arguments.get(name, default)

    def with_arguments(self, **changed: Any) -> "Component":
        """The same part with some arguments set."""
        return Component(self.target, MappingProxyType({**self.arguments, **changed}))

    def check(self, where: str, kind: str | None = None) -> None:
        """Refuse what the part's constructor would not take: unknown names, and plain types that do not fit.

        Raises:
            ConfigError: ``unknown_target``, ``unknown_key`` or ``wrong_type``.
        """
        accepted = inspect.signature(registry.find(self.target, kind)).parameters
        open_ended = any(p.kind is p.VAR_KEYWORD for p in accepted.values())
        for key, value in self.arguments.items():
            if key in accepted:
                _check_plain(f"{where}.{key}", value, accepted[key].annotation)
            elif key not in IGNORED and not open_ended:
                hint = nearest(f"{where}.{key}", [f"{where}.{name}" for name in accepted])
                raise ConfigError(f"{where}.{key}: there is no such setting.{hint}", reason="unknown_key")

    def build(self, kind: str | None = None, **runtime: Any) -> Any:
        """Construct the part; ``runtime`` adds what no config can know.

        Raises:
            ConfigError: as ``check``, or what the constructor refuses.
        """
        what = self.target.rpartition(".")[2]
        self.check(what, kind)
        part = registry.find(self.target, kind)
        given = {k: v for k, v in _copied(self.arguments).items() if k not in IGNORED}
        try:
            return part(**given, **runtime)
        except TypeError as error:
            if "argument" not in str(error):
                raise
            name = str(error).rpartition("'")[0].rpartition("'")[2]
            if "unexpected keyword" in str(error):  # handed on to another constructor, which knows no such
                raise ConfigError(f"{what}.{name}: there is no such setting.", reason="unknown_key") from None
            raise ConfigError(f"{self.target}: {error}", reason="missing_key") from error
        except ValueError as error:  # such as a dropout above 1
            raise ConfigError(f"{self.target}: {' '.join(str(error).split())}") from error


def _names_a_target(tree: object) -> bool:
    if isinstance(tree, Mapping):
        return TARGET in tree or any(_names_a_target(child) for child in tree.values())
    return isinstance(tree, list | tuple) and any(_names_a_target(child) for child in tree)


def _copied(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {key: _copied(value) for key, value in tree.items()}
    return [_copied(item) for item in tree] if isinstance(tree, list | tuple) else tree


def _check_plain(name: str, value: object, expected: Any) -> None:
    """A number where a number is expected, and so on; a whole number will do for a fraction."""
    if get_origin(expected) is not None and not isinstance(expected, UnionType):
        return  # list[int] and the like are the constructor's to check
    if not isinstance(expected, type | UnionType):
        return
    if isinstance(value, bool):
        ok = isinstance(True, expected) if expected is not int else False
    else:
        ok = isinstance(value, expected) or (isinstance(value, int) and isinstance(1.0, expected))
    if not ok:
        kind = getattr(expected, "__name__", str(expected))
        raise ConfigError(
            f"{name}={value!r} is {type(value).__name__}, expected {kind}.", reason="wrong_type"
        )
