"""The notebooks: one source in percent format, the same cells as .ipynb, and every cell runs.

``python tests/test_notebooks.py`` writes each .ipynb again from its .py.
"""

import json
import re
from pathlib import Path

import pytest

from distilclip_eeg.schema import NOTE

FOLDER = Path(__file__).parents[1] / "notebooks"
SOURCES = sorted(FOLDER.glob("*.py"))
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:home|root|tmp|work|mnt|opt|Users)/\w")


def cells_of(source: str) -> list[dict]:
    """The cells of a percent-format file, as a notebook keeps them."""
    cells = []
    for number, block in enumerate(re.split(r"(?m)^# %%", source)[1:]):
        head, _, body = block.partition("\n")
        lines = body.strip("\n").splitlines()
        cell = {"cell_type": "code", "id": f"cell-{number}", "metadata": {}}
        if "[markdown]" in head:
            lines = [line.removeprefix("#").removeprefix(" ") for line in lines]
            cell["cell_type"] = "markdown"
        else:
            cell |= {"execution_count": None, "outputs": []}
        if tags := re.search(r"tags=(\[.*\])", head):
            cell["metadata"] = {"tags": json.loads(tags.group(1))}
        cells.append(cell | {"source": "\n".join(lines).splitlines(keepends=True)})
    return cells


def notebook_text(source: str) -> str:
    """The bytes of the .ipynb that belongs to ``source``; no outputs."""
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    book = {"cells": cells_of(source), "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(book, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def run_cells(book: dict, overrides: list[str]) -> dict:
    """Execute the code cells in order; after the cell tagged ``parameters``, ``overrides`` are set."""
    names = {"__name__": "__main__"}
    for cell in book["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
            if "parameters" in cell["metadata"].get("tags", ()):
                assert names["overrides"] == [], "the defaults are the synthetic corpus"
                names["overrides"] = list(overrides)
    return names


def test_the_notebooks_are_there():
    assert [p.stem for p in SOURCES] == [
        *("compare_runs", "explain_a_detection", "explore_corpus", "inside_a_teacher"),
    ]
    assert sorted(p.stem for p in FOLDER.glob("*.ipynb")) == [p.stem for p in SOURCES]


def test_the_cells_are_read_as_they_are_written():
    markdown, code = cells_of('# %% [markdown]\n# # A\n#\n# b\n\n# %% tags=["parameters"]\nx = 1\n\n\n# y\n')
    assert markdown["source"] == ["# A\n", "\n", "b"] and markdown["cell_type"] == "markdown"
    assert code["source"] == ["x = 1\n", "\n", "\n", "# y"] and code["metadata"]["tags"] == ["parameters"]


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.stem)
def test_both_files_hold_the_same_cells_and_no_outputs(path):
    source = path.read_text(encoding="utf-8")
    assert source.startswith("# %%")
    text = path.with_suffix(".ipynb").read_text(encoding="utf-8")
    assert text == notebook_text(source), "run: python tests/test_notebooks.py"
    assert all(c["outputs"] == [] for c in json.loads(text)["cells"] if c["cell_type"] == "code")
    assert not MACHINE_PATH.search(text)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.stem)
def test_a_notebook_says_what_it_is_not(path):
    first = "".join(cells_of(path.read_text(encoding="utf-8"))[0]["source"])
    words = re.sub(r"\W+", " ", first).lower()
    assert re.sub(r"\W+", " ", NOTE).lower().strip() in words


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:FigureCanvasAgg is non-interactive")
def test_explore_corpus_runs_and_shows_what_it_promises(tiny_data, tmp_path, monkeypatch, capsys):
    matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    matplotlib.use("Agg")
    monkeypatch.chdir(tmp_path)
    overrides = [o for o in tiny_data if not o.startswith("split=")]
    book = json.loads((FOLDER / "explore_corpus.ipynb").read_text(encoding="utf-8"))
    names = run_cells(book, overrides)
    said = capsys.readouterr().out
    data, audits = names["data"], names["shares"]
    assert "5 of 5 recordings used, 5 subjects" in said
    for subject in data.windows["subject"].unique():
        assert re.search(rf"(?m)^{subject} +\d+ +\d+ +\d+$", said), said
    assert list(audits) == ["window", "recording", "subject"]
    assert audits["window"]["samples"] > 0 and audits["window"]["subject"] == 1
    assert set(audits["subject"].values()) == {0}
    for sentence in set(names["sentences"]):
        assert sentence in said
    axes = names["axes"]
    assert [t.get_text() for t in axes.get_yticklabels()] == list(data.store.ch_names)
    shaded = axes.patches[0].get_bbox()
    assert 0 <= shaded.x0 < shaded.x1 <= names["seconds"]
    names["figure"].savefig("seizure.png")
    assert Path("seizure.png").stat().st_size > 10_000
    names["plt"].close("all")
    assert not MACHINE_PATH.search(said)
    assert {p.name for p in tmp_path.iterdir()} == {"seizure.png"}  # data and store lie where they were set


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:FigureCanvasAgg is non-interactive")
def test_compare_runs_runs_and_shows_what_it_promises(tiny_data, tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed").use("Agg")
    monkeypatch.chdir(tmp_path)
    overrides = [*(o for o in tiny_data if not o.startswith("split=")), "n_jobs=1"]
    names = run_cells(json.loads((FOLDER / "compare_runs.ipynb").read_text(encoding="utf-8")), overrides)
    said = capsys.readouterr().out
    assert set(names["runs"]) == {(s, m) for s in ("window", "subject") for m in names["models"]}
    for model in names["models"]:
        assert re.search(rf"{model}: AUROC 0\.\d+ by window, \d\.\d+ by subject", said)
    assert "no interval below 6 subjects" in said  # five people
    assert [t.get_text() for t in names["left"].get_yticklabels()] == names["names"]
    assert len(names["right"].lines) == 4
    names["plt"].close("all")
    assert not MACHINE_PATH.search(said)


@pytest.fixture(scope="module")
def looked_at(tiny, tmp_path_factory):
    """A folder with one trained fold, which both notebooks about models find finished, and its settings."""
    return tmp_path_factory.mktemp("notebooks"), [*tiny, "trainer.epochs=1"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:FigureCanvasAgg is non-interactive")
def test_inside_a_teacher_runs_and_shows_what_it_promises(looked_at, monkeypatch, capsys):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed").use("Agg")
    folder, overrides = looked_at
    monkeypatch.chdir(folder)
    names = run_cells(json.loads((FOLDER / "inside_a_teacher.ipynb").read_text(encoding="utf-8")), overrides)
    said = capsys.readouterr().out
    assert names["cosine_UU"].shape == 2 * (len(names["bank"].sentences),)
    assert names["cosine_UU"].diagonal() == pytest.approx(1, abs=1e-5)
    assert "EEG: layer 1" in said and "text: layer 1" in said and "answered" in said
    for near in names["examples"]["windows"][0]["nearest"]:
        assert near["text"] in said
    names["plt"].close("all")
    assert not MACHINE_PATH.search(said)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:FigureCanvasAgg is non-interactive")
def test_explain_a_detection_runs_and_shows_what_it_promises(looked_at, monkeypatch, capsys):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed").use("Agg")
    folder, overrides = looked_at
    monkeypatch.chdir(folder)
    names = run_cells(
        json.loads((FOLDER / "explain_a_detection.ipynb").read_text(encoding="utf-8")), overrides
    )
    said = capsys.readouterr().out
    assert "annotated" in said and "found" in said and "events from a probability of" in said
    assert len(names["truth"]) >= 1
    assert set(names["maps"]) == {"hires", "occlusion"}
    assert all(len(value) == len(names["model"].recipe.ch_names) for value in names["maps"].values())
    names["plt"].close("all")
    assert not MACHINE_PATH.search(said)


if __name__ == "__main__":
    for file in SOURCES:
        written = notebook_text(file.read_text(encoding="utf-8"))
        file.with_suffix(".ipynb").write_text(written, encoding="utf-8")
