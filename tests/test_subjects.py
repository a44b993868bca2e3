"""How sure a figure is and whether two models differ: by subject, from predictions alone."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from tools import write_config

from distilclip_eeg.files.writing import write_json
from distilclip_eeg.report import subjects
from distilclip_eeg.report.tables import write_evaluation
from distilclip_eeg.runs import Run, write_predictions
from distilclip_eeg.scoring.metrics import confusion

CLASSES = ("bckg", "seiz")


def run_of(path, name, wrong: dict[str, int], n_subjects=8, each=20, split="subject", hash_="h") -> Run:
    """Two folds of subjects with ``each`` test windows, half seizures; ``wrong`` answers of some of them."""
    run = Run(path / "d" / name)
    names = [f"s{u}" for u in range(n_subjects)]
    table = pd.DataFrame(
        {
            "recording_name": np.repeat(names, each),
            "subject": np.repeat(names, each),
            "start_s": np.tile(np.arange(each, dtype=float), n_subjects),
            "label": np.tile([0, 1], n_subjects * each // 2),
        }
    )
    table.insert(0, "window_id", np.arange(len(table)))
    for fold in (0, 1):
        table[f"fold{fold}"] = np.where(table["subject"].isin(names[fold::2]), "test", "train")
    for fold in (0, 1):
        folder = run.fold(fold)
        folder.mkdir(parents=True)
        windows = table[table[f"fold{fold}"] == "test"]
        within = windows.groupby("subject").cumcount().to_numpy()
        miss = within < windows["subject"].map(wrong).fillna(0).to_numpy()
        said = np.where(miss, 1 - windows["label"], windows["label"])
        logits_NK = 4.0 * np.eye(2)[said]
        part = np.full(len(windows), "test")
        write_predictions(folder / "predictions.npz", windows, part, logits_NK, CLASSES)
        write_json(folder / "metrics.json", {})
    table.to_parquet(run.path / "folds.parquet")
    audit = dict.fromkeys(("samples", "event", "recording", "subject"), 0.0)
    write_json(run.path / "data.json", {"audit": audit, "folds_sha256": hash_, "leak_note": "none"})
    (run.path / "data_report.txt").write_text("d: 8 of 8 recordings used\n")
    write_config(run.path, dataset={"name": "d"}, model={"name": name}, split={"name": split, "n_folds": 2})
    return run


def test_statistics_of_counts_equal_scikit_learn_s():
    rng = np.random.default_rng(0)
    label, said = rng.integers(0, 3, 200), rng.integers(0, 3, 200)
    counts_UKK = np.array([confusion(label[i::4], said[i::4], 3) for i in range(4)])
    assert subjects.accuracy(counts_UKK) == pytest.approx(accuracy_score(label, said))
    assert subjects.balanced_accuracy(counts_UKK) == pytest.approx(balanced_accuracy_score(label, said))
    both = subjects.accuracy(np.stack([counts_UKK, counts_UKK[::-1]]))  # any number of resamples at once
    assert both.tolist() == pytest.approx([accuracy_score(label, said)] * 2)


def test_each_subject_s_windows_are_its_own_and_all_folds_count(tmp_path):
    run = run_of(tmp_path, "m", {"s1": 5})
    names, counts_UKK = subjects.subject_counts(run)
    assert names == [f"s{u}" for u in range(8)]
    assert counts_UKK.sum(axis=(1, 2)).tolist() == [20] * 8
    rows = subjects.subject_rows([run]).set_index("subject")
    assert rows.loc["s1", "accuracy"] == 0.75 and (rows.drop("s1")["accuracy"] == 1).all()


def test_an_interval_contains_the_value_and_is_refused_below_six_subjects(tmp_path):
    many = subjects.interval_rows([run_of(tmp_path, "m", {"s1": 10, "s2": 6})]).iloc[0]
    assert many["accuracy"] == pytest.approx(1 - 16 / 160)
    assert many["accuracy_low"] < many["accuracy"] < many["accuracy_high"]
    few = run_of(tmp_path, "few", {"s1": 10}, n_subjects=4)
    assert np.isnan(subjects.interval_rows([few]).iloc[0]["accuracy_low"])
    assert "no interval below 6 subjects" in subjects.page([few])


def test_a_pair_is_tested_by_subject_and_by_fold_as_by_hand(tmp_path):
    better, worse = run_of(tmp_path, "a", {}), run_of(tmp_path, "b", {f"s{u}": 2 + u % 2 for u in range(8)})
    row = subjects.pair_rows([better, worse]).iloc[0]
    assert row["difference"] == pytest.approx((2 * 4 + 3 * 4) / 160)
    assert row["p_subjects"] == pytest.approx(2 / 2**8)  # all eight on one side, either way round
    # Folds: s0, s2, ... lose 2 of 20 each, s1, s3, ... 3: t = 0.125 / sqrt((1/2 + 1) * 0.05**2 / 2)
    t = 0.125 / np.sqrt(1.5 * 0.05**2 / 2)
    assert row["p_folds"] == pytest.approx(1 - 2 / np.pi * np.arctan(t))  # Student's t of one degree
    assert row["folds"] == 2


def test_runs_of_other_folds_are_never_paired(tmp_path):
    runs = [run_of(tmp_path, "a", {}), run_of(tmp_path, "b", {}, hash_="other")]
    assert len(subjects.pair_rows(runs)) == 0
    assert list(subjects.pair_rows(runs).columns) == subjects.PAIR_COLUMNS


def test_runs_without_known_subjects_are_left_out(tmp_path):
    run = run_of(tmp_path, "a", {})
    assert subjects.comparable(run)
    for audit in (None, dict.fromkeys(("samples", "event", "recording", "subject"))):
        write_json(run.path / "data.json", {"audit": audit, "folds_sha256": "h", "leak_note": ""})
        assert not subjects.comparable(run)
    text = write_evaluation([run], tmp_path)
    assert "over subjects" not in text


def test_the_evaluation_shows_and_writes_them(tmp_path):
    text = write_evaluation([run_of(tmp_path, "a", {}), run_of(tmp_path, "b", {"s0": 4})], tmp_path)
    assert "subject, a less b: +2.5 points of accuracy, p 1 by 8 subjects" in text
    assert "subject, a: accuracy 100.0 % [100.0, 100.0]" in text
    assert {"d_subjects.csv", "d_pairs.csv"} <= {p.name for p in (tmp_path / "evaluation").iterdir()}
