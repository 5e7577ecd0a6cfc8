"""Bridges under Gaussian channels: Gaussian mixtures and atoms.

``sqrt(N(m_i, S_i) N(m_j, S_j))`` is Gaussian with the averaged precision ``M = (S_i^-1 + S_j^-1) / 2`` and mean
``M^-1 (S_i^-1 m_i + S_j^-1 m_j) / 2``, times ``exp(-D_B)`` with the Bhattacharyya distance
``D_B = 1/8 dm' S^-1 dm + 1/2 log(det S / sqrt(det S_i det S_j))``, ``S = (S_i + S_j) / 2``.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import Array, ContractError, GaussianChannel, namespace
from sloc.populations.bridge_laws import BridgeLaw, by_rows, register_bridge, squared_distances
from sloc.populations.empirical import Empirical, centre_atoms
from sloc.populations.gaussian import GaussianMixture, covariance_root, gaussian_marginals, project_means

_HIGHEST = jax.lax.Precision.HIGHEST


def _mixture_pair(process: Any, population: GaussianMixture, key: Array, i: Array, j: Array, t: Array) -> Array:
    a, sigma = process.coefficients(t)
    means, cov = population.means, population.covariances
    key_i, key_j = jax.random.split(key)

    def noise(key: Array, component: Array) -> Array:
        w, z = jax.random.normal(key, (2, means.shape[1]), means.dtype)
        return a * covariance_root(cov, w, component) + sigma * z

    if cov.ndim < 3:
        return a * (0.5 * (means[i] + means[j])) + noise(key_i, i)
    # With x_i ~ N(m_i, 2 S_i) and x_j ~ N(m_j, 2 S_j) independent, x_i - S_i (S_i + S_j)^-1 (x_i - x_j) has the
    # bridge's mean and covariance 2 S_i (S_i + S_j)^-1 S_j = M^-1: no precision matrix is formed.
    x_i = a * means[i] + math.sqrt(2.0) * noise(key_i, i)
    x_j = a * means[j] + math.sqrt(2.0) * noise(key_j, j)
    unit = sigma**2 * jnp.eye(means.shape[1], dtype=means.dtype)
    s_i, s_j = a**2 * cov[i] + unit, a**2 * cov[j] + unit
    return x_i - jnp.matmul(s_i, jnp.linalg.solve(s_i + s_j, x_i - x_j), precision=_HIGHEST)


def _coefficients(process: Any, t: Any, xp: Any) -> tuple[Any, Any]:
    a, sigma = process.coefficients(t)
    # A process may answer in JAX arrays whatever it is asked in.
    return (float(a), float(sigma)) if xp is np else (a, sigma)


def _mixture_log_affinities(process: Any, population: GaussianMixture, t: Any) -> Any:
    xp = namespace(population.means, t)
    a, sigma = _coefficients(process, t, xp)
    means, cov = xp.asarray(population.means), xp.asarray(population.covariances)
    k, d = means.shape
    if cov.ndim < 2:
        return -0.125 * squared_distances(a * means / xp.reshape(xp.sqrt(a**2 * cov + sigma**2), (1, -1)), xp)
    eye = xp.eye(d, dtype=means.dtype)
    if cov.ndim == 2:
        factor = xp.linalg.cholesky(a**2 * cov + sigma**2 * eye)
        return -0.125 * squared_distances(xp.linalg.solve(factor, a * means.T).T, xp)
    total = a**2 * cov + sigma**2 * eye[None]
    log_det = xp.linalg.slogdet(total)[1]

    def row(i: Any) -> Any:
        middle = 0.5 * (total + total[i][None])
        gap = a * (means - means[i][None])
        quad = xp.sum(gap * xp.linalg.solve(middle, gap[..., None])[..., 0], axis=1)
        return -0.125 * quad - 0.5 * (xp.linalg.slogdet(middle)[1] - 0.5 * (log_det + log_det[i]))

    return by_rows(row, k, xp)


def _mixture_restrict(population: GaussianMixture, index: np.ndarray) -> GaussianMixture:
    cov = population.covariances
    return GaussianMixture(population.weights[index], population.means[index], cov if np.ndim(cov) < 3 else cov[index])


def _mixture_prepare(process: Any, population: GaussianMixture) -> tuple[Any, Any]:
    means = population.means
    centred = dataclasses.replace(population, means=means - jnp.mean(means, axis=0, keepdims=True))
    return project_means(process, centred) if population.shared else (process, centred)


def _atoms_pair(process: Any, population: Empirical, key: Array, i: Array, j: Array, t: Array) -> Array:
    one_atom_each(population)
    a, sigma = process.coefficients(t)
    x, x_j = population.data[i], population.data[j]
    return a * (0.5 * (x + x_j)) + sigma * jax.random.normal(key, jnp.shape(x), jnp.result_type(x))


def _atoms_log_affinities(process: Any, population: Empirical, t: Any) -> Any:
    one_atom_each(population)
    xp = namespace(population.data, t)
    a, sigma = _coefficients(process, t, xp)
    flat = xp.asarray(population.data).reshape(population.num_atoms, -1)
    return -0.125 * squared_distances((a / sigma) * flat, xp)


def one_atom_each(population: Empirical) -> None:
    """Refuse classes of several atoms."""
    if not population.single_atoms:
        raise ContractError(f"{population!r}: a bridge needs one atom in each class; split the classes into atoms")


def restrict_atoms(population: Empirical, index: np.ndarray) -> Empirical:
    """Return the atoms ``index``, each a class of its own."""
    data = jax.tree.map(lambda leaf: leaf[index], population.data)
    names = tuple(str(i) for i in range(len(index)))
    return Empirical.tree_unflatten(((1,) * len(index), names, population.kernel), (data, jnp.zeros((len(index),))))


def _mixture_log_ratios(process: Any, population: GaussianMixture, y: Array, t: Array) -> Array:
    return gaussian_marginals(process, population, y, t)


def _atoms_log_ratios(process: Any, population: Empirical, y: Array, t: Array) -> Array:
    """``-|y - a x_i|^2 / 2 sigma^2``."""
    a, sigma = process.coefficients(t)
    return -0.5 * jnp.sum(jnp.square((y[None] - a * population.data) / sigma), axis=1)


register_bridge(
    GaussianChannel,
    GaussianMixture,
    BridgeLaw(_mixture_pair, _mixture_log_affinities, _mixture_log_ratios, _mixture_restrict, _mixture_prepare),
)
register_bridge(
    GaussianChannel,
    Empirical,
    BridgeLaw(_atoms_pair, _atoms_log_affinities, _atoms_log_ratios, restrict_atoms, centre_atoms),
)
