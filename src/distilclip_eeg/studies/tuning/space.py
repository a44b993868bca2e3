"""What a search may choose: ``configs/space/<name>.yaml`` read and checked, and how a choice is typed.

A leaf is a list: values to choose from, or a range as ``[log, low, high]`` or ``[linear, low, high]``.
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

from optuna.distributions import (
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

Leaf = CategoricalDistribution | FloatDistribution | IntDistribution
"""What one setting may be."""
Space = dict[str, Leaf]
Tree = Mapping[str, Any]
"""Sections in sections, a list at each leaf."""
Chosen = dict[str, Any]
"""A value of each dotted setting."""


def read_space(tree: Tree) -> Space:
    """Dotted settings and what each may be; whether there are such settings is seen when they are composed.

    Raises:
        ConfigError: there is none, a list makes no sense, or a setting must be the same in all trials.
    """
    space = {key: distribution(f"space.{key}", leaf) for key, leaf in leaves(tree)}
    if not space:
        raise ConfigError("space is empty: nothing to search. Choose space=training, article or student.")
    for key in space:
        if key.partition(".")[0] in SHARED:
            raise ConfigError(
                f"space.{key}: trials are compared on the same windows and folds, so {key} cannot differ "
                "between them. Leave it out of the space and set it on the command line."
            )
    return space


def leaves(tree: Tree, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Dotted names and lists of a space."""
    for name, below in tree.items():
        if isinstance(below, Mapping):
            yield from leaves(below, f"{prefix}{name}.")
        else:
            yield prefix + name, below


def distribution(name: str, leaf: object) -> Leaf:
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
    low, high = ends
    made = IntDistribution if whole else FloatDistribution
    return made(low, high, log=kind == "log")


def values(one: Leaf) -> list[Any] | None:
    """All values where they are finitely many."""
    if isinstance(one, CategoricalDistribution):
        return [*one.choices]
    return list(range(one.low, one.high + 1)) if isinstance(one, IntDistribution) else None


def ends_of(one: Leaf) -> list[Any]:
    """Both ends of a range of fractions, all values of anything else."""
    return [one.low, one.high] if isinstance(one, FloatDistribution) else values(one) or []


def n_combinations(space: Space, held: Chosen) -> float:
    """How many settings there are once ``held`` are fixed; infinite with a range of fractions."""
    sizes = [values(one) for key, one in space.items() if key not in held]
    return math.prod(math.inf if size is None else len(size) for size in sizes)


def combinations(space: Space, held: Chosen) -> Iterator[Chosen]:
    """Every setting of a finite space."""
    choices = [[held[key]] if key in held else values(one) or [] for key, one in space.items()]
    return (dict(zip(space, chosen, strict=True)) for chosen in itertools.product(*choices))


def check_held(space: Space, held: Chosen) -> None:
    """A searched setting given on the command line must be one that the space has."""
    for key, value in held.items():
        one, listed = space[key], ends_of(space[key])
        inside = one.low <= value <= one.high if isinstance(one, FloatDistribution) else value in listed
        if not inside:
            raise ConfigError(
                f"{key}={value} is not in space.{key}={listed}. Leave it out, or give "
                f"space.{key}=[…] another list."
            )


def probes(space: Space) -> list[Chosen]:
    """A few settings in which every listed value and both ends of every range occur."""
    columns = {key: ends_of(one) for key, one in space.items()}
    longest = max(len(column) for column in columns.values())
    return [{key: column[i % len(column)] for key, column in columns.items()} for i in range(longest)]


def value_of(tree: Tree, key: str) -> Any:
    """The value at a dotted key of plain settings; None where it is not said."""
    node: Any = tree
    for part in key.split("."):
        node = node.get(part) if isinstance(node, Mapping) else None
    return node


def words(chosen: Chosen) -> list[str]:
    """``chosen`` as it is typed."""
    plain = {None: "null", True: "true", False: "false"}
    return [f"{k}={plain[v] if v is None or isinstance(v, bool) else v}" for k, v in chosen.items()]
