"""What populations over finite alphabets share: drawing letters, sums over seen coordinates, checks of rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import Array, RevealingChannel, float_dtype, require
from sloc.contracts.arguments import as_floats
from sloc.populations.weights import check_weights

BUDGET = 1 << 22
"""Numbers that one group of draws may hold at a time (16 MiB in float32)."""

IMPOSSIBLE = -1e30
"""Stands for log 0 inside sums and matrix products, where 0 * (-inf) would be NaN."""

_CHUNK = 8192


def floating(values: Any) -> Array:
    """Return ``values`` as a floating array; floating JAX arrays keep their precision."""
    array = values if isinstance(values, jax.Array) else np.asarray(values)
    return jnp.asarray(array) if jnp.issubdtype(array.dtype, jnp.floating) else jnp.asarray(array, float_dtype())


def draw_letters(uniforms: Array, masses: Array) -> Array:
    """Draw letters by inverting cumulative sums.

    A letter of mass zero is never drawn.  The law is exact up to the spacing of the uniforms (``2^-23`` in
    float32, absolute, per letter).

    Args:
        uniforms: ``[...]``, in ``[0, 1)``.
        masses: ``[..., q]``, nonnegative, not necessarily summing to one.

    Returns:
        ``[...]`` int32 letters ``0 .. q - 1`` with probabilities proportional to ``masses``.

    """
    cumulative = jnp.cumsum(masses, -1)
    # Dividing by the last entry makes it exactly one, so that trailing letters of mass zero stay out of reach.
    cumulative = cumulative / cumulative[..., -1:]
    return jnp.sum(uniforms[..., None] >= cumulative[..., :-1], -1, dtype=jnp.int32)


def relative_logs(logs: Array, axis: int = 0) -> Array:
    """Return ``logs`` minus their maximum along ``axis``, with ``-inf`` replaced by ``IMPOSSIBLE``.

    Along the axis of sub-populations this drops what does not depend on ``theta``: sums over many coordinates then
    stay small, and float32 keeps the digits of their differences.
    """
    top = jnp.max(logs, axis, keepdims=True)
    top = jnp.where(jnp.isfinite(top), top, jnp.zeros_like(top))
    return jnp.maximum(logs - top, IMPOSSIBLE)


def restore_impossible(sums: Array) -> Array:
    """Turn sums that contain ``IMPOSSIBLE`` back into ``-inf``."""
    return jnp.where(sums < 0.1 * IMPOSSIBLE, -jnp.inf, sums)


def seen_sums(table: Array, thresholds: Array, times: Array) -> Array:
    """Sum a table over the coordinates that are seen at each time.

    ``S[t, k] = sum_l 1[times_t < thresholds_l] table[l, k]``, a matrix product, taken in chunks of coordinates so
    that the indicators held at once do not grow with the length.

    Args:
        table: ``[L, K]``, finite.
        thresholds: ``[L]``, the time from which each coordinate is hidden.
        times: ``[T]``.

    Returns:
        ``[T, K]``.

    """

    def part(table: Array, thresholds: Array) -> Array:
        seen = (times[:, None] < thresholds[None, :]).astype(table.dtype)
        return jnp.matmul(seen, table, precision=jax.lax.Precision.HIGHEST)

    length, k = table.shape
    chunks, rest = divmod(length, _CHUNK)
    if chunks == 0 or (chunks == 1 and rest == 0):
        return part(table, thresholds)
    whole = chunks * _CHUNK
    pieces = (table[:whole].reshape(chunks, _CHUNK, k), thresholds[:whole].reshape(chunks, _CHUNK))
    start = part(table[whole:], thresholds[whole:]) if rest else jnp.zeros((times.shape[0], k), table.dtype)
    return jax.lax.scan(lambda total, piece: (total + part(*piece), None), start, pieces)[0]


def thresholds_are_fixed(process: RevealingChannel, length: int) -> bool:
    """Whether the thresholds are the same for every key and every ``x``, as under truncation.

    Found while tracing: the outputs of a ``vmap`` over keys and data are then not batched.
    """
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 2))
    data = jax.ShapeDtypeStruct((2, length), jnp.int32)
    try:
        jax.eval_shape(jax.vmap(process.thresholds, out_axes=None), keys, data)  # pyright: ignore[reportArgumentType]
    except ValueError:
        return False
    return True


def draw_in_groups(
    draw: Callable[[Array, Array], Array], key: Array, components: Array, numbers_per_draw: int
) -> Array:
    """Evaluate ``draw`` over all components, so many at a time that memory stays within ``BUDGET``.

    Args:
        draw: ``(keys [b], components [b]) -> [..., b]``.
        key: typed PRNG key, split into one key per draw.
        components: ``[B]``.
        numbers_per_draw: numbers that one draw holds at its peak.

    Returns:
        ``[..., B]``.

    """
    total = components.shape[0]
    keys = jax.random.split(key, total)
    groups = -(-total // max(1, BUDGET // max(1, numbers_per_draw)))
    if groups <= 1:
        return draw(keys, components)
    size = -(-total // groups)
    # The last group is filled up with draws that are then cut off, so that one compiled body serves all groups.
    index = (jnp.arange(groups * size) % total).reshape(groups, size)
    out = jax.lax.map(lambda i: draw(keys[i], components[i]), index)
    out = jnp.moveaxis(out, 0, -2)
    return out.reshape(*out.shape[:-2], groups * size)[..., :total]


def transition_matrix(process: Any, t: Array, letters: int, dtype: Any) -> Array:
    """Return ``P_t [q, q]`` of a memoryless channel, checked against the alphabet of the population.

    Raises:
        InvalidInput: the channel has another number of letters.

    """
    matrix = jnp.asarray(process.transition(t), dtype)
    require(
        matrix.shape == (letters, letters),
        "process.transition(t).shape",
        matrix.shape,
        f"({letters}, {letters}), one row and one column per letter of the population",
    )
    return matrix


def check_rows(argument: str, probs: Any) -> None:
    """Refuse arrays whose last axis is not a probability vector (nonnegative, sum within ``1e-5`` of one).

    Raises:
        InvalidInput: see above.

    """
    values = as_floats(probs, argument)
    require(values.ndim >= 1 and values.shape[-1] >= 1, argument, values.shape, "at least one letter on the last axis")
    require(bool(np.isfinite(values).all()), argument, probs, "finite probabilities")
    require(bool((values >= 0).all()), argument, probs, "nonnegative probabilities")
    sums = values.sum(-1)
    require(bool((np.abs(sums - 1) <= 1e-5).all()), f"{argument} summed over its last axis", sums, "one everywhere")


def check_mixture(weights: Any, names: Any, num_components: int) -> None:
    """Refuse weights that are not a law over ``K >= 2`` sub-populations, and names that are not ``K`` distinct strings.

    Raises:
        InvalidInput: see above.

    """
    k = num_components
    check_weights(np.full(k, 1 / max(k, 1)) if weights is None else weights, k)
    if not isinstance(names, tuple) or names:
        good = isinstance(names, tuple) and all(isinstance(n, str) for n in names)
        require(good and len(names) == k and len(set(names)) == k, "names", names, f"a tuple of {k} distinct strings")


def log_mixture_weights(weights: Any, num_components: int, dtype: Any) -> Array:
    """Return ``log w_theta [K]``, uniform where ``weights`` is None."""
    if weights is None:
        return jnp.full((num_components,), -np.log(num_components), dtype)
    return jnp.log(floating(weights))
