"""Finite-sample intervals for proportions of resampled answers, with equal or unequal weights.

Host-side float64 NumPy and SciPy: the inputs are recorded counts, not traced arrays.
"""

from __future__ import annotations

import numpy as np

from sloc.contracts.arguments import checked_level


def weight_sizes(total: np.ndarray, largest: np.ndarray, squares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of draws that weighted draws are worth, for the two bounds below.

    Args:
        total: ``sum w`` over the draws of a point.
        largest: ``max w``.
        squares: ``sum w^2``.

    Returns:
        ``(W / max w, W^2 / sum w^2)``; both are ``n`` for equal weights, and the first is never larger.

    """
    return total / largest, total**2 / squares


def weighted_interval(
    value: np.ndarray, chernoff: np.ndarray, hoeffding: np.ndarray, alpha: float
) -> tuple[np.ndarray, np.ndarray]:
    """Interval for ``sum w_i p_i / sum w_i`` from independent draws with fixed weights.

    Draw ``i`` succeeds with its own probability ``p_i``, so the interval also holds when branches
    are drawn separately and weighted by their probabilities.  One of two bounds is taken, chosen by
    the weights alone, so that the level holds:

    * Chernoff, ``{p : m KL(value, p) <= log(2 / alpha)}`` with ``m = W / max w`` (convexity of the
      log moment-generating function in the weight, then Jensen in ``p_i``), when ``m`` is at least
      half the size below;
    * Hoeffding (1963, Theorem 2), ``value -+ sqrt(log(2 / alpha) / (2 m))``, ``m = W^2 / sum w^2``.

    Args:
        value: weighted proportions, any shape.
        chernoff: ``W / max w``, same shape.
        hoeffding: ``W^2 / sum w^2``, same shape.
        alpha: error level in (0, 1).

    Returns:
        ``(lower, upper)``, same shape, coverage at least ``1 - alpha``.

    """
    checked_level(alpha, "alpha")
    level = np.log(2.0 / alpha)
    half = np.sqrt(level / (2.0 * hoeffding))
    kl_low, kl_high = _kl_lower(value, chernoff, level), 1.0 - _kl_lower(1.0 - value, chernoff, level)
    use_kl = chernoff >= 0.5 * hoeffding
    low = np.where(use_kl, kl_low, np.maximum(value - half, 0.0))
    high = np.where(use_kl, kl_high, np.minimum(value + half, 1.0))
    return low, high


def hoeffding_rise_p_value(rise: np.ndarray, size_before: np.ndarray, size_after: np.ndarray, tau: float) -> np.ndarray:
    """P-value bound for "the weighted proportion rose by at most ``tau``", for fixed weights.

    ``exp(-2 (rise - tau)^2 / (1/m_before + 1/m_after))`` for ``rise > tau``, else 1
    (Hoeffding 1963, Theorem 2, for the sum of both sets of draws).

    Args:
        rise: observed rises, any shape.
        size_before: ``W^2 / sum w^2`` before, same shape.
        size_after: the same after.
        tau: the rise that the null allows.

    Returns:
        P-values, same shape; valid, conservative.

    """
    excess = np.maximum(rise - tau, 0.0)
    return np.exp(-2.0 * excess**2 / (1.0 / size_before + 1.0 / size_after))


def _kl_lower(value: np.ndarray, size: np.ndarray, level: float) -> np.ndarray:
    """Smallest ``p <= value`` with ``size KL(value, p) <= level``, rounded outwards."""
    from scipy.special import rel_entr

    value = np.asarray(value, np.float64)
    low, high = np.zeros_like(value), value.copy()
    for _ in range(60):
        middle = 0.5 * (low + high)
        divergence = rel_entr(value, middle) + rel_entr(1.0 - value, 1.0 - middle)
        outside = size * divergence > level
        low, high = np.where(outside, middle, low), np.where(outside, high, middle)
    return low
