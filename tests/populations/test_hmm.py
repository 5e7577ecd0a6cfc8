"""Mixtures of hidden Markov chains against enumeration of all words and all paths of states."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm

from sloc.contracts import ContractError, InvalidInput, Population, Revealed, check_registered, find_marginals
from sloc.populations import HiddenMarkov
from sloc.processes import BinarySymmetric, Erasure, Masking, OrderedMasking, OrnsteinUhlenbeck, RateMatrix, Truncation
from tests.oracles.words import hidden_pmf

from . import enumeration as oracle
from .channels import Scramble

# False-alarm rate of this file: fewer than 300 comparisons of DELTA each, 3e-9.
DELTA = 1e-11
LENGTH, LETTERS = 3, 3
WEIGHTS = np.array([0.4, 0.6])


def tables(letters: int = LETTERS, zeros: bool = True):
    rng = np.random.default_rng(2)
    initial = oracle.random_rows(rng, 2, 2)
    moves = oracle.random_rows(rng, 2, LENGTH - 1, 2, 2, zeros=zeros)
    return initial, moves, oracle.random_rows(rng, 2, 2, letters, zeros=zeros)


def population(letters: int = LETTERS, zeros: bool = True) -> HiddenMarkov:
    return HiddenMarkov(*tables(letters, zeros), LENGTH, WEIGHTS).canonical()


def word_masses(letters: int = LETTERS, zeros: bool = True) -> np.ndarray:
    initial, moves, emissions = tables(letters, zeros)
    return np.array([hidden_pmf(initial[k], moves[k], emissions[k], LENGTH) for k in range(2)])


@pytest.mark.parametrize("rates", [np.ones(LENGTH), np.array([0.5, 1.0, 3.0])], ids=["masking", "erasure"])
def test_revealed_marginals_match_enumeration(rates):
    pop, pmf = population(), word_masses()
    process, hides = Masking() if (rates == 1).all() else Erasure(rates).canonical(), 0.3**rates
    cases = [
        (np.where(m, w, 0), m)
        for m in oracle.patterns(LENGTH)
        for w in itertools.product(*(range(LETTERS) if seen else (0,) for seen in m))
    ]
    values, known = np.array([c[0] for c in cases], np.int32), np.array([c[1] for c in cases])
    got = jax.jit(jax.vmap(lambda v, m: pop.log_marginals(process, Revealed(v, m), jnp.float32(0.3))))(values, known)
    mass = [
        np.where(m, 1 - hides, hides).prod() * oracle.seen_mass(pmf, LETTERS, v, m)
        for v, m in zip(values, known, strict=True)
    ]
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(np.asarray(got), np.log(mass), atol=1e-5, rtol=1e-5)


JUMPS = np.array([[-1.0, 0.7, 0.3], [0.2, -0.5, 0.3], [0.0, 1.5, -1.5]])


@pytest.mark.parametrize(
    ("process", "t"),
    [(Scramble(), 0.35), (BinarySymmetric(), 0.1), (RateMatrix(JUMPS), 0.6)],
    ids=["scramble", "flips", "rates"],
)
def test_memoryless_marginals_match_enumeration(process, t):
    letters = 2 if isinstance(process, BinarySymmetric) else 3
    rates = isinstance(process, RateMatrix)
    matrix = expm(t * JUMPS) if rates else np.asarray(process.transition(np.float64(t)), float)
    process = process.canonical()
    want = oracle.noisy_pmf(word_masses(letters), letters, LENGTH, matrix)
    pop, y = population(letters), jnp.asarray(oracle.words(letters, LENGTH), jnp.int32)
    got = jax.jit(jax.vmap(lambda w: pop.log_marginals(process, w, jnp.float32(t))))(y)
    np.testing.assert_allclose(np.exp(np.asarray(got, np.float64)), want.T, atol=1e-6)


ORDERED = pytest.param(OrderedMasking([2, 0, 1]), marks=pytest.mark.slow)


@pytest.mark.parametrize("process", [Truncation(LENGTH), ORDERED], ids=["prefix", "ordered"])
def test_paths_give_the_enumerated_distances(process):
    pop, process, pmf, n = population(), process.canonical(), word_masses(), 20_000
    times = jnp.arange(LENGTH + 1, dtype=jnp.int32)
    paths = find_marginals(process, pop).paths_fn
    logs = jax.jit(lambda k, c: paths(process, pop, k, c, times))(jax.random.key(1), jnp.arange(n, dtype=jnp.int32) % 2)
    logs = np.asarray(logs, np.float64)
    value = np.abs(np.tanh((logs[:, 0] - logs[:, 1]) / 2)).mean(-1)
    for t in range(LENGTH + 1):
        hidden = [2, 1, 0][:t] if isinstance(process, Truncation) else [2, 0, 1][:t]
        pattern = tuple(place not in hidden for place in range(LENGTH))
        exact = oracle.masked_tv(pmf, LETTERS, LENGTH, {pattern: 1.0})
        assert abs(value[t] - exact) <= oracle.bernstein(n, exact - exact**2, DELTA) + 1e-6
    assert value[0] > value[-1]


def test_one_pass_equals_evaluation_time_by_time():
    pop, process = population(), Truncation(LENGTH)
    x, times = jnp.asarray([1, 0, 2], jnp.int32), jnp.asarray([3, 0, 1], jnp.int32)
    path, direct = jax.jit(
        lambda x: (
            pop.path_log_marginals(process, jax.random.key(0), x, times),
            jax.vmap(lambda t: pop.log_marginals(process, process.sample(jax.random.key(0), x, t), t))(times),
        )
    )(x)
    np.testing.assert_allclose(np.asarray(path), np.asarray(direct), atol=1e-6)


@pytest.mark.parametrize(
    "process", [Masking(), pytest.param(Scramble(), marks=pytest.mark.slow)], ids=["masking", "scramble"]
)
def test_posterior_draws_have_the_exact_joint_law(process):
    pop, n = population(zeros=False), 20_000
    pmf, table = WEIGHTS[:, None] * word_masses(zeros=False), oracle.words(LETTERS, LENGTH)
    if isinstance(process, Scramble):
        y = jnp.asarray([2, 0, 1], jnp.int32)
        likelihood = np.asarray(process.transition(0.5), float)[table, np.asarray(y)[None]].prod(1)
    else:
        y = Revealed(jnp.asarray([2, 0, 1], jnp.int32), jnp.asarray([True, False, True]))
        likelihood = ((table[:, 0] == 2) & (table[:, 2] == 1)).astype(float)
    want = pmf * likelihood / (pmf * likelihood).sum()
    draw = jax.jit(jax.vmap(lambda k: pop.posterior_joint(k, process, y, jnp.float32(0.5))))
    theta, x = draw(jax.random.split(jax.random.key(9), n))
    assert x.dtype == theta.dtype == jnp.int32
    cell = np.asarray(theta) * len(table) + oracle.word_index(np.asarray(x), LETTERS)
    freq = np.bincount(cell, minlength=want.size) / n
    width = np.array([oracle.bernstein(n, p * (1 - p), DELTA) for p in want.ravel()])
    assert (np.abs(freq - want.ravel()) <= width * (want.ravel() > 0)).all()


def test_long_words_do_not_underflow():
    # 1,500 letters have masses around exp(-800), below float32: under equal rows the answer is known.
    pop = HiddenMarkov(
        [[0.5, 0.5]] * 2, [[[0.9, 0.1], [0.1, 0.9]]] * 2, [[[0.6, 0.4]] * 2, [[0.4, 0.6]] * 2], 1500
    ).canonical()
    x = jnp.zeros(1500, jnp.int32)
    y = Revealed(x, jnp.ones(1500, bool))
    logs = jax.jit(lambda y: pop.log_marginals(Truncation(1500), y, jnp.int32(0)))(y)
    np.testing.assert_allclose(np.asarray(logs), 1500 * np.log([0.6, 0.4]), rtol=1e-5)


def test_registered_and_refuses_other_processes():
    check_registered(population(), "population", Population)
    with pytest.raises(ContractError, match="RevealingChannel or a MemorylessChannel"):
        population().posterior_sample(jax.random.key(0), OrnsteinUhlenbeck(), jnp.zeros(3), jnp.float32(1))


HALF = [[0.5, 0.5], [0.5, 0.5]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.5, 0.5], [HALF, HALF], [HALF, HALF], 3), "initial"),
        ((HALF, [HALF], [HALF, HALF], 3), "transitions"),
        ((HALF, np.full((2, 3, 2, 2), 0.5), [HALF, HALF], 3), "one table for each step"),
        ((HALF, [HALF, HALF], [HALF], 3), "emissions"),
        ((HALF, [HALF, HALF], [HALF, [[0.5, 0.4], [0.5, 0.5]]], 3), "emissions"),
        ((HALF, [HALF, HALF], [HALF, HALF], 0), "length"),
        ((HALF, [HALF, HALF], [HALF, HALF], 3, [0.5, 0.6]), "weights"),
        ((HALF, [HALF, HALF], [HALF, HALF], 3, None, ("a",)), "names"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(InvalidInput, match=message):
        HiddenMarkov(*arguments).validate()
