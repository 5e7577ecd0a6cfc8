"""What the docstrings of public names must say, and where their roles lead."""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sloc.populations
import sloc.processes
import sloc.windows

sys.path.insert(0, str(Path(__file__).parents[1] / "docs" / "_ext"))
import public_api
import public_roles
import public_theory

SHAPE = re.compile(r"``[^`]*\[[^`]*\][^`]*``|\bscalar\b|\bnumbers?\b|[Tt]he shape of ``")
"""Says how large an array is: ``[T, K]``, a scalar, a number, the shape of another."""
KIND = re.compile(r"\b(exact\w*|estimat\w*|bound\w*|unbiased|certif\w*|intervals?|closed form)\b", re.IGNORECASE)
"""Says whether a quantity is exact, an estimate or a bound."""
MEASURED = ("sloc", "sloc.divergence", "sloc.windows", "sloc.windows.printed", "sloc.bayes", "sloc.populations")
NO_QUANTITY = {
    "sloc.register_marginals": "registers",
    "sloc.bayes.check_chains": "refuses, or does nothing",
    "sloc.windows.recordings_from_table": "reads a table",
    "sloc.windows.trace_table": "reads a table",
}
"""Functions of those packages that compute no quantity, beside those that read and write files."""


def functions(package: str) -> list[tuple[str, Callable[..., Any]]]:
    """Return the public functions of a package with their addresses."""
    found = [(f"{package}.{n}", v) for n, v in public_api.public_symbols(package) if public_api.is_class_or_function(v)]
    return [(address, inspect.unwrap(v)) for address, v in found if not inspect.isclass(v)]


def refuses(function: Callable[..., Any]) -> bool:
    """Whether a function itself raises, or calls what checks an argument."""
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
        match node:
            case ast.Raise():
                return True
            case ast.Call(func=ast.Name(id=name)) if name == "require" or name.startswith(("checked_", "check_")):
                return True
            case _:
                pass
    return False


def gaps(address: str, function: Callable[..., Any], quantity: bool) -> list[str]:
    """Return what the docstring of a public function leaves out."""
    text = inspect.getdoc(function) or ""
    summary, said = text.partition("\n\n")[0], set(re.findall(r"^(\w+):$", text, re.MULTILINE))
    told = text.partition("Args:")[2]
    asked = inspect.signature(function).parameters
    found = [f"argument {p}" for p in asked if not re.search(rf"^ +\**{p}: ", told, re.MULTILINE)]
    gives = function.__annotations__.get("return") not in (None, "None")
    # A summary may say it all: "Return the tokenizer.", or the formula of what comes back.
    if gives and not said & {"Returns", "Yields"} and not re.match(r"Return |Whether |.*``", summary, re.DOTALL):
        found.append("Returns")
    if refuses(function) and "Raises" not in said:
        found.append("Raises")
    arrays = [
        p for p, t in function.__annotations__.items() if p != "key" and re.search(r"\b(Array|ndarray)\b", str(t))
    ]
    if arrays and not SHAPE.search(text):
        found.append(f"a shape of {', '.join(arrays)}")
    if quantity and not KIND.search(text):
        found.append("exact, an estimate or a bound")
    return [f"{address}: {what}" for what in found]


def computes(package: str, address: str) -> bool:
    """Whether a public function computes a mathematical quantity."""
    reads = address.rpartition(".")[2].startswith(("read_", "write_"))
    return package in MEASURED and not reads and address not in NO_QUANTITY


@pytest.mark.parametrize("package", public_api.PACKAGES)
def test_docstrings_say_what_goes_in_what_comes_out_and_how_exact_it_is(package: str) -> None:
    assert not [row for address, f in functions(package) for row in gaps(address, f, computes(package, address))]


def test_what_computes_has_a_formula() -> None:
    assert public_theory.without_formula() == []


def test_what_computes_names_a_source() -> None:
    assert public_theory.without_source() == []


FORMULAS = (
    "Y_t = a(t) X + sigma(t) Z",
    "X ~ p^theta",
    "E sum_theta pi_theta^2",
    "H(w) - E H(pi(Y_t))",
    "inf {t : TV(p, q) <= epsilon}",
    "TV(p, q) <= epsilon",
    "log p_t^theta(y)",
    "X | Y_t = y",
    "x^2",
    "s/t",
    "E[X]",
    "A_t = R A_s",
    "h <- f",
)
NO_FORMULAS = (
    "n < 2",
    "0 <= t <= 1",
    "[K - 1, 4]",
    "E [K]",
    "0 .. L - 1",
    "t = 0",
    ">= 1 - delta",
    "1 - epsilon^2",
    "seed=0",
    "(y, t) -> log p",
    "TV(a, b)",
    "p^theta",
    "process.grid(64)",
    "sloc.windows",
    "T",
)


def test_formulas_are_told_from_names_ranges_and_shapes() -> None:
    assert [literal for literal in FORMULAS if not public_theory.is_formula(literal)] == []
    assert [literal for literal in NO_FORMULAS if public_theory.is_formula(literal)] == []


def test_a_formula_stands_in_the_text_of_a_docstring_and_not_of_its_arguments() -> None:
    text = "Average.\n\nArgs:\n    x: ``sum_i x_i``.\n\n    n: ``1 / n``.\n\nReturns:\n    {}\n"
    assert not public_theory.says_formula(text.format("A mean."))
    assert public_theory.says_formula(text.format("``sum_i x_i / n``."))
    assert public_theory.says_formula(text.format(r"A mean, :math:`\frac 1 n \sum_i x_i / 1`."))
    assert public_theory.says_formula("Average.\n\n.. math:: \\bar x\n")


def test_a_source_is_a_paper_or_a_numbered_statement() -> None:
    for text in ("Li 2025", "Eq. (3)", "Theorem 2", "Ex. B.3", "Source: textbook.", "is the library's own"):
        assert public_theory.SOURCE.search(text), text
    assert not public_theory.SOURCE.search("The 2048 draws of example one, an equation")


def test_a_symbol_without_a_formula_or_a_source_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sloc.windows.rule_rates, "__doc__", "Compute how often the rule errs.")
    monkeypatch.setattr(sloc.processes.OrnsteinUhlenbeck, "__doc__", "A process.")
    monkeypatch.setattr(sloc.windows.Recording.distribution, "__doc__", "Estimate it.")
    lone = ["sloc.processes.OrnsteinUhlenbeck", "sloc.windows.rule_rates"]
    assert public_theory.without_source() == lone
    assert public_theory.without_formula() == [*lone, "sloc.windows.Recording.distribution"]


def test_rules_of_what_computes_nothing_are_of_something() -> None:
    public = [value for package in public_api.PACKAGES for _, value in public_api.public_symbols(package)]
    homes = {f"{v.__module__}." for v in public if public_api.is_class_or_function(v)}
    assert [part for part in public_theory.MACHINERY if not any(home.startswith(f"{part}.") for home in homes)] == []
    names = {n.partition("_")[0] for p in public_api.PACKAGES for n, _ in public_api.public_symbols(p)}
    names |= {m.partition("_")[0] for v in public if inspect.isclass(v) for m in vars(v)}
    assert set(public_theory.VERBS) <= names


def test_populations_say_how_exact_their_marginals_are() -> None:
    classes = [(n, v) for n, v in public_api.public_symbols("sloc.populations") if inspect.isclass(v)]
    assert not [n for n, v in classes if not KIND.search(v.__doc__ or "")]


def test_reasons_are_of_public_functions_that_need_them() -> None:
    public = {address: f for package in public_api.PACKAGES for address, f in functions(package)}
    assert all(gaps(address, public[address], True) for address in NO_QUANTITY)


def test_each_gap_of_a_docstring_is_found() -> None:
    def silent(key: Any, x: "np.ndarray", n: int) -> "np.ndarray":  # noqa: UP037, F821
        """Average something.

        Args:
            x: values.

        """
        sloc.contracts.require(True, "n", n, "")
        raise ValueError

    missing = [
        "argument key",
        "argument n",
        "Returns",
        "Raises",
        "a shape of x, return",
        "exact, an estimate or a bound",
    ]
    assert gaps("silent", silent, True) == [f"silent: {what}" for what in missing]


def test_roles_lead_to_public_names() -> None:
    assert public_roles.astray() == []


def test_a_role_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    lines = [
        '"""Public: :func:`sloc.tv`, :class:`~sloc.windows.Recording`, :meth:`a part <sloc.windows.Recording.merged>`.',
        "",
        "Near: :class:`Recording`, :class:`TV`, :meth:`Recording.merged`.",
        "Far: :func:`json.dumps`, :mod:`sloc.windows`.",
        "Not: :func:`sloc.windows.recorded.make_recording`, :mod:`sloc.windows.recorded`.",
        "Nor: :meth:`merged`, :data:`_MOST`.",
        '"""',
        "class Recording:",
        '    """Its own: :meth:`merged`; none of it: :meth:`unmerged`."""',
    ]
    (tmp_path / "sloc" / "windows").mkdir(parents=True)
    (tmp_path / "sloc" / "windows" / "made_up.py").write_text("\n".join(lines))
    found = [row.rpartition(": ")[2] for row in public_roles.astray(tmp_path / "sloc")]
    lost = ["func:`sloc.windows.recorded.make_recording`", "mod:`sloc.windows.recorded`", "meth:`merged`"]
    assert found == [f":{role}" for role in (*lost, "data:`_MOST`", "meth:`unmerged`")]
