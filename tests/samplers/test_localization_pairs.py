"""The exact localizer gives back the law of ``X`` for pairs of every kind of process and population.

False-alarm rate: eleven comparisons of 1e-10 and one band pair of 2e-10, 1.3e-9.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sloc
from sloc.populations import Empirical, GaussianMixture, ProductCategorical, RandomHierarchy
from sloc.processes import (
    Erasure,
    HalfSpace,
    LinearGaussian,
    Masking,
    OrnsteinUhlenbeck,
    Poisson,
    Power,
    Product,
    RateMatrix,
    Retimed,
    UniformCTMC,
)
from sloc.samplers import label_frequencies
from sloc.testing import assert_same_law
from tests.populations.examples import HIDDEN, TOKENS

N, FALSE_ALARM = 4_096, 1e-10
RNG = np.random.default_rng(0)
MIXTURE = GaussianMixture([0.3, 0.6, 0.1], [[0.0, 2.0], [1.5, -0.5], [0.0, 1.0]], 0.8)
LETTERS = ProductCategorical(RNG.dirichlet([1, 1, 1], (2, 3)), [0.3, 0.7])
WORDS = Empirical(RNG.integers(0, 2, (9, 3)), np.arange(9) % 2)
REAL = Empirical(RNG.normal(size=(12, 2)), np.arange(12) % 3)
INTENSITIES = Empirical(RNG.gamma(1.0, size=(10, 2)), np.arange(10) % 2)
HIERARCHY = RandomHierarchy.random(jax.random.key(5), 2, 2, 2, 3, 2, weights=np.array([0.3, 0.7]))
JUMPS = [[-1.0, 0.7, 0.3], [0.2, -0.5, 0.3], [0.0, 1.5, -1.5]]

PAIRS: dict[str, tuple[Any, Any, list[float]]] = {
    "LinearGaussian, mixture": (
        LinearGaussian([[1.0, 0.4], [0.2, 0.7]], [[1.0, 0.3], [0.3, 0.5]]),
        MIXTURE,
        [0.2, 0.9],
    ),
    "UniformCTMC, letters": (UniformCTMC(3), LETTERS, [0.3, 1.5]),
    "RateMatrix, letters": (RateMatrix(JUMPS), LETTERS, [0.3, 1.5]),
    "Erasure, letters": (Erasure([0.5, 1.0, 3.0]), LETTERS, [0.3, 0.8]),
    "Poisson, atoms": (Poisson(), INTENSITIES, [0.3, 2.0]),
    "HalfSpace, atoms": (HalfSpace.random(jax.random.key(1), 6, 2, noise=0.5), REAL, [0.3, 0.8]),
    "Product, atoms": (Product((Masking(), Erasure(2.0)), ((0, 2), (1,))), WORDS, [0.3, 0.8]),
    "Retimed, mixture": (Retimed(OrnsteinUhlenbeck(), Power(2.0, 0.5)), MIXTURE, [0.3, 2.0]),
    "Masking, hierarchy": (Masking(), HIERARCHY, [0.3, 0.8]),
    "Masking, hidden chains": (Masking(), HIDDEN, [0.3, 0.8]),
    "Masking, tokens": (Masking(), TOKENS, [0.3, 0.8]),
}


@jax.jit
def from_the_population(key, population):
    """Draw ``X`` from the mixture, ``[N, ...]``."""

    def one(key):
        k_component, k_x = jax.random.split(key)
        component = jax.random.categorical(k_component, population.log_weights).astype(jnp.int32)
        return population.sample(k_x, component)

    return jax.vmap(one)(jax.random.split(key, N))


def columns(x) -> np.ndarray:
    """The numbers of each sample and their products, ``[N, d + d^2]``."""
    flat = np.asarray(x, float).reshape(N, -1)
    return np.concatenate([flat, (flat[:, :, None] * flat[:, None, :]).reshape(N, -1)], axis=1)


@pytest.mark.nightly
@pytest.mark.parametrize("pair", PAIRS)
def test_samples_have_the_law_of_the_population(pair):
    process, population, grid = PAIRS[pair]
    x = sloc.localize(jax.random.key(4), process, population, grid=grid, n=N)
    want = from_the_population(jax.random.key(5), population.canonical())
    assert np.shape(x) == want.shape
    assert_same_law(columns(x), columns(want), false_alarm=FALSE_ALARM, what=pair)


@pytest.mark.nightly
def test_labels_of_words_come_back_as_label_curve_says():
    # Both bands hold at 1e-10, so they meet.
    times, n = [0.2, 0.7], 16_384
    found = label_frequencies(jax.random.key(6), Masking(), HIDDEN, 0, times, n=n, delta=FALSE_ALARM)
    want = sloc.label_curve(jax.random.key(7), Masking(), HIDDEN, times, 0, n=1 << 16, delta=FALSE_ALARM)
    assert found.labels == want.labels
    assert (found.lower <= want.upper).all()
    assert (want.lower <= found.upper).all()
    # Six standard errors and a half, twice two numbers that are one minus each other: 2e-10.
    assert (np.abs(found.value - want.value) <= 6.5 * np.hypot(found.stderr, want.stderr)).all()
    assert np.ptp(np.asarray(found.value)[:, 0]) > 0.02
