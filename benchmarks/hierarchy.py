"""Random hierarchy: the class of 1e5 trees of 2^10 leaves by belief propagation, against NumPy."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import sloc
from benchmarks import machine
from benchmarks.timing import Contender, Row, called, race, ratio_row, time_rows
from sloc.populations import RandomHierarchy

TREES = 100_000
LANES = 512
DEPTH = 10
# Letters, rules a symbol, and the least ratio to NumPy that is wanted.  With few rules there is little to do for each
# number read, and the ratio is about 7: shown, and not held to the target.
CASES: tuple[tuple[int, int, float | None], ...] = ((8, 4, 12.0), (4, 2, None))
TIME = 0.4
LEAST_ROUNDS = 25
"""A call is short and waits for memory, whose speed here varies by half from one call to the next."""


@dataclass(frozen=True)
class Trees:
    """Likelihoods of leaves under the Ornstein-Uhlenbeck process, and what they were made with.

    Attributes:
        population: the hierarchy, leaves one-hot.
        messages: ``[tiles, leaves, v, LANES]``, the largest of a leaf 1.
        seconds: for drawing trees and noise and forming the likelihoods.

    """

    population: RandomHierarchy
    messages: np.ndarray
    seconds: float

    @classmethod
    def make(cls, letters: int, rules: int, depth: int, tiles: int) -> Trees:
        """Draw rules, trees and noise."""
        population = RandomHierarchy.random(jax.random.key(0), letters, depth, 2, letters, rules, one_hot=True)
        process = sloc.processes.OrnsteinUhlenbeck()

        @jax.jit
        def tile(population: RandomHierarchy, key: jax.Array) -> jax.Array:
            def one(key: jax.Array) -> jax.Array:
                k_class, k_x, k_y = jax.random.split(key, 3)
                component = jax.random.randint(k_class, (), 0, letters, jnp.int32)
                return process.sample(k_y, population.sample(k_x, component), jnp.float32(TIME))

            y = jax.vmap(one, out_axes=-1)(jax.random.split(key, LANES))
            a, sigma = process.coefficients(jnp.float32(TIME))
            return jnp.exp((a / sigma**2) * (y - jnp.max(y, 1, keepdims=True)))

        keys = jax.random.split(jax.random.key(1), tiles)
        messages = np.empty((tiles, 2**depth, letters, LANES), np.float32)
        messages[0] = tile(population, keys[0])

        def fill() -> None:
            for i in range(tiles):
                messages[i] = tile(population, keys[i])

        return cls(population, messages, called(fill)[1])

    @property
    def trees(self) -> int:
        """How many."""
        return self.messages.shape[0] * LANES


Level = Callable[[np.ndarray, np.ndarray], np.ndarray]


def gathers(children: np.ndarray, rules: np.ndarray) -> np.ndarray:
    """One indexing for each child, a product and a sum: ``[n, 2, v, B]`` to ``[n, v, B]``."""
    return (children[:, 0, rules[..., 0]] * children[:, 1, rules[..., 1]]).sum(2)


def planes(children: np.ndarray, rules: np.ndarray) -> np.ndarray:
    """Symbol by symbol and rule by rule, in place, without a copy of what is gathered."""
    out = np.empty((children.shape[0], *rules.shape[:1], children.shape[3]), np.float32)
    term = np.empty_like(out[:, 0])
    for a, own in enumerate(rules):
        np.multiply(children[:, 0, own[0, 0]], children[:, 1, own[0, 1]], out=out[:, a])
        for left, right in own[1:]:
            out[:, a] += np.multiply(children[:, 0, left], children[:, 1, right], out=term)
    return out


# The number of trees side by side that each was fastest with.
NUMPY: dict[str, tuple[Level, int]] = {"NumPy, gathers": (gathers, 64), "NumPy, symbol by symbol": (planes, 256)}


def numpy_classes(level: Level, rules: np.ndarray, messages: np.ndarray) -> np.ndarray:
    """Go up all levels, tile by tile, scaling every second level like sloc: ``[tiles, leaves, v, B]``."""
    out = []
    for tile in messages:
        for i, rule in enumerate(rules[::-1]):
            tile = level(tile.reshape(-1, 2, *tile.shape[1:]), rule)
            if i % 2 == 1 or i == len(rules) - 1:
                tile /= tile.max(1, keepdims=True)
        out.append(tile[0])
    return np.stack(out)


def lanes_of(messages: np.ndarray, lanes: int) -> np.ndarray:
    """Return the same trees with another number of them side by side."""
    tiles, leaves, letters, width = messages.shape
    split = messages.reshape(tiles, leaves, letters, width // lanes, lanes)
    return np.ascontiguousarray(np.moveaxis(split, 3, 1).reshape(-1, leaves, letters, lanes))


def rows(rounds: int, smoke: bool, ceilings: dict[str, Row] | None = None) -> Iterator[Row]:
    """Yield times, ratios and shares of the floor.

    Args:
        rounds: interleaved rounds.
        smoke: tiny sizes, to show that everything runs.
        ceilings: of :func:`benchmarks.machine.ceilings`; measured here where they are not given.

    """
    ceilings = ceilings or machine.ceilings(rounds, smoke)
    depth, tiles, part = (6, 2, 1) if smoke else (DEPTH, -(-TREES // LANES), 8)
    many = rounds if smoke else max(rounds, LEAST_ROUNDS)
    for letters, rules, target in CASES:
        yield from _case(Trees.make(letters, rules, depth, tiles), part, many, target, ceilings)


def _case(data: Trees, part: int, rounds: int, target: float | None, ceilings: dict[str, Row]) -> Iterator[Row]:
    tiles, leaves, letters, _ = data.messages.shape
    rules = np.asarray(data.population.rules)
    case = f"random hierarchy, 1e5 trees, {leaves} leaves, v = {letters}, m = {rules.shape[2]}"
    full = TREES / data.trees
    yield {"name": f"{case}: trees, noise and likelihoods of leaves, sloc", "unit": "s", "value": full * data.seconds}

    up = jax.jit(RandomHierarchy.class_likelihoods)
    messages = jnp.asarray(data.messages)

    def own() -> np.ndarray:
        return np.asarray(up(data.population, messages))

    value, first = called(own)
    contenders, notes = [Contender("sloc", own, full, first)], {}
    for name, (level, lanes) in NUMPY.items():
        # A part of the trees, the rest being more of the same: the tiles are independent.
        given = lanes_of(data.messages[:part], lanes)
        run = functools.partial(numpy_classes, level, rules, given)
        found, first = called(run)
        gap = np.abs(found - lanes_of(value[:part, None], lanes)[:, 0]).max()
        if gap > 1e-4:
            raise AssertionError(f"{name} and sloc differ by {gap:.2g}")
        contenders.append(Contender(name, run, full * tiles / part, first))
        notes[name] = f"{(level.__doc__ or '').split('``')[0].strip()} {lanes} trees side by side, one thread."
    timings = race(contenders, rounds)
    yield from time_rows(case, timings, notes)
    for name in NUMPY:
        yield ratio_row(f"{case}: {name} over sloc", timings[name], timings["sloc"], target)
    moved: Any = TREES * leaves * letters * 4
    yield {
        "name": f"{case}: sloc's share of the floor, reading the likelihoods once at the speed of a copy",
        "unit": "",
        "value": moved / ceilings["copy"]["value"] / min(timings["sloc"].seconds),
    }
