"""Progress with time left: a live bar on a terminal, plain lines where output is piped."""

import io
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

QUIET_S = 15.0
"""At most one plain line in this many seconds."""
POST_S = 0.5
"""Counts of another process are written, and read, so often."""

T = TypeVar("T")
Tracker = Callable[[Iterable[T], int, str], Iterable[T]]
"""What :func:`track` is: given items, their number and what is done with them, the items again."""


def job() -> tuple[int, int]:
    """Number of this process, and how many ``torchrun`` or ``accelerate launch`` started; number 0 speaks."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


class Ticker:
    """Counts units of work and says how long the rest will take, at the mean pace so far.

    Args:
        total: units in all.
        text: what is being done.
    """

    def __init__(self, total: int, text: str):
        self.total, self.text, self.done = total, text, 0
        self.start = self.said = time.monotonic()
        self.bar = None
        if sys.stderr.isatty() and not job()[0]:
            columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
            self.bar = Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), transient=True)
            self.task = self.bar.add_task(text, total=total)
            self.bar.start()

    def advance(self, n: int = 1, text: str | None = None) -> None:
        """Count ``n`` more units; ``text`` replaces what is being done."""
        self.done += n
        self.text = text or self.text
        if self.bar:
            self.bar.update(self.task, advance=n, description=self.text)
        elif time.monotonic() - self.said > QUIET_S:
            self.said = time.monotonic()
            elapsed = self.said - self.start
            left = elapsed / max(self.done, 1) * max(self.total - self.done, 0)
            print(
                f"{self.text}: {self.done}/{self.total}, {clock(elapsed)} gone, {clock(left)} left",
                flush=True,
            )

    def expect(self, left: int) -> None:
        """``left`` units are still to do; what was planned before is forgotten."""
        self.total = self.done + left
        if self.bar:
            self.bar.update(self.task, total=self.total)

    def __enter__(self) -> "Ticker":
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.stop()


class Posted(Ticker):
    """A ticker whose counts also go into a file, from which another process adds them up (``added_up``).

    Args:
        path: the file; its folder must exist.
    """

    def __init__(self, total: int, text: str, *, path: Path):
        super().__init__(total, text)
        self.path, self.posted = path, 0.0
        self.post()

    def advance(self, n: int = 1, text: str | None = None) -> None:
        """As a ticker's, and write it down."""
        super().advance(n, text)
        if time.monotonic() - self.posted > POST_S:
            self.post()

    def post(self) -> None:
        """Write the counts down."""
        self.posted = time.monotonic()
        with suppress(OSError):  # a disk that is full or away: only the bar stands still
            self.path.write_text(json.dumps([self.done, self.total]), encoding="utf-8")

    def __exit__(self, *_: object) -> None:
        self.post()
        super().__exit__()


@contextmanager
def added_up(expected: Mapping[Path, int], text: str) -> Iterator[None]:
    """One ticker over the counts of several processes, while they are at work.

    Args:
        expected: for the file of each, the units that are expected as long as it says nothing.
    """
    over = threading.Event()
    with Ticker(sum(expected.values()), text) as ticker:
        watch = threading.Thread(target=_watch, args=(ticker, expected, over), daemon=True)
        watch.start()
        try:
            yield
        finally:
            over.set()
            watch.join()
            for path in expected:
                path.unlink(missing_ok=True)


def _watch(ticker: Ticker, expected: Mapping[Path, int], over: threading.Event) -> None:
    """Bring the ticker to what the files say, again and again."""
    said = {path: (0, units) for path, units in expected.items()}
    while not over.wait(POST_S):
        for path in said:
            with suppress(OSError, ValueError, TypeError):  # not begun, or being written
                done, total = json.loads(path.read_text(encoding="utf-8"))
                said[path] = int(done), int(total)
        done, total = (sum(counts) for counts in zip(*said.values(), strict=True))
        if done > ticker.done or total != ticker.total:
            ticker.expect(total - ticker.done)
            ticker.advance(max(0, done - ticker.done))


def track(items: Iterable[T], total: int, text: str) -> Iterator[T]:
    """The items one by one; each counts as done when the next is asked for."""
    with Ticker(total, text) as ticker:
        for item in items:
            yield item
            ticker.advance()


def clock(seconds: float) -> str:
    """Seconds as minutes and seconds, from an hour on with hours: ``75`` as ``1:15``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def size(n_bytes: float) -> str:
    """Bytes as megabytes or gigabytes."""
    return f"{n_bytes / 1e9:,.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:,.1f} MB"


def columns() -> int:
    """Columns of the terminal, 100 at most: what is printed is no wider."""
    return min(100, max(60, shutil.get_terminal_size((100, 24)).columns))


def page(*parts: RenderableType, width: int | None = None) -> str:
    """What rich makes of texts and tables, each line without the blanks at its end.

    Args:
        width: in columns; None: those of the terminal (:func:`columns`), in colours where it is one.
    """
    written = io.StringIO()
    coloured = width is None and sys.stdout.isatty()
    console = Console(file=written, width=width or columns(), force_terminal=coloured, highlight=False)
    console.print(*parts, sep="\n", markup=False)
    return "\n".join(line.rstrip() for line in written.getvalue().rstrip("\n").split("\n"))
