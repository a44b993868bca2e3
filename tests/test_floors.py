"""The floors: features against values worked out by hand, and classifiers that learn, for any sizes."""

import numpy as np
import pytest

from distilclip_eeg.config.compose import load
from distilclip_eeg.config.experiment import TrainSettings
from distilclip_eeg.models.floors import BANDS_HZ, band_features

FLOORS = ("logreg_bandpower", "random_forest")
SIZES = [(19, 256, 256.0), (23, 256, 256.0), (19, 500, 500.0), (21, 500, 500.0)]


def floor(name):
    return load(TrainSettings, [f"model={name}"]).model.net.build()


def windows(n, n_chans=19, n_times=256, seed=0):
    return np.random.default_rng(seed).normal(0, 30, (n, n_chans, n_times)).astype(np.float32)


def tones(n_outputs, n_chans, n_times, sfreq, each=6):
    """Noise windows with a rhythm whose band and half of the channels tell the class."""
    label = np.repeat(np.arange(n_outputs), each)
    hz = np.array([2, 6, 10, 20, 50])[label % 5]
    wave = 60 * np.sin(2 * np.pi * hz[:, None] * np.arange(n_times) / sfreq)
    there = (np.arange(n_chans) < n_chans // 2) == (label < 5)[:, None]
    return windows(len(label), n_chans, n_times) / 3 + (wave[:, None] * there[..., None]).astype(
        np.float32
    ), label


def learned(name, eeg, label, other, n_outputs, sfreq=256.0):
    return floor(name).fit_predict(
        band_features(eeg, sfreq), label, band_features(other, sfreq), n_outputs, seed=0
    )


@pytest.mark.parametrize("sfreq", [256.0, 500.0])
def test_a_sine_has_its_power_in_its_band_and_its_known_length(sfreq):
    n, hz = round(sfreq), 10
    eeg = 40 * np.sin(2 * np.pi * hz * np.arange(n) / sfreq)[None, None]
    *bands, length = np.exp(band_features(eeg, sfreq)[0])
    assert np.argmax(bands) == 2
    bins = np.arange(n // 2 + 1)  # a bin is 1 Hz
    width = ((bins >= BANDS_HZ[2][0]) & (bins < BANDS_HZ[2][1])).sum()
    # A Hann window spreads the 800 uV^2 of an amplitude of 40 over 9, 10 and 11 Hz, all in the band.
    assert bands[2] == pytest.approx(40**2 / 2 / width, rel=0.01)
    assert length == pytest.approx(np.abs(np.diff(eeg)).mean(), rel=1e-6)


@pytest.mark.parametrize("n_chans, n_times, sfreq", SIZES)
def test_any_montage_and_rate_gives_six_features_a_channel_each_from_its_own(n_chans, n_times, sfreq):
    eeg = windows(3, n_chans, n_times)
    features = band_features(eeg, sfreq)
    assert features.shape == (3, 6 * n_chans)
    eeg[:, 2] *= 7
    changed = (band_features(eeg, sfreq) != features).reshape(3, 6, n_chans)
    assert changed[..., 2].all() and changed.sum() == 3 * 6


@pytest.mark.parametrize("n_outputs", [2, 4, 8])
@pytest.mark.parametrize("name", FLOORS)
def test_any_number_of_classes_is_learned(name, n_outputs):
    eeg, label = tones(n_outputs, 19, 256, 256.0)
    log_p = learned(name, eeg, label, eeg, n_outputs)
    assert log_p.shape == (len(eeg), n_outputs)
    np.testing.assert_allclose(np.exp(log_p).sum(1), 1, atol=1e-4)
    assert (log_p.argmax(1) == label).all()


@pytest.mark.parametrize("name", FLOORS)
def test_flat_channels_and_windows_give_finite_figures(name):
    eeg, label = tones(2, 19, 256, 256.0)
    eeg[:, 3], eeg[4], eeg[5, :5] = 0, 7, -2
    log_p = learned(name, eeg, label, eeg, 2)
    assert np.isfinite(band_features(eeg, 256.0)).all() and np.isfinite(log_p).all()


@pytest.mark.parametrize("name", FLOORS)
def test_a_window_is_judged_alone_and_a_class_never_seen_gets_nothing(name):
    eeg, label = tones(3, 5, 256, 256.0)
    together = learned(name, eeg, label, eeg, 4)
    alone = learned(name, eeg, label, eeg[14:15], 4)
    np.testing.assert_allclose(alone[0], together[14], atol=1e-6)
    assert (together[:, 3] == np.log(1e-6)).all()
