"""Gaussian mixtures under linear Gaussian channels, against SciPy's multivariate normal."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

import sloc
from sloc.populations import GaussianMixture
from sloc.processes import AnisotropicGaussian, IsotropicGaussian, LinearGaussian
from sloc.testing import check_population

RNG = np.random.default_rng(3)
MEANS = RNG.normal(size=(3, 4))
ROOTS = RNG.normal(size=(3, 4, 4))
FULL = np.einsum("kij,klj->kil", ROOTS, ROOTS) + 0.3 * np.eye(4)
MATRIX = RNG.normal(size=(2, 4))
SHAPES = {"scalar": 0.7, "diagonal": [0.5, 1.0, 2.0, 0.1], "shared": FULL[0], "own": FULL}


@pytest.mark.parametrize("name", SHAPES)
def test_marginals(name):
    population = GaussianMixture([0.2, 0.3, 0.5], MEANS, SHAPES[name]).canonical()
    process = LinearGaussian(MATRIX, covariance=[0.5, 2.0]).canonical()
    y = RNG.normal(size=2).astype(np.float32)
    found = population.log_marginals(process, jnp.asarray(y), jnp.float32(0.4))
    cov = np.asarray(SHAPES[name], float)
    each = [np.diag(np.broadcast_to(cov, 4)) if cov.ndim < 2 else (cov if cov.ndim == 2 else cov[k]) for k in range(3)]
    noise = 0.4 * np.diag([0.5, 2.0])
    exact = [
        multivariate_normal(MATRIX @ m, MATRIX @ c @ MATRIX.T + noise).logpdf(y)
        for m, c in zip(MEANS, each, strict=True)
    ]
    np.testing.assert_allclose(found, exact, rtol=2e-5, atol=2e-5)


def test_closed_form_is_the_distance_of_the_projected_means():
    population = GaussianMixture([0.2, 0.3, 0.5], MEANS, FULL[0])
    process = LinearGaussian(MATRIX)
    found = sloc.tv(jax.random.key(0), process, population, 0.4, 0, 2, n=2, method="closed-form")
    gap = MATRIX @ (MEANS[0] - MEANS[2])
    r = np.sqrt(gap @ np.linalg.solve(MATRIX @ FULL[0] @ MATRIX.T + 0.4 * np.eye(2), gap)) / 2
    np.testing.assert_allclose(found.value, 2 * norm.cdf(r) - 1, rtol=1e-7)
    sampled = sloc.tv(jax.random.key(0), process, population, 0.4, 0, 2, n=30_000, method="monte-carlo", delta=1e-9)
    assert sampled.lower <= found.value <= sampled.upper


def test_anisotropic_with_equal_variances_is_isotropic():
    population = GaussianMixture([0.5, 0.5], MEANS[:2], 0.7)
    values = [
        sloc.tv_curve(jax.random.key(0), process, population, [0.3, 2.0], 0, 1, n=2, method="closed-form").value
        for process in (AnisotropicGaussian(np.ones(4)), IsotropicGaussian())
    ]
    np.testing.assert_allclose(values[0], values[1], rtol=1e-6)


CONFORMANCE = ("scalar", "own")


def conformance_pair(name: str):
    """``(population, process)``."""
    return GaussianMixture([0.2, 0.3, 0.5], MEANS, SHAPES[name]), LinearGaussian(MATRIX)


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFORMANCE)
def test_conformance(name):
    # False alarm at most 1e-9 each.
    check_population(*conformance_pair(name), times=[0.1, 0.6, 3.0], draws=2048)
