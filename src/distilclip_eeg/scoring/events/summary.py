"""Scores of many recordings: summed by subject, pooled, averaged over subjects, with what is missing."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass

import numpy as np
import pandas as pd

from distilclip_eeg.schema import DataError
from distilclip_eeg.scoring.events import nedc, szcore
from distilclip_eeg.scoring.events.counts import RATES, SUMS, Counts, rates
from distilclip_eeg.scoring.events.latency import causal_latencies, latencies, summarise
from distilclip_eeg.scoring.events.spans import Track
from distilclip_eeg.scoring.uncertainty import Interval, bootstrap_subjects

Scorer = Callable[[Track, Track], Counts]

SZCORE_EVENT, SZCORE_SAMPLE = (f"SzCORE {kind} ({szcore.LIBRARY})" for kind in ("event", "sample"))
NEDC_OVLP, NEDC_TAES = "NEDC OVLP", "NEDC TAES"
SCORERS: Mapping[str, Scorer] = {
    SZCORE_EVENT: szcore.event_counts,
    SZCORE_SAMPLE: szcore.sample_counts,
    NEDC_OVLP: nedc.ovlp,
    NEDC_TAES: nedc.taes,
}
"""By the name printed with every number."""

LATENCIES = {"onset latency": latencies, "causal onset latency": causal_latencies}


@dataclass(frozen=True)
class Reference:
    """What is known of one recording."""

    recording: str
    subject: str
    track: Track


@dataclass(frozen=True)
class Scores:
    """Scored recordings, and those that could not be."""

    counts: pd.DataFrame
    """recording, subject, scorer, tp, fp, fn, seconds."""
    latency: pd.DataFrame
    """recording, subject, kind, latency_s: one row a seizure and kind, NaN where it was missed."""
    unscored: pd.DataFrame
    """recording, subject, reason, words; in no figure, to be shown beside each."""


def score(
    references: Sequence[Reference],
    hypotheses: Mapping[str, Track],
    scorers: Mapping[str, Scorer] = SCORERS,
    latency_of: Mapping[str, Callable[[Track, Track], np.ndarray]] = LATENCIES,
) -> Scores:
    """Score every recording that has a hypothesis of the right length, and list all others.

    Args:
        hypotheses: by name of recording.
        latency_of: seconds of each seizure, by the name of their kind.

    Returns:
        Scores; ``unscored`` names each recording with ``missing_hypothesis`` or ``wrong_length``, and each
        hypothesis of a recording that is not among the references (``unknown_recording``).

    Raises:
        DataError: ``duplicate_recording`` where two references have one name.
    """
    counts, latency, unscored, known = [], [], [], set()
    for reference in references:
        who = (reference.recording, reference.subject)
        if reference.recording in known:
            raise DataError(
                f"{reference.recording}: two references; expected one. Give each recording its own name.",
                reason="duplicate_recording",
            )
        known.add(reference.recording)
        if reference.recording not in hypotheses:
            unscored.append((*who, "missing_hypothesis", "no hypothesis was given"))
            continue
        tracks = reference.track, hypotheses[reference.recording]
        try:
            counts += [(*who, name, *astuple(scorer(*tracks))) for name, scorer in scorers.items()]
        except DataError as error:
            unscored.append((*who, error.reason, str(error)))
            continue
        for kind, seconds_of in latency_of.items():
            latency += [(*who, kind, value) for value in seconds_of(*tracks)]
    for recording in sorted(set(hypotheses) - known):
        unscored.append((recording, "", "unknown_recording", "no reference was given"))
    return Scores(
        pd.DataFrame(counts, columns=["recording", "subject", "scorer", *SUMS]),
        pd.DataFrame(latency, columns=["recording", "subject", "kind", "latency_s"]),
        pd.DataFrame(unscored, columns=["recording", "subject", "reason", "words"]),
    )


def combine(parts: Iterable[Scores]) -> Scores:
    """Scores of several folds as one; each recording is tested in one of them."""
    parts = list(parts)

    def joined(name: str) -> pd.DataFrame:
        tables = [getattr(part, name) for part in parts]
        return pd.concat([t for t in tables if len(t)] or tables[:1], ignore_index=True)

    return Scores(joined("counts"), joined("latency"), joined("unscored"))


def by_subject(scores: Scores) -> pd.DataFrame:
    """One row a scorer and subject: recordings, unscored, hours, sums, and the rates made of the sums.

    A subject without any scored recording has a row too, with NaN rates.
    """
    rows = []
    subjects = sorted({*scores.counts["subject"], *scores.unscored["subject"]} - {""})
    unscored = scores.unscored["subject"].value_counts()
    for scorer in scores.counts["scorer"].unique():
        of_scorer = scores.counts[scores.counts["scorer"] == scorer]
        for subject in subjects:
            part = of_scorer[of_scorer["subject"] == subject]
            sums = part[list(SUMS)].sum()
            rows.append(
                {
                    "scorer": scorer,
                    "subject": subject,
                    "recordings": len(part),
                    "unscored": int(unscored.get(subject, 0)),
                    "hours": sums["seconds"] / 3600,
                    **sums,
                    **Counts(*sums).rates,
                }
            )
    return pd.DataFrame(rows)


def overall(scores: Scores, *, resamples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """One row a scorer, over all subjects with a scored recording.

    Of each rate: the pooled value (from sums over everything), its 95 % interval over subjects (``_low``,
    ``_high``: NaN below six subjects, see ``by_subject``), and ``_mean``, ``_sd`` (divisor n, as SzCORE's
    own evaluation) and ``_n`` over the subjects in which it is defined: their number differs from rate to
    rate.
    """
    rows = []
    for scorer, table in by_subject(scores).groupby("scorer", sort=False) if len(scores.counts) else ():
        scored = table[table["recordings"] > 0]
        sums_U4 = scored[list(SUMS)].to_numpy(float)
        row = {
            "scorer": scorer,
            "subjects": len(scored),
            "recordings": int(scored["recordings"].sum()),
            "unscored": len(scores.unscored),
            "hours": scored["hours"].sum(),
            **scored[list(SUMS)].sum(),
        }
        for name in RATES:
            interval = pooled_interval(sums_U4, name, resamples=resamples, seed=seed)
            row |= {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
            known = scored[name].dropna()
            row |= {f"{name}_mean": known.mean(), f"{name}_sd": known.std(ddof=0), f"{name}_n": len(known)}
        rows.append(row)
    return pd.DataFrame(rows)


def pooled_interval(sums_U4: np.ndarray, rate: str, *, resamples: int = 2000, seed: int = 0) -> Interval:
    """A pooled rate with its interval over subjects, from sums per subject, columns as ``SUMS``."""

    def pooled(sums_RU4: np.ndarray) -> np.ndarray:
        return rates(sums_RU4.sum(axis=-2))[rate]

    return bootstrap_subjects(sums_U4, pooled, resamples=resamples, seed=seed)


def latency_rows(scores: Scores) -> pd.DataFrame:
    """Median, quartiles, hits and events of both latencies: a row a subject, and one of all events."""
    rows = []
    for kind, table in scores.latency.groupby("kind", sort=False):
        groups = [*table.groupby("subject"), ("all", table)]
        rows += [{"kind": kind, "subject": who, **summarise(part["latency_s"])} for who, part in groups]
    return pd.DataFrame(rows, columns=["kind", "subject", "median_s", "q25_s", "q75_s", "hits", "events"])
