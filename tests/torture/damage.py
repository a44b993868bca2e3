"""Single bits turned and files cut: told in one line, or the result is the same. Anything else is wrong."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from torture.base import Done, Part, contents, copied, difference, run
from torture.tiny import DATA, go, road

FLIPS, CUTS = 140, 25
"""Cases of each sort in one round; rounds follow while there is time."""


@dataclass(frozen=True)
class Kind:
    """A kind of file that we write, and a command that reads it."""

    name: str
    there: tuple[str, ...]
    """Folders that the command finds."""
    files: tuple[str, ...]
    """Patterns of the files that are damaged."""
    read: Callable[[Path], Done]
    gives: tuple[str, ...]
    """What the command leaves, beside what it says."""


def floor(where: Path) -> Done:
    """A floor trained on the store."""
    return run("train", [*DATA, "fold=0", "model=logreg_bandpower", "run.name=f", "n_jobs=1"], where)


def exported(where: Path) -> Done:
    """A run's model exported, the data of the run still there."""
    words = ["run=runs/synthetic/t", "weights=0", "onnx=false", "output=again", "n_jobs=1"]
    return run("export", words, where)


def scored(where: Path) -> Done:
    """All runs scored."""
    return run("evaluate", [], where)


def resumed(where: Path) -> Done:
    """A training that goes on at its checkpoint."""
    for path in (where / "runs/synthetic/t").rglob("metrics.json"):
        path.unlink()
    return go("train", where)


KINDS = (
    Kind("store", ("data", "store"), ("store/**/*",), floor, ("runs",)),
    Kind("run", ("runs",), ("runs/synthetic/?/*", "runs/synthetic/?/fold?/*.*"), scored, ()),
    Kind("weights", ("data", "store", "runs"), ("runs/synthetic/t/fold0/*.*",), exported, ("again",)),
    Kind(
        "checkpoint",
        ("data", "store", "runs"),
        ("runs/synthetic/t/fold?/checkpoint*",),
        resumed,
        ("runs",),
    ),
    Kind("artefact", ("edf", "model"), ("model/*",), lambda where: go("detect", where), ("events",)),
    Kind(
        "index",
        ("edf", "words", "found"),
        ("found/*", "words/*"),
        lambda where: go("search", where),
        ("found",),
    ),
)


def damaged(raw: bytes, rng: np.random.Generator, *, cut: bool) -> bytes:
    """One bit turned, or the file cut anywhere, to nothing included."""
    if not raw:
        return b"\0"
    if cut:
        return raw[: int(rng.choice([0, len(raw) - 1, rng.integers(0, len(raw))]))]
    place, turned = int(rng.integers(len(raw))), bytearray(raw)
    turned[place] ^= 1 << int(rng.integers(8))
    return bytes(turned)


def answer(kind: Kind, where: Path, done: Done) -> dict[str, str]:
    """What the reader gave: the files it leaves, and its tables where it leaves none."""
    found = {}
    for name in kind.gives:
        files = contents(where / name) if (where / name).exists() else {}
        found |= {f"{name}/{key}": value for key, value in files.items()}
    return found or {"said": done.out}


def damage(part: Part, kinds: tuple[Kind, ...] = KINDS, flips: int = FLIPS, cuts: int = CUTS) -> None:
    """Rounds of flips and cuts, spread over all kinds of files."""
    base, known, where = road(part.scratch), {}, part.folder / "case"
    for kind in kinds:
        trees = []
        for _ in range(2):
            done = fresh(base, where, kind) or kind.read(where)
            trees.append(answer(kind, where, done))
        one, two = trees
        noise = {key for key in one.keys() | two.keys() if one.get(key) != two.get(key)}
        known[kind.name] = one, noise
    for case in part.numbers():
        kind = kinds[case % len(kinds)]
        fresh(base, where, kind)
        files = [p for pattern in kind.files for p in sorted(where.glob(pattern)) if p.is_file()]
        files = [p for p in files if "tfevents" not in p.name]
        path = files[int(part.rng.integers(len(files)))]
        cut = case % (flips + cuts) >= flips
        path.write_bytes(damaged(path.read_bytes(), part.rng, cut=cut))
        own = f"{path.relative_to(where)}"
        done = kind.read(where)
        what = f"{kind.name} {path.name} {'cut' if cut else 'flipped'}"
        part.judge(verdict(kind, where, done, *known[kind.name], own), what, done.seconds)


def fresh(base: Path, where: Path, kind: Kind) -> None:
    """What the reader of a kind finds, undamaged."""
    shutil.rmtree(where, ignore_errors=True)
    where.mkdir(parents=True)
    for name in kind.there:
        copied(base / name, where / name)


def verdict(kind: Kind, where: Path, done: Done, expected: dict[str, str], noise: set[str], own: str) -> str:
    """What is wrong; empty where it was told, or nothing came of it."""
    if done.fault:
        return done.fault
    if done.code != 0:
        return ""
    found = answer(kind, where, done)
    apart = difference(found, expected, noise | {own})
    name = Path(own).name
    told = name in done.out + done.err or "damaged" in (done.out + done.err).lower()
    return "" if told or not apart else f"accepted in silence, {apart}"
