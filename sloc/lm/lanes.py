"""One decoding step for many branches: lanes on the last axis, the prefix read once for all.

The keys and values that the branches make lie in a ring: in each step every lane writes the same slot, whatever its
branch's age, so that a lane can be given to another branch at any time; a lane sees the slots written since its branch
came.  Attention to the shared prefix is one matrix product for all lanes (Juravsky et al. 2024, arXiv 2402.05099), with
positions from the cut on masked; it is joined with each branch's own part by adding numerators and denominators
under a common shift, which is the log-sum-exp rule.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from sloc.lm.config import DecoderConfig
from sloc.lm.layers import Weights, activated, angles, linear, matmul, normalised, rotated
from sloc.lm.prefix import Prefix, longest_of

Array = jax.Array

CHUNK = 8
"""Slots of the ring that are read together."""
_SAFE = 60.0
"""Scores within this need no shift in float32: sums of e^60 stay far below its end."""


def run_lanes(
    config: DecoderConfig,
    weights: Weights,
    prefix: Prefix,
    keys: list[Array],
    values: list[Array],
    longest: Array,
    slot: Array,
    tokens: Array,
    cuts: Array,
    ages: Array,
) -> tuple[Array, list[Array], list[Array], Array]:
    """Read one token of each lane.

    Args:
        config: of the model.
        weights: of the model.
        prefix: what the branches share.
        keys: for each layer the ring ``[T, kv_heads, head_dim, B]``, written in place.
        values: the same.
        longest: ``[layers]``, the longest key so far, prefix included: bounds the scores.
        slot: where this step writes.
        tokens: ``[B]``, the lanes' last tokens.
        cuts: ``[B]``, how many tokens of the prefix each lane's branch keeps.
        ages: ``[B]``, tokens that the branch has read, this one included.

    Returns:
        Normalised features ``[E, B]`` before the last layer, the rings, and the longest keys.

    """
    lanes = tokens.shape[0]
    positions = cuts + ages - 1
    h = weights["embed"][tokens].T
    turn = None
    if config.rotary is None:
        h = h + weights["positions"][jnp.minimum(positions, config.max_positions - 1)].T
    else:
        turn = angles(config.rotary, positions, prefix.long)
    keys, values, reached = list(keys), list(values), []
    for i, layer in enumerate(weights["layers"]):
        a = normalised(config, layer["attn_norm"], h, 0)
        q, k, v = (linear(layer[n], a, lanes=True).reshape(-1, config.head_dim, lanes) for n in "qkv")
        if config.qk_norm:
            q, k = normalised(config, layer["q_norm"], q, 1), normalised(config, layer["k_norm"], k, 1)
        if turn is not None:
            q, k = (rotated(x, *(t[None] for t in turn), axis=1) for x in (q, k))
        keys[i] = jax.lax.dynamic_update_slice(keys[i], k[None].astype(keys[i].dtype), (slot, 0, 0, 0))
        values[i] = jax.lax.dynamic_update_slice(values[i], v[None].astype(values[i].dtype), (slot, 0, 0, 0))
        reached.append(jnp.maximum(longest[i], longest_of(k, 1)))
        seen = _attended(config, i, q, prefix, keys[i], values[i], reached[i], slot, positions, cuts, ages)
        h = h + linear(layer["o"], seen.astype(h.dtype).reshape(-1, lanes), lanes=True)
        h = h + activated(config, layer, normalised(config, layer["mlp_norm"], h, 0), lanes=True)
    return normalised(config, weights["norm"], h, 0), keys, values, jnp.stack(reached)


def _attended(
    config: DecoderConfig,
    i: int,
    q: Array,
    prefix: Prefix,
    ring_keys: Array,
    ring_values: Array,
    longest: Array,
    slot: Array,
    positions: Array,
    cuts: Array,
    ages: Array,
) -> Array:
    """Return what attention gives, ``[heads, head_dim, B]`` in float32."""
    q = q * jnp.asarray(config.head_dim**-0.5, q.dtype)
    window = config.window(i)
    own = _Ring(ring_keys, ring_values, slot, jnp.minimum(ages, window) if window else ages)
    at = jnp.arange(prefix.keys[i].shape[1], dtype=jnp.int32)[:, None]
    seen = at < cuts
    if window:
        seen = seen & (at > positions - window)

    def scores(head: int) -> Array:
        # [S, groups * B]: one product for all lanes.
        g = config.groups
        mine = q[head * g : (head + 1) * g].swapaxes(0, 1).reshape(config.head_dim, -1)
        found = matmul("sd,dn->sn", prefix.keys[i][head].astype(q.dtype), mine).astype(jnp.float32)
        return found.reshape(found.shape[0], g, -1)

    def joined(shift: Array | None) -> Array:
        tops, bottoms = [], []
        for head in range(config.kv_heads):
            s = scores(head)
            g = slice(head * config.groups, (head + 1) * config.groups)
            s = s if shift is None else s - shift[g]
            weight = jnp.where(seen[:, None], jnp.exp(s), 0.0)
            flat = weight.reshape(weight.shape[0], -1)
            v = prefix.values[i][head].astype(jnp.float32)
            # A row of ones beside the values gives the denominator by the same product.
            wide = jnp.concatenate([v, jnp.ones((v.shape[0], 1), jnp.float32)], axis=1)
            out = matmul("sd,sn->dn", wide, flat).reshape(config.head_dim + 1, config.groups, -1)
            tops.append(out[:-1].swapaxes(0, 1))
            bottoms.append(out[-1])
        top, bottom = own.sums(config, q, shift, jnp.concatenate(tops), jnp.concatenate(bottoms))
        return top / bottom[:, None]

    def shifted() -> Array:
        best = [jnp.max(jnp.where(seen[:, None], scores(head), -jnp.inf), axis=0) for head in range(config.kv_heads)]
        return joined(own.largest(config, q, jnp.concatenate(best)))

    # Cauchy and Schwarz bound every score; where the bound is small, no shift and so no second pass is needed.
    return jax.lax.cond(longest_of(q, 1) * longest < _SAFE, lambda: joined(None), shifted)


class _Ring:
    """The branches' own keys and values, newest chunk of slots first."""

    def __init__(self, keys: Array, values: Array, slot: Array, reach: Array) -> None:
        self.keys, self.values, self.slot, self.reach = keys, values, slot, reach
        chunks = keys.shape[0] // CHUNK
        oldest = jnp.max(reach) - 1
        self.chunks = jnp.minimum(slot // CHUNK - jnp.floor_divide(slot - oldest, CHUNK) + 1, chunks)

    def chunk(self, j: Array, which: Array) -> tuple[Array, Array]:
        """Return a chunk ``[CHUNK, kv_heads, head_dim, B]`` and which of its slots each lane sees, ``[CHUNK, B]``."""
        slots = self.keys.shape[0]
        start = jnp.mod(self.slot // CHUNK - j, slots // CHUNK) * CHUNK
        back = jnp.mod(self.slot - start - jnp.arange(CHUNK, dtype=jnp.int32), slots)
        part = jax.lax.dynamic_slice_in_dim(which, start, CHUNK, axis=0)
        return part, back[:, None] < self.reach

    def scores(self, config: DecoderConfig, q: Array, j: Array) -> tuple[list[Array], Array]:
        """Return, for each head, ``[CHUNK, B]`` in float32, and the mask."""
        keys, seen = self.chunk(j, self.keys)
        found = []
        for head in range(config.heads):
            mine, theirs = q[head].astype(jnp.float32), keys[:, head // config.groups].astype(jnp.float32)
            found.append(_summed([mine[d] * theirs[:, d] for d in range(config.head_dim)]))
        return found, seen

    def sums(
        self, config: DecoderConfig, q: Array, shift: Array | None, top: Array, bottom: Array
    ) -> tuple[Array, Array]:
        """Add the branches' own part to numerators ``[heads, head_dim, B]`` and denominators ``[heads, B]``."""

        def add(j: Array, so_far: tuple[Array, Array]) -> tuple[Array, Array]:
            top, bottom = so_far
            scores, seen = self.scores(config, q, j)
            values, _ = self.chunk(j, self.values)
            values = values.astype(jnp.float32)
            tops, bottoms = [], []
            for head, s in enumerate(scores):
                s = s if shift is None else s - shift[head]
                weight = jnp.where(seen, jnp.exp(s), 0.0)
                v = values[:, head // config.groups]
                tops.append(top[head] + _summed([weight[c] * v[c] for c in range(CHUNK)]))
                bottoms.append(bottom[head] + _summed([weight[c] for c in range(CHUNK)]))
            return jnp.stack(tops), jnp.stack(bottoms)

        return jax.lax.fori_loop(0, self.chunks, add, (top, bottom))

    def largest(self, config: DecoderConfig, q: Array, best: Array) -> Array:
        """Return the largest score of each lane, ``[heads, B]``, of the prefix's and its own."""

        def look(j: Array, best: Array) -> Array:
            scores, seen = self.scores(config, q, j)
            tops = [jnp.max(jnp.where(seen, s, -jnp.inf), axis=0) for s in scores]
            return jnp.maximum(best, jnp.stack(tops))

        # Not minus infinity: an idle lane sees nothing.
        return jnp.maximum(jax.lax.fori_loop(0, self.chunks, look, best), -1e30)


def _summed(terms: list[Any]) -> Any:
    """Return a sum by pairs: short chains, and less rounding than one after the other."""
    while len(terms) > 1:
        terms = [a + b for a, b in zip(terms[::2], terms[1::2], strict=False)] + (terms[-1:] if len(terms) % 2 else [])
    return terms[0]
