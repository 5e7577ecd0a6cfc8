"""Curves drawn from the change-point model: for predictive checks, and for simulation-based calibration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sloc.bayes.change_data import ChangeData
from sloc.bayes.change_model import log_numbers, log_places


def draw_curves(
    rng: np.random.Generator, shared: Mapping[str, Any], data: ChangeData, draws: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Draw windows, levels and counts of every question from its prior given the shared parameters, on the host.

    Args:
        rng: NumPy's generator.
        shared: one draw of the shared parameters.
        data: read for data sets and covariates only.
        draws: ``[Q, T]`` resamples.

    Returns:
        ``[Q, T]`` counts, and ``[Q]`` numbers of windows.

    """
    questions, points = draws.shape
    steps = points - 1
    numbers = np.cumsum(np.exp(np.asarray(log_numbers(shared, data), np.float64)), axis=0)
    number = (rng.random(questions) * numbers[-1] >= numbers[:2]).sum(axis=0)
    cells = [np.exp(np.asarray(p, np.float64)).ravel() for p in log_places(shared, steps)]
    cell = rng.choice(steps * steps, questions, p=cells[0] / cells[0].sum())
    if steps > 1:
        cell = np.where(number == 2, rng.choice(steps * steps, questions, p=cells[1] / cells[1].sum()), cell)
    first, last = (c[:, None] for c in np.divmod(cell, steps))
    at, two = np.arange(points)[None, :], (number == 2)[:, None]

    def level(name: str) -> np.ndarray:
        mean, size = float(shared[f"{name}_mean"]), float(shared[f"{name}_size"])
        return rng.beta(mean * size, (1.0 - mean) * size, (questions, 1))

    # Points up to the first step's left end, points from the last step's right end on, what is between.
    middle = np.where(two, rng.random((questions, 1)), rng.random((questions, points)))
    windowed = np.where(at <= first, level("before"), np.where(at > last, level("after"), middle))
    curve = np.where((number == 0)[:, None], level("flat"), windowed)
    return rng.binomial(np.asarray(draws, np.int64), curve), number


def predictive_checks(
    rng: np.random.Generator, shared: Mapping[str, Any], data: ChangeData, successes: np.ndarray, draws: np.ndarray
) -> dict[str, tuple[float, float, float]]:
    """Compare observed statistics with those of replicates, one replicate of all questions a posterior draw.

    Statistics: the mean of the curves' largest rise, the share of curves with a rise above 0.5 (the published rule),
    and the standard deviation over questions of the first and of the last point.

    Args:
        rng: NumPy's generator.
        shared: draws of the shared parameters, ``[D, ...]``.
        data: the data.
        successes: ``[Q, T]``.
        draws: ``[Q, T]``.

    Returns:
        Statistic to (observed, mean of the replicates, share of replicates at least as large).

    """
    number = next(iter(shared.values())).shape[0]
    observed = _statistics(np.asarray(successes, np.float64), draws)
    replicates = []
    for i in range(number):
        one = {n: v[i] for n, v in shared.items()}
        counts, _ = draw_curves(rng, one, data, draws)
        replicates.append(_statistics(counts.astype(np.float64), draws))
    return {
        name: (
            value,
            float(np.mean([r[name] for r in replicates])),
            float(np.mean([r[name] >= value for r in replicates])),
        )
        for name, value in observed.items()
    }


def _statistics(successes: np.ndarray, draws: np.ndarray) -> dict[str, float]:
    value = successes / np.maximum(draws, 1)
    rise = np.diff(value, axis=1).max(axis=1)
    return {
        "mean largest rise": float(rise.mean()),
        "share with a rise above 0.5": float((rise > 0.5).mean()),
        "spread of the first point": float(value[:, 0].std()),
        "spread of the last point": float(value[:, -1].std()),
    }
