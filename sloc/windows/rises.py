"""Windows as rises of a curve: the rule of recorded language-model answers, on plain arrays."""

from __future__ import annotations

import numpy as np

from sloc.contracts import require
from sloc.contracts.arguments import as_floats, as_real

TOLERANCE = 1e-9
"""Rises are compared with their threshold up to this much, so that 0.7 - 0.2 does not pass for more than 0.5."""


def find_rises(
    times: np.ndarray, value: np.ndarray, rise: float = 0.5, max_drop: float | None = None
) -> list[tuple[int, int]]:
    """All steps of a curve that rise by more than ``rise`` when walking from high ``t`` to low ``t``.

    Walking down in ``t`` is walking along the generation.  A step joins two consecutive times; its
    rise is ``value(lower t) - value(higher t)``.  Source: Li, Karan & Chen 2025, Sect. 6.2 (a window
    is a rise above 0.5 between consecutive kept fractions; their code also asks for no drop above 0.3).

    Args:
        times: ``[T]`` times in any order, no two equal.
        value: ``[T]`` the curve, for example the probability of the same answer.
        rise: the threshold; a rise must exceed it.
        max_drop: if given, a curve that anywhere drops by more than this has no window.

    Returns:
        Index pairs ``(before, after)`` into the given arrays, ``times[before] > times[after]``, largest
        rise first (the earlier in the generation where equal).

    Raises:
        InvalidInput: arrays of different or wrong shape, not finite, equal times, thresholds negative.

    """
    times, value = as_floats(times, "times"), as_floats(value, "value")
    require(times.ndim == 1, "times", times, "a one-dimensional array")
    require(value.shape == times.shape, "value", value, f"an array of shape {times.shape}, like times")
    require(bool(np.isfinite(times).all()), "times", times, "finite numbers")
    require(bool(np.isfinite(value).all()), "value", value, "finite numbers")
    require(np.unique(times).size == times.size, "times", times, "times that differ from one another")
    require(0 <= as_real(rise) < np.inf, "rise", rise, "a threshold that is not negative")
    require(max_drop is None or as_real(max_drop) >= 0, "max_drop", max_drop, "None or a number that is not negative")
    order = np.argsort(-times)
    steps = np.diff(value[order])
    if max_drop is not None and bool((steps < -max_drop - TOLERANCE).any()):
        return []
    passing = np.flatnonzero(steps > rise + TOLERANCE)
    passing = passing[np.argsort(-np.round(steps[passing], 9), kind="stable")]
    return [(int(order[i]), int(order[i + 1])) for i in passing]


def rise_window(
    times: np.ndarray, value: np.ndarray, rise: float = 0.5, max_drop: float | None = None
) -> tuple[int, int] | None:
    """Return the largest rise above ``rise`` walking from high ``t`` to low ``t``, or None.

    Args:
        times: ``[T]`` times in any order, no two equal.
        value: ``[T]`` the curve.
        rise: the threshold.
        max_drop: if given, a curve that anywhere drops by more than this has no window.

    Returns:
        Indices ``(before, after)`` into the arrays: the window is ``[times[after], times[before]]``.

    Raises:
        InvalidInput: as ``find_rises``.

    """
    found = find_rises(times, value, rise, max_drop)
    return found[0] if found else None
