"""Search by words: a small teacher, exported, on recordings of the synthetic corpus."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tools import one_run

from distilclip_eeg.commands import cli
from distilclip_eeg.config.data import Places
from distilclip_eeg.deploy import search
from distilclip_eeg.deploy.export import export
from distilclip_eeg.deploy.index import FILE, Index
from distilclip_eeg.deploy.screen import find
from distilclip_eeg.files.writing import WRITTEN
from distilclip_eeg.schema import ConfigError, DataError
from distilclip_eeg.training import pipeline

TEXT = "Rhythmic theta activity of high amplitude."


@pytest.fixture(scope="module")
def teacher(tiny, tmp_path_factory) -> Path:
    """A folder with a teacher of one epoch and its text side."""
    root = tmp_path_factory.mktemp("search")
    words = [*tiny, "fold=0", "trainer.epochs=1", f"run.root={root}"]
    run = pipeline.training(one_run(words), report=False).train()
    return export(run, 0, root / "model", places=Places(n_jobs=1), onnx=False).path


@pytest.fixture(scope="module")
def recordings(teacher, tiny_root, tmp_path_factory) -> Path:
    """Three files of it in a folder of their own."""
    folder = tmp_path_factory.mktemp("recordings")
    for path in sorted((tiny_root / "data").rglob("*.edf"))[:3]:
        shutil.copy(path, folder)
    return folder


@pytest.fixture
def words(teacher, recordings, tmp_path) -> list[str]:
    return [f"weights={teacher}", f"input={recordings}", f"output={tmp_path / 'out'}", "device=cpu"]


def test_every_window_is_ranked_by_its_cosine_with_the_text(teacher, recordings):
    finder = search.Search.open(str(teacher), "cpu")
    index, failed = finder.index(find(recordings))
    assert failed == [] and len(index.files) == 3
    np.testing.assert_allclose(np.linalg.norm(index.features_NE, axis=1), 1, atol=1e-5)
    text_E = finder.model.encode_text([TEXT])[0]
    found = search.rank(index, finder.queries(index, [TEXT], []), n=5, margin=0.0)
    assert found["similarity"].iloc[0] == pytest.approx((index.features_NE @ text_E).max())
    assert found["similarity"].is_monotonic_decreasing and found["rank"].tolist() == [1, 2, 3, 4, 5]


def test_more_like_this_finds_the_moment_itself_first(teacher, recordings):
    finder = search.Search.open(str(teacher), "cpu")
    index, _ = finder.index(find(recordings))
    name = index.windows["recording"].iloc[0]
    asked = f"{name}@{index.windows['start_s'].iloc[7] + 0.5}"
    best = search.rank(index, finder.queries(index, [], [asked]), n=1, margin=0.0).iloc[0]
    assert best["recording"] == name and best["similarity"] == pytest.approx(1, abs=1e-5)
    assert best["onset_s"] <= index.windows["start_s"].iloc[7] < best["offset_s"]
    with pytest.raises(ConfigError, match="expected RECORDING@SECONDS"):
        finder.queries(index, [], ["nowhere"])
    with pytest.raises(DataError, match="no window there"):
        finder.queries(index, [], ["nowhere@3"])


def test_class_texts_share_the_probability_and_the_nearest_is_the_likeliest(teacher, recordings):
    finder = search.Search.open(str(teacher), "cpu")
    index, _ = finder.index(find(recordings))
    texts = [TEXT, "Irregular alpha activity of low amplitude.", "Rhythmic beta activity of low amplitude."]
    table = finder.classify(index, texts)
    np.testing.assert_allclose(table[texts].sum(axis=1), 1, atol=1e-6)
    assert (table["nearest"] == table[texts].idxmax(axis=1)).all()
    turned = finder.classify(index, texts[::-1])
    np.testing.assert_allclose(turned[texts], table[texts], atol=1e-6)


def test_the_second_query_reads_no_recording_and_a_changed_file_is_read_again(words, recordings, monkeypatch):
    cli.act("search", [*words, f"query={TEXT}", "figure=false"])
    out = Path(words[2].partition("=")[2])
    first = Index.load(out / FILE)
    with monkeypatch.context() as patch:
        patch.setattr(search.Search, "features", lambda *a: pytest.fail("a recording was read again"))
        cli.act("search", [*words, "query=[one,another, and a third]", "figure=false"])
    table = pd.read_csv(out / search.TABLE)
    assert set(table["query"]) == {"one", "another", "and a third"}
    moved = recordings / "moved.edf"
    shutil.copy(sorted(recordings.glob("*.edf"))[0], moved)
    try:
        cli.act("search", [*words, f"query={TEXT}", "figure=false"])
    finally:
        moved.unlink()
    assert set(Index.load(out / FILE).files) == {*first.files, "moved"}


def test_the_command_writes_table_figure_and_index_and_says_where(words, capsys):
    asked = "Sharp waves, over the left: temporal (T7)?"
    cli.act("search", [*words, f"query={asked}", "class_texts=[rhythmic,flat]", "top=4"])
    said, out = capsys.readouterr().out, Path(words[2].partition("=")[2])
    assert {p.name for p in out.iterdir()} == {WRITTEN, FILE, search.TABLE, search.CLASSES, search.FIGURE}
    assert (out / search.FIGURE).read_bytes()[:4] == b"\x89PNG"
    assert pd.read_csv(out / search.TABLE)["query"].unique() == [asked]
    assert "windows of 3 recordings" in said and "not a medical device" in said
    assert (
        "note: trained with loss.targets=multi_positive" in said
    )  # whose texts are told apart by class alone


def test_a_bad_file_does_not_stop_the_search_and_none_that_is_good_does(words, recordings, tmp_path, capsys):
    folder = tmp_path / "mixed"
    shutil.copytree(recordings, folder)
    (folder / "text.edf").write_text("this is no EDF")
    cli.act("search", [words[0], f"input={folder}", *words[2:], f"query={TEXT}", "figure=false"])
    assert "text: failed" in capsys.readouterr().out
    for path in folder.glob("*.edf"):
        path.write_text("neither is this")
    with pytest.raises(DataError, match="none of 4 recordings can be used"):
        cli.act("search", [words[0], f"input={folder}", f"output={tmp_path / 'other'}", f"query={TEXT}"])


def test_an_empty_question_is_refused_before_anything_is_read(words):
    for asked in ([], ["query="], ["class_texts=[]"]):
        with pytest.raises(ConfigError, match="nothing is asked"):
            cli.act("search", [words[0], "input=nowhere", words[2], *asked])
    with pytest.raises(ConfigError, match="nothing to be told from"):
        cli.act("search", [*words, "class_texts=[one]"])
