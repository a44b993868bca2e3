"""Progress with time left: a live bar on a terminal, plain lines where output is piped."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

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
