"""Sensitivity over 0.1 to 100 false alarms an hour, and its area.

Thresholds are swept over the tested recordings themselves, so a point is no promise: which threshold gives it
on other recordings is not known. Sensitivity at a rate is the highest before false alarms first pass it, from
silence downward; the area is its mean over the logarithm of the rate, from 0 to 1.

Shape suffixes: T thresholds, U subjects, M sums of ``burden``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from distilclip_eeg.config.detection import DetectConfig
from distilclip_eeg.scoring.events.burden import burden, burden_rates, by_person
from distilclip_eeg.scoring.events.operating import Part, as_smoothed, candidates
from distilclip_eeg.scoring.events.spans import Track
from distilclip_eeg.scoring.events.summary import Reference
from distilclip_eeg.scoring.events.trivial import ALWAYS, CHANCE, always_on, by_chance
from distilclip_eeg.scoring.uncertainty import bootstrap_subjects

RATES_PER_H = (0.1, 1.0, 10.0, 100.0)
"""False alarms an hour without seizure that are printed; the area goes from the first to the last."""
MOST_LEVELS = 100


@dataclass(frozen=True, eq=False)
class Sweep:
    """What comes of each threshold."""

    level_T: np.ndarray
    """Falling, the first one silence."""
    sums_UTM: np.ndarray
    """By subject, columns as ``burden.SUMS``."""

    def row(self, name: str) -> dict[str, object]:
        """Sensitivity at each rate and the area, with intervals over subjects, and the time under alarm."""
        values: dict[str, object] = {"row": name}
        eye_UU = np.eye(len(self.sums_UTM))
        for rate in RATES_PER_H:
            found = bootstrap_subjects(eye_UU, lambda drawn, r=rate: sensitivity_at(self.drawn(drawn), r))
            values |= {f"at_{rate:g}": found.value}
            values |= {f"at_{rate:g}_low": found.low, f"at_{rate:g}_high": found.high}
            point_M = self.sums_UTM.sum(axis=0)[self.best(rate)]
            values[f"quiet_share_at_{rate:g}"] = float(burden_rates(point_M)["quiet_share"])
        found = bootstrap_subjects(eye_UU, lambda drawn: area(self.drawn(drawn)))
        return values | {"area": found.value, "area_low": found.low, "area_high": found.high}

    def drawn(self, drawn_RUU: np.ndarray) -> np.ndarray:
        """Sums over drawn rows of ``eye``, (..., T, M)."""
        return np.einsum("...u,utm->...tm", drawn_RUU.sum(axis=-2), self.sums_UTM)

    def best(self, rate_per_h: float) -> int:
        """Which threshold has the sensitivity of a rate: the highest of those that have it."""
        sensitivity_T, false_T = steps(self.sums_UTM.sum(axis=0))
        inside = np.flatnonzero(~(false_T > rate_per_h))
        return int(inside[np.argmax(sensitivity_T[inside])])

    def points(self) -> pd.DataFrame:
        """A row a threshold: what ``burden_rates`` has of all subjects together."""
        rates = burden_rates(self.sums_UTM.sum(axis=0))
        return pd.DataFrame({"threshold": self.level_T, **rates})


def steps(sums_TM: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sensitivity and false alarms an hour that each threshold has reached, (..., T) each, never falling."""
    rates = burden_rates(sums_TM)
    return tuple(  # type: ignore[return-value]
        np.maximum.accumulate(rates[name], axis=-1) for name in ("sensitivity", "false_per_h")
    )


def sensitivity_at(sums_TM: np.ndarray, rate_per_h: float) -> np.ndarray:
    """The highest before false alarms first pass the rate, (...)."""
    sensitivity_T, false_T = steps(sums_TM)
    return np.where(false_T > rate_per_h, 0.0, sensitivity_T).max(axis=-1)


def area(sums_TM: np.ndarray) -> np.ndarray:
    """Mean sensitivity over the logarithm of the rate, between the ends of ``RATES_PER_H``, (...)."""
    sensitivity_T, false_T = steps(sums_TM)
    first, last = RATES_PER_H[0], RATES_PER_H[-1]
    at_T = np.log10(np.clip(false_T, first, last))
    until_T = np.concatenate([at_T[..., 1:], np.full((*at_T.shape[:-1], 1), np.log10(last))], axis=-1)
    return (sensitivity_T * (until_T - at_T)).sum(axis=-1) / np.log10(last / first)


def sweep(parts: Sequence[tuple[Part, DetectConfig]]) -> Sweep:
    """All tested recordings at one threshold after another, the same one in every fold.

    Args:
        parts: recordings, and how else events are made of them; the release keeps its share of the threshold.
    """
    smoothed = [(part.smoothed(detect), as_smoothed(detect)) for part, detect in parts]
    levels = candidates([t for part, _ in smoothed for t in part.traces.values()], MOST_LEVELS)
    references = [r for part, _ in smoothed for r in part.references if r.recording in part.traces]
    found = []
    for level in levels:
        tracks = {k: v for part, detect in smoothed for k, v in part.detect(detect.at(level)).items()}
        found.append(subject_sums(references, tracks))
    return Sweep(np.array(levels), np.stack(found, axis=1))


def subject_sums(references: Sequence[Reference], tracks: dict[str, Track]) -> np.ndarray:
    """Sums of ``burden`` by subject, in the order of their names, (U, M)."""
    return np.array(list(by_person(references, tracks).values()))


def always_sweep(references: Sequence[Reference]) -> Sweep:
    """Silence, and an alarm that is always on; there is nothing between."""
    found = []
    for events in (lambda t: Track(np.zeros((0, 2)), t.recorded_P2), always_on):
        found.append(subject_sums(references, {r.recording: events(r.track) for r in references}))
    return Sweep(np.array([np.inf, 0.0]), np.stack(found, axis=1))


def curve_rows(model: Sweep, position: Sweep, parts: Sequence[tuple[Part, DetectConfig]]) -> pd.DataFrame:
    """A row each: the model, always on, the model's alarms of each rate shifted, position only.

    Args:
        parts: those of the model's sweep.
    """
    references = [r for part, _ in parts for r in part.references if r.recording in part.traces]
    rows = [model.row("model"), always_sweep(references).row(ALWAYS)]
    chance: dict[str, object] = {"row": CHANCE}
    for rate in RATES_PER_H:
        level = model.level_T[model.best(rate)]
        tracks = {k: v for part, detect in parts for k, v in part.detect(detect.at(level)).items()}
        rates = burden_rates(chance_sums(references, tracks).sum(axis=0))
        chance |= {f"quiet_share_at_{rate:g}": rates["quiet_share"].mean()}
        chance |= spread(f"at_{rate:g}", rates["sensitivity"])
    rows += [chance, position.row("position only")]
    return pd.DataFrame(rows)


def chance_sums(references: Sequence[Reference], tracks: dict[str, Track]) -> np.ndarray:
    """Sums of ``burden`` of shifted alarms, by recording and draw, (recordings, draws, M)."""
    return np.array(
        [
            [burden(r.track, t) for t in by_chance(r.track, tracks[r.recording], r.recording)]
            for r in references
        ]
    )


def spread(name: str, value_D: np.ndarray) -> dict[str, float]:
    """Mean over draws, and the range that holds 95 % of them."""
    known = value_D[np.isfinite(value_D)]
    if not len(known):
        return {name: np.nan, f"{name}_low": np.nan, f"{name}_high": np.nan}
    low, high = np.quantile(known, [0.025, 0.975])
    return {name: float(known.mean()), f"{name}_low": float(low), f"{name}_high": float(high)}
