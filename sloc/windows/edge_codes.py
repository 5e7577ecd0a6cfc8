"""Edges of curves on a grid as pure functions of arrays, for use under ``jit`` and ``vmap``."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from sloc.results.status import status_code
from sloc.windows.edges import Side

Array = jax.Array

RESOLVED, EMPTY, INVERTED = status_code("resolved"), status_code("empty"), status_code("inverted")
BELOW, ABOVE = status_code("below_grid"), status_code("above_grid")


def edges_from_curves(
    times: Array, tv_values: Array, threshold: Any, side: Side, *, discrete: bool = False
) -> tuple[Array, Array]:
    """Where a non-increasing curve on a grid falls through a threshold, with an integer status.

    The device's twin of ``sloc.windows.edges.edge_on_grid`` for a curve without a band: the point follows the
    last time on the high side, ``q > c`` for ``first`` (``inf {q <= c}``) and ``q >= c`` for ``last``
    (``sup {q >= c}``), by linear interpolation.  Traceable; vectorise over curves with ``jax.vmap``.  Any
    increasing function of the curve and of its threshold may be given instead of both, which changes only the
    interpolation.

    Args:
        times: ``[T]``, increasing, ``T >= 2``.
        tv_values: ``[T]``, finite.
        threshold: ``c``, a scalar.
        side: ``first`` or ``last``.
        discrete: whether only grid times can be edges.

    Returns:
        The edge and its code, an index into :data:`sloc.results.STATUSES`: ``resolved``, ``below_grid`` (the
        edge is censored at the first time, which is returned), ``above_grid`` (at the last), or ``empty`` (the grid
        starts at 0 and ``last`` does not hold there; 0 is returned).

    """
    dtype = tv_values.dtype
    times, c = jnp.asarray(times, dtype), jnp.asarray(threshold, dtype)
    steps = times.shape[0]
    high = tv_values > c if side == "first" else tv_values >= c
    last = jnp.max(jnp.where(high, jnp.arange(steps), -jnp.ones_like(jnp.arange(steps))))
    low_end, high_end = jnp.clip(last, 0, steps - 2), jnp.clip(last + 1, 1, steps - 1)
    q_low, q_high = tv_values[low_end], tv_values[high_end]
    t_low, t_high = times[low_end], times[high_end]
    if discrete:
        point = t_high if side == "first" else t_low
    else:
        fall = q_low - q_high
        flat = fall <= 0
        share = jnp.where(flat, jnp.full_like(fall, 0.5), (q_low - c) / jnp.where(flat, jnp.ones_like(fall), fall))
        point = t_low + jnp.clip(share, 0.0, 1.0) * (t_high - t_low)
    starts = times[0] == 0
    nowhere, everywhere = last < 0, last == steps - 1
    # At t = 0 an infimum exists whatever the curve does, a supremum only if the curve starts high.
    at_start = jnp.where(starts, jnp.asarray(RESOLVED if side == "first" else EMPTY), jnp.asarray(BELOW))
    code = jnp.where(nowhere, at_start, jnp.where(everywhere, jnp.asarray(ABOVE), jnp.asarray(RESOLVED)))
    value = jnp.where(nowhere, times[0], jnp.where(everywhere, times[-1], point))
    return value, code.astype(jnp.int32)


def window_codes(
    after: tuple[Array, Array], before: tuple[Array, Array], apart: tuple[Array, Array] | None
) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Put edges together as :func:`sloc.critical_window` does: ``empty`` where never apart, ``inverted``.

    Args:
        after: ``sup {TV(after, rest) >= 1 - epsilon^2}``, value and code.
        before: ``inf {TV(after, before) <= epsilon}``.
        apart: ``sup {TV(before, rest) >= 1 - epsilon^2}``, or None where ``before`` is everything.

    Returns:
        ``(t_after, code), (t_before, code)``: the values are kept whatever the codes.

    """
    (t_after, code_after), (t_before, code_before) = after, before
    if apart is not None:
        end, end_code = apart
        exists = (code_before == RESOLVED) | (code_before == BELOW)
        # Both censored at the first time: which of the two comes first is not known, and the code says below_grid.
        never = (end_code == EMPTY) | ((end_code != ABOVE) & (t_before > end))
        code_before = jnp.where(exists & never, jnp.asarray(EMPTY, jnp.int32), code_before)
    inverted = (code_after == RESOLVED) & (code_before == RESOLVED) & (t_before < t_after)
    mark = jnp.asarray(INVERTED, jnp.int32)
    return (t_after, jnp.where(inverted, mark, code_after)), (t_before, jnp.where(inverted, mark, code_before))
