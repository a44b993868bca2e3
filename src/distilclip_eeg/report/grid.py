"""A table of figures, ours beside the published ones, and its texts: CSV, Markdown, LaTeX."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from distilclip_eeg.report.tables import ALWAYS, cell

NOT_RUN, NONE = "not run", "–"
LOWER_IS_BETTER = ("brier", "ece")
LATEX = str.maketrans(
    {
        **{c: f"\\{c}" for c in "&%$#_{}"},
        **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
        **{"±": r"$\pm$", "–": "--", "−": "$-$", "<": "$<$", ">": "$>$", "…": r"\ldots{}"},
    }
)


@dataclass(frozen=True)
class Grid:
    """One protocol's table: a row a model (or class), a column a figure."""

    title: str
    notes: tuple[str, ...]
    """Protocol, then averages and what else is to be known to read it."""
    words: tuple[str, ...]
    """Heads of the columns of words."""
    measures: Mapping[str, str]
    """Figures by key, with the head of their column."""
    rows: Sequence[Mapping] = field(default_factory=tuple)
    """By key of words and measures. A figure is a fraction, ``_sd`` its SD, ``_article`` the published one.
    A row without ours was not run."""
    within: str = ""
    """Head of words whose equal rows are compared for best and second; all rows where it is empty."""
    audit: str = ""
    """What the split lets through: with every file of the table, but once on a page of many tables."""
    stored: bool = False
    """Whether its rows are of the folder of results, and of no run."""

    @property
    def told(self) -> tuple[str, ...]:
        """The notes, the audit with the first: what stands with a table that stands alone."""
        if not self.audit:
            return self.notes
        first, *more = self.notes
        return (f"{first.removesuffix('.')}; {self.audit}.", *more)

    @property
    def published(self) -> bool:
        """Whether any row has a published figure to stand beside."""
        return any(not missing(row.get(f"{m}_article")) for row in self.rows for m in self.measures)

    def head(self) -> list[str]:
        """Heads of all columns; each measure has one for the article's figure where any row has one."""
        heads = list(self.words)
        for name in self.measures.values():
            heads += [name, f"{name}, article"] if self.published else [name]
        return heads

    def texts(self) -> list[list[tuple[str, str]]]:
        """Rows of cells: text, and ``best``, ``second`` or nothing."""
        marks = {m: self.marks(m) for m in self.measures}
        body = []
        for i, row in enumerate(self.rows):
            line = [(str(row[word]), "") for word in self.words]
            run = any(m in row for m in self.measures)
            for m in self.measures:
                ours = NONE if run else NOT_RUN
                if not missing(row.get(m)):
                    ours = cell(row[m], row.get(f"{m}_sd", np.nan))
                line.append((ours, marks[m].get(i, "")))
                if self.published:
                    said = row.get(f"{m}_article")
                    text = NONE if said is None or missing(said) else f"{100 * said:.2f}"
                    line.append((text, ""))
            body.append(line)
        return body

    def marks(self, measure: str) -> dict[int, str]:
        """Which rows hold the best and second value of ours, as printed; the trivial row takes no part."""
        groups: dict[str, dict[int, float]] = {}
        for i, row in enumerate(self.rows):
            if not missing(row.get(measure)) and ALWAYS not in row.values():
                groups.setdefault(row.get(self.within, ""), {})[i] = round(100 * row[measure], 1)
        found: dict[int, str] = {}
        for values in groups.values():
            levels = sorted(set(values.values()), reverse=measure not in LOWER_IS_BETTER)
            names = dict(zip(levels[:2], ("best", "second"), strict=False)) if len(levels) > 1 else {}
            found |= {i: names[value] for i, value in values.items() if value in names}
        return found


def missing(value: float | None) -> bool:
    """Whether a figure is not there: None, or NaN, which stands for undefined."""
    return value is None or bool(np.isnan(value))


def frame(grids: Sequence[Grid]) -> pd.DataFrame:
    """Every row of a file's tables, fractions as they are, with title and notes beside each."""
    rows = []
    for grid in grids:
        about = {"table": grid.title, "notes": " ".join(grid.told)}
        for row in grid.rows:
            figures = {
                f"{m}{end}": row.get(f"{m}{end}", np.nan)
                for m in grid.measures
                for end in ("", "_sd", *(("_article",) if grid.published else ()))
            }
            rows.append(about | {word: row[word] for word in grid.words} | figures)
    return pd.DataFrame(rows)


def markdown(grid: Grid) -> str:
    """Pipes; best in bold, second underlined."""
    form = {"best": "**{}**", "second": "<u>{}</u>", "": "{}"}
    lines = [f"**{plain(grid.title)}**", "", *(f"{plain(note)}  " for note in grid.told), ""]
    lines.append("| " + " | ".join(plain(h) for h in grid.head()) + " |")
    lines.append("|" + "---|" * len(grid.head()))
    for row in grid.texts():
        lines.append("| " + " | ".join(form[mark].format(plain(text)) for text, mark in row) + " |")
    return "\n".join([*lines, ""])


def plain(text: str) -> str:
    """Text that Markdown shows as it is, in one cell."""
    for sign in "\\`*<|[":
        text = text.replace(sign, f"&#{ord(sign)};")
    return " ".join(text.split())


def latex(grid: Grid) -> str:
    """A ``table*`` that needs no package; protocol and audit stand in its caption."""
    form = {"best": r"\textbf{", "second": r"\underline{", "": "{"}
    n_words, n = len(grid.words), len(grid.head())
    lines = [
        r"\begin{table*}",
        r"\centering\footnotesize",
        r"\caption{" + tex(" ".join([f"{grid.title}.", *grid.told])) + "}",
        r"\begin{tabular}{" + "l" * n_words + "r" * (n - n_words) + "}",
        r"\hline",
        " & ".join(tex(h) for h in grid.head()) + r" \\",
        r"\hline",
    ]
    lines += [" & ".join(form[mark] + tex(text) + "}" for text, mark in row) + r" \\" for row in grid.texts()]
    return "\n".join([*lines, r"\hline", r"\end{tabular}", r"\end{table*}", ""])


def tex(text: str) -> str:
    """Text that LaTeX prints as it is, in one line."""
    return " ".join(text.translate(LATEX).split())
