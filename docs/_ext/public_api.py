"""Fails the documentation build when a public symbol is undocumented, stands on no API page, or has two addresses.

A public symbol is a name in the ``__all__`` of one of ``PACKAGES``, and of that one alone. A class or function is
documented by a docstring of its own (the one that ``dataclass`` makes up does not count), any other value by a string
after its assignment. A symbol is listed if some API page shows the same object, under whichever of its names.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import sys
from collections.abc import Collection, Iterator, Sequence
from types import ModuleType
from typing import Any

PACKAGES = (
    "sloc",
    "sloc.contracts",
    "sloc.processes",
    "sloc.populations",
    "sloc.results",
    "sloc.divergence",
    # Before its package, whose page would else claim its names.
    "sloc.windows.printed",
    "sloc.windows",
    "sloc.samplers",
    "sloc.nn",
    "sloc.lm",
    "sloc.bayes",
    "sloc.engine",
    "sloc.testing",
    "sloc.report",
)


def public_symbols(package: str) -> Iterator[tuple[str, Any]]:
    """Yield ``(name, object)`` for each name in the package's ``__all__``, submodules left out.

    Raises:
        ImportError: the package cannot be imported.
        AttributeError: it has no ``__all__``, or a name in it does not exist.

    """
    module = importlib.import_module(package)
    for name in module.__all__:
        value = getattr(module, name)
        if not inspect.ismodule(value) and not name.startswith("__"):
            yield name, value


def has_own_docstring(value: Any) -> bool:
    """Whether a class or function has a docstring that somebody wrote."""
    text = (value.__doc__ or "").strip()
    # Dataclasses and named tuples without a docstring get their signature as one.
    return bool(text) and not (inspect.isclass(value) and text.startswith(f"{value.__name__}("))


def is_class_or_function(value: Any) -> bool:
    """Whether a value carries a docstring of its own (any other value has its class's)."""
    return inspect.isclass(value) or inspect.isroutine(value) or hasattr(value, "__wrapped__")


def assignments(module: ModuleType) -> dict[str, str]:
    """Return the names that a module's source assigns at its top, each with the string that follows it, or ``""``."""
    try:
        body = ast.parse(inspect.getsource(module)).body
    except (OSError, TypeError):
        return {}
    found = {}
    for statement, after in zip(body, [*body[1:], None], strict=True):
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                match after:
                    case ast.Expr(value=ast.Constant(value=str(text))):
                        found[name] = text.strip()
                    case _:
                        found[name] = ""
            case _:
                pass
    return found


def home(package: str, name: str, value: Any) -> str | None:
    """Return the module where a public value was made: that of its class or function, or that which assigns it."""
    if is_class_or_function(value):
        return value.__module__
    root = package.split(".")[0]
    for other, module in sorted(sys.modules.items()):
        if other.split(".")[0] == root and getattr(module, name, None) is value and name in assignments(module):
            return other
    return None


def page(module: str, name: str) -> str:
    """Return the module whose page shows a class or function: the package of its file where that hands it on."""
    package = module.rpartition(".")[0]
    handed_on = "." in package and name in getattr(sys.modules.get(package), "__all__", ())
    return package if handed_on else module


def is_documented(package: str, name: str, value: Any) -> bool:
    """Whether somebody wrote what a public symbol is."""
    if is_class_or_function(value):
        return has_own_docstring(value)
    module = home(package, name, value)
    return module is not None and bool(assignments(sys.modules[module])[name])


def undocumented(packages: Sequence[str] = PACKAGES) -> list[str]:
    """Return the public symbols of which nobody wrote what they are, as dotted names."""
    return [
        f"{package}.{name}"
        for package in packages
        for name, value in public_symbols(package)
        if not is_documented(package, name, value)
    ]


def unlisted(listed: Collection[str], packages: Sequence[str] = PACKAGES) -> list[str]:
    """Return the public symbols that are not among the ``listed`` dotted names, under any of their names."""
    symbols = [(package, name, value) for package in packages for name, value in public_symbols(package)]
    shown = [value for package, name, value in symbols if f"{package}.{name}" in listed]

    def is_listed(package: str, name: str, value: Any) -> bool:
        # Aliases such as tuple[int] pass attributes of tuple on as theirs, so only classes and functions are asked.
        own = value.__qualname__ if is_class_or_function(value) else name
        place = home(package, name, value)
        places = {place, page(place, own)} if place else set()
        return any(f"{p}.{own}" in listed for p in places) or any(value is other for other in shown)

    return [f"{package}.{name}" for package, name, value in symbols if not is_listed(package, name, value)]


def twice(packages: Sequence[str] = PACKAGES) -> list[str]:
    """Return the public symbols that stand in more than one package under one name, by their later addresses."""
    seen, found = dict[tuple[str, int], str](), list[str]()
    for package in packages:
        for name, value in public_symbols(package):
            first = seen.setdefault((name, id(value)), package)
            if first != package:
                found.append(f"{package}.{name}")
    return found


def check(listed: Collection[str], packages: Sequence[str] = PACKAGES) -> list[str]:
    """Return one message for each public symbol that is undocumented, unlisted, or has two addresses."""
    return [
        *(f"{name}: no docstring" for name in undocumented(packages)),
        *(f"{name}: on no API page" for name in unlisted(listed, packages)),
        *(f"{name}: has another public address" for name in twice(packages)),
    ]


def _check_consistency(app: Any, env: Any) -> None:
    from sphinx.errors import ExtensionError

    found = check(env.domains["py"].objects, app.config.public_api_packages)
    if found:
        raise ExtensionError("the public API is not documented:\n  " + "\n  ".join(found))


def setup(app: Any) -> dict[str, Any]:
    """Register the check with Sphinx."""
    app.add_config_value("public_api_packages", PACKAGES, "env")
    app.connect("env-check-consistency", _check_consistency)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
