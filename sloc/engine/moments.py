"""Streaming mean and variance that neither drift nor cancel in float32."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

Array = jax.Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Moments:
    """Count, mean and centred second moment of i.i.d. values, in pairs of floats.

    ``mean + mean_low`` is the mean and ``m2 + m2_low`` is ``sum (v - mean)^2``; the low parts hold what
    rounding of the high parts lost, so that 1e9 values in [0, 1] are averaged to 1e-7.

    Attributes:
        count: int32 scalar, number of values.
        mean: any shape.
        mean_low: same shape.
        m2: same shape.
        m2_low: same shape.

    """

    count: Any
    mean: Any
    mean_low: Any
    m2: Any
    m2_low: Any

    def on_host(self) -> tuple[int, Any, Any]:
        """Return ``(count, mean, unbiased variance)`` in float64 NumPy."""
        import numpy as np

        count = int(self.count)
        mean = np.asarray(self.mean, np.float64) + np.asarray(self.mean_low, np.float64)
        m2 = np.asarray(self.m2, np.float64) + np.asarray(self.m2_low, np.float64)
        return count, mean, m2 / max(count - 1, 1)

    def on_device(self) -> tuple[Array, Array, Array]:
        """Return ``(count, mean, unbiased variance)`` as traceable arrays in the working precision."""
        ratio = jnp.maximum(self.count - 1, 1).astype(self.mean.dtype)
        return self.count, self.mean + self.mean_low, (self.m2 + self.m2_low) / ratio


def zero_moments(shape: tuple[int, ...], dtype: Any) -> Moments:
    """Return the moments of no values at all.

    Args:
        shape: of the mean.
        dtype: floating dtype.

    Returns:
        Moments with count 0.

    """
    zero = jnp.zeros(shape, dtype)
    return Moments(jnp.zeros((), jnp.int32), zero, zero, zero, zero)


def block_moments(values: Array) -> Moments:
    """Return the moments of one block over the last axis of ``values`` (two passes, so no cancellation).

    Args:
        values: ``[..., n]``, the draws of a block last.

    Returns:
        Moments ``[...]``; exact up to rounding.

    """
    count = values.shape[-1]
    mean = jnp.mean(values, axis=-1)
    m2 = jnp.sum(jnp.square(values - mean[..., None]), axis=-1)
    zero = jnp.zeros_like(mean)
    return Moments(jnp.asarray(count, jnp.int32), mean, zero, m2, zero)


def _add(high: Array, low: Array, x: Array) -> tuple[Array, Array]:
    """Add ``x`` to the pair ``high + low`` (Knuth's two-sum, renormalised)."""
    s = high + x
    v = s - high
    error = (high - (s - v)) + (x - v)
    low = low + error
    total = s + low
    return total, low - (total - s)


def merge_moments(a: Moments, b: Moments) -> Moments:
    """Merge two disjoint sets of values (Chan's update); an empty ``b`` changes nothing.

    ``mean = mean_a + (mean_b - mean_a) n_b / n``, ``m2 = m2_a + m2_b + (mean_b - mean_a)^2 n_a n_b / n``.

    Args:
        a: moments ``[...]`` of some values.
        b: of other values, the same shape.

    Returns:
        Moments of both together; exact up to rounding.

    """
    dtype = a.mean.dtype
    n = a.count + b.count
    share_b = b.count.astype(dtype) / jnp.maximum(n, 1).astype(dtype)
    delta = (b.mean - a.mean) + (b.mean_low - a.mean_low)
    mean, mean_low = _add(a.mean, a.mean_low, delta * share_b)
    m2, m2_low = _add(a.m2, a.m2_low, b.m2)
    m2, m2_low = _add(m2, m2_low, b.m2_low + jnp.square(delta) * share_b * a.count.astype(dtype))
    return Moments(n, mean, mean_low, m2, m2_low)


def pool_moments(parts: Moments, keep: Array) -> Moments:
    """Merge several sets of values at once.

    ``mean = sum_b n_b mean_b / n`` and ``m2 = sum_b m2_b + n_b (mean_b - mean)^2`` over the sets that are kept.

    Args:
        parts: moments with a leading axis ``[B]``, count included.
        keep: boolean ``[B]``.

    Returns:
        The moments of all kept values together; zero where none is kept.

    """
    dtype = parts.mean.dtype
    count = jnp.where(keep, parts.count, jnp.zeros_like(parts.count))
    total = jnp.sum(count, dtype=parts.count.dtype)
    axes = (-1,) + (1,) * (parts.mean.ndim - 1)
    weight = count.astype(dtype).reshape(axes)
    kept = keep.reshape(axes)

    def over(values: Array) -> Array:
        return jnp.sum(jnp.where(kept, values, jnp.zeros_like(values)), axis=0)

    mean = over(parts.mean * weight) / jnp.maximum(total, 1).astype(dtype)
    m2 = over(parts.m2) + over(weight * jnp.square(parts.mean - mean[None]))
    return Moments(total, mean, jnp.zeros_like(mean), m2, jnp.zeros_like(m2))
