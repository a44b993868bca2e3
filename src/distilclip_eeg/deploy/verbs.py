"""What a user types to use an exported model; nothing heavy is imported before the settings are read."""

import sys

from distilclip_eeg.config import load
from distilclip_eeg.schema import NOTE, check_choice


def detect(overrides: list[str]) -> None:
    """EDF in, seizure events out: ``python scripts/detect.py weights=DIR input=FILE|FOLDER output=DIR``.

    Ends with 0 where all files were read, 1 where some could not be, 3 where none could, and with 2 where a
    setting is wrong.
    """
    config = load("detect", overrides)
    from distilclip_eeg.deploy import screen

    failed = screen.screen(config)
    print(NOTE)
    if failed:
        sys.exit(1)


def benchmark(overrides: list[str]) -> None:
    """Time and memory on this machine: ``python scripts/benchmark.py what=detect``."""
    config = load("benchmark", overrides)
    check_choice("what", config["what"], ("detect",))
    from distilclip_eeg.deploy.benchmark import benchmark

    for line in benchmark(config):
        print(line, flush=True)
