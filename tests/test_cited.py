"""Every number of README and results page comes from a file of ``results``; the index knows every file."""

import re
import sys

import pytest
from warm import REPO

sys.path.insert(0, str(REPO / "docs"))

import cited  # noqa: E402
import results_index  # noqa: E402


@pytest.mark.parametrize("path", cited.PAGES, ids=lambda path: path.name)
def test_every_number_of_a_page_is_what_its_source_says(path):
    page = path.read_text(encoding="utf-8")
    assert list(cited.wrong(page, cited.PAGES[path])) == []
    assert cited.put_in(page) == page, "run: python docs/cited.py"


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A folder of results with a table, a text and a page of two parts."""
    (tmp_path / "t.csv").write_text("model,split,auroc\na,window,0.8\na,subject,0.7\na,subject,0.723\n")
    (tmp_path / "t.txt").write_text("seconds 1.25, hits 10.5 %\n")
    (tmp_path / "t.md").write_text("**one** is\n\n| 1 |\n\n**two** is\n\n| 2 |\n")
    monkeypatch.setattr(cited, "RESULTS", tmp_path)
    cited.csv.cache_clear()
    yield tmp_path
    cited.csv.cache_clear()


def test_a_cell_is_that_of_the_newest_row_in_per_cent_or_as_it_is(results):
    said = "{}<!-- t.csv split=subject model=a auroc -->"
    for right in ("72.3 %", "0.723", "0.72"):
        assert list(cited.wrong(said.format(right))) == []
    for other in ("70.0 %", "72.4", "0.8"):
        assert len(list(cited.wrong(said.format(other)))) == 1


def test_a_comment_speaks_for_the_numbers_before_it_in_order(results):
    said = "| a | {} | <!-- t.csv split=window auroc; split=subject auroc --> |"
    assert list(cited.wrong(said.format("80.0 | 72.3"))) == []
    assert len(list(cited.wrong(said.format("72.3 | 80.0")))) == 2
    assert "has no source" in next(cited.wrong("first 0.8 then\n\n0.8<!-- t.csv split=window auroc -->"))


def test_a_number_without_source_is_told_and_code_and_addresses_are_not(results):
    (told,) = cited.wrong("it reached 91.5 % in all, `x=0.1`, [here](a-1.5.md), version 2.0.1, 17 persons")
    assert told.startswith("91.5 has no source")
    assert list(cited.wrong("97.9<!-- not measured -->")) == []


def test_a_text_holds_a_number_whole(results):
    assert list(cited.wrong("10.5 and 1.25<!-- t.txt -->")) == []
    assert len(list(cited.wrong("0.5<!-- t.txt --> 1.2<!-- t.txt -->"))) == 2


def test_a_table_is_put_in_whole_or_in_part(results):
    page = "a\n<!-- table: t.md#two -->\nold\n<!-- end -->\nb\n"
    assert cited.put_in(page) == "a\n<!-- table: t.md#two -->\n\n**two** is\n\n| 2 |\n\n<!-- end -->\nb\n"
    assert cited.put_in(cited.put_in(page)) == cited.put_in(page)
    assert "| 1 |" in cited.put_in(page.replace("#two", ""))


def test_the_index_says_of_every_file_of_results_what_it_is():
    assert set(results_index.stems()) == set(results_index.WHAT)
    page = results_index.page()
    for name in results_index.stems():
        line = next(line for line in page.splitlines() if line.startswith(f"| `{name}` |"))
        assert re.search(r"\| (`python \S+|see its first lines)", line), line
