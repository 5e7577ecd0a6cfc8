"""Edges of a critical window among eight Gaussians in 16 dimensions: certified draws beside grids with Bonferroni.

Four far pairs of near Gaussians; the window in which one of a pair is chosen, ``epsilon = 0.1``, joint level 0.05.
Grids are held against the certified search's own widths, both edges at once:

* the process's grid of 64 times, at eleven times the draws: where its intervals are still wider, it takes more than ten
  times as many, whatever more would do;
* 64 even times between 0 and 4, likewise;
* 64 times placed in hindsight around the exact edges, an eighth of the certified width apart, as nobody could place
  them, at as many draws as it takes.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

import sloc
from benchmarks.timing import Row, at_most, called, spread_row

EPSILON, DELTA, BUDGET = 0.1, 0.05, 500_000
NEAR, FAR = 4.0, 100.0
WANTED, MORE = 10, 11
"""A grid is to take more than so many times the draws; it is tried at the second number."""


def population() -> sloc.populations.GaussianMixture:
    """Return four pairs ``FAR e_i +- NEAR e_{4 + i}`` in a random orthonormal basis of 16 dimensions."""
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(16, 16)))[0]
    means = [FAR * basis[i] + sign * NEAR * basis[4 + i] for i in range(4) for sign in (1, -1)]
    return sloc.populations.GaussianMixture(np.full(8, 1 / 8), np.asarray(means))


def exact_edges() -> tuple[float, float]:
    """Return ``T_after`` and ``T_before``; the other pairs are so far away that they add nothing in float64.

    With ``r = NEAR e^-t`` half the distance to the twin and ``c = log 7 / (2 r)``: ``TV(0, {0, 1}) = Phi(r) - 1/2``
    and, against the other seven, ``1 - TV = int min(p_0, p_1 / 7) = Phi(-r - c) + Phi(c - r) / 7``.
    """

    def overlap(t: float) -> float:
        r = NEAR * math.exp(-t)
        cut = math.log(7) / (2 * r)
        return float(norm.cdf(-r - cut) + norm.cdf(-r + cut) / 7)

    after: Any = brentq(lambda t: overlap(t) - EPSILON**2, 0.05, 3.0, xtol=1e-14)
    return float(after), math.log(NEAR / norm.ppf(0.5 + EPSILON))


def widths(window: sloc.Window) -> np.ndarray:
    """Return the widths of both intervals."""
    return np.asarray([high - low for low, high in intervals(window)])


def intervals(window: sloc.Window) -> list[tuple[float, float]]:
    """Return the intervals of both edges, which every search of this population has."""
    assert window.after_interval is not None
    assert window.before_interval is not None
    return [window.after_interval, window.before_interval]


def certified(seed: int, budget: int) -> sloc.Window:
    """Return the certified window."""
    return sloc.critical_window(
        jax.random.key(seed),
        sloc.processes.OrnsteinUhlenbeck(),
        population(),
        0,
        [0, 1],
        epsilon=EPSILON,
        delta=DELTA,
        certify=True,
        budget=budget,
    )


def on_grid(seed: int, n: int, times: np.ndarray) -> sloc.Window:
    """Return the window from one pass over a grid, Bonferroni over its times and the three curves."""
    return sloc.critical_window(
        jax.random.key(1000 + seed),
        sloc.processes.OrnsteinUhlenbeck(),
        population(),
        0,
        [0, 1],
        epsilon=EPSILON,
        delta=DELTA,
        refine=False,
        n=n,
        times=times,
        method="monte-carlo",
    )


def rows(rounds: int, smoke: bool, ceilings: dict[str, Row]) -> Iterator[Row]:
    """Yield widths, draws and the ratios of draws, seed by seed, and the search's share of its floor."""
    budget, exact = (60_000 if smoke else BUDGET), np.asarray(exact_edges())
    case = "edges, K = 8, d = 16"
    found, wide, seconds, held = [], [], [], 0
    for seed in range(rounds):
        window, took = called(lambda seed=seed: certified(seed, budget))
        found.append(window)
        wide.append(widths(window))
        seconds.append(took)
        held += _holds(window, exact)
    for i, edge in enumerate(("T_after", "T_before")):
        row = spread_row(f"{case}: certified width of {edge}", [float(w[i]) for w in wide], "OU time")
        yield row | {"target": "every seed <= 0.04 (+-0.02)", "met": max(float(w[i]) for w in wide) <= 0.04}
    yield at_most(spread_row(f"{case}: certified draws", [float(w.draws) for w in found], "draws"), BUDGET)
    yield {"name": f"{case}: certified, first call", "value": seconds[0], "unit": "s"}
    if len(seconds) > 1:
        yield spread_row(f"{case}: certified, later calls", seconds[1:], "s")
        draws = statistics.median(float(w.draws) for w in found)
        # Seven inner products of the noise and eight exponentials a draw, each at one time.
        floor = draws * (7 / ceilings["normal"]["value"] + 8 / ceilings["exp"]["value"])
        yield {
            "name": f"{case}: certified, share of the floor of its draws' normals and exps",
            "value": floor / min(seconds[1:]),
            "unit": "",
            "note": "what is left is the search: pilots, and a call for every rung of few draws",
        }
    yield {"name": f"{case}: seeds of {rounds} whose intervals hold both exact edges", "value": held, "unit": "seeds"}

    few = min(rounds, 3)
    found, wide = found[:few], wide[:few]
    process = sloc.processes.OrnsteinUhlenbeck()
    placed = {"the process's grid of 64 times": process.grid(64), "64 even times in (0, 4]": np.linspace(0, 4, 65)[1:]}
    for name, times in placed.items():
        yield from _coarse(f"{case}: {name}", times, found, wide, exact, *((1, 2) if smoke else (WANTED, MORE)))
    yield from _hindsight(case, found, wide, exact, 2 if smoke else 16)


def _holds(window: sloc.Window, exact: np.ndarray) -> bool:
    return all(lo <= t <= hi for t, (lo, hi) in zip(exact, intervals(window), strict=True))


def _coarse(
    name: str,
    times: np.ndarray,
    found: list[sloc.Window],
    wide: list[np.ndarray],
    exact: np.ndarray,
    wanted: int,
    more: int,
) -> Iterator[Row]:
    """At ``more`` times the draws, how much wider the grid's intervals are; no number of draws undercuts a cell."""
    least = [float(np.diff(times)[np.searchsorted(times, t) - 1]) for t in exact]
    ratios = []
    for seed, (window, width) in enumerate(zip(found, wide, strict=True)):
        ratios.append(widths(on_grid(seed, more * int(window.draws), times)) / width)
    worst = [float(r.max()) for r in ratios]
    yield spread_row(
        f"{name}, {more} times the draws: width over the certified one, the worse edge",
        worst,
        "",
        both_edges=[r.tolist() for r in ratios],
        cells=least,
        certified_widths=[w.tolist() for w in wide],
    )
    reachable = [all(c <= w for c, w in zip(least, width, strict=True)) for width in wide]
    yield {
        "name": f"{name}: draws for the certified widths over certified draws, at least",
        "value": more if min(worst) > 1 else 0,
        "unit": "",
        "target": f"> {wanted}",
        "met": min(worst) > 1 and more > wanted,
        "note": "a lower bound, the number that was tried: the intervals are still wider at so many draws"
        + ("" if any(reachable) else "; and no number suffices, since the grid's cell at an edge is wider than that"),
    }


def _hindsight(
    case: str, found: list[sloc.Window], wide: list[np.ndarray], exact: np.ndarray, most: int
) -> Iterator[Row]:
    """The number of draws at which a grid around the exact edges is as narrow, to a factor of the root of 2."""
    steps = np.arange(-15.5, 16) / 8
    each = []
    for seed, (window, width) in enumerate(zip(found, wide, strict=True)):
        times = np.concatenate([t + w * steps for t, w in zip(exact, width, strict=True)])

        @functools.cache
        def enough(half: int, seed: int = seed, draws: int = int(window.draws), times: Any = times) -> np.ndarray:
            return widths(on_grid(seed, int(draws * 2 ** (half / 2)), times)) <= wide[seed]

        each.append([_least(lambda half, i=i: bool(enough(half)[i]), most) for i in range(2)])
    for i, edges in ((0, "T_after alone"), (1, "T_before alone"), (2, "both edges")):
        ratios = [max(e) if i == 2 else e[i] for e in each]
        capped = sum(not math.isfinite(r) for r in ratios)
        row = spread_row(
            f"{case}: 64 times placed in hindsight, draws for the certified width of {edges} over certified draws",
            [min(r, float(most)) for r in ratios],
            "",
            note=f"{capped} of {len(ratios)} seeds stopped at {most} times the draws, still wider" if capped else "",
        )
        yield row | ({"target": f"> {WANTED}", "met": row["value"] > WANTED} if i == 2 else {})


def _least(enough: Callable[[int], bool], most: int) -> float:
    """Smallest ``2^(k/2)`` up to ``most`` and down to 1/16 for which ``enough(k)``; infinite where there is none."""
    low, high = -9, round(2 * math.log2(most)) + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return float(2 ** (high / 2)) if 2 ** (high / 2) <= most * 1.001 else math.inf
