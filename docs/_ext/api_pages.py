"""Directives for the API pages.

* ``api-table``: a package's public names with their summaries, linked to where they are described;
* ``api-members``: the descriptions themselves: of what ``sloc`` gives and the package makes, and of the package's own.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from public_api import PACKAGES, assignments, home, is_class_or_function, public_symbols
from sphinx.util.docutils import SphinxDirective


def summary(package: str, name: str, value: Any) -> str:
    """Return the first paragraph of what is written about a symbol, on one line."""
    return " ".join(written(package, name, value).split("\n\n")[0].split())


def written(package: str, name: str, value: Any) -> str:
    """Return what is written about a symbol: its docstring, or the string that follows a value."""
    if is_class_or_function(value):
        return inspect.getdoc(value) or ""
    module = home(package, name, value)
    return inspect.cleandoc(assignments(sys.modules[module])[name]) if module else ""


def room(name: str, value: Any) -> str | None:
    """Return the package on whose page a name of ``sloc`` itself is described: the one that holds its module."""
    module = home("sloc", name, value) or ""
    return next((p for p in PACKAGES if p != "sloc" and module.startswith(f"{p}.")), None)


class _Generated(SphinxDirective):
    required_arguments = 1

    def lines(self, package: str) -> Iterator[str]:
        """Yield reStructuredText about a package."""
        raise AssertionError("abstract")

    def run(self) -> list[nodes.Node]:
        """Return the parsed text."""
        package = self.arguments[0]
        holder = nodes.container()
        self.state.nested_parse(StringList(list(self.lines(package)), package), self.content_offset, holder)
        return list(holder.children)


class ApiTable(_Generated):
    """``.. api-table:: package``."""

    def lines(self, package: str) -> Iterator[str]:
        """Yield a table with one row a name."""
        yield from (".. list-table::", "   :widths: 30 70", "")
        for name, value in sorted(public_symbols(package), key=lambda item: item[0].lower()):
            yield f"   * - :py:obj:`{package}.{name}`"
            yield f"     - {summary(package, name, value)}"


class ApiMembers(_Generated):
    """``.. api-members:: package``."""

    def lines(self, package: str) -> Iterator[str]:
        """Yield one description a name: those that ``sloc`` itself gives first."""
        yield from (f".. automodule:: {package}", "   :no-members:", "")
        short = [("sloc", name, value) for name, value in public_symbols("sloc") if room(name, value) == package]
        own = [(package, name, value) for name, value in public_symbols(package)]
        for address, name, value in [*short, *own]:
            if is_class_or_function(value):
                yield from (f".. auto{'class' if inspect.isclass(value) else 'function'}:: {address}.{name}", "")
            else:
                # Sphinx finds the text of a value under the address of its own file alone, which is private.
                text = written(address, name, value)
                yield from (
                    f".. py:data:: {name}",
                    f"   :module: {address}",
                    "",
                    *(f"   {line}" for line in text.splitlines()),
                    "",
                )


def setup(app: Any) -> dict[str, Any]:
    """Register the directives with Sphinx."""
    app.add_directive("api-table", ApiTable)
    app.add_directive("api-members", ApiMembers)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
