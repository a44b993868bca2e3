"""Stretches of time, tracks, and events from a trace of probabilities."""

import numpy as np
import pytest

from distilclip_eeg.config.detection import DetectConfig
from distilclip_eeg.schema import ConfigError, DataError, Event
from distilclip_eeg.scoring.events.detect import Trace, events_from_probability, smooth
from distilclip_eeg.scoring.events.spans import Track, intersection, seconds, shared_s, spans

PLAIN = DetectConfig(smooth_s=0, min_duration_s=0)


def trace(values, start_s=None, **grid):
    values = np.asarray(values, float)
    return Trace(values, np.arange(len(values), dtype=float) if start_s is None else start_s, **grid)


def events(values, start_s=None, config=PLAIN, **grid):
    return events_from_probability(trace(values, start_s, **grid), config).events_E2.tolist()


# --- stretches


@pytest.mark.parametrize(
    "given, expected",
    [
        ([], []),
        ([(5, 5)], []),
        ([(20, 30), (0, 10)], [[0, 10], [20, 30]]),
        ([(0, 100), (10, 20), (30, 40)], [[0, 100]]),  # nested: the long end stays
        ([(0, 10), (5, 15), (15, 20)], [[0, 20]]),  # overlapping, then touching
        ([(0, 10), (0, 10)], [[0, 10]]),
        ([(-5, -1), (-2, 3)], [[-5, 3]]),
        ([Event(1, 2, "fnsz"), Event(2, 4, "gnsz")], [[1, 4]]),
        (np.array([[3, 4], [1, 2]]), [[1, 2], [3, 4]]),
    ],
)
def test_stretches_are_sorted_and_united(given, expected):
    assert spans(given).tolist() == expected


@pytest.mark.parametrize(
    "given, found",
    [
        ([(0, 1), (np.nan, 5)], "nan to 5"),
        ([(5, np.nan)], "5 to nan"),
        ([(0, np.inf)], "0 to inf"),
        ([(10, 4)], "10 to 4"),
        ([(1, 2, 3), (4, 5, 6)], "pair"),
    ],
)
def test_stretches_that_mean_nothing_are_refused_with_their_times(given, found):
    with pytest.raises(DataError, match=found) as error:
        spans(given)
    assert error.value.reason == "bad_interval"


@pytest.mark.parametrize("seed", range(20))
def test_union_and_intersection_equal_masks_on_a_fine_grid(seed):
    rng = np.random.default_rng(seed)
    lists = [np.sort(rng.integers(0, 60, (rng.integers(0, 9), 2)), axis=1) for _ in range(2)]
    masks = np.zeros((2, 60), dtype=bool)
    for mask, pairs in zip(masks, lists, strict=True):
        for a, b in pairs:
            mask[a:b] = True
    a_E2, b_P2 = (spans(pairs) for pairs in lists)
    for found, mask in ((a_E2, masks[0]), (intersection(a_E2, b_P2), masks.all(axis=0))):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], mask, [0]]))).reshape(-1, 2)
        assert spans(found).tolist() == edges.tolist()
        assert seconds(found) == mask.sum()
    assert shared_s(a_E2, b_P2).sum() == masks.all(axis=0).sum()


def test_a_track_cuts_events_to_what_was_recorded_and_knows_its_time():
    track = Track([(-10, 5), (90, 210), (290, 400)], [(200, 300), (0, 100)])
    assert track.events_E2.tolist() == [[0, 5], [90, 100], [200, 210], [290, 300]]
    assert (track.end_s, track.recorded_s) == (300, 200)
    empty = Track([(0, 10)], [])
    assert (len(empty.events_E2), empty.end_s, empty.recorded_s) == (0, 0, 0)


# --- from probabilities to events


def test_windows_from_the_threshold_on_make_half_open_events():
    assert events([0.1, 0.5, 0.9, 0.49, 0.2, 0.7]) == [[1, 3], [5, 6]]  # 0.5 counts, the last reaches the end


def test_nothing_everything_and_a_threshold_that_is_never_reached():
    assert events([]) == []
    assert events([0.2] * 5) == []
    assert events([1.0] * 5) == [[0, 5]]
    assert events([1.0] * 5, config=DetectConfig(smooth_s=0, threshold=np.inf)) == []
    assert events([0.8], config=DetectConfig(smooth_s=10, min_duration_s=1)) == [[0, 1]]


def test_short_events_go_after_near_ones_were_joined():
    values = [0, 1, 0, 1, 1, 0, 0, 0, 1, 0]
    assert events(values, config=DetectConfig(smooth_s=0, min_duration_s=2)) == [[3, 5]]
    join = DetectConfig(smooth_s=0, min_duration_s=2, merge_gap_s=2)
    assert events(values, config=join) == [[1, 5]]  # the gap of 1 s is closed, that of 3 s is not
    exactly = DetectConfig(smooth_s=0, min_duration_s=0, merge_gap_s=3)
    assert events(values, config=exactly) == [[1, 5], [8, 9]]  # 3 s is not less than 3 s


def test_half_second_steps_of_windows_of_one_second_reach_to_the_end_of_the_last():
    grid = {"hop_s": 0.5, "length_s": 1.0}
    half = 0.5 * np.arange(8)
    assert events([0, 1, 1, 0, 0, 0, 0, 1], half, **grid) == [[0.5, 2.0], [3.5, 4.5]]
    # One window below between two above: their seconds touch, so there is one event.
    assert events([0, 1, 0, 1, 0, 0, 0, 0], half, **grid) == [[0.5, 2.5]]
    two = DetectConfig(smooth_s=0, min_duration_s=1.5)
    assert events([1, 1, 0, 0, 0, 1, 0, 0], half, config=two, **grid) == [[0, 1.5]]


def test_a_tenth_of_a_second_is_counted_without_rounding():
    # Three windows of 0.1 s last 0.3 s, whatever 0.1 * 3 is in binary; so it is far from zero too.
    config = DetectConfig(smooth_s=0, min_duration_s=0.3)
    for begin in (0.0, 86_000.7):
        found = events([0, 1, 1, 1, 0, 1, 1, 0], begin + 0.1 * np.arange(8), config, hop_s=0.1, length_s=0.1)
        assert found == [pytest.approx([begin + 0.1, begin + 0.4])]


def test_no_event_spans_a_gap_and_none_is_joined_across_one():
    start_s = np.array([0, 1, 2, 3, 10, 11, 12, 13], float)
    config = DetectConfig(smooth_s=0, min_duration_s=0, merge_gap_s=60)
    track = events_from_probability(trace(np.ones(8), start_s), config)
    assert track.events_E2.tolist() == track.recorded_P2.tolist() == [[0, 4], [10, 14]]
    assert track.recorded_s == 8
    # Each part must be long enough by itself.
    values = [0, 0, 0, 1, 1, 0, 0, 0]
    assert events(values, start_s, DetectConfig(smooth_s=0, min_duration_s=2)) == []


def test_smoothing_is_a_centred_mean_that_never_looks_across_a_gap():
    start_s = np.array([0, 1, 2, 3, 4, 9, 10], float)
    given = trace([0, 0, 0.9, 0, 0, 0.3, 0.6], start_s)
    np.testing.assert_allclose(smooth(given, 2.0), [0, 0.3, 0.3, 0.3, 0, 0.45, 0.45])
    np.testing.assert_allclose(smooth(given, 4.0), [0.3, 0.225, 0.18, 0.225, 0.3, 0.45, 0.45])
    assert smooth(given, 1.9).tolist() == given.probability_N.tolist()  # no neighbour starts that near
    assert smooth(given, 600).max() <= 1


def test_a_smoothed_onset_stays_in_its_place():
    values = np.repeat([0.0, 1.0, 0.0], [20, 10, 20])
    assert events(values, config=DetectConfig(smooth_s=4, min_duration_s=0)) == [[20, 30]]


@pytest.mark.parametrize("seed", range(10))
def test_events_equal_a_second_by_second_search(seed):
    rng = np.random.default_rng(seed)
    start_s = np.cumsum(rng.choice([1, 1, 1, 1, 1, 7], 300)).astype(float)
    values = rng.random(300)
    config = DetectConfig(smooth_s=2, threshold=0.55, merge_gap_s=2, min_duration_s=3)
    at = {s: i for i, s in enumerate(start_s)}
    near = [[values[at[t]] for t in (s - 1, s, s + 1) if t in at] for s in start_s]
    above = {s for s, v in zip(start_s, near, strict=True) if np.mean(v) >= 0.55}
    for s in start_s:  # one second below between two above, all recorded
        if {s - 1, s + 1} <= above and s in at:
            above = above | {s}
    found, seen = [], None
    for s in sorted(above):
        if seen == s:
            found[-1][1] = s + 1
        else:
            found.append([s, s + 1])
        seen = s + 1
    expected = [e for e in found if e[1] - e[0] >= 3]
    assert events(values, start_s, config) == expected and len(expected) > 3


@pytest.mark.parametrize(
    "values, start_s, found",
    [
        ([0.1, np.nan], [0, 1], "nan at 1.0 s"),
        ([0.1, 1.2], [0, 1], "1.2 at 1.0 s"),
        ([-0.1, 0.2], [0, 1], "-0.1 at 0.0 s"),
        ([0.1, 0.2], [0, np.inf], "inf s"),
        ([0.1, 0.2], [1, 0], "windows at 1 and 0 s"),  # out of order
        ([0.1, 0.2], [3, 3], "windows at 3 and 3 s"),  # twice
        ([0.1, 0.2, 0.3], [0, 1, 1.5], "windows at 1 and 1.5 s"),  # the denser grid of seizure windows
        ([0.1, 0.2], [0], "one of each"),
        ([[0.1, 0.9]], [0], "one of each"),
    ],
)
def test_a_trace_that_is_none_is_refused_with_the_place(values, start_s, found):
    with pytest.raises(DataError, match=found) as error:
        Trace(values, start_s)
    assert error.value.reason == "bad_trace"


def test_a_step_that_is_neither_a_hop_nor_past_the_window_is_refused():
    with pytest.raises(DataError, match="0.5 s in time order"):
        Trace([0, 0, 0], [0, 0.5, 1.25], hop_s=0.5, length_s=1.0)
    assert len(Trace([0, 0, 0], [0, 0.5, 1.5], hop_s=0.5, length_s=1.0).stretches) == 2


@pytest.mark.parametrize("hop_s, length_s", [(0, 1), (-1, 1), (2, 1), (1, np.inf), (np.nan, 1)])
def test_a_grid_that_leaves_time_out_is_refused(hop_s, length_s):
    with pytest.raises(ConfigError, match="hop_s"):
        Trace([0.5], [0], hop_s=hop_s, length_s=length_s)


@pytest.mark.parametrize(
    "setting",
    [
        {"smooth_s": -1},
        {"min_duration_s": float("inf")},
        {"merge_gap_s": float("nan")},
        {"threshold": 0},
        {"threshold": 80},
        {"threshold": float("nan")},
    ],
)
def test_settings_that_mean_nothing_are_refused(setting):
    with pytest.raises(ConfigError, match=next(iter(setting))):
        DetectConfig(**setting)


def test_the_delay_of_a_live_detector_is_the_shortest_event_and_half_the_smoothing():
    assert DetectConfig(smooth_s=4, min_duration_s=10).delay_s(length_s=1) == 12
    assert DetectConfig(smooth_s=0, min_duration_s=0).delay_s(length_s=1) == 1
