"""Samples that are not numbers, named by their time and draw."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace

import jax
import numpy as np

from sloc.engine import BLOCK_DRAWS
from sloc.engine.faults import NotANumber
from sloc.engine.stream import block_values
from sloc.samplers.experiment_kernel import SPOILT, ExperimentKernel

Array = jax.Array


@contextlib.contextmanager
def naming_times(kernel: ExperimentKernel, args: object, key: Array, times: Array) -> Iterator[None]:
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
