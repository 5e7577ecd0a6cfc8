"""Keys of any implementation serve: the choice of random bits is the caller's."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import sloc
from sloc.samplers import label_frequencies

PROCESS = sloc.processes.OrnsteinUhlenbeck()
MIXTURE = sloc.populations.GaussianMixture([0.5, 0.5], [[3.0, 0.0], [-3.0, 0.0]])
TIMES = PROCESS.grid(8)
# Bands at level 1e-10: the probability of a false alarm of this file is below 6e-10.
DELTA = 1e-10


@pytest.mark.parametrize("name", ["rbg", pytest.param("unsafe_rbg", marks=pytest.mark.slow)])
def test_public_calls_take_keys_of_another_implementation(name):
    key = jax.random.key(5, impl=name)
    exact = sloc.tv_curve(key, PROCESS, MIXTURE, TIMES, 0, 1, n=1024, method="closed-form").value
    drawn = [
        sloc.tv_curve(k, PROCESS, MIXTURE, TIMES, 0, 1, n=1 << 15, method="monte-carlo", delta=DELTA)
        for k in (key, key, jax.random.key(5))
    ]
    for curve in drawn:
        assert bool(((np.asarray(curve.lower) <= exact) & (exact <= np.asarray(curve.upper))).all())
    np.testing.assert_array_equal(drawn[0].value, drawn[1].value)
    assert not np.array_equal(drawn[0].value, drawn[2].value)

    laws = sloc.label_curve(key, PROCESS, MIXTURE, TIMES, 0, n=1 << 15, delta=DELTA)
    counted = label_frequencies(key, PROCESS, MIXTURE, 0, TIMES, n=1 << 13, delta=DELTA)
    assert bool((np.asarray(laws.lower) <= np.asarray(counted.upper)).all())
    assert bool((np.asarray(counted.lower) <= np.asarray(laws.upper)).all())

    window = sloc.critical_window(key, PROCESS, MIXTURE, 0, [0, 1], epsilon=0.3)
    assert window.status_after == "resolved"
    samples = sloc.localize(key, PROCESS, MIXTURE, grid=8, n=2048)
    assert np.isfinite(samples).all()
    # A binomial count of 2,048 fair draws is off by more than 7 standard deviations with probability below 1e-11.
    assert abs(int((samples[:, 0] > 0).sum()) - 1024) < 7 * 2048**0.5 / 2
