"""The statistical assertions: exact levels where they are stated, and power to fail.

With fixed seeds nothing here is random; the assertions' own false-alarm rates are 1e-9.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, hypergeom

from sloc.contracts import InvalidInput
from sloc.testing import ConformanceError, assert_means_equal, assert_probability_calibrated, assert_same_law
from sloc.testing.pvalues import calibration_p_values, mean_p_value, same_law

RNG = np.random.default_rng(7)


def test_means_equal():
    a, b = RNG.random(5000), RNG.random(5000)
    assert_means_equal(a, 0.5, bounds=(0, 1))
    assert_means_equal(a, b, bounds=(0, 1))
    assert_means_equal(a, b[:900], bounds=(0, 1))
    assert_means_equal(RNG.normal(size=4000), 0.0)
    for second, bounds in ((0.45, (0, 1)), (0.8 * b, (0, 1)), (0.7 * b[:1900], (0, 1)), (0.45, None), (0.7 * b, None)):
        with pytest.raises(ConformanceError, match=r"the means: .* p = .* < 1e-09"):
            assert_means_equal(a, second, bounds=bounds)
    with pytest.raises(ConformanceError):
        assert_means_equal(np.full(10, np.nan), 0.0)


def test_constant_draws():
    assert_means_equal(np.ones(5), 1.0)
    with pytest.raises(ConformanceError):
        assert_means_equal(np.ones(5), 0.9)


def test_same_law():
    a, b = RNG.normal(size=4000), RNG.normal(size=4000)
    assert_same_law(a, b)
    assert_same_law(a, b[:500])
    assert_same_law(np.stack([a, a > 0], 1), np.stack([b, b > 0], 1))
    assert_same_law(RNG.integers(0, 3, 3000), RNG.integers(0, 3, 3000))
    for other in (b + 0.3, 1.3 * b, np.where(RNG.random(4000) < 0.03, 9.0, b)):
        with pytest.raises(ConformanceError, match="the laws differ"):
            assert_same_law(a, other)
    with pytest.raises(ConformanceError, match="column 1"):
        assert_same_law(np.stack([a, a], 1), np.stack([b, b + 1.0], 1))
    with pytest.raises(ConformanceError, match="NaN"):
        assert_same_law(a, np.append(b[1:], np.nan))


def test_same_law_of_categories_without_order():
    # The middle value moves to both ends: thresholds at the median see little, single values see all.
    a = RNG.choice([0.0, 1.0, 2.0], 4000, p=[0.3, 0.4, 0.3])
    b = RNG.choice([0.0, 1.0, 2.0], 4000, p=[0.2, 0.6, 0.2])
    with pytest.raises(ConformanceError):
        assert_same_law(a, b)


def test_same_law_with_infinities_and_rounding():
    a, b = RNG.random(4000) < 0.3, RNG.random(4000) < 0.3
    assert_same_law(np.where(a, -np.inf, 1.0), np.where(b, -np.inf, 1.0 + 1e-8))
    assert_same_law(np.where(a, 0.0, 1.0), np.where(b, 0.0, 1.001), resolution=0.01)
    with pytest.raises(ConformanceError):
        assert_same_law(np.where(a, 0.0, 1.0), np.where(b, 0.0, 1.001))
    with pytest.raises(ConformanceError):
        assert_same_law(np.where(a, -np.inf, 1.0), np.ones(4000))


def test_same_law_is_hypergeometric():
    a, b = np.repeat([0.0, 1.0], [90, 10]), np.repeat([0.0, 1.0], [50, 50])
    exact = 2 * hypergeom(200, 140, 100).sf(89)
    # Three events: {<= 0}, {0}, {1}.
    assert same_law(a, b)[0] == pytest.approx(3 * exact, rel=1e-9)


def test_same_law_level():
    # 400 pairs at level 0.01 reject at most 4 times on average; 20 or more has probability below 1e-8.
    rejected = sum(same_law(RNG.exponential(size=200), RNG.exponential(size=200))[0] < 0.01 for _ in range(400))
    assert rejected < 20


def test_calibration():
    pi = RNG.random(6000)
    labels = RNG.random(6000) < pi
    assert_probability_calibrated(labels, pi)
    for wrong in (pi**2, 0.25 + 0.5 * pi, np.clip(1.5 * pi - 0.25, 0, 1), pi * 0.0):
        with pytest.raises(ConformanceError, match="not calibrated"):
            assert_probability_calibrated(labels, wrong)
    with pytest.raises(ConformanceError, match="not probabilities"):
        assert_probability_calibrated(labels, pi + 0.5)


def test_calibration_against_what_else_was_known():
    pi = RNG.random(6000)
    labels = RNG.random(6000) < pi
    ignorant = np.full(6000, 0.5)
    assert_probability_calibrated(labels, ignorant)
    with pytest.raises(ConformanceError):
        assert_probability_calibrated(labels, ignorant, functions=2 * pi - 1)


def test_calibration_p_value_bounds_the_binomial_tail():
    for n, p, seen in ((1000, 0.3, 390), (1000, 0.001, 15), (50, 0.9, 30)):
        labels, odds = np.arange(n) < seen, np.full(n, np.log(p / (1 - p)))
        law = binom(n, p)
        exact = 2 * (law.sf(seen - 1) if seen > n * p else law.cdf(seen))
        bound = calibration_p_values(labels, odds, np.ones((n, 1)))[0]
        assert exact <= bound <= 30 * exact


def test_an_impossible_event_is_refused():
    p = calibration_p_values(np.asarray([1.0] + [0.0] * 99), np.full(100, -np.inf), np.ones((100, 1)))
    assert p[0] < 1e-100


def test_mean_p_value_level():
    # Never below the truth: 500 samples of 60 bits at level 0.05 reject at most 25 times on average, 60 with p < 1e-8.
    rejected = sum(mean_p_value(RNG.random(60) < 0.1, 0.1, (0.0, 1.0)) < 0.05 for _ in range(500))
    assert rejected < 60


@pytest.mark.parametrize("false_alarm", [0.0, -1.0, 0.5])
def test_level_is_checked(false_alarm):
    with pytest.raises(InvalidInput, match="false_alarm"):
        assert_means_equal([0.0, 1.0], 0.5, false_alarm=false_alarm)


def test_bounds_are_checked():
    with pytest.raises(InvalidInput, match="first"):
        assert_means_equal([0.0, 2.0], 0.5, bounds=(0, 1))
