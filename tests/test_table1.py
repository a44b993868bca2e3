"""Table I: which cells are run, which are not run again, and what the printed table says."""

import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from tools import scores_of

from distilclip_eeg.config.compose import load
from distilclip_eeg.config.experiment import TrainSettings
from distilclip_eeg.config.studies import Table1Settings
from distilclip_eeg.models.baselines.external import SWITCH
from distilclip_eeg.report.comparison import BASELINES, comparison, settings_of
from distilclip_eeg.report.published import CORPORA, TABLE_1
from distilclip_eeg.report.published import table_1 as published
from distilclip_eeg.runs import Run, find_runs
from distilclip_eeg.schema import ConfigError
from distilclip_eeg.studies import cells, speed
from distilclip_eeg.studies.speed import SPEED, with_speed
from distilclip_eeg.studies.table1 import all_models, cell_of, cells_of, table1, words_of
from distilclip_eeg.training.data import load_data

RESULTS = Path(__file__).parents[1] / "results"
HISTORY = RESULTS / "history"
COMMITTED = sorted(RESULTS.rglob("table1_*.csv"))
SIX = ["trainer.max_steps=3", "split.n_folds=2", "fold=[0]", "device=cpu", "n_jobs=1"]


def reproduce(words, results):
    """``python scripts/reproduce_table1.py``, its tables in ``results``."""
    words = Table1Settings.words([*words, f"results={results}"])
    table1(load(Table1Settings, words), Table1Settings.train_words(words))


def cells_told(*words):
    words = Table1Settings.words(list(words))
    return cells_of(load(Table1Settings, words), Table1Settings.train_words(words))


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
    monkeypatch.setattr(cells, "run_cell", lambda *_: pytest.fail("a cell was run again"))
    reproduce(words, root)
    page = capsys.readouterr().out
    assert "6 of 6 cells stand in" in page and (root / "t.csv").read_bytes() == before


@pytest.mark.slow
def test_the_printed_table_has_protocol_figures_speed_and_empty_cells(made, first, capsys):
    root, words = made
    reproduce(words, root)
    page = capsys.readouterr().out
    assert page.count("test windows sharing with training: samples") == 2
    assert page.count("trainer.max_steps=3 (mean ± SD over folds; test windows: natural") == 2
    trained = r"0\.001 \| 3 \| \d \| \d\.\d"  # rate, steps, those of the best weights, minutes
    assert re.search(rf"\| eegnet \| 1 \| \d+\.\d .* \| {trained} \| 1,730 \| \d+ \| [\d,]+ \|", page)
    assert page.count("| always seizure | – |") == 2 and page.count("| ggn | – | not run |") == 2
    assert (root / "t.md").read_text() in page and (root / "persons_t.md").read_text() in page
    assert (root / "persons_t.png").stat().st_size > 5000 and (root / "curves_t.png").stat().st_size > 5000
    assert re.search(r"\| always seizure \| 5 \| 50\.0 \| 50\.0 \| \d+\.\d \| [+-]\d+\.\d, \d\.\d\d", page)


@pytest.mark.slow
def test_each_speed_says_where_and_how_long_it_was_measured(made, first):
    speed = pd.read_csv(made[0] / "speed.csv")
    assert speed["model"].tolist() == ["eegnet", "teacher_tiny", "student_tiny"]
    assert speed["parameters"].tolist()[0] == 1_730 and speed["windows_per_s"].dtype == int
    assert (speed["minutes"] > 0).all() and (speed["minutes"] < 1).all()
    assert (speed["hardware"] == first["hardware"].iloc[0]).all()


@pytest.mark.slow
def test_an_interrupted_table_shows_what_it_has_and_continues(made, first, tmp_path, capsys, monkeypatch):
    kept = [w for w in made[1] if not w.startswith(("models=", "split=", "jobs=", "run.root="))]
    words = [*kept, "models=eegnet,logreg_bandpower", "split=window", f"run.root={tmp_path / 'runs'}"]
    whole = cells.run_cell

    def stopped(one):
        if one.settings.model.name == "logreg_bandpower":
            raise KeyboardInterrupt
        return whole(one)

    with monkeypatch.context() as patch:
        patch.setattr(cells, "run_cell", stopped)
        with pytest.raises(KeyboardInterrupt):
            reproduce(words, tmp_path / "r")
    half = (tmp_path / "r" / "t.md").read_text()
    assert re.search(r"\| eegnet \| 1 \| \d", half) and "| logreg_bandpower | – | not run |" in half
    capsys.readouterr()
    reproduce(words, tmp_path / "r")
    assert "1 of 2 cells stand in" in capsys.readouterr().out
    # One process here, two in ``first``.
    columns = ["model", "accuracy", "precision", "recall", "f1", "auroc"]
    same = first[(first["split"] == "window") & first["model"].isin(["eegnet", "logreg_bandpower"])]
    found = pd.read_csv(tmp_path / "r" / "t.csv")[columns]
    assert found.equals(same.sort_values("model")[columns].reset_index(drop=True))


@pytest.mark.slow
def test_a_cluster_s_queue_gives_the_same_rows(made, first, tmp_path):
    root, words = made
    kept = [w for w in words if not w.startswith(("models=", "split=", "run.root="))]
    reproduce(
        [*kept, "models=eegnet", "split=window", "cluster=debug", f"run.root={tmp_path}"], tmp_path / "r"
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


@pytest.mark.slow
def test_a_network_of_another_package_has_its_line(made, tmp_path, monkeypatch, capsys):
    (tmp_path / "othernets.py").write_text(
        "import torch\n"
        "class Mean(torch.nn.Module):\n"
        "    def __init__(self, n_chans, n_times, sfreq, n_outputs):\n"
        "        super().__init__()\n"
        "        self.out = torch.nn.Linear(n_chans, n_outputs)\n"
        "    def forward(self, x):\n"
        "        return self.out(x.square().mean(-1))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv(SWITCH, "othernets")
    kept = [w for w in made[1] if not w.startswith(("models=", "split=", "jobs=", "run.root="))]
    own = ["models=external", "model.name=mean_power", "model.net.target=othernets.Mean"]
    reproduce([*kept, *own, f"run.root={tmp_path / 'runs'}"], tmp_path / "r")
    sys.modules.pop("othernets")
    page = capsys.readouterr().out
    assert re.search(
        r"\| mean_power \| 1 \| \d+\.\d .* \| – \| 0\.001 \| 3 \| \d \| \d\.\d \| 48 \| \d+ \|",
        page,
    )
    assert pd.read_csv(tmp_path / "r" / "speed.csv")["model"].tolist() == [
        "external model.name=mean_power model.net.target=othernets.Mean"
    ]


def test_the_speed_of_another_network_of_the_same_name_is_not_taken(tiny_data, tmp_path, monkeypatch):
    monkeypatch.setattr(speed, "ROUNDS", 1)
    data, path, cpu = load_data(load(TrainSettings, tiny_data)), tmp_path / "speed.csv", torch.device("cpu")
    wide, narrow = (
        load(TrainSettings, ["model=eegnet", *more]).model for more in ((), ("model.net.filters=2",))
    )
    of_wide = speed.speeds({"eegnet": wide}, data, cpu, path).loc["eegnet"]
    assert speed.speeds({"eegnet": wide}, data, cpu, path).loc["eegnet"].equals(of_wide)  # not measured again
    of_narrow = speed.speeds({"eegnet": narrow}, data, cpu, path).loc["eegnet"]
    assert of_narrow["parameters"] < of_wide["parameters"] and len(pd.read_csv(path)) == 1


def test_all_models_are_the_article_s_sixteen_two_more_ours_and_the_floors():
    assert len(BASELINES) == 16
    assert all_models("small")[16:] == [
        *("zhu_transformer", "eeg_conformer", "filterbank", "teacher_small"),
        *("logreg_bandpower", "random_forest", "logreg_relative", "forest_relative"),
        *("logreg_relative_5s", "forest_relative_5s"),
    ]
    assert len(cells_told("split=window")) == 26
    assert len(cells_told("split=window,subject", "models=rnn", "seed=0,1,2")) == 6


def test_the_digest_of_a_cell_follows_settings_and_folds():
    def key(*words):
        return cell_of("window", "eegnet", words).key

    plain = key("trainer.max_steps=5")
    for other in (
        ("trainer.max_steps=6",),
        ("trainer.max_steps=5", "fold=0"),
        ("seed=1", "trainer.max_steps=5"),
    ):
        assert key(*other) != plain
    assert key("trainer.max_steps=5", "device=cpu") == plain


@pytest.mark.parametrize(
    "words", [["ours=small"], ["models=eegnet,teacher_tiny", "split=window,recording,subject"]]
)
def test_cells_of_the_committed_tables_are_known(words):
    name = "chbmit_excerpts" if "ours=small" in words else "synthetic"
    data = ["dataset=chbmit", "split=window,subject"] if "ours=small" in words else ["dataset=synthetic"]
    rows = pd.read_csv(HISTORY / f"table1_{name}.csv")
    told = cells_told(*data, *words, "trainer.max_steps=200", "fold=[0,1]")
    told = [one for one in told if one.settings.model.name in set(rows["model"])]
    assert len(told) > 5 and {one.key for one in told} <= set(rows["digest"])


@pytest.mark.parametrize("table", COMMITTED, ids=lambda path: str(path.relative_to(RESULTS)))
def test_the_committed_page_is_what_the_committed_rows_print(table):
    page = comparison(with_speed(pd.read_csv(table), RESULTS / SPEED), [])
    assert page == table.with_suffix(".md").read_text(encoding="utf-8")


def test_a_teacher_s_cell_has_the_student_that_its_config_names():
    one = cell_of("window", "teacher_small", ("trainer.max_steps=5",))
    assert one.distill == ("split=window", "model=student_small", "trainer.max_steps=5")
    assert cell_of("window", "eegnet", ()).distill is None


def test_a_floor_is_not_told_of_optimisers():
    words = words_of("window", "random_forest", ("trainer.max_steps=5", "optim.lr=1", "seed=3"))
    assert words == ("split=window", "model=random_forest", "seed=3")


@pytest.mark.parametrize(
    "words, message",
    [
        (["models=eegnat"], "model/eegnat: there is no such config"),
        (["models=rnn,eegnat"], "models='eegnat'"),
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
    said = ["models=eegnet", "jobs=3", "dataset=tusz", "name=x", "slurm.partition=gpu", "slurm.mem_gb=8"]
    words = Table1Settings.words([*said, "split=window,subject", "seed=0,1", "split.n_folds=3"])
    own = load(Table1Settings, words)
    assert own.jobs == 3 and own.name == "x" and own.slurm == {"partition": "gpu", "mem_gb": 8}
    assert own.protocols == ("window", "subject") and own.seeds == [0, 1] and own.models == ("eegnet",)
    assert Table1Settings.train_words(words) == ["dataset=tusz", "split.n_folds=3"]


def test_rows_of_other_settings_stand_in_a_section_of_their_own():
    made = "python scripts/reproduce_table1.py split=window models={} dataset=tusz {}"
    row = dict.fromkeys(("accuracy", "precision", "recall", "f1"), 0.5)
    row |= dict.fromkeys(("balanced_accuracy", "auroc", "average_precision"), 0.5)
    row |= {f"{c}_sd": 0.1 for c in list(row)} | {f"always_{c}": 0.5 for c in list(row)}
    row |= {"dataset": "tusz", "split": "window", "folds": 2, "seed": 0, "balanced_test": False}
    row |= {
        "leak_note": "shared",
        "minutes": 1.0,
        "prevalence": 0.5,
        "step_ms": 1.0,
        "windows_per_s": 1.0,
        "parameters": float("nan"),
        "steps_per_fold": 7,
    }
    few, many = "fold=[0,1] trainer.max_steps=7 device=cpu", "dataset.root=x trainer.max_steps=9 fold=[0,1]"
    rows = pd.DataFrame(
        row | {"model": name, "command": made.format(name, words), "digest": "x"}
        for name, words in (("rnn", few), ("ggn", few), ("rnn", many))
    )
    page = comparison(rows, [("tusz", "window", settings_of(many), "ggn")])
    first, second = page.split("**tusz")[1:]
    assert first.startswith(", split=window**, trainer.max_steps=7 (mean")
    assert second.startswith(", split=window**, trainer.max_steps=9 (mean")
    line = f"| rnn | 2 |{' 50.0 ± 10.0 |' * 7} 89.35 / 90.48 /"
    assert line in first and line in second
    assert "| ggn | 2 | 50.0" in first and "| ggn | – | not run |" in second


def test_other_detectors_stand_in_every_section_of_their_protocol():
    row = dict.fromkeys(("accuracy", "precision", "recall", "f1", "balanced_accuracy"), float("nan"))
    row |= {"auroc": 0.75, "average_precision": 0.5, "auroc_sd": 0.1, "average_precision_sd": 0.1}
    row |= {f"{c}_sd": float("nan") for c in ("accuracy", "precision", "recall", "f1", "balanced_accuracy")}
    row |= {f"always_{c}": 0.5 for c in ("accuracy", "precision", "recall", "f1")}
    row |= {"dataset": "tusz", "folds": 3, "balanced_test": False, "leak_note": "", "minutes": 1.0}
    row |= {"prevalence": 0.5, "parameters": 1.0, "step_ms": 1.0, "windows_per_s": 1.0}
    rows = pd.DataFrame(
        row | {"split": split, "model": name, "command": f"split={split} {words}", "digest": digest}
        for split, name, words, digest in (
            *(("window", "rnn", f"trainer.max_steps={n}", "x") for n in (7, 9)),
            ("subject", "rnn", "trainer.max_steps=7", "y"),
            ("window", "peer", "scores=peer.parquet", "scores-peer-window"),
        )
    )
    page = comparison(rows, [])
    assert page.count("**tusz") == 3 and page.count("| peer | 3 | undefined |") == 2
    assert "| peer |" not in page.partition("split=subject")[2] and "75.0 ± 10.0" in page


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


# ------------------------------------------------------------------------------- learning rates, persons


@pytest.mark.slow
def test_the_learning_rate_is_the_one_that_does_best_on_validation_windows_of_the_first_fold(
    made, first, tmp_path
):
    kept = [w for w in made[1] if not w.startswith(("models=", "split=", "jobs=", "run.root=", "fold="))]
    words = [*kept, "models=teacher_tiny", "split=window", "rates=1e-3,1", "fold=[1]"]
    reproduce([*words, f"run.root={tmp_path / 'runs'}"], tmp_path / "r")
    runs = find_runs(tmp_path / "runs", finished=False)
    judged = {}
    for run in runs:
        history = pd.read_csv(run.path / "fold1" / "history.csv")
        judged.setdefault(run.settings.model.name, {})[run.settings.optim.lr] = history["val_macro_f1"].max()
    assert {name: len(found) for name, found in judged.items()} == {"teacher_tiny": 2, "student_tiny": 2}
    for _, row in pd.read_csv(tmp_path / "r" / "t.csv").iterrows():
        found = judged[row["model"]]
        assert found[row["learning_rate"]] == max(found.values())


@pytest.mark.slow
def test_each_tested_person_has_a_row_that_scikit_learn_agrees_with(made, first):
    root, words = made
    rows = pd.read_csv(root / "persons_t.csv")
    assert set(rows["model"]) == set(first["model"]) and (rows["folds"] == 0).all()
    (run,) = (path for path in (root.parent / "runs").glob("*/eegnet-window-*"))
    saved = Run(run).predictions(0)
    for _, row in rows[(rows["model"] == "eegnet") & (rows["split"] == "window")].iterrows():
        mine = (saved["part"] == "test") & (saved["subject"] == row["subject"])
        label, probability_NK = saved["label"][mine] != 0, saved["probability_NK"][mine]
        assert row["n"] == mine.sum()
        assert row["auroc"] == pytest.approx(roc_auc_score(label, probability_NK[:, 1]))
        answer = probability_NK.argmax(1)
        assert row["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(label, answer))


@pytest.mark.slow
def test_other_detectors_are_scored_on_the_windows_that_the_networks_are_tested_on(made, first, tmp_path):
    root, words = made
    shutil.copytree(root, tmp_path / "r")
    windows = load_data(cells_told(*words)[0].settings.data).windows
    knowing, knowing_nothing = scores_of(windows), scores_of(windows).assign(score=0.5, decision=np.nan)
    knowing.to_parquet(tmp_path / "knows.parquet")
    knowing_nothing.to_parquet(tmp_path / "knows_nothing.parquet")
    files = f"scores={tmp_path / 'knows.parquet'},{tmp_path / 'knows_nothing.parquet'}"
    for _ in range(2):  # a second time adds nothing
        reproduce([*words, files], tmp_path / "r")
    table = pd.read_csv(tmp_path / "r" / "t.csv")
    networks = table[table["model"] == "eegnet"].set_index("split")
    for split in ("window", "recording"):
        found = table[table["split"] == split].set_index("model")
        knows, nothing = found.loc["knows"], found.loc["knows_nothing"]
        assert knows["windows"] == networks.loc[split, "windows"] and knows["folds"] == 1
        assert knows["auroc"] > 0.9 and knows["balanced_accuracy"] > 0.8
        assert nothing["auroc"] == 0.5 and np.isnan(nothing["balanced_accuracy"])
    persons = pd.read_csv(tmp_path / "r" / "persons_t.csv")
    assert (persons.groupby("model")["subject"].nunique() == 5).all()
    page = (tmp_path / "r" / "persons_t.md").read_text()
    assert "| knows | 5 |" in page and "| knows_nothing | 5 | – | 50.0 |" in page
