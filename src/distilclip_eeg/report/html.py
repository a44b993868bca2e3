"""HTML in which every text is escaped unless it is markup that was made here."""

import base64
from collections.abc import Sequence
from html import escape

from distilclip_eeg.report.drawing import DPI, Picture
from distilclip_eeg.report.grid import Grid

CSS_PX = 100
"""Of the page for an inch of a figure: eight points become eleven pixels."""
EMPTY = ("img", "meta", "link")
STYLE = """
:root { color-scheme: light; }
body { margin: 0 auto; padding: 0 1rem 4rem; max-width: 78rem; color: #1a1a1a; background: #fff;
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; line-height: 1.2; } h2 { margin-top: 3rem; border-bottom: 2px solid #0072b2; }
h3 { margin-top: 2rem; } h4 { margin: 1.4rem 0 .3rem; } a { color: #005a8d; }
.warning { padding: .6rem 1rem; border-left: .4rem solid #d55e00; background: #fff3ea; }
.absent { padding: .4rem 1rem; border-left: .4rem solid #999; background: #f4f4f4; }
.scroll { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; } th, td { padding: .2rem .6rem .2rem 0; text-align: right;
  border-bottom: 1px solid #ddd; white-space: nowrap; overflow-wrap: normal; }
th { border-bottom: 2px solid #666; white-space: normal; vertical-align: bottom; } .word { text-align: left; }
td.long { white-space: normal; min-width: 14rem; }
.note, figcaption { font-size: .88rem; color: #444; margin: .2rem 0; }
figure { margin: 1rem 0; } figure .scroll { margin: 0; } img { display: block; height: auto; }
pre { white-space: pre-wrap; padding: .6rem 1rem; background: #f4f4f4; font-size: .85rem; }
pre.wide { white-space: pre; overflow-x: auto; }
code { background: #f4f4f4; } nav a { display: inline-block; margin: .2rem 1rem .2rem 0; }
"""


class Markup(str):
    """Text that is HTML already."""


def tag(name: str, /, *children: object, **attributes: object) -> Markup:
    """An element; every value, and every child that is no :class:`Markup`, is escaped. ``class_``: class."""
    values = "".join(f' {k.rstrip("_").replace("_", "-")}="{escape(str(v))}"' for k, v in attributes.items())
    inside = "".join(c if isinstance(c, Markup) else escape(str(c)) for c in children)
    return Markup(f"<{name}{values}>" if name in EMPTY else f"<{name}{values}>{inside}</{name}>")


def join(*parts: Markup) -> Markup:
    """Elements one after the other, each on lines of its own."""
    return Markup("\n".join(parts))


def paragraph(*children: object, **attributes: object) -> Markup:
    """``tag("p", ...)``."""
    return tag("p", *children, **attributes)


def bullets(lines: Sequence[object]) -> Markup:
    """A list without numbers; lines are escaped as by ``tag``."""
    return tag("ul", *(tag("li", line) for line in lines))


def absent(what: str, command: str) -> Markup:
    """A part that is not there, and the command that makes it."""
    return paragraph(f"{what}: not there. ", tag("code", command), " makes it.", class_="absent")


def shown(picture: Picture) -> Markup:
    """A figure within the page; a wide one scrolls in its own box where the screen is narrow."""
    data = base64.b64encode(picture.png).decode()
    width = round(int.from_bytes(picture.png[16:20], "big") / DPI * CSS_PX)
    image = tag(
        "img",
        src=f"data:image/png;base64,{data}",
        alt=f"{picture.title}. {picture.alt}",
        style=f"width:100%;max-width:{max(width, 480)}px;min-width:{min(width, 620)}px",
    )
    words = tag("strong", f"{picture.title}. ")
    return tag("figure", tag("div", image, class_="scroll"), tag("figcaption", words, picture.caption))


def text_table(
    head: Sequence[str], rows: Sequence[Sequence[object]], n_words: int = 1, caption: str = ""
) -> Markup:
    """Rows of texts; the first ``n_words`` columns to the left, long texts wrapped."""

    def cells(name: str, row: Sequence[object]) -> list[Markup]:
        kinds = [
            "word" if i < n_words else "long word" if len(str(c)) > 40 else "" for i, c in enumerate(row)
        ]
        return [tag(name, c, **({"class_": k} if k else {})) for c, k in zip(row, kinds, strict=True)]

    top = [tag("caption", caption)] if caption else []
    body = [tag("tr", *cells("td", row)) for row in rows]
    table = tag("table", *top, tag("thead", tag("tr", *cells("th", head))), tag("tbody", *body))
    return tag("div", table, class_="scroll")


def grid_table(grid: Grid) -> Markup:
    """A table of figures, its notes above it; best in bold, second underlined."""
    form = {"best": "strong", "second": "u"}
    rows = [[tag(form[mark], text) if mark else text for text, mark in row] for row in grid.texts()]
    notes = [paragraph(note, class_="note") for note in grid.notes]
    return join(tag("h4", grid.title), *notes, text_table(grid.head(), rows, len(grid.words)))


def page(title: str, *parts: Markup) -> str:
    """A whole document that asks for nothing from elsewhere."""
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("link", rel="icon", href="data:,"),
        tag("title", title),
        Markup(f"<style>{STYLE}</style>"),
    ]
    body = tag("body", join(*parts))
    return f'<!doctype html>\n<html lang="en">\n<head>\n{chr(10).join(head)}\n</head>\n{body}\n</html>\n'
