"""How the cost of sums over atoms grows with atoms, dimension, times and draws: exponents beside the expected."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

import sloc
from benchmarks.growth import growth
from benchmarks.timing import Row
from sloc.populations.low_rates import NODES, hoped_for

BASE = {"atoms": 1024, "d": 16, "times": 32, "draws": 1024}
SIZES: dict[str, tuple[tuple[int, ...], dict[str, int]]] = {
    "atoms": ((30_000, 90_000), {"times": 16}),
    # Few times, so that the matrix products are what is measured.
    "d": ((1024, 2048, 4096), {"atoms": 2048, "times": 1}),
    "times": ((256, 512, 1024), {}),
    "draws": ((2048, 4096, 8192), {"atoms": 2048}),
}


def passes(times: int, d: int = BASE["d"]) -> float:
    """Return how many exponentials each draw and atom costs at so many times: low rates share a few nodes."""
    process = sloc.processes.OrnsteinUhlenbeck()
    a, sigma = process.coefficients(process.grid(times))
    # Standard normal data lie a mean square of d from their mean.
    low = int(np.sum(hoped_for(a / sigma, d)))
    return float(times - max(low - (NODES + 2), 0))


def expected(name: str, sizes: Sequence[int]) -> float:
    """Return the exponent of the work: 1, but for times as it follows from :func:`passes`."""
    if name != "times":
        return 1.0
    return float(np.polyfit(np.log(sizes), np.log([passes(size) for size in sizes]), 1)[0])


def _curve(atoms: int, d: int, times: int, draws: int) -> Callable[[], Any]:
    data = np.random.default_rng(0).standard_normal((atoms, d), np.float32)
    population = sloc.populations.Empirical(data, np.arange(atoms) % 8)
    process, key = sloc.processes.OrnsteinUhlenbeck(), jax.random.key(0)
    grid, asked = process.grid(times), [sloc.Information()]
    return lambda: sloc.measure(key, process, population, grid, asked, n=draws, method="monte-carlo")


def growth_rows(rounds: int, smoke: bool) -> Iterator[Row]:
    """Yield the exponent of each size in the time of a curve beside the work's; less where a fixed cost still shows."""
    for name, (sizes, others) in SIZES.items():
        if smoke and name != "draws":
            # Each size of the others is a compilation of its own.
            continue
        if smoke:
            sizes, others = (sizes[0] // 32, sizes[0] // 16), {"atoms": 256, "times": 4} | others
        fixed = {k: v for k, v in (BASE | others).items() if k != name}

        def call(size: int, name: str = name, fixed: dict[str, int] = fixed) -> Callable[[], Any]:
            return _curve(**fixed, **{name: size})

        yield growth(name, sizes, call, expected(name, sizes), rounds, others=fixed)
