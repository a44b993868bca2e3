"""The optimism gap: one model under every protocol in one table; and the placebo, which shows what leaks."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tools import scores_of

from distilclip_eeg.config.compose import load
from distilclip_eeg.config.data import SplitConfig
from distilclip_eeg.config.experiment import TrainSettings
from distilclip_eeg.config.studies import GapSettings
from distilclip_eeg.models.floors import band_features
from distilclip_eeg.runs import Run, find_runs
from distilclip_eeg.schema import ConfigError
from distilclip_eeg.scoring.answers import Reading, fold_metrics
from distilclip_eeg.scoring.metrics import window_metrics
from distilclip_eeg.signals.audit import fold_columns
from distilclip_eeg.signals.splits import make_folds
from distilclip_eeg.signals.windows import coin_labels
from distilclip_eeg.studies import cells, gap
from distilclip_eeg.training.data import load_data

SPLITS = ("window", "subject", "leave_one_subject_out")


def measure(words, results):
    """``python scripts/gap.py``, its tables in ``results``."""
    words = GapSettings.words([*words, f"results={results}"])
    gap.gap(load(GapSettings, words), GapSettings.train_words(words))


@pytest.fixture(scope="module")
def made(tiny_data, tmp_path_factory):
    """A floor under three protocols: folder of results, and the words that made it."""
    root = tmp_path_factory.mktemp("gap")
    data = [o for o in tiny_data if not o.startswith("split=")]
    words = [f"split={','.join(SPLITS)},official", "models=logreg_bandpower", *data]
    words += ["split.n_folds=2", "trainer.max_steps=3", "n_jobs=1", f"run.root={root / 'runs'}"]
    measure(words, root / "results")
    return root, words


def test_each_protocol_is_a_column_and_what_it_shares_stands_above_the_figures(made):
    text = (made[0] / "results" / "gap_synthetic.md").read_text()
    lines = text.splitlines()
    assert f"|  | {' | '.join(SPLITS)} | window − subject |" in lines
    assert "| folds | 2 | 2 | 5 |  |" in lines  # one fold a person, whatever split.n_folds says of others
    assert "| sharing subject, % of test windows | 100 | 0 | 0 |  |" in lines
    rows = pd.read_csv(made[0] / "results" / "gap_synthetic.csv").set_index("split")
    line = next(x for x in lines if x.startswith("| logreg_bandpower: AUROC %"))
    assert line.endswith(f"| {100 * (rows.loc['window', 'auroc'] - rows.loc['subject', 'auroc']):+.1f} |")
    assert (rows["paper_auc"] > 0).all() and "Acc %, paper preset" in text and "always seizure" in text


def test_a_cell_of_a_table_1_beside_it_is_taken_from_there(made, tmp_path, monkeypatch):
    rows = pd.read_csv(made[0] / "results" / "gap_synthetic.csv")
    rows.to_csv(tmp_path / "table1_synthetic.csv", index=False)
    monkeypatch.setattr(cells, "run_cell", lambda *_: pytest.fail("a cell was run again"))
    measure(made[1], tmp_path)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "gap_synthetic.csv"), rows)


def test_what_stands_is_not_run_again_and_an_impossible_protocol_is_one_line(made, monkeypatch, capsys):
    monkeypatch.setattr(cells, "run_cell", lambda *_: pytest.fail("a cell was run again"))
    measure(made[1], made[0] / "results")
    printed = capsys.readouterr().out
    assert "3 of 3 cells stand in" in printed
    assert "left out: split=official: the corpus gives the parts []" in printed
    assert "official" not in (made[0] / "results" / "gap_synthetic.csv").read_text()
    with pytest.raises(ConfigError, match="none of these protocols"):
        measure([*made[1], "split=official"], made[0] / "results")


@pytest.mark.parametrize("name", ["synthetic", "chbmit_excerpts"])
def test_the_committed_page_is_what_the_committed_rows_print(name):
    results = Path(__file__).parents[1] / "results"
    page = (results / f"gap_{name}.md").read_text(encoding="utf-8")
    assert gap.page(pd.read_csv(results / f"gap_{name}.csv")) + "\n" == page


def test_a_model_that_was_not_run_under_a_protocol_says_so_and_has_no_gap():
    rows = pd.DataFrame({"dataset": "d", "split": ["window", "subject", "window"], "model": ["a", "a", "b"]})
    rows = rows.assign(
        folds=5, prevalence=0.5, always_accuracy=0.5, **{f"shares_{n}": 0.25 for n in gap.SHARED}
    )
    for column in (*gap.SHOWN, "paper_accuracy"):
        rows[column], rows[f"{column}_sd"] = [0.9, 0.7, 0.6], 0.01
    lines = gap.page(rows).splitlines()
    assert "| a: Acc % | 90.0 ± 1.0 | 70.0 ± 1.0 | +20.0 |" in lines
    assert "| b: Acc % | 60.0 ± 1.0 | not run |  |" in lines


def test_another_detector_has_its_lines_under_every_protocol_and_nothing_is_trained_for_it(
    made, tmp_path, monkeypatch
):
    monkeypatch.setattr(cells, "run_cell", lambda *_: pytest.fail("a cell was run"))
    shutil.copytree(made[0] / "results", tmp_path / "results")
    windows = load_data(load(TrainSettings, [*made[1][2:], "split=subject"]).data).windows
    scores_of(windows).to_parquet(tmp_path / "knows.parquet")
    scores_of(windows).assign(decision=np.nan).to_parquet(tmp_path / "scores_alone.parquet")
    files = f"scores={tmp_path / 'knows.parquet'},{tmp_path / 'scores_alone.parquet'}"
    measure([*made[1], f"split={','.join(SPLITS)}", "fill=false", files], tmp_path / "results")
    text = (tmp_path / "results" / "gap_synthetic.md").read_text()
    knows = next(x for x in text.splitlines() if x.startswith("| knows: AUROC %"))
    assert "not run" not in knows and "| knows: Acc %" in text
    assert "| scores_alone: AUROC %" in text and "| scores_alone: Acc %" not in text
    rows = pd.read_csv(tmp_path / "results" / "gap_synthetic.csv").query("model == 'knows'")
    assert set(rows["split"]) == set(SPLITS) and (rows["auroc"] > 0.9).all() and rows["brier"].isna().all()


def test_every_figure_follows_from_the_predictions_alone(made, tmp_path):
    for run in find_runs(made[0] / "runs"):
        alone = Run(tmp_path / run.path.name)
        for k in run.folds_done():
            alone.fold(k).mkdir(parents=True)
            shutil.copy(run.fold(k) / "predictions.npz", alone.fold(k))
            saved = alone.predictions(k)
            written = json.loads((run.fold(k) / "metrics.json").read_text())
            for part in ("val", "test"):
                rows = saved["part"] == part
                again = window_metrics(saved["label"][rows], saved["probability_NK"][rows])
                assert again == pytest.approx(written[part], nan_ok=True)
        for path in ("config.yaml", *(f"fold{k}/metrics.json" for k in run.folds_done())):
            shutil.copy(run.path / path, alone.path / path)
        for reading in (Reading(), Reading(metrics="paper"), Reading(calibration="prior")):
            pd.testing.assert_frame_equal(
                fold_metrics(alone, None, reading), fold_metrics(run, None, reading)
            )


def test_validation_windows_of_a_floor_are_scored_by_one_that_never_saw_them(made):
    run = next(r for r in find_runs(made[0] / "runs") if r.settings.split.name == "window")
    saved = run.predictions(0)
    score = saved["probability_NK"][:, 1]
    val, test = (
        window_metrics(saved["label"][p], saved["probability_NK"][p])
        for p in (saved["part"] == "val", saved["part"] == "test")
    )
    assert 0 < (saved["part"] == "val").sum() < (saved["part"] == "test").sum()
    assert abs(val["auroc"] - test["auroc"]) < 0.15 and val["auroc"] < 1 and np.isfinite(score).all()


# ------------------------------------------------------------------------------------------- the placebo


@pytest.fixture(scope="module")
def placebo(tmp_path_factory):
    """Overrides of a smaller placebo, and the band features of its windows."""
    root = tmp_path_factory.mktemp("placebo")
    words = ["dataset=placebo", "dataset.corpus.n_subjects=20", "dataset.corpus.recordings_per_subject=1"]
    words += [f"dataset.root={root}/data", f"store.root={root}/store", "n_jobs=1", "split.n_folds=3"]
    data = load_data(load(TrainSettings, [*words, "split=subject"]).data)
    eeg = data.source(np.arange(2)).microvolts(np.arange(len(data.windows)))
    return words, band_features(eeg, data.store.sfreq)


@pytest.mark.parametrize("split, low, high", [("window", 0.9, 1.0), ("subject", 0.4, 0.6)])
def test_on_coin_labels_the_window_split_finds_people_and_the_subject_split_nothing(
    placebo, split, low, high
):
    windows, features = load_data(load(TrainSettings, [*placebo[0], "split=window"]).data).windows, placebo[1]
    windows = windows.drop(columns=fold_columns(windows))
    model, accuracy = make_pipeline(StandardScaler(), KNeighborsClassifier(1)), []
    for seed in range(20):  # the mean of twenty draws of the coin
        folds = make_folds(coin_labels(windows, seed), SplitConfig(name=split), seed)
        label, test = folds["label"].to_numpy(), (folds["fold0"] == "test").to_numpy()
        model.fit(features[~test], label[~test])
        accuracy.append(model.score(features[test], label[test]))
    assert low <= np.mean(accuracy) <= high, np.mean(accuracy)


def test_a_coin_falls_once_a_person_half_of_them_heads_and_the_table_says_so(placebo):
    data = load_data(load(TrainSettings, [*placebo[0], "split=window"]).data)
    by_person = data.windows.groupby("subject")["label"]
    assert (by_person.nunique() == 1).all() and by_person.first().sum() == 10
    assert data.leak_note.startswith("placebo labels, a coin per subject; test windows sharing")
    assert (
        data.windows["event"] >= 0
    ).any()  # seizures stay where they were; the labels know nothing of them
    again, other = (
        load_data(load(TrainSettings, [*placebo[0], "split=window", f"seed={s}"]).data) for s in (0, 1)
    )
    assert again.windows["label"].equals(data.windows["label"])
    assert not other.windows["label"].equals(data.windows["label"])


# -------------------------------------------------------------------------------------- person by person


def test_the_inflation_of_each_person_is_told_with_its_test(tmp_path):
    """Six persons whose AUROC by window is higher by 1 to 6 points, of another model by nothing."""
    rows = [
        {"dataset": "d", "split": split, "model": model, "seed": 0, "subject": f"p{i}", "prevalence": 0.5}
        | {"balanced_accuracy": 0.5, "auroc": 0.8 + (model == "leaky") * (split == "window") * i / 100}
        for split in ("window", "subject")
        for model in ("leaky", "fair")
        for i in range(1, 7)
    ]
    text = gap.of_persons(pd.DataFrame(rows))
    leaky, fair = text.splitlines()[-2:]
    # All six of one sign: p = 2 / 2**6 = 0.031. The other model has no difference, so one test is left.
    assert re.search(r"\| leaky \| 6 \|.*\| \+3\.5 \[\+1\.\d, \+5\.\d\], 0\.03, \+1\.00 \|$", leaky)
    assert fair.endswith("+0.0 [+0.0, +0.0], –, +0.00 |")


def test_a_protocol_alone_gives_no_inflation():
    rows = pd.DataFrame({"split": ["subject"], "model": ["a"], "subject": ["p"]})
    assert gap.of_persons(rows) == ""
