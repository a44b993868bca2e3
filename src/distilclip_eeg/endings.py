"""How a command ends before it is done: SIGTERM, SIGINT and memory that is used up.

A signal raises :class:`Stop`, unless the work is in a piece that must not be torn (``unbroken``): then it is
noted, the piece asks (``asked``) or goes on to its end, and the stop comes after it. A second signal of the
same kind does not wait. While something is imported the process ends at once, with the same line. Nothing
here needs more than the standard library, so that it can watch over the imports of all the rest.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
GONE = ("gloo", "nccl", "connection closed by peer", "connection reset by peer")
"""Words of torch's communication between processes, in lower case."""
USED_UP = ("allocate memory", "out of memory", "not enough memory", "can't start new thread", "bad_alloc")
"""Words of libraries that have no error of their own for it, in lower case."""


class Stop(KeyboardInterrupt):
    """Somebody asked for the end.

    Args:
        signum: the signal; ``code`` is what the process ends with, 128 more.
    """

    def __init__(self, signum: int = signal.SIGINT):
        super().__init__(signum)
        self.signum = signum

    @property
    def code(self) -> int:
        """Exit code."""
        return 128 + self.signum


class _State:
    """Of this process: the signal that was heard, how deep in unbroken work, whether anybody listens."""

    def __init__(self) -> None:
        self.heard: int | None = None
        self.depth, self.listening, self.silent = 0, False, False
        self.children: Callable[[], Iterable[Any]] = list
        """Processes that are told too."""


_state = _State()


def asked() -> int | None:
    """The signal that asked for the end, if one did."""
    return _state.heard


def stop_if_asked() -> None:
    """End here, where nothing is half done.

    Raises:
        Stop: a signal was heard.
    """
    if _state.heard is not None:
        raise Stop(_state.heard)


def _hear(signum: int, frame: FrameType | None) -> None:
    again, _state.heard = _state.heard == signum, signum
    for child in _state.children():
        with suppress(OSError):
            os.kill(child.pid, signum)
    if again or not _state.depth:
        if _importing(frame):
            if not _state.silent:
                os.write(2, b"stopped; the same command continues where this one ended\n")
            os._exit(128 + signum)
        raise Stop(signum)


def _importing(frame: FrameType | None) -> bool:
    """Whether an import is under way, in which libraries swallow an error or abort the process."""
    while frame is not None and not frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return frame is not None


@contextmanager
def unbroken() -> Iterator[None]:
    """A signal that arrives inside is acted on when the outermost such piece is left.

    Raises:
        Stop: on leaving, where a signal was heard meanwhile and nothing else went wrong.
    """
    _state.depth += 1
    try:
        yield
    finally:
        _state.depth -= 1
    if not _state.depth:
        stop_if_asked()


@contextmanager
def telling(children: Callable[[], Iterable[Any]]) -> Iterator[None]:
    """A signal that arrives inside is passed on to these processes, which have a ``pid`` each."""
    before, _state.children = _state.children, children
    try:
        yield
    finally:
        _state.children = before


@contextmanager
def listening(also: Iterable[int] = (), *, silent: bool = False) -> Iterator[None]:
    """Hear SIGTERM, SIGINT and ``also`` as :class:`Stop`; what was there before is put back on leaving.

    Args:
        silent: a worker says nothing; who started it is stopped too and says it.
    """
    if _state.listening or threading.current_thread() is not threading.main_thread():
        yield
        return
    _state.listening, _state.heard, _state.silent = True, None, silent
    before = {number: signal.signal(number, _hear) for number in (*SIGNALS, *also)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        _state.listening, _state.heard = False, None


def memory_used_up(error: BaseException) -> bool:
    """Whether memory, of the machine or of the device, is what was lacking.

    Libraries say it in several ways: ``MemoryError``, torch's own error, a plain ``RuntimeError`` of its
    allocator for the CPU, and what onnxruntime says.
    """
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    words = str(error).lower()
    return isinstance(error, RuntimeError | OSError) and any(said in words for said in USED_UP)


def peer_gone(error: BaseException) -> bool:
    """Whether another process of the same job, with which this one talked, is what went wrong."""
    words = str(error).lower()
    return isinstance(error, RuntimeError) and any(said in words for said in GONE)
