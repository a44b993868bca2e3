"""Sphinx's settings: ``make docs``."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import generated  # noqa: E402
from sphinx.ext.napoleon import GoogleDocstring  # noqa: E402

from distilclip_eeg import __version__  # noqa: E402

project = "distilclip-eeg"
author = "The distilclip-eeg authors"
copyright = author
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}

myst_enable_extensions = ["deflist", "colon_fence", "attrs_inline"]
myst_heading_anchors = 3
suppress_warnings = ["myst.header"]  # generated sections begin where their page's title ended

# Napoleon is called by hand below: by itself it takes "word: text" under a field for a type and its meaning.
napoleon_google_docstring = napoleon_numpy_docstring = False
napoleon_custom_sections = ["Shapes"]
nitpicky = True
nitpick_ignore_regex = [
    ("py:.*", r"(?!distilclip_eeg\.).*"),
    ("py:.*", r"distilclip_eeg\.[\w.]+\.(T|S|Item|Made|Net|AnyNetwork|Part)"),
]
"""Names of other packages, whose pages are not at hand offline; and type variables."""
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
autodoc_typehints = "both"
autodoc_typehints_description_target = "documented"
autodoc_class_signature = "separated"
autodoc_default_options = {
    "members": True,
    "show-inheritance": True,
    "no-value": True,
    "exclude-members": "set_fit_request, set_score_request",  # scikit-learn's own, on every estimator
}
python_maximum_signature_line_length = 100
add_module_names = False

html_theme = "furo"
html_title = f"distilclip-eeg {version}"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {
    "announcement": "Research software, not a medical device: not for diagnosis, monitoring or treatment."
}


def setup(app):
    """Pages made from the code are written before Sphinx looks for pages."""
    app.connect("builder-inited", lambda _: generated.write(HERE / "_generated"))
    app.connect("autodoc-process-docstring", sections)


def sections(app, what, name, obj, options, lines):
    """``Args:``, ``Raises:``, ``Shapes:`` of functions, classes, modules; strings below fields are plain."""
    if what not in ("attribute", "data", "property"):
        lines[:] = GoogleDocstring(list(lines), app.config, app, what, name, obj, options).lines()
