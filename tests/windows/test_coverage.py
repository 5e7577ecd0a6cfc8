"""Intervals of critical windows contain the exact edges as often as they say."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import sloc
from sloc.populations import GaussianMixture
from sloc.processes import OrnsteinUhlenbeck


@pytest.mark.slow
def test_both_edges_are_covered_together():
    population = GaussianMixture([0.5, 0.5], [[3.0], [-3.0]])
    options = {"epsilon": 0.3, "times": np.linspace(0.05, 3.0, 24), "delta": 0.1}
    exact = sloc.critical_window(jax.random.key(0), OrnsteinUhlenbeck(), population, 0, [0, 1], epsilon=0.3)
    misses = 0
    for seed in range(200):
        found = sloc.critical_window(
            jax.random.key(seed), OrnsteinUhlenbeck(), population, 0, [0, 1], n=4096, method="monte-carlo", **options
        )
        inside = [
            lo <= t <= hi
            for t, (lo, hi) in ((exact.t_after, found.after_interval), (exact.t_before, found.before_interval))
        ]
        misses += not all(inside)
    # At level .1 more than 52 of 200 have binomial probability 2e-11.
    assert misses <= 52
