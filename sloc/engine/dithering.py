"""Randomised rounding of values in [0, 1] to a fixed grid, kept as integer counts that merge by addition."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import is_concrete, require
from sloc.contracts.arguments import as_array, as_floats, as_real, as_whole, checked_key

Array = jax.Array


def logit_grid(points: int = 129, smallest: float = 1e-6) -> np.ndarray:
    """Edges of a grid on [0, 1] that is logarithmic at both ends and contains exactly 0 and 1.

    ``0, sigmoid(x_1), ..., sigmoid(x_{points - 2}), 1`` with ``x`` evenly spaced between ``-logit(1 - smallest)``
    and ``logit(1 - smallest)``, rounded to float32 so that host and device hold the same numbers.  Neighbours of
    ``v`` are ``v (1 - v) * step`` apart, so rounding adds little variance wherever the mass lies.

    Args:
        points: number of edges, 0 and 1 included.
        smallest: the least edge above 0, and one minus the greatest below 1.

    Returns:
        Increasing edges ``[points]``, float64 holding float32 numbers.

    Raises:
        InvalidInput: fewer than 2 points, or ``smallest`` outside [1e-6, 0.5) (above ``1 - 1e-6`` float32 runs out of
            numbers).

    """
    require(as_whole(points) >= 2, "points", points, "at least the two edges 0 and 1")
    require(1e-6 <= as_real(smallest) < 0.5, "smallest", smallest, "an edge in [1e-6, 0.5)")
    reach = np.log1p(-smallest) - np.log(smallest)
    inner = 1.0 / (1.0 + np.exp(-np.linspace(-reach, reach, int(points) - 2)))
    rounded = np.unique(inner.astype(np.float32)).astype(np.float64)
    return np.concatenate([[0.0], rounded, [1.0]])


GRID = logit_grid()
"""The default edges: 129 of them, the least above 0 being 1e-6."""
BERNOULLI_GRID = np.asarray([0.0, 1.0])
"""The coarsest grid: each value becomes a Bernoulli draw with that probability."""


def check_grid(grid: Any) -> np.ndarray:
    """Return the edges as float64, refusing what ``dither`` could not keep the mean on.

    Args:
        grid: edges; ``None`` means ``GRID``.

    Returns:
        Edges ``[B]``, float64.

    Raises:
        InvalidInput: not strictly increasing from exactly 0 to exactly 1, or an edge that is not a float32 number.

    """
    edges = GRID if grid is None else as_floats(grid, "grid")
    spans = edges.ndim == 1 and edges.size >= 2 and edges[0] == 0 and edges[-1] == 1
    require(spans and bool(np.all(np.diff(edges) > 0)), "grid", grid, "edges increasing from exactly 0 to exactly 1")
    require(bool(np.all(edges.astype(np.float32) == edges)), "grid", grid, "float32 numbers: use logit_grid()")
    return edges


def dither(key: Array, values: Any, grid: Any = None) -> Array:
    """Round each value at random to a neighbouring edge, preserving its mean, and count the edges.

    A value between edges ``lo`` and ``hi`` goes to ``hi`` with probability ``(v - lo) / (hi - lo)``, independently of
    everything else, so the rounded values are independent with the same mean as the values.  Counts of disjoint sets
    of values add up: over blocks, over devices (one ``psum``), over resumed runs.  Use a fresh key for each block.

    Args:
        key: typed PRNG key.
        values: values in [0, 1], shape ``[..., n]``; the leading axes are cells.
        grid: edges as from ``logit_grid``; ``None`` means ``GRID``.

    Returns:
        Counts ``[..., B + 1]``, int32: how many values went to each of the ``B`` edges, and last, how many were
        refused because they are NaN or outside [0, 1] (a bound from counts with refused values is NaN).  Each count
        holds up to 2**31 - 1; convert to int64 before adding more than that on the host.

    Raises:
        InvalidInput: concrete values that are NaN or outside [0, 1] (traced ones are counted), or a bad grid.

    The rounded mean is exact up to the float32 rounding of the probability, less than 4e-7 of the value.

    """
    checked_key(key)
    edges = check_grid(grid)
    values = jnp.asarray(as_array(values, "values"))
    require(values.size > 0, "values", values, "at least one number")
    if not jnp.issubdtype(values.dtype, jnp.floating):
        values = values.astype(jnp.float32)
    values = values.astype(jnp.promote_types(values.dtype, jnp.float32))
    require(values.ndim >= 1, "values", values.shape, "an array whose last axis is the draws")
    valid = (values >= 0) & (values <= 1)
    if is_concrete(values):
        require(bool(jnp.all(valid)), "values", values, "numbers in [0, 1]")
    flat = jnp.where(valid, values, 0).reshape((-1, values.shape[-1]))
    table = jnp.asarray(edges, flat.dtype)
    below = jnp.clip(jnp.searchsorted(table, flat, side="right") - 1, 0, edges.size - 2).astype(jnp.int32)
    low = table[below]
    share = (flat - low) / (table[below + 1] - low)
    # The default mode moves in steps of 2**-23, which would turn a probability of 1e-9 into 1e-7.
    up = jax.random.bernoulli(key, share, mode="high")
    bins = jnp.where(valid.reshape(flat.shape), below + up.astype(jnp.int32), edges.size)
    rows = jnp.arange(flat.shape[0], dtype=jnp.int32)[:, None]
    counts = jnp.zeros((flat.shape[0], edges.size + 1), jnp.int32).at[rows, bins].add(1)
    return counts.reshape((*values.shape[:-1], edges.size + 1))
