"""The verbs of the command line, a file a group; what is heavy is imported where a verb does its work."""

from distilclip_eeg.commands import deployment, machine, recordings, scoring, study, training
from distilclip_eeg.commands.command import Command

GROUPS: dict[str, dict[str, Command]] = {
    "Train": training.COMMANDS,
    "Score and explain": scoring.COMMANDS,
    "Use a model": deployment.COMMANDS,
    "Recordings": recordings.COMMANDS,
    "Studies": study.COMMANDS,
    "This machine": machine.COMMANDS,
}
"""Every verb, as the usage lists them."""
COMMANDS: dict[str, Command] = {name: one for group in GROUPS.values() for name, one in group.items()}
