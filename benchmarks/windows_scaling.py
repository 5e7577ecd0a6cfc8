"""Cost against the dimension (flat) and against the number of trajectories (linear)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import sloc
from benchmarks.peers.gaussians import TwoGaussians
from benchmarks.timing import Contender, Row, at_most, race, ratio_row, time_rows
from benchmarks.windows_gaussians import TIMES, curve


def rows(rounds: int, smoke: bool) -> Iterator[Row]:
    """Yield the ratio over dimensions and the exponent in n."""
    times = sloc.processes.OrnsteinUhlenbeck().grid(TIMES)
    n = 1 << (12 if smoke else 20)
    timings = race([Contender(f"d = {d}", curve(TwoGaussians.make(d, times), n)) for d in (64, 16384)], rounds)
    yield from time_rows("dimension", timings)
    yield at_most(ratio_row("dimension: sloc at d = 16384 over d = 64", timings["d = 16384"], timings["d = 64"]), 1.5)

    sizes = [1 << p for p in ((10, 12) if smoke else (18, 20, 22))]
    problem = TwoGaussians.make(64, times)
    timings = race([Contender(f"n = {size}", curve(problem, size)) for size in sizes], rounds)
    yield from time_rows("trajectories", timings)
    medians = [timings[f"n = {size}"].median for size in sizes]
    exponent = float(np.polyfit(np.log(sizes), np.log(medians), 1)[0])
    # Below one where a fixed cost per call still shows; above one would be worse than linear.
    yield at_most(
        {
            "name": "trajectories: exponent of n in sloc's time, 1 is linear",
            "value": exponent,
            "unit": "",
            "sizes": sizes,
        },
        1.1,
    )
