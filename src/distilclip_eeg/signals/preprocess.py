"""Filter and resample one recording: volts in, microvolts out, nothing shifted in time.

Each piece (stretch without a gap) is handled alone. The zero-phase path multiplies one FFT of the
piece by the transfer function of a linear-phase FIR filter and takes the inverse FFT at the new
length, so filtering and resampling cost one FFT pair and the time grid is exact: the padded length
is a multiple of the resampling denominator. (mne's default FFT resampling shifts a recording by up
to 2.3 ms because its padded length is not.)
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import mne
import numpy as np
from scipy import fft, signal

from distilclip_eeg.config.data import SignalConfig
from distilclip_eeg.plausible import grid
from distilclip_eeg.schema import ConfigError, Recording

FLAT_UV = 0.1
"""A channel whose SD stays below this is called flat: no electrode is that quiet."""
AMPLITUDE_UV = 500.0
"""Seconds whose signal exceeds this are counted as suspicious; scalp EEG rarely does."""

BLOCK_S = 256.0
"""Least seconds of signal that are filtered at a time; with the filter's skirts about 12 % are read twice."""
SKIRT = 1024
"""Samples beyond the filter's reach that a block sees: a change of rate cuts the spectrum, which rings."""
TOGETHER = 4
"""Channels that are transformed at once; their block stays in the cache."""


@dataclass(frozen=True)
class CleanPiece:
    """A filtered, resampled piece."""

    start_s: float
    uv_CT: np.ndarray
    """Microvolts, float32."""
    short_for_filter: bool
    """Shorter than the filter's kernel: its slow rhythms rest on the mirrored edges."""
    clipped: int
    """Samples beyond ``clip_uv``."""


def preprocess(recording: Recording, config: SignalConfig) -> list[CleanPiece]:
    """Band-pass, notch, resample and clip every piece of ``recording`` (paper, Sec. IV-B).

    Raises:
        ConfigError: the new rate cannot be reached on an exact grid, see :func:`ratio`.
    """
    pieces = []
    for piece in recording.pieces:
        uv = piece.eeg_CT * np.float32(1e6)
        short = False
        if config.phase == "causal":
            uv, _ = causal(uv, recording.sfreq, config)
        elif is_local(recording.sfreq, config):
            uv, short = zero_phase_of_any_length(uv, recording.sfreq, config)
        else:
            uv, short = zero_phase(uv, recording.sfreq, config)
        pieces.append(CleanPiece(piece.start_s, uv, short, clip(uv, config)))
    return pieces


def clip(uv_CT: np.ndarray, config: SignalConfig) -> int:
    """Set samples beyond ``clip_uv`` to it, in place; how many there were."""
    limit = config.clip_uv
    if not limit or not uv_CT.size or max(uv_CT.max(), -uv_CT.min()) <= limit:
        return 0
    clipped = int((np.abs(uv_CT) > limit).sum())
    np.clip(uv_CT, -limit, limit, out=uv_CT)
    return clipped


@lru_cache(maxsize=8)
def fir(sfreq: float, l_freq: float | None, h_freq: float | None, notch_hz: float | None) -> np.ndarray:
    """Taps of the linear-phase filter, odd length; mne's design (33 s long for 0.1 Hz).

    An edge that is None, or at half of ``sfreq`` or above, is left out; without any the one tap is 1.
    """
    high = None if h_freq is None or h_freq >= sfreq / 2 else h_freq
    taps = np.ones(1)
    if l_freq or high:
        taps = mne.filter.create_filter(None, sfreq, l_freq or None, high, phase="zero", verbose="error")
    if notch_hz and notch_hz + 1 < sfreq / 2:  # a slower file does not hold the mains
        stop = mne.filter.create_filter(
            None,
            sfreq,
            notch_hz + 1.0,
            notch_hz - 1.0,
            l_trans_bandwidth=0.5,
            h_trans_bandwidth=0.5,
            phase="zero",
            verbose="error",
        )
        taps = np.convolve(taps, stop)
    return taps


def ratio(sfreq_in: float, sfreq_out: float) -> Fraction:
    """``sfreq_out / sfreq_in`` as an exact fraction of small numbers.

    Raises:
        ConfigError: it is none, so that no grid of the new rate meets the old one's seconds.
    """
    exact = grid(sfreq_in, sfreq_out)
    if exact is None:
        raise ConfigError(
            f"signals.sfreq={sfreq_out} cannot be reached from {sfreq_in} Hz on an exact grid; "
            "choose a rate whose ratio is a fraction of whole numbers."
        )
    return exact


def n_resampled(n: int, change: Fraction) -> int:
    """Samples of the new grid before the end of ``n`` old ones: a whole second stays a whole second."""
    return math.ceil(n * change)


def zero_phase(uv_CT: np.ndarray, sfreq: float, config: SignalConfig) -> tuple[np.ndarray, bool]:
    """Filter and resample without delay; edges are mirrored with odd symmetry.

    Args:
        uv_CT: microvolts of one piece, float32.
        sfreq: its rate, Hz.

    Returns:
        Microvolts (C, T') at ``config.sfreq``, float32; and whether the piece is shorter than the filter.
    """
    taps = fir(sfreq, config.l_freq, config.h_freq, config.notch_hz)
    change = ratio(sfreq, config.sfreq)
    if len(taps) == 1 and change == 1:  # ready-made windows: nothing to do but the mean
        return uv_CT - uv_CT.mean(axis=1, keepdims=True), False
    up, down = change.numerator, change.denominator
    n = uv_CT.shape[1]
    half = (len(taps) - 1) // 2
    left = -(-half // down) * down  # a multiple of `down`, so that sample 0 falls on the new grid
    length = fft.next_fast_len(-(-(left + n + half) // down), real=True) * down
    new_length = length * up // down
    response = transfer(taps, length, new_length)
    first, n_out = left * up // down, n_resampled(n, change)
    out = np.empty((len(uv_CT), n_out), np.float32)
    for row, x in zip(out, uv_CT, strict=True):
        padded = (
            np.pad(x - x.mean(), (left, length - left - n), mode="reflect", reflect_type="odd")
            if n > 1
            else np.zeros(length, np.float32)
        )
        row[:] = filtered(padded, response, new_length)[first : first + n_out]
    return out, n < len(taps)


def is_local(sfreq: float, config: SignalConfig) -> bool:
    """Whether the filter alone, and no cut of the spectrum, says how far a sample reaches.

    A change of rate cuts it at half of the slower one; only behind a low-pass there is nothing to be cut.
    """
    nyquist = min(sfreq, config.sfreq) / 2
    if sfreq == config.sfreq:
        return len(fir(sfreq, config.l_freq, config.h_freq, config.notch_hz)) > 1
    return config.h_freq is not None and 1.25 * config.h_freq + 2 <= nyquist


def zero_phase_of_any_length(
    uv_CT: np.ndarray, sfreq: float, config: SignalConfig
) -> tuple[np.ndarray, bool]:
    """:func:`zero_phase`, and of what is longer than a block the same to 1e-6 of its size, in half the time.

    Transforms of a whole recording leave the cache; those of a block do not.
    """
    n = uv_CT.shape[1]
    blocks = zero_phase_blocks(lambda low, high: uv_CT[:, low:high], n, uv_CT.mean(axis=1), sfreq, config)
    out_CT, at = np.empty((len(uv_CT), n_resampled(n, ratio(sfreq, config.sfreq))), np.float32), 0
    for block in blocks:
        out_CT[:, at : at + block.shape[1]] = block
        at += block.shape[1]
    return out_CT, n < len(fir(sfreq, config.l_freq, config.h_freq, config.notch_hz))


def zero_phase_blocks(
    read: Callable[[int, int], np.ndarray],
    n: int,
    mean_C: np.ndarray,
    sfreq: float,
    config: SignalConfig,
    block_s: float = BLOCK_S,
) -> Iterator[np.ndarray]:
    """:func:`zero_phase` of a piece of ``n`` samples by overlap-save, one (C, T) after the other.

    Args:
        read: microvolts (C, stop - start) of the piece, for any ``start`` and ``stop`` inside it.
        mean_C: of each channel over the whole piece, which the filter leaves out.
    """
    taps = fir(sfreq, config.l_freq, config.h_freq, config.notch_hz)
    change = ratio(sfreq, config.sfreq)
    up, down = change.numerator, change.denominator
    side = -(-(len(taps) // 2 + SKIRT) // down) * down  # a multiple of `down`: blocks begin on the new grid
    length = fft.next_fast_len(-(-(2 * side + round(block_s * sfreq)) // down), real=True) * down
    step, new_length = length - 2 * side, length * up // down
    if n <= step + side:
        yield zero_phase(read(0, n), sfreq, config)[0]
        return
    response, n_out, first = transfer(taps, length, new_length), n_resampled(n, change), side * up // down
    for start in range(0, n, step):
        low, high = max(0, start - side), min(n, start + step + side)
        beyond = low - (start - side), start + step + side - high
        at = start * up // down
        x_CT = read(low, high) - mean_C[:, None].astype(np.float32)
        if any(beyond):
            x_CT = np.pad(x_CT, ((0, 0), beyond), mode="reflect", reflect_type="odd")
        # A few channels at once: short transforms side by side are twice as fast as one after the other.
        rows = range(0, len(x_CT), TOGETHER)
        out_CT = np.concatenate([filtered(x_CT[k : k + TOGETHER], response, new_length) for k in rows])
        yield out_CT[:, first : first + min(step * up // down, n_out - at)]


def transfer(taps: np.ndarray, length: int, new_length: int) -> np.ndarray:
    """What multiplies the spectrum of ``length`` samples to filter and bring them to ``new_length``.

    Complex64, (F,), of the frequencies that both lengths have; linear phase taken out.
    """
    half = (len(taps) - 1) // 2
    centred = np.zeros(length)
    centred[: half + 1] = taps[half:]
    centred[length - half :] = taps[:half]
    keep = min(length, new_length) // 2 + 1
    return (fft.rfft(centred)[:keep] * (new_length / length)).astype(np.complex64)


def filtered(x_CT: np.ndarray, response: np.ndarray, new_length: int) -> np.ndarray:
    """Signals along the last axis, as if each went round in a ring, filtered and resampled.

    Args:
        response: from :func:`transfer` of the same lengths.
    """
    return fft.irfft(fft.rfft(x_CT)[..., : len(response)] * response, new_length)


def causal(uv_CT: np.ndarray, sfreq: float, config: SignalConfig) -> tuple[np.ndarray, bool]:
    """Filter with the past only; a change of rate adds a look-ahead below 50 ms.

    Arguments and results as of :func:`zero_phase`; no piece is short for this filter.
    """
    x = uv_CT.astype(np.float64)
    for sos in causal_sections(sfreq, config):
        x, _ = signal.sosfilt(sos, x, axis=1, zi=settled(sos, x))
    change = ratio(sfreq, config.sfreq)
    if change != 1:
        x = signal.resample_poly(x, change.numerator, change.denominator, axis=1)
        assert x.shape[1] == n_resampled(uv_CT.shape[1], change)
    return x.astype(np.float32), False


def causal_sections(sfreq: float, config: SignalConfig) -> list[np.ndarray]:
    """The causal filter: second-order sections of high-pass, low-pass and notch, one after the other.

    Butterworth of order 4, (2, 6) each, and a notch of (1, 6); edges at half of ``sfreq`` or above are left
    out.
    """
    edges = [(config.l_freq, "highpass"), (config.h_freq, "lowpass")]
    sections = [
        signal.butter(4, edge, kind, fs=sfreq, output="sos")
        for edge, kind in edges
        if edge and edge < sfreq / 2
    ]
    if config.notch_hz and config.notch_hz + 1 < sfreq / 2:
        sections.append(signal.tf2sos(*signal.iirnotch(config.notch_hz, config.notch_hz, fs=sfreq)))
    return sections


def settled(sos: np.ndarray, x_CT: np.ndarray) -> np.ndarray:
    """State of a filter before ``x_CT``, as if its first value had always stood; (sections, C, 2)."""
    return signal.sosfilt_zi(sos)[:, None, :] * x_CT[None, :, :1]
