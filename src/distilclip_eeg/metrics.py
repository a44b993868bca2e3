"""Window metrics from labels and probabilities; nothing here knows a model."""

import numpy as np
from sklearn.metrics import roc_auc_score

COLUMNS = ("accuracy", "precision", "recall", "specificity", "f1", "balanced_accuracy", "auroc")


def confusion(label: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """Counts, true classes in rows, predicted ones in columns."""
    return np.bincount(label * n_classes + predicted, minlength=n_classes**2).reshape(n_classes, n_classes)


def ratio(part, whole) -> np.ndarray:
    """``part / whole``, NaN where ``whole`` is 0: undefined is not zero."""
    part, whole = np.asarray(part, float), np.asarray(whole, float)
    return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)


def per_class(counts_KK: np.ndarray) -> dict[str, np.ndarray]:
    """Each class against the rest: precision, recall, specificity, F1, arrays (K,)."""
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


def window_metrics(label: np.ndarray, probability_NK: np.ndarray) -> dict[str, float]:
    """One row of a table.

    Two classes: precision, recall, specificity and F1 are those of the seizure class. More: macro means
    over classes. ``auroc`` ranks scores (one against rest, macro, where there are more than two classes).
    A class that does not occur is left out of macro means; what is undefined throughout is NaN.
    """
    n_classes = probability_NK.shape[1]
    predicted = probability_NK.argmax(1)
    counts = confusion(label, predicted, n_classes)
    classes = per_class(counts)
    names = ("precision", "recall", "specificity", "f1")
    if n_classes == 2:
        row = {name: float(classes[name][1]) for name in names}
    else:
        row = {name: float(np.nanmean(classes[name])) for name in names}
    return {
        "accuracy": float(np.diag(counts).sum() / counts.sum()),
        **row,
        "balanced_accuracy": float(np.nanmean(classes["recall"])),
        "auroc": auroc(label, probability_NK),
        "n": int(len(label)),
        "prevalence": float((label != 0).mean()),
    }


def auroc(label: np.ndarray, probability_NK: np.ndarray) -> float:
    """Area under the ROC curve of the scores; of more than two classes, the mean over those that occur."""
    areas = class_aurocs(label, probability_NK)
    if len(areas) == 2:
        return float(areas[1])
    return float(np.nanmean(areas)) if np.isfinite(areas).any() else float("nan")


def class_aurocs(label: np.ndarray, probability_NK: np.ndarray) -> np.ndarray:
    """Area under the ROC curve of each class against the rest, (K,); NaN where the class is absent."""
    truths = (label == k for k in range(probability_NK.shape[1]))
    return np.array(
        [
            roc_auc_score(truth, scores) if truth.any() and not truth.all() else np.nan
            for truth, scores in zip(truths, probability_NK.T, strict=True)
        ]
    )


def always_seizure(label: np.ndarray, n_classes: int = 2) -> np.ndarray:
    """Probabilities of the model that always answers with the most frequent seizure class."""
    ictal = label[label > 0]
    answer = np.bincount(ictal).argmax() if len(ictal) else 0
    return np.eye(n_classes)[np.full(len(label), answer)]
