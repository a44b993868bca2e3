"""From plain values to frozen dataclasses and back: names, types, choices and ranges, each stated once.

A settings class is a frozen dataclass below ``Settings`` whose annotations are the rules: ``Literal`` lists
choices, ``Annotated[float, Range(...)]`` bounds a number, a string under a field says what it means.
``schema`` turns a class into what OmegaConf composes, ``freeze`` turns what was composed into the class, and
``plain`` turns it back into what ``config.yaml`` holds.
"""

import dataclasses
import functools
import operator
import types
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from distilclip_eeg.config.component import Component
from distilclip_eeg.config.ranges import Range, Words
from distilclip_eeg.schema import ConfigError, check_choice, nearest


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Base of every settings class."""

    where: ClassVar[str] = ""
    """The dotted key it stands at, for messages."""

    def __post_init__(self) -> None:
        prefix = f"{self.where}." if self.where else ""
        for name, hint in hints(type(self)).items():
            check(prefix + name, hint, getattr(self, name))


S = TypeVar("S", bound=Settings)


def hints(cls: type) -> dict[str, Any]:
    """Annotations of a settings class's fields, ``Annotated`` kept."""
    return _hints(cast(Any, cls))


@functools.cache
def _hints(cls: Any) -> dict[str, Any]:
    known = get_type_hints(cls, include_extras=True)
    return {f.name: known[f.name] for f in fields(cls)}


def bare(hint: Any) -> Any:
    """``hint`` without ``Annotated``."""
    return bare(get_args(hint)[0]) if get_origin(hint) is Annotated else hint


def marks(hint: Any) -> tuple[object, ...]:
    """What ``Annotated`` adds, anywhere in the union."""
    if get_origin(hint) is Annotated:
        return (*get_args(hint)[1:], *marks(get_args(hint)[0]))
    if get_origin(hint) in (Union, types.UnionType):
        return tuple(mark for member in get_args(hint) for mark in marks(member))
    return ()


def is_settings(hint: Any) -> bool:
    """Whether an annotation is a settings class."""
    return isinstance(hint, type) and issubclass(hint, Settings)


# -------------------------------------------------------------------------------------------- checking


def check(name: str, hint: Any, value: object) -> None:
    """Refuse ``value`` of setting ``name`` unless it fits its annotation.

    Raises:
        ConfigError: ``wrong_type``, or a choice or number that is not allowed.
    """
    plain_hint = bare(hint)
    if get_origin(plain_hint) is Literal:
        check_choice(name, value, get_args(plain_hint))
    elif get_origin(plain_hint) in (Union, types.UnionType):
        _check_union(name, plain_hint, value)
    elif not fits(plain_hint, value):
        if is_settings(plain_hint) or plain_hint is Component:
            shown = "null" if value is None else repr(value)
            raise ConfigError(
                f"{name}={shown}: it is a section; set its own keys, {name}.KEY=VALUE.", reason="wrong_type"
            )
        raise ConfigError(
            f"{name}={value!r} is {type(value).__name__}, expected {said(plain_hint)}.", reason="wrong_type"
        )
    elif get_origin(plain_hint) is tuple:
        for item in cast(tuple, value):
            check(name, get_args(plain_hint)[0], item)
    if get_origin(hint) is Annotated:
        for mark in get_args(hint)[1:]:
            if isinstance(mark, Range) and isinstance(value, int | float) and value not in mark:
                raise ConfigError(f"{name}={value} {mark.refusal(value)}", reason="out_of_range")


def check_name(name: str, value: str) -> None:
    """Refuse a setting that names a folder or a part of its name, and would lead elsewhere.

    Raises:
        ConfigError: ``unsafe_path``.
    """
    plain_name = value not in ("", ".", "..") and not {"/", "\\"} & set(value) and value.isprintable()
    if not plain_name:
        raise ConfigError(
            f"{name}={value!r} must be a plain folder name, without a path.", reason="unsafe_path"
        )


def _check_union(name: str, union: Any, value: object) -> None:
    members = get_args(union)
    fitting = [m for m in members if fits(bare(m), value)]
    if not fitting:
        raise ConfigError(
            f"{name}={value!r} is {type(value).__name__}, expected {said(union)}.", reason="wrong_type"
        )
    check(name, fitting[0], value)


def fits(hint: Any, value: object) -> bool:
    """Whether ``value`` has the type; a whole number will do for a fraction, a bool for nothing else."""
    origin = get_origin(hint)
    if hint is Any:
        return True
    if origin is Annotated:
        return fits(bare(hint), value)
    if origin is Literal:
        return value in get_args(hint)
    if origin in (Union, types.UnionType):
        return any(fits(member, value) for member in get_args(hint))
    if origin is tuple:
        return isinstance(value, tuple) and all(fits(get_args(hint)[0], item) for item in value)
    if origin is dict:
        key, held = get_args(hint)
        return isinstance(value, Mapping) and all(fits(key, k) and fits(held, v) for k, v in value.items())
    if isinstance(value, bool):
        return hint is bool
    if hint is float:
        return isinstance(value, float | int)
    return isinstance(value, origin or hint)


def said(hint: Any) -> str:
    """An annotation in a user's words."""
    hint = bare(hint)
    if get_origin(hint) is Literal:
        return "|".join(map(str, get_args(hint)))
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join("null" if m is type(None) else said(m) for m in get_args(hint))
    if get_origin(hint) is tuple:
        return f"a list of {said(get_args(hint)[0])}"
    if get_origin(hint) is dict:
        return f"a mapping of {' to '.join(map(said, get_args(hint)))}"
    return getattr(hint, "__name__", str(hint))


# --------------------------------------------------------------------------- plain values to dataclasses


def freeze(cls: type[S], values: Mapping[str, Any], where: str = "") -> S:
    """``values`` as the settings class: every name known, none missing, every value checked.

    Args:
        where: dotted key of the section, with a point at its end, for messages.

    Raises:
        ConfigError: ``unknown_key``, ``missing_key``, ``wrong_type`` or ``out_of_range``.
    """
    known = hints(cls)
    for key in values:
        if key not in known:
            hint = nearest(f"{where}{key}", [f"{where}{name}" for name in known])
            raise ConfigError(f"{where}{key}: there is no such setting.{hint}", reason="unknown_key")
    given = {key: _frozen(f"{where}{key}", known[key], value) for key, value in values.items()}
    for field in fields(cls):
        if field.name not in given and field.default is field.default_factory is MISSING:
            raise ConfigError(
                f"{where}{field.name}: it has no default; expected {where}{field.name}=... .",
                reason="missing_key",
            )
    return cls(**given)


def _frozen(name: str, hint: Any, value: Any) -> Any:
    """One value as its field holds it: sections as dataclasses, lists as tuples."""
    inner = bare(hint)
    members = get_args(inner) if get_origin(inner) in (Union, types.UnionType) else (inner,)
    for member in map(bare, members):
        if member is Component and isinstance(value, Mapping):
            return Component.of(value, name)
        if is_settings(member) and isinstance(value, Mapping):
            return freeze(member, value, f"{name}.")
        if get_origin(member) is tuple and isinstance(value, list | tuple):
            return tuple(value)
        if member == Words and isinstance(value, Mapping):  # yaml takes 1 for a number
            return {str(k): v if v is None or isinstance(v, bool) else str(v) for k, v in value.items()}
    return value


def plain(settings: Settings) -> dict[str, Any]:
    """Nested plain values, as a yaml file or JSON holds them; ``freeze`` reads them back."""
    return {f.name: _plain(getattr(settings, f.name)) for f in fields(settings)}


def _plain(value: Any) -> Any:
    if isinstance(value, Settings):
        return plain(value)
    if isinstance(value, Component):
        return value.plain()
    if isinstance(value, dict):
        return dict(value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


# ------------------------------------------------------------------------------- dataclasses to OmegaConf


def schema(cls: type[Settings]) -> type:
    """The dataclass that OmegaConf checks while Hydra composes: the same fields, mutable, in its types.

    What OmegaConf has no word for (a number or a list of them) is ``Any`` to it, and ``freeze`` checks it.
    """
    return _schema(cast(Any, cls))


@functools.cache
def _schema(cls: Any) -> type:
    columns: list[tuple[str, Any, Any]] = []
    for field in fields(cls):
        columns.append((field.name, _omega(hints(cls)[field.name]), _default(field, cls)))
    return dataclasses.make_dataclass(cls.__name__, columns)


def _default(field: dataclasses.Field, cls: type[Settings]) -> Any:
    inner = bare(hints(cls)[field.name])
    if is_settings(inner) and field.default is field.default_factory is MISSING:
        return dataclasses.field(default_factory=schema(inner))
    if field.default is MISSING and field.default_factory is MISSING:
        return dataclasses.field(default="???")
    make: Any = field.default_factory
    value = field.default if field.default is not MISSING else make()
    if isinstance(value, Settings):
        made, held = schema(type(value)), plain(value)
        return dataclasses.field(default_factory=lambda: made(**held))
    held = _plain(value)
    if isinstance(held, list | dict):
        return dataclasses.field(default_factory=lambda: type(held)(held))
    return dataclasses.field(default=held)


def _omega(hint: Any) -> Any:
    """The nearest type that OmegaConf checks."""
    hint = bare(hint)
    if is_settings(hint):
        return schema(hint)
    if hint is Component:
        return dict[str, Any]
    if hint == Words:
        return Any
    if get_origin(hint) is Literal:
        kinds = {type(value) for value in get_args(hint)}
        return kinds.pop() if len(kinds) == 1 else Any
    if get_origin(hint) is tuple:
        return types.GenericAlias(list, (_omega(get_args(hint)[0]),))
    if get_origin(hint) in (Union, types.UnionType):
        members = [_omega(m) for m in get_args(hint) if m is not type(None)]
        optional = type(None) in get_args(hint)
        if Any in members:
            return Any
        if len(members) > 1 and not all(m in (int, float, str, bool) for m in members):
            return Any
        union: Any = functools.reduce(operator.or_, members)
        return union | None if optional else union
    return hint
