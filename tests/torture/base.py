"""What the parts share: counting, starting commands, comparing folders."""

import collections
import hashlib
import io
import os
import re
import shutil
import signal
import sys
import time
import traceback
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

REPO = Path(__file__).parents[2]
UNLIKE = re.compile(r"tfevents|/timing\.json$|/provenance\.json$|/locks/")
"""Files that tell times and machines, which no two runs share, and empty ones that are there to be locked."""


@dataclass
class Row:
    """One line of the table."""

    part: str
    cases: int
    right: int
    wrong: int
    seconds: float
    worst: str

    def line(self) -> str:
        """As the table prints it."""
        numbers = f"{self.cases:7,d} {self.right:7,d} {self.wrong:6,d} {self.seconds:8.0f}"
        return f"{self.part:12s} {numbers}  {self.worst}"


def table(rows: list[Row]) -> str:
    """All rows below their heads, and their sums."""
    heads = f"{'part':12s} {'cases':>7s} {'right':>7s} {'wrong':>6s} {'seconds':>8s}  worst case"
    total = [sum(getattr(row, name) for row in rows) for name in ("cases", "right", "wrong", "seconds")]
    return "\n".join([heads, *(row.line() for row in rows), Row("all", *total, "").line().rstrip()])


@dataclass
class Part:
    """Counts right and wrong cases of one part until its time is over."""

    name: str
    seed: int
    scratch: Path
    seconds: float
    most: int = 10**9
    """Cases at most."""
    started: float = field(default_factory=time.monotonic)
    right_: int = 0
    slowest: tuple[float, str] = (0.0, "")
    faults: collections.Counter = field(default_factory=collections.Counter)

    def __post_init__(self) -> None:
        self.folder = self.scratch / self.name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.rng = np.random.default_rng([self.seed, zlib.crc32(self.name.encode())])

    @property
    def cases(self) -> int:
        """Counted by now."""
        return self.right_ + sum(self.faults.values())

    def goes_on(self) -> bool:
        """Whether there is time for another case."""
        return self.cases < self.most and time.monotonic() - self.started < self.seconds

    def numbers(self) -> Iterator[int]:
        """0, 1, 2 … while there is time."""
        count = 0
        while self.goes_on():
            yield count
            count += 1

    def right(self, what: str = "", seconds: float = 0.0) -> None:
        """Count a case that went as it should."""
        self.right_ += 1
        self.slowest = max(self.slowest, (seconds, what))

    def wrong(self, what: str) -> None:
        """Count one that did not; the commonest is shown."""
        self.faults[" ".join(what.split())] += 1

    def judge(self, fault: str, what: str, seconds: float = 0.0) -> None:
        """Count a case: right where ``fault`` is empty."""
        if fault:
            self.wrong(f"{what}: {fault}")
        else:
            self.right(what, seconds)

    def row(self) -> Row:
        """The part's line."""
        worst = "; ".join(f"{words[:160]} ({count})" for words, count in self.faults.most_common(3))
        if not worst and self.slowest[1]:
            worst = f"slowest {self.slowest[0]:.2f} s: {self.slowest[1][:120]}"
        spent = time.monotonic() - self.started
        return Row(self.name, self.cases, self.right_, sum(self.faults.values()), spent, worst)


# ------------------------------------------------------------------------------------------------ commands


@dataclass
class Done:
    """How a command ended."""

    code: int | None
    """Exit code; negative: the signal that ended it; None: it ran past its time and was killed."""
    out: str
    err: str
    seconds: float

    @property
    def fault(self) -> str:
        """What no command may do, whatever it is given; empty where it did not."""
        if "Traceback (most recent" in self.err or "Traceback (most recent" in self.out:
            last = [line for line in self.err.splitlines() if line and not line.startswith(" ")] or ["?"]
            return f"traceback {last[-1][:120]}"
        if self.code is None:
            return "hangs"
        if self.code < 0:
            return f"ended by signal {-self.code}"
        lines = [line for line in self.err.splitlines() if line.startswith("error:")]
        return (
            ""
            if self.code == 0 or lines or self.code in (1, 130, 143)
            else f"exit {self.code} without a word"
        )


class Command:
    """A command in a process of its own, forked from this one, so that imports cost nothing."""

    def __init__(self, verb: str, words: list[str], cwd: Path, before: Callable[[], None] | None = None):
        cwd.mkdir(parents=True, exist_ok=True)
        self.started, self.logs = time.monotonic(), cwd
        number = f"{time.monotonic_ns():x}"
        self.out, self.err = (cwd.parent / f".{cwd.name}.{number}.{name}" for name in ("out", "err"))
        self.pid = os.fork()
        if self.pid == 0:
            self._be(verb, words, cwd, before)
        self.code: int | None = None

    def _be(self, verb: str, words: list[str], cwd: Path, before: Callable[[], None] | None) -> None:
        code = 1
        try:
            for path, number in ((self.out, 1), (self.err, 2)):
                os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
            sys.stdout = os.fdopen(1, "w", buffering=1)
            sys.stderr = os.fdopen(2, "w", buffering=1)
            os.chdir(cwd)
            os.setpgid(0, 0)
            from distilclip_eeg.commands import cli

            signal.signal(signal.SIGINT, signal.default_int_handler)
            if before is not None:
                before()
            cli.run(verb, words)
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            traceback.print_exc()
        finally:
            try:
                sys.stdout.flush(), sys.stderr.flush()
            finally:
                os._exit(code)

    def running(self) -> bool:
        """Whether it still runs."""
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
        return self.code is None

    def send(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.running():
            os.kill(self.pid, number)

    def done(self, limit_s: float = 120) -> Done:
        """Wait for its end, at most so long."""
        end = time.monotonic() + limit_s
        while self.running() and time.monotonic() < end:
            time.sleep(0.01)
        hangs = self.running()
        if hangs:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.code = -signal.SIGKILL
        texts = [p.read_text(errors="replace") if p.exists() else "" for p in (self.out, self.err)]
        for path in (self.out, self.err):
            path.unlink(missing_ok=True)
        return Done(None if hangs else self.code, *texts, time.monotonic() - self.started)


def run(verb: str, words: list[str], cwd: Path, before: Callable[[], None] | None = None) -> Done:
    """Start a command and wait for it."""
    return Command(verb, words, cwd, before).done()


def warm() -> None:
    """Import what commands import, and compose once, before the first fork."""
    import pyarrow.dataset  # noqa: F401
    import torch.utils.tensorboard  # noqa: F401

    import distilclip_eeg.commands.cli
    import distilclip_eeg.deploy.export
    import distilclip_eeg.deploy.screen
    import distilclip_eeg.deploy.search
    import distilclip_eeg.report.tables
    import distilclip_eeg.studies.rehearsal
    import distilclip_eeg.studies.tuning.search
    import distilclip_eeg.training.distillation
    import distilclip_eeg.training.side_by_side  # noqa: F401
    from distilclip_eeg.config.compose import load
    from distilclip_eeg.config.experiment import TrainSettings

    load(TrainSettings, [])  # hydra looks for its plug-ins once a process


# ------------------------------------------------------------------------------------------------- folders


def contents(root: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, but those that tell times."""
    files = [p for p in sorted(root.rglob("*")) if p.is_file() and not p.is_symlink()]
    names = {str(p.relative_to(root)): p for p in files}
    return {name: digest(path) for name, path in names.items() if not UNLIKE.search(f"/{name}")}


def digest(path: Path) -> str:
    """SHA-256 of a file; of a checkpoint, of what it holds: equal tensors may be pickled in several ways."""
    if path.suffix == ".pt":
        import torch

        try:
            held = torch.load(io.BytesIO(path.read_bytes()[64:]), weights_only=True)  # behind its own digest
            return hashlib.sha256(_flat(held).encode()).hexdigest()
        except Exception:
            pass  # damaged: by its bytes
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _flat(tree: Any) -> str:
    """Nested values as one text, every bit of every tensor in it."""
    if isinstance(tree, dict):
        return f"{{{','.join(f'{key!r}:{_flat(value)}' for key, value in tree.items())}}}"
    if isinstance(tree, list | tuple):
        return f"[{','.join(map(_flat, tree))}]"
    if hasattr(tree, "numpy"):
        return f"{tree.dtype}{tuple(tree.shape)}{tree.numpy().tobytes().hex()}"
    return repr(tree)


def difference(found: dict[str, str], expected: dict[str, str], noise: set[str] = frozenset()) -> str:  # type: ignore[assignment]
    """The first file that differs, in words; empty where none does."""
    for name in sorted(found.keys() | expected.keys()):
        if name not in noise and found.get(name) != expected.get(name):
            how = "missing" if name not in found else "left over" if name not in expected else "other bytes"
            return f"{Path(name).name} {how}"
    return ""


def copied(source: Path, target: Path) -> Path:
    """A fresh copy of a folder, times kept."""
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target, symlinks=True)
    return target
