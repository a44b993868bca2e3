"""Seizure detection from scalp EEG by learning EEG and text together.

``from distilclip_eeg import DistilCLIPEEG`` loads an exported model. Research software, not a medical device.
"""

import os
from importlib import import_module

__version__ = "0.1.0"
__all__ = ["DistilCLIPEEG", "__version__"]

# Before torch loads OpenMP: waiting threads sleep instead of spinning. On two cores shared by two trainings
# a step took 0.10 s instead of 6.2 s; alone the two are equal within the noise (docs/LOG.md).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def __getattr__(name: str):
    """``DistilCLIPEEG``, and torch with it, are imported when they are asked for."""
    if name == "DistilCLIPEEG":
        return import_module("distilclip_eeg.deploy.networks").DistilCLIPEEG
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
