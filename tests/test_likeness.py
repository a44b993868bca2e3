"""A recording that is unlike the training recordings: each statistic by hand, and what it tells."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from deploy_tools import CHANNELS, Loudness, brain, recipe, write_edf

from distilclip_eeg.config.detection import DetectConfig
from distilclip_eeg.corpora.edf.montage import BIPOLAR_18
from distilclip_eeg.deploy.detector import Detector
from distilclip_eeg.deploy.likeness import STATISTICS, Profiler, differences, loops_of, profiles_of, ranges
from distilclip_eeg.deploy.odd import unlike

RNG = np.random.default_rng(0)


def profile_of(uv_CT, ch_names=("F3", "C3", "T3"), sfreq=256.0, chunk=None, filled=()):
    made = Profiler(ch_names, sfreq, filled)
    for first in range(0, uv_CT.shape[1], chunk or uv_CT.shape[1]):
        made.push(uv_CT[:, first : first + (chunk or uv_CT.shape[1])])
    return made.profile()


def wave(hertz, uv, seconds=40, n_chans=3):
    time = np.arange(seconds * 256) / 256
    return np.tile(uv * np.sin(2 * np.pi * hertz * time), (n_chans, 1)).astype(np.float32)


def potentials(seconds=40, ch_names=BIPOLAR_18):
    """Derivations of the double banana from electrodes that share a slow wave and have their own."""
    electrodes = sorted({e for name in ch_names for e in name.split("-")})
    walks = np.cumsum(RNG.standard_normal((len(electrodes), seconds * 256)), axis=1)
    own = dict(zip(electrodes, walks, strict=True))
    return np.array([own[a] - own[b] for a, b in (name.split("-") for name in ch_names)], np.float32)


def test_a_wave_of_ten_hertz_is_known_by_its_size_and_has_nothing_fast():
    found = profile_of(wave(10, 50))
    assert found["amplitude"] == pytest.approx(np.log10(50 / np.sqrt(2)), abs=1e-3)
    assert found["spread"] == pytest.approx(0, abs=1e-6) and found["flat"] == 0
    assert found["fast"] < 0.01 and found["mains"] < 0.01 and "loops" not in found


@pytest.mark.parametrize("hertz, fast, mains", [(30, 1, 0), (50, 1, 1), (60, 1, 1)])
def test_fast_power_and_mains_are_shares_of_all_power(hertz, fast, mains):
    found = profile_of(wave(hertz, 50))
    assert found["fast"] == pytest.approx(fast, abs=0.02) and found["mains"] == pytest.approx(mains, abs=0.02)


def test_one_channel_of_three_that_is_ten_times_as_large_is_spread():
    uv = wave(10, 50)
    uv[0] *= 10
    assert profile_of(uv)["spread"] == pytest.approx(np.std([1, 0, 0]), abs=1e-3)


def test_a_dead_channel_is_flat_in_every_second_and_a_filled_one_is_left_out():
    uv = wave(10, 50)
    uv[1] = 0
    assert profile_of(uv)["flat"] == pytest.approx(1 / 3)
    assert profile_of(uv, filled=["C3"])["flat"] == 0


@pytest.mark.parametrize("chunk", [1, 100, 256, 1000, 5000])
def test_how_the_signal_is_cut_into_chunks_changes_nothing(chunk):
    uv = RNG.standard_normal((3, 256 * 25 + 17)).astype(np.float32) * 30
    assert profile_of(uv, chunk=chunk) == profile_of(uv)


def test_one_second_of_ten_is_looked_at():
    uv = np.zeros((3, 256 * 30), np.float32)
    for second in (0, 10, 20):
        uv[:, second * 256 : (second + 1) * 256] = wave(10, 50, seconds=1)
    assert profile_of(uv)["flat"] == 0


def test_round_a_loop_derivations_add_up_to_nothing_and_under_wrong_names_they_do_not():
    assert loops_of(BIPOLAR_18).shape == (18, 2) and loops_of(("F3", "C3")).shape[1] == 0
    assert loops_of(("F3-C3", "C3-P3", "P3-F3")).shape == (3, 1)
    uv = potentials()
    assert profile_of(uv, BIPOLAR_18)["loops"] < 1e-3
    for _ in range(20):
        assert profile_of(uv[RNG.permutation(18)], BIPOLAR_18)["loops"] > 0.2


def test_outside_the_range_and_its_margin_is_told_with_both_in_usual_units():
    known = ranges([profile_of(wave(10, uv)) for uv in (20, 60)])
    assert differences(profile_of(wave(10, 80)), known) == []  # log10(80 / 60) is 0.12, 0.2 is let through
    (said,) = differences(profile_of(wave(10, 600)), known)
    assert said == "amplitude (median SD of its channels) 424 uV, training recordings 14.1 uV to 42.4 uV"
    told = differences(profile_of(wave(50, 30)), known)
    assert [words.partition(",")[0] for words in told] == [
        "power above 20 Hz 100 %",
        "power at 50 or 60 Hz 100 %",
    ]


def test_where_nothing_is_known_nothing_is_said():
    assert differences(profile_of(wave(50, 3000)), {}) == []
    assert profile_of(np.zeros((3, 100), np.float32)) == {} and ranges([{}]) == {}
    assert set(profile_of(potentials(), BIPOLAR_18)) == set(STATISTICS)


# ------------------------------------------------------------------------- in the detector and its files


def known(uv_CT, most_alarm=None):
    """A model whose training recordings were like this one."""
    found = ranges([profile_of(uv_CT, CHANNELS)])
    return replace(recipe(), like=found, most_alarm=most_alarm)


@pytest.fixture
def edf(tmp_path):
    return write_edf(tmp_path / "a.edf", brain(60, 256, seizures=[(20, 30)]), 256)


def unlike_of(path, model):
    found = Detector(model, Loudness(), detect=DetectConfig(smooth_s=0)).file(path)
    return [w for w in found.warnings if w.startswith("unlike: ")]


def test_a_file_like_those_of_training_has_no_warning_and_another_has_one(edf, tmp_path):
    model = known(brain(60, 256, seizures=[(20, 30)], seed=3))
    assert unlike_of(edf, model) == []
    loud = write_edf(tmp_path / "b.edf", np.clip(10 * brain(60, 256), -1990, 1990), 256)
    (said,) = unlike_of(loud, model)
    assert "amplitude (median SD of its channels)" in said and "training recordings" in said
    assert unlike_of(loud, recipe()) == []  # an export from before there were ranges says nothing


def test_more_under_alarm_than_any_recording_of_validation_is_told(tmp_path):
    path = write_edf(tmp_path / "a.edf", brain(60, 256, seizures=[(10, 25)]), 256)
    found = Detector(recipe(), Loudness(), detect=DetectConfig(smooth_s=0)).file(path)
    assert [(e.onset_s, e.offset_s) for e in found.events] == [(10, 25)]
    assert unlike_of(path, replace(recipe(), most_alarm=0.25)) == []
    said = unlike_of(path, replace(recipe(), most_alarm=0.2))
    assert said == ["unlike: 25 % of it under alarm, 20 % at most of any validation recording"]


@pytest.mark.parametrize("most_alarm", [None, 0.2, 1.0])
def test_more_than_half_under_alarm_is_told_whatever_validation_held(most_alarm):
    """A model of excerpts may know recordings that are nothing but seizure."""
    model = replace(recipe(), most_alarm=most_alarm)

    def found(alarm_s):
        return SimpleNamespace(
            track=SimpleNamespace(events_E2=np.array([[5.0, 5.0 + alarm_s]]), recorded_s=100.0)
        )

    assert unlike(model, {}, found(51)) == ["unlike: 51 % of it under alarm, more than half"]
    assert bool(unlike(model, {}, found(50))) == (most_alarm == 0.2)


def test_a_store_s_recordings_have_the_profile_of_their_files():
    uv = brain(60, 256)

    class Store:
        ch_names, sfreq = CHANNELS, 256.0
        signal_TC, gain_RC = np.rint(uv.T * 10).astype(np.int16), np.full((1, 3), 0.1, np.float32)
        filled_RC = np.zeros((1, 3), bool)
        pieces = pd.DataFrame({"recording": [0], "first": [0], "n_samples": [uv.shape[1]]})

    (found,) = profiles_of(Store(), [0, 0])
    for name, value in profile_of(uv, CHANNELS).items():
        assert found[name] == pytest.approx(value, abs=1e-3)
