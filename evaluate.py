"""`python evaluate.py key=value …`; see README.md."""

from distilclip_eeg.__main__ import run

if __name__ == "__main__":
    run("evaluate")
