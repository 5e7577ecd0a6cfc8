"""Fitted exponents: one function, and what its intervals mean."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import t as student

LOCAL, BOX, LEVEL = "least and largest slope between neighbours", "all slopes that the intervals allow", 0.99


def slope(
    x: Any,
    y: Any,
    *,
    band: tuple[Any, Any] | None = None,
    log_y: bool = True,
    bend: tuple[str, Any] | None = None,
    scatter: tuple[str, Any] | None = None,
) -> tuple[float, float, float, str]:
    """Return the exponent ``b`` of ``v = a + b u (+ c g)``, an interval of it, and what the interval means.

    Here ``u = ln x``, ``v = ln y`` (or ``y``) and ``g`` a term that vanishes in the limit.  The interval is one of the
    exponent in the limit, by what is known of the points:

    - Exact, a law at every size: the least and the largest slope between neighbours (all points on one line).
    - Exact, with ``g``: the line and ``g`` through the three points farthest in the limit (Richardson), give or take
      how much that differs from the three before them, and rounding.  It holds the exponent when each step towards
      the limit at least halves the error.
    - With a band: least squares of all terms.  The exponent is linear in the values, so its extremes over the band are
      attained at corners: the interval holds whenever the band and the law do.
    - With scatter: least squares with weights ``1 / size^2`` and a t-interval from the residuals, wider by the band's.
    - Repeated, ``y [repeats, n]``: the mean slope and its t-interval over independent repeats.

    Args:
        x: what varies, ``[n]``.
        y: what follows, ``[n]`` or ``[repeats, n]``.
        band: lower and upper ends of ``y``.
        log_y: whether the law is one of ``ln y``.
        bend: name and values of ``g``, ``[n]``.
        scatter: name and sizes, up to one factor, of independent random parts of ``v``, ``[n]``.

    """
    u, values = np.log(np.asarray(x, np.float64)), np.asarray(y, np.float64)
    v = np.log(values) if log_y else values
    g = None if bend is None else np.asarray(bend[1], np.float64)
    size = np.ones(len(u)) if scatter is None else np.asarray(scatter[1], np.float64)
    terms = np.stack([np.ones(len(u)), u] if g is None else [np.ones(len(u)), u, g], 1)
    named = "" if bend is None else f", with a term in {bend[0]}"
    c = np.linalg.pinv(terms / size[:, None])[1] / size
    if v.ndim == 2:
        each = v @ c
        half = _quantile(len(each) - 1) * each.std(ddof=1) / np.sqrt(len(each))
        kind = f"{LEVEL:.0%} t-interval over {len(each)} repeats{named}"
        return float(each.mean()), float(each.mean() - half), float(each.mean() + half), kind
    if band is not None:
        low, high = (np.log(b) if log_y else np.asarray(b, np.float64) for b in band)
        ends = [float(c @ np.where((c > 0) == up, high, low)) for up in (False, True)]
    else:
        ends = [float(c @ v)] * 2
    if scatter is not None:
        freedom = len(u) - terms.shape[1]
        rest = (v - terms @ (np.linalg.pinv(terms / size[:, None]) @ (v / size))) / size
        half = _quantile(freedom) * np.sqrt(rest @ rest / freedom * (c**2 @ size**2))
        kind = f"{LEVEL:.0%} t-interval, scatter ~ {scatter[0]}{named}"
        return float(c @ v), float(ends[0] - half), float(ends[1] + half), kind
    if band is not None:
        return float(c @ v), ends[0], ends[1], BOX + named
    if g is None:
        local = np.diff(v) / np.diff(u)
        return float(c @ v), float(local.min()), float(local.max()), LOCAL
    order = np.argsort(-np.abs(g))
    ways = [np.linalg.inv(terms[three])[1] for three in (order[-4:-1], order[-3:])]
    before, last = (float(way @ v[three]) for way, three in zip(ways, (order[-4:-1], order[-3:]), strict=True))
    half = abs(last - before) + DIGITS * np.abs(ways[1]).sum()
    return last, float(last - half), float(last + half), f"limit{named}, ± what the last point changed"


DIGITS = 2e-6
"""Up to what the logarithm (or the value) of an exact number may be off: edges are found to 1e-9 and less."""


def _quantile(freedom: int) -> float:
    """Return by how many standard errors a t-interval reaches."""
    return float(student.ppf((1 + LEVEL) / 2, freedom))
