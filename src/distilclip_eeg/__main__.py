"""``python -m distilclip_eeg``, and where every launcher begins: signals are heard before the imports."""

import atexit
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from distilclip_eeg.endings import SIGNALS, Stop, asked, listening


def run(verb: str, argv: list[str] | None = None) -> None:
    """Entry of the launchers; exits with the error's code."""
    with heard(verb):
        from distilclip_eeg.commands import cli

        cli.run(verb, argv)


def main() -> None:
    """``distilclip-eeg VERB key=value …``."""
    with heard("distilclip-eeg"):
        from distilclip_eeg.commands import cli

        cli.main()


@contextmanager
def heard(what: str) -> Iterator[None]:
    """A signal ends the process with a line and its own exit code, whatever threads of libraries still do."""
    with listening():
        try:
            yield
            end = SystemExit(0)
        except Stop as stop:
            print(f"{what}: stopped", file=sys.stderr)
            end = SystemExit(stop.code)
        except SystemExit as error:
            end = error
        stopped = asked() is not None
    code = 0 if end.code is None else end.code if isinstance(end.code, int) else 1
    if stopped:
        atexit._run_exitfuncs()  # semaphores of worker processes, which would be told as leaked
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    for number in SIGNALS:  # too late: all is done, and the process only ends sooner
        signal.signal(number, lambda *_: os._exit(code))
    raise end


if __name__ == "__main__":
    main()
