"""A long run in chunks: progress, checkpoints, resumption, and the block to blame when a kernel returns NaN."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import require
from sloc.engine.accumulators import Accumulator, is_moments
from sloc.engine.checkpoint import Stage
from sloc.engine.cluster import check_agreement, deal, fetch, from_leader, is_spread, on_leader
from sloc.engine.faults import NotANumber, Replayed
from sloc.engine.fingerprint import fingerprint, stage_name
from sloc.engine.nans import count_nans, not_a_number
from sloc.engine.plan import Layout, Plan, store_of

Advance = Callable[[int, int, int, Any], Any]


@dataclass(frozen=True)
class Job:
    """One long mean: what is evaluated, and how.

    Attributes:
        kernel: the kernel.
        args: its arguments, as given.
        extra: what the accumulator needs beside the values.
        key: the PRNG key.
        first: the first key block.
        blocks: how many.
        tile: blocks side by side.
        layout: the devices.
        plan: the plan.
        accumulator: what is kept.
        one: evaluates one block, ``(kernel, args, key of the block)``.

    """

    kernel: Any
    args: Any
    extra: Any
    key: Any
    first: int
    blocks: int
    tile: int
    layout: Layout
    plan: Plan
    accumulator: Accumulator
    one: Callable[..., Any]

    @property
    def short(self) -> bool:
        """Whether one call does it all: nobody waits for reports, nothing is kept, no other process takes part."""
        plan = self.plan
        return (
            plan.progress is None and store_of(plan) is None and plan.replay is None and not is_spread(self.layout.mesh)
        )

    @functools.cached_property
    def prints(self) -> dict[str, str]:
        """The fingerprint."""
        return fingerprint(
            self.kernel,
            (self.args, self.extra),
            self.key,
            n=f"{self.blocks} blocks from {self.first}",
            interval=self.accumulator.kept,
            products=self.plan.precision,
        )

    @property
    def topology(self) -> str:
        """What must be the same for sums to have the same bits."""
        device = self.layout.mesh.devices.flat[0]
        return f"{self.layout.size} x {device.device_kind}, tile {self.tile}"


def long_run(job: Job, advance: Advance, carry: Any) -> Any:
    """Run a job chunk by chunk; return its state on the host, leaves ``[D, ...]``.

    Chunks of one run do not show in its numbers: each continues the same loop.  A checkpoint holds the state and the
    number of blocks in it, written only between chunks, so no block is ever counted twice.
    """
    mesh, plan, per_step = job.layout.mesh, job.plan, job.layout.size * job.tile
    stage = stage_name(job.prints)
    check_agreement(stage, mesh, plan, job.tile)
    if plan.replay is not None and plan.replay[0] == stage:
        number = plan.replay[1]
        inside = job.first <= number < job.first + job.blocks
        require(inside, "replay", plan.replay, f"a block from {job.first} to {job.first + job.blocks - 1}")
        raise Replayed(number, stage, replay_block(job, number - job.first))
    store = store_of(plan)
    kept = None if store is None else on_leader(lambda: store.stage(job.prints), mesh)
    hosted, base, done = _resumed(job, kept, carry)
    carry = deal(hosted, job.layout)
    steps, step = -(-(job.blocks - base) // per_step), (done - base) // per_step
    saved_at, size = time.monotonic(), 1
    if plan.progress is not None and done:
        plan.progress(min(done, job.blocks), job.blocks)
    clean = done
    while step < steps:
        stop, began = min(step + size, steps), time.perf_counter()
        carry = jax.block_until_ready(advance(step, stop, base, carry))
        took = max(time.perf_counter() - began, 1e-6)
        done = base + stop * per_step
        # The first call compiles; growing at most fourfold keeps its time out of the estimate.
        wanted = int(np.clip(round((stop - step) * max(plan.chunk, 1e-9) / took), 1, 4 * size))
        due = store_of(plan) is not None and (stop == steps or time.monotonic() - saved_at >= plan.every)
        size, due = (int(v) for v in from_leader(np.asarray([wanted, due], np.int32), mesh))
        step = stop
        if due or stop == steps:
            hosted = fetch(carry, mesh)
            refuse_nan(job, job.accumulator.moments(hosted), clean, min(done, job.blocks))
            clean = done
            if kept is not None:
                _save(job, kept, hosted, base, done)
            saved_at = time.monotonic()
        if plan.progress is not None:
            plan.progress(min(done, job.blocks), job.blocks)
    if kept is not None:
        kept.close()
    return fetch(carry, mesh) if steps == 0 else hosted


def _save(job: Job, kept: Stage, hosted: Any, base: int, done: int) -> None:
    note = {"topology": job.topology, "base": base, "done": done}
    kept.save(done, note, [np.asarray(leaf) for leaf in jax.tree.leaves(hosted)])


def _resumed(job: Job, kept: Stage | None, carry: Any) -> tuple[Any, int, int]:
    """Return ``(state [D, ...] on the host, base, blocks done)``, from the newest checkpoint where there is one."""
    hosted = jax.tree.map(np.asarray, carry)
    base = done = 0
    found = on_leader(lambda: None if kept is None else kept.load(), job.layout.mesh) if store_of(job.plan) else None
    if found is not None:
        note, arrays = found
        done = int(note["done"])
        tree = jax.tree.structure(hosted)
        if note["topology"] == job.topology:
            base, hosted = int(note["base"]), tree.unflatten(arrays)
        else:
            # On other devices: one of them takes over the sum so far, and the blocks not done are dealt anew.
            base = min(done, job.blocks)
            done = base
            hosted = _as_one(job, tree.unflatten(arrays), hosted)
    if store_of(job.plan) is not None:
        hosted = from_leader(hosted, job.layout.mesh)
        base, done = (int(v) for v in from_leader(np.asarray([base, done], np.int32), job.layout.mesh))
    return hosted, base, done


def _as_one(job: Job, state: Any, empty: Any) -> Any:
    size = jax.tree.leaves(state)[0].shape[0]
    parts = [jax.tree.map(lambda leaf, i=i: leaf[i], state) for i in range(size)]
    merged = functools.reduce(job.accumulator.merge, parts)

    def place(zero: np.ndarray, value: Any) -> np.ndarray:
        placed = np.array(zero)
        placed[0] = np.asarray(value)
        return placed

    return jax.tree.map(place, empty, merged)


def refuse_nan(job: Job, moments: Any, low: int, high: int) -> None:
    """Name the first block of ``low .. high - 1`` with a NaN, if the means hold one.

    Raises:
        NotANumber: they do.

    """
    means = [m.mean for m in jax.tree.leaves(moments, is_leaf=is_moments)]
    if not any(bool(np.isnan(np.asarray(m)).any()) for m in means):
        return
    stage = stage_name(job.prints)
    for block in range(low, high):
        values = replay_block(job, block)
        if count_nans(values)[0]:
            raise not_a_number(job.kernel, job.key, job.first + block, values, stage)
    raise NotANumber(
        f"kernel {type(job.kernel).__name__}: the mean is NaN, though no block is when evaluated alone; infinite "
        "values of both signs, or a kernel that depends on what is evaluated beside it",
        -1,
        stage,
    )


def replay_block(job: Job, block: int) -> Any:
    """Return the kernel's values for the job's block ``0 .. blocks - 1``, evaluated alone, as NumPy arrays."""
    own = jax.random.fold_in(job.key, jnp.asarray(job.first + block, jnp.int32))
    return jax.tree.map(np.asarray, job.one(job.kernel, job.args, own))
