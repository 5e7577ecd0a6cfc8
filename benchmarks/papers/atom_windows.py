"""Exact windows of single points under the Ornstein-Uhlenbeck process: a staircase of words, a few atoms."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq
from scipy.special import logsumexp
from scipy.stats import norm


def signal_to_noise(t: float) -> float:
    """Return ``r = e^{-t} / sqrt(1 - e^{-2t})``: in units of the noise a point stands at ``r`` times itself."""
    return math.exp(-t) / math.sqrt(-math.expm1(-2 * t))


def first_step_tv(d: int, r: float) -> float:
    """Return ``TV`` of the first word of a staircase and the equal mean of the ``d`` others, by quadrature.

    Word ``i`` is ``e_1 + .. + e_i``, so under the first word the ratio of word ``i`` to it is ``exp(u_1 + .. + u_i)``
    with independent ``u_j = r z_j - r^2 / 2``.  Their sum is ``R = e^{u_1} (1 + e^{u_2} (1 + ..))`` and
    ``TV = E (1 - R / d)_+``: the expectation over ``u_1`` is a formula, ``Phi(h) - (c / d) Phi(h - r)`` of
    ``c = 1 + e^{u_2} (1 + ..)`` with ``h = (r^2 / 2 - log(c / d)) / r``, and each of the others one integral of a
    smooth function of ``log c``.
    """
    top = r * r / 2 + 10 * r + math.log(d)
    logs = np.linspace(0.0, top, round(top / min(0.02, r / 20)) + 2)
    z = np.arange(-9.0, 9.0, 0.05)
    mass = norm.pdf(z) * 0.05
    h = (r * r / 2 - logs + math.log(d)) / r
    value = norm.cdf(h) - np.exp(logs - math.log(d)) * norm.cdf(h - r)
    for _ in range(d - 1):
        after = np.logaddexp(0.0, logs[:, None] + r * z - r * r / 2)
        # Beyond the grid the first word is the less likely by ten standard deviations.
        value = np.where(after < top, CubicSpline(logs, value)(np.minimum(after, top)), 0.0) @ mass
    return float(value[0])


def first_atom_tv(points: np.ndarray, r: float, spacing: float = 0.22, reach: float = 6.0) -> float:
    """Return ``TV`` of the first of a few atoms and the equal mean of the others: a sum over a lattice around it.

    ``1 - TV`` is the sum of the smaller density, so only where the first one's is above ``1e-8`` counts.  Coordinates
    in the span of the atoms' differences (the rest is noise; two dimensions or more), layer by layer.  The smaller
    density has a crease where both are equal, at much noise a plane across the mean difference.  A lattice with rows
    along it would be off by the square of the spacing: the difference is turned away from all short rows, and each
    row gets back ``h^2 J B_2(theta) / 2`` (Euler and Maclaurin) of the slope's jump ``J`` at the place ``theta``
    between two points where it crosses the crease.
    """
    gaps = points[1:] - points[0]
    u, s, _ = np.linalg.svd(gaps, full_matrices=False)
    places = r * (u * s)[:, : int((s > 1e-9 * s[0]).sum())]
    dims, axis = places.shape[1], np.arange(-reach, reach + spacing / 2, spacing)
    mean, askew = places.mean(axis=0), np.sqrt(np.arange(dims, 0, -1))
    mirror = mean / np.linalg.norm(mean) - askew / np.linalg.norm(askew)
    places = places - 2 * np.outer(places @ mirror, mirror) / (mirror @ mirror)
    flat = np.stack(np.meshgrid(*[axis] * (dims - 1), indexing="ij"), -1).reshape(-1, dims - 1)
    kept = flat[(flat**2).sum(1) <= reach**2]
    # log (rest / first) = log mean exp(<p, y> - |p|^2 / 2).
    across, own = kept @ places[:, 1:].T - (places**2).sum(1) / 2, -(kept**2).sum(1) / 2
    total, before = 0.0, None
    for y in axis:
        ratio = np.asarray(logsumexp(across + y * places[:, 0], axis=1)) - math.log(len(places))
        total += float(np.exp(own - y * y / 2 + np.minimum(ratio, 0.0)).sum())
        if before is not None:
            crossed = (ratio > 0) != (before > 0)
            rise, theta = (ratio - before)[crossed], (before / (before - ratio))[crossed]
            crease = np.exp(own[crossed] - (y - spacing + theta * spacing) ** 2 / 2) * np.abs(rise)
            total -= float((crease * (theta * theta - theta + 1 / 6)).sum()) / 2
        before = ratio
    return 1 - total * (spacing / math.sqrt(2 * math.pi)) ** dims


def exact_window(
    tv: Callable[[float], float], others: int, epsilon: float, span: tuple[float, float]
) -> tuple[Any, Any]:
    """Return the window of one point within it and ``others``, from ``tv(r)``: ``TV(one, all)`` is its share of TV.

    Args:
        tv: of the first point and the others, by signal to noise.
        others: how many there are, all of equal weight.
        epsilon: the threshold.
        span: noises that lie outside of the window on either side.

    """

    def edge(level: float) -> float:
        found: Any = brentq(lambda t: tv(signal_to_noise(t)) - level, *span, xtol=1e-7)
        return float(found)

    return edge(1 - epsilon**2), edge(epsilon * (others + 1) / others)
