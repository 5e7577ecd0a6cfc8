"""Checks of what recordings are made of, one field at a time, and of what JSON can hold without changing it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from sloc.contracts import InvalidInput, require
from sloc.contracts.arguments import as_real, checked_names

WEIGHT_SLACK = 1e-6
"""Weights of a position may exceed one by this much, for probabilities that were rounded when written."""
AXES = ("fraction", "position")
"""What a kept part is counted in."""
MOST_WHOLE = 2**53
"""Whole numbers up to this one are held exactly by a float."""
_DEEPEST, _MOST_BITS = 100, 13_000  # Python's JSON fails near 1000 levels and at 4300 digits


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


def check_keys(value: Mapping[str, Any], names: Sequence[str], argument: str) -> None:
    """Refuse an object with a name that is none of a few.

    Args:
        value: the object.
        names: that it may have.
        argument: what to call it.

    Raises:
        InvalidInput: another name.

    """
    other = [k for k in value if k not in names]
    require(not other, argument, other, "an object with no other names than " + ", ".join(names))


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
        InvalidInput: not as many as there are draws, or no whole numbers from 0 to 2^53.

    """
    if value is None:
        return None
    try:
        costs = np.asarray(value)
    except ValueError:  # ragged
        costs = np.asarray(None)
    good = costs.shape == (draws,) and costs.dtype.kind in "iu" and bool(((costs >= 0) & (costs <= MOST_WHOLE)).all())
    # NumPy takes a truth value among numbers for one of them.
    good = good and (not isinstance(value, (list, tuple)) or {bool, np.bool_}.isdisjoint(map(type, value)))
    require(good, "costs", value, f"{draws} whole numbers that are not negative, one a draw")
    return costs.astype(np.int64)


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
        value: texts, finite numbers, truth values, None, lists of these and objects whose names are texts; at the top
            any mapping.
        argument: what to call it; the message goes on with the place inside it.

    Raises:
        InvalidInput: NaN, infinities, half characters, scalars and arrays of NumPy, tuples (they come back as lists),
            names that are no texts, whole numbers of thousands of digits, objects in more than a hundred others, and
            anything else.

    """
    _check_plain(dict(value) if isinstance(value, Mapping) else value, argument, 0)


def _check_plain(value: Any, argument: str, depth: int) -> None:
    kind = type(value)  # not its subclasses: a scalar of NumPy would come back as another kind
    if value is None or kind is bool:
        return
    if kind is str:
        check_text(value, argument)
    elif kind is float:
        require(math.isfinite(value), argument, value, "a finite number: JSON has no other")
    elif kind is int:
        if value.bit_length() > _MOST_BITS:
            raise InvalidInput(
                f"{argument} = a whole number of {value.bit_length()} bits: expected {_MOST_BITS} at most"
            )
    elif kind is list or kind is dict:
        if depth == _DEEPEST:
            raise InvalidInput(f"{argument[:80]}…: expected lists and objects within at most {_DEEPEST} others")
        for name, inner in value.items() if kind is dict else ():
            require(type(name) is str, f"{argument}, name", name, "a text: JSON has no other names")
            check_text(name, f"{argument}, name")
            _check_plain(inner, f"{argument}.{name}", depth + 1)
        for i, inner in enumerate(value if kind is list else ()):
            _check_plain(inner, f"{argument}[{i}]", depth + 1)
    else:
        raise InvalidInput(
            f"{argument} = {kind.__name__}: expected plain JSON (texts, finite numbers, truth values, None, "
            f"lists, objects); anything else would not come back as it is"
        )


def check_text(value: str, argument: str) -> None:
    """Refuse a text with half a character (a lone surrogate), which UTF-8 cannot hold.

    Args:
        value: the text.
        argument: what to call it.

    Raises:
        InvalidInput: such a text.

    """
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(f"{argument} = {value!a}: expected texts that UTF-8 can hold ({error.reason})") from error
