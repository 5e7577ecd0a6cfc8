"""Bounds from data against the exact TV: they hold as often as they say, and they say something."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import binom, norm

from sloc import Curve
from sloc.contracts import InvalidInput
from sloc.divergence import tv_lower_bound, tv_upper_bound
from sloc.divergence.sampler_bounds import MODEL_LAW
from sloc.populations import Empirical
from sloc.processes import OrnsteinUhlenbeck
from sloc.windows import certified_limits

OU = OrnsteinUhlenbeck()
TIMES = np.array([0.2, 0.8, 1.6])


def exact(times):
    """TV of N(2, 1) and N(-2, 1) under the process: variance stays 1."""
    return 2 * norm.cdf(2 * np.exp(-np.asarray(times))) - 1


def examples(seed, n):
    rng = np.random.default_rng(seed)
    x = np.concatenate([rng.normal(2, 1, (n, 1)), rng.normal(-2, 1, (n, 1))]).astype(np.float32)
    return Empirical(x, np.repeat([0, 1], n))


def right(y, t):
    """The exact log posterior."""
    a = jnp.exp(-t)
    return jax.nn.log_softmax(jnp.stack([2 * a * y[0], -2 * a * y[0]]))


def overconfident(y, t):
    """The wrong way round in part, and sure of it: a soft plug-in would say 1."""
    del t
    return jnp.stack([50 * (y[0] - 1), jnp.zeros(())])


@pytest.mark.parametrize("posterior", [right, overconfident])
def test_the_lower_bound_holds_as_often_as_it_says(posterior):
    delta, runs = 0.2, 60
    missed = 0
    for seed in range(runs):
        curve = tv_lower_bound(jax.random.key(seed), OU, posterior, examples(seed, 60), TIMES, 0, 1, delta=delta)
        missed += bool((np.asarray(curve.lower) > exact(TIMES)).any())
    # False alarm 1e-9 if the bound fails with probability delta.
    assert missed <= binom.isf(1e-9, runs, delta)


def test_the_lower_bound_is_sharp_with_many_examples():
    curve = tv_lower_bound(jax.random.key(0), OU, right, examples(0, 20_000), TIMES, 0, 1)
    assert (exact(TIMES) - curve.lower < 0.03).all()
    assert (np.asarray(curve.lower) <= exact(TIMES)).all()
    assert curve.delta == 0.05
    np.testing.assert_array_equal(curve.upper, 1.0)
    assert "lower bound" in curve.method


@pytest.mark.slow
def test_the_upper_bound_holds_and_says_something():
    times = np.array([0.5, 1.5, 2.5, 3.5])
    for seed in range(2):
        curve = tv_upper_bound(jax.random.key(seed), OU, examples(seed, 500), times, 0, 1, n=20_000)
        assert (np.asarray(curve.upper) >= exact(times)).all()
        assert curve.upper[-1] < exact(times)[-1] + 0.15
        assert curve.delta == 0.05, "half for the examples, half for the draws"
        np.testing.assert_array_equal(curve.lower, 0.0)


def flat(times, lower, upper):
    times = np.asarray(times, float)
    return Curve(times, np.asarray(lower), 0 * times, np.asarray(lower), np.asarray(upper), 10, delta=0.025)


def test_limits_say_which_edge_in_which_direction():
    times = [1.0, 2.0, 3.0, 4.0]
    one = np.ones(4)
    lower = flat(times, [0.995, 0.9, 0.3, 0.05], one)
    upper = flat(times, 0 * one, [1.0, 0.97, 0.6, 0.08])
    both = certified_limits(lower, upper, epsilon=0.1)
    assert both.after_interval == (1.0, 2.0)
    assert both.before_interval == (3.0, 4.0)
    assert both.delta == 0.05, "the sum of two curves' levels"
    assert both.t_after is None
    assert both.status_after == "unresolved"
    assert both.method == "certified: T_after >= 1, T_after <= 2, T_before >= 3, T_before <= 4"
    assert (both.certified_after, both.certified_before, both.law) == (*("from both sides",) * 2, "the data")
    assert "t_after=- [1, 2] (unresolved, certified from both sides)" in repr(both)
    alone = certified_limits(lower, epsilon=0.1, horizon=9.0)
    assert alone.before_interval == (3.0, 9.0)
    assert alone.delta == 0.025, "given once, though it bounds both edges"
    assert alone.method == "certified: T_after >= 1, T_before >= 3"
    assert (alone.certified_after, alone.certified_before) == ("from below", "from below")
    assert alone.to_dataframe()["certified_before"].tolist() == ["from below"]
    other = certified_limits(lower, separation_upper=upper, epsilon=0.1)
    assert other.after_interval == (1.0, 2.0)
    assert other.before_interval == (3.0, np.inf)
    nothing = certified_limits(flat(times, 0 * one, one), epsilon=0.1)
    assert nothing.method == "certified: nothing"
    assert nothing.certified_before == ""
    of_models = dataclasses.replace(upper, quantity=MODEL_LAW)
    assert certified_limits(upper=of_models, epsilon=0.1).law == "the models' samplers"
    with pytest.raises(InvalidInput, match="expected bounds of one law"):
        certified_limits(lower, of_models, epsilon=0.1)


def test_bad_input_is_refused():
    data = examples(0, 10)
    for change, message in (
        (dict(delta=0.0), "delta = 0.0"),
        (dict(times=[1.0, 0.5]), "times = .*strictly increasing"),
        (dict(posterior=lambda y, t: jnp.zeros(3)), r"posterior\(y, t\) = \(3,\): expected shape \(2,\)"),
        (dict(posterior=lambda y, t: jnp.full(2, jnp.nan)), r"posterior\(y, 0.2\) = 'NaN'"),
        (dict(a=5), "a = 5"),
    ):
        options = dict(posterior=right, times=TIMES, a=0, delta=0.1) | change
        with pytest.raises(InvalidInput, match=message):
            tv_lower_bound(
                jax.random.key(0),
                OU,
                options["posterior"],
                data,
                options["times"],
                options["a"],
                1,
                delta=options["delta"],
            )
    with pytest.raises(InvalidInput, match="at least one curve"):
        certified_limits(epsilon=0.1)
