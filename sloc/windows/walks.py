"""Walks along a ladder of times towards an edge: fixed-sequence testing, one walk for each side.

The rungs are ``point -+ radius * {..., 4, 2, 1}``, outermost first, in an order fixed before the draws that test them.
A walk stops at the first rung that does not pass; the last that did bounds the edge.  That bound is wrong only if the
first rung on the wrong side passes, so a walk errs with probability at most the level of one test.

Source: fixed-sequence testing as in Learn-then-Test (arXiv 2110.01052).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sloc.windows.edges import Edge
from sloc.windows.overlap import Overlap, OverlapDraws
from sloc.windows.search import Question

Test = Callable[[float], bool]
Bound = Callable[[Any, float], Any]


def ladder(
    point: float, radius: float, rungs: tuple[float, ...], discrete: bool, horizon: float
) -> tuple[np.ndarray, np.ndarray]:
    """Times below and above a point, outermost first."""
    steps = np.asarray(rungs) * radius
    if discrete:
        # Radii below one step would leave one rung: beside a near tie it fails, and the edge stays open to the end.
        steps = np.maximum(np.ceil(steps), np.minimum(np.arange(len(rungs), 0.0, -1.0), 4.0))
        low = np.clip(np.ceil(point) - steps, 0.0, horizon)
        high = np.clip(np.floor(point) + steps, 0.0, horizon)
        return np.unique(low), np.unique(high)[::-1]
    floor = point * 1e-3
    low, high = np.maximum(point - steps, floor), np.minimum(point + steps, horizon)
    low, high = (v.astype(np.float32).astype(np.float64).clip(0.0, horizon) for v in (low, high))
    return np.unique(low), np.unique(high)[::-1]


def rung_tests(
    draws: OverlapDraws,
    data: np.ndarray,
    overlap: Overlap,
    question: Question,
    level: float,
    upper: Bound,
    lower: Bound,
) -> tuple[Test, Test]:
    """Return tests of one time each: whether it is certainly on the high side, and certainly on the low side.

    Each errs with probability at most ``level``.  ``data [T, ...]`` is what the bounds on the mean take, row by row:
    only the times that a walk comes to are evaluated.
    """
    target = overlap.target(question.threshold, draws.scale)
    row = {float(t): i for i, t in enumerate(draws.times)}
    first = question.side == "first"

    def surely_high(t: float) -> bool:
        i = row[float(t)]
        bound = float(upper(data[i], level))
        return bound < target[i] if first else bound <= target[i] or target[i] >= 1.0

    def surely_low(t: float) -> bool:
        i = row[float(t)]
        bound = float(lower(data[i], level))
        return bound >= target[i] or target[i] <= 0.0 if first else bound > target[i]

    return surely_high, surely_low


def walk(times: np.ndarray, passes: Test, reached: int = 0) -> int:
    """Return how many times pass before the first failure, ``reached`` of them being known to."""
    while reached < len(times) and passes(float(times[reached])):
        reached += 1
    return reached


def rung_bounds(
    low: np.ndarray, left: int, high: np.ndarray, right: int, question: Question, discrete: bool
) -> tuple[float | None, float | None]:
    """Turn the rungs passed on either side into bounds on an edge: the last of them; None where none passed."""
    start = end = None
    if left:
        start = float(low[left - 1]) + (1.0 if discrete and question.side == "first" else 0.0)
    if right:
        end = float(high[right - 1]) - (1.0 if discrete and question.side == "last" else 0.0)
    return start, end


def bounded_edge(point: float, start: float | None, end: float | None, horizon: float) -> Edge:
    """Return the edge between two bounds; unresolved where one is missing or they contradict each other."""
    interval = 0.0 if start is None else start, horizon if end is None else end
    if start is None or end is None:
        return Edge(None, interval, "unresolved")
    if start > end:
        return Edge(None, (0.0, horizon), "unresolved")
    return Edge(float(np.clip(point, start, end)), interval, "resolved")
