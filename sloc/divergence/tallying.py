"""One long run over fixed key blocks that keeps moments and, beside them, histograms of dithered values.

As :func:`sloc.engine.stream`, with integer counts of every array the kernel returns: counts of blocks, devices and
resumed runs add up exactly, so a betting interval from them does not depend on how the work was divided.
"""

from __future__ import annotations

import functools
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from sloc.contracts import is_concrete
from sloc.divergence.dithering import GRID, dither
from sloc.engine import Devices, Kernel, Progress, block_moments, local_mesh, merge_moments, pool_moments, zero_moments
from sloc.engine.moments import Moments

Array = jax.Array

_SALT = 0x64697468
"""Sets the dither's key of a block apart from every key that a kernel makes of the same block's."""
_SECONDS = 0.5
"""Aimed time between two reports of progress."""


def tally(
    kernel: Kernel,
    args: Any,
    key: Array,
    blocks: int | Array,
    *,
    spans: Any = None,
    first: int = 0,
    devices: Devices = None,
    tile: int = 1,
    progress: Progress | None = None,
) -> tuple[Any, Any]:
    """Average a kernel's values over key blocks ``first .. first + blocks - 1`` and count them on a grid.

    Block ``b`` draws from ``fold_in(key, b)``, as :func:`sloc.engine.stream` does: the moments are those of a stream
    with the same key.  Each value, brought to [0, 1] by ``(v - low) / (high - low)``, is rounded at random to a
    neighbouring edge of :data:`~sloc.divergence.dithering.GRID` and counted.  Memory does not depend on ``blocks``.
    Traceable when ``args`` or ``key`` are traced (then on one device and without progress).

    Args:
        kernel: a hashable kernel whose values lie between ``low`` and ``high``.
        args: pytree passed to ``kernel.setup``.
        key: typed PRNG key.
        blocks: how many blocks; in all fewer than 2**31 values of each cell.
        spans: for each array of the kernel, in the order of its leaves, ``(low, high)``, each broadcast with the
            array without its last axis; None means (0, 1) for all.
        first: the first block, so that a run may be continued.
        devices: local devices, how many of them, or None for all.
        tile: blocks evaluated side by side per step (speed; moments change by rounding only).
        progress: called with ``(done, total)`` blocks.

    Returns:
        ``(moments, counts)``: the kernel's pytree with a :class:`~sloc.engine.Moments`, and with integer counts
        ``[..., B + 1]`` (int64 on the host, int32 where traced), in place of each array.  The last count of a cell is
        of values that are NaN.

    """
    concrete = is_concrete(args, key, blocks, spans)
    mesh = local_mesh(devices if concrete else 1)
    # Through jit, which remembers the trace.
    shapes = _values.eval_shape(kernel, args, key)
    leaves, tree = jax.tree.flatten(shapes)
    dtype_spans = [
        tuple(jnp.broadcast_to(jnp.asarray(end, leaf.dtype), leaf.shape[:-1]) for end in span)
        for leaf, span in zip(leaves, spans or [(0.0, 1.0)] * len(leaves), strict=True)
    ]
    carry: Any = [
        (
            zero_moments((mesh.size, *leaf.shape[:-1]), leaf.dtype),
            jnp.zeros((mesh.size, *leaf.shape[:-1], GRID.size + 1), jnp.int32),
        )
        for leaf in leaves
    ]
    carry = [(_counted_per_device(moments, mesh.size), counts) for moments, counts in carry]
    total = jnp.asarray(blocks, jnp.int32)
    start = jnp.asarray(first, jnp.int32)

    def advance(low: Any, high: Any, carry: Any) -> Any:
        span = jnp.stack([jnp.asarray(low, jnp.int32), jnp.asarray(high, jnp.int32)])
        return _advance(kernel, mesh, tile, args, dtype_spans, key, span, start, total, carry)

    if not concrete:
        carry = advance(0, -(-total // tile), carry)
        return _unflatten(tree, [(m, c[0]) for m, c in ((_pick(m, 0), c) for m, c in carry)])
    steps = -(-int(blocks) // (mesh.size * tile))
    if progress is None:
        carry = advance(0, steps, carry)
    else:
        done, size = 0, 1
        while done < steps:
            stop, began = min(done + size, steps), time.perf_counter()
            carry = jax.block_until_ready(advance(done, stop, carry))
            took = max(time.perf_counter() - began, 1e-6)
            progress(min(stop * mesh.size * tile, int(blocks)), int(blocks))
            size = int(np.clip(round((stop - done) * _SECONDS / took), 1, 4 * size))
            done = stop
    merged = [
        (
            functools.reduce(merge_moments, [_pick(moments, i) for i in range(mesh.size)]),
            np.sum(np.asarray(counts, np.int64), axis=0),
        )
        for moments, counts in jax.device_get(carry)
    ]
    return _unflatten(tree, merged)


@functools.partial(jax.jit, static_argnames="kernel")
def _values(kernel: Kernel, args: Any, key: Array) -> Any:
    return kernel(kernel.setup(args), key)


def _counted_per_device(moments: Moments, size: int) -> Moments:
    count = jnp.zeros((size,), jnp.int32)
    return Moments(count, moments.mean, moments.mean_low, moments.m2, moments.m2_low)


def _pick(moments: Moments, i: int) -> Moments:
    return jax.tree.map(lambda leaf: leaf[i], moments)


def _unflatten(tree: Any, pairs: list[tuple[Moments, Any]]) -> tuple[Any, Any]:
    return tree.unflatten([m for m, _ in pairs]), tree.unflatten([c for _, c in pairs])


@functools.partial(jax.jit, static_argnames=("kernel", "mesh", "tile"))
def _advance(
    kernel: Kernel,
    mesh: Mesh,
    tile: int,
    args: Any,
    spans: Any,
    key: Array,
    span: Array,
    first: Array,
    blocks: Array,
    carry: Any,
) -> Any:
    size = mesh.size

    def on_device(args: Any, spans: Any, key: Array, span: Array, first: Array, blocks: Array, carry: Any) -> Any:
        state = kernel.setup(args)
        index = jax.lax.axis_index("blocks") if size > 1 else jnp.zeros((), jnp.int32)

        def one(block: Array) -> list[tuple[Moments, Array]]:
            own = jax.random.fold_in(key, first + block)
            values = jax.tree.leaves(kernel(state, own))
            salted = jax.random.fold_in(own, _SALT)
            found = []
            for i, (value, (low, high)) in enumerate(zip(values, spans, strict=True)):
                # Rounding may lift a value off the end of its span; NaN is kept and counted as refused.
                share = jnp.clip((value - low[..., None]) / (high - low)[..., None], 0.0, 1.0)
                counts = dither(jax.random.fold_in(salted, i), share)
                found.append((block_moments(value), jnp.where(block < blocks, counts, jnp.zeros_like(counts))))
            return found

        def step(i: Array, carry: Any) -> Any:
            numbers = (i * tile + jnp.arange(tile, dtype=jnp.int32)) * size + index
            parts = jax.tree.map(lambda v: v[None], one(numbers[0])) if tile == 1 else jax.vmap(one)(numbers)
            return [
                (merge_moments(total, pool_moments(part, numbers < blocks)), sums + jnp.sum(counts, 0, jnp.int32))
                for (total, sums), (part, counts) in zip(carry, parts, strict=True)
            ]

        carry = jax.tree.map(lambda leaf: leaf[0], carry)
        carry = jax.lax.fori_loop(span[0], span[1], step, carry)
        return jax.tree.map(lambda leaf: leaf[None], carry)

    if size == 1:
        return on_device(args, spans, key, span, first, blocks, carry)
    split = P(mesh.axis_names[0])
    return jax.shard_map(
        on_device,
        mesh=mesh,
        in_specs=(P(), P(), P(), P(), P(), P(), split),
        out_specs=split,
        check_vma=False,
    )(args, spans, key, span, first, blocks, carry)
