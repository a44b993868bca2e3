"""The runner of grids, with cells that train nothing: what is skipped, appended, announced and told."""

from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest

from distilclip_eeg.config.compose import load
from distilclip_eeg.config.studies import GapSettings, LayoutsSettings, Table1Settings
from distilclip_eeg.schema import ConfigError, DataError
from distilclip_eeg.studies import cells
from distilclip_eeg.studies.cells import Cell, Grid, append, digest_key, fill


def rows_of(one, runs):
    """A row of a cell that was not run."""
    if one.study == "bad":
        raise DataError("no such file.", reason="missing_file")
    print("said while it ran")
    return [{"value": 1, "digest": one.key}]


def grid(folder, *names, seconds=60.0):
    made = [Cell(f"window {name}", (), name, "python x.py", study=name) for name in names]
    drawn = []
    return Grid(
        *("study", folder / "results" / "t.csv", made, rows_of, lambda: drawn.append(1)),
        expected=lambda todo: [seconds for _ in todo],
    )


@pytest.fixture
def how(monkeypatch):
    monkeypatch.setattr(cells, "run_cell", lambda one: [])
    return load(Table1Settings, [])


def test_rows_are_appended_and_what_stands_is_not_run_again(tmp_path, how, capsys):
    append(tmp_path / "results" / "t.csv", pd.DataFrame({"digest": ["a"], "older": [3]}))
    fill(grid(tmp_path, "a", "b", "c"), how)
    table = pd.read_csv(tmp_path / "results" / "t.csv")
    assert table["digest"].tolist() == ["a", "b", "c"] and table["older"].tolist()[0] == 3
    said = capsys.readouterr().out
    assert "1 of 3 cells stand in" in said and "expected: 2:00 on one core" in said
    assert "said while it ran" in (tmp_path / "runs" / "study" / "window-b.log").read_text()
    fill(grid(tmp_path, "a", "b", "c"), how)
    assert "3 of 3 cells stand in" in capsys.readouterr().out


def test_commands_that_fill_one_table_at_once_lose_no_row_of_each_other(tmp_path):
    path = tmp_path / "t.csv"
    with ThreadPoolExecutor(4) as several:
        list(several.map(lambda k: append(path, pd.DataFrame({"digest": [k]})), range(24)))
    assert sorted(pd.read_csv(path)["digest"]) == list(range(24))
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"]


def test_a_cell_that_fails_is_told_at_the_end_and_the_others_are_run(tmp_path, how, capsys):
    fill(grid(tmp_path, "bad", "good"), how)
    assert pd.read_csv(tmp_path / "results" / "t.csv")["digest"].tolist() == ["good"]
    assert capsys.readouterr().out.splitlines()[-1] == "not run: window bad: no such file."


def test_what_cannot_be_known_before_is_said_to_be_unknown(tmp_path, how, capsys):
    fill(grid(tmp_path, "a", seconds=float("nan")), how)
    assert "expected: unknown for 0 of 1 cells" in capsys.readouterr().out


def test_nothing_is_run_where_only_the_page_is_wanted(tmp_path, how):
    only_page = load(Table1Settings, ["fill=false"])
    with pytest.raises(ConfigError, match="no such table"):
        fill(grid(tmp_path, "a"), only_page)
    append(tmp_path / "results" / "t.csv", pd.DataFrame({"digest": ["b"]}))
    fill(grid(tmp_path, "a"), only_page)
    assert pd.read_csv(tmp_path / "results" / "t.csv")["digest"].tolist() == ["b"]


def test_the_key_of_a_cell_has_its_folds():
    key = digest_key(["model=eegnet"])
    assert key.endswith("-all") and digest_key(["model=eegnet", "fold=[0,1]"]) == key[:-3] + "[0,1]"
    assert digest_key(["model=eegnet", "fold=2"]) == key[:-3] + "2"


@pytest.mark.parametrize(
    "cls, said, expected",
    [
        (Table1Settings, ["split=[window,subject]", "seed=0"], ["protocols=[window,subject]", "seed=0"]),
        (Table1Settings, ["models=rnn,ggn"], ["model=rnn", "models=[rnn,ggn]"]),
        (GapSettings, ["models=all", "seed=0,1"], ["models=[all]", "seed=[0,1]"]),
        (LayoutsSettings, ["layouts=bids", "split=subject"], ["layouts=[bids]", "split=subject"]),
        (Table1Settings, ["split.n_folds=2", "~loss.alpha"], ["split.n_folds=2", "~loss.alpha"]),
    ],
)
def test_shorter_spellings_are_read(cls, said, expected):
    assert cls.words(said) == expected
