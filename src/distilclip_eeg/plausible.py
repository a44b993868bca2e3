"""Whether a recording can be what it says it is: its amplitude and its sampling rate, judged in one place.

``check``, ``prepare``, ``train`` and ``detect`` all ask here, in this order and with these words, so that
what one of them refuses none of the others reads.

Where the limits of amplitude come from: of 75 recordings of CHB-MIT, 12 excerpts of intensive care, a
neonatal burst-suppression and 12 files of other readers' tests, the median channel moves by 7 to 960 uV
within the median second, except for one excerpt of electrode artefact with 10 mV. Stored in millivolts under
the label uV the largest of them is below 1 uV, in volts a thousand times lower. Below 2 uV an EEG counts as
silent (ACNS, J Clin Neurophysiol 2016; 33:320), and the noise of an amplifier alone exceeds 1 uV within a
second.
"""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from distilclip_eeg.schema import DataError, SkipRecording

LARGEST_V = 0.01
"""Half of a channel further than 10 mV from its median is no scalp EEG, the unit is wrong."""
SMALLEST_V = 1e-6
"""The median channel moves by less within its median second: no scalp EEG, the unit is wrong."""


def check_amplitude(name: str, channels: Sequence[str], spread_C: np.ndarray, swing_C: np.ndarray) -> None:
    """Refuse a signal whose size no scalp EEG has: its unit is not the one it names.

    Args:
        name: of the recording.
        channels: their names, C of them.
        spread_C: median distance from the median, volts.
        swing_C: lowest to highest value within the median second, volts; NaN where a channel never changes.

    Raises:
        DataError: ``implausible_amplitude``.
    """
    found = ""
    if (spread_C > LARGEST_V).any():
        worst = int(np.argmax(spread_C))
        found = f"{channels[worst]} varies by {spread_C[worst]:.3g} V"
    elif np.isfinite(swing_C).any() and (swing := float(np.nanmedian(swing_C))) < SMALLEST_V:
        found = f"the median channel moves by {swing * 1e6:.2g} uV within a second"
    if found:
        raise DataError(
            f"{name}: {found}; expected microvolts to millivolts. Mend the unit field.",
            reason="implausible_amplitude",
        )


def grid(sfreq_in: float, sfreq_out: float) -> Fraction | None:
    """``sfreq_out / sfreq_in`` as an exact fraction of small numbers; None where it is none."""
    exact = Fraction(sfreq_out).limit_denominator(1000) / Fraction(sfreq_in).limit_denominator(1000)
    return exact if abs(float(exact) - sfreq_out / sfreq_in) <= 1e-9 else None


def check_rate(name: str, sfreq: float, h_freq: float | None, target: float) -> None:
    """Refuse a rate that does not hold the band asked for, or from which no exact grid leads to the target.

    Args:
        name: of the recording.
        sfreq: its rate, Hz.
        h_freq: upper end of the band, Hz; None: half of ``target``.
        target: the rate after resampling, Hz.

    Raises:
        SkipRecording: ``low_rate``, ``bad_sampling_rate``.
    """
    highest = h_freq or target / 2
    if sfreq < 2 * highest:
        raise SkipRecording(
            f"{name}: sampled at {sfreq:g} Hz, it holds nothing above {sfreq / 2:g} Hz; expected at least "
            f"{2 * highest:g} Hz for a band up to {highest:g} Hz. Use a recording of a higher rate, or train "
            "with a lower signals.h_freq.",
            reason="low_rate",
        )
    if sfreq <= 0 or grid(sfreq, target) is None:
        raise SkipRecording(
            f"{name}: sampled at {sfreq:.9g} Hz, from which no exact grid leads to signals.sfreq={target:g}; "
            "expected a ratio of small whole numbers. Export it at a usual rate, or leave it out.",
            reason="bad_sampling_rate",
        )
