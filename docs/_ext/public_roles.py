"""Finds roles of docstrings (``:func:`name```) that lead to no public name, and so to no page.

A role names a public symbol, a package, a public member of a public class, or something of another library.  Without
dots it names a member of the class around it, or what the package of its file or ``sloc`` itself makes public.
Anything else stands as plain code.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from public_api import PACKAGES, public_symbols

ROLE = re.compile(r":(?:func|class|meth|data|attr|exc|mod|obj):`(?:[^`<]*<)?~?([^`>]+)>?`")
ROOT = Path(__file__).resolve().parents[2]


def docstrings(tree: ast.AST, owner: str = "") -> Iterator[tuple[str, int, str]]:
    """Yield ``(text, line, class around it)`` for every text that stands as a statement."""
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.Expr(value=ast.Constant(value=str(text))):
                yield text, node.lineno, owner
            case ast.ClassDef(name=name):
                yield from docstrings(node, name)
            case ast.stmt():
                yield from docstrings(node, owner)
            case _:
                pass


def _public(package: str, name: str) -> Any:
    return dict(public_symbols(package)).get(name) if package in PACKAGES else None


def _has_public(cls: Any, member: str) -> bool:
    fields = {name for base in getattr(cls, "__mro__", ()) for name in vars(base).get("__annotations__", ())}
    return inspect.isclass(cls) and not member.startswith("_") and (hasattr(cls, member) or member in fields)


def leads_somewhere(target: str, module: str, owner: str = "") -> bool:
    """Whether a role of a module's docstring, in the class ``owner``, has a page to lead to."""
    package = max((p for p in PACKAGES if f"{module}.".startswith(f"{p}.")), key=len, default="sloc")
    head = target.partition(".")[0]
    if head != "sloc":
        here = {p: value for p in (package, "sloc") if (value := _public(p, head)) is not None}
        if "." not in target:
            around = next((c for p in (package, "sloc") if (c := _public(p, owner)) is not None), None)
            return bool(here) or _has_public(around, target)
        if here:
            return any(_has_public(value, target.partition(".")[2]) for value in here.values())
        try:
            importlib.import_module(head)
        except ImportError:
            return False
        return True
    if target in PACKAGES:
        return True
    place, _, name = target.rpartition(".")
    above, _, cls = place.rpartition(".")
    return _public(place, name) is not None or _has_public(_public(above, cls), name)


def astray(folder: Path = ROOT / "sloc") -> list[str]:
    """Return the roles that lead nowhere, as ``file:line: role``."""
    found = []
    for file in sorted(folder.rglob("*.py")):
        module = ".".join(file.relative_to(folder.parent).with_suffix("").parts).removesuffix(".__init__")
        for text, line, owner in docstrings(ast.parse(file.read_text("utf-8"))):
            for role in ROLE.finditer(text):
                if not leads_somewhere(role[1], module, owner):
                    row = line + text[: role.start()].count("\n")
                    found.append(f"{file.relative_to(folder.parent)}:{row}: {role[0]}")
    return found


if __name__ == "__main__":
    print("\n".join(astray()))
