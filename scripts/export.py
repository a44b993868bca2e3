"""``python scripts/export.py run=RUN weights=final|ensemble|FOLD output=FOLDER``; see ``--help``."""

from distilclip_eeg.commands.cli import run

if __name__ == "__main__":
    run("export")
