"""Curves of different processes over one axis: information lost instead of each process's own time."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from sloc.contracts import backwards, require
from sloc.contracts.arguments import as_floats, as_real
from sloc.results.curve import Curve

_ELSEWHERE = backwards("level on the axis given")


def information_axis(curve: Curve, *, total: float | None = None) -> np.ndarray:
    """Return how much of a feature's information is lost by each time: ``total - I(theta; Y_t)``.

    ``I`` never increases in ``t`` (data processing), so the values are first projected on falling sequences (least
    squares), which removes what sampling noise there is against it: an estimate, exact where the curve is.
    Processes whose times have nothing in common can be compared on this axis: at equal loss they say equally much about
    ``theta``.

    Source: the library's own.

    Args:
        curve: ``I(theta; Y_t)`` over times, from :func:`sloc.information_curve`.
        total: the information at ``t = 0`` in the curve's unit, usually the entropy ``H(w)``; give the same to all
            curves that are compared.  Default: the curve's value at its first time.

    Returns:
        ``[T]`` float64 in the curve's unit (bits), never decreasing, at least 0.

    Raises:
        InvalidInput: a curve with columns or without times, values that are not finite, a total that is not positive.

    """
    require(isinstance(curve, Curve) and not curve.labels, "curve", curve, "a scalar sloc.Curve")
    value = np.asarray(curve.value, np.float64)
    require(value.ndim == 1 and value.size >= 1, "curve.value", value.shape, "one value for each of at least one time")
    require(bool(np.isfinite(value).all()), "curve.value", value, "finite numbers")
    from scipy.optimize import isotonic_regression

    falling = np.asarray(isotonic_regression(value, increasing=False).x)
    whole = as_real(falling[0] if total is None else total)
    given = whole if total is None else total
    require(np.isfinite(whole) and whole > 0, "total", given, "a positive amount of information")
    return np.maximum(whole - falling, 0.0)


def on_axis(curve: Curve, axis: Any) -> Curve:
    """Return a curve over another axis: value, band and all else stay exactly, ``times`` become the axis's values.

    ``v(axis_i) = value_i``, with the band likewise.  Pictures call it the axis given, which no longer is the process's
    time; ``dataclasses.replace(curve, time_axis="bits lost")`` names it.

    Windows read off it (:func:`sloc.find_window`) are then in the units of the axis.  An axis that falls with noise,
    like ``sloc.processes.log_snr``, is given as its negative.

    Source: the library's own.

    Args:
        curve: any curve, ``[T]`` or ``[T, C]``.
        axis: ``[T]``, never decreasing, e.g. :func:`information_axis` of the same process at the same times.

    Returns:
        The curve over the axis; float64.

    Raises:
        InvalidInput: an axis of another length, not finite, or decreasing somewhere.

    """
    require(isinstance(curve, Curve), "curve", curve, "a sloc.Curve")
    values = as_floats(axis, "axis")
    count = np.shape(curve.times)
    require(values.shape == count, "axis", values.shape, f"shape {count}, one value for each of the curve's times")
    require(bool(np.isfinite(values).all()), "axis", axis, "finite numbers")
    rising = bool((np.diff(values) >= 0).all())
    require(rising, "axis", axis, "an axis that does not decrease: it grows with noise (negate one that falls)")
    return dataclasses.replace(curve, times=values, time_axis=_ELSEWHERE)
