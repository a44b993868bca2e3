"""A model beside always on, chance and position only: alarms, seconds and the curve, by hand."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from distilclip_eeg.config.detection import DetectConfig, EventConfig
from distilclip_eeg.report.beside import blocks
from distilclip_eeg.schema import DataError
from distilclip_eeg.scoring.beside import Judged, auroc, beside
from distilclip_eeg.scoring.events.burden import SUMS, burden, burden_rates
from distilclip_eeg.scoring.events.curve import area, sensitivity_at, sweep
from distilclip_eeg.scoring.events.detect import Trace
from distilclip_eeg.scoring.events.operating import Part
from distilclip_eeg.scoring.events.spans import Track, seconds
from distilclip_eeg.scoring.events.summary import SCORERS, Reference
from distilclip_eeg.scoring.events.trivial import DRAWS, always_on, by_chance, positioned, shifted
from distilclip_eeg.scoring.peers import join_peers
from distilclip_eeg.scoring.seconds import Areas, mixed_N, second_table

PLAIN = DetectConfig(smooth_s=0, min_duration_s=0, threshold=0.5)
FIXED = EventConfig(smooth_s=0, min_duration_s=0, merge_gap_s=0)
TWO = np.array([[0.0, 40.0], [60.0, 120.0]])
"""A hundred seconds in two stretches."""


# --------------------------------------------------------------------------------- trivial alarms


def test_an_alarm_that_is_always_on_hits_everything_and_takes_all_quiet_time():
    reference = Track([(10, 20), (70, 75), (100, 120)], TWO)
    sums = dict(zip(SUMS, burden(reference, always_on(reference)), strict=True))
    assert sums == {
        "hits": 3,
        "seizures": 3,
        "alarms": 2,
        "false_alarms": 0,
        "found_s": 35,
        "seizure_s": 35,
        "quiet_alarm_s": 65,
        "quiet_s": 65,
    }
    for scorer in SCORERS.values():
        found = scorer(reference, always_on(reference))
        assert found.tp > 0 and found.fn == (1 if scorer is SCORERS["NEDC TAES"] else 0)
    # TAES: the alarm over the second stretch uses up the second seizure in it, which is a miss.


def test_shifted_alarms_keep_their_time_and_never_lie_in_a_gap():
    alarms = Track([(10, 14), (110, 120)], TWO)
    assert shifted(alarms, TWO, 20).events_E2.tolist() == [[10, 20], [30, 34]]  # the last goes round
    assert shifted(alarms, TWO, 28).events_E2.tolist() == [[18, 28], [38, 40], [60, 62]]  # cut by the seam
    assert shifted(alarms, TWO, 5).events_E2.tolist() == [[0, 5], [15, 19], [115, 120]]  # cut by the end
    assert shifted(alarms, TWO, 100).events_E2.tolist() == alarms.events_E2.tolist()
    for shift_s in np.random.default_rng(0).uniform(0, 100, 50):
        moved = shifted(alarms, TWO, shift_s)
        assert seconds(moved.events_E2) == pytest.approx(14)
        assert moved.recorded_P2.tolist() == TWO.tolist()


def test_chance_hits_as_often_as_geometry_says():
    """A seizure of 10 s and an alarm of 20 s in 1,000 s meet in 30 of 1,000 places."""
    whole = np.array([[0.0, 1000.0]])
    reference, alarm = Track([(500, 510)], whole), Track([(100, 120)], whole)
    hits = [burden(reference, t)[0] for t in by_chance(reference, alarm, "a", draws=5000)]
    assert np.mean(hits) == pytest.approx(0.03, abs=0.008)
    assert len(by_chance(reference, alarm, "a")) == DRAWS
    assert by_chance(reference, Track([], whole), "a")[7].events_E2.shape == (0, 2)


def test_draws_of_a_recording_are_the_same_again_and_others_for_another():
    whole = np.array([[0.0, 1000.0]])
    reference, alarm = Track([(500, 510)], whole), Track([(100, 120)], whole)
    one, again, other = (
        [t.events_E2.tolist() for t in by_chance(reference, alarm, name, 5)] for name in ("a", "a", "b")
    )
    assert one == again != other


def test_position_puts_even_stretches_first_and_earlier_seconds_first():
    start_s = np.array([0.0, 1, 2, 10, 11, 20, 21])
    value = positioned(Trace(np.full(7, 0.5), start_s)).probability_N
    assert np.argsort(-value, kind="stable").tolist() == [0, 5, 1, 6, 2, 3, 4]
    assert value.min() >= 0 and value.max() <= 1


# --------------------------------------------------------------------------------- burden


def test_time_under_alarm_is_counted_in_seconds_of_each_kind():
    reference = Track([(10, 20)], TWO)
    rates = {
        k: float(v) for k, v in burden_rates(burden(reference, Track([(15, 25), (80, 90)], TWO))).items()
    }
    assert rates == {
        "sensitivity": 1,
        "found": 0.5,
        "quiet_share": pytest.approx(15 / 90),
        "in_warning": pytest.approx(20 / 100),
        "alarms_per_h": pytest.approx(2 * 36),
        "false_per_h": pytest.approx(1 * 3600 / 90),
    }
    nothing = burden_rates(burden(Track([], TWO), Track([], TWO)))
    assert np.isnan(nothing["sensitivity"]) and nothing["quiet_share"] == 0
    with pytest.raises(DataError):
        burden(reference, Track([], TWO[:1]))


# --------------------------------------------------------------------------------- the curve


def sums(*rows):
    """Hits, seizures, false alarms and quiet seconds of each threshold."""
    found = np.zeros((len(rows), len(SUMS)))
    for name, column in zip(
        ("hits", "seizures", "false_alarms", "quiet_s"), zip(*rows, strict=True), strict=True
    ):
        found[:, SUMS.index(name)] = column
    return found


def test_sensitivity_at_a_rate_is_the_highest_before_it_is_first_passed():
    # In ten hours: 0, then 1, 20, 5 (one long alarm) false alarms.
    found = sums((0, 4, 0, 36_000), (1, 4, 1, 36_000), (2, 4, 20, 36_000), (4, 4, 5, 36_000))
    assert [float(sensitivity_at(found, r)) for r in (0.05, 0.1, 1.9, 2, 100)] == [0, 0.25, 0.25, 1, 1]


def test_the_area_is_the_mean_over_the_logarithm_of_the_rate():
    # 0.25 from 0.1 to 1, 0.5 from 1 to 10, 1 from there to 100: a third of each.
    found = sums((0, 4, 0, 36_000), (1, 4, 1, 36_000), (2, 4, 10, 36_000), (4, 4, 100, 36_000))
    assert area(found) == pytest.approx((0.25 + 0.5 + 1) / 3)
    assert area(sums((4, 4, 0, 3600))) == 1 and area(sums((4, 4, 101, 3600))) == 0
    assert area(np.stack([found, found * 2])) == pytest.approx(
        [1.75 / 3] * 2
    )  # twice the time, the same rates


# --------------------------------------------------------------------------------- seconds


def seconds_of(n_subjects=7, seed=0, equal=False):
    rng = np.random.default_rng(seed)
    rows = []
    for who in range(n_subjects):
        n = int(rng.integers(30, 60))
        label = (
            (np.arange(2 * n) % n < n // 3).astype(int)
            if who % 2
            else np.r_[np.ones(n, int), np.zeros(n, int)]
        )
        score = np.round(label + rng.standard_normal(2 * n), 0 if equal else 6)
        rows.append(
            pd.DataFrame(
                {"recording": f"r{who}", "subject": f"s{who}", "piece": np.arange(2 * n) // n}
                | {"second": np.arange(2.0 * n), "label": label, "score": score}
            )
        )
    return pd.concat(rows, ignore_index=True)


@pytest.mark.parametrize("equal", [False, True])
def test_areas_are_scikit_learn_s_over_all_by_subject_and_inside_mixed_stretches(equal):
    table = seconds_of(equal=equal)
    found = Areas.of(table, table["score"].to_numpy()).intervals()
    assert found["pooled"].value == pytest.approx(roc_auc_score(table["label"], table["score"]))
    each = [roc_auc_score(rows["label"], rows["score"]) for _, rows in table.groupby("subject")]
    assert found["mean"].value == pytest.approx(np.mean(each))
    inside = table[mixed_N(table)]
    assert set(inside["subject"]) == {"s1", "s3", "s5"}  # the others' stretches are of one class each
    assert found["mixed"].value == pytest.approx(roc_auc_score(inside["label"], inside["score"]))
    assert auroc(table["label"].to_numpy(), table["score"].to_numpy()) == pytest.approx(found["pooled"].value)


def test_areas_of_drawn_subjects_are_those_of_their_seconds_put_together():
    """Against the plain way, which an interval would need thousands of times."""
    table = seconds_of()
    found = Areas.of(table, table["score"].to_numpy())
    groups = [rows for _, rows in table.groupby("subject")]
    drawn_RU = np.random.default_rng(0).integers(0, 7, (30, 7))
    plain = []
    for row in drawn_RU:
        both = pd.concat([groups[i] for i in row])
        plain.append(roc_auc_score(both["label"], both["score"]))
    np.testing.assert_allclose(found.statistics["pooled"](np.eye(7)[drawn_RU]), plain)
    interval = found.intervals()["pooled"]
    assert interval.low < interval.value < interval.high


def test_a_paired_difference_is_narrower_than_its_parts_where_scores_agree():
    table = seconds_of()
    one = Areas.of(table, table["score"].to_numpy())
    near = Areas.of(table, table["score"].to_numpy() + 0.01 * table["second"].to_numpy())
    alone, less = one.intervals()["pooled"], one.intervals(near)["pooled"]
    assert less.value == pytest.approx(alone.value - near.intervals()["pooled"].value)
    assert less.high - less.low < alone.high - alone.low
    same = one.intervals(one)["mixed"]
    assert (same.value, same.low, same.high) == (0, 0, 0)


# --------------------------------------------------------------------------------- other detectors


def peer_file(table, path, **changes):
    columns = {"score": table["score"] * 2, "decision": np.nan} | changes
    table.drop(columns="score").assign(**columns).to_parquet(path)
    return str(path)


def test_only_seconds_that_all_have_are_kept_and_what_lacks_is_told(tmp_path):
    table = seconds_of(2)
    files = (
        peer_file(table.iloc[5:], tmp_path / "one.parquet"),
        peer_file(table.iloc[:-3], tmp_path / "two.parquet"),
    )
    found = join_peers(table.rename(columns={"score": "smoothed"}), files)
    assert found.names == ("one", "two") and len(found.table) == len(table) - 8
    np.testing.assert_allclose(found.table["two"], 2 * found.table["smoothed"])
    assert "one: 5 of" in found.said[0] and "two: 3 of" in found.said[1]
    assert join_peers(table, ()).said == ()


@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda t: t.assign(label=1 - t["label"]), "is labelled 0, and 1 in the run"),
        (lambda t: pd.concat([t, t.head(1)]), "is in two rows"),
        (lambda t: t.assign(score=np.nan), "no number"),
        (lambda t: t.assign(recording="x" + t["recording"]), "shares no second"),
        (lambda t: t.drop(columns="label"), "has no label"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_name(spoil, words, tmp_path):
    table = seconds_of(2)
    spoil(table.assign(decision=0.0)).to_parquet(tmp_path / "odd.parquet")
    with pytest.raises(DataError, match=rf"odd\.parquet.*{words}"):
        join_peers(table.drop(columns="score"), (str(tmp_path / "odd.parquet"),))
    with pytest.raises(DataError, match="no such file"):
        join_peers(table, (str(tmp_path / "none.parquet"),))


# --------------------------------------------------------------------------------- all of it


def recordings():
    """Six people: a minute of seizure in five, at 0.8 where it is seen; false alarms of 5 s at 0.7."""
    references, traces = [], {}
    for k in range(6):
        name, values = f"r{k}", np.full(300, 0.1)
        values[100:160] = 0.8 if k % 3 else 0.2
        values[200 + k : 205 + k] = 0.7
        track = Track([(100, 160)] if k else [], np.array([[0.0, 300.0]]))
        references.append(Reference(name, f"s{k}", track))
        traces[name] = Trace(values, np.arange(300.0))
    return Part(references, traces)


@pytest.fixture(scope="module")
def compared():
    part = recordings()
    return beside([Judged.of(part, PLAIN, part, FIXED)])


def test_the_rows_say_what_a_count_by_hand_says(compared):
    table = compared.burden.set_index("row")
    model, always = table.loc["model"], table.loc["always on"]
    assert (model["hits"], model["seizures"]) == (4, 5)
    # Twelve hundred seconds and three hundred quiet ones; six times five of them are under alarm.
    assert model["quiet_share"] == pytest.approx(30 / 1500) and model["quiet_hours"] == 1500 / 3600
    assert (model["person_low"], model["person_high"]) == (5 / 300, 5 / 240)
    assert model["in_warning"] == pytest.approx((4 * 60 + 30) / 1800)
    assert model["sensitivity_low"] < 0.8 < model["sensitivity_high"]
    assert (always["hits"], always["quiet_share"], always["in_warning"]) == (5, 1, 1)
    chance = table.loc["chance"]
    # An alarm of 60 s and one of 5 s near 60 s of seizure in 300 s, going round: about half and more.
    assert 1.5 < chance["hits"] < 3.5 and chance["hits_low"] < chance["hits"] < chance["hits_high"]
    assert chance["in_warning"] == pytest.approx(model["in_warning"])


def test_always_on_beats_every_event_score_that_forgives_long_alarms(compared):
    table = compared.events.set_index(["scorer", "row"])
    for scorer in SCORERS:
        assert table.loc[(scorer, "always on"), "sensitivity"] == 1
        # SzCORE takes the alarm 40 s after the seizure that the model does not see for a hit.
        assert table.loc[(scorer, "model"), "sensitivity"] < 1 or scorer.startswith("SzCORE event")
    ovlp = table.loc["NEDC OVLP"]
    assert ovlp.loc["always on", "precision"] == 5 / 6  # one recording has no seizure
    assert ovlp.loc["model", "precision"] == 4 / 10


def test_a_score_alone_of_its_seizures_has_an_area_of_one_where_it_sees_them(compared):
    table = compared.seconds.set_index("row")
    assert table.loc["always on", ["pooled", "mean", "mixed"]].tolist() == [0.5, 0.5, 0.5]
    assert table.loc["chance", "pooled"] == pytest.approx(0.5, abs=0.05)
    assert table.loc["model", "mean"] == pytest.approx((4 * 1 + 235 / 240) / 5)
    assert compared.differences["row"].tolist() == ["position only"]


def test_the_curve_goes_from_silence_to_all(compared):
    table = compared.curve.set_index("row")
    # Four seizures at 0.8 come before any false alarm. At 0.7 six, in 1,500 s 14.4 an hour, hit no more; at
    # 0.2 the last is hit, with the same stretch of the recording that has none: 16.8 an hour.
    model = table.loc["model"]
    assert (model["at_0.1"], model["at_10"], model["at_100"]) == (0.8, 0.8, 1)
    steps = [0.8 * np.log10(16.8 / 0.1), 1.0 * np.log10(100 / 16.8)]
    assert model["area"] == pytest.approx(sum(steps) / 3)
    # Always on: the recording without a seizure is one false alarm in 1,500 s, 2.4 an hour.
    assert (table.loc["always on", "at_1"], table.loc["always on", "at_10"]) == (0, 1)
    assert table.loc["always on", "area"] == pytest.approx(np.log10(100 / 2.4) / 3)
    swept = sweep([(recordings(), PLAIN)])
    assert swept.points()["threshold"].tolist() == [np.inf, 0.8, 0.7, 0.2, 0.1]
    assert swept.points()["false_per_h"].tolist() == pytest.approx([0, 0, 14.4, 16.8, 2.4])


def test_the_text_is_narrow_names_every_row_and_says_where_it_extrapolates(compared):
    text = blocks(compared)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 100, max(lines, key=len)
    for name in ("model", "always on", "chance", "position only"):
        assert sum(line.startswith(name) for line in lines) >= 3
    assert "extrapolation: in 0.42 h a single false alarm is 2.4 an hour" in text
    assert all(f"{rate:g}/h" in text for rate in (0.1, 1, 10, 100))


def test_a_table_of_seconds_counts_stretches_and_touched_windows():
    start_s = np.array([0.0, 1, 2, 10, 11])
    part = Part(
        [Reference("a", "p", Track([(1.5, 2.2)], np.array([[0.0, 3.0], [10.0, 12.0]])))],
        {"a": Trace(np.array([0.1, 0.9, 0.8, 0.2, 0.1]), start_s)},
    )
    table = second_table(part, PLAIN)
    assert table["piece"].tolist() == [0, 0, 0, 1, 1] and table["label"].tolist() == [0, 1, 1, 0, 0]
    assert mixed_N(table).tolist() == [True] * 3 + [False] * 2
