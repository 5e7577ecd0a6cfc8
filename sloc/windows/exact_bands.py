"""Bands that hold at all positions at once, for any curve: draws pooled as far as log-probabilities allow."""

from __future__ import annotations

import numpy as np

from sloc.contracts import require
from sloc.contracts.arguments import as_floats, as_real
from sloc.windows.proportions import weighted_interval

RADII = (0, 1, 2, 3, 5, 8, 12, 20, 32, 50)
"""Numbers of positions that may be pooled on either side of one."""


def simultaneous_bands(
    counts: np.ndarray, bounds: np.ndarray, level: float = 0.9, *, heaviest: np.ndarray | float = np.inf
) -> tuple[np.ndarray, np.ndarray]:
    """Bands that cover the whole curve of one answer with probability at least ``level``, whatever the curve.

    At each position draws of a neighbourhood are pooled.  Their mean is that of unlike independent draws with fixed
    weights (Chernoff's bound where the heaviest weighs little more than the others, else Hoeffding's; Bonferroni over
    positions) and differs from the position's own share by at most the mean of ``B(s, t)``, the sum of the bounds of
    the steps between.  Neighbourhoods are chosen by bounds and numbers of draws alone.  Then
    ``|o_t - o_{t+1}| <= b_t`` is applied along the curve.

    Source: the library's own; Hoeffding 1963.

    Args:
        counts: ``[T, A]`` draws per answer; whole for plain draws, effective ones for stratified draws (which may
            be whole too).
        bounds: ``[T - 1]`` of ``TV(o_t, o_{t+1})`` (:func:`sloc.windows.leaving_masses`); NaN where there is none.
        level: coverage of each answer's band, in (0, 1).
        heaviest: what the heaviest draw of each position counts, ``[T]`` or one number, 1 at least: 1 for plain draws,
            ``OutcomeCounts.heaviest``; infinity where it is not known, when bands are Hoeffding's.

    Returns:
        ``(lower, upper)``, ``[T, A]`` each.

    Raises:
        InvalidInput: arrays that do not fit.

    """
    counts, bounds = as_floats(counts, "counts"), as_floats(bounds, "bounds")
    require(counts.ndim == 2 and counts.size > 0, "counts", counts.shape, "a shape [T, A]")
    require(bool((counts >= 0).all() and np.isfinite(counts).all()), "counts", counts, "finite numbers, not negative")
    steps = counts.shape[0]
    require(bounds.shape == (steps - 1,), "bounds", bounds.shape, f"{steps - 1} bounds")
    require(0.0 < as_real(level) < 1.0, "level", level, "a coverage inside (0, 1)")
    given = as_floats(heaviest, "heaviest")
    good = given.shape in ((), (steps,)) and bool((given >= 1.0).all())
    require(good, "heaviest", heaviest, f"what the heaviest draw counts, 1 at least: one number, or {steps}")
    heavy = np.broadcast_to(given, (steps,))
    alpha = (1.0 - level) / steps
    path = np.concatenate([[0.0], np.cumsum(np.clip(np.where(np.isnan(bounds), 1.0, bounds), 0.0, 1.0))])
    distance = np.minimum(np.abs(path[:, None] - path[None, :]), 1.0)
    gap = np.abs(np.arange(steps)[:, None] - np.arange(steps)[None, :])
    draws = counts.sum(axis=1)
    size, slack, value, most = np.zeros(steps), np.ones(steps), np.zeros(counts.shape), np.ones(steps)
    best = np.full(steps, np.inf)
    for radius in RADII:
        near = (gap <= radius) * draws[None, :]
        pooled = near.sum(axis=1)
        some = np.maximum(pooled, 1e-300)
        far = (near * distance).sum(axis=1) / some
        width = np.where(pooled > 0, far + np.sqrt(np.log(2.0 / alpha) / (2.0 * some)), np.inf)
        better = width < best
        size, slack, best = (np.where(better, new, old) for new, old in ((pooled, size), (far, slack), (width, best)))
        most = np.where(better, np.where(near > 0, heavy[None, :], 1.0).max(axis=1), most)
        value = np.where(better[:, None], (gap <= radius).astype(float) @ counts / some[:, None], value)
    # A draw of weight w counts n_eff w: pooled, W = sum w^2 = the counts' sum, and max w the heaviest of any position.
    worth = np.broadcast_to(np.maximum(size, 1e-12)[:, None], counts.shape)
    low, high = weighted_interval(np.clip(value, 0.0, 1.0), worth / most[:, None], worth, alpha)
    seen = (size > 0)[:, None]
    low = np.where(seen, np.maximum(low - slack[:, None], 0.0), 0.0)
    high = np.where(seen, np.minimum(high + slack[:, None], 1.0), 1.0)
    step = np.diff(path)
    for order in (range(1, steps), range(steps - 2, -1, -1)):
        for t in order:
            other = t - 1 if order.step > 0 else t + 1
            b = step[min(t, other)]
            low[t], high[t] = np.maximum(low[t], low[other] - b), np.minimum(high[t], high[other] + b)
    return low, high
