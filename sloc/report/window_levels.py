"""Where a window run looks: noise levels that lie densely where curves move."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sloc.contracts import GaussianChannel, ObservationProcess
from sloc.results.curve import Curve


def spread_times(
    times: np.ndarray, curves: Sequence[Curve], tops: Sequence[float], count: int, epsilon: float
) -> np.ndarray:
    """Return ``count`` times that lie densely where non-increasing curves move between full and nothing.

    A quarter of them is even over the moving part of ``times``, the rest even in the mean fall of the curves on the
    scale ``arcsin sqrt``, which is finer near the thresholds; the first one of ``times`` is kept, so that the curves
    start where nothing is lost.

    Args:
        times: where the curves were looked at, increasing.
        curves: scalar curves on ``times``.
        tops: the value of each curve at ``t = 0``.
        count: how many times to return.
        epsilon: threshold of the windows: curves count as full above ``1 - epsilon^2 / 5`` of their top, as gone
            below ``epsilon / 4`` of it.

    """
    falls = np.stack(
        [np.minimum.accumulate(np.asarray(c.value, np.float64)) / top for c, top in zip(curves, tops, strict=True)]
    ).clip(0.0, 1.0)
    full = (falls >= 1 - epsilon**2 / 5).all(axis=0)
    gone = (falls <= epsilon / 4).all(axis=0)
    low = max(int(np.argmin(full)) - 1, 0) if not full.all() else 0
    high = int(np.argmax(gone)) if gone.any() else len(times) - 1
    high = max(high, low + 1)
    moving = times[low : high + 1]
    fall = np.arcsin(np.sqrt(falls)).mean(axis=0)[low : high + 1]
    step = np.linspace(0.0, 1.0, len(moving))
    level = 0.25 * step + 0.75 * (fall[0] - fall) / max(fall[0] - fall[-1], 1e-12)
    head = [float(times[0])] if low > 0 else []
    inner = np.interp(np.linspace(0, level[-1], count - len(head)), level, moving)
    # Few digits: the same levels come out where sums are taken in another order, and people read them.
    spread = np.clip([float(f"{t:.5g}") for t in inner], times[0], times[-1])
    spread = np.unique(np.concatenate([head, spread]))
    while len(spread) < count:
        i = int(np.argmax(np.diff(spread)))
        spread = np.insert(spread, i + 1, (spread[i] + spread[i + 1]) / 2)
    return spread[:count]


def wide_grid(process: ObservationProcess, count: int) -> np.ndarray:
    """Return the process's own grid with a part of it closing in on ends that the grid keeps away from."""
    horizon = float(process.horizon)
    if process.discrete or not np.isfinite(horizon):
        return np.asarray(process.grid(count), np.float64)
    closer = min(8, count // 4)
    # A grid even in log-SNR is close to zero already.
    below = 0 if isinstance(process, GaussianChannel) else closer // 2
    base = np.asarray(process.grid(count - closer), np.float64)
    near_zero = base[0] * 0.5 ** np.arange(below, 0, -1)
    near_end = horizon - (horizon - base[-1]) * 0.5 ** np.arange(1, closer - below + 1)
    return np.concatenate([near_zero, base, near_end])
