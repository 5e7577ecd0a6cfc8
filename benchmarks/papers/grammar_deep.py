"""Grammars deeper than trees can be stored for: laws of messages as pools, each level drawn from the one below."""

from __future__ import annotations

import jax
import numpy as np

import sloc

from .rows import Fit, crossing, slope

DEPTH, POOL, GRAMMARS, PARTS = 20, 800, 6, ((3, 8), (8, 14), (14, 20))


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
    low, high = 0.7, 0.85
    while high - low > 2e-5:
        middle = (low + high) / 2
        low, high = (middle, high) if pooled(rules, middle, size, seed)[-1] > 0.5 else (low, middle)
    # Shares crowd around the deepest transition as the widths of shallower ones do: all are as well resolved.
    away = np.geomspace(2e-4, 0.12, 22)
    shares = np.concatenate([np.linspace(0.4, low - 0.13, 10), low - away[::-1], [low], low + away])
    # Common random numbers: one seed for all shares.
    falls = np.minimum.accumulate([pooled(rules, share, size, seed) for share in shares])
    return np.array([crossing(shares, f, 0.25) - crossing(shares, f, 0.75) for f in falls[:, 2:].T])


def deep_fits(name: str, letters: int, choices: int, claimed: float) -> tuple[list[Fit], np.ndarray]:
    """Return the slope per level of ln width over parts of the depth and in the limit, and ln widths by grammar."""
    logs, depths = np.log([widths(letters, choices, seed) for seed in range(GRAMMARS)]), np.arange(3, DEPTH + 1)
    fits = [
        Fit(name, f"class sharpens, depths {first} to {last} (pools)", "depth (slope per level)",
            f"ln width of the class by pools, depths {first} to {last}",
            *slope(np.exp(depths[first - 3 : last - 2]), logs[:, first - 3 : last - 2], log_y=False), None)
        for first, last in PARTS
    ]  # fmt: skip
    limit = slope(np.exp(depths), logs, log_y=False, bend=("1/depth", 1 / depths))
    name_of = "ln width of the class by pools, in the limit"
    fits.append(
        Fit(name, "class sharpens as in mean field (pools)", "depth (slope per level)", name_of, *limit, claimed)
    )
    return fits, logs
