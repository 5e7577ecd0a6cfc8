from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp

from sloc.contracts import InvalidInput
from sloc.divergence.histogram_betting import BETS, PRIOR, interval, lower_bound, upper_bound
from sloc.engine import dithering
from sloc.engine.dithering import BERNOULLI_GRID, GRID, logit_grid
from tests.divergence.bounded import DISTRIBUTIONS, allowed_misses, misses, normal_from_moments, width_ratio

DELTA = 0.05
dither = jax.jit(dithering.dither)  # one compile for each shape


@functools.lru_cache(maxsize=64)
def running_counts(law, repetitions, times, seed):
    """Counts ``[repetitions, times, B + 1]`` after each of the given numbers of draws."""
    rng = np.random.default_rng(seed)
    blocks, before = [], 0
    for i, n in enumerate(times):
        values = law.draw(rng, (repetitions, n - before)).astype(np.float32)
        blocks.append(np.asarray(dither(jax.random.fold_in(jax.random.key(seed), i), values)))
        before = n
    return np.cumsum(np.stack(blocks, axis=1), axis=1)


def normal_on_counts(counts, delta):
    weight = counts[..., :-1] / counts.sum(-1, keepdims=True)
    mean = weight @ GRID
    sd = np.sqrt(np.maximum(weight @ GRID**2 - mean**2, 0))
    return normal_from_moments(mean, sd, counts.sum(-1), delta)


METHODS = {
    "histogram": (interval, True),
    "one-sided lower": (lambda c, d: (lower_bound(c, d), np.ones(c.shape[:-1])), True),
    "one-sided upper": (lambda c, d: (np.zeros(c.shape[:-1]), upper_bound(c, d)), True),
    "traced, float32": (jax.jit(interval), True),
    # Must fail: at 1e-4 it misses with probability above .9 at the first stopping times.
    "normal": (normal_on_counts, False),
}


def check_anytime_coverage(method, repetitions, times, seed):
    """Whether no distribution is missed too often at any stopping time; a false alarm in 1e9 (10 checks of 1e-10)."""
    counted = {
        name: misses(*METHODS[method][0](running_counts(law, repetitions, times, seed), DELTA), law.mean)
        for name, law in DISTRIBUTIONS.items()
    }
    return all(count <= allowed_misses(repetitions, DELTA) for count in counted.values()), counted


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_anytime_coverage(method):
    times = tuple(np.unique(np.geomspace(10, 2000, 5).astype(int)).tolist())
    covered, counted = check_anytime_coverage(method, 100, times, 1)
    assert covered == METHODS[method][1], counted


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_anytime_coverage_at_20_stopping_times(method):
    times = tuple(np.unique(np.geomspace(10, 20_000, 20).astype(int)).tolist())
    assert len(times) == 20
    covered, counted = check_anytime_coverage(method, 200, times, 2)
    assert covered == METHODS[method][1], counted


def test_bound_is_where_the_wealth_reaches_the_threshold():
    counts = np.asarray(dither(jax.random.key(3), np.random.default_rng(3).beta(0.3, 2.0, 300).astype(np.float32)))
    candidates = np.linspace(1e-3, 1 - 1e-3, 5001)
    m, v, c, n = candidates[:, None, None], GRID, BETS[:, None], counts[:-1]
    above = logsumexp(np.sum(n * np.log(1 + c / m * (v - m)), -1), b=PRIOR, axis=1) >= np.log(2 / DELTA)
    below = logsumexp(np.sum(n * np.log(1 - c / (1 - m) * (v - m)), -1), b=PRIOR, axis=1) >= np.log(2 / DELTA)
    low, high = interval(counts, DELTA)
    assert 0 <= candidates[~above].min() - low <= 4e-4
    assert 0 <= high - candidates[~below].max() <= 4e-4
    assert PRIOR.sum() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("uniform", 1.7, 1.9), ("overlap 1e-2", 1.7, 1.95), ("beta(2, 5)", 1.7, 1.9), ("bernoulli(1e-4)", 2.0, 3.1)],
)
def test_width_over_the_normal_interval(name, least, most):
    # 60 repetitions: the mean ratio has a standard error below .01 (.15 at 1e-4), far inside the margins.
    law = DISTRIBUTIONS[name]
    counts = running_counts(law, 60, (10_000,), 4)[:, -1]
    assert least <= width_ratio(*interval(counts, DELTA), law, 10_000, DELTA) <= most


@pytest.mark.parametrize("p", [0.3, 1e-2, 1e-4])
@pytest.mark.parametrize("n", [10**6, 10**8, 2 * 10**9])
def test_width_keeps_shrinking_on_both_sides(p, n):
    counts = np.zeros(GRID.size + 1, np.int64)
    counts[0], counts[-2] = n - round(n * p), round(n * p)
    half = 1.96 * np.sqrt(p * (1 - p) / n)
    low, high = interval(counts, DELTA)
    assert 1.6 < (p - low) / half < 2.3
    assert 1.6 < (high - p) / half < 2.3
    low32, high32 = jax.jit(interval)(jnp.asarray(counts, jnp.int32), DELTA)
    assert float(low32) <= low * (1 + 3e-7)
    assert float(high32) >= high * (1 - 3e-7)
    assert float(high32 - low32) <= 1.15 * (high - low) + 2.4e-7 * p


def test_counts_merge_in_any_order():
    values = np.random.default_rng(5).beta(0.4, 3.0, (6, 3, 400)).astype(np.float32)
    blocks = np.stack([dither(jax.random.fold_in(jax.random.key(5), i), v) for i, v in enumerate(values)])
    whole = np.asarray(interval(blocks.sum(0), DELTA))
    np.testing.assert_array_equal(interval(blocks[[3, 0, 5, 1, 4, 2]].sum(0), DELTA), whole)
    resumed = blocks[:2].sum(0) + blocks[2:].sum(0)
    np.testing.assert_array_equal(interval(resumed, DELTA), whole)
    summed = jax.vmap(lambda c: jax.lax.psum(c, "devices"), axis_name="devices")(jnp.asarray(blocks))[0]
    np.testing.assert_array_equal(interval(summed, DELTA), whole)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_traced_agrees_and_is_rounded_outwards(name):
    counts = running_counts(DISTRIBUTIONS[name], 4, (300, 5000), 6)
    low, high = interval(counts, DELTA)
    assert low.shape == (4, 2)
    assert low.dtype == np.float64
    traced = jax.jit(interval)(jnp.asarray(counts, jnp.int32), DELTA)
    mapped = jax.vmap(lambda c: interval(c, DELTA))(jnp.asarray(counts, jnp.int32))
    for low32, high32 in (traced, mapped):
        assert low32.dtype == jnp.float32
        assert np.all(np.asarray(low32, np.float64) <= low * (1 + 3e-7))
        assert np.all(np.asarray(high32, np.float64) >= high * (1 - 3e-7))
        np.testing.assert_allclose(np.asarray(low32), low, rtol=1e-6, atol=2e-3 * (high - low).max())
        np.testing.assert_allclose(np.asarray(high32), high, rtol=1e-6, atol=2e-3 * (high - low).max())


@pytest.mark.slow
def test_a_table_of_cells_in_one_compiled_call():
    # 64 times by 45 pairs, from no draws to many, all mass in one cell to spread over all.
    rng = np.random.default_rng(11)
    shares = rng.gamma(np.geomspace(0.02, 2.0, 64)[:, None, None], size=(64, 45, GRID.size))
    draws = np.geomspace(1, 1e6, 45).astype(int)
    counts = np.zeros((64, 45, GRID.size + 1), np.int32)
    counts[..., :-1] = rng.multinomial(draws, shares / shares.sum(-1, keepdims=True))
    counts[0, 0] = 0
    low, high = interval(counts, DELTA / (64 * 45))
    low32, high32 = jax.jit(interval)(jnp.asarray(counts), DELTA / (64 * 45))
    assert low.shape == low32.shape == (64, 45)
    # The level itself is rounded, which a few draws feel: by 1e-6 of a bound of 1e-6.
    assert np.all(np.asarray(low32, np.float64) <= low * (1 + 3e-6))
    assert np.all(np.asarray(high32, np.float64) >= high * (1 - 3e-7))
    width = high - low
    assert np.all(np.abs(np.asarray(low32) - low) <= 2e-3 * width + 1e-6)
    assert np.all(np.abs(np.asarray(high32) - high) <= 2e-3 * width + 1e-6)


def test_ends_empty_and_spoilt_cells():
    counts = np.zeros((4, GRID.size + 1), int)
    counts[0, 0] = counts[1, -2] = counts[3, 5] = 1000
    counts[3, -1] = 1
    low, high = interval(counts, DELTA)
    assert low[0] == 0
    assert 0.003 < high[0] < 0.01
    assert high[1] == 1
    assert low[1] == pytest.approx(1 - high[0], abs=1e-6)
    assert (low[2], high[2]) == (0, 1)
    assert np.isnan(low[3])
    assert np.isnan(high[3])
    np.testing.assert_allclose(np.asarray(jax.jit(interval)(counts, DELTA)), [low, high], rtol=1e-3, atol=1e-5)


def test_one_sided_bounds_take_the_whole_level():
    counts = np.asarray(dither(jax.random.key(7), jax.random.uniform(jax.random.key(8), (2, 1000))))
    low, high = interval(counts, DELTA)
    np.testing.assert_array_equal(lower_bound(counts, DELTA / 2), low)
    np.testing.assert_array_equal(upper_bound(counts, DELTA / 2), high)
    assert np.all(lower_bound(counts, DELTA) > low)
    per_cell = lower_bound(counts, np.asarray([DELTA, DELTA / 2]))
    assert per_cell[1] == low[1]


def test_other_grids():
    values = jax.random.uniform(jax.random.key(9), (2000,))
    fine, coarse = logit_grid(200), BERNOULLI_GRID
    narrow = interval(dithering.dither(jax.random.key(10), values, fine), DELTA, grid=fine)
    wide = interval(dithering.dither(jax.random.key(10), values, coarse), DELTA, grid=coarse)
    assert narrow[1] - narrow[0] < 0.7 * (wide[1] - wide[0])


def test_bad_input_is_refused():
    counts = np.zeros(GRID.size + 1, int)
    with pytest.raises(InvalidInput, match="delta"):
        interval(counts, 1.5)
    with pytest.raises(InvalidInput, match="last"):
        interval(counts[:-1], DELTA)
    with pytest.raises(InvalidInput, match="integers"):
        interval(counts.astype(float), DELTA)
    with pytest.raises(InvalidInput, match="overflow"):
        interval(counts - 1, DELTA)
    with pytest.raises(InvalidInput, match="one for each cell"):
        interval(counts, np.asarray([0.1, 0.2]))
