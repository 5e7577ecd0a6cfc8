"""Product laws over finite alphabets against enumeration and binomial sums."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sloc.contracts import (
    ContractError,
    InvalidInput,
    Population,
    Revealed,
    check_registered,
    find_marginals,
)
from sloc.populations import categorical, discrete
from sloc.populations.categorical import ProductCategorical
from sloc.processes import BinarySymmetric, Erasure, Masking, OrderedMasking, OrnsteinUhlenbeck, Truncation

from . import enumeration as oracle
from .channels import Blocks, Scramble

# False-alarm rate of this file: every statistical comparison below uses DELTA, and there are fewer than 500 of them,
# so all together at most 500 * 1e-11 = 5e-9.
DELTA = 1e-11
LENGTH = 4


def population(full: bool = True, letters: int = 3, zeros: bool = False, k: int = 3) -> ProductCategorical:
    rng = np.random.default_rng(11)
    probs = oracle.random_rows(rng, k, LENGTH, letters, zeros=zeros)
    if full:
        return ProductCategorical(probs, np.arange(1, k + 1) / (k * (k + 1) / 2)).canonical()
    return ProductCategorical(probs[:, 0], np.full(k, 1 / k), LENGTH).canonical()


def full_probs(pop: ProductCategorical) -> np.ndarray:
    probs = np.asarray(pop.probs, np.float64)
    return np.repeat(probs[:, None], LENGTH, 1) if pop.identical else probs


def differences(logs: np.ndarray) -> np.ndarray:
    """Log marginals relative to the largest one, exponentiated: comparable up to a constant, also at -inf."""
    return np.exp(logs - logs.max(1, keepdims=True))


@pytest.mark.parametrize(
    ("full", "zeros", "rates"),
    [*((f, z, np.ones(LENGTH)) for f in (True, False) for z in (True, False))]
    + [(f, True, np.array([0.5, 1.0, 2.0, 3.0])) for f in (True, False)],
    ids=lambda v: str(v) if isinstance(v, bool) else "masking" if (v == 1).all() else "erasure",
)
def test_revealed_marginals_match_enumeration_and_sum_to_one(full, zeros, rates):
    pop = population(full, zeros=zeros)
    pmf = oracle.product_pmf(full_probs(pop))
    t, process = 0.3, Masking() if (rates == 1).all() else Erasure(rates).canonical()
    evaluate = jax.jit(jax.vmap(lambda v, m: pop.log_marginals(process, Revealed(v, m), jnp.float32(t))))
    words, patterns = oracle.words(3, LENGTH), oracle.patterns(LENGTH)
    cases = {(tuple(np.where(m, w, 0)), tuple(m)) for w in words for m in patterns}
    values = np.array([v for v, _ in cases], np.int32)
    known = np.array([m for _, m in cases])
    got = np.asarray(evaluate(values, known))
    mass = np.array([oracle.seen_mass(pmf, 3, v, m) for v, m in zip(values, known, strict=True)])
    with np.errstate(divide="ignore"):
        want = np.log(mass) + np.log(np.where(known, 1 - t**rates, t**rates)).sum(1)[:, None]
    assert not np.isnan(got).any()
    np.testing.assert_allclose(got, want, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(np.exp(got.astype(np.float64)).sum(0), 1, atol=1e-5)
    assert np.isneginf(want).any() == zeros


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("t", [0.0, 0.35, 1.0])
def test_memoryless_marginals_match_enumeration_and_sum_to_one(full, t):
    pop = population(full, zeros=True)
    process = Scramble()
    want = oracle.noisy_pmf(oracle.product_pmf(full_probs(pop)), 3, LENGTH, np.asarray(process.transition(t), float))
    y = jnp.asarray(oracle.words(3, LENGTH), jnp.int32)
    got = np.asarray(jax.jit(jax.vmap(lambda w: pop.log_marginals(process, w, jnp.float32(t))))(y))
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(got, np.log(want).T, atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(np.exp(got.astype(np.float64)).sum(0), 1, atol=1e-5)


def test_binary_symmetric_marginals_match_enumeration():
    pop = ProductCategorical.coins([0.2, 0.7, 1.0], LENGTH).canonical()
    t = 0.1
    want = oracle.noisy_pmf(oracle.product_pmf(full_probs(pop)), 2, LENGTH, np.array([[1 - t, t], [t, 1 - t]]))
    y = jnp.asarray(oracle.words(2, LENGTH), jnp.int32)
    got = jax.jit(jax.vmap(lambda w: pop.log_marginals(BinarySymmetric(), w, jnp.float32(t))))(y)
    np.testing.assert_allclose(np.asarray(got), np.log(want).T, atol=1e-5)


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("process", [Masking(), Blocks(), Truncation(LENGTH), OrderedMasking([2, 0, 3, 1]).canonical()])
def test_path_equals_direct_evaluation(full, process):
    pop = population(full, zeros=True)
    times = jnp.arange(LENGTH + 1, dtype=jnp.int32) if process.discrete else jnp.asarray([0.1, 0.9, 0.4, 0.05])
    key, x = jax.random.key(3), pop.sample(jax.random.key(4), jnp.int32(1))
    direct = jax.jit(jax.vmap(lambda t: pop.log_marginals(process, process.sample(key, x, t), t)))(times)
    path = jax.jit(lambda times: pop.path_log_marginals(process, key, x, times))(times)
    np.testing.assert_allclose(np.asarray(path), np.asarray(direct), atol=1e-5, rtol=1e-5)
    assert path.shape == (len(times), pop.num_components)


def test_sample_has_the_law_of_the_component():
    pop = population(zeros=True)
    n = 100_000
    x = np.asarray(jax.jit(jax.vmap(pop.sample, (0, None)))(jax.random.split(jax.random.key(0), n), jnp.int32(2)))
    assert x.dtype == np.int32
    probs = full_probs(pop)[2]
    for place in range(LENGTH):
        freq = np.bincount(x[:, place], minlength=3) / n
        for letter in range(3):
            p = probs[place, letter]
            assert abs(freq[letter] - p) <= oracle.bernstein(n, p * (1 - p), DELTA) * (p > 0)


def path_moments(pop, process, times, key, n, components):
    """Posteriors of many trajectories from ``paths``, ``[T, K, n]``, float64."""
    entry = find_marginals(process, pop)
    logs = jax.jit(lambda k, c: entry.paths_fn(process, pop, k, c, times))(key, components)
    assert logs.shape == (len(times), pop.num_components, n)
    assert not np.isnan(np.asarray(logs)).any()
    weights = np.asarray(pop.log_weights, np.float64)[None, :, None]
    joint = differences(np.asarray(logs, np.float64) + weights)
    return joint / joint.sum(1, keepdims=True)


@pytest.mark.parametrize(
    ("process", "full"),
    [
        (Masking(), True),
        (Masking(), False),
        (Blocks(), True),
        (Truncation(LENGTH), False),
        (OrderedMasking([2, 0, 3, 1]).canonical(), True),
        (Scramble(), True),
        (Scramble(), False),
    ],
)
def test_paths_have_the_law_of_direct_evaluation(process, full):
    pop = population(full, zeros=True)
    n = 60_000
    times = jnp.arange(LENGTH + 1, dtype=jnp.int32) if process.discrete else jnp.asarray([0.1, 0.9, 0.4])
    source = jnp.int32(1)
    got = path_moments(pop, process, times, jax.random.key(5), n, jnp.full((n,), 1, jnp.int32))

    def one(key):
        kx, ky = jax.random.split(key)
        return Population.path_log_marginals(_Plain(pop), process, ky, pop.sample(kx, source), times)

    logs = jax.jit(jax.vmap(one, out_axes=-1))(jax.random.split(jax.random.key(6), n))
    joint = differences(np.asarray(logs, np.float64) + np.asarray(pop.log_weights, np.float64)[None, :, None])
    want = joint / joint.sum(1, keepdims=True)
    # Two samples of means in [0, 1] and of the products over two neighbouring times (the joint law in t).
    for a, b in ((got, want), (got[:-1] * got[1:], want[:-1] * want[1:])):
        width = 2 * oracle.bernstein(n, float(np.maximum(a.var(-1), b.var(-1)).max()) + 0.01, DELTA)
        assert np.abs(a.mean(-1) - b.mean(-1)).max() <= width


class _Plain:
    """A population seen without its registered shortcuts."""

    def __init__(self, pop):
        self.log_marginals = pop.log_marginals


@pytest.mark.parametrize("discount", [0, 10**9])
def test_counts_and_letters_give_the_same_law(discount, monkeypatch):
    # With the cost at 0 identical coordinates go by binomial counts, with a large one letter by letter.
    monkeypatch.setattr(categorical, "_BINOMIAL_COST", discount)
    rng = np.random.default_rng(2)
    probs = oracle.random_rows(rng, 2, 3)
    pop = ProductCategorical(probs, length=6).canonical()
    n, times = 50_000, jnp.asarray([4, 0, 5, 6, 2], jnp.int32)
    post = path_moments(pop, Truncation(6), times, jax.random.key(1), n, jnp.arange(n, dtype=jnp.int32) % 2)
    side = np.where(np.arange(n) % 2 == 0, 1.0, -1.0)
    for i, t in enumerate(np.asarray(times)):
        kept = 6 - int(t)
        pmf = oracle.product_pmf(np.repeat(probs[:, None], kept, 1)) if kept else np.ones((2, 1))
        exact = oracle.total_variation(*pmf)
        assert abs(np.abs(2 * post[i, 0] - 1).mean() - exact) <= oracle.bernstein(n, 0.25, DELTA)
        # Calibration: the mean of the posterior of 0 over both sources is one half, by source it differs by E tanh^2.
        signed = (side * (2 * post[i, 0] - 1)).mean()
        balance = (pmf.sum(0) > 0) * (pmf[0] - pmf[1]) ** 2 / np.maximum(pmf.sum(0), 1e-300) / 2
        assert abs(signed - balance.sum()) <= 2 * oracle.bernstein(n, 0.25, DELTA)


def test_fixed_thresholds_are_recognised():
    assert discrete.thresholds_are_fixed(Truncation(6), 6)
    assert discrete.thresholds_are_fixed(OrderedMasking([1, 0, 2]).canonical(), 3)
    assert jax.jit(lambda p: jnp.asarray(discrete.thresholds_are_fixed(p, 3)))(OrderedMasking([1, 0, 2]).canonical())
    assert not discrete.thresholds_are_fixed(Masking(), 6)
    assert not discrete.thresholds_are_fixed(Blocks(), 6)


@pytest.mark.parametrize("trials", [5, 64, 1001])
def test_binomials_in_pieces_have_the_binomial_law(trials, monkeypatch):
    from scipy.stats import binom

    monkeypatch.setattr(categorical, "_BINOMIAL_TRIALS", 300)
    n = 200_000
    draw = jax.jit(lambda key: categorical._binomial(key, jnp.full((n,), float(trials)), jnp.full((n,), 0.3), 1001))
    counts = np.bincount(np.asarray(draw(jax.random.key(0))).astype(int), minlength=trials + 1)
    gap = np.abs(np.cumsum(counts) / n - binom.cdf(np.arange(trials + 1), trials, 0.3)).max()
    # Dvoretzky-Kiefer-Wolfowitz.
    assert gap <= np.sqrt(np.log(2 / DELTA) / (2 * n))


def test_joint_law_in_time_is_nested():
    # Counts only grow as t falls, so a letter that one component excludes, once seen, stays seen.
    probs = np.array([[0.5, 0.5, 0.0], [0.4, 0.3, 0.3]])
    pop = ProductCategorical(probs, length=400).canonical()
    times = jnp.asarray([380, 100, 398, 390], jnp.int32)
    entry = find_marginals(Truncation(400), pop)
    draw = jax.jit(lambda key: entry.paths_fn(Truncation(400), pop, key, jnp.ones(2000, jnp.int32), times))
    logs = np.asarray(draw(jax.random.key(0)))
    excluded = np.isneginf(logs[[1, 0, 3, 2], 0])
    assert (excluded[:-1] >= excluded[1:]).all()
    assert excluded[0].all()
    assert excluded[-1].any()
    assert not excluded[-1].all()


def test_example_5_window_edge_by_binomial_sums():
    # Li, Karan & Chen 2025, Ex. 5 at Delta = .05, eps = .05: TV first reaches 1 - eps^2 at 909 kept coins.
    assert oracle.binomial_tv(909, 0.55, 0.45) >= 1 - 0.05**2 > oracle.binomial_tv(907, 0.55, 0.45)
    assert min(n for n in range(900, 920) if oracle.binomial_tv(n, 0.55, 0.45) >= 1 - 0.05**2) == 909


def test_example_5_monte_carlo_agrees_with_binomial_sums():
    length = 100_000
    kept = np.array([0, 1, 2, 10, 100, 400, 909, 1000])
    pop = ProductCategorical.coins([0.45, 0.55], length).canonical()
    process, n = Truncation(length), 40_000
    post = path_moments(
        pop, process, jnp.asarray(length - kept, jnp.int32), jax.random.key(7), n, jnp.arange(n, dtype=jnp.int32) % 2
    )
    overlap = 2 * np.minimum(post[:, 0], post[:, 1]).mean(-1)
    for value, count in zip(overlap, kept, strict=True):
        exact = 1 - oracle.binomial_tv(int(count), 0.55, 0.45)
        # 2 sigma(-|l|) lies in [0, 1] and has variance at most alpha - alpha^2; strata only reduce it.
        width = oracle.bernstein(n, exact - exact**2, DELTA) + 1e-6
        assert abs(value - exact) <= width, (count, value, exact, width)


def test_masked_coins_agree_with_enumeration():
    pop = population(full=True, letters=3, k=2)
    t, n = 0.4, 60_000
    pmf = oracle.product_pmf(full_probs(pop))
    weight = {tuple(m): float(t ** (~m).sum() * (1 - t) ** m.sum()) for m in oracle.patterns(LENGTH)}
    exact = oracle.masked_tv(pmf, 3, LENGTH, weight)
    entry = find_marginals(Masking(), pop)
    logs = entry.paths_fn(Masking(), pop, jax.random.key(8), jnp.arange(n, dtype=jnp.int32) % 2, jnp.asarray([t]))
    gap = np.asarray(logs[0, 0] - logs[0, 1], np.float64)
    assert abs(np.abs(np.tanh(gap / 2)).mean() - exact) <= oracle.bernstein(n, exact - exact**2, DELTA) + 1e-6


def test_groups_and_chunks_do_not_change_the_answer(monkeypatch):
    pop = ProductCategorical(oracle.random_rows(np.random.default_rng(0), 2, 37, 3)).canonical()
    components, times = jnp.arange(23, dtype=jnp.int32) % 2, jnp.linspace(0.05, 0.95, 5)
    entry = find_marginals(Masking(), pop)
    noisy = find_marginals(Scramble(), pop)

    def both():
        key = jax.random.key(2)
        return jax.jit(
            lambda: (
                entry.paths_fn(Masking(), pop, key, components, times),
                noisy.paths_fn(Scramble(), pop, key, components, times),
            )
        )()

    whole, whole_noisy = both()
    monkeypatch.setattr(discrete, "BUDGET", 2000)
    monkeypatch.setattr(discrete, "_CHUNK", 8)
    monkeypatch.setattr(categorical, "BUDGET", 300)
    grouped, grouped_noisy = both()
    np.testing.assert_allclose(np.asarray(grouped), np.asarray(whole), atol=1e-5)
    np.testing.assert_allclose(np.asarray(grouped_noisy), np.asarray(whole_noisy), atol=1e-5)


def test_long_masked_coins_keep_memory_bounded():
    pop = ProductCategorical.coins([0.49, 0.51], 200_000).canonical()
    entry = find_marginals(Masking(), pop)
    times = jnp.linspace(0.01, 0.99, 16)
    components = jnp.zeros(8, jnp.int32)
    evaluate = jax.jit(lambda key: entry.paths_fn(Masking(), pop, key, components, times))
    memory = evaluate.lower(jax.random.key(0)).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 200e6
    gap = np.asarray(evaluate(jax.random.key(0)))
    gap = gap[:, 0] - gap[:, 1]
    kept = 200_000 * (1 - np.asarray(times, float))
    step = np.log(0.51 / 0.49)
    # The log ratio is a sum of kept steps: mean .02 step n, sd at most step sqrt(n); 7.5 sd is below DELTA (Hoeffding).
    assert (np.abs(gap - 0.02 * step * kept[:, None]) <= 7.5 * step * np.sqrt(kept[:, None]) + 0.05).all()


@pytest.mark.parametrize("process", [Masking(), Scramble()])
@pytest.mark.parametrize("full", [True, False])
def test_posterior_sample_has_the_exact_law(full, process):
    pop = population(full)
    t, n = jnp.float32(0.5), 60_000
    pmf = np.exp(np.asarray(pop.log_weights, float)) @ oracle.product_pmf(full_probs(pop))
    table = oracle.words(3, LENGTH)
    if isinstance(process, Masking):
        y = Revealed(jnp.asarray([2, 0, 0, 1], jnp.int32), jnp.asarray([True, False, True, False]))
        like = (table[:, 0] == 2) & (table[:, 2] == 0)
    else:
        y = jnp.asarray([2, 0, 1, 1], jnp.int32)
        like = np.asarray(process.transition(0.5), float)[table, np.asarray(y)[None]].prod(1)
    want = pmf * like / (pmf * like).sum()
    draw = jax.jit(jax.vmap(lambda k: pop.posterior_sample(k, process, y, t)))
    x = np.asarray(draw(jax.random.split(jax.random.key(9), n)))
    freq = np.bincount(oracle.word_index(x, 3), minlength=len(table)) / n
    width = np.array([oracle.bernstein(n, p * (1 - p), DELTA) for p in want])
    assert (np.abs(freq - want) <= width * (want > 0)).all()


def test_posterior_sample_refuses_other_processes():
    with pytest.raises(ContractError, match="RevealingChannel or a MemorylessChannel"):
        population().posterior_sample(jax.random.key(0), OrnsteinUhlenbeck(), jnp.zeros(4), jnp.float32(1))


def test_contract():
    pop = ProductCategorical.coins([0.3, 0.6], 5, names=("tails", "heads"))
    check_registered(pop, "population", Population)
    assert pop.num_components == 2
    assert pop.num_coordinates == 5
    np.testing.assert_allclose(np.asarray(pop.log_weights), np.log(0.5), rtol=1e-6)
    assert len(jax.tree.leaves(pop.canonical())) == 1
    letters = ProductCategorical([[1, 0], [0, 1]], length=2).canonical()
    assert letters.probs.dtype == jnp.float32
    pop.validate()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(probs=[[0.5, 0.6], [0.5, 0.5]], length=3), "probs"),
        (dict(probs=[[-0.5, 1.5], [0.5, 0.5]], length=3), "nonnegative"),
        (dict(probs=[[np.nan, 1.0], [0.5, 0.5]], length=3), "finite"),
        (dict(probs=[0.5, 0.5], length=3), "shape"),
        (dict(probs=[[0.5, 0.5], [0.5, 0.5]]), "length"),
        (dict(probs=[[0.5, 0.5], [0.5, 0.5]], length=0), "length"),
        (dict(probs=np.full((2, 4, 2), 0.5), length=3), "length"),
        (dict(probs=[[0.5, 0.5], [0.5, 0.5]], length=3, weights=[0.5, 0.6]), "weights"),
        (dict(probs=[[0.5, 0.5], [0.5, 0.5]], length=3, weights=[1.5, -0.5]), "weights"),
        (dict(probs=[[0.5, 0.5], [0.5, 0.5]], length=3, weights=[1.0]), "weights"),
        (dict(probs=[[0.5, 0.5], [0.5, 0.5]], length=3, names=("a", "a")), "names"),
    ],
)
def test_bad_input_is_refused(arguments, message):
    with pytest.raises(InvalidInput, match=message):
        ProductCategorical(**arguments).validate()


def test_bad_biases_and_alphabets_are_refused():
    with pytest.raises(InvalidInput, match="biases"):
        ProductCategorical.coins([0.5, 1.2], 3)
    with pytest.raises(InvalidInput, match="transition"):
        population(letters=3).log_marginals(BinarySymmetric(), jnp.zeros(LENGTH, jnp.int32), jnp.float32(0.1))
