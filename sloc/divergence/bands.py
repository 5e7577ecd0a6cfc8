"""From a kernel to intervals for its means: which accumulator an interval needs, and what it makes of it."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from sloc.contracts import is_concrete
from sloc.divergence.binomial_interval import bernoulli_interval
from sloc.divergence.histogram_betting import interval as histogram_interval
from sloc.divergence.intervals import maurer_pontil
from sloc.engine.dithering import BERNOULLI_GRID, GRID
from sloc.engine.moments import Moments
from sloc.engine.plan import Plan
from sloc.engine.streaming import Kernel, stream, tally

INTERVALS = ("maurer-pontil", "betting", "clopper-pearson")
"""Names of the intervals that stream: what they need beside the draws does not grow with their number."""
_COUNTED = {"betting": (GRID, histogram_interval), "clopper-pearson": (BERNOULLI_GRID, bernoulli_interval)}
"""Those that read counts of dithered values: on which grid, and how."""
_WORDS = {"betting": ", betting interval", "clopper-pearson": ", Clopper-Pearson interval"}


def streamed(
    kernel: Kernel,
    args: Any,
    key: Any,
    blocks: int,
    interval: str,
    *,
    spans: Any = None,
    tile: int = 1,
    plan: Plan | None = None,
) -> tuple[Any, Any]:
    """Stream a kernel with what ``interval`` needs beside the moments.

    Args:
        kernel: a hashable kernel.
        args: pytree passed to ``kernel.setup``.
        key: typed PRNG key; the moments do not depend on ``interval``.
        blocks: key blocks.
        interval: one of ``INTERVALS``: ``maurer-pontil`` (moments suffice), ``betting`` (counts of values dithered
            to a fine grid), ``clopper-pearson`` (counts of values dithered to 0 or 1).
        spans: see ``tally``.
        tile: blocks evaluated side by side where the plan does not say (speed only).
        plan: devices, block size, checkpoints, progress (:class:`sloc.Plan`); None for the default.

    Returns:
        ``(moments, counts)``, trees of the kernel's shape; ``counts`` is None for ``maurer-pontil``.

    """
    if interval in _COUNTED:
        return tally(kernel, args, key, blocks, grid=_COUNTED[interval][0], spans=spans, tile=tile, plan=plan)
    return stream(kernel, args, key, blocks, tile=tile, plan=plan), None


def mean_interval(
    moments: Moments, counts: Any, interval: str, level: float, low: Any = 0.0, high: Any = 1.0
) -> tuple[Any, Any, Any, Any, Any]:
    """Return intervals for means of values in ``[low, high]``, each at its own error level.

    Args:
        moments: of the values.
        counts: of ``(v - low) / (high - low)`` on the interval's grid, or None for the empirical-Bernstein interval.
        interval: what the values were streamed for.
        level: error level of each cell, two-sided.
        low: least possible value.
        high: greatest possible value; infinite where there is none, and then no interval is finite.

    Returns:
        ``(count, mean, variance, lower, upper)``: float64 NumPy where concrete, else traced.

    """
    concrete = is_concrete(moments, counts, low, high)
    count, mean, variance = moments.on_host() if concrete else moments.on_device()
    xp = np if concrete else jnp
    unbounded = isinstance(high, float) and math.isinf(high)
    if counts is not None and not unbounded:
        lower, upper = (low + (high - low) * end for end in _COUNTED[interval][1](counts, level))
        return count, mean, variance, lower, upper
    half = maurer_pontil(mean, variance, count, level, high - low)
    return count, mean, variance, xp.clip(mean - half, low, high), xp.clip(mean + half, low, high)


def interval_words(interval: str) -> str:
    """Return what to add to a curve's method where the interval is not the default."""
    return _WORDS.get(interval, "")
