"""A recording in, events out: against the whole thing worked by hand, and what is refused."""

import mne
import numpy as np
import pandas as pd
import pytest
from deploy_tools import CHANNELS, LIVE, Loudness, brain, recipe, with_gap, write_edf

from distilclip_eeg.artefact.recipe import ictal
from distilclip_eeg.config.data import SignalConfig
from distilclip_eeg.config.detection import DetectConfig
from distilclip_eeg.corpora.edf.montage import BIPOLAR_18, STANDARD_19, Montage
from distilclip_eeg.corpora.edf.reader import read_eeg
from distilclip_eeg.deploy.detector import Detector
from distilclip_eeg.deploy.odd import age_warnings
from distilclip_eeg.schema import ConfigError, DataError, Recording, RecordingRef
from distilclip_eeg.signals.preprocess import preprocess
from distilclip_eeg.training.loaders import running_statistics

SEIZURES = [(60, 80), (120, 131)]


@pytest.fixture
def edf(tmp_path):
    return write_edf(tmp_path / "a.edf", brain(180, 256, seizures=SEIZURES), 256)


def codes(found):
    return [warning.partition(":")[0] for warning in found.warnings]


def cleaned(path, config):
    read = read_eeg(path, Montage("native", CHANNELS))
    return preprocess(Recording(RecordingRef("a", "b", path), 256, CHANNELS, read.pieces, ()), config)


def by_hand(path, config, hop):
    """Probability of every window, all in memory, normalised over the recording."""
    pieces = cleaned(path, config)
    both = np.concatenate([p.uv_CT for p in pieces], axis=1)
    start_s, windows = [], []
    for piece in pieces:
        for first in range(0, piece.uv_CT.shape[1] - 255, hop):
            start_s.append(piece.start_s + first / 256)
            windows.append(
                (piece.uv_CT[:, first : first + 256] - both.mean(1)[:, None]) / both.std(1)[:, None]
            )
    return np.array(start_s), ictal(Loudness().logits(np.array(windows)).astype(float))


@pytest.mark.parametrize("hop_s, n", [(1.0, 180), (0.5, 359)])
def test_every_window_is_scored_as_by_hand(edf, hop_s, n):
    found = Detector(recipe(), Loudness(), hop_s).file(edf)
    start_s, probability = by_hand(edf, SignalConfig(), round(256 * hop_s))
    assert len(found.trace.start_s_N) == n
    np.testing.assert_array_equal(found.trace.start_s_N, start_s)
    np.testing.assert_allclose(found.trace.probability_N, probability, atol=1e-5)


def test_the_events_are_the_seizures(edf):
    found = Detector(recipe(), Loudness(), detect=DetectConfig(smooth_s=0)).file(edf)
    assert [(e.onset_s, e.offset_s, e.label) for e in found.events] == [(60, 80, "seiz"), (120, 131, "seiz")]
    assert (found.confidence_E > 0.9).all() and len(found.confidence_E) == 2
    assert found.span_s == 180 and not len(found.gaps_G2)
    told = found.annotations()
    assert told.onset.tolist() == [60, 120] and told.duration.tolist() == [20, 11]
    assert set(told.description) == {"seiz"} and told.orig_time is None


def test_no_event_is_no_event(edf):
    found = Detector(recipe(), Loudness(), detect=DetectConfig(threshold=float("inf"))).file(edf)
    assert found.events == [] and found.confidence_E.shape == (0,) and len(found.annotations()) == 0


def test_events_of_a_discontinuous_file_are_in_file_time_and_end_at_the_gap(tmp_path):
    uv = brain(180, 256, seizures=[(50, 90), (120, 131)])
    path = write_edf(tmp_path / "a.edf", uv, 256, **with_gap(uv, 256, (70, 100)))
    found = Detector(recipe(), Loudness(), detect=DetectConfig(smooth_s=0)).file(path)
    assert [(e.onset_s, e.offset_s) for e in found.events] == [(50, 70), (120, 131)]
    assert found.gaps_G2.tolist() == [[70, 100]] and found.span_s == 180
    assert found.track.recorded_s == 150  # the gap is no data, neither seizure nor background
    assert not ((found.trace.start_s_N > 69) & (found.trace.start_s_N < 100)).any()


def test_a_seizure_is_not_joined_to_another_across_a_gap(tmp_path):
    uv = brain(120, 256, seizures=[(50, 80)])
    path = write_edf(tmp_path / "a.edf", uv, 256, **with_gap(uv, 256, (64, 66)))
    settings = DetectConfig(smooth_s=0, merge_gap_s=30)
    found = Detector(recipe(), Loudness(), detect=settings).file(path)
    assert [(e.onset_s, e.offset_s) for e in found.events] == [(50, 64), (66, 80)]


def test_a_stretch_shorter_than_a_window_is_told_and_left_out(tmp_path):
    uv = brain(60, 256)
    how = {"kept": [*range(40), 45, *range(50, 60)]}
    path = write_edf(tmp_path / "a.edf", uv, 256, onsets_s=how["kept"], **how)
    found = Detector(recipe(n_times=512), Loudness()).file(path)
    assert "short_piece" in codes(found)
    assert 45 not in found.trace.start_s_N and 50 in found.trace.start_s_N
    assert found.gaps_G2.tolist() == [[40, 45], [46, 50]]


@pytest.mark.parametrize("preload", [True, False])
def test_an_mne_object_gives_the_events_of_its_file(edf, preload):
    raw = mne.io.read_raw_edf(edf, preload=preload, verbose="error")
    detector = Detector(recipe(), Loudness())
    a, b = detector.file(edf), detector.raw(raw)
    np.testing.assert_allclose(a.trace.probability_N, b.trace.probability_N, atol=1e-5)
    assert a.events == b.events
    raw.set_annotations(b.annotations())
    assert raw.annotations.onset.tolist() == [e.onset_s for e in a.events]


def test_the_same_recording_twice_is_the_same_result(edf):
    one, two = (Detector(recipe(), Loudness()).file(edf) for _ in range(2))
    assert np.array_equal(one.trace.probability_N, two.trace.probability_N)


@pytest.mark.parametrize("batch_size", [1, 64, 1000])
def test_the_batch_changes_nothing(edf, batch_size):
    network = Loudness()
    found = Detector(recipe(), network, batch_size=batch_size).file(edf)
    assert max(network.batches) <= batch_size and sum(network.batches) == 180
    expected = Detector(recipe(), Loudness()).file(edf)
    np.testing.assert_allclose(found.trace.probability_N, expected.trace.probability_N, atol=1e-6)


def test_running_normalisation_is_that_of_training(edf):
    seen = []

    class Watching(Loudness):
        def logits(self, eeg_BCT):
            seen.append(eeg_BCT.copy())
            return super().logits(eeg_BCT)

    Detector(LIVE, Watching(), hop_s=0.5).file(edf)
    (piece,) = cleaned(edf, LIVE.signals)

    class Store:
        sfreq, ch_names = 256.0, CHANNELS
        signal_TC, gain_RC = piece.uv_CT.T, np.ones((1, 3))
        pieces = pd.DataFrame({"recording": [0], "first": [0], "n_samples": [piece.uv_CT.shape[1]]})

    first = np.arange(359) * 128
    mean_NC, sd_NC = running_statistics(Store, pd.DataFrame({"recording": 0, "first": first}), 256)
    expected = [
        (piece.uv_CT[:, f : f + 256] - m[:, None]) / s[:, None]
        for f, m, s in zip(first, mean_NC, sd_NC, strict=True)
    ]
    np.testing.assert_allclose(np.concatenate(seen), expected, atol=1e-4)


# ------------------------------------------------------------------------------------------------- policies


def refused(detector, path, kind=DataError):
    with pytest.raises(kind) as caught:
        detector.file(path)
    message = str(caught.value)
    assert str(path) in message and "expected" in message and "\n" not in message
    return caught.value.reason


def test_missing_channels_are_refused_unless_they_may_be_filled(tmp_path):
    uv = brain(60, 256, 18)
    path = write_edf(tmp_path / "a.edf", uv, 256, STANDARD_19[:18])
    model = recipe(ch_names=STANDARD_19)
    assert refused(Detector(model, Loudness()), path) == "missing_channels"
    for how in ("zero", "interpolate"):
        found = Detector(model, Loudness(), channels=how).file(path)
        assert found.filled == ("PZ",) and "filled_channels" in codes(found)


def test_derivations_cannot_be_interpolated_from_derivations(tmp_path):
    names = BIPOLAR_18
    path = write_edf(tmp_path / "a.edf", brain(60, 256, 17), 256, names[:17])
    detector = Detector(recipe(ch_names=names, montage="bipolar18"), Loudness(), channels="interpolate")
    assert refused(detector, path) == "missing_channels"


def test_a_montage_that_the_file_cannot_give_is_refused(tmp_path):
    path = write_edf(tmp_path / "a.edf", brain(60, 256, 18), 256, BIPOLAR_18)
    assert (
        refused(Detector(recipe(ch_names=STANDARD_19, montage="car19"), Loudness()), path)
        == "missing_channels"
    )


@pytest.mark.parametrize("sfreq, told", [(256, []), (500, ["resampled"])])
def test_another_rate_is_brought_to_the_model_s_and_told(tmp_path, sfreq, told):
    path = write_edf(tmp_path / "a.edf", brain(60, sfreq, seizures=[(20, 30)]), sfreq)
    found = Detector(recipe(), Loudness(), detect=DetectConfig(smooth_s=0), ages="unknown").file(path)
    assert [code for code in codes(found) if code != "unknown_ages"] == told
    assert [(e.onset_s, e.offset_s) for e in found.events] == [(20, 30)]


def test_a_file_of_less_than_a_window_is_refused(tmp_path):
    path = write_edf(tmp_path / "a.edf", brain(3, 256), 256)
    assert refused(Detector(recipe(n_times=1024), Loudness()), path) == "too_short"


def test_another_kind_of_file_is_refused_in_words(tmp_path):
    detector = Detector(recipe(), Loudness())
    for name, content, reason in (
        ("a.edf", b"PK\3\4 and so on", "not_edf"),
        ("b.edf", b"", "empty_file"),
        ("c.edf", b"0       " + b" " * 90, "header_truncated"),
    ):
        (tmp_path / name).write_bytes(content)
        assert refused(detector, tmp_path / name) == reason
    assert refused(detector, tmp_path / "none.edf") == "missing_file"
    assert refused(detector, tmp_path) == "not_a_file"


def test_a_model_that_rests_on_its_training_recordings_is_refused():
    with pytest.raises(ConfigError, match="normalize=train"):
        Detector(recipe(normalize="train"), Loudness())


def test_a_recipe_whose_channels_are_not_its_montage_s_is_refused():
    with pytest.raises(DataError, match="montage bipolar18"):
        Detector(recipe(ch_names=BIPOLAR_18[::-1], montage="bipolar18"), Loudness())


@pytest.mark.parametrize("hop_s", [0, -1, 1.5, 0.001, float("nan")])
def test_a_hop_must_leave_no_time_out_and_be_whole_samples(hop_s):
    with pytest.raises(ConfigError, match="hop_s"):
        Detector(recipe(), Loudness(), hop_s)


def test_a_network_that_answers_with_no_number_is_told(edf):
    class Broken:
        def logits(self, eeg_BCT):
            return np.full((len(eeg_BCT), 2), np.nan, np.float32)

    with pytest.raises(DataError) as caught:
        Detector(recipe(), Broken()).file(edf)
    assert caught.value.reason == "bad_network"


@pytest.mark.parametrize(
    "trained, said, band, outcome",
    [
        ("child", None, "child", []),
        ("child", None, "infant", []),
        ("child", None, "adolescent", []),
        ("child and adult", None, "older adult", []),
        ("child", "child", "", []),
        ("child", None, "", ["unknown_age"]),
        ("unknown", None, "adult", ["unknown_ages"]),
        ("child", "any", "adult", ["other_age_group"]),
        ("child", "any", "", ["unknown_age"]),
        ("child", None, "adult", "refused"),
        ("child", "child", "adult", "refused"),  # the file's own word goes first
        ("adult", None, "neonate", "refused"),
        ("adult", "child and adult", "", "refused"),
    ],
)
def test_a_model_is_not_silently_used_on_another_age_group(trained, said, band, outcome):
    if outcome == "refused":
        with pytest.raises(DataError, match="ages=any") as caught:
            age_warnings("a.edf", trained, said, band)
        assert caught.value.reason == "other_age_group"
    else:
        assert [w.partition(":")[0] for w in age_warnings("a.edf", trained, said, band)] == outcome


def test_the_age_in_a_header_is_compared_with_the_model_s(tmp_path):
    path = write_edf(tmp_path / "a.edf", brain(60, 256), 256, patient="X F 01-JAN-1950 X Age:70")
    assert refused(Detector(recipe(ages="child"), Loudness()), path) == "other_age_group"
    assert "other_age_group" in codes(Detector(recipe(ages="child"), Loudness(), ages="any").file(path))
    assert codes(Detector(recipe(ages="adult"), Loudness()).file(path)) == []


def test_an_age_group_that_the_model_does_not_know_is_a_wrong_setting():
    with pytest.raises(ConfigError, match="ages=any"):
        Detector(recipe(ages="child"), Loudness(), ages="neonate")
    with pytest.raises(ConfigError, match="ages"):
        Detector(recipe(ages="child"), Loudness(), ages="teenager")
    with pytest.raises(ConfigError, match="channels"):
        Detector(recipe(), Loudness(), channels="guess")
