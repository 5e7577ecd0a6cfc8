"""Curves drawn from the change-point model: for predictive checks, and for simulation-based calibration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.bayes.change_data import ChangeData
from sloc.bayes.change_model import log_numbers, log_places

Array = jax.Array


@jax.jit
def draw_curves(key: Array, shared: Mapping[str, Array], data: ChangeData, draws: Array) -> tuple[Array, Array]:
    """Draw windows, levels and counts of every question from its prior given the shared parameters.

    Args:
        key: typed PRNG key.
        shared: one draw of the shared parameters.
        data: read for data sets and covariates only.
        draws: ``[Q, T]`` resamples.

    Returns:
        ``[Q, T]`` counts, and ``[Q]`` numbers of windows.

    """
    questions, points = draws.shape
    steps = points - 1
    keys = jax.random.split(key, 6)
    number = jax.random.categorical(keys[0], log_numbers(shared, data), axis=0)
    one, two = log_places(shared, steps)
    flat = jnp.where((number == 2)[:, None], two.reshape(1, -1), one.reshape(1, -1))
    cell = jax.random.categorical(keys[1], flat, axis=1)
    first, last = cell // steps, cell % steps
    at = jnp.arange(points)[None, :]

    def level(i: int, name: str) -> Array:
        mean, size = shared[f"{name}_mean"], shared[f"{name}_size"]
        return jax.random.beta(keys[i], mean * size, (1.0 - mean) * size, (questions, 1))

    # Points up to the first step's left end, points from the last step's right end on, what is between.
    own = jax.random.uniform(jax.random.fold_in(keys[5], 0), (questions, points))
    shared_level = jax.random.uniform(jax.random.fold_in(keys[5], 1), (questions, 1))
    middle = jnp.where((number == 2)[:, None], shared_level, own)
    windowed = jnp.where(
        at <= first[:, None], level(2, "before"), jnp.where(at > last[:, None], level(3, "after"), middle)
    )
    curve = jnp.where((number == 0)[:, None], level(4, "flat"), windowed)
    counts = jax.random.binomial(jax.random.fold_in(keys[5], 2), draws.astype(jnp.float32), curve)
    return counts, number


def predictive_checks(
    key: Array, shared: Mapping[str, Any], data: ChangeData, successes: np.ndarray, draws: np.ndarray
) -> dict[str, tuple[float, float, float]]:
    """Compare observed statistics with those of replicates, one replicate of all questions a posterior draw.

    Statistics: the mean of the curves' largest rise, the share of curves with a rise above 0.5 (the published rule),
    and the standard deviation over questions of the first and of the last point.

    Args:
        key: typed PRNG key.
        shared: draws of the shared parameters, ``[D, ...]``.
        data: the data.
        successes: ``[Q, T]``.
        draws: ``[Q, T]``.

    Returns:
        Statistic to (observed, mean of the replicates, share of replicates at least as large).

    """
    resamples = jnp.asarray(draws, jnp.float32)
    number = next(iter(shared.values())).shape[0]
    observed = _statistics(np.asarray(successes, np.float64), draws)
    replicates = []
    for i in range(number):
        one = {n: v[i] for n, v in shared.items()}
        counts, _ = draw_curves(jax.random.fold_in(key, i), one, data, resamples)
        replicates.append(_statistics(np.asarray(counts, np.float64), draws))
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
