"""The committed list of public names: a change of the public surface is a line in a diff, never an accident.

One line a name, with the parameters of a function or a dataclass: ``sloc.tv(key, process, …, *, n, **options)``.
``python docs/_ext/public_names.py`` rewrites the list; a test holds it against the packages.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from public_api import PACKAGES, is_class_or_function, public_symbols

LIST = Path(__file__).resolve().parents[2] / "tests" / "public_names.txt"


def parameters(value: Any) -> str:
    """Return what a call of a function or a dataclass takes, ``(a, b, *, c)``; empty for anything else.

    Defaults and types are left out: widening them breaks nobody.
    """
    if dataclasses.is_dataclass(value):
        found = [f for f in dataclasses.fields(value) if f.init and not f.name.startswith("_")]
        free = [f.name for f in found if not f.kw_only]
        named = [f.name for f in found if f.kw_only]
        return f"({', '.join([*free, *(['*'] if named else []), *named])})"
    if inspect.isclass(value) or not is_class_or_function(value):
        return ""
    words: list[str] = []
    for p in inspect.signature(value).parameters.values():
        if p.kind is p.KEYWORD_ONLY and not any(w.startswith("*") for w in words):
            words.append("*")
        words.append({p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "") + p.name)
        if p.kind is p.POSITIONAL_ONLY:
            words = [w for w in words if w != "/"] + ["/"]
    return f"({', '.join(words)})"


def public_names(packages: Sequence[str] = PACKAGES) -> list[str]:
    """Return a line for every public name, sorted."""
    return sorted(f"{p}.{name}{parameters(value)}" for p in packages for name, value in public_symbols(p))


if __name__ == "__main__":
    LIST.write_text("\n".join(public_names()) + "\n", "utf-8")
