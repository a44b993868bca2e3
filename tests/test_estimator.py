"""The estimator for scikit-learn: its own checks of estimators, and what it learns from invented windows."""

import copy
import pickle
import random

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

from distilclip_eeg import SeizureClassifier
from distilclip_eeg.config.compose import CONFIG_DIR
from distilclip_eeg.models.floors import band_features
from distilclip_eeg.report.comparison import FLOORS
from distilclip_eeg.schema import ConfigError
from distilclip_eeg.training import estimator
from distilclip_eeg.training.estimator import channel_scale

SFREQ, CHANS, TIMES = 64.0, 3, 128
SMALL = {"model.net.filters": 4, "trainer.batch_size": 16}
LEFT = {
    **dict.fromkeys(FLOORS, "no networks"),
    **dict.fromkeys(
        ("teacher", "student", "teacher_lean", "student_lean"), "the class of teacher_tiny, large"
    ),
    "external": "needs a network of another package",
}
NETWORKS = sorted(p.stem for p in (CONFIG_DIR / "model").glob("*.yaml") if p.stem not in LEFT)


@pytest.fixture(scope="module")
def windows():
    """90 windows of nine persons: noise, and in seizures a rhythm of 4 Hz on the first channel; in volts."""
    rng = np.random.default_rng(0)
    person, seizure = np.repeat(np.arange(9), 10), np.arange(90) % 2
    loudness = rng.uniform(0.5, 2, 9)[person]
    eeg = rng.standard_normal((90, CHANS, TIMES))
    eeg[:, 0] += 2 * seizure[:, None] * np.sin(2 * np.pi * 4 * np.arange(TIMES) / SFREQ)
    X = (2e-5 * loudness[:, None, None] * eeg).astype(np.float32)
    return X, np.array(["bckg", "seiz"])[seizure], np.array([f"p{k}" for k in person])


def small(**settings):
    return SeizureClassifier(**{"sfreq": SFREQ, "epochs": 2, "random_state": 0, "settings": SMALL} | settings)


# ---------------------------------------------------------------------------------------- scikit-learn's own


@pytest.mark.slow
@parametrize_with_checks(
    [
        # A table is windows of one channel, here of one to ten samples at 8 Hz; one epoch of 60 steps.
        SeizureClassifier(
            sfreq=8.0, epochs=1, lr=1e-2, settings={"trainer.steps_per_epoch": 60}, device="cpu"
        )
    ]
)
def test_it_passes_every_check_of_scikit_learn(estimator, check):
    check(estimator)


def test_it_learns_what_holds_for_persons_it_never_saw(windows):
    X, y, person = windows
    learner = small(epochs=1, lr=1e-2, settings={**SMALL, "trainer.steps_per_epoch": 50})
    score = cross_val_score(learner, X, y, groups=person, cv=GroupKFold(3))
    features = band_features(1e6 * X, SFREQ)
    floor = cross_val_score(LogisticRegression(max_iter=1000), features, y, groups=person, cv=GroupKFold(3))
    assert score.shape == (3,) and score.min() > 0.9 and floor.min() > 0.9


def test_a_pipeline_and_a_search_of_settings_take_it(windows):
    X, y, person = windows
    scaled = make_pipeline(FunctionTransformer(lambda X: 1e6 * X), small())
    assert scaled.fit(X, y).predict_proba(X).shape == (90, 2)
    grid = {"settings": [SMALL, {**SMALL, "optim.weight_decay": 0.0}], "lr": np.logspace(-3, -2, 2)}
    found = GridSearchCV(small(epochs=1), grid, cv=GroupKFold(2)).fit(X, y, groups=person)
    assert len(found.cv_results_["params"]) == 4 and np.isfinite(found.cv_results_["mean_test_score"]).all()


def test_a_clone_knows_the_settings_and_nothing_of_the_fit(windows):
    fitted = small(model="filterbank", settings=None).fit(*windows[:2])
    again = clone(fitted)
    assert again.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        again.predict(windows[0])


# ------------------------------------------------------------------------------------------- determinism


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(windows):
    X, y, _ = windows
    one, same, other = (small(random_state=seed).fit(X, y) for seed in (3, 3, 4))
    for name, value in one.network_.state_dict().items():
        assert torch.equal(value, same.network_.state_dict()[name]), name
    assert one.predict_proba(X).tobytes() == same.predict_proba(X).tobytes()
    assert (
        one.history_ == same.history_ and one.predict_proba(X).tobytes() != other.predict_proba(X).tobytes()
    )


def test_random_numbers_of_the_caller_go_on_as_if_nothing_had_been_fitted(windows):
    def drawn():
        return random.random(), np.random.rand(), torch.rand(1).item()

    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    expected = drawn()
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    small().fit(*windows[:2]).predict(windows[0])
    assert drawn() == expected


def test_a_pickle_answers_as_before(windows):
    fitted = small().fit(*windows[:2])
    again = pickle.loads(pickle.dumps(fitted))
    assert again.predict_proba(windows[0]).tobytes() == fitted.predict_proba(windows[0]).tobytes()
    assert list(again.classes_) == ["bckg", "seiz"]


# ------------------------------------------------------------------------------------------- what it does


@pytest.fixture
def ran(monkeypatch):
    """Every training that the loop ran."""
    trained, run = [], estimator.Fit.run
    monkeypatch.setattr(estimator.Fit, "run", lambda self: trained.append(self) or run(self))
    return trained


def test_units_do_not_matter(windows):
    X, y, _ = windows
    volts, others = small().fit(X, y), small().fit(X * 2.0**20, y)  # a power of two rounds nothing
    assert volts.predict_proba(X).tobytes() == others.predict_proba(X * 2.0**20).tobytes()


def test_a_channel_is_standardised_over_all_windows_and_a_flat_one_becomes_zero():
    eeg = np.array([[[1, 3], [0.1, 0.1]], [[5, 7], [0.1, 0.1]]], dtype=np.float32)
    mean, scale = channel_scale(eeg)
    np.testing.assert_allclose(mean, [4, 0.1], rtol=1e-6)
    np.testing.assert_allclose(scale, [np.sqrt(5), 1], rtol=1e-6)  # squares of -3, -1, 1, 3: a mean of 5


def test_it_is_trained_by_the_one_loop_on_every_window_once_an_epoch(windows, ran, monkeypatch):
    seen = []
    batch = estimator.Windows.batch
    monkeypatch.setattr(
        estimator.Windows, "batch", lambda self, rows, *a: seen.append(rows) or batch(self, rows, *a)
    )
    fitted = small(epochs=3).fit(*windows[:2])
    (training,) = ran
    assert len(seen) == 3 * 6  # 90 windows in batches of 16
    assert (np.bincount(np.concatenate(seen)) == 3).all()
    assert fitted.history_ is training.history and fitted.n_iter_ == 3
    assert not training.folder.exists()


def test_persons_stay_whole_where_some_are_set_apart_and_the_best_epoch_is_kept(windows, ran):
    X, y, person = windows
    fitted = small(val_share=0.3, epochs=4).fit(X, y, groups=person)
    (training,) = ran
    val, train = person[training.val_rows], person[training.schedule.rows]
    assert len(set(val)) == 3 and not set(val) & set(train) and len(val) + len(train) == 90
    f1 = [row["val_macro_f1"] for row in fitted.history_]
    assert training.best["epoch"] == 1 + max(range(4), key=lambda k: (f1[k], -fitted.history_[k]["val_loss"]))
    small(val_share=0.3).fit(X, y)
    seizures = (y[ran[1].val_rows] == "seiz").sum()
    assert len(ran[1].val_rows) == 27 and seizures in (13, 14)  # half of them, as of all windows


def test_balanced_weights_raise_what_is_rare(windows):
    X, y, _ = windows
    keep = np.r_[np.flatnonzero(y == "bckg"), np.flatnonzero(y == "seiz")[:5]]
    settings = {**SMALL, "trainer.steps_per_epoch": 30}
    plain = small(epochs=1, settings=settings).fit(X[keep], y[keep])
    weighed = small(epochs=1, settings={**settings, "loss.class_weights": "balanced"}).fit(X[keep], y[keep])
    assert weighed.predict_proba(X)[:, 1].mean() > plain.predict_proba(X)[:, 1].mean()


def test_persons_are_what_meta_learning_learns_over(windows):
    X, y, person = windows
    meta = small(settings={**SMALL, "model.meta_lr": 0.1})
    one, other = (clone(meta).fit(X, y, groups=groups).predict_proba(X) for groups in (person, person[::-1]))
    assert (one != other).any()
    assert (meta.fit(X, y, groups=person).predict_proba(X) == one).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_of_the_configs_can_be_fitted(name, windows):
    settings = {"trainer.max_steps": 1, "trainer.batch_size": 8}
    rng = np.random.default_rng(1)
    X = rng.standard_normal((9, 19, 256))  # the article's electrodes; some networks need two or more
    fitted = SeizureClassifier(name, settings=settings, random_state=0).fit(X, np.arange(9) % 3)
    probability = fitted.predict_proba(X)
    assert probability.shape == (9, 3)
    np.testing.assert_allclose(probability.sum(1), 1)


# ----------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "given, words",
    [
        ({"model": "eegnett"}, "model/eegnett: there is no such config"),
        ({"model": "random_forest", "settings": None}, "is no network"),
        ({"settings": {"dataset": "tusz"}}, "dataset says nothing about how a network learns"),
        ({"settings": {"trainer.epochs": 3}}, "trainer.epochs is told to the classifier by epochs"),
        ({"settings": {"trainer.batch": 3}}, "trainer.batch: there is no such setting"),
        ({"settings": {"model.net.filter": 3}}, "model.net.filter: there is no such setting. Did you mean"),
        ({"settings": {"trainer.batch_size": -1}}, "trainer.batch_size=-1 must be in"),
        ({"sfreq": 0.0}, "sfreq=0.0 must be"),
        ({"sfreq": 4000.0, "settings": None}, "is too short for eegnet"),
        ({"val_share": 0.9}, "val_share=0.9 must be in"),
        ({"device": "tpu"}, "device"),
        ({"lr": "fast"}, "optim.lr"),
    ],
)
def test_a_wrong_setting_is_one_line_when_it_is_fitted_and_not_before(windows, given, words):
    made = small(**given)
    assert made.get_params()[next(iter(given))] == next(iter(given.values()))
    with pytest.raises(ConfigError, match=words.replace(".", r"\.")) as refused:
        made.fit(*windows[:2])
    assert "\n" not in str(refused.value)


def test_windows_and_labels_that_do_not_fit_are_refused_in_the_words_of_scikit_learn(windows):
    X, y, person = windows
    with pytest.raises(ValueError, match="one class"):
        small().fit(X, np.zeros(90))
    with pytest.raises(ValueError, match="groups has shape"):
        small().fit(X, y, groups=person[:5])
    with pytest.raises(ValueError, match="X has 4 dimensions"):
        small().fit(X[..., None], y)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        small().fit(X, y[:5])
    broken = copy.copy(X)
    broken[3, 1, 7] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        small().fit(broken, y)
    fitted = small().fit(X, y)
    with pytest.raises(ValueError, match=r"windows of \(3, 100\) channels and samples, but .*\(3, 128\)"):
        fitted.predict(X[..., :100])
    with pytest.raises(ValueError, match="X has 2 features, but SeizureClassifier is expecting 3"):
        fitted.predict(X[:, :2])
