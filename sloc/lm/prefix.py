"""A text read once, whose keys and values serve every branch that starts within it."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import require
from sloc.contracts.arguments import checked_kind, checked_whole
from sloc.lm.config import DecoderConfig
from sloc.lm.forward import Array, Cache, check_tokens, empty_cache, hidden_states
from sloc.lm.model import LanguageModel

_STEP = 16
"""Prefixes are padded to a multiple of this, so that texts of like length share a compilation."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Shared:
    """What branches read of a text: arrays on the device, padded.

    Attributes:
        keys: for each layer ``[kv_heads, S, head_dim]``, rotated; ``S`` is at least the text's length.
        values: for each layer ``[kv_heads, head_dim + 1, S]``, the last row ones: it sums the weights of attention.
        features: ``[S, width]``, normalised, before the last layer.
        long: whether the long rotary frequencies were used (static).

    """

    keys: list[Array]
    values: list[Array]
    features: Array
    long: bool = field(default=False, metadata={"static": True})


@dataclass(frozen=True)
class Prefix:
    """A text with its keys and values, and the features from which its next tokens are drawn.

    Attributes:
        tokens: ``[length]``, on the host.

    """

    tokens: np.ndarray
    _shared: Shared = field(repr=False)

    @property
    def length(self) -> int:
        """Tokens of the text."""
        return len(self.tokens)

    @property
    def nbytes(self) -> int:
        """Bytes on the device, whatever the number of branches."""
        return sum(a.nbytes for a in jax.tree.leaves(self._shared))

    def first(self, length: int) -> Prefix:
        """Return the prefix of the first ``length`` tokens of the text: nothing is read again, nothing copied.

        Raises:
            InvalidInput: no tokens, or more than there are.

        """
        length = checked_whole(length, "length", 1, self.length, what="tokens")
        return Prefix(self.tokens[:length], self._shared)


def shared_of(prefix: Prefix) -> Shared:
    """Return what branches of a text read of it."""
    return prefix._shared  # pyright: ignore[reportPrivateUsage] - kept from users; read here alone


def padded(length: int) -> int:
    """Return how many places a text of ``length`` tokens takes."""
    return -(-length // _STEP) * _STEP


def read_prefix(model: LanguageModel, text: Any, *, context: int | None = None) -> Prefix:
    """Read a text once.

    Args:
        model: a causal model.
        text: tokens, a str, or the turns of a chat.
        context: tokens of text and branches together, where known: decides between short and long rotary frequencies.

    Returns:
        The prefix.

    Raises:
        InvalidInput: a model that sees both ways, or a text longer than its context.

    """
    checked_kind(model, "model", LanguageModel, "a LanguageModel")
    context = None if context is None else checked_whole(context, "context")
    config = model.config
    require(config.causal, "model", config.family, "a causal model: branches of a masked model have no shared prefix")
    tokens = model.tokens(text)
    places = padded(len(tokens))
    given = np.zeros((1, places), np.int32)
    given[0, : len(tokens)] = tokens
    long = config.long(context or len(tokens))
    return Prefix(tokens, _read(config, model.weights, given, np.arange(places)[None] < len(tokens), long))


def extend_prefix(model: LanguageModel, prefix: Prefix, more: Any, *, context: int | None = None) -> Prefix:
    """Read on: what was read already is not read again.

    Args:
        model: that read the prefix.
        prefix: from :func:`read_prefix`.
        more: tokens that follow it.
        context: as in :func:`read_prefix`.

    Returns:
        The prefix of the whole text, as :func:`read_prefix` gives it up to the rounding of matrix products of another
        width.

    Raises:
        InvalidInput: no tokens, a whole text longer than the model's context, or one that takes other rotary
            frequencies than the prefix did.

    """
    checked_kind(model, "model", LanguageModel, "a LanguageModel")
    checked_kind(prefix, "prefix", Prefix, "a Prefix")
    context = None if context is None else checked_whole(context, "context")
    config, start = model.config, prefix.length
    tokens = model.tokens([*prefix.tokens, *check_tokens(config, more, "more")])
    added = len(tokens) - start
    require(added > 0, "more", more, "at least one token")
    long = config.long(context or len(tokens))
    require(long == shared_of(prefix).long, "context", context, "the rotary frequencies that the prefix was read with")
    width = padded(added)
    given = np.zeros((1, width), np.int32)
    given[0, :added] = tokens[start:]
    capacity = padded(start + width)
    mask, first = np.arange(width)[None] < added, jnp.asarray(start, jnp.int32)
    # What may stand behind the prefix's own text is cut off: one compilation for texts of like length.
    held, there = shared_of(prefix), padded(start)
    if held.features.shape[0] > there:
        held = Shared(
            [k[:, :there] for k in held.keys], [v[..., :there] for v in held.values], held.features[:there], long
        )
    read, features = _read_on(config, model.weights, held, given, mask, first, capacity)
    kept = padded(len(tokens))
    keys, values = _stored(read, kept)
    return Prefix(tokens, Shared(keys, values, features[:kept], long))


@functools.partial(jax.jit, static_argnames=("config", "capacity"))
def _read_on(
    config: DecoderConfig, weights: Any, prefix: Shared, tokens: Array, mask: Array, start: Array, capacity: int
) -> tuple[Cache, Array]:
    """Return the cache of prefix and tokens, and the features of both, ``[capacity, width]``."""

    def fitted(a: Array, axis: int) -> Array:
        a = jax.lax.slice_in_dim(a, 0, min(a.shape[axis], capacity), axis=axis)
        return jnp.pad(a, [(0, capacity - a.shape[axis] if i == axis else 0) for i in range(a.ndim)])

    keys = [fitted(jnp.swapaxes(k, 0, 1)[None], 1) for k in prefix.keys]
    values = [fitted(jnp.transpose(v[:, :-1], (2, 0, 1))[None], 1) for v in prefix.values]
    place = jnp.arange(capacity, dtype=jnp.int32)[None]
    cache = Cache(keys, values, jnp.where(place < start, place, -1), start)
    switch = config.rotary.switch if config.rotary else 0
    more, read = hidden_states(config, weights, tokens, mask, cache, switch + 1 if prefix.long else 1)
    features = fitted(prefix.features, 0)
    return read, jax.lax.dynamic_update_slice(features, more[0].astype(features.dtype), (start, 0))


def _stored(read: Cache, kept: int) -> tuple[list[Array], list[Array]]:
    """Return keys and values as a prefix holds them, of the first ``kept`` places."""
    keys = [jnp.swapaxes(a[0, :kept], 0, 1) for a in read.keys]
    values = [jnp.transpose(a[0, :kept], (1, 2, 0)) for a in read.values]
    return keys, [jnp.pad(v, ((0, 0), (0, 1), (0, 0)), constant_values=1) for v in values]


@functools.partial(jax.jit, static_argnames=("config", "long"))
def _read(config: DecoderConfig, weights: Any, tokens: Array, mask: Array, long: bool) -> Shared:
    cache = empty_cache(config, 1, tokens.shape[1], weights["embed"].dtype)
    switch = config.rotary.switch if config.rotary else 0
    features, read = hidden_states(config, weights, tokens, mask, cache, switch + 1 if long else 1)
    keys, values = _stored(read, tokens.shape[1])
    return Shared(keys, values, features[0], long)
