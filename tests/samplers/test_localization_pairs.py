"""The exact localizer gives back the law of ``X`` for pairs of every kind of process and population.

False-alarm rate: 22 comparisons of laws of 1e-10 each, and 23 pairs of bands of 2e-10: 7e-9.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sloc
from sloc.contracts import ContractError
from sloc.populations import Empirical, GaussianMixture, ProductCategorical, RandomHierarchy, SparseRegression
from sloc.processes import (
    AnisotropicGaussian,
    BinarySymmetric,
    Erasure,
    FlowMatching,
    HalfSpace,
    LinearGaussian,
    Masking,
    OrnsteinUhlenbeck,
    Permuted,
    Poisson,
    Power,
    Product,
    Projected,
    RateMatrix,
    Retimed,
    Truncation,
    UniformCTMC,
)
from sloc.samplers import exact_localizer, label_frequencies
from sloc.testing import assert_same_law
from tests.populations.examples import DISCOURSE, EXAMPLES, HIDDEN, REGRESSION, TOKENS, WALK, rows
from tests.processes.heads import BITS, HEADS, WITHOUT_BRIDGE

N, FALSE_ALARM = 4_096, 1e-10
RNG = np.random.default_rng(0)
MIXTURE = GaussianMixture([0.3, 0.6, 0.1], [[0.0, 2.0], [1.5, -0.5], [0.0, 1.0]], 0.8)
LETTERS = ProductCategorical(RNG.dirichlet([1, 1, 1], (2, 3)), [0.3, 0.7])
WORDS = Empirical(RNG.integers(0, 2, (9, 3)), np.arange(9) % 2)
REAL = Empirical(RNG.normal(size=(12, 2)), np.arange(12) % 3)
INTENSITIES = Empirical(RNG.gamma(1.0, size=(10, 2)), np.arange(10) % 2)
HIERARCHY = RandomHierarchy.random(jax.random.key(5), 2, 2, 2, 3, 2, weights=np.array([0.3, 0.7]))
ONE_HOT = RandomHierarchy.random(jax.random.key(5), 2, 2, 2, 3, 2, weights=np.array([0.3, 0.7]), one_hot=True)
FIVE_BITS = Empirical(RNG.integers(0, 2, (9, BITS)), np.arange(9) % 2)
HALVES = HalfSpace.random(jax.random.key(1), 6, 2, noise=0.5)
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
    "HalfSpace, atoms": (HALVES, REAL, [0.3, 0.8]),
    "Product, atoms": (Product((Masking(), Erasure(2.0)), ((0, 2), (1,))), WORDS, [0.3, 0.8]),
    "Retimed, mixture": (Retimed(OrnsteinUhlenbeck(), Power(2.0, 0.5)), MIXTURE, [0.3, 2.0]),
    "Masking, hierarchy": (Masking(), HIERARCHY, [0.3, 0.8]),
    "Masking, hidden chains": (Masking(), HIDDEN, [0.3, 0.8]),
    "Masking, tokens": (Masking(), TOKENS, [0.3, 0.8]),
    "Permuted flips, hidden chains": (Permuted(BinarySymmetric(), [2, 0, 1]), HIDDEN, [0.1, 0.3]),
    "Permuted noise, mixture": (Permuted(OrnsteinUhlenbeck(), [1, 0]), MIXTURE, [0.3, 1.0]),
    "Permuted half-spaces, atoms": (Permuted(HALVES, [1, 0]), REAL, [0.3, 0.8]),
    "Projected, mixture": (Projected(OrnsteinUhlenbeck(), [[1.0, -0.5]]), MIXTURE, [0.3, 1.0]),
    "AnisotropicGaussian, mixture": (AnisotropicGaussian([[1.0, 0.4], [0.4, 0.5]]), MIXTURE, [0.3, 1.0]),
    "Composed, atoms": (HEADS, FIVE_BITS, [0.1, 0.3]),
    "words of a discourse": (rows(3, 2), DISCOURSE, [1, 2]),
    "samples of a regression": (rows(3, 4), REGRESSION, [1, 2]),
    "Masking, examples": (Masking(), EXAMPLES, [0.3, 0.8]),
    "Truncation, walk": (Truncation(4), WALK, [1, 3]),
    "noise, one-hot hierarchy": (OrnsteinUhlenbeck(), ONE_HOT, [0.3, 1.0]),
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


@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS)
def test_samples_have_the_law_of_the_population(pair):
    process, population, grid = PAIRS[pair]
    x = sloc.localize(jax.random.key(4), process, population, grid=grid, n=N)
    want = from_the_population(jax.random.key(5), population.canonical())
    assert np.shape(x) == want.shape
    assert_same_law(columns(x), columns(want), false_alarm=FALSE_ALARM, what=pair)


# One of each kind of step back; the rest are more of the kind.
LABELLED = {
    "Permuted flips, hidden chains",
    "Projected, mixture",
    "Composed, atoms",
    "noise, one-hot hierarchy",
}


@pytest.mark.parametrize(
    "pair", [pytest.param(p, marks=pytest.mark.slow if p in LABELLED else pytest.mark.nightly) for p in PAIRS]
)
def test_labels_come_back_as_label_curve_says(pair):
    """``P(theta' | start in 0, forward, back step by step)``, against the exact posteriors alone."""
    process, population, times = PAIRS[pair]
    localizer = exact_localizer(process, population)
    # Both bands hold at 1e-10, so they meet.
    found = label_frequencies(
        jax.random.key(6), process, population, 0, times[1:], n=N, delta=FALSE_ALARM, localizer=localizer, grid=times
    )
    want = sloc.label_curve(jax.random.key(7), process, population, times[1:], 0, n=1 << 14, delta=FALSE_ALARM)
    assert found.labels == want.labels
    assert (found.lower <= want.upper).all(), (found, want)
    assert (want.lower <= found.upper).all(), (found, want)
    assert (np.asarray(found.upper) - np.asarray(found.lower) < 0.12).all()


@pytest.mark.slow
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


def no_posterior_draw():
    """A NumPyro model knows the marginals of its own law, not the posterior of ``X``."""
    from tests.bayes.test_population import NumPyroPopulation, bits

    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        return NumPyroPopulation(bits)


UNLIKE = Product((FlowMatching(), OrnsteinUhlenbeck()), ((0,), (1,)))
"""Its coordinates lose their signal at different rates, so their sum is no Markov chain."""

# Pairs that cannot be localized exactly, and what is said of the missing part.
REFUSED: dict[str, tuple[Any, Callable[[], Any], str]] = {
    "Composed without backward": (
        WITHOUT_BRIDGE,
        lambda: FIVE_BITS,
        r"Composed does not define bridge\(key, y, x, s, t\)",
    ),
    "a projection that is no Markov chain": (
        Projected(UNLIKE, [[1.0, 1.0]]),
        lambda: MIXTURE,
        r"Projected does not define bridge\(key, y, x, s, t\), which is needed to step back from Y_t to Y_s given X",
    ),
    "a NumPyro model": (
        Masking(),
        no_posterior_draw,
        r"NumPyroPopulation does not define posterior_sample\(key, process, y, t\)",
    ),
    "a discourse under noise": (OrnsteinUhlenbeck(), lambda: DISCOURSE, "expects a RevealingChannel"),
    "a regression under noise": (OrnsteinUhlenbeck(), lambda: REGRESSION, "expects a RevealingChannel"),
    "supports that are too many": (
        Masking(),
        lambda: SparseRegression(0.3, 40, 20, 3, [0.3, 0.7]),
        r"SparseRegression.posterior_sample is exact only: \d+ supports are more than",
    ),
}


@pytest.mark.parametrize("pair", REFUSED)
def test_what_has_no_exact_way_back_is_refused(pair):
    process, make, message = REFUSED[pair]
    with pytest.raises(ContractError, match=message):
        sloc.localize(jax.random.key(0), process, make(), grid=[0.2, 0.4], n=4)
