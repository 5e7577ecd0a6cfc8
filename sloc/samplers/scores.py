"""The exact score of a noised population."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

from sloc.contracts import GaussianChannel, ObservationProcess, Population, find_marginals, overrides
from sloc.populations import GaussianMixture
from sloc.populations.gaussian import gaussian_marginals

Array = jax.Array
_HIGHEST = jax.lax.Precision.HIGHEST
_SPELLED_OUT = 16


def mixture_score(process: ObservationProcess, population: Population, y: Array, t: Array) -> Array:
    """``grad_y log p_t(y) = sum_theta pi_theta(y) grad_y log p_t^theta(y)``, exact; the shape of ``y``.

    Closed form for Gaussian mixtures of diagonal covariance, ``(a E mu_k - y) / (a^2 Sigma + sigma^2)`` under
    ``pi(y)``; automatic differentiation of ``log_marginals`` for others.  Traceable, for one ``y``.

    Source: textbook.

    Args:
        process: an observation process with densities.
        population: the population.
        y: one observation, floating, ``[d]`` or of another shape.
        t: its time, a scalar, above 0 where the population is atomic.

    """
    if isinstance(population, GaussianMixture) and isinstance(process, GaussianChannel):
        diagonal = jnp.ndim(population.covariances) < 2
        own = overrides(population, Population, "log_marginals")
        if diagonal and not own and find_marginals(process, population) is gaussian_marginals:
            a, sigma = process.coefficients(t)
            masses, total = _masses(population.channel_posterior(process, y, t, fused=False))
            mean = jnp.matmul(masses, population.means, precision=_HIGHEST) / total
            return (a * mean - y) / (a**2 * population.covariances + sigma**2)

    def log_density(y: Array) -> Array:
        return jax.nn.logsumexp(population.log_weights + population.log_marginals(process, y, t))

    return jax.grad(log_density)(y)


def _masses(logs: Array) -> tuple[Array, Array]:
    """Return ``exp(logs - max)`` and its sum; a few are spelled out, since a CPU reduces a short last axis slowly."""
    if logs.shape[0] > _SPELLED_OUT:
        masses = jnp.exp(logs - jnp.max(logs))
        return masses, jnp.sum(masses)
    each = [logs[i] for i in range(logs.shape[0])]
    top = functools.reduce(jnp.maximum, each)
    each = [jnp.exp(log - top) for log in each]
    return jnp.stack(each), functools.reduce(jnp.add, each)
