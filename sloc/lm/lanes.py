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
from sloc.lm.powers import LOG2_E, power_of_two
from sloc.lm.prefix import Shared

Array = jax.Array

CHUNK = 8
"""Slots of the ring that are read together."""
_SMALL = 1_024
"""Features of a token up to which matrices are joined."""
_SHORT = 16
"""Features of a head up to which its scores of the text are written out: as a product they are bound by memory."""
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
        keys: for each layer the ring ``[T / CHUNK, head_dim, CHUNK, kv_heads, B]``, written in place.
        values: for each layer the ring ``[T, kv_heads, head_dim, B]``, written in place.
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
        turn = _turns(*angles(config.rotary, positions, prefix.long))
    keys, values = list(keys), list(values)
    for i, layer in enumerate(weights["layers"]):
        a = normalised(config, layer["attn_norm"], h, 0)
        q, k, v = _projected(config, layer, a)
        if config.qk_norm:
            q, k = normalised(config, layer["q_norm"], q, 2), normalised(config, layer["k_norm"], k, 1)
        if turn is not None:
            q, k = _turned(q, turn), _turned(k, turn)
        at = (slot // CHUNK, 0, jnp.mod(slot, CHUNK), 0, 0)
        keys[i] = jax.lax.dynamic_update_slice(keys[i], k.swapaxes(0, 1)[None, :, None].astype(keys[i].dtype), at)
        values[i] = jax.lax.dynamic_update_slice(values[i], v[None].astype(values[i].dtype), (slot, 0, 0, 0))
        seen = _attended(config, i, q, k, prefix, keys[i], values[i], slot, positions, cuts, ages).astype(h.dtype)
        h = h + linear(layer["o"], seen.reshape(-1, lanes), lanes=True)
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


def _projected(config: DecoderConfig, layer: Weights, a: Array) -> tuple[Array, Array, Array]:
    """Return queries ``[kv, g, d, B]``, ``g`` heads to a key, and keys and values ``[kv, d, B]``."""
    kv, d, lanes = config.kv_heads, config.head_dim, a.shape[-1]
    if "qkv" in layer:
        q, k, v = jnp.split(linear(layer["qkv"], a, lanes=True), [config.heads * d, (config.heads + kv) * d])
    else:
        q, k, v = (linear(layer[n], a, lanes=True) for n in "qkv")
    return q.reshape(kv, -1, d, lanes), k.reshape(kv, d, lanes), v.reshape(kv, d, lanes)


def _turns(cosines: Array, sines: Array) -> Array:
    """Return the matrices ``[2, 2, n, B]`` that turn both halves of the features (first axis) to both (second)."""
    return jnp.stack([jnp.stack([cosines, sines]), jnp.stack([-sines, cosines])])


def _turned(x: Array, turn: Array) -> Array:
    """Rotate heads ``[..., d, B]``; the features behind those that the matrices turn pass.

    Written as a sum over halves, since sums are not computed again in all that reads them.
    """
    (*heads, d, lanes), n = x.shape, turn.shape[2]
    halves = x[..., : 2 * n, :].astype(jnp.float32).reshape(*heads, 2, 1, n, lanes)
    turned = jnp.sum(halves * turn, axis=-4).reshape(*heads, 2 * n, lanes).astype(x.dtype)
    return turned if 2 * n == d else jnp.concatenate([turned, x[..., 2 * n :, :]], axis=-2)


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
    """Return what attention gives, ``[kv, g, d, B]`` in float32, for queries of that shape and a key ``[kv, d, B]``."""
    d = q.shape[2]
    q = q * jnp.asarray(d**-0.5, q.dtype)
    window = config.window(i)
    own = _Ring(ring_keys, ring_values, slot, jnp.minimum(ages, window) if window else ages)
    first = jnp.maximum(positions - window + 1, 0) if window else None
    text = _Text(prefix.keys[i], prefix.values[i], cuts, first)

    def safely(_: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        shift = own.largest(q, text.largest(q))
        return (*own.sums(q, shift, *text.sums(q, shift)), jnp.asarray(True))

    # The token's own score is always among them, so that shifted by it the sums cannot vanish.  They may be too large
    # where another score is far greater: then, and only then, the largest is looked for, in a loop of one turn or
    # none, which unlike a condition copies nothing.
    shift = jnp.sum(q.astype(jnp.float32) * key.astype(jnp.float32)[:, None], axis=2)
    top, bottom = own.sums(q, shift, *text.sums(q, shift))
    fits = jnp.max(bottom) < _LARGE
    top, bottom, _ = jax.lax.while_loop(lambda s: ~s[2], safely, (top, bottom, fits))
    return top / bottom[:, :, None]


class _Text:
    """What the branches share: keys ``[kv, S, d]`` and values ``[kv, d + 1, S]``, seen from ``first`` to the cuts.

    The row of ones below the values gives the denominator by the same product as the numerators.
    """

    def __init__(self, keys: Array, values: Array, cuts: Array, first: Array | None) -> None:
        self.keys, self.values = keys, values
        at = jnp.arange(keys.shape[1], dtype=jnp.int32)[:, None]
        self.seen = at < cuts if first is None else (at < cuts) & (at >= first)

    def sums(self, q: Array, shift: Array) -> tuple[Array, Array]:
        """Return numerators ``[kv, g, d, B]`` and denominators ``[kv, g, B]`` of queries ``[kv, g, d, B]``."""
        kv, g, d, lanes = q.shape
        if d <= _SHORT:
            weight = jnp.where(self.seen, self._written_out(q, shift), 0.0).astype(self.values.dtype)
            values = jnp.broadcast_to(self.values[:, None], (kv, g, *self.values.shape[1:]))
            out = matmul("kgds,kgsn->kgdn", values, weight, wide=True)
        else:
            weight = jnp.where(self.seen[:, None], jnp.exp(self._scores(q) - shift[:, None]), 0.0)
            flat = weight.reshape(kv, -1, g * lanes).astype(self.values.dtype)
            out = matmul("kds,ksn->kdn", self.values, flat, wide=True).reshape(kv, d + 1, g, lanes).swapaxes(1, 2)
        return out[:, :, :-1], out[:, :, -1]

    def largest(self, q: Array) -> Array:
        """Return the largest score of each lane, ``[kv, g, B]``."""
        return jnp.max(jnp.where(self.seen[:, None], self._scores(q), -jnp.inf), axis=1)

    def _scores(self, q: Array) -> Array:
        """Return ``[kv, S, g, B]``: one product for all lanes."""
        kv, g, d, lanes = q.shape
        flat = q.swapaxes(1, 2).reshape(kv, d, g * lanes)
        return matmul("ksd,kdn->ksn", self.keys, flat, wide=True).reshape(kv, -1, g, lanes)

    def _written_out(self, q: Array, shift: Array) -> Array:
        """Return exponentials of scores less ``shift``, ``[kv, g, S, B]``, without writing the scores anywhere."""
        keys, q = LOG2_E * self.keys.astype(jnp.float32), q.astype(jnp.float32)
        power = -LOG2_E * shift[:, :, None]
        for f in range(q.shape[2]):
            power = power + keys[:, None, :, f, None] * q[:, :, None, f]
        return power_of_two(power)


class _Ring:
    """The branches' own keys and values, newest chunk of slots first.

    Memory is read as it lies: a sum over features walks along ``head_dim`` rows of keys side by side, each a chunk
    long, and a sum over slots along ``CHUNK`` rows of values, each all features of a head long.
    """

    def __init__(self, keys: Array, values: Array, slot: Array, reach: Array) -> None:
        self.keys, self.values, self.slot, self.reach = keys, values, slot, reach
        oldest = jnp.max(reach) - 1
        back = slot // CHUNK - jnp.floor_divide(slot - oldest, CHUNK)
        self.chunks = jnp.minimum(back + 1, keys.shape[0])

    def place(self, j: Array) -> Array:
        """Return which chunk of the ring is ``j`` chunks back."""
        return jnp.mod(self.slot // CHUNK - j, self.keys.shape[0])

    def scores(self, q: Array, j: Array) -> tuple[Array, Array]:
        """Return ``[CHUNK, kv, g, B]`` for queries ``[d, kv, g, B]`` in float32, and what lanes see of it."""
        at = self.place(j)
        back = jnp.mod(self.slot - at * CHUNK - jnp.arange(CHUNK, dtype=jnp.int32), self.values.shape[0])
        keys = jax.lax.dynamic_index_in_dim(self.keys, at, keepdims=False).astype(jnp.float32)
        return jnp.sum(q[:, None] * keys[:, :, :, None], axis=0), back[:, None, None, None] < self.reach

    def sums(self, q: Array, shift: Array, top: Array, bottom: Array) -> tuple[Array, Array]:
        """Add the branches' own part to numerators ``[kv, g, d, B]`` and denominators ``[kv, g, B]``."""
        rows = jnp.moveaxis(q.astype(jnp.float32), 2, 0)

        def add(j: Array, so_far: tuple[Array, Array]) -> tuple[Array, Array]:
            top, bottom = so_far
            scores, seen = self.scores(rows, j)
            weight = jnp.where(seen, jnp.exp(scores - shift), 0.0)
            values = jax.lax.dynamic_slice_in_dim(self.values, self.place(j) * CHUNK, CHUNK).astype(jnp.float32)
            return top + jnp.sum(weight[:, :, :, None] * values[:, :, None], axis=0), bottom + jnp.sum(weight, axis=0)

        return jax.lax.fori_loop(0, self.chunks, add, (top, bottom))

    def largest(self, q: Array, best: Array) -> Array:
        """Return the largest score of each lane, ``[kv, g, B]``, of the prefix's and its own."""
        rows = jnp.moveaxis(q.astype(jnp.float32), 2, 0)

        def look(j: Array, best: Array) -> Array:
            scores, seen = self.scores(rows, j)
            return jnp.maximum(best, jnp.max(jnp.where(seen, scores, -jnp.inf), axis=0))

        return jax.lax.fori_loop(0, self.chunks, look, best)
