"""Threshold, release, least duration and merging, chosen on held-out background for a budget of alarms.

Never by F1 at a corpus's own prevalence: three quarters of an excerpt's windows are ictal, and the best F1
there put half of other persons' quiet time under alarm. The rule:

- within the budget are ``budget`` false alarms a day (SzCORE events) and ``budget_share`` of the time without
  seizure under alarm; where there is less than ``budget_hours`` without seizure, the share alone, since a
  rate cannot be told from so little;
- of each way to make events in ``GRID`` the lowest threshold is taken before the budget is first passed, from
  silence downward;
- of these the one that hits most of the seizures; then that finds more of their time; then the first
  of the grid that is not silence.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
from scipy.special import expit, logit

from distilclip_eeg.config.detection import DetectConfig, EventConfig
from distilclip_eeg.schema import DataError
from distilclip_eeg.scoring.calibration import fit
from distilclip_eeg.scoring.events.burden import SUMS, burden, burden_rates, by_person, total
from distilclip_eeg.scoring.events.counts import Counts
from distilclip_eeg.scoring.events.operating import Part, as_smoothed, candidates
from distilclip_eeg.scoring.events.spans import seconds
from distilclip_eeg.scoring.events.summary import SCORERS, SZCORE_EVENT
from distilclip_eeg.scoring.seconds import second_table

GRID: dict[str, tuple[float, ...]] = {
    "release": (1.0, 0.5),
    "min_duration_s": (2.0, 5.0, 10.0),
    "merge_gap_s": (0.0, 10.0),
}
"""What is tried where the settings leave it open; the release as a share of the threshold."""
STRIDE = 8
"""Thresholds are looked at in steps of so many, then one by one between the last two."""
TINY = 1e-9
"""Probabilities are this far from 0 and 1 where their log-odds are taken."""


@dataclass(frozen=True)
class Chosen:
    """How events are to be made, and what that rests on."""

    detect: DetectConfig
    basis: dict[str, Any]
    """``rule`` in words, hours without seizure, persons, recordings, seizures, and what came of them."""


@dataclass(frozen=True)
class Outcome:
    """What comes of a way to make events."""

    detect: DetectConfig
    sums_M: np.ndarray
    """As ``burden.SUMS``."""
    counts: Counts
    """SzCORE's; of no recording where the rate of false alarms does not matter."""

    @property
    def order(self) -> tuple[float, float, bool]:
        """What is better is greater: hits, then time of seizures found, then some alarm rather than none."""
        sums = dict(zip(SUMS, self.sums_M.tolist(), strict=True))
        return sums["hits"], round(sums["found_s"], 3), math.isfinite(self.detect.threshold)


def choose(validation: Part, config: EventConfig) -> Chosen:
    """Choose on recordings with the trace of a network that never saw them.

    Raises:
        DataError: ``no_validation``, or ``no_background``: nothing without seizure in it.
        ConfigError: a prior, and validation of one class, from which no prevalence can be told.
    """
    if not validation.traces:
        raise DataError(
            "threshold=validation: there is no held-out recording. Give a number.", reason="no_validation"
        )
    quiet_s = sum(r.track.recorded_s - seconds(r.track.events_E2) for r in validation.references)
    if not quiet_s > 0:
        raise DataError(
            "threshold=validation: the held-out recordings hold no second without seizure. Give a number.",
            reason="no_background",
        )
    told = quiet_s / 3600 >= config.budget_hours
    usual = config.with_threshold(math.inf, prevalence_of(validation))
    smoothed = validation.smoothed(usual)
    tried = [best_level(smoothed, as_smoothed(way), config, told) for way in ways(config, usual)]
    best = max(tried, key=lambda outcome: outcome.order)  # the first of the grid where equal
    detect = replace(best.detect, prior=usual.prior, smooth_s=usual.smooth_s)
    return Chosen(detect, basis_of(validation, detect, config, told))


def ways(config: EventConfig, usual: DetectConfig) -> list[DetectConfig]:
    """The grid without what the settings fix; each way at threshold 1, its release as a share of that."""
    fixed = {"min_duration_s": config.min_duration_s, "merge_gap_s": config.merge_gap_s}
    open_keys = {key: GRID[key] if value is None else (value,) for key, value in fixed.items()}
    releases = GRID["release"] if config.release is None else (config.release,)
    return [
        replace(
            usual, threshold=1.0, release=None if r == 1 else r, min_duration_s=least_s, merge_gap_s=gap_s
        )
        for r, least_s, gap_s in product(releases, open_keys["min_duration_s"], open_keys["merge_gap_s"])
    ]


def best_level(smoothed: Part, way: DetectConfig, config: EventConfig, told: bool) -> Outcome:
    """The lowest threshold within the budget, and what comes of it on a part that is ``smoothed``."""
    scorer = SCORERS[SZCORE_EVENT]
    levels = [
        t for t in candidates(smoothed.traces.values()) if config.release is None or t >= config.release
    ]
    seen: dict[int, Outcome] = {}

    def outcome(at: int) -> Outcome:
        if at not in seen:
            detect = way.at(levels[at]) if config.release is None else replace(way, threshold=levels[at])
            tracks = smoothed.detect(detect)
            pairs = [(r.track, tracks[r.recording]) for r in smoothed.references]
            counts = sum((scorer(*pair) for pair in pairs), Counts()) if told else Counts()
            seen[at] = Outcome(detect, total(burden(*pair) for pair in pairs), counts)
        return seen[at]

    # The time under alarm only grows as the level falls, so the share is found by halving.
    n = bisect_right(
        range(1, len(levels)),
        config.budget_share,
        key=lambda at: float(burden_rates(outcome(at).sums_M)["quiet_share"]),
    )
    if not told:
        return outcome(n)
    return outcome(last_within(n + 1, lambda at: not outcome(at).counts.rates["fp_per_24h"] > config.budget))


def last_within(n: int, within: Callable[[int], bool]) -> int:
    """The last of ``n`` levels, from the first, before one is not ``within``; the first always is.

    Looked at in steps, then one by one: false alarms fall again further down, where one long alarm takes all
    in, so nothing below the first crossing may be taken. One narrower than a step can be missed; the budget
    holds at what is returned all the same.
    """
    good, at = 0, 0
    while at < n - 1:
        at = min(at + STRIDE, n - 1)
        if not within(at):
            break
        good = at
    while good + 1 < at and within(good + 1):
        good += 1
    return good


def prevalence_of(validation: Part) -> float | None:
    """The prevalence at which the probabilities hold as they are; None where validation has one class."""
    table = second_table(validation, DetectConfig(smooth_s=0))
    return held_prevalence(table["label"].to_numpy(int), table["probability"].to_numpy(float))


def held_prevalence(label_N: np.ndarray, probability_N: np.ndarray) -> float | None:
    """The prevalence from which ``at_prior`` to that of ``label_N`` makes the mean probability right.

    A network learns the share of seizure in its training windows, roughly. How far its answers are off on
    validation, as a shift of log-odds (``scoring.calibration.fit``, kind ``prior``), says at which share they
    hold: the validation's own where nothing is off.
    """
    if len(np.unique(label_N)) < 2:
        return None
    odds_N = logit(np.clip(probability_N, TINY, 1 - TINY))
    shift = fit("prior", np.column_stack([np.zeros_like(odds_N), odds_N]), label_N).bias_K[1]
    return float(np.clip(expit(logit(label_N.mean()) - shift), TINY, 1 - TINY))


def basis_of(validation: Part, detect: DetectConfig, config: EventConfig, told: bool) -> dict[str, Any]:
    """What a choice rests on, for records, cards and pages."""
    tracks = validation.detect(detect)
    people = by_person(validation.references, tracks)
    sums_M = total(people.values())
    sums, rates = dict(zip(SUMS, sums_M.tolist(), strict=True)), burden_rates(sums_M)
    share_U = burden_rates(np.array(list(people.values())))["quiet_share"]
    scorer = SCORERS[SZCORE_EVENT]
    counts = sum((scorer(r.track, tracks[r.recording]) for r in validation.references), Counts())
    shares = [seconds(track.events_E2) / track.recorded_s for track in tracks.values()]
    return {
        "rule": rule_of(config, told),
        "quiet_hours": round(sums["quiet_s"] / 3600, 4),
        "persons": len(people),
        "recordings": len(validation.references),
        "windows": sum(len(trace.start_s_N) for trace in validation.traces.values()),
        "seizures": int(sums["seizures"]),
        "hits": int(sums["hits"]),
        "quiet_share": round(float(rates["quiet_share"]), 6),
        "quiet_share_by_person": [round(float(end(share_U)), 6) for end in (np.nanmin, np.nanmax)],
        "most_alarm": round(max(shares), 6),
        "false_alarms_per_24h": round(counts.rates["fp_per_24h"], 4),
    }


def rule_of(config: EventConfig, told: bool) -> str:
    """The budget in words."""
    share = f"{100 * config.budget_share:g} % of the time without seizure under alarm"
    if told:
        return f"at most {config.budget:g} false alarms a day (SzCORE events) and {share}"
    return f"at most {share}, since less than {config.budget_hours:g} h without seizure tell no rate"


def choose_window_level(
    label_N: np.ndarray, score_N: np.ndarray, config: EventConfig
) -> tuple[DetectConfig, dict[str, Any]]:
    """The same where no recording is kept whole: by the share of validation windows alone, none smoothed.

    Args:
        label_N: whether each window is ictal.
        score_N: its probability.

    Raises:
        DataError: ``no_background``.
    """
    quiet_N = np.sort(score_N[label_N == 0])[::-1]
    if not len(quiet_N):
        raise DataError("validation windows: none without seizure; expected some.", reason="no_background")
    prevalence = held_prevalence(label_N, score_N)
    detect = config.with_threshold(math.inf, prevalence)
    value_N, quiet_N = detect.calibrated(score_N), detect.calibrated(quiet_N)
    levels = lowest_first(value_N, config.release)
    inside = [t for t in levels if (quiet_N >= t).mean() <= config.budget_share]
    threshold = float(min(inside, default=math.inf))
    share = f"{100 * config.budget_share:g} % of the {len(quiet_N):,} validation windows without seizure"
    basis = {"rule": f"at most {share} at or above it, no recording being whole", "windows": len(label_N)}
    return replace(detect, threshold=threshold), basis


def lowest_first(value_N: np.ndarray, release: float | None) -> Sequence[float]:
    """Levels that occur and that an event can begin at, rising."""
    found = np.unique(value_N[value_N > 0])
    return (found if release is None else found[found >= release]).tolist()
