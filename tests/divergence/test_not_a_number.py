"""A likelihood that is NaN is found and named, whatever statistic reads it; an impossible draw is none.

Nothing here is random: keys are fixed and what is asked is whether an error is raised.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sloc
from sloc import KL, TV, Clones, Hellinger, Information, Labels
from sloc.divergence import integrands
from sloc.engine import NotANumber
from sloc.engine.nans import count_nans, first_nan
from sloc.populations import Empirical

KEY = jax.random.key(0)
ATOMS = Empirical([[-1.0], [-0.5], [0.5], [1.0]], [0, 0, 1, 1])


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Faulty(sloc.ObservationProcess):
    """``Y = X + t Z`` with a likelihood that is NaN where ``y`` exceeds ``limit``, for atoms above ``above``."""

    limit: Any = field(metadata={"dtype": float})
    above: Any = field(metadata={"dtype": float})

    def sample(self, key, x, t):
        return x + t * jax.random.normal(key, x.shape)

    def log_prob(self, y, x, t):
        good = jnp.sum(jax.scipy.stats.norm.logpdf(y, x, t))
        return jnp.where((y[0] > self.limit) & (x[0] > self.above), jnp.nan, good)


OF_ALL = [TV(0, [0, 1]), Information(), Labels(0), Clones(), Hellinger(0, 1), KL(0, 1)]


@pytest.mark.parametrize(("statistic", "above"), [(s, 0.0) for s in OF_ALL] + [(TV(0, 1), a) for a in (-2.0, 0.75)])
def test_a_likelihood_that_is_nan_is_named(statistic, above):
    with pytest.raises(NotANumber, match=r"block 0 of key .* returned NaN") as caught:
        sloc.measure(KEY, Faulty(1.5, above), ATOMS, [0.5, 1.0], [statistic], n=2048, method="monte-carlo")
    assert caught.value.block == 0
    fine = sloc.measure(KEY, Faulty(1e6, above), ATOMS, [0.5, 1.0], [statistic], n=2048, method="monte-carlo")
    assert np.isfinite(fine[statistic].value).all()


def test_windows_and_trees_name_it_too():
    process, options = Faulty(1.5, 0.0), {"epsilon": 0.2, "times": np.linspace(0.2, 4, 9), "n": 2048}
    with pytest.raises(NotANumber, match="returned NaN"):
        sloc.critical_window(KEY, process, ATOMS, 0, [0, 1], **options)
    with pytest.raises(NotANumber, match="returned NaN"):
        sloc.mixture_tree(KEY, process, Empirical([[-1.0], [0.5], [1.0]]), **options)


def test_certified_edges_name_it_too():
    process, times = Faulty(1.5, 0.0), np.linspace(0.2, 4, 9)
    ask = {"epsilon": 0.2, "times": times, "budget": 20_000}
    with pytest.raises(NotANumber, match="returned NaN") as caught:
        sloc.critical_window(KEY, process, ATOMS, 0, [0, 1], certify=True, **ask)
    with pytest.raises(NotANumber, match="returned NaN"):
        next(sloc.anytime_windows(KEY, process, ATOMS, 0, [0, 1], epsilon=0.2, times=times))
    # The block that is named, alone.
    plan = sloc.Plan(replay=(caught.value.stage, caught.value.block))
    with pytest.raises(sloc.engine.Replayed) as alone:
        sloc.critical_window(KEY, process, ATOMS, 0, [0, 1], certify=True, plan=plan, **ask)
    assert count_nans(alone.value.values)[0] > 0


def test_two_zero_densities_are_no_fault():
    nothing, nan = -jnp.inf, jnp.nan
    p = jnp.asarray([nothing, nothing, 0.0, nan, 0.0, nan, nothing], jnp.float32)
    q = jnp.asarray([nothing, 0.0, nothing, 0.0, nan, nan, nan], jnp.float32)
    ratio = np.asarray(integrands.log_ratio(p, q))
    np.testing.assert_array_equal(ratio, [np.inf, -np.inf, np.inf, nan, nan, nan, nan])
    np.testing.assert_array_equal(integrands.overlap(jnp.asarray(ratio)), [0, 0, 0, nan, nan, nan, nan])


@pytest.mark.parametrize("part", [complex(np.nan, 0), complex(0, np.nan)])
def test_complex_numbers_are_looked_at(part):
    values = {"a": np.zeros((3, 8), np.complex64)}
    assert first_nan(values, 1, 8) is None
    assert count_nans(values) == (0, 24)
    values["a"][2, 5] = part
    assert first_nan(values, 1, 8) == 5
    assert first_nan(values, 1, 5) is None
    assert count_nans(values) == (1, 24)
