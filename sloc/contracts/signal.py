"""What is known of ``X`` before anything is drawn: shape, alphabet, least and largest value of each coordinate."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from sloc.contracts.base import float_dtype


class Ends(NamedTuple):
    """What the atoms of a population reach, by (flattened) coordinate.

    Attributes:
        low: ``[L]``, the least value.
        high: ``[L]``, the largest.
        broken: ``[L]``, a value that is no whole number, NaN where there is none; None if all are whole.

    """

    low: np.ndarray
    high: np.ndarray
    broken: np.ndarray | None = None


@dataclass(frozen=True)
class Coordinates:
    """What is known of one array of ``X``; of the others in a tree of arrays each has its own.

    Attributes:
        shape: the array's.
        dtype: its kind of numbers, or None.
        letters: the size of the alphabet that the population's laws are written in, or None where it has no such laws.
        ends: returns what the values reach, or None where that is not known (laws without bounds, traced atoms).  It
            looks at all atoms, so it is asked for only by a process whose signal is bounded.

    """

    shape: tuple[int, ...]
    dtype: np.dtype | None = None
    letters: int | None = None
    ends: Callable[[], Ends] | None = None

    @property
    def size(self) -> int:
        """How many coordinates there are."""
        return int(np.prod(self.shape, dtype=int))

    def taken(self, index: Any) -> Coordinates:
        """Return the (flattened) coordinates at ``index [l]``; None for all of them in an order that is not known."""
        if index is None:
            return replace(self, shape=(self.size,), ends=None)
        at, ends = np.asarray(index), self.ends
        if ends is None:
            return replace(self, shape=(at.size,))

        def taken() -> Ends:
            low, high, broken = ends()
            return Ends(low[at], high[at], None if broken is None else broken[at])

        return replace(self, shape=(at.size,), ends=taken)


def reached(rows: np.ndarray, chunk: int = 4096) -> Ends:
    """Return what ``rows [N, ...]`` reach; whole numbers take two passes, floating ones a look at each value."""
    flat = rows.reshape(rows.shape[0], -1)
    if flat.size == 0:
        return Ends(np.zeros(0), np.zeros(0))
    low, high = flat.min(axis=0), flat.max(axis=0)
    if flat.dtype.kind != "f":
        return Ends(low, high)
    broken = np.full(flat.shape[1], np.nan)
    # A few rows at a time: the copies that comparing makes stay small.
    for start in range(0, flat.shape[0], chunk):
        part = flat[start : start + chunk]
        off = part != np.floor(part)
        found = off.any(axis=0) & np.isnan(broken)
        if found.any():
            broken[found] = part[np.argmax(off, axis=0), np.arange(flat.shape[1])][found]
    return Ends(low, high, None if np.isnan(broken).all() else broken)


def one_array(x: Any, taker: str) -> str:
    """Say that one array of real numbers is expected where ``x`` is another one, or a tree; nothing where it is one."""
    if not isinstance(x, Coordinates):
        return f"an X that is one array, which {taker} takes; it is a tree of arrays"
    return f"an X of real numbers, which {taker} takes" if x.dtype is not None and x.dtype.kind == "c" else ""


def blurred(x: Coordinates, taker: str) -> str:
    """Say which coordinate holds whole numbers of whose spread rounding takes a hundredth; nothing where none does."""
    if x.ends is None or x.dtype is None or x.dtype.kind not in "iu" or float_dtype().itemsize > 4:
        return ""
    low, high = (np.asarray(end, np.float64) for end in x.ends()[:2])
    largest = np.maximum(np.abs(low), np.abs(high))
    rounding = np.spacing(largest.astype(float_dtype())).astype(np.float64) / 2
    lost = (largest > 2**24) & (high > low) & (rounding > 0.01 * (high - low))
    if not lost.any():
        return ""
    i = int(np.argmax(lost))
    kept = f"an X of numbers that {float_dtype()} tells apart, which {taker} takes"
    return f"{kept}; coordinate {i} of X reaches from {low[i]:.0f} to {high[i]:.0f}"


def of_size(x: Any, size: int, taker: str, things: str) -> str:
    """Say that ``size`` coordinates are expected where ``x`` has another number; nothing where it has as many.

    Args:
        x: what is known of ``X``.
        size: how many coordinates are expected.
        taker: the name of the process.
        things: what it has as many of, for the message.

    """
    words = one_array(x, taker)
    if words or x.size == size:
        return words
    return f"an X of {size} coordinates, as many as {taker} has {things}; its shape is {x.shape}"


def outside_alphabet(x: Coordinates, size: int, taker: str) -> str:
    """Say which letter is outside ``0 .. size - 1``; nothing where none is, or it is not known."""
    expected = f"letters 0 .. {size - 1}, the alphabet of {size} letters of {taker}"
    if x.letters is not None:
        return "" if x.letters == size else f"{expected}; its own alphabet has {x.letters}"
    if x.ends is None:
        return ""
    low, high, broken = x.ends()
    for beyond, values in ((low < 0, low), (high > size - 1, high)):
        if beyond.any():
            i = int(np.argmax(beyond))
            return f"{expected}; coordinate {i} of X holds the letter {_number(values[i])}"
    if broken is not None and not np.isnan(broken).all():
        i = int(np.argmax(~np.isnan(broken)))
        return f"{expected}; coordinate {i} of X holds {_number(broken[i])}, which is no letter"
    return ""


def below_zero(x: Coordinates) -> str:
    """Say which coordinate is negative; nothing where none is, or it is not known."""
    if x.ends is None:
        return ""
    low = x.ends().low
    if not (low < 0).any():
        return ""
    i = int(np.argmax(low < 0))
    return f"coordinate {i} of X holds {_number(low[i])}"


def _number(value: Any) -> str:
    number = float(value)
    return f"{number:.0f}" if number == int(number) else f"{number:.6g}"
