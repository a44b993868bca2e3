"""Seizure detection from scalp EEG by learning EEG and text together.

``from distilclip_eeg import DistilCLIPEEG`` loads an exported model; ``component`` registers a part of
one's own. Research software, not a medical device.
"""

import os
from importlib import import_module
from typing import Any

__version__ = "0.1.0"
__all__ = ["DistilCLIPEEG", "__version__", "component"]

# Before torch loads OpenMP: waiting threads sleep instead of spinning. On two cores shared by two trainings
# a step took 0.10 s instead of 6.2 s; alone the two are equal within the noise (docs/LOG.md).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def __getattr__(name: str) -> Any:
    """Public names and what they need, torch among it, are imported when they are asked for."""
    if name == "DistilCLIPEEG":
        try:
            return import_module("distilclip_eeg.deploy.networks").DistilCLIPEEG
        except ModuleNotFoundError as error:
            if line := import_module("distilclip_eeg.schema").lacking(name, error):
                raise ImportError(line) from None
            raise
    if name == "component":
        return import_module("distilclip_eeg.config.registry").component
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
