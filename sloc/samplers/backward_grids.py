"""A grid for each level of noise: the way back from exactly the level that was noised to."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import GaussianChannel, ObservationProcess, Population, check_registered, float_dtype, require
from sloc.contracts.arguments import as_floats, as_real
from sloc.processes.levels import level, time_at
from sloc.samplers.checks import checked_count, checked_times

Array = jax.Array


def level_grids(process: ObservationProcess, times: Any, steps: int, least: float | None = None) -> np.ndarray:
    """Return for each time the grid of ``steps`` steps down from it, ``[T, steps]``.

    The experiment starts at the time itself, so row ``i`` holds the times that its ``steps`` steps end at, the last of
    them ``least``.  For a Gaussian channel they are even in log-SNR; otherwise even in time,
    ``least + (j / steps) (t_i - least)`` for ``j = 0 .. steps - 1``.

    Source: the library's own.

    Args:
        process: the process; its time is continuous.
        times: ``[T]``, or one time.
        steps: how many steps from each.
        least: the last time of each; default where ``sigma / a = 0.01`` for a Gaussian channel, else 0.

    Raises:
        InvalidInput: a process in discrete time, times that are not above ``least``, or no steps.

    """
    steps = checked_count(steps, "steps")
    check_registered(process, "process", ObservationProcess)
    require(not process.discrete, "process", process, "a process in continuous time; give the steps themselves as grid")
    levels = np.atleast_1d(as_floats(times, "times"))
    gaussian = isinstance(process, GaussianChannel)
    low = as_real(least if least is not None else time_at(process, 0.01, "sigma") if gaussian else 0.0)
    require(0 <= low < np.inf, "least", least, "None, or a finite time that is not negative")
    good = levels.ndim == 1 and levels.size > 0 and bool(((levels > low) & (levels < np.inf)).all())
    require(good, "times", times, f"finite times above the least, {low:g}")
    share = np.arange(steps) / steps
    if not gaussian:
        return low + share[None, :] * (levels[:, None] - low)
    require(low > 0, "least", least, "a time above 0: log-SNR is infinite there")
    top = float(np.asarray(level(process, low, "log_snr")))
    ends = np.asarray(level(process, levels, "log_snr"), np.float64)
    # Where nothing of the signal is left the log-SNR has no end: the grid begins where little is left.
    ends = np.maximum(ends, -2.0 * np.log(100.0))
    rows = np.asarray(time_at(process, top + share[None, :] * (ends[:, None] - top), "log_snr"), np.float64)
    rows[:, 0] = low
    return rows


def checked_grids(process: ObservationProcess, population: Population, grid: Any, times: Array) -> Array:
    """Check one grid for all times or one for each, and return one for each, ``[T, m]``.

    Raises:
        InvalidInput: see ``sloc.samplers.checks.checked_times``; rows that are not as many as times, or that do not
            lie below their time.

    """
    if np.ndim(grid) != 2:
        common = checked_times(process, population, grid, "grid")
        return jnp.broadcast_to(common, (times.shape[0], common.shape[0]))
    rows = np.asarray(grid)
    require(rows.shape[0] == times.shape[0], "grid", rows.shape, f"one row for each of the {times.shape[0]} times")
    checked = [checked_times(process, population, row, f"grid[{i}]") for i, row in enumerate(rows)]
    host = np.stack([np.asarray(row) for row in checked])
    for i, t in enumerate(np.asarray(times)):
        require(bool(host[i, -1] < t), f"grid[{i}]", rows[i], f"times below t[{i}] = {t:g}, from which it is run down")
    return jnp.asarray(host, host.dtype if process.discrete else float_dtype())
