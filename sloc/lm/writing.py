"""One text written on, whose keys and values are kept as they were made: what was drawn is not read again."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts.arguments import checked_key, checked_kind
from sloc.lm.decoding import Branches, Limits, decoded, planned
from sloc.lm.forked import Lanes
from sloc.lm.model import LanguageModel
from sloc.lm.prefix import Prefix, Shared, padded, shared_of
from sloc.lm.sampling import Sampling

Array = jax.Array


def write_on(
    key: jax.Array,
    model: LanguageModel,
    prefix: Prefix,
    *,
    new_tokens: int,
    sampling: Sampling | None = None,
    stop: Sequence[str] = (),
    end_tokens: Sequence[int] | None = None,
) -> tuple[Branches, Prefix]:
    """Draw one continuation of a text, and return with it the longer text as a prefix that was never read again.

    ``x_{i+1} ~ p(. | x_1, ..., x_i)``.  Source: textbook (ancestral sampling).

    The keys, values and features that drawing made are those of the prefix: a generation can be cut and continued
    (:func:`sloc.lm.decode` with ``prefix=``) at no other cost than its own.  The last token was drawn and not read, so
    it is no part of that prefix (:func:`sloc.lm.read_prefix` reads the whole where it is wanted).

    Args:
        key: typed PRNG key; draws are those of :func:`sloc.lm.decode` of the whole text with ``n=1``.
        model: that read the prefix.
        prefix: the text so far, from :func:`sloc.lm.read_prefix`.
        new_tokens: tokens to add at most.
        sampling: law of the next token; the model's own where None.
        stop: texts that end it with the token that completes them.
        end_tokens: tokens that end it; the model's own where None.

    Returns:
        The branch, and the prefix of the text with all of the branch's tokens but the last.

    Raises:
        InvalidInput: as :func:`sloc.lm.decode`.

    """
    checked_key(key)
    checked_kind(prefix, "prefix", Prefix, "a Prefix")
    rule = Limits.of(new_tokens, None, stop, end_tokens)
    plan = planned(model, prefix, None, rule, sampling, lanes=1)
    branches, state = decoded(key, plan, features=True)
    read = len(branches.tokens[0]) - 1
    if read < 1:
        return branches, prefix
    tokens = np.concatenate([prefix.tokens, branches.tokens[0][:read]])
    start, count = (jnp.asarray(n, jnp.int32) for n in (prefix.length, read))
    return branches, Prefix(tokens, _joined(shared_of(prefix), state, start, count, padded(len(tokens))))


@functools.partial(jax.jit, static_argnames=("capacity",))
def _joined(prefix: Shared, state: Lanes, start: Array, count: Array, capacity: int) -> Shared:
    """Return the prefix with what the only lane wrote into the rings behind it."""
    assert state.features is not None
    slots = state.features.shape[0]
    own = jnp.arange(capacity, dtype=jnp.int32) - start
    added = (own >= 0) & (own < count)
    # Step 0 draws the first token from the prefix and reads none, so token i is read at step i + 1.
    slot = jnp.mod(own + 1, slots)

    def behind(old: Array, ring: Array, axis: int) -> Array:
        """Put rows ``[T, ...]`` of a ring, in the order of ``old`` but for its axis of places, behind what is there."""
        kept = jax.lax.slice_in_dim(old, 0, min(old.shape[axis], capacity), axis=axis)
        wide = [(0, capacity - kept.shape[axis] if i == axis else 0) for i in range(old.ndim)]
        new = jnp.moveaxis(jnp.take(ring, slot, axis=0), 0, axis)
        here = added.reshape([-1 if i == axis else 1 for i in range(old.ndim)])
        return jnp.where(here, new.astype(old.dtype), jnp.pad(kept, wide))

    def in_order(ring: Array) -> Array:
        """Return the only lane's keys ``[T, kv_heads, head_dim]``."""
        return ring[..., 0].transpose(0, 2, 3, 1).reshape(slots, ring.shape[3], ring.shape[1])

    keys = [behind(old, in_order(ring), 1) for old, ring in zip(prefix.keys, state.keys, strict=True)]
    values = [behind(old[:, :-1], ring[..., 0], 2) for old, ring in zip(prefix.values, state.values, strict=True)]
    values = [jnp.pad(v, ((0, 0), (0, 1), (0, 0)), constant_values=1) for v in values]
    return Shared(keys, values, behind(prefix.features, state.features[..., 0], 0), prefix.long)
