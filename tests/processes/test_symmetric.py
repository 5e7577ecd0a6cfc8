"""The binary symmetric channel: semigroup, Bayes bridge, capacity grid, boundaries."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sloc.processes import BinarySymmetric
from sloc.processes.symmetric import _between

BSC = BinarySymmetric()


@pytest.mark.parametrize(("s", "t"), [(0.0, 0.2), (0.1, 0.1), (0.1, 0.45), (0.3, 0.5)])
def test_transitions_form_a_semigroup(s, t):
    p = float(_between(jnp.float32(s), jnp.float32(t)))
    np.testing.assert_allclose(BSC.transition(s) @ BSC.transition(p), BSC.transition(t), atol=1e-6)


def test_transition_is_float64_on_the_host():
    assert BSC.transition(0.1).dtype == np.float64
    np.testing.assert_allclose(BSC.transition(0.1), [[0.9, 0.1], [0.1, 0.9]], rtol=1e-15)
    assert jax.jit(BSC.transition)(jnp.float32(0.1)).shape == (2, 2)


@pytest.mark.parametrize("t", [0.0, 0.2, 0.5])
def test_log_prob_sums_to_one(t):
    x = jnp.asarray([0, 1, 1], jnp.int32)
    ys = jnp.asarray(list(itertools.product([0, 1], repeat=3)), jnp.int32)
    log_p = jax.vmap(lambda y: BSC.log_prob(y, x, jnp.float32(t)))(ys)
    assert not np.isnan(log_p).any()
    np.testing.assert_allclose(np.exp(log_p).sum(), 1.0, rtol=1e-6)
    assert BSC.log_prob(x, x, jnp.float32(0.0)) == 0.0
    assert np.isfinite(jax.grad(lambda t: BSC.log_prob(x, x, t))(jnp.float32(0.0)))


def test_flips_are_nested():
    x = jnp.zeros(200, jnp.int32)
    ys = jax.vmap(lambda t: BSC.sample(jax.random.key(0), x, t))(jnp.linspace(0.0, 0.5, 6))
    assert np.all(np.diff(np.asarray(ys), axis=0) >= 0)
    assert ys.dtype == x.dtype
    assert not np.asarray(ys)[0].any()


@pytest.mark.parametrize("different", [0, 1])
def test_bridge_is_bayes_rule(different):
    # Hoeffding: off by 0.03 at 20,000 bits by chance with probability 2 exp(-36) < 1e-15.
    s, t, n = 0.1, 0.35, 20_000
    p = (t - s) / (1 - 2 * s)
    from_flipped, from_same = (1 - p, p) if different else (p, 1 - p)
    expected = s * from_flipped / (s * from_flipped + (1 - s) * from_same)
    x = jnp.zeros(n, jnp.int32)
    back = BSC.bridge(jax.random.key(different), x + different, x, jnp.float32(s), jnp.float32(t))
    assert abs(float(np.mean(back)) - expected) < 0.03


def test_grid_is_even_in_capacity():
    t = BSC.grid(15)
    capacity = 1 + t * np.log2(t) + (1 - t) * np.log2(1 - t)
    np.testing.assert_allclose(capacity, np.arange(15, 0, -1) / 16, atol=1e-12)
    assert 0 < t[0] < t[-1] < 0.5


def test_degrade_at_the_horizon_changes_nothing():
    y = jnp.asarray([0, 1, 1, 0], jnp.int32)
    np.testing.assert_array_equal(BSC.degrade(jax.random.key(0), y, jnp.float32(0.5), jnp.float32(0.5)), y)
