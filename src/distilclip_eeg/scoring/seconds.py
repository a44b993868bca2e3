"""Second by second: how well a score tells seizure from the rest, by person, and inside mixed stretches.

Most stretches of an excerpt are wholly one or the other, so whatever knows where a second stands knows much
of its label. Areas inside the stretches that hold both classes stand beside the pooled ones for that reason.

Shape suffixes: N seconds (windows), U subjects, R resamples.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from distilclip_eeg.config.detection import DetectConfig
from distilclip_eeg.scoring.events.detect import deciding
from distilclip_eeg.scoring.events.operating import Part
from distilclip_eeg.scoring.events.spans import shared_s
from distilclip_eeg.scoring.metrics import ratio
from distilclip_eeg.scoring.uncertainty import Interval, bootstrap_subjects

KEY = ["recording", "second"]
COLUMNS = ["recording", "subject", "piece", "second", "label"]
AREAS = ("pooled", "mean", "mixed")
"""Over all seconds together, the mean of the subjects', over those of mixed stretches together."""


def second_table(part: Part, config: DetectConfig) -> pd.DataFrame:
    """A row a window: ``COLUMNS``, the model's ``probability``, and ``smoothed``, which decides.

    ``piece`` counts the stretches of a recording from 0; ``label`` is 1 where a window touches a seizure.
    """
    rows = []
    for reference in (r for r in part.references if r.recording in part.traces):
        trace = part.traces[reference.recording]
        window_N2 = np.column_stack([trace.start_s_N, trace.start_s_N + trace.length_s])
        piece_N = np.zeros(len(trace.start_s_N), int)
        for number, stretch in enumerate(trace.stretches):
            piece_N[stretch] = number
        rows.append(
            pd.DataFrame(
                {
                    "recording": reference.recording,
                    "subject": reference.subject,
                    "piece": piece_N,
                    "second": trace.start_s_N,
                    "label": (shared_s(window_N2, reference.track.events_E2) > 0).any(axis=1).astype(int),
                    "probability": trace.probability_N,
                    "smoothed": deciding(trace, config),
                }
            )
        )
    columns = [*COLUMNS, "probability", "smoothed"]
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=columns)


def mixed_N(table: pd.DataFrame) -> np.ndarray:
    """Whether each second lies in a stretch that holds both classes, (N,)."""
    return (table.groupby(["recording", "piece"])["label"].transform("nunique") > 1).to_numpy(bool)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Every pair of a seizure's second and a quiet one, counted by the subjects of both, (U, U) each.

    An area under the ROC curve of any subjects together, drawn once or several times, follows from these
    alone: with ``w`` draws of each it is ``w right w / w all w``.
    """

    right_UU: np.ndarray
    """Pairs in which the seizure's second has the higher score; equal ones count half."""
    all_UU: np.ndarray

    @classmethod
    def of(cls, label_N: np.ndarray, score_N: np.ndarray, who_N: np.ndarray, n_subjects: int) -> "Pairs":
        """Counted pairs; ``who_N`` is the number of each second's subject."""
        seizure_N = label_N == 1
        above_S, who_S = score_N[seizure_N], who_N[seizure_N]
        right, quiet = [], []
        for subject in range(n_subjects):
            below_Q = np.sort(score_N[~seizure_N & (who_N == subject)])
            beaten_S = sum(np.searchsorted(below_Q, above_S, side) for side in ("left", "right")) / 2
            right.append(np.bincount(who_S, weights=beaten_S, minlength=n_subjects))
            quiet.append(len(below_Q))
        seizure_U = np.bincount(who_S, minlength=n_subjects)
        return cls(np.column_stack(right), np.outer(seizure_U, quiet))

    def pooled(self, drawn_RUU: np.ndarray) -> np.ndarray:
        """The area over the seconds of all drawn subjects together, (...) of rows of ``eye`` (..., U, U)."""
        w = drawn_RUU.sum(axis=-2)
        right, everything = (
            np.einsum("...u,uv,...v->...", w, pairs, w) for pairs in (self.right_UU, self.all_UU)
        )
        return ratio(right, everything)

    def mean(self, drawn_RUU: np.ndarray) -> np.ndarray:
        """The mean of the areas of the drawn subjects that have both classes."""
        area_U = ratio(np.diagonal(self.right_UU), np.diagonal(self.all_UU))
        known_U = np.isfinite(area_U)
        w = drawn_RUU.sum(axis=-2)[..., known_U]
        return ratio((w * area_U[known_U]).sum(axis=-1), w.sum(axis=-1))


@dataclass(frozen=True, eq=False)
class Areas:
    """The three areas of one score."""

    statistics: dict[str, Callable[[np.ndarray], np.ndarray]]
    """By the name of the area: over drawn rows of ``eye`` (..., U, U)."""
    n_subjects: int

    @classmethod
    def of(cls, table: pd.DataFrame, score_N: np.ndarray) -> "Areas":
        """From a table of seconds and a score of each."""
        names, who_N = np.unique(table["subject"].to_numpy(), return_inverse=True)
        label_N, inside_N = table["label"].to_numpy(), mixed_N(table)
        whole = Pairs.of(label_N, score_N, who_N, len(names))
        mixed = Pairs.of(label_N[inside_N], score_N[inside_N], who_N[inside_N], len(names))
        return cls({"pooled": whole.pooled, "mean": whole.mean, "mixed": mixed.pooled}, len(names))

    def intervals(self, other: "Areas | None" = None) -> dict[str, Interval]:
        """Each area with its 95 % interval over subjects; or its difference to another score's, paired."""

        def less(name: str) -> Callable[[np.ndarray], np.ndarray]:
            own = self.statistics[name]
            theirs = None if other is None else other.statistics[name]
            return own if theirs is None else lambda drawn: own(drawn) - theirs(drawn)

        return {name: bootstrap_subjects(np.eye(self.n_subjects), less(name)) for name in AREAS}


def areas_row(row: str, found: dict[str, Interval]) -> dict[str, object]:
    """A row of a table: each area with ``_low`` and ``_high``, NaN where there are too few subjects."""
    values: dict[str, object] = {"row": row}
    for name, interval in found.items():
        values |= {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
    return values
