"""A second look at edges found on a grid: which edges are asked for, and noise levels inside their brackets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sloc.results import Interval
from sloc.results.curve import Curve
from sloc.windows.edges import Edge, Side, crossing_point, edge_of_curve

LEVELS_PER_EDGE = 6
"""Noise levels that each bracket brings to the second look."""


@dataclass(frozen=True)
class Crossing:
    """An edge to find: where a measured curve that never increases falls through a threshold.

    Attributes:
        curve: key of the curve.
        threshold: ``c``, in the curve's unit.
        side: ``first`` for ``inf {q <= c}``, ``last`` for ``sup {q >= c}``.

    """

    curve: Any
    threshold: float
    side: Side

    def on(self, curves: Mapping[Any, Curve], horizon: float, discrete: bool) -> Edge:
        """Find the edge on a measured curve; see ``sloc.windows.edges.edge_on_grid``."""
        return edge_of_curve(curves[self.curve], self.threshold, self.side, horizon=horizon, discrete=discrete)

    def point_on(self, curves: Mapping[Any, Curve]) -> float | None:
        """Where the curve's values cross, whatever their band; None where they do not cross on the grid."""
        c = curves[self.curve]
        return crossing_point(
            np.asarray(c.times, np.float64), np.asarray(c.value, np.float64), self.threshold, self.side
        )


def levels_inside(times: np.ndarray, brackets: Sequence[Interval], most: int) -> np.ndarray:
    """Return noise levels inside brackets, as densely as the brackets lie.

    Each bracket brings a density that is even in the *index* of ``times`` (which lie densely where curves move) and
    has mass one; the levels are quantiles of the sum, so that overlapping brackets share theirs.

    Args:
        times: the first look's levels ``[T]``, increasing.
        brackets: intervals between levels of ``times``.
        most: how many levels to return at most.

    Returns:
        At most ``min(most, 6 * len(brackets))`` increasing levels, whole in float32, none outside ``times``.

    """
    index = np.arange(len(times), dtype=np.float64)
    ends = np.interp(np.asarray(brackets, np.float64), times, index)
    cuts = np.unique(ends)
    middles = (cuts[:-1] + cuts[1:]) / 2
    inside = (ends[:, :1] <= middles[None, :]) & (middles[None, :] <= ends[:, 1:])
    density = (inside / (ends[:, 1:] - ends[:, :1])).sum(axis=0)
    mass = np.concatenate([[0.0], np.cumsum(density * np.diff(cuts))])
    count = min(most, LEVELS_PER_EDGE * len(brackets))
    quantiles = (np.arange(count) + 0.5) / count * mass[-1]
    levels = np.interp(np.interp(quantiles, mass, cuts), index, times)
    # Levels that are one number on the device would be looked at twice; its rounding must not leave the grid.
    return np.unique(levels.astype(np.float32).astype(np.float64).clip(times[0], times[-1]))
