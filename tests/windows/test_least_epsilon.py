"""The smallest threshold: edges at it are right by closed form and by certificate; below it all ways to ask refuse."""

from __future__ import annotations

import math

import jax
import numpy as np
import pytest
from scipy.stats import norm

import sloc
from sloc.contracts import InvalidInput
from sloc.divergence.checks import LEAST_EPSILON

OU = sloc.processes.OrnsteinUhlenbeck()
FAR = sloc.populations.GaussianMixture([0.5, 0.5], np.array([[40.0], [-40.0]]))
KEY = jax.random.key(0)
CURVE = sloc.tv_curve(KEY, OU, FAR, [1.0, 2.0], 0, 1, n=64)


def exact_after(epsilon: float) -> float:
    """``40 e^-t = x`` where the overlap ``2 Phi(-x)`` is ``epsilon^2``."""
    return math.log(40.0 / norm.isf(epsilon**2 / 2))


@pytest.mark.parametrize(("epsilon", "within"), [(1e-2, 1e-9), (1e-4, 1e-8), (LEAST_EPSILON, 1e-6)])
def test_closed_form_edges(epsilon: float, within: float) -> None:
    window = sloc.critical_window(KEY, OU, FAR, 0, [0, 1], epsilon=epsilon)
    assert window.method == "exact"
    assert window.t_after == pytest.approx(exact_after(epsilon), abs=within)
    # 40 e^-t = x where the distance 1 - 2 Phi(-x) is epsilon / (w_b / w_whole), for a set inside a set.
    assert window.t_before == pytest.approx(math.log(40.0 / norm.isf(0.5 - epsilon)), abs=max(within, 1e-6))


def test_certified_edge() -> None:
    window = sloc.critical_window(
        KEY, OU, FAR, 0, [0, 1], epsilon=LEAST_EPSILON, method="monte-carlo", certify=True, delta=1e-6,
        budget=40_000, times=np.linspace(0.05, 4.0, 64),
    )  # fmt: skip
    assert window.after_interval[0] <= exact_after(LEAST_EPSILON) <= window.after_interval[1]
    assert window.after_interval[1] - window.after_interval[0] < 0.05


WAYS = {
    "critical_window": lambda e: sloc.critical_window(KEY, OU, FAR, 0, [0, 1], epsilon=e),
    "certified": lambda e: sloc.critical_window(KEY, OU, FAR, 0, [0, 1], epsilon=e, certify=True),
    "anytime_windows": lambda e: sloc.anytime_windows(KEY, OU, FAR, 0, [0, 1], epsilon=e),
    "theorem2": lambda e: sloc.theorem2(KEY, OU, FAR, 0, [0, 1], epsilon=e),
    "anytime_theorem2": lambda e: sloc.anytime_theorem2(KEY, OU, FAR, 0, [0, 1], epsilon=e),
    "mixture_tree": lambda e: sloc.mixture_tree(KEY, OU, FAR, epsilon=e),
    "certified_limits": lambda e: sloc.windows.certified_limits(CURVE, epsilon=e),
    "find_window": lambda e: sloc.find_window(CURVE, epsilon=e),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("epsilon", [0.0, 1e-12, 9e-7, 1.0, math.nan])
def test_below_it_every_way_refuses(way: str, epsilon: float) -> None:
    with pytest.raises(InvalidInput, match=r"epsilon = .*a number from 1e-06"):
        WAYS[way](epsilon)
