"""How the events of each fold were made, and on how much background that rests."""

from collections.abc import Mapping
from textwrap import fill
from typing import Any

import numpy as np

from distilclip_eeg.config.detection import DetectConfig
from distilclip_eeg.report.columns import aligned

WIDTH = 100


def budget_lines(detect: Mapping[int, DetectConfig], basis: Mapping[int, dict[str, Any]]) -> list[str]:
    """A line a fold: threshold, release, least duration, merging; and what held-out recordings had of it.

    Args:
        basis: ``made.threshold`` of an export or ``budget.Chosen.basis``; empty where the threshold is given.
    """
    values = " ".join(f"{made.threshold:.3g}" for made in detect.values())
    known = {fold: said for fold, said in basis.items() if said}
    if not known:
        made = next(iter(detect.values()))
        ends = f"release {made.threshold if made.release is None else made.release:g}"
        return [
            f"thresholds by fold, given: {values}; {ends}, events of {made.min_duration_s:g} s or more, "
            f"less than {made.merge_gap_s:g} s apart are one"
        ]
    head = ["fold", "threshold", "release", "least", "join", "quiet h", "people", "hits", "quiet %"]
    head += ["by person", "false/24 h"]
    body = []
    for fold, made in detect.items():
        said = basis.get(fold, {})
        release = made.threshold if made.release is None else made.release
        body.append(
            [str(fold), f"{made.threshold:.3g}", f"{release:.3g}", f"{made.min_duration_s:g}"]
            + [f"{made.merge_gap_s:g}", *rests_on(said)]
        )
    rules = list(dict.fromkeys(said.get("rule", "") for said in known.values()))
    lines = [f"thresholds by fold, chosen on held-out recordings: {values}", aligned(head, body, 1)]
    lines += [fill(f"budget: {rule}", WIDTH) for rule in rules if rule]
    lines.append(
        fill(
            "held-out, and on the right what they had: the fold's validation recordings and what other folds "
            "test or validate on, each with the trace of a network that never saw it, nobody whom the fold "
            "tests; quiet: without seizure",
            WIDTH,
        )
    )
    return lines


def rests_on(said: Mapping[str, Any]) -> list[str]:
    """Cells of what held-out recordings had; ``-`` where that is not known."""
    if "quiet_hours" not in said:
        return ["-"] * 6
    low, high = said["quiet_share_by_person"]
    rate = said["false_alarms_per_24h"]
    return [
        f"{said['quiet_hours']:.2f}",
        f"{said['persons']}",
        f"{said['hits']} of {said['seizures']}",
        f"{100 * said['quiet_share']:.1f}",
        f"{100 * low:.0f} to {100 * high:.0f}",
        "-" if np.isnan(rate) else f"{rate:.1f}",
    ]
