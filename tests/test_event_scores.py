"""SzCORE against its golden cases and its own library, NEDC against the cases its scorer was run on."""

import json
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest
from timescoring.annotations import Annotation
from timescoring.scoring import EventScoring, SampleScoring

from distilclip_eeg.config.detection import DetectConfig
from distilclip_eeg.schema import ConfigError, DataError
from distilclip_eeg.scoring.events import nedc, szcore
from distilclip_eeg.scoring.events.counts import Counts, rates
from distilclip_eeg.scoring.events.detect import Trace, events_from_probability
from distilclip_eeg.scoring.events.spans import Track
from distilclip_eeg.scoring.events.szcore import SzcoreConfig

GOLDEN = json.loads((Path(__file__).parent / "golden_events.json").read_text())
NEDC = GOLDEN["nedc_v6_0_0"]
PARAMETERS = {
    "toleranceStart": "tolerance_start_s",
    "toleranceEnd": "tolerance_end_s",
    "minOverlap": "min_overlap",
    "maxEventDuration": "max_event_s",
    "minDurationBetweenEvents": "merge_gap_s",
}


def tracks(reference, hypothesis, duration_s=3600.0):
    return Track(reference, [(0, duration_s)]), Track(hypothesis, [(0, duration_s)])


def fractions(*values):
    """Of a Counts as a tuple."""
    return pytest.approx(values)


def same(counts, expected):
    """Counts and rates as the golden file writes them: null is undefined, ten decimals."""
    wanted = {k: np.nan if v is None else v for k, v in expected.items()}
    got = {"ref_true": counts.tp + counts.fn, "tp": counts.tp, "fp": counts.fp, "fn": counts.fn}
    assert got | counts.rates == pytest.approx(wanted, abs=1e-9, nan_ok=True)


# --- SzCORE


def test_the_library_is_the_one_the_golden_cases_come_from():
    assert szcore.LIBRARY == GOLDEN["generator"] == "timescoring 0.0.7"
    assert len(GOLDEN["cases"]) == 28
    assert sum(c["upstream_quirk"] is not None for c in GOLDEN["cases"]) == 4


@pytest.mark.parametrize("case", GOLDEN["cases"], ids=lambda c: c["name"])
def test_scores_equal_the_golden_cases_quirks_in_their_sanitised_form(case):
    expected = case["expected_sanitised"] if case["upstream_quirk"] else case["expected"]
    pair = tracks(case["ref"], case["hyp"], case["duration_s"])
    config = SzcoreConfig(**{PARAMETERS[k]: v for k, v in case["params"].items()})
    same(szcore.event_counts(*pair, config), expected["event"])
    same(szcore.sample_counts(*pair), expected["sample_1hz"])


def random_case(rng):
    """Events that do not touch, on a 0.01-s grid, none lost on the library's; and the same told badly."""
    duration_s = int(rng.choice([0, 1, 120, 3600, 20_000])) + int(rng.integers(1, 3000))
    clean = []
    for _ in range(2):
        n = int(rng.integers(0, 13))
        ends = np.sort(rng.integers(0, 100 * duration_s + 1, 2 * n)).reshape(-1, 2) / 100
        ends = [(a, b) for a, b in ends.tolist() if b - a >= 0.1]
        clean.append([e for i, e in enumerate(ends) if i == 0 or e[0] > ends[i - 1][1]])
    told = []
    for events in clean:
        bad = [part for a, b in events for part in ((a, (a + b) / 2), ((a + 3 * b) / 4, b), (a, b))]
        told.append([bad[i] for i in rng.permutation(len(bad))])
    return duration_s, clean, told


def check_against_library(seed, n):
    """Our scores of badly told events equal the library's of the clean ones; returns the event counts."""
    rng, seen = np.random.default_rng(seed), Counts()
    for _ in range(n):
        duration_s, clean, told = random_case(rng)
        ref, hyp = (Annotation(list(events), 10, duration_s * 10) for events in clean)
        pair = tracks(*told, duration_s)
        for score, theirs in (
            (szcore.event_counts, EventScoring(ref, hyp)),
            (szcore.sample_counts, SampleScoring(ref, hyp)),
        ):
            ours = score(*pair)
            assert (ours.tp, ours.fp, ours.tp + ours.fn) == (theirs.tp, theirs.fp, theirs.refTrue), (
                told,
                score,
            )
            wanted = [theirs.sensitivity, theirs.precision, theirs.f1, theirs.fpRate]
            np.testing.assert_allclose(list(ours.rates.values()), wanted, rtol=0, atol=1e-9)
            seen += ours if score is szcore.event_counts else Counts()
    assert min(seen.tp, seen.fp, seen.fn) > n / 10  # the cases are not trivial
    return seen


def test_300_random_cases_equal_the_library_however_they_are_told():
    check_against_library(1, 300)


@pytest.mark.slow
def test_3_000_random_cases_equal_the_library_however_they_are_told():
    check_against_library(2, 3_000)


def test_events_of_the_golden_cases_after_merge_and_split_are_those_of_clean_input():
    for case in GOLDEN["cases"]:
        expected = case["expected_sanitised"] if case["upstream_quirk"] else case["expected"]
        if case["params"] or case["name"] == "sub_tick_hyp":
            continue  # that alarm is dropped on the grid, not as an event
        n = case["duration_s"] * 10
        events = [[tuple(e) for e in t.events_E2.tolist()] for t in tracks(case["ref"], case["hyp"], n / 10)]
        theirs = EventScoring(*(Annotation(e, 10, n) for e in events))
        for side in ("ref", "hyp"):
            merged = [list(e) for e in getattr(theirs, side).events]
            assert merged == expected[f"event_{side}_after_merge_split"], case["name"]


def test_an_event_at_the_very_end_and_one_past_it_are_cut_there():
    pair = tracks([(3590, 3700)], [(3599.5, 9999)])
    assert szcore.event_counts(*pair) == Counts(1, 0, 0, 3600)
    assert szcore.sample_counts(*pair) == Counts(
        0, 0, 10, 3600
    )  # half of the last second rounds to none: 3600..3600
    assert szcore.sample_counts(*tracks([(3590, 3700)], [(3599, 9999)])) == Counts(1, 0, 9, 3600)


def test_a_negative_onset_is_cut_to_the_start_instead_of_counting_from_the_end():
    # The library would read index -50 as five seconds before the end.
    assert szcore.event_counts(*tracks([(0, 20)], [(-5, 3)])) == Counts(1, 0, 0, 3600)
    assert szcore.sample_counts(*tracks([(0, 20)], [(-5, 3)])) == Counts(3, 0, 17, 3600)
    assert szcore.event_counts(*tracks([], [(-5, -1)])) == Counts(0, 0, 0, 3600)


def test_a_recording_of_no_length_scores_nothing_and_divides_by_nothing():
    for duration_s in (0.0, 0.04):
        for score in (szcore.event_counts, szcore.sample_counts):
            counts = score(*tracks([(0, 10)], [(0, 10)], duration_s))
            assert counts == Counts() and np.isnan(list(counts.rates.values())).all()
    assert nedc.ovlp(*tracks([(0, 10)], [], 0.0)) == nedc.taes(*tracks([], [(0, 1)], 0.0)) == Counts()


def test_gaps_count_neither_as_seizure_nor_as_time_without_alarm():
    # An hour of signal, with an hour's gap in the middle; a seizure annotated across the gap, and an alarm
    # likewise.
    pieces = [(0, 1800), (5400, 7200)]
    reference, hypothesis = Track([(1770, 5460)], pieces), Track([(1700, 1710), (1790, 5500)], pieces)
    assert reference.events_E2.tolist() == [[1770, 1800], [5400, 5460]]
    events = szcore.event_counts(reference, hypothesis)
    assert events == Counts(2, 0, 0, 3600)  # 1700 is 80 s before the next alarm: one
    samples = szcore.sample_counts(reference, hypothesis)
    assert samples == Counts(10 + 60, 10 + 40, 20, 3600)
    assert samples.rates["fp_per_24h"] == pytest.approx(50 * 24)
    assert nedc.ovlp(reference, hypothesis) == Counts(2, 1, 0, 3600)
    # The seizure's 30 s are covered for 10; its 60 s in full, with 40 s too many.
    assert astuple(nedc.taes(reference, hypothesis)) == fractions(1 / 3 + 1, 1 + 40 / 60, 2 / 3, 3600)


@pytest.mark.parametrize("score", [szcore.event_counts, szcore.sample_counts, nedc.ovlp, nedc.taes])
@pytest.mark.parametrize(
    "cover", [[], [(0, 1800)], [(0, 3590)], [(10, 3600)], [(0, 3700)], [(0, 100), (200, 3600)]]
)
def test_a_hypothesis_of_another_length_is_refused_by_every_scorer(score, cover):
    with pytest.raises(DataError, match="3600 s") as error:
        score(Track([(600, 660)], [(0, 3600)]), Track([(600, 660)], cover))
    assert error.value.reason == "wrong_length"


def test_a_trace_may_lack_the_last_part_of_a_second_and_may_cover_gaps():
    reference = Track([], [(0, 100.7), (200, 300.9)])
    for cover in ([(0, 100), (200, 300)], [(0, 300.9)], [(0, 301)]):
        assert szcore.event_counts(reference, Track([], cover)).fp == 0


def test_long_windows_may_lack_as_much_as_one_at_the_end_of_each_stretch():
    reference = Track([], [(0, 103.5), (200, 303.9)])
    grid = {"hop_s": 4.0, "length_s": 4.0}
    starts = np.concatenate([np.arange(0, 100, 4.0), np.arange(200, 300, 4.0)])
    found = events_from_probability(Trace(np.zeros(len(starts)), starts, **grid), DetectConfig())
    assert nedc.ovlp(reference, found) == Counts(0, 0, 0, reference.recorded_s)
    short = events_from_probability(Trace(np.zeros(40), starts[:40], **grid), DetectConfig())
    with pytest.raises(DataError, match="47.4 s are missing"):
        nedc.ovlp(reference, short)


def test_gaps_in_a_recording_shorter_than_the_grid_leave_no_negative_time():
    slivers = [(0, 0.05), (1.35, 1.4)]
    assert szcore.sample_counts(Track([], slivers), Track([], slivers)).seconds == 0


@pytest.mark.parametrize(
    "setting",
    [{"tolerance_start_s": -1}, {"merge_gap_s": float("nan")}, {"max_event_s": 0}, {"min_overlap": 1.0}],
)
def test_parameters_that_mean_nothing_are_refused(setting):
    with pytest.raises(ConfigError, match=next(iter(setting))):
        SzcoreConfig(**setting)


# --- NEDC


@pytest.mark.parametrize("name", NEDC["cases"])
def test_ovlp_and_taes_equal_the_nine_cases_of_the_nedc_scorer(name):
    assert len(NEDC["cases"]) == 9
    pair = tracks(*NEDC["cases"][name])
    for score, key, decimals in ((nedc.ovlp, "OVERLAP", 9), (nedc.taes, "TAES", 2)):
        counts, expected = score(*pair), NEDC["expected"][name][key]
        got = [round(v, decimals) for v in (counts.tp, counts.fp, counts.fn)]
        assert got == [expected[k] for k in ("tp", "fp", "fn")]
        assert 100 * np.nan_to_num(counts.rates["sensitivity"]) == pytest.approx(expected["sens"], abs=1e-4)
        assert counts.rates["fp_per_24h"] == pytest.approx(expected["fa24"])


def test_the_same_alarm_is_all_right_for_szcore_and_all_wrong_for_nedc():
    pair = tracks([(600, 660)], [(575, 590)])  # ends 10 s before the onset
    assert szcore.event_counts(*pair) == Counts(1, 0, 0, 3600)
    assert nedc.ovlp(*pair) == nedc.taes(*pair) == Counts(0, 1, 1, 3600)


def test_overlap_must_exceed_the_guard_width():
    for shared, hit in ((0.0, 0), (0.0005, 0), (0.002, 1)):
        assert nedc.ovlp(*tracks([(600, 660)], [(590, 600 + shared)])).tp == hit


def test_taes_of_an_alarm_that_runs_from_one_seizure_into_the_next():
    # 5 of the first 10 s hit; 15 s of alarm outside, over 10, is capped at 1; the second seizure is lost.
    pair = tracks([(0, 10), (20, 30)], [(5, 25)])
    assert nedc.taes(*pair) == Counts(0.5, 1, 1.5, 3600)
    # A further alarm inside the lost seizure is false.
    assert nedc.taes(*tracks([(0, 10), (20, 30)], [(5, 25), (26, 29)])) == Counts(0.5, 2, 1.5, 3600)
    # With an earlier alarm inside the first, the long one is its second: the next seizure stays open to
    # others.
    pair = tracks([(0, 10), (20, 30)], [(1, 2), (5, 25), (26, 29)])
    assert astuple(nedc.taes(*pair)) == fractions(0.1 + 0.5 + 0.3, 1, 0.4 + 0.7, 3600)


def test_taes_caps_each_alarm_by_itself():
    # Two alarms over the ends of a 10-s seizure, 30 s outside each.
    pair = tracks([(100, 110)], [(70, 102), (109, 139)])
    assert astuple(nedc.taes(*pair)) == fractions(0.3, 1 + 1, 0.7, 3600)


@pytest.mark.parametrize("seed", range(30))
def test_fractions_add_up_to_the_number_of_events(seed):
    rng = np.random.default_rng(seed)
    _, clean, told = random_case(rng)
    for score in (nedc.ovlp, nedc.taes):
        counts = score(*tracks(*told, 30_000))
        assert counts.tp + counts.fn == pytest.approx(len(clean[0]))
        assert counts == score(*tracks(*clean, 30_000))  # order and nesting do not matter
        assert 0 <= counts.tp and counts.fp >= 0


# --- ratios


def test_rates_of_sums_are_taken_column_by_column():
    sums = np.array([[1, 1, 3, 86400.0], [0, 0, 0, 43200.0], [0, 2, 0, 43200.0], [0, 0, 1, 0.0]])
    got = rates(sums)
    np.testing.assert_allclose(got["sensitivity"], [0.25, np.nan, np.nan, 0])
    np.testing.assert_allclose(got["precision"], [0.5, np.nan, 0, np.nan])
    np.testing.assert_allclose(got["f1"], [1 / 3, np.nan, 0, 0])
    np.testing.assert_allclose(got["fp_per_24h"], [1, 0, 4, np.nan])


def test_counts_add_up():
    assert sum([Counts(1, 2, 3, 4), Counts(0.5, 0, 0, 10)], Counts()) == Counts(1.5, 2, 3, 14)
