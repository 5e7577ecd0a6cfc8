"""Exact test that a probability rose by more than a given amount between two sets of draws.

With ``x1 ~ Bin(n1, p1)`` and ``x2 ~ Bin(n2, p2)`` independent, the null hypothesis is
``p2 - p1 <= tau``.  The test is unconditional: the p-value is the largest null probability of an
outcome at least as extreme (Barnard 1947; Chan 1998).  Outcomes are ordered by one of

* ``"difference"``: the observed rise ``x2/n2 - x1/n1``, so that one critical rise serves every
  starting point;
* ``"score"``: ``(x2/n2 - x1/n1 - tau) / sqrt(p~1 (1 - p~1)/n1 + p~2 (1 - p~2)/n2)`` with
  ``(p~1, p~2)`` the maximum-likelihood estimate under ``p2 = p1 + tau`` (Farrington & Manning
  1990): much stronger near 0 and 1 when ``tau = 0``, and slower.

Either ordering is monotone in both counts (the second is made so), hence the largest probability is
attained on the boundary ``p2 = p1 + tau`` (Roehmel & Mansmann 1999); the supremum along it is bounded
from above cell by cell, so no p-value is ever too small.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, get_args

import numpy as np

from sloc.contracts import require
from sloc.contracts.arguments import as_real, as_whole, checked_choice, checked_level, checked_whole
from sloc.engine.binomial import clopper_pearson

RiseStatistic = Literal["difference", "score"]
"""How outcomes are ordered."""
RISE_STATISTICS: tuple[str, ...] = get_args(RiseStatistic)

RELATIVE_MARGIN = 1e-2
"""How far a p-value may lie above the exact supremum, relatively; it never lies below."""
_CELLS = 1 << 21
"""Terms of a sum that are held at once."""
_ROUNDING = 1.0 + 1e-10
_NEGLIGIBLE = 1e-14


def rise_p_value(
    x1: int, n1: int, x2: int, n2: int, tau: float = 0.5, statistic: RiseStatistic = "difference"
) -> float:
    """P-value of the exact unconditional test of ``p2 - p1 <= tau``.

    ``p = sup {P(T(X1, X2) >= T(x1, x2)) : p2 - p1 <= tau}``.  Valid at every sample size:
    ``P(p <= alpha) <= alpha`` under the null.  The number returned is an upper bound of the
    supremum, above it by at most the fraction ``RELATIVE_MARGIN``; it is 1 where the observed
    rise is at most ``tau``.

    Args:
        x1: successes before.
        n1: draws before, at least 1.
        x2: successes after.
        n2: draws after, at least 1.
        tau: the rise that the null allows, in [0, 1).
        statistic: how outcomes are ordered, ``"difference"`` or ``"score"``.

    Returns:
        The p-value in (0, 1].

    Raises:
        InvalidInput: counts outside ``0 .. n``, ``tau`` outside [0, 1), unknown statistic.

    """
    for name, x, n in (("x1", x1, n1), ("x2", x2, n2)):
        require(as_whole(n) >= 1, name.replace("x", "n"), n, "a number of draws, at least 1")
        require(int(x) == x and 0 <= x <= n, name, x, f"a count between 0 and {n}")
    require(0.0 <= as_real(tau) < 1.0, "tau", tau, "a rise in [0, 1)")
    checked_choice(statistic, "statistic", RISE_STATISTICS)
    x1, n1, x2, n2, tau = int(x1), int(n1), int(x2), int(n2), float(tau)
    if (x2 * n1 - x1 * n2) / (n1 * n2) <= tau + 1e-12:
        return 1.0
    if statistic == "difference":
        return _difference_p_value(x2 * n1 - x1 * n2, n1, n2, tau)
    return _score_p_value(x1, n1, x2, n2, tau)


def rise_p_values(
    x1: np.ndarray,
    n1: np.ndarray,
    x2: np.ndarray,
    n2: np.ndarray,
    tau: float = 0.5,
    statistic: RiseStatistic = "difference",
) -> np.ndarray:
    """Apply ``rise_p_value`` to arrays of one shape; repeated outcomes are computed once."""
    flat = [np.asarray(a).ravel() for a in (x1, n1, x2, n2)]
    values = [rise_p_value(*row, tau=tau, statistic=statistic) for row in zip(*flat, strict=True)]
    return np.asarray(values, np.float64).reshape(np.shape(x1))


def rise_interval(
    x1: np.ndarray, n1: np.ndarray, x2: np.ndarray, n2: np.ndarray, alpha: float = 0.05
) -> tuple[np.ndarray, np.ndarray]:
    """Interval for ``p2 - p1``, valid at every number of draws.

    Equal numbers ``n``: the successes after and failures before, ``S``, sum ``2 n`` independent indicators of mean sum
    ``n (1 + p2 - p1)``, whose tails are at most those of ``Bin(2 n, (1 + p2 - p1) / 2)`` from one beyond the mean on
    (Hoeffding 1956, Theorem 4).  Hence ``2 [L, U] - 1`` of Clopper-Pearson's limits for ``S`` of ``2 n``, widened to
    one success beyond ``S`` where they lie inside.  Unequal numbers: the difference of Clopper-Pearson's intervals at
    ``alpha / 2`` each (union bound).  Numbers of draws alone say which.

    Args:
        x1: successes before, any shape.
        n1: draws before, at least 1.
        x2: successes after.
        n2: draws after, at least 1.
        alpha: error level in (0, 1).

    Returns:
        ``(low, high)`` in [-1, 1], coverage at least ``1 - alpha``.

    """
    checked_level(alpha, "alpha")
    x1, n1, x2, n2 = np.broadcast_arrays(*(np.asarray(v, np.float64) for v in (x1, n1, x2, n2)))
    require(bool((np.minimum(n1, n2) >= 1).all()), "n", n1, "numbers of draws, at least 1")
    for name, x, n in (("x1", x1, n1), ("x2", x2, n2)):
        require(bool(((x >= 0) & (x <= n)).all()), name, x, "counts between 0 and the number of draws")
    rising = x2 + n1 - x1
    low, high = (2.0 * limit - 1.0 for limit in clopper_pearson(rising, n1 + n2, alpha))
    low, high = np.minimum(low, (rising - 1.0) / n1 - 1.0), np.maximum(high, (rising + 1.0) / n1 - 1.0)
    (low1, high1), (low2, high2) = clopper_pearson(x1, n1, alpha / 2), clopper_pearson(x2, n2, alpha / 2)
    low, high = np.where(n1 == n2, low, low2 - high1), np.where(n1 == n2, high, high2 - low1)
    return np.clip(low, -1.0, 1.0), np.clip(high, -1.0, 1.0)


def critical_rise(n: int, alpha: float, rise: float = 0.5) -> float | None:
    """Smallest observed rise that the difference test rejects at ``alpha`` with ``n`` draws on each side.

    Source: the library's own, by the test of ``p(after) - p(before) <= rise`` that the windows use.

    Args:
        n: draws before and draws after, at least 1.
        alpha: error level of one test, already divided by the number of steps.
        rise: the threshold, the rise that the null allows, in [0, 1).

    Returns:
        The observed rise, a multiple of ``1 / n``, or None where no outcome is extreme enough; exact.

    Raises:
        InvalidInput: ``n`` below 1, an error level outside (0, 1), ``rise`` outside [0, 1).

    """
    checked_whole(n, "n", what="draws")
    checked_level(alpha, "alpha")
    require(0.0 <= as_real(rise) < 1.0, "rise", rise, "a threshold in [0, 1)")
    for k in range(int(rise * n), int(n) + 1):
        if rise_p_value(0, n, k, n, rise) <= alpha:
            return k / n
    return None


@lru_cache(maxsize=64)
def rise_statistic(n1: int, n2: int, tau: float) -> np.ndarray:
    """Monotone score statistic of every outcome.

    The running maximum ``T(x1, x2) = max {Z(a, b) : a >= x1, b <= x2}`` falls in ``x1`` and rises
    in ``x2``, whatever ``Z`` is; rounding to 12 digits makes ties exact.

    Args:
        n1: draws before.
        n2: draws after.
        tau: the rise that the null allows, in [0, 1).

    Returns:
        ``[n1 + 1, n2 + 1]`` float64, larger for stronger evidence of a rise above ``tau``.

    """
    x1 = np.arange(n1 + 1.0)[:, None]
    x2 = np.arange(n2 + 1.0)[None, :]
    p1 = _restricted_mle(x1, n1, x2, n2, tau)
    p2 = np.minimum(p1 + tau, 1.0)
    variance = p1 * (1.0 - p1) / n1 + p2 * (1.0 - p2) / n2
    excess = x2 / n2 - x1 / n1 - tau
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(variance > _NEGLIGIBLE, excess / np.sqrt(variance), np.where(excess > 1e-12, np.inf, 0.0))
    z = np.round(z, 12)
    z = np.maximum.accumulate(z, axis=1)
    return np.maximum.accumulate(z[::-1], axis=0)[::-1]


def _restricted_mle(x1: np.ndarray, n1: int, x2: np.ndarray, n2: int, tau: float) -> np.ndarray:
    """Maximise the binomial likelihood on ``p2 = p1 + tau``: bisect its falling derivative in ``p1``."""
    shape = np.broadcast_shapes(x1.shape, x2.shape)
    low, high = np.zeros(shape), np.full(shape, 1.0 - tau)
    for _ in range(60):
        p = 0.5 * (low + high)
        q = p + tau
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = (_ratio(x1, p) - _ratio(n1 - x1, 1.0 - p)) + (_ratio(x2, q) - _ratio(n2 - x2, 1.0 - q))
        low, high = np.where(slope > 0, p, low), np.where(slope > 0, high, p)
    return 0.5 * (low + high)


def _ratio(count: np.ndarray, p: np.ndarray) -> np.ndarray:
    return np.where(count == 0, 0.0, count / np.maximum(p, 1e-300))


def rejection_boundary(x1: int, n1: int, x2: int, n2: int, tau: float, statistic: RiseStatistic) -> np.ndarray:
    """Smallest second count at least as extreme as ``(x1, x2)``, for every first count.

    Returns:
        ``[n1 + 1]`` int64, ``n2 + 1`` where no second count is; it never falls with the first count.

    """
    if statistic == "difference":
        return _difference_boundary(x2 * n1 - x1 * n2, n1, n2)
    values = rise_statistic(n1, n2, tau)
    return (values < values[x1, x2]).sum(axis=1)


def _difference_boundary(excess: int, n1: int, n2: int) -> np.ndarray:
    """Smallest ``b`` with ``b n1 - a n2 >= excess`` for ``a = 0 .. n1``, in whole numbers."""
    return np.clip(-(-(excess + np.arange(n1 + 1, dtype=np.int64) * n2) // n1), 0, n2 + 1)


def rejection_probability(boundary: np.ndarray, n2: int, p1: np.ndarray, p2: np.ndarray) -> np.ndarray:
    """``P(X2 >= boundary[X1])`` for arrays of probabilities, summed exactly over ``X1``.

    Args:
        boundary: ``[n1 + 1]`` as from ``rejection_boundary``.
        n2: draws after.
        p1: ``[G]`` probabilities before.
        p2: ``[G]`` probabilities after.

    Returns:
        ``[G]`` probabilities.

    """
    from scipy.special import bdtrc
    from scipy.stats import binom

    n1 = boundary.size - 1
    x1 = np.flatnonzero(boundary <= n2)
    need = boundary[x1].astype(np.float64)[:, None]

    def summed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
        pmf = binom.pmf(x1[:, None], n1, before[None, :])
        tail = np.where(need == 0.0, 1.0, bdtrc(np.maximum(need - 1.0, 0.0), n2, after[None, :]))
        return (pmf * tail).sum(axis=0)

    # Of many draws a table for all probabilities at once would not fit.
    blocks = -(-x1.size * p1.size // _CELLS) or 1
    parts = zip(np.array_split(p1, blocks), np.array_split(np.clip(p2, 0.0, 1.0), blocks), strict=True)
    return np.concatenate([summed(before, after) for before, after in parts])


@lru_cache(maxsize=100_000)
def _difference_p_value(excess: int, n1: int, n2: int, tau: float) -> float:
    return boundary_supremum(_difference_boundary(excess, n1, n2), n2, tau)


@lru_cache(maxsize=100_000)
def _score_p_value(x1: int, n1: int, x2: int, n2: int, tau: float) -> float:
    return boundary_supremum(rejection_boundary(x1, n1, x2, n2, tau, "score"), n2, tau)


def boundary_supremum(boundary: np.ndarray, n2: int, tau: float) -> float:
    """Upper bound of ``sup {P(X2 >= boundary[X1]) : p2 = p1 + tau}`` by branch and bound.

    The region is monotone, so its probability falls in ``p1`` and rises in ``p2``; on a cell
    ``p1 in [a, b]`` of the boundary it is at most its value at ``(a, b + tau)``.  Cells whose bound
    could still exceed the largest value seen by more than the margin are halved.

    Args:
        boundary: ``[n1 + 1]``, not falling.
        n2: draws after.
        tau: the rise that the null allows.

    Returns:
        A number at least the supremum and at most ``1 + RELATIVE_MARGIN`` times it (capped at 1).

    """
    edges = np.linspace(0.0, 1.0 - tau, 129)
    low, high = edges[:-1], edges[1:]
    best = float(rejection_probability(boundary, n2, edges, edges + tau).max())
    bound = rejection_probability(boundary, n2, low, high + tau)
    settled = 0.0
    for _ in range(40):
        keep = bound > best * (1.0 + RELATIVE_MARGIN)
        settled = max(settled, float(bound[~keep].max(initial=0.0)))
        low, high = low[keep], high[keep]
        if not low.size:
            break
        middle = 0.5 * (low + high)
        best = max(best, float(rejection_probability(boundary, n2, middle, middle + tau).max()))
        low, high = np.concatenate([low, middle]), np.concatenate([middle, high])
        bound = rejection_probability(boundary, n2, low, high + tau)
    settled = max(settled, float(bound.max(initial=0.0)) if low.size else 0.0)
    return min(1.0, max(settled, best) * _ROUNDING)
