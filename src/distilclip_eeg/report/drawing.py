"""How figures look, and how one becomes bytes: the same bytes twice, readable in print and by everyone."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

COLUMN, PAGE = 3.5, 7.16
"""Inches: one column of a journal, and both."""
DPI = 150
"""Of the PNG, for screens; the PDF beside it is for print."""
COLOURS = 256
"""Of the PNG: a palette makes it a third as large, and no eye sees the difference."""
OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8A8A00")
"""Told apart with any colour vision (Okabe and Ito 2008); yellow darkened for white paper."""
DASHES = ("-", "--", "-.", ":")
SEQUENTIAL, DIVERGING = "cividis", "RdBu_r"
GREY = "#666666"
STYLE: dict["RcKeyType", Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.labelsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.linewidth": 1.3,
    "savefig.dpi": DPI,
    "pdf.fonttype": 42,
    "text.usetex": False,
    "text.parse_math": False,
}
"""Eight points at column width; TrueType in the PDF, and no name of a recording is ever read as a formula."""


@dataclass(frozen=True)
class Picture:
    """A drawn figure as the report keeps it."""

    name: str
    """Stem of its files."""
    title: str
    caption: str
    """What is shown, of how much, under which protocol."""
    alt: str
    """What it says, for who cannot see it."""
    png: bytes
    pdf: bytes


def new_figure(width: float, height: float) -> Figure:
    """An empty figure that no global state knows, laid out so that nothing is clipped."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png_of(figure: Figure) -> bytes:
    """The figure for screens, in a palette, the same bytes twice."""
    drawn, png = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", metadata={"Software": None})
    with Image.open(drawn) as image:
        dpi = image.info.get("dpi", (DPI, DPI))
        # The one method that keeps a colour of few pixels, such as that of a scale bar.
        method, plain = Image.Quantize.MAXCOVERAGE, Image.Dither.NONE
        palette = image.convert("RGB").quantize(COLOURS, method, dither=plain)
    palette.save(png, format="png", dpi=dpi)
    return png.getvalue()


def picture(figure: Figure, name: str, title: str, caption: str, alt: str) -> Picture:
    """Both files of a figure, without date or version."""
    png, pdf = png_of(figure), io.BytesIO()
    figure.set_layout_engine("none")  # it stays as it was laid out
    figure.savefig(pdf, format="pdf", metadata=dict.fromkeys(("Creator", "Producer", "CreationDate")))
    return Picture(name, title, caption, alt, png, pdf.getvalue())


styled = matplotlib.rc_context(STYLE)
"""Decorates a function that draws and saves."""


def look(i: int) -> dict[str, Any]:
    """Colour and dash of the ``i``-th line: both differ, so that a photocopy will do."""
    return {"color": OKABE_ITO[i % len(OKABE_ITO)], "linestyle": DASHES[i % len(DASHES)]}


def file_name(*words: str) -> str:
    """A stem of letters, digits, dots, dashes and underscores out of any names."""
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "._-=") else "_" for c in "_".join(words))
    return kept.strip(".") or "unnamed"


def sentence(words: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
