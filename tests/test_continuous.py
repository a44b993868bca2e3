"""Whole recordings: traces of a run's models, and the event scores that follow from them alone."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from tools import one_run, write_config

from distilclip_eeg.commands import cli
from distilclip_eeg.config.data import Places
from distilclip_eeg.config.detection import EventConfig
from distilclip_eeg.files.writing import write_json
from distilclip_eeg.report.event_tables import write_event_tables
from distilclip_eeg.runs import Run
from distilclip_eeg.schema import ConfigError, DataError
from distilclip_eeg.scoring import event_scores
from distilclip_eeg.scoring.events.budget import choose
from distilclip_eeg.training import pipeline
from distilclip_eeg.training import traces as continuous

BARE = EventConfig(smooth_s=0.0, min_duration_s=0.0, merge_gap_s=0.0)
CPU = Places(device="cpu", n_jobs=1)


# --------------------------------------------------------------------------------------- by hand


def trace_rows(part, recording, seconds, seizures):
    """A probability of 0.1, and 0.9 in the stretches given."""
    start = np.arange(seconds, dtype=float)
    high = np.any([(start >= a) & (start < b) for a, b in seizures], axis=0) if seizures else start < 0
    columns = {
        "part": part,
        "recording": recording,
        "start_s": start,
        "probability": np.where(high, 0.9, 0.1),
    }
    return pd.DataFrame(columns)


@pytest.fixture
def by_hand(tmp_path) -> Run:
    """Two folds: a and b are tested in one each, and validate the other's threshold."""
    run = Run(tmp_path / "run")
    for fold, (val, test) in enumerate((("a", "b"), ("b", "a"))):
        folder = run.fold(fold)
        folder.mkdir(parents=True)
        write_json(folder / "metrics.json", {})
        found = {"a": [(100, 110)], "b": [(50, 60), (900, 905)]}  # the last is a false alarm
        rows = [trace_rows("val", val, 1000, found[val]), trace_rows("test", test, 1000, found[test])]
        pd.concat(rows).to_parquet(folder / event_scores.TRACES)
    write_config(run.path)
    write_json(run.path / "data.json", {"leak_note": "nothing is shared"})
    write_json(run.path / event_scores.GRID, {"hop_s": 1.0, "length_s": 1.0})
    events = [("a", "p1", 100, 120, "seiz"), ("b", "p2", 50, 60, "seiz"), ("b", "p2", 500, 510, "seiz")]
    recorded = [("a", "p1", 0, 1000), ("b", "p2", 0, 1000)]
    for name, rows, columns in (
        (event_scores.EVENTS, events, ["recording", "subject", "onset_s", "offset_s", "label"]),
        (event_scores.RECORDED, recorded, ["recording", "subject", "start_s", "stop_s"]),
    ):
        pd.DataFrame(rows, columns=columns).to_csv(run.path / name, sep="\t", index=False)
    return run


def test_whole_are_the_protocols_that_never_share_a_recording_with_training():
    assert event_scores.WHOLE == ("recording", "subject", "leave_one_subject_out", "official")


def test_hits_misses_and_false_alarms_are_those_counted_by_hand(by_hand):
    found = event_scores.event_tables(by_hand, BARE, 0.5)
    row = found.overall.set_index("scorer").loc["NEDC OVLP"]
    assert (row["tp"], row["fp"], row["fn"]) == (2, 1, 1)
    assert row["fp_per_24h"] == pytest.approx(86400 / 2000)
    assert (row["subjects"], row["recordings"], row["unscored"]) == (2, 2, 0)
    assert np.isnan(row["sensitivity_low"])  # two subjects carry no interval
    each = found.by_subject[found.by_subject["scorer"] == "NEDC OVLP"].set_index("subject")
    assert each["sensitivity"].to_dict() == {"p1": 1.0, "p2": 0.5}
    everyone = found.latency.set_index(["kind", "subject"]).loc[("onset latency", "all")]
    assert (everyone["median_s"], everyone["hits"], everyone["events"]) == (0.0, 2, 3)


def test_the_threshold_is_the_lowest_that_validation_recordings_allow(by_hand):
    found = event_scores.event_tables(by_hand, BARE)
    # Two values only. At 0.1 all quiet time is under alarm; at 0.9 none of a's 980 s, and 5 of b's 980.
    assert [made.threshold for made in found.detect.values()] == [0.9, 0.9]
    assert [basis["quiet_share"] for basis in found.basis.values()] == [0, pytest.approx(5 / 980, abs=1e-6)]
    assert [(b["hits"], b["seizures"], b["persons"]) for b in found.basis.values()] == [(1, 1, 1), (1, 2, 1)]
    moved = pd.read_parquet(by_hand.fold(0) / event_scores.TRACES)
    moved["probability"] = np.where(moved["part"] == "test", 0.99, moved["probability"])
    moved.to_parquet(by_hand.fold(0) / event_scores.TRACES)
    again = event_scores.event_tables(by_hand, BARE).detect
    assert [made.threshold for made in again.values()] == [0.9, 0.9]  # test recordings have no say


def test_no_model_and_no_data_are_needed_and_the_page_says_what_it_rests_on(by_hand):
    text = write_event_tables(by_hand, BARE, 0.5)
    assert "nothing is shared" in text and "timescoring" in text
    assert "false alarms per 24 h are an extrapolation" in text
    assert "thresholds by fold, given: 0.5 0.5" in text
    written = {p.name for p in (by_hand.path / event_scores.FOLDER).iterdir()}
    names = ("overall", "by_subject", "latency", "operating", "unscored")
    beside = ("events", "burden", "curve", "seconds", "differences")
    expected = {f"{name}.csv" for name in (*names, *(f"beside_{name}" for name in beside))}
    assert written == expected | {"events.txt", "budget.json", event_scores.SETTINGS}
    assert event_scores.detect_config(by_hand, 1) == BARE.with_threshold(0.5)  # for who draws them later
    assert max(map(len, text.splitlines())) <= 100


def test_before_there_are_tables_alarms_are_drawn_by_the_threshold_of_validation(by_hand):
    usual = event_scores.event_tables(by_hand, EventConfig())
    assert event_scores.detect_config(by_hand, 0) == usual.detect[0] and usual.detect[0].threshold < 0.9
    never_quiet = pd.read_csv(by_hand.path / event_scores.EVENTS, sep="\t").assign(onset_s=0, offset_s=1000)
    never_quiet.to_csv(by_hand.path / event_scores.EVENTS, sep="\t", index=False)
    assert event_scores.detect_config(by_hand, 0).threshold == np.inf  # no background settles none


def test_a_run_without_traces_names_the_command(by_hand):
    for fold in (0, 1):
        (by_hand.fold(fold) / event_scores.TRACES).unlink()
    with pytest.raises(DataError, match="scripts/continuous.py run="):
        event_scores.event_tables(by_hand, BARE, 0.5)


def test_every_table_has_the_rows_that_no_detector_should_be_proud_to_beat(by_hand):
    found = event_scores.event_tables(by_hand, BARE, 0.5).beside
    rows = ["model", "always on", "chance", "position only"]
    for table in (found.burden, found.curve):
        assert table["row"].tolist() == rows
    for _, scored in found.events.groupby("scorer"):
        assert scored["row"].tolist() == rows
    assert found.seconds["row"].tolist() == ["model", "model, unsmoothed", *rows[1:]]
    burden = found.burden.set_index("row")
    assert burden["hits"].to_dict() | {"chance": 0} == {
        "model": 2,
        "always on": 3,
        "chance": 0,
        "position only": 2,  # a tenth of 980 quiet seconds, from the start: both first seizures begin in it
    }
    assert burden.loc["always on", "quiet_share"] == 1
    assert burden.loc["model", "quiet_share"] == 5 / 1960


def test_what_other_folds_held_out_helps_but_for_whom_the_fold_tests(by_hand):
    known = event_scores.references(by_hand)
    for path, part, value in ((by_hand.fold(0), "val", 0.3), (by_hand.fold(1), "test", 0.4)):
        table = pd.read_parquet(path / event_scores.TRACES)
        table.loc[table["part"] == part, "probability"] = value  # of recording a, by either network
        table.to_parquet(path / event_scores.TRACES)
    whole = pd.concat([trace_rows("val", "c", 1000, []), trace_rows("test", "d", 1000, [])])
    more = by_hand.fold(2)
    more.mkdir()
    write_json(more / "metrics.json", {})
    whole.to_parquet(more / event_scores.TRACES)
    for name in ("c", "d"):
        known[name] = replace(known["a"], recording=name, subject={"c": "p3", "d": "p2"}[name])
    mine = {k: event_scores.held_out(by_hand, k, known, [0, 1, 2]) for k in (0, 1, 2, None)}
    # Fold 0 tests b, of p2, whose d the third fold tests; fold 1 tests a.
    assert list(mine[0].traces) == ["a", "c"] and list(mine[1].traces) == ["b", "d", "c"]
    assert list(mine[2].traces) == ["c", "a"] and sorted(mine[None].traces) == ["a", "b", "c", "d"]
    # Its own network's trace first; else that of the network that tested it, not that which stopped by it.
    assert mine[0].traces["a"].probability_N[0] == 0.3 and mine[None].traces["a"].probability_N[0] == 0.4
    assert mine[2].traces["a"].probability_N[0] == 0.4


def test_validation_without_background_or_of_none_asks_for_a_number(by_hand):
    known = event_scores.references(by_hand)
    val = event_scores.parts(by_hand, 0, known)["val"]
    seizing = [replace(r, track=replace(r.track, events_E2=[(0, 1000)])) for r in val.references]
    with pytest.raises(DataError, match="no second without seizure. Give a number"):
        choose(replace(val, references=seizing), BARE)
    with pytest.raises(DataError, match="no held-out recording. Give a number"):
        choose(replace(val, references=[], traces={}), BARE)


def test_other_detectors_stand_beside_on_the_seconds_that_both_have(by_hand, tmp_path):
    tested = pd.concat(pd.read_parquet(by_hand.fold(k) / event_scores.TRACES) for k in (0, 1))
    tested = tested[tested["part"] == "test"].rename(columns={"start_s": "second", "probability": "score"})
    seizures = {"a": [(100, 120)], "b": [(50, 60), (500, 510)]}
    label = [
        int(any(a <= s < b for a, b in seizures[r]))
        for r, s in zip(tested.recording, tested.second, strict=True)
    ]
    peer = tested.assign(
        subject=tested["recording"].map({"a": "p1", "b": "p2"}), piece=0, label=label, decision=0
    )
    path = tmp_path / "other.parquet"
    peer[peer["second"] < 900].to_parquet(path)
    text = write_event_tables(by_hand, BARE, 0.5, (str(path),))
    assert "other: 200 of 2000 seconds are not in it" in text
    found = pd.read_csv(by_hand.path / "continuous" / "beside_seconds.csv").set_index("row")
    # Without b's false alarm at 900 s: 20 of 40 ictal seconds at 0.9, all others at 0.1.
    assert found.loc["other", "pooled"] == found.loc["model", "pooled"] == pytest.approx(0.75)
    less = pd.read_csv(by_hand.path / "continuous" / "beside_differences.csv").set_index("row")
    assert less.loc["other", "pooled"] == 0
    peer.assign(label=1 - peer["label"]).to_parquet(path)
    with pytest.raises(DataError, match="other.parquet: .* is labelled 1, and 0 in the run, 2000 seconds"):
        write_event_tables(by_hand, BARE, 0.5, (str(path),))


# --------------------------------------------------------------------------------------- of a run


@pytest.fixture(scope="module")
def trained(tiny, tmp_path_factory) -> Run:
    root = tmp_path_factory.mktemp("continuous")
    return pipeline.training(one_run([*tiny, "trainer.epochs=1", f"run.root={root}"]), report=False).train()


@pytest.fixture
def run(trained, tmp_path) -> Run:
    return Run(shutil.copytree(trained.path, tmp_path / trained.path.name))


def test_every_second_of_every_recording_is_scored_once_by_a_model_that_never_saw_it(run):
    continuous.score(run, places=CPU)
    tested = []
    for fold in run.folds_done():
        traces = pd.read_parquet(run.fold(fold) / event_scores.TRACES)
        folds = pd.read_parquet(run.path / "folds.parquet")
        for part in ("val", "test"):
            of_part = set(folds.loc[folds[f"fold{fold}"] == part, "recording_name"])
            assert set(traces.loc[traces["part"] == part, "recording"]) == of_part
        tested.append(traces[traces["part"] == "test"])
    tested = pd.concat(tested)
    recorded = pd.read_csv(run.path / event_scores.RECORDED, sep="\t")
    assert not tested.duplicated(["recording", "start_s"]).any()
    for name, rows in recorded.groupby("recording"):
        expected = sum(int(r.stop_s - r.start_s + 1e-6) for r in rows.itertuples())
        assert (tested["recording"] == name).sum() == expected


def test_a_window_that_was_tested_has_the_same_probability_in_the_trace(run):
    continuous.score(run, places=CPU)
    for fold in run.folds_done():
        saved = run.predictions(fold)
        one = pd.DataFrame({k: saved[k] for k in ("part", "recording", "start_s")})
        one["expected"] = 1 - saved["probability_NK"][:, 0]
        traces = pd.read_parquet(run.fold(fold) / event_scores.TRACES)
        both = one.merge(traces, on=["part", "recording", "start_s"])
        assert len(both) > 50
        np.testing.assert_allclose(both["probability"], both["expected"], atol=1e-6)


def test_a_floor_is_fitted_again_as_it_was(tiny_data, tmp_path):
    words = [*tiny_data, "model=logreg_bandpower", "n_jobs=1", f"run.root={tmp_path}"]
    run = pipeline.training(one_run(words), report=False).train()
    continuous.score(run, places=CPU)
    saved = run.predictions(0)
    one = pd.DataFrame({k: saved[k] for k in ("part", "recording", "start_s")})
    one["expected"] = 1 - saved["probability_NK"][:, 0]
    both = one.merge(pd.read_parquet(run.fold(0) / event_scores.TRACES), on=["part", "recording", "start_s"])
    assert set(both["part"]) == {"val", "test"}
    np.testing.assert_allclose(both["probability"], both["expected"], atol=1e-6)


def test_the_second_time_nothing_is_scored_again_unless_the_hop_changes(run, monkeypatch):
    continuous.score(run, places=CPU)
    with monkeypatch.context() as patch:
        patch.setattr(continuous, "reopen", lambda *a, **k: pytest.fail("opened the data again"))
        continuous.score(run, places=CPU)
    continuous.score(run, hop_s=0.5, places=CPU)
    start_s = pd.read_parquet(run.fold(0) / event_scores.TRACES).groupby("recording")["start_s"]
    assert set(np.round(start_s.diff().dropna(), 6)) <= {0.5, *np.arange(1.0, 60.0, 0.5)}
    assert (start_s.diff().dropna() == 0.5).mean() > 0.9


def test_traces_of_a_run_are_never_on_two_grids(run):
    continuous.score(run, places=CPU)
    continuous.score(run, [0], hop_s=0.5, places=CPU)
    assert [k for k in run.folds_done() if (run.fold(k) / event_scores.TRACES).exists()] == [0]
    continuous.score(run, hop_s=0.5, places=CPU)
    assert all((run.fold(k) / event_scores.TRACES).exists() for k in run.folds_done())


def test_what_was_said_of_an_earlier_network_does_not_outlive_it(tiny, tmp_path):
    words = [*tiny, "trainer.epochs=1", f"run.root={tmp_path}"]
    run = pipeline.training(one_run(words), report=False).train()
    continuous.score(run, places=CPU)
    write_event_tables(run, BARE, 0.5)
    (run.fold(0) / "explain").mkdir()
    said = [run.fold(0) / event_scores.TRACES, run.path / event_scores.FOLDER, run.fold(0) / "explain"]
    assert all(path.exists() for path in said)
    pipeline.training(one_run([*words, "trainer.epochs=2"]), report=False).train()
    assert not any(path.exists() for path in said)


def test_a_protocol_that_splits_recordings_is_refused(tiny, tmp_path):
    words = [*tiny, "split=window", "trainer.epochs=1", "fold=0", f"run.root={tmp_path}"]
    run = pipeline.training(one_run(words), report=False).train()
    with pytest.raises(ConfigError, match="split=window.*none of them is new as a whole"):
        continuous.score(run, places=CPU)
    assert not list(run.path.glob("**/*.parquet.tmp*")) and not (run.path / event_scores.EVENTS).exists()


@pytest.mark.parametrize("hop_s", [0, -1, 1.5])
def test_a_hop_that_leaves_time_out_is_refused(run, hop_s):
    with pytest.raises(ConfigError, match="the length of a window"):
        continuous.score(run, hop_s=hop_s)


def test_the_command_prints_the_tables_and_where_they_are(run, capsys):
    cli.act("continuous", [f"run={run.path}", "n_jobs=1", "device=cpu", "threshold=0.5", "detect.smooth_s=3"])
    said = capsys.readouterr().out
    assert "SzCORE event" in said and "NEDC TAES" in said and "mean over 3 s" in said
    assert f"written: {run.path / event_scores.FOLDER}" in said
