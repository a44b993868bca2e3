"""ROC and precision-recall curves and reliability of every model under one protocol."""

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from distilclip_eeg.report.drawing import (
    GREY,
    OKABE_ITO,
    PAGE,
    Picture,
    file_name,
    look,
    new_figure,
    picture,
    sentence,
    styled,
)
from distilclip_eeg.report.entries import Entry
from distilclip_eeg.scoring.answers import read_answers
from distilclip_eeg.scoring.metrics import ratio

BINS = 10


def any_seizure(entry: Entry) -> tuple[np.ndarray, np.ndarray]:
    """Truth and probability of any seizure class over the test windows of all folds, (N,) each."""
    answers = [read_answers(entry.run, fold) for fold in entry.run.folds_done()]
    truth = np.concatenate([a.label > 0 for a in answers])
    return truth, np.concatenate([1 - a.probability_NK[:, 0] for a in answers])


def scorable(entries: Sequence[Entry]) -> list[tuple[Entry, np.ndarray, np.ndarray]]:
    """Entries whose test windows are of both kinds, with truth and probability."""
    found = [(entry, *any_seizure(entry)) for entry in entries]
    return [one for one in found if one[1].any() and not one[1].all()]


@styled
def roc_and_pr(entries: Sequence[Entry]) -> Picture | None:
    """ROC and precision-recall curves, seizure of any class against background, folds pooled."""
    shown = scorable(entries)
    if not shown:
        return None
    figure = new_figure(PAGE, 2.25 + 0.16 * len(shown))
    roc, pr = figure.subplots(1, 2)
    said = []
    for i, (entry, truth, score) in enumerate(shown):
        area, mean = roc_auc_score(truth, score), average_precision_score(truth, score)
        false, true, _ = roc_curve(truth, score)
        precision, recall, _ = precision_recall_curve(truth, score)
        words = f"{entry.label}: area {100 * area:.1f} %, average precision {100 * mean:.1f} %"
        roc.plot(100 * false, 100 * true, label=words, **look(i))
        pr.plot(100 * recall[:-1], 100 * precision[:-1], **look(i))
        said.append(words)
    share = 100 * shown[0][1].mean()
    roc.plot([0, 100], [0, 100], color=GREY, lw=0.8, label="chance")
    pr.axhline(share, color=GREY, lw=0.8)
    pr.annotate(f"seizures {share:.0f} %", (50, share), (0, -9), textcoords="offset points", color=GREY)
    roc.set(xlabel="false positive rate (% of background)", ylabel="recall (% of seizure)", title="ROC")
    pr.set(xlabel="recall (% of seizure)", ylabel="precision (%)", title="Precision and recall")
    for axis in (roc, pr):
        axis.set(xlim=(-1, 101), ylim=(-1, 103))
    figure.legend(loc="outside lower center")
    first = shown[0][0]
    return picture(
        figure,
        file_name("roc_pr", first.dataset, first.split),
        "ROC and precision-recall curves",
        "Seizure of any class against background, test windows of all folds pooled, so that the areas differ "
        f"a little from the tables' means over folds. {first.setting}.",
        f"{sentence(said)}.",
    )


def reliability(truth: np.ndarray, score: np.ndarray, n_bins: int = BINS) -> np.ndarray:
    """Mean probability, share of seizures, windows, in bins of equal mass, (3, bins); empty ones left out."""
    edges = np.quantile(score, np.linspace(0, 1, n_bins + 1)[1:-1])
    bins = np.searchsorted(edges, score)
    n = np.bincount(bins, minlength=n_bins)
    sums = np.array([np.bincount(bins, v, minlength=n_bins) for v in (score, truth)])
    return np.vstack([ratio(sums, n), n])[:, n > 0]


@styled
def reliability_diagram(entries: Sequence[Entry]) -> Picture | None:
    """Probability said against frequency found, and below how often each probability is said."""
    shown = scorable(entries)
    if not shown:
        return None
    figure = new_figure(PAGE, 2.25 + 0.16 * len(shown))
    curve, counts = figure.subplots(1, 2)
    said = []
    for i, (entry, truth, score) in enumerate(shown):
        x, y, _ = reliability(truth, score)
        gap = 100 * (score.mean() - truth.mean())
        words = f"{entry.label}: mean probability {gap:+.1f} points off the frequency"
        curve.plot(100 * x, 100 * y, marker="os^D"[i % 4], markersize=3.5, label=words, **look(i))
        style = {"color": OKABE_ITO[i % len(OKABE_ITO)], "linestyle": look(i)["linestyle"], "lw": 1.2}
        counts.hist(100 * score, bins=np.linspace(0, 100, 21), histtype="step", **style)
        said.append(words)
    curve.plot([0, 100], [0, 100], color=GREY, lw=0.8, label="calibrated")
    curve.set(xlabel="probability of seizure (%)", ylabel="seizures among them (%)", title="Reliability")
    counts.set(xlabel="probability of seizure (%)", ylabel="test windows", title="How often it is said")
    curve.set(xlim=(-1, 101), ylim=(-1, 101))
    figure.legend(loc="outside lower center")
    first = shown[0][0]
    return picture(
        figure,
        file_name("reliability", first.dataset, first.split),
        "Reliability",
        f"Up to {BINS} bins of equal mass, test windows of all folds pooled, probabilities as saved (not "
        f"calibrated). On the line, a probability is a frequency. {first.setting}.",
        f"{sentence(said)}.",
    )
