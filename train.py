"""`python train.py key=value …`; see README.md."""

from distilclip_eeg.cli import run

if __name__ == "__main__":
    run("train")
