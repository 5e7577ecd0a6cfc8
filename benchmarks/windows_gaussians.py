"""Two Gaussians, 64 times, 2^20 trajectories, d = 64: sloc against eight peers; alone, where that fills no device."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

import sloc
from benchmarks import machine
from benchmarks.peers import gaussians as peers
from benchmarks.timing import Contender, Row, called, race, ratio_row, spread_row, time_rows

CASE = "two Gaussians"
TIMES = 64

FULL = 1 << 20
# Peers that need minutes for the full problem run on fewer trajectories and are scaled linearly; the rows say so.
SIZES: dict[str, tuple[Callable[..., peers.Curve], int]] = {
    "direct JAX, as written": (peers.direct_as_written, 1 << 14),
    "direct JAX, in blocks": (peers.direct_in_blocks, 1 << 17),
    "common noise JAX, as written": (peers.common_as_written, 1 << 16),
    "common noise JAX, in blocks": (peers.common_in_blocks, FULL),
    "common noise JAX, inner products once": (peers.common_inner_products, FULL),
    "projected JAX, by hand": (peers.projected_by_hand, FULL),
    "NumPy, as written": (peers.numpy_as_written, 1 << 13),
    "NumPy, projected": (peers.numpy_projected, FULL),
}


def curve(
    problem: peers.TwoGaussians, n: int, generator: str = "threefry2x32", block: int | None = None
) -> Callable[[], sloc.Curve]:
    """Return sloc's own TV curve as a call, closed forms off.

    Args:
        problem: the two Gaussians and the times.
        n: trajectories.
        generator: implementation of its key.
        block: draws side by side in a step; None leaves it to the library.

    """
    population = sloc.populations.GaussianMixture(jnp.array([0.5, 0.5]), jnp.asarray(problem.means))
    process, tv, key = sloc.processes.OrnsteinUhlenbeck(), sloc.TV(0, 1), jax.random.key(0, impl=generator)
    plan = None if block is None else sloc.Plan(block=block)

    def run() -> sloc.Curve:
        return sloc.measure(key, process, population, problem.times, tv, n=n, method="monte-carlo", plan=plan)[tv]

    return run


def check(name: str, value: np.ndarray, n: int, reference: sloc.Curve, exact: np.ndarray) -> None:
    """Refuse to time a peer that does not give sloc's numbers, or sloc if it does not give the exact ones.

    Allowed are six standard errors at the peer's own number of trajectories (and float32 rounding): with the spread
    of one trajectory taken from sloc's own standard error, doubled since sloc pairs two draws.
    """
    spread = np.asarray(reference.stderr) * math.sqrt(2 * reference.n)
    allowed = 6 * spread * math.sqrt(1 / n + 1 / reference.n) + 2e-5
    for what, other in (("sloc", np.asarray(reference.value)), ("the closed form", exact)):
        gap = np.abs(value - other)
        if not bool((gap <= allowed).all()):
            raise AssertionError(f"{name} and {what} differ by {gap.max():.2g}, allowed {allowed[gap.argmax()]:.2g}")


def rows(rounds: int, smoke: bool, ceilings: dict[str, Row]) -> Iterator[Row]:
    """Yield times, ratios and shares of the ceilings."""
    shrink = 256 if smoke else 1
    problem = peers.TwoGaussians.make(64, sloc.processes.OrnsteinUhlenbeck().grid(TIMES))
    full = FULL // shrink
    own, exact = curve(problem, full), problem.exact()
    reference, first = called(own)
    check("sloc", np.asarray(reference.value), reference.n, reference, exact)

    contenders, notes = [Contender("sloc", own, full / reference.n, first)], {}
    for name, (make, size) in SIZES.items():
        n = max(size // shrink, 512)
        run = make(problem, n)
        value, first = called(functools.partial(run, 0))
        check(name, np.asarray(value, np.float64), n, reference, exact)
        contenders.append(Contender(name, functools.partial(run, 0), full / n, first))
        notes[name] = (make.__doc__ or "").split("\n\n")[0].replace("\n    ", " ")
        if n < full:
            yield linearity(name, make, problem, n, rounds)
    timings = race(contenders, rounds)
    yield from time_rows(CASE, timings, notes)

    targets = {"direct JAX, in blocks": 300.0, "common noise JAX, in blocks": 15.0}
    for name in SIZES:
        yield ratio_row(f"{CASE}: {name} over sloc", timings[name], timings["sloc"], targets.get(name))

    normal = machine.written_out_normals(rounds, smoke)
    yield normal
    yield from share_rows(CASE, full, min(timings["sloc"].seconds), ceilings["exp"]["value"], normal["value"])
    size = alone(smoke)
    if size is not None:
        yield from alone_rows(size, rounds, ceilings["exp"]["value"], normal["value"])


@dataclass(frozen=True)
class Alone:
    """A problem that fills an accelerator, for sloc alone: peers would need minutes or the memory of all draws.

    Attributes:
        n: trajectories.
        dimension: of the two Gaussians.
        block: draws side by side in a step; None leaves it to the library.
        rate: trajectory x times a second that are wanted at least, None for no target.

    """

    n: int
    dimension: int = 1
    block: int | None = None
    rate: float | None = None


def alone(smoke: bool) -> Alone | None:
    """Return that problem for JAX's default backend; None on a CPU, which the problem of the peers fills."""
    backend = jax.default_backend()
    if backend == "cpu":
        return None
    if smoke:
        return Alone(1 << 16)
    # 2^30 trajectories at 64 times are 0.7 s at the rate that is wanted of a GPU.
    return Alone(1 << 30, 1, 1 << 19, 1e11) if backend == "gpu" else Alone(1 << 26)


def alone_rows(size: Alone, rounds: int, exp: float, normal: float) -> Iterator[Row]:
    """Yield sloc's time, its rate and its shares of the ceilings on a problem that fills the device."""
    problem = peers.TwoGaussians.make(size.dimension, sloc.processes.OrnsteinUhlenbeck().grid(TIMES))
    run = curve(problem, size.n, block=size.block)
    found, first = called(run)
    check("sloc", np.asarray(found.value), found.n, found, problem.exact())
    case = f"{CASE}, d = {size.dimension}, {size.n:,} trajectories"
    timing = race([Contender("sloc", run, size.n / found.n, first)], rounds)["sloc"]
    yield from time_rows(case, {"sloc": timing})
    rates = [size.n * TIMES / s for s in timing.seconds]
    rate = spread_row(f"{case}: sloc, trajectories x times", rates, "/s")
    yield rate if size.rate is None else rate | {"target": f">= {size.rate:g}", "met": rate["value"] >= size.rate}
    yield from share_rows(case, size.n, min(timing.seconds), exp, normal)


def share_rows(case: str, n: int, best: float, exp: float, normal: float) -> Iterator[Row]:
    """Yield what share of the best time of ``n`` trajectories their exps, and with normals as sloc draws them, take."""
    exps = n * TIMES / exp
    yield {
        "name": f"{case}: sloc's share of the exp ceiling, one exp for each trajectory and time",
        "unit": "",
        "value": exps / best,
    }
    yield {
        "name": f"{case}: sloc's share of the floor, exps and two normals a trajectory",
        "unit": "",
        "value": (exps + 2 * n / normal) / best,
    }


def linearity(name: str, make: Callable[..., peers.Curve], problem: peers.TwoGaussians, n: int, rounds: int) -> Row:
    """Check that a scaled peer is linear in n: its time per trajectory at n over that at n / 2 (1 is linear)."""
    halves = [Contender(str(m), functools.partial(make(problem, m), 0), 1 / m) for m in (n, n // 2)]
    timings = race(halves, max(rounds, 3))
    return ratio_row(
        f"{CASE}: {name}, time per trajectory at n = {n} over n = {n // 2}",
        timings[str(n)],
        timings[str(n // 2)],
        better=None,
    )
