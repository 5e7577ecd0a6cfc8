"""Level by level: where each level of a hierarchy loses its symbols, and how abruptly, exactly and by draws."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import sloc

from .grammar_diffused import level_edges
from .grammar_trees import grammar, right_beliefs, survival
from .rows import Fit, Row, crossing, same, slope

LETTERS, RULES, DEPTHS, TREES, SIGMAS, SMALL = 8, 4, (3, 4, 5, 6, 7), 256, 5, (4, 2, 3)
NOISE = np.geomspace(0.02, 1.0, 25)


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


def diffused(letters: int, rules: int, depth: int, trees: int = TREES) -> np.ndarray:
    """Return survival by tree, noise and level under diffusion of one-hot leaves, ``[trees, T, L + 1]``."""
    population, process = grammar(letters, rules, depth, one_hot=True), sloc.processes.OrnsteinUhlenbeck()

    def one(key: jax.Array, t: jax.Array) -> jax.Array:
        k_class, k_tree, k_noise = jax.random.split(key, 3)
        tree = population.sample_tree(k_tree, jax.random.randint(k_class, (), 0, letters, jnp.int32))
        return right_beliefs(population, tree, process.sample(k_noise, population.codes()[tree[-1]], t), process, t)

    at = jax.jit(lambda keys, t: jax.vmap(lambda key: one(key, t))(keys))
    keys = jax.random.split(jax.random.key(1), trees)
    return survival(np.stack([np.asarray(at(keys, jnp.float32(t))) for t in NOISE], 1), letters)


def with_band(values: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return half-point and ratio of each level, ``[L + 1, 2]``, and the ends of their intervals."""

    def of(picked: Any) -> np.ndarray:
        mean = values[picked].mean(0)
        return np.array([edges(NOISE, mean[:, level]) for level in range(mean.shape[1])])

    found, again = of(slice(None)), np.array([of(rng.integers(0, len(values), len(values))) for _ in range(100)])
    return found, found - SIGMAS * again.std(0), found + SIGMAS * again.std(0)


def level_rows(
    name: str, letters: int, rules: int, depth: int, trees: int, band: Any, exact: Any, notes: dict[int, str]
) -> list[Row]:
    """Return two rows for each level: its half-point and how abruptly it goes, by draws in double precision."""
    rows, (found, low, high), (double, error, _) = [], band, exact
    setting = f"v = {letters}, m = {rules}, s = 2, depth {depth}, diffusion"
    how = f"belief propagation, {trees:,} trees, ±{SIGMAS} standard errors"
    for level in range(depth + 1):
        called = level_name(level, depth)
        for i, quantity in enumerate((f"t with ½ of {called} kept", f"{called}: t with ¼ kept over t with ¾ kept")):
            words = f"exact ± {error[level, i]:.1g}: draws in double precision"
            note = f"{notes[level]}; {words}" if i and level in notes else words
            by, least, most = (float(v[level, i]) for v in (found, low, high))
            rows.append(Row(name, setting, quantity, float(double[level, i]), by, least, most, how, None, note))
    return rows


def drawn(name: str) -> tuple[list[Row], list[Fit], dict[str, Any]]:
    """Return rows of all levels of a small and of the deepest grammar, how widths follow the depth, and curves."""
    rng, widths, values = np.random.default_rng(1), [], np.empty(0)
    band: Any = None
    for depth in DEPTHS:
        values = diffused(LETTERS, RULES, depth)
        band = with_band(values, rng)
        widths.append([[np.log(v[level, 1]) for v in band] for level in (0, depth)])
    small, deep = grammar(*SMALL), grammar(LETTERS, RULES, DEPTHS[-1])
    few = with_band(diffused(*SMALL, trees=16 * TREES), rng)
    exact = [level_edges(np.asarray(g.rules), trees, edges) for g, trees in ((small, 80_000), (deep, 8_000))]
    notes = {0: "flips", DEPTHS[-1]: "move smoothly"}
    rows = level_rows(name, *SMALL, 16 * TREES, few, exact[0], {})
    rows += level_rows(name, LETTERS, RULES, DEPTHS[-1], TREES, band, exact[1], notes)
    table, rise = np.array(widths), np.exp(np.array(DEPTHS))
    fits = [
        Fit(name, claim, "depth (slope per level)", f"ln of ln(t(¼) / t(¾)) of {who}",
            *slope(rise, table[:, i, 0], band=(table[:, i, 1], table[:, i, 2])), claimed)
        for i, who, claim, claimed in (
            (0, "the class", "class flips: ever more abruptly under diffusion", None),
            (1, "the leaves", "leaves move smoothly: as slowly at any depth", 0.0),
        )
    ]  # fmt: skip
    return rows, fits, {"levels": values.mean(0), "double": {"small": exact[0][2], "deep": exact[1][2]}}
