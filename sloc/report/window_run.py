"""The numbers behind ``sloc window``: a pass over a grid of noise levels, and one inside the edges' brackets."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from sloc.contracts import ObservationProcess, Population, check_registered, component_names, require
from sloc.contracts.arguments import checked_choice, checked_kind
from sloc.contracts.equality import same_fields
from sloc.divergence.checks import checked_pair
from sloc.divergence.closed_forms import host_weights
from sloc.divergence.integrands import entropy_bits
from sloc.divergence.measurement import measure
from sloc.divergence.statistics import TV, Clones, Information, Labels, Statistic
from sloc.engine import Progress
from sloc.engine.plan import Plan, as_plan
from sloc.report.window_levels import spread_times, wide_grid
from sloc.report.window_refine import Crossing, levels_inside
from sloc.report.window_settings import PROCESSES, Settings
from sloc.report.window_tree import TreePlan, plan_tree
from sloc.results import Interval, Status
from sloc.results.curve import Curve
from sloc.results.tree import MixtureTree
from sloc.results.window import Window
from sloc.windows.critical import critical_window, in_order
from sloc.windows.crossing import find_window
from sloc.windows.edges import Edge, bracket, combined
from sloc.windows.search import Question, exact_search

if TYPE_CHECKING:
    import pandas as pd

MOST_PAIRS = 300
"""More pairs than this are not measured one by one."""
MOST_LABELLED = 64
"""More classes than this have no label curves."""
_PILOT_DRAWS = 4096


@dataclass(frozen=True)
class Pilot:
    """A short run that says where the curves move and how long the long run takes.

    Attributes:
        times: the noise levels of the long run.
        seconds_per_block: measured, compilation left out.
        blocks: how many blocks a pass of the long run has.
        passes: 2 where edges are sampled and looked at twice, 1 where they are exact.

    """

    times: np.ndarray
    seconds_per_block: float
    blocks: int
    passes: int = 1

    @property
    def seconds(self) -> float:
        """Estimated time of the long run; the second pass takes no longer than the first."""
        return self.seconds_per_block * self.blocks * self.passes


@dataclass(frozen=True)
class ProcessWindows:
    """Everything found for one process.

    Attributes:
        name: the process's name on the command line.
        process: the process.
        curves: by key: ``"information"``, ``"clones"``, ``("class", a)``, ``("pair", a, b)``, ``("labels", a)``.
        classes: window of each class within all.
        pairs: window of each pair of classes.
        entropy: entropy of the weights in bits.
        half: where half of it is left: ``inf {t : I(theta; Y_t) <= H / 2}``; None where ``half_status`` says so.
        half_interval: times between which that lies, or None.
        half_status: see :data:`sloc.results.Status`.
        seconds: how long it took.
        refined: noise levels of the second pass, inside the brackets of the edges and at the merges of the tree; empty
            where there was none.
        tree: the mixture tree of the classes; None where not every pair was measured.

    """

    name: str
    process: ObservationProcess
    curves: Mapping[Any, Curve]
    classes: Mapping[str, Window]
    pairs: Mapping[tuple[str, str], Window]
    entropy: float
    half: float | None
    half_interval: Interval | None
    half_status: Status
    seconds: float
    refined: np.ndarray
    tree: MixtureTree | None = None

    def __eq__(self, other: object) -> bool:
        """Whether every field agrees, arrays number by number."""
        return same_fields(self, other)

    @property
    def times(self) -> np.ndarray:
        """The noise levels ``{t : curves were measured at t}``, increasing."""
        return np.asarray(self.curves["information"].times, np.float64)

    @property
    def draws(self) -> int:
        """Trajectories of the curves; as many fresh ones are behind the second pass."""
        return int(self.curves["information"].n)

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row per window, as ``windows.csv`` holds them: classes, then pairs, in the order of decision."""
        from sloc.report.tables import windows_frame

        return windows_frame([self])


def chosen_statistics(population: Population, classes: Sequence[str]) -> dict[Any, Statistic]:
    """Return everything that one pass measures: information, clones, TVs of classes and pairs, labels."""
    names = component_names(population)
    asked: dict[Any, Statistic] = {"information": Information(), "clones": Clones()}
    for a in classes:
        asked["class", a] = TV(a, [b for b in names if b != a])
    if math.comb(len(classes), 2) <= MOST_PAIRS:
        asked |= {("pair", a, b): TV(a, b) for a, b in combinations(classes, 2)}
    if len(names) <= MOST_LABELLED:
        asked |= {("labels", a): Labels(a) for a in classes}
    return asked


def run_pilot(name: str, population: Population, settings: Settings, run: Plan | None = None) -> Pilot:
    """Look at all noise levels with few trajectories; choose where to look closely, and time a block.

    Args:
        name: one of ``PROCESSES``.
        population: the population.
        settings: what is asked for.
        run: devices and checkpoints.

    Raises:
        InvalidInput: bad settings.
        ContractError: the population cannot be evaluated under the process.

    """
    checked_choice(name, "name", tuple(PROCESSES))
    check_registered(population, "population", Population)
    checked_kind(settings, "settings", Settings, "Settings").validate(population)
    process = PROCESSES[name]()
    checked_pair(process, population)
    wide = wide_grid(process, settings.times)
    statistics = chosen_statistics(population, settings.chosen(population))
    marks: list[tuple[float, int]] = []
    sizes: list[int] = []

    def mark(done: int, total: int) -> None:
        marks.append((time.perf_counter(), done))
        sizes.append(total)

    n = min(settings.n, _PILOT_DRAWS)
    curves = measure(
        _keys(name, settings.seed)[0],
        process,
        population,
        wide,
        statistics,
        n=n,
        delta=settings.delta,
        plan=as_plan(run).reporting(mark),
    )
    used = max(int(c.n) for c in curves.values())
    per_block = used / max(sizes[-1], 1) if sizes else 1024.0
    pace = 0.0
    if len(marks) > 1:  # the first chunks compile, the last does not
        pace = (marks[-1][0] - marks[-2][0]) / (marks[-1][1] - marks[-2][1])
    times = (
        spread_times(
            wide,
            [curves["information"], *(c for k, c in curves.items() if k[0] == "class")],
            [float(entropy_bits(host_weights(population))), *[1.0] * sum(k[0] == "class" for k in curves)],
            settings.times,
            settings.epsilon,
        )
        if not process.discrete
        else wide
    )
    sampled = any(int(c.n) > 0 for k, c in curves.items() if k[0] == "class")
    return Pilot(times, pace, math.ceil(settings.n / per_block), 2 if sampled else 1)


def run_process(
    name: str,
    population: Population,
    settings: Settings,
    times: np.ndarray | None = None,
    run: Plan | None = None,
    progress: Progress | None = None,
    *,
    refined: Sequence[float] | None = None,
    progress_refined: Progress | None = None,
) -> ProcessWindows:
    """Measure everything for one process on a grid, look again inside the brackets of the edges, read the windows.

    A class's window within all: ``T_before = inf {t : (1 - w) TV(p_t^class, p_t^rest) <= epsilon}``, where the left
    side is ``TV(p_t^class, p_t^all)``, and ``T_after = sup {t : TV(p_t^class, p_t^rest) >= 1 - epsilon^2}``.  A pair's
    window takes both from ``TV(p_t^a, p_t^b)``.  Exact edges where TV has a closed form.  Else the edges of classes,
    and where half of the information is left, are found twice: on ``times``, then with fresh draws on at most as many
    levels inside the brackets of the first look (all at once).  Each look spends half of ``settings.delta``; the
    intervals are intersected, so that those of one window hold jointly with probability ``>= 1 - settings.delta``;
    the point is where the second look's values cross.  Edges of pairs come from the first look alone.

    The mixture tree links all classes by the merge times of their pairs on the first look (or exactly); the second
    look has levels at the merges and measures every node there.  Each look spends half of ``settings.delta`` on it.

    Args:
        name: one of ``PROCESSES``.
        population: the population.
        settings: what is asked for.
        times: ``[T]`` increasing noise levels; those that a pilot finds (few trajectories at all levels) when None.
        run: devices and checkpoints.
        progress: called with ``(done, total)`` blocks.
        refined: noise levels of the second look, to repeat a run; chosen inside the brackets when None.
        progress_refined: the second look's ``progress``.

    Returns:
        What was found: curves, windows, the tree.

    Raises:
        InvalidInput: bad settings.
        ContractError: the population cannot be evaluated under the process.

    Source: Li, Karan & Chen 2025, Def. 4 and 8.

    """
    checked_choice(name, "name", tuple(PROCESSES))
    check_registered(population, "population", Population)
    checked_kind(settings, "settings", Settings, "Settings").validate(population)
    times = run_pilot(name, population, settings, run).times if times is None else times
    process, began = PROCESSES[name](), time.perf_counter()
    _, key_grid, key_fine = _keys(name, settings.seed)
    options: dict[str, Any] = {"n": settings.n, "delta": settings.delta / 2}
    run = as_plan(run)
    classes = settings.chosen(population)
    statistics = chosen_statistics(population, classes)
    curves = measure(key_grid, process, population, times, statistics, plan=run.reporting(progress), **options)

    w = host_weights(population)
    weights = dict(zip(component_names(population), w, strict=True))
    entropy, epsilon = float(entropy_bits(w)), settings.epsilon
    asked: dict[Any, Crossing] = {"half": Crossing("information", entropy / 2, "first")}
    for a in classes:
        if int(curves["class", a].n) > 0:
            asked[a, "after"] = Crossing(("class", a), 1 - epsilon**2, "last")
            asked[a, "before"] = Crossing(("class", a), epsilon / (1 - weights[a]), "first")
    tree_plan = plan_tree(process, population, curves, epsilon, settings.delta / 2)
    edges, fine = _edges(
        key_fine,
        process,
        population,
        curves,
        asked,
        statistics,
        refined,
        tree_plan,
        plan=run.reporting(progress_refined),
        **options,
    )
    tree = None
    if tree_plan is not None:
        tree = tree_plan.tree(process, population, fine.get("tree"), np.asarray(times, np.float64), settings.delta)
    extra = next((int(c.n) for c in fine.values()), 0)
    within = {
        a: _sampled_window(edges[a, "after"], edges[a, "before"], curves["class", a], a, extra, settings)
        if (a, "after") in edges
        else _exact_window(process, population, a, epsilon)
        for a in classes
    }
    pairs = {
        (k[1], k[2]): _pair_window(process, population, curve, k[1], k[2], settings)
        for k, curve in curves.items()
        if k[0] == "pair"
    }
    seen = next((np.asarray(c.times, np.float64) for c in fine.values()), np.zeros(0))
    half = edges["half"]
    return ProcessWindows(
        name=name,
        process=process,
        curves=curves,
        classes=within,
        pairs=pairs,
        entropy=entropy,
        half=half.value,
        half_interval=half.interval,
        half_status=half.status,
        seconds=time.perf_counter() - began,
        refined=seen,
        tree=tree,
    )


def _edges(
    key: jax.Array,
    process: ObservationProcess,
    population: Population,
    curves: Mapping[Any, Curve],
    asked: Mapping[Any, Crossing],
    statistics: Mapping[Any, Statistic],
    levels: Sequence[float] | None,
    tree_plan: TreePlan | None,
    **options: Any,
) -> tuple[dict[Any, Edge], dict[Any, Curve]]:
    """Find edges on curves, then look once more with fresh draws; return the edges and the new curves.

    The second look has levels inside the brackets of the edges and at the merges of the tree, whose nodes it measures.
    """
    horizon, times = float(process.horizon), np.asarray(curves["information"].times, np.float64)
    edges = {k: q.on(curves, horizon, process.discrete) for k, q in asked.items()}
    brackets = {k: found for k, edge in edges.items() if (found := bracket(edge, times)) is not None}
    merges = tree_plan.levels(times) if tree_plan is not None else np.zeros(0)
    drawn = any(asked[k].curve != "information" for k in brackets)
    if not (drawn or (tree_plan is not None and tree_plan.forms is None and merges.size)) or process.discrete:
        return edges, {}
    if levels is None:
        most = max(len(times) - len(merges), len(times) // 2)
        inside = levels_inside(times, list(brackets.values()), most) if brackets else np.zeros(0)
        levels = np.union1d(inside, merges).tolist()
    wanted: dict[Any, Statistic] = {asked[k].curve: statistics[asked[k].curve] for k in brackets}
    if tree_plan is not None:
        wanted["tree"] = tree_plan.skeleton.statistic
    found = measure(key, process, population, np.asarray(levels, np.float64), wanted, **options)
    for k in brackets:
        edges[k] = combined(edges[k], asked[k].on(found, horizon, process.discrete), asked[k].point_on(found))
    return edges, found


def _sampled_window(after: Edge, before: Edge, curve: Curve, name: str, extra: int, settings: Settings) -> Window:
    after, before = in_order(after, before, "inverted")
    return Window(
        after.value,
        before.value,
        after.interval,
        before.interval,
        after.status,
        before.status,
        settings.epsilon,
        settings.delta,
        int(curve.n) + extra,
        curve.method,
        f"{name} within all",
        time_axis=curve.time_axis,
    )


def _exact_window(process: ObservationProcess, population: Population, name: str, epsilon: float) -> Window:
    everything = list(component_names(population))
    return critical_window(
        jax.random.key(0), process, population, name, everything, epsilon=epsilon, method="closed-form"
    )


def _pair_window(
    process: ObservationProcess, population: Population, curve: Curve, a: str, b: str, settings: Settings
) -> Window:
    if int(curve.n) > 0:
        window = find_window(curve, epsilon=settings.epsilon)
        return replace(window, name=f"{a} against {b}", delta=settings.delta, method=curve.method)
    asked = {
        "before": Question(TV(a, b), settings.epsilon, "first"),
        "after": Question(TV(a, b), 1 - settings.epsilon**2, "last"),
    }
    edges = exact_search(process, population, asked)
    assert edges is not None  # the curve was exact
    before, after = edges["before"], edges["after"]
    return Window(
        after.value,
        before.value,
        after.interval,
        before.interval,
        after.status,
        before.status,
        settings.epsilon,
        0.0,
        0,
        "exact",
        f"{a} against {b}",
        time_axis=process.time_axis,
    )


def decision_order(windows: Mapping[Any, Window]) -> list[Any]:
    """Return the names in the order in which generation settles them: largest ``t_after`` first.

    Generation runs from high noise to low noise, so that what is told apart at a higher noise level is decided
    earlier.  Windows without an edge follow by their status: above the grid first, below it last.

    Args:
        windows: name to window.

    Returns:
        The names.

    """
    good = isinstance(windows, Mapping) and all(isinstance(w, Window) for w in windows.values())
    require(good, "windows", windows, "a mapping from names to windows")

    def key(name: Any) -> tuple[float, float]:
        window = windows[name]
        open_end = {"above_grid": math.inf, "below_grid": -1.0, "empty": -2.0}
        middle = float(np.mean(window.after_interval)) if window.after_interval else -1.0
        after = window.t_after if window.t_after is not None else open_end.get(window.status_after, middle)
        return -after, -(window.t_before if window.t_before is not None else math.inf)

    return sorted(windows, key=key)


def _keys(name: str, seed: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Keys of the pilot and the two passes; a process's numbers do not depend on which others are run."""
    key = jax.random.fold_in(jax.random.key(seed), list(PROCESSES).index(name))
    pilot, grid = jax.random.split(key)
    # Not of a pass's own key: its blocks are folded from that one.
    return pilot, grid, jax.random.fold_in(key, len(PROCESSES))
