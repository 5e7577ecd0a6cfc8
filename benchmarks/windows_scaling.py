"""Cost of mixture curves against dimension (flat), trajectories, components and times (linear)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np

import sloc
from benchmarks.growth import exponent_row, growth
from benchmarks.peers.gaussians import TwoGaussians
from benchmarks.timing import Contender, Row, at_most, race, ratio_row, time_rows
from benchmarks.windows_gaussians import TIMES, curve

PROCESS = sloc.processes.OrnsteinUhlenbeck()


def information(components: int, times: int, n: int, d: int = 64) -> Callable[[], Any]:
    """Return the information curve of a mixture with random means as a call: all components take part in it."""
    means = np.random.default_rng(0).normal(size=(components, d))
    population = sloc.populations.GaussianMixture(np.full(components, 1 / components), means)
    grid, key = PROCESS.grid(times), jax.random.key(0)
    return lambda: sloc.information_curve(key, PROCESS, population, grid, n=n, method="monte-carlo")


def rows(rounds: int, smoke: bool) -> Iterator[Row]:
    """Yield the ratio over dimensions and the exponents, each beside what is expected."""
    times = PROCESS.grid(TIMES)
    n = 1 << (12 if smoke else 20)
    dimensions = {f"d = {d}": float(d) for d in ((64, 1024) if smoke else (64, 1024, 16384))}
    timings = race(
        [Contender(name, curve(TwoGaussians.make(int(d), times), n)) for name, d in dimensions.items()], rounds
    )
    yield from time_rows("dimension", timings)
    first, *_, last = dimensions
    yield at_most(ratio_row(f"dimension: sloc at {last} over {first}", timings[last], timings[first]), 1.5)
    yield exponent_row("growth: exponent of d in sloc's time", dimensions, timings, 0.0)

    problem = TwoGaussians.make(64, times)
    sizes = tuple(1 << p for p in ((10, 12) if smoke else (18, 20, 22)))
    # Below one where a fixed cost per call still shows; above one would be worse than linear.
    yield at_most(growth("n", sizes, functools.partial(curve, problem), 1.0, rounds), 1.1)
    draws = 1 << (10 if smoke else 16)
    components, grids = ((2, 4), (8, 16)) if smoke else ((4, 16, 64), (64, 256, 1024))
    yield growth("K", components, lambda k: information(k, 64 if not smoke else 8, draws), 1.0, rounds, n=draws)
    yield growth("times", grids, lambda t: information(8, t, draws), 1.0, rounds, n=draws, components=8)
