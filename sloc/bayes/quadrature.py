"""Integrals over a one- or two-dimensional ``X``: ``log int p(x) P_t(y | x) dx`` on nodes that follow both factors."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.bayes.cubature import REFUSED, integrate, log_allowed, nodes_of, rule
from sloc.contracts import GaussianChannel, LinearGaussianChannel, ObservationProcess, float_dtype

Array = jax.Array

_RANGE_DRAWS = 1024
_PANELS = {1: 16, 2: 8}
"""First panels of an axis within the range of the draws, of equal numbers of draws."""
_TAILS = {1: (1.0, 5.0, 30.0, 1e3, 1e5, 1e9, 1e17), 2: (2.0, 30.0, 1e4, 1e12)}
"""Borders of the panels beyond the draws, in widths of the prior's middle half."""


def first_nodes(dim: int) -> int:
    """Return the number of points at which an integral is first evaluated."""
    return (len(rule(dim)[0]) * (_PANELS[dim] + 2 * len(_TAILS[dim]))) ** dim


def log_integral(fn: Any, process: ObservationProcess, y: Any, t: Array) -> Array:
    """Return ``log int p(x) P_t(y | x) dx`` for a law ``fn`` of ``X`` with one or two coordinates.

    Adaptive Gauss-Kronrod quadrature over the whole line or plane (``sloc.bayes.cubature``), first on panels of equal
    numbers of prior draws, then where the integrand is; in two dimensions along the axes of the likelihood where the
    channel is linear and Gaussian and the prior has no bounds.  It splits until the estimated relative error is 3e-6,
    or its panels are used up.  The estimate sees jumps, kinks and narrow peaks of the likelihood.  Not seen are a
    feature of the prior with less than a sixteenth of its mass (an eighth along an axis in two dimensions), and a set
    outside of which the likelihood is zero, if no node comes near.  Rounding of ``x`` adds about ``eps |x| / s`` at a
    likelihood of width ``s`` (not under a Gaussian channel).

    Args:
        fn: a numpyro distribution without batch axes, ``event_shape`` of size 1 or 2.
        process: any process with a ``log_prob``.
        y: one observation.
        t: its time.

    Returns:
        A scalar; NaN where the estimated relative error is above 1e-3, or the integrand is zero at every node, so that
        it may be zero or not be seen.

    """
    dim = max(int(np.prod(fn.event_shape)), 1)

    draws = jax.lax.stop_gradient(fn.sample(jax.random.key(0), (_RANGE_DRAWS,)).reshape(_RANGE_DRAWS, dim))
    draws = draws.astype(float_dtype())
    origin, seen = _origin(process, y, t, draws)

    def integrand(u: Array) -> Array:
        shaped = (origin + u).reshape(fn.event_shape)
        prior = fn.log_prob(shaped)
        inside = jnp.all(fn.support(shaped)) & ~jnp.isnan(prior) & (prior > -jnp.inf)
        # Outside of the support a likelihood may be NaN.
        return jnp.where(
            inside, prior + jnp.where(inside, process.log_prob(seen, u.reshape(fn.event_shape), t), 0.0), -jnp.inf
        )

    bounds = _bounds(fn, dim, draws.dtype)
    frame = jnp.eye(dim, dtype=draws.dtype)
    if dim == 2 and isinstance(process, LinearGaussianChannel) and all(b is None for b in bounds):
        frame = jax.lax.stop_gradient(_likelihood_axes(process, t).astype(draws.dtype))
    edges = _first_edges(jnp.matmul(draws, frame, precision="highest"), bounds) - origin
    low, high = _product(jax.lax.stop_gradient(edges))
    closed, constants = jax.closure_convert(integrand, draws[0])
    return _integral(closed, low, high, frame, *constants)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _integral(f: Callable[..., Array], low: Array, high: Array, frame: Array, *constants: Array) -> Array:
    value, log_error, _ = integrate(lambda x: f(x, *constants), low, high, frame)
    return jnp.where(log_error < log_allowed(REFUSED, value), value, jnp.nan)


@_integral.defjvp
def _integral_jvp(f: Callable[..., Array], primals: Any, tangents: Any) -> tuple[Array, Array]:
    """The derivative of the sum over the final nodes: splitting itself has none."""
    low, high, frame, *constants = primals
    value, log_error, boxes = integrate(lambda x: f(x, *constants), low, high, frame)
    points, log_weights = nodes_of(boxes, frame)
    flat, log_weights = points.reshape(-1, low.shape[1]), log_weights.reshape(-1)

    def values(*constants: Array) -> Array:
        return jax.vmap(lambda x: f(x, *constants))(flat)

    logs, slopes = jax.jvp(values, tuple(constants), tuple(tangents[3:]))
    used = (log_weights > -jnp.inf) & jnp.isfinite(logs)
    share = jnp.where(used, jnp.exp(log_weights + jnp.where(used, logs, 0.0) - value), 0.0)
    refused = ~(log_error < log_allowed(REFUSED, value))
    slope = jnp.sum(share * jnp.where(used, slopes, 0.0))
    return jnp.where(refused, jnp.nan, value), jnp.where(refused, jnp.nan, slope)


def log_likelihood(process: ObservationProcess, y: Any, points: Array, t: Array) -> Array:
    """Return ``log P_t(y | x)`` at ``n`` points of ``X``, ``[n]``."""
    likelihood: Callable[[Array], Array] = lambda x: process.log_prob(y, x, t)  # noqa: E731
    return jax.vmap(likelihood)(points)


def _origin(process: ObservationProcess, y: Any, t: Array, draws: Array) -> tuple[Array, Any]:
    """Where coordinates are counted from, ``[D]``, and the observation from there.

    A Gaussian channel's likelihood depends on ``y - a x`` alone.  Where it is narrower than the prior, ``x`` is counted
    from ``y / a``, so that ``y - a x`` keeps its digits far out in a heavy tail.
    """
    dim = draws.shape[1]
    if not isinstance(process, GaussianChannel):
        return jnp.zeros((dim,), draws.dtype), y
    a, sigma = process.coefficients(t)
    y = jnp.asarray(y, draws.dtype)
    width = jnp.min(jnp.quantile(draws, 0.75, axis=0) - jnp.quantile(draws, 0.25, axis=0))
    narrow = sigma < a * width
    origin = jax.lax.stop_gradient(jnp.where(narrow, y / jnp.where(narrow, a, 1.0), 0.0))
    return origin.reshape(dim), y - a * origin


def _likelihood_axes(process: LinearGaussianChannel, t: Array) -> Array:
    """Rotation ``[2, 2]`` whose columns are the eigenvectors of ``A^T Sigma^-1 A``."""
    matrix = jnp.asarray(process.matrices(t)[0])
    white = jax.scipy.linalg.solve_triangular(jnp.asarray(process.noise_root(t)), matrix, lower=True)
    across, first, second = jnp.sum(white[:, 0] * white[:, 1]), jnp.sum(white[:, 0] ** 2), jnp.sum(white[:, 1] ** 2)
    angle = 0.5 * jnp.arctan2(2 * across, first - second)
    c, s = jnp.cos(angle), jnp.sin(angle)
    return jnp.stack([jnp.stack([c, -s]), jnp.stack([s, c])])


def _bounds(fn: Any, dim: int, dtype: Any) -> tuple[Array | None, Array | None]:
    """Bounds of the support, each ``[D]`` or None."""
    support = fn.support
    while hasattr(support, "base_constraint"):
        support = support.base_constraint

    def of(name: str) -> Array | None:
        bound = getattr(support, name, None)
        return None if bound is None else jnp.broadcast_to(jnp.asarray(bound, dtype).reshape(-1), (dim,))

    return of("lower_bound"), of("upper_bound")


def _first_edges(draws: Array, bounds: tuple[Array | None, Array | None]) -> Array:
    """Edges of the first panels of each axis, increasing, ``[E, D]``."""
    count, dim = draws.shape
    ordered = jnp.sort(draws, 0)
    inner = ordered[np.linspace(0, count - 1, _PANELS[dim] + 1).round().astype(int)]
    width = jnp.maximum(ordered[3 * count // 4] - ordered[count // 4], 1e-12)
    tails = jnp.asarray(_TAILS[dim], draws.dtype)[:, None] * width[None]
    edges = jnp.concatenate([ordered[:1] - tails[::-1], inner, ordered[-1:] + tails])
    low, high = bounds
    edges = edges if low is None else jnp.maximum(edges, low[None])
    return edges if high is None else jnp.minimum(edges, high[None])


def _product(edges: Array) -> tuple[Array, Array]:
    """Corners of all boxes of a product of panels, each ``[P, D]``."""
    size, dim = edges.shape[0] - 1, edges.shape[1]
    picks = np.stack(np.meshgrid(*[np.arange(size)] * dim, indexing="ij"), -1).reshape(-1, dim)
    low = jnp.stack([edges[picks[:, j], j] for j in range(dim)], 1)
    high = jnp.stack([edges[picks[:, j] + 1, j] for j in range(dim)], 1)
    return low, high
