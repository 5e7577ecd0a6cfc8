"""Draws of an overlap at chosen times: the raw material of certified edges.

``TV(a, b) = share (1 - scale E v)`` with ``v`` in [0, 1]: balanced draws have ``scale = 1``, bridges ``scale = Z(t)``.
A statement ``TV(t) > c`` is thus a statement about a bounded mean, ``E v < (1 - c / share) / scale``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import jax
import numpy as np

from sloc.contracts import ObservationProcess, Population, component_mask
from sloc.divergence.bridge_setup import bridge_problem, has_bridge
from sloc.divergence.bridges import BridgeKernel, raise_violation
from sloc.divergence.checks import as_times
from sloc.divergence.closed_forms import host_weights
from sloc.divergence.measurement import assemble
from sloc.divergence.quasi import sobol_rounds, takes_points
from sloc.divergence.statistics import TV, disjoint_pair
from sloc.engine.collecting import collect
from sloc.engine.plan import BLOCK_DRAWS, Plan

Array = jax.Array
Estimator = Literal["balanced", "bridge"]
_TIMES_AT_ONCE = 16
_TURNS = 16
"""Key blocks of one call: they are small, and any number of them then takes one compilation."""


@dataclass(frozen=True)
class OverlapDraws:
    """Values of an overlap at some times.

    Attributes:
        times: ``[T]`` in float64.
        values: ``[T, N]`` in [0, 1]; columns are independent, rows share their randomness.
        scale: ``[T]``.
        draws: trajectories (or bridges) spent.
        blocks: key blocks they fill.

    """

    times: np.ndarray
    values: np.ndarray
    scale: np.ndarray
    draws: int
    blocks: int


Drawer = Callable[[Array, int, int], OverlapDraws]
"""``(key, n, first)``: see ``Overlap.draw``."""


@dataclass(frozen=True)
class Overlap:
    """The overlap of two sets under an estimator.

    Attributes:
        process: the observation process, canonical.
        population: the population, canonical.
        tv: the pair of sets.
        share: ``TV(a, b) <= share``; 1 unless the sets are nested.
        estimator: ``balanced`` or ``bridge``.
        plan: how draws are made and kept.

    """

    process: ObservationProcess
    population: Population
    tv: TV
    share: float
    estimator: Estimator
    plan: Plan | None = None

    def target(self, threshold: float, scale: Any) -> Any:
        """Mean of ``v`` at which ``TV`` equals ``threshold``.

        Where the sets do not overlap at all (``scale = 0``) ``TV`` is ``share`` whatever the mean: the target is then
        infinite, with the sign that lets every mean say so, and 0 where ``share`` is the threshold itself.
        """
        excess = 1.0 - threshold / self.share
        apart = math.copysign(math.inf, excess) if excess else 0.0
        scale = np.asarray(scale, np.float64)
        return np.divide(excess, scale, out=np.full_like(scale, apart), where=scale > 0)

    def tv_of(self, mean: Any, scale: Any) -> Any:
        """TV for a mean of ``v``."""
        return self.share * (1.0 - scale * mean)

    def draw(self, key: Array, times: Any, n: int, first: int = 0) -> OverlapDraws:
        """Draw at most ``n`` trajectories (whole blocks, from block ``first``, at least one) at all times each."""
        return self.at(times)(key, n, first)

    def at(self, times: Any) -> Drawer:
        """Prepare draws at these times: a bridge's laws are formed once, however often they are drawn from."""
        wanted = np.asarray(times, np.float64)
        padded = _padded(wanted, self.process)
        if len(padded) == len(wanted):
            return self._at(wanted)
        draw = self._at(padded)

        def draw_wanted(key: Array, n: int, first: int) -> OverlapDraws:
            drawn = draw(key, n, first)
            rows = np.searchsorted(drawn.times, wanted)
            return replace(drawn, times=drawn.times[rows], values=drawn.values[rows], scale=drawn.scale[rows])

        return draw_wanted

    def _at(self, times: np.ndarray) -> Drawer:
        given, device = as_times(self.process, self.population, times)
        shown = np.asarray(given, np.float64)
        if self.estimator == "bridge":
            a, b = (component_mask(self.population, np_set, "set") for np_set in (self.tv.a, self.tv.b))
            problem, log_z, _ = bridge_problem(self.process, self.population, given, device, a, b)
            assert problem is not None  # equal sets have share 0 and no bridge
            scale = np.exp(log_z)

            def draw_bridges(key: Array, n: int, first: int) -> OverlapDraws:
                blocks = max(1, n // BLOCK_DRAWS)
                values, refused = collect(BridgeKernel(), problem, key, blocks, first, turns=_TURNS, plan=self.plan)
                if np.any(refused > 0):
                    raise_violation(problem, key, blocks, first)
                return OverlapDraws(shown, values, scale, blocks * BLOCK_DRAWS, blocks)

            return draw_bridges
        whole = assemble(self.process, self.population, device, {"tv": self.tv.bind(self.population)})

        def draw_balanced(key: Array, n: int, first: int) -> OverlapDraws:
            blocks = max(whole.blocks(0), n // whole.block_draws)
            # Rounding of the strata's weights can lift a sum that should be 1 above it.
            drawn = collect(whole.kernel, whole.args, key, blocks, first, turns=_TURNS, plan=self.plan)
            values = np.minimum(drawn[0][0], 1.0)
            return OverlapDraws(shown, values, np.ones(len(values)), blocks * whole.block_draws, blocks)

        return draw_balanced

    @property
    def by_points(self) -> bool:
        """Whether ``look`` takes Sobol' points."""
        return self.estimator == "balanced" and takes_points(self.process, self.population)

    def look(self, key: Array, times: Any, n: int) -> OverlapDraws:
        """As ``draw``, to choose where to test and how, never to test: by Sobol' points where the pair takes them.

        Columns are then not independent.  What is certified rests on other draws, whatever these say.
        """
        if not self.by_points:
            return self.draw(key, times, n)
        shown = np.asarray(as_times(self.process, self.population, times)[0], np.float64)
        a, b = (component_mask(self.population, s, "set") for s in (self.tv.a, self.tv.b))
        left, right, *_ = disjoint_pair(a, b)
        values = sobol_rounds(key, self.process, self.population, shown, left, right, n)
        draws = values.shape[1] * int((left | right).sum())
        return OverlapDraws(shown, values, np.ones(len(shown)), draws, 0)


def _padded(times: np.ndarray, process: ObservationProcess) -> np.ndarray:
    """Add whole times to those of discrete time, up to a multiple of 16 where there are as many.

    Rungs that round to one time are one, so every call would otherwise bring a number of times, hence a compilation, of
    its own.
    """
    horizon = float(process.horizon)
    missing = -len(times) % _TIMES_AT_ONCE
    if not process.discrete or not np.isfinite(horizon) or missing == 0:
        return times
    others = np.setdiff1d(np.arange(1.0, min(horizon, len(times) + _TIMES_AT_ONCE + 1) + 1), times)
    return np.union1d(times, others[:missing])


def overlaps(process: ObservationProcess, population: Population, tv: TV, plan: Plan | None = None) -> list[Overlap]:
    """Return the overlap under every estimator that applies: balanced always, bridge where there is one."""
    a, b = (component_mask(population, s, "set") for s in (tv.a, tv.b))
    _, _, part, whole = disjoint_pair(a, b)
    w = host_weights(population)
    share = float(w[part].sum() / w[whole].sum())
    kinds: list[Estimator] = ["balanced", "bridge"] if has_bridge(process, population) and share > 0 else ["balanced"]
    return [Overlap(process, population, tv, share, kind, plan) for kind in kinds]
