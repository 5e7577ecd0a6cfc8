"""The values of a kernel themselves, on any number of local devices, tile by tile into one array on the host."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from sloc.engine import BLOCK_DRAWS, Devices, Kernel, local_mesh

Array = jax.Array


@functools.partial(jax.jit, static_argnames=("kernel", "mesh", "tile", "axis"))
def _chunk(kernel: Kernel, mesh: Mesh, tile: int, axis: int, args: Any, key: Array, first: Array) -> Any:
    name = mesh.axis_names[0]

    def on_device(args: Any, key: Array, first: Array) -> Any:
        state = kernel.setup(args)
        index = jax.lax.axis_index(name) if mesh.size > 1 else jnp.zeros((), jnp.int32)
        blocks = first + index * tile + jnp.arange(tile, dtype=jnp.int32)
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, blocks)
        if tile == 1:
            return kernel(state, keys[0])
        values = jax.vmap(lambda k: kernel(state, k), out_axes=axis)(keys)
        return jax.tree.map(lambda v: v.reshape(*v.shape[:axis], -1, *v.shape[axis + 2 :]), values)

    if mesh.size == 1:
        # Under shard_map a CPU runs each device on one thread; a lone device may use them all.
        return on_device(args, key, first)
    out = P(*(None,) * axis, name)
    return jax.shard_map(on_device, mesh=mesh, in_specs=(P(), P(), P()), out_specs=out, check_vma=False)(
        args, key, first
    )


def gather(
    kernel: Kernel, args: Any, key: Array, n: int, *, axis: int = 0, tile: int = 1, devices: Devices = None
) -> Any:
    """Return the first ``n`` draws of a kernel, in the order of its key blocks.

    Block ``b`` draws from ``fold_in(key, b)`` as in :func:`sloc.engine.stream`; neither devices nor tile change a draw.
    Device memory holds two tiles on each device; the host holds the result.

    Args:
        kernel: hashable; each leaf of what it returns holds ``BLOCK_DRAWS`` draws along ``axis``.
        args: pytree passed to ``kernel.setup``.
        key: typed PRNG key.
        n: how many draws.
        axis: where the draws lie.
        tile: blocks evaluated side by side on a device, where there is more than one.
        devices: local devices, how many, or None for all.

    Returns:
        The kernel's pytree as NumPy arrays with ``n`` along ``axis``.

    """
    mesh = local_mesh(devices)
    # One block is a shape of its own: whoever asks for few draws should not wait for a whole tile of them.
    tile = tile if n > BLOCK_DRAWS else 1
    per_chunk = mesh.size * tile * BLOCK_DRAWS
    blocks = range(0, -(-n // BLOCK_DRAWS), mesh.size * tile)
    run = functools.partial(_chunk, kernel, mesh, tile, axis, args, key)
    out, waiting = None, None
    for i, first in enumerate([*blocks, None]):
        # The next chunk is under way while this one is copied.
        ahead = None if first is None else run(jnp.asarray(first, jnp.int32))
        if waiting is not None:
            if out is None:
                out = jax.tree.map(lambda v: np.empty((*v.shape[:axis], n, *v.shape[axis + 1 :]), v.dtype), waiting)
            low = (i - 1) * per_chunk
            jax.tree.map(functools.partial(_copy, axis=axis, low=low, high=min(low + per_chunk, n)), out, waiting)
        waiting = ahead
    return out


def _copy(target: np.ndarray, source: Array, *, axis: int, low: int, high: int) -> None:
    before = (slice(None),) * axis
    target[(*before, slice(low, high))] = np.asarray(source)[(*before, slice(0, high - low))]
