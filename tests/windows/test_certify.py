"""Certified edges: they contain the exact edges, spend what they say, and know when they cannot tell."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest
from scipy.special import ndtri

import sloc
from sloc import anytime_windows
from sloc.results.status import STATUSES
from sloc.windows.certify import make_plan, pilot_draws
from sloc.windows.overlap import Overlap, OverlapDraws
from sloc.windows.search import Question
from sloc.windows.walks import ladder, rung_tests, walk

OU = sloc.processes.OrnsteinUhlenbeck()
GAUSSIANS = sloc.populations.GaussianMixture([0.5, 0.5], np.array([[4.0, 0.0], [-4.0, 0.0]]))


def exact_edges(epsilon: float, norm: float = 4.0) -> tuple[float, float]:
    """``Phi(-r) = epsilon^2 / 2`` and ``Phi(r) = 1/2 + epsilon``, ``r = norm e^-t``."""
    return math.log(norm / -ndtri(epsilon**2 / 2)), math.log(norm / ndtri(0.5 + epsilon))


@pytest.mark.parametrize("epsilon", [0.3, 0.1, 0.03])
def test_contains_the_exact_edges(epsilon: float) -> None:
    # False alarm 1e-9: delta is the joint level of both intervals.
    window = sloc.critical_window(
        jax.random.key(1),
        OU,
        GAUSSIANS,
        0,
        [0, 1],
        epsilon=epsilon,
        method="monte-carlo",
        certify=True,
        budget=60_000,
        delta=1e-9,
    )
    after, before = exact_edges(epsilon)
    assert window.resolved, window
    assert window.after_interval[0] <= after <= window.after_interval[1]
    assert window.before_interval[0] <= before <= window.before_interval[1]
    assert window.before_interval[1] - window.before_interval[0] < 0.3
    assert 0 < window.draws <= 60_000


def test_tiny_overlap_needs_few_draws() -> None:
    # alpha <= 1e-6 at T_after: direct draws would need more than 3e7.
    far = sloc.populations.GaussianMixture([0.5, 0.5], np.array([[8.0], [-8.0]]))
    window = sloc.critical_window(
        jax.random.key(2),
        OU,
        far,
        0,
        [0, 1],
        epsilon=1e-3,
        method="monte-carlo",
        certify=True,
        budget=40_000,
        delta=1e-9,
        times=np.linspace(0.05, 12.0, 64),
    )
    after, _ = exact_edges(1e-3, 8.0)
    assert window.status_after == "resolved"
    assert window.after_interval[0] <= after <= window.after_interval[1]
    assert window.after_interval[1] - window.after_interval[0] < 0.02
    assert "bridge" in window.method


def test_tolerance_saves_draws() -> None:
    asked = {"epsilon": 0.1, "method": "monte-carlo", "certify": True, "budget": 400_000}
    rough = sloc.critical_window(jax.random.key(3), OU, GAUSSIANS, 0, [0, 1], **asked, tolerance=0.1)
    assert rough.resolved
    assert rough.draws < 200_000
    for low, high in (rough.after_interval, rough.before_interval):
        assert high - low <= 4 * 0.1


@pytest.mark.parametrize("budget", [1, 10, 4096])
def test_too_small_a_budget_is_a_status(budget: int) -> None:
    window = sloc.critical_window(
        jax.random.key(4), OU, GAUSSIANS, 0, [0, 1], epsilon=0.05, method="monte-carlo", certify=True, budget=budget
    )
    assert window.t_before is None
    assert window.status_before == "unresolved"
    assert window.draws == 0  # less than a pilot takes


@pytest.mark.parametrize(
    ("budget", "estimators", "percent"),
    [
        (4_095, 1, 0),  # no pilot
        (4_096, 1, 50),
        (4_096, 2, 0),  # one estimator is then tried alone
        (10_000, 2, 41),  # a budget of 20,000 for two edges
        (16_384, 2, 50),
        (50_000, 2, 16),
        (1_000_000, 1, 15),
        (1_000_000, 2, 15),
    ],
)
def test_a_pilots_part_of_the_budget(budget: int, estimators: int, percent: int) -> None:
    each = pilot_draws(budget, estimators)
    assert each % 1024 == 0
    assert round(100 * 2 * estimators * each / budget) == percent


@pytest.mark.slow
@pytest.mark.parametrize("call", [sloc.theorem2, anytime_windows], ids=lambda call: call.__name__)
def test_the_least_budget_is_accepted(call: Callable[..., Any]) -> None:
    own = {} if call is anytime_windows else {"method": "monte-carlo", "certify": True, "n": 2}
    found = call(jax.random.key(4), OU, GAUSSIANS, 0, [0, 1], epsilon=0.05, budget=1, times=[0.5, 1.0], **own)
    if call is anytime_windows:
        window = next(found)
        assert {window.status_after, window.status_before} <= set(STATUSES)
    else:
        assert found.status_end == "unresolved"


def test_laws_that_are_all_but_equal() -> None:
    # Rounding lifts the sum of these strata's weights to 1 + 1.2e-7 and with it values that should be 1.
    weights = [0.1, 0.11, 0.17, 0.27, 0.08, 0.05, 0.06, 0.16]
    line = sloc.populations.GaussianMixture(weights, np.arange(8.0)[:, None])
    window = sloc.critical_window(
        jax.random.key(0),
        OU,
        line,
        [0, 1, 2],
        range(8),
        epsilon=0.3,
        times=[25.0, 26.0],
        method="monte-carlo",
        certify=True,
        budget=8_192,
    )
    assert (window.status_after, window.status_before) == ("below_grid", "below_grid")


def test_edges_that_do_not_exist() -> None:
    near = sloc.populations.GaussianMixture([0.5, 0.5], np.array([[0.5], [-0.5]]))
    window = sloc.critical_window(
        jax.random.key(5), OU, near, 0, [0, 1], epsilon=0.1, method="monte-carlo", certify=True, budget=40_000
    )
    # TV never reaches 0.99: T_after lies before every time.
    assert window.t_after is None
    assert window.status_after == "below_grid"
    lopsided = sloc.populations.GaussianMixture([0.95, 0.05], np.array([[0.5], [-0.5]]))
    window = sloc.critical_window(
        jax.random.key(6), OU, lopsided, 0, [0, 1], epsilon=0.1, method="monte-carlo", certify=True, budget=40_000
    )
    assert window.t_before == 0.0  # TV(after, before) <= 0.05 at every time


def test_discrete_time() -> None:
    coins = sloc.populations.ProductCategorical.coins([0.6, 0.4], length=120)
    process = sloc.processes.Truncation(120)
    exact = sloc.critical_window(jax.random.key(0), process, coins, 0, [0, 1], epsilon=0.2)
    window = sloc.critical_window(
        jax.random.key(7),
        process,
        coins,
        0,
        [0, 1],
        epsilon=0.2,
        method="monte-carlo",
        certify=True,
        budget=60_000,
        delta=1e-9,
    )
    assert window.resolved, window
    assert window.after_interval[0] <= exact.t_after <= window.after_interval[1]
    assert window.before_interval[0] <= exact.t_before <= window.before_interval[1]


def test_theorem2_certified() -> None:
    trio = sloc.populations.GaussianMixture([0.4, 0.4, 0.2], np.array([[20.0, 0.5], [20.0, -0.5], [-20.0, 0.0]]))
    result = sloc.theorem2(
        jax.random.key(8), OU, trio, 0, [0, 1], epsilon=0.1, certify=True, budget=60_000, n=4096, delta=1e-6
    )
    assert result.resolved
    # TV(0, {0, 1}) = (1/2) (2 Phi(e^-t / 2) - 1) reaches 0.1 at e^-t = 2 Phi^-1(0.6).
    end = -math.log(2 * ndtri(0.6))
    assert result.end_interval[0] <= end <= result.end_interval[1]


def test_same_key_same_window() -> None:
    asked = {"epsilon": 0.1, "method": "monte-carlo", "certify": True, "budget": 20_000}
    first, again = (sloc.critical_window(jax.random.key(3), OU, GAUSSIANS, 0, [0, 1], **asked) for _ in range(2))
    assert first == again


@pytest.mark.parametrize("method", ["auto", "monte-carlo"])
@pytest.mark.parametrize("call", [sloc.critical_window, sloc.theorem2], ids=lambda call: call.__name__)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("budget", 0),
        ("budget", -1),
        ("budget", 2.5),
        ("budget", "many"),
        ("tolerance", 0.0),
        ("tolerance", -1.0),
        ("delta", 0.0),
        ("delta", 1.0),
        ("epsilon", 0.0),
        ("epsilon", 1.0),
    ],
)
def test_bad_input(call: Callable[..., object], method: str, name: str, value: object) -> None:
    # With "auto" the edges have closed forms, and are refused all the same.
    fixed = {"certify": True, "method": method}
    with pytest.raises(sloc.InvalidInput, match=f"{name} = "):
        call(jax.random.key(0), OU, GAUSSIANS, 0, [0, 1], **({"epsilon": 0.1} | fixed | {name: value}))


def test_the_walk_stops_at_the_first_failure() -> None:
    times = np.array([1.0, 2.0, 3.0])
    assert walk(times, lambda t: t != 2.0) == 1
    assert walk(times, lambda t: t != 1.0) == 0
    assert walk(times, lambda t: t > 2.0, reached=2) == 3  # what was passed before is not asked again
    low, high = ladder(1.0, 0.1, (8.0, 4.0, 2.0, 1.0), False, math.inf)
    np.testing.assert_allclose(low, [0.2, 0.6, 0.8, 0.9], rtol=1e-6)
    np.testing.assert_allclose(high, [1.8, 1.4, 1.2, 1.1], rtol=1e-6)
    # Whole numbers, and a radius below one step: four rungs, so that a near tie beside the point costs the last only.
    low, high = ladder(9.0, 0.1, (8.0, 4.0, 2.0, 1.0), True, 20.0)
    np.testing.assert_array_equal(low, [5, 6, 7, 8])
    np.testing.assert_array_equal(high, [13, 12, 11, 10])


@pytest.mark.slow
def test_sobol_points_place_an_edge_better_than_the_draws_of_a_pilot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight pilots each; measured, the points miss by a fortieth of what the draws do, and half of it is asked for."""
    groups = np.array([-68.0, -67, -53, -52, 52, 53, 67, 68])[:, None]
    eight = sloc.populations.GaussianMixture(np.full(8, 1 / 8), groups).canonical()
    times, question = np.linspace(0.05, 6.0, 16), Question(sloc.TV((0, 1), (0, 1, 2, 3)), 0.3, "first")
    # Between the two of four, and by symmetry as between two mixtures of two: solved by quadrature.
    y, weights = np.linspace(-90, 0, 40_001), np.full(2, 0.5)

    def tv(t: float) -> float:
        spread = np.exp(-0.5 * (y[:, None] - groups[:4, 0] * np.exp(-t)) ** 2) / np.sqrt(2 * np.pi)
        return 0.5 * 0.5 * float(np.trapezoid(np.abs(spread[:, :2] @ weights - spread[:, 2:] @ weights), y))

    low, high = 0.5, 5.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if tv(middle) > 0.3 else (low, middle)
    errors = {}
    for name in ("look", "draw"):
        monkeypatch.setattr(Overlap, "look", getattr(Overlap, name))
        monkeypatch.setattr(Overlap, "by_points", name == "look")
        plans = [make_plan(jax.random.key(s), OU.canonical(), eight, times, question, 12_288, 0.0125) for s in range(8)]
        errors[name] = math.sqrt(np.mean([(plan.point - low) ** 2 for plan in plans]))
        assert all(plan.draws <= 12_288 // 2 for plan in plans)
    assert errors["look"] < 0.5 * errors["draw"]


@pytest.mark.parametrize("mean", [0.0, 0.5, 1.0])
def test_sets_that_do_not_overlap_are_on_one_side_whatever_is_drawn(mean: float) -> None:
    def tests(share: float, threshold: float, side: str) -> tuple[bool, bool]:
        overlap = Overlap(OU, GAUSSIANS, sloc.TV(0, 1), share, "bridge")
        draws = OverlapDraws(np.array([0.5]), np.full((1, 8), mean), np.array([0.0]), 8, 1)
        question = Question(overlap.tv, threshold, side)
        bounds = (lambda v, level: 1.0, lambda v, level: 0.0)  # all that any draws in [0, 1] allow
        high, low = rung_tests(draws, draws.values, overlap, question, 0.05, *bounds)
        return high(0.5), low(0.5)

    for side in ("first", "last"):
        assert tests(1.0, 0.9, side) == (True, False)  # TV is 1
        assert tests(0.5, 0.9, side) == (False, True)  # and here 0.5
    # At the threshold itself: not above it, which is what the first crossing asks for.
    assert tests(0.5, 0.5, "first") == (False, True)
