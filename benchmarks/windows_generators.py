"""What the choice of random bits costs: typed keys of each implementation, the same two-Gaussian curve."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import sloc
from benchmarks.peers.gaussians import TwoGaussians
from benchmarks.timing import Contender, Row, called, race, ratio_row, time_rows
from benchmarks.windows_gaussians import FULL, TIMES, check, curve

GENERATORS = ("threefry2x32", "rbg", "unsafe_rbg")
"""Implementations of ``jax.random.key``; only the first gives the same draws on any topology."""


def rows(rounds: int, smoke: bool) -> Iterator[Row]:
    """Yield the time of each implementation and its ratio to threefry's."""
    problem = TwoGaussians.make(64, sloc.processes.OrnsteinUhlenbeck().grid(TIMES))
    n, case, contenders = FULL // (256 if smoke else 1), "generators", []
    for name in GENERATORS:
        run = curve(problem, n, name)
        found, first = called(run)
        check(name, np.asarray(found.value), found.n, found, problem.exact())
        contenders.append(Contender(name, run, n / found.n, first))
    timings = race(contenders, rounds)
    yield from time_rows(case, timings)
    for name in GENERATORS[1:]:
        yield ratio_row(f"{case}: {name} over threefry2x32", timings[name], timings["threefry2x32"], better=None)
