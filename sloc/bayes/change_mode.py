"""The mode of the change-point model's shared parameters and its curvature: coordinates that a sampler finds easy.

With thousands of questions the shared parameters are known to a few per cent, each to another degree and with strong
correlations; in coordinates ``u``, ``free = mode + scale u`` with ``scale scale' = H^{-1}``, their posterior is
nearly a standard normal.  The mode is only a choice of coordinates: what is sampled is the exact posterior.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from numpyro.infer.util import potential_energy, unconstrain_fn

from sloc.bayes.change_data import ChangeData
from sloc.bayes.change_model import SPREAD, change_model, shared_parameters

Array = jax.Array
LEAST_PRECISION = 0.2
"""Curvature is taken as at least this: about what the priors alone give, where data say nothing or the mode is none."""
_DIFFERENCE = 1e-2


def middle_of_prior(sets: int) -> dict[str, Array]:
    """Unconstrained parameters in the middle of the prior."""
    middle: dict[str, Array] = {
        "windows": jnp.asarray([0.0, -1.5]),
        "right": jnp.zeros(2),
        "place": jnp.zeros(2),
        "width": jnp.asarray([4.0, 2.0, 1.0]) / 7.0,
    }
    if sets > 1:
        middle |= {"spread": jnp.asarray(0.5), "set_windows": jnp.tile(middle["windows"], (sets, 1))}
    for name, mean in (("before", 0.35), ("after", 0.65), ("flat", 0.5)):
        middle |= {f"{name}_mean": jnp.asarray(mean), f"{name}_size": jnp.asarray(2.7)}
    return unconstrain_fn(shared_parameters, (sets,), {}, middle)


@functools.lru_cache(maxsize=8)
def flat_coordinates(sets: int) -> tuple[np.ndarray, Callable[[Array], dict[str, Array]]]:
    """Return the middle of the prior as one vector ``[P]``, and what makes parameters of such a vector."""
    flat, unravel = ravel_pytree(middle_of_prior(sets))
    return np.asarray(flat, np.float64), unravel


def potential(flat: Array, data: ChangeData, sets: int) -> Array:
    """Minus the log posterior of a vector of unconstrained parameters, up to a constant."""
    _, unravel = flat_coordinates(sets)
    return jnp.asarray(potential_energy(change_model, (data, sets), {}, unravel(flat)))


_value_and_grad: Any = jax.jit(jax.value_and_grad(potential), static_argnums=2)


def mode_and_scale(data: ChangeData, sets: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the mode by L-BFGS and the inverse root of the curvature there by differences of gradients.

    The spread between data sets stays in the middle of its prior, with the prior's curvature: a density of centred
    effects may have its peak where they all agree, far from where its mass is.

    Args:
        data: counts.
        sets: number of data sets.

    Returns:
        ``mode [P]`` and ``scale [P, P]``, float64.

    """
    from scipy.optimize import minimize

    def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = _value_and_grad(jnp.asarray(x, jnp.float32), data, sets)
        return float(value), np.asarray(slope, np.float64)

    start, _ = flat_coordinates(sets)
    marked, _ = ravel_pytree({n: jnp.full(v.shape, n == "spread") for n, v in middle_of_prior(sets).items()})
    held = np.asarray(marked)
    bounds = [(x, x) if fixed else (None, None) for x, fixed in zip(start, held, strict=True)]
    mode = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 200}).x
    steps = _DIFFERENCE * np.eye(mode.size)
    rows = [(objective(mode + e)[1] - objective(mode - e)[1]) / (2 * _DIFFERENCE) for e in steps]
    curvature = np.where(held[:, None] | held[None, :], 0.0, np.asarray(rows))
    curvature[held, held] = SPREAD[1] ** -2
    precision, axes = np.linalg.eigh(0.5 * (curvature + curvature.T))
    return mode, axes / np.sqrt(np.maximum(precision, LEAST_PRECISION))
