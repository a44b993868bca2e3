"""Processes that are ended at any moment, and started again: the end must be that of an unbroken run."""

import shutil
import signal
import time
from functools import cache
from pathlib import Path

from torture.base import Command, Part, contents, copied, difference
from torture.tiny import NEEDS, VERBS, go, road

NAMES = ("train", "prepare", "distill", "export", "tune")


def place(base: Path, where: Path, name: str) -> Path:
    """A folder with what a command needs, and no more."""
    shutil.rmtree(where, ignore_errors=True)
    where.mkdir(parents=True)
    for need in NEEDS[name]:
        copied(base / need, where / need)
    if name == "distill":
        shutil.rmtree(where / "runs/synthetic/s", ignore_errors=True)
    return where


@cache
def unbroken(base: Path, name: str) -> tuple[dict[str, str], set[str], float]:
    """What a command leaves when nothing happens, files that differ between two such, and its seconds."""
    trees, seconds = [], 0.0
    for number in range(2):
        where = place(base, base.parent / f"whole{number}", name)
        done = go(name, where)
        if done.code != 0:
            raise RuntimeError(f"{name}, unbroken: {done.err[-200:]}")
        seconds = done.seconds
        trees.append(contents(where))
    one, two = trees
    noise = {key for key in one.keys() | two.keys() if one.get(key) != two.get(key)}
    return one, noise, seconds


def broken(part: Part, number: int, *, most: int = 4) -> None:
    """End commands by a signal at a random moment until one gets through; compare what is left."""
    base = road(part.scratch)
    for case in part.numbers():
        name = NAMES[case % len(NAMES)]
        expected, noise, seconds = unbroken(base, name)
        where = place(base, part.folder / "broken", name)
        fault, verb = "", VERBS[name]
        for _ in range(int(part.rng.integers(1, most + 1))):
            command = Command(*verb, where)
            time.sleep(float(part.rng.uniform(0.02, seconds)))
            command.send(number)
            done = command.done(60)
            if number != signal.SIGKILL:
                fault = fault or done.fault
        last = go(name, where)
        fault = fault or last.fault or (f"exit {last.code} when started again" if last.code else "")
        part.judge(fault or difference(contents(where), expected, noise), name, last.seconds)


def killed(part: Part) -> None:
    """``kill -9``."""
    broken(part, signal.SIGKILL)


def terminated(part: Part) -> None:
    """SIGTERM: as a cluster ends a job."""
    broken(part, signal.SIGTERM)


def interrupted(part: Part) -> None:
    """SIGINT: Ctrl-C."""
    broken(part, signal.SIGINT)
