"""The random hierarchy against the enumeration of all its trees.

False-alarm rate of this file: at most 1e-9 for each of its three statistical tests, 1e-10 for each conformance run.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import ClassVar

import chex
import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from sloc.contracts import ContractError, InvalidInput, ObservationProcess, Revealed, find_marginals, float_dtype
from sloc.divergence.paths import batched_paths
from sloc.populations import RandomHierarchy
from sloc.populations.hierarchy import independent_leaves, register_leaves
from sloc.populations.hierarchy_messages import class_logs
from sloc.processes import (
    BinarySymmetric,
    LinearGaussian,
    Masking,
    OrderedMasking,
    OrnsteinUhlenbeck,
    Truncation,
    VarianceExploding,
)
from sloc.testing import check_population
from tests.oracles.hierarchy import derivations

from . import enumeration as oracle
from .channels import Scramble

K, DEPTH, LEAVES = 2, 2, 4
WEIGHTS = np.array([0.3, 0.7])


def population(v: int = 3, m: int = 2, one_hot: bool = False, weighted: bool = False) -> RandomHierarchy:
    """Two classes, four leaves; with ``weighted`` one rule is never used."""
    drawn = RandomHierarchy.random(jax.random.key(5), K, DEPTH, 2, v, m, weights=WEIGHTS, one_hot=one_hot)
    chances = None
    if weighted:
        chances = np.random.default_rng(0).dirichlet(np.ones(m), np.shape(drawn.rules)[:2])
        chances[1, 0] = np.eye(m)[0]
    return RandomHierarchy(drawn.rules, chances, WEIGHTS, K, v, one_hot).canonical()


def trees(pop: RandomHierarchy):
    """All trees, and the sizes of the alphabets of the levels."""
    chances = None if pop.rule_weights is None else np.asarray(pop.rule_weights, float)
    return derivations(np.asarray(pop.rules), K, chances), [K] + [pop.num_letters] * pop.depth


def gaussian_logs(y: np.ndarray, mean: np.ndarray, variance: float) -> np.ndarray:
    """Log densities ``[leaves, v]`` of ``y [leaves, d]`` around ``mean [v, d]``."""
    gap = y[:, None] - mean[None]
    return -0.5 * (gap**2 / variance + np.log(2 * np.pi * variance)).sum(-1)


def revealed_logs(y: Revealed, v: int) -> np.ndarray:
    agree = ~np.asarray(y.known)[:, None] | (np.asarray(y.values)[:, None] == np.arange(v))
    return np.where(agree, 0.0, -np.inf)


def leaf_logs(name: str, process, y, t: float, v: int) -> tuple[np.ndarray, float]:
    """Likelihoods of leaves from the definitions of the processes, and the log probability of the pattern."""
    codes = np.arange(v, dtype=float)[:, None] if name == "counts" else np.eye(v)
    if name == "masking":
        hidden = int((~np.asarray(y.known)).sum())
        return revealed_logs(y, v), hidden * np.log(t) + (LEAVES - hidden) * np.log1p(-t)
    if name in ("truncation", "ordered"):
        return revealed_logs(y, v), 0.0
    if name == "flips":
        matrix = np.array([[1 - t, t], [t, 1 - t]])
    elif name == "scramble":
        matrix = (1 - t) * np.eye(v) + t / v
    else:
        y = np.asarray(y, float).reshape(LEAVES, -1)
        a, variance = (np.exp(-t), 1 - np.exp(-2 * t)) if name == "diffusion" else (1.0, t**2)
        if name == "linear":
            a, variance = np.asarray(process.matrix, float)[0, 0], t
        return gaussian_logs(y, a * codes, variance), 0.0
    with np.errstate(divide="ignore"):
        return np.log(matrix).T[np.asarray(y)], 0.0


# name: (process, letters, one-hot, weighted rules, times)
PROCESSES = {
    "masking": (Masking(), 3, False, True, (0.2, 0.7)),
    "truncation": (Truncation(LEAVES), 3, False, False, (1, 3)),
    "ordered": (OrderedMasking([2, 0, 3, 1]), 3, False, False, (1, 2)),
    "flips": (BinarySymmetric(), 2, False, False, (0.0, 0.2)),
    "scramble": (Scramble(), 3, False, True, (0.1, 0.6)),
    "diffusion": (OrnsteinUhlenbeck(), 3, True, False, (0.02, 0.5, 2.0)),
    "counts": (VarianceExploding(), 3, False, False, (0.05, 1.0)),
    "linear": (LinearGaussian(0.5 * np.eye(12)), 3, True, False, (0.1, 1.0)),
}


# Those run by default: one for each way to the likelihoods of leaves.
FAST = {"masking", "scramble", "diffusion", "linear"}


def compare_with_enumeration(name: str, digits: float) -> None:
    """Log densities, those along a path, and the marginal of every symbol: off by at most ``digits``.

    Probabilities are compared absolutely, logarithms in proportion to the largest.
    """
    process, v, one_hot, weighted, times = PROCESSES[name]
    process, pop = process.canonical(), population(v, 1 if v == 2 else 2, one_hot, weighted)
    every, sizes = trees(pop)

    @jax.jit
    def run(pop, process, keys, t):
        def one(key):
            x = pop.sample(key, jnp.int32(1))
            y = process.sample(key, x, t)
            path = pop.path_log_marginals(process, key, x, t[None])[0]
            return y, pop.log_marginals(process, y, t), path, pop.level_posteriors(process, y, t)

        return jax.vmap(one)(keys)

    for t in times:
        ys, logs, path, posteriors = run(pop, process, jax.random.split(jax.random.key(2), 6), jnp.asarray(t))
        assert logs.dtype == float_dtype()
        for i in range(6):
            leaves, pattern = leaf_logs(name, process, jax.tree.map(lambda a, i=i: a[i], ys), t, v)
            exact = every.log_likelihoods(K, leaves) + pattern
            tolerance = digits * np.maximum(1.0, np.abs(exact[np.isfinite(exact)]).max())
            np.testing.assert_allclose(logs[i], exact, rtol=digits, atol=tolerance)
            np.testing.assert_allclose(path[i], exact, rtol=digits, atol=tolerance)
            marginals = every.marginals(every.posterior(WEIGHTS, leaves), sizes)
            # The class's posterior, from the marginals and from the passes up and down.
            joint = np.log(WEIGHTS) + np.asarray(logs[i], np.float64)
            shares = np.exp(joint - joint.max()) / np.exp(joint - joint.max()).sum()
            np.testing.assert_allclose(shares, marginals[0][0], rtol=0, atol=digits)
            for found, truth in zip(posteriors, marginals, strict=True):
                np.testing.assert_allclose(found[i], truth, rtol=0, atol=digits)


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in FAST else [pytest.mark.slow]) for n in PROCESSES])
def test_one_observation_against_enumeration(name):
    # Over 64 observations a time the worst symbol is off by 2e-7: float32 has a digit to spare.
    compare_with_enumeration(name, 1e-6)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n == "diffusion" else [pytest.mark.slow]) for n in PROCESSES]
)
def test_one_observation_against_enumeration_in_float64(name):
    with jax.enable_x64(True):
        compare_with_enumeration(name, 1e-12)


def test_fast_way_up_against_enumeration():
    pop = population(weighted=True)
    every, _ = trees(pop)
    logs = -3 * np.random.default_rng(1).exponential(size=(LEAVES, 3, 5))
    logs[1, 2], logs[2, :, 4] = -np.inf, -np.inf
    messages = jnp.asarray(np.exp(logs), jnp.float32)
    with np.errstate(divide="ignore"):
        found = np.log(np.asarray(jax.jit(pop.class_likelihoods)(messages)))
    for i in range(4):
        exact = every.log_likelihoods(K, logs[..., i])
        # Sum-normalised: probabilities, as the posteriors are.
        exact, own = (np.exp(x) / np.exp(x).sum() for x in (exact - exact.max(), found[:, i].astype(np.float64)))
        np.testing.assert_allclose(own, exact, rtol=0, atol=1e-6)
    assert np.all(found[:, 4] == -np.inf)


@pytest.mark.parametrize(
    ("v", "s", "m", "depth"),
    [(4, 2, 3, 5), pytest.param(3, 3, 11, 2, marks=pytest.mark.slow), (5, 3, 24, 2)],
)
def test_fast_way_up_against_logarithms(v, s, m, depth):
    """More leaves and rules than can be enumerated: tiles, scaling, rules in groups; more classes than letters."""
    k = v**s // m
    pop = RandomHierarchy.random(jax.random.key(0), k, depth, s, v, m) if k >= v else ambiguous_rules(v, s, m, depth)
    k = pop.num_components
    draw = jax.jit(jax.vmap(pop.sample))
    x = np.asarray(draw(jax.random.split(jax.random.key(2), 4), jnp.arange(4, dtype=jnp.int32) % k))
    y = x + 0.3 * np.random.default_rng(2).normal(size=x.shape)
    logs = np.moveaxis(-5.0 * (y[..., None] - np.arange(v)) ** 2, 0, -1).astype(np.float32)
    messages = np.exp(logs - logs.max(1, keepdims=True))
    tiled = np.moveaxis(messages.reshape(*messages.shape[:2], 2, 2), 2, 0)

    @jax.jit
    def run(logs, messages, tiled):
        return class_logs(*pop.tables(), logs)[0], pop.class_likelihoods(messages), pop.class_likelihoods(tiled)

    relative, plain, by_tile = (np.asarray(a) for a in run(logs, messages, tiled))
    # The classes differ, so that agreement says something.
    assert relative.min() < -0.5
    np.testing.assert_allclose(plain, np.exp(relative), rtol=2e-4, atol=1e-30)
    np.testing.assert_allclose(np.concatenate(list(by_tile), 1), plain, rtol=1e-5)


def ambiguous_rules(v: int, s: int, m: int, depth: int) -> RandomHierarchy:
    """Rules drawn with no care for shared tuples."""
    rules = np.random.default_rng(3).integers(0, v, (depth, v, m, s))
    pop = RandomHierarchy(rules, ambiguous=True)
    pop.validate()
    return pop.canonical()


def test_nothing_is_lost_at_tiny_noise_and_impossible_is_minus_infinity():
    pop = population(one_hot=True)
    every, _ = trees(pop)
    process, sigma = VarianceExploding(), 0.02
    words = {tuple(w) for w in every.levels[-1]}
    strange = next(w for w in np.ndindex(3, 3, 3, 3) if w not in words)
    y = np.eye(3)[list(strange)]
    exact = every.log_likelihoods(K, gaussian_logs(y, np.eye(3), sigma**2))
    found = jax.jit(pop.log_marginals)(process, jnp.asarray(y, jnp.float32), jnp.float32(sigma))
    # No tree comes near: the densities are about e^-2500, which is not 0.
    assert exact.max() < -1000
    np.testing.assert_allclose(found, exact, rtol=1e-5)
    letters = population()
    seen = Revealed(jnp.asarray(strange, jnp.int32), jnp.ones(LEAVES, bool))
    assert np.all(np.asarray(jax.jit(letters.log_marginals)(Masking(), seen, jnp.float32(0.5))) == -np.inf)


def test_gradients_in_both_modes():
    """The gradient of the log density is the score: ``(E[X | Y] - Y) / sigma^2``."""
    pop, process, t = population(one_hot=True), VarianceExploding(), jnp.float32(0.7)
    y = process.sample(jax.random.key(0), jnp.eye(3)[jnp.array([0, 2, 1, 1])], t)

    def density(y):
        return jax.nn.logsumexp(pop.log_weights + pop.log_marginals(process, y, t))

    @jax.jit
    def both(y):
        score = (pop.level_posteriors(process, y, t)[-1] - y) / t**2
        return score, jax.grad(density)(y), jax.jvp(density, (y,), (score,))[1]

    score, backward, forward = both(y)
    np.testing.assert_allclose(backward, score, atol=2e-5)
    np.testing.assert_allclose(forward, jnp.sum(score**2), rtol=1e-4)


# --------------------------------------------------------------------------------------------
# Draws
# --------------------------------------------------------------------------------------------


def test_drawn_trees_follow_the_rules():
    pop = RandomHierarchy.random(jax.random.key(0), 5, 3, 3, 3, 4)
    rules = np.asarray(pop.rules)
    draw = jax.jit(lambda key: (pop.sample_tree(key, jnp.int32(4)), pop.sample(key, jnp.int32(4))))
    levels, x = draw(jax.random.key(1))
    tree = [np.asarray(level) for level in levels]
    assert [level.size for level in tree] == [1, 3, 9, 27]
    assert tree[0][0] == 4
    for level, (above, below) in enumerate(itertools.pairwise(tree)):
        for symbol, letters in zip(above, below.reshape(-1, 3), strict=True):
            assert (rules[level, symbol] == letters).all(1).any()
    np.testing.assert_array_equal(x, tree[-1])


def test_posterior_trees_against_enumeration():
    """Frequencies of whole trees, class and hidden symbols included, within Bernstein's bound for each."""
    pop, process, t, n = population(weighted=True), Masking(), jnp.float32(0.6), 20_000
    every, _ = trees(pop)
    word = every.levels[-1][0]
    y = Revealed(jnp.asarray(word * [1, 0, 0, 1], jnp.int32), jnp.array([True, False, False, True]))
    posterior = every.posterior(WEIGHTS, revealed_logs(y, 3))
    draw = jax.jit(jax.vmap(lambda key: pop.posterior_tree(key, process, y, t)))
    drawn = np.concatenate(jax.device_get(draw(jax.random.split(jax.random.key(1), n))), 1)
    # One code for each set of symbols; derivations of the same symbols add up.
    codes = np.concatenate(every.levels, 1) @ 3 ** np.arange(7)
    found = drawn @ 3 ** np.arange(7)
    assert np.isin(found, codes[posterior > 0]).all()
    for code in np.unique(codes):
        p = posterior[codes == code].sum()
        assert abs((found == code).mean() - p) <= oracle.bernstein(n, p * (1 - p), 1e-9 / len(codes)) + 1e-6
    theta, x = jax.jit(lambda key: pop.posterior_joint(key, process, y, t))(jax.random.split(jax.random.key(1), n)[0])
    np.testing.assert_array_equal(np.append(theta, x), drawn[0, [0, 3, 4, 5, 6]])


@pytest.mark.parametrize("name", ["masking", "scramble"])
def test_paths_give_the_exact_total_variation(name):
    """Balanced draws: TV = E tanh(|l| / 2), within Bernstein's bound at 5e-10 for each of two processes."""
    process, v, _, _, _ = PROCESSES[name]
    pop, n, t = population(v), 20_000, 0.5
    every, _ = trees(pop)
    pmf = np.zeros((K, v**LEAVES))
    np.add.at(pmf, (every.classes, oracle.word_index(every.levels[-1], v)), every.mass)
    if name == "masking":
        weight = {tuple(m): float(t ** (~m).sum() * (1 - t) ** m.sum()) for m in oracle.patterns(LEAVES)}
        exact = oracle.masked_tv(pmf, v, LEAVES, weight)
    else:
        exact = oracle.total_variation(*oracle.noisy_pmf(pmf, v, LEAVES, (1 - t) * np.eye(v) + t / v))
    components = jnp.tile(jnp.arange(2, dtype=jnp.int32), n // 2)
    run = jax.jit(lambda p, k: batched_paths(process, p, k, components, jnp.array([0.2, t], jnp.float32)))
    paths = np.asarray(run(pop, jax.random.key(3)), float)[1]
    with np.errstate(invalid="ignore"):
        value = np.tanh(np.abs(paths[0] - paths[1]) / 2).mean()
    assert 0.05 < exact < 0.95
    assert abs(value - exact) <= oracle.bernstein(n, 0.25, 5e-10) + 1e-6


# --------------------------------------------------------------------------------------------
# Rules
# --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(4, 3, 2, 4, 4), (7, 2, 2, 3, 1), (3, 1, 2, 9, 2), (5, 2, 3, 200, 2)])
def test_random_rules_are_unambiguous(sizes):
    """Both ways of drawing them: all tuples shuffled, and repeats drawn again (200^3 is more than is shuffled)."""
    pop = RandomHierarchy.random(jax.random.key(1), *sizes)
    pop.validate()
    k, depth, s, v, m = sizes
    assert np.shape(pop.rules) == (depth, max(k, v), m, s)
    assert (pop.num_components, pop.num_letters, pop.num_leaves) == (k, v, s**depth)
    for level in range(depth):
        rows = np.asarray(pop.rules)[level, : k if level == 0 else v].reshape(-1, s)
        assert len(np.unique(rows, axis=0)) == len(rows)


def test_random_rules_are_uniform(monkeypatch):
    """All 12 pairs of distinct tuples equally often, both ways; Bernstein at 1e-9 over 24 frequencies."""
    from sloc.populations import hierarchy_rules

    n = 6000
    for most in (1 << 20, 0):
        monkeypatch.setattr(hierarchy_rules, "_MOST_SHUFFLED", most)
        # With 16 tuples and 2 drawn, repeats are drawn again where nothing is shuffled.
        draw = jax.jit(jax.vmap(lambda key: hierarchy_rules.draw_rules(key, [2], 4, 1, 2)))
        rules = np.asarray(draw(jax.random.split(jax.random.key(0), n))).reshape(n, 2, 2)
        codes = rules @ np.array([4, 1])
        assert np.all(codes[:, 0] != codes[:, 1])
        counts = np.bincount(codes[:, 0] * 16 + codes[:, 1], minlength=256)
        p = 1 / 240
        inside = np.abs(counts[counts > 0] / n - p) <= oracle.bernstein(n, p, 1e-9 / 480)
        assert inside.all()
        assert (counts > 0).sum() == 240


def test_bad_input_is_refused():
    good = population()
    rules = np.asarray(good.rules)

    def refused(match, *args, **more):
        with pytest.raises(InvalidInput, match=match):
            RandomHierarchy(*args, **more).validate()

    shared = rules.copy()
    shared[1, 2, 0] = shared[1, 0, 1]
    first, second = shared[1, 0, 1]
    refused(rf"level 1: the tuple \({first}, {second}\) is a rule of symbols 0, 2", shared, num_classes=2)
    RandomHierarchy(shared, num_classes=2, ambiguous=True).validate()
    refused(r"letters 0 \.\. 2", rules + 1, num_classes=2)
    refused("integers", rules * 1.0, num_classes=2)
    refused(r"\[L, R, m, s\]", rules[0], num_classes=2)
    refused("num_classes", rules, num_classes=4)
    refused("R = 2", rules, num_classes=2, vocabulary=2)
    refused("two symbols", rules[..., :1], num_classes=2)
    refused("rule_weights", rules, np.ones((2, 3)), num_classes=2)
    refused("rule_weights", rules, np.ones((2, 3, 2)), num_classes=2)
    refused("weights", rules, None, [0.5, 0.6], num_classes=2)
    with pytest.raises(InvalidInput, match="at most 4: 4 symbols of a level have rules, there are 16 tuples"):
        RandomHierarchy.random(jax.random.key(0), 2, 2, 2, 4, 5)
    with pytest.raises(InvalidInput, match="branching"):
        RandomHierarchy.random(jax.random.key(0), 2, 2, 1, 4, 5)
    with pytest.raises(InvalidInput, match="messages"):
        good.class_likelihoods(jnp.ones((3, 3, 1)))
    hot, mixing = population(one_hot=True), LinearGaussian(np.ones((4, 4))).canonical()
    with pytest.raises(InvalidInput, match="one_hot"):
        hot.log_marginals(Scramble(), jnp.zeros((4, 3), jnp.int32), jnp.float32(0.1))
    with pytest.raises(InvalidInput, match="mix leaves"):
        good.log_marginals(mixing, jnp.zeros(4), jnp.float32(0.1))


# --------------------------------------------------------------------------------------------
# Processes of one's own, conformance, compilation
# --------------------------------------------------------------------------------------------


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Laplace(ObservationProcess):
    """``Y_t = X + t (Laplace noise)``: in no family."""

    has_density: ClassVar[bool] = True

    def sample(self, key, x, t):
        return x + t * jax.random.laplace(key, jnp.shape(x))

    def log_prob(self, y, x, t):
        return -jnp.sum(jnp.abs(y - x)) / t - jnp.size(y) * jnp.log(2 * t)


def test_a_process_of_ones_own():
    pop, process, t = population(one_hot=True), Laplace(), 0.4
    y = process.sample(jax.random.key(0), jnp.eye(3)[jnp.array([0, 2, 1, 1])], jnp.float32(t))
    with pytest.raises(ContractError, match="register_leaves"):
        pop.level_posteriors(process, y, jnp.float32(t))
    assert find_marginals(process, pop) is None
    register_leaves(Laplace)(independent_leaves)
    gap = np.abs(np.asarray(y, float)[:, None] - np.eye(3)[None])
    exact = trees(pop)[0].log_likelihoods(K, (-gap / t - np.log(2 * t)).sum(-1))
    np.testing.assert_allclose(jax.jit(pop.log_marginals)(process, y, jnp.float32(t)), exact, rtol=2e-6)


CONFORMANCE = {
    "masking": (False, Masking(), [0.0, 0.4, 0.8]),
    "diffusion": (True, OrnsteinUhlenbeck(), [0.05, 0.4, 1.5]),
    "counts": (False, VarianceExploding(), [0.1, 1.0, 3.0]),
    "scramble": (False, Scramble(), [0.0, 0.3, 0.7]),
    "truncation": (False, Truncation(LEAVES), [0, 1, 3]),
    "linear": (True, LinearGaussian(np.eye(12)), [0.05, 0.5]),
    "masked one-hot": (True, Masking(), [0.0, 0.4, 0.8]),
}


def conformance_pair(name: str):
    """``(population, process)``."""
    one_hot, process, _ = CONFORMANCE[name]
    return population(one_hot=one_hot), process


@pytest.mark.slow
@pytest.mark.parametrize("name", CONFORMANCE)
def test_conforms(name):
    pop, process = conformance_pair(name)
    report = check_population(pop, process, times=CONFORMANCE[name][2], draws=256, false_alarm=1e-10)
    assert report.skipped == ["reduce: none registered"]


def test_other_rules_do_not_recompile():
    @jax.jit
    @chex.assert_max_traces(1)
    def run(pop, y, t):
        return pop.log_marginals(Masking(), y, t)

    y = Revealed(jnp.zeros(LEAVES, jnp.int32), jnp.zeros(LEAVES, bool))
    first = population()
    second = RandomHierarchy.random(jax.random.key(9), K, DEPTH, 2, 3, 2, weights=WEIGHTS).canonical()
    for pop in (first, second):
        # All hidden: one in all classes.
        np.testing.assert_allclose(run(pop, y, jnp.float32(1.0)), 0.0, atol=1e-6)


def test_lowers_for_every_platform():
    pop, process = population(one_hot=True), OrnsteinUhlenbeck()

    def everything(rules, data, y, messages, t):
        key = jax.random.wrap_key_data(data)
        own = RandomHierarchy(rules, None, pop.weights, K, 3, True)
        return (
            own.log_marginals(process, y, t),
            own.posterior_tree(key, process, y, t),
            own.level_posteriors(process, y, t),
            own.class_likelihoods(messages),
            batched_paths(process, own, key, jnp.zeros(2, jnp.int32), t[None]),
            RandomHierarchy.random(key, K, DEPTH, 2, 3, 2).rules,
        )

    arguments = (
        pop.rules,
        jax.random.key_data(jax.random.key(0)),
        jnp.zeros((LEAVES, 3)),
        jnp.ones((2, LEAVES, 3, 8)),
        jnp.float32(0.5),
    )
    exported = jax.export.export(jax.jit(everything), platforms=("cpu", "cuda", "tpu"))(*arguments)
    assert exported.platforms == ("cpu", "cuda", "tpu")
