"""The worked examples of Li, Karan & Chen 2025 with their exact answers, to the digits shown."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

import sloc
from sloc.populations import Empirical, GaussianMixture, ProductCategorical
from sloc.processes import Masking, OrnsteinUhlenbeck, Truncation
from tests.oracles import channels, mixtures

KEY = jax.random.key(0)


def two_gaussians(weights=(0.5, 0.5), norm_of_mean=4.0, d=3):
    mean = np.zeros(d)
    mean[-1] = norm_of_mean
    return GaussianMixture(weights, np.stack([mean, -mean]), 1.0, ("plus", "minus"))


def test_example_1_two_gaussians():
    window = sloc.critical_window(KEY, OrnsteinUhlenbeck(), two_gaussians(), "plus", ["plus", "minus"], epsilon=0.1)
    assert round(window.t_after, 4) == 0.4401
    assert round(window.t_before, 4) == 2.7593
    assert window.status_after == window.status_before == "resolved"
    assert window.draws == 0
    assert window.t_after == pytest.approx(np.log(4 / -norm.ppf(0.1**2 / 2)), abs=1e-11)


@pytest.mark.parametrize("w", [0.2, 0.7])
def test_example_1_other_weights(w):
    window = sloc.critical_window(KEY, OrnsteinUhlenbeck(), two_gaussians((w, 1 - w)), 0, [0, 1], epsilon=0.1)
    assert window.t_before == pytest.approx(np.log(4 / norm.ppf(0.5 + 0.1 / (2 * (1 - w)))), abs=1e-10)


@pytest.mark.parametrize("d", [1, 3])
def test_example_1_edge_of_the_posterior_mass(d):
    # E[1 - pi] = epsilon at .9858: the edge that the published proof bounds.
    def loss(t):
        return mixtures.Line([0.5, 0.5], [4.0, -4.0], 1.0, *channels.ornstein_uhlenbeck(t)).misassignment([0])

    edge = brentq(lambda t: loss(t) - 0.1, 0.5, 2.0)
    assert round(edge, 4) == 0.9858
    times = np.linspace(0.9, 1.1, 21)
    curve = sloc.measure(
        KEY, OrnsteinUhlenbeck(), two_gaussians(d=d), times, {"loss": sloc.Misassignment(0)}, n=1 << 20, delta=1e-10
    )["loss"]
    # A miss of either band has probability below 1e-10.
    assert curve.lower[np.searchsorted(times, edge)] > 0.09
    assert times[curve.upper < 0.1].max() < edge < times[curve.lower > 0.1].min()
    assert np.interp(0.1, curve.value, times) == pytest.approx(edge, abs=2e-3)


@pytest.mark.parametrize(
    ("w", "before", "status"),
    [(0.5, 0.8**0.1, "resolved"), (0.3, (1 - 0.1 / 0.7) ** 0.1, "resolved"), (0.95, 0.0, "inverted")],
)
def test_example_3_two_atoms_under_masking(w, before, status):
    x = np.zeros((2, 13), int)
    x[1, :10] = 1
    window = sloc.critical_window(KEY, Masking(), Empirical(x, ["a", "b"], [w, 1 - w]), "a", ["a", "b"], epsilon=0.1)
    assert round(window.t_after, 3) == 0.631
    assert window.t_after == pytest.approx(0.1 ** (2 / 10), abs=1e-11)
    assert window.t_before == pytest.approx(before, abs=1e-11)
    assert window.status_after == window.status_before == status


@pytest.mark.parametrize("w", [0.5, 0.3, 0.95])
def test_example_3_posterior_mass_of_two_atoms(w):
    x = np.zeros((2, 10), int)
    x[1] = 1
    times = np.array([0.5, 0.8, 0.95])
    curve = sloc.measure(
        KEY, Masking(), Empirical(x, [0, 1], [w, 1 - w]), times, {"loss": sloc.Misassignment(0)}, n=1 << 16, delta=1e-10
    )["loss"]
    truth = (1 - w) * times**10
    assert np.all((curve.lower <= truth) & (truth <= curve.upper))


@pytest.mark.parametrize(
    ("delta", "epsilon", "length", "n_after", "n_before"),
    [(0.05, 0.05, 2000, 909, None), (0.004, 0.01, 300_000, 236_503, 10)],
)
def test_example_5_coins_under_truncation(delta, epsilon, length, n_after, n_before):
    coins = ProductCategorical.coins([0.5 + delta, 0.5 - delta], length)
    window = sloc.critical_window(KEY, Truncation(length), coins, 0, [0, 1], epsilon=epsilon)
    assert length - window.t_after == n_after
    if n_before is not None:
        # T_before of the definition compares with the whole, twice as close: TV(+, -) <= 2 epsilon.
        pair = sloc.tv_curve(KEY, Truncation(length), coins, length - np.arange(15)[::-1], 0, 1, n=2)
        kept = length - pair.times
        assert kept[pair.value <= 2 * epsilon].max() == length - window.t_before
        assert n_before in (length - window.t_before, kept[pair.value <= epsilon].max())


def test_closed_forms_are_not_spoiled_by_float32_parameters():
    coins = ProductCategorical.coins([0.504, 0.496], 300_000)
    curve = sloc.tv_curve(KEY, Truncation(300_000), coins, [300_000 - 236_503], 0, 1, n=2, method="closed-form")
    from scipy.stats import binom

    half = np.floor(236_503 / 2)
    assert curve.value[0] == pytest.approx(binom.cdf(half, 236_503, 0.496) - binom.cdf(half, 236_503, 0.504), abs=1e-13)
    assert curve.value[0] >= 1 - 1e-4
    gaussians = GaussianMixture([0.1, 0.9], [[0.1], [0.3]], 0.7)
    value = sloc.tv_curve(KEY, OrnsteinUhlenbeck(), gaussians, [0.3], 0, [0, 1], n=2).value[0]
    a, sigma = channels.ornstein_uhlenbeck(0.3)
    assert value == pytest.approx(0.9 * mixtures.pair_tv(0.2, 0.7, a, sigma), abs=1e-14)


@pytest.mark.parametrize("method", ["auto", "monte-carlo"])
def test_theorem_2_says_what_the_paper_prints(method):
    window = sloc.theorem2(
        KEY, OrnsteinUhlenbeck(), two_gaussians((0.25, 0.75)), 0, 0, epsilon=0.1, n=4096, method=method
    )
    assert window.bound == pytest.approx(0.1 * (1 + 3 / np.sqrt(2)))
    assert window.sharp_bound == pytest.approx(0.1 + 3 * (0.01 - 0.0001 / 2))
    assert window.t_end == 0.0


def test_two_noised_atoms_have_a_closed_form() -> None:
    """``2 Phi(a d / 2 sigma) - 1``, exact at t = 0 too (as a limit: t itself must be above 0 on atoms)."""
    data = np.array([[0.0, 0.0], [3.0, 4.0]])
    pair = sloc.populations.Empirical(data)
    process = sloc.processes.FlowMatching()
    found = sloc.tv_curve(jax.random.key(0), process, pair, [0.25, 0.5, 0.75], 0, 1, n=2)
    assert found.method == "exact"
    a, sigma = np.array([0.75, 0.5, 0.25]), np.array([0.25, 0.5, 0.75])
    np.testing.assert_allclose(found.value, 2 * norm.cdf(a * 5 / (2 * sigma)) - 1, rtol=1e-12)
    window = sloc.critical_window(jax.random.key(0), process, pair, 0, [0, 1], epsilon=0.1)
    assert window.resolved
    assert window.method == "exact"
