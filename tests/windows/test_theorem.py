"""Theorem 2, the certificate and its closed forms, against quadrature.

False-alarm rate: bands at delta = 1e-9, fewer than 10 curves: 1e-8.
"""

from __future__ import annotations

import jax
import numpy as np
import pytest

import sloc
from sloc.populations import Empirical, GaussianMixture, ProductCategorical
from sloc.processes import Masking, OrnsteinUhlenbeck, Truncation
from sloc.windows import hellinger_bound
from tests.oracles import atoms, channels, mixtures

KEY = jax.random.key(2)
W, M, V = [0.2, 0.3, 0.5], [-9.0, -7.5, 9.0], [0.05, 0.1, 0.2]
TIMES = np.linspace(0.05, 4.0, 40)


@pytest.fixture(scope="module")
def line():
    population = GaussianMixture(W, np.reshape(M, (3, 1)), np.reshape(V, (3, 1, 1)))
    found = sloc.theorem2(
        KEY, OrnsteinUhlenbeck(), population, 0, [0, 1], epsilon=0.15, times=TIMES, n=1 << 15, delta=1e-9
    )
    truth = [mixtures.Line(W, M, V, *channels.ornstein_uhlenbeck(t)) for t in TIMES]
    return found, truth


def test_edges_contain_the_exact_ones(line):
    found, _ = line

    def at(t):
        return mixtures.Line(W, M, V, *channels.ornstein_uhlenbeck(t))

    assert found.resolved
    low, high = found.end_interval
    assert at(low).tv([0], [0, 1]) >= 0.15 - 1e-6 >= at(high).tv([0], [0, 1]) - 2e-6
    low, high = found.start_interval
    assert at(low).tv([0, 1], [2]) >= 1 - 0.15**2 - 1e-6 >= at(high).tv([0, 1], [2]) - 2e-6


def test_certificate_is_its_formula_and_never_above_the_theorem(line):
    found, truth = line
    exact = np.array([law.certificate([0], [0, 1]) for law in truth])
    assert np.all((found.certificate.lower <= exact + 1e-6) & (exact <= found.certificate.upper + 1e-6))
    inside = (found.end_interval[1] <= TIMES) & (found.start_interval[0] >= TIMES)
    assert inside.any()
    assert exact[inside].max() <= found.sharp_bound <= found.bound
    assert found.bound == pytest.approx(0.15 * (1 + 1 / np.sqrt(2)))
    # Falls, then rises: never to be bisected.
    assert np.diff(exact).min() < -1e-3
    assert np.diff(exact).max() > 1e-3


def test_misassignment_lies_between_its_closed_forms(line):
    found, truth = line
    alpha = np.array([1 - law.tv([0, 1], [2]) for law in truth])
    loss = np.array([law.misassignment([0, 1]) for law in truth])
    ratio = 0.5 / 0.5
    assert np.all(0.5 * min(1, ratio) * alpha <= loss + 1e-6)
    assert np.all(loss <= max(1, ratio) * (alpha - alpha**2 / 2) + 1e-6)
    assert np.all((found.misassignment.lower <= loss + 1e-6) & (loss <= found.misassignment.upper + 1e-6))
    assert np.all(found.hellinger.value >= loss - 1e-6)


def test_label_laws_bound_the_certificate_from_below(line):
    _, truth = line
    target = np.array([0.2, 0.3, 0.0]) / 0.5
    for law in truth:
        assert 0.5 * np.abs(law.labels([0]) - target).sum() <= law.certificate([0], [0, 1]) + 1e-6


def test_empty_where_the_theorem_says_nothing():
    population = GaussianMixture([0.25, 0.25, 0.5], [[-2.0], [0.0], [2.0]], 0.05)
    found = sloc.theorem2(KEY, OrnsteinUhlenbeck(), population, 0, [0, 1], epsilon=0.3, n=1 << 15, delta=1e-9)
    assert found.status_end == found.status_start == "empty"


def test_whole_population_as_target_is_never_lost():
    found = sloc.theorem2(
        KEY, OrnsteinUhlenbeck(), GaussianMixture([0.5, 0.5], [[2.0], [-2.0]]), 0, [0, 1], epsilon=0.1, n=2048
    )
    assert (found.t_start, found.status_start) == (None, "above_grid")
    assert found.t_end == pytest.approx(np.log(2 / 0.2533471031357997), abs=1e-9)
    np.testing.assert_array_equal(found.hellinger.value, 0)


def test_affinity_bound_of_atoms_and_coins():
    x = np.array([[0, 0, 0], [1, 1, 0], [0, 1, 1]])
    w = np.array([0.2, 0.3, 0.5])
    times = [0.1, 0.5, 0.9]
    bound = hellinger_bound(Masking(), Empirical(x, None, w), [0, 2], times).value
    loss = [
        atoms.Finite(atoms.observed_laws(x, [0, 1, 2], atoms.masking(t))[0], w).misassignment([0, 2]) for t in times
    ]
    assert np.all(bound >= np.array(loss) - 1e-12)
    # By hand at t: (sqrt(.2 .3) t^2 + sqrt(.3 .5) t^2) / (2 * .7); every pair differs in two places.
    np.testing.assert_allclose(bound, [(np.sqrt(0.06) + np.sqrt(0.15)) * t**2 / 1.4 for t in times], rtol=1e-6)
    coins = ProductCategorical.coins([0.6, 0.4], 5)
    bc = 2 * np.sqrt(0.24)
    np.testing.assert_allclose(
        hellinger_bound(Truncation(5), coins, 0, [0, 3]).value, [bc**5 / 2, bc**2 / 2], rtol=1e-6
    )


def test_no_affinities_no_bound():
    atoms_of_two = Empirical([[0, 1], [1, 1], [0, 0]], [0, 0, 1])
    assert hellinger_bound(Masking(), atoms_of_two, 0, [0.5]) is None
