"""``(theta', X') | Y_t`` drawn back has with ``Y_t`` the joint law of ``(theta, X, Y_t)`` (false alarm 1e-9 each)."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sloc.contracts import ContractError, LinearGaussianChannel
from sloc.populations import Empirical, GaussianMixture, MarkovChains, ProductCategorical
from sloc.populations.empirical import _draw_index
from sloc.processes import BinarySymmetric, FlowMatching, Masking, OrnsteinUhlenbeck, Truncation
from sloc.samplers.exact import draw_with_label
from sloc.testing import assert_same_law
from tests.samplers.laws import FALSE_ALARM, assert_frequencies, features, forward

N = 20_000


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Sheared(LinearGaussianChannel):
    """``Y_t = A X + t C^{1/2} Z`` with one row more than ``X`` has coordinates."""

    def matrices(self, t):
        return jnp.array([[1.0, 0.5], [0.0, 1.0], [-1.0, 0.3]]), t**2 * jnp.diag(jnp.array([0.5, 1.0, 2.0]))

    def sample(self, key, x, t):
        matrix, noise = self.matrices(t)
        return matrix @ x + jnp.linalg.cholesky(noise) @ jax.random.normal(key, (3,))


MEANS, WEIGHTS = [[0.0, 2.0], [1.5, -0.5]], [0.3, 0.7]
MATRICES = np.array([[[1.0, 0.4], [0.4, 0.7]], [[0.5, -0.2], [-0.2, 1.1]]])
BITS = np.array([[0, 0, 1], [1, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 0]], np.int32)
ROWS = np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.3, 0.7], [0.6, 0.4]]])
CASES = {
    "variances": (GaussianMixture(WEIGHTS, MEANS, [0.5, 1.5]), OrnsteinUhlenbeck(), 0.5),
    "matrices": (GaussianMixture(WEIGHTS, MEANS, MATRICES), FlowMatching(), 0.4),
    "linear, matrices": (GaussianMixture(WEIGHTS, MEANS, MATRICES), Sheared(), 0.8),
    "atoms": (Empirical(BITS, [0, 1, 0, 1, 0], WEIGHTS), BinarySymmetric(), 0.2),
    "scalar": (GaussianMixture(WEIGHTS, MEANS, 0.8), OrnsteinUhlenbeck(), 0.5),
    "matrix": (GaussianMixture(WEIGHTS, MEANS, MATRICES[0]), OrnsteinUhlenbeck(), 0.5),
    "linear, scalar": (GaussianMixture(WEIGHTS, MEANS, 0.8), Sheared(), 0.8),
    "coins": (ProductCategorical.coins([0.3, 0.8], 3, WEIGHTS), Masking(), 0.5),
    "chains": (MarkovChains([[0.5, 0.5], [0.8, 0.2]], ROWS, 3, WEIGHTS), BinarySymmetric(), 0.2),
    "chains, prefix": (MarkovChains([[0.5, 0.5], [0.8, 0.2]], ROWS, 3, WEIGHTS), Truncation(3), 2),
}
# One covariance for all is seen by the experiments, each class of process by the conformance suite.
FAST = ("linear, matrices",)


@pytest.mark.parametrize("case", [c if c in FAST else pytest.param(c, marks=pytest.mark.nightly) for c in CASES])
def test_joint_law(case):
    population, process, t = CASES[case]
    population, t = population.canonical(), jnp.asarray(t, jnp.int32 if process.discrete else jnp.float32)
    back = jax.jit(jax.vmap(draw_with_label, (0, None, None, 0, None)))
    first = forward(jax.random.key(0), process, population, t, N)
    y = forward(jax.random.key(1), process, population, t, N)[2]
    label, x = back(jax.random.split(jax.random.key(2), N), process, population, y, t)
    assert label.dtype == jnp.int32
    seen = [features(a, b, 2, *jax.tree.leaves(c)) for a, b, c in (first, (label, x, y))]
    assert_same_law(*seen, resolution=1e-5, false_alarm=FALSE_ALARM)


@pytest.mark.slow
def test_matrices_that_are_diagonal_give_the_draw_law_of_variances():
    # One law in three notations: posterior mean and covariance of X given y are compared with float64 formulas.
    variances, y, t, n = np.array([0.5, 1.5]), np.array([0.4, -0.9]), 0.7, 50_000
    a, v = np.exp(-t), 1 - np.exp(-2 * t)
    total = a**2 * variances + v
    gaps = y - a * np.asarray(MEANS)
    logs = np.log(WEIGHTS) - 0.5 * (gaps**2 / total).sum(1)
    pi = np.exp(logs - logs.max()) / np.exp(logs - logs.max()).sum()
    means = np.asarray(MEANS) + a * variances / total * gaps
    mean = pi @ means
    second = pi @ (means**2 + variances * v / total)
    for cov in (variances, np.diag(variances)):
        population = GaussianMixture(WEIGHTS, MEANS, cov).canonical()
        draw = jax.jit(jax.vmap(population.posterior_sample, (0, None, None, None)))
        keys = jax.random.split(jax.random.key(3), n)
        x = np.asarray(draw(keys, OrnsteinUhlenbeck(), jnp.asarray(y, jnp.float32), jnp.float32(t)), float)
        for values, want in ((x, mean), (x**2, second)):
            # 6.5 standard errors on each of 8 means: 6e-10 in all where they are close to normal.
            assert (np.abs(values.mean(0) - want) <= 6.5 * values.std(0) / np.sqrt(n)).all()


def test_rare_atoms_are_drawn_at_their_rate():
    logs, n = np.full(2_500, -30.0, np.float32), 1 << 17
    logs[0], logs[1_000:1_050] = 0.0, np.log(2e-5)
    index = jax.jit(jax.vmap(_draw_index, (0, None)))(jax.random.split(jax.random.key(0), n), jnp.asarray(logs))
    rare = np.asarray(index)[np.asarray(index) > 0]
    assert ((rare >= 1_000) & (rare < 1_050)).all()
    counts = np.bincount((rare - 1_000) // 10, minlength=5)
    # Poisson with mean 26 in each ten: chi-square's approximation holds, and a mistake of rows or columns does not.
    assert_frequencies(counts, np.full(5, 0.2))
    want = n * 1e-3 / 1.001
    assert abs(rare.size - want) <= 6.5 * np.sqrt(want)


def test_other_families_are_refused():
    seen = Masking().sample(jax.random.key(1), jnp.zeros(2), 0.5)
    with pytest.raises(ContractError, match="GaussianChannel or a LinearGaussianChannel"):
        GaussianMixture(WEIGHTS, MEANS).canonical().posterior_sample(
            jax.random.key(0), Masking(), seen, jnp.float32(0.5)
        )
