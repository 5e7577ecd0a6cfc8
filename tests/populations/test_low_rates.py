"""Sums at low rates from a few: the definition in float64, the stated error, and refusal where it cannot be kept."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sloc.populations import low_rates
from sloc.populations.low_rates import NODES, LowRates

CHUNKS = (3, 8)


def problem(spread, seed=0, atoms=180, draws=40):
    rng = np.random.default_rng(seed)
    half = -rng.normal(60.0, 2.0 * spread, size=(atoms, draws))
    return half, rng.normal(3.0, spread, size=(atoms, draws))


def interpolate(half, cross, rates, spread):
    half, cross = (jnp.asarray(x, jnp.float32) for x in (half, cross))
    rates = jnp.asarray(rates, jnp.float32)

    def sums(linear, square, level):
        exponents = square[:, None, None] * half[None] - linear[:, None, None] * cross[None]
        return jnp.sum(jnp.exp(exponents - level[:, None]), axis=1)

    means = jnp.mean(half, axis=0), jnp.mean(cross, axis=0)
    low = LowRates.of(rates.reshape(CHUNKS), *means, jnp.float32(half.shape[0]), jnp.float32(spread**2))
    excess, exact = low.excess(sums, lambda: jnp.max(jnp.abs(half - means[0][None])))
    return low, exact, low.interpolated(excess, rates)


@pytest.mark.parametrize("spread", [0.5, 2.0, 4.5])
def test_interpolated_sums_are_the_definition(spread):
    half, cross = problem(spread)
    rates = np.geomspace(min(0.3 / spread, 0.15), 1e-3, 24)
    low, exact, found = interpolate(half, cross, rates, spread)
    assert np.asarray(exact).all()
    assert float(low.top) == pytest.approx(rates[0], rel=1e-6)
    expected = np.log(np.exp(rates[:, None, None] ** 2 * half - rates[:, None, None] * cross).sum(axis=1))
    np.testing.assert_allclose(np.asarray(found), expected, rtol=0, atol=2e-6)


def test_the_bound_of_the_error_is_one():
    # In float64 the node sums are exact to 1e-15, so that what is left is the interpolation's error alone.
    half, cross = problem(4.5)
    points = 0.05 * low_rates._POINTS
    centred_half, centred_cross = half - half.mean(axis=0), cross - cross.mean(axis=0)

    def mean_exp(r, square):
        return np.exp(square[:, None, None] * centred_half - r[:, None, None] * centred_cross).mean(axis=1)

    between = np.linspace(1e-4, 0.05, 301)
    with jax.enable_x64():
        weights = np.asarray(low_rates._weights(jnp.asarray(between / 0.05)))
    found = 1.0 + weights @ (mean_exp(points[1:], points[1:] ** 2) - 1.0)
    error = np.abs(found - mean_exp(between, between**2)).max()
    ends = 0.05 * low_rates._ENDS
    growth = mean_exp(ends, np.zeros(2)).max() * np.exp(np.abs(centred_half).max() * ends[1] ** 2)
    bound = growth * 4.0 * low_rates._RHO**-NODES / (low_rates._RHO - 1.0)
    assert 1e-16 < error <= bound


def test_rates_at_which_much_is_told_apart_are_left_out():
    half, cross = problem(4.5)
    low, exact, _ = interpolate(half, cross, np.geomspace(1.0, 1e-4, 24), 4.5)
    np.testing.assert_array_equal(np.asarray(low.tried), [False, True, True])
    np.testing.assert_array_equal(np.asarray(exact), [False, True, True])


def test_a_chunk_that_saves_nothing_is_not_tried():
    half, cross = problem(4.5)
    low, exact, _ = interpolate(half, cross, np.geomspace(40.0, 1e-3, 24), 4.5)
    assert not np.asarray(low.tried).any()
    assert not np.asarray(exact).any()


def test_a_spread_that_promises_too_much_is_found_out():
    half, cross = problem(60.0)
    _, exact, _ = interpolate(half, cross, np.geomspace(0.5, 1e-3, 24), 0.5)
    assert not np.asarray(exact).any()


def test_squares_that_swing_are_found_out():
    # Constant noise products and squares that vary: real sums at both ends say nothing of the growth between.
    half, _ = problem(0.1)
    half[0] -= 5e3
    _, exact, _ = interpolate(half, np.full_like(half, 3.0), np.geomspace(0.1, 1e-3, 24), 0.1)
    assert not np.asarray(exact).any()


def test_weights_reproduce_polynomials_and_their_own_points():
    x = jnp.asarray([*low_rates._POINTS[1:], 1e-4, 0.3, 0.77], jnp.float32)
    weights = np.asarray(low_rates._weights(x), np.float64)
    np.testing.assert_array_equal(weights[:NODES], np.eye(NODES))
    for power in (1, 4, NODES):
        np.testing.assert_allclose(weights @ low_rates._POINTS[1:] ** power, np.asarray(x) ** power, atol=2e-6)
