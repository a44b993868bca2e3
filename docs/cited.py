"""Numbers of the pages come from ``results``: tables are put in, and what prose cites is looked up.

    python docs/cited.py            rewrites the tables of the pages and tells every number that is not cited

A table stands between ``<!-- table: FILE -->`` and ``<!-- end -->``, where FILE is below ``results``: all of
it, or with ``FILE#TEXT`` the part of it whose first line holds TEXT.

In prose, numbers with decimals have their source behind them, in a comment that a reader does not see. It
speaks for all of them back to the comment before it, or to the beginning of the paragraph, item or row:
``<!-- FILE.csv KEY=VALUE COLUMN COLUMN; KEY=VALUE COLUMN -->`` names a cell for each in their order, of the
newest row that fits, in per cent or as it is; ``<!-- FILE.txt -->`` holds them all as they stand;
``<!-- not measured -->``: they are the article's, or settings.
"""

import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
PAGES = {ROOT / "README.md": "## Results\n", ROOT / "docs" / "results.md": ""}
"""Pages, and the heading of the section that speaks of results; empty: all of it."""
NOT_MEASURED = "not measured"
TABLE = re.compile(
    r"(<!-- table: (?P<file>[^#\n]+?)(?:#(?P<part>[^\n]+?))? -->\n)(?P<text>.*?)(<!-- end -->)", re.S
)
HIDDEN = re.compile(r"```.*?```|`[^`\n]*`|\]\([^)]*\)|<!-- table: .*?<!-- end -->", re.S)
"""Code, addresses and tables that are put in."""
UNIT = re.compile(r"\n\s*\n|\n(?=\||- )")
"""Between paragraphs, items and rows."""
NUMBER = re.compile(r"(?<![\w.])\d+\.\d+(?![\w.]*\w)")


def put_in(page: str) -> str:
    """A page with its tables as the files have them now."""
    return TABLE.sub(lambda m: f"{m[1]}\n{table(m['file'], m['part'])}\n\n{m[5]}", page)


def table(file: str, part: str | None) -> str:
    """A file's text, or the part of it whose first line holds ``part``; parts are parted by their heads."""
    text = (RESULTS / file).read_text(encoding="utf-8").strip()
    if part is None:
        return text
    (found,) = [one for one in re.split(r"\n\n(?=\*\*)", text) if part in one.splitlines()[0]]
    return found.strip()


def wrong(page: str, heading: str = "") -> Iterator[str]:
    """A line for each number of a page's section that has no source or is not what its source says."""
    prose = HIDDEN.sub("", page)
    prose = prose.partition(heading)[2].partition("\n## ")[0] if heading else prose
    for unit in UNIT.split(prose):
        parts = re.split(r"<!-- (.*?) -->", unit, flags=re.S)
        for text, source in zip(parts[::2], [*parts[1::2], None], strict=True):
            numbers = NUMBER.findall(text)
            if source is None:
                yield from (f"{n} has no source: {' '.join(text.split())[:70]}" for n in numbers)
            elif source != NOT_MEASURED:
                yield from (
                    f"{n} is not what {source} says" for n in unsaid(" ".join(source.split()), numbers)
                )


def unsaid(source: str, numbers: list[str]) -> list[str]:
    """Those of the numbers that a source does not hold; all, where it has not as many as there are."""
    if not source.partition(" ")[0].endswith(".csv"):
        text = (RESULTS / source).read_text(encoding="utf-8")
        return [n for n in numbers if not re.search(rf"(?<![\d.]){re.escape(n)}(?!\d|\.\d)", text)]
    values = list(cells(source))
    if len(values) != len(numbers):
        return [*numbers, f"one of {len(values)} cells"]
    return [n for n, value in zip(numbers, values, strict=True) if not reads(n, value)]


def reads(number: str, value: float) -> bool:
    """Whether a value is written so, in per cent or as it is."""
    decimals = len(number.partition(".")[2])
    return number in (f"{value:.{decimals}f}", f"{100 * value:.{decimals}f}")


def cells(source: str) -> Iterator[float]:
    """The cells that a source names, in their order."""
    rows = csv(source.partition(" ")[0])
    for choice in source.partition(" ")[2].split("; "):
        chosen = rows
        for word in (word for word in choice.split() if "=" in word):
            key, _, value = word.partition("=")
            chosen = chosen[chosen[key].astype(str) == value]
        yield from (float(chosen[word].iloc[-1]) for word in choice.split() if "=" not in word)


@cache
def csv(file: str) -> pd.DataFrame:
    """A table of ``results``."""
    return pd.read_csv(RESULTS / file)


if __name__ == "__main__":
    for path, heading in PAGES.items():
        text = put_in(path.read_text(encoding="utf-8"))
        path.write_text(text, encoding="utf-8")
        for said in wrong(text, heading):
            print(f"{path.relative_to(ROOT)}: {said}", file=sys.stderr)
