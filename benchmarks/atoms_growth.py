"""How the cost of sums over atoms grows with atoms, dimension, times and draws: exponents beside the expected."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

import sloc
from benchmarks.growth import growth
from benchmarks.timing import Row

BASE = {"atoms": 4096, "d": 16, "times": 32, "draws": 1024}
SIZES: dict[str, tuple[tuple[int, ...], dict[str, int]]] = {
    "atoms": ((2048, 8192, 32768), {}),
    # Few times, so that the matrix products are what is measured.
    "d": ((512, 1024, 2048), {"times": 1}),
    "times": ((32, 64, 128), {}),
    "draws": ((1024, 2048, 4096), {}),
}


def _curve(atoms: int, d: int, times: int, draws: int) -> Callable[[], Any]:
    data = np.random.default_rng(0).standard_normal((atoms, d), np.float32)
    population = sloc.populations.Empirical(data, np.arange(atoms) % 8)
    process, key = sloc.processes.OrnsteinUhlenbeck(), jax.random.key(0)
    grid, asked = process.grid(times), [sloc.Information()]
    return lambda: sloc.measure(key, process, population, grid, asked, n=draws, method="monte-carlo")


def growth_rows(rounds: int, smoke: bool) -> Iterator[Row]:
    """Yield the exponent of each size in the time of a curve; 1 is expected, less where a fixed cost still shows."""
    for name, (sizes, others) in SIZES.items():
        if smoke and name != "draws":
            # Each size of the others is a compilation of its own.
            continue
        if smoke:
            sizes, others = (sizes[0] // 16, sizes[0] // 8), {"atoms": 256, "times": 4} | others
        fixed = {k: v for k, v in (BASE | others).items() if k != name}

        def call(size: int, name: str = name, fixed: dict[str, int] = fixed) -> Callable[[], Any]:
            return _curve(**fixed, **{name: size})

        yield growth(name, sizes, call, 1.0, rounds, others=fixed)
