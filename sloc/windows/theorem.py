"""Theorem 2: when noising and denoising one set certainly yields another (Li, Karan & Chen 2025)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from sloc.contracts import (
    ObservationProcess,
    Population,
    Sets,
    check_registered,
    component_mask,
    refuse_estimates,
    require,
    set_name,
    shown,
)
from sloc.contracts.arguments import as_floats, checked_level
from sloc.divergence.affinity import affinities
from sloc.divergence.checks import (
    checked_count,
    checked_epsilon,
    checked_growth,
    checked_key,
    checked_method,
    checked_options,
    checked_pair,
    checked_tolerance,
)
from sloc.divergence.closed_forms import host_weights
from sloc.divergence.statistics import TV, Certificate, Misassignment, Statistic
from sloc.engine.plan import Plan, as_plan
from sloc.results.curve import Curve
from sloc.results.window import TheoremWindow
from sloc.windows.critical import check_flags, default_times, exact_or_certified, in_order
from sloc.windows.edges import Edge
from sloc.windows.search import Found, Question, sampled_search
from sloc.windows.streams import certified_stream

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
        epsilon: threshold in ``[1e-6, 1)``.
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
        InvalidInput: ``init`` not inside ``target``, sets empty or unknown, ``epsilon`` outside ``[1e-6, 1)``,
            ``n < 2``, ``budget < 1``, a ``tolerance`` that is not positive; ``certify`` where the population's
            marginals are estimates (:meth:`sloc.Population.estimates_marginals`).
        ContractError: see :func:`sloc.measure`.

    Source: Li, Karan & Chen 2025, Theorem 2, and its proof for the certificate; closed forms by
    ``1/2 min(1, W) alpha <= E[1 - pi] <= max(1, W) (alpha - alpha^2 / 2)``, ``alpha = 1 - TV``.

    """
    checked_options(theorem2, options, "plan", "interval")
    check_flags(refine=refine, certify=certify)
    key, asked = checked_key(key), _asked(process, population, init, target, epsilon, times)
    delta, n, method = checked_level(delta, "delta"), checked_count(n), checked_method(method)
    budget, tolerance = checked_count(budget, "budget", 1), checked_tolerance(tolerance)
    # Curves and certified edges have keys of their own.
    key, key_edges = jax.random.split(key) if certify else (key, key)
    found = exact_or_certified(
        key_edges,
        asked.given,
        asked.checked,
        asked.times,
        asked.edges,
        method,
        certify,
        delta=delta,
        budget=budget,
        tolerance=tolerance,
        plan=options.get("plan"),
    )
    # Edges by other means leave the curves to measure; else both come from one pass.
    questions, again = (asked.edges, refine) if found is None else ({}, False)
    sampled = sampled_search(
        key,
        *asked.checked,
        asked.times,
        questions,
        asked.curves,
        n=n,
        delta=delta,
        refine=again,
        method="monte-carlo",
        **options,
    )
    return asked.window(found or sampled, sampled, asked.hellinger())


def anytime_theorem2(
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
    budget: int = 65_536,
    growth: float = 2.0,
    plan: Plan | None = None,
) -> Iterator[TheoremWindow]:
    """Yield Theorem 2's windows with tighter and tighter certified intervals until the caller stops.

    As :func:`theorem2` with ``certify=True`` and closed forms off, but by the betting sequences of
    :func:`sloc.anytime_windows`: ``P(T_end and T_start lie in their intervals at every look) >= 1 - delta``, whichever
    window the caller keeps.  The certificate and its parts are curves, not edges: they are measured once, before the
    first look, by ``n`` trajectories of their own, and are the same in every window, so that each curve's band holds at
    every stopping time too, at level ``delta`` of its own.

    Args:
        key: typed PRNG key.
        process: the observation process.
        population: the population.
        init: an index, a name, or a sequence of them: where trajectories start, inside ``target``.
        target: likewise: what they turn into.
        epsilon: threshold in ``[1e-6, 1)``.
        times: the pilot's grid, on which the certificate is given; default ``process.grid(64)``.
        n: trajectories for the curves, rounded up to whole blocks; the edges use none of them.
        delta: joint error level of both intervals over all looks; and of each curve's band.
        budget: sizes the pilots of the edges and the first look, as in :func:`sloc.anytime_windows`.
        growth: each look takes so many times the draws of the one before; at least 1.
        plan: how draws are made and kept (:class:`sloc.Plan`); with a checkpoint a stream called again passes at once
            through the looks it has had.

    Yields:
        Windows, without end; ``draws`` counts those for the edges.

    Raises:
        InvalidInput: see :func:`theorem2`; ``growth`` below 1; marginals that are estimates.

    Source: Li, Karan & Chen 2025, Theorem 2; Waudby-Smith & Ramdas 2024 for the sequences.

    """
    key, asked = checked_key(key), _asked(process, population, init, target, epsilon, times)
    refuse_estimates(*asked.checked, "certified edges")
    n, delta, plan = checked_count(n), checked_level(delta, "delta"), as_plan(plan)
    key_curves, key_edges = jax.random.split(key)
    stream = certified_stream(
        key_edges,
        *asked.checked,
        asked.times,
        asked.edges,
        delta=delta,
        budget=checked_count(budget, "budget", 1),
        growth=checked_growth(growth),
        plan=plan,
    )

    def windows() -> Iterator[TheoremWindow]:
        curves = sampled_search(
            key_curves,
            *asked.checked,
            asked.times,
            {},
            asked.curves,
            n=n,
            delta=delta,
            refine=False,
            method="monte-carlo",
            plan=plan,
        )
        hellinger = asked.hellinger()
        for found in stream:
            yield asked.window(found, curves, hellinger)

    return windows()


@dataclass(frozen=True)
class _Asked:
    """Theorem 2 about two sets: the edges and curves it needs, and the window that they make.

    Attributes:
        given: process and population as the caller has them, by which closed forms are chosen.
        checked: the same, canonical.
        init: ``[K]``, the inner set.
        target: ``[K]``, the outer set.
        epsilon: threshold.
        times: ``[T]``.

    """

    given: tuple[ObservationProcess, Population]
    checked: tuple[ObservationProcess, Population]
    init: np.ndarray
    target: np.ndarray
    epsilon: float
    times: np.ndarray

    @property
    def edges(self) -> dict[str, Question]:
        """``end`` and ``start``, unless the sets settle them."""
        questions = {}
        if (self.target & ~self.init).any():
            questions["end"] = Question(TV(self.init, self.target), self.epsilon, "first")
        if (~self.target).any():
            questions["start"] = Question(TV(self.target, ~self.target), 1 - self.epsilon**2, "last")
        return questions

    @property
    def curves(self) -> dict[str, Statistic]:
        """What is told at every time."""
        return {"certificate": Certificate(self.init, self.target), "misassignment": Misassignment(self.target)}

    def hellinger(self) -> Curve | None:
        """The bound free of sampling; it is the same at every look."""
        return hellinger_bound(*self.given, self.target, self.times)

    def window(self, found: Found, sampled: Found, hellinger: Curve | None) -> TheoremWindow:
        """Put edges and curves together."""
        end = found.edges.get("end", Edge(0.0, (0.0, 0.0), "resolved"))
        # Against an empty complement TV counts as 1 at every time: the edge lies beyond any grid.
        begin = found.edges.get("start", Edge(None, None, "above_grid"))
        end, begin = in_order(end, begin, "empty")
        population, epsilon = self.checked[1], self.epsilon
        w = host_weights(self.given[1])
        odds = max(1.0, float(w[~self.target].sum() / w[self.target].sum()))
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
            hellinger=hellinger,
            delta=found.delta,
            draws=found.draws,
            method=found.method,
            name=f"{set_name(population, self.init)} -> {set_name(population, self.target)}",
        )


def _asked(
    process: ObservationProcess, population: Population, init: Sets, target: Sets, epsilon: Any, times: Any
) -> _Asked:
    checked = checked_pair(process, population)
    level = checked_epsilon(epsilon)
    inner = component_mask(checked[1], init, "init")
    outer = component_mask(checked[1], target, "target")
    require(not (inner & ~outer).any(), "init", init, f"a subset of target = {shown(target)}")
    return _Asked((process, population), checked, inner, outer, level, default_times(*checked, times))


def hellinger_bound(process: ObservationProcess, population: Population, target: Sets, times: Any) -> Curve | None:
    """Bound ``E_{p_t^S}[1 - pi_S]`` without sampling, ``(1 / 2 w_S) sum_{i in S, j not in S} sqrt(w_i w_j) BC_ij(t)``.

    An upper bound (exact arithmetic on the host), where the pairwise affinities ``BC_ij = int sqrt(p_i p_j)`` are
    known.

    Source: the library's own.

    Args:
        process: the observation process.
        population: the population.
        target: ``S``.
        times: ``[T]``.

    Returns:
        The curve, capped at 1, or None where affinities are not known.

    Raises:
        InvalidInput: an unknown set, or times that are not finite, not negative and increasing.
        ContractError: not a population, or not a process.

    """
    check_registered(population, "population", Population)
    times = as_floats(times, "times")
    good = times.ndim == 1 and times.size > 0 and bool((np.isfinite(times) & (times >= 0)).all())
    require(good and bool((np.diff(times) > 0).all()), "times", times, "finite times, not negative, increasing")
    inside = component_mask(population, target, "target")
    w = host_weights(population)
    root = np.sqrt(w[inside][:, None] * w[~inside][None, :])
    values = []
    for t in times:
        table = affinities(process, population, float(t))
        if table is None:
            return None
        values.append(min(1.0, float((root * table[np.ix_(inside, ~inside)]).sum() / (2 * w[inside].sum()))))
    value = np.asarray(values)
    return Curve(
        times,
        value,
        np.zeros_like(value),
        np.zeros_like(value),
        value,
        0,
        "upper bound, closed form",
        "affinity bound on misassignment",
        delta=0.0,
        time_axis=process.time_axis,
    )
