"""Edges of a quantity that never increases in time: where it falls through a threshold.

Two kinds: ``inf {t : q(t) <= c}`` (``first``) and ``sup {t : q(t) >= c}`` (``last``).  Pure functions of arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sloc.contracts import require
from sloc.contracts.arguments import as_floats, as_real, checked_number, is_one_of
from sloc.results import Interval, Status
from sloc.results.curve import Curve

Side = Literal["first", "last"]


@dataclass(frozen=True)
class Edge:
    """One edge: its point, an interval for it, and how it was found.

    Attributes:
        value: the point, or None where ``status`` says there is none.
        interval: times between which the true edge lies, or None.
        status: see :data:`sloc.results.Status`.

    """

    value: float | None
    interval: Interval | None
    status: Status


def edge_on_grid(
    times: np.ndarray,
    value: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    threshold: float,
    side: Side,
    *,
    horizon: float = np.inf,
    discrete: bool = False,
) -> Edge:
    """Find an edge of a non-increasing curve from its values and band on a grid.

    The point is where linear interpolation of the values crosses (a grid time itself when time is discrete).  The
    interval is the band's: it runs from the last time at which the lower band is still above the threshold to the
    first at which the upper band is below it, and contains the true edge whenever the band contains the curve.

    Args:
        times: ``[T]``, increasing.
        value: ``[T]``.
        lower: lower band ``[T]``.
        upper: upper band ``[T]``.
        threshold: ``c``.
        side: ``first`` for ``inf {q <= c}``, ``last`` for ``sup {q >= c}``.
        horizon: largest possible time, the far end of an open interval.
        discrete: whether only grid times can be edges.

    Returns:
        The edge; ``below_grid`` or ``above_grid`` where the whole band lies on one side of the threshold, ``empty``
        where it does so for ``last`` from ``t = 0`` on, ``unresolved`` where the band leaves the interval open.

    """
    times, threshold = as_floats(times, "times"), _checked(threshold, side, horizon)
    require(times.ndim == 1 and times.size > 0, "times", times, "a non-empty one-dimensional sequence")
    require(bool(np.isfinite(times).all() and (np.diff(times) > 0).all()), "times", times, "finite, increasing times")
    value, lower, upper = as_floats(value, "value"), as_floats(lower, "lower"), as_floats(upper, "upper")
    for name, band in (("value", value), ("lower", lower), ("upper", upper)):
        require(band.shape == times.shape, name, band.shape, f"shape {times.shape}, like times")
        require(not np.isnan(band).any(), name, band, "numbers, none of them NaN")
    # The last time at which the curve is on the high side; strictness differs between inf and sup.
    high = value > threshold if side == "first" else value >= threshold
    surely_high = lower > threshold if side == "first" else lower >= threshold
    surely_low = upper <= threshold if side == "first" else upper < threshold
    i = int(np.flatnonzero(high)[-1]) if high.any() else -1
    a = int(np.flatnonzero(surely_high)[-1]) if surely_high.any() else -1
    b = int(np.flatnonzero(surely_low)[0]) if surely_low.any() else len(times)
    interval = (float(times[a]) if a >= 0 else 0.0, float(times[b]) if b < len(times) else float(horizon))
    if discrete:
        # Between neighbouring steps nothing happens: inf is the step after, sup the step before.
        interval = (
            (interval[0] + 1 if a >= 0 and side == "first" else interval[0]),
            (interval[1] - 1 if b < len(times) and side == "last" else interval[1]),
        )
    # At t = 0 an infimum exists whatever the curve does, a supremum only if the curve starts high.
    starts = times[0] == 0.0
    if i == -1 and b == 0:
        if starts:
            return Edge(0.0, (0.0, 0.0), "resolved") if side == "first" else Edge(None, None, "empty")
        return Edge(None, interval, "below_grid")
    if i == len(times) - 1 and a == i:
        return Edge(None, interval, "above_grid")
    point = crossing_point(times, value, threshold, side, discrete=discrete)
    if i == -1 and starts and side == "first":
        point = 0.0
    settled = point is not None and (a >= 0 or (starts and side == "first")) and b < len(times)
    if point is not None:
        # Noise can carry the values across the threshold once more, outside what the band allows.
        point = float(np.clip(point, *interval)) if interval[0] <= interval[1] else point
    return Edge(point if settled else None, interval, "resolved" if settled else "unresolved")


def edge_of_curve(
    curve: Curve, threshold: float, side: Side, *, horizon: float = np.inf, discrete: bool = False
) -> Edge:
    """Find an edge of a measured curve ``[T]`` that does not increase, by its values and band; see ``edge_on_grid``."""
    return edge_on_grid(
        curve.times, curve.value, curve.lower, curve.upper, threshold, side, horizon=horizon, discrete=discrete
    )


def bracket(edge: Edge, times: np.ndarray) -> Interval | None:
    """Return the stretch of the grid ``times`` in which an edge may lie, or None where a second look is idle."""
    if edge.interval is None or edge.status not in ("resolved", "unresolved"):
        return None
    low, high = (float(np.clip(end, times[0], times[-1])) for end in edge.interval)
    return (low, high) if high > low else None


def combined(first: Edge, second: Edge, point: float | None) -> Edge:
    """Intersect the intervals of two looks that hold jointly, and keep a point inside.

    Args:
        first: the edge on the grid.
        second: the edge on the times inside its bracket.
        point: where the second look's values cross, if they do.

    Returns:
        ``resolved`` where one look resolves the edge and the intervals meet, else ``unresolved``.

    """
    if first.interval is None or second.interval is None:
        return first
    low, high = max(first.interval[0], second.interval[0]), min(first.interval[1], second.interval[1])
    if low > high:
        return Edge(None, first.interval, "unresolved")
    if "resolved" not in (first.status, second.status):
        return Edge(None, (low, high), "unresolved")
    best = next((p for p in (point, second.value, first.value) if p is not None), None)
    if best is None:
        return Edge(None, (low, high), "unresolved")
    return Edge(float(np.clip(best, low, high)), (low, high), "resolved")


def _checked(threshold: Any, side: Any, horizon: Any) -> float:
    require(is_one_of(side, ("first", "last")), "side", side, "'first' or 'last'")
    require(as_real(horizon) > 0, "horizon", horizon, "a positive number, or infinity")
    return checked_number(threshold, "threshold")


def crossing_point(
    times: np.ndarray, value: np.ndarray, threshold: float, side: Side, *, discrete: bool = False
) -> float | None:
    """Where the values of a curve on a grid cross a threshold, whatever their band.

    Args:
        times: ``[T]``, increasing.
        value: ``[T]``.
        threshold: ``c``.
        side: ``first`` for ``inf {q <= c}``, ``last`` for ``sup {q >= c}``.
        discrete: whether only grid times can be edges.

    Returns:
        The point after the last time at which the values are on the high side, by linear interpolation (a grid time
        when discrete), or None where they do not cross inside the grid.

    """
    high = value > threshold if side == "first" else value >= threshold
    i = int(np.flatnonzero(high)[-1]) if high.any() else -1
    if i == -1 or i == len(times) - 1:
        return None
    if discrete:
        return float(times[i + 1] if side == "first" else times[i])
    fall = value[i] - value[i + 1]
    share = (value[i] - threshold) / fall if fall > 0 else 0.5
    return float(times[i] + np.clip(share, 0.0, 1.0) * (times[i + 1] - times[i]))


def exact_edge(
    quantity: Callable[[float], float], threshold: float, side: Side, *, horizon: float, discrete: bool
) -> Edge:
    """Find an edge of an exactly known non-increasing function of time by bracketing and root finding.

    Args:
        quantity: ``q(t)``, evaluated in float64.
        threshold: ``c``.
        side: ``first`` or ``last``.
        horizon: largest time; ``inf`` allowed.
        discrete: whether time is whole; then the edge is found by integer bisection.

    Returns:
        The edge to about 1e-12 in ``t`` (exactly when discrete), with a zero-width interval.

    """
    from scipy.optimize import brentq

    require(callable(quantity), "quantity", quantity, "a function of time")
    threshold = _checked(threshold, side, horizon)

    def high(t: float) -> bool:
        q = quantity(t)
        return q > threshold if side == "first" else q >= threshold

    if not high(0):
        return Edge(0.0, (0.0, 0.0), "resolved") if side == "first" else Edge(None, None, "empty")
    low, top = 0.0, min(1.0, horizon)
    if discrete:
        top = horizon if np.isfinite(horizon) else 1.0
    while high(top):
        if top >= horizon or top > 1e15:
            return Edge(None, None, "above_grid")
        low, top = top, min(2 * top, horizon)
    if discrete:
        left, right = int(low), int(top)
        while right - left > 1:
            middle = (left + right) // 2
            left, right = (middle, right) if high(middle) else (left, middle)
        point = float(right if side == "first" else left)
    else:
        gap_low, gap_top = quantity(low) - threshold, quantity(top) - threshold
        if gap_low * gap_top < 0:
            root: Any = brentq(lambda t: quantity(t) - threshold, low, top, xtol=1e-13)
            point = float(root)
        else:
            point = low if gap_low == 0 else top
    return Edge(point, (point, point), "resolved")
