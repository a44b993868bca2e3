"""``python scripts/reproduce_table1.py key=value …``: the command table1 by its older name."""

from distilclip_eeg.__main__ import run

if __name__ == "__main__":
    run("table1")
