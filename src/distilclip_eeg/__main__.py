"""``python -m distilclip_eeg``: the same as ``distilclip-eeg``."""

from distilclip_eeg.commands.cli import main

if __name__ == "__main__":
    main()
