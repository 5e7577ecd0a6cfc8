"""Euler–Maruyama against its own exact law for a Gaussian population, and its pieces against closed forms."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sloc
from sloc.contracts import ContractError, InvalidInput
from sloc.populations import Empirical, GaussianMixture, ProductCategorical
from sloc.processes import FlowMatching, Masking, OrnsteinUhlenbeck, VarianceExploding
from sloc.samplers import euler_reverse, mixture_score
from sloc.samplers.euler import rates

RATES = {
    "OrnsteinUhlenbeck": (OrnsteinUhlenbeck(), lambda t: (-1.0, 2.0)),
    "VarianceExploding": (VarianceExploding(), lambda t: (0.0, 2 * t)),
    "FlowMatching": (FlowMatching(), lambda t: (-1 / (1 - t), 2 * t / (1 - t))),
}
# Two names for one Gaussian: the reverse diffusion is then linear, and Euler's law is Gaussian with known moments.
MEAN, VARIANCES = np.array([1.0, -2.0]), np.array([0.5, 2.0])
GAUSSIAN = GaussianMixture([0.4, 0.6], [MEAN, MEAN], VARIANCES)


def recursion(process, forward, grid):
    """Mean and variance of the sample, float64: Euler's steps and Tweedie's last one are affine in ``y``."""
    a, sigma = (np.asarray(v, float) for v in process.coefficients(np.asarray(grid, float)))
    mean, variance = a[-1] * MEAN, a[-1] ** 2 * VARIANCES + sigma[-1] ** 2
    for i in range(len(grid) - 1, 0, -1):
        f, g2 = forward(grid[i])
        h, v = grid[i] - grid[i - 1], a[i] ** 2 * VARIANCES + sigma[i] ** 2
        slope = 1 - h * f - h * g2 / v
        mean, variance = slope * mean + h * g2 / v * a[i] * MEAN, slope**2 * variance + h * g2
    v = a[0] ** 2 * VARIANCES + sigma[0] ** 2
    share = (1 - sigma[0] ** 2 / v) / a[0]
    return share * mean + sigma[0] ** 2 / v * MEAN, share**2 * variance


@pytest.mark.parametrize(
    "name", ["OrnsteinUhlenbeck", *(pytest.param(n, marks=pytest.mark.slow) for n in list(RATES)[1:])]
)
def test_euler_has_the_law_of_its_own_recursion(name):
    process, forward = RATES[name]
    # Coarse on purpose: the error of Euler must be seen, not only the limit.
    fine, n = np.array([0.1, 0.2, 0.35, 0.5, 0.7, 0.9]), 20_480
    localizer = euler_reverse(process, GAUSSIAN, fine)
    x = sloc.localize(jax.random.key(0), process, GAUSSIAN, grid=[0.1, 0.5, 0.9], n=n, localizer=localizer)
    mean, variance = recursion(process, forward, fine)
    # 6.5 standard errors on two means and two variances of Gaussian draws: 4e-10 in all.
    assert (np.abs(x.mean(0) - mean) <= 6.5 * np.sqrt(variance / n)).all()
    assert (np.abs(x.var(0, ddof=1) / variance - 1) <= 6.5 * np.sqrt(2 / n)).all()


@pytest.mark.parametrize("name", RATES)
def test_rates_of_the_forward_process(name):
    process, forward = RATES[name]
    for t in (0.05, 0.4, 0.9):
        f, g2, a, variance = rates(process, jnp.float32(t))
        np.testing.assert_allclose((f, g2), forward(t), rtol=3e-6, atol=1e-6)
        np.testing.assert_allclose((a, np.sqrt(variance)), process.coefficients(t), rtol=3e-6)


def score_by_differences(log_density, y):
    """Central differences in float64."""
    steps = 1e-5 * np.eye(len(y))
    return np.array([(log_density(y + e) - log_density(y - e)) / 2e-5 for e in steps])


def test_scores_match_differences_of_the_log_density():
    rng = np.random.default_rng(0)
    a, sigma = (float(v) for v in OrnsteinUhlenbeck().coefficients(0.3))
    means, weights, y = rng.normal(size=(3, 2)) * 2, np.array([0.2, 0.5, 0.3]), np.array([0.4, -0.7])

    def log_density(y, centres, share, covariance):
        total = a**2 * covariance + sigma**2 * np.eye(2)
        gaps = y - a * centres
        return np.logaddexp.reduce(np.log(share) - 0.5 * np.einsum("ki,ij,kj->k", gaps, np.linalg.inv(total), gaps))

    full = np.array([[1.0, 0.4], [0.4, 0.7]])
    populations = [
        (GaussianMixture(weights, means, 0.6), means, weights, 0.6 * np.eye(2)),
        (GaussianMixture(weights, means, np.diag(full)), means, weights, np.diag(np.diag(full))),
        (GaussianMixture(weights, means, full), means, weights, full),
        (Empirical(means, [0, 1, 1]), means, np.full(3, 1 / 3), np.zeros((2, 2))),
    ]
    for population, centres, share, covariance in populations:
        found = jax.jit(mixture_score)(
            OrnsteinUhlenbeck(), population.canonical(), jnp.asarray(y, jnp.float32), jnp.float32(0.3)
        )
        want = score_by_differences(lambda y, c=centres, s=share, v=covariance: log_density(y, c, s, v), y)
        np.testing.assert_allclose(found, want, rtol=2e-5, atol=2e-5)


def test_other_processes_and_the_end_of_the_signal_are_refused():
    with pytest.raises(ContractError, match="expects a GaussianChannel"):
        euler_reverse(Masking(), ProductCategorical.coins([0.3, 0.6], 2))
    with pytest.raises(InvalidInput, match="some signal is left"):
        euler_reverse(FlowMatching(), GAUSSIAN, [0.5, 1.0])
    with pytest.raises(InvalidInput, match="some signal is left"):
        sloc.localize(
            jax.random.key(0),
            FlowMatching(),
            GAUSSIAN,
            grid=[0.5, 1.0],
            localizer=euler_reverse(FlowMatching(), GAUSSIAN),
        )
