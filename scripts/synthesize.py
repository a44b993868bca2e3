"""``python scripts/synthesize.py layout=NAME root=FOLDER``; see ``--help``."""

from distilclip_eeg.commands.cli import run

if __name__ == "__main__":
    run("synthesize")
