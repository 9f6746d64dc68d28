"""Configuration of Sphinx; ``python -m docs.build`` is the command, CONTRIBUTING.md says why Sphinx."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import dqnumba  # noqa: E402

project = "dqnumba"
author = "the authors of dqnumba"
version = release = dqnumba.__version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "docs.extensions.docstrings",
    "docs.extensions.mathml",
    "docs.extensions.figures",
    "docs.extensions.commands",
]
exclude_patterns = ["_build", "figures"]

myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_typehints = "none"  # types stand in the docstrings
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
napoleon_google_docstring = False
napoleon_custom_sections = [("Shapes", "notes_style")]
napoleon_use_ivar = True
default_role = "code"

html_theme = "furo"
html_title = "dqnumba"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_show_sphinx = False
pygments_style = "friendly"
pygments_dark_style = "monokai"
