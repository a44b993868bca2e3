"""Table I: which cells are run, which are not run again, and what the printed table says."""

import re

import pandas as pd
import pytest

from distilclip_eeg import table1
from distilclip_eeg.report.published import CORPORA, TABLE_1
from distilclip_eeg.report.published import table_1 as published
from distilclip_eeg.schema import ConfigError
from distilclip_eeg.table1 import BASELINES, Cell, all_models, cells_of, reproduce, settings

SIX = ["trainer.max_steps=3", "split.n_folds=2", "fold=[0]", "device=cpu", "n_jobs=1"]


@pytest.fixture(scope="module")
def made(tiny_data, tmp_path_factory):
    """A small table of two protocols, made by two processes."""
    root = tmp_path_factory.mktemp("table1")
    data = [o for o in tiny_data if not o.startswith("split=")]
    words = ["split=window,recording", "models=eegnet,teacher_tiny,logreg_bandpower", "name=t", "jobs=2"]
    words += [*data, *SIX, f"run.root={root / 'runs'}"]
    return root / "results", words


@pytest.fixture(scope="module")
def first(made):
    root, words = made
    reproduce(words, root)
    return pd.read_csv(root / "t.csv")


@pytest.mark.slow
def test_every_cell_has_its_row_and_a_teacher_brings_its_student(first):
    found = set(zip(first["split"], first["model"], strict=True))
    models = ("eegnet", "teacher_tiny", "student_tiny", "logreg_bandpower")
    assert found == {(split, model) for split in ("window", "recording") for model in models}
    networks = first[first["model"] != "logreg_bandpower"]
    assert (networks["steps_per_fold"] == 3).all()  # the same number of windows seen by all
    assert first["command"].str.startswith("python scripts/reproduce_table1.py").all()
    assert (first["folds"] == 1).all() and first[["accuracy", "minutes", "seed"]].notna().all().all()


@pytest.mark.slow
def test_models_of_one_protocol_are_tested_on_the_same_windows(first):
    for _, group in first.groupby("split"):
        assert group["windows"].nunique() == 1 and group["leak_note"].nunique() == 1


@pytest.mark.slow
def test_cells_that_stand_in_the_table_are_not_run_again(made, first, capsys, monkeypatch):
    root, words = made
    before = (root / "t.csv").read_bytes()
    monkeypatch.setattr(table1, "run_cell", lambda *_: pytest.fail("a cell was run again"))
    reproduce(words, root)
    page = capsys.readouterr().out
    assert "6 of 6 cells stand in" in page and (root / "t.csv").read_bytes() == before


@pytest.mark.slow
def test_the_printed_table_has_protocol_figures_speed_and_empty_cells(made, first, capsys):
    root, words = made
    reproduce(words, root)
    page = capsys.readouterr().out
    assert page.count("test windows sharing with training: samples") == 2
    assert re.search(r"\| eegnet \| \d+\.\d \| \d+\.\d .* \| 1,730 \| \d+ \| [\d,]+ \|", page)
    assert "| always seizure |" in page
    table = table1.markdown(root / "t.csv", ["eegnet", "ggn"])
    assert table.count("| ggn | not run |") == 2


@pytest.mark.slow
def test_a_cluster_s_queue_gives_the_same_rows(made, first, tmp_path):
    root, words = made
    kept = [w for w in words if not w.startswith(("models=", "split=", "run.root="))]
    reproduce(
        [*kept, "models=eegnet", "split=window", "cluster=local", f"run.root={tmp_path}"], tmp_path / "r"
    )
    row = pd.read_csv(tmp_path / "r" / "t.csv").iloc[0]
    same = first[(first["model"] == "eegnet") & (first["split"] == "window")].iloc[0]
    assert row["accuracy"] == same["accuracy"] and row["auroc"] == same["auroc"]


@pytest.mark.slow
def test_a_cell_that_cannot_be_run_is_named_and_the_others_are(made, tmp_path, capsys):
    words = [w for w in made[1] if not w.startswith(("models=", "split=", "jobs=", "run.root="))]
    reproduce(
        [*words, "models=rnn", "split=window,official", f"run.root={tmp_path / 'runs'}"], tmp_path / "r"
    )
    assert "not run: official rnn:" in capsys.readouterr().out
    assert pd.read_csv(tmp_path / "r" / "t.csv")["split"].tolist() == ["window"]


def test_all_models_are_the_article_s_sixteen_two_more_ours_and_the_floors():
    assert len(BASELINES) == 16
    assert all_models("small")[16:] == [
        *("zhu_transformer", "eeg_conformer", "teacher_small", "logreg_bandpower", "random_forest")
    ]
    assert len(cells_of("all", "window,subject", "tiny", [])) == 2 * 21


def test_the_digest_of_a_cell_follows_settings_and_folds():
    plain = Cell("window", "eegnet", ("trainer.max_steps=5",))
    for other in (
        ("trainer.max_steps=6",),
        ("trainer.max_steps=5", "fold=0"),
        ("seed=1", "trainer.max_steps=5"),
    ):
        assert Cell("window", "eegnet", other).digest != plain.digest
    assert Cell("window", "eegnet", ("trainer.max_steps=5", "device=cpu")).digest == plain.digest


def test_a_floor_is_not_told_of_optimisers():
    words = Cell("window", "random_forest", ("trainer.max_steps=5", "optim.lr=1", "seed=3")).words()
    assert words == ["split=window", "model=random_forest", "seed=3"]


@pytest.mark.parametrize(
    "words, message",
    [
        (["models=eegnat"], "models='eegnat'"),
        (["models=student_tiny"], "name the teacher"),
        (["split=subjects"], "split='subjects'"),
        (["jobs=0"], "jobs=0"),
        (["trainer.steps=3", "models=eegnet"], "trainer.steps"),
    ],
)
def test_a_wrong_word_is_refused_before_anything_is_read(words, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        reproduce(words, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_our_own_words_are_taken_out_and_the_others_are_training_s():
    words = ["models=eegnet", "jobs=3", "dataset=tusz", "name=x"]
    assert settings(words)["jobs"] == "3" and words == ["dataset=tusz"]


# ------------------------------------------------------------------------------- the article's figures


def test_the_published_table_has_eighteen_rows_of_sixteen_figures():
    assert len(TABLE_1) == 18 and {len(row) for row in TABLE_1.values()} == {16}
    assert published("cbam3d", "aubmc") == {
        "accuracy": 97.66,
        "precision": 97.75,
        "recall": 91.84,
        "f1": 97.70,
    }
    assert published("student_small", "zenodo")["f1"] == 94.04
    assert published("teacher", "bids") == {} and published("random_forest", "tusz") == {}


@pytest.mark.parametrize("dataset", CORPORA[2:])
def test_f1_follows_from_precision_and_recall_where_there_are_two_classes(dataset):
    for model in TABLE_1:
        row = published(model, dataset)
        f1 = 2 * row["precision"] * row["recall"] / (row["precision"] + row["recall"])
        assert row["f1"] == pytest.approx(f1, abs=0.02), model  # a slip in copying would show
