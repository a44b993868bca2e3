"""Several ways to do the same work, timed in turns in one process, and the ratios of their times.

Everything that another program does to the machine falls on all ways alike; a ratio is taken in every round
and its median over rounds is told, with quartiles. The order is turned round from round to round.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import ge, le

import numpy as np
import pandas as pd

HOLDS = {">=": ge, "<=": le}


@dataclass(frozen=True)
class Ratio:
    """What is asked of a contest."""

    goal: str
    """G1 to G11."""
    what: str
    over: str
    under: str
    """Names of two ways; the first one's time is divided by the second one's."""
    aim: str = ""
    """Such as ``>= 2.5``; empty: told for comparison."""
    times: float = 1.0
    """Factor on the ratio, where the two do different amounts of work."""

    def met(self, value: float) -> str:
        """``yes``, ``no``, or nothing where nothing is aimed at."""
        if not self.aim:
            return ""
        sign, number = self.aim.split()
        return "yes" if HOLDS[sign](value, float(number)) else "no"


@dataclass(frozen=True)
class Contest:
    """A piece of work and the ways to do it."""

    what: str
    ways: Mapping[str, Callable[[], float | object]]
    """Each does the work once. One that gives a float has timed itself, in seconds."""
    ratios: tuple[Ratio, ...]
    rounds: int
    warm: bool = True
    """Whether each way is walked once before the first round."""

    def run(self, clock: Callable[[], float] = time.perf_counter) -> pd.DataFrame:
        """Seconds of every way, a row a round."""
        for work in self.ways.values() if self.warm else ():
            work()
        rows = []
        for i in range(self.rounds):
            row = {}
            for name in list(self.ways)[:: -1 if i % 2 else 1]:
                start = clock()
                told = self.ways[name]()
                row[name] = told if isinstance(told, float) else clock() - start
            rows.append(row)
        return pd.DataFrame(rows, columns=list(self.ways))

    def rows(self, seconds: pd.DataFrame) -> list[dict]:
        """A row a ratio: what it is, median and quartiles over the rounds, aim, and whether it is met."""
        return [
            row_of(ratio, (ratio.times * seconds[ratio.over] / seconds[ratio.under]).to_numpy())
            for ratio in self.ratios
        ]


def row_of(ratio: Ratio, found: np.ndarray) -> dict:
    """A row of the table, of the ratio's value in each round."""
    low, median, high = (float(f"{value:.3g}") for value in np.percentile(found, [25, 50, 75]))
    row = {"goal": ratio.goal, "what": ratio.what, "ratio": median, "low": low, "high": high}
    return row | {"aim": ratio.aim, "met": ratio.met(median), "rounds": len(found)}


def fact(goal: str, what: str, value: float, aim: str = "") -> dict:
    """A row of what is counted and not timed."""
    return row_of(Ratio(goal, what, "", "", aim), np.array([value]))
