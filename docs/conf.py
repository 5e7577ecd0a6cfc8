"""Sphinx settings."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))
sys.path.insert(0, str(HERE.parent))

import sloc  # noqa: E402

project = "sloc"
author = "The sloc authors"
project_copyright = "the sloc authors"
version = release = sloc.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    # Formulas without a network: MathJax beside the pages.
    "sphinx-mathjax-offline",
    "sphinx_copybutton",
    "myst_nb",
    "public_api",
    "api_pages",
    "public_links",
    "figures",
]
exclude_patterns = ["_build", "_ext", "**.ipynb_checkpoints"]

html_theme = "furo"
html_title = f"sloc {release}"
html_static_path = ["_static"]
html_css_files = ["tables.css"]

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# Every cell of every page runs at each build, and a page that fails fails the build.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300
nb_merge_streams = True
# Warnings of other libraries (a progress bar without widgets, a slow compiler) are no part of a page, and name folders.
nb_output_stderr = "remove"

autodoc_member_order = "groupwise"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
# Fields of a dataclass are told in its docstring, so they are not described once more as members.
napoleon_use_ivar = True


def _without_type(
    app: Any, what: str, name: str, obj: object, options: object, signature: str | None, returned: str | None
) -> tuple[str, str | None] | None:
    """Leave out of signatures the type that each contract carries for JAX."""
    if signature is None:
        return None
    return re.sub(r"(, )?(\*, )?_node_type=<class [^>]*>", "", signature), returned


def setup(app: Any) -> None:
    """Connect what belongs to this project alone."""
    app.connect("autodoc-process-signature", _without_type)
    # It names a file and keeps nothing, but does not say that pages may be read side by side.
    app.extensions["sphinx-mathjax-offline"].parallel_read_safe = True
