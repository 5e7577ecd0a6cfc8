"""Mixtures of Markov chains against enumeration of all words."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm

from sloc.contracts import (
    ContractError,
    InvalidInput,
    Population,
    Revealed,
    check_registered,
    find_marginals,
)
from sloc.populations import discrete
from sloc.populations.markov import MarkovChains
from sloc.processes import (
    BinarySymmetric,
    Erasure,
    Masking,
    OrderedMasking,
    OrnsteinUhlenbeck,
    RateMatrix,
    Truncation,
)

from . import enumeration as oracle
from .channels import Cut, Prefix, Scramble

# False-alarm rate of this file: every statistical comparison below uses DELTA, and there are fewer than 500 of them,
# so all together at most 500 * 1e-11 = 5e-9.
DELTA = 1e-11
LENGTH = 4


ORDER = (2, 0, 3, 1)
REVEALING = [Masking(), Prefix(LENGTH), Cut(LENGTH), OrderedMasking(list(ORDER)).canonical()]
NAMES = ["masking", "prefix", "cut", "ordered"]
RATES = np.array([0.5, 1.0, 2.0, 3.0])
JUMPS = np.array([[-1.0, 0.7, 0.3], [0.2, -0.5, 0.3], [0.0, 1.5, -1.5]])


def population(letters: int = 3, k: int = 3, zeros: bool = True, length: int = LENGTH) -> MarkovChains:
    rng = np.random.default_rng(21)
    initial = oracle.random_rows(rng, k, letters, zeros=zeros)
    transitions = oracle.random_rows(rng, k, letters, letters, zeros=zeros)
    return MarkovChains(initial, transitions, length, np.arange(1, k + 1) / (k * (k + 1) / 2)).canonical()


def word_masses(pop: MarkovChains) -> np.ndarray:
    return oracle.markov_pmf(np.asarray(pop.initial, float), np.asarray(pop.transitions, float), pop.length)


def pattern_law(process, t) -> dict[tuple[bool, ...], float]:
    """Probability of each pattern of seen coordinates, from the definition of the process."""
    if isinstance(process, Erasure):
        hides = t**RATES
        return {tuple(m): float(np.where(m, 1 - hides, hides).prod()) for m in oracle.patterns(LENGTH)}
    if isinstance(process, Masking):
        return {tuple(m): float(t ** (~m).sum() * (1 - t) ** m.sum()) for m in oracle.patterns(LENGTH)}
    hidden = range(LENGTH - t, LENGTH) if isinstance(process, Truncation) else ORDER[:t]
    return {tuple(place not in hidden for place in range(LENGTH)): 1.0}


def times_of(process) -> list:
    return list(range(LENGTH + 1)) if process.discrete else [0.15, 0.8, 0.4]


def as_times(process, times):
    return jnp.asarray(times, jnp.int32 if process.discrete else jnp.float32)


@pytest.mark.parametrize("process", [*REVEALING, Erasure(RATES).canonical()], ids=[*NAMES, "erasure"])
def test_revealed_marginals_match_enumeration_and_sum_to_one(process):
    pop = population()
    pmf = word_masses(pop)
    evaluate = jax.jit(jax.vmap(lambda v, m, t: pop.log_marginals(process, Revealed(v, m), t), (0, 0, None)))
    for t in times_of(process):
        cases = [
            (np.where(m, w, 0), np.array(m), p)
            for m, p in pattern_law(process, t).items()
            for w in itertools.product(*(range(3) if seen else (0,) for seen in m))
        ]
        values, known = np.array([c[0] for c in cases], np.int32), np.array([c[1] for c in cases])
        got = np.asarray(evaluate(values, known, as_times(process, t)))
        mass = np.array([p * oracle.seen_mass(pmf, 3, v, m) for v, m, p in cases])
        with np.errstate(divide="ignore"):
            np.testing.assert_allclose(got, np.log(mass), atol=1e-5, rtol=1e-5)
        np.testing.assert_allclose(np.exp(got.astype(np.float64)).sum(0), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("process", "t"),
    [*((Scramble(), t) for t in (0.0, 0.35, 1.0)), (RateMatrix(JUMPS), 0.6)],
    ids=["scramble, 0", "scramble, 0.35", "scramble, 1", "rates"],
)
def test_memoryless_marginals_match_enumeration_and_sum_to_one(process, t):
    pop = population()
    matrix = expm(t * JUMPS) if isinstance(process, RateMatrix) else np.asarray(process.transition(t), float)
    want, process = oracle.noisy_pmf(word_masses(pop), 3, LENGTH, matrix), process.canonical()
    y = jnp.asarray(oracle.words(3, LENGTH), jnp.int32)
    got = np.asarray(jax.jit(jax.vmap(lambda w: pop.log_marginals(process, w, jnp.float32(t))))(y))
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(got, np.log(want).T, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(np.exp(got.astype(np.float64)).sum(0), 1, atol=1e-5)


def test_binary_symmetric_marginals_match_enumeration():
    pop, t = population(letters=2, zeros=False), 0.1
    want = oracle.noisy_pmf(word_masses(pop), 2, LENGTH, np.array([[1 - t, t], [t, 1 - t]]))
    y = jnp.asarray(oracle.words(2, LENGTH), jnp.int32)
    got = jax.jit(jax.vmap(lambda w: pop.log_marginals(BinarySymmetric(), w, jnp.float32(t))))(y)
    np.testing.assert_allclose(np.asarray(got), np.log(want).T, atol=1e-5)


@pytest.mark.parametrize("process", REVEALING, ids=NAMES)
def test_path_equals_direct_evaluation(process):
    pop = population()
    times = as_times(process, times_of(process))
    key, x = jax.random.key(3), pop.sample(jax.random.key(4), jnp.int32(1))
    direct = jax.jit(jax.vmap(lambda t: pop.log_marginals(process, process.sample(key, x, t), t)))(times)
    path = jax.jit(lambda times: pop.path_log_marginals(process, key, x, times))(times)
    np.testing.assert_allclose(np.asarray(path), np.asarray(direct), atol=1e-5, rtol=1e-5)


def test_long_words_neither_underflow_nor_turn_impossible():
    # 2,000 letters have masses around exp(-1400), far below float32; the scaled recursion must not notice.
    pop = population(zeros=False, length=2000)
    x = pop.sample(jax.random.key(0), jnp.int32(0))
    logs = pop.log_marginals(Masking(), Revealed(x, jnp.ones(2000, bool)), jnp.float32(0.0))
    word = np.asarray(x)
    initial, rows = np.log(np.asarray(pop.initial, float)), np.log(np.asarray(pop.transitions, float))
    want = initial[:, word[0]] + rows[:, word[:-1], word[1:]].sum(1)
    np.testing.assert_allclose(np.asarray(logs), want, rtol=1e-5)
    hidden = pop.log_marginals(Masking(), Revealed(jnp.zeros_like(x), jnp.zeros(2000, bool)), jnp.float32(1.0))
    np.testing.assert_allclose(np.asarray(hidden), 0, atol=1e-4)


def test_sample_has_the_law_of_the_component():
    pop, n = population(), 100_000
    x = np.asarray(jax.jit(jax.vmap(pop.sample, (0, None)))(jax.random.split(jax.random.key(0), n), jnp.int32(2)))
    assert x.dtype == np.int32
    want = word_masses(pop)[2]
    freq = np.bincount(oracle.word_index(x, 3), minlength=len(want)) / n
    width = np.array([oracle.bernstein(n, p * (1 - p), DELTA) for p in want])
    assert (np.abs(freq - want) <= width * (want > 0)).all()


def posteriors(pop, process, times, key, components):
    """Posteriors of many trajectories from ``paths``, ``[T, K, n]``, float64."""
    entry = find_marginals(process, pop)
    logs = jax.jit(lambda k, c: entry.paths_fn(process, pop, k, c, times))(key, components)
    assert logs.shape == (len(times), pop.num_components, len(components))
    assert not np.isnan(np.asarray(logs)).any()
    return normalised(pop, logs)


def normalised(pop, logs):
    joint = np.asarray(logs, np.float64) + np.asarray(pop.log_weights, np.float64)[None, :, None]
    joint = np.exp(joint - joint.max(1, keepdims=True))
    return joint / joint.sum(1, keepdims=True)


@pytest.mark.parametrize("process", [*REVEALING, Scramble()], ids=[*NAMES, "scramble"])
def test_paths_have_the_law_of_direct_evaluation(process):
    pop, n = population(), 60_000
    times = as_times(process, times_of(process))
    got = posteriors(pop, process, times, jax.random.key(5), jnp.full((n,), 1, jnp.int32))

    def one(key):
        kx, ky = jax.random.split(key)
        x = pop.sample(kx, jnp.int32(1))
        return jax.vmap(lambda t: pop.log_marginals(process, process.sample(ky, x, t), t))(times)

    want = normalised(pop, jax.jit(jax.vmap(one, out_axes=-1))(jax.random.split(jax.random.key(6), n)))
    # Two samples of means in [0, 1] and of the products over two neighbouring times (the joint law in t).
    for a, b in ((got, want), (got[:-1] * got[1:], want[:-1] * want[1:])):
        width = 2 * oracle.bernstein(n, float(np.maximum(a.var(-1), b.var(-1)).max()) + 0.01, DELTA)
        assert np.abs(a.mean(-1) - b.mean(-1)).max() <= width


@pytest.mark.parametrize("process", REVEALING, ids=NAMES)
def test_distances_from_paths_match_enumeration(process):
    pop, n = population(k=2), 60_000
    pop = MarkovChains(pop.initial, pop.transitions, LENGTH).canonical()
    times = times_of(process)
    post = posteriors(pop, process, as_times(process, times), jax.random.key(7), jnp.arange(n, dtype=jnp.int32) % 2)
    for value, t in zip(np.abs(2 * post[:, 0] - 1).mean(-1), times, strict=True):
        exact = oracle.masked_tv(word_masses(pop), 3, LENGTH, pattern_law(process, t))
        # tanh(|l| / 2) lies in [0, 1]: its variance is at most TV - TV^2.
        assert abs(value - exact) <= oracle.bernstein(n, exact - exact**2, DELTA) + 1e-6


def test_distances_under_scrambling_match_enumeration():
    pop, n, times = population(k=2), 60_000, [0.0, 0.3, 0.7]
    pop = MarkovChains(pop.initial, pop.transitions, LENGTH).canonical()
    components = jnp.arange(n, dtype=jnp.int32) % 2
    post = posteriors(pop, Scramble(), jnp.asarray(times), jax.random.key(8), components)
    for value, t in zip(np.abs(2 * post[:, 0] - 1).mean(-1), times, strict=True):
        noisy = oracle.noisy_pmf(word_masses(pop), 3, LENGTH, np.asarray(Scramble().transition(t), float))
        exact = oracle.total_variation(*noisy)
        assert abs(value - exact) <= oracle.bernstein(n, exact - exact**2, DELTA) + 1e-6


@pytest.mark.parametrize("process", [Masking(), Prefix(30), Scramble()], ids=["masking", "prefix", "scramble"])
def test_groups_do_not_change_the_answer(process, monkeypatch):
    pop = population(length=30)
    components = jnp.arange(23, dtype=jnp.int32) % 3
    times = jnp.asarray([3, 20, 29], jnp.int32) if process.discrete else jnp.asarray([0.2, 0.5, 0.9])
    paths = find_marginals(process, pop).paths_fn
    whole = jax.jit(lambda key: paths(process, pop, key, components, times))(jax.random.key(2))
    monkeypatch.setattr(discrete, "BUDGET", 2000)
    monkeypatch.setattr(discrete, "_CHUNK", 8)
    grouped = jax.jit(lambda key: paths(process, pop, key, components, times))(jax.random.key(2))
    np.testing.assert_allclose(np.asarray(grouped), np.asarray(whole), atol=2e-5)


@pytest.mark.parametrize("process", [Masking(), Scramble(), Prefix(LENGTH)], ids=["masking", "scramble", "prefix"])
def test_posterior_sample_has_the_exact_law(process):
    pop, n = population(zeros=False), 60_000
    pmf = np.exp(np.asarray(pop.log_weights, float)) @ word_masses(pop)
    table = oracle.words(3, LENGTH)
    t = as_times(process, 2 if process.discrete else 0.5)
    if isinstance(process, Scramble):
        y = jnp.asarray([2, 0, 1, 1], jnp.int32)
        like = np.asarray(process.transition(0.5), float)[table, np.asarray(y)[None]].prod(1)
    else:
        second = 1 if process.discrete else 2
        known = np.isin(np.arange(LENGTH), [0, second])
        values = np.where(known, [2, 1, 1, 0], 0)
        y = Revealed(jnp.asarray(values, jnp.int32), jnp.asarray(known))
        like = np.all((table == values) | ~known, 1)
    want = pmf * like / (pmf * like).sum()
    draw = jax.jit(jax.vmap(lambda k: pop.posterior_sample(k, process, y, t)))
    x = np.asarray(draw(jax.random.split(jax.random.key(9), n)))
    assert x.dtype == np.int32
    freq = np.bincount(oracle.word_index(x, 3), minlength=len(table)) / n
    width = np.array([oracle.bernstein(n, p * (1 - p), DELTA) for p in want])
    assert (np.abs(freq - want) <= width * (want > 0)).all()


def test_posterior_sample_refuses_other_processes():
    with pytest.raises(ContractError, match="RevealingChannel or a MemorylessChannel"):
        population().posterior_sample(jax.random.key(0), OrnsteinUhlenbeck(), jnp.zeros(4), jnp.float32(1))


def test_one_letter_words_and_default_weights():
    pop = MarkovChains([[0.25, 0.75], [1, 0]], np.full((2, 2, 2), 0.5), 1, names=("a", "b")).canonical()
    pop.validate()
    check_registered(pop, "population", Population)
    np.testing.assert_allclose(np.asarray(pop.log_weights), np.log(0.5), rtol=1e-6)
    assert pop.sample(jax.random.key(0), jnp.int32(1)).tolist() == [0]
    y = Revealed(jnp.asarray([1], jnp.int32), jnp.asarray([True]))
    logs = np.asarray(pop.log_marginals(Prefix(1), y, jnp.int32(0)))
    np.testing.assert_allclose(logs, [np.log(0.75), -np.inf], rtol=1e-6)
    paths, times = find_marginals(Prefix(1), pop).paths_fn, jnp.asarray([1, 0], jnp.int32)
    full = jax.jit(lambda c: paths(Prefix(1), pop, jax.random.key(0), c, times))(jnp.asarray([0, 1, 1], jnp.int32))
    np.testing.assert_allclose(np.asarray(full[0]), 0)


ROWS = [[0.5, 0.5], [0.5, 0.5]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((ROWS, [ROWS], 3), "transitions"),
        (([0.5, 0.5], [ROWS, ROWS], 3), "initial"),
        (([[0.5, 0.6], [0.5, 0.5]], [ROWS, ROWS], 3), "initial"),
        ((ROWS, [ROWS, [[0.5, 0.6], [0.5, 0.5]]], 3), "transitions"),
        ((ROWS, [ROWS, [[1.5, -0.5], [0.5, 0.5]]], 3), "nonnegative"),
        ((ROWS, [ROWS, ROWS], 0), "length"),
        ((ROWS, [ROWS, ROWS], 2.5), "length"),
        ((ROWS, [ROWS, ROWS], 3, [0.5, 0.6]), "weights"),
        ((ROWS, [ROWS, ROWS], 3, [0.5, 0.5], ("a",)), "names"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(InvalidInput, match=message):
        MarkovChains(*arguments).validate()
