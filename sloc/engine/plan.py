"""Where and how a long run is done: devices, mesh, tile, precision, checkpoints, progress. Never what it computes."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import jax
import numpy as np
from jax.sharding import AxisType, Mesh

from sloc.contracts import InvalidInput, require
from sloc.contracts.arguments import as_real, checked_path, is_one_of
from sloc.engine.checkpoint import Store

BLOCK_DRAWS = 1024
"""Draws per key block: part of the result, never tuned."""

_AXIS = "blocks"
_PRECISIONS = ("default", "high", "highest", "float32", "tensorfloat32", "bfloat16", "bfloat16_3x")


class Progress(Protocol):
    """Called after each chunk of a long run."""

    def __call__(self, done: int, total: int, /) -> None:
        """Receive the number of blocks done and in all."""
        ...


@dataclass(frozen=True)
class Layout:
    """A mesh and the axis of it that blocks are dealt over.

    Attributes:
        mesh: the mesh.
        axis: the axis's name.
        size: its length.

    """

    mesh: Mesh
    axis: str
    size: int


@dataclass(frozen=True)
class Plan:
    """How to run: every field but ``precision`` changes speed, safety or comfort, and no number beyond rounding.

    Attributes:
        devices: the devices, how many of the local ones, a platform's name (``"cpu"``, ``"gpu"``, ``"tpu"``), or None:
            all devices of all processes (those of this process where there is one).
        mesh: a mesh of your own instead of ``devices``.
        axis: the axis of ``mesh`` that key blocks are dealt over; other axes hold copies. None: its only axis.
        block: draws evaluated side by side on a device in one step, a multiple of 1,024.  None chooses by shapes and by
            the kind of device: some blocks of 1,024 that fill it, but one on each of several CPU devices, which have a
            thread each, so that more would only leave its core's caches.  More fills a large device, less saves memory.
        precision: of matrix products in kernels that do not say one themselves, as ``jax.default_matmul_precision``;
            None leaves JAX's setting.  The library's own products always ask for the highest.
        checkpoint: a folder for the run's accumulators, or None.  The same call with the same folder goes on where it
            was cut off: on the same topology to the same bits.  One folder holds one run (of any number of calls).
        every: seconds between two checkpoints.
        progress: called with ``(done, total)`` key blocks.
        chunk: aimed seconds between two calls of ``progress``.
        replay: ``(stage, block)`` from a message about values that are not numbers: evaluate that block alone
            and raise :class:`~sloc.engine.Replayed`.

    """

    devices: Sequence[Any] | int | str | None = None
    mesh: Mesh | None = None
    axis: str | None = None
    block: int | None = None
    precision: str | None = None
    checkpoint: str | os.PathLike[str] | None = None
    every: float = 30.0
    progress: Progress | None = None
    chunk: float = 0.5
    replay: tuple[str, int] | None = None
    _store: Store | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        """Refuse what cannot be followed, and open the checkpoint's folder.

        Raises:
            InvalidInput: the message names the field, its value and what was expected.

        """
        require(self.mesh is None or isinstance(self.mesh, Mesh), "mesh", self.mesh, "a jax.sharding.Mesh or None")
        require(self.mesh is None or self.devices is None, "devices", self.devices, "None beside mesh=")
        if self.mesh is None:
            require(self.axis is None, "axis", self.axis, "None without mesh=")
        else:
            names = self.mesh.axis_names
            ok = self.axis in names if self.axis is not None else len(names) == 1
            require(ok, "axis", self.axis, f"one axis of the mesh: {', '.join(map(str, names))}")
        whole = self.block is None or (
            isinstance(self.block, int) and 0 < self.block < 2**31 and self.block % BLOCK_DRAWS == 0
        )
        require(whole, "block", self.block, f"None or a multiple of {BLOCK_DRAWS:,} draws")
        known = self.precision is None or is_one_of(self.precision, _PRECISIONS)
        require(known, "precision", self.precision, f"None or one of {', '.join(_PRECISIONS)}")
        for name in ("every", "chunk"):
            value = getattr(self, name)
            require(0 <= as_real(value) < math.inf, name, value, "a number of seconds, 0 or more")
        given = self.replay
        pair = given is None or (isinstance(given, tuple) and len(given) == 2 and isinstance(given[0], str))
        require(pair and (given is None or isinstance(given[1], int)), "replay", given, "None or (stage, block)")
        require(self.progress is None or callable(self.progress), "progress", self.progress, "a function (done, total)")
        if self.checkpoint is not None:
            object.__setattr__(self, "_store", Store(checked_path(self.checkpoint, "checkpoint")))

    @property
    def tile(self) -> int | None:
        """Key blocks side by side in one step."""
        return None if self.block is None else self.block // BLOCK_DRAWS

    def reporting(self, progress: Progress | None) -> Plan:
        """Return the same plan, checkpoint folder included, that reports to ``progress``."""
        other = dataclasses.replace(self, progress=progress)
        object.__setattr__(other, "_store", self._store)
        return other

    @contextlib.contextmanager
    def numerics(self) -> Generator[None, None, None]:
        """Apply ``precision`` while tracing and running."""
        with contextlib.nullcontext() if self.precision is None else jax.default_matmul_precision(self.precision):
            yield


def as_plan(plan: Any) -> Plan:
    """Return the plan, or the default one for None.

    Args:
        plan: a plan, or None.

    Returns:
        The plan.

    Raises:
        InvalidInput: anything else.

    """
    require(plan is None or isinstance(plan, Plan), "plan", plan, "a sloc.Plan or None")
    return Plan() if plan is None else plan


def layout_of(plan: Plan) -> Layout:
    """Return the mesh and axis of a plan.

    Raises:
        InvalidInput: devices that are not there; the message lists those that are.

    """
    if plan.mesh is not None:
        axis = plan.axis if plan.axis is not None else str(plan.mesh.axis_names[0])
        return Layout(plan.mesh, axis, int(plan.mesh.shape[axis]))
    mesh = device_mesh(plan.devices)
    return Layout(mesh, _AXIS, mesh.size)


def store_of(plan: Plan) -> Store | None:
    """Return what a plan keeps its checkpoints in, None without any."""
    return plan._store  # pyright: ignore[reportPrivateUsage] - kept from users; read here alone


def device_mesh(devices: Sequence[Any] | int | str | None = None) -> Mesh:
    """Return a one-axis mesh.

    Args:
        devices: the devices, how many of the local ones, a platform's name, or None for all (of all processes).

    Raises:
        InvalidInput: more devices than there are, or none of the kind asked for.

    """
    local = jax.local_devices()
    if devices is None:
        chosen: Sequence[Any] = jax.devices() if jax.process_count() > 1 else local
    elif isinstance(devices, str) and devices:
        try:
            chosen = jax.devices(devices)
        except RuntimeError as error:
            kinds = ", ".join(sorted({d.platform for d in jax.devices()}))
            raise InvalidInput(f"devices = {devices!r}: expected a kind of device that is here: {kinds}") from error
    elif isinstance(devices, int):
        require(
            1 <= devices <= len(local),
            "devices",
            devices,
            f"1 to {len(local)}, the local devices of this process",
        )
        chosen = local[:devices]
    else:
        chosen = list(devices) if isinstance(devices, Iterable) else []
        known = bool(chosen) and all(isinstance(d, jax.Device) for d in chosen)
        require(known, "devices", devices, "at least one device")
    return Mesh(np.asarray(chosen), (_AXIS,), axis_types=(AxisType.Auto,))
