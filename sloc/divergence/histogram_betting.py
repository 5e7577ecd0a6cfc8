"""Betting sequences on dithered histograms: order-free, mergeable, valid at every stopping time.

Values in [0, 1] are rounded at random to a fixed grid (``sloc.engine.dithering.dither``) and kept as integer
counts.  A mixture of gamblers with constant bets has a wealth that depends on the counts alone, so counts from blocks,
devices (one ``psum``) and resumed runs add up, in any order, and the bounds hold at every stopping time at once: look
as often as you like, stop when you like, and intersect what you saw.

Concrete counts are handled on the host in float64 NumPy, traced ones in the working precision (float32 unless float64
is switched on), with a bound on the rounding error taken off the logarithm of the wealth.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from sloc.contracts import float_dtype, is_concrete, require
from sloc.contracts.arguments import as_array
from sloc.divergence.betting import check_level, invert_wealth
from sloc.engine.dithering import check_grid, dither

__all__ = ["BETS", "PRIOR", "dither", "interval", "lower_bound", "upper_bound"]

BETS = np.concatenate([np.geomspace(3e-4, 0.98, 32), np.geomspace(1e-7, 2e-4, 12)])
"""The bets ``c_k``: shares of what the gambler can lose, 32 for everyday use and 12 very small ones.

The best share for a lower bound on a small mean ``a`` is about ``sqrt(8 a / n)``: without the small ones the lower
bound on a mean of 1e-4 would stay below 2e-5 for ever.
"""
PRIOR = np.concatenate([np.full(32, 0.9 / 32), np.full(12, 0.1 / 12)])
"""How the gambler divides his first coin between the bets."""
_CHUNK = 32  # cells handled at a time on the host, so that the table of terms stays in cache


def interval(counts: Any, delta: Any, *, grid: Any = None) -> tuple[Any, Any]:
    """Two-sided interval for the mean: ``[lower_bound(delta / 2), upper_bound(delta / 2)]``.

    Contains the mean at all stopping times at once with probability at least ``1 - delta``: the values must lie in
    [0, 1] and each have the same mean given those before it.  Under stratified draws look only at balanced counts
    (after whole rounds across the strata), or average one draw per stratum before dithering.

    Args:
        counts: integers ``[..., B + 1]`` from ``dither``, the last entry counting refused values.
        delta: error level in (0, 1), a scalar or one for each cell.
        grid: the edges ``[B]`` the counts were made with; ``None`` means the default.

    Returns:
        ``(lower, upper)``, each ``[...]``: float64 NumPy for concrete counts, traced in the working precision under
        ``jit``.  (0, 1) without values, NaN where values were refused.

    Raises:
        InvalidInput: a level outside (0, 1), a bad grid, or counts of the wrong size or kind.

    Source: mixtures of the capital processes of Waudby-Smith & Ramdas 2024, sections 4 and B.

    """
    delta = check_level(delta, counts)
    return lower_bound(counts, delta / 2, grid=grid), upper_bound(counts, delta / 2, grid=grid)


def lower_bound(counts: Any, delta: Any, *, grid: Any = None) -> Any:
    """Lower bound: ``P(mean < lower at some stopping time) <= delta``.

    ``sup {m : log W(m) >= log(1/delta)}`` with
    ``log W(m) = logsumexp_k [log pi_k + sum_b n_b log(1 + c_k (v_b - m) / m)]`` over edges ``v_b`` and ``BETS``
    ``c_k`` with ``PRIOR`` ``pi_k``, or 0 if there is none (so whenever every count lies at 0).  ``W`` decreases
    in ``m``; the number returned is a rejected one, hence rounded outwards.

    Args:
        counts: integers ``[..., B + 1]``.
        delta: error level in (0, 1), a scalar or one for each cell.
        grid: the edges the counts were made with.

    Returns:
        The bound, ``[...]``.

    Raises:
        InvalidInput: as ``interval``.

    """
    return _bound(counts, delta, grid, 1)


def upper_bound(counts: Any, delta: Any, *, grid: Any = None) -> Any:
    """Upper bound: ``P(mean > upper at some stopping time) <= delta``.

    ``inf {m : log W(m) >= log(1/delta)}`` with
    ``log W(m) = logsumexp_k [log pi_k + sum_b n_b log(1 - c_k (v_b - m) / (1 - m))]``, or 1 if there is none (so
    whenever every count lies at 1).

    Args:
        counts: integers ``[..., B + 1]``.
        delta: error level in (0, 1), a scalar or one for each cell.
        grid: the edges the counts were made with.

    Returns:
        The bound, ``[...]``.

    Raises:
        InvalidInput: as ``interval``.

    """
    return _bound(counts, delta, grid, -1)


def _bound(counts: Any, delta: Any, grid: Any, side: int) -> Any:
    edges = check_grid(grid)
    delta = check_level(delta, counts)
    host = is_concrete(counts, delta)
    counts = np.asarray(as_array(counts, "counts")) if host else jnp.asarray(counts)
    require(counts.ndim >= 1 and counts.shape[-1] == edges.size + 1, "counts", counts.shape, f"{edges.size + 1} last")
    require(bool(jnp.issubdtype(counts.dtype, jnp.integer)), "counts", counts.dtype, "integers")
    cells = counts.shape[:-1]
    require(np.ndim(delta) == 0 or np.shape(delta) == cells, "delta", np.shape(delta), "one for each cell")
    if not host:
        level = jnp.broadcast_to(-jnp.log(jnp.asarray(delta, float_dtype())), cells).reshape(-1)
        return _solve(counts.reshape((-1, edges.size + 1)), level, edges, side, jnp).reshape(cells)
    require(bool(np.all(counts >= 0)), "counts", counts, "counts of at least 0 (int32 overflow?)")
    level = np.broadcast_to(-np.log(delta), cells).reshape(-1)
    flat = counts.reshape((-1, edges.size + 1))
    parts = [slice(i, i + _CHUNK) for i in range(0, len(flat), _CHUNK)]
    bounds = [_solve(flat[part], level[part], edges, side, np) for part in parts]
    return (np.concatenate(bounds) if bounds else np.zeros(0)).reshape(cells)


def _solve(counts: Any, level: Any, edges: np.ndarray, side: int, xp: Any) -> Any:
    """Bound the mean of each row of ``counts [cells, B + 1]``."""
    refused, counts = counts[:, -1] > 0, counts[:, :-1]
    if xp is np:
        used = counts.any(axis=0)
        counts, edges = counts[:, used], edges[used]
    dtype = level.dtype
    weight = counts.astype(dtype)
    v, c = xp.asarray(edges, dtype)[None, :], xp.asarray(BETS, dtype)[None, :, None]
    prior = xp.asarray(np.log(PRIOR), dtype)[None, :]
    # Each term is good to a few units, and at most B of them are added.  Relative to the terms: a bet that matters
    # has terms that nearly cancel in sum and are small each, so the allowance grows as sqrt(n) only.
    slack = (edges.size + 16.0) * 0.5 * float(jnp.finfo(dtype).eps)

    def log_wealth(mean: Any) -> Any:
        m = mean[:, None]
        # From v - m, not v / m - 1, whose rounding would not be small where v is near m.
        gain = (v - m) / m if side == 1 else (m - v) / (1.0 - m)
        terms = weight[:, None, :] * xp.log1p(c * gain[:, None, :])
        each = xp.sum(terms, axis=-1) - slack * xp.sum(xp.abs(terms), axis=-1)
        each = each + prior
        best = xp.max(each, axis=-1)
        return best + xp.log(xp.sum(xp.exp(each - best[:, None]), axis=-1))

    successes = xp.sum(weight * v, axis=-1)
    failures = xp.sum(weight * (1.0 - v), axis=-1)
    bound = invert_wealth(log_wealth, successes, failures, level, side, xp)
    return xp.where(refused, xp.nan, bound)
