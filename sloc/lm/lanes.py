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
    kv, g, d, lanes = config.kv_heads, config.groups, config.head_dim, q.shape[-1]
    q = q * jnp.asarray(d**-0.5, q.dtype)
    # Heads that share keys stand together: [kv, d, g, B].
    q = q.reshape(kv, g, d, lanes).swapaxes(1, 2)
    window = config.window(i)
    own = _Ring(ring_keys, ring_values, slot, jnp.minimum(ages, window) if window else ages)
    at = jnp.arange(prefix.keys[i].shape[1], dtype=jnp.int32)[:, None, None]
    seen = at < cuts
    if window:
        seen = seen & (at > positions - window)

    def scores() -> Array:
        # [kv, S, g, B]: one product for all lanes.
        found = matmul("ksd,kdn->ksn", prefix.keys[i], q.reshape(kv, d, -1)).astype(jnp.float32)
        return found.reshape(kv, -1, g, lanes)

    def largest() -> Array:
        best = jnp.max(jnp.where(seen, scores(), -1e30), axis=1)
        return own.largest(q, best)

    # Cauchy and Schwarz bound every score; where the bound is small, no shift and so no further pass is needed.
    calm = longest_of(q, 1) * longest < _SAFE
    shift = jax.lax.cond(calm, lambda: jnp.zeros((kv, g, lanes), jnp.float32), largest)
    weight = jnp.where(seen, jnp.exp(scores() - shift[:, None]), 0.0)
    flat = weight.reshape(kv, -1, g * lanes).astype(prefix.values[i].dtype)
    # A row of ones beside the values gives the denominator by the same product.
    out = matmul("kds,ksn->kdn", prefix.values[i], flat).astype(jnp.float32).reshape(kv, d + 1, g, lanes)
    top, bottom = own.sums(q, shift, out[:, :-1], out[:, -1])
    return (top / bottom[:, None]).swapaxes(1, 2).reshape(kv * g, d, lanes)


class _Ring:
    """The branches' own keys and values, newest chunk of slots first.

    Sums over features and slots are written out, so that the compiler makes loops over lanes of them: reductions over axes in
    the middle are slow on CPUs.
    """

    def __init__(self, keys: Array, values: Array, slot: Array, reach: Array) -> None:
        self.keys, self.values, self.slot, self.reach = keys, values, slot, reach
        oldest = jnp.max(reach) - 1
        back = slot // CHUNK - jnp.floor_divide(slot - oldest, CHUNK)
        self.chunks = jnp.minimum(back + 1, keys.shape[0] // CHUNK)

    def chunk(self, j: Array, which: Array) -> tuple[Array, Array]:
        """Return a chunk ``[CHUNK, kv, d, B]`` in float32 and which of its slots each lane sees, ``[CHUNK, 1, 1, B]``."""
        slots = self.keys.shape[0]
        start = jnp.mod(self.slot // CHUNK - j, slots // CHUNK) * CHUNK
        back = jnp.mod(self.slot - start - jnp.arange(CHUNK, dtype=jnp.int32), slots)
        part = jax.lax.dynamic_slice_in_dim(which, start, CHUNK, axis=0)
        return part.astype(jnp.float32), back[:, None, None, None] < self.reach

    def scores(self, q: Array, j: Array) -> tuple[Array, Array]:
        """Return ``[CHUNK, kv, g, B]`` in float32 and the mask, for queries ``[kv, d, g, B]``."""
        keys, seen = self.chunk(j, self.keys)
        q = q.astype(jnp.float32)
        return _summed([q[None, :, d] * keys[:, :, d, None] for d in range(q.shape[1])]), seen

    def sums(self, q: Array, shift: Array, top: Array, bottom: Array) -> tuple[Array, Array]:
        """Add the branches' own part to numerators ``[kv, d, g, B]`` and denominators ``[kv, g, B]``."""

        def add(j: Array, so_far: tuple[Array, Array]) -> tuple[Array, Array]:
            top, bottom = so_far
            scores, seen = self.scores(q, j)
            weight = jnp.where(seen, jnp.exp(scores - shift), 0.0)
            values, _ = self.chunk(j, self.values)
            top = top + _summed([weight[c, :, None] * values[c, :, :, None] for c in range(CHUNK)])
            return top, bottom + _summed([weight[c] for c in range(CHUNK)])

        return jax.lax.fori_loop(0, self.chunks, add, (top, bottom))

    def largest(self, q: Array, best: Array) -> Array:
        """Return the largest score of each lane, ``[kv, g, B]``, of the prefix's and its own."""

        def look(j: Array, best: Array) -> Array:
            scores, seen = self.scores(q, j)
            return jnp.maximum(best, jnp.max(jnp.where(seen, scores, -1e30), axis=0))

        return jax.lax.fori_loop(0, self.chunks, look, best)


def _summed(terms: list[Any]) -> Any:
    """Return a sum by pairs: short chains, and less rounding than one after the other."""
    while len(terms) > 1:
        terms = [a + b for a, b in zip(terms[::2], terms[1::2], strict=False)] + (terms[-1:] if len(terms) % 2 else [])
    return terms[0]
