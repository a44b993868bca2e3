"""Every protocol, as a splitter and as a table, on corpora drawn at random; and tables of one's own."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.model_selection import cross_val_score, cross_validate
from tools import one_run

from distilclip_eeg.config.compose import load
from distilclip_eeg.config.data import SplitConfig, WindowConfig
from distilclip_eeg.config.experiment import TrainSettings
from distilclip_eeg.config.rules import freeze
from distilclip_eeg.report.tables import summary_rows
from distilclip_eeg.schema import PROTOCOLS, ConfigError, DataError
from distilclip_eeg.signals.audit import PROMISES, audit, audit_line, check_audit, distance_s, fold_columns
from distilclip_eeg.signals.splits import folds_hash, make_folds
from distilclip_eeg.signals.splitters import Splitter, place_in_time, surroundings
from distilclip_eeg.signals.windows import cut
from distilclip_eeg.training import pipeline
from distilclip_eeg.training.checks import check
from distilclip_eeg.training.data import learned_rows, load_data

SFREQ = 8.0
ONCE = ("window", "event", "recording", "subject", "leave_one_subject_out")
"""Protocols that test every window exactly once."""


def drawn(seed, *, overlap=None, n_subjects=5, length_s=1.0):
    """A window index by the real cutter: gaps, up to four seizures a recording, rows shuffled."""
    rng = np.random.default_rng(seed)
    pieces, events, subjects, first = [], [], [], 0
    for recording in range(n_subjects * 2):
        at = 0.0
        for _ in range(rng.integers(1, 3)):
            n = int(rng.integers(15, 40) * SFREQ)
            pieces.append((recording, at, first, n))
            first, at = first + n, at + n / SFREQ + rng.integers(1, 20)
        onset = 0.0
        for _ in range(0 if recording % 2 and rng.random() < 0.4 else rng.integers(1, 5)):
            onset += rng.uniform(0.3, 15)
            offset = onset + rng.uniform(0.4, 10)
            if offset < at:
                events.append((recording, onset, offset, "seiz"))
            onset = offset
        subjects.append(f"p{recording // 2}")
    pieces = pd.DataFrame(pieces, columns=["recording", "start_s", "first", "n_samples"])
    events = pd.DataFrame(events, columns=["recording", "onset_s", "offset_s", "label"])
    share = overlap if overlap is not None else rng.choice([0.5, 0.75])
    config = WindowConfig(length_s=length_s, seizure_overlap=share, background_overlap=rng.choice([0.0, 0.5]))
    windows = cut(pieces, events, ("bckg", "seiz"), SFREQ, config)
    windows["subject"] = np.array(subjects)[windows["recording"]]
    windows["recording_name"] = "rec" + windows["recording"].astype(str)
    windows["part"] = windows["subject"].map({"p0": "test", "p1": "val"}).fillna("train")
    return windows.sample(frac=1, random_state=seed).reset_index(drop=True)


def splitter(name, **settings):
    return Splitter(name, 3, **settings)


def nearest_s(windows, rows, others):
    """Seconds from each of ``rows`` to the nearest of ``others`` in its recording, from every pair."""
    where, start = windows["recording"].to_numpy(), windows["start_s"].to_numpy()
    apart = np.abs(start[rows][:, None] - start[others][None])
    apart[where[rows][:, None] != where[others][None]] = np.inf
    return apart.min(axis=1, initial=np.inf)


# ------------------------------------------------------------------------- what every protocol keeps to


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_three_parts_are_disjoint_and_no_test_window_trains(name, seed):
    windows = drawn(seed)
    for train, val, test in splitter(name, seed=seed).nested(windows["label"].to_numpy(), windows):
        assert len(train) and len(val) and len(test)
        everything = np.concatenate([train, val, test])
        assert len(np.unique(everything)) == len(everything) <= len(windows)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ONCE)
def test_every_window_is_tested_exactly_once(name, seed):
    windows = drawn(seed)
    tests = [test for _, test in splitter(name, seed=seed).split(None, windows["label"], windows)]
    assert sorted(np.concatenate(tests)) == list(range(len(windows)))
    assert len(tests) == splitter(name).get_n_splits(groups=windows)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", PROTOCOLS)
def test_each_protocol_keeps_its_promise_whatever_the_corpus(name, seed):
    windows = drawn(seed)
    n = {"official": 1, "leave_one_subject_out": None}.get(name, 3)
    folds = make_folds(windows, SplitConfig(name=name, n_folds=n), seed)
    shares = audit(folds)
    assert {k: shares[k] for k in PROMISES[name]} == dict.fromkeys(PROMISES[name], 0)
    check_audit(shares, name)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("purge_s", [None, 0, 0.4, 3])
@pytest.mark.parametrize("name", ["event", "time"])
def test_the_purge_leaves_the_asked_gap_and_takes_nothing_else(name, purge_s, seed):
    windows = drawn(seed)
    gap = 1.0 if purge_s is None else purge_s  # a window's length
    label = windows["label"].to_numpy()
    unpurged = list(splitter(name, seed=seed)._outer(label, windows))
    nested = list(splitter(name, seed=seed, purge_s=purge_s).nested(label, windows))
    for (side, test), (train, val, same_test) in zip(unpurged, nested, strict=True):
        assert test.tolist() == same_test.tolist()
        free = nearest_s(windows, side, test) - 1.0  # between the end of one and the start of the other
        kept = side[free > gap - 1e-9]
        assert set(train) | set(val) <= set(kept) and set(val) <= set(kept)
        near_val = nearest_s(windows, kept, val) - 1.0 < gap - 1e-9
        assert set(train) == set(kept[~near_val]) - set(val)


def test_a_purge_of_nothing_still_drops_what_overlaps_and_keeps_what_stands_side_by_side():
    windows = pd.DataFrame({"recording": 0, "start_s": [0.0, 1.0, 1.5, 2.0, 3.0, 4.5]})
    purge = Splitter("event", purge_s=0)._purged
    assert purge(windows, np.array([0, 2, 3, 4, 5]), np.array([1])).tolist() == [0, 3, 4, 5]
    one_second = Splitter("event")._purged
    assert one_second(windows, np.array([0, 2, 3, 4, 5]), np.array([1])).tolist() == [4, 5]


def test_the_window_protocol_is_purged_only_when_asked():
    windows = drawn(0)
    y = windows["label"].to_numpy()
    train, test = next(splitter("window").split(None, y))
    assert len(train) + len(test) == len(windows)
    train, test = next(splitter("window", purge_s=0).split(None, y, windows))
    assert nearest_s(windows, train, test).min() >= 1.0 and len(train) < len(windows) / 2


@pytest.mark.parametrize("seed", range(3))
def test_distances_equal_a_look_at_every_pair(seed):
    rng = np.random.default_rng(seed)
    windows = pd.DataFrame({"recording": rng.choice(list("xyz"), 60), "start_s": rng.uniform(0, 30, 60)})
    rows, others = rng.choice(60, 20), rng.choice(60, int(rng.integers(1, 9)))
    np.testing.assert_allclose(distance_s(windows, rows, others), nearest_s(windows, rows, others))
    assert np.isinf(distance_s(windows, rows, np.array([], int))).all()


# ------------------------------------------------------------------------------------- event and time


def test_background_goes_with_the_nearest_seizure_and_a_quiet_recording_stands_alone():
    windows = pd.DataFrame(
        {
            "recording": [7] * 8 + [8] * 2 + [9],
            "start_s": [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 0],
            "event": [-1, 4, -1, -1, -1, -1, 5, -1, -1, -1, 6],
        }
    )
    # Of the two seizures, at 1 and 6 s, the window at 3 s is nearer to the first, that at 4 s to the second.
    assert surroundings(windows).tolist() == [4, 4, 4, 4, 5, 5, 5, 5, -2, -2, 6]
    shuffled = windows.sample(frac=1, random_state=0)
    assert surroundings(shuffled).tolist() == [surroundings(windows)[i] for i in shuffled.index]


@pytest.mark.parametrize("seed", range(3))
def test_under_event_each_side_is_a_whole_stretch_of_time(seed):
    windows = drawn(seed).sort_values(["recording", "start_s"])
    unit = pd.Series(surroundings(windows), index=windows.index)
    for _, of_recording in unit.groupby(windows["recording"]):
        changes = (of_recording.diff().fillna(0) != 0).sum()
        assert changes == of_recording.nunique() - 1


def test_time_by_hand_three_blocks_of_two_windows_and_a_seizure_that_no_border_cuts():
    windows = pd.DataFrame(
        {
            "subject": "a",
            "recording": [0, 0, 0, 1, 1, 1],
            "start_s": [0.0, 10.0, 20.0, 0.0, 10.0, 20.0],
            "event": -1,
            "label": [0, 1, 0, 1, 0, 1],
        }
    )
    assert place_in_time(windows) == pytest.approx(np.arange(6) / 6)
    folds = list(Splitter("time", 2).split(None, windows["label"], windows))
    assert [(list(a), list(b)) for a, b in folds] == [([0, 1], [2, 3]), ([0, 1, 2, 3], [4, 5])]
    windows["event"] = [-1, 9, 9, -1, -1, -1]  # the first border, before window 2, would cut it
    folds = list(Splitter("time", 2).split(None, windows["label"], windows))
    assert [(list(a), list(b)) for a, b in folds] == [([0, 1, 2], [3]), ([0, 1, 2, 3], [4, 5])]


@pytest.mark.parametrize("seed", range(3))
def test_under_time_training_comes_before_validation_and_validation_before_the_test(seed):
    windows = drawn(seed)
    order = windows["recording"] * 1e6 + windows["start_s"]
    for parts in splitter("time").nested(windows["label"].to_numpy(), windows):
        for subject in windows["subject"].unique():
            times = [order[part][windows["subject"].iloc[part] == subject] for part in parts]
            for before, after in ((0, 1), (1, 2), (0, 2)):
                if len(times[before]) and len(times[after]):
                    assert times[before].max() < times[after].min()


def test_one_later_training_window_of_the_same_person_is_seen_by_the_audit():
    table = pd.DataFrame(
        {
            "subject": ["a", "a", "a", "b", "b"],
            "recording": [0, 0, 0, 1, 1],
            "start_s": [0.0, 10.0, 20.0, 0.0, 50.0],
            "event": -1,
            "fold0": ["train", "test", "test", "test", "train"],
        }
    )
    shares = audit(table)
    assert shares["future"] == pytest.approx(1 / 3)  # of b the training window is the later one
    assert "older than a training window of their subject: 33 %" in audit_line("time", shares)
    with pytest.raises(DataError, match="future"):
        check_audit(shares, "time")
    assert audit(table.assign(fold0=["train", "test", "test", "train", "unused"]))["future"] == 0


@pytest.mark.parametrize("name, planted", [("event", "samples"), ("event", "event"), ("time", "samples")])
def test_a_planted_leak_stops_event_and_time_too(name, planted):
    folds = make_folds(drawn(1, overlap=0.5), SplitConfig(name=name, n_folds=3), 0)
    test = np.flatnonzero((folds["fold1"] == "test") & ((folds["event"] >= 0) | (planted == "samples")))
    overlapping = [(distance_s(folds, test, test[[k]]) < 1).sum() for k in range(len(test))]
    victim = test[np.argmax(overlapping)]
    folds.loc[victim, "fold1"] = "train"
    with pytest.raises(DataError, match=f"split={name}.*{planted}") as caught:
        check_audit(audit(folds), name)
    assert caught.value.reason == "leak"


# ------------------------------------------------------------------------------------------ scikit-learn


@pytest.mark.parametrize("name", PROTOCOLS)
def test_scikit_learn_s_cross_validation_takes_every_splitter(name):
    windows = drawn(3)
    x, y = windows[["start_s"]].to_numpy(), windows["label"].to_numpy()
    cv = splitter(name)
    done = cross_validate(DummyClassifier(), x, y, groups=windows, cv=cv, return_indices=True)
    assert len(done["test_score"]) == cv.get_n_splits(x, y, windows)
    for (train, test), score in zip(cv.split(x, y, windows), done["test_score"], strict=True):
        assert score == pytest.approx((y[test] == np.bincount(y[train]).argmax()).mean())


def test_names_alone_will_do_for_whole_recordings_and_subjects():
    windows = drawn(3)
    y = windows["label"].to_numpy()
    for name, column in (
        ("subject", "subject"),
        ("recording", "recording"),
        ("leave_one_subject_out", "subject"),
    ):
        a = [t.tolist() for _, t in splitter(name).split(y, y, windows)]
        assert a == [t.tolist() for _, t in splitter(name).split(y, y, windows[column].to_numpy())]
    assert len(cross_val_score(DummyClassifier(), y[:, None], y, cv=splitter("window"))) == 3


def test_a_splitter_without_what_it_groups_by_says_so():
    with pytest.raises(ConfigError, match="split=event: no groups.*groups=windows"):
        next(Splitter("event").split(np.zeros(9), np.zeros(9)))
    with pytest.raises(ConfigError, match="no groups"):
        Splitter("leave_one_subject_out").get_n_splits()
    with pytest.raises(ConfigError, match="protocol='person'"):
        Splitter("person")
    assert "Splitter" in repr(Splitter("time", 4)) and "'time'" in repr(Splitter("time", 4))


# ------------------------------------------------------------------------------------- where it is impossible


@pytest.mark.parametrize(
    "config, windows, message",
    [
        (
            dict(name="event", n_folds=999),
            drawn(0),
            r"split=event: \d+ events, which cannot fill split.n_folds=999",
        ),
        (
            dict(name="subject", n_folds=7),
            drawn(0),
            "split=subject: 5 subjects, which cannot fill split.n_folds=7",
        ),
        (
            dict(name="leave_one_subject_out", n_folds=None),
            drawn(0, n_subjects=2),
            "split=leave_one_subject_out: 2 subjects, expected at least 3",
        ),
        (
            dict(name="leave_one_subject_out", n_folds=4),
            drawn(0),
            "split.n_folds=4: .* makes 5 of these data",
        ),
        (dict(name="window", purge_s=1e4), drawn(0), "split=window: fold 0 has no train windows"),
        (
            dict(name="time", n_folds=3),
            drawn(0).assign(event=0),
            "split=time: fold 0 has no (train|test) windows",
        ),
        (
            dict(name="time", n_folds=3),
            drawn(0).assign(label=lambda w: (w["recording"] % 2 > 0) * 1),
            "training windows of fold 0 are all of one class",
        ),
    ],
)
def test_where_a_split_is_impossible_one_line_says_why(config, windows, message):
    with pytest.raises(DataError, match=message) as caught:
        make_folds(windows, SplitConfig(**config), 0)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "values, key",
    [
        ({"name": "time", "n_folds": None}, "split.n_folds=null"),
        ({"name": "event", "purge_s": -1.0}, "split.purge_s=-1"),
        ({"name": "event", "purge_s": float("nan")}, "split.purge_s=nan"),
        ({"name": "subject", "table": "x.csv"}, "split.table=x.csv: split=subject takes none"),
        ({"name": "table", "n_folds": None, "table": __file__, "purge_s": 1.0}, "Write unused"),
    ],
)
def test_a_setting_that_does_not_fit_is_refused(values, key):
    with pytest.raises(ConfigError, match=key):
        freeze(SplitConfig, values, "split.")


@pytest.mark.parametrize("table", [None, "none.csv"])
def test_a_table_that_is_not_there_is_refused_before_any_data_are_read(table, tmp_path):
    settings = one_run(
        [f"dataset.root={tmp_path / 'nowhere'}", "split=table", f"split.table={table or 'null'}"]
    )
    refusals = (lambda: check(settings.data, settings.learning), lambda: load_data(settings.data))
    for refuse in refusals:
        with pytest.raises(ConfigError, match=f"split.table={table}: no such file. Give split=table"):
            refuse()
    assert not (tmp_path / "nowhere").exists()


# ---------------------------------------------------------------------------------------- one's own table


def table_of(tmp_path, table, name="mine.csv"):
    path = tmp_path / name
    if path.suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return SplitConfig(name="table", n_folds=None, table=str(path))


def test_a_table_by_subject_and_one_by_recording_mean_what_they_say(tmp_path):
    windows = drawn(0)
    parts = {"p0": "test", "p1": "val", "p2": "unused", "p3": "train", "p4": "train"}
    config = table_of(tmp_path, pd.DataFrame({"subject": parts.keys(), "part": parts.values()}), "a.tsv")
    folds = make_folds(windows, config, 0)
    assert folds["fold0"].tolist() == windows["subject"].map(parts).tolist()
    assert set(audit(folds).values()) == {0}
    by_recording = pd.DataFrame({"recording": [f"rec{k}" for k in range(10)]})
    by_recording["fold0"] = ["test", "train", "val", *["train"] * 7]
    by_recording["fold1"] = ["train", "test", *["train"] * 7, "val"]
    folds = make_folds(windows, table_of(tmp_path, by_recording), 0)
    assert fold_columns(folds) == ["fold0", "fold1"]
    shares = audit(folds)  # p0 stands on both sides of both folds
    assert shares["subject"] == 1 and shares["recording"] == shares["samples"] == 0
    check_audit(shares, "table")  # it promised nothing
    assert "subject 100 %" in audit_line("table", shares) and "not an estimate" in audit_line("table", shares)


@pytest.mark.parametrize("name", ["window", "time"])
def test_the_folds_of_a_run_can_be_given_to_another(tmp_path, name):
    windows = drawn(2)
    made = make_folds(windows, SplitConfig(name=name, n_folds=3), 0)
    again = make_folds(windows, table_of(tmp_path, made, "folds.parquet"), 7)
    assert folds_hash(again) == folds_hash(made) and audit(again) == audit(made)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda t: t.drop(columns="subject"), "expected subject or recording"),
        (lambda t: t.drop(columns="part"), "expected subject or recording.*part or fold0"),
        (lambda t: t.replace("val", "dev"), r"parts \['dev'\], expected train, val, test, unused"),
        (lambda t: t.iloc[1:], r"no row for \d+ of \d+ windows, the first with \{'subject': 'p0'\}"),
        (lambda t: pd.concat([t, t]), r"two rows for \{'subject': 'p0'\}"),
        (lambda t: t.replace("val", "train"), "fold 0 has no val windows"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_in_one_line(tmp_path, change, message):
    table = pd.DataFrame({"subject": [f"p{k}" for k in range(5)], "part": ["test", "val", *["train"] * 3]})
    with pytest.raises(DataError, match=message):
        make_folds(drawn(0), table_of(tmp_path, change(table)), 0)


def test_a_plain_table_is_audited_with_what_it_has():
    table = pd.DataFrame(
        {"recording": list("aab"), "start_s": [0, 0.5, 0], "fold0": ["test", "train", "test"]}
    )
    assert audit(table) == {"samples": 0.5, "recording": 0.5, "event": None, "subject": None, "future": None}
    assert audit(table, length_s=0.5)["samples"] == 0
    assert "event unknown" in audit_line("table", audit(table))
    with pytest.raises(DataError, match="subject"):  # a promise that nobody can check is not kept
        check_audit(audit(table), "subject")


# ------------------------------------------------------------------------------- how much the article shares


@pytest.mark.parametrize("overlap, low, high", [(0.5, 0.94, 0.97), (0.75, 0.999, 1.0)])
def test_nearly_every_ictal_test_window_of_the_article_shares_samples_with_training(overlap, low, high):
    pieces = pd.DataFrame({"recording": range(100), "start_s": 0.0, "n_samples": int(120 * SFREQ)})
    pieces["first"] = pieces["n_samples"] * pieces.index
    events = pd.DataFrame({"recording": range(100), "onset_s": 30.0, "offset_s": 90.0, "label": "seiz"})
    windows = cut(pieces, events, ("bckg", "seiz"), SFREQ, WindowConfig(seizure_overlap=overlap))
    windows["subject"] = windows["recording"]
    folds = make_folds(windows, SplitConfig(name="window"), 0)
    for column in fold_columns(folds):  # ask of the ictal windows alone
        quiet = (folds[column] == "test") & (folds["label"] == 0)
        folds[column] = folds[column].mask(quiet, "unused")
    assert low <= audit(folds)["samples"] <= high


def test_runs_that_differ_in_the_seed_alone_share_a_row(tiny, tmp_path):
    words = [*tiny, "fold=0", "model=logreg_bandpower", f"run.root={tmp_path}"]
    words = [w for w in words if not w.startswith(("model.net.", "trainer.", "text_encoder."))]
    each = load(TrainSettings, [*words, "seed=[0,1]"]).each_seed()
    runs = [pipeline.training(settings, report=False).train() for settings in each]
    table = summary_rows(runs)
    row = table[table["model"] == "logreg_bandpower"].iloc[0]
    assert len(table) == 2 and row["seed"] == "0,1" and row["folds"] == 2
    alone = [summary_rows([run]).iloc[0] for run in runs]
    assert [one["seed"] for one in alone] == [0, 1]
    assert row["accuracy"] == pytest.approx(np.mean([one["accuracy"] for one in alone]))
    assert row["accuracy_sd"] == pytest.approx(np.std([one["accuracy"] for one in alone], ddof=1))
    [settings] = load(TrainSettings, [*words, "windows.seizure_overlap=0.0"]).each_seed()
    other = pipeline.training(settings, report=False).train()
    assert len(summary_rows([*runs, other])) == 3


# ------------------------------------------------------------------------------- fewer training windows


def test_a_smaller_draw_of_training_windows_lies_in_a_larger_one():
    rows = np.arange(100, 400)
    data = SimpleNamespace(rows=lambda fold, part: rows, cut=WindowConfig(balance_train=False), seed=7)
    draws = {most: learned_rows(data, 0, most) for most in (10, 50, 299, 300, 1000, None)}
    for small, large in pairwise(draws.values()):
        assert set(small) <= set(large)
    assert [len(draw) for draw in draws.values()] == [10, 50, 299, 300, 300, 300]
    for draw in draws.values():
        assert (np.diff(draw) > 0).all() and set(draw) <= set(rows)
    assert np.array_equal(draws[50], learned_rows(data, 0, 50))
    data_of_another_seed = SimpleNamespace(**{**vars(data), "seed": 8})
    for other in (learned_rows(data, 1, 50), learned_rows(data_of_another_seed, 0, 50)):
        assert not np.array_equal(draws[50], other)
