"""The loop of forked decoding on the device: lanes, the queue of branches, and what they have written."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from sloc.lm import spare
from sloc.lm.compiling import lane_options
from sloc.lm.config import DecoderConfig
from sloc.lm.drawing import draw_tokens, uniforms
from sloc.lm.lanes import CHUNK, fused, run_lanes
from sloc.lm.layers import head_matrix, matmul
from sloc.lm.prefix import Shared
from sloc.lm.sampling import Sampling

Array = jax.Array

RUNNING, ENDED, FULL, STOPPED = 0, 1, 2, 3
"""Why a branch ended: not yet, an end token, its number of tokens, a stop string."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Queue:
    """Branches in the order in which they start.

    Attributes:
        cuts: ``[N]``, how many tokens of the prefix each keeps, at least one.
        limits: ``[N]``, how many tokens each adds at most.
        keys: ``[N]`` typed PRNG keys.
        forced: ``[N, F]``, tokens that a branch is given first; ``F`` may be 0.
        forced_counts: ``[N]``, how many of them.
        end: how many of the ``N`` are there already.

    """

    cuts: Array
    limits: Array
    keys: Array
    forced: Array
    forced_counts: Array
    end: Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Lanes:
    """State between steps; the memory of one is reused for the next.

    Attributes:
        keys: for each layer the ring ``[T / CHUNK, head_dim, CHUNK, kv_heads, B]``.
        values: for each layer the ring ``[T, kv_heads, head_dim, B]``.
        branch: ``[B]``, the last branch of each lane, -1 for none yet.
        token: ``[B]``, its last token.
        age: ``[B]``, tokens it has.
        done: ``[B]``, whether the lane is free.
        step: how many steps were made (forward passes over all lanes).
        head: the next branch in the queue.
        tokens: ``[N, L]``, what each branch has written.
        log_probs: ``[N, L]``, of each token under the law it was drawn from; 0 for given ones.
        lengths: ``[N]``.
        reasons: ``[N]``, why each ended.
        features: the ring ``[T, E, B]`` of what the last layer saw, None where it is not kept.

    """

    keys: list[Array]
    values: list[Array]
    branch: Array
    token: Array
    age: Array
    done: Array
    step: Array
    head: Array
    tokens: Array
    log_probs: Array
    lengths: Array
    reasons: Array
    features: Array | None = None


def empty_lanes(
    config: DecoderConfig, lanes: int, branches: int, longest: int, dtype: Any, *, features: bool = False
) -> Lanes:
    """Return free lanes for ``branches`` branches of at most ``longest`` tokens, which keep ``features`` or not."""
    slots = -(-max(longest - 1, 1) // CHUNK) * CHUNK
    kv, d, n = config.kv_heads, config.head_dim, config.layers
    rings = spare.zeros([(slots // CHUNK, d, CHUNK, kv, lanes)] * n + [(slots, kv, d, lanes)] * n, dtype)
    zeros = functools.partial(jnp.zeros, (lanes,), jnp.int32)
    return Lanes(
        keys=rings[:n],
        values=rings[n:],
        branch=zeros() - 1,
        token=zeros(),
        age=zeros(),
        done=jnp.ones((lanes,), bool),
        step=jnp.zeros((), jnp.int32),
        head=jnp.zeros((), jnp.int32),
        tokens=jnp.zeros((branches, longest), jnp.int32),
        log_probs=jnp.zeros((branches, longest), jnp.float32),
        lengths=jnp.zeros((branches,), jnp.int32),
        reasons=jnp.zeros((branches,), jnp.int32),
        features=jnp.zeros((slots, config.width, lanes), dtype) if features else None,
    )


@functools.cache
def compiled_advance() -> Any:
    """Return ``advance`` compiled for JAX's default backend; the memory of its ``state`` is used up."""
    static, options = ("config", "sampling", "ends"), lane_options()
    return jax.jit(advance, static_argnames=static, donate_argnames=("state",), compiler_options=options or None)


def advance(
    config: DecoderConfig,
    sampling: Sampling,
    ends: tuple[int, ...],
    weights: Any,
    prefix: Shared,
    queue: Queue,
    state: Lanes,
    steps: Array,
) -> Lanes:
    """Make up to ``steps`` steps, or until the queue is empty and all lanes are free.

    Args:
        config: of the model.
        sampling: law of the next token.
        ends: tokens that end a branch; they are kept as its last one.
        weights: of the model.
        prefix: what the branches share.
        queue: the branches.
        state: where they are.
        steps: at most this many.

    """
    last, weights = state.step + steps, fused(config, weights)

    def unfinished(s: Lanes) -> Array:
        return (s.step < last) & (jnp.any(~s.done) | (s.head < queue.end))

    def one(s: Lanes) -> Lanes:
        features, s = _read(config, weights, prefix, queue, s)
        features, s = _admitted(prefix, queue, features, s)
        logits = matmul("ve,eb->vb", head_matrix(weights), features, wide=True)
        return _drawn(queue, sampling, ends, logits, s)

    return jax.lax.while_loop(unfinished, one, state)


def _read(config: DecoderConfig, weights: Any, prefix: Shared, queue: Queue, s: Lanes) -> tuple[Array, Lanes]:
    """Read every lane's last token; nothing where all lanes are free."""
    slot = jnp.mod(s.step, s.values[0].shape[0])
    cuts = queue.cuts[jnp.maximum(s.branch, 0)]
    # A free lane sees its own slot alone.
    ages = jnp.where(s.done, 1, s.age)

    features, keys, values = run_lanes(config, weights, prefix, s.keys, s.values, slot, s.token, cuts, ages)
    kept = s.features
    if kept is not None:
        kept = jax.lax.dynamic_update_slice(kept, features[None].astype(kept.dtype), (slot, 0, 0))
    return features, _with(s, keys=keys, values=values, features=kept)


def _admitted(prefix: Shared, queue: Queue, features: Array, s: Lanes) -> tuple[Array, Lanes]:
    """Give free lanes to waiting branches, whose first token is drawn from the prefix's own features."""

    def admit() -> tuple[Array, ...]:
        candidate = s.head + jnp.cumsum(s.done, dtype=jnp.int32) - 1
        comes = s.done & (candidate < queue.end)
        branch = jnp.where(comes, candidate, s.branch)
        begun = prefix.features[queue.cuts[jnp.maximum(branch, 0)] - 1].T
        head = s.head + jnp.sum(comes, dtype=jnp.int32)
        own = jnp.where(comes, begun.astype(features.dtype), features)
        return own, branch, jnp.where(comes, 0, s.age), s.done & ~comes, head

    # The rings stay outside of the condition, which might copy them.
    some = jnp.any(s.done) & (s.head < queue.end)
    features, branch, age, done, head = jax.lax.cond(some, admit, lambda: (features, s.branch, s.age, s.done, s.head))
    return features, _with(s, branch=branch, age=age, done=done, head=head)


def _drawn(queue: Queue, sampling: Sampling, ends: tuple[int, ...], logits: Array, s: Lanes) -> Lanes:
    """Draw each lane's next token, write it down, and free the lanes whose branch is complete."""
    at = jnp.maximum(s.branch, 0)
    token, log_prob = draw_tokens(logits, uniforms(queue.keys[at], s.age), sampling)
    given = jnp.zeros_like(s.done)
    if queue.forced.shape[1]:
        given = s.age < queue.forced_counts[at]
        token = jnp.where(given, queue.forced[at, jnp.minimum(s.age, queue.forced.shape[1] - 1)], token)
        log_prob = jnp.where(given, 0.0, log_prob)
    # Free lanes write past the end, which is dropped.
    row = jnp.where(s.done, s.tokens.shape[0], at)
    age = s.age + 1
    ended = jnp.zeros_like(s.done)
    for end in ends:
        ended = ended | (token == end)
    ended = ended & ~given
    reason = jnp.where(ended, ENDED, jnp.where(age >= queue.limits[at], FULL, RUNNING))
    return _with(
        s,
        token=token,
        age=age,
        done=s.done | (reason != RUNNING),
        step=s.step + 1,
        tokens=s.tokens.at[row, s.age].set(token, mode="drop"),
        log_probs=s.log_probs.at[row, s.age].set(log_prob, mode="drop"),
        lengths=s.lengths.at[row].set(age, mode="drop"),
        reasons=s.reasons.at[row].set(reason, mode="drop"),
    )


def _with(s: Lanes, **changes: Any) -> Lanes:
    return Lanes(**{**{f: getattr(s, f) for f in Lanes.__dataclass_fields__}, **changes})
