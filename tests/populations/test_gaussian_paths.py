"""Paths of spherical Gaussians, by few products spelled out and by matrix products, against densities at ``Y_t``."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sloc.engine.normals import normals
from sloc.populations import GaussianMixture, gaussian
from sloc.processes import OrnsteinUhlenbeck

TIMES = np.array([0.05, 0.4, 1.5, 4.0])
SPREAD = 0.7


def by_densities(population, key, components) -> np.ndarray:
    """``log p_t^k(Y_t) - log p_t^c(Y_t)`` in float64 from the noise that the path draws."""
    means = np.asarray(population.means, np.float64)
    means = means - means.mean(axis=0)
    key_x, key_z = jax.random.split(key)
    shape = (means.shape[1], len(components))
    white, z = (np.asarray(normals(k, shape, jnp.float32), np.float64) for k in (key_x, key_z))
    a, sigma = np.exp(-TIMES), np.sqrt(-np.expm1(-2 * TIMES))
    x = means[components].T + np.sqrt(SPREAD) * white
    y = a[:, None, None] * x + sigma[:, None, None] * z  # [T, d, B]
    v = a**2 * SPREAD + sigma**2
    away = y[:, None] - (a[:, None, None] * means)[..., None]  # [T, K, d, B]
    logs = -0.5 * np.sum(away**2, axis=2) / v[:, None, None]
    return logs - np.take_along_axis(logs, np.asarray(components)[None, None, :], axis=1)


@pytest.mark.parametrize(("k", "d"), [(2, 1), (3, 2), (6, 5), (4, 9)])
@pytest.mark.parametrize("spelled_out", [True, False])
def test_both_ways_are_densities(k: int, d: int, spelled_out: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gaussian, "_SPELLED_OUT", 1 << 10 if spelled_out else 0)
    rng = np.random.default_rng(k)
    population = GaussianMixture(rng.dirichlet(np.ones(k)), rng.normal(size=(k, d)), SPREAD).canonical()
    key, components = jax.random.key(d), np.arange(64, dtype=np.int32) % k
    drawn = gaussian.gaussian_draws(OrnsteinUhlenbeck().canonical(), population, key, jnp.asarray(components))
    found = drawn(jnp.asarray(TIMES, jnp.float32))
    np.testing.assert_allclose(found, by_densities(population, key, components), rtol=2e-5, atol=2e-5)
