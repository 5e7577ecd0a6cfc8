"""One long mean over fixed key blocks, on any number of local devices, in constant memory.

Block ``b`` always draws from ``fold_in(key, b)``.  Device ``i`` of ``D`` takes the blocks ``i, i + D, ...`` in
order and the devices are merged in order, so a result depends on the key and the number of blocks, and on the
topology only through the order of a sum.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from sloc.contracts import is_concrete
from sloc.engine.moments import Moments, block_moments, merge_moments, pool_moments, zero_moments

Array = jax.Array
BLOCK_DRAWS = 1024
"""Draws per key block: part of the result, never tuned."""

Devices = Sequence[Any] | int | None
"""Local devices, how many of them, or None for all."""

_AXIS = "blocks"
_traces = 0


class Kernel(Protocol):
    """What a stream evaluates: hashable, so that equal kernels share one compilation."""

    def setup(self, args: Any, /) -> Any:
        """Do once, before the loop, what does not depend on the key."""
        ...

    def __call__(self, state: Any, key: Array, /) -> Any:
        """Return a pytree of arrays whose last axis runs over independent, identically distributed units."""
        ...


class Progress(Protocol):
    """Called after each chunk of a long run."""

    def __call__(self, done: int, total: int, /) -> None:
        """Receive the number of blocks done and in all."""
        ...


def count_traces() -> int:
    """Return how many times the streaming loop has been traced in this process (for tests of recompilation)."""
    return _traces


def local_mesh(devices: Devices = None) -> Mesh:
    """Return a one-axis mesh over local devices.

    Args:
        devices: the devices, how many of the local ones, or None for all of them.

    Raises:
        InvalidInput: more devices asked for than there are.

    """
    from sloc.contracts import require

    local = jax.local_devices()
    if devices is None:
        chosen: Sequence[Any] = local
    elif isinstance(devices, int):
        require(1 <= devices <= len(local), "devices", devices, f"1 to {len(local)}, the local devices of this process")
        chosen = local[:devices]
    else:
        chosen = list(devices)
        require(len(chosen) > 0, "devices", devices, "at least one device")
    return Mesh(np.asarray(chosen), (_AXIS,), axis_types=(AxisType.Auto,))


def _is_moments(node: Any) -> bool:
    return isinstance(node, Moments)


@functools.partial(jax.jit, static_argnames="kernel")
def _values(kernel: Kernel, args: Any, key: Array) -> Any:
    return kernel(kernel.setup(args), key)


def _shapes(kernel: Kernel, args: Any, key: Array) -> Any:
    # Through jit, which remembers the trace: tracing anew would cost each call some fifteen milliseconds.
    return _values.eval_shape(kernel, args, key)


@functools.partial(jax.jit, static_argnames=("kernel", "mesh", "tile"))
def _advance(
    kernel: Kernel, mesh: Mesh, tile: int, args: Any, key: Array, span: Array, blocks: Array, carry: Any
) -> Any:
    global _traces
    _traces += 1
    size = mesh.size

    def on_device(args: Any, key: Array, span: Array, blocks: Array, carry: Any) -> Any:
        state = kernel.setup(args)
        index = jax.lax.axis_index(_AXIS) if size > 1 else jnp.zeros((), jnp.int32)

        def step(i: Array, carry: Any) -> Any:
            block = (i * tile + jnp.arange(tile, dtype=jnp.int32)) * size + index
            keys = jax.vmap(jax.random.fold_in, (None, 0))(key, block)
            values = (
                jax.tree.map(lambda v: v[None], kernel(state, keys[0]))
                if tile == 1
                else jax.vmap(lambda k: kernel(state, k))(keys)
            )
            parts = jax.tree.map(jax.vmap(block_moments), values)

            # Pooled at once, not merged one by one: a loop over tens of tiny merges takes longer than the draws.
            def absorb(total: Moments, part: Moments) -> Moments:
                return merge_moments(total, pool_moments(part, block < blocks))

            return jax.tree.map(absorb, carry, parts, is_leaf=_is_moments)

        carry = jax.tree.map(lambda leaf: leaf[0], carry)
        carry = jax.lax.fori_loop(span[0], span[1], step, carry)
        return jax.tree.map(lambda leaf: leaf[None], carry)

    if size == 1:
        # Under shard_map a CPU runs each device on one thread; a lone device may use them all.
        return on_device(args, key, span, blocks, carry)
    return jax.shard_map(
        on_device, mesh=mesh, in_specs=(P(), P(), P(), P(), P(_AXIS)), out_specs=P(_AXIS), check_vma=False
    )(args, key, span, blocks, carry)


def stream(
    kernel: Kernel,
    args: Any,
    key: Array,
    blocks: int | Array,
    *,
    devices: Devices = None,
    tile: int = 1,
    progress: Progress | None = None,
    seconds_per_chunk: float = 0.5,
) -> Any:
    """Average a kernel's values over key blocks ``0 .. blocks - 1``.

    Computes the streaming mean and variance of every array the kernel returns, over the last axis and all
    blocks, in memory that does not depend on ``blocks``.  Traceable when ``args`` or ``key`` are traced (then on
    one device and without progress).

    Args:
        kernel: a hashable :class:`Kernel`; equal kernels on equal shapes compile once.
        args: pytree passed to ``kernel.setup``.
        key: typed PRNG key.
        blocks: how many blocks (dynamic: other numbers do not recompile).
        devices: local devices, how many of them, or None for all.
        tile: blocks evaluated side by side per step; changes speed, and numbers by rounding only (1e-7).
        progress: called with ``(done, total)`` blocks after each chunk.
        seconds_per_chunk: aimed time between two calls of ``progress``.

    Returns:
        The kernel's pytree with a :class:`Moments` in place of each array.

    """
    concrete = is_concrete(args, key, blocks)
    mesh = local_mesh(devices if concrete else 1)
    shapes = _shapes(kernel, args, key)
    carry = jax.tree.map(
        lambda s: jax.tree.map(
            lambda leaf: jnp.zeros((mesh.size, *leaf.shape), leaf.dtype), zero_moments(s.shape[:-1], s.dtype)
        ),
        shapes,
    )
    total = jnp.asarray(blocks, jnp.int32)
    advance = functools.partial(_advance, kernel, mesh, tile, args, key)
    if not concrete:
        steps = -(-total // (mesh.size * tile))
        carry = advance(jnp.stack([jnp.zeros((), jnp.int32), steps.astype(jnp.int32)]), total, carry)
        return _collect(carry, 1)
    steps = -(-int(blocks) // (mesh.size * tile))
    if progress is None:
        carry = advance(jnp.asarray([0, steps], jnp.int32), total, carry)
    else:
        # Laid out as the loop returns it: otherwise the second chunk would compile once more.
        carry = jax.device_put(carry, NamedSharding(mesh, P(_AXIS)))
        carry = _in_chunks(advance, carry, steps, int(blocks), mesh.size * tile, total, progress, seconds_per_chunk)
    return _collect(jax.device_get(carry), mesh.size)


def _in_chunks(
    advance: Callable[..., Any],
    carry: Any,
    steps: int,
    blocks: int,
    per_step: int,
    total: Array,
    progress: Progress,
    seconds: float,
) -> Any:
    done, size = 0, 1
    while done < steps:
        stop = min(done + size, steps)
        began = time.perf_counter()
        carry = jax.block_until_ready(advance(jnp.asarray([done, stop], jnp.int32), total, carry))
        took = time.perf_counter() - began
        progress(min(stop * per_step, blocks), blocks)
        # The first call compiles; growing at most fourfold keeps its time out of the estimate.
        size = int(np.clip(round((stop - done) * seconds / max(took, 1e-6)), 1, 4 * size))
        done = stop
    return carry


def _collect(carry: Any, size: int) -> Any:
    def merge(moments: Moments) -> Moments:
        parts = [jax.tree.map(lambda leaf, i=i: leaf[i], moments) for i in range(size)]
        return functools.reduce(merge_moments, parts)

    return jax.tree.map(merge, carry, is_leaf=_is_moments)
