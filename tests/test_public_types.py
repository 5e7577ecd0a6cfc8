"""Every type of sloc that the public surface shows is public: who calls a function can name what it takes and gives."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import sys
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "docs" / "_ext"))
import public_api

CALLED = ("__call__", "__getitem__", "__init__", "__iter__")


@functools.lru_cache
def names(module: str) -> dict[str, Any]:
    """Return what the annotations of a module may name: what it holds, and what it imports for checkers alone."""
    found = dict(vars(importlib.import_module(module)))
    for block in ast.walk(ast.parse(inspect.getsource(sys.modules[module]))):
        if isinstance(block, ast.If) and ast.unparse(block.test).endswith("TYPE_CHECKING"):
            for line in block.body:
                match line:
                    case ast.Import():
                        found |= {a.asname or a.name: pytest.importorskip(a.name) for a in line.names}
                    case ast.ImportFrom(module=str(source)):
                        origin = pytest.importorskip(source)
                        found |= {a.asname or a.name: getattr(origin, a.name) for a in line.names}
                    case _:
                        pass
    return found


def meant(annotation: Any, module: str) -> Any:
    """Return the type that an annotation of a module names."""
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, names(module))
    except TypeError:
        # Some classes of other libraries take parameters in the eyes of checkers alone: `nx.DiGraph[Any]`.
        return eval(annotation.partition("[")[0], names(module))


def parts(annotation: Any) -> Iterator[Any]:
    """Yield a type and all that it is made of; keyword arguments that are passed on, by their own types."""
    if isinstance(annotation, list | tuple):
        for part in annotation:
            yield from parts(part)
    elif typing.is_typeddict(annotation):
        for given in annotation.__annotations__.values():
            yield from parts(meant(given.__forward_arg__, annotation.__module__))
    else:
        yield annotation
        for part in typing.get_args(annotation):
            yield from parts(part)


def annotated(value: Any) -> Iterator[tuple[str, Any, str]]:
    """Yield ``(name, what bears annotations, its module)`` of a public value: itself, bases, methods, properties."""
    if not inspect.isclass(value):
        if public_api.is_class_or_function(value):
            plain = inspect.unwrap(value)
            yield "", plain, plain.__module__
        return
    for base in value.__mro__:
        if not base.__module__.startswith(("sloc", __name__)):
            continue
        yield "", base, base.__module__
        for name, member in vars(base).items():
            if name.startswith("_") and name not in CALLED:
                continue
            for kind in ("fget", "func", "__func__"):
                member = getattr(member, kind, member)
            if inspect.isfunction(member):
                yield f".{name}", inspect.unwrap(member), base.__module__


def private_types(address: str, value: Any, public: set[int]) -> list[str]:
    """Return ``address, what: type`` for each class of sloc that a public value shows and that is not public."""
    found = []
    for name, bearer, module in annotated(value):
        said = vars(bearer).get("__annotations__", {}) if inspect.isclass(bearer) else bearer.__annotations__
        for what, given in said.items():
            if what.startswith("_"):
                continue
            for part in parts(meant(given, module)):
                of_sloc = inspect.isclass(part) and part.__module__.startswith(("sloc", __name__))
                if of_sloc and id(part) not in public:
                    found.append(f"{address}{name}, {what}: {part.__module__}.{part.__qualname__}")
    return found


def surface() -> list[tuple[str, Any]]:
    return [(f"{p}.{n}", value) for p in public_api.PACKAGES for n, value in public_api.public_symbols(p)]


@pytest.mark.parametrize("package", public_api.PACKAGES)
def test_every_type_that_shows_is_public(package: str) -> None:
    public = {id(value) for _, value in surface()}
    shown = [(f"{package}.{n}", value) for n, value in public_api.public_symbols(package)]
    assert not [row for address, value in shown for row in private_types(address, value, public)]


class Hidden:
    """Stands for a private class."""


class Open:
    """Stands for a public class that shows it."""

    field: list[Hidden]
    _own: Hidden

    def method(self, given: Callable[[Hidden], int]) -> dict[str, int]: ...

    @property
    def seen(self) -> Hidden | None: ...

    def _private(self) -> Hidden: ...


def test_a_private_type_is_found_wherever_it_shows() -> None:
    found = private_types("Open", Open, {id(Open)})
    assert [row.partition(":")[0] for row in found] == ["Open, field", "Open.method, given", "Open.seen, return"]
    assert private_types("Open", Open, {id(Open), id(Hidden)}) == []

    def function(a: int) -> Hidden: ...

    assert len(private_types("function", function, set())) == 1
