"""One long mean over fixed key blocks, on any number of devices and processes, in constant memory.

Block ``b`` always draws from ``fold_in(key, b)``.  Device ``i`` of ``D`` takes the blocks ``i, i + D, ...`` in
order and the devices are merged in order, so a result depends on the key and the number of blocks, and on the
topology only through the order of a sum.
"""

from __future__ import annotations

import functools
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from sloc.contracts import is_concrete, require
from sloc.contracts.arguments import checked_key, checked_whole
from sloc.engine.accumulators import Accumulator, Averages, Tallies
from sloc.engine.cluster import deal, fetch, replicate
from sloc.engine.dithering import check_grid
from sloc.engine.faults import memory_advice
from sloc.engine.longrun import Job, long_run, refuse_nan
from sloc.engine.plan import Layout, Plan, as_plan, device_mesh, layout_of

Array = jax.Array
_MOST = 2**31 - 1
"""Blocks are counted by int32."""
_traces = 0


class Kernel(Protocol):
    """What a stream evaluates: hashable, so that equal kernels share one compilation."""

    def setup(self, args: Any, /) -> Any:
        """Do once, before the loop, what does not depend on the key."""
        ...

    def __call__(self, state: Any, key: Array, /) -> Any:
        """Return a pytree of arrays whose last axis runs over independent, identically distributed units."""
        ...


def count_traces() -> int:
    """Return how many times the streaming loop has been traced in this process (for tests of recompilation)."""
    return _traces


@functools.partial(jax.jit, static_argnames="kernel")
def block_values(kernel: Kernel, args: Any, key: Array) -> Any:
    """Evaluate one block alone, from the block's own key."""
    return kernel(kernel.setup(args), key)


def one_block(kernel: Kernel, args: Any, key: Array, block: int) -> Any:
    """Evaluate a run's block of this number by itself, as NumPy arrays."""
    own = jax.random.fold_in(key, jnp.asarray(block, jnp.int32))
    return jax.tree.map(np.asarray, block_values(kernel, args, own))


@functools.partial(jax.jit, static_argnames=("kernel", "accumulator", "mesh", "axis", "tile"))
def _advance(
    kernel: Kernel,
    accumulator: Accumulator,
    mesh: Mesh,
    axis: str,
    tile: int,
    args: Any,
    extra: Any,
    key: Array,
    numbers: Array,
    carry: Any,
) -> Any:
    """Absorb steps ``low .. high - 1``; ``numbers = (low, high, base, first, blocks)``.

    Blocks count from ``base``, where a run on another topology ended; block ``b`` draws from
    ``fold_in(key, first + b)``.
    """
    global _traces
    _traces += 1
    size = int(mesh.shape[axis])

    def on_device(args: Any, extra: Any, key: Array, numbers: Array, carry: Any) -> Any:
        low, high, base, first, blocks = (numbers[i] for i in range(5))
        state = kernel.setup(args)
        index = jax.lax.axis_index(axis) if size > 1 else jnp.zeros((), jnp.int32)

        def one(block: Array) -> Any:
            own = jax.random.fold_in(key, first + block)
            return accumulator.block(kernel(state, own), own, extra)

        def step(i: Array, carry: Any) -> Any:
            block = base + (i * tile + jnp.arange(tile, dtype=jnp.int32)) * size + index
            parts = jax.tree.map(lambda v: v[None], one(block[0])) if tile == 1 else jax.vmap(one)(block)
            return accumulator.absorb(carry, parts, block < blocks)

        carry = jax.tree.map(lambda leaf: leaf[0], carry)
        carry = jax.lax.fori_loop(low, high, step, carry)
        return jax.tree.map(lambda leaf: leaf[None], carry)

    if mesh.size == 1:
        # Under shard_map a CPU runs each device on one thread; a lone device may use them all.
        return on_device(args, extra, key, numbers, carry)
    return jax.shard_map(
        on_device, mesh=mesh, in_specs=(P(), P(), P(), P(), P(axis)), out_specs=P(axis), check_vma=False
    )(args, extra, key, numbers, carry)


def stream(
    kernel: Kernel,
    args: Any,
    key: Array,
    blocks: int | Array,
    *,
    first: int = 0,
    tile: int = 1,
    plan: Plan | None = None,
) -> Any:
    """Average a kernel's values over key blocks ``first .. first + blocks - 1``.

    Computes the streaming mean and variance of every array the kernel returns, over the last axis and all
    blocks, in memory that does not depend on ``blocks``.  Traceable when ``args`` or ``key`` are traced (then on
    one device, and the plan is not looked at).

    Args:
        kernel: a hashable ``Kernel``; equal kernels on equal shapes compile once.
        args: pytree passed to ``kernel.setup``.
        key: typed PRNG key.
        blocks: how many blocks (dynamic: other numbers do not recompile).
        first: the first block, so that a run may be continued.
        tile: blocks evaluated side by side per step, where the plan does not say; on several CPU devices, which have a
            thread each, one in any case.  Changes speed, and numbers by rounding only (1e-7).
        plan: devices, checkpoints, progress.

    Returns:
        The kernel's pytree with a ``Moments`` in place of each array.

    Raises:
        NotANumber: the kernel returned NaN; names the block.
        OutOfMemory: a step does not fit the device.
        CheckpointError: the plan's folder cannot be used.

    """
    return _run(Averages(), kernel, args, (), key, blocks, first, tile, plan)


def tally(
    kernel: Kernel,
    args: Any,
    key: Array,
    blocks: int | Array,
    *,
    grid: Any = None,
    spans: Any = None,
    first: int = 0,
    tile: int = 1,
    plan: Plan | None = None,
) -> tuple[Any, Any]:
    """Average a kernel's values over key blocks, as ``stream`` does, and count them on a grid.

    The moments are those of a stream with the same key.  Each value, brought to [0, 1] by ``(v - low) / (high - low)``,
    is rounded at random to a neighbouring edge of the grid and counted.

    Args:
        kernel: a hashable kernel whose values lie between ``low`` and ``high``.
        args: pytree passed to ``kernel.setup``.
        key: typed PRNG key.
        blocks: how many blocks; in all fewer than 2**31 values of each cell.
        grid: edges as of ``logit_grid``; None means ``GRID``.
        spans: for each array of the kernel, in the order of its leaves, ``(low, high)``, each broadcast with the
            array without its last axis; None means (0, 1) for all.
        first: the first block.
        tile: as in ``stream``.
        plan: devices, checkpoints, progress.

    Returns:
        ``(moments, counts)``: the kernel's pytree with a ``Moments``, and with integer counts
        ``[..., B + 1]`` (int64 on the host, int32 where traced), in place of each array.  The last count of a cell is
        of values that are NaN.

    Raises:
        NotANumber: see ``stream``; so with the other errors.

    """
    check_kernel(kernel, key)
    # Through jit, which remembers the trace.
    leaves = jax.tree.leaves(block_values.eval_shape(kernel, args, key))
    extra = [
        tuple(jnp.broadcast_to(jnp.asarray(end, leaf.dtype), leaf.shape[:-1]) for end in span)
        for leaf, span in zip(leaves, spans or [(0.0, 1.0)] * len(leaves), strict=True)
    ]
    return _run(Tallies(tuple(check_grid(grid).tolist())), kernel, args, extra, key, blocks, first, tile, plan)


def check_kernel(kernel: Any, key: Any) -> None:
    """Refuse what is no kernel, and what is no key.

    Raises:
        InvalidInput: see above.

    """
    good = callable(kernel) and hasattr(kernel, "setup") and not isinstance(kernel, type)
    require(good, "kernel", kernel, "a hashable Kernel: setup(args) -> state, and a call (state, key) -> arrays")
    checked_key(key)


def _run(
    accumulator: Accumulator,
    kernel: Kernel,
    args: Any,
    extra: Any,
    key: Array,
    blocks: int | Array,
    first: int,
    tile: int,
    plan: Plan | None,
) -> Any:
    check_kernel(kernel, key)
    plan, tile, first = as_plan(plan), checked_whole(tile, "tile"), checked_whole(first, "first", 0, _MOST)
    if is_concrete(blocks):
        blocks = checked_whole(blocks, "blocks", 1, _MOST)
    concrete = is_concrete(args, extra, key, blocks)
    layout = layout_of(plan) if concrete else _alone()
    tile = (plan.tile or _side_by_side(layout, tile)) if concrete else tile
    # Through jit, which remembers the trace: tracing anew would cost each call some fifteen milliseconds.
    shapes = block_values.eval_shape(kernel, args, key)
    size = layout.size
    leaves, tree = jax.tree.flatten(shapes)
    state = _empty(accumulator, tree, tuple((leaf.shape, leaf.dtype) for leaf in leaves))
    # NumPy's zeros: JAX's would be five programs to start for each array of the kernel.
    carry = jax.tree.map(lambda leaf: np.zeros((size, *leaf.shape), leaf.dtype), state)
    if not concrete:
        steps = (-(-jnp.asarray(blocks, jnp.int32) // tile)).astype(jnp.int32)
        numbers = jnp.stack([jnp.asarray(v, jnp.int32) for v in (0, steps, 0, first, blocks)])
        carry = _advance(kernel, accumulator, layout.mesh, layout.axis, tile, args, extra, key, numbers, carry)
        return jax.tree.map(lambda leaf: leaf[0], carry)

    with plan.numerics(), memory_advice(tile):
        on_mesh = replicate((args, extra, key), layout.mesh)

        def advance(low: int, high: int, base: int, carry: Any) -> Any:
            numbers = replicate(np.asarray([low, high, base, first, blocks], np.int32), layout.mesh)
            sent, spans, own = on_mesh
            return _advance(
                kernel, accumulator, layout.mesh, layout.axis, tile, sent, spans, own, jnp.asarray(numbers), carry
            )

        job = Job(kernel, args, extra, key, first, int(blocks), tile, layout, plan, accumulator, block_values)
        if job.short:
            steps = -(-int(blocks) // (size * tile))
            hosted = fetch(advance(0, steps, 0, carry if layout.mesh.size == 1 else deal(carry, layout)), layout.mesh)
            refuse_nan(job, accumulator.moments(hosted), 0, int(blocks))
        else:
            # Laid out as the loop returns it: otherwise the second chunk would compile once more.
            hosted = long_run(job, advance, carry)
    parts = [jax.tree.map(lambda leaf, i=i: leaf[i], hosted) for i in range(size)]
    return accumulator.finish(functools.reduce(accumulator.merge, parts))


def _side_by_side(layout: Layout, tile: int) -> int:
    # Under shard_map a CPU runs each device on one thread: more than one block only leaves that core's cache.
    threads = layout.mesh.size > 1 and layout.mesh.devices.flat[0].platform == "cpu"
    return 1 if threads else tile


@functools.lru_cache(maxsize=256)
def _empty(accumulator: Accumulator, tree: Any, leaves: tuple[tuple[tuple[int, ...], Any], ...]) -> Any:
    """Return shapes and types of the accumulator's state; remembered, since tracing takes longer than a short run."""
    shapes = tree.unflatten([jax.ShapeDtypeStruct(shape, dtype) for shape, dtype in leaves])
    return jax.eval_shape(lambda: accumulator.zero(shapes))


def _alone() -> Layout:
    mesh = device_mesh(1)
    return Layout(mesh, str(mesh.axis_names[0]), 1)
