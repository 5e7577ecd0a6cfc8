"""Windows read off a curve that somebody already has."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sloc.contracts import require
from sloc.contracts.arguments import as_floats, as_real, as_whole
from sloc.divergence.checks import checked_epsilon
from sloc.results.curve import Curve, checked_curve
from sloc.results.status import Status
from sloc.results.window import Window
from sloc.windows.edges import edge_on_grid
from sloc.windows.rises import rise_window


def find_window(
    curve: Curve,
    *,
    epsilon: float | None = None,
    rise: float | None = None,
    separation: Curve | None = None,
    max_drop: float | None = None,
    horizon: float = np.inf,
    discrete: bool = False,
) -> Window:
    """Find the window of any curve over times, by a TV threshold or by a rise.

    With ``epsilon``: ``curve`` is ``TV(after, before)`` and ``separation`` is ``TV(after, rest)`` (default: the same
    curve); ``T_before = inf {t : TV(after, before) <= epsilon}`` and
    ``T_after = sup {t : TV(after, rest) >= 1 - epsilon^2}``, both by linear interpolation, with intervals from the
    curves' bands.  With ``rise``: walking from the noisiest time towards ``t = 0``, the window is the largest step up,
    if it exceeds ``rise`` (the rule of Li, Karan & Chen 2025, Sect. 6.2, there 0.5 between kept fractions); no interval
    is claimed for it.

    ``delta`` of the window is that of the curve's band, of two curves their sum (Bonferroni); NaN where a curve does
    not tell it, and for a rise in a curve that is not exact.

    Args:
        curve: a scalar curve, ``[T]``.
        epsilon: threshold in ``[1e-6, 1)``; give this or ``rise``.
        rise: least step, in ``[0, 1)``.
        separation: a second curve on times of its own, for ``T_after``.
        max_drop: with ``rise``, refuse curves with a drop larger than this anywhere (their code: 0.3).
        horizon: with ``epsilon``, the largest possible time, where an open interval ends.
        discrete: with ``epsilon``, whether only the curve's times exist, so that edges are not interpolated.

    Returns:
        The window, with statuses; ``draws`` is the curve's ``n``.

    Raises:
        InvalidInput: a curve with columns, with fewer than two times, times not increasing, values not finite, a
            lower band above the upper one; both or neither of ``epsilon`` and ``rise``.

    Source: Li, Karan & Chen 2025, Def. 4 and Sect. 6.2.

    """
    require((epsilon is None) != (rise is None), "epsilon, rise", (epsilon, rise), "exactly one of the two")
    times, value, lower, upper = _checked(curve, "curve")
    require(as_real(horizon) > 0, "horizon", horizon, "a positive number, or infinity")
    if rise is not None:
        require(0.0 <= as_real(rise) < 1.0, "rise", rise, "a number in [0, 1)")
        return _by_rise(curve, times, value, float(rise), max_drop)
    level = checked_epsilon(epsilon)
    require(max_drop is None, "max_drop", max_drop, "None with epsilon: it belongs to rise")
    second = separation if separation is not None else curve
    before = edge_on_grid(times, value, lower, upper, level, "first", horizon=horizon, discrete=discrete)
    after = edge_on_grid(*_checked(second, "separation"), 1 - level**2, "last", horizon=horizon, discrete=discrete)
    statuses = after.status, before.status
    if after.value is not None and before.value is not None and before.value < after.value:
        # By the points: intervals between a given curve's times are too wide to ask.
        statuses = "inverted", "inverted"
    method = " and ".join(dict.fromkeys(c.method for c in (curve, second) if c.method))
    draws = max(int(curve.n), int(second.n))
    delta = _level(curve) if second is curve else min(_level(curve) + _level(second), 1.0)
    return Window(
        after.value,
        before.value,
        after.interval,
        before.interval,
        *statuses,
        level,
        delta,
        draws,
        f"crossings of a given curve ({method})" if method else "crossings of a given curve",
        curve.quantity,
        time_axis=curve.time_axis,
    )


def _by_rise(curve: Curve, times: np.ndarray, value: np.ndarray, rise: float, max_drop: float | None) -> Window:
    pair = rise_window(times, value, rise, max_drop)
    low, high = (None, None) if pair is None else sorted(float(times[i]) for i in pair)
    status: Status = "empty" if pair is None else "resolved"
    delta = 0.0 if _level(curve) == 0.0 else math.nan  # a step of drawn values has no interval, so no level
    method = f"largest rise > {rise:g} between neighbouring times"
    return Window(
        low,
        high,
        None,
        None,
        status,
        status,
        rise,
        delta,
        int(curve.n),
        method,
        curve.quantity,
        time_axis=curve.time_axis,
    )


def _level(curve: Curve) -> float:
    return float(np.asarray(curve.delta))


def _checked(curve: Any, argument: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    times, *arrays = checked_curve(curve, argument)
    require(times.size >= 2, f"{argument}.times", curve.times, "at least two times")
    for field, array in zip(("value", "lower", "upper"), arrays, strict=True):
        alone = array.shape == times.shape
        require(alone, f"{argument}.{field}", array.shape, f"shape {times.shape}; take one label with Curve.column")
        require(bool(np.isfinite(array).all()), f"{argument}.{field}", array, "finite numbers")
    require(as_whole(curve.n) >= 0, f"{argument}.n", curve.n, "a number of draws, 0 where exact")
    known = as_floats(curve.delta, f"{argument}.delta")
    require(
        known.ndim == 0 and bool(np.isnan(known) or 0 <= known < np.inf),
        f"{argument}.delta",
        curve.delta,
        "an error level, NaN where not known",
    )
    # The value need not lie in the band, which other times may have narrowed; rounding is that of float32.
    ordered = bool((arrays[1] <= arrays[2] + 1e-5 * np.maximum(1.0, np.abs(arrays[2]))).all())
    require(ordered, f"{argument}.lower", curve.lower, f"a lower band that is at most {argument}.upper")
    return times, arrays[0], arrays[1], arrays[2]
