"""The notebooks: one source in percent format, the same cells as .ipynb with what they print and draw.

``python tests/test_notebooks.py`` runs each .py and writes its .ipynb again, outputs included;
``python tests/test_notebooks.py compare_runs`` does that one.
"""

import base64
import contextlib
import io
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import pytest

from distilclip_eeg.schema import NOTE

FOLDER = Path(__file__).parents[1] / "notebooks"
SOURCES = sorted(FOLDER.glob("*.py"))
DPI = 72
"""Of stored figures: sharp enough to read in a browser, small enough for a repository."""
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


def notebook_of(source: str) -> dict:
    """The .ipynb that belongs to ``source``, without outputs."""
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": cells_of(source), "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def text_of(book: dict) -> str:
    """A notebook as the bytes of its file."""
    return json.dumps(book, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def without_outputs(book: dict) -> dict:
    """The same before anything was run."""
    bare = [
        cell | {"execution_count": None, "outputs": []} if cell["cell_type"] == "code" else cell
        for cell in book["cells"]
    ]
    return book | {"cells": bare}


def run_cells(book: dict, overrides: list[str] | None = None, keep: bool = False) -> dict:
    """Execute the code cells in order.

    Args:
        overrides: set after the cell tagged ``parameters``; None: what stands there.
        keep: put what each cell prints and draws into the notebook, as Jupyter does.
    """
    names, number = {"__name__": "__main__"}, 0
    for cell in book["cells"]:
        if cell["cell_type"] == "code":
            said = io.StringIO()
            with contextlib.redirect_stdout(said) if keep else contextlib.nullcontext():
                exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
            if overrides is not None and "parameters" in cell["metadata"].get("tags", ()):
                names["overrides"] = list(overrides)
            if keep:
                number += 1
                cell |= {"execution_count": number, "outputs": [*printed(said.getvalue()), *drawn(names)]}
    return names


def printed(text: str) -> list[dict]:
    """What a cell printed, as a notebook keeps it."""
    return (
        [{"output_type": "stream", "name": "stdout", "text": text.splitlines(keepends=True)}] if text else []
    )


def drawn(names: dict) -> list[dict]:
    """The figures that are open at the end of a cell, as a notebook keeps them; they are closed, as there."""
    outputs = []
    for number in names["plt"].get_fignums():
        figure, body = names["plt"].figure(number), io.BytesIO()
        figure.savefig(body, format="png", dpi=DPI, metadata={"Software": None})
        image = base64.b64encode(body.getvalue()).decode()
        data = {"image/png": image, "text/plain": ["<Figure>"]}
        outputs.append({"output_type": "display_data", "data": data, "metadata": {}})
    names["plt"].close("all")
    return outputs


def write(path: Path) -> None:
    """Run a source in a folder of its own and write its .ipynb."""
    import matplotlib

    matplotlib.use("Agg")
    book, start, here = notebook_of(path.read_text(encoding="utf-8")), time.process_time(), Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            run_cells(book, keep=True)
        finally:
            os.chdir(here)
    text = text_of(book)
    path.with_suffix(".ipynb").write_text(text, encoding="utf-8")
    print(f"{path.stem}: {time.process_time() - start:.0f} s of CPU, {len(text) / 1000:.0f} kB", flush=True)


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
def test_both_files_hold_the_same_cells(path):
    source = path.read_text(encoding="utf-8")
    assert source.startswith("# %%")
    text = path.with_suffix(".ipynb").read_text(encoding="utf-8")
    assert without_outputs(json.loads(text)) == notebook_of(source), "run: python tests/test_notebooks.py"
    assert text == text_of(json.loads(text))


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.stem)
def test_what_a_notebook_printed_and_drew_is_kept_and_names_no_place(path):
    text = path.with_suffix(".ipynb").read_text(encoding="utf-8")
    code = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    for cell in code:
        source, kinds = "".join(cell["source"]), [out["output_type"] for out in cell["outputs"]]
        assert ("display_data" in kinds) == ("plt.show()" in source), source
        assert "stream" in kinds or not re.search(r"(?m)^ *print\(", source), source
        for out in cell["outputs"]:
            if out["output_type"] == "display_data":
                assert base64.b64decode(out["data"]["image/png"])[:4] == b"\x89PNG"
    assert len(text) < 500_000
    assert not MACHINE_PATH.search(text)


def test_a_run_notebook_keeps_what_each_cell_said_and_drew_and_closes_its_figures():
    plt = pytest.importorskip("matplotlib.pyplot", reason="matplotlib is not installed")
    plt.switch_backend("Agg")
    source = "# %%\nimport matplotlib.pyplot as plt\n\n# %%\nprint('a\\nb')\nplt.plot([1])\n\n# %%\nx = 3\n"
    book = notebook_of(source)
    names = run_cells(book, keep=True)
    first, second, third = book["cells"]
    assert first["outputs"] == third["outputs"] == [] and names["x"] == 3 and third["execution_count"] == 3
    assert second["outputs"][0] == {"output_type": "stream", "name": "stdout", "text": ["a\n", "b\n"]}
    assert second["outputs"][1]["output_type"] == "display_data" and plt.get_fignums() == []
    assert without_outputs(book) == notebook_of(source) != book


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
    overrides = [*(o for o in tiny_data if not o.startswith("split=")), "n_jobs=1", "split.n_folds=2"]
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
        if file.stem in sys.argv[1:] or not sys.argv[1:]:
            write(file)
