"""The machine: what it is called and what it can do, measured in the same run as everything else."""

from __future__ import annotations

import ctypes
import functools
import gc
import importlib.util
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import Row, spread_row, timed
from sloc.engine.normals import normals

Array = jax.Array
_CPUINFO = Path("/proc/cpuinfo")


def device_name() -> str:
    """Return the device in words, such as ``cpu: AMD EPYC, AVX-512, 2 cores``.

    The vectors are named since a model's name is not enough: virtual machines of one name have AVX2 or AVX-512, whose
    ratios are not those of one another.
    """
    device = jax.devices()[0]
    if device.platform != "cpu":
        return f"{device.platform}: {device.device_kind}, {jax.local_device_count()} devices"
    return ", ".join(
        filter(None, (f"cpu: {_listed('model name') or platform.machine()}", _vectors(), f"{cores()} cores"))
    )


def short_name() -> str:
    """Return the device as part of a file name, such as ``cpu-2-cores``."""
    device = jax.devices()[0]
    if device.platform == "cpu":
        return f"cpu-{cores()}-cores"
    return "-".join(f"{device.platform} {device.device_kind}".lower().split())


def cores() -> int:
    """Number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _listed(name: str) -> str:
    """Return what the system's list of processors says first under a name; nothing where there is no list."""
    try:
        lines = _CPUINFO.read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() if name == "model name" else ""
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name), "")


def _vectors() -> str:
    """Return the widest vectors that the processor has, in words; nothing where it does not tell."""
    flags = {*_listed("flags").split(), *_listed("Features").split()}
    known = {"avx512f": "AVX-512", "avx2": "AVX2", "sve": "SVE", "asimd": "NEON"}
    return next((words for flag, words in known.items() if flag in flags), "")


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


def forget_peak() -> bool:
    """Give freed memory back and count the peak anew from what is held now; return whether the system could.

    What a compiler has freed stays with the process until it is asked for; how much differs from run to run.
    """
    try:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except (OSError, AttributeError):
        return False
    return True


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


@dataclass(frozen=True)
class Sizes:
    """How large the work behind a ceiling is: enough to fill the device, so that starting a kernel does not show.

    Attributes:
        exps: numbers whose exponential is taken again and again.
        repeats: how many times.
        draws: normals side by side.
        blocks: how many times so many.
        copied: numbers that are copied.
        side: of the square matrices.

    """

    exps: int
    repeats: int
    draws: int
    blocks: int
    copied: int
    side: int


def sizes(smoke: bool = False) -> Sizes:
    """Return the sizes for JAX's default backend."""
    if smoke:
        return Sizes(1 << 16, 8, 1 << 16, 4, 1 << 20, 256)
    if jax.default_backend() == "cpu":
        # What is exponentiated stays in the caches.
        return Sizes(1 << 18, 200, 1 << 20, 16, 1 << 26, 2048)
    # A gigabyte is copied: more than a device's caches hold.
    return Sizes(1 << 26, 64, 1 << 26, 4, 1 << 28, 8192)


def repeated_exp(repeats: int) -> Callable[[Array], Array]:
    """Return ``repeats`` exponentials of each number, one after the other, as a compiled function.

    On a CPU a loop over an array that stays in cache, so that all cores share each pass.  On an accelerator each pass
    of such a loop would be a kernel to start and a way through memory and back; there they are written out, one fused
    kernel that reads and writes each number once.
    """
    if jax.default_backend() == "cpu":
        return jax.jit(lambda x: jax.lax.fori_loop(0, repeats, lambda _, v: jnp.exp(-0.5 * v), x))

    def unrolled(x: Array) -> Array:
        for _ in range(repeats):
            x = jnp.exp(-0.5 * x)
        return x

    return jax.jit(unrolled)


def exponentials(smoke: bool = False, repeats: int | None = None) -> tuple[Callable[[], Array], int]:
    """Return the exponentials behind the ceiling as a call, and how many it takes; ``repeats`` a number on a CPU."""
    size = sizes(smoke)
    times = repeats if repeats is not None and jax.default_backend() == "cpu" else size.repeats
    values, passes = jnp.linspace(-1.0, 1.0, size.exps), repeated_exp(times)
    return lambda: passes(values), size.exps * times


def _normals(draws: int, blocks: int, draw: Callable[..., Array] = jax.random.normal) -> Callable[[Array], Array]:
    def kept(key: Array) -> Array:
        def add(i: Array, total: Array) -> Array:
            return total + draw(jax.random.fold_in(key, i), (draws,))

        return jax.lax.fori_loop(0, blocks, add, jnp.zeros(draws))

    def summed(key: Array) -> Array:
        # Into one number: a way through a device's memory and back would bind before the generator does.
        def add(i: Array, total: Array) -> Array:
            return total + jnp.sum(draw(jax.random.fold_in(key, i), (draws,)))

        return jax.lax.fori_loop(0, blocks, add, jnp.zeros(()))

    return jax.jit(kept if jax.default_backend() == "cpu" else summed)


def _copy(count: int) -> tuple[str, Callable[[], Any]]:
    if jax.default_backend() == "cpu":
        large = np.ones(count, np.float32)
        target = np.empty_like(large)
        return "copy of memory, one thread", lambda: np.copyto(target, large)
    # A copy alone might be left out: its argument is an answer too.
    large, negative = jnp.ones(count, jnp.float32), jax.jit(jnp.negative)
    return "copy of the device's memory", lambda: negative(large)


def ceilings(rounds: int, smoke: bool = False) -> dict[str, Row]:
    """Measure what the machine can do at best through XLA: the denominators of every share of a ceiling.

    On the device that the kernels run on, in the precision that they ask for.  The best round counts, since a ceiling
    is what no round exceeds.

    Returns:
        Rows by short name: ``exp``, ``normal``, ``copy``, ``matmul``.

    """
    size, cpu = sizes(smoke), jax.default_backend() == "cpu"
    exp, exps = exponentials(smoke)
    drawn, key = _normals(size.draws, size.blocks), jax.random.key(0)
    copied, copy = _copy(size.copied)
    square = jnp.ones((size.side, size.side))
    # The library's own products ask for this; on a CPU it is the only one there is.
    product = jax.jit(functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST))
    place = "in cache, all cores" if cpu else "in registers"
    work = {
        "exp": (f"ceiling: exp of float32 {place}", "/s", exps, exp),
        "normal": (
            "ceiling: threefry normal draws, one stream",
            "/s",
            size.draws * size.blocks,
            lambda: drawn(key),
        ),
        "copy": (f"ceiling: {copied}, bytes read and written", "B/s", 8 * size.copied, copy),
        "matmul": ("ceiling: float32 matrix product", "flop/s", 2 * size.side**3, lambda: product(square, square)),
    }
    return {short: best(name, unit, amount, call, rounds) for short, (name, unit, amount, call) in work.items()}


def written_out_normals(rounds: int, smoke: bool = False) -> Row:
    """Measure the same normals with their generator's rounds written out (:mod:`sloc.engine.normals`), all cores.

    The ceiling of kernels that draw so: the other one is that of ``jax.random.normal``, whose rounds a CPU takes
    through memory.
    """
    size, key = sizes(smoke), jax.random.key(0)
    drawn = _normals(size.draws, size.blocks, normals)
    name = "ceiling: threefry normal draws, rounds written out"
    return best(name, "/s", size.draws * size.blocks, lambda: drawn(key), rounds)


def byte_steps(rounds: int, smoke: bool = False) -> Row:
    """Measure how many bytes a second are compared, chosen by the outcome and kept where largest, in cache.

    The step of sums over atoms under a revealing channel, once for each draw, atom and coordinate.
    """
    size, cpu = sizes(smoke), jax.default_backend() == "cpu"
    values = jnp.arange(size.exps, dtype=jnp.uint32).astype(jnp.uint8)

    def step(i: Any, largest: Array) -> Array:
        # Other bytes in each pass, or the compiler would take the comparison out of the loop.
        own = jnp.asarray(i).astype(jnp.uint8)
        return jnp.maximum(largest, jnp.where(values != own, values ^ own, jnp.uint8(0)))

    def passes(x: Array) -> Array:
        if cpu:
            return jax.lax.fori_loop(0, size.repeats, step, x)
        for i in range(size.repeats):
            x = step(i, x)
        return x

    compiled, start = jax.jit(passes), jnp.zeros(size.exps, jnp.uint8)
    name = "ceiling: bytes compared, chosen and kept where largest, in cache"
    return best(name, "/s", size.exps * size.repeats, lambda: compiled(start), rounds)


def copied(rounds: int, smoke: bool = False) -> Row:
    """Measure how fast the device's memory is copied, in bytes read and written a second."""
    size = sizes(smoke)
    said, copy = _copy(size.copied)
    return best(f"ceiling: {said}, bytes read and written", "B/s", 8 * size.copied, copy, rounds)


def best(name: str, unit: str, amount: float, call: Callable[[], Any], rounds: int) -> Row:
    """Return the row of a ceiling: what some work does at best, ``amount`` of it a call."""
    jax.block_until_ready(call())
    rates = [amount / timed(lambda: jax.block_until_ready(call())) for _ in range(max(rounds, 3))]
    return spread_row(name, rates, unit) | {"value": max(rates)}
