"""Gaussian channels: closed-form coefficients, inverse in log-SNR, kernels without cancellation."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sloc.processes import FlowMatching, OrnsteinUhlenbeck, VarianceExploding

CHANNELS = [OrnsteinUhlenbeck(), VarianceExploding(), FlowMatching()]


def test_coefficients_closed_form():
    t = np.asarray([1e-9, 0.1, 0.7])
    a, sigma = OrnsteinUhlenbeck().coefficients(t)
    np.testing.assert_allclose(a, np.exp(-t), rtol=1e-15)
    np.testing.assert_allclose(sigma[0], np.sqrt(2e-9), rtol=1e-8)
    np.testing.assert_allclose(a**2 + sigma**2, 1.0, rtol=1e-15)
    np.testing.assert_array_equal(VarianceExploding().coefficients(t), [np.ones(3), t])
    np.testing.assert_array_equal(FlowMatching().coefficients(t), [1 - t, t])


@pytest.mark.parametrize("process", CHANNELS, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize("t", [0.5, np.float32(0.5), np.asarray(0.5, np.float32), np.asarray([0.25, 0.5])])
def test_coefficients_are_float64_on_the_host(process, t):
    for value in process.coefficients(t):
        assert not isinstance(value, jax.Array)
        assert np.asarray(value).dtype == np.float64
        assert np.shape(value) == np.shape(t)


@pytest.mark.parametrize("process", CHANNELS, ids=lambda p: type(p).__name__)
def test_coefficients_keep_the_working_precision_on_the_device(process):
    for value in jax.jit(process.coefficients)(jnp.float32(0.5)):
        assert value.dtype == jnp.float32


@pytest.mark.parametrize("process", CHANNELS, ids=lambda p: type(p).__name__)
def test_time_of_log_snr_inverts(process):
    wanted = np.linspace(-30.0, 30.0, 25)
    a, sigma = process.coefficients(process.time_of_log_snr(wanted))
    # Flow matching keeps 1 - t, which has lost digits when t is within 1e-7 of 1.
    np.testing.assert_allclose(2 * np.log(a / sigma), wanted, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("process", CHANNELS, ids=lambda p: type(p).__name__)
def test_time_of_log_snr_at_extremes(process):
    t = process.time_of_log_snr(np.asarray([700.0, -700.0]))
    assert np.all(np.isfinite(t))
    assert 0 < t[0] < 1e-150
    assert t[1] <= process.horizon
    assert process.time_of_log_snr(jnp.float32(80.0)) > 0


@pytest.mark.parametrize("process", CHANNELS, ids=lambda p: type(p).__name__)
def test_grid_is_even_in_log_snr(process):
    t = process.grid(13)
    a, sigma = process.coefficients(t)
    assert t.dtype == np.float64
    np.testing.assert_allclose(np.diff(2 * np.log(a / sigma)), -26.0 / 12, rtol=1e-9)


@pytest.mark.parametrize("process", CHANNELS, ids=lambda p: type(p).__name__)
@pytest.mark.parametrize(("s", "t"), [(0.3, 0.300001), (1e-4, 0.9), (0.2, 0.7)])
def test_kernel_composes_to_the_later_marginal(process, s, t):
    # a_t = r a_s and sigma_t^2 = r^2 sigma_s^2 + q, in float64 from the coefficients.
    r, q, a_s, sigma_s = process.degrade_law(np.float64(s), np.float64(t))
    a_t, sigma_t = process.coefficients(t)
    np.testing.assert_allclose(r * a_s, a_t, rtol=1e-12)
    np.testing.assert_allclose(sigma_t**2 - (r * sigma_s) ** 2, q, rtol=1e-9, atol=1e-15)
    single = process.degrade_law(jnp.float32(s), jnp.float32(t))[1]
    exact = process.degrade_law(np.float64(np.float32(s)), np.float64(np.float32(t)))[1]
    np.testing.assert_allclose(single, exact, rtol=1e-5)


def test_flow_matching_at_the_horizon():
    process, y = FlowMatching(), jnp.asarray([0.5, -2.0])
    np.testing.assert_array_equal(process.degrade(jax.random.key(0), y, jnp.float32(1.0), jnp.float32(1.0)), y)
    assert np.all(np.isfinite(process.degrade(jax.random.key(0), y, jnp.float32(0.5), jnp.float32(1.0))))


@pytest.mark.parametrize("process", CHANNELS, ids=lambda p: type(p).__name__)
def test_bridge_to_zero_is_x(process):
    x, y = jnp.asarray([1.0, 2.0, -3.0]), jnp.asarray([0.3, 0.1, 0.2])
    back = process.bridge(jax.random.key(1), y, x, jnp.float32(0.0), jnp.float32(0.5))
    np.testing.assert_allclose(back, x, rtol=1e-6)


def test_log_prob_is_the_normal_density():
    from scipy.stats import norm

    x, y = np.asarray([0.5, -1.0]), np.asarray([0.2, 0.4])
    t = 0.8
    expected = norm.logpdf(y, np.exp(-t) * x, np.sqrt(1 - np.exp(-2 * t))).sum()
    found = OrnsteinUhlenbeck().log_prob(jnp.asarray(y, jnp.float32), jnp.asarray(x, jnp.float32), jnp.float32(t))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_one_key_shares_the_noise():
    process, x = VarianceExploding(), jnp.arange(4.0)
    one = process.sample(jax.random.key(3), x, jnp.float32(1.0)) - x
    two = process.sample(jax.random.key(3), x, jnp.float32(2.0)) - x
    np.testing.assert_allclose(two, 2 * one, rtol=1e-5)
