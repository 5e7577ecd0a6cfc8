"""The values of a kernel themselves, on any number of devices, tile by tile into one array on the host."""

from __future__ import annotations

import functools
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from sloc.contracts import require
from sloc.contracts.arguments import checked_whole
from sloc.engine.cluster import check_agreement, fetch, from_leader, is_spread, on_leader, replicate
from sloc.engine.faults import Replayed, memory_advice
from sloc.engine.fingerprint import fingerprint, stage_name
from sloc.engine.nans import count_nans, first_nan, not_a_number
from sloc.engine.plan import BLOCK_DRAWS, Layout, Plan, as_plan
from sloc.engine.streaming import Kernel, check_kernel, one_block

Array = jax.Array


@functools.partial(jax.jit, static_argnames=("kernel", "mesh", "name", "tile", "axis"))
def _chunk(kernel: Kernel, mesh: Mesh, name: str, tile: int, axis: int, args: Any, key: Array, first: Array) -> Any:
    size = int(mesh.shape[name])

    def on_device(args: Any, key: Array, first: Array) -> Any:
        state = kernel.setup(args)
        index = jax.lax.axis_index(name) if size > 1 else jnp.zeros((), jnp.int32)
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
    kernel: Kernel, args: Any, key: Array, n: int, *, axis: int = 0, tile: int = 1, plan: Plan | None = None
) -> Any:
    """Return the first ``n`` draws of a kernel, in the order of its key blocks.

    Block ``b`` draws from ``fold_in(key, b)`` as in ``sloc.engine.stream``; neither devices nor tile change a draw.
    Device memory holds two tiles on each device; the host (of every process) holds the result.  A checkpoint holds
    the draws so far.

    Args:
        kernel: hashable; each leaf of what it returns holds ``BLOCK_DRAWS`` draws along ``axis``.
        args: pytree passed to ``kernel.setup``.
        key: typed PRNG key.
        n: how many draws.
        axis: where the draws lie.
        tile: blocks evaluated side by side on a device, where there is more than one; a plan's ``block`` wins.
        plan: devices, checkpoints, progress, a block to replay.

    Returns:
        The kernel's pytree as NumPy arrays with ``n`` along ``axis``.

    Raises:
        NotANumber: a draw holds NaN; names the block.
        Replayed: the plan asks for one block of this run alone.
        OutOfMemory: a step does not fit the device.
        CheckpointError: the plan's folder cannot be used.

    """
    check_kernel(kernel, key)
    plan, n, axis = as_plan(plan), checked_whole(n, "n", what="draws"), checked_whole(axis, "axis", 0, 31)
    tile = checked_whole(tile, "tile")
    layout, tile = plan.layout(), plan.tile or tile
    # One block is a shape of its own: whoever asks for few draws should not wait for a whole tile of them.
    tile = tile if n > BLOCK_DRAWS else 1
    total, per_chunk = -(-n // BLOCK_DRAWS), layout.size * tile
    with plan.numerics(), memory_advice(tile):
        kept = _Kept(kernel, args, key, n, axis, plan, layout, tile)
        if plan.replay is not None and plan.replay[0] == kept.name:
            number = plan.replay[1]
            require(0 <= number < total, "replay", plan.replay, f"a block from 0 to {total - 1}")
            raise Replayed(number, kept.name, one_block(kernel, args, key, number))
        out, done = kept.resume()
        sent, own = replicate((args, key), layout.mesh)

        def run(first: int) -> Any:
            start = replicate(np.asarray(first, np.int32), layout.mesh)
            return _chunk(kernel, layout.mesh, layout.axis, tile, axis, sent, own, jnp.asarray(start))

        firsts = list(range(done, total, per_chunk))
        waiting: tuple[int, Any] | None = None
        for first in [*firsts, None]:
            # The next chunk is under way while this one is copied.
            ahead = None if first is None else (first, run(first))
            if waiting is not None:
                low = waiting[0] * BLOCK_DRAWS
                values = fetch(waiting[1], layout.mesh)
                wrong = first_nan(values, axis, min(per_chunk * BLOCK_DRAWS, n - low))
                if wrong is not None:
                    block = (low + wrong) // BLOCK_DRAWS
                    alone = one_block(kernel, args, key, block)
                    # Evaluated alone a block may round otherwise: then the run's own values are counted.
                    shown = alone if count_nans(alone)[0] else values
                    raise not_a_number(kernel, key, block, shown, kept.name)
                if out is None:
                    out = jax.tree.map(lambda v: np.empty((*v.shape[:axis], n, *v.shape[axis + 1 :]), v.dtype), values)
                high = min(low + per_chunk * BLOCK_DRAWS, n)
                jax.tree.map(functools.partial(_copy, axis=axis, low=low, high=high), out, values)
                done = min(waiting[0] + per_chunk, total)
                kept.offer(out, done, last=done == total)
                if plan.progress is not None:
                    plan.progress(done, total)
            waiting = ahead
    return out


def _copy(target: np.ndarray, source: Any, *, axis: int, low: int, high: int) -> None:
    before = (slice(None),) * axis
    target[(*before, slice(low, high))] = np.asarray(source)[(*before, slice(0, high - low))]


class _Kept:
    """The draws so far, on disk; does nothing without a checkpoint folder."""

    def __init__(
        self, kernel: Kernel, args: Any, key: Array, n: int, axis: int, plan: Plan, layout: Layout, tile: int
    ) -> None:
        self.every, self.layout, self.stage = plan.every, layout, None
        self.saved_at = time.monotonic()
        # Asked for only where there is a checkpoint: it traces the kernel once more.
        self.shapes = lambda: jax.eval_shape(lambda a, k: kernel(kernel.setup(a), k), args, key)
        self.axis, self.n = axis, n
        self.digest = lambda: fingerprint(kernel, args, key, n=f"{n} draws along {axis}", products=plan.precision)
        self.asked = plan.store is not None
        if self.asked or is_spread(layout.mesh):
            check_agreement(self.name, layout.mesh, plan, tile)
            store = plan.store
            if store is not None:
                self.stage = on_leader(lambda: store.stage(self.prints), layout.mesh)

    @functools.cached_property
    def prints(self) -> dict[str, str]:
        """The fingerprint: digests of everything, so made only where they are asked for."""
        return self.digest()

    @property
    def name(self) -> str:
        """Name of the run's stage."""
        return stage_name(self.prints)

    def resume(self) -> tuple[Any, int]:
        """Return the draws so far (None where there are none) and the number of blocks they fill."""
        if not self.asked:
            return None, 0
        found = on_leader(lambda: None if self.stage is None else self.stage.load(), self.layout.mesh)
        done = 0 if found is None else int(found[0]["done"])
        done = int(from_leader(np.asarray(done, np.int32), self.layout.mesh))
        if done == 0:
            return None, 0
        empty = jax.tree.map(
            lambda s: np.zeros((*s.shape[: self.axis], self.n, *s.shape[self.axis + 1 :]), s.dtype), self.shapes()
        )
        out = empty if found is None else jax.tree.structure(empty).unflatten([np.array(a) for a in found[1]])
        return from_leader(out, self.layout.mesh), done

    def offer(self, out: Any, done: int, last: bool) -> None:
        """Save, if it is time."""
        if self.stage is None or not (last or time.monotonic() - self.saved_at >= self.every):
            return
        self.stage.save(done, {"done": done}, jax.tree.leaves(out))
        self.saved_at = time.monotonic()
        if last:
            self.stage.close()
