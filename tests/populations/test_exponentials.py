"""Powers of two by a polynomial, against float64 over the whole range of float32. Nothing is random."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from sloc.populations.exponentials import exp2, exp2_below

# Dense around the halves, where the polynomial's range ends.
POINTS = np.unique(np.concatenate([np.linspace(-140, 126.99, 400_001), np.arange(-126, 127) / 2.0]).astype(np.float32))


def test_relative_error_over_the_whole_range():
    exact = 2.0 ** np.maximum(POINTS.astype(np.float64), -126)
    for evaluate in (jax.jit(exp2_below), exp2_below):
        found = np.asarray(evaluate(jnp.asarray(POINTS)), np.float64)
        assert np.abs(found / exact - 1).max() < 2.5e-7


def test_it_is_fused_without_losing_digits():
    # A compiler that may drop an addition and its undoing would leave 2^round(y), off by up to 41 %.
    rates = jnp.asarray(np.linspace(0.1, 3, 50), jnp.float32)
    x = jnp.asarray(-np.linspace(0, 5, 200), jnp.float32)
    found = jax.jit(lambda r, x: jnp.sum(exp2(r[:, None] * x[None]), axis=1))(rates, x)
    exact = np.sum(2.0 ** (np.asarray(rates, np.float64)[:, None] * np.asarray(x, np.float64)), axis=1)
    np.testing.assert_allclose(found, exact, rtol=1e-6)


def test_ends_and_derivative():
    np.testing.assert_allclose(float(exp2_below(jnp.float32(-np.inf))), 2.0**-126, rtol=1e-6)
    assert np.isnan(float(exp2_below(jnp.float32(np.nan))))
    np.testing.assert_allclose(jax.grad(exp2_below)(jnp.float32(1.5)), np.log(2) * 2**1.5, rtol=1e-6)
    np.testing.assert_allclose(
        jax.grad(lambda y: jax.grad(exp2_below)(y))(jnp.float32(-3)), np.log(2) ** 2 / 8, rtol=1e-6
    )


def test_float64_is_numpy():
    with jax.enable_x64(True):
        y = jnp.asarray([-700.0, 0.25], jnp.float64)
        np.testing.assert_allclose(exp2(y), np.exp2([-700.0, 0.25]), rtol=1e-14)
