"""The page as one HTML file: templates and style from ``assets``, every text escaped by jinja2."""

import base64
from collections.abc import Sequence
from functools import lru_cache

import jinja2

from distilclip_eeg.report.blocks import Section
from distilclip_eeg.schema import NOTE


def page(title: str, heading: str, sections: Sequence[Section]) -> str:
    """A whole document that asks for nothing from elsewhere and runs no script.

    Args:
        sections: each with its parts; all of them are in the navigation.

    Raises:
        ValueError: two headings share an anchor.
    """
    anchors = [one.id for section in sections for one in (section, *section.parts)]
    if len(set(anchors)) < len(anchors):
        raise ValueError(f"headings share an anchor: {sorted(anchors)}")
    template, style = assets()
    return template.render(title=title, heading=heading, note=NOTE, sections=sections, style=style)


@lru_cache(maxsize=1)
def assets() -> tuple[jinja2.Template, str]:
    """Template and style, from the files beside this module."""
    world = jinja2.Environment(
        loader=jinja2.PackageLoader("distilclip_eeg.report", "assets"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    world.filters["base64"] = lambda data: base64.b64encode(data).decode("ascii")
    assert world.loader is not None
    style, _, _ = world.loader.get_source(world, "report.css")
    return world.get_template("report.html"), style
