"""Seizure detection from scalp EEG by learning EEG and text together.

``from distilclip_eeg import Detector, load_corpus``: the names of ``PUBLIC`` are the package's own front, in
``docs/reference/api.md``. Research software, not a medical device.
"""

import os
from importlib import import_module
from typing import Any

__version__ = "0.1.0"
PUBLIC = {
    "Detector": "deploy.detector",
    "DistilCLIPEEG": "deploy.networks",
    "SeizureClassifier": "training.estimator",
    "component": "config.registry",
    "load_corpus": "training.data",
    "push_to_hub": "deploy.hub",
    "search": "deploy.search",
}
"""Public names and the module of each, which is imported, and torch with it, when the name is asked for."""
__all__ = [
    "Detector",
    "DistilCLIPEEG",
    "SeizureClassifier",
    "__version__",
    "component",
    "load_corpus",
    "push_to_hub",
    "search",
]

# Before torch loads OpenMP: waiting threads sleep instead of spinning. On two cores shared by two trainings
# a step took 0.10 s instead of 6.2 s; alone the two are equal within the noise (docs/LOG.md).
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"distilclip_eeg.{PUBLIC[name]}"), name)
    except ModuleNotFoundError as error:
        if line := import_module("distilclip_eeg.schema").lacking(name, error):
            raise ImportError(line) from None
        raise


def __dir__() -> list[str]:
    return sorted([*globals(), *PUBLIC])
