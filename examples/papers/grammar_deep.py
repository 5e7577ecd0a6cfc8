"""Grammars deeper than trees can be stored for: laws of messages as pools, each level drawn from the one below."""

from __future__ import annotations

import jax
import numpy as np

import sloc

from .rows import Fit, crossing

DEPTH, POOL, GRAMMARS, PARTS = 14, 800, 3, ((3, 8), (8, 14))
SHARES = np.concatenate([np.linspace(0.55, 0.7, 6, endpoint=False), np.linspace(0.7, 0.83, 66)])
"""Blur of a leaf: from depth 10 on the class is lost within 0.02."""


def pooled(rules: np.ndarray, share: float, size: int, seed: int) -> np.ndarray:
    """Return the class's belief in itself over chance by depth ``1 .. L``, ``[L]``, for leaves blurred by ``share``.

    A message up from a node with symbol ``a`` depends on the tree below it alone.  So its law is kept as ``size`` draws
    for each ``a``; a draw one level up takes a rule of ``a`` and, for each child, a draw from the child's pool.  Exact
    as ``size`` grows: draws of a pool share ancestors, so they are not quite independent.
    """
    rng, (depth, v, m, _) = np.random.default_rng(seed), rules.shape
    pool = np.broadcast_to(((1 - share) * np.eye(v) + share / v)[:, None], (v, size, v))
    symbols, out = np.arange(v), np.empty(depth)
    for level, table in enumerate(rules[::-1]):
        children = table[symbols[:, None], rng.integers(0, m, (v, size))]
        left, right = (pool[children[..., c], rng.integers(0, size, (v, size))] for c in (0, 1))
        pool = (left[..., table[..., 0]] * right[..., table[..., 1]]).mean(-1)
        pool /= pool.sum(-1, keepdims=True)
        out[level] = (pool[symbols, :, symbols].mean() - 1 / v) / (1 - 1 / v)
    return out


def widths(letters: int, choices: int, seed: int, size: int = POOL) -> np.ndarray:
    """Return how far the blur goes from ¾ to ¼ of the class kept, by depth ``3 .. DEPTH``."""
    population = sloc.populations.RandomHierarchy.random(
        jax.random.key(seed), letters, DEPTH, branching=2, vocabulary=letters, rules=choices
    )
    rules = np.asarray(population.rules)
    # Common random numbers: one seed for all shares.
    kept = np.array([pooled(rules, share, size, seed) for share in SHARES])
    falls = np.minimum.accumulate(kept)
    return np.array([crossing(SHARES, f, 0.25) - crossing(SHARES, f, 0.75) for f in falls[:, 2:].T])


def deep_fits(name: str, letters: int, choices: int, claimed: float) -> list[Fit]:
    """Return the slope per level of ln width over shallow and over deep grammars, with its range over grammars."""
    logs = np.log([widths(letters, choices, seed) for seed in range(GRAMMARS)])
    fits = []
    for first, last in PARTS:
        slopes = (logs[:, last - 3] - logs[:, first - 3]) / (last - first)
        fits.append(
            Fit(name, f"class sharpens, depths {first} to {last} (pools)", "depth (slope per level)",
                f"ln width of the class by pools, depths {first} to {last}", float(slopes.mean()), float(slopes.min()),
                float(slopes.max()), f"least and largest of {GRAMMARS} grammars", claimed)
        )  # fmt: skip
    return fits
