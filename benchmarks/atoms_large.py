"""Sixty thousand images of 784 pixels at 64 times, and the ends of what is meant: a million atoms, 3,072 pixels.

Time and peak memory, in a process of its own each.  A CPU takes 4,096 draws, a GPU a million.  Eight classes, so that
4,096 draws are four blocks and not five.  At the ends one block of 1,024 draws, the fewest there are, at 16 times.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import jax

from benchmarks.subprocesses import measured
from benchmarks.timing import Row, at_most

_CODE = """
import json, sys, time
import jax, numpy as np, sloc
from benchmarks.machine import peak_memory
atoms, d, n, count, again = (int(a) for a in sys.argv[1:])
data = np.random.default_rng(0).standard_normal((atoms, d), np.float32)
population = sloc.populations.Empirical(data, np.arange(atoms) % 8)
del data
process = sloc.processes.OrnsteinUhlenbeck()
def run(n):
    began = time.perf_counter()
    sloc.measure(jax.random.key(0), process, population, process.grid(count), [sloc.Information()], n=n,
                 method="monte-carlo", plan=sloc.Plan(precision="highest"))
    return time.perf_counter() - began
first = run(1024)
seconds = run(n) if again else first
print(json.dumps({"first": first, "seconds": seconds, "peak": peak_memory()}))
"""


@dataclass(frozen=True)
class Large:
    """The problem, and what is wanted of it.

    Attributes:
        atoms: number of images.
        d: pixels.
        n: draws.
        times: how many.
        seconds: it may take at most, None for no target.
        peak: bytes of resident memory at most, None for no target.
        ceiling: share of the binding ceiling that is wanted at least, None for no target.
        again: whether it runs once more after the first call; where not, that call is the time, compilation included.

    """

    atoms: int
    d: int
    n: int
    times: int
    seconds: float | None = None
    peak: float | None = None
    ceiling: float | None = None
    again: bool = True


def large(smoke: bool) -> Large:
    """Return the problem for JAX's default backend: 4,096 draws on a CPU, a million (2^20) on a GPU."""
    if smoke:
        return Large(2000, 32, 1024, 8)
    backend = jax.default_backend()
    if backend == "gpu":
        return Large(60_000, 784, 1 << 20, 64, seconds=30.0, ceiling=0.5)
    cpu = backend == "cpu"
    return Large(60_000, 784, 4096, 64, seconds=45.0 if cpu else None, peak=4e9 if cpu else None)


ENDS = (Large(1_000_000, 64, 1024, 16), Large(20_000, 3072, 1024, 16))
"""The most atoms, and the most pixels, that sums over atoms are meant for."""


def large_rows(smoke: bool, ceilings: dict[str, Row]) -> Iterator[Row]:
    """Yield the rows of the large problem and, in a full run, of the ends."""
    for size in (large(smoke), *(() if smoke else ENDS)):
        yield from _rows(size, ceilings)


def _rows(size: Large, ceilings: dict[str, Row]) -> Iterator[Row]:
    """Yield time and peak memory, and the shares of what exp and matrix products take: of both, and of the larger."""
    # A GPU's memory is this process's for the most part; one that takes what it needs finds room beside it.
    numbers = (size.atoms, size.d, size.n, size.times, int(size.again))
    found = measured(_CODE, *numbers, XLA_PYTHON_CLIENT_PREALLOCATE="false")
    case = f"large: {size.atoms} atoms, d = {size.d}, {size.n} draws, {size.times} times"
    seconds: Row = {"name": f"{case}: time", "value": found["seconds"], "unit": "s"}
    if not size.again:
        seconds["note"] = "the first call, compilation included; shares are of it too"
    yield seconds if size.seconds is None else at_most(seconds, size.seconds)
    if size.again:
        name = f"{case}: first call, of 1,024 draws, compilation included"
        yield {"name": name, "value": found["first"], "unit": "s"}
    peak: Row = {"name": f"{case}: peak resident", "value": found["peak"]["resident"], "unit": "B"}
    yield peak if size.peak is None else at_most(peak, size.peak)
    if "device" in found["peak"]:
        yield {"name": f"{case}: peak on the device", "value": found["peak"]["device"], "unit": "B"}
    exps = size.n * size.atoms * size.times / ceilings["exp"]["value"]
    products = 4 * size.n * size.atoms * size.d / ceilings["matmul"]["value"]
    name = f"{case}: floor by exp and matrix products over time"
    yield {"name": name, "value": (exps + products) / found["seconds"], "unit": ""}
    binding = "exp" if exps > products else "matrix products"
    row: Row = {
        "name": f"{case}: share of the binding ceiling",
        "value": max(exps, products) / found["seconds"],
        "unit": "",
        "note": f"{binding} bind",
    }
    yield (
        row
        if size.ceiling is None
        else row
        | {
            "target": f">= {size.ceiling:g}",
            "met": row["value"] >= size.ceiling,
        }
    )
