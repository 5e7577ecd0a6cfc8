"""One decoding step for many branches: lanes on the last axis, the prefix read once for all.

The keys and values that the branches make lie in a ring: in each step every lane writes the same slot, whatever its
branch's age, so that a lane can be given to another branch at any time; a lane sees the slots written since its branch
came.  Attention to the shared prefix is one matrix product for all lanes (Juravsky et al. 2024, arXiv 2402.05099), with
positions from the cut on masked; it is joined with each branch's own part by adding numerators and denominators
under a common shift, which is the log-sum-exp rule.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from sloc.lm.config import DecoderConfig
from sloc.lm.layers import Weights, activated, angles, linear, matmul, normalised
from sloc.lm.prefix import Shared

Array = jax.Array

CHUNK = 8
"""Slots of the ring that are read together."""
_SMALL = 1_024
"""Features of a token up to which matrices are joined."""
_LARGE = 1e30
"""Sums of attention's weights below this are far from the end of float32, whatever they multiply."""


def run_lanes(
    config: DecoderConfig,
    weights: Weights,
    prefix: Shared,
    keys: list[Array],
    values: list[Array],
    slot: Array,
    tokens: Array,
    cuts: Array,
    ages: Array,
) -> tuple[Array, list[Array], list[Array]]:
    """Read one token of each lane.

    Args:
        config: of the model.
        weights: of the model.
        prefix: what the branches share.
        keys: for each layer the ring ``[T, kv_heads, head_dim, B]``, written in place.
        values: the same.
        slot: where this step writes.
        tokens: ``[B]``, the lanes' last tokens.
        cuts: ``[B]``, how many tokens of the prefix each lane's branch keeps.
        ages: ``[B]``, tokens that the branch has read, this one included.

    Returns:
        Normalised features ``[E, B]`` before the last layer, and the rings.

    """
    lanes = tokens.shape[0]
    positions = cuts + ages - 1
    h = weights["embed"][tokens].T
    turn = None
    if config.rotary is None:
        h = h + weights["positions"][jnp.minimum(positions, config.max_positions - 1)].T
    else:
        cosines, sines = angles(config.rotary, positions, prefix.long)
        turn = jnp.concatenate([cosines, cosines]), jnp.concatenate([-sines, sines])
    keys, values = list(keys), list(values)
    for i, layer in enumerate(weights["layers"]):
        a = normalised(config, layer["attn_norm"], h, 0)
        if "qkv" in layer:
            heads = linear(layer["qkv"], a, lanes=True).reshape(-1, config.head_dim, lanes)
            q, k, v = jnp.split(heads, [config.heads, config.heads + config.kv_heads])
        else:
            q, k, v = (linear(layer[n], a, lanes=True).reshape(-1, config.head_dim, lanes) for n in "qkv")
        if config.qk_norm:
            q, k = normalised(config, layer["q_norm"], q, 1), normalised(config, layer["k_norm"], k, 1)
        if turn is not None:
            q, k = _turned(q, *turn), _turned(k, *turn)
        keys[i] = jax.lax.dynamic_update_slice(keys[i], k[None].astype(keys[i].dtype), (slot, 0, 0, 0))
        values[i] = jax.lax.dynamic_update_slice(values[i], v[None].astype(values[i].dtype), (slot, 0, 0, 0))
        seen = _attended(config, i, q, k, prefix, keys[i], values[i], slot, positions, cuts, ages)
        h = h + linear(layer["o"], seen.astype(h.dtype).reshape(-1, lanes), lanes=True)
        h = h + activated(config, layer, normalised(config, layer["mlp_norm"], h, 0), lanes=True)
    return normalised(config, weights["norm"], h, 0), keys, values


def fused(config: DecoderConfig, weights: Weights) -> Weights:
    """Return weights with queries, keys and values, and both branches of the feed-forward part, as one matrix each.

    Fewer and larger products for small models; for wide ones a copy would cost more than it saves.
    """
    if config.width > _SMALL:
        return weights

    def joined(parts: list[dict[str, Array]]) -> dict[str, Array]:
        return {n: jnp.concatenate([part[n] for part in parts]) for n in parts[0]}

    layers = []
    for layer in weights["layers"]:
        q, k, v = (layer[n] for n in "qkv")
        more = {"qkv": joined([q, k, v])} if q.keys() == k.keys() == v.keys() else {}
        if config.gated:
            more["gate_up"] = joined([layer["gate"], layer["up"]])
        layers.append({**layer, **more})
    return {**weights, "layers": layers}


def _turned(x: Array, cosines: Array, sines: Array) -> Array:
    """Rotate heads ``[H, d, B]``; angles ``[2 n, B]``, with the sign of each half in the sines."""
    n = cosines.shape[0] // 2
    first, second, rest = x[:, :n], x[:, n : 2 * n], x[:, 2 * n :]
    # Kept apart from the arithmetic: fused with it, the compiler asks of every number to which half it belongs.
    swapped = jax.lax.optimization_barrier(jnp.concatenate([second, first], axis=1)).astype(jnp.float32)
    turned = (x[:, : 2 * n].astype(jnp.float32) * cosines + swapped * sines).astype(x.dtype)
    return jnp.concatenate([turned, rest], axis=1) if rest.shape[1] else turned


def _attended(
    config: DecoderConfig,
    i: int,
    q: Array,
    key: Array,
    prefix: Shared,
    ring_keys: Array,
    ring_values: Array,
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
        found = matmul("ksd,kdn->ksn", prefix.keys[i], q.reshape(kv, d, -1), wide=True)
        return found.reshape(kv, -1, g, lanes)

    def joined(shift: Array) -> tuple[Array, Array]:
        weight = jnp.where(seen, jnp.exp(scores() - shift[:, None]), 0.0)
        flat = weight.reshape(kv, -1, g * lanes).astype(prefix.values[i].dtype)
        # A row of ones beside the values gives the denominator by the same product.
        out = matmul("kds,ksn->kdn", prefix.values[i], flat, wide=True).reshape(kv, d + 1, g, lanes)
        return own.sums(q, shift, out[:, :-1], out[:, -1])

    def safely() -> tuple[Array, Array]:
        best = jnp.max(jnp.where(seen, scores(), -jnp.inf), axis=1)
        return joined(own.largest(q, best))

    # The token's own score is always among them, so that shifted by it the sums cannot vanish.  They may be too large
    # where another score is far greater: then, and only then, the largest is looked for.
    top, bottom = joined(jnp.sum(q.astype(jnp.float32) * key.astype(jnp.float32)[:, :, None], axis=1))
    top, bottom = jax.lax.cond(jnp.max(bottom) < _LARGE, lambda: (top, bottom), safely)
    return (top / bottom[:, None]).swapaxes(1, 2).reshape(kv * g, d, lanes)


class _Ring:
    """The branches' own keys and values, newest chunk of slots first."""

    def __init__(self, keys: Array, values: Array, slot: Array, reach: Array) -> None:
        self.keys, self.values, self.slot, self.reach = keys, values, slot, reach
        oldest = jnp.max(reach) - 1
        back = slot // CHUNK - jnp.floor_divide(slot - oldest, CHUNK)
        self.chunks = jnp.minimum(back + 1, keys.shape[0] // CHUNK)

    def chunk(self, j: Array, which: Array) -> tuple[Array, Array]:
        """Return a chunk ``[CHUNK, kv, d, B]`` in float32 and which slots each lane sees, ``[CHUNK, 1, 1, B]``."""
        slots = self.keys.shape[0]
        start = jnp.mod(self.slot // CHUNK - j, slots // CHUNK) * CHUNK
        back = jnp.mod(self.slot - start - jnp.arange(CHUNK, dtype=jnp.int32), slots)
        part = jax.lax.dynamic_slice_in_dim(which, start, CHUNK, axis=0)
        return part.astype(jnp.float32), back[:, None, None, None] < self.reach

    def scores(self, q: Array, j: Array) -> tuple[Array, Array]:
        """Return ``[CHUNK, kv, g, B]`` in float32 and the mask, for queries ``[kv, d, g, B]``."""
        keys, seen = self.chunk(j, self.keys)
        q = q.astype(jnp.float32)
        return jnp.sum(q * keys[:, :, :, None], axis=2), seen

    def sums(self, q: Array, shift: Array, top: Array, bottom: Array) -> tuple[Array, Array]:
        """Add the branches' own part to numerators ``[kv, d, g, B]`` and denominators ``[kv, g, B]``."""

        def add(j: Array, so_far: tuple[Array, Array]) -> tuple[Array, Array]:
            top, bottom = so_far
            scores, seen = self.scores(q, j)
            weight = jnp.where(seen, jnp.exp(scores - shift), 0.0)
            values, _ = self.chunk(j, self.values)
            return top + jnp.sum(weight[:, :, None] * values[:, :, :, None], axis=0), bottom + jnp.sum(weight, axis=0)

        return jax.lax.fori_loop(0, self.chunks, add, (top, bottom))

    def largest(self, q: Array, best: Array) -> Array:
        """Return the largest score of each lane, ``[kv, g, B]``, of the prefix's and its own."""

        def look(j: Array, best: Array) -> Array:
            scores, seen = self.scores(q, j)
            return jnp.maximum(best, jnp.max(jnp.where(seen, scores, -jnp.inf), axis=0))

        return jax.lax.fori_loop(0, self.chunks, look, best)
