"""Curves that a careful user would draw from counts at every position: change points, and a smoother.

Either stands in for the published tool's, whose curves are not part of its release.
"""

from __future__ import annotations

import numpy as np
from scipy.special import xlogy

WIDTHS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 9.0, 14.0, 20.0, 30.0)
"""Standard deviations of the kernel that are tried, in positions."""


def change_points(counts: np.ndarray) -> np.ndarray:
    """Piecewise constant curve ``[T, A]`` by multinomial likelihood and the Bayesian information criterion.

    A segment costs ``(A - 1 + 1) / 2 log N`` (its shares and its place, ``N`` all draws); the best partition is found
    exactly by dynamic programming over all ``T^2 / 2`` segments (Jackson et al. 2005).
    """
    steps, answers = counts.shape
    total = np.concatenate([np.zeros((1, answers)), np.cumsum(counts, axis=0)])
    draws = total.sum(axis=1)
    penalty = 0.5 * answers * np.log(max(float(draws[-1]), 2.0))
    best, last = np.full(steps + 1, np.inf), np.zeros(steps + 1, np.int64)
    best[0] = 0.0
    for stop in range(1, steps + 1):
        inside = total[stop] - total[:stop]
        size = draws[stop] - draws[:stop]
        cost = best[:stop] + penalty - xlogy(inside, inside).sum(axis=1) + xlogy(size, size)
        last[stop] = int(np.argmin(cost))
        best[stop] = cost[last[stop]]
    curve, stop = np.empty((steps, answers)), steps
    while stop > 0:
        start = int(last[stop])
        inside = total[stop] - total[start]
        curve[start:stop] = (inside + 0.5 / answers) / (inside.sum() + 0.5)
        stop = start
    return curve


def smoothed(counts: np.ndarray) -> np.ndarray:
    """Gaussian kernel over positions ``[T, A]``, its width chosen by leaving one position out (log score)."""
    steps, answers = counts.shape
    gap = np.arange(steps)[:, None] - np.arange(steps)[None, :]
    scores = []
    for width in WIDTHS:
        weight = np.exp(-0.5 * (gap / width) ** 2)
        np.fill_diagonal(weight, 0.0)
        scores.append(float(xlogy(counts, _shares(weight, counts, answers)).sum()))
    weight = np.exp(-0.5 * (gap / WIDTHS[int(np.argmax(scores))]) ** 2)
    return _shares(weight, counts, answers)


def _shares(weight: np.ndarray, counts: np.ndarray, answers: int) -> np.ndarray:
    sums = weight @ counts + 0.5 / answers
    return sums / sums.sum(axis=1, keepdims=True)
