"""The numbers behind ``sloc window``: a pass over a grid of noise levels, and one inside the edges' brackets."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import jax
import numpy as np

from sloc.contracts import GaussianChannel, ObservationProcess, Population, component_names, require
from sloc.divergence import TV, Clones, Information, Labels, closed_tv, measure
from sloc.divergence.checks import checked_count, checked_level, checked_pair
from sloc.divergence.statistics import Statistic
from sloc.engine import Progress
from sloc.processes import FlowMatching, Masking, OrnsteinUhlenbeck, VarianceExploding
from sloc.report.window_refine import Crossing, bracket, combined, levels_inside
from sloc.results import Curve, Window
from sloc.windows import Edge, critical_window, exact_edge, find_window
from sloc.windows.critical import in_order

PROCESSES: dict[str, type[ObservationProcess]] = {
    "ou": OrnsteinUhlenbeck,
    "ve": VarianceExploding,
    "flow": FlowMatching,
    "masking": Masking,
}
"""The processes of the command line, in the order that numbers their keys."""
MOST_PAIRS = 300
"""More pairs than this are not measured one by one."""
MOST_LABELLED = 64
"""More classes than this have no label curves."""
_PILOT_DRAWS = 4096


@dataclass(frozen=True)
class Settings:
    """What a window run is asked for.

    Attributes:
        epsilon: threshold of Li, Karan & Chen 2025, Def. 4.
        n: trajectories of each pass, rounded up to whole blocks.
        times: how many noise levels.
        seed: seed of the key.
        classes: names of the classes reported; empty for all.
        delta: error level of the two intervals of each window jointly; half of it is each curve's band's.
        devices: how many local devices; None for all.

    """

    epsilon: float = 0.1
    n: int = 65_536
    times: int = 64
    seed: int = 0
    classes: tuple[str, ...] = ()
    delta: float = 0.05
    devices: int | None = None

    def validate(self, population: Population) -> None:
        """Refuse settings that cannot be run, before anything is traced.

        Raises:
            InvalidInput: the first that is wrong.

        """
        checked_level(self.epsilon, "--epsilon")
        checked_level(self.delta, "--delta")
        checked_count(self.n, "--n")
        require(8 <= self.times <= 4096, "--times", self.times, "a number of noise levels, 8 to 4096")
        require(0 <= self.seed < 2**32, "--seed", self.seed, "a whole number from 0 to 2^32 - 1")
        count = jax.local_device_count()
        require(
            self.devices is None or 1 <= self.devices <= count,
            "--devices",
            self.devices,
            f"1 to {count}, the devices there are",
        )
        names = component_names(population)
        for name in self.classes:
            require(name in names, "--classes", name, f"one of {', '.join(names[:40])}")
        require(len(set(self.classes)) == len(self.classes), "--classes", self.classes, "each class once")

    def chosen(self, population: Population) -> tuple[str, ...]:
        """Return the classes reported."""
        return self.classes or component_names(population)


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
        half: where half of it is left: ``inf {t : I(theta; Y_t) <= H / 2}``.
        seconds: how long it took.
        refined: noise levels of the second pass, inside the brackets of the edges; empty where there was none.

    """

    name: str
    process: ObservationProcess
    curves: Mapping[Any, Curve]
    classes: Mapping[str, Window]
    pairs: Mapping[tuple[str, str], Window]
    entropy: float
    half: Edge
    seconds: float
    refined: np.ndarray

    @property
    def times(self) -> np.ndarray:
        """The noise levels."""
        return np.asarray(self.curves["information"].times, np.float64)

    @property
    def draws(self) -> int:
        """Trajectories of the curves; as many fresh ones are behind the second pass."""
        return int(self.curves["information"].n)


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


def run_pilot(name: str, population: Population, settings: Settings) -> Pilot:
    """Look at all noise levels with few trajectories; choose where to look closely, and time a block.

    Args:
        name: one of :data:`PROCESSES`.
        population: the population.
        settings: what is asked for.

    Raises:
        InvalidInput: bad settings.
        ContractError: the population cannot be evaluated under the process.

    """
    process = PROCESSES[name]()
    checked_pair(process, population)
    wide = _wide_grid(process, settings.times)
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
        devices=settings.devices,
        progress=mark,
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
            [entropy_bits(population), *[1.0] * sum(k[0] == "class" for k in curves)],
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
    times: np.ndarray,
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

    Args:
        name: one of :data:`PROCESSES`.
        population: the population.
        settings: what is asked for.
        times: increasing noise levels.
        progress: called with ``(done, total)`` blocks.
        refined: noise levels of the second look, to repeat a run; chosen inside the brackets when None.
        progress_refined: the second look's ``progress``.

    Raises:
        InvalidInput: bad settings.
        ContractError: the population cannot be evaluated under the process.

    Source: Li, Karan & Chen 2025, Def. 4.

    """
    process, began = PROCESSES[name](), time.perf_counter()
    _, key_grid, key_fine = _keys(name, settings.seed)
    options: dict[str, Any] = {"n": settings.n, "delta": settings.delta / 2, "devices": settings.devices}
    classes = settings.chosen(population)
    statistics = chosen_statistics(population, classes)
    curves = measure(key_grid, process, population, times, statistics, progress=progress, **options)

    weights = dict(zip(component_names(population), _weights(population), strict=True))
    entropy, epsilon = entropy_bits(population), settings.epsilon
    asked: dict[Any, Crossing] = {"half": Crossing("information", entropy / 2, "first")}
    for a in classes:
        if int(curves["class", a].n) > 0:
            asked[a, "after"] = Crossing(("class", a), 1 - epsilon**2, "last")
            asked[a, "before"] = Crossing(("class", a), epsilon / (1 - weights[a]), "first")
    edges, fine = _edges(
        key_fine, process, population, curves, asked, statistics, refined, progress=progress_refined, **options
    )
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
    return ProcessWindows(
        name, process, curves, within, pairs, entropy, edges["half"], time.perf_counter() - began, seen
    )


def _edges(
    key: jax.Array,
    process: ObservationProcess,
    population: Population,
    curves: Mapping[Any, Curve],
    asked: Mapping[Any, Crossing],
    statistics: Mapping[Any, Statistic],
    levels: Sequence[float] | None,
    **options: Any,
) -> tuple[dict[Any, Edge], dict[Any, Curve]]:
    """Find edges on curves, then once more on fresh draws inside their brackets; return them and the new curves."""
    horizon, times = float(process.horizon), np.asarray(curves["information"].times, np.float64)
    edges = {k: q.on(curves, horizon, process.discrete) for k, q in asked.items()}
    brackets = {k: found for k, edge in edges.items() if (found := bracket(edge, times)) is not None}
    if not any(asked[k].curve != "information" for k in brackets) or process.discrete:
        return edges, {}
    fine = levels_inside(times, list(brackets.values()), len(times)) if levels is None else np.asarray(levels)
    wanted = {asked[k].curve: statistics[asked[k].curve] for k in brackets}
    found = measure(key, process, population, fine, wanted, **options)
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
    names = component_names(population)
    left, right = (np.asarray([n == x for n in names]) for x in (a, b))

    def quantity(t: float) -> float:
        value = closed_tv(process, population, left, right, t)
        assert value is not None  # the curve was exact
        return value

    options = {"horizon": float(process.horizon), "discrete": process.discrete}
    before = exact_edge(quantity, settings.epsilon, "first", **options)
    after = exact_edge(quantity, 1 - settings.epsilon**2, "last", **options)
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
    )


def entropy_bits(population: Population) -> float:
    """Return the entropy of the weights in bits, ``-sum_theta w_theta log2 w_theta``."""
    w = _weights(population)
    return float(-(w[w > 0] * np.log2(w[w > 0])).sum())


def decision_order(windows: Mapping[Any, Window]) -> list[Any]:
    """Return the names in the order in which generation settles them: largest ``t_after`` first.

    Generation runs from high noise to low noise, so that what is told apart at a higher noise level is decided
    earlier.  Windows without an edge follow by their status: above the grid first, below it last.
    """

    def key(name: Any) -> tuple[float, float]:
        window = windows[name]
        open_end = {"above_grid": math.inf, "below_grid": -1.0, "empty": -2.0}
        middle = float(np.mean(window.after_interval)) if window.after_interval else -1.0
        after = window.t_after if window.t_after is not None else open_end.get(window.status_after, middle)
        return -after, -(window.t_before if window.t_before is not None else math.inf)

    return sorted(windows, key=key)


def spread_times(
    times: np.ndarray, curves: Sequence[Curve], tops: Sequence[float], count: int, epsilon: float
) -> np.ndarray:
    """Return ``count`` times that lie densely where non-increasing curves move between full and nothing.

    A quarter of them is even over the moving part of ``times``, the rest even in the mean fall of the curves on the
    scale ``arcsin sqrt``, which is finer near the thresholds; the first one of ``times`` is kept, so that the curves
    start where nothing is lost.

    Args:
        times: where the curves were looked at, increasing.
        curves: scalar curves on ``times``.
        tops: the value of each curve at ``t = 0``.
        count: how many times to return.
        epsilon: threshold of the windows: curves count as full above ``1 - epsilon^2 / 5`` of their top, as gone
            below ``epsilon / 4`` of it.

    """
    falls = np.stack(
        [np.minimum.accumulate(np.asarray(c.value, np.float64)) / top for c, top in zip(curves, tops, strict=True)]
    ).clip(0.0, 1.0)
    full = (falls >= 1 - epsilon**2 / 5).all(axis=0)
    gone = (falls <= epsilon / 4).all(axis=0)
    low = max(int(np.argmin(full)) - 1, 0) if not full.all() else 0
    high = int(np.argmax(gone)) if gone.any() else len(times) - 1
    high = max(high, low + 1)
    moving = times[low : high + 1]
    fall = np.arcsin(np.sqrt(falls)).mean(axis=0)[low : high + 1]
    step = np.linspace(0.0, 1.0, len(moving))
    level = 0.25 * step + 0.75 * (fall[0] - fall) / max(fall[0] - fall[-1], 1e-12)
    head = [float(times[0])] if low > 0 else []
    inner = np.interp(np.linspace(0, level[-1], count - len(head)), level, moving)
    # Few digits: the same levels come out where sums are taken in another order, and people read them.
    spread = np.clip([float(f"{t:.5g}") for t in inner], times[0], times[-1])
    spread = np.unique(np.concatenate([head, spread]))
    while len(spread) < count:
        i = int(np.argmax(np.diff(spread)))
        spread = np.insert(spread, i + 1, (spread[i] + spread[i + 1]) / 2)
    return spread[:count]


def _wide_grid(process: ObservationProcess, count: int) -> np.ndarray:
    """Return the process's own grid with a part of it closing in on ends that the grid keeps away from."""
    horizon = float(process.horizon)
    if process.discrete or not np.isfinite(horizon):
        return np.asarray(process.grid(count), np.float64)
    closer = min(8, count // 4)
    # A grid even in log-SNR is close to zero already.
    below = 0 if isinstance(process, GaussianChannel) else closer // 2
    base = np.asarray(process.grid(count - closer), np.float64)
    near_zero = base[0] * 0.5 ** np.arange(below, 0, -1)
    near_end = horizon - (horizon - base[-1]) * 0.5 ** np.arange(1, closer - below + 1)
    return np.concatenate([near_zero, base, near_end])


def _weights(population: Population) -> np.ndarray:
    w = np.exp(np.asarray(population.log_weights, np.float64))
    return w / w.sum()


def _keys(name: str, seed: int) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Keys of the pilot and the two passes; a process's numbers do not depend on which others are run."""
    key = jax.random.fold_in(jax.random.key(seed), list(PROCESSES).index(name))
    pilot, grid = jax.random.split(key)
    # Not of a pass's own key: its blocks are folded from that one.
    return pilot, grid, jax.random.fold_in(key, len(PROCESSES))
