"""All trees of a small grammar and all ways to erase its leaves: what survives of each level, exactly."""

from __future__ import annotations

import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import sloc
from sloc.contracts import Revealed
from sloc.populations import RandomHierarchy


def grammar(letters: int, rules: int, depth: int, *, one_hot: bool = False) -> RandomHierarchy:
    """Return a hierarchy of binary rules with as many classes as letters."""
    return RandomHierarchy.random(
        jax.random.key(0), letters, depth, branching=2, vocabulary=letters, rules=rules, one_hot=one_hot
    )


def right_beliefs(population: RandomHierarchy, tree: Any, y: Any, process: Any, t: Any) -> jax.Array:
    """Return the mean belief in the true symbols, by level, ``[L + 1]``."""
    found = population.level_posteriors(process, y, t)
    return jnp.stack([jnp.mean(jnp.take_along_axis(p, s[:, None], 1)) for p, s in zip(found, tree, strict=True)])


def survival(right: np.ndarray, letters: int) -> np.ndarray:
    """Return beliefs over chance: 1 is all of a level, 0 what guessing gives."""
    return (right - 1 / letters) / (1 - 1 / letters)


def all_trees(population: RandomHierarchy) -> list[np.ndarray]:
    """Return the symbols of all trees, level by level, ``[D, 2^l]``; all have one probability."""
    rules = np.asarray(population.rules)
    levels, choices = [np.arange(population.num_components)[:, None]], rules.shape[2]
    for level, table in enumerate(rules):
        picks = np.array(list(itertools.product(range(choices), repeat=2**level)))
        above = np.repeat(levels[-1], len(picks), axis=0)
        below = table[above, np.tile(picks, (len(levels[-1]), 1))].reshape(len(above), -1)
        levels = [np.repeat(one, len(picks), axis=0) for one in levels] + [below]
    return levels


def exact_by_hidden(population: RandomHierarchy) -> np.ndarray:
    """Return the mean belief in the true symbols by number of hidden leaves, ``[leaves + 1, L + 1]``: all of them."""
    levels = [jnp.asarray(one, jnp.int32) for one in all_trees(population)]
    leaves = population.num_leaves
    masks = np.array(list(itertools.product((False, True), repeat=leaves)))

    @jax.jit
    def one(known: jax.Array) -> jax.Array:
        def at(*tree: jax.Array) -> jax.Array:
            values = jnp.where(known, tree[-1], 0)
            return right_beliefs(population, tree, Revealed(values, known), sloc.processes.Masking(), jnp.float32(0.5))

        return jnp.mean(jax.vmap(at)(*levels), 0)

    right = np.array([one(jnp.asarray(mask)) for mask in masks], np.float64)
    hidden = leaves - masks.sum(1)
    return np.stack([right[hidden == h].mean(0) for h in range(leaves + 1)])


def exact_survival(by_hidden: np.ndarray, letters: int, times: np.ndarray) -> np.ndarray:
    """Return survival by noise level and level, ``[T, L + 1]``: hidden leaves are binomial."""
    n = len(by_hidden) - 1
    counts = np.array([math.comb(n, h) for h in range(n + 1)])
    mass = counts * times[:, None] ** np.arange(n + 1) * (1 - times[:, None]) ** np.arange(n, -1, -1)
    return survival(mass @ by_hidden, letters)
