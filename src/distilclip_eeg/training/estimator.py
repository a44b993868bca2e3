"""Any network here as an estimator of scikit-learn: ``from distilclip_eeg import SeizureClassifier``.

It trains by ``engine.Fit`` like every run, on windows that lie in memory instead of a store.
"""

import functools
import random
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import set_seed
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import GroupShuffleSplit, StratifiedShuffleSplit
from sklearn.utils import Tags, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor

from distilclip_eeg.config.compose import load
from distilclip_eeg.config.data import View
from distilclip_eeg.config.experiment import TrainSettings
from distilclip_eeg.config.learning import Learning
from distilclip_eeg.config.ranges import Range, Rate
from distilclip_eeg.config.rules import check
from distilclip_eeg.config.words import spoken_by
from distilclip_eeg.models.contract import build_network
from distilclip_eeg.schema import ConfigError
from distilclip_eeg.training.checks import check_sizes
from distilclip_eeg.training.crossval import augmentation
from distilclip_eeg.training.devices import make_accelerator
from distilclip_eeg.training.engine import Fit, Loop
from distilclip_eeg.training.loaders import Batch
from distilclip_eeg.training.pipeline import plain_task, weighed
from distilclip_eeg.training.predicting import predict
from distilclip_eeg.training.tasks import ClassifyTask

SETTINGS = (
    "model.",
    "trainer.",
    "optim.",
    "loss.classification",
    "loss.class_weights",
    "augment",
    "init_from",
)
"""How the keys of ``settings`` may begin: what says how a network learns from windows that are there."""
TOLD_BESIDE = {"trainer.epochs": "epochs", "optim.lr": "lr", "trainer.max_train_windows": "fewer windows"}
"""Settings that are told by another way."""


class SeizureClassifier(ClassifierMixin, BaseEstimator):
    """A network of ``configs/model`` that is fitted to windows of EEG and tells their class.

    Works in ``cross_val_score``, ``GridSearchCV`` and pipelines, and can be cloned and pickled. Every channel
    is standardised by the mean and SD that it has in the windows of ``fit``, so units do not matter. Windows
    of one person resemble each other: cross-validate by ``GroupKFold`` with persons as groups, or the score
    says nothing about a new patient. A teacher or a student is trained as a plain classifier, without text.

    The same windows and ``random_state`` give the same bytes on a CPU, and random numbers of the caller go on
    as if nothing had been fitted, unless ``random_state`` is None, which draws one of numpy's.

    Args:
        model: a name of ``configs/model``, such as ``eegnet`` or ``filterbank``.
        sfreq: samples a second of the windows.
        epochs: passes over the windows; None: the model's own.
        lr: learning rate; None: the model's own.
        val_share: share of the windows set apart to choose the epoch that is kept, whole groups where ``fit``
            gets them; 0: all are trained on and the last epoch is kept.
        settings: further settings as ``train.py`` knows them, by their dotted keys:
            ``{"trainer.batch_size": 64, "model.net.filters": 4, "loss.class_weights": "balanced"}``.
        device: ``auto`` (a CUDA GPU where there is one), ``cpu`` or ``cuda``.
        random_state: seed of weights, order and dropout.

    Attributes:
        classes_: labels, (K,), in the order of the columns of ``predict_proba``.
        n_features_in_: channels of a window; of windows of one channel given in two dimensions, its samples.
        window_shape_: channels and samples of a window.
        network_: the ``torch.nn.Module`` that answers, in eval mode on the CPU.
        history_: a mapping an epoch, as in the ``history.csv`` of a run.
        n_iter_: epochs that were trained.

    Shapes:
        N windows, C channels, T samples, K classes.
    """

    def __init__(
        self,
        model: str = "eegnet",
        *,
        sfreq: float = 256.0,
        epochs: int | None = None,
        lr: float | None = None,
        val_share: float = 0.0,
        settings: Mapping[str, Any] | None = None,
        device: str = "auto",
        random_state: int | np.random.RandomState | None = None,
    ):
        self.model = model
        self.sfreq = sfreq
        self.epochs = epochs
        self.lr = lr
        self.val_share = val_share
        self.settings = settings
        self.device = device
        self.random_state = random_state

    def fit(self, X: Any, y: Any, groups: Any = None) -> "SeizureClassifier":
        """Train on windows (N, C, T), or (N, T) of one channel, and their labels (N,).

        Args:
            groups: the person of each window, (N,): keeps persons whole where ``val_share`` sets some apart,
                and is what ``model.meta_lr`` learns over.

        Raises:
            ValueError: windows or labels that cannot be learned from.
            ConfigError: a setting that is wrong, or a network that does not fit the windows.
        """
        X, y = validate_data(self, X, y, dtype=np.float32, allow_nd=True, ensure_min_samples=2)
        eeg_NCT = as_windows(X)
        check_classification_targets(y)
        self.classes_, label_N = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y holds one class, {self.classes_[0]!r}; expected two or more to tell apart.")
        person_N = np.zeros(len(y)) if groups is None else np.asarray(groups)
        if person_N.shape != label_N.shape:
            raise ValueError(f"groups has shape {person_N.shape}; expected one a window, {label_N.shape}.")
        learning = self._learning()
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        n_chans, n_times = self.window_shape_ = eeg_NCT.shape[1:]
        sizes = {
            "n_chans": n_chans,
            "n_times": n_times,
            "sfreq": float(self.sfreq),
            "n_outputs": len(self.classes_),
        }
        with torch.device("meta"):
            check_sizes(learning.model, build_network(learning.model, sizes), sizes)
        train, val = self._parts(label_N, None if groups is None else person_N, seed)
        self._mean_C, self._scale_C = channel_scale(eeg_NCT)
        source = Windows(eeg_NCT, label_N, self._mean_C, self._scale_C)
        accelerator = make_accelerator(learning.trainer.precision, self.device)
        with own_random_numbers(seed), tempfile.TemporaryDirectory() as folder:
            loss = weighed(learning.loss, label_N[train], len(self.classes_))
            task = plain_task(learning, sizes, person_N, loss)
            augment = augmentation(learning.augment, sizes["sfreq"], View(n_times))
            loop = Loop(learning.trainer, learning.optim, seed, accelerator, augment)
            training = Fit(task, source, train, val, Path(folder), loop)
            self.network_ = training.run().inference_net().cpu()
        self.history_, self.n_iter_ = training.history, training.epoch
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probability of each class of ``classes_``, (N, K).

        Raises:
            NotFittedError: before ``fit``.
            ValueError: windows of another shape than those of ``fit``.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float32, allow_nd=True, reset=False)
        eeg_NCT = as_windows(X)
        if eeg_NCT.shape[1:] != self.window_shape_:
            raise ValueError(
                f"X has windows of {eeg_NCT.shape[1:]} channels and samples, but {type(self).__name__} was "
                f"fitted to {self.window_shape_}."
            )
        accelerator = make_accelerator("fp32", self.device)
        source = Windows(eeg_NCT, np.zeros(len(X), dtype=int), self._mean_C, self._scale_C)
        try:
            task = ClassifyTask(self.network_.to(accelerator.device)).eval()
            logits_NK = predict(task, source, np.arange(len(X)), accelerator)
        finally:
            self.network_.cpu()
        return softmax(logits_NK.astype(float), axis=1)

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest class of each window, (N,).

        Raises:
            NotFittedError, ValueError: as :meth:`predict_proba`.
        """
        probability_NK = self.predict_proba(X)
        return self.classes_[probability_NK.argmax(axis=1)]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        return tags

    def _learning(self) -> Learning:
        """The model's own settings with those of the constructor.

        Raises:
            ConfigError: one of them is wrong, unknown, or says nothing about windows that are there already.
        """
        check("sfreq", Rate, self.sfreq)
        said = dict(self.settings or {})
        for key in said:
            if key in TOLD_BESIDE:
                raise ConfigError(f"settings: {key} is told to the classifier by {TOLD_BESIDE[key]}.")
            if not str(key).startswith(SETTINGS):
                raise ConfigError(
                    f"settings: {key} says nothing about how a network learns from windows. Keys begin with "
                    f"{', '.join(SETTINGS)}.",
                    reason="unknown_key",
                )
        own = {"model": self.model, "device": self.device, "trainer.epochs": self.epochs, "optim.lr": self.lr}
        said |= {key: value for key, value in own.items() if value is not None}
        learning = learning_of(tuple(spoken_by(said)))
        if learning.model.kind == "floor":
            raise ConfigError(
                f"model={self.model} is no network: it is scikit-learn's own classifier on band powers "
                "(distilclip_eeg.models.floors). Give a network of configs/model."
            )
        return learning

    def _parts(
        self, label_N: np.ndarray, groups: np.ndarray | None, seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows to train on, and rows to choose the epoch by."""
        if (share := self.val_share) not in (limits := Range(least=0, most=0.5)):
            raise ConfigError(f"val_share={share} {limits.refusal(share)}", reason="out_of_range")
        rows = np.arange(len(label_N))
        if not share:
            return rows, rows[:0]
        splitter = StratifiedShuffleSplit if groups is None else GroupShuffleSplit
        train, val = next(splitter(1, test_size=share, random_state=seed).split(rows, label_N, groups))
        return np.sort(train), np.sort(val)


@functools.lru_cache(64)
def learning_of(words: tuple[str, ...]) -> Learning:
    """What ``train`` would learn if it were told this; a search of settings fits each many times."""
    return load(TrainSettings, list(words)).each_seed()[0].learning


class Windows:
    """Windows in memory as batches; see ``loaders.Source``."""

    resident = False

    def __init__(self, eeg_NCT: np.ndarray, label: np.ndarray, mean_C: np.ndarray, scale_C: np.ndarray):
        self.eeg_NCT, self.label = eeg_NCT, label
        self.mean_C1, self.scale_C1 = (torch.from_numpy(values[:, None]) for values in (mean_C, scale_C))

    def batch(self, rows: np.ndarray, device: torch.device | str = "cpu") -> Batch:
        """The windows at ``rows``, standardised."""
        eeg_BCT: Tensor = (torch.from_numpy(self.eeg_NCT[rows]) - self.mean_C1) / self.scale_C1
        return Batch(eeg_BCT, torch.from_numpy(self.label[rows]), rows).on(torch.device(device))


def as_windows(X: np.ndarray) -> np.ndarray:
    """Windows (N, C, T) of what scikit-learn checked; a table (N, T) is windows of one channel.

    Raises:
        ValueError: it has other dimensions.
    """
    if X.ndim == 2:
        return X[:, None]
    if X.ndim != 3:
        raise ValueError(f"X has {X.ndim} dimensions; expected windows, channels and samples (N, C, T).")
    return X


def channel_scale(eeg_NCT: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and SD of each channel over all windows, (C,) float32; one that never changes has an SD of 1."""
    channels = np.moveaxis(eeg_NCT, 1, 0)
    mean_C = np.array([one.mean(dtype=np.float64) for one in channels])
    sd_C = np.array([one.std(dtype=np.float64) for one in channels])
    still_C = sd_C <= 1e-6 * np.abs(mean_C)  # what float32 cannot tell from nothing
    return mean_C.astype(np.float32), np.where(still_C, 1.0, sd_C).astype(np.float32)


@contextmanager
def own_random_numbers(seed: int) -> Iterator[None]:
    """Inside, random numbers begin at ``seed``; behind it, the caller's go on where they were."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        try:
            set_seed(seed)
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
