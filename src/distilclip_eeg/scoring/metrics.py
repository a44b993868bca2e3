"""Window metrics from labels, answers and probabilities; nothing here knows a model.

Two presets. ``standard``: precision, recall, specificity and F1 of the seizure class where there are two
classes, macro means where there are more; areas of scores; calibration. ``paper``: the article's mixture of
averages, all from hard answers.

Shapes: N windows, K classes. Labels and answers are indices of classes, (N,); class 0 is the background.
"""

import numpy as np
from numpy.typing import ArrayLike

COLUMNS = (
    *("accuracy", "precision", "recall", "specificity", "f1", "balanced_accuracy", "auroc"),
    *("average_precision", "mcc", "brier", "ece"),
)
"""Of the ``standard`` preset."""
PAPER_COLUMNS = ("accuracy", "precision", "recall", "specificity", "f1", "auc")
PRESETS = {"standard": COLUMNS, "paper": PAPER_COLUMNS}
ECE_BINS = 15


def confusion(label: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """Counts (K, K), true classes in rows, predicted ones in columns."""
    return np.bincount(label * n_classes + predicted, minlength=n_classes**2).reshape(n_classes, n_classes)


def ratio(part: ArrayLike, whole: ArrayLike) -> np.ndarray:
    """``part / whole``, NaN where ``whole`` is 0: undefined is not zero."""
    part, whole = np.asarray(part, float), np.asarray(whole, float)
    return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)


def per_class(counts_KK: np.ndarray) -> dict[str, np.ndarray]:
    """Each class against the rest: precision, recall, specificity, F1 and support, arrays (K,).

    NaN where undefined: a class that never occurs has no recall, one never answered no precision.
    """
    hit = np.diag(counts_KK)
    false_alarm, miss = counts_KK.sum(0) - hit, counts_KK.sum(1) - hit
    rest = counts_KK.sum() - hit - false_alarm - miss
    return {
        "precision": ratio(hit, hit + false_alarm),
        "recall": ratio(hit, hit + miss),
        "specificity": ratio(rest, rest + false_alarm),
        "f1": ratio(2 * hit, 2 * hit + false_alarm + miss),
        "support": counts_KK.sum(1),
    }


def macro_f1(label: np.ndarray, predicted: np.ndarray, n_classes: int) -> float:
    """Mean F1 over the classes that occur in either; it chooses the epoch."""
    return float(np.nanmean(per_class(confusion(label, predicted, n_classes))["f1"]))


def window_metrics(
    label: np.ndarray,
    probability_NK: np.ndarray,
    predicted: np.ndarray | None = None,
    areas_2K: np.ndarray | None = None,
) -> dict[str, float]:
    """One row of a table, ``standard`` preset.

    Two classes: precision, recall, specificity and F1 are those of the seizure class. More: macro means over
    classes. ``auroc`` and ``average_precision`` rank scores (one against rest, macro, where there are more
    than two classes). A class that does not occur is left out of macro means; what is undefined throughout is
    NaN.

    Args:
        predicted: the answers; None: the class of the highest probability.
        areas_2K: :func:`class_areas` of the same, where they are known already.
    """
    n_classes = probability_NK.shape[1]
    auroc_K, precision_K = class_areas(label, probability_NK) if areas_2K is None else areas_2K
    predicted = probability_NK.argmax(1) if predicted is None else predicted
    counts = confusion(label, predicted, n_classes)
    classes = per_class(counts)
    names = ("precision", "recall", "specificity", "f1")
    of_class = {name: classes[name][1] if n_classes == 2 else np.nanmean(classes[name]) for name in names}
    return {
        "accuracy": float(np.diag(counts).sum() / counts.sum()),
        **{name: float(value) for name, value in of_class.items()},
        "balanced_accuracy": float(np.nanmean(classes["recall"])),
        "auroc": over_classes(auroc_K),
        "average_precision": over_classes(precision_K),
        "mcc": mcc(counts),
        "brier": brier(label, probability_NK),
        "ece": ece(label, probability_NK),
        "n": int(len(label)),
        "prevalence": float((label != 0).mean()),
    }


def over_classes(value_K: np.ndarray) -> float:
    """One figure of (K,): the seizure class's of two, the mean of those defined of more."""
    if len(value_K) == 2:
        return float(value_K[1])
    return float(np.nanmean(value_K)) if np.isfinite(value_K).any() else float("nan")


def class_areas(label: np.ndarray, probability_NK: np.ndarray) -> np.ndarray:
    """Area under the ROC curve and average precision of each class against the rest, (2, K).

    NaN where the class is absent or alone.
    """
    pairs = [areas(label == k, scores) for k, scores in enumerate(probability_NK.T)]
    return np.array(pairs).T


def areas(truth: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """Area under the ROC curve, and average precision, of scores (N,).

    NaN where ``truth`` has one value alone, or a score is no number. Out of one sort, to the last bit what
    scikit-learn's ``roc_auc_score`` and ``average_precision_score`` give.
    """
    if not truth.any() or truth.all() or not np.isfinite(scores).all():
        return np.nan, np.nan
    order = np.argsort(-scores)  # among equal scores any order will do
    scores = scores[order]
    last = np.append(np.flatnonzero(np.diff(scores)), len(scores) - 1)
    hits = np.cumsum(truth[order])[last].astype(float)
    false_alarms = 1 + last - hits
    precision, recall = hits / (hits + false_alarms), hits / hits[-1]
    steps = -np.diff(recall[::-1], append=0.0) * precision[::-1]
    corner = np.ones(len(last), bool)
    corner[1:-1] = (np.diff(false_alarms, 2) != 0) | (np.diff(hits, 2) != 0)
    x, y = (np.append(0.0, counts[corner]) / counts[-1] for counts in (false_alarms, hits))
    return float(np.trapezoid(y, x)), float(max(0.0, steps.sum()))


def class_aurocs(label: np.ndarray, probability_NK: np.ndarray) -> np.ndarray:
    """Area under the ROC curve of each class against the rest, (K,)."""
    return class_areas(label, probability_NK)[0]


def auroc(label: np.ndarray, probability_NK: np.ndarray) -> float:
    """Area under the ROC curve of the scores; of more than two classes, the mean over those that occur."""
    return over_classes(class_aurocs(label, probability_NK))


def mcc(counts_KK: np.ndarray) -> float:
    """Matthews correlation (Gorodkin 2004); 0 where every answer, or every truth, is the same."""
    true_K, said_K, n = counts_KK.sum(1), counts_KK.sum(0), counts_KK.sum()
    spread = np.sqrt(float(n**2 - true_K @ true_K) * float(n**2 - said_K @ said_K))
    return float((np.trace(counts_KK) * n - true_K @ said_K) / spread) if spread > 0 else 0.0


def brier(label: np.ndarray, probability_NK: np.ndarray) -> float:
    """Mean squared distance of the probabilities from the truth (Brier 1950); of two classes half of it."""
    truth_NK = np.eye(probability_NK.shape[1])[label]
    squared = ((probability_NK - truth_NK) ** 2).sum(1).mean()
    return float(squared / 2 if probability_NK.shape[1] == 2 else squared)


def ece(label: np.ndarray, probability_NK: np.ndarray, n_bins: int = ECE_BINS) -> float:
    """Expected calibration error in bins of equal mass (Nixon et al. 2019).

    Of two classes: the seizure's probability against its frequency. Of more: the highest probability against
    how often it is right. Equal probabilities share a bin.
    """
    if probability_NK.shape[1] == 2:
        said, true = probability_NK[:, 1], label == 1
    else:
        said, true = probability_NK.max(1), label == probability_NK.argmax(1)
    edges = np.quantile(said, np.linspace(0, 1, n_bins + 1)[1:-1])
    bins = np.searchsorted(edges, said)
    return float(np.abs(np.bincount(bins, said - true)).sum() / len(said))


def paper_metrics(
    label: np.ndarray, predicted: np.ndarray, n_classes: int, *, balance: bool = False
) -> dict[str, float]:
    """One row of a table, ``paper`` preset.

    Args:
        balance: let background count as much as all seizures together, where there is more of it. The
            article does not say so; its precision follows from its recall and specificity at parity alone.
    """
    counts = confusion(label, predicted, n_classes)
    counts = at_parity(counts) if balance else counts
    shares = {"n": int(len(label)), "prevalence": float(1 - counts[0].sum() / counts.sum())}
    return paper_row(per_class(counts)) | shares


def at_parity(counts_KK: np.ndarray) -> np.ndarray:
    """Counts (K, K) with background weighted down to as many windows as the seizures have.

    What balanced draws of the test windows give on average.
    """
    background, seizures = counts_KK[0].sum(), counts_KK[1:].sum()
    counts_KK = counts_KK.astype(float)
    if background > seizures > 0:
        counts_KK[0] *= seizures / background
    return counts_KK


def paper_row(classes: dict[str, np.ndarray]) -> dict[str, float]:
    """The article's overall row from the classes' own figures (worked out from its Tables II to V).

    Two classes: accuracy, and precision, recall, specificity and F1 of the seizure class. More: accuracy
    overall, precision and F1 weighted by support, recall and specificity as macro means. ``auc`` is the mean
    of recall and specificity of hard answers, and no area.

    Args:
        classes: precision, recall, specificity, f1 and support of each class, (K,), as ``per_class`` gives.
    """
    support = np.asarray(classes["support"], float)

    def weighted(name: str) -> float:
        value = np.where(support > 0, classes[name], 0.0)
        return float(np.nansum(value * support) / support.sum())  # never answered: precision 0

    row = {"accuracy": weighted("recall")}
    if len(support) == 2:
        row |= {name: float(classes[name][1]) for name in ("precision", "recall", "specificity", "f1")}
    else:
        row |= {"precision": weighted("precision"), "f1": weighted("f1")}
        row |= {name: float(np.nanmean(classes[name])) for name in ("recall", "specificity")}
    return row | {"auc": (row["recall"] + row["specificity"]) / 2}


def always_seizure(label: np.ndarray, n_classes: int = 2) -> np.ndarray:
    """Probabilities (N, K) of the model that always answers with the most frequent seizure class.

    Background throughout where ``label`` holds no seizure.
    """
    ictal = label[label > 0]
    answer = np.bincount(ictal).argmax() if len(ictal) else 0
    return np.eye(n_classes)[np.full(len(label), answer)]
