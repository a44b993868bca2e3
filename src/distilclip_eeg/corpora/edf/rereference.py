"""From a file's signals to a montage's channels: subtract, average, fill what is missing."""

from collections.abc import Sequence

import mne
import numpy as np

from distilclip_eeg.corpora.edf.montage import Montage, Plan, canonical, electrodes_of
from distilclip_eeg.schema import Piece


def arrange(pieces: Sequence[Piece], sfreq: float, plan: Plan, montage: Montage) -> tuple[Piece, ...]:
    """The montage's channels, in its order, from the signals the plan picked.

    Args:
        pieces: each (signals picked, T), volts.
        sfreq: Hz; only interpolation asks for it.
        plan: of the same montage, from :func:`~distilclip_eeg.corpora.edf.montage.plan_channels`.

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
    pairs = {row: pair for row, pair in enumerate(plan.rows) if pair}
    for row, (first, second) in pairs.items():
        eeg_CT[row] = eeg_ST[first] if second is None else eeg_ST[first] - eeg_ST[second]
    if montage.average:
        there = list(pairs)
        eeg_CT[there] -= eeg_CT[there].mean(axis=0, dtype=np.float64).astype(np.float32)
    return eeg_CT


def _interpolated(eeg_ET: np.ndarray, sfreq: float, plan: Plan, montage: Montage) -> np.ndarray:
    """All electrodes of the montage, the missing ones by mne's spherical splines, then its channels."""
    wanted = electrodes_of(montage.ch_names)
    data = np.zeros((len(wanted), eeg_ET.shape[1]))
    for name, row in zip(plan.electrodes, eeg_ET, strict=True):
        data[wanted.index(name)] = row
    raw = mne.io.RawArray(data, mne.create_info(wanted, sfreq, "eeg"), verbose="error")
    raw.set_montage("colin27_1020", match_case=False, verbose="error")
    raw.info["bads"] = [name for name in wanted if name not in plan.electrodes]
    data = raw.interpolate_bads(verbose="error").get_data()
    rows = []
    for first, _, second in (canonical(name).partition("-") for name in montage.ch_names):
        rows.append(data[wanted.index(first)] - (data[wanted.index(second)] if second else 0.0))
    eeg_CT = np.array(rows)
    return (eeg_CT - eeg_CT.mean(axis=0) if montage.average else eeg_CT).astype(np.float32)
