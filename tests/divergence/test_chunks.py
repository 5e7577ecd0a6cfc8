"""Many times are taken some after others: no number changes, and draws are made once for all of them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sloc
from sloc.divergence import measurement
from sloc.divergence.checks import as_times, checked_pair
from sloc.divergence.measurement import assemble
from sloc.populations import Empirical, GaussianMixture, MarkovChains
from sloc.processes import Masking, OrnsteinUhlenbeck

MEANS = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
ROWS = np.full((3, 2), 0.5)
PAIRS = {
    "scalar": (OrnsteinUhlenbeck(), GaussianMixture([0.2, 0.3, 0.5], MEANS)),
    "diagonal": (OrnsteinUhlenbeck(), GaussianMixture([0.2, 0.3, 0.5], MEANS, [1.0, 2.0])),
    "own": (OrnsteinUhlenbeck(), GaussianMixture([0.2, 0.3, 0.5], MEANS, np.stack([np.eye(2), 2 * np.eye(2)] * 2)[:3])),
    "atoms": (OrnsteinUhlenbeck(), Empirical(MEANS, [0, 1, 2])),
    "chains": (Masking(), MarkovChains(ROWS, np.stack([np.eye(2), ROWS[:2], 0.5 * np.eye(2) + 0.25]), 3)),
}
STATISTICS = (sloc.TV(0, 1), sloc.TV(0, [1, 2]), sloc.TV(1, 2), sloc.Labels([0, 1]), sloc.Information(), sloc.Clones())


def block(name, times):
    process, population = checked_pair(*PAIRS[name])
    grid = as_times(process, population, times)[1]
    whole = assemble(process, population, grid, {s: s.bind(population) for s in STATISTICS})
    # A function of its own, so that no earlier trace is found.
    return (lambda args, key: whole.kernel(whole.kernel.setup(args), key)), whole.args


def at_once(monkeypatch, times):
    elements = None if times is None else times * 3 * 1023
    monkeypatch.setitem(measurement._CHUNK_ELEMENTS, jax.default_backend(), elements or 1 << 62)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("most", [4, *(pytest.param(few, marks=pytest.mark.slow) for few in (1, 3))])
def test_times_after_others_give_the_same_numbers(monkeypatch, name, most):
    # Seven times: by three, the last chunk begins two early; by four, one.
    times, key = np.linspace(0.05, 0.9, 7), jax.random.key(3)
    at_once(monkeypatch, None)
    call, args = block(name, times)
    whole = jax.jit(call)(args, key)
    at_once(monkeypatch, most)
    call, args = block(name, times)
    parts = jax.jit(call)(args, key)
    assert "scan" in str(jax.make_jaxpr(call)(args, key))
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(parts), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-6)


def loops(jaxpr):
    """Every loop of a traced function, those within others too, as text."""
    for equation in jaxpr.eqns:
        for value in jax.tree.leaves(equation.params, is_leaf=lambda v: hasattr(v, "jaxpr") or hasattr(v, "eqns")):
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                if equation.primitive.name in ("scan", "while"):
                    yield str(inner)
                yield from loops(inner)


@pytest.mark.parametrize("name", ["scalar", "diagonal", "own"])
def test_draws_are_made_once_for_all_times(monkeypatch, name):
    at_once(monkeypatch, 2)
    call, args = block(name, np.linspace(0.05, 0.9, 6))
    traced = jax.make_jaxpr(call)(args, jax.random.key(0))
    assert "erf_inv" in str(traced)
    found = list(loops(traced.jaxpr))
    assert found
    assert not any("erf_inv" in text for text in found)


def test_long_curves_are_those_of_short_ones():
    # 1,000 times of eight sub-populations are 16 chunks; every hundredth of them alone is one.
    process = OrnsteinUhlenbeck()
    means = np.random.default_rng(0).normal(size=(8, 4))
    population = GaussianMixture(np.full(8, 1 / 8), means)
    times, key = process.grid(1000), jax.random.key(1)
    few = sloc.information_curve(key, process, population, times[::100], n=2048, method="monte-carlo")
    many = sloc.information_curve(key, process, population, times, n=2048, method="monte-carlo")
    np.testing.assert_allclose(many.value[::100], few.value, rtol=0, atol=3e-6)
    np.testing.assert_allclose(many.stderr[::100], few.stderr, rtol=1e-3, atol=1e-7)
    assert bool(jnp.all(jnp.isfinite(jnp.asarray(many.value))))
