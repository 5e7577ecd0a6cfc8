"""How cost grows: exponents fitted round by round, beside those that are expected."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.timing import Contender, Row, Timing, race, spread_row


def exponents(sizes: Mapping[str, float], timings: Mapping[str, Timing]) -> list[float]:
    """Fit ``log time = exponent * log size + constant`` by least squares in each round.

    Args:
        sizes: by contender.
        timings: of at least these contenders.

    """
    logs = np.log(list(sizes.values()))
    seconds = np.log([timings[name].seconds for name in sizes])
    return [float(slope) for slope in np.polyfit(logs, seconds, 1)[0]]


def exponent_row(
    name: str, sizes: Mapping[str, float], timings: Mapping[str, Timing], expected: float, **more: Any
) -> Row:
    """Return the exponent, median of the rounds with their range, beside the expected one and the measured curve."""
    row = spread_row(name, exponents(sizes, timings), "", expected=expected, **more)
    return row | {"sizes": list(sizes.values()), "seconds": [timings[name].median for name in sizes]}


def growth(
    what: str,
    sizes: tuple[int, ...],
    call: Callable[[int], Callable[[], Any]],
    expected: float,
    rounds: int,
    **more: Any,
) -> Row:
    """Race the same problem at several sizes and return the exponent of the size in sloc's time.

    Args:
        what: which size it is.
        sizes: increasing.
        call: from a size to the work.
        expected: exponent of a cost that is bound by what grows; a fixed cost that still shows makes it smaller.
        rounds: interleaved rounds.
        more: further entries of the row.

    """
    named = {f"{what} = {size}": float(size) for size in sizes}
    timings = race([Contender(name, call(int(size))) for name, size in named.items()], rounds)
    return exponent_row(f"growth: exponent of {what} in sloc's time", named, timings, expected, **more)
