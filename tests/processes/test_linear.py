"""Isotropic, anisotropic and linear Gaussian processes and their projections, against SciPy in float64."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm
from scipy.stats import multivariate_normal, norm

import sloc
from sloc.contracts import InvalidInput, LinearGaussianChannel, namespace, overrides
from sloc.processes import (
    AnisotropicGaussian,
    AnisotropicOrnsteinUhlenbeck,
    IsotropicGaussian,
    LinearGaussian,
    OrnsteinUhlenbeck,
    Projected,
    log_snr,
)

RNG = np.random.default_rng(1)
A = RNG.normal(size=(3, 4))
C = np.eye(3) + 0.4
Q = np.diag([0.5, 1.0, 2.0, 4.0]) + 0.2
B = np.asarray([[1.0, 2.0, 0.0], [0.0, 1.0, 1.0]])
RATES = np.asarray([0.3, 1.0, 1.0, 2.5])
CASES = {
    "isotropic": (IsotropicGaussian(), lambda t: (np.eye(4), t * np.eye(4))),
    "anisotropic": (AnisotropicGaussian(Q), lambda t: (np.eye(4), t * Q)),
    "anisotropic, variances": (AnisotropicGaussian(np.diag(Q)), lambda t: (np.eye(4), t * np.diag(np.diag(Q)))),
    "linear": (LinearGaussian(A, C), lambda t: (A, t * C)),
    "linear, scalar noise": (LinearGaussian(A, 0.5), lambda t: (A, 0.5 * t * np.eye(3))),
    "OU, a rate each": (
        AnisotropicOrnsteinUhlenbeck(RATES),
        lambda t: (np.diag(np.exp(-t * RATES)), np.diag(-np.expm1(-2 * t * RATES))),
    ),
    "OU, a matrix of rates": (
        AnisotropicOrnsteinUhlenbeck(Q),
        lambda t: (expm(-t * Q), np.eye(4) - expm(-2 * t * Q)),
    ),
    "projected linear": (Projected(LinearGaussian(A, C), B), lambda t: (B @ A, t * B @ C @ B.T)),
    "projected OU": (
        Projected(OrnsteinUhlenbeck(), A),
        lambda t: (np.exp(-t) * A, (1 - np.exp(-2 * t)) * A @ A.T),
    ),
}
X = RNG.normal(size=4)


def log_density(y: np.ndarray, mean: np.ndarray, covariance: Any) -> float:
    """Return the log density of a normal law."""
    return float(multivariate_normal.logpdf(y, mean, covariance))


@pytest.mark.parametrize("case", CASES)
def test_likelihood_is_the_normal_density(case):
    process, truth = CASES[case]
    t = 0.3
    mean, covariance = truth(t)
    y = mean @ X + np.linalg.cholesky(covariance) @ RNG.normal(size=len(mean))
    log_prob = jax.jit(process.canonical().log_prob)
    found = log_prob(jnp.asarray(y, jnp.float32), jnp.asarray(X, jnp.float32), jnp.float32(t))
    np.testing.assert_allclose(found, log_density(y, mean @ X, covariance), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("case", [c for c in CASES if c != "isotropic"])
def test_matrices_are_exact_on_the_host_and_compose(case):
    process, truth = CASES[case]
    s, t = 0.2, 0.7
    for found, expected in zip(process.matrices(t), truth(t), strict=True):
        assert np.asarray(found).dtype == np.float64
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)
    root = process.noise_root(t)
    np.testing.assert_allclose(root @ root.T, truth(t)[1], rtol=1e-12, atol=1e-14)
    assert np.all(np.triu(root, 1) == 0)
    step, noise = process.kernel(s, t)
    # The forward kernel carries the law at s to the law at t.
    np.testing.assert_allclose(step @ truth(s)[0], truth(t)[0], rtol=1e-12)
    np.testing.assert_allclose(step @ truth(s)[1] @ step.T + noise @ noise.T, truth(t)[1], rtol=1e-10, atol=1e-13)


def test_isotropic_is_stochastic_localization_in_other_time():
    # Y = s Y_{1/s} has mean s x, variance s and covariance min(s, s'): the law of s x + B_s.
    process = IsotropicGaussian()
    r, q, _, sigma = process.degrade_law(np.float64(1 / 5), np.float64(1 / 2))  # precision 5, then 2
    assert 5 * sigma**2 * 5 == pytest.approx(5.0, rel=1e-14)
    assert r == 1.0
    assert 2 * 5 * r * sigma**2 == pytest.approx(2.0, rel=1e-14)
    assert 2 * 2 * (sigma**2 + q) == pytest.approx(2.0, rel=1e-14)
    np.testing.assert_allclose(process.time_of_log_snr(log_snr(process, np.asarray([0.1, 3.0]))), [0.1, 3.0])


def test_noiseless_start():
    x = jnp.asarray(X, jnp.float32)
    for case in ("linear", "OU, a rate each", "OU, a matrix of rates", "projected linear", "projected OU"):
        process, truth = CASES[case]
        y = process.canonical().sample(jax.random.key(0), x, jnp.float32(0.0))
        np.testing.assert_allclose(y, truth(0.0)[0] @ X, rtol=1e-5, atol=1e-5)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class MatrixOU(LinearGaussianChannel):
    """``dX = -M X dt + sqrt(2) dB``, ``M`` symmetric: ``A_t`` changes, the kernel is no multiple of the identity."""

    drift: Any = field(metadata={"dtype": float})

    def _parts(self, t):
        """Eigenvectors, and the eigenvalues of ``A_t`` and ``Sigma_t``."""
        xp = namespace(self.drift, t)
        m, vectors = xp.linalg.eigh(xp.asarray(self.drift))
        return vectors, xp.exp(-m * t), -xp.expm1(-2 * m * t) / m

    def matrices(self, t):
        """``(e^-tM, M^-1 (1 - e^-2tM))``."""
        vectors, signal, noise = self._parts(t)
        return (vectors * signal[None, :]) @ vectors.T, (vectors * noise[None, :]) @ vectors.T

    def kernel(self, s, t):
        """The same over ``t - s``."""
        vectors, signal, noise = self._parts(t - s)
        return (vectors * signal[None, :]) @ vectors.T, vectors * noise[None, :] ** 0.5

    def grid(self, n, log_snr=None):
        """Even in log-time."""
        return np.geomspace(0.05, 2.0, n)


DRIFT = np.asarray([[1.0, 0.3], [0.3, 0.5]])


def test_a_member_of_ones_own():
    process, s, t = MatrixOU(DRIFT), 0.2, 0.6
    signal, noise = expm(-t * DRIFT), np.linalg.solve(DRIFT, np.eye(2) - expm(-2 * t * DRIFT))
    step, root = process.kernel(s, t)
    np.testing.assert_allclose(step @ process.matrices(s)[0], signal, rtol=1e-12)
    np.testing.assert_allclose(step @ process.matrices(s)[1] @ step.T + root @ root.T, noise, rtol=1e-12)
    x, y = np.asarray([0.3, -1.0]), np.asarray([0.5, 0.1])
    log_prob = jax.jit(process.canonical().log_prob)
    value = log_prob(jnp.asarray(y, jnp.float32), jnp.asarray(x, jnp.float32), jnp.float32(t))
    np.testing.assert_allclose(value, log_density(y, signal @ x, noise), rtol=1e-5)
    np.testing.assert_allclose(
        log_snr(process, t), np.log(np.trace(np.linalg.solve(noise, signal @ signal.T)) / 2), 1e-5
    )
    assert overrides(process, sloc.ObservationProcess, "bridge")
    # Its projections are no Markov chains, so they have no forward kernel and no bridge.
    line = Projected(process, [[1.0, 2.0]])
    assert not overrides(line, sloc.ObservationProcess, "degrade")
    assert not overrides(line, sloc.ObservationProcess, "bridge")
    assert overrides(line, sloc.ObservationProcess, "log_prob")


def test_without_a_kernel_there_is_no_path():
    @jax.tree_util.register_dataclass
    @dataclass(frozen=True)
    class Bare(LinearGaussianChannel):
        def matrices(self, t):
            return jnp.eye(2), (1 + t) * jnp.eye(2)

    assert Bare().absent == {"degrade", "bridge"}
    with pytest.raises(sloc.ContractError, match="kernel"):
        Bare().degrade(jax.random.key(0), jnp.zeros(2), jnp.float32(0.1), jnp.float32(0.2))
    with pytest.raises(sloc.ContractError, match="time_of_log_snr"):
        Bare().grid(3)


def test_rates_that_are_none_are_refused():
    for rates, message in (
        ([1.0, -1.0], "positive variances|positive"),
        (np.ones((2, 3)), "rates = "),
        (1.0, r"rates \[d\]"),
    ):
        with pytest.raises(InvalidInput, match=message):
            AnisotropicOrnsteinUhlenbeck(rates).validate()


def test_windows_under_equal_rates_are_those_of_ornstein_uhlenbeck():
    two = sloc.populations.GaussianMixture([0.5, 0.5], [[1.5, 0.0], [-1.5, 0.0]])
    key, t = jax.random.key(0), 0.6
    found = [
        float(sloc.tv(key, process, two, t, 0, 1, n=4096, method="monte-carlo").value)
        for process in (OrnsteinUhlenbeck(), AnisotropicOrnsteinUhlenbeck(np.eye(2)))
    ]
    truth = 2 * norm.cdf(1.5 * np.exp(-t)) - 1
    # Half ranges by Hoeffding at 1e-10 each.
    np.testing.assert_allclose(found, truth, atol=np.sqrt(np.log(2e10) / (2 * 4096)))


@pytest.mark.slow
def test_windows_of_noised_measurements():
    # Two atoms: TV = 2 Phi(r) - 1, 2 r = |C^-1/2 A (x - x')| / sqrt t.
    data, t = RNG.normal(size=(2, 4)), 0.8
    gap = A @ (data[0] - data[1])
    truth = 2 * norm.cdf(np.sqrt(gap @ np.linalg.solve(C, gap) / t) / 2) - 1
    found = sloc.tv(jax.random.key(0), LinearGaussian(A, C), sloc.populations.Empirical(data), t, 0, 1, n=8192)
    # The interval is at level 1e-2 by default; six standard errors are missed with probability 2e-9.
    assert abs(float(found.value) - truth) < 6 * float(found.stderr) + 1e-5


def test_grid_is_even_in_log_snr():
    for case in CASES:
        process = CASES[case][0]
        steps = np.diff(log_snr(process, process.grid(9)))
        np.testing.assert_allclose(steps, -26 / 8, rtol=1e-6)


@pytest.mark.parametrize(
    ("matrix", "covariance", "message"),
    [
        (A[0], 1.0, r"matrix = \(4,\): expected a matrix of shape \[m, d\]"),
        (A * np.nan, 1.0, "matrix = .*: expected finite"),
        (0 * A, 1.0, "not zero"),
        (A, np.eye(4), "covariance = .*3 rows"),
        (A, np.ones(4), "covariance = .*3 rows"),
        (A, np.ones((3, 2)), "covariance = .*a scalar, variances"),
        (A, [1.0, -1.0, 1.0], "positive variances"),
        (A, np.eye(3) - 0.5, "positive definite"),
        (A, np.eye(3) + np.diag([0.5, 0.5], 1), "symmetric"),
        (A, np.diag([np.inf, 1.0, 1.0]), "finite"),
    ],
)
def test_bad_linear_channels_are_refused(matrix, covariance, message):
    with pytest.raises(InvalidInput, match=message):
        LinearGaussian(matrix, covariance).validate()


def test_other_bad_input_is_refused():
    with pytest.raises(InvalidInput, match=r"variances \[d\] or a matrix"):
        AnisotropicGaussian(1.0).validate()
    with pytest.raises(InvalidInput, match="Gaussian or linear Gaussian channel"):
        Projected(sloc.processes.Masking(), A).validate()
    with pytest.raises(InvalidInput, match="full row rank, 2"):
        Projected(OrnsteinUhlenbeck(), np.ones((2, 4))).validate()
    with pytest.raises(InvalidInput, match="as many rows as columns"):
        Projected(OrnsteinUhlenbeck(), A.T).validate()
    with pytest.raises(InvalidInput, match="3 columns"):
        Projected(LinearGaussian(A, C), np.ones((1, 4))).validate()
    with pytest.raises(InvalidInput, match=r"x = .*: expected an X of 4 coordinates"):
        LinearGaussian(A, C).canonical().sample(jax.random.key(0), jnp.zeros(5), jnp.float32(1.0))
    with pytest.raises(InvalidInput, match=r"x = .*: expected 4 coordinates"):
        jax.eval_shape(LinearGaussian(A, C).canonical().sample, jax.random.key(0), jnp.zeros(5), jnp.float32(1.0))
