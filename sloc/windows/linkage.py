"""From pairwise merge times to a linkage array: pure cores that run under ``jit`` and ``vmap``."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array
_MOST = 5_000
"""Classes at most: ranks of pairs must be exact in float32, whose whole numbers end at 2^24."""


def complete_linkage(distances: Array) -> Array:
    """Complete linkage by nearest-neighbour chains: ``[K, K]`` merge times to a ``[K-1, 4]`` linkage array.

    The height of a merge is the largest distance between members of the two clusters, so at that noise level every
    pair of members has ``TV <= epsilon``, and by convexity ``TV(p^i, p^S) <= max_j TV(p^i, p^j) <= epsilon`` for
    every member ``i`` of the cluster ``S``.  Exact; ``O(K^2)`` work in ``3 K`` sequential steps; traceable and
    vmappable.  Ties go to the smaller index.

    Args:
        distances: ``[K, K]`` floating; the diagonal is ignored, of two that differ across it the larger counts, and
            infinities and NaN count as the largest finite number.

    Returns:
        ``[K-1, 4]`` in SciPy's convention: the two clusters merged (smaller number first; merge ``m`` makes cluster
        ``K + m``), the height, the number of members; rows by increasing height.

    Source: Murtagh 1983 (nearest-neighbour chain); Li & Chen 2024, Lemma 15 (why complete linkage).

    """
    k = distances.shape[0]
    index = jnp.arange(k)
    far = jnp.asarray(jnp.inf, distances.dtype)
    # An asymmetric table or a NaN would send the chain in circles for ever.
    largest = jnp.asarray(jnp.finfo(distances.dtype).max, distances.dtype)
    known = jnp.where(jnp.isnan(distances), largest, jnp.minimum(distances, largest))
    start = jnp.where(index[:, None] == index[None, :], far, jnp.maximum(known, known.T))

    def go_on(state: tuple[Array, ...]) -> Array:
        return state[4] < k - 1

    def step(state: tuple[Array, ...]) -> tuple[Array, ...]:
        table, active, chain, length, merged, pairs, heights = state
        first = jnp.argmax(active).astype(jnp.int32)
        chain = jnp.where(length == 0, chain.at[0].set(first), chain)
        length = jnp.maximum(length, 1)
        top = chain[length - 1]
        before = jnp.where(length >= 2, chain[jnp.maximum(length - 2, 0)], jnp.int32(-1))
        row = jnp.where(active & (index != top), table[top], far)
        nearest = jnp.argmin(row).astype(jnp.int32)
        # Where the element before is as near as any, it must win: otherwise ties make the chain run in circles.
        back = (before >= 0) & (row[jnp.maximum(before, 0)] <= row[nearest])
        other = jnp.maximum(before, 0)
        joined = jnp.maximum(table[top], table[other])
        # One row and one column are written per step; writing the row back unchanged keeps the step free of copies.
        new_row = jnp.where(back, jnp.where(index == other, far, joined), table[other])
        table = table.at[other].set(new_row).at[:, other].set(new_row)
        active = active.at[top].set(active[top] & ~back)
        pairs = pairs.at[merged].set(jnp.where(back, jnp.stack([top, other]), pairs[merged]))
        heights = heights.at[merged].set(jnp.where(back, row[other], heights[merged]))
        chain = chain.at[jnp.minimum(length, k - 1)].set(jnp.where(back, chain[jnp.minimum(length, k - 1)], nearest))
        length = jnp.where(back, length - 2, length + 1)
        return table, active, chain, length, merged + back.astype(jnp.int32), pairs, heights

    zero = jnp.int32(0)
    state = (
        start,
        jnp.ones(k, bool),
        jnp.zeros(k, jnp.int32),
        zero,
        zero,
        jnp.zeros((k - 1, 2), jnp.int32),
        jnp.zeros(k - 1, distances.dtype),
    )
    *_, pairs, heights = jax.lax.while_loop(go_on, step, state)
    order = jnp.argsort(heights, stable=True)
    return _numbered(pairs[order], heights[order], k)


def _numbered(pairs: Array, heights: Array, k: int) -> Array:
    """Number clusters by the order of their merges; ``pairs`` holds one member of each side."""

    def merge(cluster: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        pair, new = row
        a, b = cluster[pair[0]], cluster[pair[1]]
        inside = (cluster == a) | (cluster == b)
        count = jnp.sum(inside, dtype=jnp.int32)
        return jnp.where(inside, new, cluster), jnp.stack([jnp.minimum(a, b), jnp.maximum(a, b), count])

    numbers = jnp.arange(k, dtype=jnp.int32)
    _, merges = jax.lax.scan(merge, numbers, (pairs, jnp.arange(k, 2 * k - 1, dtype=jnp.int32)))
    merges = merges.astype(heights.dtype)
    return jnp.concatenate([merges[:, :2], heights[:, None], merges[:, 2:]], axis=1)


_linkage = jax.jit(complete_linkage)


def linkage_on_host(distances: np.ndarray) -> np.ndarray:
    """Complete linkage of float64 distances with float64 heights, whatever JAX's precision.

    Complete linkage depends on the order of the distances only, so ranks (exact in float32) go to the device.

    Args:
        distances: ``[K, K]`` float64, symmetric, finite; ``K`` at most 5,000.

    Returns:
        ``[K-1, 4]`` float64; see ``complete_linkage``.

    Raises:
        ValueError: more than 5,000 classes.

    """
    k = len(distances)
    if k > _MOST:
        raise ValueError(f"{k} classes: complete linkage takes at most {_MOST}")
    rows, columns = np.triu_indices(k, 1)
    levels, rank = np.unique(distances[rows, columns], return_inverse=True)
    ranks = np.zeros((k, k), np.float32)
    ranks[rows, columns] = ranks[columns, rows] = rank.astype(np.float32)
    linkage = np.asarray(_linkage(jnp.asarray(ranks)), np.float64)
    linkage[:, 2] = levels[linkage[:, 2].astype(np.int64)]
    return linkage
