"""Edges of several TV curves from common draws: a grid, then fresh draws inside each edge's bracket.

All thresholds are on total variation, which never increases in time, so bisection is sound.  The second pass uses
a key of its own: the times it looks at depend on the first pass only, so its band holds given them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from sloc.contracts import ObservationProcess, Population, require
from sloc.divergence.closed_forms import closed_tv
from sloc.divergence.measurement import measure
from sloc.divergence.statistics import TV, Statistic
from sloc.results.curve import Curve
from sloc.windows.edges import Edge, Side, bracket, combined, crossing_point, edge_of_curve, exact_edge

Array = jax.Array
_SECTIONS = 16
"""Times looked at inside each bracket in one refinement."""
_REFINEMENTS = 3
"""Refinements of the point; each divides the bracket by 17."""


@dataclass(frozen=True)
class Question:
    """One edge to find: where ``TV(a, b)`` falls through a threshold.

    Attributes:
        tv: the statistic.
        threshold: ``c``.
        side: ``first`` for ``inf {TV <= c}``, ``last`` for ``sup {TV >= c}``.

    """

    tv: TV
    threshold: float
    side: Side


@dataclass(frozen=True)
class Found:
    """Answers to a set of questions.

    Attributes:
        edges: one edge per question.
        curves: curves measured on the grid, the further statistics among them.
        draws: distinct trajectories used.
        method: how the edges were got.
        delta: error level of all intervals jointly (0 where exact).

    """

    edges: dict[str, Edge]
    curves: dict[Any, Curve]
    draws: int
    method: str
    delta: float


def exactly(
    process: ObservationProcess, population: Population, questions: Mapping[str, Question], method: str
) -> Found | None:
    """Answer by closed forms where ``method`` allows it and they exist; refuse ``closed-form`` where they do not."""
    exact = exact_search(process, population, questions) if questions and method != "monte-carlo" else None
    if exact is not None:
        return Found(exact, {}, 0, "exact", 0.0)
    require(
        method != "closed-form" or not questions,
        "method",
        method,
        f"a pair with closed forms of TV; {type(population).__name__} under {type(process).__name__} has none",
    )
    return None


def exact_search(
    process: ObservationProcess, population: Population, questions: Mapping[str, Question]
) -> dict[str, Edge] | None:
    """Answer by closed forms, or return None where a question has none."""
    masks = {name: _pair(q.tv, population) for name, q in questions.items()}
    probe = 1 if process.discrete else min(0.5, float(process.horizon) / 2)
    if any(closed_tv(process, population, *pair, probe) is None for pair in masks.values()):
        return None

    def edge(name: str, question: Question) -> Edge:
        def quantity(t: float) -> float:
            value = closed_tv(process, population, *masks[name], t)
            assert value is not None  # closed forms are chosen by type, and the probe had one
            return value

        return exact_edge(
            quantity, question.threshold, question.side, horizon=float(process.horizon), discrete=process.discrete
        )

    return {name: edge(name, q) for name, q in questions.items()}


def _pair(tv: TV, population: Population) -> tuple[np.ndarray, np.ndarray]:
    pair = tv.bind(population).pair
    assert pair is not None
    return pair


def sampled_search(
    key: Array,
    process: ObservationProcess,
    population: Population,
    times: np.ndarray,
    questions: Mapping[str, Question],
    further: Mapping[str, Statistic],
    *,
    n: int,
    delta: float,
    refine: bool,
    method: str,
    **options: Any,
) -> Found:
    """Answer by sampling: one pass over a grid and, unless switched off, fresh draws inside the brackets.

    Half of ``delta`` goes to each pass, shared evenly over the questions, so that all intervals hold jointly with
    probability ``>= 1 - delta``.  ``further`` statistics are measured on the grid at ``delta`` each.
    """
    key_grid, key_fine = jax.random.split(key)
    share = (delta / 2 if refine else delta) / max(len(questions), 1)
    asked: dict[Any, Statistic] = {("edge", name): q.tv for name, q in questions.items()}
    curves = (
        measure(key_grid, process, population, times, asked | dict(further), n=n, delta=share, method=method, **options)
        if asked or further
        else {}
    )
    horizon = float(process.horizon)

    def edges(found: Mapping[Any, Curve]) -> dict[str, Edge]:
        return {
            name: edge_of_curve(found["edge", name], q.threshold, q.side, horizon=horizon, discrete=process.discrete)
            for name, q in questions.items()
        }

    answers = edges(curves)
    draws = max((int(c.n) for c in curves.values()), default=0)
    if refine:
        answers, extra = _refine(
            key_fine, process, population, times, questions, answers, n=n, share=share, method=method, **options
        )
        draws += extra
    grid = {name: curve for name, curve in curves.items() if not (isinstance(name, tuple) and name[0] == "edge")}
    tvs = {questions[name].tv: curves["edge", name] for name in questions}
    ways = sorted({c.method for c in curves.values()})
    return Found(answers, {**grid, **tvs}, draws, "; ".join(ways), delta)


def _refine(
    key: Array,
    process: ObservationProcess,
    population: Population,
    times: np.ndarray,
    questions: Mapping[str, Question],
    answers: Mapping[str, Edge],
    *,
    n: int,
    share: float,
    method: str,
    **options: Any,
) -> tuple[dict[str, Edge], int]:
    """Narrow the intervals with fresh draws, then the points with the same draws (common random numbers)."""
    open_ends = (float(times[0]), float(times[-1]))
    brackets = {name: inside for name, edge in answers.items() if (inside := bracket(edge, times)) is not None}
    if not brackets or (process.discrete and all(hi - lo <= 1 for lo, hi in brackets.values())):
        return dict(answers), 0
    refined, draws = dict(answers), 0
    statistics = {("edge", name): questions[name].tv for name in brackets}
    for step in range(_REFINEMENTS):
        # Rounding to float32 must not leave the grid, whose ends may be the horizon.
        fine = np.unique(_sections(brackets, process.discrete, len(brackets) * (_SECTIONS + 2)).clip(*open_ends))
        # Monte Carlo with the key of the first refinement: later times see the same trajectories.
        found = measure(key, process, population, fine, statistics, n=n, delta=share, method=method, **options)
        draws = max(int(c.n) for c in found.values())
        for name in list(brackets):
            c, q = found["edge", name], questions[name]
            edge = edge_of_curve(c, q.threshold, q.side, horizon=float(process.horizon), discrete=process.discrete)
            # The point needs the values alone: the band of so short a stretch would settle nothing.
            crossing = crossing_point(c.times, c.value, q.threshold, q.side, discrete=process.discrete)
            if step == 0:
                refined[name] = combined(answers[name], edge, crossing)
            if refined[name].status != "resolved" or crossing is None:
                brackets.pop(name)
                statistics.pop(("edge", name))
                continue
            interval = refined[name].interval
            assert interval is not None
            refined[name] = Edge(float(np.clip(crossing, *interval)), interval, "resolved")
            position = int(np.clip(np.searchsorted(c.times, crossing), 1, len(c.times) - 1))
            narrow = (float(c.times[position - 1]), float(c.times[position]))
            brackets[name] = narrow
            done = narrow[1] - narrow[0] <= (1 if process.discrete else 1e-6 * max(narrow[1], 1e-12))
            if done and step > 0:
                brackets.pop(name)
                statistics.pop(("edge", name))
        if not brackets:
            break
    return refined, draws


def _sections(brackets: Mapping[str, tuple[float, float]], discrete: bool, size: int) -> np.ndarray:
    """Evenly spaced times inside all brackets, ends included; always ``size`` of them unless time is discrete."""
    points = np.concatenate([np.linspace(lo, hi, _SECTIONS + 2) for lo, hi in brackets.values()])
    if discrete:
        return np.unique(np.round(points))
    points = np.unique(points.astype(np.float32).astype(np.float64))
    while len(points) < size:
        # Overlapping brackets leave duplicates; fill the widest gaps so that the shape, and the compilation, stay.
        gaps = np.diff(points)
        if gaps.max() <= 4e-7 * max(points[-1], 1e-30):
            break
        widest = np.argsort(gaps)[::-1][: size - len(points)]
        middles = ((points[widest] + points[widest + 1]) / 2).astype(np.float32).astype(np.float64)
        merged = np.unique(np.concatenate([points, middles]))
        if len(merged) == len(points):
            break
        points = merged
    return points
