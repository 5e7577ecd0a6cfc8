"""The critical window in which ``after`` is chosen within ``before`` (Li, Karan & Chen 2025, Def. 4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from sloc.contracts import (
    ObservationProcess,
    Population,
    Sets,
    component_mask,
    refuse_estimates,
    require,
    set_name,
    shown,
)
from sloc.contracts.arguments import checked_kind, checked_level
from sloc.divergence.checks import (
    as_times,
    checked_count,
    checked_epsilon,
    checked_growth,
    checked_key,
    checked_method,
    checked_options,
    checked_pair,
    checked_tolerance,
)
from sloc.divergence.statistics import TV
from sloc.engine.plan import Plan, as_plan
from sloc.results import Status
from sloc.results.window import Window
from sloc.windows.certify import certified_search
from sloc.windows.edges import Edge
from sloc.windows.search import Found, Question, exactly, sampled_search
from sloc.windows.streams import certified_stream

Array = jax.Array
GRID = 64
"""Times on the default grid."""


def critical_window(
    key: Array,
    process: ObservationProcess,
    population: Population,
    after: Sets,
    before: Sets,
    *,
    epsilon: float,
    times: Any = None,
    n: int = 65_536,
    delta: float = 0.05,
    method: str = "auto",
    refine: bool = True,
    certify: bool = False,
    budget: int = 500_000,
    tolerance: float | None = None,
    **options: Any,
) -> Window:
    """Critical window ``[T_after, T_before]`` of the sub-population ``after`` within ``before``.

    ``T_before = inf {t : TV(p_t^after, p_t^before) <= epsilon and TV(p_t^before, p_t^rest) >= 1 - epsilon^2}`` and
    ``T_after = sup {t : TV(p_t^after, p_t^rest) >= 1 - epsilon^2}``, where "rest" is the complement of the set
    beside it and TV against an empty complement counts as 1.  Exact (root finding in float64) where all three TVs
    have closed forms; else sampled on a grid and refined with fresh draws, with intervals that hold jointly with
    probability ``>= 1 - delta``.

    Args:
        key: typed PRNG key.
        process: the observation process.
        population: the population.
        after: an index, a name, or a sequence of them; inside ``before``.
        before: likewise; all of them is allowed.
        epsilon: threshold in ``[1e-6, 1)``.
        times: the first grid; default ``process.grid(64)``.
        n: trajectories per pass, rounded up to whole blocks.
        delta: joint error level of the intervals.
        method: ``auto``, ``closed-form`` or ``monte-carlo``.
        refine: whether to spend a second pass inside the brackets.
        certify: whether to certify the edges by pilot and fixed-sequence tests (betting bounds, bridges where
            overlaps are small) instead: narrower intervals for the draws, at any scale of ``epsilon`` that is taken.
        budget: with ``certify``, draws in all, the pilots' included: 15 % of them, more of a small budget
            (``sloc.windows.certify``); too few give status ``unresolved``.
        tolerance: with ``certify``, half-width of the intervals aimed at; draws stop there.
        **options: ``plan`` and ``interval`` of :func:`sloc.measure`.

    Returns:
        The window; an edge that does not exist or is not settled is None with its status.

    Raises:
        InvalidInput: ``after`` not inside ``before``, sets empty or unknown, ``epsilon`` outside ``[1e-6, 1)``, bad
            times, ``n < 2``, ``budget < 1``, a ``tolerance`` that is not positive; ``certify`` where the population's
            marginals are estimates (:meth:`sloc.Population.estimates_marginals`).
        ContractError: see :func:`sloc.measure`.

    Source: Li, Karan & Chen 2025, Def. 4; its order ``T_after <= T_before`` is not guaranteed, and a window that
    breaks it has status ``inverted``.

    """
    checked_options(critical_window, options, "plan", "interval")
    check_flags(refine=refine, certify=certify)
    key, given = checked_key(key), (process, population)
    process, population = checked_pair(process, population)
    delta, n, method = checked_level(delta, "delta"), checked_count(n), checked_method(method)
    budget, tolerance = checked_count(budget, "budget", 1), checked_tolerance(tolerance)
    questions, name = _questions(population, after, before, epsilon)
    grid = default_times(process, population, times)
    found = exact_or_certified(
        key,
        given,
        (process, population),
        grid,
        questions,
        method,
        certify,
        delta=delta,
        budget=budget,
        tolerance=tolerance,
        plan=options.get("plan"),
    )
    if found is None:
        found = sampled_search(
            key, process, population, grid, questions, {}, n=n, delta=delta, refine=refine, method=method, **options
        )
    return window_of(found, float(epsilon), name, process.time_axis)


def anytime_windows(
    key: Array,
    process: ObservationProcess,
    population: Population,
    after: Sets,
    before: Sets,
    *,
    epsilon: float,
    times: Any = None,
    delta: float = 0.05,
    budget: int = 65_536,
    growth: float = 2.0,
    plan: Plan | None = None,
) -> Iterator[Window]:
    """Yield critical windows with tighter and tighter certified intervals until the caller stops.

    As :func:`critical_window` with ``certify=True`` and closed forms off, but by betting sequences that hold at every
    stopping time: ``P(T_after and T_before lie in their intervals at every look) >= 1 - delta``, whichever window the
    caller keeps.  Draws grow from look to look and are kept as counts, so memory does not grow with them.  Once eight
    times the draws that it was planned for have been made, the ladder of times that are tested gives way to a finer
    one, so that widths go on falling, about as one over the root of the draws.  For the edges of Theorem 2 see
    :func:`sloc.anytime_theorem2`.

    Args:
        key: typed PRNG key.
        process: the observation process.
        population: the population.
        after: an index, a name, or a sequence of them; inside ``before``.
        before: likewise.
        epsilon: threshold in ``[1e-6, 1)``.
        times: the pilot's grid; default ``process.grid(64)``.
        delta: joint error level over all looks.
        budget: sizes the pilot and the first look.  The pilot of an edge takes 15 % of its part, but at least 2,048
            draws in each of two passes of each estimator that there is.
        growth: each look takes so many times the draws of the one before; at least 1.
        plan: how draws are made and kept (:class:`sloc.Plan`); with a checkpoint a stream called again passes at once
            through the looks it has had.

    Yields:
        Windows, without end.

    Raises:
        InvalidInput: see :func:`critical_window`; ``growth`` below 1; marginals that are estimates.

    Source: Waudby-Smith & Ramdas 2024 for the sequences; fixed-sequence testing for the walk.

    """
    key = checked_key(key)
    process, population = checked_pair(process, population)
    refuse_estimates(process, population, "certified edges")
    plan = as_plan(plan)
    questions, name = _questions(population, after, before, epsilon)
    grid = default_times(process, population, times)
    found = certified_stream(
        key,
        process,
        population,
        grid,
        questions,
        delta=checked_level(delta, "delta"),
        budget=checked_count(budget, "budget", 1),
        growth=checked_growth(growth),
        plan=plan,
    )
    return (window_of(one, float(epsilon), name, process.time_axis) for one in found)


def _questions(population: Population, after: Sets, before: Sets, epsilon: Any) -> tuple[dict[str, Question], str]:
    level = checked_epsilon(epsilon)
    inner = component_mask(population, after, "after")
    outer = component_mask(population, before, "before")
    require(not (inner & ~outer).any(), "after", after, f"a subset of before = {shown(before)}")
    require(bool((~inner).any()), "after", after, "a proper subset of the population")
    high = 1 - level**2
    questions = {"after": Question(TV(inner, ~inner), high, "last")}
    if (outer & ~inner).any():
        questions["close"] = Question(TV(inner, outer), level, "first")
    if (~outer).any():
        questions["apart"] = Question(TV(outer, ~outer), high, "last")
    return questions, f"{set_name(population, inner)} within {'all' if outer.all() else set_name(population, outer)}"


def window_of(found: Found, epsilon: float, name: str, time_axis: str) -> Window:
    """Put the edges ``after``, ``close`` and ``apart`` together as Def. 4 says; see :func:`critical_window`."""
    after = found.edges["after"]
    before = found.edges.get("close", Edge(0.0, (0.0, 0.0), "resolved"))
    apart = found.edges.get("apart")
    if apart is not None and before.status in ("resolved", "below_grid"):
        before = _while_apart(before, apart)
    after, before = in_order(after, before, "inverted")
    return Window(
        after.value,
        before.value,
        after.interval,
        before.interval,
        after.status,
        before.status,
        epsilon,
        found.delta,
        found.draws,
        found.method,
        name,
        time_axis=time_axis,
    )


def in_order(low: Edge, high: Edge, otherwise: Status) -> tuple[Edge, Edge]:
    """Mark edges in the wrong order: ``otherwise`` where their intervals show it, ``unresolved`` where points do."""
    if low.value is None or high.value is None or high.value >= low.value:
        return low, high
    apart = low.interval is None or high.interval is None or high.interval[1] < low.interval[0]
    status = otherwise if apart else "unresolved"
    keep = status != "unresolved"
    return (
        Edge(low.value if keep else None, low.interval, status),
        Edge(high.value if keep else None, high.interval, status),
    )


def _while_apart(before: Edge, apart: Edge) -> Edge:
    """Keep ``T_before`` only if ``before`` is still apart from the rest there: else no time meets both conditions."""
    if apart.status == "empty":
        return Edge(None, None, "empty")
    if apart.status == "above_grid" or before.interval is None or apart.interval is None:
        return before
    if before.interval[1] <= apart.interval[0]:
        return before
    below = before.status == apart.status == "below_grid"
    if before.interval[0] > apart.interval[1] or (apart.status == "below_grid" and before.status == "resolved"):
        return Edge(None, None, "empty")
    # Both before the first time: the order there was not looked at, but neither lies inside the grid.
    return before if below else Edge(None, before.interval, "unresolved")


def exact_or_certified(
    key: Array,
    given: tuple[ObservationProcess, Population],
    checked: tuple[ObservationProcess, Population],
    times: np.ndarray,
    questions: Mapping[str, Question],
    method: str,
    certify: bool,
    **spending: Any,
) -> Found | None:
    """Answer by closed forms of the pair as given, else, where asked for, certified; None leaves it to sampling.

    ``spending`` goes to ``certified_search``.

    Raises:
        InvalidInput: marginals that are estimates, where edges are to be certified.

    """
    found = exactly(*given, questions, method)
    if found is not None or not certify:
        return found
    refuse_estimates(*checked, "certified edges")
    return certified_search(key, *checked, times, questions, **spending)


def check_flags(**flags: Any) -> None:
    """Refuse what is neither True nor False; raises InvalidInput."""
    for name, value in flags.items():
        checked_kind(value, name, (bool, np.bool_), "True or False")


def default_times(process: ObservationProcess, population: Population, times: Any) -> np.ndarray:
    """Return the given times, checked, or the process's own grid of 64."""
    return as_times(process, population, process.grid(GRID) if times is None else times)[0]
