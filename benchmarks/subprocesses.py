"""What has to be measured in a process of its own: peak memory and import time."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.timing import Row, at_most

ROOT = Path(__file__).parents[1]

_MEMORY = """
import resource, sys
import jax, numpy as np, sloc
n, case = int(sys.argv[1]), sys.argv[2]
if case == "gaussians":
    means = np.zeros((2, 64)); means[0, 0], means[1, 0] = 1.0, -1.0
    population = sloc.populations.GaussianMixture(np.array([0.5, 0.5]), means)
else:
    rng = np.random.default_rng(0)
    population = sloc.populations.Empirical(rng.normal(size=(200, 16)), np.arange(200) % 4)
process = sloc.processes.OrnsteinUhlenbeck()
sloc.measure(jax.random.key(0), process, population, process.grid(64),
             {"tv": sloc.TV(0, 1), "information": sloc.Information()}, n=n, method="monte-carlo")
try:
    # Not ru_maxrss: on Linux a child starts with the peak of the process that started it.
    with open("/proc/self/status") as status:
        peak = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
except OSError:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(peak)
"""

_IMPORT = """
import time
import jax, jax.numpy
began = time.perf_counter()
import sloc
print(time.perf_counter() - began)
"""


def _number(code: str, *arguments: str) -> float:
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
    )
    if done.returncode:
        raise RuntimeError(f"a measuring process failed:\n{done.stderr}")
    return float(done.stdout.split()[-1])


def memory_rows(base: int, times_more: int = 64) -> list[Row]:
    """Return the peak resident memory at ``base`` and at ``64 base`` trajectories, and their ratio (target: 1.05)."""
    rows = []
    for case in ("gaussians", "atoms"):
        small, large = (_number(_MEMORY, str(n), case) for n in (base, times_more * base))
        rows += [
            {"name": f"memory, {case}: peak resident, n = {base}", "value": small, "unit": "B"},
            {"name": f"memory, {case}: peak resident, n = {times_more * base}", "value": large, "unit": "B"},
            at_most(
                {"name": f"memory, {case}: peak at {times_more} n over peak at n", "value": large / small, "unit": ""},
                1.05,
            ),
        ]
    return rows


def import_row(rounds: int) -> Row:
    """Return how long ``import sloc`` takes once JAX is there (target: under one second)."""
    seconds = [_number(_IMPORT) for _ in range(rounds)]
    row = {
        "name": "import: sloc beyond jax",
        "value": statistics.median(seconds),
        "unit": "s",
        "min": min(seconds),
        "max": max(seconds),
        "rounds": rounds,
    }
    return at_most(row, 1.0)
