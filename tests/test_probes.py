"""Leakage probes: numbers by hand, texts that give all or nothing away, and a whole run."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from distilclip_eeg.config.compose import load
from distilclip_eeg.config.data import Places
from distilclip_eeg.config.experiment import TrainSettings
from distilclip_eeg.config.older import digest_of, read_settings
from distilclip_eeg.config.rules import plain
from distilclip_eeg.files.reading import read_json
from distilclip_eeg.runs import Run
from distilclip_eeg.schema import ConfigError, DataError
from distilclip_eeg.studies import probes, readers
from distilclip_eeg.studies.probes import page
from distilclip_eeg.studies.readers import agreement, named, retrieval, scored, standardised, texts
from distilclip_eeg.text import descriptors
from distilclip_eeg.training.pipeline import training

EYE = np.eye(3)
CPU = Places(device="cpu", n_jobs=1)


def trained(words):
    """``python train.py``."""
    (settings,) = load(TrainSettings, words).each_seed()
    return training(settings, report=False).train()


# --------------------------------------------------------------------------------------- by hand


def test_the_score_is_the_mean_recall_and_chance_one_over_the_classes_that_occur():
    truth = np.array([0, 0, 0, 0, 2, 2])
    row = scored(truth, np.array([0, 0, 0, 1, 2, 0]))
    assert row == {"score": (3 / 4 + 1 / 2) / 2, "chance": 1 / 2, "n": 6}
    assert scored(truth, np.zeros(6, int))["score"] == 1 / 2  # a constant answer is at chance
    assert np.isnan(scored(truth, None)["score"])


def test_agreement_counts_pairs_of_a_window_and_a_text_of_another():
    # Windows 0, 1 and 2 carry texts 0, 1 and 1; similarities by hand.
    eeg = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    text = np.array([[1.0, 0.0], [0.0, 1.0]])
    own = np.array([0, 1, 1])
    # Window 0 wins against texts 1 and 1; window 1 wins against text 0; window 2 loses against text 0.
    assert agreement(eeg, text, own, own) == pytest.approx(3 / 4)
    # All given text 1: window 0 loses, window 1 wins, window 2 loses, each against the one text 0.
    assert agreement(eeg, text, np.array([1, 1, 1]), own) == pytest.approx(1 / 3)
    assert agreement(10 * eeg, 3 * text, own, own) == pytest.approx(3 / 4)  # cosines know no length


def test_ties_count_half_and_one_text_alone_cannot_agree():
    eeg, own = np.ones((4, 2)), np.array([0, 1, 0, 1])
    assert agreement(eeg, np.ones((2, 2)), own, own) == 0.5
    assert np.isnan(agreement(eeg, np.ones((2, 2)), 0 * own, 0 * own))


def test_search_is_right_where_the_nearest_windows_carry_the_sentence():
    eeg = np.array([[1.0, 0.1], [0.9, 0.2], [0.1, 1.0], [0.5, 0.6]])
    text = np.array([[2.0, 0.0], [0.0, 3.0], [1.0, 1.0]])  # the last is nobody's
    # For text 0 the order is 0, 1, 3, 2; for text 1 it is 2, 3, 1, 0.
    precision, chance = retrieval(eeg, text, np.array([0, 1, 1, 0]))
    first = (1 / 1 + 2 / 3) / 2  # windows 0 and 3 of order 0, 1, 3, 2
    second = (1 / 1 + 2 / 3) / 2  # windows 2 and 1 of order 2, 3, 1, 0
    assert precision == pytest.approx((first + second) / 2) and chance == 0.5
    assert np.isnan(retrieval(eeg, text, np.zeros(4, int))[0])  # all are right: nothing to find


def test_shuffled_text_wins_half_of_the_pairs_whatever_the_encoders_prefer():
    rng = np.random.default_rng(0)
    own = rng.choice(5, 4000, p=[0.6, 0.2, 0.1, 0.05, 0.05])
    text = rng.standard_normal((5, 8))
    eeg = text[own] + 0.5 * rng.standard_normal((4000, 8)) + text[0]  # every window likes text 0
    given = texts(own, own, rng)
    assert agreement(eeg, text, given["own"], own) > 0.7
    assert agreement(eeg, text, given["shuffled"], own) == pytest.approx(0.5, abs=0.02)
    assert agreement(eeg, text, given["constant"], own) > 0.8


def test_large_and_small_chunks_agree(monkeypatch):
    rng = np.random.default_rng(1)
    arguments = rng.standard_normal((50, 4)), rng.standard_normal((9, 4)), *rng.integers(0, 9, (2, 50))
    whole = agreement(*arguments)
    monkeypatch.setattr(readers, "CHUNK", 7)
    assert agreement(*arguments) == pytest.approx(whole)


def test_the_texts_given_are_own_a_permutation_and_the_most_frequent_of_training():
    own = np.array([0, 1, 2, 2, 1, 0, 0, 1])
    given = texts(np.array([2, 2, 1]), own, np.random.default_rng(0))
    assert given["own"].tolist() == own.tolist()
    assert sorted(given["shuffled"]) == sorted(own) and given["shuffled"].tolist() != own.tolist()
    assert given["constant"].tolist() == [2] * 8


def test_standardised_columns_have_mean_0_and_sd_1_over_the_rows_given():
    values = np.array([[1.0, 5.0], [3.0, 5.0], [100.0, 5.0]])
    out = standardised(values, np.array([0, 1]))
    assert out.tolist() == [[-1.0, 0.0], [1.0, 0.0], [98.0, 0.0]]


# ------------------------------------------------------------------- texts that tell all, or nothing


def answers(text_N, target_N):
    half = len(text_N) // 2
    fit, test = np.arange(half), np.arange(half, 2 * half)
    rows = named("probe", {"sentence": EYE}, text_N, target_N, fit, test, np.random.default_rng(0))
    return {row["text"]: row["score"] for row in rows}


def test_a_text_that_is_the_label_in_other_words_is_found_out():
    label = np.random.default_rng(0).integers(0, 3, 600)
    scores = answers(text_N=(label + 1) % 3, target_N=label)
    assert scores["own"] == 1.0 and scores["constant"] == pytest.approx(1 / 3)
    assert scores["shuffled"] == pytest.approx(1 / 3, abs=0.06)


def test_a_text_that_knows_nothing_is_at_chance():
    rng = np.random.default_rng(1)
    scores = answers(rng.integers(0, 3, 4000), rng.choice(2, 4000, p=[0.9, 0.1]))
    assert scores["own"] == pytest.approx(0.5, abs=0.06)


def test_one_person_alone_cannot_be_told_from_others():
    assert np.isnan(answers(np.arange(40) % 3, np.zeros(40, int))["own"])


# ----------------------------------------------------------------------------------------- a whole run


@pytest.fixture(scope="module")
def teacher(tiny, tmp_path_factory):
    """A run whose first two folds are done."""
    words = [*tiny, "fold=[0,1]", "trainer.epochs=1", f"run.root={tmp_path_factory.mktemp('runs')}"]
    return trained(words)


@pytest.fixture(scope="module")
def table(teacher):
    return probes.probe(teacher, CPU)


def test_every_probe_stands_in_the_table_with_its_chance_level(teacher, table):
    found = table.groupby(["probe", "reader"])["text"].agg(lambda texts: sorted(set(texts))).to_dict()
    three = ["constant", "own", "shuffled"]
    assert found == {
        ("class from model", "the model"): ["none"],
        ("class from text", "measurements"): ["own"],
        ("class from text", "sentence"): three,
        ("class from text", "text encoder"): three,
        ("agreement", "EEG and text encoders"): three,
        ("search", "EEG and text encoders"): ["own", "shuffled"],
        ("person from text", "sentence"): three,
        ("person from text", "text encoder"): three,
        ("label terms", "deny list"): ["own"],
    }
    assert table["fold"].unique().tolist() == [0, 1]
    chance = table.groupby("probe")["chance"].max()
    people = len(
        pd.read_parquet(teacher.path / "folds.parquet").query("fold0 == 'train'")["subject"].unique()
    )
    assert chance["class from text"] == 0.5 and chance["person from text"] >= 1 / people
    assert (table["protocol"] == f"split=subject: {read_json(teacher.path / 'data.json')['leak_note']}").all()
    assert table.query("probe == 'label terms'")["score"].eq(0).all()
    written = pd.read_csv(teacher.path / probes.TABLE)
    pd.testing.assert_frame_equal(written, table)


def test_a_constant_text_tells_nothing_and_the_model_is_scored_as_it_was(teacher, table):
    constant = table.query("text == 'constant' and probe.str.contains('from text')")
    assert constant["score"].to_numpy() == pytest.approx(constant["chance"].to_numpy())
    for fold in (0, 1):
        known = read_json(teacher.fold(fold) / "metrics.json")["test"]["balanced_accuracy"]
        row = table.query("fold == @fold and probe == 'class from model'").iloc[0]
        assert row["score"] == pytest.approx(known) and row["n"] > 50


def test_the_probe_is_the_same_twice_and_leaves_the_run_as_it_was(teacher, table):
    def files():
        return {p: p.read_bytes() for p in sorted(teacher.path.rglob("*")) if p.is_file()}

    before = files()
    pd.testing.assert_frame_equal(probes.probe(teacher, CPU), table)
    assert files() == before


def test_the_page_names_protocol_and_chance(table):
    said = page(table)
    assert said.startswith("split=subject: test windows sharing with training: samples 0 %")
    assert "chance %" in said and "mean ± SD of 2 folds" in said
    row = next(
        line for line in said.splitlines() if line.startswith("class from text") and "sentence" in line
    )
    mean = (
        100
        * table.query("probe == 'class from text' and reader == 'sentence' and text == 'own'")["score"].mean()
    )
    assert f"{mean:.1f} ±" in row and row.split()[-2] == "50.0"


def test_a_planted_label_term_stops_the_probe(teacher, table, monkeypatch):
    planted = {("descriptors", "coarse"): lambda *words: f"{' '.join(words)} with seizure onset."}
    monkeypatch.setattr(descriptors, "SENTENCES", planted)
    with pytest.raises(DataError, match="label terms .seizure, onset.") as caught:
        probes.probe(teacher, CPU)
    assert "\n" not in str(caught.value)


# -------------------------------------------------------------------------------------- the command


def test_the_command_prints_the_table_and_where_it_lies(teacher, capsys):
    from distilclip_eeg.commands import cli

    cli.run("probe", [f"run={teacher.path}", "device=cpu", "n_jobs=1"])
    said = capsys.readouterr().out
    assert "person from text" in said and f"written: {teacher.path / probes.TABLE}" in said


def test_the_rows_can_be_kept_with_how_they_were_made(teacher, table, tmp_path):
    kept = tmp_path / "kept.csv"
    for _ in range(2):  # the second time takes the place of the first
        probes.add(table, teacher, kept)
    rows = pd.read_csv(kept)
    assert len(rows) == len(table) and rows["run"].eq(teacher.path.name).all()
    assert rows[["command", "seed", "hardware", "minutes", "chance"]].notna().sum().min() > 0
    assert rows["seed"].eq(0).all() and rows["dataset"].eq("synthetic").all()


def refused(run, cls=ConfigError):
    """What is said of a run that is not probed."""
    with pytest.raises(cls) as caught:
        probes.probe(run, CPU)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def altered(teacher: Run, folder, **text) -> Run:
    """A copy of the run whose config says otherwise."""
    shutil.copytree(teacher.path, folder)
    config = plain(teacher.settings)
    config["text"].update(text)
    (folder / "sha256.json").unlink()
    (folder / "config.yaml").write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
    noted = read_json(folder / "data.json") | {"digest": digest_of(read_settings(config, folder))}
    (folder / "data.json").write_text(json.dumps(noted), encoding="utf-8")
    return Run(folder)


def test_what_cannot_be_probed_is_refused_in_one_line(teacher, tmp_path):
    assert "without text" in refused(altered(teacher, tmp_path / "a", source="none"))
    assert "class_template" in refused(altered(teacher, tmp_path / "b", source="class_template"))
    begun = altered(teacher, tmp_path / "c")
    for fold in (0, 1):
        (begun.fold(fold) / "metrics.json").unlink()
    assert "no fold is finished" in refused(begun)


def test_other_data_than_the_run_s_are_refused(teacher, tmp_path):
    run = altered(teacher, tmp_path / "a")
    about = read_json(run.path / "data.json")
    (run.path / "data.json").write_text(json.dumps({**about, "folds_sha256": "0" * 64}))
    assert "not those of the data" in refused(run, DataError)


def test_the_store_may_lie_elsewhere(teacher, table, tmp_path):
    shutil.copytree(teacher.settings.store.root, tmp_path / "moved")
    run = altered(teacher, tmp_path / "a")
    config = plain(run.settings)
    config["store"]["root"] = str(tmp_path / "gone")
    (run.path / "config.yaml").write_text(json.dumps(config), encoding="utf-8")
    again = probes.probe(Run(run.path), replace(CPU, store=str(tmp_path / "moved")))
    pd.testing.assert_frame_equal(again, table)
    assert not (tmp_path / "gone").exists()


@pytest.mark.parametrize("head", ["text", "fused"])
def test_a_head_that_reads_text_is_asked_with_other_text(head, tiny, tmp_path):
    words = [*tiny, "fold=0", "trainer.epochs=1", f"head.input={head}", f"run.root={tmp_path}"]
    run = trained(words)
    table = probes.probe(run, CPU)
    rows = table.query("probe == 'class from model'").set_index("text")["score"]
    assert rows.index.tolist() == ["own", "shuffled", "constant"]
    known = read_json(run.fold(0) / "metrics.json")["test"]["balanced_accuracy"]
    assert rows["own"] == pytest.approx(known)
    if head == "text":
        assert rows["constant"] == 0.5


def test_metadata_are_probed_without_measurements(tiny, tmp_path):
    words = [*tiny, "fold=0", "trainer.epochs=1", "text.source=metadata", f"run.root={tmp_path}"]
    run = trained(words)
    table = probes.probe(run, CPU)
    assert "measurements" not in set(table["reader"])
    told = table.query("probe == 'person from text' and reader == 'sentence' and text == 'own'")[
        "score"
    ].item()
    assert told > 0.4  # age band and sex tell these few persons apart
