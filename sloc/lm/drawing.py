"""Drawing tokens for many lanes at once: tokens on the first axis, lanes on the last."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp

from sloc.engine.normals import threefry, written_out
from sloc.lm.sampling import Sampling, threshold

Array = jax.Array

_LANES = 4_096
"""Tokens that ``draw_many`` draws side by side."""


def uniforms(keys: Array, step: Array) -> Array:
    """Return two uniform numbers in [0, 1) for each lane, ``[2, B]``, from its branch's key and its own step.

    They depend on nothing else, so a branch draws the same whoever is beside it.
    """
    if written_out(keys):
        words, zero = jax.random.key_data(keys), jnp.zeros(step.shape, jnp.uint32)
        folded = threefry((words[:, 0], words[:, 1]), (zero, step.astype(jnp.uint32)))
        bits = jnp.stack([jnp.bitwise_xor(*threefry(folded, (zero, zero + i))) for i in range(2)])
    else:
        bits = jax.vmap(lambda key, at: jax.random.bits(jax.random.fold_in(key, at), (2,)))(keys, step).T
    return (bits >> 8).astype(jnp.float32) * jnp.float32(2.0**-24)


def draw_tokens(logits: Array, u: Array, sampling: Sampling) -> tuple[Array, Array]:
    """Draw a token for each lane from the exact law of ``sloc.lm.sampling.log_law``, by inversion.

    Tokens are dealt into about ``sqrt(V)`` piles; the first uniform number chooses a pile by its mass, the second a
    token within it: sums stay short, so that a token of probability 1e-9 still has its chance.

    Args:
        logits: ``[V, B]`` in float32.
        u: ``[2, B]``, uniform in [0, 1).
        sampling: the law.

    Returns:
        Tokens ``[B]`` (int32) and their log-probabilities under that law.

    """
    if sampling.temperature == 0:
        return jnp.argmax(logits, axis=0).astype(jnp.int32), jnp.zeros(logits.shape[1], jnp.float32)
    size, lanes = logits.shape
    scaled = logits / sampling.temperature
    mass = jnp.exp(scaled - jnp.max(scaled, axis=0))
    if sampling.truncates:
        mass = jnp.where(mass >= threshold(mass, sampling, 0), mass, 0.0)
    piles = math.isqrt(size - 1) + 1
    rows = -(-size // piles)
    dealt = jnp.pad(mass, ((0, rows * piles - size), (0, 0))).reshape(rows, piles, lanes)
    sums = jnp.sum(dealt, axis=0)
    pile, total = _inverted(sums, u[0])
    inside = jnp.take_along_axis(dealt, pile[None, None, :], axis=1)[:, 0]
    row, _ = _inverted(inside, u[1])
    chosen = jnp.take_along_axis(inside, row[None], axis=0)[0]
    return row * piles + pile, jnp.log(chosen / total)


def _inverted(mass: Array, u: Array) -> tuple[Array, Array]:
    """Return, for each column, the index at which the running sum passes ``u`` times the total, and the total."""
    n = mass.shape[0]
    lower = jnp.tril(jnp.ones((n, n), mass.dtype))
    running = jnp.matmul(lower, mass, precision="highest")
    total = running[-1]
    index = jnp.sum(running <= u * total, axis=0, dtype=jnp.int32)
    # Rounding may pass the end, or a place without mass: the heaviest is then taken.
    index = jnp.minimum(index, n - 1)
    there = jnp.take_along_axis(mass, index[None], axis=0)[0] > 0
    # As argmax, in two sums over columns that are a good deal faster.
    places = jax.lax.broadcasted_iota(jnp.int32, mass.shape, 0)
    heaviest = jnp.min(jnp.where(mass == jnp.max(mass, axis=0), places, n - 1), axis=0)
    return jnp.where(there, index, heaviest), total


def draw_many(key: Array, logits: Any, n: int, sampling: Sampling) -> Array:
    """Draw ``n`` independent tokens from one vector of logits ``[V]`` as the decoder does; int32 ``[n]``."""
    lanes = min(n, _LANES)
    logits = jnp.asarray(logits, jnp.float32)
    columns = jnp.broadcast_to(logits[:, None], (logits.shape[0], lanes))

    def block(at: Array) -> Array:
        keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(at * lanes + jnp.arange(lanes, dtype=jnp.int32))
        return draw_tokens(columns, uniforms(keys, jnp.zeros(lanes, jnp.int32)), sampling)[0]

    return jax.lax.map(block, jnp.arange(-(-n // lanes), dtype=jnp.int32)).reshape(-1)[:n]
