"""Erasure at a rate of its own for each coordinate: closed forms, masking as a case of it, refusals."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sloc.contracts import InvalidInput
from sloc.processes import Erasure, Masking

RATES = np.asarray([0.5, 1.0, 3.0])
log_masses = jax.jit(jax.vmap(Erasure.log_mask_prob, (None, 0, None)))


def mass(known, t):
    """Probability of one pattern, written out."""
    hidden = t**RATES
    return float(np.prod(np.where(known, 1 - hidden, hidden)))


@pytest.mark.parametrize("t", [0.0, 0.4, 1.0])
def test_pattern_masses(t):
    patterns = np.asarray(list(itertools.product([False, True], repeat=3)))
    process = Erasure(RATES).canonical()
    found = np.exp(log_masses(process, jnp.asarray(patterns), jnp.float32(t)))
    np.testing.assert_allclose(found, [mass(known, t) for known in patterns], rtol=1e-5, atol=1e-7)


def test_gradients_are_finite_where_the_mass_is():
    slope = jax.jit(jax.grad(Erasure.log_mask_prob, argnums=2))
    process, seen = Erasure([1.0, 1.0, 3.0]).canonical(), jnp.ones(3, bool)
    assert slope(process, seen, jnp.float32(0.0)) == -2.0
    np.testing.assert_allclose(slope(process, ~seen, jnp.float32(0.4)), 5.0 / 0.4, rtol=1e-5)
    assert slope(process, ~seen, jnp.float32(1.0)) == 5.0


def test_counts_and_hidden_probability():
    t = 0.3
    found: Any = Erasure(RATES).count_law(3, t)
    counts, law = found
    patterns = np.asarray(list(itertools.product([False, True], repeat=3)))
    expected = [sum(mass(k, t) for k in patterns if k.sum() == c) for c in counts]
    np.testing.assert_allclose(law, expected, rtol=1e-12)
    assert Erasure(RATES).hidden_probability(np.asarray([True, False, True]), t) == pytest.approx(t**3.5, rel=1e-13)
    assert Erasure(RATES).hidden_probability(np.zeros(3, bool), t) == 1.0


def test_equal_rates_are_masking():
    found: Any = Erasure().count_law(5, 0.3)
    np.testing.assert_allclose(found[1], Masking().count_law(5, 0.3)[1], rtol=1e-12)
    x = jnp.zeros((2, 3), jnp.int32)
    one, two = Erasure().canonical().thresholds(jax.random.key(0), x), Masking().thresholds(jax.random.key(0), x)
    np.testing.assert_allclose(one, two, rtol=1e-5)


@pytest.mark.parametrize("exponents", [0.0, [1.0, -1.0], np.nan, np.inf, []])
def test_rates_must_be_positive(exponents):
    with pytest.raises(InvalidInput, match=r"exponents = .*: expected positive, finite numbers"):
        Erasure(exponents).validate()


def test_sizes_must_agree():
    with pytest.raises(InvalidInput, match=r"x = .*: expected an X of 3 coordinates"):
        Erasure(RATES).canonical().thresholds(jax.random.key(0), jnp.zeros(4))
    with pytest.raises(InvalidInput, match=r"x = \(4,\): expected shape \(3,\)"):
        jax.eval_shape(Erasure(RATES).canonical().thresholds, jax.random.key(0), jnp.zeros(4))
