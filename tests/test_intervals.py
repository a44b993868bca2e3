"""Bootstrap over subjects, corrected t, paired permutation: by hand, by enumeration, by simulation."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from distilclip_eeg.scoring.metrics import ratio
from distilclip_eeg.scoring.uncertainty import (
    EXACT_SUBJECTS,
    MIN_SUBJECTS,
    bootstrap_subjects,
    corrected_t,
    mean_of_subjects,
    paired_permutation,
    percentile_tails,
)


def pooled_share(sums):
    """Of sums (..., U, 2): hits over events."""
    return ratio(sums[..., 0].sum(axis=-1), sums[..., 1].sum(axis=-1))


# --- coverage


def coverage(n_subjects, n_windows, trials, seed, mean=0.8, sd=0.12):
    """Share of trials whose interval holds the truth: from subjects, from windows, plain percentiles."""
    rng = np.random.default_rng(seed)
    k = mean * (1 - mean) / sd**2 - 1
    held = np.zeros(3)
    for trial in range(trials):
        right_U = rng.binomial(n_windows, rng.beta(mean * k, (1 - mean) * k, n_subjects))
        interval = bootstrap_subjects(right_U / n_windows, mean_of_subjects, seed=trial)
        # Resampled windows are right as often as a binomial draw with the pooled share says.
        n = n_subjects * n_windows
        windows = rng.binomial(n, right_U.sum() / n, 2000) / n
        drawn = (right_U / n_windows)[rng.integers(0, n_subjects, (2000, n_subjects))].mean(axis=1)
        ends = [(interval.low, interval.high), *(np.quantile(v, [0.025, 0.975]) for v in (windows, drawn))]
        held += [low <= mean <= high for low, high in ends]
    return held / trials


def test_an_interval_over_subjects_covers_the_truth_and_one_over_windows_does_not():
    # 24 subjects, 12 points between them, 160 windows each.
    subjects, windows, _ = coverage(24, 160, trials=1000, seed=0)
    assert 0.93 <= subjects <= 0.97
    assert windows == pytest.approx(0.38, abs=0.04)


@pytest.mark.slow
@pytest.mark.parametrize("n_subjects, at_least", [(6, 0.91), (10, 0.93), (24, 0.93)])
def test_coverage_holds_from_six_subjects_on(n_subjects, at_least):
    subjects, windows, plain = coverage(n_subjects, 160, trials=2000, seed=1)
    assert at_least <= subjects <= 0.97
    assert plain < subjects  # what moving the percentiles outward is for
    assert windows < 0.5


def test_the_coverage_simulation_is_seeded():
    np.testing.assert_array_equal(coverage(8, 20, 20, seed=3), coverage(8, 20, 20, seed=3))


def test_windows_as_units_of_the_bootstrap_are_binomial_as_the_simulation_says():
    right = np.repeat([1.0, 0.0], [240, 60])
    interval = bootstrap_subjects(right, mean_of_subjects, resamples=20_000)
    low, high = stats.binom.ppf([0.025, 0.975], 300, 0.8) / 300
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.004)


# --- bootstrap


def test_the_tails_are_those_of_hesterberg():
    # For n = 10 the expanded percentile interval cuts 0.85 % on each side: Phi(-sqrt(10 / 9) * 2.2622).
    assert percentile_tails(10, 0.95) == pytest.approx(stats.norm.cdf(-math.sqrt(10 / 9) * 2.26216), rel=1e-4)
    assert percentile_tails(10, 0.95) == pytest.approx(0.0085, abs=2e-4)
    assert percentile_tails(100_000, 0.95) == pytest.approx(0.025, rel=1e-3)


def test_the_interval_equals_a_slow_bootstrap_with_the_same_draws():
    rng = np.random.default_rng(0)
    events = rng.integers(1, 9, 12)
    sums = np.column_stack([rng.binomial(events, 0.6), events]).astype(float)
    got = bootstrap_subjects(sums, pooled_share, resamples=500, seed=7)
    draws = np.random.default_rng(7).integers(0, 12, (500, 12))
    slow = []
    for row in draws:
        hits = total = 0.0
        for u in row:
            hits, total = hits + sums[u, 0], total + sums[u, 1]
        slow.append(hits / total)
    tail = percentile_tails(12, 0.95)
    assert (got.low, got.high) == pytest.approx(tuple(np.quantile(slow, [tail, 1 - tail])))
    assert got.value == pytest.approx(sums[:, 0].sum() / sums[:, 1].sum())
    assert got.per_subject == pytest.approx(tuple(sums[:, 0] / sums[:, 1]))
    assert (got.resamples, got.seed, got.undefined, got.refused) == (500, 7, 0, False)
    assert got == bootstrap_subjects(sums, pooled_share, resamples=500, seed=7)
    assert got != bootstrap_subjects(sums, pooled_share, resamples=500, seed=8)


def test_a_list_of_anything_gives_the_same_interval_as_an_array():
    values = np.random.default_rng(1).normal(size=9)
    windows = [np.full(n, v) for n, v in zip(range(1, 10), values, strict=True)]  # of different numbers
    ragged = bootstrap_subjects(windows, lambda w: np.mean([x.mean() for x in w]), resamples=200, seed=3)
    plain = bootstrap_subjects(values, mean_of_subjects, resamples=200, seed=3)
    assert (ragged.value, ragged.low, ragged.high) == pytest.approx((plain.value, plain.low, plain.high))


def test_fewer_than_six_subjects_get_no_interval_but_a_row_each():
    got = bootstrap_subjects(np.array([[1.0, 2], [0, 4], [3, 3]]), pooled_share)
    assert got.refused and math.isnan(got.low) and math.isnan(got.high)
    assert got.value == pytest.approx(4 / 9) and got.per_subject == (0.5, 0.0, 1.0)
    assert str(got) == "0.444 (no interval below 6 subjects; each: 0.500, 0.000, 1.000)"
    six = bootstrap_subjects(np.arange(MIN_SUBJECTS, dtype=float), mean_of_subjects)
    assert not six.refused and six.low < 2.5 < six.high
    assert str(six) == f"2.500 [{six.low:.3f}, {six.high:.3f}]"


def test_no_subject_at_all_is_undefined():
    got = bootstrap_subjects(np.zeros((0, 2)), pooled_share)
    assert math.isnan(got.value) and got.refused and got.per_subject == ()
    assert math.isnan(bootstrap_subjects([], len).value)


def test_resamples_without_the_rare_event_are_counted_and_left_out():
    # One of eight subjects had seizures; a resample misses that one with probability (7/8)**8 = 0.34.
    sums = np.zeros((8, 2))
    sums[0] = 3, 4
    got = bootstrap_subjects(sums, pooled_share)
    assert got.undefined / 2000 == pytest.approx((7 / 8) ** 8, abs=0.03)
    assert (got.value, got.low, got.high) == (0.75, 0.75, 0.75)
    never = bootstrap_subjects(np.zeros((8, 2)), pooled_share)
    assert never.undefined == 2000 and math.isnan(never.value) and math.isnan(never.low)


# --- corrected t


def test_corrected_t_by_hand():
    # Mean 3, variance 2.5 (ddof 1), five folds that test on a fifth: t = 3 / sqrt((0.2 + 0.25) * 2.5) =
    # 2.828427.
    got = corrected_t([1, 2, 3, 4, 5], n_test=20, n_train=80)
    assert got.statistic == pytest.approx(3 / math.sqrt(1.125)) == pytest.approx(2 * math.sqrt(2))
    # For 4 degrees of freedom P(|T| > t) = 1 - sin x (1 + cos(x)**2 / 2) with tan x = t / 2.
    x = math.atan(math.sqrt(2))
    assert got.p == pytest.approx(1 - math.sin(x) * (1 + math.cos(x) ** 2 / 2))
    assert (got.difference, got.n) == (3, 5)


def test_without_the_correction_it_is_the_paired_t_of_scipy():
    d = np.random.default_rng(0).normal(0.3, 1, 7)
    got, plain = corrected_t(d, n_test=0, n_train=1), stats.ttest_1samp(d, 0)
    assert (got.statistic, got.p) == pytest.approx((plain.statistic, plain.pvalue))
    assert corrected_t(d, 1, 4).p > got.p
    assert corrected_t(-d, 1, 4).p == pytest.approx(corrected_t(d, 1, 4).p)


def test_corrected_t_where_it_says_nothing():
    assert math.isnan(corrected_t([], 1, 4).p) and math.isnan(corrected_t([0.1], 1, 4).p)
    assert math.isnan(corrected_t([0, 0, 0], 1, 4).p)
    assert corrected_t([1, 1, 1], 1, 4).p == 0


# --- permutation


def test_permutation_by_hand():
    # Differences 1, 2, 3: of the eight sign patterns only all plus and all minus reach a mean of 2.
    got = paired_permutation([2, 4, 6], [1, 2, 3])
    assert (got.difference, got.p, got.n, got.exact) == (2, 2 / 8, 3, True)
    # Differences 1, -1, 1: means are 1/3 or 1 in size, so every pattern is at least as extreme.
    assert paired_permutation([1, 0, 1], [0, 1, 0]).p == 1


@pytest.mark.parametrize("n", [1, 2, 5, 9])
def test_permutation_of_means_equals_enumerated_sign_flips(n):
    rng = np.random.default_rng(n)
    a, b = rng.normal(0.4, 1, n), rng.normal(0, 1, n)
    flips = np.array(list(itertools.product([1, -1], repeat=n)))
    means = np.abs((flips * (a - b)).mean(axis=1))
    expected = (means >= abs((a - b).mean()) - 1e-12).mean()
    assert paired_permutation(a, b).p == pytest.approx(expected)


def test_permutation_of_a_pooled_share_swaps_whole_subjects():
    rng = np.random.default_rng(4)
    a, b = (np.column_stack([rng.integers(0, 5, 6), rng.integers(5, 9, 6)]).astype(float) for _ in range(2))
    observed, extreme = abs(pooled_share(a) - pooled_share(b)), 0
    for swap in itertools.product([False, True], repeat=6):
        x = np.array([q if s else p for s, p, q in zip(swap, a, b, strict=True)])
        y = np.array([p if s else q for s, p, q in zip(swap, a, b, strict=True)])
        extreme += abs(pooled_share(x) - pooled_share(y)) >= observed - 1e-12
    assert paired_permutation(a, b, pooled_share).p == pytest.approx(extreme / 64)


def test_many_subjects_are_sampled_close_to_the_exact_answer_and_never_give_zero():
    n = EXACT_SUBJECTS + 1
    sampled = paired_permutation(np.ones(n), np.zeros(n), samples=999)
    assert not sampled.exact and sampled.p == pytest.approx(1 / 1000, abs=1e-3) and sampled.p > 0
    assert paired_permutation(np.ones(n - 1), np.zeros(n - 1)).exact
    d = np.random.default_rng(5).normal(0.35, 1, n)
    signs = np.where((np.arange(2**n)[:, None] >> np.arange(n)) & 1, -1.0, 1.0)
    exact = (np.abs(signs @ d) >= abs(d.sum()) - 1e-12).mean()
    got = paired_permutation(d, np.zeros(n), samples=20_000, seed=1)
    assert got.p == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 20_000))
    assert got == paired_permutation(d, np.zeros(n), samples=20_000, seed=1)


def test_equal_models_differ_in_nothing():
    same = np.random.default_rng(0).random(10)
    assert paired_permutation(same, same).p == 1


def test_permutation_refuses_other_subjects_and_passes_on_the_undefined():
    with pytest.raises(ValueError, match="not the same subjects"):
        paired_permutation(np.ones(3), np.ones(4))
    assert math.isnan(paired_permutation(np.zeros((0,)), np.zeros((0,))).p)
    assert math.isnan(paired_permutation([1, np.nan], [0, 0]).p)


def test_a_permutation_is_wrong_five_times_in_a_hundred_when_nothing_differs():
    rng = np.random.default_rng(0)
    p = [paired_permutation(rng.normal(size=8), rng.normal(size=8)).p for _ in range(1000)]
    assert np.mean(np.array(p) <= 0.05) == pytest.approx(0.05, abs=0.02)
