"""The oracles agree with one another and with numbers that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from tests.oracles import atoms, channels, mixtures


def test_two_gaussians_by_three_roads():
    a, sigma = channels.ornstein_uhlenbeck(0.7)
    line = mixtures.Line([0.3, 0.7], [-1.0, 1.5], 1.0, a, sigma)
    closed = mixtures.pair_tv(2.5, 1.0, a, sigma)
    assert closed == pytest.approx(2 * norm.cdf(1.25 * a) - 1, abs=1e-14)
    assert line.tv([0], [1]) == pytest.approx(closed, abs=1e-12)
    assert line.tv_by_quadrature([0], [1]) == pytest.approx(closed, abs=1e-6)


@pytest.mark.parametrize(("left", "right"), [([0], [1, 2, 3]), ([0, 2], [1, 3]), ([0, 1], [1, 2]), ([1], [1, 2])])
def test_roots_and_quadrature_agree_on_sets(left, right):
    line = mixtures.Line([0.1, 0.2, 0.3, 0.4], [-2.0, 0.0, 0.5, 3.0], [0.3, 1.0, 0.2, 0.5], 0.8, 0.4)
    assert line.tv(left, right) == pytest.approx(line.tv_by_quadrature(left, right), abs=1e-6)


def test_atoms_by_enumeration_match_the_power_law():
    data = np.array([[0, 0, 0, 1], [1, 1, 0, 1]])
    laws, _ = atoms.observed_laws(data, [0, 1], atoms.masking(0.3))
    assert laws.sum(1) == pytest.approx([1, 1])
    assert atoms.Finite(laws, [0.5, 0.5]).tv([0], [1]) == pytest.approx(1 - 0.3**2)


def test_line_and_atoms_agree():
    a, sigma = channels.flow_matching(0.4)
    line = mixtures.Line([0.5, 0.5], [-1.0, 1.0], 0.0, a, sigma)
    assert atoms.line_tv([-1.0, 1.0], [0, 1], a, sigma, 0, 1) == pytest.approx(line.tv([0], [1]), abs=1e-6)
