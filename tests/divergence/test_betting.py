from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sloc.contracts import InvalidInput
from sloc.divergence.betting import bet_sizes, betting_interval, betting_lower, betting_upper
from tests.divergence.bounded import DISTRIBUTIONS, allowed_misses, misses, normal_interval, width_ratio

DELTA = 0.05


def lower_only(values, delta):
    return betting_lower(values, delta), np.ones(values.shape[:-1])


def upper_only(values, delta):
    return np.zeros(values.shape[:-1]), betting_upper(values, delta)


METHODS = {
    "betting": (betting_interval, True),
    "one-sided lower": (lower_only, True),
    "one-sided upper": (upper_only, True),
    "traced, float32": (jax.jit(betting_interval, static_argnums=1), True),
    # Must fail: at 1e-4 and 1,000 draws it misses with probability .9, so it passes with probability below 1e-30.
    "normal": (normal_interval, False),
}


def check_coverage(method, repetitions, n, seed):
    """Whether all distributions are covered; one false alarm in 1e9 for a sound interval (10 checks of 1e-10)."""
    interval, _ = METHODS[method]
    rng = np.random.default_rng(seed)
    allowed, counted = allowed_misses(repetitions, DELTA), {}
    for name, law in DISTRIBUTIONS.items():
        values = law.draw(rng, (repetitions, n)).astype(np.float32)
        counted[name] = misses(*interval(values, DELTA), law.mean)
    return all(count <= allowed for count in counted.values()), counted


@pytest.mark.parametrize("method", METHODS)
def test_coverage(method):
    covered, counted = check_coverage(method, 300, 1000, 1)
    assert covered == METHODS[method][1], counted


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_coverage_of_more_draws(method):
    covered, counted = check_coverage(method, 300, 10_000, 2)
    assert covered == METHODS[method][1], counted


def test_bound_is_where_the_product_of_the_factors_reaches_the_threshold():
    values = np.random.default_rng(3).beta(0.3, 2.0, 200)
    level = 0.025
    spread, bets = 0.25, []
    for t in range(200):  # the recursion as published, one value at a time
        bets.append(math.sqrt(2 * math.log(1 / level) / (200 * spread)))
        means = [(0.5 + values[: i + 1].sum()) / (i + 2) for i in range(t + 1)]
        spread = (0.25 + sum((values[i] - means[i]) ** 2 for i in range(t + 1))) / (t + 2)
    bets = np.asarray(bets)
    np.testing.assert_allclose(bet_sizes(values, level), bets, rtol=1e-12)
    candidates = np.linspace(1e-4, 1 - 1e-4, 20_001)[:, None]
    above = np.prod(1 + np.minimum(bets, 0.75 / candidates) * (values - candidates), axis=1) >= 1 / level
    below = np.prod(1 - np.minimum(bets, 0.75 / (1 - candidates)) * (values - candidates), axis=1) >= 1 / level
    low, high = betting_interval(values, 2 * level)
    assert 0 <= candidates[~above].min() - low <= 1e-4
    assert 0 <= high - candidates[~below].max() <= 1e-4


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("uniform", 1.3, 1.45), ("overlap 1e-2", 1.3, 1.6), ("beta(2, 5)", 1.3, 1.45), ("bernoulli(1e-4)", 1.4, 2.3)],
)
def test_width_over_the_normal_interval(name, least, most):
    # 60 repetitions: the mean ratio has a standard error below .01 (.1 at 1e-4), far inside the margins.
    law = DISTRIBUTIONS[name]
    values = law.draw(np.random.default_rng(4), (60, 10_000))
    assert least <= width_ratio(*betting_interval(values, DELTA), law, 10_000, DELTA) <= most


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_traced_agrees_and_is_rounded_outwards(name):
    values = DISTRIBUTIONS[name].draw(np.random.default_rng(5), (3, 2, 3000)).astype(np.float32)
    low, high = betting_interval(values, DELTA)
    assert low.dtype == np.float64
    assert low.shape == (3, 2)
    traced = jax.jit(betting_interval)(values, DELTA)
    mapped = jax.vmap(jax.vmap(lambda v: betting_interval(v, DELTA)))(values)
    for low32, high32 in (traced, mapped):
        width = high - low
        assert low32.dtype == jnp.float32
        assert np.all(np.asarray(low32, np.float64) <= low + 3e-7 * low)
        assert np.all(np.asarray(high32, np.float64) >= high - 3e-7 * high)
        np.testing.assert_allclose(np.asarray(low32), low, rtol=3e-7, atol=2e-3 * width.max())
        np.testing.assert_allclose(np.asarray(high32), high, rtol=3e-7, atol=2e-3 * width.max())


def test_large_float32_sums_keep_their_bound():
    values = DISTRIBUTIONS["uniform"].draw(np.random.default_rng(6), (1 << 20,)).astype(np.float32)
    low, high = betting_interval(values, DELTA)
    low32, high32 = jax.jit(betting_interval)(values, DELTA)
    assert float(low32) <= low + 1e-7
    assert float(high32) >= high - 1e-7
    assert float(high32 - low32) <= 1.05 * (high - low)


def test_constant_zero_and_one_reach_the_ends():
    low, high = betting_interval(np.zeros(1000), DELTA)
    assert low == 0
    assert 0.003 < high < 0.03
    low1, high1 = betting_interval(np.ones(1000), DELTA)
    assert high1 == 1
    assert low1 == pytest.approx(1 - high, abs=1e-6)


def test_levels_may_differ_between_cells():
    values = np.random.default_rng(7).random((2, 500))
    low, high = betting_interval(values, np.asarray([0.05, 1e-6]))
    np.testing.assert_allclose([low[1], high[1]], betting_interval(values[1], 1e-6), rtol=1e-12)


def test_bad_input_is_refused():
    with pytest.raises(InvalidInput, match="delta"):
        betting_interval(np.zeros(5), 0.0)
    with pytest.raises(InvalidInput, match="values"):
        betting_interval(np.zeros(0), DELTA)
    with pytest.raises(InvalidInput, match=r"\[0, 1\]"):
        betting_interval(np.asarray([0.2, 1.5]), DELTA)
    with pytest.raises(InvalidInput, match=r"\[0, 1\]"):
        betting_lower(np.asarray([0.2, np.nan]), DELTA)
    with pytest.raises(InvalidInput, match="one for each cell"):
        betting_lower(np.zeros((2, 5)), np.full(3, 0.05))
    low, high = jax.jit(betting_interval)(jnp.asarray([[0.2, 1.5], [0.2, 0.3]]), DELTA)
    assert np.isnan(low[0])
    assert np.isnan(high[0])
    assert np.isfinite(low[1])
