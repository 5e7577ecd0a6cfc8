"""Examples of the papers under memoryless noise against enumeration of all words and all that may be seen of them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm

import sloc
from sloc.processes import BinarySymmetric, RateMatrix, UniformCTMC
from tests.oracles import words as laws

from . import enumeration as oracle
from .examples import EXAMPLES, TOKENS, WALK, WEIGHTS

LENGTH, TIMES = 4, (0.05, 0.4, 1.5)


def examples_pmf() -> np.ndarray:
    """Masses of ``x_1 y_1 x_2 y_2``, outputs being letters 2 and 3."""
    inputs, outputs = np.array([0.4, 0.6]), np.array([[[0.8, 0.2], [0.3, 0.7]], [[0.1, 0.9], [0.6, 0.4]]])
    out = np.zeros((2, 4**LENGTH))
    for i, (x, y, u, v) in enumerate(oracle.words(4, LENGTH)):
        if x < 2 <= y and u < 2 <= v:
            out[:, i] = inputs[x] * outputs[:, x, y - 2] * inputs[u] * outputs[:, u, v - 2]
    return out


def walk_pmf() -> np.ndarray:
    """Masses of positions ``-2 .. 2`` written as letters 0 .. 4."""
    out = np.zeros((2, 5**LENGTH))
    for k, p in enumerate((0.7, 0.3)):
        for path, mass in laws.walk_law(p, 2, LENGTH).items():
            out[k, oracle.word_index(np.array(path) + 2, 5)] += mass
    return out


def tokens_pmf() -> np.ndarray:
    """Masses of scripts that part after the first token, over two more."""
    initial, common = np.array([0.6, 0.4]), np.array([[0.5, 0.5], [0.3, 0.7]])
    branches = np.array([[[0.9, 0.1], [0.8, 0.2]], [[0.1, 0.9], [0.3, 0.7]]])
    return np.array([laws.script_pmf(initial, common, branch, 1, 2, LENGTH) for branch in branches])


CASES = {"examples": (EXAMPLES, examples_pmf, 4), "walk": (WALK, walk_pmf, 5), "tokens": (TOKENS, tokens_pmf, 2)}


def jumps(letters: int, uniform: bool) -> np.ndarray:
    """Generator: every letter redrawn at rate 1, or rates that are neither even nor reversible, some of them zero."""
    if uniform:
        return np.full((letters, letters), 1 / letters) - np.eye(letters)
    rates = np.random.default_rng(letters).gamma(0.5, size=(letters, letters))
    rates[0, -1] = 0.0 if letters > 2 else 0.3
    np.fill_diagonal(rates, 0.0)
    return rates - np.diag(rates.sum(1))


@pytest.mark.parametrize("uniform", [True, False], ids=["uniform", "rates"])
@pytest.mark.parametrize("case", CASES)
def test_marginals_and_posteriors_match_enumeration(case, uniform):
    population, masses, letters = CASES[case]
    pmf, rates = masses(), jumps(letters, uniform)
    np.testing.assert_allclose(pmf.sum(1), 1, atol=1e-12)
    process = UniformCTMC(letters) if uniform else RateMatrix(rates)
    words = jnp.asarray(oracle.words(letters, LENGTH), jnp.int32)

    @jax.jit
    def at(process, population, t):
        return jax.vmap(lambda y: population.log_marginals(process, y, t))(words)

    for t in TIMES:
        want = oracle.noisy_pmf(pmf, letters, LENGTH, expm(t * rates))
        got = at(process.canonical(), population.canonical(), jnp.float32(t))
        np.testing.assert_allclose(np.exp(np.asarray(got, np.float64)), want.T, rtol=2e-5, atol=1e-7)
        joint = want[:, -1] * WEIGHTS
        found = sloc.posterior(process, population, words[-1], t)
        np.testing.assert_allclose(np.exp(np.asarray(found, np.float64)), joint / joint.sum(), atol=2e-5)


def test_flips_of_tokens_match_enumeration():
    pmf, words = tokens_pmf(), jnp.asarray(oracle.words(2, LENGTH), jnp.int32)
    for t in (0.05, 0.3, 0.5):
        want = oracle.noisy_pmf(pmf, 2, LENGTH, np.array([[1 - t, t], [t, 1 - t]]))
        process, population = BinarySymmetric().canonical(), TOKENS.canonical()
        got = jax.vmap(lambda y: population.log_marginals(process, y, jnp.float32(t)))(words)  # noqa: B023
        np.testing.assert_allclose(np.exp(np.asarray(got, np.float64)), want.T, rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize("case", CASES)
def test_curves_match_enumeration(case):
    population, masses, letters = CASES[case]
    pmf, rates, n = masses(), jumps(letters, uniform=True), 16_384
    curve = sloc.tv_curve(
        jax.random.key(3), UniformCTMC(letters), population, TIMES, 0, 1, n=n, method="monte-carlo"
    )  # fmt: skip
    for t, value in zip(TIMES, np.asarray(curve.value, np.float64), strict=True):
        exact = oracle.total_variation(*oracle.noisy_pmf(pmf, letters, LENGTH, expm(t * rates)))
        # Draws in [0, 1] in pairs, one of each side: nine comparisons of 1e-11 in all cases.
        assert abs(value - exact) <= oracle.bernstein(n // 2, exact - exact**2, 1e-11) + 1e-6
