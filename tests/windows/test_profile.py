"""The information profile: densities integrate to the information, intervals follow from the band."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.special import xlogy
from scipy.stats import entropy, norm

import sloc
from sloc.windows import decided_between, information_density, information_window
from tests.populations.enumeration import markov_pmf

TIMES = np.linspace(0.2, 4.0, 40)


@pytest.fixture(scope="module")
def curve() -> sloc.Curve:
    mixture = sloc.populations.GaussianMixture([0.5, 0.5], np.array([[3.0], [-3.0]]))
    return sloc.information_curve(
        jax.random.key(0), sloc.processes.OrnsteinUhlenbeck(), mixture, TIMES, n=32_768, delta=1e-9
    )


def exact(t: float) -> float:
    """``1 - E h(pi)`` for two unit Gaussians at ``+-3 e^-t``, by quadrature in float64."""
    m = 3 * np.exp(-t)
    y = np.linspace(-m - 9, m + 9, 20001)
    p, q = norm.pdf(y, m), norm.pdf(y, -m)
    pi = p / (p + q)
    h = -(xlogy(pi, pi) + xlogy(1 - pi, 1 - pi)) / np.log(2)
    return 1 - float(np.trapezoid((p + q) / 2 * h, y))


def test_density_integrates_to_the_information(curve: sloc.Curve) -> None:
    density = information_density(curve)
    assert density.times.shape == (39,)
    np.testing.assert_allclose((density.value * np.diff(TIMES)).sum(), curve.value[0] - curve.value[-1], rtol=1e-9)
    assert (density.lower <= density.value).all()
    assert (density.value <= density.upper + 1e-12).all()
    # False alarm 1e-9, the band's level, for all tests of this curve at once.
    truth = -np.diff([exact(t) for t in TIMES]) / np.diff(TIMES)
    assert (density.lower <= truth).all()
    assert (truth <= density.upper).all()


@pytest.mark.parametrize(("low", "high"), [(0.5, 2.0), (TIMES[3], TIMES[30]), (1.0, 1.1)])
def test_bits_between_two_levels(curve: sloc.Curve, low: float, high: float) -> None:
    # False alarm 1e-9, the band's level.
    found = decided_between(curve, low, high)
    truth = exact(low) - exact(high)
    assert found.lower <= truth <= found.upper
    assert abs(found.value - truth) < 0.02


def test_window_holds_its_share(curve: sloc.Curve) -> None:
    window = information_window(curve, 0.8, total=1.0)
    assert window.resolved
    assert abs(exact(window.t_after) - 0.9) < 0.01
    assert abs(exact(window.t_before) - 0.1) < 0.01
    for interval, bits in ((window.after_interval, 0.9), (window.before_interval, 0.1)):
        root = brentq(lambda t, bits=bits: exact(t) - bits, TIMES[0], TIMES[-1])
        assert interval[0] <= root <= interval[1]
    wide, narrow = information_window(curve, 0.9, total=1.0), information_window(curve, 0.5, total=1.0)
    assert wide.t_after < narrow.t_after < narrow.t_before < wide.t_before


def test_per_token_information_of_a_sequence() -> None:
    # Token 3 of 6 alone tells the two apart: one bit, decided in one step.
    probs = np.full((2, 6, 2), 0.5)
    probs[0, 3], probs[1, 3] = (1.0, 0.0), (0.0, 1.0)
    population = sloc.populations.ProductCategorical(probs, [0.5, 0.5])
    curve = sloc.information_curve(jax.random.key(0), sloc.processes.Truncation(6), population, range(7), n=2048)
    np.testing.assert_allclose(information_density(curve).value, [0, 0, 1, 0, 0, 0], atol=1e-6)


@pytest.mark.slow
def test_per_token_information_of_chains_against_enumeration() -> None:
    # False alarm 1e-9, the band's level.
    length, w = 5, np.array([0.3, 0.7])
    initial = np.array([[0.5, 0.5], [0.8, 0.2]])
    transitions = np.array([[[0.9, 0.1], [0.2, 0.8]], [[0.3, 0.7], [0.6, 0.4]]])
    population = sloc.populations.MarkovChains(initial, transitions, length, w)
    process = sloc.processes.Truncation(length)
    curve = sloc.information_curve(
        jax.random.key(0), process, population, range(length + 1), n=32_768, delta=1e-9, method="monte-carlo"
    )

    def bits(seen: int) -> float:
        if seen == 0:
            return 0.0
        joint = w[:, None] * markov_pmf(initial, transitions, seen)
        posterior = joint / joint.sum(0)
        return float(entropy(w, base=2) - (joint.sum(0) * entropy(posterior, base=2, axis=0)).sum())

    # At time t the first length - t tokens are seen: one step of the curve is one token's information.
    truth = np.array([bits(length - t) - bits(length - t - 1) for t in range(length)])
    density = information_density(curve)
    assert (density.lower <= truth + 1e-6).all()
    assert (truth - 1e-6 <= density.upper).all()
    np.testing.assert_allclose(density.value, truth, atol=0.01)
    assert truth.min() > 0.01


@pytest.mark.parametrize(("low", "high"), [(2.0, 1.0), (0.1, 1.0), (1.0, 9.0)])
def test_levels_out_of_order_or_range(curve: sloc.Curve, low: float, high: float) -> None:
    with pytest.raises(sloc.InvalidInput, match="low, high"):
        decided_between(curve, low, high)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5])
def test_bad_share(curve: sloc.Curve, share: float) -> None:
    with pytest.raises(sloc.InvalidInput, match="share"):
        information_window(curve, share)
