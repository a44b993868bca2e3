"""A run of which some folds are finished: scored, reported and exported by these, and said so everywhere."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from report_runs import make_run
from test_report import unrendered  # noqa: F401
from test_subjects import run_of

from distilclip_eeg.commands import cli
from distilclip_eeg.report import subjects
from distilclip_eeg.report.entries import choose
from distilclip_eeg.report.tables import run_table, summary_rows, write_evaluation
from distilclip_eeg.runs import find_scored


def without(run, fold):
    """The run as it is before this fold is trained."""
    shutil.rmtree(run.fold(fold))
    (run.path / "metrics.json").unlink(missing_ok=True)
    return run


def test_a_run_says_how_many_of_its_folds_there_are(tmp_path):
    run = make_run(tmp_path, "eegnet", "baseline")
    assert run.part == "" and run.part_line == ""
    without(run, 0)
    assert run.part == "1 of 2 folds"
    assert run.part_line == f"{run.path.name}: 1 of 2 folds are finished (1); all below rests on these"


def test_evaluate_takes_what_is_there_and_says_so_on_top_in_every_table_and_in_the_csv(tmp_path):
    run = without(run_of(tmp_path, "m", {"s1": 5}), 0)
    text = write_evaluation([run], tmp_path)
    first, *rest = text.strip().splitlines()
    assert first == "m: 1 of 2 folds are finished (1); all below rests on these"
    tables = [line for line in rest if re.match(r"subject,? +m", line)]
    assert len(tables) == 5 and all("1 of 2" in line for line in tables)  # 2 of means, 2 classes, subjects
    row = pd.read_csv(tmp_path / "evaluation" / "d.csv").iloc[0]
    assert (row["folds"], row["folds_asked"], row["windows"]) == (1, 2, 80)
    assert row["accuracy"] == pytest.approx(75 / 80)  # 5 of the 20 windows of s1 wrong, s3, s5, s7 right
    assert (pd.read_csv(tmp_path / "evaluation" / "d_classes.csv")["part"] == "1 of 2 folds").all()
    assert first in (tmp_path / "evaluation" / "d.txt").read_text()


def test_a_finished_run_says_nothing_of_parts(tmp_path):
    run = run_of(tmp_path, "m", {})
    assert " of 2" not in run_table([run]) and summary_rows([run])["folds"].tolist() == [2, 2]


def test_the_trivial_row_and_the_prevalence_are_of_the_run_with_most_folds(tmp_path):
    runs = [without(run_of(tmp_path, "a", {}), 1), run_of(tmp_path, "b", {})]
    rows = summary_rows(runs).set_index("model")
    assert rows.loc["always seizure", ["folds", "folds_asked", "windows"]].tolist() == [2, 2, 160]
    assert rows.loc["a", ["folds", "folds_asked", "windows"]].tolist() == [1, 2, 80]


def test_two_runs_are_compared_on_the_folds_that_both_have(tmp_path):
    # Fold 0 tests s0, s2, s4, s6 and fold 1 the others; on fold 0 alone b errs twice a person.
    whole = run_of(tmp_path, "a", {})
    part = without(run_of(tmp_path, "b", {f"s{u}": 2 + u % 2 for u in range(8)}), 1)
    (row,) = subjects.pair_rows([whole, part]).to_dict("records")
    assert row["difference"] == pytest.approx(2 / 20) and (row["folds"], row["on_folds"]) == (1, "0")
    assert row["subjects"] == 4 and row["p_subjects"] == pytest.approx(2 / 2**4)
    assert "p 0.12 by 4 subjects, none of one fold (folds 0 of both)" in " ".join(
        " ".join(subjects.page([whole, part])).split()
    )


def test_two_runs_without_a_common_fold_are_not_compared_and_the_reason_is_told(tmp_path):
    runs = [without(run_of(tmp_path, "a", {}), 1), without(run_of(tmp_path, "b", {}), 0)]
    assert len(subjects.pair_rows(runs)) == 0
    assert "subject, a and b: not compared, no fold is finished in both (folds 0 and 1)" in subjects.page(
        runs
    )


def test_a_finished_run_goes_before_a_newer_one_that_lacks_folds(tmp_path):
    whole = make_run(tmp_path, "eegnet", "baseline")
    part = without(make_run(tmp_path, "eegnet", "baseline", name="newer", seed=1), 0)
    alone = without(make_run(tmp_path, "rnn", "baseline"), 1)
    nothing = without(without(make_run(tmp_path, "ggn", "baseline"), 0), 1)
    chosen = {entry.run.path for entry in choose([whole, part, alone, nothing])}
    assert chosen == {alone.path, whole.path}
    assert {run.path for run in find_scored(tmp_path)} == {whole.path, part.path, alone.path}


def test_the_report_says_it_on_top_and_in_its_captions(tmp_path, capsys, unrendered):  # noqa: F811
    run = without(make_run(tmp_path / "runs", "eegnet", "baseline"), 0)
    cli.run("report", [f"run={run.path}", f"root={tmp_path / 'runs'}", f"results={tmp_path}"])
    assert capsys.readouterr().out.splitlines()[0] == run.part_line
    page = (tmp_path / "runs" / "report" / "index.html").read_text()
    assert page.index(run.part_line) < page.index("reaches a balanced accuracy")
    captions = re.findall(r"split=subject, 1 of 2 folds", page)
    assert len(captions) >= 3 and "eegnet (1 of 2 folds)" in page


@pytest.mark.parametrize("verb", ["evaluate", "report", "export"])
def test_a_run_without_any_finished_fold_is_refused_with_what_to_do(verb, tmp_path, capsys):
    run = without(without(make_run(tmp_path, "eegnet", "baseline"), 0), 1)
    with pytest.raises(SystemExit) as ended:
        cli.run(verb, [f"run={run.path}"])
    assert ended.value.code == 2
    assert "no fold is finished yet. Run the command that made it again" in capsys.readouterr().err


@pytest.fixture(scope="module")
def half(tmp_path_factory, tiny_data, sizes, as_script) -> dict:
    """Two of five folds of a real run, with what training and exporting it said."""
    here = tmp_path_factory.mktemp("half")
    words = ["model=student_tiny", *tiny_data, *sizes, "trainer.max_steps=4", "fold=[0,2]"]
    done = {"here": here, "train": as_script("train.py", *words, cwd=here)}
    done["again"] = as_script("train.py", *words, cwd=here)
    (run,) = (here / "runs" / "synthetic").iterdir()
    for weights in ("final", "ensemble"):
        asked = (f"run={run}", f"weights={weights}", f"output={here / weights}", "onnx=false", "n_jobs=1")
        done[weights] = as_script("scripts/export.py", *asked, cwd=here)
    done["latest"] = as_script("scripts/export.py", "onnx=false", "weights=2", "n_jobs=1", cwd=here)
    return done


def test_training_some_folds_says_so_and_the_same_command_says_what_trains_the_others(half):
    assert half["train"].returncode == 0, half["train"].stderr
    assert "2 of 5 folds are finished (0, 2); all below rests on these" in half["train"].stdout
    said = "2 of 2 folds are finished already; fold=[0, 2] was asked for, without it 3 more are trained"
    assert said in half["again"].stdout


@pytest.mark.parametrize(
    "weights, words", [("final", "the median of the folds' best"), ("ensemble", "2 of 5 folds")]
)
def test_an_export_of_some_folds_says_so_in_what_it_prints_and_on_its_card(half, weights, words):
    assert half[weights].returncode == 0, half[weights].stderr
    assert ": 2 of 5 folds are finished; the export rests on these" in half[weights].stdout
    card = (half["here"] / weights / "card.md").read_text()
    assert "**Of the run 2 of 5 folds are finished**" in card and words in card
    assert "mean over 2 of 5 folds" in card
    made = json.loads((half["here"] / weights / "config.json").read_text())["made"]
    assert made["part"] == "2 of 5 folds" and made["threshold"]["folds"] == [0, 2]
    assert made["cross_validation"]["accuracy"]["folds"] == 2


def test_latest_is_a_run_that_lacks_folds_where_there_is_no_finished_one(half):
    assert half["latest"].returncode == 0, half["latest"].stderr
    (run,) = (half["here"] / "runs" / "synthetic").iterdir()
    assert (
        half["latest"].stdout.splitlines()[0]
        == f"run={Path('runs') / run.relative_to(half['here'] / 'runs')}"
    )
