"""Tables as text, no wider than a page of 100 columns; rich lays them out."""

from collections.abc import Sequence
from itertools import pairwise

from rich.box import Box
from rich.table import Table
from rich.text import Text

from distilclip_eeg.progress import page

WIDTH = 100
"""Columns of a page, whatever the terminal has, since the same text goes into files."""
GAP, SHORT = 2, 8
RULES = Box("    \n    \n----\n    \n    \n    \n    \n    \n", ascii=True)
"""A rule below the heads and nothing else."""


def aligned(head: Sequence[str], body: Sequence[Sequence[str]], n_words: int, width: int = WIDTH) -> str:
    """Rows in columns, the first ``n_words`` to the left; a blank line where a shared first changes.

    Where they are too wide, heads are broken between words, then the table is told in several with the words
    in each. A number is never broken; words are, where not even one number has room beside them.
    """
    rows = [list(row) for row in body]
    numbers = range(n_words, len(head))
    natural = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    if sum(natural) + GAP * (len(head) - 1) <= width:
        return laid_out(head, rows, natural, n_words)
    words = natural[:n_words]
    narrow = {i: max([narrowed(head[i]), *(len(row[i]) for row in rows)]) for i in numbers}
    room = width - max(narrow.values(), default=0) - GAP * n_words
    while sum(words) > room and max(words) > 1:
        words[words.index(max(words))] -= 1
    blocks = shared_out(narrow, width - sum(words) - GAP * (n_words - 1))
    return "\n\n".join(
        laid_out(
            [head[i] for i in (*range(n_words), *block)],
            [[row[i] for i in (*range(n_words), *block)] for row in rows],
            [*words, *(narrow[i] for i in block)],
            n_words,
        )
        for block in blocks
    )


def narrowed(name: str) -> int:
    """Columns that a head needs: a short one is not broken."""
    return len(name) if len(name) <= SHORT else max(map(len, name.split()))


def shared_out(narrow: dict[int, int], room: int) -> list[list[int]]:
    """Columns of these widths in as few blocks as have room, and of these about as many in each."""
    blocks: list[list[int]] = []
    for i, size in narrow.items():
        if not blocks or sum(narrow[k] + GAP for k in blocks[-1]) + size + GAP > room:
            blocks.append([])
        blocks[-1].append(i)
    columns, n = list(narrow), len(blocks)
    ends = [round(k * len(columns) / n) for k in range(n + 1)]
    even = [columns[start:end] for start, end in pairwise(ends)]
    fits = all(sum(narrow[k] + GAP for k in block) <= room for block in even)
    return even if fits else blocks


def laid_out(head: Sequence[str], rows: list[list[str]], widths: Sequence[int], n_words: int) -> str:
    """One table between two rules, its columns of these widths."""
    table = Table(box=RULES, show_edge=False, pad_edge=False, padding=(0, GAP - 1, 0, 0))
    for i, (name, width) in enumerate(zip(head, widths, strict=True)):
        words = i < n_words
        table.add_column(
            Text(name), width=width, justify="left" if words else "right", overflow="fold", no_wrap=False
        )
    grouped = len({row[0] for row in rows}) < len(rows)
    for row, after in zip(rows, [*rows[1:], None], strict=True):
        changes = grouped and after is not None and after[0] != row[0]
        table.add_row(*map(Text, row), end_section=changes)
    rule = "-" * (sum(widths) + GAP * (len(widths) - 1))
    return "\n".join([rule, page(table, width=len(rule)), rule])
