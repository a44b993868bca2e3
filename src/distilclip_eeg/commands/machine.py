"""The command about this machine: ``doctor``."""

from distilclip_eeg.commands.command import Command
from distilclip_eeg.config.commands import DoctorSettings


def doctor(settings: DoctorSettings, words: list[str]) -> int:
    """What is here, what is lacking, and what mends it; 0 where the framework can train."""
    from distilclip_eeg.studies import doctor

    return doctor.doctor(settings)


COMMANDS = {
    "doctor": Command(
        DoctorSettings,
        doctor,
        ("", "run.root=FOLDER store.root=FAST_DISK", "timeout_s=10"),
        exits={
            0: "the framework can train here",
            2: "a library is lacking, or a folder cannot be written to",
            4: "the disk is nearly full",
        },
    ),
}
