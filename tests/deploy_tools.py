"""What the tests of detection share: invented recordings as EDF, a recipe, an untrained network."""

from dataclasses import fields

import numpy as np

from distilclip_eeg.artefact.recipe import Recipe
from distilclip_eeg.config.data import SignalConfig
from distilclip_eeg.config.detection import DetectConfig
from distilclip_eeg.corpora.invented.layouts.edf import Header, edf_bytes, signal_of

CHANNELS = ("F3", "C3", "T3")
RANGE = (-2000.0, 2000.0)


def brain(seconds, sfreq, n_chans=3, seizures=(), seed=0):
    """Microvolts (C, T): noise of 20 with a slow part, a 4 Hz wave of 150 in each ``(onset, offset)``."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * sfreq)) / sfreq
    uv = 20 * rng.standard_normal((n_chans, len(time))) + 30 * np.sin(2 * np.pi * 0.7 * time)
    for onset, offset in seizures:
        inside = (time >= onset) & (time < offset)
        uv[:, inside] += 150 * np.sin(2 * np.pi * 4 * time[inside])
    return uv


def write_edf(path, uv, sfreq, labels=CHANNELS, **how):
    """``how``: as ``edf_bytes`` or its header takes it."""
    header = Header(**{f.name: how.pop(f.name) for f in fields(Header) if f.name in how})
    signals = [
        signal_of(label, row, sfreq, physical_range=RANGE) for label, row in zip(labels, uv, strict=True)
    ]
    path.write_bytes(edf_bytes(signals, header=header, **how))
    return path


def with_gap(uv, sfreq, gap):
    """How ``write_edf`` leaves out the seconds ``gap`` and tells when each record begins."""
    kept = [s for s in range(round(uv.shape[1] / sfreq)) if not gap[0] <= s < gap[1]]
    return {"kept": kept, "onsets_s": kept}


class Loudness:
    """Answers with the mean absolute value of a window: 0.5 at ``at``, steeply up."""

    def __init__(self, at=1.2, steep=8.0):
        self.at, self.steep, self.batches = at, steep, []

    def logits(self, eeg_BCT):
        assert eeg_BCT.dtype == np.float32 and np.isfinite(eeg_BCT).all()
        self.batches.append(len(eeg_BCT))
        loud_B = np.abs(eeg_BCT).mean(axis=(1, 2))
        return np.stack([np.zeros_like(loud_B), self.steep * (loud_B - self.at)], axis=1).astype(np.float32)


def recipe(*, detect=None, ages="unknown", ch_names=CHANNELS, n_times=256, **signals):
    return Recipe(
        ch_names=ch_names,
        classes=("bckg", "seiz"),
        n_times=n_times,
        signals=SignalConfig(**signals),
        detect=detect or DetectConfig(),
        ages=ages,
    )


LIVE = recipe(phase="causal", normalize="running")
"""What live detection asks for."""
