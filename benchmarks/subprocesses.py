"""What has to be measured in a process of its own: peak memory and import time."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.timing import Row, at_most, near_one

ROOT = Path(__file__).parents[1]

_MEMORY = """
import json, sys, time
import jax, numpy as np, sloc
from benchmarks.machine import forget_peak, peak_memory
few, n, case = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
if case == "gaussians":
    means = np.zeros((2, 64)); means[0, 0], means[1, 0] = 1.0, -1.0
    population = sloc.populations.GaussianMixture(np.array([0.5, 0.5]), means)
else:
    rng = np.random.default_rng(0)
    population = sloc.populations.Empirical(rng.normal(size=(200, 16)), np.arange(200) % 4)
process = sloc.processes.OrnsteinUhlenbeck()
def run(n):
    began = time.perf_counter()
    sloc.measure(jax.random.key(0), process, population, process.grid(64), [sloc.TV(0, 1)], n=n, method="monte-carlo")
    return time.perf_counter() - began
run(few)
first = peak_memory()["resident"]
forgot = forget_peak()
print(json.dumps({"seconds": run(n), "peak": peak_memory()["resident"], "first": first, "forgot": forgot}))
"""

_IMPORT = """
import json, time
import jax, jax.numpy
began = time.perf_counter()
import sloc
print(json.dumps(time.perf_counter() - began))
"""


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a measuring process: this one's, with sloc's sources and ``more``."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, **more}


def measured(code: str, *arguments: object, **more: str) -> Any:
    """Run code in a process of its own and return the JSON of its last line.

    Args:
        code: Python.
        arguments: of the command line.
        more: entries of its environment.

    Raises:
        RuntimeError: it failed.

    """
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=environment(**more),
    )
    if done.returncode:
        raise RuntimeError(f"a measuring process failed:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def memory_rows(smoke: bool) -> Iterator[Row]:
    """Yield the peak resident memory of small and of large numbers of trajectories, and their ratio (target: 1 to 5 %).

    For two Gaussians 1e5 and 1e8 trajectories at 64 times, whose time is a row too (target: 60 s for one statistic).
    The processes run on the host's CPU, whose memory is asked for, wherever else there is a device.

    Both processes of a case first run the smaller number, which compiles the one program that serves any, and forget
    their peak: what a compiler holds for a moment is some tens of megabytes more or less from one process to the next,
    and has nothing to do with ``n``.
    """
    sizes = {"gaussians": (100_000, 100_000_000), "atoms": (1 << 14, 1 << 20)}
    for case, (few, many) in sizes.items():
        few, many = (1024, 4096) if smoke else (few, many)
        small, large = (measured(_MEMORY, few, n, case, JAX_PLATFORMS="cpu") for n in (few, many))
        if case == "gaussians":
            name = f"memory, {case}: TV of {many:,} trajectories at 64 times, run"
            row: Row = {"name": name, "value": large["seconds"], "unit": "s"}
            yield row if smoke else at_most(row, 60.0)
        what = "after compilation" if small["forgot"] and large["forgot"] else "compilation included"
        for n, found in ((few, small), (many, large)):
            yield {"name": f"memory, {case}: peak resident {what}, n = {n:,}", "value": found["peak"], "unit": "B"}
        yield {"name": f"memory, {case}: peak resident of the first call", "value": small["first"], "unit": "B"}
        ratio = {"name": f"memory, {case}: peak at {many:,} over peak at {few:,}", "unit": ""}
        yield near_one(ratio | {"value": large["peak"] / small["peak"]}, 0.05)


def import_row(rounds: int) -> Row:
    """Return how long ``import sloc`` takes once JAX is there (target: under one second)."""
    seconds = [float(measured(_IMPORT)) for _ in range(rounds)]
    row = {
        "name": "import: sloc beyond jax",
        "value": statistics.median(seconds),
        "unit": "s",
        "min": min(seconds),
        "max": max(seconds),
        "rounds": rounds,
    }
    return at_most(row, 1.0)
