"""Level by level: where each level of a hierarchy loses its symbols, and how abruptly, exactly and by draws."""

from __future__ import annotations

import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import brentq

import sloc

from .certified import window_rows
from .grammar_trees import all_trees, grammar, right_beliefs, survival
from .rows import Fit, Row, crossing, same, slope

LETTERS, RULES, DEPTHS, TREES, SIGMAS = 8, 4, (3, 4, 5, 6, 7), 256, 5
NOISE = np.geomspace(0.02, 1.0, 25)
EPSILON = 0.2


def level_name(level: int, depth: int) -> str:
    """Return how a level is called in the table: the class, the leaves, or its number."""
    return {0: "the class", depth: "the leaves"}.get(level, f"level {level}")


def edges(times: np.ndarray, kept: np.ndarray) -> tuple[float, float]:
    """Return where a survival curve is ½, and the ratio of noise at which it is ¼ to that at which it is ¾."""
    # In ln t, in which a survival curve is close to straight between grid points.
    falls = np.minimum.accumulate(kept)
    low, middle, high = (math.exp(crossing(np.log(times), falls, level)) for level in (0.75, 0.5, 0.25))
    return middle, high / low


def exact_rows(name: str, setting: str, exact: np.ndarray, times: np.ndarray) -> list[Row]:
    """Return the half-points between class and leaves, and how abruptly each level goes, of all trees and masks."""
    depth, how, rows = exact.shape[1] - 1, "belief propagation, all trees and masks", []
    for level in range(depth + 1):
        middle, ratio = edges(times, exact[:, level])
        called = level_name(level, depth)
        if 0 < level < depth:
            middle = crossing(times, exact[:, level], 0.5)
            rows.append(Row(name, setting, f"erased at which {called} is half lost", middle, *same(middle), how, None))
        rows.append(
            Row(name, setting, f"{called}: erased with ¼ kept over erased with ¾ kept", ratio, *same(ratio), how, None,
                "" if level else "a shallow tree under erasing does not flip: see diffusion at depth 7")
        )  # fmt: skip
    return rows


def diffused(depth: int, trees: int = TREES) -> np.ndarray:
    """Return survival by tree, noise and level under diffusion of one-hot leaves, ``[trees, T, L + 1]``."""
    population, process = grammar(LETTERS, RULES, depth, one_hot=True), sloc.processes.OrnsteinUhlenbeck()

    def one(key: jax.Array, t: jax.Array) -> jax.Array:
        k_class, k_tree, k_noise = jax.random.split(key, 3)
        tree = population.sample_tree(k_tree, jax.random.randint(k_class, (), 0, LETTERS, jnp.int32))
        return right_beliefs(population, tree, process.sample(k_noise, population.codes()[tree[-1]], t), process, t)

    at = jax.jit(lambda keys, t: jax.vmap(lambda key: one(key, t))(keys))
    keys = jax.random.split(jax.random.key(1), trees)
    return survival(np.stack([np.asarray(at(keys, jnp.float32(t))) for t in NOISE], 1), LETTERS)


def drawn(name: str) -> tuple[list[Row], list[Fit], np.ndarray]:
    """Return rows of all levels of the deepest grammar, how widths follow the depth, and the deepest curves."""
    rng, rows, widths, values = np.random.default_rng(1), [], [], np.empty(0)
    for depth in DEPTHS:
        values = diffused(depth)
        mean = values.mean(0)
        found = np.array([edges(NOISE, mean[:, level]) for level in range(depth + 1)])
        picks = [rng.integers(0, TREES, TREES) for _ in range(100)]
        again = np.array(
            [[edges(NOISE, values[p, :, level].mean(0)) for level in range(depth + 1)] for p in picks]
        )  # fmt: skip
        low, high = found - SIGMAS * again.std(0), found + SIGMAS * again.std(0)
        widths.append([[np.log(v[level, 1]) for v in (found, low, high)] for level in (0, depth)])
    depth, setting = DEPTHS[-1], f"v = {LETTERS}, m = {RULES}, s = 2, depth {DEPTHS[-1]}, diffusion"
    for level in range(depth + 1):
        called, how = level_name(level, depth), f"belief propagation, {TREES} trees, ±{SIGMAS} standard errors"
        note = {0: "flips", depth: "move smoothly"}.get(level, "")
        for i, quantity in enumerate((f"t with ½ of {called} kept", f"{called}: t with ¼ kept over t with ¾ kept")):
            rows.append(
                Row(name, setting, quantity, None, found[level, i], low[level, i], high[level, i], how, None,
                    note if i else "")
            )  # fmt: skip
    table, rise = np.array(widths), np.exp(np.array(DEPTHS))
    fits = [
        Fit(name, claim, "depth (slope per level)", f"ln of ln(t(¼) / t(¾)) of {who}",
            *slope(rise, table[:, i, 0], band=(table[:, i, 1], table[:, i, 2])), claimed)
        for i, who, claim, claimed in (
            (0, "the class", "class flips: ever more abruptly under diffusion", None),
            (1, "the leaves", "leaves move smoothly: as slowly at any depth", 0.0),
        )
    ]  # fmt: skip
    return rows, fits, values.mean(0)


def class_tv(population: sloc.populations.RandomHierarchy) -> np.ndarray:
    """Return TV of class 0 and the rest by number of erased leaves: all trees, all masks."""
    levels, n = all_trees(population), population.num_leaves
    first = levels[0][:, 0] == 0
    totals, counts = np.zeros(n + 1), np.zeros(n + 1)
    for known in itertools.product((False, True), repeat=n):
        shown = np.unique(np.where(known, levels[-1], -1), axis=0, return_inverse=True)[1].ravel()
        laws = [np.bincount(shown, own / own.sum(), shown.max() + 1) for own in (first, ~first)]
        totals[n - sum(known)] += np.abs(laws[0] - laws[1]).sum() / 2
        counts[n - sum(known)] += 1
    return totals / counts


def exact_window(by_hidden: np.ndarray, classes: int, epsilon: float = EPSILON) -> tuple[float, float]:
    """Return the window of one class within all when leaves are erased with probability ``t``."""
    n = len(by_hidden) - 1

    def tv(t: float) -> float:
        return sum(math.comb(n, h) * t**h * (1 - t) ** (n - h) * by_hidden[h] for h in range(n + 1))

    levels = 1 - epsilon**2, epsilon / (1 - 1 / classes)
    found: Any = [brentq(lambda t: tv(t) - level, 1e-9, 1 - 1e-9, xtol=1e-12) for level in levels]  # noqa: B023
    return float(found[0]), float(found[1])


def certified(name: str, population: sloc.populations.RandomHierarchy, budget: int = 120_000) -> list[Row]:
    """Return the window of class 0 within all when leaves are erased, certified and exact."""
    classes = population.num_components
    window = sloc.critical_window(
        jax.random.key(19), sloc.processes.Masking(), population, 0, range(classes), epsilon=EPSILON,
        times=np.linspace(0.01, 0.99, 33), method="monte-carlo", certify=True, budget=budget,
    )  # fmt: skip
    setting = f"v = 4, m = 2, s = 2, depth 3, erasing, ε = {EPSILON:g}"
    note = "certified here only: blurred beliefs are no observation, so have no TV; deep levels are no sub-populations"
    exact = exact_window(class_tv(population), classes)
    return window_rows(name, setting, exact, window, unit="class 0 within all", notes=(note, ""))
