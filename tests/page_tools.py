"""README and documentation pages as tests read them: commands, blocks, links."""

import re
import shlex
from pathlib import Path

REPO = Path(__file__).parents[1]
ORDER = ("docs/tutorial-synthetic.md", "docs/howto", "docs/explain", "docs/reference", "README.md", "docs")
"""In which the commands of the pages are run in one folder: the tutorial makes what others use."""


def pages() -> dict[str, str]:
    """Text of the README and of every page written by hand, by path, in the order of ``ORDER``."""
    found: dict[str, str] = {}
    for name in ORDER:
        place = REPO / name
        for path in [place] if place.is_file() else sorted(place.rglob("*.md")):
            relative = path.relative_to(REPO).as_posix()
            if not relative.startswith(("docs/_generated", "docs/_build")):
                found.setdefault(relative, path.read_text(encoding="utf-8"))
    return found


def blocks(text: str, *languages: str) -> list[str]:
    """What stands in fenced blocks of these languages."""
    return re.findall(rf"(?ms)^```(?:{'|'.join(languages)})\n(.*?)^```$", text)


def languages(text: str) -> list[str]:
    """The language of each fenced block; directives stand in braces."""
    return re.findall(r"(?ms)^```(\{?[\w-]*\}?)[^\n]*\n.*?^```$", text)


def commands(text: str) -> list[str]:
    """The command lines of the shell blocks, without their comments."""
    lines = [line for block in blocks(text, "bash", "sh", "shell", "console") for line in block.splitlines()]
    return [line for line in (shlex.join(shlex.split(line, comments=True)) for line in lines) if line]


def table(text: str, head: str) -> list[list[str]]:
    """Cells of the rows of a Markdown table that begins with ``head``."""
    lines = (head + text.partition(head)[2]).partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
