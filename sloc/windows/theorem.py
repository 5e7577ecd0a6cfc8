"""Theorem 2: when noising and denoising one set certainly yields another (Li, Karan & Chen 2025)."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np

from sloc.contracts import (
    ObservationProcess,
    Population,
    Sets,
    component_mask,
    require,
    set_name,
    shown,
)
from sloc.divergence import TV, Certificate, Misassignment
from sloc.divergence.affinity import affinities
from sloc.divergence.checks import (
    checked_count,
    checked_key,
    checked_level,
    checked_method,
    checked_pair,
    checked_tolerance,
)
from sloc.divergence.closed_forms import host_weights
from sloc.results import Curve, TheoremWindow
from sloc.windows.critical import default_times, exact_or_certified, in_order
from sloc.windows.edges import Edge
from sloc.windows.search import Question, sampled_search

Array = jax.Array


def theorem2(
    key: Array,
    process: ObservationProcess,
    population: Population,
    init: Sets,
    target: Sets,
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
) -> TheoremWindow:
    """Times at which noising ``init`` and denoising yields ``target``, with the theorem's bound and a tighter one.

    ``T_end = inf {t : TV(p_t^init, p_t^target) <= epsilon}``,
    ``T_start = sup {t : TV(p_t^target, p_t^rest) >= 1 - epsilon^2}``.  For ``t`` between them
    ``TV(p^{init,t}, p^target)`` is at most ``epsilon (1 + max(1, W) / sqrt 2)``, ``W = w_rest / w_target`` (printed),
    at most ``epsilon + max(1, W) (epsilon^2 - epsilon^4 / 2)`` (``sharp_bound``), and at every ``t`` at most
    ``TV(p_t^init, p_t^target) + E_{p_t^target}[1 - pi_target]`` (``certificate``, a curve, not monotone).

    Args:
        key: typed PRNG key.
        process: the observation process.
        population: the population.
        init: where trajectories start, inside ``target``.
        target: what they turn into.
        epsilon: threshold in ``(0, 1)``.
        times: the first grid; default ``process.grid(64)``; the certificate is given on it.
        n: trajectories per pass, rounded up to whole blocks.
        delta: joint error level of the two intervals; and of each curve's band.
        method: ``auto``, ``closed-form`` or ``monte-carlo`` (edges; the certificate is always sampled).
        refine: whether to spend a second pass inside the brackets.
        certify: whether to certify the edges by pilot and fixed-sequence tests; see :func:`sloc.critical_window`.
        budget: with ``certify``, draws for the edges.
        tolerance: with ``certify``, half-width of the intervals aimed at.
        **options: ``plan`` and ``interval`` of :func:`sloc.measure`.

    Returns:
        Edges with statuses (``empty`` where ``T_start < T_end``: the theorem says nothing), bounds and curves.

    Raises:
        InvalidInput: ``init`` not inside ``target``, sets empty or unknown, ``epsilon`` outside ``(0, 1)``,
            ``n < 2``, ``budget < 1``, a ``tolerance`` that is not positive.
        ContractError: see :func:`sloc.measure`.

    Source: Li, Karan & Chen 2025, Theorem 2, and its proof for the certificate; closed forms by
    ``1/2 min(1, W) alpha <= E[1 - pi] <= max(1, W) (alpha - alpha^2 / 2)``, ``alpha = 1 - TV``.

    """
    key, given = checked_key(key), (process, population)
    process, population = checked_pair(process, population)
    epsilon, delta, n = checked_level(epsilon, "epsilon"), checked_level(delta, "delta"), checked_count(n)
    method = checked_method(method)
    budget, tolerance = checked_count(budget, "budget", 1), checked_tolerance(tolerance)
    start = component_mask(population, init, "init")
    goal = component_mask(population, target, "target")
    require(not (start & ~goal).any(), "init", init, f"a subset of target = {shown(target)}")
    grid = default_times(process, population, times)
    questions = {}
    if (goal & ~start).any():
        questions["end"] = Question(TV(start, goal), epsilon, "first")
    if (~goal).any():
        questions["start"] = Question(TV(goal, ~goal), 1 - epsilon**2, "last")

    further = {"certificate": Certificate(start, goal), "misassignment": Misassignment(goal)}
    # Curves and certified edges have keys of their own.
    key, key_edges = jax.random.split(key) if certify else (key, key)
    found = exact_or_certified(
        key_edges,
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
    # Edges by other means leave the curves to measure; else both come from one pass.
    asked, again = (questions, refine) if found is None else ({}, False)
    sampled = sampled_search(
        key, process, population, grid, asked, further, n=n, delta=delta, refine=again, method="monte-carlo", **options
    )
    found = found or sampled

    end = found.edges.get("end", Edge(0.0, (0.0, 0.0), "resolved"))
    # Against an empty complement TV counts as 1 at every time: the edge lies beyond any grid.
    begin = found.edges.get("start", Edge(None, None, "above_grid"))
    end, begin = in_order(end, begin, "empty")
    w = host_weights(given[1])
    odds = max(1.0, float(w[~goal].sum() / w[goal].sum()))
    return TheoremWindow(
        end.value,
        begin.value,
        end.interval,
        begin.interval,
        end.status,
        begin.status,
        epsilon,
        bound=epsilon * (1 + odds / math.sqrt(2)),
        certificate=sampled.curves["certificate"],
        sharp_bound=epsilon + odds * (epsilon**2 - epsilon**4 / 2),
        misassignment=sampled.curves["misassignment"],
        hellinger=hellinger_bound(*given, goal, grid),
        delta=found.delta,
        draws=found.draws,
        method=found.method,
        name=f"{set_name(population, start)} -> {set_name(population, goal)}",
    )


def hellinger_bound(process: ObservationProcess, population: Population, target: Sets, times: Any) -> Curve | None:
    """Bound ``E_{p_t^S}[1 - pi_S]`` without sampling, ``(1 / 2 w_S) sum_{i in S, j not in S} sqrt(w_i w_j) BC_ij(t)``.

    An upper bound (exact arithmetic on the host), where the pairwise affinities ``BC_ij = int sqrt(p_i p_j)`` are
    known; see :func:`sloc.divergence.affinities`.

    Args:
        process: the observation process.
        population: the population.
        target: ``S``.
        times: ``[T]``.

    Returns:
        The curve, capped at 1, or None where affinities are not known.

    """
    inside = component_mask(population, target, "target")
    w = host_weights(population)
    root = np.sqrt(w[inside][:, None] * w[~inside][None, :])
    values = []
    for t in np.asarray(times, np.float64):
        table = affinities(process, population, float(t))
        if table is None:
            return None
        values.append(min(1.0, float((root * table[np.ix_(inside, ~inside)]).sum() / (2 * w[inside].sum()))))
    value = np.asarray(values)
    return Curve(
        np.asarray(times),
        value,
        np.zeros_like(value),
        np.zeros_like(value),
        value,
        0,
        "upper bound, closed form",
        "affinity bound on misassignment",
    )
