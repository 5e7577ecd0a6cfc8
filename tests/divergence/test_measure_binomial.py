"""Clopper-Pearson intervals from one streamed pass: exact, covering, mergeable, and traced with the same draws.

Coverage is tested at delta = 0.1 per curve: more than the 52 of 200 curves allowed here left out at some time have
binomial probability 2e-11 at that level exactly.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import binom, binomtest, norm

import sloc
from sloc.divergence import bridge_overlap
from sloc.divergence.binomial_interval import bernoulli_interval
from sloc.engine.dithering import BERNOULLI_GRID
from sloc.engine.streaming import tally
from sloc.populations import GaussianMixture
from sloc.processes import OrnsteinUhlenbeck, VarianceExploding
from tests.divergence.test_measure_betting import KEY, OU, THREE, TIMES, assembled

NAME = "clopper-pearson"


def test_the_band_is_that_of_scipy_for_the_counts() -> None:
    moments, (counts,) = tally(*assembled(), 6, grid=BERNOULLI_GRID)
    count = int(moments[0].count)
    # ``tv`` is the only statistic: its three cells share the level, and its band is tightened, TV never increasing.
    n = 6 * 1023
    curve = sloc.tv_curve(KEY, OU, THREE, TIMES, 0, [1, 2], n=n, delta=0.03, method="monte-carlo", interval=NAME)
    ends = [binomtest(int(c[1]), count).proportion_ci(0.99, "exact") for c in counts[0]]
    lower, upper = 1 - np.asarray([e.high for e in ends]), 1 - np.asarray([e.low for e in ends])
    np.testing.assert_allclose(curve.lower, np.maximum.accumulate(lower[::-1])[::-1], rtol=1e-9)
    np.testing.assert_allclose(curve.upper, np.minimum.accumulate(upper), rtol=1e-9)
    assert curve.n == n
    assert curve.method == "monte carlo, exact marginals, Clopper-Pearson interval"


def test_two_halves_of_a_run_are_the_run() -> None:
    _, (counts,) = tally(*assembled(), 12, grid=BERNOULLI_GRID)
    halves = [tally(*assembled(), b, first=f, grid=BERNOULLI_GRID)[1][0] for b, f in ((5, 0), (7, 5))]
    np.testing.assert_array_equal(halves[0] + halves[1], counts)
    assert counts.shape[-1] == 3


@pytest.mark.slow
@pytest.mark.parametrize("gap", [1.0, 8.0])
def test_coverage(gap: float) -> None:
    """Overlaps around 0.6, and around 1e-4, where the normal interval covers three times out of four."""
    population = GaussianMixture([0.5, 0.5], [[-gap / 2], [gap / 2]])
    times = np.asarray([0.05, 0.1])
    truth = 2 * norm.cdf(gap / 2 * np.exp(-times)) - 1
    misses = 0
    for seed in range(200):
        options: Any = {"n": 2048, "delta": 0.1, "method": "monte-carlo", "interval": NAME}
        c = sloc.tv_curve(jax.random.key(seed), OU, population, times, 0, 1, **options)
        misses += bool(np.any((c.lower > truth + 1e-6) | (c.upper < truth - 1e-6)))
    assert binom.sf(52, 200, 0.1) < 1e-9
    assert misses <= 52


def test_the_strong_choice_for_a_small_overlap_without_a_bridge() -> None:
    far = GaussianMixture([0.5, 0.5], [[4.0], [-4.0]])
    asked: Any = {"n": 16_384, "method": "monte-carlo"}
    exact, plain = (
        sloc.tv(KEY, OrnsteinUhlenbeck(), far, 0.05, 0, 1, interval=i, **asked) for i in (NAME, "maurer-pontil")
    )
    assert exact.upper - exact.lower < 0.6 * (plain.upper - plain.lower)
    assert exact.lower <= 2 * norm.cdf(4 * np.exp(-0.05)) - 1 <= exact.upper


@pytest.mark.slow
def test_traced_it_holds_the_interval_of_the_host() -> None:
    def ends(means: jax.Array) -> tuple[Any, Any]:
        mixture = GaussianMixture(jnp.asarray([0.3, 0.7], jnp.float32), means)
        curve = sloc.tv_curve(KEY, OU, mixture, [0.2, 0.9], 0, 1, n=4096, interval=NAME, method="monte-carlo")
        return curve.lower, curve.upper

    means = jnp.asarray([[1.0], [-1.0]], jnp.float32)
    (low, high), (least, most) = jax.jit(ends)(means), ends(means)
    # Compiled together, a value's last digit may turn over one Bernoulli draw.
    one = 1.5 / 2048
    assert np.all((low <= least + one) & (most - one <= high))
    assert np.all(high - low <= 1.06 * (most - least) + one)


def test_bridges_take_it_too() -> None:
    alphas = np.asarray([1e-6, 1e-3])
    two = GaussianMixture([0.5, 0.5], [[0.0], [2.0]], 1e-12)
    times = 1 / norm.isf(alphas / 2)
    # Left out with probability at most 1e-10.
    curve = bridge_overlap(KEY, VarianceExploding(), two, times, 0, 1, n=8192, delta=1e-10, interval=NAME)
    assert np.all((curve.lower <= alphas * (1 + 3e-6)) & (alphas * (1 - 3e-6) <= curve.upper))
    assert np.all(curve.upper < 1.6 * alphas)
    assert curve.method == "bridge, exact marginals, Clopper-Pearson interval"


def test_cells_by_the_hundred_in_one_call() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 5000, (64, 45))
    counts = np.stack([5000 - x, x, 0 * x], axis=-1)
    low, high = jax.jit(bernoulli_interval, static_argnums=1)(counts.astype(np.int32), 1e-4)
    least, most = bernoulli_interval(counts, 1e-4)
    assert low.shape == (64, 45)
    assert np.all((low <= least) & (most <= high))
