"""Scores summed by subject and averaged, onset latency, and thresholds chosen on validation recordings."""

import json
from pathlib import Path

import numpy as np
import pytest

from distilclip_eeg.config.detection import DetectConfig
from distilclip_eeg.schema import DataError
from distilclip_eeg.scoring.events.counts import RATES, Counts
from distilclip_eeg.scoring.events.detect import Trace
from distilclip_eeg.scoring.events.latency import causal_latencies, latencies, summarise
from distilclip_eeg.scoring.events.operating import (
    MOST_THRESHOLDS,
    Part,
    candidates,
    operating_points,
    operating_rows,
    validation_curve,
)
from distilclip_eeg.scoring.events.spans import Track
from distilclip_eeg.scoring.events.summary import (
    SCORERS,
    SZCORE_EVENT,
    Reference,
    by_subject,
    combine,
    latency_rows,
    overall,
    score,
)

GOLDEN = json.loads((Path(__file__).parent / "golden_events.json").read_text())["aggregation"]


def hour(events=()):
    return Track(list(events), [(0, 3600)])


def golden_scores():
    subjects = GOLDEN["subjects"]
    references = [
        Reference(f"{s}_run-00", s, Track(v["ref"], [(0, v["duration_s"])])) for s, v in subjects.items()
    ]
    return score(
        references,
        {f"{s}_run-00": Track(v["hyp"], [(0, v["duration_s"])]) for s, v in subjects.items()},
    )


def row_of(table, scorer=SZCORE_EVENT, **where):
    for column, value in where.items():
        table = table[table[column] == value]
    return table[table["scorer"] == scorer].iloc[0]


# --- sums and means


def test_every_scorer_is_named_and_szcore_with_the_version_of_its_library():
    assert list(SCORERS) == [
        "SzCORE event (timescoring 0.0.7)",
        "SzCORE sample (timescoring 0.0.7)",
        "NEDC OVLP",
        "NEDC TAES",
    ]


@pytest.mark.parametrize("subject", GOLDEN["subjects"])
def test_rates_of_a_subject_equal_the_golden_ones(subject):
    row, expected = row_of(by_subject(golden_scores()), subject=subject), GOLDEN["subjects"][subject]
    for name in RATES:
        value = expected["event"][name]
        assert row[name] == pytest.approx(np.nan if value is None else value, nan_ok=True)
    assert row["hours"] == expected["duration_s"] / 3600


def test_means_over_subjects_and_pooled_rates_equal_the_golden_ones():
    row = row_of(overall(golden_scores()))
    for name, expected in GOLDEN["mean_over_subjects"].items():
        got = [row[f"{name}_{of}"] for of in ("mean", "sd", "n")]
        assert got == pytest.approx([expected["mean"], expected["std_ddof0"], expected["n_defined"]])
        assert row[name] == pytest.approx(GOLDEN["pooled"][name])
        assert np.isnan(row[f"{name}_low"])  # four subjects: refused
    assert (row["subjects"], row["recordings"], row["hours"], row["unscored"]) == (4, 4, 4.5, 0)
    assert (row["tp"], row["fp"], row["fn"]) == (1, 2, 3)


def test_recordings_of_a_subject_are_summed_before_any_ratio_is_taken():
    references = [Reference("a0", "a", hour([(600, 660)])), Reference("a1", "a", hour())]
    row = by_subject(score(references, {"a0": hour([(600, 660)]), "a1": hour([(0, 10)])})).iloc[0]
    assert (row["recordings"], row["hours"], row["precision"], row["fp_per_24h"]) == (2, 2, 0.5, 12)


def test_six_subjects_get_an_interval_around_the_pooled_value():
    references = [Reference(f"r{u}", f"s{u}", hour([(600, 660), (2000, 2060)])) for u in range(6)]
    found = [(600, 660), (2000, 2060)]
    scores = score(references, {f"r{u}": hour(found[: 1 + u % 2]) for u in range(6)})
    row = row_of(overall(scores))
    assert row["sensitivity"] == 9 / 12
    assert 0.5 <= row["sensitivity_low"] < 0.75 < row["sensitivity_high"] <= 1
    assert row.equals(row_of(overall(scores, seed=0)))
    assert (row["precision_low"], row["precision_high"]) == (1, 1)


# --- what cannot be scored


def test_missing_wrong_and_unknown_hypotheses_are_listed_and_in_no_figure():
    references = [
        Reference("a0", "a", hour([(600, 660)])),
        Reference("a1", "a", hour([(600, 660)])),  # missing
        Reference("b0", "b", hour([(600, 660)])),  # half as long
    ]
    given = {"a0": hour([(600, 660)]), "b0": Track([(600, 660)], [(0, 1800)]), "zz": hour()}
    scores = score(references, given)
    assert scores.unscored[["recording", "subject", "reason"]].values.tolist() == [
        ["a1", "a", "missing_hypothesis"],
        ["b0", "b", "wrong_length"],
        ["zz", "", "unknown_recording"],
    ]
    assert "1800 s" in scores.unscored["words"][1] and "3600 s" in scores.unscored["words"][1]
    assert set(scores.counts["recording"]) == set(scores.latency["recording"]) == {"a0"}
    row = row_of(overall(scores))
    assert (row["subjects"], row["recordings"], row["unscored"], row["hours"], row["sensitivity"]) == (
        1,
        1,
        3,
        1,
        1,
    )
    b = row_of(by_subject(scores), subject="b")
    assert (b["recordings"], b["unscored"], b["hours"]) == (0, 1, 0) and np.isnan(b["sensitivity"])
    assert set(by_subject(scores)["subject"]) == {"a", "b"}


def test_nothing_to_score_gives_empty_tables_and_the_list():
    scores = score([Reference("a", "a", hour())], {})
    assert len(overall(scores)) == len(by_subject(scores)) == len(latency_rows(scores)) == 0
    assert scores.unscored["reason"].tolist() == ["missing_hypothesis"]
    assert len(score([], {}).unscored) == 0


def test_two_references_of_one_name_are_refused():
    with pytest.raises(DataError, match="a0: two references") as error:
        score([Reference("a0", "a", hour()), Reference("a0", "b", hour())], {"a0": hour()})
    assert error.value.reason == "duplicate_recording"


def test_folds_combine_as_if_scored_together():
    references = [Reference(f"r{u}", f"s{u % 3}", hour([(600, 660)])) for u in range(6)]
    given = {f"r{u}": hour([(600 + 100 * u, 650 + 100 * u)]) for u in range(5)}
    both = combine(
        score(references[a:b], {k: v for k, v in given.items() if a <= int(k[1]) < b})
        for a, b in ((0, 2), (2, 6))
    )
    whole = score(references, given)
    assert overall(both).equals(overall(whole)) and latency_rows(both).equals(latency_rows(whole))
    assert both.unscored.values.tolist() == whole.unscored.values.tolist()
    assert both.counts.dtypes.equals(whole.counts.dtypes) and len(whole.unscored) == 1


# --- latency


@pytest.mark.parametrize(
    "alarms, any_s, causal_s",
    [
        ([(612, 640)], 12, 12),
        ([(580, 590), (605, 640)], -20, 5),  # the first stood before the onset
        ([(500, 640)], -30, np.nan),  # so did this one, all along; 30 s is as early as counts
        ([(600, 601)], 0, 0),
        ([(719, 800)], 119, 119),  # a second before the tolerance after the end is over
        ([(720, 800)], np.nan, np.nan),
        ([(500, 570)], np.nan, np.nan),  # ends where the tolerance begins
        ([], np.nan, np.nan),
    ],
)
def test_latency_to_the_first_alarm_and_to_the_first_raised_after_the_onset(alarms, any_s, causal_s):
    pair = hour([(600, 660)]), hour(alarms)
    assert latencies(*pair) == pytest.approx([any_s], nan_ok=True)
    assert causal_latencies(*pair) == pytest.approx([causal_s], nan_ok=True)


def test_near_seizures_have_one_onset_and_long_ones_are_not_split():
    reference = hour([(600, 660), (720, 1500), (1590, 1600)])  # 60 s apart, then exactly 90 s
    assert latencies(reference, hour([(700, 800)])).tolist() == pytest.approx([100, np.nan], nan_ok=True)
    assert latencies(hour(), hour([(1, 2)])).tolist() == []


def test_the_summary_counts_only_events_that_were_hit():
    got = summarise([4, np.nan, -2, 10, 0, np.nan])
    assert got == {"median_s": 2, "q25_s": -0.5, "q75_s": 5.5, "hits": 4, "events": 6}
    none = summarise([np.nan])
    assert (none["hits"], none["events"]) == (0, 1) and np.isnan(none["median_s"])
    assert summarise([])["events"] == 0


def test_latency_rows_stand_by_subject_and_for_all():
    references = [
        Reference("a", "a", hour([(600, 660), (2000, 2060)])),
        Reference("b", "b", hour([(600, 660)])),
    ]
    table = latency_rows(score(references, {"a": hour([(590, 620), (2010, 2020)]), "b": hour([(604, 610)])}))
    assert table[["kind", "subject", "median_s", "hits", "events"]].values.tolist() == [
        ["onset latency", "a", 0, 2, 2],
        ["onset latency", "b", 4, 1, 1],
        ["onset latency", "all", 4, 3, 3],
        ["causal onset latency", "a", 10, 1, 2],
        ["causal onset latency", "b", 4, 1, 1],
        ["causal onset latency", "all", 7, 2, 3],
    ]


# --- operating points

BARE = DetectConfig(smooth_s=0, min_duration_s=0)
DAY_S = 86_400


def day(name, bumps, seizure=(40_000, 40_060)):
    """A day with one seizure and 10-s bumps in the trace: (start, height)."""
    values = np.full(DAY_S, 0.01)
    for start, height in bumps:
        values[start : start + 10] = height
    return Reference(name, name, Track([seizure], [(0, DAY_S)])), Trace(values, np.arange(DAY_S, dtype=float))


def part(*days):
    return Part([d[0] for d in days], {d[0].recording: d[1] for d in days})


VALIDATION = part(
    # False bumps at .9, .8 x4, .7 x5: 1, 5 and 10 alarms a day from there on; then twenty more. The seizure
    # is at .75.
    day(
        "v",
        [
            (1000, 0.9),
            *((2000 + 1000 * i, 0.8) for i in range(4)),
            *((10_000 + 1000 * i, 0.7) for i in range(5)),
        ]
        + [(60_000 + 1000 * i, 0.6) for i in range(20)]
        + [(40_020, 0.75)],
    )
)
TEST = part(day("t", [(40_010, 0.85), (5000, 0.95), (7000, 0.82)]), day("u", [(40_010, 0.72), (9000, 0.71)]))


def test_thresholds_come_from_validation_and_scores_from_test():
    points = operating_points(VALIDATION, TEST, BARE)
    assert [p.target_per_24h for p in points] == [1, 5, 10]
    assert [p.threshold for p in points] == [0.9, 0.75, 0.7]
    assert [p.validation for p in points] == [
        Counts(0, 1, 1, DAY_S),
        Counts(1, 5, 0, DAY_S),
        Counts(1, 10, 0, DAY_S),
    ]
    table = operating_rows(points)
    assert table["validation_fp_per_24h"].tolist() == [1, 5, 10]
    assert table["validation_sensitivity"].tolist() == [0, 1, 1]
    # On test: at 0.9 one false alarm and no hit in two days; at 0.75 t is hit; at 0.7 both are.
    assert table["sensitivity"].tolist() == [0, 0.5, 1]
    assert table["fp_per_24h"].tolist() == [0.5, 1, 1.5]
    assert table["sensitivity_n"].tolist() == [2, 2, 2]
    assert set(table["scorer"]) == {SZCORE_EVENT}


def test_points_of_several_folds_share_a_row_and_keep_their_thresholds():
    swapped = part(day("t", [(40_010, 0.85), (5000, 0.95)])), part(day("v", [(40_020, 0.75)]))
    first, second = operating_points(VALIDATION, TEST, BARE, [1]), operating_points(*swapped, BARE, [1])
    assert [p.threshold for p in first + second] == [0.9, 0.85]
    row = operating_rows(first + second).iloc[0]
    assert row["thresholds"] == "0.9 0.85" and row["recordings"] == 3
    assert (row["tp"], row["fp"], row["fn"]) == (0, 1, 3)  # t's alarm at 0.95; nothing reaches 0.85 on v
    assert (row["validation_hours"], row["validation_fp_per_24h"]) == (48, 1)


def test_the_test_part_never_moves_a_threshold():
    other = part(day("t", [(1000 * i, 0.99) for i in range(1, 30)]))
    chosen = [[p.threshold for p in operating_points(VALIDATION, t, BARE)] for t in (TEST, other)]
    assert chosen[0] == chosen[1]


def test_smoothing_and_durations_are_part_of_what_a_threshold_is_chosen_for():
    # Under a mean of 21 s a bump of 10 s reaches 10/21 of its height and a little: 0.434 for 0.9, 0.386 for
    # 0.8. Between the two lies the flank of the first, where nine of its ten seconds count.
    smoothed = DetectConfig(smooth_s=20, min_duration_s=0)
    threshold = operating_points(VALIDATION, TEST, smoothed, [1])[0].threshold
    assert threshold == pytest.approx((9 * 0.9 + 12 * 0.01) / 21)
    counts = validation_curve(VALIDATION, DetectConfig(smooth_s=0, min_duration_s=11), 10, SZCORE_EVENT)
    assert {c.tp + c.fp for t, c in counts if t > 0.01} == {0}  # every bump is too short


def test_a_detector_that_is_always_on_is_not_taken_for_a_quiet_one():
    # NEDC OVLP counts one alarm over the whole day as a hit and none false: the walk down must not reach it.
    points = operating_points(VALIDATION, TEST, BARE, [1, 10, 1000], scorer="NEDC OVLP")
    assert [p.threshold for p in points] == [0.9, 0.7, 0.01]
    assert points[-1].validation == Counts(1, 0, 0, DAY_S)
    on = score(VALIDATION.references, {"v": Track([(0, DAY_S)], [(0, DAY_S)])})
    assert row_of(overall(on), "NEDC OVLP")["fp_per_24h"] == 0


def test_where_only_silence_meets_the_target_the_threshold_is_infinite():
    loud = part(day("v", [(1000, 1.0), (3000, 1.0)]))
    point = operating_points(loud, TEST, BARE, [1])[0]
    assert point.threshold == np.inf and point.validation == Counts(0, 0, 1, DAY_S)
    assert row_of(overall(point.test))["tp"] == 0


def test_a_recording_in_both_parts_is_refused():
    with pytest.raises(DataError, match="v: in validation and test") as error:
        operating_points(VALIDATION, VALIDATION, BARE)
    assert error.value.reason == "shared_recordings"


def test_validation_that_cannot_all_be_scored_is_refused():
    lacking = Part([*VALIDATION.references, Reference("w", "w", hour())], VALIDATION.traces)
    for validation in (lacking, Part(VALIDATION.references, {}), Part([], {})):
        with pytest.raises(DataError) as error:
            operating_points(validation, TEST, BARE)
        assert error.value.reason == "unscored"


def test_a_test_recording_without_trace_is_listed():
    lacking = Part([*TEST.references, Reference("w", "w", hour())], TEST.traces)
    point = operating_points(VALIDATION, lacking, BARE, [10])[0]
    assert point.test.unscored["recording"].tolist() == ["w"]
    assert operating_rows([point])["unscored"].tolist() == [1]
    assert len(operating_rows(operating_points(VALIDATION, Part(TEST.references, {}), BARE, [10]))) == 1


def test_candidates_fall_from_silence_and_are_densest_at_the_top():
    values = np.linspace(0, 1, 10_001)
    found = candidates([Trace(values, np.arange(len(values)))])
    assert found[:4] == [np.inf, 1.0, values[-2], values[-3]]
    assert found == sorted(found, reverse=True) and found[-1] > 0 and len(found) <= MOST_THRESHOLDS + 1
    assert candidates([]) == candidates([Trace(np.zeros(3), np.arange(3))]) == [np.inf]
