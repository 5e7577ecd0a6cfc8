"""Which way a total variation is got: by types, by pilot draws, by name; and that the ways agree.

Estimates are compared at 7 standard errors (3e-12 a number, fewer than 60 numbers); bands hold at delta = 1e-10.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sloc
from sloc.contracts import ContractError, InvalidInput
from sloc.populations import Empirical, GaussianMixture, MarkovChains
from sloc.processes import Masking, OrderedMasking, OrnsteinUhlenbeck, Truncation, VarianceExploding
from tests.divergence.test_masks import LABELS, WEIGHTS, X, given_mask
from tests.oracles.mixtures import Line

KEY = jax.random.key(5)
VE = VarianceExploding()
W, MEANS = [0.2, 0.3, 0.5], [0.0, 4.0, 8.0]
THREE = GaussianMixture(W, np.asarray(MEANS)[:, None], 1.0)
TIMES = np.asarray([0.1, 1.5, 4.0])
ASKED: dict[str, Any] = {"n": 8192, "delta": 1e-10}


def truth(t: float) -> float:
    return Line(W, MEANS, 1.0, 1.0, t).tv([0], [1, 2])


@pytest.mark.slow
def test_the_pilot_chooses_time_by_time() -> None:
    curve = sloc.tv_curve(KEY, VE, THREE, TIMES, 0, [1, 2], **ASKED)
    exact = np.asarray([truth(t) for t in TIMES])
    assert exact[0] > 0.95
    assert exact[2] < 0.8
    assert "bridge" in curve.method
    assert "monte carlo" in curve.method
    assert "pilot draws" in curve.method
    assert curve.delta == ASKED["delta"], "parts at their shares of the level make up the whole"
    assert np.all(np.abs(curve.value - exact) <= 7 * curve.stderr)
    assert np.all((curve.lower <= exact) & (exact <= curve.upper))
    assert np.all(np.diff(curve.lower) <= 0)
    assert np.all(np.diff(curve.upper) <= 0)
    # Balanced draws are those of the name with the same key, the bridge's those of its name.
    for method, where in (("monte-carlo", 2), ("bridge", 0)):
        named = sloc.tv_curve(KEY, VE, THREE, TIMES, 0, [1, 2], method=method, **ASKED)
        assert named.value[where] == pytest.approx(curve.value[where], abs=1e-6)
        assert "pilot" not in named.method


def test_where_a_bridge_is_worse_the_pilot_takes_the_other() -> None:
    # Many components that interleave: g is far above min(p_A, p_B), while the two laws are close.
    crowd = GaussianMixture(np.full(24, 1 / 24), np.linspace(0, 3, 24)[:, None], 1.0)
    even, odd = list(range(0, 24, 2)), list(range(1, 24, 2))
    automatic = sloc.tv(KEY, VE, crowd, 0.1, even, odd, n=4096)
    bridge, balanced = (
        sloc.tv(KEY, VE, crowd, 0.1, even, odd, n=4096, method=method) for method in ("bridge", "balanced")
    )
    assert "monte carlo" in automatic.method
    assert automatic.value == balanced.value
    # The bridge would have been worse, per draw and not by luck: a factor of five in variance.
    assert bridge.stderr**2 * bridge.n > 5 * balanced.stderr**2 * balanced.n
    # The same two sets, now apart: 1 - TV is a hundredth, which balanced draws still see.
    apart = GaussianMixture(
        np.full(24, 1 / 24), np.tile([[0.0], [5.0]], (12, 1)) + np.linspace(0, 0.5, 24)[:, None], 1.0
    )
    automatic, balanced = (
        sloc.tv(KEY, VE, apart, 0.1, even, odd, n=4096, method=method) for method in ("auto", "balanced")
    )
    assert automatic.method.startswith("bridge")
    assert automatic.stderr**2 * automatic.n < balanced.stderr**2 * balanced.n / 10


@pytest.mark.parametrize(
    ("method", "words"),
    [("monte-carlo", "monte carlo"), ("balanced", "monte carlo"), ("bridge", "bridge"), ("mask-conditioned", "mask")],
)
def test_by_name(method: str, words: str) -> None:
    atoms = Empirical(X, LABELS, WEIGHTS)
    exact = 1 - sum(
        given_mask(np.asarray(known, bool)) * 0.3 ** (5 - sum(known)) * 0.7 ** sum(known)
        for known in np.ndindex(2, 2, 2, 2, 2)
    )
    found = sloc.tv(KEY, Masking(), atoms, 0.3, "a", ["b", "c"], method=method, **ASKED)
    assert found.method.startswith(words)
    assert abs(found.value - exact) <= 7 * found.stderr
    assert found.lower <= exact <= found.upper


def test_closed_forms_come_first_and_by_name_only_where_they_are() -> None:
    two = GaussianMixture([0.5, 0.5], [[0.0], [2.0]], 1.0)
    for method in ("auto", "closed-form"):
        assert sloc.tv(KEY, VE, two, 0.5, 0, 1, n=2, method=method).method == "exact"
    with pytest.raises(InvalidInput, match="closed form"):
        sloc.tv(KEY, VE, THREE, 0.5, 0, [1, 2], n=2, method="closed-form")
    with pytest.raises(InvalidInput, match=r"method = 'magic'.*mask-conditioned"):
        sloc.tv(KEY, VE, two, 0.5, 0, 1, n=2, method="magic")
    with pytest.raises(InvalidInput, match="revealing channel"):
        sloc.tv(KEY, VE, two, 0.5, 0, 1, n=2, method="mask-conditioned")
    with pytest.raises(InvalidInput, match="method = 'bridge'"):
        sloc.measure(KEY, VE, two, [0.5], [sloc.TV(0, 1)], n=2, method="bridge")


def test_a_fixed_order_is_exact() -> None:
    atoms, order = Empirical(X, LABELS, WEIGHTS), np.asarray([4, 0, 3, 1, 2])
    curve = sloc.tv_curve(KEY, OrderedMasking(order), atoms, np.arange(6), "a", ["b", "c"], n=64)
    exact = [1 - given_mask(~np.isin(np.arange(5), order[:t])) for t in range(6)]
    np.testing.assert_allclose(curve.value, exact, atol=1e-12)
    np.testing.assert_array_equal(curve.lower, curve.upper)
    assert (curve.n, curve.method, curve.delta) == (0, "exact, order of masking fixed", 0.0)
    nested = sloc.tv(KEY, Truncation(5), atoms, 2, "a", ["a", "b"], n=64)
    a, b = X[:2, :3], X[2:4, :3]
    agree = sum(min((a == s).all(1).mean(), (b == s).all(1).mean()) for s in np.unique(X[:, :3], axis=0))
    # TV(a, a + b) = w_b / (w_a + w_b) TV(a, b).
    assert nested.value == pytest.approx(0.5 / 0.7 * (1 - agree), abs=1e-12)


def test_no_bridge_no_pilot() -> None:
    chains = MarkovChains(np.full((2, 2), 0.5), np.asarray([np.eye(2), np.full((2, 2), 0.5)]), 5)
    found = sloc.tv(KEY, Masking(), chains, 0.5, 0, 1, n=1024)
    assert found.method == "monte carlo, exact marginals"
    with pytest.raises(ContractError, match="no bridge"):
        sloc.tv(KEY, Masking(), chains, 0.5, 0, 1, n=1024, method="bridge")


def test_traced_automatic_is_balanced() -> None:
    @jax.jit
    def traced(means: jax.Array) -> jax.Array:
        mixture = GaussianMixture(jnp.asarray(W, jnp.float32), means)
        return sloc.tv(KEY, VE, mixture, 0.1, 0, [1, 2], n=4096).value

    plain = sloc.tv(KEY, VE, THREE, 0.1, 0, [1, 2], n=4096, method="monte-carlo")
    assert float(traced(jnp.asarray(MEANS, jnp.float32)[:, None])) == pytest.approx(plain.value, abs=2e-6)


def test_large_problems_are_not_piloted() -> None:
    rng = np.random.default_rng(0)
    many = Empirical(rng.normal(size=(4200, 1)), np.arange(4200) % 2)
    found = sloc.tv(KEY, OrnsteinUhlenbeck(), many, 0.5, 0, 1, n=64)
    assert found.method == "monte carlo, exact marginals"
