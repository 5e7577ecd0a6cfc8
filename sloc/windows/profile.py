"""The information profile: how many bits of a feature are decided when, a window without an epsilon.

``I(theta; Y_t)`` never increases in ``t``, so ``-dI/dt`` is a density of bits over time: between two noise levels a
sampler decides exactly the difference.  All three functions take the curve of :func:`sloc.information_curve`; for a
sequence under truncation or ordered masking, times of unit steps, a step of the curve is the information of one token:
exact where the curve is (chains and independent letters of few words, labelled atoms, coins), else an estimate with a
band.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sloc.contracts import require
from sloc.contracts.arguments import as_real, checked_level
from sloc.results.curve import Curve
from sloc.results.estimate import Estimate
from sloc.results.window import Window
from sloc.windows.edges import edge_on_grid


def information_density(curve: Curve) -> Curve:
    """``-dI/dt`` between neighbouring times, in bits per unit of ``t``.

    Differences of the curve (for discrete time with unit steps: bits per token, one step a token), exact where the
    curve is exact and without bias where it has none.  The band follows from the curve's simultaneous band,
    ``(l_i - u_{i+1}) / dt .. (u_i - l_{i+1}) / dt`` cut at 0, so it holds for all intervals at once.  With common
    random numbers the values are far smoother than the band is wide.

    Source: the library's own.

    Args:
        curve: ``I(theta; Y_t)`` over times, ``[T]``.

    Returns:
        A curve on the ``T - 1`` midpoints; its integral over the grid is ``I(t_0) - I(t_{T-1})``.

    Raises:
        InvalidInput: a curve with columns or with fewer than two times.

    """
    times, value, lower, upper = _scalar(curve)
    dt = np.diff(times)
    density = (value[:-1] - value[1:]) / dt
    low = np.maximum((lower[:-1] - upper[1:]) / dt, 0.0)
    high = np.maximum((upper[:-1] - lower[1:]) / dt, 0.0)
    stderr = np.hypot(np.asarray(curve.stderr)[:-1], np.asarray(curve.stderr)[1:]) / dt
    return Curve(
        (times[:-1] + times[1:]) / 2,
        density,
        stderr,
        low,
        high,
        curve.n,
        curve.method,
        "information density",
        f"{curve.unit or 'bits'} per unit of t",
        delta=curve.delta,
        time_axis=curve.time_axis,
    )


def decided_between(curve: Curve, low: float, high: float) -> Estimate:
    """Bits decided while generation runs from ``t = high`` down to ``t = low``: ``I(low) - I(high)``.

    Linear interpolation between the curve's times; the interval follows from the simultaneous band and monotonicity
    (each end is bounded by the neighbouring grid times), so it holds for any two levels, chosen afterwards too.

    Source: the library's own.

    Args:
        curve: ``I(theta; Y_t)`` over times.
        low: the less noisy level, inside the curve's times.
        high: the noisier level, above ``low``.

    Returns:
        The estimate in the curve's unit.

    Raises:
        InvalidInput: levels outside the curve's times or not in order.

    """
    times, value, lower, upper = _scalar(curve)
    require(
        times[0] <= as_real(low) < as_real(high) <= times[-1],
        "low, high",
        (low, high),
        f"levels in order inside the curve's times, {times[0]:g} .. {times[-1]:g}",
    )

    def at(t: float) -> tuple[float, float, float, float]:
        before = int(np.searchsorted(times, t, side="right")) - 1
        after = int(np.searchsorted(times, t, side="left"))
        # Between grid times a falling curve lies below its band before and above its band after.
        stderr = float(np.interp(t, times, np.asarray(curve.stderr, np.float64)))
        return float(np.interp(t, times, value)), float(lower[after]), float(upper[before]), stderr

    first, last = at(low), at(high)
    return Estimate(
        first[0] - last[0],
        float(np.hypot(first[3], last[3])),
        max(first[1] - last[2], 0.0),
        max(first[2] - last[1], 0.0),
        curve.n,
        curve.method,
        f"information gained from t = {high:g} down to t = {low:g}" + (f" [{curve.unit}]" if curve.unit else ""),
    )


def information_window(curve: Curve, share: float = 0.8, *, total: float | None = None) -> Window:
    """Noise levels between which the middle ``share`` of a feature's information is decided.

    ``T_before`` is where ``I`` falls to ``(1 - share) / 2`` of the total, ``T_after`` where it falls to
    ``(1 + share) / 2`` of it; both are estimates by interpolation.  Intervals hold whenever the curve's band does,
    so at the band's level for all shares at once.  A total that is given is taken as known.  By default it is the
    information at the first time ``t_0``, which is as uncertain as the curve: the band of ``I(t) / I(t_0)`` then runs
    from ``lower(t) / upper(t_0)`` to ``upper(t) / lower(t_0)``, cut at 1, which no later time exceeds.

    Source: the library's own.

    Args:
        curve: ``I(theta; Y_t)`` over times.
        share: in ``(0, 1)``.
        total: the feature's entropy ``H(w)`` in the curve's unit, or another total that is known; default the
            information at the first time.

    Returns:
        A window whose ``epsilon`` is ``(1 - share) / 2`` and whose ``delta`` is the curve's.

    Raises:
        InvalidInput: a share outside ``(0, 1)``, a total that is not positive and finite (by default: a value at the
            first time that is not), values or a band that are not finite.

    """
    times, value, lower, upper = _scalar(curve)
    share = checked_level(share, "share")
    whole = as_real(value[0] if total is None else total)
    expected = "a positive number of bits" + (" at the curve's first time" if total is None else "")
    require(np.isfinite(whole) and whole > 0, "total", whole if total is None else total, expected)
    for name, array in (("value", value), ("lower", lower), ("upper", upper)):
        require(bool(np.isfinite(array).all()), f"curve.{name}", array, "finite numbers")
    least, most = (whole, whole) if total is not None else (max(float(lower[0]), 0.0), float(upper[0]))
    tail = (1 - share) / 2
    value = value / whole
    # Nothing is known of a share of what may be nothing; the cut below says all there is to say.
    upper = upper / least if least > 0 else np.full_like(upper, np.inf)
    lower = lower / most
    if total is None:
        upper = np.minimum(upper, 1.0)
        lower[0] = 1.0
    after = edge_on_grid(times, value, lower, upper, 1 - tail, "last")
    before = edge_on_grid(times, value, lower, upper, tail, "first")
    return Window(
        after.value,
        before.value,
        after.interval,
        before.interval,
        after.status,
        before.status,
        tail,
        float(np.asarray(curve.delta)),
        int(curve.n),
        f"middle {share:.0%} of the information ({curve.method})",
        curve.quantity,
        time_axis=curve.time_axis,
    )


def _scalar(curve: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    require(isinstance(curve, Curve) and not curve.labels, "curve", curve, "a scalar sloc.Curve")
    times = np.asarray(curve.times, np.float64)
    require(times.size >= 2, "curve.times", curve.times, "at least two times")
    value, lower, upper = (np.asarray(getattr(curve, k), np.float64) for k in ("value", "lower", "upper"))
    return times, value, lower, upper
