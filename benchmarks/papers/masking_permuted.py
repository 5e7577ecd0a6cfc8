"""Ex. 7, Cor. 1-2: the staircase read in other orders, and the lemma that a mixture tree rests on."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np
from scipy.stats import norm

import sloc
from sloc import MixtureTree

from .atom_windows import first_step_tv, signal_to_noise
from .rows import Fit, Row, same, slope

NAME, EPSILON = "Ex. 7", 0.1
LENGTHS = (4, 8, 16, 32)
"""Of words read in permuted orders: pairs under ``Permuted`` have closed forms for up to 64 classes."""


def staircase(d: int) -> np.ndarray:
    """Return the words of ``d`` letters that are ``i`` ones, then zeros, ``[d + 1, d]``."""
    return np.tril(np.ones((d + 1, d), int), -1)


def checked_depth(tree: MixtureTree) -> int:
    """Return the most merges on a path to a leaf at which the conditions of an epsilon-mixture tree hold."""
    good = [bool(n.children) and n.merged.verdict == n.apart.verdict == "holds" for n in tree.nodes]
    below = [0] * len(tree.nodes)
    for node in tree.nodes:
        below[node.index] = good[node.index] + max((below[c] for c in node.children), default=0)
    return below[-1]


def by_halves(d: int) -> np.ndarray:
    """Return letters in the order that halves what is open: the middle, both quarters, ..; ``d`` a power of two."""
    places = [np.arange(step // 2, d, step) for step in 2 ** np.arange(int(math.log2(d)), 0, -1)]
    return np.concatenate([*places, [0]])


def orders(d: int) -> dict[str, np.ndarray]:
    """Return orders of reading, the letter that is read first first."""
    return {
        "from the left": np.arange(d),
        "from the right": np.arange(d)[::-1],
        "at random": np.random.default_rng(d).permutation(d),
        "by halves": by_halves(d),
    }


def visible_depth(d: int, order: np.ndarray) -> int:
    """Return the depth of the tree of words that look alike in the letters read so far, by looking at all of them.

    TV of two words is 0 or 1 and both conditions hold at each of its nodes: a merge adds one to the deeper of its
    parts.
    """
    depths = np.zeros(d + 1, int)
    alike = np.arange(d + 1)
    for read in range(d - 1, -1, -1):
        seen = np.unique(staircase(d)[:, order[:read]], axis=0, return_inverse=True)[1].ravel()
        for c in np.unique(seen):
            inside = seen == c
            if len(np.unique(alike[inside])) > 1:
                depths[inside] = depths[inside].max() + 1
        alike = seen
    return int(depths.max())


def permuted() -> tuple[list[Row], list[Fit], dict[str, Any]]:
    """Return depths by the order of reading: a row for each, and how they grow."""
    depths: dict[str, list[int]] = {name: [] for name in orders(4)}
    for d in LENGTHS:
        population = sloc.populations.Empirical(staircase(d))
        for name, order in orders(d).items():
            process = sloc.processes.Permuted(sloc.processes.Truncation(d), order)
            tree = sloc.mixture_tree(
                jax.random.key(8), process, population, epsilon=EPSILON, method="closed-form"
            )  # fmt: skip
            depths[name].append(checked_depth(tree))
    last = LENGTHS[-1]
    notes = {
        "from the left": "a window for each letter",
        "from the right": "a window for each letter",
        "at random": "as of a binary search tree whose keys come in this order",
        "by halves": "log₂ d + 1, the least of any order",
    }
    rows = [
        Row(NAME, f"d = {last}, ε = {EPSILON:g}, read {name}", "depth of the ε-mixture tree",
            visible_depth(last, order), *same(depths[name][-1]), "closed form, conditions certified",
            last if "from" in name else None, notes[name])
        for name, order in orders(last).items()
    ]  # fmt: skip
    fits = [
        Fit(NAME, "depth ~ d in order", "d", "depth, read from the left",
            *slope(LENGTHS, depths["from the left"]), 1.0),
        Fit(NAME, "depth ~ log₂ d by halves", "d", "depth, read by halves (slope in ln d)",
            *slope(LENGTHS, depths["by halves"], log_y=False), 1 / math.log(2)),
    ]  # fmt: skip
    return rows, fits, {"d": LENGTHS, "depths": depths}


NOISE, MEMBERS = 0.5, 4


def lemma(n: int = 100_000) -> list[Row]:
    """Return Lemma 15 of Li & Chen 2024 for the first of a set of words: no farther from their mean than from any."""
    r, d = signal_to_noise(NOISE), 8
    process, population = sloc.processes.OrnsteinUhlenbeck(), sloc.populations.Empirical(staircase(d))
    found = sloc.tv(
        jax.random.key(21), process, population, NOISE, 0, list(range(MEMBERS)), n=n, delta=1e-6, method="monte-carlo"
    )
    # The other members differ from the first in their own letters alone.
    exact = (MEMBERS - 1) / MEMBERS * first_step_tv(MEMBERS - 1, r)
    farthest = float(2 * norm.cdf(r * math.sqrt(MEMBERS - 1) / 2) - 1)
    return [
        Row("LC24, Lemma 15", f"d = {d}, diffusion at t = {NOISE:g}, S the first {MEMBERS} words",
            "TV of the first word and S", exact, float(found.value), float(found.lower), float(found.upper),
            f"{int(found.n):,} draws", farthest, "printed: the largest TV of the first word and a member of S")
    ]  # fmt: skip
