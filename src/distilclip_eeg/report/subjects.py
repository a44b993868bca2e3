"""How sure the figures are, and whether two models differ: by person, because windows of one are alike.

Shapes: U subjects, K classes.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import combinations
from textwrap import fill

import numpy as np
import pandas as pd

from distilclip_eeg.files.reading import read_parquet
from distilclip_eeg.report.columns import WIDTH
from distilclip_eeg.runs import Run
from distilclip_eeg.scoring.answers import AS_SAVED, Reading, read_answers
from distilclip_eeg.scoring.metrics import ratio
from distilclip_eeg.scoring.uncertainty import (
    MIN_SUBJECTS,
    bootstrap_subjects,
    corrected_t,
    paired_permutation,
)

Key = tuple[str, str, str]
"""Dataset, protocol and hash of the folds: runs that share it were tested on the same windows."""


def accuracy(counts_UKK: np.ndarray) -> np.ndarray:
    """Share of right answers over the subjects' windows together, (...) of (..., U, K, K)."""
    counts_KK = counts_UKK.sum(axis=-3)
    return ratio(np.trace(counts_KK, axis1=-2, axis2=-1), counts_KK.sum(axis=(-2, -1)))


def flat_accuracy(counts_UM: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """``accuracy`` of counts whose last axis is a confusion of ``shape`` (K, K) laid flat, M = K K."""
    return accuracy(counts_UM.reshape(*counts_UM.shape[:-1], *shape))


def balanced_accuracy(counts_UKK: np.ndarray) -> np.ndarray:
    """Mean recall of the classes that occur in the subjects' windows together, (...) of (..., U, K, K)."""
    counts_KK = counts_UKK.sum(axis=-3)
    recall_K = ratio(np.diagonal(counts_KK, axis1=-2, axis2=-1), counts_KK.sum(axis=-1))
    return ratio(np.nansum(recall_K, axis=-1), np.isfinite(recall_K).sum(axis=-1))


PAIR_COLUMNS = [
    *("split", "a", "b", "run_a", "run_b", "difference", "p_subjects", "subjects", "p_folds", "folds"),
    "on_folds",
]
STATISTICS = {"accuracy": accuracy, "balanced_accuracy": balanced_accuracy}


def subject_counts(
    run: Run, reading: Reading = AS_SAVED, folds: Sequence[int] | None = None
) -> tuple[list[str], np.ndarray]:
    """Subjects in order, and the confusion of each one's test windows over all folds, (U, K, K).

    Args:
        folds: these alone; None: all that are finished.
    """
    counts: dict[str, np.ndarray] = {}
    for fold in run.folds_done() if folds is None else folds:
        said = read_answers(run, fold, reading)
        assert said.subject is not None, f"{run.fold(fold)}: predictions without subjects"
        size = len(said.subjects), len(said.classes)
        cell_N = (said.subject * size[1] + said.label) * size[1] + said.predicted
        counts_UKK = np.bincount(cell_N, minlength=size[0] * size[1] ** 2).reshape(*size, size[1])
        for name, counts_KK in zip(said.subjects, counts_UKK, strict=True):
            counts[name] = counts.get(name, 0) + counts_KK
    names = sorted(counts)
    return names, np.array([counts[name] for name in names])


def interval_rows(runs: list[Run], reading: Reading = AS_SAVED) -> pd.DataFrame:
    """One row a run: windows of all folds together, each statistic with its 95 % interval over subjects.

    ``_low`` and ``_high`` are NaN below six subjects, where the bootstrap is refused.
    """
    rows = []
    for run in runs:
        names, counts_UKK = subject_counts(run, reading)
        row: dict[str, object] = {"split": run.settings.split.name, "model": run.settings.model.name}
        row |= {"seed": run.settings.seed, "subjects": len(names), "run": run.path.name, "part": run.part}
        row["folds"] = len(run.folds_done())
        for name, statistic in STATISTICS.items():
            found = bootstrap_subjects(counts_UKK, statistic)
            row |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
        rows.append(row)
    return pd.DataFrame(rows)


def subject_rows(runs: list[Run], reading: Reading = AS_SAVED) -> pd.DataFrame:
    """One row a run and subject: windows, and each statistic of these windows alone."""
    rows = []
    for run in runs:
        for name, counts_KK in zip(*subject_counts(run, reading), strict=True):
            row: dict[str, object] = {"split": run.settings.split.name, "model": run.settings.model.name}
            row |= {"subject": name, "windows": int(counts_KK.sum()), "run": run.path.name}
            rows.append(row | {key: float(of(counts_KK[None])) for key, of in STATISTICS.items()})
    return pd.DataFrame(rows)


def comparable(run: Run) -> bool:
    """Whether it was tested on folds of its own corpus, and the subjects are known."""
    audit = run.data.get("audit")
    return audit is not None and audit["subject"] is not None


def key_of(run: Run) -> Key:
    """What two runs must share to be compared pair by pair."""
    settings, made = run.settings, run.data
    return settings.dataset.name, settings.split.name, made["folds_sha256"]


def pair_rows(runs: list[Run], reading: Reading = AS_SAVED) -> pd.DataFrame:
    """Every two runs with the same folds: difference in accuracy with two tests, on the folds both have.

    ``p_subjects``: paired permutation, models swapped within subjects (pooled accuracy). ``p_folds``:
    corrected resampled t over folds (Nadeau and Bengio 2003). Neither is corrected for the number of pairs.
    """
    rows = []
    for a, b, both in pairs_of(runs):
        if not both:
            continue
        (names, counts_a), (others, counts_b) = (subject_counts(run, reading, both) for run in (a, b))
        if names != others:
            continue
        flat_a, flat_b = (counts.reshape(len(names), -1) for counts in (counts_a, counts_b))
        by_subject = paired_permutation(flat_a, flat_b, partial(flat_accuracy, shape=counts_a.shape[1:]))
        folds_a, folds_b = (fold_accuracies(run, reading, both) for run in (a, b))
        by_fold = corrected_t(folds_a - folds_b, *sizes_of(a, both))
        rows.append(
            {
                "split": a.settings.split.name,
                "a": a.settings.model.name,
                "b": b.settings.model.name,
                "run_a": a.path.name,
                "run_b": b.path.name,
                "difference": by_subject.difference,
                "p_subjects": by_subject.p,
                "subjects": by_subject.n,
                "p_folds": by_fold.p,
                "folds": by_fold.n,
                "on_folds": "all" if both == a.folds_done() == b.folds_done() else words_of(both),
            }
        )
    return pd.DataFrame(rows, columns=PAIR_COLUMNS)


def pairs_of(runs: list[Run]) -> Iterator[tuple[Run, Run, list[int]]]:
    """Every two runs that were given the same folds, and those of them that are finished in both."""
    for a, b in combinations(runs, 2):
        if key_of(a) == key_of(b):
            yield a, b, sorted(set(a.folds_done()) & set(b.folds_done()))


def words_of(folds: Sequence[int]) -> str:
    """Numbers of folds in a line."""
    return " ".join(map(str, folds))


def fold_accuracies(run: Run, reading: Reading, folds: Sequence[int]) -> np.ndarray:
    """Accuracy on the test windows of each of these folds."""
    answers = [read_answers(run, fold, reading) for fold in folds]
    return np.array([(said.predicted == said.label).mean() for said in answers])


def sizes_of(run: Run, folds: Sequence[int]) -> tuple[float, float]:
    """Test and training windows of one of these folds, mean over them."""
    table = read_parquet(run.path / "folds.parquet")
    parts = [table[f"fold{k}"].value_counts() for k in folds]
    test, train = (float(np.mean([part.get(name, 0) for part in parts])) for name in ("test", "train"))
    return test, train


def page(runs: list[Run], reading: Reading = AS_SAVED) -> list[str]:
    """Lines of text, none without runs: every run with its intervals, then pairs of each protocol's best."""
    lines, rows, pairs = [], interval_rows(runs, reading), pair_rows(runs, reading)
    for row in rows.itertuples():
        texts = [
            f"{name.replace('_', ' ')} {100 * getattr(row, name):.1f} %"
            + ranged(100 * getattr(row, f"{name}_low"), 100 * getattr(row, f"{name}_high"))
            for name in STATISTICS
        ]
        part = f" ({row.part})" if row.part else ""
        lines.append(f"{row.split}, {row.model}{part}: {', '.join(texts)}; {row.subjects} subjects")
    ranked = rows.sort_values(["folds", "accuracy"], ascending=False, kind="stable") if len(rows) else rows
    best = set(ranked.drop_duplicates("split")["run"]) if len(rows) else set()
    for row in pairs.itertuples():
        if {row.run_a, row.run_b} & best:
            lines.append(
                f"{row.split}, {row.a} less {row.b}: {100 * row.difference:+.1f} points of accuracy, "
                f"p {row.p_subjects:.2g} by {row.subjects} subjects, "
                + ("none of one fold" if row.folds == 1 else f"{row.p_folds:.2g} by {row.folds} folds")
                + ("" if row.on_folds == "all" else f" (folds {row.on_folds} of both)")
            )
    for a, b, both in pairs_of(runs):
        if not both:
            names, has = zip(
                *((one.settings.model.name, words_of(one.folds_done())) for one in (a, b)), strict=True
            )
            lines.append(
                f"{a.settings.split.name}, {' and '.join(names)}: not compared, no fold is finished in both "
                f"(folds {' and '.join(has)})"
            )
    if len(rows) and (rows["subjects"] < MIN_SUBJECTS).any():
        lines.append(f"no interval below {MIN_SUBJECTS} subjects")
    head = "over subjects (95 % intervals; p of the most accurate run's pairs, uncorrected for their number):"
    return ["", head, *(fill(line, WIDTH, subsequent_indent="  ") for line in lines)] if lines else []


def ranged(low: float, high: float) -> str:
    """An interval in brackets, nothing where there is none."""
    return "" if np.isnan(low) else f" [{low:.1f}, {high:.1f}]"
