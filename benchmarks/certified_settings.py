"""What the coverage of certified edges is measured on: models, sets, thresholds, and what must come out.

Everything here is small and exactly solvable (:mod:`benchmarks.certified_truth`), yet nearly all of it is without a
closed form in the library: components of different spread, sets of several components, sets inside sets, an own
population without bridges, discrete time.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

import sloc
from benchmarks.certified_truth import Coins, Line, Model, Truth, theorem_truth, window_truth

Array = jax.Array
Way = Literal["window", "theorem", "stream", "theorem stream"]

EPSILONS = (0.3, 0.1, 0.03, 0.01, 0.001)
DELTA = 0.05


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class OwnGaussians(sloc.Population):
    """Gaussians on the line as a user would write them: no bridge, no sufficient statistic."""

    weights: Any = field(metadata={"dtype": float})
    means: Any = field(metadata={"dtype": float})
    deviations: Any = field(metadata={"dtype": float})

    @property
    def log_weights(self) -> Array:
        return jnp.log(self.weights)

    @property
    def num_components(self) -> int:
        return int(np.shape(self.weights)[0])

    def sample(self, key: Array, component: Array) -> Array:
        return self.means[component] + self.deviations[component] * jax.random.normal(key, (), self.means.dtype)

    def log_marginals(self, process: Any, y: Array, t: Array) -> Array:
        a, sigma = process.coefficients(t)
        variance = (a * self.deviations) ** 2 + sigma**2
        return -0.5 * ((y - a * self.means) ** 2 / variance + jnp.log(variance))


@dataclass(frozen=True)
class Case:
    """A process, a population, two nested sets of it, and the grid that the pilot looks at.

    Attributes:
        process: for the library.
        population: for the library.
        model: the same, exactly.
        after: the inner set.
        before: the outer set.
        times: the pilot's grid.

    """

    process: sloc.ObservationProcess
    population: sloc.Population
    model: Model
    after: tuple[int, ...]
    before: tuple[int, ...]
    times: np.ndarray


@dataclass(frozen=True)
class Setting:
    """One cell of the grid.

    Attributes:
        name: shown in the rows.
        case: of :func:`case`.
        epsilon: threshold.
        budget: draws in all (of a stream: what sizes its pilot and its first look).
        statuses: of ``T_after`` and ``T_before``, which most repetitions must find; None to ask for none.
        way: ``critical_window``, ``theorem2``, or the stream of either, of 20 looks.
        trap: whether the pilot is replaced by the worst there is: its ladder begins just beyond the true edge, so
            that each walk errs unless the test of a true null hypothesis on its very boundary holds its level.
        normal: whether the betting bounds are replaced by normal ones: then too many intervals must miss.
        delta: joint error level asked for.
        looks: of a stream.
        growth: of its looks; of equal size, twenty keep the draws within reason.

    """

    name: str
    case: str
    epsilon: float
    budget: int
    statuses: tuple[str, str] | None = ("resolved", "resolved")
    way: Way = "window"
    trap: bool = False
    normal: bool = False
    delta: float = DELTA
    looks: int = 20
    growth: float = 1.0


_OU = sloc.processes.OrnsteinUhlenbeck()


def gaussians(weights: Any, means: Any, after: Any, before: Any, times: np.ndarray) -> Case:
    """Gaussians of unit variance on the line."""
    w, m = np.asarray(weights, float), np.asarray(means, float)
    model = Line(w, m, np.ones(len(m)), np.arange(len(m)))
    return Case(_OU, sloc.populations.GaussianMixture(w, m[:, None]), model, tuple(after), tuple(before), times)


def atoms(values: Any, labels: Any, after: Any, before: Any, times: np.ndarray) -> Case:
    """Labelled data on the line."""
    x, classes = np.asarray(values, float), np.asarray(labels)
    model = Line(np.bincount(classes) / len(x), x, np.zeros(len(x)), classes)
    population = sloc.populations.Empirical(x[:, None], classes)
    return Case(_OU, population, model, tuple(after), tuple(before), times)


def own(weights: Any, means: Any, times: np.ndarray, variances: Any = (0.6, 1.5)) -> Case:
    """Gaussians of different spread, by a class of one's own: the first within the first two."""
    w, m, v = (np.asarray(a, float) for a in (weights, means, variances))
    return Case(_OU, OwnGaussians(w, m, np.sqrt(v)), Line(w, m, v, np.arange(len(w))), (0,), (0, 1), times)


def tossed(weights: Any, biases: Any, length: int, after: Any, before: Any) -> Case:
    """Coins under truncation: time is discrete."""
    w, p = np.asarray(weights, float), np.asarray(biases, float)
    population = sloc.populations.ProductCategorical.coins(p, length, w)
    times = np.unique(np.round(np.linspace(0, length, 16)))
    return Case(sloc.processes.Truncation(length), population, Coins(w, p, length), tuple(after), tuple(before), times)


_EIGHT = np.array([0.1, 0.15, 0.05, 0.2, 0.1, 0.15, 0.15, 0.1])
_LATE = np.geomspace(0.05, 12.0, 16)
_EARLY = np.linspace(0.05, 6.0, 16)

_CASES = {
    # No closed form: classes of several atoms, sets of several Gaussians, all of them interleaved; coins; own classes.
    "pair": lambda: atoms([4, 6, 16, -5, -6.5, 11], [0, 0, 0, 1, 1, 1], [0], range(2), _LATE),
    "sets": lambda: gaussians(_EIGHT, 12 * (np.arange(8) - 3.5), [0, 1, 4], range(8), _LATE),
    "sets within sets": lambda: gaussians(
        _EIGHT, [-68, -67, -53, -52, 52, 53, 67, 68], [0, 1], range(4), np.linspace(0.05, 6.0, 16)
    ),
    "coins": lambda: tossed(_EIGHT, [0.2, 0.25, 0.3, 0.35, 0.65, 0.7, 0.75, 0.8], 64, range(4), range(8)),
    "own": lambda: own([0.4, 0.6], [6.0, -6.0], _LATE),
    "own three": lambda: own([0.3, 0.3, 0.4], [9.0, 7.5, -15.0], _EARLY, [0.6, 1.5, 1.0]),
    # A closed form, switched off.
    "shared pair": lambda: gaussians([0.5, 0.5], [4.0, -4.0], [0], range(2), _EARLY),
    # Edges that do not exist, or not inside the grid.
    "near pair": lambda: own([0.5, 0.5], [0.5, -0.5], _EARLY),
    "near pair from 0": lambda: own([0.5, 0.5], [0.5, -0.5], np.linspace(0.0, 5.0, 16)),
    "lopsided pair": lambda: own([0.95, 0.05], [0.5, -0.5], _EARLY),
    "inverted pair": lambda: own([0.68, 0.32], [4.0, -4.0], _EARLY),
    "early grid": lambda: own([0.4, 0.6], [6.0, -6.0], np.linspace(0.05, 0.4, 16)),
    "late grid": lambda: own([0.4, 0.6], [6.0, -6.0], np.linspace(5.0, 8.0, 16)),
    "halves not apart": lambda: gaussians(
        _EIGHT, 12 * (np.arange(8) - 3.5), [0, 1], range(4), np.linspace(0.05, 5.0, 16)
    ),
}


@functools.cache
def case(name: str) -> Case:
    """Return a case by name, made once so that nothing is compiled twice."""
    return _CASES[name]()


@functools.cache
def truth(setting: Setting) -> Truth:
    """Return the exact edges of a setting."""
    c = case(setting.case)
    solve = theorem_truth if setting.way.startswith("theorem") else window_truth
    return solve(c.model, c.after, c.before, setting.epsilon)


def _grid() -> Iterator[Setting]:
    for k, what, name in ((2, "classes of atoms", "pair"), (8, "two sets", "sets")):
        for epsilon in EPSILONS:
            cell = f"K = {k}, {what}, epsilon = {epsilon:g}"
            yield Setting(cell, name, epsilon, 24_576)
            yield Setting(f"{cell}, worst pilot", name, epsilon, 12_288, None, trap=True)


def _kinds() -> Iterator[Setting]:
    yield Setting("K = 2, a closed form switched off, epsilon = 0.1", "shared pair", 0.1, 24_576)
    yield Setting("K = 8, sets within sets, epsilon = 0.3", "sets within sets", 0.3, 36_864)
    yield Setting("K = 8, theorem 2, epsilon = 0.3", "sets within sets", 0.3, 24_576, way="theorem")
    yield Setting("K = 3, without bridges, theorem 2, epsilon = 0.1", "own three", 0.1, 24_576, way="theorem")
    yield Setting("K = 8, sets of coins, discrete time, epsilon = 0.3", "coins", 0.3, 24_576)
    yield Setting("K = 2, without bridges, epsilon = 0.1", "own", 0.1, 24_576)
    yield Setting("K = 2, a pilot of one block a pass, epsilon = 0.1", "pair", 0.1, 12_288)
    yield Setting("K = 2, a budget too small for a pilot", "pair", 0.1, 4_096, ("unresolved", "unresolved"))


def _missing() -> Iterator[Setting]:
    yield Setting("K = 2, no T_after", "near pair from 0", 0.1, 24_576, ("empty", "resolved"))
    yield Setting("K = 2, no T_after inside the grid", "near pair", 0.1, 24_576, ("below_grid", "resolved"))
    yield Setting("K = 2, T_before = 0", "lopsided pair", 0.1, 24_576, ("below_grid", "resolved"))
    yield Setting("K = 8, no T_before", "halves not apart", 0.1, 36_864, ("resolved", "empty"))
    yield Setting("K = 2, T_before below T_after", "inverted pair", 0.3, 24_576, ("inverted", "inverted"))
    yield Setting("K = 2, both edges after the grid", "early grid", 0.1, 24_576, ("above_grid", "above_grid"))
    yield Setting("K = 2, both edges before the grid", "late grid", 0.1, 24_576, ("below_grid", "below_grid"))


def _streams() -> Iterator[Setting]:
    for k, name in ((2, "pair"), (8, "sets")):
        for epsilon in EPSILONS:
            cell = f"K = {k}, stopped at any of 20 looks, epsilon = {epsilon:g}"
            yield Setting(cell, name, epsilon, 16_384, way="stream")
    for k, what, name, epsilon in ((3, "without bridges", "own three", 0.1), (8, "two sets", "sets within sets", 0.3)):
        cell = f"K = {k}, {what}, theorem 2, stopped at any of 20 looks, epsilon = {epsilon:g}"
        yield Setting(cell, name, epsilon, 24_576, way="theorem stream")
        yield Setting(f"{cell}, worst pilot", name, epsilon, 16_384, None, "theorem stream", trap=True)
    # Looks that double, until a second ladder is placed, as bad as the first: no draws may place a better one.
    name = "K = 2, without bridges, epsilon = 0.001, worst pilots, stopped at any of 8 doubling looks"
    yield Setting(name, "own", 0.001, 12_288, None, "stream", trap=True, looks=8, growth=2.0)


def _broken() -> Iterator[Setting]:
    ways: dict[Way, str] = {"window": "", "stream": ", stopped at any of 20 looks"}
    for way, what in ways.items():
        for normal, bounds in ((False, "betting"), (True, "normal")):
            name = f"K = 2, without bridges, epsilon = 0.001, worst pilot{what}, {bounds} bounds"
            yield Setting(name, "own", 0.001, 12_288, None, way, trap=True, normal=normal)


SETTINGS = {s.name: s for s in (*_grid(), *_kinds(), *_missing(), *_streams(), *_broken())}
"""All settings by name."""
