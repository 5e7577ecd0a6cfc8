"""float32 and float64 agree within their intervals down to overlaps of 1e-8, and both hold the exact numbers.

Intervals are asked to hold at delta = 1e-10 a curve or window; six sampled curves and two certified windows, so the
false-alarm rate of the file is below 1e-9.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import numpy as np
import pytest
from scipy.stats import norm

import sloc
from sloc.divergence import bridge_overlap
from sloc.populations import GaussianMixture, ProductCategorical
from sloc.processes import Masking, VarianceExploding
from tests.divergence.test_bridges import coins_overlap, quadrature

ALPHAS = np.asarray([1e-8, 1e-6, 1e-4, 1e-2])
PAIR_TIMES = 1 / norm.isf(ALPHAS / 2)
DELTA = 1e-10
WEIGHTS, MEANS, SIDE = np.asarray([0.3, 0.2, 0.4, 0.1]), np.asarray([0.0, 1.0, 12.5, 14.0]), [True, True, False, False]
SET_TIMES = np.asarray([0.2, 0.9, 1.6, 2.6])
COIN_TIMES = np.asarray([0.1, 0.3, 0.5])


def pair() -> Any:
    # Far from the origin on purpose: log-ratios must be formed from centred numbers.
    means = np.asarray([[0.0, 0.0], [2.0, 0.0]]) + 64.0
    return VarianceExploding(), GaussianMixture([0.3, 0.7], means, 1e-12), PAIR_TIMES, 0, 1


def sets() -> Any:
    return VarianceExploding(), GaussianMixture(WEIGHTS, MEANS[:, None], 1.0), SET_TIMES, [0, 1], [2, 3]


def coins() -> Any:
    return Masking(), ProductCategorical.coins([0.1, 0.9], 40), COIN_TIMES, 0, 1


def exact_sets() -> np.ndarray:
    left = np.asarray(SIDE)
    a, b = (np.where(side, WEIGHTS, 0) / WEIGHTS[side].sum() for side in (left, ~left))
    values = []
    for sd in np.sqrt(1 + SET_TIMES**2):
        values.append(quadrature(functools.partial(norm_log_densities, sd), a, b, -40.0, 54.0))
    return np.asarray(values)


def norm_log_densities(sd: float, y: np.ndarray) -> Any:
    return norm.logpdf(y[None], MEANS[:, None], sd)


def exact_coins() -> np.ndarray:
    return np.asarray([coins_overlap(*Masking().count_law(40, t), 0.1, 0.9) for t in COIN_TIMES])


@pytest.mark.parametrize(
    ("case", "exact"),
    [
        pytest.param(pair, lambda: ALPHAS, id="pair", marks=pytest.mark.slow),
        pytest.param(sets, exact_sets, id="sets", marks=pytest.mark.slow),
        pytest.param(coins, exact_coins, id="coins"),
    ],
)
def test_bridges_agree(case: Any, exact: Any) -> None:
    found = {}
    for wide in (False, True):
        with jax.enable_x64(wide):
            process, population, times, a, b = case()
            key = jax.random.key(1)
            found[wide] = bridge_overlap(key, process, population, times, a, b, n=16384, delta=DELTA)
    single, double = found[False], found[True]
    truth = exact()
    assert truth.min() < 2e-8
    for curve in (single, double):
        # Three parts in a million for parameters and times that float32 cannot hold.
        assert np.all(curve.lower <= truth * (1 + 3e-6)), (curve.lower, truth)
        assert np.all(curve.upper >= truth * (1 - 3e-6)), (curve.upper, truth)
        assert np.all(curve.upper - curve.lower < 0.5 * truth)
        assert curve.delta == DELTA
    assert np.all((single.lower <= double.upper) & (double.lower <= single.upper))
    assert np.all(np.abs(single.value - double.value) <= 7 * np.hypot(single.stderr, double.stderr))


@pytest.mark.parametrize("case", [pair, coins])
def test_closed_forms_agree(case: Any) -> None:
    found = {}
    for wide in (False, True):
        with jax.enable_x64(wide):
            process, population, times, a, b = case()
            curve = sloc.tv_curve(jax.random.key(0), process, population, times, a, b, n=2)
            assert (curve.method, curve.delta) == ("exact", 0.0)
            found[wide] = curve.value
    # 1 - TV = 1e-8 has eight digits in float64.
    np.testing.assert_allclose(1 - found[False], 1 - found[True], rtol=1e-7)
    truth = ALPHAS if case is pair else exact_coins()
    np.testing.assert_allclose(1 - found[False], truth, rtol=1e-6)


def test_certified_edges_agree() -> None:
    epsilon, times = 1e-4, np.geomspace(0.05, 2.0, 40)
    # TV(0, 1) = 1 - 2 Phi(-1 / sd), sd^2 = 1e-12 + t^2; and TV(0, {0, 1}) = 0.7 TV(0, 1).
    edges = {
        "after": np.sqrt(norm.isf(epsilon**2 / 2) ** -2 - 1e-12),
        "before": np.sqrt(norm.isf(0.5 - epsilon / 1.4) ** -2 - 1e-12),
    }
    found = {}
    for wide in (False, True):
        with jax.enable_x64(wide):
            process, population, _, a, b = pair()
            found[wide] = sloc.critical_window(
                jax.random.key(2),
                process,
                population,
                a,
                [a, b],
                epsilon=epsilon,
                times=times,
                delta=DELTA,
                method="monte-carlo",
                certify=True,
                budget=48_000,
            )
            assert "bridge" in found[wide].method
    for name, edge in edges.items():
        (low, high), (other_low, other_high) = (getattr(w, f"{name}_interval") for w in found.values())
        assert max(low, other_low) <= min(high, other_high)
        for window in found.values():
            low, high = getattr(window, f"{name}_interval")
            assert low * (1 - 3e-6) <= edge <= high * (1 + 3e-6), (name, window, edge)
    for window in found.values():
        low, high = window.after_interval
        # A factor of 1.02 in time here is one of 2 in the overlap of 1e-8.
        assert high / low < 1.02, window
