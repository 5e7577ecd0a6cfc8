"""Which way to a total variation: by what is known of the types, then by pilot draws, or by name.

``auto`` looks in this order.

1. Closed form (``sloc.divergence.closed_forms``): exact, no draws.
2. Labelled atoms under a revealing channel of fixed order (``sloc.divergence.masks``): exact, no draws.
3. Where the pair has a bridge, a pilot per time (``sloc.divergence.pilot``): balanced draws or bridges, whichever
   has less variance for its time; in practice bridges where ``1 - TV`` is below some 0.15.
4. Balanced draws.

Masks of a random order are sampled by name only: measured on a CPU, a mask took the time of 20 draws for 16 atoms
and of 800 for 360, and was worth 2 to 20 of them.  Where values are traced nothing can be looked at, and ``auto``
means balanced draws.
"""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from sloc.contracts import (
    ObservationProcess,
    Population,
    RevealingChannel,
    Sets,
    component_mask,
    is_concrete,
)
from sloc.contracts.arguments import checked_level
from sloc.divergence.bridge_setup import has_bridge
from sloc.divergence.bridges import bridge_overlap
from sloc.divergence.checks import (
    as_times,
    checked_count,
    checked_interval,
    checked_key,
    checked_pair,
    checked_tv_method,
)
from sloc.divergence.intervals import tighten
from sloc.divergence.masks import is_fixed_order, mask_overlap
from sloc.divergence.measurement import closed_curve, measure
from sloc.divergence.paths import shortcut
from sloc.divergence.pilot import compare_estimators
from sloc.divergence.quasi import sobol_curve
from sloc.divergence.statistics import TV, disjoint_pair
from sloc.engine.plan import Plan
from sloc.populations import Empirical
from sloc.results.curve import Curve

Array = jax.Array

PILOT_DRAWS = 2048
"""Draws of the pilot, or an eighth of the draws asked for where that is less, but at least 512."""
MOST_NUMBERS = 1 << 22
"""Pairs of components or atoms, times the number of times, up to which ``auto`` considers the bridge."""

BRIDGE_COST = 6.0
"""Balanced draws that take the time of one bridge draw (3 to 10 measured on a CPU, K from 2 to 32, 1 and 16 times)."""

_SALT = 0x70696C6F
"""Sets the pilot's key apart from the blocks of the estimate."""


def tv_by_regime(
    key: Array,
    process: ObservationProcess,
    population: Population,
    times: Any,
    a: Sets,
    b: Sets,
    *,
    n: int,
    delta: float = 0.05,
    method: str = "auto",
    interval: str = "maurer-pontil",
    plan: Plan | None = None,
) -> Curve:
    """Total variation over times by the way that ``method`` names or the regime asks for; see the module.

    See :func:`sloc.tv_curve` for the arguments.
    """
    method, interval = checked_tv_method(method), checked_interval(interval)
    checked = checked_pair(process, population)
    given = as_times(*checked, times)[0]
    n, delta, key = checked_count(n), checked_level(delta, "delta"), checked_key(key)
    tv = TV(component_mask(population, a, "a"), component_mask(population, b, "b"))
    options: dict[str, Any] = {"interval": interval, "plan": plan}

    def balanced(at: Any, level: float, way: str = "monte-carlo") -> Curve:
        return measure(key, process, population, at, [tv], n=n, delta=level, method=way, **options)[tv]

    def bridged(at: Any, level: float) -> Curve:
        return _of_overlap(bridge_overlap(key, process, population, at, tv.a, tv.b, n=n, delta=level, **options))

    def masked() -> Curve:
        return _of_overlap(mask_overlap(key, process, population, times, tv.a, tv.b, n=n, delta=delta, **options))

    concrete = is_concrete(process, population, times, key)
    if method == "bridge":
        return bridged(times, delta)
    if method == "mask-conditioned":
        return masked()
    if method == "sobol":
        return sobol_curve(key, process, population, given, tv.a, tv.b, n=n)
    if method != "auto" or not concrete:
        return balanced(times, delta, method)
    exact = closed_curve(process, population, given, tv.bind(population))
    if exact is not None:
        return exact
    if _in_fixed_order(*checked):
        return masked()
    pilot = min(PILOT_DRAWS, max(n // 8, 512))
    bridge, looked = _where_bridge_wins(jax.random.fold_in(key, _SALT), *checked, given, tv, pilot, plan)
    parts = []
    for where, way in ((np.flatnonzero(~bridge), balanced), (np.flatnonzero(bridge), bridged)):
        if where.size:
            parts.append((where, way(np.asarray(given)[where], delta * where.size / len(given))))
    return _merged(given, parts, delta, f"; chosen by {looked:,} pilot draws" if looked else "")


def _in_fixed_order(process: ObservationProcess, population: Population) -> bool:
    """Whether the masks of labelled atoms are not random, so that their overlap is a finite sum."""
    if not isinstance(process, RevealingChannel) or type(population) is not Empirical:
        return False
    array = isinstance(population.data, (jax.Array, np.ndarray))
    return array and shortcut(process, population) is not None and is_fixed_order(process, population)


def _where_bridge_wins(
    key: Array, process: ObservationProcess, population: Population, times: Any, tv: TV, n: int, plan: Plan | None
) -> tuple[np.ndarray, int]:
    """Return where a bridge has less variance than balanced draws that take its time, and the pilot's draws."""
    left, right, *_ = disjoint_pair(component_mask(population, tv.a, "a"), component_mask(population, tv.b, "b"))
    each = np.asarray(population.counts) if isinstance(population, Empirical) else np.ones(len(left), int)
    pairs = int(each[left].sum()) * int(each[right].sum())
    if pairs * len(times) > MOST_NUMBERS or not has_bridge(process, population):
        return np.zeros(len(times), bool), 0
    report = compare_estimators(key, process, population, times, tv.a, tv.b, n=n, plan=plan)
    return BRIDGE_COST * report.bridge < report.balanced, report.n


def _of_overlap(curve: Curve) -> Curve:
    """Turn a curve of ``1 - TV`` into one of ``TV``."""
    name = curve.quantity.removeprefix("1 - ")
    return Curve(
        curve.times,
        1 - curve.value,
        curve.stderr,
        1 - curve.upper,
        1 - curve.lower,
        curve.n,
        curve.method,
        name,
        delta=curve.delta,
        time_axis=curve.time_axis,
    )


def _merged(times: Any, parts: list[tuple[np.ndarray, Curve]], delta: float, words: str) -> Curve:
    """Put curves on parts of the times together; their bands hold jointly, so the whole may be tightened once more.

    Each part has its share of ``delta`` by the number of its times; an exact part spends none.
    """
    order = np.argsort(np.concatenate([where for where, _ in parts]))

    def whole(field: str) -> np.ndarray:
        return np.concatenate([np.asarray(getattr(curve, field), np.float64) for _, curve in parts])[order]

    lower, upper = tighten(whole("lower"), whole("upper"))
    method = parts[0][1].method
    if len(parts) > 1:
        method = "; ".join(f"{curve.method} at {where.size} of {len(times)} times" for where, curve in parts)
    draws = sum(int(curve.n) for _, curve in parts)
    level = min(delta, sum(float(curve.delta) for _, curve in parts))  # the sum of shares may round above the whole
    quantity = parts[0][1].quantity
    return Curve(
        times,
        whole("value"),
        whole("stderr"),
        lower,
        upper,
        draws,
        method + words,
        quantity,
        delta=level,
        time_axis=parts[0][1].time_axis,
    )
