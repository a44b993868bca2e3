"""``python scripts/synthesize.py layout=NAME root=FOLDER``; see ``--help``."""

from distilclip_eeg.__main__ import run

if __name__ == "__main__":
    run("synthesize")
