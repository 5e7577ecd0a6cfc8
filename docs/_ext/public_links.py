"""Links names as their files have them to where they are described: ``sloc.divergence.measurement.measure`` to
``sloc.measure``.
"""

from __future__ import annotations

import inspect
import sys
from typing import Any

from public_api import PACKAGES, public_symbols


def described_name(target: str) -> str | None:
    """Return the dotted name under which a public symbol is described, or None where it is no public symbol."""
    module, _, name = target.rpartition(".")
    value = getattr(sys.modules.get(module), name, None) if module.partition(".")[0] == "sloc" else None
    if value is None or inspect.ismodule(value):
        return None
    for package in PACKAGES:
        if dict(public_symbols(package)).get(name) is value:
            return f"{package}.{name}"
    return None


def _resolve(app: Any, env: Any, node: Any, content: Any) -> Any:
    """Resolve a reference that Sphinx did not find under the name as written."""
    if node.get("refdomain") != "py":
        return None
    found = described_name(node.get("reftarget", ""))
    if found is None or found == node["reftarget"]:
        return None
    domain = env.domains["py"]
    return domain.resolve_xref(env, node["refdoc"], app.builder, node["reftype"], found, node, content)


def setup(app: Any) -> dict[str, Any]:
    """Register the resolver with Sphinx."""
    app.connect("missing-reference", _resolve)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
