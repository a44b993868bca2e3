"""Chunks in, alarms out: the same as the file, whatever the chunks, and no later than promised."""

import mne
import numpy as np
import pytest
from deploy_tools import CHANNELS, LIVE, Loudness, brain, recipe, write_edf

from distilclip_eeg.config.detection import DetectConfig
from distilclip_eeg.deploy.detector import Detector
from distilclip_eeg.deploy.live import Alarms
from distilclip_eeg.schema import ConfigError, DataError
from distilclip_eeg.scoring.events.detect import Trace, events_from_probability

SEIZURES = [(8, 15), (18, 24), (31, 36)]
SECONDS = 40


def read_back(path):
    """The volts that the file holds, rounded to its steps."""
    return mne.io.read_raw_edf(path, verbose="error").get_data()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A file and its volts at each rate."""
    folder = tmp_path_factory.mktemp("live")
    made = {}
    for sfreq in (256, 200):
        path = write_edf(folder / f"{sfreq}.edf", brain(SECONDS, sfreq, seizures=SEIZURES), sfreq)
        made[sfreq] = path, read_back(path)
    return made


def live(detector, volts, sfreq, chunks):
    detector.start(sfreq)
    alarms, at = [], 0
    for n in chunks:
        alarms += detector.push(volts[:, at : at + n])
        at += n
    assert at >= volts.shape[1]
    found, late = detector.finish()
    return found, alarms + late


def equal(n):
    return lambda total: [n] * -(-total // n)


def at_random(total):
    sizes = np.random.default_rng(3).integers(0, 700, 1000)  # some of them empty
    return [*sizes[: np.searchsorted(np.cumsum(sizes), total) + 1]]


@pytest.mark.parametrize(
    "sfreq, hop_s, cut",
    [
        (256, 1.0, equal(1)),  # sample by sample, which is slow
        *((256, 1.0, cut) for cut in (equal(77), equal(256), equal(10**6), at_random)),
        *((200, 0.5, cut) for cut in (equal(7), equal(77), equal(200), equal(10**6), at_random)),
    ],
)
def test_streaming_gives_what_the_file_gives(recorded, sfreq, hop_s, cut):
    path, volts = recorded[sfreq]
    detector = Detector(LIVE, Loudness(), hop_s)
    whole = detector.file(path)
    found, alarms = live(detector, volts, sfreq, cut(volts.shape[1]))
    np.testing.assert_array_equal(found.trace.start_s_N, whole.trace.start_s_N)
    np.testing.assert_allclose(found.trace.probability_N, whole.trace.probability_N, atol=1e-6)
    assert found.events == whole.events and len(found.events) >= 2
    assert [alarm.onset_s for alarm in alarms] == [event.onset_s for event in whole.events]


def test_how_the_signal_is_cut_changes_no_bit(recorded):
    _, volts = recorded[200]
    detector = Detector(LIVE, Loudness())
    one, other = (live(detector, volts, 200, cut(volts.shape[1]))[0] for cut in (equal(7), at_random))
    assert np.array_equal(one.trace.probability_N, other.trace.probability_N)


@pytest.mark.parametrize(
    "detect",
    [
        DetectConfig(),
        DetectConfig(smooth_s=0, min_duration_s=0),
        DetectConfig(smooth_s=3, min_duration_s=6),
        DetectConfig(smooth_s=0, merge_gap_s=10, min_duration_s=4),
        DetectConfig(smooth_s=3, threshold=0.8, release=0.3, prevalence=0.5, prior=0.3),
    ],
)
def test_an_alarm_comes_no_later_than_the_latency_and_one_hop_after_the_onset(recorded, detect):
    path, volts = recorded[200]
    detector = Detector(LIVE, Loudness(), detect=detect)
    _, alarms = live(detector, volts, 200, equal(10)(volts.shape[1]))
    assert [a.onset_s for a in alarms] == [e.onset_s for e in detector.file(path).events]
    promised = detector.latency_s(200)
    assert promised == pytest.approx(detect.delay_s(1.0) + 0.05)
    for alarm in alarms:
        assert alarm.raised_s - alarm.onset_s <= promised + 1.0
        assert alarm.raised_s - alarm.onset_s > promised - 1.0  # and it is no empty promise


def random_cases(n):
    rng = np.random.default_rng(11)
    for _ in range(n):
        length_s = float(rng.choice([1.0, 2.0]))
        yield (
            np.round(rng.random(rng.integers(1, 60)), 2),
            float(rng.choice([1.0, 0.5, 0.25])),
            length_s,
            DetectConfig(
                smooth_s=float(rng.choice([0, 1, 2.5, 5])),
                threshold=float(rng.choice([0.35, 0.5, 0.61])),
                merge_gap_s=float(rng.choice([0, 1, 2.5])),
                min_duration_s=float(rng.choice([0, 2, 5])),
                release=[None, 0.2, 0.35][rng.integers(3)],
                **[{}, {"prevalence": 0.4, "prior": 0.25}][rng.integers(2)],
            ),
        )


def test_alarms_are_the_onsets_of_the_events_of_any_trace():
    total = 0
    for probability, hop_s, length_s, detect in random_cases(250):
        trace = Trace(probability, np.arange(len(probability)) * hop_s, hop_s, length_s)
        track = events_from_probability(trace, detect)
        alarms, found = Alarms(detect, hop_s, length_s), []
        for value in probability:
            found += alarms.push(np.array([value]))
        found += alarms.push(np.empty(0), over=True)
        assert [k * hop_s for k in found] == track.events_E2[:, 0].tolist()
        total += len(found)
    assert total > 200


def test_alarms_with_a_release_do_not_depend_on_how_probabilities_arrive():
    rng = np.random.default_rng(4)
    detect = DetectConfig(smooth_s=3, threshold=0.6, release=0.45, prevalence=0.4, prior=0.5)
    for _ in range(50):
        probability = np.round(rng.random(rng.integers(1, 200)), 2)
        trace = Trace(probability, np.arange(len(probability)) * 1.0)
        alarms, found, at = Alarms(detect, 1.0, 1.0), [], 0
        while at < len(probability):
            n = int(rng.integers(0, 30))
            found += alarms.push(probability[at : at + n])
            at += n
        found += alarms.push(np.empty(0), over=True)
        assert found == events_from_probability(trace, detect).events_E2[:, 0].tolist()


def test_live_channels_may_come_in_another_order_and_under_other_names(recorded):
    path, volts = recorded[256]
    detector = Detector(LIVE, Loudness())
    expected = detector.file(path)
    detector.start(256, ("ECG", "EEG T7-REF", "C3", "F3"))
    detector.push(np.concatenate([volts[:1], volts[::-1]]))
    found, _ = detector.finish()
    np.testing.assert_allclose(found.trace.probability_N, expected.trace.probability_N, atol=1e-6)


@pytest.mark.parametrize("signals", [{}, {"phase": "causal"}, {"normalize": "running"}])
def test_a_model_that_needs_the_future_is_not_run_live(signals):
    detector = Detector(recipe(**signals), Loudness())
    with pytest.raises(ConfigError, match="knows the past alone"):
        detector.push(np.zeros((3, 10)))


def test_wrong_chunks_are_refused_and_change_nothing(recorded):
    path, volts = recorded[256]
    detector = Detector(LIVE, Loudness())
    detector.start()
    detector.push(volts[:, :5000])
    for chunk, reason in (
        (volts[:2, :10], "wrong_shape"),
        (volts[0, :10], "wrong_shape"),
        (np.full((3, 10), np.nan), "not_finite"),
    ):
        with pytest.raises(DataError) as caught:
            detector.push(chunk)
        assert caught.value.reason == reason
    detector.push(volts[:, 5000:])
    assert detector.finish()[0].events == detector.file(path).events


def test_a_live_recording_of_less_than_a_window_has_no_result():
    detector = Detector(LIVE, Loudness())
    with pytest.raises(ConfigError, match="no live recording"):
        detector.finish()
    detector.push(np.zeros((len(CHANNELS), 200)))
    with pytest.raises(DataError) as caught:
        detector.finish()
    assert caught.value.reason == "too_short"
    detector.start()
    with pytest.raises(DataError, match="0 s have come"):
        detector.finish()


def test_a_live_rate_that_lacks_the_band_is_refused():
    with pytest.raises(DataError) as caught:
        Detector(LIVE, Loudness()).start(100)
    assert caught.value.reason == "low_rate"


def test_memory_does_not_grow_while_a_recording_goes_on(recorded):
    _, volts = recorded[200]
    detector = Detector(LIVE, Loudness())
    detector.start(200)
    sizes = []
    for _ in range(6):
        detector.push(volts)
        stream = detector.stream
        past = stream.windows.past.sums_2CT.size, stream.windows.tail_CT.size
        sizes.append((*past, stream.filter.resampler.kept.size))
    assert max(sizes[3:]) <= max(sizes[1:3])
    assert max(past) < 3 * 2 * 62 * 256
