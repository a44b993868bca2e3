"""Every native layout, whole: written, described, prepared, trained on, distilled and evaluated."""

import json
from pathlib import Path

import pandas as pd
import pytest
from transformers import BertConfig, BertModel, BertTokenizerFast

from distilclip_eeg.config.compose import load
from distilclip_eeg.config.experiment import TrainSettings
from distilclip_eeg.config.studies import LayoutsSettings
from distilclip_eeg.corpora.invented.layouts.tree import LAYOUTS, TRUTH, synthesize
from distilclip_eeg.corpora.survey import survey, totals
from distilclip_eeg.runs import find_runs
from distilclip_eeg.schema import ConfigError
from distilclip_eeg.signals.store import prepare
from distilclip_eeg.studies import cells
from distilclip_eeg.studies.layouts import cells_of, layouts

SIZES = {
    "tusz": (16, 2, 35),
    "aubmc": (5, 2, 36),
    "aubmc_raw": (6, 2, 36),
    "chbmit": (6, 2, 40),
    "zenodo": (8, 1, 40),
    "bids": (6, 1, 60),
    "folder": (6, 1, 60),
}
"""Persons, recordings of each, seconds of each: enough for every class in five folds, and for every quirk."""
FEW_STEPS = ["trainer.max_steps=5", "device=cpu", "n_jobs=1"]


def run(verb, words):
    """``python VERB.py WORDS``."""
    from distilclip_eeg.commands import cli

    cli.run(verb, words)


@pytest.fixture(scope="module")
def trees(tmp_path_factory):
    """Each layout once, with the truth its writer tells; ``trees("tusz")``."""
    root, made = tmp_path_factory.mktemp("trees"), {}

    def get(layout):
        if layout not in made:
            sizes = dict(
                zip(("n_subjects", "recordings_per_subject", "recording_s"), SIZES[layout], strict=True)
            )
            made[layout] = root / layout, synthesize(layout, root / layout, **sizes)
        return made[layout]

    return get


def corpus_of(layout, root):
    settings = load(TrainSettings, [f"dataset={layout}", f"dataset.root={root}"])
    return settings.dataset.corpus.build("corpus")


def by_label(table, column):
    """Seconds or numbers by label of a list-valued column of the survey."""
    rows = pd.DataFrame([e for row in table[column] for e in row], columns=["seconds", "label"])
    return rows.groupby("label")["seconds"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_store_s_counts_are_the_writer_s_truth(trees, layout):
    root, truth = trees(layout)
    signals = load(TrainSettings, [f"dataset={layout}"]).signals
    store = prepare(corpus_of(layout, root), signals, root.with_name("store"), n_jobs=2)
    table = store.recordings
    used = table[table["skipped"] == ""]
    assert len(used) == truth["recordings"]
    assert table.loc[table["skipped"] != "", "skipped"].value_counts().to_dict() == truth["skipped"]
    assert used["subject"].nunique() == truth["subjects"]
    assert store.events["label"].value_counts().to_dict() == truth["seizures"]
    seconds = (store.events["offset_s"] - store.events["onset_s"]).groupby(store.events["label"]).sum()
    assert seconds.to_dict() == pytest.approx(truth["seizure_s"], abs=0.05)
    assert used["duration_s"].sum() == pytest.approx(truth["duration_s"], abs=0.05)
    assert (store.excluded["offset_s"] - store.excluded["onset_s"]).sum() == pytest.approx(
        truth["excluded_s"], abs=0.05
    )
    kinds = used["detail"].str.findall(r"(?:^|; )([a-z_]+): ").map(set)
    found = {code: int(kinds.map(lambda codes, code=code: code in codes).sum()) for code in truth["warnings"]}
    assert found == truth["warnings"]


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "aubmc"])
def test_the_survey_of_headers_finds_what_the_store_holds(trees, layout):
    root, truth = trees(layout)
    table = survey(corpus_of(layout, root), n_jobs=2)
    usable = table[table["problem"] == ""]
    assert totals(usable)["recordings"] == truth["recordings"]
    assert by_label(usable, "events").count().to_dict() == truth["seizures"]
    assert by_label(usable, "excluded").sum().sum() == pytest.approx(truth["excluded_s"], abs=0.05)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_describe_is_a_page_without_traceback(trees, layout, capsys):
    run("describe", [f"dataset={layout}", f"dataset.root={trees(layout)[0]}", "n_jobs=1"])
    page = capsys.readouterr().out
    assert "sampling rate:" in page and "  bckg" in page and "('" not in page


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layout_trains_distils_and_evaluates(trees, layout, sizes, tmp_path, capsys):
    root, _ = trees(layout)
    tiny = [*sizes, "trainer.max_steps=5"]
    text = ["text_encoder.dim=8", "text_encoder.depth=1", "text_encoder.n_prompts=1"]
    places = [f"run.root={tmp_path / 'runs'}", f"store.root={root.with_name('store')}"]
    data = [f"dataset={layout}", f"dataset.root={root}", "split.n_folds=2"]
    run("train", [*data, "model=teacher_tiny", *tiny, *text, *places])
    run("distill", [f"dataset.root={root}", *tiny, *places])
    run("evaluate", [f"root={tmp_path / 'runs'}"])
    page = capsys.readouterr().out
    classes = pd.read_csv(tmp_path / "runs" / "evaluation" / f"{layout}_classes.csv")
    corpus = corpus_of(layout, root)
    assert [r.settings.model.name for r in find_runs(tmp_path / "runs")] == [
        "teacher_tiny",
        "student_tiny",
    ]
    for _, rows in classes.groupby("model"):
        assert tuple(rows["class"]) == corpus.classes and rows["support"].gt(0).all()
    assert "Traceback" not in page and all(name in page for name in corpus.classes)


@pytest.mark.slow
def test_the_official_split_of_tusz_is_one_fold(trees, tmp_path, capsys):
    words = [f"dataset.root={trees('tusz')[0]}", f"run.root={tmp_path / 'runs'}", f"store.root={tmp_path}"]
    run("train", ["dataset=tusz", "split=official", *words, *FEW_STEPS])
    page = capsys.readouterr().out
    assert "official: seizures" in page and "subject 0 %" in page
    made = find_runs(tmp_path / "runs")[0]
    parts = pd.read_parquet(made.path / "folds.parquet")
    assert (parts["fold0"].astype(str) == parts["part"]).all()
    assert json.loads((made.path / "metrics.json").read_text())["test"]["accuracy"]["sd"] is None


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    """A local folder as deep as BERT-base and narrower, random weights, as ``save_pretrained`` leaves it.

    At its width of 768 it is built and counted on torch's meta device (tests/test_cost.py).
    """
    folder = tmp_path_factory.mktemp("bert")
    vocabulary = folder / "vocab.txt"
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *"abcdefghijklmnopqrstuvwxyz,.",
        *"##a ##e ##s".split(),
    ]
    vocabulary.write_text("\n".join(words) + "\n")
    BertTokenizerFast(vocab_file=str(vocabulary)).save_pretrained(folder)
    narrow = {"hidden_size": 48, "intermediate_size": 192}
    BertModel(BertConfig(vocab_size=len(words), **narrow)).save_pretrained(folder)
    return folder


@pytest.mark.slow
def test_the_article_s_teacher_with_a_bert_of_twelve_layers_runs_as_typed(bert, tmp_path, launch):
    """``python train.py dataset=tusz model=teacher text_encoder.path=FOLDER trainer.max_steps=2 fold=0``."""
    synthesize("tusz", tmp_path / "data" / "tusz", n_subjects=5, recordings_per_subject=1, recording_s=36)
    words = ["dataset=tusz", "model=teacher", f"text_encoder.path={bert}", "trainer.max_steps=2", "fold=0"]
    done = launch("train", *words, cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    (run,) = (tmp_path / "runs" / "tusz").glob("teacher-*")
    assert (run / "fold0" / "metrics.json").exists() and not (run / "metrics.json").exists()


def test_one_montage_carries_a_model_from_tusz_to_chbmit(trees, tmp_path, capsys):
    places = [f"run.root={tmp_path}", f"store.root={tmp_path / 'store'}"]
    words = [
        "dataset=tusz",
        f"dataset.root={trees('tusz')[0]}",
        "signals.montage=bipolar18",
        "text.source=none",
    ]
    run("train", [*words, "split=recording", "split.n_folds=2", *FEW_STEPS, *places])
    (made,) = find_runs(tmp_path)
    other = ["dataset=chbmit", f"dataset.root={trees('chbmit')[0]}", f"store.root={tmp_path / 'store'}"]
    run("evaluate", [f"run={made.path}", f"root={tmp_path}", *other, "n_jobs=1", "device=cpu"])
    table = pd.read_csv(tmp_path / "evaluation" / "chbmit_classes.csv")
    assert table["class"].tolist() == ["bckg", "seiz"]  # eight classes on one side, two on the other
    assert "teacher_tiny from tusz" in capsys.readouterr().out


# ------------------------------------------------------------------------------------------- the study


def told(*said):
    """Settings and train's words of ``python scripts/layouts.py``."""
    words = LayoutsSettings.words(list(said))
    return load(LayoutsSettings, words), LayoutsSettings.train_words(words)


def test_the_cells_of_the_committed_table_are_known():
    rows = pd.read_csv(Path(__file__).parents[1] / "results" / "native_layouts.csv")
    found = cells_of(*told())
    assert [one.study for one in found] == list(LAYOUTS)
    assert {one.key for one in found} <= set(rows["command"])
    assert cells_of(*told("layouts=bids", "trainer.max_steps=9"))[0].train[-1] == "trainer.max_steps=9"


def test_an_unknown_layout_is_refused():
    with pytest.raises(ConfigError, match="layouts='edf' is not one of"):
        cells_of(*told("layouts=edf"))


@pytest.mark.slow
def test_a_layout_is_written_trained_and_tabulated_once(tmp_path, monkeypatch, capsys):
    words = ["layouts=bids", f"root={tmp_path / 'data'}", f"results={tmp_path / 'results'}", *FEW_STEPS]
    words += ["split.n_folds=2", f"run.root={tmp_path / 'runs'}", f"store.root={tmp_path / 'store'}"]
    layouts(*told(*words))
    rows = pd.read_csv(tmp_path / "results" / "native_layouts.csv")
    assert rows["class"].tolist() == [*(labels := rows["class"][:2]), "overall", *labels, "overall"]
    assert rows["model"].tolist() == ["teacher_tiny"] * 3 + ["student_tiny"] * 3
    assert rows[["dataset", "seed", "minutes", "hardware", "command"]].notna().all().all()
    capsys.readouterr()
    monkeypatch.setattr(cells, "run_cell", lambda *_: pytest.fail("a cell was run again"))
    layouts(*told(*words))
    page = capsys.readouterr().out
    assert "1 of 1 cells stand in" in page and "overall" in page


# ------------------------------------------------------------------------------------- synthesize.py itself


def test_a_tree_is_written_whole_or_not_at_all_and_the_same_twice(tmp_path):
    sizes = {"n_subjects": 5, "recordings_per_subject": 1, "recording_s": 60, "seed": 3}
    for name in ("a", "b"):
        run("synthesize", ["layout=bids", f"root={tmp_path / name}", *(f"{k}={v}" for k, v in sizes.items())])
    trees = [
        {p.relative_to(r): p.read_bytes() for p in r.rglob("*") if p.is_file()} for r in tmp_path.iterdir()
    ]
    assert trees[0] == trees[1] and sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]
    assert json.loads((tmp_path / "a" / TRUTH).read_text())["recordings"] > 4


@pytest.mark.parametrize(
    "words, message",
    [
        ({"layout": "edf"}, "layout='edf' is not one of"),
        ({"layout": "zenodo", "recordings_per_subject": 3}, "one recording"),
        ({"layout": "folder", "recording_s": 5}, "recording_s=5: expected 20 or more"),
        ({"layout": "folder", "recording_s": 59}, "recording_s=59: expected 60 or more"),
        ({"layout": "tusz", "recording_s": 34}, "recording_s=34: expected 35 or more"),
        ({"layout": "bids", "recordings_per_subject": 0}, "recordings_per_subject=0: expected 1 or more"),
    ],
)
def test_sizes_that_cannot_be_are_one_line_and_leave_nothing(tmp_path, words, message):
    with pytest.raises(ConfigError, match=message):
        synthesize(words.pop("layout"), tmp_path / "x", n_subjects=5, **words)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(ConfigError, match="not empty"):
        synthesize("folder", tmp_path, n_subjects=5)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
