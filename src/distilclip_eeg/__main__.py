"""``python -m distilclip_eeg``, and where every launcher begins: signals are heard before the imports."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from distilclip_eeg.endings import Stop, asked, listening


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
        except Stop as stop:
            print(f"{what}: stopped", file=sys.stderr)
            code: object = stop.code
        except SystemExit as end:
            if not asked():
                raise
            code = end.code
        else:
            return
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    main()
