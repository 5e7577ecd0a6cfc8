"""The clone experiment of Biroli et al. (2024): sloc's curve of clone agreement against PyTorch, two ways."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import jax
import numpy as np

import sloc
from benchmarks import machine
from benchmarks.peers import clones
from benchmarks.timing import Contender, Row, called, race, ratio_row, time_rows

DIMENSION, TIMES, FULL = 64, 16, 1 << 20
SCALED = 1 << 10
"""Pairs of the peer that simulates them, whose time is scaled: all of them would take it more than an hour."""
PEERS: dict[str, tuple[Callable[..., clones.Curve], int, float]] = {
    # name: (maker, pairs of clones it is timed on, what its steps may be off by)
    "PyTorch, as written": (clones.torch_as_written, SCALED, 0.03),
    "PyTorch, tuned": (clones.torch_tuned, FULL, 0.0),
}


def own(problem: clones.TwoClouds, n: int) -> Callable[[], sloc.Curve]:
    """Return sloc's curve as a call: ``E sum_k pi_k^2`` without a clone being drawn."""
    population = sloc.populations.GaussianMixture([0.5, 0.5], np.stack([problem.mean, -problem.mean]))
    process, key = sloc.processes.OrnsteinUhlenbeck(), jax.random.key(0)
    return lambda: sloc.clone_agreement(key, process, population, problem.times, n=n, method="monte-carlo")


def check(name: str, value: np.ndarray, exact: np.ndarray, n: int, bias: float) -> None:
    """Refuse to time a peer whose curve is off by more than six binomial standard errors and its discretisation."""
    allowed = 6 * np.sqrt(exact * (1 - exact) / n + 1e-6 / n) + bias + 1e-4
    gap = np.abs(value - exact)
    if not bool((gap <= allowed).all()):
        raise AssertionError(f"{name}: phi is off by {gap.max():.2g}, allowed {allowed[gap.argmax()]:.2g}")


def rows(rounds: int, smoke: bool) -> Iterator[Row]:
    """Yield times and ratios; without PyTorch, sloc's time alone."""
    problem = clones.TwoClouds.make(DIMENSION, 4 if smoke else TIMES)
    full = FULL // (64 if smoke else 1)
    case, exact, call = f"clones, {full} pairs, {len(problem.times)} times", problem.exact(), own(problem, full)
    found, first = called(call)
    check("sloc", np.asarray(found.value), exact, found.n, 0.0)
    raced, notes = [Contender("sloc", call, full / found.n, first)], {}
    present = PEERS if machine.has_peer("torch", smoke) else {}
    for name, (make, size, bias) in present.items():
        n = min(size, full)
        run = functools.partial(make(problem, n), 0)
        value, first = called(run)
        check(name, value, exact, n, bias)
        raced.append(Contender(name, run, full / n, first))
        notes[name] = (make.__doc__ or "").split("\n\n")[0]
        if n < full:
            yield linearity(name, make, problem, n, rounds)
    timings = race(raced, rounds)
    yield from time_rows(case, timings, notes)
    for name in present:
        yield ratio_row(f"{case}: {name} over sloc", timings[name], timings["sloc"])


def linearity(name: str, make: Callable[..., clones.Curve], problem: clones.TwoClouds, n: int, rounds: int) -> Row:
    """Check that a scaled peer is linear in its pairs: its time for each at n over that at n / 2 (1 is linear)."""
    halves = [Contender(str(m), functools.partial(make(problem, m), 0), 1 / m) for m in (n, n // 2)]
    timings = race(halves, min(rounds, 3))
    return ratio_row(
        f"clones: {name}, time per pair at n = {n} over n = {n // 2}",
        timings[str(n)],
        timings[str(n // 2)],
        better=None,
    )
