"""The values of a kernel themselves, for intervals that need more than two moments of them."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import require
from sloc.contracts.arguments import checked_whole
from sloc.engine.cluster import check_agreement, from_leader, on_leader
from sloc.engine.faults import Replayed, memory_advice
from sloc.engine.fingerprint import fingerprint, stage_name
from sloc.engine.nans import count_nans, first_nan, not_a_number
from sloc.engine.plan import Plan, as_plan
from sloc.engine.streaming import Kernel, check_kernel, one_block

Array = jax.Array
_CHUNK = 16
"""Blocks per compiled call: other numbers of blocks then never recompile."""


@functools.partial(jax.jit, static_argnames=("kernel",))
def _chunk(kernel: Kernel, args: Any, key: Array, start: Array) -> Any:
    state = kernel.setup(args)
    blocks = start + jnp.arange(_CHUNK, dtype=jnp.int32)
    values = jax.lax.map(lambda b: kernel(state, jax.random.fold_in(key, b)), blocks)
    return jax.tree.map(lambda v: jnp.moveaxis(v, 0, -2).reshape(*v.shape[1:-1], -1), values)


def collect(kernel: Kernel, args: Any, key: Array, blocks: int, first: int = 0, *, plan: Plan | None = None) -> Any:
    """Evaluate key blocks ``first .. first + blocks - 1`` and return their values in order.

    Block ``b`` draws from ``fold_in(key, b)`` as in ``sloc.engine.stream``; the result depends on nothing else.
    Memory grows with ``blocks``, so this is for budgeted tests, not for long runs: it runs on one device, in every
    process of several alike, and a checkpoint holds the values when they are all there.

    Args:
        kernel: a hashable ``Kernel``.
        args: pytree passed to ``kernel.setup``.
        key: typed PRNG key.
        blocks: how many blocks.
        first: the first block.
        plan: its checkpoint, precision, progress and block to replay.

    Returns:
        The kernel's pytree as NumPy arrays, the last axis running over the units of all blocks.

    Raises:
        NotANumber: a value is NaN; names the block.
        Replayed: the plan asks for one block of this run alone.
        CheckpointError: the plan's folder cannot be used.

    """
    check_kernel(kernel, key)
    plan, blocks = as_plan(plan), checked_whole(blocks, "blocks", 1, 2**31 - 1)
    first = checked_whole(first, "first", 0, 2**31 - 1)

    def digests() -> dict[str, str]:
        return fingerprint(kernel, args, key, n=f"{blocks} blocks from {first}, values", products=plan.precision)

    stage, known = None, None
    if plan.replay is not None and plan.replay[0] == stage_name(digests()):
        name, number = plan.replay
        last = first + blocks - 1
        require(first <= number <= last, "replay", plan.replay, f"a block from {first} to {last}")
        with plan.numerics():
            raise Replayed(number, name, one_block(kernel, args, key, number))
    if plan.store is not None:
        shapes = jax.eval_shape(lambda a, k: kernel(kernel.setup(a), k), args, key)
        store, mesh = plan.store, plan.layout().mesh
        prints = digests()
        check_agreement(stage_name(prints), mesh, plan)
        stage = on_leader(lambda: store.stage(prints), mesh)
        known = on_leader(lambda: None if stage is None else stage.load(), mesh)
        if bool(from_leader(np.asarray(known is not None), mesh)):
            widths = jax.tree.map(lambda s: np.zeros((*s.shape[:-1], s.shape[-1] * blocks), s.dtype), shapes)
            values = widths if known is None else jax.tree.structure(shapes).unflatten(known[1])
            return from_leader(values, mesh)
    parts = []
    with plan.numerics(), memory_advice(1):
        for start in range(first, first + blocks, _CHUNK):
            values = jax.device_get(_chunk(kernel, args, key, jnp.asarray(start, jnp.int32)))
            keep = min(_CHUNK, first + blocks - start)
            parts.append(jax.tree.map(lambda v, keep=keep: v[..., : v.shape[-1] // _CHUNK * keep], values))
            wrong = _first_wrong(parts[-1], keep)
            if wrong is not None:
                alone = one_block(kernel, args, key, start + wrong)
                # Evaluated alone a block may round otherwise: then the run's own values are counted.
                shown = alone if count_nans(alone)[0] else parts[-1]
                raise not_a_number(kernel, key, start + wrong, shown, stage_name(digests()))
            if plan.progress is not None:
                plan.progress(start + keep - first, blocks)
    found = jax.tree.map(lambda *v: np.concatenate(v, axis=-1), *parts)
    if stage is not None:
        stage.save(blocks, {}, jax.tree.leaves(found))
        stage.close()
    return found


def _first_wrong(values: Any, blocks: int) -> int | None:
    """Return the first of some blocks that holds NaN; leaves may have units of their own."""
    found = []
    for leaf in jax.tree.leaves(values):
        place = first_nan(leaf, leaf.ndim - 1, leaf.shape[-1])
        found += [] if place is None else [place // (leaf.shape[-1] // blocks)]
    return min(found, default=None)
