"""Masking, ordered masking, truncation: closed forms, nesting, boundaries, refusals."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sloc.contracts import InvalidInput, Revealed
from sloc.processes import Masking, OrderedMasking, Truncation

FIXED = [OrderedMasking([2, 0, 3, 1]), Truncation(4)]


@pytest.mark.parametrize("h", [0, 1, 3, 10])
def test_masking_hidden_probability(h):
    coordinates = np.arange(12) < h
    assert Masking().hidden_probability(coordinates.reshape(3, 4), 0.3) == pytest.approx(0.3**h, rel=1e-14)
    assert Masking().hidden_probability(coordinates, 0.0) == float(h == 0)
    assert isinstance(Masking().hidden_probability(coordinates, 0.5), float)


def test_masking_count_law_is_binomial():
    from math import comb

    counts, p = Masking().count_law(7, 0.2)
    np.testing.assert_array_equal(counts, np.arange(8))
    np.testing.assert_allclose(p, [comb(7, k) * 0.8**k * 0.2 ** (7 - k) for k in range(8)], rtol=1e-12)
    assert p.dtype == np.float64
    np.testing.assert_array_equal(Masking().count_law(3, 0.0)[1], [0, 0, 0, 1])
    np.testing.assert_array_equal(Masking().count_law(3, 1.0)[1], [1, 0, 0, 0])


@pytest.mark.parametrize("t", [0.0, 0.3, 1.0])
def test_masking_patterns_sum_to_one(t):
    patterns = jnp.asarray(list(itertools.product([False, True], repeat=5)))
    log_p = jax.vmap(Masking().log_mask_prob, in_axes=(0, None))(patterns, jnp.float32(t))
    assert not np.isnan(log_p).any()
    np.testing.assert_allclose(np.exp(log_p).sum(), 1.0, rtol=1e-5)


@pytest.mark.parametrize(("t", "known"), [(0.0, True), (1.0, False)])
def test_masking_at_the_ends(t, known):
    x = jnp.arange(6, dtype=jnp.int32).reshape(2, 3)
    y = Masking().sample(jax.random.key(0), x, jnp.float32(t))
    assert np.all(np.asarray(y.known) == known)
    assert Masking().log_prob(y, x, jnp.float32(t)) == 0.0
    assert np.isfinite(jax.grad(lambda t: Masking().log_prob(y, x, t))(jnp.float32(t)))


@pytest.mark.parametrize(
    ("process", "times"),
    [(Masking(), np.linspace(0, 1, 9, dtype=np.float32)), *((p, np.arange(5, dtype=np.int32)) for p in FIXED)],
    ids=["Masking", "OrderedMasking", "Truncation"],
)
def test_observations_are_nested(process, times):
    x = jnp.asarray([1, 2, 3, 4], jnp.int32)
    known = jax.vmap(lambda t: process.sample(jax.random.key(5), x, t).known)(jnp.asarray(times))
    assert np.all(np.diff(np.asarray(known, int), axis=0) <= 0)
    assert np.asarray(known)[0].all()
    assert not np.asarray(known)[-1].any()


def test_values_are_zero_where_hidden():
    x = jnp.full((40,), 7.0)
    y = Masking().sample(jax.random.key(1), x, jnp.float32(0.5))
    np.testing.assert_array_equal(y.values, np.where(y.known, 7.0, 0.0))


def test_disagreement_is_impossible():
    y = Revealed(jnp.asarray([1, 0]), jnp.asarray([True, False]))
    assert Masking().log_prob(y, jnp.asarray([2, 5]), jnp.float32(0.5)) == -np.inf
    assert np.isfinite(Masking().log_prob(y, jnp.asarray([1, 5]), jnp.float32(0.5)))


def test_ordered_masking_hides_in_order():
    process, x = OrderedMasking([2, 0, 3, 1]).canonical(), jnp.asarray([5, 6, 7, 8], jnp.int32)
    for t, hidden in enumerate([[], [2], [2, 0], [2, 0, 3], [2, 0, 3, 1]]):
        y = process.sample(jax.random.key(0), x, jnp.int32(t))
        expected = ~np.isin(np.arange(4), hidden)
        np.testing.assert_array_equal(y.known, expected)
        assert process.log_prob(y, x, jnp.int32(t)) == 0.0
        if t:
            assert process.log_prob(y, x, jnp.int32(t - 1)) == -np.inf


def test_truncation_hides_the_end():
    y = Truncation(4).sample(jax.random.key(0), jnp.asarray([5, 6, 7, 8], jnp.int32), jnp.int32(3))
    np.testing.assert_array_equal(y.known, [True, False, False, False])


@pytest.mark.parametrize("process", FIXED, ids=lambda p: type(p).__name__)
def test_fixed_order_closed_forms(process):
    assert process.horizon == 4
    np.testing.assert_array_equal(process.grid(99), np.arange(5))
    assert process.grid(99).dtype == np.int32
    first, last = (2, 1) if isinstance(process, OrderedMasking) else (3, 0)
    assert process.hidden_probability(np.arange(4) == first, 1) == 1.0
    assert process.hidden_probability(np.arange(4) == last, 3) == 0.0
    assert process.hidden_probability(np.ones(4, bool), 4) == 1.0
    counts, p = process.count_law(4, 1)
    np.testing.assert_array_equal(counts, [3])
    np.testing.assert_array_equal(p, [1.0])


def test_another_order_does_not_recompile():
    traces = []

    @jax.jit
    def run(process, x):
        traces.append(1)
        return process.sample(jax.random.key(0), x, jnp.int32(2)).known

    x = jnp.zeros(3, jnp.int32)
    one, two = run(OrderedMasking([0, 1, 2]).canonical(), x), run(OrderedMasking(np.asarray([2, 1, 0])).canonical(), x)
    np.testing.assert_array_equal(one, [False, False, True])
    np.testing.assert_array_equal(two, [True, False, False])
    assert len(traces) == 1


@pytest.mark.parametrize("order", [[0, 0, 1], [1, 2, 3], [[0, 1], [1, 0]], [0.0, 1.0], []])
def test_order_must_be_a_permutation(order):
    with pytest.raises(InvalidInput, match="order"):
        OrderedMasking(order).validate()


@pytest.mark.parametrize("length", [0, -1, 2.5, True])
def test_length_must_be_a_positive_int(length):
    with pytest.raises(InvalidInput, match="length"):
        Truncation(length).validate()


def test_sizes_must_agree():
    with pytest.raises(InvalidInput, match="4 coordinates"):
        Truncation(4).sample(jax.random.key(0), jnp.zeros(5), jnp.int32(1))
    with pytest.raises(InvalidInput, match="length"):
        Truncation(4).count_law(5, 1)
