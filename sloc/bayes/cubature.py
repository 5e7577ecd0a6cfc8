"""Adaptive quadrature of ``log int e^f`` over boxes in one or two dimensions, with an estimate of its own error.

Panels (boxes) with Gauss-Kronrod nodes; the worst are split until the estimated error is small.  All in logarithms, so
that a peak too narrow for any node is still found by how ``f`` rises towards it.  Source: Piessens et al. 1983
(QUADPACK, QAG) for the rules and the order of splitting, Genz & Malik 1980 for one axis at a time.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array

TOLERANCE = 3e-6
"""Relative error, as estimated, at which splitting ends."""
REFUSED = 1e-3
"""Relative error, as estimated, from which an integral is not answered."""
_CHILDREN = 4
_SPLIT = {1: 4, 2: 8}
"""Boxes split in a round."""
_ROUNDS = {1: 24, 2: 48}
_DEEP = 1e20
_UNSEEN = 2.0
"""Nats by which a peak between nodes must rise above them to count as not seen."""


def _mirrored(half: list[float], sign: float) -> np.ndarray:
    return np.asarray([sign * v for v in half[:-1]] + half[::-1])


# Kronrod's nodes and weights and Gauss's weights on [-1, 1], from the outermost node to the middle one.
_K7 = (
    [0.960491268708020283, 0.774596669241483377, 0.434243749346802558, 0.0],
    [0.104656226026467265, 0.268488089868333441, 0.401397414775962223, 0.450916538658474142],
    [0.0, 5 / 9, 0.0, 8 / 9],
)
_K15 = (
    [
        0.991455371120812639,
        0.949107912342758525,
        0.864864423359769073,
        0.741531185599394440,
        0.586087235467691130,
        0.405845151377397167,
        0.207784955007898468,
        0.0,
    ],
    [
        0.0229353220105292250,
        0.0630920926299785533,
        0.104790010322250184,
        0.140653259715525919,
        0.169004726639267903,
        0.190350578064785410,
        0.204432940075298892,
        0.209482141084727828,
    ],
    [0.0, 0.129484966168869693, 0.0, 0.279705391489276668, 0.0, 0.381830050505118945, 0.0, 0.417959183673469388],
)


@functools.cache
def rule(dim: int) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Return nodes on [0, 1] and Kronrod's weights, ``[n]`` (15, or 7 an axis in two dimensions), and two null rules.

    A null rule is zero for polynomials of a low degree, so that it is large where the sum is not to be trusted.  One is
    even, the weights of Kronrod less those of Gauss, and one odd, of the same norm: a kink at which one of them happens
    to vanish is seen by the other (Berntsen & Espelid 1991).
    """
    nodes, kronrod, gauss = _K15 if dim == 1 else _K7
    unit, weights = (_mirrored(nodes, -1.0) + 1) / 2, _mirrored(kronrod, 1.0) / 2
    even = weights - _mirrored(gauss, 1.0) / 2
    # Of the odd polynomials all but one are killed: half of the nodes are enough to tell.
    half = np.asarray(nodes[:-1])
    powers = half[None] ** np.arange(1, 2 * len(half) - 2, 2)[:, None]
    kernel = np.linalg.svd(powers)[2][-1]
    odd = np.concatenate([-kernel, [0.0], kernel[::-1]])
    return unit, weights, (even, odd * np.linalg.norm(even) / np.linalg.norm(odd))


class Boxes(NamedTuple):
    """Boxes that tile the domain: corners ``[P, D]``, log integrals ``[P]``, log errors by axis ``[P, D]``."""

    low: Array
    high: Array
    log_value: Array
    log_error: Array


def integrate(f: Callable[[Array], Array], low: Array, high: Array, frame: Array) -> tuple[Array, Array, Boxes]:
    """Return ``log int e^{f(frame u)} du`` over boxes, the log of its estimated relative error, and the final boxes.

    Args:
        f: log integrand at one point ``[D]``, a scalar; ``-inf`` where it vanishes.
        low: corners of the first boxes in ``u``, ``[P, D]``; boxes without volume count nothing.
        high: the opposite corners.
        frame: ``[D, D]``, a rotation.

    Returns:
        Two scalars and the boxes (slots never used have no volume).

    """
    start, dim = low.shape
    split, rounds = _SPLIT[dim], _ROUNDS[dim]
    more = rounds * split * (_CHILDREN - 1)
    first = _evaluate(f, low, high, frame)
    nowhere = jnp.zeros((more, dim), low.dtype)
    spare = Boxes(nowhere, nowhere, *_nothing(more, dim, low.dtype))
    boxes: Boxes = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first, spare)

    def unsettled(state: tuple[Array, Boxes]) -> Array:
        count, boxes = state
        total, error = _totals(boxes)
        return (count < rounds) & (error - total > log_allowed(TOLERANCE, total))

    def refine(state: tuple[Array, Boxes]) -> tuple[Array, Boxes]:
        count, boxes = state
        _, worst = jax.lax.top_k(jnp.max(boxes.log_error, axis=1), split)
        axis = jnp.argmax(boxes.log_error[worst], axis=1)
        along = jax.nn.one_hot(axis, dim, dtype=low.dtype)
        a, b = boxes.low[worst], boxes.high[worst]
        # One expression for both sides of a cut, so that children meet without a gap.
        cuts = [a + (b - a) * (along * (i / _CHILDREN)) for i in range(_CHILDREN)]
        starts = jnp.stack(cuts)
        ends = jnp.stack([jnp.where(along > 0, c, b) for c in cuts[1:]] + [b])
        children = _evaluate(f, starts.reshape(-1, dim), ends.reshape(-1, dim), frame)
        at = start + count * split * (_CHILDREN - 1)

        def placed(old: Array, new: Array) -> Array:
            old = old.at[worst].set(new[:split])
            return jax.lax.dynamic_update_slice_in_dim(old, new[split:], at, axis=0)

        return count + 1, jax.tree.map(placed, boxes, children)

    _, boxes = jax.lax.while_loop(unsettled, refine, (jnp.zeros((), jnp.int32), boxes))
    total, error = _totals(boxes)
    return total, error - total, boxes


def log_allowed(relative: float, total: Array) -> Array:
    """Log of a relative error to be allowed: that number, and what the rounding of ``f`` itself comes to."""
    # Far from both factors f is large, and so is the logarithm of the integral.
    return jnp.log(relative + 4 * jnp.finfo(total.dtype).eps * jnp.abs(total))


def nodes_of(boxes: Boxes, frame: Array) -> tuple[Array, Array]:
    """Points ``[P, n^D, D]`` of all boxes and the logs of their weights ``[P, n^D]``."""
    dim = boxes.low.shape[1]
    unit, kronrod, _ = rule(dim)
    dtype = boxes.low.dtype
    mesh = np.stack(np.meshgrid(*[unit] * dim, indexing="ij"), -1).reshape(-1, dim)
    u = boxes.low[:, None] + (boxes.high - boxes.low)[:, None] * jnp.asarray(mesh, dtype)[None]
    weight = functools.reduce(np.multiply.outer, [kronrod] * dim).reshape(-1)
    log_weight = _log_volume(boxes.low, boxes.high)[:, None] + jnp.asarray(np.log(weight), dtype)[None]
    # Written out: two coordinates are no work for a matrix product, whose precision differs by device.
    x = jnp.stack([sum(frame[i, j] * u[..., j] for j in range(dim)) for i in range(dim)], -1)
    return x, log_weight


def _log_volume(low: Array, high: Array) -> Array:
    sides = high - low
    return jnp.sum(jnp.where(sides > 0, jnp.log(jnp.where(sides > 0, sides, jnp.ones_like(sides))), -jnp.inf), axis=1)


def _nothing(count: int, dim: int, dtype: Any) -> tuple[Array, Array]:
    return jnp.full((count,), -jnp.inf, dtype), jnp.full((count, dim), -jnp.inf, dtype)


def _totals(boxes: Boxes) -> tuple[Array, Array]:
    """Log integral and log error."""
    return _log_sum(boxes.log_value), _log_sum(boxes.log_error)


def _log_sum(values: Array) -> Array:
    """``log sum e^v`` of all values; ``-inf`` where all are, NaN where one is."""
    top = jnp.max(values)
    safe = jnp.where(jnp.isneginf(top), jnp.zeros_like(top), top)
    return safe + jnp.log(jnp.sum(jnp.exp(values - safe)))


def _evaluate(f: Callable[[Array], Array], low: Array, high: Array, frame: Array) -> Boxes:
    """Integrals and errors of boxes."""
    count, dim = low.shape
    unit, kronrod, nulls = rule(dim)
    empty = Boxes(low, high, *_nothing(count, dim, low.dtype))
    points, _ = nodes_of(empty, frame)
    values = jax.vmap(f)(points.reshape(-1, dim)).reshape(count, -1).astype(low.dtype)
    # A point of infinite density has no mass.
    values = jnp.where(jnp.isposinf(values), jnp.full_like(values, -jnp.inf), values)
    peak = jnp.max(values, axis=1)
    safe = jnp.where(jnp.isneginf(peak), jnp.zeros_like(peak), peak)
    scaled = jnp.exp(values - safe[:, None])
    log_scale = safe + _log_volume(low, high)

    def summed(*weights: np.ndarray) -> Array:
        weight = functools.reduce(np.multiply.outer, weights).reshape(-1)
        return jnp.sum(scaled * jnp.asarray(weight, scaled.dtype)[None], axis=1)

    best = summed(*[kronrod] * dim)
    errors = []
    for axis in range(dim):
        each = [summed(*[null if axis == i else kronrod for i in range(dim)]) for null in nulls]
        errors.append(0.5 * jnp.log(sum(jnp.square(e) for e in each)))
    rise = _rises(values, unit, dim)
    hidden = jnp.sum(rise, axis=1, keepdims=True)
    # It counts on the axis along which more is hidden, which is then split.
    here = (hidden > _UNSEEN) & (rise == jnp.max(rise, axis=1, keepdims=True))
    unseen = jnp.where(here, hidden, -jnp.inf)
    log_error = jnp.maximum(jnp.stack(errors, 1), unseen) + log_scale[:, None]
    return Boxes(low, high, log_scale + jnp.log(best), log_error)


def _rises(values: Array, unit: np.ndarray, dim: int) -> Array:
    """By how much ``f`` may rise between nodes above the highest node, along each axis, ``[P, D]``.

    On the line through the highest node: where the secants left and right of a gap meet, an upper bound for a concave
    ``f``; and between the second node from either end and the border, where a parabola through three nodes is highest.
    """
    size = len(unit)
    count = values.shape[0]
    top = jnp.argmax(values, axis=1)
    peak = jnp.max(values, axis=1)
    grid = values.reshape(count, *[size] * dim)
    lines = [grid] if dim == 1 else [_pick(grid, top % size, 2), _pick(grid, top // size, 1)]
    return jnp.stack([_rise(line, peak, unit) for line in lines], 1)


def _pick(grid: Array, index: Array, axis: int) -> Array:
    return jnp.take_along_axis(grid, index[:, None, None], axis=axis).squeeze(axis)


def _rise(line: Array, peak: Array, unit: np.ndarray) -> Array:
    u = jnp.asarray(unit, line.dtype)
    # A jump to nothing says nothing of a peak, and further down differences overflow.
    known = line > peak[:, None] - _DEEP
    line = jnp.where(known, line, peak[:, None] - _DEEP)
    lowest = -jnp.inf
    slope = jnp.where(known[:, 1:] & known[:, :-1], (line[:, 1:] - line[:, :-1]) / (u[1:] - u[:-1])[None], 0.0)
    left, right = slope[:, :-2], slope[:, 2:]
    x_left, x_right, f_left, f_right = u[1:-2][None], u[2:-1][None], line[:, 1:-2], line[:, 2:-1]
    bend = left - right
    meet = (f_right - f_left + left * x_left - right * x_right) / jnp.where(bend > 0, bend, jnp.ones_like(bend))
    inside = (bend > 0) & (meet > x_left) & (meet < x_right)
    height = jnp.max(jnp.where(inside, f_left + left * (meet - x_left), lowest), axis=1)
    for ends in (slice(0, 3), slice(-1, -4, -1)):
        distances = unit[ends] if ends.start == 0 else 1 - unit[ends]
        found = _parabola(line[:, ends], distances)
        height = jnp.maximum(height, jnp.where(jnp.all(known[:, ends], axis=1), found, lowest))
    return jnp.where(jnp.isfinite(peak), jnp.maximum(height - peak, 0.0), 0.0)


def _parabola(f: Array, x: np.ndarray) -> Array:
    """Maximum between 0 and ``x_1`` of the parabola through ``f [P, 3]`` at ``0 < x_0 < x_1 < x_2``, less rounding."""
    first = (f[:, 1] - f[:, 0]) / float(x[1] - x[0])
    second = ((f[:, 2] - f[:, 1]) / float(x[2] - x[1]) - first) / float(x[2] - x[0])
    # Newton's form, f_0 + first (u - x_0) + second (u - x_0)(u - x_1), at the border and at its vertex.
    vertex = 0.5 * float(x[0] + x[1]) - first / jnp.where(second < 0, 2 * second, -jnp.ones_like(second))
    at = jnp.where((second < 0) & (vertex > 0), jnp.minimum(vertex, float(x[1])), 0.0)
    value = f[:, 0] + first * (at - float(x[0])) + second * (at - float(x[0])) * (at - float(x[1]))
    return value - 32 * jnp.finfo(f.dtype).eps * jnp.max(jnp.abs(f), axis=1)
