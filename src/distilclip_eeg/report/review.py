"""The page on which the events of one recording are looked through: one HTML file that asks for nothing."""

import base64
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Protocol

import jinja2
import numpy as np

from distilclip_eeg.schema import NOTE

MOST_POINTS = 100_000
"""Of a curve; of a longer one the highest of some neighbours are shown."""
LEVELS = 65535
"""Steps of a probability."""
LEAST_STEP_UV = 0.1
"""Of the signal's 16 bits; larger where a channel is."""
ASSETS = "review.html", "review.css", "review.js"
SAFE = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})
"""So that no name within the JSON ends its element."""


class Strip(Protocol):
    """EEG without a gap: start in seconds, rate, names, microvolts (C, T)."""

    @property
    def start_s(self) -> float: ...  # noqa: D102
    @property
    def sfreq(self) -> float: ...  # noqa: D102
    @property
    def ch_names(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def uv_CT(self) -> np.ndarray: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class Reviewed:
    """What the page shows; seconds from the first sample."""

    title: str
    model: str
    threshold: float
    smooth_s: float
    start_s_N: np.ndarray
    probability_N: np.ndarray
    smoothed_N: np.ndarray
    hop_s: float
    stretches: Sequence[slice]
    """Windows without a gap between them."""
    events_E2: np.ndarray
    chance_E: np.ndarray
    """Mean probability of each event."""
    moment: tuple[float, float]
    """What is shown where there is no event."""
    gaps_G2: np.ndarray
    span_s: float
    recorded_s: float
    strips: Sequence[Strip]
    context_s: float
    """Of the signal beside an event, and the most that is kept of one."""
    longest_s: float
    warnings: Sequence[str]


def review_html(shown: Reviewed) -> bytes:
    """The page, the same bytes twice; every text in it is escaped, by jinja2 or within the JSON."""
    kept_E = kept(shown)
    page, style, script = assets()
    body = page.render(
        title=shown.title,
        model=shown.model,
        facts=facts(shown),
        warnings=shown.warnings,
        signal=signal_words(shown, kept_E),
        channels=len(shown.strips[0].ch_names) if shown.strips else 0,
        note=NOTE,
        style=style,
        script=script,
        data=json.dumps(payload(shown, kept_E), separators=(",", ":")).translate(SAFE),
    )
    return body.encode()


@lru_cache(maxsize=1)
def assets() -> tuple[jinja2.Template, str, str]:
    """Template, style and script, from the files beside this module."""
    folder = files("distilclip_eeg.report").joinpath("assets")
    page, style, script = (folder.joinpath(name).read_text(encoding="utf-8") for name in ASSETS)
    world = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return world.from_string(page), style, script


def facts(shown: Reviewed) -> str:
    """How much was recorded and found, in a sentence."""
    n, gaps = len(shown.events_E2), len(shown.gaps_G2)
    smoothed = f"smoothed over {shown.smooth_s:g} s" if shown.smooth_s else "of each window"
    rule = f"threshold {shown.threshold:g} on the probability {smoothed}"
    if math.isinf(shown.threshold):
        rule = "no threshold, so no event"
    count = f"{n} event{'' if n == 1 else 's'}"
    broken = f" with {gaps} gap{'' if gaps == 1 else 's'}" if gaps else ""
    return f"{count} in {clock(shown.recorded_s)} of recording{broken}; {rule}."


def signal_words(shown: Reviewed, kept_E: np.ndarray) -> str:
    """What of the EEG the page holds, and what it does not."""
    if not shown.strips:
        return "This page holds no EEG."
    n, n_kept, long = len(kept_E), int(kept_E.sum()), np.diff(shown.events_E2)[:, 0] > shown.longest_s
    around = "around each event" if n else "around the most probable moment, since there is no event"
    words = [
        f"EEG: {shown.strips[0].sfreq:g} samples a second in the model's channels, {shown.context_s:g} s "
        f"more {around}, filtered without delay."
    ]
    if n_kept < n:
        words.append(
            f"The page has room for {n_kept} of {n} events, the most probable ones; of the other "
            f"{n - n_kept} it holds no EEG, or not all."
        )
    if long.any():
        words.append(f"Of an event longer than {shown.longest_s:g} s the first {shown.longest_s:g} s.")
    return " ".join(words)


def clock(seconds: float) -> str:
    """``h:mm:ss``."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def kept(shown: Reviewed) -> np.ndarray:
    """Of which events the page holds all the signal that it would show at the most, (E,)."""
    runs: list[list[float]] = []
    for strip in shown.strips:
        end_s = strip.start_s + strip.uv_CT.shape[1] / strip.sfreq
        if runs and strip.start_s - runs[-1][1] < 2 / strip.sfreq:
            runs[-1][1] = end_s
        else:
            runs.append([strip.start_s, end_s])
    starts_R, ends_R = np.array(runs).reshape(-1, 2).T
    found_E = np.zeros(len(shown.events_E2), dtype=bool)
    for k, (onset, offset) in enumerate(shown.events_E2):
        end_s = min(offset, onset + shown.longest_s)
        found_E[k] = ((starts_R <= onset + 0.05) & (ends_R >= end_s - 0.05)).any()
    return found_E


def payload(shown: Reviewed, kept_E: np.ndarray) -> dict:
    """What the script reads: numbers in seconds, curves and signals as base64 of little-endian integers."""
    events = zip(shown.events_E2.tolist(), shown.chance_E.tolist(), kept_E.tolist(), strict=True)
    return {
        "span": shown.span_s,
        "threshold": None if math.isinf(shown.threshold) else shown.threshold,
        "curves": curves(shown),
        "events": [[on, off, round(chance, 4), int(has)] for (on, off), chance, has in events],
        "moment": list(shown.moment),
        "gaps": shown.gaps_G2.tolist(),
        "context": shown.context_s,
        "longest": shown.longest_s,
        "channels": list(shown.strips[0].ch_names) if shown.strips else [],
        "typical": typical(shown.strips),
        "strips": [packed(strip) for strip in shown.strips],
    }


def curves(shown: Reviewed) -> dict:
    """Both probabilities as 16 bits; each value holds for ``hop`` seconds from its place on.

    ``stretches`` has the start in seconds, the first value and one past the last of each without a gap.
    """
    every = math.ceil(len(shown.start_s_N) / MOST_POINTS)
    firsts = [np.arange(part.start, part.stop, every) for part in shown.stretches]
    places, n = [], 0
    for first_M in firsts:
        places.append([float(shown.start_s_N[first_M[0]]), n, n := n + len(first_M)])
    first_M = np.concatenate(firsts)  # of each part, so that no value is of two stretches
    raw_M, smoothed_M = (
        np.rint(np.maximum.reduceat(values_N, first_M) * LEVELS).astype("<u2")
        for values_N in (shown.probability_N, shown.smoothed_N)
    )
    return {
        "hop": shown.hop_s * every,
        "levels": LEVELS,
        "stretches": places,
        "raw": text_of(raw_M),
        "smoothed": text_of(smoothed_M),
    }


def typical(strips: Sequence[Strip]) -> float:
    """Microvolts that 95 % of the samples of a usual channel stay within: from it the gain to begin with."""
    found = [np.percentile(np.abs(strip.uv_CT), 95, axis=1) for strip in strips if strip.uv_CT.size]
    return round(float(np.median(found)), 1) if found else 0.0


def packed(strip: Strip) -> dict:
    """A strip as 16-bit steps, channel after channel; ``step`` has the microvolts of a step of each."""
    peak_C = np.abs(strip.uv_CT).max(axis=1, initial=0.0).astype(float)
    step_C = np.maximum(peak_C / 32767, LEAST_STEP_UV)
    steps_CT = np.rint(strip.uv_CT / step_C[:, None]).astype("<i2")
    return {
        "start": strip.start_s,
        "rate": strip.sfreq,
        "n": strip.uv_CT.shape[1],
        "step": step_C.tolist(),
        "data": text_of(steps_CT),
    }


def text_of(values: np.ndarray) -> str:
    """Base64."""
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode("ascii")
