"""Calls each public callable with what it cannot take, and says where it was not refused as the house does."""

from __future__ import annotations

import contextlib
import re
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest

from sloc.contracts import ContractError, InvalidInput
from sloc.engine.streaming import count_traces
from tests.robustness.values import Argument

SECONDS = 20
"""What one call may take: refusals come before anything is compiled, so this only catches what hangs."""

REFUSALS = (InvalidInput, ContractError)


@dataclass(frozen=True)
class Row:
    """One public callable.

    Attributes:
        name: its dotted public name.
        call: how it is called, by keywords alone.
        arguments: every argument it has.
        refusals: kinds of error that its docstring names beside those of the house.

    """

    name: str
    call: Callable[..., Any]
    arguments: Mapping[str, Argument]
    refusals: tuple[type[BaseException], ...] = field(default=())

    @property
    def searched(self) -> bool:
        """Whether Hypothesis knows of values for one of the arguments."""
        return any(a.drawn is not None for a in self.arguments.values())

    def good(self) -> dict[str, Any]:
        """Return arguments that the callable takes."""
        return {n: a.good() if a.made else a.good for n, a in self.arguments.items()}


class Hangs(Exception):
    """A call that did not come back."""


@contextlib.contextmanager
def within(seconds: int) -> Iterator[None]:
    """Raise :class:`Hangs` after some seconds, where the platform has alarms."""
    if not hasattr(signal, "SIGALRM") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(*_: Any) -> None:
        raise Hangs

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def fault(row: Row, good: Mapping[str, Any], argument: str, value: Any) -> str | None:
    """Return what is wrong with how a callable takes a value in place of a good one; None if it refuses it well."""
    own = row.arguments[argument]
    try:
        with within(SECONDS), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            row.call(**{**good, argument: value})
    except (*REFUSALS, *row.refusals) as error:
        message = str(error)
        named = own.said or (argument,)
        if not any(re.search(rf"(?<!\w){re.escape(word)}(?!\w)", message) for word in named):
            return f"refused without naming {' or '.join(named)}: {message[:160]}"
        return None if message.isprintable() or "\n" not in message else f"a refusal of several lines: {message[:160]}"
    except Hangs:
        return f"no answer within {SECONDS} s"
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:160]}"
    return "taken without a word"


def listed_faults(row: Row) -> list[str]:
    """Return every fault of a row over the values of the tables."""
    found, good = [], row.good()
    for name, argument in row.arguments.items():
        for label, value in argument.wrong.items():
            said = fault(row, good, name, value)
            if said:
                found.append(f"{name} = {label}: {said}")
    return found


def drawn_faults(row: Row, examples: int = 12) -> list[str]:
    """Return faults of a row over values that Hypothesis finds."""
    found, good = list[str](), row.good()
    for name, argument in row.arguments.items():
        if argument.drawn is not None:
            _search(row, good, name, argument.drawn, examples, found)
    return found


def _search(
    row: Row, good: Mapping[str, Any], name: str, strategy: st.SearchStrategy[Any], examples: int, found: list[str]
) -> None:
    @hypothesis.settings(max_examples=examples, database=None, derandomize=True, deadline=None)
    @hypothesis.given(strategy)
    def refuse(value: Any) -> None:
        said = fault(row, good, name, value)
        if said and len(found) < 20:
            found.append(f"{name} = {value!r}: {said}")

    refuse()


def refused(row: Row, faults: Callable[[Row], list[str]], folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Assert that a row has no faults, that nothing was traced, and that no file was left."""
    patch.chdir(folder)
    before = count_traces()
    found = faults(row)
    assert not found, f"{len(found)} faults:\n" + "\n".join(found)
    assert count_traces() == before, "a refused call was traced"
    assert [p.name for p in folder.iterdir() if p.name != ".hypothesis"] == [], "a refused call left a file"
