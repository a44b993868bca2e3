"""What a setting may be beside its type: bounds of numbers, and what is taken as typed."""

import math
from dataclasses import dataclass
from typing import Annotated

LARGEST = 1e9
"""No setting is beyond this unless its range says so: what is larger is a slip, and fills the memory."""


@dataclass(frozen=True)
class Range:
    """Bounds of a number; NaN is never inside, infinity only where ``infinite``."""

    least: float = -math.inf
    most: float = LARGEST
    above: float = -math.inf
    below: float = math.inf
    infinite: bool = False
    without: tuple[float, ...] = ()

    def __contains__(self, value: float) -> bool:
        inside = self.least <= value <= self.most and self.above < value < self.below
        return (self.infinite and value == math.inf) or (
            inside and math.isfinite(value) and value not in self.without
        )

    def __str__(self) -> str:
        parts = []
        if self.least > -math.inf and self.most == LARGEST and self.below == math.inf:
            parts.append(f"{self.least:g} or more")
        elif self.above > -math.inf and self.most == LARGEST and self.below == math.inf:
            parts.append(f"above {self.above:g}")
        else:
            low = f"[{self.least:.12g}" if self.least > -math.inf else f"({self.above:.12g}"
            high = f"{self.below:.12g})" if self.below < math.inf else f"{self.most:.12g}]"
            parts.append(f"in {low}, {high}")
        if self.without:
            parts[0] += f", not {', '.join(f'{value:g}' for value in self.without)}"
        return " or ".join([*parts, "inf"] if self.infinite else parts)

    def refusal(self, value: float) -> str:
        """What is said of a value outside: ``must be …``, the general bound where that is what it passes."""
        beyond = self.most == LARGEST and value > LARGEST
        return f"must be {self}" + (f", and {LARGEST:g} at most." if beyond else ".")


class AsTyped:
    """Marks a free text: taken as typed, whatever Hydra's grammar would make of its characters."""


class PathAsTyped(AsTyped):
    """Marks a path: as typed, and ``~`` is the home folder, which no shell puts in behind a ``=``."""


Count = Annotated[int, Range(least=1)]
"""A whole number, 1 or more."""
NotNegative = Annotated[float, Range(least=0)]
Positive = Annotated[float, Range(above=0)]
Share = Annotated[float, Range(least=0, most=1)]
Jobs = Annotated[int, Range(least=-1024, most=1024, without=(0,))]
"""Threads or processes; -1: as many as there are cores, -2: one less."""
Workers = Annotated[int, Range(least=1, most=1024)]
Batch = Annotated[int, Range(least=1, most=2**20)]
"""Windows at a time."""
Seconds = Annotated[float, Range(above=0, most=3600)]
"""Of a window, or from one to the next."""
Rate = Annotated[float, Range(above=0, most=100_000)]
"""Samples a second."""
Weight = Annotated[float, Range(least=0, most=1e6)]
"""Of a part of a loss."""
LearningRate = Annotated[float, Range(above=0, most=1000)]
Fold = Annotated[int, Range(least=0, most=100_000)]
"""Number of a fold, from 0."""
Seed = Annotated[int, Range(least=0, most=2**63 - 1)]
"""Of everything random; dates and times in digits are among them."""
Text = Annotated[str, PathAsTyped()]
"""A path."""
Words = dict[str, str]
"""What words stand for."""
