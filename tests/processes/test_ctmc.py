"""Markov chains on letters: exact transition matrices, Bayes bridges, absorbing equals masking, refusals."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm

import sloc
from sloc.contracts import InvalidInput
from sloc.processes import Masking, RateMatrix, UniformCTMC
from sloc.processes.letters import letter_information

RATES = np.asarray([[-1.0, 0.7, 0.2, 0.1], [0.5, -1.5, 0.5, 0.5], [0.1, 0.1, -0.3, 0.1], [2.0, 0.0, 0.0, -2.0]])
PI = np.asarray([0.1, 0.2, 0.3, 0.4])
_half = np.random.default_rng(0).uniform(0.2, 1.0, (4, 4))
BALANCED = RateMatrix.from_jumps((_half + _half.T) / PI[:, None]).rates
TIMES = [1e-4, 0.05, 0.7, 6.0, 300.0]


@pytest.mark.parametrize("process", [RateMatrix(RATES), RateMatrix(RATES, method="expm")], ids=lambda p: p.method)
def test_any_generator_against_scipy(process):
    found = jax.jit(jax.vmap(process.canonical().transition))(jnp.asarray(TIMES, jnp.float32))
    for t, matrix in zip(TIMES, found, strict=True):
        exact = expm(float(np.float32(t)) * RATES)
        np.testing.assert_allclose(matrix, exact, atol=2e-5)
        assert np.all(np.asarray(matrix) >= 0)
        if process.method == "uniformisation":
            # No cancellation: small entries keep their digits.
            np.testing.assert_allclose(matrix, exact, rtol=1e-4)


def test_reversible_by_eigh():
    process = RateMatrix.reversible(BALANCED)
    np.testing.assert_allclose(process.stationary, PI, rtol=1e-10)
    found = jax.jit(jax.vmap(process.canonical().transition))(jnp.asarray(TIMES, jnp.float32))
    exact = [expm(float(np.float32(t)) * BALANCED) for t in TIMES]
    np.testing.assert_allclose(found, exact, atol=5e-6)


def test_host_matrices_are_float64():
    np.testing.assert_allclose(RateMatrix(RATES).transition(0.7), expm(0.7 * RATES), rtol=1e-12)
    assert RateMatrix(RATES).transition(0.7).dtype == np.float64
    uniform = UniformCTMC(3).transition(0.7)
    np.testing.assert_allclose(uniform, expm(0.7 * (np.full((3, 3), 1 / 3) - np.eye(3))), rtol=1e-12)
    assert uniform.dtype == np.float64


@pytest.mark.parametrize("process", [UniformCTMC(3), RateMatrix(RATES)], ids=lambda p: type(p).__name__)
def test_likelihood_is_the_product_of_entries(process):
    t, x = 0.4, np.asarray([0, 2, 1])
    ys = np.asarray(list(itertools.product(range(3), repeat=3)))
    found = jax.jit(jax.vmap(process.canonical().log_prob, (0, None, None)))(
        jnp.asarray(ys, jnp.int32), jnp.asarray(x, jnp.int32), jnp.float32(t)
    )
    np.testing.assert_allclose(found, np.log(process.transition(t)[x, ys]).sum(1), rtol=2e-5, atol=2e-6)


def test_uniform_redraws_are_nested_and_the_ends_are_exact():
    process, x = UniformCTMC(5), jnp.full((300,), 2, jnp.int32)
    draw = jax.jit(jax.vmap(lambda t: process.sample(jax.random.key(0), x, t)))
    ys = np.asarray(draw(jnp.asarray([0.0, 0.5, 2.0, 100.0])))
    np.testing.assert_array_equal(ys[0], 2)
    for early, late in itertools.pairwise(ys):
        moved = early != 2
        np.testing.assert_array_equal(early[moved], late[moved])
    assert process.log_prob(x, x, jnp.float32(0.0)) == 0.0
    np.testing.assert_allclose(process.log_prob(x, x, jnp.float32(100.0)), -300 * np.log(5), rtol=1e-5)


def test_bridge_is_bayes_rule():
    # Hoeffding over 20,000 letters: off by 0.03 with probability below 2 exp(-36) per letter, 1e-14 in all.
    s, t, n, x, y = 0.3, 0.9, 20_000, 1, 3
    early, step = expm(s * RATES), expm((t - s) * RATES)
    weights = early[x] * step[:, y]
    back = (
        RateMatrix(RATES)
        .canonical()
        .bridge(
            jax.random.key(0),
            jnp.full((n,), y, jnp.int32),
            jnp.full((n,), x, jnp.int32),
            jnp.float32(s),
            jnp.float32(t),
        )
    )
    found = np.bincount(np.asarray(back), minlength=4) / n
    np.testing.assert_allclose(found, weights / weights.sum(), atol=0.03)


def test_absorbing_chain_is_masking():
    chain, share = RateMatrix.absorbing(3), 0.35
    t = -np.log1p(-share)
    expected = np.diag([1 - share] * 3 + [1.0])
    expected[:3, 3] = share
    np.testing.assert_allclose(chain.transition(t), expected, atol=1e-15)
    x = jnp.asarray([0, 2, 1, 1], jnp.int32)
    # The same probability for each pattern, and none for a wrong letter.
    patterns = jnp.asarray(list(itertools.product([False, True], repeat=4)))

    @jax.jit
    def both(known):
        y = sloc.Revealed(jnp.where(known, x, jnp.zeros_like(x)), known)
        z = jnp.where(known, x, 3)
        by_chain = chain.canonical().log_prob(z, x, jnp.float32(t))
        wrong = chain.canonical().log_prob(z.at[0].set(1), x, jnp.float32(t))
        return by_chain, Masking().log_prob(y, x, jnp.float32(share)), wrong

    by_chain, by_masks, wrong = jax.vmap(both)(patterns)
    np.testing.assert_allclose(by_chain, by_masks, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(wrong, -np.inf)


@pytest.mark.slow
def test_absorbing_chain_has_the_windows_of_masking():
    words = np.asarray([[0, 1, 1, 0], [0, 2, 2, 1]])
    share = 0.6
    found = sloc.tv(
        jax.random.key(0),
        RateMatrix.absorbing(3),
        sloc.populations.Empirical(words),
        -np.log1p(-share),
        0,
        1,
        n=4096,
    )
    # Atoms at distance 3: TV = 1 - share^3; six standard errors are missed with probability 2e-9.
    assert abs(float(found.value) - (1 - share**3)) < 6 * float(found.stderr) + 1e-5


@pytest.mark.parametrize("process", [UniformCTMC(4), RateMatrix(RATES)], ids=lambda p: type(p).__name__)
def test_grid_is_even_in_information(process):
    times = process.grid(11)
    bits = np.asarray([letter_information(process.transition(t)) for t in times])
    assert np.all(np.diff(times) > 0)
    np.testing.assert_allclose(np.diff(bits), np.diff(bits).mean(), rtol=0.03)


@pytest.mark.slow
def test_products_of_letters_under_a_chain():
    # TV of one coordinate after the chain, by matrix products; two coordinates by enumeration.
    probs = np.asarray([[[0.7, 0.1, 0.1, 0.1]] * 2, [[0.1, 0.2, 0.3, 0.4]] * 2])
    t = 0.5
    laws = [np.outer(*(row @ expm(t * RATES) for row in probs[k])).ravel() for k in range(2)]
    truth = np.abs(laws[0] - laws[1]).sum() / 2
    population = sloc.populations.ProductCategorical(probs)
    found = sloc.tv(jax.random.key(1), RateMatrix(RATES), population, t, 0, 1, n=8192)
    assert abs(float(found.value) - truth) < 6 * float(found.stderr) + 1e-5


def changed(i, j, value):
    """Return the rates with one entry changed."""
    rates = RATES.copy()
    rates[i, j] = value
    return rates


@pytest.mark.parametrize(
    ("process", "message"),
    [
        (RateMatrix(RATES[:3]), r"rates = \(3, 4\): expected a matrix \[q, q\]"),
        (RateMatrix(changed(0, 1, -0.7)), r"rates\[0, 1\] = -0.7: expected a rate that is not negative"),
        (RateMatrix(changed(1, 1, -1.0)), r"rates\[1\] summed = 0.5: expected rows that sum to zero"),
        (RateMatrix(changed(1, 1, np.nan)), "finite numbers"),
        (RateMatrix(np.zeros((2, 2))), "at least one rate"),
        (RateMatrix(RATES, method="eig"), "method = 'eig': expected one of"),
        (RateMatrix(BALANCED, method="eigh"), "stationary = None"),
        (RateMatrix(BALANCED, PI[::-1], "eigh"), "detailed balance"),
        (RateMatrix(BALANCED, PI[:3], "eigh"), "shape"),
        (RateMatrix(BALANCED, [0.5, 0.5, 0.5, -0.5], "eigh"), "a positive law"),
        (UniformCTMC(1), "num_letters = 1"),
        (UniformCTMC(2.0), "num_letters = 2.0"),  # pyright: ignore[reportArgumentType]
    ],
)
def test_bad_chains_are_refused(process, message):
    with pytest.raises(InvalidInput, match=message):
        process.validate()


def test_makers_refuse_too():
    with pytest.raises(InvalidInput, match="detailed balance"):
        RateMatrix.reversible(RATES)
    with pytest.raises(InvalidInput, match="num_letters = 0"):
        RateMatrix.absorbing(0)
    with pytest.raises(InvalidInput, match="a square matrix"):
        RateMatrix.from_jumps(RATES[:2])
