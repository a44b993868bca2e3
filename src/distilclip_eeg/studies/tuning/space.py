"""What a search may choose: ``configs/space/<name>.yaml`` read, checked, and put into a config.

A leaf is a list: values to choose from, or a range as ``[log, low, high]`` or ``[linear, low, high]``.
"""

import copy
import itertools
import math
from collections.abc import Iterator

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from distilclip_eeg.schema import ConfigError

RANGES = ("log", "linear")
SHARED = (
    "dataset",
    "signals",
    "windows",
    "split",
    "seed",
    "fold",
    "text",
    "store",
    "run",
    "device",
    "n_jobs",
)
"""Settings that every trial of a search has in common: it compares on the same windows and folds."""

Space = dict[str, BaseDistribution]


def read_space(tree: dict, config: dict) -> Space:
    """Dotted settings of ``config`` and what each may be."""
    space = {key: distribution(f"space.{key}", leaf) for key, leaf in leaves(tree)}
    if not space:
        raise ConfigError("space is empty: nothing to search. Choose space=training, article or student.")
    for key in space:
        if key.partition(".")[0] in SHARED:
            raise ConfigError(
                f"space.{key}: trials are compared on the same windows and folds, so {key} cannot differ "
                "between them. Leave it out of the space and set it on the command line."
            )
        value_of(config, key)
    return space


def leaves(tree: dict, prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, below in tree.items():
        if isinstance(below, dict):
            yield from leaves(below, f"{prefix}{name}.")
        else:
            yield prefix + name, below


def distribution(name: str, leaf: object) -> BaseDistribution:
    """The list at ``name`` as optuna's distribution."""
    if not isinstance(leaf, list) or not leaf:
        raise ConfigError(
            f"{name}={leaf!r}: expected a list of values, or [log, low, high], [linear, low, high]."
        )
    if leaf[0] not in RANGES:
        return CategoricalDistribution(leaf)
    kind, ends = leaf[0], leaf[1:]
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in ends)
    if len(ends) != 2 or not numbers or not ends[0] < ends[1] or (kind == "log" and ends[0] <= 0):
        raise ConfigError(
            f"{name}={leaf}: expected [{kind}, low, high] with low < high"
            f"{', both above 0' if kind == 'log' else ''}."
        )
    whole = all(isinstance(v, int) for v in ends)
    return (IntDistribution if whole else FloatDistribution)(*ends, log=kind == "log")


def values(one: BaseDistribution) -> list | None:
    """All values where they are finitely many."""
    if isinstance(one, CategoricalDistribution):
        return list(one.choices)
    return list(range(one.low, one.high + 1)) if isinstance(one, IntDistribution) else None


def n_combinations(space: Space, held: dict) -> float:
    """How many settings there are once ``held`` are fixed; infinite with a range of fractions."""
    sizes = [values(one) for key, one in space.items() if key not in held]
    return math.inf if None in sizes else math.prod(len(v) for v in sizes)


def combinations(space: Space, held: dict) -> Iterator[dict]:
    """Every setting of a finite space."""
    choices = [[held[key]] if key in held else values(one) for key, one in space.items()]
    return (dict(zip(space, chosen, strict=True)) for chosen in itertools.product(*choices))


def check_held(space: Space, held: dict) -> None:
    """A searched setting given on the command line must be one that the space has."""
    for key, value in held.items():
        choices, one = values(space[key]), space[key]
        inside = value in choices if choices is not None else one.low <= value <= one.high
        if not inside:
            raise ConfigError(
                f"{key}={value} is not in space.{key}={choices or [one.low, one.high]}. Leave it out, or "
                f"give space.{key}=[…] another list."
            )


def probes(space: Space) -> list[dict]:
    """A few settings in which every listed value and both ends of every range occur."""
    columns = {key: values(one) or [one.low, one.high] for key, one in space.items()}
    longest = max(len(column) for column in columns.values())
    return [{key: column[i % len(column)] for key, column in columns.items()} for i in range(longest)]


def value_of(config: dict, key: str) -> object:
    """The value at a dotted key."""
    node = config
    for part in key.split("."):
        if not isinstance(node, dict) or part not in node:
            raise ConfigError(
                f"space.{key}: the searched config has no {key}. Take it out of the space (~space.{key}), or "
                "choose space=training, article or student.",
                reason="unknown_key",
            )
        node = node[part]
    return node


def with_values(config: dict, chosen: dict) -> dict:
    """A copy of ``config`` with the dotted keys of ``chosen`` set."""
    config = copy.deepcopy(config)
    for key, value in chosen.items():
        above, _, last = key.rpartition(".")
        value_of(config, above)[last] = value
    return config


def words(chosen: dict) -> list[str]:
    """``chosen`` as it is typed."""
    plain = {None: "null", True: "true", False: "false"}
    return [f"{k}={plain[v] if v is None or isinstance(v, bool) else v}" for k, v in chosen.items()]
