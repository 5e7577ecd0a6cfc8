"""Half-spaces: probabilities of the answers, forgetting, the bridge, refusals."""

from __future__ import annotations

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_ndtr, ndtr

import sloc
from sloc.contracts import InvalidInput, Revealed
from sloc.processes import HalfSpace

DIRECTIONS = np.asarray([[1.0, 0.0], [0.0, 2.0], [1.0, -1.0]])
OFFSETS = np.asarray([0.2, -0.5, 0.1])
X = np.asarray([0.5, 0.3])
MARGINS = DIRECTIONS @ X - OFFSETS
masses = jax.jit(jax.vmap(HalfSpace.log_prob, (None, 0, None, None)))


def patterns():
    """Return every observation of three answers."""
    known = np.asarray(list(itertools.product([False, True], repeat=3)))
    values = np.asarray(list(itertools.product([0, 1], repeat=3)))
    return [(k, np.where(k, v, 0)) for k in known for v in np.unique(np.where(k, values, 0), axis=0)]


@pytest.mark.parametrize("noise", [0.0, 0.7])
def test_masses(noise):
    process, t = HalfSpace(DIRECTIONS, OFFSETS, noise).canonical(), 0.3
    every = patterns()
    y = Revealed(jnp.asarray([v for _, v in every], jnp.int32), jnp.asarray([k for k, _ in every]))
    found = masses(process, y, jnp.asarray(X, jnp.float32), jnp.float32(t))
    with np.errstate(divide="ignore"):
        inside = (MARGINS >= 0).astype(float) if noise == 0 else ndtr(MARGINS / noise)
        expected = [
            np.sum(np.where(k, np.log(np.where(v == 1, inside, 1 - inside)) + np.log(1 - t), np.log(t)))
            for k, v in every
        ]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.exp(found).sum(), 1.0, rtol=1e-5)


def test_far_answers_keep_their_digits():
    process = HalfSpace(DIRECTIONS, OFFSETS, 0.01).canonical()
    every = patterns()
    y = Revealed(jnp.zeros((len(every), 3), jnp.int32), jnp.ones((len(every), 3), bool))
    found = masses(process, y, jnp.asarray(X, jnp.float32), jnp.float32(0.0))
    np.testing.assert_allclose(found, log_ndtr(-MARGINS / 0.01).sum(), rtol=1e-4)


def test_answers_are_nested_and_shared():
    process = HalfSpace.random(jax.random.key(0), 200, 2, noise=0.5)
    draw = jax.jit(jax.vmap(lambda t: process.sample(jax.random.key(1), jnp.asarray(X, jnp.float32), t)))
    y = draw(jnp.asarray([0.0, 0.4, 1.0]))
    assert np.asarray(y.known)[0].all()
    assert not np.asarray(y.known)[2].any()
    assert np.all(np.diff(np.asarray(y.known, int), axis=0) <= 0)
    known = np.asarray(y.known)[1]
    np.testing.assert_array_equal(np.asarray(y.values)[1][known], np.asarray(y.values)[0][known])


def test_bridge_draws_new_answers_given_x():
    # Hoeffding over 20,000 answers: off by 0.03 with probability below 2 exp(-36) each.
    n, s, t, noise = 20_000, 0.2, 0.6, 0.4
    process = HalfSpace(np.broadcast_to(DIRECTIONS[0], (n, 2)), 0.2, noise).canonical()
    nothing = Revealed(jnp.zeros(n, jnp.int32), jnp.zeros(n, bool))
    bridge = jax.jit(process.bridge)
    back = bridge(jax.random.key(0), nothing, jnp.asarray(X, jnp.float32), jnp.float32(s), jnp.float32(t))
    known, values = np.asarray(back.known), np.asarray(back.values)
    assert abs(known.mean() - (1 - s / t)) < 0.03
    assert abs(values[known].mean() - ndtr(0.3 / noise)) < 0.03
    everything = Revealed(jnp.zeros(n, jnp.int32), jnp.ones(n, bool))
    kept = bridge(jax.random.key(0), everything, jnp.asarray(X, jnp.float32), jnp.float32(s), jnp.float32(t))
    assert not np.asarray(kept.values).any()


@pytest.mark.slow
def test_window_of_two_points():
    # Without noise two points differ in the answers of the half-spaces that separate them: TV = 1 - t^h.
    data = np.asarray([[1.0, 1.0], [-1.0, -1.0]])
    process = HalfSpace.random(jax.random.key(2), 6, 2)
    answers = data @ np.asarray(process.directions).T >= np.asarray(process.offsets)
    h, t = int((answers[0] != answers[1]).sum()), 0.7
    assert h >= 2
    found = sloc.tv(jax.random.key(0), process, sloc.populations.Empirical(data), t, 0, 1, n=4096)
    # Six standard errors are missed with probability 2e-9.
    assert abs(float(found.value) - (1 - t**h)) < 6 * float(found.stderr) + 1e-5


@pytest.mark.parametrize(
    ("process", "message"),
    [
        (HalfSpace([1.0, 2.0]), r"directions = \(2,\): expected a matrix"),
        (HalfSpace([[0.0, 0.0]]), "no direction that is zero"),
        (HalfSpace([[np.inf, 0.0]]), "directions = .*finite"),
        (HalfSpace(DIRECTIONS, [0.0, 1.0]), r"offsets = \(2,\)"),
        (HalfSpace(DIRECTIONS, np.nan), "offsets = nan: expected finite"),
        (HalfSpace(DIRECTIONS, 0.0, -1.0), "noise = -1.0: expected a finite number, not negative"),
        (HalfSpace(DIRECTIONS, 0.0, [1.0]), "noise = .*one number"),
    ],
)
def test_bad_half_spaces_are_refused(process, message):
    with pytest.raises(InvalidInput, match=message):
        process.validate()


def test_sizes_must_agree():
    with pytest.raises(InvalidInput, match="2 coordinates"):
        HalfSpace(DIRECTIONS).canonical().sample(jax.random.key(0), jnp.zeros(3), jnp.float32(0.5))
    with pytest.raises(InvalidInput, match="count = 0"):
        HalfSpace.random(jax.random.key(0), 0, 2)
