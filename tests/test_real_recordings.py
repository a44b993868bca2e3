"""The whole data route on the 56 real CHB-MIT recordings, where the shared folder is at hand."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from tools import one_run

from distilclip_eeg.config.experiment import RunSettings
from distilclip_eeg.models.floors import band_features
from distilclip_eeg.scoring.answers import pooled
from distilclip_eeg.signals.audit import PROMISES, audit, fold_columns
from distilclip_eeg.training import classic, pipeline
from distilclip_eeg.training.data import load_data

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(
        "DISTILCLIP_EEG_SHARED" not in os.environ, reason="DISTILCLIP_EEG_SHARED names no shared folder"
    ),
]
SPLITS = ("window", "event", "recording", "time", "subject", "leave_one_subject_out")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("real")


def settings(root: Path, *more: str) -> RunSettings:
    shared = Path(os.environ["DISTILCLIP_EEG_SHARED"]) / "data" / "chbmit"
    common = ["dataset=chbmit", f"dataset.root={shared}", f"store.root={root}/store", f"run.root={root}/runs"]
    return one_run([*common, *more])


@pytest.fixture(scope="module")
def data(root):
    return load_data(settings(root, "split=subject").data)


def test_every_recording_is_used_and_the_totals_are_those_of_the_summaries(data):
    used = data.store.recordings
    assert (used["skipped"] == "").all()
    assert len(used) == 56
    assert used["subject"].nunique() == 10  # chb21 is chb01 again
    assert used["n_seizures"].sum() == 63
    assert used["duration_s"].sum() == 7214
    assert (used["n_pieces"] > 1).sum() == 30  # the EDF+D ones
    assert used["n_pieces"].sum() == 97
    assert used["flat_channels"].sum() == 0


def test_windows_are_as_many_as_an_independent_cut_finds_and_none_spans_a_gap(data):
    """11,414 windows, 8,434 of them ictal: what the reference script for the floors counts."""
    assert np.bincount(data.windows["label"]).tolist() == [2980, 8434]
    pieces = data.store.pieces.sort_values("first")
    first = data.windows["first"].to_numpy()
    at = np.searchsorted(pieces["first"], first, side="right") - 1
    end = (pieces["first"] + pieces["n_samples"]).to_numpy()[at]
    assert (first + data.length <= end).all()
    offset_s = (first - pieces["first"].to_numpy()[at]) / data.store.sfreq
    np.testing.assert_allclose(data.windows["start_s"], pieces["start_s"].to_numpy()[at] + offset_s)
    assert (data.windows["recording"] == pieces["recording"].to_numpy()[at]).all()


@pytest.mark.parametrize("split", SPLITS)
def test_the_audit_finds_in_each_split_what_its_name_says(root, split):
    found = load_data(settings(root, f"split={split}").data)
    shares = audit(found.windows)
    assert shares == found.audit and all(shares[name] == 0 for name in PROMISES[split])
    assert (shares["samples"] > 0.6) == (split == "window")
    assert (shares["recording"] == 1.0) == (split == "window")
    assert (shares["subject"] == 0.0) == (split in ("subject", "leave_one_subject_out"))
    assert (shares["future"] == 0.0) == (split in ("time", "subject", "leave_one_subject_out"))


@pytest.mark.parametrize("overlap, low, high", [(0.5, 0.94, 0.97), (0.75, 0.999, 1.0)])
def test_by_window_nearly_every_ictal_test_window_shares_samples_with_training(root, overlap, low, high):
    folds = load_data(settings(root, "split=window", f"windows.seizure_overlap={overlap}").data).windows
    for column in fold_columns(folds):
        quiet = (folds[column] == "test") & (folds["label"] == 0)
        folds[column] = folds[column].astype(str).mask(quiet, "unused")
    assert low <= audit(folds)["samples"] <= high


@pytest.mark.parametrize("split", ["subject", "leave_one_subject_out"])
@pytest.mark.parametrize("seed", range(3))
def test_chb01_and_chb21_who_are_one_child_are_never_apart(root, split, seed):
    folds = load_data(settings(root, f"split={split}", f"seed={seed}").data).windows
    for column in fold_columns(folds):
        of_case = [
            set(folds.loc[folds["recording_name"].str.startswith(case), column])
            for case in ("chb01", "chb21")
        ]
        assert of_case[0] == of_case[1] and len(of_case[0]) == 1


@pytest.fixture(scope="module")
def features_once():
    """Each window's features are computed once: five folds of three splits ask for them."""
    known = {}

    def features(eeg_NCT, sfreq):
        keys = [hashlib.sha256(window.tobytes()).digest() for window in eeg_NCT]
        fresh = [i for i, key in enumerate(keys) if key not in known]
        if fresh:
            found = band_features(eeg_NCT[fresh], sfreq)
            known.update(zip((keys[i] for i in fresh), found, strict=True))
        return np.stack([known[key] for key in keys])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classic, "band_features", features)
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("features_once")
@pytest.mark.parametrize(
    "split, accuracy, area",
    [("window", 0.847, 0.922), ("recording", 0.814, 0.892), ("subject", 0.747, 0.804)],
)
def test_logistic_regression_agrees_with_the_reference_floor_within_two_points(root, split, accuracy, area):
    run = pipeline.training(settings(root, f"split={split}", "model=logreg_bandpower")).train()
    found = pooled(run)
    assert found["accuracy"] == pytest.approx(accuracy, abs=0.02)
    assert found["auroc"] == pytest.approx(area, abs=0.02)


@pytest.mark.slow
def test_a_small_teacher_trains_on_them(root):
    asked = settings(root, "model=teacher_small", "split=recording", "fold=0", "trainer.max_steps=3")
    run = pipeline.training(asked).train()
    assert run.fold_done(0)
    assert asked.folds(run.settings.split.n_folds) == [0]
    saved = run.predictions(0)
    assert np.isfinite(saved["logits_NK"]).all()
    assert set(saved["recording"]) <= set(load_data(asked.data).windows["recording_name"])
