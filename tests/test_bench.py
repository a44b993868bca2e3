"""The benchmark's arithmetic by hand, and its pages; no speed is asserted."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import warm

from distilclip_eeg.config.commands import BenchmarkSettings
from distilclip_eeg.studies.bench import bench, gpu, ingest, peers, steps
from distilclip_eeg.studies.bench.contest import Contest, Ratio, fact

RESULTS = Path(__file__).parents[1] / "results"


def test_ways_take_turns_and_the_order_turns_round():
    told = []
    ways = {name: lambda name=name: told.append(name) for name in "abc"}
    Contest("work", ways, (), rounds=3).run()
    assert "".join(told) == "abc" + "abc" + "cba" + "abc"  # the first time warms up


def test_a_ratio_is_taken_in_each_round_and_its_median_and_quartiles_told():
    seconds = iter([2.0, 1.0, 1.0, 4.0, 6.0, 2.0])  # rounds: 2 / 1, 4 / 1 (the second goes first), 6 / 2
    ways = {name: lambda: next(seconds) for name in ("other", "own")}
    ratio = Ratio("G0", "other / own", "other", "own", ">= 3")
    contest = Contest("work", ways, (ratio,), rounds=3, warm=False)
    table = contest.run()
    pd.testing.assert_frame_equal(table, pd.DataFrame({"other": [2.0, 4.0, 6.0], "own": [1.0, 1.0, 2.0]}))
    [row] = contest.rows(table)
    assert (row["ratio"], row["low"], row["high"], row["met"]) == (3.0, 2.5, 3.5, "yes")


def test_a_way_that_does_not_time_itself_is_timed():
    clock = iter([10.0, 11.5, 20.0, 20.5])
    table = Contest("work", {"a": str, "b": list}, (), 1, warm=False).run(lambda: next(clock))
    assert table.to_numpy().tolist() == [[1.5, 0.5]]


def test_different_amounts_of_work_are_set_off():
    # 3 GFLOP in 2 s beside 1 GFLOP in 0.5 s: 1.5 to 2 GFLOP/s
    ratio = Ratio("G8", "rate of a step / of a product", "product", "step", "<= 0.5", times=3.0)
    contest = Contest("work", {}, (ratio,), 1)
    [row] = contest.rows(pd.DataFrame({"step": [2.0], "product": [0.5]}))
    assert (row["ratio"], row["met"]) == (0.75, "no")


def test_what_is_counted_stands_in_the_table_like_what_is_timed():
    row = fact("G10", "bytes", 0.2554, "<= 0.27")
    assert (row["ratio"], row["low"], row["high"], row["met"]) == (0.255, 0.255, 0.255, "yes")
    assert fact("G10", "bytes", 0.3)["met"] == ""


def test_a_step_of_the_loop_is_timed_from_the_first_tick_to_the_last():
    ticks = steps.Ticks()
    ticks.calls = [(5.0, 1), (7.0, 1), (11.0, 2)]  # what comes before the first is not a step's
    assert ticks.per_step == 2.0


def told(*rows):
    return {
        "machine": bench.machine(),
        "versions": bench.versions(),
        "commit": "abc",
        "rounds": 3,
        "left_out": [],
        "rows": rows,
    }


def test_the_page_sets_an_earlier_run_beside():
    row = fact("G4", "batch of 32: DataLoader, preloaded / own", 2.5, ">= 2")
    page = bench.page(told(row), [{"what": row["what"], "ratio": 0.48}, {"what": "gone", "ratio": 1}])
    words = "G4 batch of 32: DataLoader, preloaded / own 0.48 2.5 2.5-2.5 >= 2 yes"
    assert page.splitlines()[1].split() == words.split()


def test_no_page_names_the_machine_s_place_and_every_line_fits():
    assert {"machine", "cpu", "instructions", "gpu"} == set(bench.machine())
    for path in RESULTS.glob("bench*.json"):
        found = json.loads(path.read_text(encoding="utf-8"))
        text = bench.page(found, found["rows"])
        assert max(map(len, text.splitlines())) <= 100, path
        assert (path.with_suffix(".txt")).exists()


def test_every_contest_of_signals_has_its_ways_and_they_work(tmp_path):
    contest = ingest.reading(tmp_path, 1, 1)
    own, by_mne, floor = (contest.ways[name]() for name in ("own", "mne", "floor"))
    [piece] = own[0]
    assert piece.eeg_CT.shape == (19, 24_000) and floor.size == 19 * 24_000
    np.testing.assert_allclose(piece.eeg_CT, by_mne.get_data(), atol=1e-10)  # volts
    for asked in contest.ratios:
        assert {asked.over, asked.under} <= set(contest.ways)


def test_braindecode_is_left_out_where_it_is_not_installed(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "braindecode.datasets", None)
    assert not peers.there() and list(peers.contests(tmp_path, None, 1, 1)) == []


@pytest.mark.slow
def test_without_a_gpu_the_gpu_s_script_says_what_it_has_not_seen(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda task, mode=None: task)  # takes a minute
    monkeypatch.setattr(gpu, "get_context", lambda _: warm.context)  # so do three cold processes
    settings = BenchmarkSettings(what="gpu", rounds=1, output=str(tmp_path / "gpu"))
    *_, text = gpu.gpu(settings, steps=1, learned=2)
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert found["machine"]["gpu"] is None and "NOT SEEN ON A GPU: CUDA graphs" in text
    assert any("two folds" in row["what"] for row in found["rows"])
    assert max(len(row["what"]) for row in found["rows"]) <= 51
