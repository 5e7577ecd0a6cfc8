"""The information profile: densities integrate to the information, intervals follow from the band."""

from __future__ import annotations

from dataclasses import replace

import hypothesis
import jax
import numpy as np
import pytest
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import xlogy
from scipy.stats import binom, entropy, norm

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
    assert density.delta == 1e-9
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
    assert window.delta == curve.delta == 1e-9
    assert abs(exact(window.t_after) - 0.9) < 0.01
    assert abs(exact(window.t_before) - 0.1) < 0.01
    for interval, bits in ((window.after_interval, 0.9), (window.before_interval, 0.1)):
        root = brentq(lambda t, bits=bits: exact(t) - bits, TIMES[0], TIMES[-1])
        assert interval[0] <= root <= interval[1]
    wide, narrow = information_window(curve, 0.9, total=1.0), information_window(curve, 0.5, total=1.0)
    assert wide.t_after < narrow.t_after < narrow.t_before < wide.t_before


def drawn(value: np.ndarray, lower: np.ndarray, upper: np.ndarray, delta: float) -> sloc.Curve:
    return sloc.Curve(SHARE_TIMES, value, 0 * value, lower, upper, 1, "drawn", "information", "bits", delta=delta)


def edges_of_share(share: float) -> tuple[float, float]:
    """Where ``I(t) = 1 - t`` has fallen to the shares of ``I(t_0)``, by the first time of ``SHARE_TIMES``."""
    tail, first = (1 - share) / 2, 1 - SHARE_TIMES[0]
    return 1 - (1 - tail) * first, 1 - tail * first


# Either side of both edges of the middle 80 % stands a time, as near as makes no difference.
SHARE_TIMES = np.asarray([0.4, 0.46 - 1e-9, 0.46 + 1e-9, 0.7, 0.94 - 1e-9, 0.94 + 1e-9, 1.0])


def test_share_of_a_total_that_is_estimated_too() -> None:
    """By default the total is the value at the first time: its error must be in the interval.

    400 curves ``I + e s`` with one normal ``e``, ``s = +1`` at the first time and -1 or +1 elsewhere, in a band
    ``+-1.96`` that holds with probability .95 exactly.  False alarm 1e-9.
    """
    rng, sd = np.random.default_rng(0), 0.05
    truth, (after, before) = 1 - SHARE_TIMES, edges_of_share(0.8)
    for sign in (-1.0, 1.0):
        missed = 0
        for e in rng.normal(size=400):
            value = truth + sd * e * np.where(np.arange(truth.size) == 0, 1.0, sign)
            band = norm.isf(0.025) * sd
            window = information_window(drawn(value, value - band, value + band, 0.05), 0.8)
            assert window.delta == 0.05
            held = [lo <= t <= hi for t, (lo, hi) in ((after, window.after_interval), (before, window.before_interval))]
            missed += not all(held)
        assert missed <= binom.isf(1e-9, 400, 0.05), (sign, missed)


@hypothesis.given(st.lists(st.floats(0, 1), min_size=14, max_size=14), st.floats(0.05, 0.95))
def test_the_share_is_held_wherever_the_band_holds_the_curve(numbers: list[float], share: float) -> None:
    below, above = 0.3 * np.asarray(numbers).reshape(2, -1)
    truth, (after, before) = 1 - SHARE_TIMES, edges_of_share(share)
    for value in (truth - below, truth + above, truth):
        if value[0] <= 0:
            continue
        window = information_window(drawn(value, truth - below, truth + above, 0.0), share)
        for t, interval in ((after, window.after_interval), (before, window.before_interval)):
            assert interval[0] - 1e-9 <= t <= interval[1] + 1e-9, (value, window)


def test_coverage_of_a_window_of_drawn_information() -> None:
    """False alarm 1e-9; from a noise level on at which .8 of a bit is left, so that the total is drawn too."""
    mixture = sloc.populations.GaussianMixture([0.5, 0.5], np.array([[3.0], [-3.0]]))
    times, delta = np.linspace(0.9, 4.0, 24), 1e-3
    whole = exact(times[0])
    assert 0.6 < whole < 0.9
    truth = [brentq(lambda t, c=c: exact(t) - c * whole, times[0], times[-1]) for c in (0.9, 0.1)]
    missed = 0
    for seed in range(20):
        bits = sloc.information_curve(
            jax.random.key(seed), sloc.processes.OrnsteinUhlenbeck(), mixture, times, n=4096, delta=delta
        )
        window = information_window(bits)
        assert window.resolved
        assert window.delta == delta
        pairs = zip(truth, (window.after_interval, window.before_interval), strict=True)
        missed += not all(low <= t <= high for t, (low, high) in pairs)
    assert missed <= binom.isf(1e-9, 20, delta)


def test_a_total_that_may_be_nothing_leaves_the_window_open() -> None:
    truth = 0.1 * (1 - SHARE_TIMES)
    window = information_window(drawn(truth, truth - 0.2, truth + 0.2, 0.05))
    assert window.status_after == window.status_before == "unresolved"
    assert window.after_interval == window.before_interval == (SHARE_TIMES[0], np.inf)


@pytest.mark.parametrize("total", [0.0, -1.0, np.nan, np.inf])
def test_bad_total(curve: sloc.Curve, total: float) -> None:
    with pytest.raises(sloc.InvalidInput, match=f"total = {total}: expected a positive number of bits"):
        information_window(curve, 0.8, total=total)


@pytest.mark.parametrize("first", [0.0, -0.01, np.nan])
def test_curves_that_begin_with_nothing(first: float) -> None:
    value = np.where(np.arange(SHARE_TIMES.size) == 0, first, 0.0)
    with pytest.raises(sloc.InvalidInput, match=f"total = {first}: .* at the curve's first time"):
        information_window(drawn(value, value - 0.1, value + 0.1, 0.05))


@pytest.mark.parametrize("part", ["value", "lower", "upper"])
def test_numbers_that_are_none(curve: sloc.Curve, part: str) -> None:
    bad = replace(curve, **{part: np.where(np.arange(TIMES.size) == 7, np.nan, getattr(curve, part))})
    with pytest.raises(sloc.InvalidInput, match=f"curve.{part} = .*finite"):
        information_window(bad, total=1.0)


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
