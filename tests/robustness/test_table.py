"""The sweep leaves nothing out: every public name has a row, or a reason to have none that fits what it is."""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("flax")
pytest.importorskip("numpyro")
pytest.importorskip("tokenizers")

sys.path.insert(0, str(Path(__file__).parents[2] / "docs" / "_ext"))
import public_api

from sloc.contracts import InvalidInput
from sloc.engine.streaming import count_traces
from tests.robustness import (
    page,
    reasons,
    rows_contracts,
    rows_learned,
    rows_lm,
    rows_measures,
    rows_methods,
    rows_model,
    rows_samplers,
    rows_windows,
)
from tests.robustness.common import HANDED_ON, hands_on, parameters, resolve
from tests.robustness.files import kinds
from tests.robustness.options import options

ROWS = [
    *rows_measures.rows(),
    *rows_windows.rows(),
    *rows_model.rows(),
    *rows_samplers.rows(),
    *rows_learned.rows(),
    *rows_lm.rows(),
]
METHODS = [*rows_methods.rows(), *rows_contracts.rows()]


def _public() -> dict[str, Any]:
    return {f"{p}.{name}": value for p in public_api.PACKAGES for name, value in public_api.public_symbols(p)}


def test_every_public_name_has_a_row_or_a_reason() -> None:
    swept = [resolve(r.name) for r in ROWS]
    excused = [resolve(name) for names in reasons.REASONS.values() for name in names]
    for name, value in _public().items():
        # By identity, since one object may have several names.
        found = sum(value is other for other in swept), sum(value is other for other in excused)
        assert sum(found) == 1, f"{name}: {found[0]} rows and {found[1]} reasons, where there is one of either"


def unswept() -> list[str]:
    """Return the public methods that take something and have no row: of each class its own, not what it inherits."""
    swept = {inspect.unwrap(getattr(resolve(r.name), "__func__", resolve(r.name))) for r in METHODS}
    found = dict[Any, str]()
    for name, value in _public().items():
        for own, member in vars(value).items() if inspect.isclass(value) else ():
            plain = inspect.unwrap(getattr(member, "__func__", member))
            if not own.startswith("_") and inspect.isfunction(plain) and plain not in swept:
                bound = member if isinstance(member, staticmethod) else next(iter(inspect.signature(plain).parameters))
                taken = [p for p in inspect.signature(plain).parameters if p != bound]
                if taken:
                    found.setdefault(plain, f"{name}.{own}")
    return list(found.values())


def test_every_method_without_a_row_has_one_reason() -> None:
    told = [name for names in reasons.METHODS.values() for name in names]
    left = {name.rpartition(".")[2] for name in unswept()}
    assert sorted(told) == sorted(left)


def test_what_is_handed_on_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that hands options on refuses one that is none, by its name, before anything is traced."""
    monkeypatch.chdir(tmp_path)
    names = {r.name.rpartition(".")[2]: r for r in ROWS if hands_on(resolve(r.name))}
    assert set(names) == set(HANDED_ON)
    for name, r in names.items():
        before = count_traces()
        if name != "save_weights":  # which takes notes of any name
            with pytest.raises((TypeError, InvalidInput), match="zebra"):
                resolve(r.name)(**r.good(), zebra=1)
        assert count_traces() == before, name


def test_every_parameter_of_a_row_is_described() -> None:
    for r in [*ROWS, *METHODS]:
        value = resolve(r.name)
        missing = set(parameters(value)) - set(r.arguments) - {"_node_type", "_", "store", "classes", "devices"}
        assert not missing, f"{r.name}: nothing is said of {sorted(missing)}"


@pytest.mark.parametrize("reason", list(reasons.REASONS))
def test_reasons_fit_what_they_excuse(reason: str) -> None:
    for name in reasons.REASONS[reason]:
        value = resolve(name)
        match reason:
            case reasons.RECORDS:
                fits = inspect.isclass(value) and (dataclasses.is_dataclass(value) or issubclass(value, tuple))
            case reasons.ABSTRACT:
                fits = inspect.isclass(value)
            case reasons.ERROR:
                fits = inspect.isclass(value) and issubclass(value, BaseException)
            case reasons.VALUE:
                fits = not inspect.isfunction(value)
            case reasons.NOTHING:
                fits = not parameters(value) or parameters(value) == ["_node_type"]
            case _:
                fits = callable(value)
        assert fits, f"{name}: {reason}"


def made() -> tuple[str, str, str]:
    """Return the parts of the page."""
    return page.tables(ROWS, METHODS, unswept()), page.commands(options()), page.read(kinds())


def test_the_page_shows_what_is_swept() -> None:
    text = page.PAGE.read_text("utf-8")
    assert text == page.embedded(made(), text), "run python -m tests.robustness.page"


def test_tests_that_the_page_names_are_there() -> None:
    root = page.PAGE.parents[1]
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", page.PAGE.read_text("utf-8"))
    assert len(named) > 10
    for file, test in named:
        assert f"def {test}" in (root / file).read_text("utf-8"), f"{file}::{test}"
