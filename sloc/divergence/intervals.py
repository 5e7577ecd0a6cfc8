"""Finite-sample intervals for means of bounded draws, and bands tightened by monotonicity."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sloc.contracts import namespace, require
from sloc.contracts.arguments import as_array


def maurer_pontil(mean: Any, variance: Any, n: Any, delta: float, span: Any = 1.0) -> Any:
    """Half-width of the empirical-Bernstein interval.

    ``span (sqrt(2 v L / n) + 7 L / (3 (n - 1)))`` with ``L = log(4 / delta)`` and ``v`` the unbiased variance of
    values divided by ``span``; ``|mean - truth|`` exceeds it with probability at most ``delta``.  Valid for
    independent, identically distributed values in an interval of length ``span``, at every ``n >= 2``; fewer count
    as 2.  It is of what the library itself summed up, so nothing is checked.

    Args:
        mean: sample mean (its shape is the result's).
        variance: unbiased sample variance.
        n: number of values.
        delta: error level of the two-sided interval.
        span: length of the interval the values lie in.

    Returns:
        The half-width, same shape as ``mean``.

    Source: Maurer & Pontil 2009, Theorem 4, both sides.

    """
    xp = namespace(mean, variance, n)
    level = math.log(4.0 / delta)
    count = xp.maximum(xp.asarray(n, mean.dtype), 2)
    return xp.sqrt(2.0 * variance * level / count) + 7.0 * span * level / (3.0 * (count - 1.0)) + xp.zeros_like(mean)


def tighten(lower: Any, upper: Any, decreasing: bool = True) -> tuple[Any, Any]:
    """Tighten a simultaneous band of a monotone curve along its first axis.

    A band that holds at all times at once still holds after ``lower(t) = max_{t' >= t} lower(t')`` and
    ``upper(t) = min_{t' <= t} upper(t')`` when the truth never increases (the converse when it never decreases).

    Args:
        lower: lower band, time first.
        upper: upper band, time first.
        decreasing: whether the truth never increases in time.

    Returns:
        The tightened ``(lower, upper)``.

    """
    lower, upper = as_array(lower, "lower"), as_array(upper, "upper")
    for name, band in (("lower", lower), ("upper", upper)):
        require(np.ndim(band) >= 1, name, band, "an array whose first axis is time")
    if not decreasing:
        low, high = tighten(lower[::-1], upper[::-1])
        return low[::-1], high[::-1]
    if namespace(lower, upper) is np:
        return np.maximum.accumulate(lower[::-1])[::-1], np.minimum.accumulate(upper)
    import jax

    return jax.lax.cummax(lower, axis=0, reverse=True), jax.lax.cummin(upper, axis=0)
