from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from sloc.contracts import InvalidInput
from sloc.divergence.binomial_interval import bernoulli_interval
from sloc.engine.binomial import clopper_pearson
from sloc.engine.dithering import BERNOULLI_GRID, dither
from tests.divergence.bounded import DISTRIBUTIONS, allowed_misses, misses, normal_interval, width_ratio

DELTA = 0.05


def test_exact_coverage_at_every_probability():
    n, p = 60, np.concatenate([np.linspace(0, 1, 201), [1e-4, 1 - 1e-4]])[:, None]
    x = np.arange(n + 1)
    low, high = clopper_pearson(x, n, DELTA)
    inside = (low <= p) & (p <= high)
    assert np.min(np.sum(stats.binom.pmf(x, n, p) * inside, axis=1)) >= 1 - DELTA


def bernoulli_counts(key, values):
    return dither(key, values, BERNOULLI_GRID)


def dithered(values, delta):
    return bernoulli_interval(bernoulli_counts(jax.random.key(11), values), delta)


# The normal row must fail: at 1e-4 and 1,000 draws it misses with probability .9.
@pytest.mark.parametrize(("interval", "sound"), [(dithered, True), (normal_interval, False)])
def test_coverage(interval, sound):
    # One false alarm in 1e9: 10 distributions at 1e-10.
    rng = np.random.default_rng(1)
    counted = {}
    for name, law in DISTRIBUTIONS.items():
        values = law.draw(rng, (400, 1000)).astype(np.float32)
        counted[name] = misses(*interval(values, DELTA), law.mean)
    assert all(count <= allowed_misses(400, DELTA) for count in counted.values()) == sound, counted


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("bernoulli(1e-4)", 1.1, 1.7), ("uniform", 1.6, 1.9), ("beta(2, 5)", 2.6, 3.1), ("overlap 1e-2", 1.3, 1.6)],
)
def test_width_over_the_normal_interval(name, least, most):
    law = DISTRIBUTIONS[name]
    values = law.draw(np.random.default_rng(2), (200, 10_000)).astype(np.float32)
    assert least <= width_ratio(*dithered(values, DELTA), law, 10_000, DELTA) <= most


def test_counts_merge_by_addition():
    values = jax.random.uniform(jax.random.key(3), (4, 2, 100))
    keys = jax.random.split(jax.random.key(4), 4)
    blocks = jax.vmap(bernoulli_counts)(keys, values)
    forward, backward = np.sum(blocks, axis=0), np.sum(blocks[::-1], axis=0)
    np.testing.assert_array_equal(bernoulli_interval(forward, DELTA), bernoulli_interval(backward, DELTA))
    np.testing.assert_array_equal(forward.sum(-1), [400, 400])


def test_empty_and_spoilt_cells():
    low, high = bernoulli_interval(np.asarray([[0, 0, 0], [5, 5, 1], [10, 0, 0]]), DELTA)
    assert (low[0], high[0]) == (0, 1)
    assert np.isnan(low[1])
    assert np.isnan(high[1])
    assert low[2] == 0
    assert high[2] == pytest.approx(1 - 0.025 ** (1 / 10))
    counts = jax.jit(bernoulli_counts)(jax.random.key(5), jnp.asarray([0.5, jnp.nan]))
    assert np.isnan(bernoulli_interval(counts, DELTA)[0])


def test_bad_input_is_refused():
    with pytest.raises(InvalidInput, match="counts"):
        bernoulli_interval(np.zeros((2, 2), int), DELTA)
    with pytest.raises(InvalidInput, match="overflow"):
        bernoulli_interval(np.asarray([-1, 2, 0]), DELTA)
    with pytest.raises(InvalidInput, match="delta = "):
        bernoulli_interval(np.asarray([1, 2, 0]), 1.0)


@pytest.mark.parametrize("total", [2, 7, 100, 10_000, 3_000_000])
@pytest.mark.parametrize("delta", [0.05, 1e-6])
def test_traced_it_holds_the_exact_interval_and_is_hardly_wider(total, delta):
    # Deterministic: no false alarm.
    shares = np.asarray([0, 1e-6, 1e-4, 0.01, 0.3, 0.5, 0.9, 0.9999, 1])
    x = np.unique(np.concatenate([np.round(shares * total), [1, total - 1]])).astype(np.int32)
    counts = np.stack([total - x, x, 0 * x], axis=1)
    low, high = jax.jit(bernoulli_interval, static_argnums=1)(counts, delta)
    exact = stats.binomtest
    for i, successes in enumerate(x):
        if total <= 100:
            found = exact(int(successes), total).proportion_ci(1 - delta, "exact")
            assert bernoulli_interval(counts[i], delta) == pytest.approx((found.low, found.high), rel=1e-9)
    least, most = bernoulli_interval(counts, delta)
    assert np.all(low <= least)
    assert np.all(most <= high)
    # Near 1 float32 knows its numbers to 6e-8.
    assert np.all(high - low <= (1.05 if delta == 0.05 else 1.01) * (most - least) + 2e-7)
    mapped = jax.jit(jax.vmap(lambda c: bernoulli_interval(c, delta)))(counts)
    np.testing.assert_allclose(mapped, (low, high), rtol=1e-5)


def test_traced_empty_and_spoilt_cells():
    low, high = jax.jit(bernoulli_interval, static_argnums=1)(np.asarray([[0, 0, 0], [5, 5, 1]]), DELTA)
    assert (low[0], high[0]) == (0, 1)
    assert np.isnan(low[1])
    assert np.isnan(high[1])
