"""What of the public surface computes something of the theory, and whether its docstring has a formula and a source.

A symbol *computes* unless a rule says why it does not: a module of machinery, a verb of files and pictures, a class
that only holds numbers.  No rule is about one symbol: who adds a symbol that computes adds its formula and its source.
``python docs/_ext/public_theory.py`` lists what is missing.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

from public_api import PACKAGES, is_class_or_function, public_symbols

MACHINERY = {
    "sloc.contracts.base": "refuses, registers and casts, whatever the numbers mean",
    "sloc.engine": "deals draws out over blocks and devices, whatever they are of",
    "sloc.lm.answers": "reads answers out of texts",
    "sloc.lm.backends": "asks models for texts",
    "sloc.lm.demos": "trains the models of examples",
    "sloc.lm.experiments.benchmarks": "reads questions",
    "sloc.lm.experiments.questions": "reads questions",
    "sloc.lm.model": "loads and holds weights",
    "sloc.lm.prefix": "keeps what was read of a text",
    "sloc.lm.tokenizer": "turns texts into numbers",
    "sloc.nn.weights": "reads and writes weights",
    "sloc.windows.recorded_file": "reads and writes recordings",
    "sloc.windows.recorded_import": "reads and writes recordings",
    "sloc.windows.traces_table": "reads tables",
}
"""Modules, or packages of them, that compute nothing of the theory, each with what it does instead."""
VERBS = {
    "plot": "draws a picture of numbers that were computed elsewhere",
    "register": "registers",
    "to": "gives numbers in another form",
    "from": "makes an object of numbers in another form",
    "tree": "belongs to a protocol of JAX",
}
"""First words of the names of functions and methods that handle what was computed elsewhere."""
COMPUTING = ("Contract", "Statistic", "Module")
"""Bases of the classes that compute: processes, clocks and populations; statistics; networks.

Other classes are records and settings: each number is explained at its field, and the function that returns the
record has the formula and the source.  What their methods compute has a formula of its own.
"""
NUMERIC = re.compile(r"\b(Array|ndarray|float|Estimate|Curve|Window)\b|^(?:tuple\[)?Any\b")
"""Types of what a method computes; sizes, texts, flags and tables of fields are none."""

_LITERAL = re.compile(r"``(.+?)``|:math:`(.+?)`", re.DOTALL)
_DISPLAY = re.compile(r"^\.\. math::", re.MULTILINE)
_SHAPE = re.compile(r"(?<![\w)])\[[\w\s,.+*/-]*\]")
_OTHER = re.compile(
    r"\w=\w|->|::"  # calls, signatures
    r"|^(?:\w+ = )?[^ ]+ \.\. [^ ]+(?: - \w+)?$"  # ranges
    r"|^(?:>= )?1 - (?:delta|alpha|level|epsilon\^2)$"  # levels
)
"""What looks like a formula and computes nothing."""
_RELATION = re.compile(r"[<>]=|(?<!<)[=<>~](?!-)")
_OPERATION = re.compile(
    r"\bE(?:_(?:\{.*?\}|\S+))? ?(?:[\[|(]|(?<= )\w)"  # a mean
    r"|\b(?:sum|prod|int|mean|log|ln|exp|sqrt|min|max|inf|sup|lim|argmin|argmax|logsumexp|softmax|tanh|binom)"
    r"(?:_(?:\{.*?\}|\S+))?[ (\[{]"  # an operation by name, of something
    r"|[\w)\]}|!'*] [-+*/] [\w(\[{|]|[\w)\]]/[\w(]|\w\^\(?\{?[-\d(]"  # arithmetic
    r"|\w\[[^\]]*[a-z:][^\]]*\]|\{[^}]+ : "  # entries, a set
    r"| \| |\w ~ \w|\|\w[^|]*\||∝|<-"  # a conditional law, a law, a norm, a proportion, a step
)


def is_formula(literal: str) -> bool:
    """Whether a literal computes something: an operation, or a relation in which something stands beside a lone name.

    ``n < 2``, ``0 <= t <= 1``, ``[K - 1, 4]``, ``0 .. L - 1``, ``1 - delta``, ``seed=0`` and ``key -> x`` are none.
    """
    text = _SHAPE.sub("", " ".join(literal.split()))
    if _OTHER.search(text):
        return False
    related = [[side.strip() for side in _RELATION.split(part)] for part in re.split(r", |;", text)]
    told = any(len(sides) > 1 and any(re.search(r"[ ()]", side) for side in sides) for sides in related)
    return told or bool(_OPERATION.search(text))


SECTION = re.compile(r"^(?:Args|Attributes|Raises):\n(?:(?:[ ].*)?\n?)*", re.MULTILINE)
"""Parts of a docstring that explain names: what they say of a number is not how the symbol's own is computed."""
SOURCE = re.compile(
    r"\b(?:1[89]\d|20[0-3])\d\b|\b(?:Eq|Theorem|Thm|Ex|Example|Def|Lemma|Prop|Corollary)s?\.? \(?\w?\.?\d|Source:|"
    r"the library's own"
)
"""Names where a quantity is from: a year, the number of an equation or a theorem, or that it is from here."""


def says_formula(text: str) -> bool:
    """Whether a docstring has a formula outside the parts that explain arguments, fields and refusals."""
    said = SECTION.sub("", text)
    literals = (found[0] or found[1] for found in _LITERAL.findall(said))
    return bool(_DISPLAY.search(said)) or any(is_formula(literal) for literal in literals)


def computes(name: str, value: Any) -> bool:
    """Whether a public class or function computes something of the theory, by the rules above."""
    module = f"{value.__module__}."
    if any(module.startswith(f"{part}.") for part in MACHINERY):
        return False
    if inspect.isclass(value):
        return any(base.__name__ in COMPUTING for base in value.__mro__)
    return name.partition("_")[0] not in VERBS


def symbols() -> Iterator[tuple[str, Any]]:
    """Yield the public classes and functions that compute, with their addresses."""
    for package in PACKAGES:
        for name, value in public_symbols(package):
            if is_class_or_function(value) and computes(name, inspect.unwrap(value)):
                yield f"{package}.{name}", value if inspect.isclass(value) else inspect.unwrap(value)


def methods() -> Iterator[tuple[str, list[str]]]:
    """Yield the public methods that compute, each with the docstrings that explain it: its own, and its bases'."""
    for package in PACKAGES:
        for name, cls in public_symbols(package):
            if not inspect.isclass(cls) or any(f"{cls.__module__}.".startswith(f"{part}.") for part in MACHINERY):
                continue
            for method, held in vars(cls).items():
                function = held.fget if isinstance(held, property) else getattr(held, "__func__", held)
                if method.startswith("_") or not inspect.isfunction(function) or method.partition("_")[0] in VERBS:
                    continue
                gives = str(function.__annotations__.get("return", ""))
                # A property of a process or a population is a size, a flag or a field that its class explains.
                field = isinstance(held, property) and any(base.__name__ in COMPUTING for base in cls.__mro__)
                if NUMERIC.search(gives) and not gives.startswith("Callable") and not field:
                    told = [getattr(vars(base).get(method), "__doc__", None) or "" for base in cls.__mro__]
                    yield f"{package}.{name}.{method}", told


def without_formula() -> list[str]:
    """Return the addresses of what computes and has no formula."""
    lone = [address for address, value in symbols() if not says_formula(inspect.getdoc(value) or "")]
    return lone + [address for address, told in methods() if not any(map(says_formula, told))]


def without_source() -> list[str]:
    """Return the addresses of what computes and does not say where that is from; a method's is its class's."""
    return [address for address, value in symbols() if not SOURCE.search(inspect.getdoc(value) or "")]


if __name__ == "__main__":
    for what, rows in (("formula", without_formula()), ("source", without_source())):
        for row in rows:
            print(f"{row}: no {what}")
