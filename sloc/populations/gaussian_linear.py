"""Gaussian mixtures under linear Gaussian channels: ``Y_t = A_t X + L_t Z``."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from sloc.contracts import Array, LinearGaussianChannel, register_marginals
from sloc.populations.gaussian import GaussianMixture

_HIGHEST = jax.lax.Precision.HIGHEST


@register_marginals(LinearGaussianChannel, GaussianMixture)
def linear_gaussian_marginals(process: LinearGaussianChannel, population: GaussianMixture, y: Array, t: Array) -> Array:
    """``log N(y; A mu_k, A Sigma_k A^T + S)`` for every ``k``, with ``A, S`` the channel's matrices; exact, ``[K]``."""
    matrix, noise = (jnp.asarray(m) for m in process.matrices(t))
    cov, d = population.covariances, population.means.shape[1]
    full = jnp.diag(jnp.broadcast_to(cov, (d,))) if cov.ndim < 2 else cov
    spread = jnp.matmul(jnp.matmul(matrix, full, precision=_HIGHEST), matrix.T, precision=_HIGHEST)
    root = jnp.linalg.cholesky(spread + jnp.broadcast_to(noise, spread.shape))
    gap = y[None, :] - jnp.matmul(population.means, matrix.T, precision=_HIGHEST)
    if root.ndim == 2:
        white = jax.scipy.linalg.solve_triangular(root, gap.T, lower=True).T
    else:
        white = jax.vmap(lambda r, g: jax.scipy.linalg.solve_triangular(r, g, lower=True))(root, gap)
    half_log_det = jnp.sum(jnp.log(jnp.diagonal(root, axis1=-2, axis2=-1)), axis=-1)
    return -0.5 * jnp.sum(jnp.square(white), axis=1) - half_log_det - 0.5 * y.size * math.log(2 * math.pi)
