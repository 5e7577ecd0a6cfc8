"""What is known about every cluster of a tree at every time: bounds from pairs, bands from draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_ROUNDING = 1e-13
"""Relative error of a sum over a cut that is taken as a difference of sums, per class."""


@dataclass(frozen=True)
class Bands:
    """Values and bands of TV for ``C`` clusters at ``T`` times.

    Attributes:
        times: ``[T]``, increasing.
        value: ``[T, C]``; NaN where only bounds are known.
        lower: ``[T, C]``.
        upper: ``[T, C]``.

    """

    times: np.ndarray
    value: np.ndarray
    lower: np.ndarray
    upper: np.ndarray

    def meet(self, lower: np.ndarray, upper: np.ndarray) -> Bands:
        """Intersect with bounds that always hold; values are kept inside."""
        low, high = np.maximum(self.lower, lower), np.minimum(self.upper, upper)
        high = np.maximum(high, low)
        known = np.where(high - low <= 1e-12, low, self.value)
        return Bands(self.times, np.clip(known, low, high), low, high)

    def at(self, column: int, time: float) -> tuple[float | None, float, float]:
        """Return value, lower and upper end at a time, by monotony between the times that were looked at."""
        after = int(np.searchsorted(self.times, time * (1 - 1e-9)))
        before = int(np.searchsorted(self.times, time * (1 + 1e-9), side="right")) - 1
        lower = float(self.lower[after, column]) if after < len(self.times) else 0.0
        upper = float(self.upper[before, column]) if before >= 0 else 1.0
        exact = after == before and np.isfinite(self.value[after, column])
        return (float(self.value[after, column]) if exact else None), lower, upper


def cluster_bounds(
    merges: np.ndarray,
    members: np.ndarray,
    beside: np.ndarray,
    weights: np.ndarray,
    times: np.ndarray,
    tv: Callable[[float], np.ndarray] | None,
    affinity: Callable[[float], np.ndarray] | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Bound the TV of every cluster against the rest, and against the rest of its parent, from pairs alone.

    For ``A``, ``B`` with laws ``a_i``, ``b_j`` inside, ``alpha = 1 - TV``: by subadditivity of the minimum
    ``alpha(A, B) <= sum_ij sqrt(a_i b_j) BC_ij`` and ``<= sum_ij (a_i + b_j) alpha_ij``, by joint concavity
    ``alpha(A, B) >= sum_ij a_i b_j alpha_ij`` (``alpha_ij >= 1 - sqrt(1 - BC_ij^2)`` where only ``BC`` is known).
    Rigorous bounds; ``O(K^2)`` work per time for all clusters, as every pair is cut first at one merge.

    Args:
        merges: ``[K-1, 2]``.
        members: boolean ``[2 K - 1, K]``.
        beside: boolean ``[2 K - 1, K]``, the members of a cluster's parent that are not its own; empty for the root.
        weights: ``w [K]``.
        times: ``[T]``.
        tv: ``t -> [K, K]`` exact, or None.
        affinity: ``t -> [K, K]`` exact, or None.

    Returns:
        ``(apart_lower, apart_upper, within_lower, within_upper)``, each ``[T, 2 K - 2]``, clusters but the root; the
        last two for ``TV(p^cluster, p^{parent minus cluster})``.

    """
    k, count = len(weights), len(times)
    rest = ~members
    sides = [(members[:-1], rest[:-1]), (members[:-1], beside[:-1])]
    bounds = [np.zeros((count, 2 * k - 2)), np.ones((count, 2 * k - 2))] * 2
    bounds = [b.copy() for b in bounds]
    if tv is None and affinity is None:
        return bounds[0], bounds[1], bounds[2], bounds[3]
    root = np.sqrt(weights)
    cut = _Cuts(np.asarray(merges, np.int64), members, sides[1][1])
    mass, others, near = members[:-1] @ weights, rest[:-1] @ weights, beside[:-1] @ weights
    single = [np.flatnonzero((a.sum(axis=1) == 1) & (b.sum(axis=1) == 1)) for a, b in sides]
    ends = [(a[c].argmax(axis=1), b[c].argmax(axis=1)) for c, (a, b) in zip(single, sides, strict=True)]
    for t, time in enumerate(times):
        bc = None if affinity is None else affinity(float(time))
        alpha = None if tv is None else 1.0 - tv(float(time))
        small = alpha if alpha is not None else 1.0 - np.sqrt(np.maximum(1.0 - np.square(bc), 0.0))  # pyright: ignore
        pairs = weights[:, None] * weights[None, :] * small
        upper = [np.ones(2 * k - 2), np.ones(2 * k - 2)]
        if bc is not None:
            table = root[:, None] * root[None, :] * bc
            for which, (total, scale) in enumerate(zip(cut(table), (others, near), strict=True)):
                upper[which] = np.minimum(upper[which], (total + _ROUNDING * k) / np.sqrt(mass * scale))
        if alpha is not None:
            left = cut(weights[:, None] * alpha)
            right = cut(np.broadcast_to(weights[None, :], (k, k)) * alpha)
            for which, scale in enumerate((others, near)):
                total = left[which] / mass + right[which] / scale
                upper[which] = np.minimum(upper[which], total + _ROUNDING * k / np.minimum(mass, scale))
        for which, (total, scale) in enumerate(zip(cut(pairs), (others, near), strict=True)):
            lower = np.maximum((total - _ROUNDING) / (mass * scale), 0.0)
            bounds[2 * which][t] = 1.0 - upper[which]
            bounds[2 * which + 1][t] = 1.0 - np.minimum(lower, upper[which])
            if alpha is not None:
                exact = 1.0 - alpha[ends[which]]
                bounds[2 * which][t, single[which]] = bounds[2 * which + 1][t, single[which]] = exact
    return bounds[0], bounds[1], bounds[2], bounds[3]


class _Cuts:
    """Sums of a table over (cluster, rest) and over (cluster, rest of its parent), all clusters at once."""

    def __init__(self, merges: np.ndarray, members: np.ndarray, beside: np.ndarray) -> None:
        """Find the merge at which every pair meets."""
        k = members.shape[1]
        self.k, self.merges, self.members = k, merges, members
        self.meets = np.zeros((k, k), np.int64)
        for m, (a, b) in enumerate(merges):
            rows, columns = np.flatnonzero(members[a]), np.flatnonzero(members[b])
            self.meets[np.ix_(rows, columns)] = k + m
            self.meets[np.ix_(columns, rows)] = k + m
        self.beside = beside
        # Where the parent is binary its cut is the merge's own block; the few wider nodes are summed directly.
        self.sibling = np.full(2 * k - 1, -1)
        for a, b in merges:
            self.sibling[a], self.sibling[b] = b, a
        same = (beside == members[self.sibling[:-1]]).all(axis=1)
        self.wide = np.flatnonzero(~same)

    def __call__(self, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return ``sum_{i in S, j not in S} table_ij`` and the same for ``j`` in the rest of the parent."""
        k = self.k
        off = np.where(np.eye(k, dtype=bool), 0.0, table)
        inner = np.bincount(self.meets.ravel(), off.ravel(), minlength=2 * k - 1)
        total = np.concatenate([off.sum(axis=1), np.zeros(k - 1)])
        inner[:k] = 0.0
        near = np.zeros(2 * k - 1)
        for m, (a, b) in enumerate(self.merges):
            rows, columns = np.flatnonzero(self.members[a]), np.flatnonzero(self.members[b])
            near[a] = off[np.ix_(rows, columns)].sum()
            near[b] = off[np.ix_(columns, rows)].sum()
            total[k + m] = total[a] + total[b]
            inner[k + m] += inner[a] + inner[b]
        for c in self.wide:
            near[c] = off[np.ix_(self.members[c], self.beside[c])].sum()
        return np.maximum(total - inner, 0.0)[:-1], near[:-1]
