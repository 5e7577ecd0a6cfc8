"""The machine: what it is called and what it can do, measured in the same run as everything else."""

from __future__ import annotations

import importlib.util
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import Row, spread_row, timed

Array = jax.Array


def device_name() -> str:
    """Return the device in words, such as ``cpu: AMD EPYC, 2 cores``."""
    device = jax.devices()[0]
    if device.platform != "cpu":
        return f"{device.platform}: {device.device_kind}, {jax.local_device_count()} devices"
    return f"cpu: {_processor()}, {cores()} cores"


def short_name() -> str:
    """Return the device as part of a file name, such as ``cpu-2-cores``."""
    device = jax.devices()[0]
    if device.platform == "cpu":
        return f"cpu-{cores()}-cores"
    return "-".join(f"{device.platform} {device.device_kind}".lower().split())


def cores() -> int:
    """Number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def peak_memory() -> dict[str, int]:
    """Return the most bytes held so far: ``resident`` of this process, ``device`` where a device counts them."""
    try:
        # Not ru_maxrss: on Linux a child starts with the peak of the process that started it.
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        found = {"resident": next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))}
    except OSError:
        found = {"resident": getrusage(RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)}
    counted = (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    return found if counted is None else found | {"device": int(counted)}


class MissingPeer(ModuleNotFoundError):
    """A full run needs a peer that is not installed."""


def has_peer(package: str, smoke: bool) -> bool:
    """Whether a peer is installed.

    Raises:
        MissingPeer: it is not, and this is a full run, whose results would lack its rows without a word.

    """
    present = importlib.util.find_spec(package) is not None
    if not (present or smoke):
        raise MissingPeer(f"{package} is not installed: pip install -e '.[peers]', or --smoke to go without it")
    return present


def versions() -> dict[str, str]:
    """Return the versions of what the numbers depend on."""
    found = {"python": platform.python_version()}
    for name in ("jax", "jaxlib", "numpy", "scipy", "scikit-learn", "torch", "transformers", "pykeops", "sloc"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str | None:
    """Return the commit of this code, with a ``+`` where files differ from it; None outside a repository."""
    folder = Path(__file__).resolve().parents[1]

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    try:
        # A folder that lies in somebody else's repository has no commit of its own.
        if Path(git("rev-parse", "--show-toplevel")).resolve() != folder:
            return None
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def code() -> dict[str, Any]:
    """Return what ran, as entries of a result: versions, and the commit where it is known."""
    found, own = {"versions": versions()}, commit()
    return found if own is None else found | {"commit": own}


def ceilings(rounds: int, smoke: bool = False) -> dict[str, Row]:
    """Measure what the machine can do at best through XLA: the denominators of every share of a ceiling.

    The best round counts, since a ceiling is what no round exceeds.

    Returns:
        Rows by short name: ``exp``, ``normal``, ``copy``, ``matmul``.

    """
    size, repeats = (1 << 16, 8) if smoke else (1 << 18, 200)
    values = jnp.linspace(-1.0, 1.0, size)
    cached = jax.jit(lambda x: jax.lax.fori_loop(0, repeats, lambda _, v: jnp.exp(-0.5 * v), x))
    draws, blocks = (1 << 16, 4) if smoke else (1 << 20, 16)

    def normals(key: Array) -> Array:
        def add(i: Array, total: Array) -> Array:
            return total + jax.random.normal(jax.random.fold_in(key, i), (draws,))

        return jax.lax.fori_loop(0, blocks, add, jnp.zeros(draws))

    large = np.ones(1 << (20 if smoke else 26), np.float32)
    target = np.empty_like(large)
    side = 256 if smoke else 2048
    square = jnp.ones((side, side))
    drawn, product, key = jax.jit(normals), jax.jit(jnp.matmul), jax.random.key(0)
    work = {
        "exp": ("ceiling: exp of float32 in cache, all cores", "/s", size * repeats, lambda: cached(values)),
        "normal": ("ceiling: threefry normal draws, one stream", "/s", draws * blocks, lambda: drawn(key)),
        "copy": (
            "ceiling: copy of memory, one thread, bytes read and written",
            "B/s",
            2 * large.nbytes,
            lambda: np.copyto(target, large),
        ),
        "matmul": ("ceiling: float32 matrix product", "flop/s", 2 * side**3, lambda: product(square, square)),
    }
    rows = {}
    for short, (name, unit, amount, call) in work.items():
        jax.block_until_ready(call())
        rates = [amount / timed(lambda call=call: jax.block_until_ready(call())) for _ in range(max(rounds, 3))]
        rows[short] = spread_row(name, rates, unit) | {"value": max(rates)}
    return rows
