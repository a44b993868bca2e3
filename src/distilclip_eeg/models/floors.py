"""The floor every network must clear: band powers and line length into a classic classifier."""

import numpy as np
from scipy.signal import welch
from sklearn.base import ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from distilclip_eeg.config.registry import component
from distilclip_eeg.schema import check_choice

BANDS_HZ = ((0.5, 4), (4, 8), (8, 13), (13, 30), (30, 70))


def band_features(eeg_BCT: np.ndarray, sfreq: float) -> np.ndarray:
    """Log power in five bands and log line length of every channel, (B, 6 C)."""
    hz, power = welch(eeg_BCT, sfreq, nperseg=min(round(sfreq), eeg_BCT.shape[-1]), axis=-1)
    columns = [np.log(power[..., (hz >= low) & (hz < high)].mean(-1) + 1e-9) for low, high in BANDS_HZ]
    columns.append(np.log(np.abs(np.diff(eeg_BCT, axis=-1)).mean(-1) + 1e-9))
    return np.concatenate(columns, axis=1)


@component("network", "floor")
class Floor:
    """A scikit-learn classifier on ``band_features``.

    Args:
        kind: ``logreg`` (standardised, C = 0.05) or ``forest`` (300 trees, leaves of 2 or more).
        units: ``microvolt`` or ``normalized``, the signal that the features are taken from.
        relative: features less their median over the windows of the recording.
        span_s: features are the mean of those of the windows within half of it, in the same piece; None: of
            the window alone.

    Raises:
        ConfigError: kind or units are unknown.
    """

    def __init__(self, *, kind: str, units: str, relative: bool = False, span_s: float | None = None):
        check_choice("model.net.kind", kind, ("logreg", "forest"))
        check_choice("model.net.units", units, ("microvolt", "normalized"))
        self.kind, self.units, self.relative, self.span_s = kind, units, relative, span_s

    def estimator(self, seed: int) -> ClassifierMixin:
        """An unfitted classifier, balanced by class weights."""
        if self.kind == "logreg":
            model = LogisticRegression(C=0.05, max_iter=3000, class_weight="balanced")
            return make_pipeline(StandardScaler(), model)
        return RandomForestClassifier(
            300, class_weight="balanced_subsample", min_samples_leaf=2, n_jobs=-1, random_state=seed
        )

    def fit_predict(
        self, train_x: np.ndarray, train_y: np.ndarray, x: np.ndarray, n_outputs: int, seed: int
    ) -> np.ndarray:
        """Log probabilities (N, n_outputs) of ``x``; classes absent from training get a tiny one."""
        model = self.estimator(seed).fit(train_x, train_y)
        probability = np.full((len(x), n_outputs), 1e-6)
        probability[:, model.classes_] = model.predict_proba(x)
        return np.log(np.maximum(probability, 1e-6))
