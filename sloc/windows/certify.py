"""Edges with a guarantee: pilot draws choose where to look and how, fresh draws certify what is there.

For each edge, a pilot locates it, chooses the estimator (balanced draws or bridges) by the variance it sees, and sets a
radius ``r`` that fresh draws can resolve.  It takes 15 % of the edge's budget, but at least 2,048 draws in each of two
passes of each estimator, as far as half of the budget goes; so of small budgets a larger part.

Fresh draws then test a ladder of times on either side, ``point -+ {8, 4, 2, 1} r``, outermost first, each at the full
level of its side, stopping at the first failure (fixed-sequence testing): the last success bounds the edge.  The order
depends on the pilot only, TV never increases in time, and a wrong bound would need the rejection of a true hypothesis,
so each side errs with probability at most its level, whatever the dependence between times.  The pilot may therefore
look by any points it likes: for Gaussians of shared covariance its balanced values are those of scrambled Sobol'
points, and they place the ladder where the overlap is not small.  Levels are shared by Bonferroni over edges and sides.
Streams (``sloc.windows.streams``) walk in the same way by tests that hold at every stopping time.

Sources: fixed-sequence testing as in Learn-then-Test (arXiv 2110.01052); betting bounds of Waudby-Smith & Ramdas 2024.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import jax
import numpy as np

from sloc.contracts import EXACT_MARGINALS, ObservationProcess, Population
from sloc.divergence.betting import betting_lower, betting_upper
from sloc.engine.plan import BLOCK_DRAWS, Plan
from sloc.windows.edges import Edge, crossing_point
from sloc.windows.overlap import Overlap, OverlapDraws, overlaps
from sloc.windows.search import Found, Question
from sloc.windows.walks import bounded_edge, ladder, rung_bounds, rung_tests, walk

Array = jax.Array
LADDER = (8.0, 4.0, 2.0, 1.0)
_PILOT_SHARE = 0.15
_FINE = 17
MIN_PILOT = 2048
"""Draws that locate an edge at least, in each of a pilot's passes."""
_WIDENING = 1.5
"""Width of the betting interval over the normal one, near enough to plan with."""
_SEEN = 0.05
"""Overlap from which Sobol' points place an edge.

Measured for two and eight Gaussians on a line and overlaps of 0.09 to 0.97: at 1,024 draws a pass they missed it by
0.0003 to 0.018 in time, at 256 by 0.001 to 0.025, where bridges at 1,024 missed by 0.009 to 0.026.  Were every edge
placed exactly, intervals would be 17 to 25 % narrower.  At overlaps of 0.01 they were on a par for two Gaussians and
lost twofold for eight, at 0.001 up to thirteenfold: bridges place such edges.
"""


@dataclass(frozen=True)
class EdgePlan:
    """What the pilot found out about one edge.

    Attributes:
        question: the edge.
        overlap: the estimator chosen.
        point: pilot's estimate of the edge, or None where the grid shows no crossing.
        radius: the least distance that the budget can resolve, in the process's time.
        outside: ``below`` or ``above`` the grid where there is no crossing; empty where there is one, or no pilot.
        draws: draws spent.

    """

    question: Question
    overlap: Overlap
    point: float | None
    radius: float
    outside: str
    draws: int


def certified_search(
    key: Array,
    process: ObservationProcess,
    population: Population,
    times: np.ndarray,
    questions: Mapping[str, Question],
    *,
    delta: float,
    budget: int,
    tolerance: float | None,
    plan: Plan | None = None,
) -> Found:
    """Answer questions by certified intervals that hold jointly with probability ``>= 1 - delta``.

    Args:
        key: typed PRNG key.
        process: the observation process, canonical.
        population: the population, canonical.
        times: the pilot's grid.
        questions: the edges asked for.
        delta: joint error level.
        budget: draws in all, pilot included; never exceeded.
        tolerance: aimed half-width of the intervals in time; None spends the budget.
        plan: how draws are made and kept.

    Returns:
        An edge for each question, ``unresolved`` where the budget does not suffice; the draws actually used.

    """
    level = delta / (2 * max(len(questions), 1))
    share = budget // max(len(questions), 1)
    edges, spent, ways = {}, 0, set()
    for index, (name, question) in enumerate(questions.items()):
        key_pilot, key_test = jax.random.split(jax.random.fold_in(key, index))
        pilot = make_plan(key_pilot, process, population, times, question, share, level, plan)
        left = max(share - pilot.draws, 0)
        edge, draws = certify_edge(key_test, pilot, times, level, left, tolerance, float(process.horizon))
        edges[name] = edge
        spent += pilot.draws + draws
        ways.add(pilot.overlap.estimator)
    return Found(edges, {}, spent, f"certified, {kinds_of(ways, process, population)}", delta)


def kinds_of(estimators: set[str], process: ObservationProcess, population: Population) -> str:
    """Name the estimators, and the marginals where they are not plainly exact, as a method of a window does."""
    words = population.marginals_words(process)
    return f"{' and '.join(sorted(estimators)) or 'no'} draws{'' if words == EXACT_MARGINALS else ', ' + words}"


def make_plan(
    key: Array,
    process: ObservationProcess,
    population: Population,
    times: np.ndarray,
    question: Question,
    budget: int,
    level: float,
    plan: Plan | None = None,
) -> EdgePlan:
    """Locate an edge roughly, choose the estimator, and predict what the rest of the budget resolves.

    The pilot judges itself: estimator, point and radius are those that look best on the very draws that were used to
    find them.  That costs no coverage.  Let ``F`` be all that the pilot saw.  Given ``F`` the plan is a constant: which
    rungs are tested, in which order, by which bounded mean, at which level, with how many draws.  Each estimator's
    mean is the same overlap, ``E v = (1 - TV / share) / scale``, so whichever was chosen, the hypothesis tested at a
    rung is the same statement about TV; its test errs with probability at most ``level`` given ``F``, hence also
    without.  What this needs is

    * that the draws which test are independent of ``F``: they come from a key of their own, split off before the pilot
      draws, and not one of the pilot's is used again;
    * that the number of draws of a test is a function of ``F`` and the arguments, never of the tested values, unless
      the bound holds at every stopping time, as the streams' do.

    The pilot's own draws need nothing: they may be few, dependent or Sobol' points, and what they choose may be biased.
    A poor plan costs width or a status, never coverage.  Without the first condition it would: the rung that looks
    passed because of its draws' errors would be tested by the same errors.

    Args:
        key: typed PRNG key, independent of that of the tests.
        process: the observation process, canonical.
        population: the population, canonical.
        times: the grid looked at first.
        question: the edge.
        budget: draws for this edge, of which at most half are the pilot's.
        level: error level of each side, to predict the radius by.
        plan: how draws are made and kept.

    Returns:
        The plan; its ``draws`` count all that the pilot drew.

    """
    kinds = overlaps(process, population, question.tv, plan)
    if kinds[0].share <= question.threshold:
        # TV(a, b) <= share: nested sets this close are within the threshold at every time.
        return EdgePlan(question, kinds[0], None, 0.0, "below", 0)
    each = pilot_draws(budget, len(kinds))
    if each == 0 and len(kinds) > 1:
        kinds, each = kinds[:1], pilot_draws(budget, 1)
    if each == 0:
        return EdgePlan(question, kinds[0], None, 0.0, "", 0)
    best: tuple[float, EdgePlan] | None = None
    spent, placed = 0, None
    for index, overlap in enumerate(kinds):
        key_coarse, key_fine = jax.random.split(jax.random.fold_in(key, index))
        coarse = overlap.look(key_coarse, times, each)
        spent += coarse.draws
        place = _locate(coarse, overlap, question)
        if isinstance(place, str):
            best = best or (math.inf, EdgePlan(question, overlap, None, 0.0, place, 0))
            continue
        fine_times = _between(*place, process.discrete)
        fine = overlap.look(key_fine, fine_times, each)
        spent += fine.draws
        point, slope, sd = _resolve(fine, overlap, question, process.discrete)
        if overlap.by_points and overlap.target(question.threshold, 1.0) >= _SEEN:
            placed = point
        rounds_per_draw = fine.values.shape[1] / fine.draws
        rounds = max(budget * (1 - _PILOT_SHARE) * rounds_per_draw, 2.0)
        radius = resolved_by(rounds, level, sd, overlap.share * float(np.interp(point, fine.times, fine.scale)), slope)
        if best is None or radius < best[0]:
            best = radius, EdgePlan(question, overlap, point, radius, "", 0)
    assert best is not None
    chosen = best[1]
    point = chosen.point if placed is None else placed
    return EdgePlan(chosen.question, chosen.overlap, point, chosen.radius, chosen.outside, spent)


def pilot_draws(budget: int, kinds: int) -> int:
    """Draws of each of the pilot's passes, two for each estimator, in whole blocks.

    Together 15 % of the budget, rounded up; but at least ``MIN_PILOT`` a pass; but at most half of the budget.  Two
    estimators are above 15 % below about 55,000 draws an edge, at 41 % with 10,000, and there is no pilot below 4,096.
    """
    wanted = max(-(-int(_PILOT_SHARE * budget / (2 * kinds)) // BLOCK_DRAWS) * BLOCK_DRAWS, MIN_PILOT)
    return min(wanted, budget // (4 * kinds) // BLOCK_DRAWS * BLOCK_DRAWS)


def certify_edge(
    key: Array,
    plan: EdgePlan,
    times: np.ndarray,
    level: float,
    budget: int,
    tolerance: float | None,
    horizon: float,
) -> tuple[Edge, int]:
    """Test a ladder of times on either side of the pilot's point with fresh draws; see the module.

    Args:
        key: typed PRNG key, independent of the pilot's.
        plan: from ``make_plan``.
        times: the pilot's grid, whose ends are tested where it shows no crossing.
        level: error level of each side.
        budget: draws for this edge.
        tolerance: aimed half-width, or None.
        horizon: end of time.

    Returns:
        The edge and the draws used.

    """
    question, overlap = plan.question, plan.overlap
    if overlap.share <= question.threshold:
        if question.side == "first":
            return Edge(0.0, (0.0, 0.0), "resolved"), 0
        return Edge(None, None, "empty"), 0
    nothing_known = plan.point is None and not plan.outside
    if nothing_known or budget < BLOCK_DRAWS:
        return Edge(None, (0.0, horizon), "unresolved"), 0
    if plan.point is None:
        return _certify_outside(key, plan, times, level, budget, horizon)
    radius, spend = plan.radius, budget
    if tolerance is not None and radius < tolerance / 2:
        # Draws fall with the square of the radius; never below what the additive part of the bound asks for.
        spend = int(np.clip(budget * (2 * radius / tolerance) ** 2, min(budget, 4096), budget))
        radius = tolerance / 2
    low, high = ladder(plan.point, radius, LADDER, overlap.process.discrete, horizon)
    draws = overlap.draw(key, np.unique(np.concatenate([low, high])), spend)
    surely_high, surely_low = rung_tests(draws, draws.values, overlap, question, level, betting_upper, betting_lower)
    left, right = walk(low, surely_high), walk(high, surely_low)
    bounds = rung_bounds(low, left, high, right, question, overlap.process.discrete)
    return bounded_edge(plan.point, *bounds, horizon), draws.draws


def _locate(draws: OverlapDraws, overlap: Overlap, question: Question) -> tuple[float, float] | str:
    """Return the grid cell that holds the crossing of the mean curve, or on which side of the grid it lies."""
    value = overlap.tv_of(draws.values.mean(axis=1), draws.scale)
    high = value > question.threshold if question.side == "first" else value >= question.threshold
    if not high.any():
        return "below"
    last = int(np.flatnonzero(high)[-1])
    if last == len(value) - 1:
        return "above"
    # One cell more on either side: the pilot's curve is noisy.
    return float(draws.times[max(last - 1, 0)]), float(draws.times[min(last + 2, len(value) - 1)])


def _between(low: float, high: float, discrete: bool) -> np.ndarray:
    fine = np.linspace(low, high, _FINE)
    return np.unique(np.round(fine)) if discrete else np.unique(fine.astype(np.float32).astype(np.float64))


def _resolve(draws: OverlapDraws, overlap: Overlap, question: Question, discrete: bool) -> tuple[float, float, float]:
    """Return the crossing, the slope ``|dTV/dt|`` and the standard deviation of one value there."""
    value = overlap.tv_of(draws.values.mean(axis=1), draws.scale)
    point = crossing_point(draws.times, value, question.threshold, question.side, discrete=discrete)
    if point is None:
        nearest = int(np.argmin(np.abs(value - question.threshold)))
        point = float(draws.times[nearest])
    at = min(int(np.searchsorted(draws.times, point)), len(value) - 1)
    sd = float(draws.values[at].std() * draws.scale[at] * overlap.share)
    return float(point), slope_at(draws.times, value, point), sd


def slope_at(times: np.ndarray, value: np.ndarray, point: float) -> float:
    """``|dTV/dt|`` at a point, from the times around it."""
    i = int(np.clip(np.searchsorted(times, point), 2, max(len(value) - 3, 2)))
    window = slice(max(i - 2, 0), min(i + 3, len(value)))
    return abs(float(np.polyfit(times[window], value[window], 1)[0])) if len(value[window]) > 1 else 0.0


def resolved_by(rounds: float, level: float, sd: float, scale: float, slope: float) -> float:
    """Distance in time at which so many rounds tell TV from its threshold, values having a deviation ``sd``."""
    needed = _WIDENING * sd * math.sqrt(2 * math.log(1 / level) / rounds)
    # The additive part of a betting bound, in units of TV: what no slope can undercut.
    needed += math.log(1 / level) / rounds * scale
    return needed / max(slope, 1e-12)


def _certify_outside(
    key: Array, plan: EdgePlan, times: np.ndarray, level: float, budget: int, horizon: float
) -> tuple[Edge, int]:
    """Certify that an edge lies before the first or after the last time looked at."""
    below = plan.outside == "below"
    end = float(times[0] if below else times[-1])
    draws = plan.overlap.draw(key, np.asarray([end]), budget)
    surely_high, surely_low = rung_tests(
        draws, draws.values, plan.overlap, plan.question, level, betting_upper, betting_lower
    )
    if below and surely_low(end):
        if end == 0.0:
            first = plan.question.side == "first"
            return (Edge(0.0, (0.0, 0.0), "resolved") if first else Edge(None, None, "empty")), draws.draws
        return Edge(None, (0.0, end), "below_grid"), draws.draws
    if not below and surely_high(end):
        return Edge(None, (end, horizon), "above_grid"), draws.draws
    return Edge(None, (0.0, horizon), "unresolved"), draws.draws
