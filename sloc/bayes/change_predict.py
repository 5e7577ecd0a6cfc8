"""Curves drawn from the change-point model: for predictive checks, and for simulation-based calibration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from sloc.bayes.change_data import ChangeData
from sloc.bayes.change_model import log_numbers, log_places


class DrawnCurves(NamedTuple):
    """Simulated questions.

    Attributes:
        counts: ``[Q, T]`` answers that agree.
        number: ``[Q]`` windows: none, one or two.
        first: ``[Q]`` step at which the first window begins, ``T - 1`` without one.
        last: ``[Q]`` step at which the last window ends, ``T - 1`` without one.
        curve: ``[Q, T]`` their probabilities.

    """

    counts: np.ndarray
    number: np.ndarray
    first: np.ndarray
    last: np.ndarray
    curve: np.ndarray


def draw_curves(
    rng: np.random.Generator, shared: Mapping[str, Any], data: ChangeData, draws: np.ndarray
) -> DrawnCurves:
    """Draw windows, levels and counts of every question from its prior given the shared parameters, on the host.

    Args:
        rng: NumPy's generator.
        shared: one draw of the shared parameters.
        data: read for data sets and covariates only.
        draws: ``[Q, T]`` resamples.

    Returns:
        The counts and what made them.

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
    begins, ends = (np.where(number == 0, steps, c[:, 0]) for c in (first, last))
    return DrawnCurves(rng.binomial(np.asarray(draws, np.int64), curve), number, begins, ends, curve)


def predictive_checks(
    rng: np.random.Generator, shared: Mapping[str, Any], data: ChangeData, successes: np.ndarray, draws: np.ndarray
) -> tuple[dict[str, tuple[float, float, float]], dict[str, np.ndarray]]:
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
        Statistic to (observed, mean of the replicates, share of replicates at least as large), and statistic to
        ``[D]`` values on the replicates.

    """
    number = next(iter(shared.values())).shape[0]
    observed = _statistics(np.asarray(successes, np.float64), draws)
    replicates = []
    for i in range(number):
        one = {n: v[i] for n, v in shared.items()}
        counts = draw_curves(rng, one, data, draws).counts
        replicates.append(_statistics(counts.astype(np.float64), draws))
    values = {name: np.asarray([r[name] for r in replicates]) for name in observed}
    checks = {n: (seen, float(values[n].mean()), float((values[n] >= seen).mean())) for n, seen in observed.items()}
    return checks, values


def _statistics(successes: np.ndarray, draws: np.ndarray) -> dict[str, float]:
    value = successes / np.maximum(draws, 1)
    rise = np.diff(value, axis=1).max(axis=1)
    return {
        "mean largest rise": float(rise.mean()),
        "share with a rise above 0.5": float((rise > 0.5).mean()),
        "spread of the first point": float(value[:, 0].std()),
        "spread of the last point": float(value[:, -1].std()),
    }
