"""``python scripts/doctor.py key=value …``; see ``--help``."""

from distilclip_eeg.__main__ import run

if __name__ == "__main__":
    run("doctor")
