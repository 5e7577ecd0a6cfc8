"""Checks of what recordings are made of, one field at a time, and of what JSON can hold without changing it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from sloc.contracts import InvalidInput, require
from sloc.contracts.arguments import as_real, checked_names

WEIGHT_SLACK = 1e-6
"""Weights of a position may exceed one by this much, for probabilities that were rounded when written."""
AXES = ("fraction", "position")
"""What a kept part is counted in."""


def check_names(questions: Iterable[Any], argument: str) -> None:
    """Refuse two questions of one name: what is said of a question is kept under it.

    Args:
        questions: anything with a ``question``, its name.
        argument: what to call them.

    Raises:
        InvalidInput: a name that two of them have.

    """
    seen: set[str] = set()
    for name in (q.question for q in questions):
        require(name not in seen, f"{argument}, question", name, "questions of different names; two have this one")
        seen.add(name)


def check_axes(questions: Iterable[Any], argument: str) -> None:
    """Refuse recordings whose kept parts are counted in different units: one gap cannot be meant in both.

    Args:
        questions: recordings, or what has no ``axis`` and is passed over.
        argument: what to call them.

    Raises:
        InvalidInput: two axes.

    """
    first: dict[str, str] = {}
    for q in questions:
        if hasattr(q, "axis"):
            first.setdefault(q.axis, q.question)
    said = " and ".join(f"{axis!r} (question {name!r})" for axis, name in first.items())
    if len(first) > 1:
        raise InvalidInput(
            f"{argument}, axis = {said}: expected one axis for all, since the gap between two positions is counted in "
            "it; ask of each axis apart"
        )


def checked_place(value: Any, argument: str) -> float:
    """Return a position: a number that is finite and not negative.

    Raises:
        InvalidInput: anything else.

    """
    number = as_real(value)
    require(math.isfinite(number) and number >= 0, argument, value, "a number that is finite and not negative")
    return number


def checked_weight(value: Any) -> float:
    """Return the probability of a branch.

    Raises:
        InvalidInput: no number in (0, 1].

    """
    number = as_real(value)
    require(0 < number <= 1 + WEIGHT_SLACK, "weight", value, "a probability in (0, 1]")
    return number


def checked_truth(value: Any, argument: str) -> bool:
    """Return a truth value; texts and numbers are none.

    Raises:
        InvalidInput: anything else.

    """
    require(isinstance(value, (bool, np.bool_)), argument, value, "true or false")
    return bool(value)


def checked_object(value: Any, argument: str) -> Mapping[str, Any]:
    """Return a mapping.

    Raises:
        InvalidInput: anything else.

    """
    require(isinstance(value, Mapping), argument, value, "an object (names with values)")
    return value


def checked_list(value: Any, argument: str) -> list[Any]:
    """Return a list as JSON has them.

    Raises:
        InvalidInput: anything else.

    """
    require(isinstance(value, list), argument, value, "a list")
    return value


def checked_codes(value: Any) -> np.ndarray:
    """Return the answers of a branch: at least one, as indices that are not negative.

    Raises:
        InvalidInput: anything else.

    """
    whole = isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "iu"
    require(whole, "answers", value, "an array of whole numbers, indices into the categories")
    require(value.size > 0, "answers", value, "at least one draw")
    require(bool((value >= 0).all()), "answers", value, "indices that are not negative")
    return value


def checked_costs(value: Any, draws: int) -> np.ndarray | None:
    """Return the costs of a branch, or None where they were not recorded.

    Raises:
        InvalidInput: not as many as there are draws, or no whole numbers from 0.

    """
    if value is None:
        return None
    try:
        costs = np.asarray(value)
    except ValueError:  # ragged
        costs = np.asarray(None)
    good = costs.shape == (draws,) and costs.dtype.kind in "iu" and bool((costs >= 0).all())
    require(good, "costs", value, f"{draws} whole numbers that are not negative, one a draw")
    return costs


def checked_categories(value: Any, argument: str = "categories") -> tuple[str, ...]:
    """Return the answers that are possible: a sequence of texts, at least one, all different.

    Raises:
        InvalidInput: a text, which is no sequence of them, or anything else.

    """
    require(not isinstance(value, str), argument, value, "a sequence of texts, not one text")
    names = checked_names(value, argument)
    require(len(names) > 0, argument, value, "at least one category")
    return names


def check_plain(value: Any, argument: str) -> None:
    """Refuse what JSON cannot hold as it is: it would be an error, or come back as something else.

    Args:
        value: texts, finite numbers, truth values, None, lists of these and objects whose names are texts.
        argument: what to call it; the message goes on with the place inside it.

    Raises:
        InvalidInput: NaN, infinities, arrays, tuples (they come back as lists), names that are no texts, and others.

    """
    if value is None or isinstance(value, (str, int)):
        return
    if isinstance(value, float):
        require(math.isfinite(value), argument, value, "a finite number: JSON has no other")
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            check_plain(inner, f"{argument}[{i}]")
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            require(isinstance(name, str), f"{argument}, name", name, "a text: JSON has no other names")
            check_plain(inner, f"{argument}.{name}")
    else:
        raise InvalidInput(
            f"{argument} = {type(value).__name__}: expected plain JSON (texts, finite numbers, truth values, None, "
            f"lists, objects); anything else would not come back as it is"
        )
