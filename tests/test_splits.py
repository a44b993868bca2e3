"""Folds: what is tested, what is never shared, and what the audit says about it."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from distilclip_eeg.config.data import SplitConfig
from distilclip_eeg.config.rules import freeze
from distilclip_eeg.schema import ConfigError, DataError
from distilclip_eeg.signals.audit import UNKNOWN, audit, audit_line, check_audit, fold_columns
from distilclip_eeg.signals.splits import folds_hash, make_folds

LENGTH = 100


def corpus(n_subjects=8, per_subject=3, seizures_in=0.7, seed=0, windows=(20, 60)):
    """A window index: recordings one after the other in the store, seizure windows overlapping by half."""
    rng = np.random.default_rng(seed)
    rows, at, event = [], 0, 0
    for recording in range(n_subjects * per_subject):
        n = int(rng.integers(*windows))
        ictal = np.zeros(n, dtype=int)
        if rng.random() < seizures_in or recording % per_subject == 0:
            begin = int(rng.integers(0, n - 10))
            ictal[begin : begin + 8] = 1
        start = at
        for label in ictal:
            which = event if label else -1
            rows.append((recording, f"s{recording // per_subject:02d}", (at - start) / 100, at, label, which))
            at += LENGTH // 2 if label else LENGTH
        at += LENGTH
        event += int(ictal.any())
    table = pd.DataFrame(rows, columns=["recording", "subject", "start_s", "first", "label", "event"])
    table.insert(0, "window_id", np.arange(len(table)))
    return table


@pytest.mark.parametrize("name", ["window", "recording", "subject"])
@pytest.mark.parametrize("seed", range(5))
def test_each_window_is_tested_exactly_once(name, seed):
    folds = make_folds(corpus(seed=seed), SplitConfig(name=name), seed)
    tested = sum((folds[c] == "test").astype(int) for c in fold_columns(folds))
    assert fold_columns(folds) == [f"fold{k}" for k in range(5)]
    assert (tested == 1).all()


@pytest.mark.parametrize("name", ["window", "recording", "subject"])
@pytest.mark.parametrize("seed", range(5))
def test_every_part_holds_every_class(name, seed):
    folds = make_folds(corpus(seed=seed), SplitConfig(name=name), seed)
    for column in fold_columns(folds):
        assert folds[column].notna().all()  # one cell a window and fold: the parts cannot overlap
        for part in ("train", "val", "test"):
            assert set(folds["label"][folds[column] == part]) == {0, 1}, (column, part)


@pytest.mark.parametrize("seed", range(30))
def test_validation_has_seizures_even_where_few_recordings_do(seed):
    table = corpus(n_subjects=6, per_subject=5, seizures_in=0.0, seed=seed)  # 6 of 30 recordings have one
    folds = make_folds(table, SplitConfig(name="recording"), seed)
    for column in fold_columns(folds):
        for part in ("train", "val", "test"):
            assert set(folds["label"][folds[column] == part]) == {0, 1}, (column, part)


def test_the_only_seizure_recording_stays_in_training_where_one_side_must_go_without():
    table = corpus(n_subjects=12, per_subject=1, seizures_in=0.0, seed=1)
    table.loc[table["recording"] > 1, ["label", "event"]] = (0, -1)  # two of twelve recordings have one
    folds = make_folds(table, SplitConfig(name="recording", n_folds=2), 0)
    for column in fold_columns(folds):
        assert set(folds["label"][folds[column] == "train"]) == {0, 1}
        assert (folds[column] == "val").any()


@pytest.mark.parametrize("name", ["recording", "subject"])
@pytest.mark.parametrize("seed", range(5))
def test_a_group_is_never_on_two_sides(name, seed):
    folds = make_folds(corpus(seed=seed), SplitConfig(name=name), seed)
    for column in fold_columns(folds):
        assert (folds.groupby(name)[column].nunique() == 1).all()


def test_the_share_of_validation_is_about_what_was_asked_for():
    folds = make_folds(corpus(20, 4, seed=1), SplitConfig(name="window", val_share=0.2), 0)
    for column in fold_columns(folds):
        part = folds[column].value_counts()
        assert part["test"] / len(folds) == pytest.approx(0.2, abs=0.01)
        assert part["val"] / (part["val"] + part["train"]) == pytest.approx(0.2, abs=0.01)


def test_the_window_split_keeps_the_share_of_seizures():
    table = corpus(seed=3)
    folds = make_folds(table, SplitConfig(name="window"), 0)
    for column in fold_columns(folds):
        for part in ("train", "val", "test"):
            share = table["label"][folds[column] == part].mean()
            assert share == pytest.approx(table["label"].mean(), abs=0.02)


@pytest.mark.parametrize("name", ["window", "recording", "subject"])
def test_a_seed_gives_the_same_folds_again_and_another_seed_others(name):
    table = corpus(seed=2)
    config = SplitConfig(name=name)
    a, b, c = (make_folds(table, config, seed) for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(a, b)
    assert folds_hash(a) == folds_hash(b)
    # scikit-learn's grouped split orders groups by their share of seizures; the seed only breaks ties.
    assert folds_hash(a) != folds_hash(c) or name == "subject"


def test_making_folds_leaves_the_index_as_it_was():
    table = corpus()
    kept = table.copy()
    folds = make_folds(table, SplitConfig(name="subject"), 0)
    pd.testing.assert_frame_equal(table, kept)
    pd.testing.assert_frame_equal(folds[list(table.columns)], table)


def test_the_hash_follows_the_assignment_and_nothing_else(tmp_path):
    folds = make_folds(corpus(), SplitConfig(name="subject"), 0)
    first = folds_hash(folds)
    folds.to_parquet(tmp_path / "folds.parquet")
    assert folds_hash(pd.read_parquet(tmp_path / "folds.parquet")) == first
    assert folds_hash(folds.assign(subject="other", window_id=0)) == first
    assert folds_hash(folds.astype({c: str for c in fold_columns(folds)})) == first
    for part in ("train", "val", "test"):
        changed = folds.copy()
        changed.loc[5, "fold3"] = part
        assert (folds_hash(changed) == first) == (part == folds.loc[5, "fold3"])
    relabelled = folds.copy()
    relabelled.loc[5, "label"] = 1 - relabelled.loc[5, "label"]
    moved = folds.copy()
    moved.loc[5, "start_s"] += 0.001
    swapped = folds.rename(columns={"fold0": "fold1", "fold1": "fold0"})
    assert len({first, *(folds_hash(f) for f in (relabelled, moved, swapped, folds[:-1]))}) == 5


def slow_audit(folds):
    """Every pair of windows of one second, one fold at a time."""
    found = {"samples": [], "event": [], "recording": [], "subject": [], "future": []}
    for column in fold_columns(folds):
        rows = folds.to_dict("records")
        test = [r for r in rows if r[column] == "test"]
        rest = [r for r in rows if r[column] in ("train", "val")]

        def share(windows, also, rest=rest):
            return np.mean([any(also(a, b) for b in rest) for a in windows])

        def same(key):
            return lambda a, b: a[key] == b[key]

        found["samples"].append(
            share(test, lambda a, b: same("recording")(a, b) and abs(a["start_s"] - b["start_s"]) < 1)
        )
        ictal = [a for a in test if a["event"] >= 0]
        if ictal:
            found["event"].append(share(ictal, same("event")))
        for group in ("recording", "subject"):
            found[group].append(share(test, same(group)))

        def earlier(a, b):
            return (a["recording"], a["start_s"]) < (b["recording"], b["start_s"])

        found["future"].append(share(test, lambda a, b: same("subject")(a, b) and earlier(a, b)))
    return {k: float(np.mean(v)) if v else 0.0 for k, v in found.items()}


@pytest.mark.parametrize("seed", range(15))
def test_the_audit_equals_a_look_at_every_pair(seed):
    table = corpus(n_subjects=4, per_subject=2, seed=seed, windows=(12, 20))
    for name in ("window", "recording", "subject"):
        folds = make_folds(table, SplitConfig(name=name, n_folds=3), seed)
        assert audit(folds) == pytest.approx(slow_audit(folds))


@pytest.mark.parametrize("seed", range(15))
def test_the_audit_equals_a_look_at_every_pair_for_any_assignment(seed):
    rng = np.random.default_rng(seed)
    table = corpus(n_subjects=3, per_subject=2, seed=seed, windows=(12, 20))
    table = table.sample(frac=1, random_state=seed)  # in any order of rows
    for k in range(2):
        table[f"fold{k}"] = rng.choice(["train", "val", "test"], len(table), p=[0.1, 0.2, 0.7])
        table.loc[rng.random(len(table)) < 0.2, f"fold{k}"] = "unused"
    assert audit(table) == pytest.approx(slow_audit(table))


def test_windows_side_by_side_share_no_sample_and_one_sample_is_enough():
    table = pd.DataFrame(
        {
            "recording": 0,
            "start_s": [0.0, 1.0, 1.99, 4.0],
            "fold0": ["test", "train", "test", "test"],
        }
    )
    assert audit(table)["samples"] == pytest.approx(1 / 3)  # only 1.99 touches [1, 2)
    assert audit(table, 0.5)["samples"] == 0


def test_the_window_split_shares_samples_events_recordings_and_subjects():
    shares = audit(make_folds(corpus(), SplitConfig(name="window"), 0))
    assert shares["subject"] == shares["recording"] == 1
    assert shares["event"] > 0.99
    assert shares["samples"] > 0.1
    check_audit(shares, "window")  # allowed, but said
    line = audit_line("window", shares)
    assert "subject 100 %" in line and "not an estimate for new patients" in line


def test_grouped_splits_keep_what_they_promise():
    by_recording = audit(make_folds(corpus(), SplitConfig(name="recording"), 0))
    by_subject = audit(make_folds(corpus(), SplitConfig(name="subject"), 0))
    assert by_subject == dict.fromkeys(UNKNOWN, 0)
    assert by_recording["recording"] == by_recording["samples"] == by_recording["event"] == 0
    assert by_recording["subject"] > 0.5
    assert "not an estimate" not in audit_line("subject", by_subject)


@pytest.mark.parametrize(
    "split, planted", [("recording", "recording"), ("subject", "subject"), ("subject", "recording")]
)
def test_a_planted_leak_stops_the_run(split, planted):
    folds = make_folds(corpus(), SplitConfig(name=split), 0)
    check_audit(audit(folds), split)
    victim = folds[folds["fold2"] == "test"].iloc[0]
    group = folds.index[folds[planted] == victim[planted]]
    folds.loc[group[len(group) // 2 :], "fold2"] = "val"  # validation steers the model too
    with pytest.raises(DataError, match=f"split={split}.*{planted}") as caught:
        check_audit(audit(folds), split)
    assert caught.value.reason == "leak"


def test_one_person_under_two_names_is_found_by_its_samples():
    folds = make_folds(corpus(), SplitConfig(name="subject"), 0)
    double = folds.copy()
    double["subject"] = double["subject"] + "b"
    double["fold0"] = np.where(folds["fold0"] == "test", "train", "test")
    shares = audit(pd.concat([folds, double], ignore_index=True))
    assert shares["subject"] == 0
    with pytest.raises(DataError, match="samples"):
        check_audit(shares, "subject")


@pytest.mark.parametrize("name, n_groups", [("subject", 4), ("recording", 4), ("subject", 1)])
def test_too_few_groups_are_refused(name, n_groups):
    table = corpus(n_subjects=n_groups, per_subject=1, windows=(40, 60))
    with pytest.raises(DataError, match=f"split={name}: {n_groups} {name}s.*split.n_folds"):
        make_folds(table, SplitConfig(name=name), 0)


def test_a_training_side_of_one_group_leaves_nothing_to_validate_on():
    # Two subjects in two folds: the training side is one person, who cannot be train and val.
    table = corpus(n_subjects=2, per_subject=1, windows=(40, 60))
    with pytest.raises(DataError, match="split.n_folds"):
        make_folds(table, SplitConfig(name="subject", n_folds=2), 0)
    folds = make_folds(
        corpus(n_subjects=4, per_subject=1, windows=(40, 60)), SplitConfig(name="subject", n_folds=2), 0
    )
    for column in fold_columns(folds):
        assert set(folds[column]) == {"train", "val", "test"}


def test_as_many_groups_as_folds_is_leave_one_out():
    table = corpus(n_subjects=5, per_subject=1, windows=(40, 60))
    folds = make_folds(table, SplitConfig(name="subject"), 0)
    for column in fold_columns(folds):
        assert folds.groupby(column, observed=True)["subject"].nunique()["test"] == 1


@pytest.mark.parametrize(
    "values, key",
    [
        ({"name": "patient"}, "split"),
        ({"name": "window", "n_folds": 1}, "split.n_folds"),
        ({"name": "window", "n_folds": 2.0}, "split.n_folds"),
        ({"name": "window", "val_share": 0.0}, "split.val_share"),
        ({"name": "window", "val_share": 0.5}, "split.val_share"),
        ({"name": "window", "folds": 5}, "split.folds"),
    ],
)
def test_a_bad_setting_is_refused_by_name(values, key):
    with pytest.raises(ConfigError, match=key):
        freeze(SplitConfig, values, "split.")


@pytest.mark.parametrize("values", [{}, {"name": "auto"}])
def test_auto_is_decided_by_the_data_before_there_are_folds(values):
    config = freeze(SplitConfig, values, "split.")
    assert config.name == "auto"
    with pytest.raises(ConfigError, match="protocol='auto' is not one of"):
        make_folds(corpus(), config, 0)


@pytest.mark.parametrize("model", ["knn", "logreg"])
def test_a_placebo_fools_the_window_split_and_not_the_subject_split(model):
    """The label is a coin per person and the features carry who it is, nothing else."""
    rng = np.random.default_rng(0)
    n_subjects, per_subject = 60, 20
    coin = rng.permutation(np.repeat([0, 1], n_subjects // 2))
    centre = rng.standard_normal((n_subjects, 64))
    subject = np.repeat(np.arange(n_subjects), per_subject)
    x = centre[subject] + 0.3 * rng.standard_normal((len(subject), 64))
    table = pd.DataFrame(
        {
            "recording": subject,
            "subject": subject,
            "label": coin[subject],
            "first": np.arange(len(subject)) * LENGTH,
            "start_s": 0.0,
            "event": np.where(coin[subject] == 1, subject, -1),
        }
    )
    make = {"knn": lambda: KNeighborsClassifier(1), "logreg": lambda: LogisticRegression(C=10.0)}[model]
    accuracy = {}
    for name in ("window", "subject"):
        folds = make_folds(table, SplitConfig(name=name), 0)
        scores = []
        for column in fold_columns(folds):
            train, test = ((folds[column] == part).to_numpy() for part in ("train", "test"))
            scores.append(make().fit(x[train], coin[subject][train]).score(x[test], coin[subject][test]))
        accuracy[name] = np.mean(scores)
    assert accuracy["window"] > 0.9
    assert abs(accuracy["subject"] - 0.5) < 0.15


# ------------------------------------------------------------------------------------ the official split


def official(parts):
    table = corpus()
    subjects = sorted(table["subject"].unique())
    part = {s: parts[k % len(parts)] for k, s in enumerate(subjects)}
    return table.assign(part=table["subject"].map(part))


def test_the_official_split_is_one_fold_of_the_corpus_s_own_parts():
    table = official(["train", "val", "test"])
    folds = make_folds(table, SplitConfig(name="official", n_folds=1), seed=0)
    assert folds["fold0"].tolist() == table["part"].tolist() and "fold1" not in folds
    shares = audit(folds)
    assert set(shares.values()) == {0.0}
    check_audit(shares, "official")


def test_an_official_split_whose_parts_share_a_person_is_stopped():
    table = official(["train", "val", "test"])
    table.loc[table["recording"] == 0, "part"] = "test"  # of s00, who trains
    folds = make_folds(table, SplitConfig(name="official", n_folds=1), seed=0)
    with pytest.raises(DataError, match="subject"):
        check_audit(audit(folds), "official")


@pytest.mark.parametrize("parts", [["train", "test"], [""]])
def test_a_corpus_without_all_three_parts_has_no_official_split(parts):
    with pytest.raises(DataError) as caught:
        make_folds(official(parts), SplitConfig(name="official", n_folds=1), seed=0)
    assert caught.value.reason == "no_official_split"


def test_the_official_split_cannot_be_five_folds():
    with pytest.raises(ConfigError, match="official split is one fold"):
        SplitConfig(name="official", n_folds=5)


def test_an_audit_that_nobody_can_make_says_unknown_not_zero():
    line = audit_line("window", UNKNOWN)
    assert "unknown" in line and "0 %" not in line
