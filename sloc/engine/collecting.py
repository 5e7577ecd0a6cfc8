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
from sloc.engine.plan import Layout, Plan, as_plan, layout_of, store_of
from sloc.engine.streaming import Kernel, block_values, check_kernel, one_block

Array = jax.Array


@functools.partial(jax.jit, static_argnames=("kernel", "mesh", "name", "tile", "turns", "axis"))
def _chunk(
    kernel: Kernel, mesh: Mesh, name: str, tile: int, turns: int, axis: int, args: Any, key: Array, first: Array
) -> Any:
    size, own = int(mesh.shape[name]), tile * turns

    def on_device(args: Any, key: Array, first: Array) -> Any:
        state = kernel.setup(args)
        index = jax.lax.axis_index(name) if size > 1 else jnp.zeros((), jnp.int32)
        blocks = first + index * own + jnp.arange(own, dtype=jnp.int32)
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, blocks)
        if own == 1:
            return kernel(state, keys[0])

        def one(k: Array) -> Any:
            return kernel(state, k)

        values = jax.vmap(one)(keys) if turns == 1 else jax.lax.map(one, keys)
        return jax.tree.map(functools.partial(_side_by_side, axis=axis), values)

    if mesh.size == 1:
        # Under shard_map a CPU runs each device on one thread; a lone device may use them all.
        return on_device(args, key, first)
    shapes = block_values.eval_shape(kernel, args, key)
    out = jax.tree.map(lambda s: P(*(None,) * (axis % len(s.shape)), name), shapes)
    return jax.shard_map(on_device, mesh=mesh, in_specs=(P(), P(), P()), out_specs=out, check_vma=False)(
        args, key, first
    )


def _side_by_side(values: Array, axis: int) -> Array:
    """Join blocks ``[blocks, ...]`` along an axis of theirs."""
    place = axis % (values.ndim - 1)
    values = jnp.moveaxis(values, 0, place)
    return values.reshape(*values.shape[:place], -1, *values.shape[place + 2 :])


def collect(
    kernel: Kernel,
    args: Any,
    key: Array,
    blocks: int,
    first: int = 0,
    *,
    axis: int = -1,
    n: int | None = None,
    tile: int = 1,
    turns: int = 1,
    plan: Plan | None = None,
) -> Any:
    """Return what a kernel gives for key blocks ``first .. first + blocks - 1``, in order.

    Block ``b`` draws from ``fold_in(key, b)`` as in a stream; devices, tile and turns change no draw.  Device memory
    holds twice what a call returns, the host (of every process) the result, a checkpoint the values so far.

    Args:
        kernel: hashable; each leaf of what it returns holds the units of a block along ``axis``, as many as it likes.
        args: pytree passed to ``kernel.setup``.
        key: typed PRNG key.
        blocks: how many blocks.
        first: the first block.
        axis: where the units lie.
        n: how many units of each leaf are wanted; those of all blocks when None.
        tile: blocks evaluated side by side on a device, where there is more than one; a plan's ``block`` wins.
        turns: blocks evaluated one after the other in a call, where none are side by side: fewer calls for small
            blocks.  Their number is a shape: always the same, however few blocks are wanted.
        plan: devices, checkpoints, progress, a block to replay.

    Returns:
        The kernel's pytree as NumPy arrays, the units of all blocks (``n`` of them) along ``axis``.

    Raises:
        NotANumber: a value is NaN; names the block.
        Replayed: the plan asks for one block of this run alone.
        OutOfMemory: a step does not fit the device.
        CheckpointError: the plan's folder cannot be used.

    """
    check_kernel(kernel, key)
    plan, blocks, first = as_plan(plan), checked_whole(blocks, "blocks"), checked_whole(first, "first", 0)
    layout, tile = layout_of(plan), plan.tile or checked_whole(tile, "tile")
    # One block is a shape of its own: whoever asks for few draws should not wait for a whole tile of them.
    tile, turns = tile if blocks > 1 else 1, checked_whole(turns, "turns") if tile == 1 else 1
    at_once = layout.size * tile * turns
    with plan.numerics(), memory_advice(tile):
        kept = _Kept(kernel, args, key, blocks, first, axis, n, plan, layout, tile)
        if plan.replay is not None and plan.replay[0] == kept.name:
            number, last = plan.replay[1], first + blocks - 1
            require(first <= number <= last, "replay", plan.replay, f"a block from {first} to {last}")
            raise Replayed(number, kept.name, one_block(kernel, args, key, number))
        out, done = kept.resume()
        sent, own = replicate((args, key), layout.mesh)

        def run(block: int) -> Any:
            start = replicate(np.asarray(first + block, np.int32), layout.mesh)
            return _chunk(kernel, layout.mesh, layout.axis, tile, turns, axis, sent, own, jnp.asarray(start))

        waiting: tuple[int, Any] | None = None
        for low in [*range(done, blocks, at_once), None]:
            # The next chunk is under way while this one is copied.
            ahead = None if low is None else (low, run(low))
            if waiting is not None:
                out, done = kept.take(out, waiting[0], fetch(waiting[1], layout.mesh), at_once)
                kept.offer(out, done)
                if plan.progress is not None:
                    plan.progress(done, blocks)
            waiting = ahead
    return out


class _Kept:
    """The values so far, in memory and, where the plan has a folder, on disk."""

    def __init__(
        self,
        kernel: Kernel,
        args: Any,
        key: Array,
        blocks: int,
        first: int,
        axis: int,
        n: int | None,
        plan: Plan,
        layout: Layout,
        tile: int,
    ) -> None:
        self.given, self.blocks, self.first, self.axis, self.n = (kernel, args, key), blocks, first, axis, n
        self.every, self.products, self.layout, self.stage = plan.every, plan.precision, layout, None
        self.saved_at = time.monotonic()
        self.asked = store_of(plan) is not None
        if self.asked or is_spread(layout.mesh):
            check_agreement(self.name, layout.mesh, plan, tile)
            store = store_of(plan)
            if store is not None:
                self.stage = on_leader(lambda: store.stage(self.prints), layout.mesh)

    @functools.cached_property
    def prints(self) -> dict[str, str]:
        """The fingerprint: digests of everything, so made only where they are asked for."""
        wanted = "all" if self.n is None else self.n
        words = f"{wanted} values along {self.axis} of {self.blocks} blocks from {self.first}"
        return fingerprint(*self.given, n=words, products=self.products)

    @property
    def name(self) -> str:
        """Name of the run's stage."""
        return stage_name(self.prints)

    def take(self, out: Any, low: int, values: Any, at_once: int) -> tuple[Any, int]:
        """Copy the values of ``at_once`` blocks from the ``low``-th on into ``out``; return it and the blocks in it.

        Raises:
            NotANumber: one that is wanted is NaN.

        """
        leaves, tree = jax.tree.flatten(values)
        done, wrong = min(low + at_once, self.blocks), []
        targets = [self._empty(v, at_once) for v in leaves] if out is None else jax.tree.leaves(out)
        for target, source in zip(targets, leaves, strict=True):
            place = self.axis % source.ndim
            units = source.shape[place] // at_once
            begin, end = low * units, min(done * units, target.shape[place])
            before = (slice(None),) * place
            target[(*before, slice(begin, end))] = np.asarray(source)[(*before, slice(0, end - begin))]
            nan = first_nan(source, place, end - begin)
            wrong += [] if nan is None else [self.first + low + nan // units]
        if wrong:
            kernel, args, key = self.given
            alone = one_block(kernel, args, key, min(wrong))
            # Evaluated alone a block may round otherwise: then the run's own values are counted.
            raise not_a_number(kernel, key, min(wrong), alone if count_nans(alone)[0] else values, self.name)
        return tree.unflatten(targets), done

    def _empty(self, values: Any, blocks: int) -> np.ndarray:
        """Room for all values of a leaf, of which some blocks are given."""
        place = self.axis % len(values.shape)
        whole = values.shape[place] // blocks * self.blocks
        length = whole if self.n is None else min(self.n, whole)
        return np.zeros((*values.shape[:place], length, *values.shape[place + 1 :]), values.dtype)

    def resume(self) -> tuple[Any, int]:
        """Return the values so far (None where there are none) and the number of blocks they fill."""
        if not self.asked:
            return None, 0
        found = on_leader(lambda: None if self.stage is None else self.stage.load(), self.layout.mesh)
        done = 0 if found is None else int(found[0]["done"])
        done = int(from_leader(np.asarray(done, np.int32), self.layout.mesh))
        if done == 0:
            return None, 0
        empty = jax.tree.map(lambda s: self._empty(s, 1), block_values.eval_shape(*self.given))
        out = empty if found is None else jax.tree.structure(empty).unflatten([np.array(a) for a in found[1]])
        return from_leader(out, self.layout.mesh), done

    def offer(self, out: Any, done: int) -> None:
        """Save, if it is time."""
        last = done == self.blocks
        if self.stage is None or not (last or time.monotonic() - self.saved_at >= self.every):
            return
        self.stage.save(done, {"done": done}, jax.tree.leaves(out))
        self.saved_at = time.monotonic()
        if last:
            self.stage.close()
