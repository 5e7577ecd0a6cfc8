"""Certified edges at every stopping time: ladders whose tests are betting sequences, until the caller stops.

Each side of each edge walks a fixed ladder of times, from far to near, as in ``sloc.windows.certify``; every test
is a betting sequence on dithered counts, valid at all stopping times at once, so that a rung that was ever passed stays
passed.  A ladder ends near the point at which it was placed, and so does what it can show; once eight times the draws
that it was planned for have been made, they place a finer one for fresh draws, at a quarter of the level of the one
before (three quarters of the whole for the first, so that all levels add up to it).  Given the draws that placed it a
ladder is fixed, and the draws that walk it are independent of them; so each errs with probability at most its level,
and what is known of an edge is the intersection over its ladders.

Sources: Waudby-Smith & Ramdas 2024 for the sequences; fixed-sequence testing as in Learn-then-Test (arXiv 2110.01052).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from sloc.contracts import ObservationProcess, Population
from sloc.divergence.histogram_betting import lower_bound, upper_bound
from sloc.engine.dithering import GRID, dither
from sloc.engine.plan import Plan
from sloc.windows.certify import MIN_PILOT, EdgePlan, certify_edge, kinds_of, make_plan, resolved_by, slope_at
from sloc.windows.edges import Edge, crossing_point
from sloc.windows.overlap import Drawer
from sloc.windows.search import Found, Question
from sloc.windows.walks import bounded_edge, ladder, rung_bounds, rung_tests, walk

Array = jax.Array
_LADDER = tuple(2.0 ** (5 - k / 2) for k in range(17))
_RENEWAL = 8
"""Draws of a stream's search over those its ladder was planned for, at which a finer one takes over."""
_MOST_PILOT = 1 << 22
"""Draws that a stream's pilot plans for at most: of so many it holds 15 % at once."""
_FIRST_LEVEL, _LATER_LEVEL = 0.75, 0.25
"""The first ladder's share of the level, and each further one's of the level before it: 1 in all."""
_PIECE = 1 << 16
"""Draws of a stream held at once."""


_dithered = jax.jit(dither)
"""Compiled: looks are short, and a call of each operation by itself would take longer than the draws."""


def certified_stream(
    key: Array,
    process: ObservationProcess,
    population: Population,
    times: np.ndarray,
    questions: Mapping[str, Question],
    *,
    delta: float,
    budget: int,
    growth: float = 2.0,
    plan: Plan | None = None,
) -> Iterator[Found]:
    """Yield tighter and tighter intervals; at whatever yield the caller stops, they hold jointly.

    ``budget`` sizes the first pilot and the first look; each look takes ``growth`` times the draws of the one before.
    """
    level = delta / (2 * max(len(questions), 1))
    share, horizon = budget // max(len(questions), 1), float(process.horizon)

    def ask(question: Question) -> Callable[[Array, int, float], EdgePlan]:
        return lambda key, draws, level: make_plan(key, process, population, times, question, draws, level, plan)

    searches = {
        name: _Search(jax.random.fold_in(key, index), ask(question), times, level, share, horizon)
        for index, (name, question) in enumerate(questions.items())
    }
    look = max(share // 8, 2048)
    while True:
        for search in searches.values():
            search.advance(look)
        edges = {name: search.edge() for name, search in searches.items()}
        ways = set().union(*(search.estimators for search in searches.values()))
        spent = sum(search.spent for search in searches.values())
        yield Found(edges, {}, spent, f"certified at every stopping time, {kinds_of(ways, process, population)}", delta)
        look = math.ceil(growth * look)


class _Search:
    """The stream's search for one edge: a pilot places a ladder, and its draws the next one, for many times as many."""

    def __init__(
        self,
        key: Array,
        ask: Callable[[Array, int, float], EdgePlan],
        times: np.ndarray,
        level: float,
        share: int,
        horizon: float,
    ) -> None:
        self.key, self.ask, self.times, self.horizon = key, ask, times, horizon
        self.level, self.stage = _FIRST_LEVEL * level, 0
        self.walks: list[Walks] = []
        self.outside = Edge(None, (0.0, horizon), "unresolved")
        self.estimators: set[str] = set()
        self.spent = 0
        self._plan(share)

    def _plan(self, budget: int) -> None:
        """Let a pilot place a ladder, or certify an edge that it saw outside the grid."""
        key_pilot, key_test = self._keys()
        # Nothing bounds a stream's draws, so its pilot may always have the least that locates an edge.
        self.budget, self.drawn = max(budget, 8 * MIN_PILOT), 0
        pilot = self.ask(key_pilot, self.budget, self.level)
        self.spent += pilot.draws
        self.estimators.add(pilot.overlap.estimator)
        if pilot.point is not None:
            self.walks.append(Walks(key_test, pilot, self.level, self.horizon))
        elif not self.walks:
            # A pilot that sees no crossing where one before it did is passed over: that one's ladder goes on.
            self.outside, draws = certify_edge(key_test, pilot, self.times, self.level, self.budget, None, self.horizon)
            self.spent += draws

    def _refine(self) -> None:
        """Place a finer ladder by the draws of the one before, or by a pilot where they saw no crossing."""
        self.stage += 1
        self.level *= _LATER_LEVEL
        finer = self.walks[-1].finer(self.level) if self.walks else None
        if finer is None:
            self._plan(min(self.drawn, _MOST_PILOT))
        else:
            self.walks.append(Walks(self._keys()[1], finer, self.level, self.horizon))
            self.budget, self.drawn = self.drawn, 0

    def _keys(self) -> Array:
        # From 2 on: the halves of a split key are its folds by 0 and 1.
        return jax.random.split(jax.random.fold_in(self.key, self.stage + 1) if self.stage else self.key)

    def advance(self, look: int) -> None:
        """Draw about ``look`` more; what is outside the grid saves its draws for the next pilot."""
        if not self.walks and self.outside.status != "unresolved":
            return
        if self.drawn >= _RENEWAL * self.budget and not (self.walks and self.walks[-1].finest):
            self._refine()
        if self.walks:
            draws = self.walks[-1].advance(look)
            self.drawn += draws
            self.spent += draws
        else:
            self.drawn += look

    def edge(self) -> Edge:
        """Return what all ladders have shown together."""
        if not self.walks:
            return self.outside
        starts, ends = zip(*(w.bounds() for w in self.walks), strict=True)
        start = max((s for s in starts if s is not None), default=None)
        end = min((e for e in ends if e is not None), default=None)
        return bounded_edge(self.walks[-1].point, start, end, self.horizon)


class Walks:
    """The two walks towards one edge, their counts so far, and how many rungs each has passed."""

    def __init__(self, key: Array, plan: EdgePlan, level: float, horizon: float) -> None:
        assert plan.point is not None
        self.plan: EdgePlan = plan
        self.point: float = plan.point
        self.level: float = level
        low, high = ladder(plan.point, plan.radius, _LADDER, plan.overlap.process.discrete, horizon)
        self.low: np.ndarray = low
        self.high: np.ndarray = high
        self.times: np.ndarray = np.unique(np.concatenate([low, high]))
        self.draw: Drawer = plan.overlap.at(self.times)
        key_draw, key_dither = jax.random.split(key)
        self.key_draw: Array = key_draw
        self.key_dither: Array = key_dither
        self.blocks: int = 0
        self.left: int = 0
        self.right: int = 0
        self.counts: Any = 0
        self.scale: Any = 0.0

    @property
    def finest(self) -> bool:
        """Whether rungs are neighbours in discrete time already: more draws then do more than another ladder."""
        return self.plan.overlap.process.discrete and self.plan.radius <= 1.0

    def finer(self, level: float) -> EdgePlan | None:
        """Plan a ladder for as many draws again by what was seen on this one; None where it saw no crossing."""
        overlap, question = self.plan.overlap, self.plan.question
        weight = self.counts[:, :-1] / self.counts[:, :-1].sum(axis=1, keepdims=True)
        mean, square = weight @ GRID, weight @ GRID**2
        value = overlap.tv_of(mean, self.scale)
        discrete = overlap.process.discrete
        point = crossing_point(self.times, value, question.threshold, question.side, discrete=discrete)
        if point is None:
            return None
        at = min(int(np.searchsorted(self.times, point)), len(value) - 1)
        scale = overlap.share * float(self.scale[at])
        sd = scale * math.sqrt(max(float(square[at] - mean[at] ** 2), 0.0))
        rounds = float(self.counts[at, :-1].sum())
        radius = resolved_by(rounds, level, sd, scale, slope_at(self.times, value, point))
        return replace(self.plan, point=point, radius=radius)

    def advance(self, look: int) -> int:
        """Draw about ``look`` more, walk on from the rungs reached, and return the draws made."""
        overlap, made = self.plan.overlap, 0
        while True:
            # In pieces, of which counts are kept: memory does not grow with a look.
            draws = self.draw(self.key_draw, min(look - made, _PIECE), self.blocks)
            fresh = _dithered(jax.random.fold_in(self.key_dither, self.blocks), draws.values)
            self.counts = self.counts + np.asarray(fresh, np.int64)
            self.blocks += draws.blocks
            self.scale = draws.scale
            made += draws.draws
            if look - made < draws.draws // draws.blocks:
                break
        surely_high, surely_low = rung_tests(
            draws, self.counts, overlap, self.plan.question, self.level, upper_bound, lower_bound
        )
        # A sequence errs at any time with probability at most its level, so a passed rung need not be passed again.
        self.left = walk(self.low, surely_high, self.left)
        self.right = walk(self.high, surely_low, self.right)
        return made

    def bounds(self) -> tuple[float | None, float | None]:
        """Return what the walks have shown."""
        discrete = self.plan.overlap.process.discrete
        return rung_bounds(self.low, self.left, self.high, self.right, self.plan.question, discrete)
