"""Integrals over a one- or two-dimensional ``X``: ``log int p(x) P_t(y | x) dx`` on nodes that follow both factors."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import GaussianChannel, ObservationProcess

Array = jax.Array

_DEGREE = 16
_PANELS = {1: 24, 2: 6}
_RANGE_DRAWS = 1024
_REACH = 3.0
"""The range integrated over is the range of 1,024 draws, this many times as wide about the median."""
_WIDTH = 8.0
"""Standard deviations of the likelihood on each side of its peak."""


def _rule(dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Composite Gauss-Legendre nodes and weights on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(_DEGREE)
    panels = _PANELS[dim]
    starts = np.arange(panels)[:, None]
    return ((starts + (nodes + 1) / 2) / panels).reshape(-1), np.tile(weights / (2 * panels), panels)


def log_integral(fn: Any, process: ObservationProcess, y: Any, t: Array) -> Array:
    """Return ``log int p(x) P_t(y | x) dx`` for a law ``fn`` of ``X`` with one or two coordinates.

    Composite Gauss-Legendre rule (384 nodes, or 96 x 96) in ``v``, ``x = median + width sinh(v)``, over the range of
    the prior and, under a Gaussian channel, within eight standard deviations of ``y / a``.  For smooth densities the
    error is that of float32; a jump inside the support costs digits.

    Args:
        fn: a numpyro distribution without batch axes, ``event_shape`` of size 1 or 2.
        process: the process.
        y: one observation.
        t: its time.

    Returns:
        A scalar.

    """
    dim = max(int(np.prod(fn.event_shape)), 1)
    middle, width, low, high = _prior_range(fn, dim)
    unit, weight = _rule(dim)
    v_low, v_high = jnp.arcsinh((low - middle) / width), jnp.arcsinh((high - middle) / width)
    if isinstance(process, GaussianChannel):
        a, sigma = process.coefficients(t)
        a = jnp.maximum(a, 1e-12)
        centre, spread = jnp.reshape(y, (dim,)) / a, _WIDTH * sigma / a
        # Where the two ranges do not meet, the integral is carried by the end of the prior that is nearer to y.
        start = jnp.minimum(jnp.maximum(low, centre - spread), jnp.maximum(high - spread, low))
        end = jnp.maximum(jnp.minimum(high, centre + spread), jnp.minimum(low + spread, high))
        v_low, v_high = jnp.arcsinh((start - middle) / width), jnp.arcsinh((end - middle) / width)
    v = v_low[:, None] + (v_high - v_low)[:, None] * jnp.asarray(unit, low.dtype)[None]
    x = middle[:, None] + width[:, None] * jnp.sinh(v)
    log_dx = (
        jnp.log(width)[:, None]
        + jnp.log(jnp.cosh(v))
        + jnp.log(jnp.maximum(v_high - v_low, 1e-30))[:, None]
        + jnp.log(jnp.asarray(weight, low.dtype))[None]
    )
    size = x.shape[1]
    picks = np.asarray(list(itertools.product(range(size), repeat=dim)))
    points = jnp.stack([x[j, picks[:, j]] for j in range(dim)], 1)
    volume = sum(log_dx[j, picks[:, j]] for j in range(dim))
    shaped = points.reshape(-1, *fn.event_shape)
    prior = fn.log_prob(shaped)
    prior = jnp.where(fn.support(shaped) & ~jnp.isnan(prior), prior, -jnp.inf)
    return jax.nn.logsumexp(prior + volume + log_likelihood(process, y, shaped, t))


def log_likelihood(process: ObservationProcess, y: Any, points: Array, t: Array) -> Array:
    """Return ``log P_t(y | x)`` at ``n`` points of ``X``, ``[n]``."""
    likelihood: Callable[[Array], Array] = lambda x: process.log_prob(y, x, t)  # noqa: E731
    return jax.vmap(likelihood)(points)


def _prior_range(fn: Any, dim: int) -> tuple[Array, Array, Array, Array]:
    draws = fn.sample(jax.random.key(0), (_RANGE_DRAWS,)).reshape(_RANGE_DRAWS, dim)
    ordered = jnp.sort(draws, 0)
    middle = ordered[_RANGE_DRAWS // 2]
    width = jnp.maximum(ordered[3 * _RANGE_DRAWS // 4] - ordered[_RANGE_DRAWS // 4], 1e-12)
    low = middle - _REACH * (middle - ordered[0])
    high = middle + _REACH * (ordered[-1] - middle)
    support = fn.support
    while hasattr(support, "base_constraint"):
        support = support.base_constraint
    bounds = getattr(support, "lower_bound", None), getattr(support, "upper_bound", None)
    if bounds[0] is not None:
        low = jnp.maximum(low, jnp.broadcast_to(jnp.asarray(bounds[0], low.dtype).reshape(-1), low.shape))
    if bounds[1] is not None:
        high = jnp.minimum(high, jnp.broadcast_to(jnp.asarray(bounds[1], high.dtype).reshape(-1), high.shape))
    return middle, width, low, high
