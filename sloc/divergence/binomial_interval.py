"""Exact binomial intervals, for counts and for Bernoulli draws dithered from values in [0, 1].

Host-side float64 NumPy and SciPy: the inputs of the interval are recorded counts, not traced arrays.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from sloc.contracts import require
from sloc.engine.dithering import BERNOULLI_GRID, dither

Array = jax.Array


def clopper_pearson(x: Any, n: Any, alpha: Any) -> tuple[np.ndarray, np.ndarray]:
    """Exact binomial interval, ``P(lower <= p <= upper) >= 1 - alpha`` at every ``p`` and ``n``.

    ``lower = BetaInv(alpha/2; x, n - x + 1)`` and ``upper = BetaInv(1 - alpha/2; x + 1, n - x)``,
    with 0 at ``x = 0`` and 1 at ``x = n`` (Clopper & Pearson 1934).

    Args:
        x: successes, any shape.
        n: draws, broadcast with ``x``, at least 1.
        alpha: error level in (0, 1), broadcast with ``x``.

    Returns:
        ``(lower, upper)`` of the broadcast shape, float64.

    Raises:
        InvalidInput: counts outside ``0 .. n`` or a level outside (0, 1).

    """
    from scipy.special import betaincinv

    x, n, level = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(n, np.float64), np.asarray(alpha))
    require(bool(np.all((level > 0) & (level < 1))), "alpha", alpha, "an error level inside (0, 1)")
    require(bool(np.all((n >= 1) & (x >= 0) & (x <= n))), "x", x, "counts between 0 and n, n at least 1")
    rows, back = np.unique(np.stack([x.ravel(), n.ravel(), level.ravel()], axis=1), axis=0, return_inverse=True)
    count, total, error = rows.T
    low = np.where(count == 0, 0.0, betaincinv(np.maximum(count, 1.0), total - count + 1.0, error / 2))
    high = np.where(count == total, 1.0, betaincinv(count + 1.0, np.maximum(total - count, 1.0), 1.0 - error / 2))
    back = back.reshape(x.shape)
    return low[back], high[back]


def bernoulli_counts(key: Array, values: Any) -> Array:
    """Turn each value in [0, 1] into a Bernoulli draw with that probability, and count the outcomes.

    The draws are independent with mean ``E v``, so their number of successes is exactly binomial when the values are
    independent and identically distributed.  Counts of disjoint sets of values add up.  Traceable; see
    :func:`sloc.engine.dithering.dither`, of which this is the coarsest grid.

    Args:
        key: typed PRNG key, a fresh one for each block of values.
        values: values in [0, 1], shape ``[..., n]``; the leading axes are cells.

    Returns:
        int32 ``[..., 3]``: failures, successes, and values refused because they are NaN or outside [0, 1].

    Raises:
        InvalidInput: concrete values that are NaN or outside [0, 1].

    """
    return dither(key, values, BERNOULLI_GRID)


def bernoulli_interval(counts: Any, delta: Any) -> tuple[np.ndarray, np.ndarray]:
    """Clopper-Pearson interval for the mean of the values behind :func:`bernoulli_counts`.

    ``P(lower <= E v <= upper) >= 1 - delta`` at a number of draws fixed beforehand; not valid under optional stopping.
    The strong choice where the values are nearly 0 or 1 anyway (a small overlap without a bridge); elsewhere the
    dither throws away the Rao-Blackwell gain.

    Args:
        counts: concrete integers ``[..., 3]`` (failures, successes, refused).
        delta: error level of the two-sided interval, broadcast with the cells.

    Returns:
        ``(lower, upper)``, each of shape ``[...]``, float64 on the host.  A cell without draws has (0, 1), one with
        refused values (NaN, NaN).

    Raises:
        InvalidInput: wrong shape, negative counts, or a level outside (0, 1).

    """
    counts = np.asarray(counts)
    require(counts.ndim >= 1 and counts.shape[-1] == 3, "counts", counts.shape, "a last axis of size 3")
    require(bool(np.all(counts >= 0)), "counts", counts, "counts of at least 0 (int32 overflow?)")
    counts = counts.astype(np.int64)
    total = counts[..., 0] + counts[..., 1]
    low, high = clopper_pearson(counts[..., 1], np.maximum(total, 1), delta)
    spoilt, empty = counts[..., 2] > 0, total == 0
    low = np.where(spoilt, np.nan, np.where(empty, 0.0, low))
    return low, np.where(spoilt, np.nan, np.where(empty, 1.0, high))
