"""``python scripts/ablations.py key=value …``; see ``--help``."""

from distilclip_eeg.commands.cli import run

if __name__ == "__main__":
    run("ablations")
