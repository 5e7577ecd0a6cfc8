"""What is known about every cluster of a tree at every time: bounds from pairs, bands from draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

ONE_TIME = 2e-7
"""Relative distance below which two times are one: devices count time in float32."""
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
        after = int(np.searchsorted(self.times, time * (1 - ONE_TIME)))
        before = int(np.searchsorted(self.times, time * (1 + ONE_TIME), side="right")) - 1
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
    cut = _Cuts(np.asarray(merges, np.int64), members, sides[1][1])
    ordered = weights[cut.order]
    root, block = np.sqrt(ordered), np.ix_(cut.order, cut.order)
    mass, others, near = members[:-1] @ weights, rest[:-1] @ weights, beside[:-1] @ weights
    single = [np.flatnonzero((a.sum(axis=1) == 1) & (b.sum(axis=1) == 1)) for a, b in sides]
    ends = [
        (a[c][:, cut.order].argmax(axis=1), b[c][:, cut.order].argmax(axis=1))
        for c, (a, b) in zip(single, sides, strict=True)
    ]
    for t, time in enumerate(times):
        bc = None if affinity is None else affinity(float(time))[block]
        alpha = None if tv is None else 1.0 - tv(float(time))[block]
        small = alpha if alpha is not None else 1.0 - np.sqrt(np.maximum(1.0 - np.square(bc), 0.0))  # pyright: ignore
        pairs = ordered[:, None] * ordered[None, :] * small
        upper = [np.ones(2 * k - 2), np.ones(2 * k - 2)]
        if bc is not None:
            table = root[:, None] * root[None, :] * bc
            for which, (total, scale) in enumerate(zip(cut(table), (others, near), strict=True)):
                upper[which] = np.minimum(upper[which], (total + _ROUNDING * k) / np.sqrt(mass * scale))
        if alpha is not None:
            left = cut(ordered[:, None] * alpha)
            right = cut(ordered[None, :] * alpha)
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


def overlap_bounds(
    alpha: np.ndarray, affinity: np.ndarray | None, left: np.ndarray, right: np.ndarray
) -> tuple[float, float]:
    """Bound ``1 - TV`` of two mixtures from the overlaps of their parts.

    With weights ``a_i`` and ``b_j`` inside the two, ``m_ij = int min(a_i p_i, b_j p_j)`` is at most ``min(a_i, b_j)``,
    ``max(a_i, b_j) alpha_ij`` and ``sqrt(a_i b_j) BC_ij``, and by subadditivity of the minimum
    ``alpha(A, B) <= sum_j min(b_j, sum_i m_ij)`` (and with the sides exchanged).  By its joint concavity
    ``alpha(A, B) >= sum_ij pi_ij alpha_ij`` for every coupling ``pi`` of ``a`` and ``b``; taken is the best of the
    product coupling and of those that give every part to the one that it overlaps with most, as far as that has room.
    Rigorous.

    Args:
        alpha: ``1 - TV`` of the parts, ``[I, J]``.
        affinity: ``BC`` of the parts ``[I, J]``, or None.
        left: ``a [I]``, summing to one.
        right: ``b [J]``, summing to one.

    Returns:
        ``(lower, upper)``.

    """
    a, b = left[:, None], right[None, :]
    most = np.minimum(np.minimum(a, b), np.maximum(a, b) * alpha)
    if affinity is not None:
        most = np.minimum(most, np.sqrt(a * b) * affinity)
    upper = min(np.minimum(right, most.sum(axis=0)).sum(), np.minimum(left, most.sum(axis=1)).sum(), 1.0)
    lower = max(float(left @ alpha @ right), _coupled(alpha, left, right), _coupled(alpha.T, right, left))
    rounding = _ROUNDING * alpha.size
    return float(max(min(lower - rounding, upper), 0.0)), float(min(upper + rounding, 1.0))


def _coupled(alpha: np.ndarray, left: np.ndarray, right: np.ndarray) -> float:
    """Overlap of the partial coupling that gives each column to its best row, best columns first."""
    best = alpha.argmax(axis=0)
    top = alpha[best, np.arange(len(right))]
    order = np.lexsort((-top, best))
    best, mass, top = best[order], right[order], top[order]
    before = np.cumsum(mass) - mass
    first = np.searchsorted(best, best, side="left")  # where the row's columns begin
    room = np.clip(left[best] - (before - before[first]), 0.0, mass)
    return float(room @ top)


class _Cuts:
    """Sums of a table over (cluster, rest) and over (cluster, rest of its parent), all clusters at once.

    Classes stand in the order of the tree's leaves, so that every cluster is a range and every sum one over blocks.
    """

    def __init__(self, merges: np.ndarray, members: np.ndarray, beside: np.ndarray) -> None:
        """Order the leaves and find the range of every cluster and of its parent."""
        k = members.shape[1]
        self.k, self.merges = k, merges
        size = members.sum(axis=1)
        start = np.zeros(2 * k - 1, np.int64)
        for m in range(k - 2, -1, -1):
            left, right = merges[m]
            start[left], start[right] = start[k + m], start[k + m] + size[left]
        self.start, self.stop = start, start + size
        self.order = np.argsort(start[:k])
        # A parent of more than two children is no merge of two clusters: its ranges are summed by themselves.
        sibling = np.full(2 * k - 1, -1)
        sibling[merges[:, 0]], sibling[merges[:, 1]] = merges[:, 1], merges[:, 0]
        self.wide = np.flatnonzero(beside.sum(axis=1) != size[sibling[:-1]])
        parents = (members[self.wide] | beside[self.wide])[:, self.order]
        self.parents = parents.argmax(axis=1), k - parents[:, ::-1].argmax(axis=1)

    def __call__(self, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return ``sum_{i in S, j not in S} table_ij`` and the same for ``j`` in the rest of the parent.

        Args:
            table: ``[K, K]``, classes in ``order``; the diagonal is not read.

        """
        k, start, stop = self.k, self.start, self.stop
        off = np.where(np.eye(k, dtype=bool), 0.0, table)
        total, inner, near = np.zeros(2 * k - 1), np.zeros(2 * k - 1), np.zeros(2 * k - 1)
        total[self.order] = off.sum(axis=1)
        for m, (a, b) in enumerate(self.merges):
            near[a] = off[start[a] : stop[a], start[b] : stop[b]].sum()
            near[b] = off[start[b] : stop[b], start[a] : stop[a]].sum()
            total[k + m] = total[a] + total[b]
            inner[k + m] = inner[a] + inner[b] + near[a] + near[b]
        for c, low, high in zip(self.wide, *self.parents, strict=True):
            rows = off[start[c] : stop[c]]
            near[c] = rows[:, low : start[c]].sum() + rows[:, stop[c] : high].sum()
        return np.maximum(total - inner, 0.0)[:-1], near[:-1]
