"""Teacher-forced passes over batches of token sequences, with or without a cache of keys and values."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import require
from sloc.lm.config import DecoderConfig
from sloc.lm.layers import (
    Array,
    Weights,
    activated,
    angles,
    head_matrix,
    linear,
    matmul,
    normalised,
    rotated,
)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Cache:
    """Keys and values of what has been read.

    Attributes:
        keys: for each layer ``[B, S, kv_heads, head_dim]``, rotated.
        values: the same shape.
        positions: ``[B, S]``, the position of each entry in its text; -1 where nothing is stored.
        length: how many of the ``S`` places are taken.

    """

    keys: list[Array]
    values: list[Array]
    positions: Array
    length: Array

    @property
    def capacity(self) -> int:
        """Places for tokens."""
        return self.positions.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes of keys and values."""
        return sum(a.nbytes for a in (*self.keys, *self.values))


def empty_cache(config: DecoderConfig, batch: int, capacity: int, dtype: Any = jnp.float32) -> Cache:
    """Return a cache for ``capacity`` tokens of each of ``batch`` texts.

    Args:
        config: switches of the model.
        batch: number of texts.
        capacity: tokens of each.
        dtype: of keys and values.

    Returns:
        Zeros of the shapes that the layers read.

    """
    shape = (batch, capacity, config.kv_heads, config.head_dim)
    keys, values = ([jnp.zeros(shape, dtype) for _ in range(config.layers)] for _ in range(2))
    return Cache(keys, values, jnp.full((batch, capacity), -1, jnp.int32), jnp.zeros((), jnp.int32))


def hidden_states(
    config: DecoderConfig,
    weights: Weights,
    tokens: Array,
    mask: Array | None = None,
    cache: Cache | None = None,
    context: int | None = None,
) -> tuple[Array, Cache]:
    """Return the normalised features before the last layer, ``[B, T, E]``, and the cache with the tokens appended.

    Args:
        config: of the model.
        weights: of the model.
        tokens: ``[B, T]``.
        mask: ``[B, T]``, False at padding, on either side; all True where None.
        cache: what was read before; None starts afresh.
        context: the length in tokens that decides between short and long rotary frequencies; the cache's capacity, or
            ``T``, where None.

    """
    batch, length = tokens.shape
    cache = empty_cache(config, batch, length, weights["embed"].dtype) if cache is None else cache
    real = jnp.ones((batch, length), bool) if mask is None else mask
    before = 1 + jnp.max(cache.positions, axis=1, keepdims=True)
    positions = before + jnp.cumsum(real, axis=1, dtype=jnp.int32) - 1
    stored = jax.lax.dynamic_update_slice(
        cache.positions, jnp.where(real, positions, -1), (0, cache.length.astype(jnp.int32))
    )
    h = weights["embed"][tokens]
    turn = None
    if config.rotary is None:
        h = h + weights["positions"][jnp.maximum(positions, 0)]
    else:
        cosines, sines = angles(config.rotary, positions, config.long(context or cache.capacity))
        turn = tuple(jnp.moveaxis(a, 0, -1)[:, :, None] for a in (cosines, sines))
    masks = {w: _visible(config, positions, stored, w) for w in {config.window(i) for i in range(config.layers)}}
    keys, values = [], []
    for i, layer in enumerate(weights["layers"]):
        a = normalised(config, layer["attn_norm"], h)
        q, k, v = (linear(layer[n], a) for n in "qkv")
        q, k, v = (x.reshape(batch, length, -1, config.head_dim) for x in (q, k, v))
        if config.qk_norm:
            q, k = normalised(config, layer["q_norm"], q), normalised(config, layer["k_norm"], k)
        if turn is not None:
            q, k = rotated(q, *turn, axis=3), rotated(k, *turn, axis=3)
        start = (0, cache.length, 0, 0)
        keys.append(jax.lax.dynamic_update_slice(cache.keys[i], k.astype(cache.keys[i].dtype), start))
        values.append(jax.lax.dynamic_update_slice(cache.values[i], v.astype(cache.values[i].dtype), start))
        h = h + linear(layer["o"], _attended(config, q, keys[i], values[i], masks[config.window(i)]))
        h = h + activated(config, layer, normalised(config, layer["mlp_norm"], h))
    read = Cache(keys, values, stored, cache.length + length)
    return normalised(config, weights["norm"], h), read


def _visible(config: DecoderConfig, positions: Array, stored: Array, window: int) -> Array:
    """Return ``[B, T, S]``: which stored entries each query may see."""
    ahead = positions[:, :, None] - stored[:, None, :]
    seen = (stored >= 0)[:, None, :]
    if config.causal:
        seen = seen & (ahead >= 0)
    return seen & (ahead < window) if window else seen & (ahead == ahead)


def _attended(config: DecoderConfig, q: Array, keys: Array, values: Array, seen: Array) -> Array:
    """Return what attention gives, ``[B, T, heads * head_dim]``; weights are formed in float32."""
    batch, length = q.shape[:2]
    grouped = q.reshape(batch, length, config.kv_heads, config.groups, config.head_dim)
    scores = matmul("btkgd,bskd->bkgts", grouped, keys, wide=True) * config.head_dim**-0.5
    # Not minus infinity: a row of padding alone would be NaN.
    share = jax.nn.softmax(jnp.where(seen[:, None, None], scores, -1e30), axis=-1).astype(values.dtype)
    return matmul("bkgts,bskd->btkgd", share, values).reshape(batch, length, -1)


def logits(
    config: DecoderConfig,
    weights: Weights,
    tokens: Array,
    mask: Array | None = None,
    cache: Cache | None = None,
    context: int | None = None,
) -> tuple[Array, Cache]:
    """Return the logits of the next token at every place, and the cache with the tokens appended; compiled.

    For a causal model the row at ``t`` is about the token after ``t``; for a masked model about the token at ``t``.
    The cache that is given is used up: its memory is written anew.

    Args:
        config: of the model.
        weights: of the model.
        tokens: ``[B, T]``.
        mask: ``[B, T]``, False at padding, on either side; all True where None.
        cache: what was read before (``empty_cache``), with room for ``T`` more; None starts afresh.
        context: the length in tokens that decides between short and long rotary frequencies; the cache's capacity, or
            ``T``, where None (static).

    Returns:
        ``[B, T, V]`` in float32, and the cache.

    """
    return _logits(config, weights, tokens, mask, cache, context)


@functools.partial(jax.jit, static_argnames=("config", "context"), donate_argnames=("cache",))
def _logits(
    config: DecoderConfig,
    weights: Weights,
    tokens: Array,
    mask: Array | None,
    cache: Cache | None,
    context: int | None,
) -> tuple[Array, Cache]:
    h, read = hidden_states(config, weights, tokens, mask, cache, context)
    return matmul("bte,ve->btv", h, head_matrix(weights), wide=True), read


def check_tokens(config: DecoderConfig, tokens: Any, name: str = "tokens") -> np.ndarray:
    """Return one text's tokens as int32, refused where they are none of the vocabulary or more than the context.

    Raises:
        InvalidInput: no tokens, a number outside the vocabulary, or too many.

    """
    try:
        array = np.asarray(tokens)
    except ValueError:  # ragged
        array = np.zeros(0)
    fits = array.ndim == 1 and array.size > 0 and np.issubdtype(array.dtype, np.integer)
    require(fits, name, tokens, "a sequence of at least one token")
    inside = array.min() >= 0 and array.max() < config.vocabulary
    outside = next((int(a) for a in array if not 0 <= a < config.vocabulary), None)
    require(bool(inside), name, outside, f"tokens below the vocabulary's {config.vocabulary}")
    longest = config.max_positions
    require(array.size <= longest, name, f"{array.size} tokens", f"at most the model's context, {longest} tokens")
    return array.astype(np.int32)
