"""Several processes, one run: what they must agree on, and how values travel between them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from sloc.contracts import InvalidInput, require
from sloc.engine.faults import CheckpointError
from sloc.engine.plan import Layout, Plan, store_of

_LETTERS = 2048
_BY_HAND = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
_SLURM = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID")
"""What JAX needs to know of a step."""


def start_processes() -> bool:
    """Join the other processes of a launch, if there are any; call it before anything else touches JAX.

    By hand, from ``JAX_COORDINATOR_ADDRESS``, ``JAX_NUM_PROCESSES`` and ``JAX_PROCESS_ID``.  Else by JAX's own
    detection, where the environment tells of more than one process: Open MPI (``mpirun``), SLURM (``srun``), TPU
    slices under Kubernetes, indexed jobs of Kubernetes.  A slice of Cloud TPU VMs says nothing in its environment and
    is asked for by ``SLOC_DISTRIBUTED=1``: JAX looks for itself, whatever the launcher; ``SLOC_DISTRIBUTED=0``
    leaves each process alone.

    Returns:
        Whether there are other processes.

    Raises:
        InvalidInput: some of the three variables are missing, or not numbers; the switch is neither 0 nor 1; or JAX
            does not find what it needs to join, and says what.

    """
    switch = _switch()
    given = {name: os.environ.get(name) for name in _BY_HAND}
    if switch is False:
        return False
    if any(given.values()):
        missing = [name for name, value in given.items() if not value]
        if missing:
            raise InvalidInput(f"{', '.join(missing)}: expected beside {', '.join(n for n in _BY_HAND if given[n])}")
        try:
            count, index = int(str(given[_BY_HAND[1]])), int(str(given[_BY_HAND[2]]))
        except ValueError as error:
            raise InvalidInput(f"{_BY_HAND[1]}, {_BY_HAND[2]}: expected whole numbers ({error})") from error
        jax.distributed.initialize(given[_BY_HAND[0]], count, index)
        return count > 1
    if switch or _launcher_index() is not None:
        try:
            jax.distributed.initialize(local_device_ids=_own_devices())
        except ValueError as error:
            # What JAX's detection could not find; a refusal of the network is a RuntimeError and stays one.
            named = "SLOC_DISTRIBUTED = '1'" if switch else "launch"
            raise InvalidInput(
                f"{named}: expected an environment that JAX detects ({error}); under Kubernetes this takes "
                f"pip install 'jax[k8s]'. Give {', '.join(_BY_HAND)} by hand, or SLOC_DISTRIBUTED=0 for one process"
            ) from error
        return jax.process_count() > 1
    return False


def launch_index() -> int | None:
    """Return which process of a launch this is, from its environment alone; 0 outside one.  Nothing is joined.

    Returns:
        The index; None where ``SLOC_DISTRIBUTED=1`` says that there is a launch and the environment does not tell.

    Raises:
        InvalidInput: the switch is neither 0 nor 1.

    """
    switch = _switch()
    if switch is False:
        return 0
    named = os.environ.get("JAX_PROCESS_ID", "") or _launcher_index()
    if named is None:
        return None if switch else 0
    return int(named) if named.isdecimal() else 0


def _switch() -> bool | None:
    said = os.environ.get("SLOC_DISTRIBUTED", "")
    require(said in ("", "0", "1"), "SLOC_DISTRIBUTED", said, "1 (join a launch), 0 (do not), or nothing (detect it)")
    return None if not said else said == "1"


def _launcher_index() -> str | None:
    """Return what a launcher that JAX detects calls this process, None without one; launchers in JAX's order."""
    told = os.environ
    if "OMPI_MCA_orte_hnp_uri" in told and _several("OMPI_COMM_WORLD_SIZE"):
        return told.get("OMPI_COMM_WORLD_RANK", "0")
    # An allocation without `srun` has tasks and no step; JAX needs the step's nodes.
    if set(_SLURM) <= set(told) and _several("SLURM_NTASKS"):
        return told["SLURM_PROCID"]
    workers = (told.get("TPU_PROCESS_ADDRESSES") or told.get("TPU_WORKER_HOSTNAMES", "")).split(",")
    if workers[0] and (len(workers) > 1 or _several("MEGASCALE_NUM_SLICES")):
        index, part = told.get("TPU_WORKER_ID", "0"), told.get("MEGASCALE_SLICE_ID", "0")
        return str(int(index) + int(part) * len(workers)) if index.isdecimal() and part.isdecimal() else "0"
    if {"KUBERNETES_SERVICE_HOST", "JOB_COMPLETION_INDEX"} <= set(told):
        return told["JOB_COMPLETION_INDEX"]
    return None


def _several(name: str) -> bool:
    said = os.environ.get(name, "")
    return said.isdecimal() and int(said) > 1


def _own_devices() -> list[int] | None:
    """Return the devices of a SLURM task that sees its own alone; None leaves the choice to JAX.

    JAX gives the ``i``-th task of a node the ``i``-th device that the task sees, and takes for granted that each sees
    those of all.  With ``--gpus-per-task`` a task sees its own only, counted from 0.
    """
    told = os.environ
    if told.get("JAX_LOCAL_DEVICE_IDS"):
        return None
    asked = told.get("SLURM_GPUS_PER_TASK", "").rpartition(":")[2]
    seen = (told.get("CUDA_VISIBLE_DEVICES") or told.get("ROCR_VISIBLE_DEVICES", "")).split(",")
    if asked.isdecimal() and seen[0] and int(asked) == len(seen):
        return list(range(len(seen)))
    return None


def is_leader() -> bool:
    """Whether this process is the one that writes and speaks."""
    return jax.process_index() == 0


def is_spread(mesh: Mesh) -> bool:
    """Whether a mesh holds devices of other processes."""
    return mesh.is_multi_process


def replicate(tree: Any, mesh: Mesh) -> Any:
    """Return the leaves as arrays that every device of the mesh holds whole; unchanged where the mesh is local."""
    if not is_spread(mesh):
        return tree
    sharding = NamedSharding(mesh, P())

    def place(leaf: Any) -> Any:
        if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            data = place(jax.random.key_data(leaf))
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
        host = np.asarray(leaf)
        return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])

    return jax.tree.map(place, tree)


def deal(tree: Any, layout: Layout) -> Any:
    """Return the leaves ``[D, ...]`` split over the layout's axis."""
    sharding = NamedSharding(layout.mesh, P(layout.axis))
    if not is_spread(layout.mesh):
        return jax.device_put(tree, sharding)
    hosted = jax.tree.map(np.asarray, tree)
    return jax.tree.map(lambda v: jax.make_array_from_callback(v.shape, sharding, lambda index: v[index]), hosted)


def fetch(tree: Any, mesh: Mesh) -> Any:
    """Return the leaves whole, on every process's host."""
    if not is_spread(mesh):
        return jax.device_get(tree)
    from jax.experimental import multihost_utils

    return jax.tree.map(np.asarray, multihost_utils.process_allgather(tree, tiled=True))


def from_leader(tree: Any, mesh: Mesh) -> Any:
    """Return the first process's values on every process; shapes and types must agree."""
    if not is_spread(mesh):
        return tree
    from jax.experimental import multihost_utils

    return jax.tree.map(np.asarray, multihost_utils.broadcast_one_to_all(tree))


def on_leader(work: Callable[[], Any], mesh: Mesh) -> Any:
    """Do something in the first process only; what it refuses is refused in all of them.

    Returns:
        The work's result in the first process, None in the others.

    Raises:
        CheckpointError: in every process, what the first one raised.

    """
    result, refusal = None, ""
    if is_leader():
        try:
            result = work()
        except (CheckpointError, OSError) as error:
            refusal = str(error) or type(error).__name__
            if not is_spread(mesh):
                raise
    if is_spread(mesh):
        text = np.zeros(_LETTERS, np.uint8)
        encoded = np.frombuffer(refusal.encode()[:_LETTERS], np.uint8)
        text[: encoded.size] = encoded
        said = bytes(from_leader(text, mesh)).rstrip(b"\0").decode(errors="ignore")
        if said:
            raise CheckpointError(said)
    return result


def check_agreement(stage: str, mesh: Mesh, plan: Plan | None = None, tile: int = 1) -> None:
    """Refuse to go on unless every process was given the same call and the same plan.

    Raises:
        InvalidInput: processes disagree.

    """
    if not is_spread(mesh):
        return
    from jax.experimental import multihost_utils

    asked = "" if plan is None else f"{store_of(plan) is not None} {plan.replay} {plan.progress is not None}"
    whole = hashlib.sha256(f"{stage} {asked} {tile} {mesh.devices.shape}".encode()).digest()
    mine = np.frombuffer(whole[:16], np.uint8).astype(np.int32)
    every = np.asarray(multihost_utils.process_allgather(mine))
    if (every != mine).any():
        others = np.flatnonzero((every != every[0]).any(axis=1)).tolist()
        raise InvalidInput(
            f"arguments = those of process {jax.process_index()}: expected the same call with the same arguments, key "
            f"and versions on every process; processes {others} differ from process 0"
        )
