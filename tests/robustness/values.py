"""Values that are handed to public calls in place of good ones, by the kind of argument that each must be refused as.

A kind names what an argument is for a reader of the documentation; ``docs/reliability.md`` shows these tables.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import hypothesis.strategies as st
import jax
import numpy as np


class Strange:
    """An object of a class that nobody knows."""

    def __repr__(self) -> str:
        return "<an object>"


UNICODE = "ünï ☃ \u202e𝔛"
HUGE = 10**400

NO_NUMBER: dict[str, Any] = {
    "None": None,
    "an object": Strange(),
    "a unicode text": UNICODE,
    "an empty text": "",
    "bytes": b"\x00\xff",
    "a mapping": {"a": 1},
    "a class": int,
    "a complex number": 1j,
    "an empty list": [],
    "a ragged list": [[1.0], [1.0, 2.0]],
    "a list with NaN": [float("nan")],
    "an array of rank 3": np.ones((2, 3, 4)),
    "an array of objects": np.array([None, "a"], object),
}
NOT_FINITE = {"NaN": float("nan"), "infinity": float("inf"), "-infinity": float("-inf"), "10**400": HUGE}
NO_OBJECT = {**NO_NUMBER, **NOT_FINITE, "-1": -1, "1.5": 1.5}


@dataclass(frozen=True)
class Argument:
    """One argument of a call: a good value, what it is, and what must be refused in its place.

    Attributes:
        good: a value that the call takes, or a function without arguments that makes it.
        kind: what the argument is; the name of the kind in the table of the documentation.
        wrong: label and value of all that must be refused.
        drawn: where Hypothesis finds more of them, or None.
        said: words of which a refusal holds one; the argument's own name where empty.

    """

    good: Any
    kind: str
    wrong: dict[str, Any]
    drawn: st.SearchStrategy[Any] | None = None
    said: tuple[str, ...] = ()

    @property
    def made(self) -> bool:
        """Whether the good value is a function without arguments that makes it."""
        handed_on = ("a function", "a function, or None", "taken as it is")
        return inspect.isfunction(inspect.unwrap(self.good)) and self.kind not in handed_on

    def but(self, *labels: str) -> Argument:
        """Return the same argument, which takes the values of these labels."""
        unknown = set(labels) - set(self.wrong)
        assert not unknown, unknown
        return dataclasses.replace(self, wrong={k: v for k, v in self.wrong.items() if k not in labels})

    def also(self, **wrong: Any) -> Argument:
        """Return the same argument with more that it must refuse; a label's underscores are spaces."""
        return dataclasses.replace(self, wrong={**self.wrong, **{k.replace("_", " "): v for k, v in wrong.items()}})

    def left_out(self) -> Argument:
        """Return the same argument, which may be None and is, where another one is tried."""
        return dataclasses.replace(self.optional(), good=None)

    def listed(self) -> Argument:
        """Return the same argument, tried with the values of the table alone."""
        return dataclasses.replace(self, drawn=None)

    def says(self, *words: str) -> Argument:
        """Return the same argument, whose refusals hold one of these words."""
        return dataclasses.replace(self, said=words)

    def optional(self) -> Argument:
        """Return the same argument, which may be None."""
        return dataclasses.replace(self.but("None"), kind=f"{self.kind}, or None")


def taken(good: Any) -> Argument:
    """Anything goes: truth values, and what is handed on as it is."""
    return Argument(good, "taken as it is", {})


def whole(good: int, least: int = 1) -> Argument:
    """A whole number of at least ``least``."""
    wrong = {**NO_NUMBER, **NOT_FINITE, "-1": -1, "1.5": 1.5, "a huge negative number": -(10**30)}
    if least > 0:
        wrong["below the least"] = least - 1
    if least < 0:
        del wrong["-1"]
    drawn = st.one_of(
        st.floats().filter(lambda v: not (np.isfinite(v) and v == int(v) and v >= least)),
        st.integers(max_value=least - 1),
        st.text(),
        st.lists(st.integers(), max_size=3),
    )
    return Argument(good, "a whole number", wrong, drawn)


def fraction(good: float, *, low: bool = False, high: bool = False) -> Argument:
    """A number between 0 and 1; ``low`` and ``high`` say whether these belong to it."""
    wrong = {**NO_NUMBER, **NOT_FINITE, "-1": -1, "2": 2}
    if not low:
        wrong["0"] = 0
    if not high:
        wrong["1"] = 1
    drawn = st.one_of(st.floats().filter(lambda v: not 0 <= v <= 1), st.text(), st.lists(st.floats(), max_size=3))
    return Argument(good, "a number between 0 and 1", wrong, drawn)


def positive(good: float, *, zero: bool = False) -> Argument:
    """A finite number above 0, or from 0."""
    wrong = {**NO_NUMBER, **NOT_FINITE, "-1": -1}
    if not zero:
        wrong["0"] = 0
    drawn = st.one_of(st.floats(max_value=-1e-30), st.just(float("nan")), st.text(), st.lists(st.floats(), max_size=3))
    return Argument(good, "a positive number", wrong, drawn)


def real(good: float) -> Argument:
    """A finite number."""
    return Argument(good, "a finite number", {**NO_NUMBER, **NOT_FINITE}, st.text())


def array(good: Any) -> Argument:
    """An array of finite numbers: whatever its shape, these are none."""
    wrong = dict(NO_NUMBER)
    inside = {"NaN inside": float("nan"), "infinity inside": float("inf")}
    values = good() if callable(good) else good
    for label, value in inside.items():
        spoilt = np.array(values, float)
        spoilt.reshape(-1)[-1:] = value
        wrong[label] = spoilt
    return Argument(good, "an array of numbers", wrong)


def each(good: Any) -> Argument:
    """Numbers of any shape, taken one by one."""
    return array(good).but("an empty list", "an array of rank 3", "infinity inside")


def free(good: Any) -> Argument:
    """Numbers of any shape, infinite and unknown ones among them, which traced code takes as they are."""
    return each(good).but("a list with NaN", "NaN inside")


def times(good: Any) -> Argument:
    """Strictly increasing times, none of them negative."""
    wrong = dict(NO_NUMBER)
    wrong |= {"NaN": float("nan"), "-1": -1, "a negative time": [-0.5, 0.5], "decreasing times": [0.5, 0.25]}
    wrong |= {"a time twice": [0.25, 0.25], "an infinite time": [0.25, float("inf")], "10**400 in a list": [HUGE]}
    unsorted = st.lists(st.floats(0, 0.5), min_size=2, max_size=4).filter(lambda v: any(np.diff(v) <= 0))
    return Argument(good, "times", wrong, st.one_of(unsorted, st.lists(st.just(float("nan")), min_size=1)))


def instant(good: float) -> Argument:
    """One time."""
    wrong = dict(NO_NUMBER)
    return Argument(good, "a time", {**wrong, **NOT_FINITE, "-1": -1}, st.floats(max_value=-1e-6))


def sets(good: Any) -> Argument:
    """An index, a name, or a sequence of them."""
    wrong = {**NO_OBJECT, "no sub-population": 99, "an unknown name": "zebra", "half an index": [0.5]}
    return Argument(good, "sub-populations", wrong, st.one_of(st.integers(2), st.integers(max_value=-1), st.text()))


def choice(good: str) -> Argument:
    """One of some words."""
    return Argument(good, "one of some words", {**NO_OBJECT, "another word": "magic"}, st.text())


def text(good: str) -> Argument:
    """A text."""
    return Argument(good, "a text", {k: v for k, v in NO_OBJECT.items() if "text" not in k})


def names(good: Any) -> Argument:
    """Names, all different."""
    wrong = {k: v for k, v in NO_OBJECT.items() if k not in ("an empty list", "None")}
    return Argument(good, "names", {**wrong, "a name twice": ("a", "a")})


def thing(good: Any, kind: str) -> Argument:
    """An object of one class, that nothing else can stand for."""
    return Argument(good, kind, dict(NO_OBJECT))


def function(good: Callable[..., Any]) -> Argument:
    """Something that can be called."""
    return Argument(good, "a function", {k: v for k, v in NO_OBJECT.items() if k != "a class"})


def key(seed: int = 0) -> Argument:
    """A typed PRNG key."""
    wrong = {**NO_OBJECT, "a seed": 0}
    wrong["a raw key"] = np.array([0, 1], np.uint32)
    wrong["two keys"] = jax.random.split(jax.random.key(0), 2)
    return Argument(jax.random.key(seed), "a key", wrong)


def path(good: Any = None) -> Argument:
    """A path; files and folders that cannot be used are rows of their own."""
    wrong = {k: v for k, v in NO_OBJECT.items() if k not in ("bytes", "a unicode text")}
    return Argument(good, "a path", {**wrong, "a text with a NUL": "a\0b"})
