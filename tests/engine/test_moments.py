"""Streaming moments in float32 against float64 NumPy."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from sloc.engine.moments import block_moments, merge_moments, zero_moments


def test_a_million_small_increments_do_not_drift():
    # A float32 running sum of 1e6 values near .1 would be off by 1e-3 in relative terms.
    rng = np.random.default_rng(0)
    values = rng.uniform(0.1, 0.1001, size=(1 << 20,)).astype(np.float32)
    blocks = jnp.asarray(values.reshape(-1, 1, 8))

    def step(total, block):
        return merge_moments(total, block_moments(block)), None

    total = jax.jit(lambda b: jax.lax.scan(step, zero_moments((1,), jnp.float32), b)[0])(blocks)
    count, mean, variance = total.on_host()
    exact = values.astype(np.float64)
    assert count == values.size
    np.testing.assert_allclose(mean[0], exact.mean(), rtol=2e-8)
    np.testing.assert_allclose(variance[0], exact.var(ddof=1), rtol=2e-3)


def test_merging_is_the_moments_of_all_values():
    rng = np.random.default_rng(1)
    parts = [rng.uniform(size=(3, n)).astype(np.float32) for n in (5, 1, 100, 7)]
    total = zero_moments((3,), jnp.float32)
    for part in parts:
        total = merge_moments(total, block_moments(jnp.asarray(part)))
    count, mean, variance = total.on_host()
    everything = np.concatenate(parts, axis=1).astype(np.float64)
    assert count == 113
    np.testing.assert_allclose(mean, everything.mean(1), rtol=2e-7)
    np.testing.assert_allclose(variance, everything.var(1, ddof=1), rtol=2e-6)


def test_an_empty_set_changes_nothing():
    some = block_moments(jnp.asarray([[0.25, 0.5, 1.0]], jnp.float32))
    none = zero_moments((1,), jnp.float32)
    for merged in (merge_moments(some, none), merge_moments(none, some)):
        np.testing.assert_array_equal(np.stack(merged.on_host()[1:]), np.stack(some.on_host()[1:]))
        assert int(merged.count) == 3


def test_on_device_is_on_host():
    some = block_moments(jnp.asarray([[0.25, 0.5, 1.0]], jnp.float32))
    for device, host in zip(some.on_device(), some.on_host(), strict=True):
        np.testing.assert_allclose(device, host, rtol=1e-6)
