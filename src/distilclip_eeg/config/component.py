"""A corpus, a network or a text encoder in a config: the name of a registered part, and its arguments."""

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType, UnionType
from typing import Annotated, Any, get_args, get_origin

from distilclip_eeg.config import registry
from distilclip_eeg.config.ranges import Range
from distilclip_eeg.schema import ConfigError, nearest

TARGET = "_target_"
IGNORED = ("_convert_", "_recursive_")
"""Of Hydra's ``instantiate``, in configs of before; lists and dicts are plain here anyway."""

SIZES = Range(least=1, most=16_384)
"""Of a whole number among a part's arguments: a width, a depth, a count."""
AMOUNTS = Range(above=0, most=100_000)
"""Of a fraction: seconds, Hz, a temperature."""
SHARES = Range(least=0, most=1)
RANGES = {
    **dict.fromkeys(("difficulty", "focality"), SHARES),
    **dict.fromkeys(("n_prompts", "high_hz"), Range(least=0, most=16_384)),
    "depth": Range(least=1, most=1024),
    "seed": Range(least=0, most=2**63 - 1),
    "recording_s": Range(least=1, most=86_400),
}
"""Of arguments that need another; any that ends in ``dropout`` is a share. ``Annotated`` in a constructor
wins over all of these, and is all that counts for parts of others."""


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
            ConfigError: ``unknown_target``, ``unknown_key``, ``wrong_type`` or ``out_of_range``.
        """
        part = registry.find(self.target, kind)
        accepted = inspect.signature(part).parameters
        open_ended = any(p.kind is p.VAR_KEYWORD for p in accepted.values())
        for key, value in self.arguments.items():
            if key in accepted:
                expected, limits = _unannotated(accepted[key].annotation)
                _check_plain(f"{where}.{key}", value, expected)
                _check_range(f"{where}.{key}", value, limits or _usual(part, key, value, expected))
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
        except (ValueError, ArithmeticError, RuntimeError, IndexError) as error:  # sizes that do not fit
            raise ConfigError(f"{self.target}: {' '.join(str(error).split())}") from error


def _names_a_target(tree: object) -> bool:
    if isinstance(tree, Mapping):
        return TARGET in tree or any(_names_a_target(child) for child in tree.values())
    return isinstance(tree, list | tuple) and any(_names_a_target(child) for child in tree)


def _copied(tree: Any) -> Any:
    if isinstance(tree, Mapping):
        return {key: _copied(value) for key, value in tree.items()}
    return [_copied(item) for item in tree] if isinstance(tree, list | tuple) else tree


def _unannotated(expected: Any) -> tuple[Any, Range | None]:
    """A parameter's type, and the bounds that its ``Annotated`` names."""
    if get_origin(expected) is not Annotated:
        return expected, None
    kind, *others = get_args(expected)
    return kind, next((mark for mark in others if isinstance(mark, Range)), None)


def _usual(part: Any, key: str, value: object, expected: Any) -> Range | None:
    """Bounds of an argument of one of the package's own parts; of others' parts only that it is finite."""
    if not str(part.__module__).startswith(f"{registry.OWN}."):
        return Range(most=math.inf) if isinstance(value, float) else None
    if key.endswith("dropout"):
        return SHARES
    kinds = get_args(expected) if isinstance(expected, UnionType) else (expected,)
    if key in RANGES or int in kinds:
        return RANGES.get(key, SIZES)
    return AMOUNTS if float in kinds else None


def _check_range(name: str, value: object, limits: Range | None) -> None:
    if limits is not None and isinstance(value, int | float) and not isinstance(value, bool):
        if value not in limits:
            raise ConfigError(f"{name}={value} {limits.refusal(value)}", reason="out_of_range")


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
