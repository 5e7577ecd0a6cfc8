"""Times and inputs of the conformance suite."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import ObservationProcess, float_dtype, require
from sloc.contracts.arguments import as_array, as_floats
from sloc.testing.conformance import ConformanceReport, expect, failing_as

_DEFAULT_TIMES = 9


def stack_inputs(xs: Any) -> Any:
    """Return the inputs as one pytree with a leading axis: a list or tuple is stacked, all else has the axis."""
    if isinstance(xs, (list, tuple)):
        require(len(xs) >= 2, "xs", xs, "at least two inputs")
        require(len({jax.tree.structure(x) for x in xs}) == 1, "xs", xs, "inputs of one structure")
        return jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(as_array(leaf, "xs")) for leaf in leaves]), *xs)
    xs = jax.tree.map(lambda leaf: jnp.asarray(as_array(leaf, "xs")), xs)
    sizes = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves(xs)}
    require(len(sizes) == 1 and min(sizes)[:1] >= (2,), "xs", sizes, "one common leading axis of at least two inputs")
    return xs


def resolve_times(process: ObservationProcess, times: Any, report: ConformanceReport) -> np.ndarray:
    """Check ``grid`` and return the times of the statistical checks in the process's own dtype.

    Raises:
        ConformanceError: the grid is not increasing or leaves ``(0, horizon]`` (0 is allowed in discrete time).
        InvalidInput: ``times`` was given and is not an increasing sequence inside the range.

    """
    horizon = float(process.horizon)
    if times is not None:
        result = as_floats(times, "times")
        inside = result.ndim == 1 and result.size >= 1 and bool(np.isfinite(result).all())
        inside = inside and bool(np.all(np.diff(result) > 0)) and bool(result[0] >= 0) and bool(result[-1] <= horizon)
        require(inside, "times", times, f"an increasing sequence inside [0, {horizon:g}]")
        if not np.isfinite(horizon) and type(process).grid is ObservationProcess.grid:
            report.skipped.append("grid: not defined (infinite horizon)")
        else:
            _check_grid(process, _DEFAULT_TIMES)
            report.checked.append("grid increasing, inside (0, horizon]")
        return as_times(process, result)
    result = _check_grid(process, _DEFAULT_TIMES)
    _check_grid(process, 3)
    report.checked.append("grid increasing, inside (0, horizon]")
    return as_times(process, result)


def _check_grid(process: ObservationProcess, n: int) -> np.ndarray:
    name = f"{type(process).__name__}.grid({n})"
    with failing_as(name):
        grid = np.asarray(process.grid(n))
    expect(grid.ndim == 1 and 1 <= grid.size <= n, f"{name} has shape {grid.shape}: expected at most {n} times")
    expect(process.discrete or grid.size == n, f"{name} has {grid.size} times: expected {n}")
    expect(not process.discrete or grid.dtype.kind in "iu", f"{name} has dtype {grid.dtype}: discrete time is int32")
    expect(np.all(np.isfinite(grid)), f"{name} is not finite: {grid}")
    expect(np.all(np.diff(grid) > 0), f"{name} is not increasing: {grid}")
    lowest = grid[0] >= 0 if process.discrete else grid[0] > 0
    expect(lowest and grid[-1] <= float(process.horizon), f"{name} leaves (0, {process.horizon}]: {grid}")
    return grid


def as_times(process: ObservationProcess, times: np.ndarray) -> np.ndarray:
    """Return times as int32 if time is discrete, else in the floating dtype in force."""
    return np.asarray(times, np.int32 if process.discrete else float_dtype())


def time_pairs(times: np.ndarray, most: int = 4) -> list[tuple[Any, Any]]:
    """Return pairs ``s < t``: neighbours of the thinned times, two close ones, and the ends; ``s = 0`` left out."""
    positive = times[times > 0]
    if positive.size < 2:
        return []
    thin = positive[np.unique(np.linspace(0, positive.size - 1, most + 1).astype(int))]
    middle = (positive.size - 1) // 2
    close, ends = (positive[middle], positive[middle + 1]), (positive[0], positive[-1])
    pairs = [*itertools.pairwise(thin), close, ends]
    return list(dict.fromkeys(pairs))
