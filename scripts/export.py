"""``python scripts/export.py run=RUN weights=final|ensemble|FOLD output=FOLDER``; see ``--help``."""

from distilclip_eeg.__main__ import run

if __name__ == "__main__":
    run("export")
