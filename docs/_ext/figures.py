"""Fail the build where a page's cell draws a figure that the page does not show.

A figure that no backend displays leaves no trace but its absence, so nothing else would tell.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sphinx.errors import ExtensionError

_CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
_DRAWS = re.compile(r"\.plot\(|\bplot_\w+\(|\bplt\.subplots\(")
_SHOWN = re.compile(r'<img[^>]*src="[^"]*_images/[0-9a-f]{64}\.png"')


def missing(source: str, page: str) -> int:
    """Return how many cells of a page's source draw more than images of cells stand on the page."""
    drawing = sum(bool(_DRAWS.search(cell)) for cell in _CELL.findall(source))
    return max(drawing - len(_SHOWN.findall(page)), 0)


def _look(app: Any, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html":
        return
    lacking = {}
    for name in sorted(app.env.found_docs):
        source = Path(app.env.doc2path(name))
        page = Path(app.outdir) / app.builder.get_target_uri(name)
        if source.suffix == ".md" and (count := missing(source.read_text("utf-8"), page.read_text("utf-8"))):
            lacking[name] = count
    if lacking and app.config.nb_execution_mode != "off":
        raise ExtensionError(f"figures that cells draw and pages do not show: {lacking}")


def setup(app: Any) -> dict[str, bool]:
    """Look at the pages when they are written."""
    app.connect("build-finished", _look)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
