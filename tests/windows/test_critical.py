"""Critical windows, sampled and exact, with every status.

False-alarm rate: intervals at delta = 1e-9 are asked to contain exact edges, fewer than 10 windows: 1e-8.
"""

from __future__ import annotations

import jax
import numpy as np
import pytest

import sloc
from sloc.contracts import InvalidInput
from sloc.populations import Empirical, GaussianMixture, ProductCategorical
from sloc.processes import Masking, OrnsteinUhlenbeck, Truncation
from tests.oracles import channels, mixtures

KEY = jax.random.key(11)
OU = OrnsteinUhlenbeck()
PAIR = GaussianMixture([0.5, 0.5], [[4.0], [-4.0]])


def window(population=PAIR, after=0, before=(0, 1), process=OU, n=1 << 14, delta=1e-9, **options):
    options = {"epsilon": 0.1, "method": "monte-carlo"} | options
    return sloc.critical_window(KEY, process, population, after, before, n=n, delta=delta, **options)


@pytest.mark.parametrize("epsilon", [0.1, 0.3])
def test_sampled_intervals_contain_the_exact_edges(epsilon):
    exact, found = window(epsilon=epsilon, method="auto"), window(epsilon=epsilon)
    assert exact.draws == 0
    assert exact.delta == 0
    assert found.delta == 1e-9
    for side in ("after", "before"):
        truth = getattr(exact, f"t_{side}")
        low, high = getattr(found, f"{side}_interval")
        assert low <= truth <= high
        assert low <= getattr(found, f"t_{side}") <= high
        assert abs(getattr(found, f"t_{side}") - truth) < 0.15
    assert found.resolved


def test_refinement_narrows_and_moves_the_point_off_the_grid():
    coarse = window(times=np.linspace(0.05, 4.0, 12), refine=False)
    fine = window(times=np.linspace(0.05, 4.0, 12))
    exact = window(method="auto")
    for side in ("after", "before"):

        def width(w, side=side):
            return np.diff(getattr(w, f"{side}_interval"))[0]

        assert width(fine) < 0.6 * width(coarse)
        # Linear interpolation over a cell of .36 is off by more than the noise of 16,384 draws.
        assert abs(getattr(fine, f"t_{side}") - getattr(exact, f"t_{side}")) < 0.1
    assert fine.draws == 2 * coarse.draws


def test_three_components_with_a_rest():
    # after inside before inside all: all three conditions are in play.
    w, m = [0.25, 0.25, 0.5], [-6.0, -4.0, 9.0]
    population = GaussianMixture(w, np.reshape(m, (3, 1)), 0.05)
    found = window(population, 0, [0, 1], epsilon=0.2)

    def line(t):
        return mixtures.Line(w, m, 0.05, *channels.ornstein_uhlenbeck(t))

    assert found.resolved
    before, after = found.before_interval, found.after_interval
    assert line(before[0]).tv([0], [0, 1]) >= 0.2 - 1e-6
    assert line(before[1]).tv([0], [0, 1]) <= 0.2 + 1e-6
    assert line(before[1]).tv([0, 1], [2]) >= 1 - 0.2**2
    assert line(after[0]).tv([0], [1, 2]) >= 1 - 0.2**2 - 1e-6
    assert line(after[1]).tv([0], [1, 2]) <= 1 - 0.2**2 + 1e-6


def test_empty_where_before_is_lost_before_after_is_forgotten():
    # Three equally spaced clusters: {0, 1} merges with 2 no later than 0 with 1.
    population = GaussianMixture([0.25, 0.25, 0.5], [[-2.0], [0.0], [2.0]], 0.05)
    found = window(population, 0, [0, 1], epsilon=0.3, n=1 << 15)
    assert (found.t_before, found.status_before) == (None, "empty")
    assert found.status_after == "resolved"


def test_empty_where_classes_are_never_apart():
    near = GaussianMixture([0.5, 0.5], [[0.1], [-0.1]])
    for method in ("auto", "monte-carlo"):
        found = window(near, times=[0.0, 0.5, 1.0, 2.0], method=method)
        assert (found.t_after, found.status_after) == (None, "empty")
        assert found.t_before == 0.0


@pytest.mark.parametrize("method", ["auto", "monte-carlo"])
def test_inverted(method):
    x = np.zeros((2, 10), int)
    x[1] = 1
    found = window(Empirical(x, [0, 1], [0.95, 0.05]), process=Masking(), times=np.linspace(0, 0.99, 34), method=method)
    assert found.status_after == found.status_before == "inverted"
    low, high = found.after_interval
    assert low <= 0.1**0.2 <= high
    assert found.t_before == 0.0


def test_below_and_above_the_grid():
    below = window(times=[1.0, 1.5, 2.0, 2.5])
    assert (below.t_after, below.status_after) == (None, "below_grid")
    assert (below.t_before, below.status_before) == (None, "above_grid")
    low, high = below.after_interval
    assert low <= 0.4401 <= high
    assert below.before_interval[0] <= 2.7593 <= below.before_interval[1]


def test_unresolved_with_too_few_draws():
    found = window(n=64, epsilon=0.01)
    assert (found.t_after, found.status_after) == (None, "unresolved")
    assert found.after_interval is not None


def test_steps_of_coins_are_found_exactly():
    coins = ProductCategorical.coins([0.7, 0.3], 60)
    exact = window(coins, process=Truncation(60), method="auto", epsilon=0.3)
    found = window(coins, process=Truncation(60), epsilon=0.3)
    for side in ("after", "before"):
        low, high = getattr(found, f"{side}_interval")
        truth = getattr(exact, f"t_{side}")
        assert truth == round(truth)
        assert low <= truth <= high
        assert getattr(found, f"t_{side}") == round(getattr(found, f"t_{side}"))


def test_a_horizon_that_float32_rounds_upwards_is_not_overstepped():
    # float32(0.7) < 0.7, float32(0.1) > 0.1: refined times must stay inside.
    from dataclasses import dataclass

    class Short(Masking):
        horizon = 0.1

        def thresholds(self, key, x):
            return 0.1 * super().thresholds(key, x)

    Short = jax.tree_util.register_dataclass(dataclass(frozen=True)(Short))
    x = np.zeros((2, 1), int)
    x[1] = 1
    found = window(Empirical(x, [0, 1]), process=Short(), times=np.array([0.0, 0.05, 0.099, 0.1]), epsilon=0.005, n=256)
    assert found.status_before in ("unresolved", "resolved")


def test_names_and_numbers_name_the_same_window():
    named = GaussianMixture([0.5, 0.5], [[4.0], [-4.0]], 1.0, ("plus", "minus"))
    assert window(named, "plus", ["plus", "minus"], method="auto").t_after == window(method="auto").t_after


def test_closed_form_only_is_refused_where_there_is_none():
    population = GaussianMixture([0.5, 0.5], [[1.0], [0.0]], [[[1.0]], [[2.0]]])
    with pytest.raises(InvalidInput, match="method = 'closed-form'"):
        window(population, method="closed-form")
