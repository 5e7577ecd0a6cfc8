"""Edges with a guarantee: pilot draws choose where to look and how, fresh draws certify what is there.

For each edge, a pilot (15 % of the budget) locates it, chooses the estimator (balanced draws or bridges) by the
variance it sees, and sets a radius ``r`` that fresh draws can resolve.  Fresh draws then test a ladder of times on
either side, ``point -+ {8, 4, 2, 1} r``, outermost first, each at the full level of its side, stopping at the first
failure (fixed-sequence testing): the last success bounds the edge.  The order depends on the pilot only, TV never
increases in time, and a wrong bound would need the rejection of a true hypothesis, so each side errs with probability
at most its level, whatever the dependence between times.  Levels are shared by Bonferroni over edges and sides.

Sources: fixed-sequence testing as in Learn-then-Test (arXiv 2110.01052); betting bounds of Waudby-Smith & Ramdas 2024.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import jax
import numpy as np

from sloc.contracts import ObservationProcess, Population
from sloc.divergence.betting import betting_lower, betting_upper
from sloc.divergence.dithering import dither
from sloc.divergence.histogram_betting import lower_bound, upper_bound
from sloc.windows.edges import Edge, crossing_point
from sloc.windows.overlap import Overlap, OverlapDraws, overlaps
from sloc.windows.search import Found, Question

Array = jax.Array
LADDER = (8.0, 4.0, 2.0, 1.0)
_PILOT_SHARE = 0.15
_FINE = 17
_MIN_PILOT = 2048
_WIDENING = 1.5
"""Width of the betting interval over the normal one, near enough to plan with."""
_ANYTIME_LADDER = tuple(2.0 ** (5 - k / 2) for k in range(17))


@dataclass(frozen=True)
class Plan:
    """What the pilot found out about one edge.

    Attributes:
        question: the edge.
        overlap: the estimator chosen.
        point: pilot's estimate of the edge, or None where the grid shows no crossing.
        radius: the least distance that the budget can resolve, in the process's time.
        outside: ``below`` or ``above`` the grid where there is no crossing.
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
) -> Found:
    """Answer questions by certified intervals that hold jointly with probability ``>= 1 - delta``.

    Args:
        key: typed PRNG key.
        process: the observation process, canonical.
        population: the population, canonical.
        times: the pilot's grid.
        questions: the edges asked for.
        delta: joint error level.
        budget: draws in all, pilot included.
        tolerance: aimed half-width of the intervals in time; None spends the budget.

    Returns:
        An edge for each question, ``unresolved`` where the budget does not suffice; the draws actually used.

    """
    level = delta / (2 * max(len(questions), 1))
    share = budget // max(len(questions), 1)
    edges, spent, ways = {}, 0, set()
    for index, (name, question) in enumerate(questions.items()):
        key_pilot, key_test = jax.random.split(jax.random.fold_in(key, index))
        plan = make_plan(key_pilot, process, population, times, question, share, level)
        left = max(share - plan.draws, 0)
        edge, draws = certify_edge(key_test, plan, times, level, left, tolerance, float(process.horizon))
        edges[name] = edge
        spent += plan.draws + draws
        ways.add(plan.overlap.estimator)
    return Found(edges, {}, spent, f"certified, {' and '.join(sorted(ways))} draws", delta)


def make_plan(
    key: Array,
    process: ObservationProcess,
    population: Population,
    times: np.ndarray,
    question: Question,
    budget: int,
    level: float,
) -> Plan:
    """Locate an edge roughly, choose the estimator, and predict what the rest of the budget resolves."""
    kinds = overlaps(process, population, question.tv)
    if kinds[0].share <= question.threshold:
        # TV(a, b) <= share: nested sets this close are within the threshold at every time.
        return Plan(question, kinds[0], None, 0.0, "below", 0)
    each = max(int(_PILOT_SHARE * budget / (2 * len(kinds))), _MIN_PILOT)
    best: tuple[float, Plan] | None = None
    spent = 0
    for index, overlap in enumerate(kinds):
        key_coarse, key_fine = jax.random.split(jax.random.fold_in(key, index))
        coarse = overlap.draw(key_coarse, times, each)
        spent += coarse.draws
        place = _locate(coarse, overlap, question)
        if isinstance(place, str):
            plan = Plan(question, overlap, None, 0.0, place, 0)
            best = best or (math.inf, plan)
            continue
        fine_times = _between(*place, process.discrete)
        fine = overlap.draw(key_fine, fine_times, each)
        spent += fine.draws
        point, slope, sd = _resolve(fine, overlap, question, process.discrete)
        rounds_per_draw = fine.values.shape[1] / fine.draws
        rounds = max(budget * (1 - _PILOT_SHARE) * rounds_per_draw, 2.0)
        needed = _WIDENING * sd * math.sqrt(2 * math.log(1 / level) / rounds)
        # The additive part of a betting bound, in units of TV: what no slope can undercut.
        needed += math.log(1 / level) / rounds * overlap.share * float(np.interp(point, fine.times, fine.scale))
        radius = needed / max(slope, 1e-12)
        if best is None or radius < best[0]:
            best = radius, Plan(question, overlap, point, radius, "", 0)
    assert best is not None
    chosen = best[1]
    return Plan(chosen.question, chosen.overlap, chosen.point, chosen.radius, chosen.outside, spent)


def certify_edge(
    key: Array,
    plan: Plan,
    times: np.ndarray,
    level: float,
    budget: int,
    tolerance: float | None,
    horizon: float,
) -> tuple[Edge, int]:
    """Test a ladder of times on either side of the pilot's point with fresh draws; see the module.

    Args:
        key: typed PRNG key, independent of the pilot's.
        plan: from :func:`make_plan`.
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
    if budget < 2:
        return Edge(None, (0.0, horizon), "unresolved"), 0
    if plan.point is None:
        return _certify_outside(key, plan, times, level, budget, horizon)
    radius, spend = plan.radius, budget
    if tolerance is not None and radius < tolerance / 2:
        # Draws fall with the square of the radius; never below what the additive part of the bound asks for.
        spend = int(np.clip(budget * (2 * radius / tolerance) ** 2, min(budget, 4096), budget))
        radius = tolerance / 2
    low, high = _ladder(plan.point, radius, LADDER, overlap.process.discrete, horizon)
    draws = overlap.draw(key, np.unique(np.concatenate([low, high])), spend)
    is_high, is_low = _verdicts(draws, overlap, question, level)
    lookup = {float(t): i for i, t in enumerate(draws.times)}
    left = _walk(low, [is_high[lookup[float(t)]] for t in low])
    right = _walk(high, [is_low[lookup[float(t)]] for t in high])
    return _edge(plan.point, left, right, question, overlap.process.discrete, horizon), draws.draws


def certified_stream(
    key: Array,
    process: ObservationProcess,
    population: Population,
    times: np.ndarray,
    questions: Mapping[str, Question],
    *,
    delta: float,
    budget: int,
) -> Iterator[Found]:
    """Yield tighter and tighter intervals; at whatever yield the caller stops, they hold jointly.

    Each side of each edge walks one fixed ladder of times, from far to near; every test is a betting sequence on
    dithered counts, valid at all stopping times at once.  ``budget`` sizes the pilot and the first look; looks double.
    """
    level = delta / (2 * max(len(questions), 1))
    share = budget // max(len(questions), 1)
    plans, keys, counts, spent = {}, {}, {}, 0
    ladders: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for index, (name, question) in enumerate(questions.items()):
        key_pilot, keys[name] = jax.random.split(jax.random.fold_in(key, index))
        plans[name] = make_plan(key_pilot, process, population, times, question, share, level)
        spent += plans[name].draws
        point = plans[name].point
        if point is not None:
            ladders[name] = _ladder(
                point, plans[name].radius, _ANYTIME_LADDER, process.discrete, float(process.horizon)
            )
    blocks, look = dict.fromkeys(plans, 0), max(share // 8, 2048)
    while True:
        edges = {}
        for name, plan in plans.items():
            if name not in ladders:
                edge, _ = certify_edge(keys[name], plan, times, level, share, None, float(process.horizon))
                edges[name] = edge
                continue
            low, high = ladders[name]
            key_draw, key_dither = jax.random.split(keys[name])
            draws = plan.overlap.draw(key_draw, np.unique(np.concatenate([low, high])), look, first=blocks[name])
            spent += draws.draws
            fresh = np.asarray(dither(jax.random.fold_in(key_dither, blocks[name]), draws.values), np.int64)
            blocks[name] += draws.blocks
            counts[name] = counts.get(name, 0) + fresh
            edges[name] = _anytime_edge(plan, counts[name], draws, low, high, level, float(process.horizon))
        ways = sorted({p.overlap.estimator for p in plans.values()})
        yield Found(edges, {}, spent, f"certified at every stopping time, {' and '.join(ways)} draws", delta)
        look *= 2


def _anytime_edge(
    plan: Plan, counts: np.ndarray, draws: OverlapDraws, low: np.ndarray, high: np.ndarray, level: float, horizon: float
) -> Edge:
    question, overlap = plan.question, plan.overlap
    target = overlap.target(question.threshold, draws.scale)
    upper, lower = np.asarray(upper_bound(counts, level)), np.asarray(lower_bound(counts, level))
    lookup = {float(t): i for i, t in enumerate(draws.times)}
    is_high, is_low = _compare(upper, lower, target, question)
    left = _walk(low, [is_high[lookup[float(t)]] for t in low])
    right = _walk(high, [is_low[lookup[float(t)]] for t in high])
    assert plan.point is not None
    return _edge(plan.point, left, right, question, overlap.process.discrete, horizon)


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
    i = int(np.clip(np.searchsorted(draws.times, point), 2, max(len(value) - 3, 2)))
    window = slice(max(i - 2, 0), min(i + 3, len(value)))
    slope = abs(np.polyfit(draws.times[window], value[window], 1)[0]) if len(value[window]) > 1 else 0.0
    at = min(int(np.searchsorted(draws.times, point)), len(value) - 1)
    sd = float(draws.values[at].std() * draws.scale[at] * overlap.share)
    return float(point), float(slope), sd


def _ladder(
    point: float, radius: float, rungs: tuple[float, ...], discrete: bool, horizon: float
) -> tuple[np.ndarray, np.ndarray]:
    """Times below and above a point, outermost first."""
    steps = np.asarray(rungs) * radius
    if discrete:
        steps = np.maximum(np.ceil(steps), 1.0)
        low = np.clip(np.ceil(point) - steps, 0.0, horizon)
        high = np.clip(np.floor(point) + steps, 0.0, horizon)
        return np.unique(low), np.unique(high)[::-1]
    floor = point * 1e-3
    low, high = np.maximum(point - steps, floor), np.minimum(point + steps, horizon)
    low, high = (v.astype(np.float32).astype(np.float64).clip(0.0, horizon) for v in (low, high))
    return np.unique(low), np.unique(high)[::-1]


def _verdicts(draws: OverlapDraws, overlap: Overlap, question: Question, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Whether each time is certainly on the high side, and certainly on the low side, each at ``level``."""
    target = overlap.target(question.threshold, draws.scale)
    upper = np.asarray(betting_upper(draws.values, level))
    lower = np.asarray(betting_lower(draws.values, level))
    return _compare(upper, lower, target, question)


def _compare(
    upper: np.ndarray, lower: np.ndarray, target: np.ndarray, question: Question
) -> tuple[np.ndarray, np.ndarray]:
    if question.side == "first":
        return upper < target, (lower >= target) | (target <= 0.0)
    return (upper <= target) | (target >= 1.0), lower > target


def _walk(times: np.ndarray, passed: list[bool]) -> float | None:
    """Return the last success before the first failure."""
    reached = None
    for t, ok in zip(times, passed, strict=True):
        if not ok:
            break
        reached = float(t)
    return reached


def _edge(
    point: float, left: float | None, right: float | None, question: Question, discrete: bool, horizon: float
) -> Edge:
    low = 0.0 if left is None else left + (1.0 if discrete and question.side == "first" else 0.0)
    high = horizon if right is None else right - (1.0 if discrete and question.side == "last" else 0.0)
    settled = left is not None and right is not None
    if settled and low > high:
        return Edge(None, (0.0, horizon), "unresolved")
    return Edge(
        float(np.clip(point, low, high)) if settled else None, (low, high), "resolved" if settled else "unresolved"
    )


def _certify_outside(
    key: Array, plan: Plan, times: np.ndarray, level: float, budget: int, horizon: float
) -> tuple[Edge, int]:
    """Certify that an edge lies before the first or after the last time looked at."""
    below = plan.outside == "below"
    end = float(times[0] if below else times[-1])
    draws = plan.overlap.draw(key, np.asarray([end]), budget)
    is_high, is_low = _verdicts(draws, plan.overlap, plan.question, level)
    if below and is_low[0]:
        if end == 0.0:
            first = plan.question.side == "first"
            return (Edge(0.0, (0.0, 0.0), "resolved") if first else Edge(None, None, "empty")), draws.draws
        return Edge(None, (0.0, end), "below_grid"), draws.draws
    if not below and is_high[0]:
        return Edge(None, (end, horizon), "above_grid"), draws.draws
    return Edge(None, (0.0, horizon), "unresolved"), draws.draws
