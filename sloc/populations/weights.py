"""Checks of mixture weights shared by the populations."""

from __future__ import annotations

from typing import Any

import numpy as np

from sloc.contracts import require
from sloc.contracts.arguments import as_floats


def check_weights(weights: Any, count: int | None = None, argument: str = "weights") -> int:
    """Refuse weights that are not a law over at least two sub-populations.

    Args:
        weights: ``[K]``.
        count: the length expected, or None.
        argument: name for the message.

    Returns:
        ``K``.

    Raises:
        InvalidInput: wrong shape or length, not finite, not positive, or not summing to one (to 1e-5).

    """
    w = as_floats(weights, argument)
    require(w.ndim == 1, argument, weights, "a one-dimensional sequence")
    require(w.size >= 2, argument, weights, "at least two sub-populations")
    if count is not None:
        require(w.size == count, argument, weights, f"{count} weights, one for each sub-population")
    require(bool(np.isfinite(w).all()), argument, weights, "finite numbers")
    require(bool((w > 0).all()), argument, weights, "positive weights")
    require(bool(abs(w.sum() - 1) < 1e-5), argument, weights, f"weights that sum to one (they sum to {w.sum():.6g})")
    return int(w.size)
