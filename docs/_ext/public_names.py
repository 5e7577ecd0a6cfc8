"""The committed lists of what is public: a change of the public surface is a line in a diff, never an accident.

Names, one line each: a function or a class with what a call of it takes, ``sloc.tv(key, process, …, *, n, **options)``,
and of each class its public methods, ``sloc.Curve.plot(ax)``, properties and attributes, ``sloc.Window.resolved``.
Of the command line: every verb's arguments and options, and the statuses that its tables say.
``python docs/_ext/public_names.py`` rewrites both lists; a test holds them against the packages.
"""

from __future__ import annotations

import dataclasses
import enum
import inspect
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from public_api import PACKAGES, is_class_or_function, public_symbols

TESTS = Path(__file__).resolve().parents[2] / "tests"
LIST = TESTS / "public_names.txt"
CLI_LIST = TESTS / "public_cli.txt"
_OF_JAX = ("tree_flatten", "tree_flatten_with_keys", "tree_unflatten")
"""What JAX calls of a class that is registered by hand, and no reader does."""


def parameters(value: Any) -> str:
    """Return what a call of a function or a class takes, ``(a, b, *, c)``; empty where nothing of ours says.

    Defaults and types are left out: widening them breaks nobody.
    """
    if inspect.isclass(value):
        return constructor(value)
    return listed(value) if is_class_or_function(value) else ""


def constructor(value: type) -> str:
    """Return what makes an instance: fields of a dataclass or a named tuple, else what a constructor of ours takes."""
    made: Any = value
    if dataclasses.is_dataclass(value) and made.__dataclass_params__.init:
        found = [f for f in dataclasses.fields(value) if f.init and not f.name.startswith("_")]
        free = [f.name for f in found if not f.kw_only]
        named = [f.name for f in found if f.kw_only]
        return f"({', '.join([*free, *(['*'] if named else []), *named])})"
    if hasattr(made, "_fields"):
        return f"({', '.join(made._fields)})"
    if getattr(made, "_is_protocol", False):
        return ""
    for base in value.__mro__:
        if "__init__" in vars(base):
            return listed(vars(base)["__init__"], bound=True) if akin(base, value) else ""
    return ""


def listed(function: Callable[..., Any], bound: bool = False) -> str:
    """Return the parameters of a function in brackets, without the first where that is bound."""
    words: list[str] = []
    for p in list(inspect.signature(function).parameters.values())[bound:]:
        if p.kind is p.KEYWORD_ONLY and not any(w.startswith("*") for w in words):
            words.append("*")
        words.append({p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "") + p.name)
        if p.kind is p.POSITIONAL_ONLY:
            words = [w for w in words if w != "/"] + ["/"]
    return f"({', '.join(words)})"


def akin(base: type, value: type) -> bool:
    """Whether a class is of the same library as one that derives from it."""
    return base.__module__.partition(".")[0] == value.__module__.partition(".")[0]


def members(value: type, public: Sequence[type]) -> Iterator[str]:
    """Yield the public members of a class, ``plot(ax)`` or ``resolved``, in no order.

    Those that it has from another public class stand there, those from a class that is not public stand here.  Fields
    stand in the constructor.
    """
    kept = set[str]()
    if dataclasses.is_dataclass(value):
        kept = {f.name for f in dataclasses.fields(value)}
    kept |= set(getattr(value, "_fields", ()))
    above = [base for base in value.__mro__[1:] if base in public]
    for base in value.__mro__:
        if not akin(base, value) or any(issubclass(one, base) for one in above):
            continue
        for name, member in vars(base).items():
            hidden = name.startswith("_") and name != "__call__"
            if hidden or name in kept or name in _OF_JAX or inspect.isclass(member):
                continue
            kept.add(name)
            if isinstance(member, staticmethod):
                yield name + listed(member.__func__)
            elif isinstance(member, classmethod):
                yield name + listed(member.__func__, bound=True)
            else:
                yield name + (listed(member, bound=True) if callable(member) else "")


def public_names(packages: Sequence[str] = PACKAGES) -> list[str]:
    """Return a line for every public name and every public member of a class, sorted."""
    symbols = [(f"{p}.{name}", value) for p in packages for name, value in public_symbols(p)]
    classes = [value for _, value in symbols if inspect.isclass(value)]
    lines = [f"{name}{parameters(value)}" for name, value in symbols]
    lines += [f"{name}.{own}" for name, value in symbols if inspect.isclass(value) for own in members(value, classes)]
    return sorted(lines)


def public_cli(app: Any = None) -> list[str]:
    """Return a line for every argument and option of each verb, with the words that it takes, and for each status.

    Args:
        app: the command line; that of sloc when None.

    """
    import typer

    from sloc.cli import app as own
    from sloc.results import STATUSES

    def walk(command: Any, name: str) -> Iterator[str]:
        yield name
        hints = typing.get_type_hints(inspect.unwrap(command.callback)) if command.callback else {}
        for p in command.params:
            is_option = p.param_type_name == "option"
            called = "/".join([*p.opts, *p.secondary_opts]) if is_option else p.metavar or p.name.upper()
            yield " ".join([name, called, *words(hints.get(p.name))])
        for word, inner in getattr(command, "commands", {}).items():
            yield from walk(inner, f"{name} {word}")

    lines = sorted(walk(typer.main.get_command(own if app is None else app), "sloc"))
    return [*lines, *(f"status {status}" for status in STATUSES)]


def words(hint: Any) -> list[str]:
    """Return the words that an option takes, as ``a|b``, where its type lists them."""
    kinds = [h for h in (hint, *typing.get_args(hint)) if inspect.isclass(h) and issubclass(h, enum.Enum)]
    return ["|".join(str(member.value) for member in kind) for kind in kinds]


if __name__ == "__main__":
    for path, lines in ((LIST, public_names()), (CLI_LIST, public_cli())):
        path.write_text("\n".join(lines) + "\n", "utf-8")
