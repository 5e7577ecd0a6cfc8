"""Overlaps by pairwise bridges against closed forms, quadrature and enumeration, and what is refused.

Estimates are compared at 7 standard errors.  Values lie in [0, 1] and at least 8e3 of them are averaged, so the
normal tail (3e-12 a number) is a fair rate; with fewer than 100 numbers the file's false-alarm rate is below 1e-9.
Bands are asked to hold at delta = 1e-10 per curve.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import binom, norm

import sloc
from sloc import anytime_theorem2, anytime_windows
from sloc.contracts import ContractError, InvalidInput, Population
from sloc.divergence.bridge_setup import has_bridge
from sloc.divergence.bridges import BridgeDraw, BridgeViolation, bridge_overlap
from sloc.populations import Empirical, GaussianMixture, MarkovChains, ProductCategorical
from sloc.processes import (
    BinarySymmetric,
    Masking,
    OrderedMasking,
    OrnsteinUhlenbeck,
    Permuted,
    Truncation,
    VarianceExploding,
)

KEY = jax.random.key(7)
SIGMAS = 7.0
DELTA = 1e-10


def check(curve: Any, truth: Any) -> None:
    truth = np.asarray(truth)
    assert np.all(np.abs(curve.value - truth) <= SIGMAS * curve.stderr + 3e-6 * truth), (curve.value, truth)
    assert np.all(curve.lower <= truth * (1 + 3e-6)), (curve.lower, truth)
    assert np.all(curve.upper >= truth * (1 - 3e-6)), (curve.upper, truth)


def test_two_gaussians_at_every_scale() -> None:
    alphas = np.asarray([1e-12, 1e-10, 1e-8, 1e-6, 1e-4, 1e-2])
    r = norm.isf(alphas / 2)
    # Far from the origin on purpose: log-ratios must be formed from centred numbers.
    population = GaussianMixture([0.3, 0.7], np.asarray([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0]]) + 64.0, 1e-12)
    curve = bridge_overlap(KEY, VarianceExploding(), population, 1 / r, 0, 1, n=65536, delta=DELTA)
    assert curve.n == 65536
    check(curve, alphas)
    # With s = 2 r the law of l under the bridge is N(0, s^2), and v = exp(-|l| / 2).
    s = 2 * r
    first, second = (2 * np.exp(c**2 / 2 + norm.logsf(c)) for c in (s / 2, s))
    relative = curve.stderr**2 * curve.n / curve.value**2
    # The standard error of a relative variance is below 2 % here.
    np.testing.assert_allclose(relative, second / first**2 - 1, rtol=0.1)
    np.testing.assert_allclose(relative[[5, 4, 2]], [0.97, 1.7, 2.8], rtol=0.1)


def test_few_draws_certify_a_tiny_overlap() -> None:
    population = GaussianMixture([0.5, 0.5], [[-6.0], [6.0]], 1.0)
    curve = bridge_overlap(KEY, VarianceExploding(), population, [0.1], 0, 1, n=1000)
    assert curve.n == 1024
    assert curve.upper[0] < 1e-6


def quadrature(log_p: Any, a: np.ndarray, b: np.ndarray, low: float, high: float) -> float:
    y = np.linspace(low, high, 400_001)
    p = np.exp(log_p(y))
    return float(np.trapezoid(np.minimum(a @ p, b @ p), y))


@pytest.mark.parametrize("shared", [True, False])
def test_mixtures_on_the_line(shared: bool) -> None:
    w = np.asarray([0.1, 0.2, 0.3, 0.25, 0.15])
    means = np.asarray([-9.0, -6.0, 0.0, 1.5, 9.0])
    var = np.full(5, 0.3) if shared else np.asarray([0.2, 0.9, 0.3, 0.1, 2.0])
    population = GaussianMixture(w, means[:, None], 0.3 if shared else var[:, None, None])
    times = np.asarray([0.1, 1.0, 1.5, 3.0])
    inside = np.asarray([1, 1, 0, 0, 1], bool)
    curve = bridge_overlap(KEY, VarianceExploding(), population, times, [0, 1, 4], [2, 3], n=8192, delta=DELTA)
    truth = []
    for t in times:
        sd = np.sqrt(var + t**2)[:, None]
        truth.append(
            quadrature(
                lambda y, sd=sd: norm.logpdf(y[None], means[:, None], sd),
                np.where(inside, w, 0) / w[inside].sum(),
                np.where(inside, 0, w) / w[~inside].sum(),
                -60.0,
                60.0,
            )
        )
    check(curve, truth)


def test_covariances_of_their_own_in_the_plane() -> None:
    cov = np.asarray([[[1.0, 0.6], [0.6, 0.5]], [[0.4, -0.3], [-0.3, 1.2]]])
    means = np.asarray([[0.0, 0.0], [5.0, 3.0]])
    curve = bridge_overlap(
        KEY, VarianceExploding(), GaussianMixture([0.5, 0.5], means, cov), [0.2, 0.7], 0, 1, n=8192, delta=DELTA
    )
    grid = np.stack(np.meshgrid(np.linspace(-8, 13, 601), np.linspace(-8, 11, 601), indexing="ij"), -1)
    cell = (21 / 600) * (19 / 600)
    for t, value, stderr in zip(curve.times, curve.value, curve.stderr, strict=True):
        p = []
        for mean, c in zip(means, cov, strict=True):
            total = c + t**2 * np.eye(2)
            gap = grid - mean
            quad = np.einsum("xyi,ij,xyj->xy", gap, np.linalg.inv(total), gap)
            p.append(np.exp(-0.5 * quad) / (2 * np.pi * np.sqrt(np.linalg.det(total))))
        truth = np.minimum(*p).sum() * cell
        assert abs(value - truth) < SIGMAS * stderr + 1e-3 * truth


@pytest.mark.parametrize(
    "process", [Masking(), OrderedMasking(np.asarray([5, 2, 0, 7, 1, 3, 6, 4]))], ids=["masking", "ordered"]
)
def test_masked_atoms_are_exact(process: Any) -> None:
    x = np.asarray([[0, 0, 0, 0, 1, 1, 1, 1], [0, 1, 1, 0, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1, 1, 1]])
    times = np.asarray([0.001, 0.1, 0.9]) if not process.discrete else np.asarray([2, 6, 8])
    curve = bridge_overlap(KEY, process, Empirical(x), times, 0, 1, n=1024)
    truth = [process.hidden_probability(x[0] != x[1], t) for t in times]
    # Every draw hides all differing coordinates, so v = 1.
    np.testing.assert_allclose(curve.value, truth, rtol=1e-6)
    assert np.all(curve.stderr == 0)


def coins_overlap(counts: Any, masses: Any, p: float, q: float) -> float:
    return sum(
        mass * np.minimum(binom.pmf(np.arange(n + 1), n, p), binom.pmf(np.arange(n + 1), n, q)).sum()
        for n, mass in zip(counts, masses, strict=True)
    )


@pytest.mark.parametrize(
    "process", [Masking(), Truncation(60), BinarySymmetric()], ids=["masking", "truncation", "bsc"]
)
@pytest.mark.parametrize("identical", [True, False])
def test_coins(process: Any, identical: bool) -> None:
    length, p, q = 60, 0.1, 0.85
    population = ProductCategorical.coins([p, 0.5, q], length)
    if not identical:
        population = ProductCategorical(np.broadcast_to(np.asarray(population.probs)[:, None], (3, length, 2)))
    times = np.asarray([0, 30, 50]) if process.discrete else np.asarray([0.02, 0.1, 0.3])
    curve = bridge_overlap(KEY, process, population, times, 0, 2, n=8192, delta=DELTA)
    if isinstance(process, BinarySymmetric):
        truth = [coins_overlap([length], [1.0], p + t - 2 * p * t, q + t - 2 * q * t) for t in times]
    else:
        truth = [coins_overlap(*process.count_law(length, t), p, q) for t in times]
    assert truth[0] < 1e-8
    check(curve, truth)


@pytest.mark.parametrize(("order", "permuted"), [(None, False), ((2, 0, 3, 1), False), ((2, 0, 3, 1), True)])
def test_products_of_dice_by_enumeration(order: tuple[int, ...] | None, permuted: bool) -> None:
    rng = np.random.default_rng(1)
    probs = rng.dirichlet(np.full(3, 0.3), size=(4, 4))  # [K, L, q]
    probs[0, 1] = [1.0, 0.0, 0.0]
    w = np.asarray([0.4, 0.3, 0.2, 0.1])
    process: Any = Masking() if order is None else OrderedMasking(np.asarray(order))
    if order is not None and permuted:  # the same law, with an order of whole numbers on the way to the host
        process = Permuted(Truncation(4), list(order[::-1]))
    times = [0.05, 0.5] if order is None else [0, 1, 3]
    curve = bridge_overlap(KEY, process, ProductCategorical(probs, w), times, [0, 2], [1, 3], n=8192, delta=DELTA)
    truth = []
    for t in times:
        hide = [t] * 4 if order is None else [float(c in order[:t]) for c in range(4)]
        total = 0.0
        for y in itertools.product(range(4), repeat=4):  # the letter 3 stands for hidden
            joint = w.copy()
            for c, letter in enumerate(y):
                joint = joint * (hide[c] if letter == 3 else (1 - hide[c]) * probs[:, c, letter])
            total += min((joint[0] + joint[2]) / 0.6, (joint[1] + joint[3]) / 0.4)
        truth.append(total)
    check(curve, truth)


def test_classes_of_atoms_are_split() -> None:
    x = np.asarray([-4.0, -3.0, 4.0, 4.5, 0.5])
    population = Empirical(x[:, None], ["a", "a", "b", "b", "c"], weights=[0.2, 0.5, 0.3])
    t = 0.8
    curve = bridge_overlap(KEY, VarianceExploding(), population, [t], "a", ["b", "c"], n=8192, delta=DELTA)
    a, b = np.asarray([0.5, 0.5, 0, 0, 0]), np.asarray([0, 0, 0.3125, 0.3125, 0.375])
    check(curve, [quadrature(lambda y: norm.logpdf(y[None], x[:, None], t), a, b, -20.0, 20.0)])


def test_nested_and_equal_sets() -> None:
    population = GaussianMixture([0.5, 0.3, 0.2], [[0.0], [6.0], [9.0]], 1.0)
    args = (KEY, VarianceExploding(), population, [0.5])
    inner = bridge_overlap(*args, 0, [1, 2], n=2048)
    nested = bridge_overlap(*args, 0, [0, 1, 2], n=2048)
    np.testing.assert_allclose(nested.value, 0.5 + 0.5 * inner.value, rtol=1e-7)
    assert bridge_overlap(*args, [0, 1], [1, 0], n=2048).value[0] == 1.0


def test_traced_and_shared_keys_give_the_same() -> None:
    population = GaussianMixture([0.5, 0.5], [[0.0, 0.0], [4.0, 0.0]], 1.0)
    times = np.asarray([0.5, 1.0])
    run = jax.jit(lambda q: bridge_overlap(KEY, VarianceExploding(), q, jnp.asarray(times), 0, 1, n=2048).value)
    host = bridge_overlap(KEY, VarianceExploding(), population, times, 0, 1, n=2048)
    np.testing.assert_allclose(run(population.canonical()), host.value, rtol=2e-5)
    one = bridge_overlap(KEY, VarianceExploding(), population, times[1:], 0, 1, n=2048)
    np.testing.assert_allclose(one.value, host.value[1:], rtol=1e-5)


# --------------------------------------------------------------------------------------------
# A population of a user's own
# --------------------------------------------------------------------------------------------


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Laplaces(Population):
    """``X ~ delta_{mu_k}`` whose observations are told directly: ``Y_t = mu_k + t Laplace``."""

    means: Any
    kind: str = field(default="exact", metadata={"static": True})

    @property
    def log_weights(self) -> Any:
        return jnp.full((3,), -jnp.log(3.0))

    def sample(self, key: Any, component: Any) -> Any:
        return self.means[component][None]

    def log_marginals(self, process: Any, y: Any, t: Any) -> Any:
        return -jnp.abs(y - self.means) / t - jnp.log(2 * t)

    def log_affinities(self, process: Any, t: Any) -> Any:
        gap = jnp.abs(self.means[:, None] - self.means[None, :]) / t
        if self.kind == "affinity above one":
            return gap
        if self.kind in ("envelope", "broken envelope"):
            # sqrt(p_i p_j) <= e^(-gap / 4) q for q Laplace of twice the scale about the middle (and e^(gap/4) slack).
            slack = jnp.log(2.0) - 0.25 * gap
            return slack - (3.0 if self.kind == "broken envelope" else 0.0)
        return jnp.log1p(0.5 * gap) - 0.5 * gap

    def bridge_pair(self, process: Any, key: Any, i: Any, j: Any, t: Any) -> Any:
        low, high = jnp.minimum(self.means[i], self.means[j]), jnp.maximum(self.means[i], self.means[j])
        if self.kind == "outside":
            return jnp.asarray(jnp.nan)
        if self.kind in ("envelope", "broken envelope"):
            middle = 0.5 * (low + high)
            y = middle + 2 * t * jax.random.laplace(key)
            return BridgeDraw(y, -jnp.abs(y - middle) / (2 * t) - jnp.log(4 * t))
        # sqrt(p_i p_j) is flat between the two and falls off as a Laplace outside.
        key_where, key_inside, key_outside = jax.random.split(key, 3)
        inside = jax.random.uniform(key_where) < 0.5 * (high - low) / (0.5 * (high - low) + t)
        z = t * jax.random.laplace(key_outside)
        outside = jnp.where(z > 0, high + z, low + z)
        return jnp.where(inside, low + (high - low) * jax.random.uniform(key_inside), outside)


MEANS = np.asarray([0.0, 3.0, 8.0])


@pytest.mark.parametrize("kind", ["exact", "envelope"])
def test_a_users_bridge(kind: str) -> None:
    times = np.asarray([0.3, 1.0])
    assert has_bridge(VarianceExploding(), Laplaces(MEANS, kind))
    curve = bridge_overlap(KEY, VarianceExploding(), Laplaces(MEANS, kind), times, 0, [1, 2], n=8192, delta=DELTA)
    a, b = np.asarray([1.0, 0, 0]), np.asarray([0, 0.5, 0.5])
    truth = [
        quadrature(lambda y, t=t: -np.abs(y[None] - MEANS[:, None]) / t - np.log(2 * t), a, b, -30.0, 40.0)
        for t in times
    ]
    check(curve, truth)


def test_draws_above_one_are_refused_with_the_pair() -> None:
    population = Laplaces(MEANS, "broken envelope")
    promise = r"bridge_pair.*between '0' and '1' at t = 0\.3.*v = [0-9.]+, where v <= 1"
    with pytest.raises(BridgeViolation, match=promise):
        bridge_overlap(KEY, VarianceExploding(), population, [0.3], 0, 1, n=2048)
    value = jax.jit(lambda q: bridge_overlap(KEY, VarianceExploding(), q, jnp.asarray([0.3]), 0, 1, n=2048).value)(
        population.canonical()
    )
    assert np.isnan(value).all()


@pytest.mark.parametrize(
    "ask",
    [
        lambda ve, q: sloc.tv(KEY, ve, q, 0.3, 0, 1, n=2048),
        lambda ve, q: sloc.tv_curve(KEY, ve, q, [0.3, 1.0], 0, 1, n=2048),
        lambda ve, q: sloc.critical_window(KEY, ve, q, 0, [0, 1], epsilon=0.1, certify=True, budget=50_000),
        lambda ve, q: sloc.theorem2(KEY, ve, q, 0, [0, 1], epsilon=0.1, certify=True, budget=50_000, n=2),
        lambda ve, q: next(iter(anytime_windows(KEY, ve, q, 0, [0, 1], epsilon=0.1))),
        lambda ve, q: next(iter(anytime_theorem2(KEY, ve, q, 0, [0, 1], epsilon=0.1, n=2))),
    ],
    ids=["tv", "tv_curve", "critical_window", "theorem2", "anytime_windows", "anytime_theorem2"],
)
def test_no_way_to_ask_passes_over_a_broken_bridge(ask: Any) -> None:
    # Choosing an estimator by pilot draws is no reason to be silent about what they show.
    with pytest.raises(BridgeViolation, match=r"between '[01]' and '[012]' at t = .*v = [0-9.]+, where v <= 1"):
        ask(VarianceExploding(), Laplaces(MEANS, "broken envelope"))


def test_draws_outside_a_law_are_refused() -> None:
    with pytest.raises(BridgeViolation, match=r"'1' and '2'.*cannot make"):
        bridge_overlap(KEY, VarianceExploding(), Laplaces(MEANS, "outside"), [0.3], 1, 2, n=2048)


def test_bad_input_is_refused() -> None:
    ve, population = VarianceExploding(), GaussianMixture([0.5, 0.5], [[0.0], [4.0]], 1.0)
    with pytest.raises(InvalidInput, match="log_affinities"):
        bridge_overlap(KEY, ve, Laplaces(MEANS, "affinity above one"), [0.3], 0, 1, n=2048)
    with pytest.raises(InvalidInput, match="n = 1"):
        bridge_overlap(KEY, ve, population, [0.3], 0, 1, n=1)
    with pytest.raises(InvalidInput, match=r"delta = 1\.5"):
        bridge_overlap(KEY, ve, population, [0.3], 0, 1, n=100, delta=1.5)
    chains = MarkovChains(np.full((2, 2), 0.5), np.asarray([np.eye(2), np.full((2, 2), 0.5)]), 5)
    assert not has_bridge(Masking(), chains)
    with pytest.raises(ContractError, match="MarkovChains has no bridge under process Masking"):
        bridge_overlap(KEY, Masking(), chains, [0.3], 0, 1, n=100)
    with pytest.raises(ContractError, match="does not define bridge_pair"):
        chains.bridge_pair(Masking(), KEY, jnp.asarray(0), jnp.asarray(1), jnp.asarray(0.5))


def test_a_subclass_that_changes_the_process_has_no_bridge() -> None:
    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class Skewed(OrnsteinUhlenbeck):
        def sample(self, key: Any, x: Any, t: Any) -> Any:
            return x + t * jax.random.exponential(key, x.shape)

    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class Clumped(Masking):
        def thresholds(self, key: Any, x: Any) -> Any:
            return jnp.broadcast_to(1.0 - jax.random.uniform(key), jnp.shape(x))

    population = GaussianMixture([0.5, 0.5], [[0.0], [4.0]], 1.0)
    assert has_bridge(OrnsteinUhlenbeck(), population)
    assert not has_bridge(Skewed(), population)
    assert has_bridge(Masking(), Empirical(np.eye(3)))
    assert not has_bridge(Clumped(), Empirical(np.eye(3)))
