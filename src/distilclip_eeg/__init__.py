"""Seizure detection from scalp EEG by learning EEG and text together.

Research software, not a medical device.
"""

__version__ = "0.1.0"
