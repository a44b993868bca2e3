"""Measurements of windows: numbers from the signal alone, one row per window.

They are a pure function of filtered microvolts (a window's own, or a stretch around it): no annotation is
read, none can be passed.

Shapes: B windows, C channels, T samples, F frequencies.
"""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import fft

from distilclip_eeg.schema import DataError

VERSION = 1
"""Raised when the same signal would be measured otherwise; kept measurements of another are not used."""

BANDS = {"delta": (0.5, 4.0), "theta": (4.0, 8.0), "alpha": (8.0, 13.0), "beta": (13.0, 70.0)}
"""Half open, Hz. Beta takes in gamma: at the scalp, most of what lies above 30 Hz is muscle."""
REGIONS = ("frontal", "central", "temporal", "parietal", "occipital")
SIDES = ("left", "right", "midline")

PERIOD_S = (0.04, 2.0)
"""Periods of a rhythm that is looked for; the longest is never more than ``LONGEST`` of what is seen."""
LONGEST = 0.4
ARTIFACT_HZ = (45.0, 70.0)
FLAT_UV = 0.5
"""A channel whose RMS is below this carries no brain activity."""
CHUNK = 256
"""Windows measured at a time; one chunk's spectrum stays near the cache."""

_ELECTRODE = re.compile(r"(FP|AF|FC|FT|CP|TP|PO|F|C|T|P|O|I)(Z|\d{1,2})")
_REGION = {"FP": 0, "AF": 0, "F": 0, "FC": 1, "C": 1, "FT": 2, "T": 2, "TP": 2, "CP": 3, "P": 3, "PO": 4}
_REGION |= {"O": 4, "I": 4}
_TEMPORAL = {"P7", "P8"}
"""The 10-10 names of T5 and T6."""


def measure(eeg_uv_BCT: np.ndarray, sfreq: float, ch_names: Sequence[str]) -> pd.DataFrame:
    """One row of measurements per window.

    Columns: ``band`` and ``frequency_hz``: greatest power per octave, so that the 1/f slope every EEG has
    does not make all of them delta; ``amplitude_uv``: median channel RMS; ``rhythmicity``: highest peak of
    the normalised autocorrelation for periods from 40 ms to 0.4 of the stretch, 2 s at most; ``sharpness``:
    sharp transients per channel and second; ``laterality``: (R-L)/(R+L) power over homologous channels, NaN
    without any; ``maximum``: side and region of greatest power, empty for unknown channel names;
    ``synchrony``: mean absolute correlation between channels; ``evolution``: log2 power of the second half
    over the first; ``artifact``: share of 45-70 Hz power; ``flat``: share of channels below 0.5 uV.

    Args:
        eeg_uv_BCT: filtered microvolts, before any normalisation.
        sfreq: Hz.
        ch_names: C names of electrodes (``FP1``, ``EEG FP1-REF``) or bipolar pairs (``FP1-F7``).

    Raises:
        ValueError: the array's shape is not (B, C, T).
        DataError: the signal holds NaN or infinite values.
    """
    if eeg_uv_BCT.ndim != 3 or eeg_uv_BCT.shape[1] != len(ch_names):
        raise ValueError(f"expected (B, {len(ch_names)}, T) microvolts, got shape {eeg_uv_BCT.shape}")
    places = [_place(name) for name in ch_names]
    parts = []
    for start in range(0, max(len(eeg_uv_BCT), 1), CHUNK):
        chunk = np.asarray(eeg_uv_BCT[start : start + CHUNK], dtype=np.float32)
        parts.append(_measure_chunk(chunk, sfreq, places))
    table = pd.DataFrame({key: np.concatenate([part[key] for part in parts]) for key in parts[0]})
    if not np.isfinite(table["amplitude_uv"].to_numpy()).all():
        raise DataError("The signal holds NaN or infinite values; windows cannot be described.")
    return table


def _measure_chunk(x_BCT: np.ndarray, sfreq: float, places: list) -> dict[str, np.ndarray]:
    x_BCT = x_BCT - x_BCT.mean(axis=-1, keepdims=True)
    power_BC = np.einsum("bct,bct->bc", x_BCT, x_BCT) / x_BCT.shape[-1]
    flat_BC = power_BC < FLAT_UV**2
    half = x_BCT.shape[-1] // 2
    first_B = np.square(x_BCT[..., :half]).sum(axis=(1, 2))
    second_B = np.square(x_BCT[..., -half:]).sum(axis=(1, 2))
    laterality, maximum = _where(power_BC, places)
    return {
        **_spectral(x_BCT, sfreq, flat_BC),
        "amplitude_uv": np.median(np.sqrt(power_BC), axis=1),
        "sharpness": _sharpness(x_BCT, sfreq),
        "laterality": laterality,
        "maximum": maximum,
        "synchrony": _synchrony(x_BCT, power_BC),
        "evolution": np.log2((second_B + 1e-6) / (first_B + 1e-6)),
        "flat": flat_BC.mean(axis=1, dtype=np.float32),
    }


def _spectral(x_BCT: np.ndarray, sfreq: float, flat_BC: np.ndarray) -> dict[str, np.ndarray]:
    """Band, frequency, rhythmicity and 45-70 Hz share from one Fourier transform per channel.

    The autocorrelation of a tapered stretch divided by that of the taper is that of the signal (Boersma
    1993). It is linear in the power spectrum, so averaging spectra first leaves one inverse per window.
    """
    n = x_BCT.shape[-1]
    taper_T = np.hanning(n + 2)[1:-1].astype(np.float32)
    spectrum_BCF = fft.rfft(x_BCT * taper_T, n=2 * n, axis=-1)
    spectrum_BCF = spectrum_BCF.real**2 + spectrum_BCF.imag**2
    spectrum_BCF /= np.maximum(spectrum_BCF.sum(axis=-1, keepdims=True), 1e-12)
    spectrum_BCF[flat_BC] = 0.0
    # Flat channels count as absent, unless all are.
    live_B1 = np.maximum((~flat_BC).sum(axis=1, keepdims=True), 1)
    mean_BF = spectrum_BCF.sum(axis=1) / live_B1

    hz_F = fft.rfftfreq(2 * n, 1 / sfreq)
    edges = {**BANDS, "artifact": ARTIFACT_HZ}
    inside = np.array([(hz_F >= lo) & (hz_F < hi) for lo, hi in edges.values()], dtype=np.float32)
    share_BC5 = spectrum_BCF @ inside.T
    share_BC5[flat_BC] = np.nan
    # A window that is flat throughout has no fast activity: delta.
    share_BC5[flat_BC.all(axis=1)] = [1.0, 0.0, 0.0, 0.0, 0.0]
    share_B5 = np.nanmedian(share_BC5, axis=1) if flat_BC.any() else np.median(share_BC5, axis=1)
    # Octaves as far as the spectrum reaches; a band above Nyquist has no power, whatever its width.
    octaves = [np.log2(max(min(hi, sfreq / 2), 1.01 * lo) / lo) for lo, hi in BANDS.values()]
    band_B = np.argmax(np.log(share_B5[:, :-1] + 1e-12) - np.log(octaves), axis=1)
    # The frequency is looked for inside the winning band, so that the two never contradict each other.
    density_BF = np.where(inside[band_B] > 0, mean_BF * hz_F, -1.0)
    return {
        "band": np.array(list(BANDS))[band_B],
        "frequency_hz": hz_F[np.argmax(density_BF, axis=1)].astype(np.float32),
        "rhythmicity": _rhythmicity(mean_BF, taper_T, sfreq),
        "artifact": share_B5[:, -1].astype(np.float32),
    }


def _rhythmicity(mean_BF: np.ndarray, taper_T: np.ndarray, sfreq: float) -> np.ndarray:
    """Highest *peak* of the autocorrelation: a slow drift is self-similar too, but has no peak."""
    n = len(taper_T)
    first = max(int(np.ceil(PERIOD_S[0] * sfreq)), 1)
    last = int(min(PERIOD_S[1] * sfreq, LONGEST * n))
    if last < first:
        return np.zeros(len(mean_BF), dtype=np.float32)
    lags = slice(first - 1, last + 2)
    of_taper = fft.irfft(np.abs(fft.rfft(taper_T, n=2 * n)) ** 2)
    of_signal_BL = fft.irfft(mean_BF, n=2 * n, axis=-1)
    r_BL = of_signal_BL[:, lags] / np.maximum(of_signal_BL[:, :1], 1e-12) / (of_taper[lags] / of_taper[0])
    middle = r_BL[:, 1:-1]
    is_peak = (middle >= r_BL[:, :-2]) & (middle > r_BL[:, 2:])
    return np.clip(np.where(is_peak, middle, 0.0).max(axis=1), 0.0, 1.0).astype(np.float32)


def _sharpness(x_BCT: np.ndarray, sfreq: float) -> np.ndarray:
    """Places where the curvature leaps past 5 MAD, per channel and second."""
    curve = np.abs(np.diff(x_BCT, n=2, axis=-1))
    # Every other sample is enough for a median and halves its cost.
    mad = np.median(curve[..., ::2], axis=-1, keepdims=True)
    above = curve > 5 * mad + 1e-3
    starts = np.count_nonzero(above[..., 1:] & ~above[..., :-1], axis=-1) + above[..., 0]
    return (starts.mean(axis=1) * sfreq / x_BCT.shape[-1]).astype(np.float32)


def _synchrony(x_BCT: np.ndarray, power_BC: np.ndarray) -> np.ndarray:
    """Mean absolute correlation between pairs of channels; a flat channel correlates with none."""
    channels = x_BCT.shape[1]
    if channels < 2:
        return np.zeros(len(x_BCT), dtype=np.float32)
    unit_BCT = x_BCT / np.sqrt(np.maximum(power_BC, 1e-6) * x_BCT.shape[-1])[..., None]
    r_BCC = np.abs(unit_BCT @ unit_BCT.transpose(0, 2, 1))
    own_B = np.trace(r_BCC, axis1=1, axis2=2)
    return ((r_BCC.sum(axis=(1, 2)) - own_B) / (channels * (channels - 1))).astype(np.float32)


def _place(name: str) -> tuple[tuple[str, ...], tuple[str, ...], str] | None:
    """Electrodes of a channel, those of its mirror image, and its place, such as ``left temporal``.

    A bipolar channel lies where its last electrode does: FP1-F7 frontal, F7-T7 temporal, P7-O1 occipital.
    One that spans both sides (FT9-FT10) lies nowhere.
    """
    parts = [m for part in re.split(r"[\s_-]+", name.upper()) if (m := _ELECTRODE.fullmatch(part))]
    if not parts:
        return None
    # Sorted, because montages are not always mirrored in wording: T7-FT9 stands opposite FT10-T8.
    electrodes = tuple(sorted(m[0] for m in parts))
    mirror = tuple(sorted(_mirrored(m[1], m[2]) for m in parts))
    sides = {int(m[2]) % 2 for m in parts if m[2] != "Z"}
    if len(sides) == 2:
        return electrodes, mirror, ""
    side = "midline" if not sides else "left" if 1 in sides else "right"
    last = parts[-1]
    region = "temporal" if last[0] in _TEMPORAL else REGIONS[_REGION[last[1]]]
    return electrodes, mirror, f"{side} {region}"


def _mirrored(letters: str, digits: str) -> str:
    """The electrode on the other side: odd numbers lie left, the next even one opposite."""
    if digits == "Z":
        return letters + digits
    return f"{letters}{int(digits) + (1 if int(digits) % 2 else -1)}"


def _where(power_BC: np.ndarray, places: list) -> tuple[np.ndarray, np.ndarray]:
    """Laterality and the place of greatest mean power."""
    known = {place[0]: i for i, place in enumerate(places) if place}
    left = [i for i, p in enumerate(places) if p and p[2].startswith("left") and p[1] in known]
    laterality = np.full(len(power_BC), np.nan, dtype=np.float32)
    if left:
        left_B = power_BC[:, left].sum(axis=1)
        right_B = power_BC[:, [known[places[i][1]] for i in left]].sum(axis=1)
        laterality = (right_B - left_B) / np.maximum(right_B + left_B, 1e-6)
    names = sorted({place[2] for place in places if place and place[2]})
    if not names:
        return laterality, np.full(len(power_BC), "", dtype=object)
    groups = [[i for i, p in enumerate(places) if p and p[2] == name] for name in names]
    mean_BR = np.stack([power_BC[:, group].mean(axis=1) for group in groups], axis=1)
    return laterality, np.array(names, dtype=object)[np.argmax(mean_BR, axis=1)]
