from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from sloc.contracts import InvalidInput
from sloc.engine.accumulators import Tallies
from sloc.engine.dithering import BERNOULLI_GRID, GRID, dither, logit_grid


def test_grid_holds_float32_numbers_from_exactly_0_to_exactly_1():
    assert GRID[0] == 0
    assert GRID[-1] == 1
    assert GRID.size == 129
    assert np.all(np.diff(GRID.astype(np.float32)) > 0)
    assert GRID[1] == pytest.approx(1e-6, rel=1e-6)
    assert 1 - GRID[-2] == pytest.approx(1e-6, rel=0.05)
    assert np.max(np.diff(GRID)) < 0.06


@pytest.mark.parametrize("value", [1e-9, 1e-7, 3e-5, 0.01, 0.3, 0.5, 0.9, 0.9999, 1 - 2**-22, 1 - 2**-24])
@pytest.mark.parametrize("grid", [None, BERNOULLI_GRID])
def test_rounding_keeps_the_mean(value, grid):
    # Rounded values live on two neighbouring edges: an exact binomial test; 20 tests at 1e-10 each.
    n = 1 << 19
    edges = GRID if grid is None else grid
    counts = np.asarray(dither(jax.random.key(1), jnp.full(n, value, jnp.float32), grid))
    assert counts.sum() == n
    v = float(np.float32(value))
    at = min(int(np.searchsorted(edges, v, side="right")) - 1, edges.size - 2)
    assert counts[at] + counts[at + 1] == n
    share = (v - edges[at]) / (edges[at + 1] - edges[at])
    assert stats.binomtest(int(counts[at + 1]), n, share).pvalue > 1e-10


def test_edges_stay_where_they_are():
    values = jnp.repeat(jnp.asarray(GRID, jnp.float32), 50)
    np.testing.assert_array_equal(np.asarray(dither(jax.random.key(2), values)), [50] * GRID.size + [0])


@pytest.mark.slow
def test_probabilities_below_float32_resolution_are_not_rounded_up():
    # 2**28 draws at 2e-8: 5.4 expected, 32 if uniforms moved in steps of 2**-23.  P(Poisson(5.4) > 27) < 1e-10.
    def block(total, key):
        return total + dither(key, jnp.full(1 << 22, 2e-8, jnp.float32), BERNOULLI_GRID)[1], None

    total, _ = jax.jit(lambda keys: jax.lax.scan(block, jnp.zeros((), jnp.int32), keys))(
        jax.random.split(jax.random.key(3), 64)
    )
    assert int(total) <= 27


def test_cells_are_counted_apart_and_the_same_under_jit():
    values = jax.random.uniform(jax.random.key(4), (3, 2, 500))
    counts = dither(jax.random.key(5), values)
    assert counts.shape == (3, 2, 130)
    assert counts.dtype == jnp.int32
    np.testing.assert_array_equal(counts.sum(-1), np.full((3, 2), 500))
    np.testing.assert_array_equal(jax.jit(dither)(jax.random.key(5), values), counts)


def test_traced_values_outside_are_counted_as_refused():
    values = jnp.asarray([0.5, jnp.nan, -1e-3, 1.01, 1.0])
    counts = jax.jit(dither)(jax.random.key(6), values)
    assert int(counts[-1]) == 3
    assert int(counts[:-1].sum()) == 2


def test_another_grid_of_as_many_edges_is_another_run():
    kept = {Tallies(edges).kept for edges in ((0.0, 0.5, 1.0), (0.0, 0.25, 1.0), (0.0, 1.0))}
    assert len(kept) == 3
    assert Tallies((0.0, 0.5, 1.0)).kept == Tallies((0.0, 0.5, 1.0)).kept


def test_bad_input_is_refused():
    for bad in (1.5, -0.1, np.nan):
        with pytest.raises(InvalidInput, match=r"\[0, 1\]"):
            dither(jax.random.key(0), np.asarray([0.5, bad], np.float32))
    for grid in ([0.0, 0.5], [0.0, 0.5, 0.5, 1.0], [0.0, 0.1, 1.0]):
        with pytest.raises(InvalidInput, match="grid"):
            dither(jax.random.key(0), np.asarray([0.5], np.float32), grid)
    with pytest.raises(InvalidInput, match="points"):
        logit_grid(1)
    with pytest.raises(InvalidInput, match="smallest"):
        logit_grid(smallest=0.5)
