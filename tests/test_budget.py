"""Hysteresis, the prior of the place of use, and thresholds chosen for a budget of alarms."""

import numpy as np
import pytest

from distilclip_eeg.artefact.recipe import Recipe
from distilclip_eeg.config.data import SignalConfig
from distilclip_eeg.config.detection import DetectChanges, DetectConfig, EventConfig, at_prior
from distilclip_eeg.schema import ConfigError, DataError
from distilclip_eeg.scoring.events.budget import (
    GRID,
    choose,
    choose_window_level,
    held_prevalence,
    last_within,
)
from distilclip_eeg.scoring.events.detect import Trace, deciding, events_from_probability, under_alarm
from distilclip_eeg.scoring.events.operating import Part
from distilclip_eeg.scoring.events.spans import Track, intersection, seconds
from distilclip_eeg.scoring.events.summary import SCORERS, SZCORE_EVENT, Reference

PLAIN = DetectConfig(smooth_s=0, min_duration_s=0)


def trace(values, hop_s=1.0):
    values = np.asarray(values, float)
    return Trace(values, np.arange(len(values)) * hop_s, hop_s, hop_s)


def events(values, **settings):
    config = DetectConfig(**{"smooth_s": 0, "min_duration_s": 0, **settings})
    return events_from_probability(trace(values), config).events_E2.tolist()


# --------------------------------------------------------------------------------- hysteresis


def test_an_event_begins_at_the_threshold_and_goes_on_to_the_release():
    values = [0.4, 0.6, 0.9, 0.6, 0.5, 0.4, 0.6, 0.8, 0.3]
    assert events(values, threshold=0.8) == [[2, 3], [7, 8]]
    # 0.6 before 0.9 begins nothing; 0.6 and 0.5 after it keep it up; 0.4 ends it.
    assert events(values, threshold=0.8, release=0.5) == [[2, 5], [7, 8]]
    assert events(values, threshold=0.8, release=0.4) == [[2, 8]]
    assert events(values, threshold=0.8, release=0.8) == events(values, threshold=0.8)


def test_no_event_goes_on_across_a_gap():
    start_s = np.array([0.0, 1.0, 5.0, 6.0])
    config = DetectConfig(smooth_s=0, min_duration_s=0, threshold=0.8, release=0.5)
    found = events_from_probability(Trace(np.array([0.9, 0.6, 0.6, 0.6]), start_s), config)
    assert found.events_E2.tolist() == [[0, 2]]


def test_hysteresis_is_that_of_a_switch_window_by_window():
    rng = np.random.default_rng(5)
    for _ in range(100):
        values, on = np.round(rng.random(rng.integers(1, 40)), 1), bool(rng.integers(2))
        config = DetectConfig(threshold=0.7, release=float(rng.choice([0.3, 0.5, 0.7])))
        expected, state = [], on
        for value in values:
            state = value >= 0.7 or (state and value >= config.release)
            expected.append(state)
        found = under_alarm(values, config, on=on and config.release is not None)
        assert found.tolist() == expected


def test_a_release_above_the_threshold_is_refused():
    with pytest.raises(ConfigError, match="detect.release=0.9: above detect.threshold=0.8"):
        DetectConfig(threshold=0.8, release=0.9)


# --------------------------------------------------------------------------------- prior


def test_a_probability_moves_by_the_ratio_of_the_priors():
    # 0.5 learned at equal shares, used where one second in a hundred is seizure: it is one in a hundred.
    assert at_prior(0.5, 0.5, 0.01) == pytest.approx(0.01)
    # Odds 9 to 1 at 0.5; times 0.25 / 0.75 they are 3 to 1.
    assert at_prior(0.9, 0.5, 0.25) == pytest.approx(0.75)
    assert at_prior(np.array([0.0, 1.0]), 0.5, 0.01).tolist() == [0, 1]
    back = at_prior(at_prior(np.linspace(0, 1, 11), 0.4, 0.003), 0.003, 0.4)
    np.testing.assert_allclose(back, np.linspace(0, 1, 11), atol=1e-12)


def test_it_is_bayes_rule_for_two_bells():
    """Independent: posteriors of two normal densities at one prior, moved to those at another."""
    x = np.linspace(-3, 4, 50)
    seizure, quiet = np.exp(-((x - 1) ** 2) / 2), np.exp(-(x**2) / 2)
    at = {prior: prior * seizure / (prior * seizure + (1 - prior) * quiet) for prior in (0.4, 0.002)}
    np.testing.assert_allclose(at_prior(at[0.4], 0.4, 0.002), at[0.002], rtol=1e-12)


def test_the_prior_comes_before_smoothing():
    config = DetectConfig(prior=0.25, prevalence=0.5, smooth_s=2)
    # 0.9 is 0.75 there and 0.5 is 0.25; the mean of both and of 0 is a third of 1.
    assert deciding(trace([0.9, 0.5, 0.0]), config)[1] == pytest.approx(1 / 3)


def test_a_prior_needs_the_prevalence_that_old_exports_do_not_say():
    with pytest.raises(ConfigError, match="detect.prior=0.01: the model does not say.*Export it again"):
        DetectConfig(prior=0.01)
    with pytest.raises(ConfigError, match="Export it again"):
        DetectChanges(prior=0.01).applied(DetectConfig(threshold=0.7))


def test_the_prevalence_is_the_validation_s_own_where_nothing_is_off_and_the_trained_one_where_it_is():
    rng = np.random.default_rng(0)
    label = (rng.random(20_000) < 0.2).astype(int)
    x = label + rng.standard_normal(len(label))
    right = at_prior(1 / (1 + np.exp(0.5 - x)), 0.5, 0.2)  # exact posterior at a prevalence of 0.2
    assert held_prevalence(label, right) == pytest.approx(0.2, abs=0.01)
    assert held_prevalence(label, at_prior(right, 0.2, 0.5)) == pytest.approx(0.5, abs=0.02)
    assert held_prevalence(label, at_prior(right, 0.2, 0.01)) == pytest.approx(0.01, abs=0.002)
    assert held_prevalence(np.zeros(5, int), np.full(5, 0.5)) is None


# --------------------------------------------------------------------------------- an export's own


OWN = DetectConfig(prevalence=0.5, threshold=0.9, release=0.5, min_duration_s=5)


def test_a_new_prior_moves_the_model_s_own_threshold_along():
    made = DetectChanges(prior=0.25).applied(OWN)
    assert (made.threshold, made.release) == (pytest.approx(0.75), pytest.approx(0.25))
    assert (made.prior, made.min_duration_s) == (0.25, 5)
    values = [0.2, 0.95, 0.6, 0.4, 0.2]  # unsmoothed, the events are the very same
    before, after = (
        events_from_probability(trace(values), DetectChanges(smooth_s=0, min_duration_s=0).applied(one))
        for one in (OWN, made)
    )
    assert before.events_E2.tolist() == after.events_E2.tolist() == [[1, 3]]


def test_a_given_threshold_is_one_of_probabilities_at_the_prior():
    made = DetectChanges(prior=0.25, threshold=0.8).applied(OWN)
    assert (made.threshold, made.release) == (0.8, pytest.approx(0.25))
    assert DetectChanges(threshold=0.3).applied(OWN).release == 0.3  # never above the threshold
    with pytest.raises(ConfigError, match="detect.release"):
        DetectChanges(threshold=0.3, release=0.4).applied(OWN)


def test_nothing_changed_is_the_model_s_own_and_an_old_recipe_still_opens():
    assert DetectChanges().applied(OWN) == OWN
    recipe = Recipe(ch_names=("F3",), classes=("bckg", "seiz"), n_times=256, signals=SignalConfig())
    old = recipe.as_json() | {
        "detect": {"smooth_s": 5.0, "threshold": 0.7, "merge_gap_s": 0.0, "min_duration_s": 2.0}
    }
    assert Recipe.from_json(old).detect == DetectConfig(threshold=0.7)


def test_another_threshold_keeps_the_release_s_share():
    assert OWN.at(0.36).release == pytest.approx(0.2)
    assert OWN.at(float("inf")).release is None and DetectConfig().at(0.3).release is None


# --------------------------------------------------------------------------------- a budget


def person(name, values, seizures):
    values = np.asarray(values, float)
    track = Track(np.array(seizures, float).reshape(-1, 2), np.array([[0.0, len(values)]]))
    return Reference(name, name, track), trace(values)


def part(*people):
    return Part([p[0] for p in people], {p[0].recording: p[1] for p in people})


def steps(seconds, *runs):
    """0.01, and another value in each run of (first, one past the last, value)."""
    values = np.full(seconds, 0.01)
    for first, last, value in runs:
        values[first:last] = value
    return values


FIXED = {"smooth_s": 0.0, "merge_gap_s": 0.0, "min_duration_s": 0.0}


def test_where_background_is_short_the_lowest_threshold_within_the_share_is_taken():
    # 1,000 s without seizure: 40 at 0.8, 50 at 0.6, 30 at 0.4. Seizures of 100 s at 0.5 and 0.9.
    one = person(
        "a",
        steps(1200, (0, 40, 0.8), (100, 150, 0.6), (200, 230, 0.4), (500, 600, 0.5), (700, 800, 0.9)),
        [(500, 600), (700, 800)],
    )
    made = choose(part(one), EventConfig(**FIXED))
    # 90 s are 9 %, with the 30 more it would be 12 %: so down to 0.5, where both are hit.
    assert made.detect.threshold == 0.5 and made.detect.release is None
    assert (made.basis["hits"], made.basis["seizures"], made.basis["quiet_share"]) == (2, 2, 0.09)
    assert made.basis["quiet_hours"] == pytest.approx(1000 / 3600, abs=1e-4)
    assert "less than 10 h" in made.basis["rule"] and "10 % of the time" in made.basis["rule"]
    assert choose(part(one), EventConfig(**FIXED, budget_share=0.05)).detect.threshold == 0.8
    assert choose(part(one), EventConfig(**FIXED, budget_share=0.0)).detect.threshold == 0.9


def test_where_there_are_hours_false_alarms_a_day_count_too():
    # 12 h: 6 s at 0.9, and 10 short alarms of 5 s, 1,000 s apart, at 0.7, of which 24 a day allow 12 in all.
    hours = 12 * 3600
    quiet = [(1000 * k, 1000 * k + 5, 0.7) for k in range(1, 11)]
    more = [(1000 * k, 1000 * k + 5, 0.6) for k in range(12, 20)]
    one = person("a", steps(hours, *quiet, *more, (40_000, 40_060, 0.65)), [(40_000, 40_060)])
    a_day = choose(part(one), EventConfig(**FIXED))
    assert a_day.detect.threshold == 0.65 and a_day.basis["false_alarms_per_24h"] == pytest.approx(20)
    assert a_day.basis["hits"] == 1 and "24 false alarms a day" in a_day.basis["rule"]
    # By the share alone the eight more would do, and all else: nothing else in the recording reaches 10 %.
    share = choose(part(one), EventConfig(**FIXED, budget_hours=13))
    assert share.detect.threshold == 0.6
    assert choose(part(one), EventConfig(**FIXED, budget=10)).detect.threshold == np.inf


def test_hysteresis_and_duration_are_taken_where_they_hit_more_for_the_same_budget():
    # Quiet bumps of 4 s at 0.9 take all of the budget; a seizure of 30 s is at 0.8: events of 5 s hit it.
    bumps = [(100 * k, 100 * k + 4, 0.9) for k in range(1, 4)]
    one = person("a", steps(600, *bumps, (500, 530, 0.8)), [(500, 530)])
    plain = choose(part(one), EventConfig(**FIXED, budget_share=0.01))
    assert plain.detect.threshold == np.inf and plain.basis["hits"] == 0
    made = choose(part(one), EventConfig(smooth_s=0, budget_share=0.01))
    assert made.basis["hits"] == 1 and made.detect.min_duration_s == 5 and made.basis["quiet_share"] == 0
    # Of a seizure that flickers between 0.9 and 0.5, a release of half the threshold finds all.
    values = steps(600, (500, 530, 0.9))
    values[501:530:2] = 0.5
    held = choose(part(person("a", values, [(500, 530)])), EventConfig(smooth_s=0, budget_share=0.0))
    assert held.detect.threshold * 0.5 <= 0.5 and events_from_probability(
        trace(values), held.detect
    ).events_E2.tolist() == [[500, 530]]


def test_validation_without_a_seizure_still_holds_the_budget():
    rng = np.random.default_rng(0)
    made = choose(part(person("a", rng.random(1000), [])), EventConfig(**FIXED))
    assert 0.89 < made.detect.threshold < 0.91 and made.detect.prevalence is None


@pytest.mark.parametrize("seed", range(6))
def test_the_budget_is_respected_on_validation_whatever_the_traces(seed):
    """Property: counted anew from the events, by the second and by SzCORE's own library."""
    rng = np.random.default_rng(seed)
    people = []
    for k in range(4):
        seconds_of = int(rng.integers(300, 4000))
        onset = int(rng.integers(0, seconds_of - 60))
        noise = np.convolve(rng.random(seconds_of + 8), np.ones(9) / 9, "valid") ** rng.integers(1, 4)
        noise[onset : onset + 60] = np.clip(noise[onset : onset + 60] + 0.2 * rng.random(), 0, 1)
        people.append(person(f"p{k}", noise, [(onset, onset + 60)]))
    config = EventConfig(
        budget=float(rng.choice([5, 24, 200])),
        budget_share=float(rng.choice([0.02, 0.1, 0.3])),
        budget_hours=float(rng.choice([0, 100])),
        prior=None if seed % 2 else 0.01,
    )
    made = choose(part(*people), config)
    tracks = {r.recording: events_from_probability(t, made.detect) for r, t in people}
    quiet = {r.recording: r.track.recorded_s - seconds(r.track.events_E2) for r, _ in people}
    false_s = sum(
        seconds(tracks[r.recording].events_E2)
        - seconds(intersection(tracks[r.recording].events_E2, r.track.events_E2))
        for r, _ in people
    )
    assert false_s / sum(quiet.values()) <= config.budget_share + 1e-9
    assert made.basis["quiet_share"] == pytest.approx(false_s / sum(quiet.values()), abs=1e-5)
    if config.budget_hours == 0:
        false = sum(SCORERS[SZCORE_EVENT](r.track, tracks[r.recording]).fp for r, _ in people)
        assert false / sum(r.track.recorded_s for r, _ in people) * 86_400 <= config.budget + 1e-9
    grid = made.detect
    assert grid.min_duration_s in GRID["min_duration_s"] and grid.merge_gap_s in GRID["merge_gap_s"]


def test_nothing_below_the_first_crossing_is_taken_although_false_alarms_fall_again_there():
    counts = [0] * 5 + [1] * 8 + [5] * 12 + [0] * 20  # by falling threshold
    for most, expected in ((0, 4), (1, 12), (4, 12), (5, 44)):
        found = last_within(len(counts), lambda at, most=most: counts[at] <= most)
        assert found == expected, most
    assert last_within(1, lambda at: False) == 0  # silence is always within


def test_what_settings_fix_is_not_chosen():
    one = person("a", steps(600, (500, 530, 0.8)), [(500, 530)])
    config = EventConfig(smooth_s=3, release=0.3, min_duration_s=7, merge_gap_s=4)
    made = choose(part(one), config).detect
    assert (made.smooth_s, made.release, made.min_duration_s, made.merge_gap_s) == (3, 0.3, 7, 4)
    given = config.with_threshold(0.6)
    assert (given.threshold, given.release, given.min_duration_s) == (0.6, 0.3, 7)
    assert EventConfig().with_threshold(0.6) == DetectConfig(threshold=0.6)


def test_where_windows_are_all_there_is_the_share_of_them_is_held():
    label = np.array([0] * 10 + [1] * 5)
    score = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.9, 0.3, 0.8, 0.85, 0.95, 0.99])
    detect, basis = choose_window_level(label, score, EventConfig())
    assert detect.threshold == 0.8  # one of ten background windows reaches it; at 0.75 two do
    assert "10 % of the 10 validation windows" in basis["rule"] and basis["windows"] == 15
    with pytest.raises(DataError, match="none without seizure"):
        choose_window_level(label[10:], score[10:], EventConfig())
