"""Draws that certify a small overlap ``1 - TV <= 1e-6``: bridges beside balanced draws.

Every bound is one-sided at level 0.05.  Bridge draws are looked at again and again, with betting bounds on dithered
counts that hold at every stopping time, until the bound is below the limit.
"""

from __future__ import annotations

import functools
import itertools
import math
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import brentq
from scipy.stats import binom, gamma

import sloc
from benchmarks.certified_truth import Line
from benchmarks.timing import Row, at_most, called, spread_row, timed
from sloc.divergence import bridge_overlap
from sloc.divergence.bridge_setup import bridge_problem
from sloc.divergence.bridges import BridgeKernel
from sloc.divergence.histogram_betting import upper_bound
from sloc.divergence.measurement import assemble
from sloc.engine.collecting import collect
from sloc.engine.dithering import dither
from sloc.engine.streaming import tally

DELTA = 0.05
LOOK = 32
MOST_LOOKS = 64


@dataclass(frozen=True)
class Case:
    """A population of two whose overlap is known exactly.

    Attributes:
        name: shown in the rows.
        process: the observation process.
        population: the population.
        t: the time at which the overlap is ``alpha``, float32.
        alpha: the overlap.
        directly: whether balanced draws are made too, many as they are.

    """

    name: str
    process: sloc.ObservationProcess
    population: sloc.Population
    t: float
    alpha: float
    directly: bool = False


def cases(alpha: float) -> list[Case]:
    """Gaussians, masked atoms (one against eight) and coins, each at a time of overlap ``alpha``."""

    def solve(overlap: Callable[[float], float], low: float, high: float) -> float:
        root: Any = brentq(lambda t: math.log(overlap(t) / alpha), low, high, xtol=1e-14)
        return float(root)

    def closed(process: sloc.ObservationProcess, population: sloc.Population, t: float) -> float:
        return float(1 - sloc.tv(jax.random.key(0), process, population, t, 0, 1, n=2, method="closed-form").value)

    ou, masking, channel = (
        sloc.processes.OrnsteinUhlenbeck(),
        sloc.processes.Masking(),
        sloc.processes.BinarySymmetric(),
    )
    gaussians = sloc.populations.GaussianMixture([0.5, 0.5], [[8.0] + [0.0] * 15, [-8.0] + [0.0] * 15])
    coins = sloc.populations.ProductCategorical.coins([0.2, 0.8], 60)
    # One atom against eight, each of which differs from it in eight of twelve coordinates.
    chosen = list(itertools.combinations(range(12), 8))[::60][:8]
    words = np.zeros((9, 12), int)
    for row, places in enumerate(chosen, start=1):
        words[row, list(places)] = 1
    atoms = sloc.populations.Empirical(words, [0] + [1] * 8, [0.5, 0.5])
    own, line = _own_covariances()
    unlike = sloc.populations.ProductCategorical(np.stack([1 - _BIASES, _BIASES], axis=2))
    found: list[tuple[str, Any, Any, Callable[[float], float], tuple[float, float]]] = [
        ("two far Gaussians, d = 16", ou, gaussians, functools.partial(closed, ou, gaussians), (0.1, 2.5)),
        ("one masked atom against eight", masking, atoms, functools.partial(_masked, words), (0.01, 0.9)),
        ("masked coins, 60 tosses", masking, coins, functools.partial(closed, masking, coins), (0.01, 0.9)),
        ("two Gaussians with a covariance each, d = 16", ou, own, lambda t: line.overlap([0], [1], t), (0.1, 2.5)),
        ("60 unlike coins under flips", channel, unlike, _flipped, (1e-4, 0.4)),
    ]
    result = []
    for name, process, population, overlap, ends in found:
        # A float32 number, so that host and device mean the same time.
        t = float(np.float32(solve(overlap, *ends)))
        result.append(Case(name, process, population, t, overlap(t), directly=population is gaussians))
    return result


def _own_covariances() -> tuple[sloc.populations.GaussianMixture, Line]:
    """Two Gaussians that differ along one oblique direction, in mean and in variance, and what they are along it."""
    means, variances = np.array([8.0, -8.0]), np.array([0.5, 1.5])
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(16, 16)))[0]
    spread = np.ones((2, 16))
    spread[:, 0] = variances
    weights = np.array([0.5, 0.5])
    covariances = np.einsum("ij,kj,lj->kil", basis, spread, basis)
    population = sloc.populations.GaussianMixture(weights, means[:, None] * basis[:, 0], covariances)
    return population, Line(weights, means, variances, np.arange(2))


_KINDS = [(0.1, 0.85, 40), (0.3, 0.75, 20)]
"""Unlike coins: the bias under either sub-population, and how many there are."""
_BIASES = np.repeat([kind[:2] for kind in _KINDS], [kind[2] for kind in _KINDS], axis=0).T


def _flipped(t: float) -> float:
    """``1 - TV`` of the unlike coins, each flipped with probability ``t``: heads of either kind are sufficient."""
    laws = [[binom.pmf(np.arange(n + 1), n, p + t - 2 * p * t) for p in (first, second)] for first, second, n in _KINDS]
    first, second = (np.multiply.outer(laws[0][side], laws[1][side]) for side in (0, 1))
    return float(np.minimum(first, second).sum())


def _masked(words: np.ndarray, t: float) -> float:
    """``1 - TV`` of the first word against the others by enumeration of all masks: ``E[min(1, agreeing / 8)]``."""
    total = 0.0
    differ = words[1:] != words[:1]
    for hidden in itertools.product([False, True], repeat=words.shape[1]):
        agreeing = int(np.all(~differ | np.asarray(hidden)[None], axis=1).sum())
        if agreeing:
            h = sum(hidden)
            total += t**h * (1 - t) ** (words.shape[1] - h) * agreeing / len(differ)
    return total


def bridge_draws(case: Case, limit: float, seed: int) -> float:
    """Draws of the bridge until ``1 - TV <= limit`` is certified, looked at every 32; infinite beyond 2,048."""
    process, population = case.process.canonical(), case.population.canonical()
    times = np.asarray([case.t])
    a, b = np.asarray([True, False]), np.asarray([False, True])
    problem, log_z, _ = bridge_problem(process, population, times, jnp.asarray(times, jnp.float32), a, b)
    assert problem is not None
    key_draw, key_dither = jax.random.split(jax.random.key(seed))
    values = collect(BridgeKernel(LOOK), problem, key_draw, MOST_LOOKS)[0].reshape(MOST_LOOKS, LOOK)
    counts = np.cumsum(np.asarray(dither(key_dither, values), np.int64), axis=0)
    certified = np.asarray(upper_bound(counts, DELTA)) * math.exp(log_z[0]) <= limit
    return float(LOOK * (1 + np.argmax(certified))) if certified.any() else math.inf


def direct_draws(case: Case, limit: float, seed: int, cap: int) -> tuple[float, float]:
    """Balanced draws until certified by the same bounds, at doubling looks, and the bound; infinite beyond ``cap``."""
    process, population = case.process.canonical(), case.population.canonical()
    term = {"tv": sloc.TV(0, 1).bind(population)}
    whole = assemble(process, population, jnp.asarray([case.t], jnp.float32), term)
    key, counts, done, blocks = jax.random.key(seed), 0, 0, max(cap // 64 // whole.block_draws, 1)
    while True:
        counts = counts + tally(whole.kernel, whole.args, key, blocks, first=done, tile=16)[1][0]
        done += blocks
        bound = float(np.asarray(upper_bound(counts, DELTA)).reshape(()))
        if bound <= limit or 2 * done * whole.block_draws > cap:
            return (float(done * whole.block_draws) if bound <= limit else math.inf), bound
        blocks = done


def counted_draws(alpha: float, limit: float) -> int:
    """Smallest number of Bernoulli draws of mean ``alpha`` that certify ``limit`` with even odds by Clopper-Pearson."""
    for hits in range(10_000):
        # To 1e-6 the binomial bound is the Poisson one: limit = GammaInv(1 - delta; hits + 1) / n.
        n = math.ceil(float(gamma.isf(DELTA, hits + 1)) / limit)
        if binom.cdf(hits, n, alpha) >= 0.5:
            return n
    raise AssertionError(f"alpha = {alpha}: expected an overlap well below {limit}")


def rows(rounds: int, smoke: bool) -> Iterator[Row]:
    """Yield draws with bridges, draws without, their ratio, and the public call."""
    limit = 1e-3 if smoke else 1e-6
    seeds = range(max(rounds, 3) if smoke else max(4 * rounds, 20))
    for case in cases(limit / 2):
        title = f"1 - TV <= {limit:g}, {case.name}"
        drawn = [bridge_draws(case, limit, seed) for seed in seeds]
        if not all(map(math.isfinite, drawn)):
            raise AssertionError(f"{title}: some seeds were not certified by {LOOK * MOST_LOOKS} bridge draws")
        more = {"alpha": case.alpha, "delta": DELTA, "time": case.t}
        # The target is for the worst seed.
        row = spread_row(f"{title}: bridge draws until certified", drawn, "draws", **more)
        yield row | {"target": "every seed <= 1000", "met": max(drawn) <= 1000}
        counted = counted_draws(case.alpha, limit)
        yield {
            "name": f"{title}: balanced draws to certify by Clopper-Pearson, even odds, computed",
            "value": counted,
            "unit": "draws",
        }
        ratios = [counted / d for d in drawn]
        yield spread_row(f"{title}: computed balanced draws over bridge draws", ratios, "")
        if case.directly:
            yield from _directly(title, case, limit, drawn, smoke)
        yield from _publicly(title, case, limit)


def _directly(title: str, case: Case, limit: float, drawn: list[float], smoke: bool) -> Iterator[Row]:
    cap = 1 << (20 if smoke else 28)
    (needed, bound), seconds = called(lambda: direct_draws(case, limit, 0, cap))
    capped = not math.isfinite(needed)
    yield {
        "name": f"{title}: balanced draws until certified by betting, run" + (", capped" if capped else ""),
        "value": cap if capped else needed,
        "unit": "draws",
        "bound": bound,
        "seconds": seconds,
        "note": "looked at after doubling numbers of draws"
        + ("; not certified at the cap, so a lower bound" if capped else ""),
    }
    name = f"{title}: balanced draws until certified, run, over bridge draws"
    yield spread_row(name, [(cap if capped else needed) / d for d in drawn], "")


def _publicly(title: str, case: Case, limit: float) -> Iterator[Row]:
    def call() -> sloc.Curve:
        return bridge_overlap(
            jax.random.key(1), case.process, case.population, [case.t], 0, 1, n=1000, interval="betting"
        )

    curve, first = called(call)
    later = [timed(call) for _ in range(3)]
    again = statistics.median(later)
    yield {"name": f"{title}: one call, compile and first call less a later one", "value": first - again, "unit": "s"}
    yield spread_row(f"{title}: one call, later ones", later, "s")
    upper = float(np.asarray(curve.upper)[0])
    yield at_most(
        {
            "name": f"{title}: upper end of the two-sided interval from one call, n = 1000 rounded up to a block",
            "value": upper,
            "unit": "",
            "lower": float(np.asarray(curve.lower)[0]),
            "alpha": case.alpha,
            "draws": int(curve.n),
        },
        limit,
    )
