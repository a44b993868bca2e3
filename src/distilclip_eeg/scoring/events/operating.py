"""Sensitivity at so many false alarms per 24 h: threshold from validation recordings, score from others."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile

import numpy as np
import pandas as pd

from distilclip_eeg.config.detection import DetectConfig
from distilclip_eeg.schema import DataError
from distilclip_eeg.scoring.events.counts import Counts
from distilclip_eeg.scoring.events.detect import Trace, deciding, events_from_probability
from distilclip_eeg.scoring.events.spans import Track
from distilclip_eeg.scoring.events.summary import (
    SCORERS,
    SZCORE_EVENT,
    Reference,
    Scores,
    combine,
    overall,
    score,
)

TARGETS_PER_24H = (1.0, 5.0, 10.0)
MOST_THRESHOLDS = 200


@dataclass(frozen=True)
class Part:
    """Recordings with what is known of them and what a model says."""

    references: Sequence[Reference]
    traces: Mapping[str, Trace]
    """By name of recording."""

    def detect(self, config: DetectConfig) -> dict[str, Track]:
        """Events of every trace."""
        return {name: events_from_probability(trace, config) for name, trace in self.traces.items()}

    def smoothed(self, config: DetectConfig) -> "Part":
        """The same at the prior and smoothed, which does not depend on the threshold."""
        traces = {
            name: replace(trace, probability_N=np.clip(deciding(trace, config), 0, 1))
            for name, trace in self.traces.items()
        }
        return replace(self, traces=traces)

    def only(self, names: Iterable[str]) -> "Part":
        """The recordings of these names."""
        kept = set(names)
        traces = {name: trace for name, trace in self.traces.items() if name in kept}
        return Part([r for r in self.references if r.recording in kept], traces)


@dataclass(frozen=True)
class OperatingPoint:
    """A threshold for a rate of false alarms, and what came of it."""

    target_per_24h: float
    threshold: float
    """``inf`` where only silence meets the target."""
    scorer: str
    """The one whose false alarms and hits are meant; it chose the threshold."""
    validation: Counts
    """Of all validation recordings together; its rate is at most the target."""
    test: Scores
    """Its rate may be above the target or below: the threshold never saw it."""


def operating_points(
    validation: Part,
    test: Part,
    config: DetectConfig,
    targets_per_24h: Sequence[float] = TARGETS_PER_24H,
    scorer: str = SZCORE_EVENT,
) -> list[OperatingPoint]:
    """Scores of the test recordings at the thresholds that keep validation within each target.

    Of ``config`` everything but the threshold is used.

    Raises:
        DataError: ``shared_recordings`` where a recording is in both parts; ``unscored`` where a validation
            recording cannot be scored, or nothing was recorded: a threshold would rest on half of them.
    """
    names = [{r.recording for r in part.references} | set(part.traces) for part in (validation, test)]
    if shared := sorted(names[0] & names[1]):
        raise DataError(
            f"{shared[0]}: in validation and test, with {len(shared) - 1} more; expected different "
            "recordings. A threshold chosen on what it is tested on is no estimate.",
            reason="shared_recordings",
        )
    curve = validation_curve(validation, config, max(targets_per_24h), scorer)
    points = []
    for target in targets_per_24h:
        *_, (threshold, counts) = takewhile(lambda c: c[1].rates["fp_per_24h"] <= target, curve)
        tracks = test.detect(config.at(threshold))
        points.append(OperatingPoint(target, threshold, scorer, counts, score(test.references, tracks)))
    return points


def validation_curve(
    part: Part, config: DetectConfig, most_per_24h: float, scorer: str
) -> list[tuple[float, Counts]]:
    """Thresholds from no alarm downward, with the counts they give, until false alarms pass ``most_per_24h``.

    The walk stops at the first crossing, because the rate falls again further down: a detector that is
    always on has one alarm, which hits.

    Raises:
        DataError: as :func:`operating_points`.
    """
    part, config = part.smoothed(config), as_smoothed(config)
    _check_scorable(part, config)
    curve = []
    for threshold in candidates(part.traces.values()):
        tracks = part.detect(config.at(threshold))
        each = (SCORERS[scorer](r.track, tracks[r.recording]) for r in part.references)
        curve.append((threshold, sum(each, Counts())))
        if curve[-1][1].rates["fp_per_24h"] > most_per_24h:
            break
    return curve


def _check_scorable(part: Part, config: DetectConfig) -> None:
    """What covers a recording does not depend on the threshold, so silence shows what cannot be scored."""
    unscored = score(part.references, part.detect(config.at(math.inf))).unscored
    if len(unscored):
        first = unscored.iloc[0]
        raise DataError(
            f"{first['recording']}: {first['words']}. Expected all validation recordings, {len(unscored)} "
            "cannot be scored. Score them, or leave them out of validation.",
            reason="unscored",
        )
    if not sum(r.track.recorded_s for r in part.references) > 0:
        raise DataError(
            "validation: no recorded time; expected some. A threshold needs recordings to be chosen on.",
            reason="unscored",
        )


def as_smoothed(config: DetectConfig) -> DetectConfig:
    """What is left to do with a part that is ``smoothed``."""
    return replace(config, smooth_s=0.0, prior=None)


def candidates(traces: Iterable[Trace], most: int = MOST_THRESHOLDS) -> list[float]:
    """Falling thresholds to try: ``inf``, then values that occur, densest at the top where alarms are few."""
    found = [trace.probability_N for trace in traces]
    values_V = np.unique(np.concatenate(found) if found else np.zeros(0))[::-1]
    values_V = values_V[values_V > 0]
    at = np.unique(np.geomspace(1, max(len(values_V), 1), most).round().astype(int)) - 1
    return [np.inf, *(values_V[at].tolist() if len(values_V) else ())]


def operating_rows(points: Sequence[OperatingPoint]) -> pd.DataFrame:
    """One row a target: thresholds, the rate on validation, and the scorer's row of ``overall`` on test.

    Points of several folds with the same target share a row; each fold keeps its own threshold.
    """
    rows = []
    for target in dict.fromkeys(point.target_per_24h for point in points):
        of_target = [point for point in points if point.target_per_24h == target]
        table = overall(combine(point.test for point in of_target))
        scorer = of_target[0].scorer
        table = table[table["scorer"] == scorer] if len(table) else table
        validation = sum((point.validation for point in of_target), Counts())
        rows.append(
            {
                "target_per_24h": target,
                "thresholds": " ".join(f"{point.threshold:.3g}" for point in of_target),
                "validation_hours": validation.seconds / 3600,
                "validation_fp_per_24h": validation.rates["fp_per_24h"],
                "validation_sensitivity": validation.rates["sensitivity"],
                **(table.iloc[0] if len(table) else {"scorer": scorer}),
            }
        )
    return pd.DataFrame(rows)
