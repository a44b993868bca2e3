"""``python scripts/benchmark.py key=value …``; see ``--help``."""

from distilclip_eeg.cli import run

if __name__ == "__main__":
    run("benchmark")
