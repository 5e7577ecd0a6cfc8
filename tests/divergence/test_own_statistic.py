"""A statistic of one's own, from public names alone."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import numpy as np
import pytest

import sloc
from sloc.divergence import Integrand, Statistic, Term


@dataclass(frozen=True)
class BestGuess(Integrand):
    """The largest posterior."""

    def __call__(self, arrays, draws):
        _, e, total = draws.joint()
        return draws.average(e.max(axis=1) / total, arrays["members"])


@dataclass(frozen=True)
class Accuracy(Statistic):
    """How often the best guess is right."""

    def bind(self, population):
        every = np.ones(population.num_components, bool)
        ends = (0.0, 1.0, 0.0, 1.0)
        return Term(BestGuess(), {"members": every}, every, lambda w: ends, "decreasing", quantity="accuracy")


@pytest.mark.parametrize("interval", ["maurer-pontil", "betting"])
def test_it_is_measured_like_any_other(interval):
    """The band holds the exact curve with probability 1 - 1e-9 in either case: 2e-9 for the file."""
    process, times = sloc.processes.OrnsteinUhlenbeck(), np.array([0.2, 1.0, 2.5])
    pair = sloc.populations.GaussianMixture([0.5, 0.5], np.array([[1.5], [-1.5]]))
    asked = {"own": Accuracy(), "tv": sloc.TV(0, 1)}
    key, options = jax.random.key(0), {"n": 40_000, "delta": 1e-9, "method": "monte-carlo", "interval": interval}
    curve = sloc.measure(key, process, pair, times, asked, **options)["own"]
    exact = 0.5 + 0.5 * np.asarray(sloc.tv_curve(key, process, pair, times, 0, 1, n=16).value)
    assert curve.quantity == "accuracy"
    assert ((curve.lower <= exact) & (exact <= curve.upper)).all()
    assert (curve.upper - curve.lower < 0.05).all()
