"""From a file's signals to a montage's channels: subtract, average, fill what is missing."""

from collections.abc import Sequence

import mne
import numpy as np

from distilclip_eeg.corpora.edf.derive import Term
from distilclip_eeg.corpora.edf.montage import Montage, canonical, electrodes_of
from distilclip_eeg.corpora.edf.plan import Plan
from distilclip_eeg.schema import Piece


def arrange(pieces: Sequence[Piece], sfreq: float, plan: Plan, montage: Montage) -> tuple[Piece, ...]:
    """The montage's channels, in its order, from the signals the plan picked.

    Signals are float32 volts, each rounded once (6e-8 of its size) beside the file's own steps. One signal is
    copied, or its sign turned; the sum of several is exact but for one more rounding at its end. So a channel
    made of n signals carries up to n half steps of the file and n + 1 roundings. Those are of the size of the
    signals, not of the channel: 6e-5 uV for electrodes 1 mV off, 0.01 uV for the 0.2 V of a BDF without a
    high-pass.

    Args:
        pieces: each (signals picked, T), volts.
        sfreq: Hz; only interpolation asks for it.
        plan: of the same montage, from :func:`~distilclip_eeg.corpora.edf.plan.plan_channels`.

    Returns:
        Pieces of (channels, T). What stands in the file is copied as it is; a missing channel is zero or,
        where the montage says so, interpolated on the sphere.
    """
    if plan.electrodes:
        return tuple(Piece(p.start_s, _interpolated(p.eeg_CT, sfreq, plan, montage)) for p in pieces)
    if plan.plain and not montage.average:
        return tuple(pieces)
    return tuple(Piece(p.start_s, _combined(p.eeg_CT, plan, montage)) for p in pieces)


def _combined(eeg_ST: np.ndarray, plan: Plan, montage: Montage) -> np.ndarray:
    """Picked signals to channels; missing ones zero and outside the average."""
    eeg_CT = np.zeros((len(plan.rows), eeg_ST.shape[1]), np.float32)
    for row, terms in enumerate(plan.rows):
        if terms:
            eeg_CT[row] = _summed(eeg_ST, terms)
    if montage.average:
        there = [row for row, terms in enumerate(plan.rows) if terms]
        eeg_CT[there] -= eeg_CT[there].mean(axis=0, dtype=np.float64).astype(np.float32)
    return eeg_CT


def _summed(eeg_ST: np.ndarray, terms: Sequence[Term]) -> np.ndarray:
    """Signals added up with their signs, (T,); what float32 has exactly is not gone through float64."""
    if len(terms) == 1:
        ((index, sign),) = terms
        return eeg_ST[index] if sign == 1 else -eeg_ST[index]
    if len(terms) == 2 and terms[0][1] != terms[1][1]:
        (first, sign), (second, _) = terms
        return eeg_ST[first] - eeg_ST[second] if sign == 1 else eeg_ST[second] - eeg_ST[first]
    total_T = np.zeros(eeg_ST.shape[1])
    for index, sign in terms:
        total_T += sign * eeg_ST[index].astype(np.float64)
    return total_T


def _interpolated(eeg_ST: np.ndarray, sfreq: float, plan: Plan, montage: Montage) -> np.ndarray:
    """All electrodes of the montage, the missing ones by mne's spherical splines, then its channels; what
    follows from the file's signals is not drawn from them."""
    wanted = electrodes_of(montage.ch_names)
    data = np.zeros((len(wanted), eeg_ST.shape[1]))
    for name, row in zip(plan.electrodes, eeg_ST, strict=False):  # the first picks
        data[wanted.index(name)] = row
    raw = mne.io.RawArray(data, mne.create_info(wanted, sfreq, "eeg"), verbose="error")
    raw.set_montage("colin27_1020", match_case=False, verbose="error")
    raw.info["bads"] = [name for name in wanted if name not in plan.electrodes]
    data = raw.interpolate_bads(verbose="error").get_data()
    rows = []
    for name, terms in zip(montage.ch_names, plan.rows, strict=True):
        first, _, second = canonical(name).partition("-")
        if terms:
            rows.append(sum(sign * eeg_ST[index].astype(np.float64) for index, sign in terms))
        else:
            rows.append(data[wanted.index(first)] - (data[wanted.index(second)] if second else 0.0))
    eeg_CT = np.array(rows)
    return (eeg_CT - eeg_CT.mean(axis=0) if montage.average else eeg_CT).astype(np.float32)
