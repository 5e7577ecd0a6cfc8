"""Float64 NumPy oracles of the random hierarchy model by listing all derivations; nothing here uses the library."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Derivations:
    """All trees of all classes.

    Attributes:
        classes: ``[D]``, the class of each tree.
        mass: ``[D]``, its probability given the class.
        levels: symbols, ``[D, s^l]`` for levels ``l = 0 .. L``.

    """

    classes: np.ndarray
    mass: np.ndarray
    levels: list[np.ndarray]

    def log_likelihoods(self, k: int, leaf_logs: np.ndarray) -> np.ndarray:
        """``[K]``: log of the sum over trees of a class of ``mass * exp(sum_l leaf_logs[l, leaf l])``."""
        logs = np.log(self.mass) + np.take_along_axis(leaf_logs, self.levels[-1].T, 1).sum(0)
        out = np.full(k, -np.inf)
        for theta in range(k):
            own = logs[self.classes == theta]
            if np.isfinite(own).any():
                out[theta] = own.max() + np.log(np.exp(own - own.max()).sum())
        return out

    def posterior(self, weights: np.ndarray, leaf_logs: np.ndarray) -> np.ndarray:
        """``[D]``: the posterior probability of each tree."""
        logs = np.log(self.mass * weights[self.classes])
        logs = logs + np.take_along_axis(leaf_logs, self.levels[-1].T, 1).sum(0)
        mass = np.exp(logs - logs.max())
        return mass / mass.sum()

    def marginals(self, posterior: np.ndarray, sizes: list[int]) -> list[np.ndarray]:
        """``[s^l, sizes[l]]``: the marginal of each symbol under ``posterior [D]``."""
        return [
            np.stack([np.bincount(column, posterior, minlength=q) for column in level.T])
            for level, q in zip(self.levels, sizes, strict=True)
        ]


def derivations(rules: np.ndarray, k: int, rule_weights: np.ndarray | None = None) -> Derivations:
    """List all trees of classes ``0 .. k-1`` under ``rules [L, R, m, s]``."""
    depth, _, m, s = rules.shape
    trees: list[tuple[float, list[tuple[int, ...]]]] = [(1.0, [(theta,)]) for theta in range(k)]
    for level in range(depth):
        grown = []
        for mass, levels in trees:
            for chosen in itertools.product(range(m), repeat=s**level):
                nodes = list(zip(levels[-1], chosen, strict=True))
                chance = (
                    m ** -float(len(nodes))
                    if rule_weights is None
                    else float(np.prod([rule_weights[level, a, r] for a, r in nodes]))
                )
                below = tuple(int(b) for a, r in nodes for b in rules[level, a, r])
                grown.append((mass * chance, [*levels, below]))
        trees = grown
    kept = [tree for tree in trees if tree[0] > 0]
    return Derivations(
        np.array([levels[0][0] for _, levels in kept]),
        np.array([mass for mass, _ in kept]),
        [np.array([levels[i] for _, levels in kept]) for i in range(depth + 1)],
    )
