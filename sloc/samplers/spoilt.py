"""Samples that are not numbers, named by their time and draw."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Generator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.engine.faults import NotANumber
from sloc.engine.plan import BLOCK_DRAWS
from sloc.engine.streaming import block_values

if TYPE_CHECKING:
    from sloc.samplers.experiment_kernel import ExperimentKernel

Array = jax.Array

SPOILT = int(np.iinfo(np.int32).min)
"""What stands for NaN among whole numbers: the label of a sample with NaN, or a letter drawn from a law with NaN."""


def is_spoilt(x: Any) -> Array:
    """Return whether one sample holds a NaN, or ``SPOILT`` in its place."""
    found = [jnp.zeros((), bool)]
    for leaf in jax.tree.leaves(x):
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            found.append(jnp.any(jnp.isnan(leaf)))
        elif leaf.dtype == jnp.int32:
            found.append(jnp.any(leaf == SPOILT))
    return functools.reduce(jnp.logical_or, found)


@contextlib.contextmanager
def naming_times(kernel: ExperimentKernel, args: object, key: Array, times: Array) -> Generator[None, None, None]:
    """Add to an error about NaN in a block the first time and draw at which a localizer returned it.

    Raises:
        NotANumber: the same error, with them.

    """
    try:
        yield
    except NotANumber as error:
        labels = replace(kernel, keep="labels", num_labels=0, draws=BLOCK_DRAWS)
        # At most one block is evaluated again, for its labels alone.
        found = np.asarray(block_values(labels, args, jax.random.fold_in(key, np.int32(error.block))))
        where = _place(found, key, times, error.block)
        raise NotANumber(f"{where}; {error}" if where else str(error), error.block, error.stage) from error


def refuse_spoilt(labels: np.ndarray, key: Array, times: Array) -> None:
    """Refuse labels ``[T, n, clones]`` of samples that held NaN.

    Raises:
        NotANumber: names the first time and draw.

    """
    where = _place(labels, key, times, 0)
    if where:
        draw = int(np.argwhere(labels == SPOILT)[0][1])
        raise NotANumber(where, draw // BLOCK_DRAWS, "")


def spoilt_observation(y: Any, t: Array) -> Array:
    """Return whether an observation on the way holds NaN."""
    del t
    return is_spoilt(y)


@contextlib.contextmanager
def naming_steps(kernel: Any, args: Any, key: Array, grid: Array) -> Generator[None, None, None]:
    """Add to an error about NaN in a block of localizations the first draw with one, and the time where it came in.

    Args:
        kernel: ``(samples [B, ...], kept [B, m])`` of a block, ``kept`` by ``spoilt_observation`` at every time.
        args: its arguments.
        key: the run's key.
        grid: ``[m]``.

    Raises:
        NotANumber: the same error, with them.

    """
    try:
        yield
    except NotANumber as error:
        samples, kept = block_values(kernel, args, jax.random.fold_in(key, np.int32(error.block)))
        each = np.asarray(jax.vmap(is_spoilt)(samples)) | np.asarray(kept).any(axis=1)
        if not each.any():
            raise
        draw = int(np.argmax(each))
        met, data = np.flatnonzero(np.asarray(kept)[draw]), np.asarray(jax.random.key_data(key)).tolist()
        # Downwards: where no observation holds one, the sample that the last of them ends in does.
        when = f"on the way to t = {float(grid[met[-1]]):g}" if met.size else f"from t = {float(grid[0]):g}"
        place = f"{when}, draw {error.block * BLOCK_DRAWS + draw} of key {data}"
        raise NotANumber(f"the localizer returned NaN {place}; {error}", error.block, error.stage) from error


def refuse_spoilt_letters(samples: Any) -> None:
    """Refuse samples of whole numbers, leaves ``[n, ...]``, with ``SPOILT`` among them.

    Raises:
        NotANumber: names the block.

    """
    for leaf in jax.tree.leaves(samples):
        if leaf.dtype == np.int32 and leaf.size and leaf.min() == SPOILT:
            wrong = (leaf == SPOILT).reshape(len(leaf), -1).any(axis=1)
            raise NotANumber(
                f"letters were drawn from laws with NaN in {wrong.mean():.2%} of the samples",
                int(np.argmax(wrong)) // BLOCK_DRAWS,
                "",
            )


def _place(labels: np.ndarray, key: Array, times: Array, block: int) -> str:
    spoilt = labels == SPOILT
    if not spoilt.any():
        return ""
    first, draw = (int(v) for v in np.argwhere(spoilt)[0][:2])
    data = np.asarray(jax.random.key_data(key)).tolist()
    share = spoilt[first].mean()
    return (
        f"the localizer returned NaN at t = {float(times[first]):g} (time {first}), draw {block * BLOCK_DRAWS + draw} "
        f"of key {data}, and in {share:.2%} of the draws there"
    )
