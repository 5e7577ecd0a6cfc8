"""Exact limits for the probability behind a count, in float64 on the host."""

from __future__ import annotations

from typing import Any

import numpy as np

from sloc.contracts import require
from sloc.contracts.arguments import as_floats


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

    x, n, level = np.broadcast_arrays(as_floats(x, "x"), as_floats(n, "n"), as_floats(alpha, "alpha"))
    require(bool(np.all((level > 0) & (level < 1))), "alpha", alpha, "an error level inside (0, 1)")
    require(bool(np.all((n >= 1) & (n < np.inf))), "n", n, "finite numbers of draws, at least 1")
    require(bool(np.all((x >= 0) & (x <= n))), "x", x, "counts between 0 and n")
    rows, back = np.unique(np.stack([x.ravel(), n.ravel(), level.ravel()], axis=1), axis=0, return_inverse=True)
    count, total, error = rows.T
    low = np.where(count == 0, 0.0, betaincinv(np.maximum(count, 1.0), total - count + 1.0, error / 2))
    high = np.where(count == total, 1.0, betaincinv(count + 1.0, np.maximum(total - count, 1.0), 1.0 - error / 2))
    back = back.reshape(x.shape)
    return low[back], high[back]
