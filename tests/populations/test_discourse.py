"""Discourse vectors against dense Gaussians in float64."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sloc
from sloc.contracts import ContractError, InvalidInput, Population, Revealed, check_registered
from sloc.populations import KalmanDiscourse
from sloc.processes import Masking, OrderedMasking, OrnsteinUhlenbeck, Retimed, Steps, Truncation
from tests.oracles import discourse as oracle

from .enumeration import bernstein

# False-alarm rate of this file: 3 + 8 comparisons of means, at most 1e-10 each.
DELTA = 1e-11
SIGMAS = 6.6
COSINE = 0.3
DIRECTIONS = np.array([[1.0, 0.0], [COSINE, np.sqrt(1 - COSINE**2)]])
STEP, WORDS = 0.5, 4
TIMES = STEP * np.arange(WORDS - 1, -1, -1)


def by_word(words: int, dimension: int):
    """Truncation that hides whole words."""
    return Retimed(Truncation(words * dimension), Steps(dimension * np.arange(words + 1))).canonical()


def population(alpha: float = 20.0) -> KalmanDiscourse:
    return KalmanDiscourse(DIRECTIONS, alpha, WORDS, STEP, [0.3, 0.7]).canonical()


@pytest.fixture(scope="module")
def evaluate():
    return jax.jit(lambda p, y, t: jax.vmap(lambda y: p.log_marginals(Masking(), y, t))(y))


@pytest.mark.parametrize(("alpha", "atol"), [(20.0, 2e-5), (1e8, 2e-3)])
def test_marginals_match_the_dense_gaussian(evaluate, alpha, atol):
    pop, rng = population(alpha), np.random.default_rng(3)
    known = np.concatenate([rng.random((30, WORDS, 2)) < 0.6, np.ones((1, WORDS, 2), bool)])
    draws = rng.multivariate_normal(np.zeros(8), oracle.covariance(DIRECTIONS[1], alpha, TIMES), len(known))
    x = np.where(known, draws.reshape(known.shape), 0).astype(np.float32)
    got = np.asarray(evaluate(pop, Revealed(jnp.asarray(x), jnp.asarray(known)), jnp.float32(0.4)))
    hidden = (~known).sum((1, 2))
    pattern = hidden * np.log(0.4) + (WORDS * 2 - hidden) * np.log(0.6)
    for k, theta in enumerate(DIRECTIONS):
        sigma = oracle.covariance(theta, alpha, TIMES)
        want = np.array([oracle.log_density(v.astype(float), m, sigma) for v, m in zip(x, known, strict=True)])
        # At alpha = 1e8 squares reach 1e8 where a topic is wrong; what is right keeps its digits.
        np.testing.assert_allclose(got[:, k], want + pattern, atol=atol, rtol=2e-5)


PROCESSES = [by_word(WORDS, 2), Truncation(8), OrderedMasking([2, 0, 7, 1, 5, 4, 3, 6])]


@pytest.mark.parametrize("process", PROCESSES, ids=["words", "cut", "order"])
def test_path_equals_direct_evaluation(process):
    pop, process = population(), process.canonical()
    times = jnp.asarray([0, 2, 4, 1], jnp.int32)
    key, x = jax.random.key(3), jnp.asarray(np.random.default_rng(4).normal(size=(WORDS, 2)), jnp.float32)
    path, direct = jax.jit(
        lambda times: (
            pop.path_log_marginals(process, key, x, times),
            jax.vmap(lambda t: pop.log_marginals(process, process.sample(key, x, t), t))(times),
        )
    )(times)
    np.testing.assert_allclose(np.asarray(path), np.asarray(direct), atol=1e-5, rtol=1e-5)


def test_edges_of_the_papers_example():
    pop = KalmanDiscourse(DIRECTIONS, 1e8, 20)
    pop.validate()
    tv = pop.prefix_tv(0, 1, np.arange(20, -1, -1))
    # T_after: the last t with TV >= 1 - eps^2; T_before at equal weights: the first with TV / 2 <= eps.
    assert np.flatnonzero(tv >= 1 - 0.1**2).max() == 3
    assert np.flatnonzero(tv / 2 <= 0.1).min() == 9
    np.testing.assert_allclose(oracle.printed_edges(1e8, COSINE, 0.1), [6.18, 19.55], atol=0.01)


def test_closed_forms_match_quadrature_and_determinants():
    pop = KalmanDiscourse(DIRECTIONS, 30.0, 3, 0.7)
    times = 0.7 * np.arange(2, -1, -1)
    first = [oracle.covariance(theta, 30.0, times[:1]) for theta in DIRECTIONS]
    np.testing.assert_allclose(pop.prefix_tv(0, 1, 1), oracle.planar_tv(*first), atol=2e-5)
    np.testing.assert_allclose(pop.word_affinity(0, 1, times[0]), oracle.affinity(*first), rtol=1e-10)
    # The law of C has no word's noise; KL from its definition.
    clean = [m - np.eye(2) for m in first]
    kl = 0.5 * (np.trace(np.linalg.solve(clean[1], clean[0])) - 2)
    np.testing.assert_allclose(pop.discourse_kl(0, 1, times[0]), kl, rtol=1e-10)
    # All three words at once: the share of draws on which the dense likelihoods differ the right way.
    sigmas, n = [oracle.covariance(theta, 30.0, times) for theta in DIRECTIONS], 200_000
    x = np.random.default_rng(5).multivariate_normal(np.zeros(6), sigmas[0], n)
    half = np.array([np.einsum("ni,ij,nj->n", x, np.linalg.inv(m), x) / 2 for m in sigmas])
    ratio = np.maximum(0, 1 - np.exp(half[0] - half[1]))
    want = float(pop.prefix_tv(0, 1, 3))
    assert abs(ratio.mean() - want) <= bernstein(n, 0.25, DELTA)


def test_paths_give_the_exact_distance_in_single_precision():
    pop, n = KalmanDiscourse(DIRECTIONS, 1e8, 12).canonical(), 10_000
    process, times = by_word(12, 2), jnp.asarray([4, 7, 9], jnp.int32)

    def one(key):
        k_x, k_y = jax.random.split(key)
        return pop.path_log_marginals(process, k_y, pop.sample(k_x, jnp.int32(0)), times)

    logs = np.asarray(jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(1), n)), np.float64)
    ratio = np.maximum(0, 1 - np.exp(logs[..., 1] - logs[..., 0]))
    want = KalmanDiscourse(DIRECTIONS, 1e8, 12).prefix_tv(0, 1, 12 - np.asarray(times))
    width = np.array([bernstein(n, float(v), DELTA) for v in ratio.var(0) + 1e-3])
    assert (np.abs(ratio.mean(0) - want) <= width).all()


@pytest.mark.slow
def test_certified_edges_are_those_of_the_closed_form():
    # delta = 1e-9: the intervals miss by chance less often than that.
    window = sloc.critical_window(
        jax.random.key(0), by_word(15, 2), KalmanDiscourse(DIRECTIONS, 1e8, 15), 0, [0, 1], epsilon=0.1, delta=1e-9,
        method="monte-carlo", certify=True, budget=120_000,
    )  # fmt: skip
    assert window.draws > 0
    # Four words removed leave TV = .98988, next to .99: the rungs beyond must still bound the edge.
    for interval, edge in ((window.after_interval, 3), (window.before_interval, 9)):
        assert interval is not None
        assert interval[0] <= edge <= interval[1] <= interval[0] + 4


@pytest.mark.slow
def test_posterior_draws_have_the_dense_mean_and_keep_what_is_seen():
    pop, n, rng = population(), 15_000, np.random.default_rng(9)
    known = rng.random((WORDS, 2)) < 0.5
    x = np.where(known, 2 * rng.normal(size=known.shape), 0).astype(np.float32)
    y = Revealed(jnp.asarray(x), jnp.asarray(known))
    draw = jax.jit(jax.vmap(lambda k: pop.posterior_sample(k, Masking(), y, jnp.float32(0.4))))
    got = np.asarray(draw(jax.random.split(jax.random.key(8), n)), np.float64)
    assert (got[:, known] == x[known]).all()
    sigmas = [oracle.covariance(theta, 20.0, TIMES) for theta in DIRECTIONS]
    logs = np.log([0.3, 0.7]) + [oracle.log_density(x.astype(float), known, m) for m in sigmas]
    weights = np.exp(logs - logs.max()) / np.exp(logs - logs.max()).sum()
    want = sum(w * oracle.conditional_mean(x.astype(float), known, m) for w, m in zip(weights, sigmas, strict=True))
    gap = np.abs(got.mean(0) - want.reshape(WORDS, 2))
    assert (gap <= SIGMAS * got.std(0) / np.sqrt(n) + 1e-5).all()


def test_registered_and_refuses_other_processes():
    check_registered(population(), "population", Population)
    with pytest.raises(ContractError, match="RevealingChannel"):
        population().posterior_sample(jax.random.key(0), OrnsteinUhlenbeck(), jnp.zeros((4, 2)), jnp.float32(1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[1.0, 1.0], [1.0, 0.0]], 2.0, 3), "unit vectors"),
        (([1.0, 0.0], 2.0, 3), "directions"),
        ((DIRECTIONS, 0.0, 3), "alpha"),
        ((DIRECTIONS, 2.0, 0), "words"),
        ((DIRECTIONS, 2.0, 3, -1.0), "step"),
        ((DIRECTIONS, 2.0, 3, 1.0, [0.5, 0.6]), "weights"),
        ((DIRECTIONS, 2.0, 3, 1.0, None, ("a",)), "names"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(InvalidInput, match=message):
        KalmanDiscourse(*arguments).validate()
