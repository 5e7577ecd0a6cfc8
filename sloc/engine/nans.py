"""Which key block to blame for values that are not numbers, and that block alone."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.engine.faults import NotANumber

Array = jax.Array


def first_nan(values: Any, axis: int, count: int) -> int | None:
    """Return the place along ``axis`` of the first NaN among the first ``count``, or None; integers have none.

    A complex number is NaN where either of its parts is.

    Args:
        values: a pytree of NumPy arrays with one common length along ``axis``.
        axis: the axis, at least 0.
        count: how many places to look at.

    """
    places = []
    for leaf in jax.tree.leaves(values):
        part = leaf[(*(slice(None),) * axis, slice(0, count))]
        if part.size and jnp.issubdtype(part.dtype, jnp.inexact) and _holds_nan(part):
            wrong = np.isnan(part).any(axis=tuple(i for i in range(part.ndim) if i != axis))
            places.append(int(np.argmax(wrong)))
    return min(places, default=None)


def _holds_nan(values: np.ndarray) -> bool:
    # The least of numbers with a NaN is NaN: one pass without an array of answers.
    with np.errstate(invalid="ignore"):
        return bool(np.isnan(values.min()))


def count_nans(values: Any) -> tuple[int, int]:
    """Return how many of the numbers of a pytree of NumPy arrays are NaN, and how many there are."""
    leaves = jax.tree.leaves(values)
    wrong = (int(np.isnan(v).sum()) for v in leaves if jnp.issubdtype(v.dtype, jnp.inexact))
    return sum(wrong), sum(v.size for v in leaves)


def not_a_number(kernel: Any, key: Array, block: int, values: Any, stage: str) -> NotANumber:
    """Return the error that names a block, its key, and how to evaluate it alone.

    Args:
        kernel: what was evaluated.
        key: the run's key, from which the block's own is folded.
        block: its number.
        values: its values.
        stage: name of the run's stage.

    """
    wrong, size = count_nans(values)
    data = np.asarray(jax.random.key_data(key)).tolist()
    return NotANumber(
        f"kernel {type(kernel).__name__}: block {block} of key {data} ({key.dtype}) returned NaN in "
        f"{wrong:,} of {size:,} values; evaluate it alone with sloc.Plan(replay=({stage!r}, {block}))",
        block,
        stage,
    )
