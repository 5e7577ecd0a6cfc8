"""Ex. 3: two strings at Hamming distance h under masking."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

import sloc
from sloc.windows import printed

from .rows import Fit, Result, Row, ends, slope

NAME, DISTANCE, EPSILON = "Ex. 3", 10, 0.1
DISTANCES = (40, 160, 640, 2560, 10240)


def strings(distance: int, weight: float = 0.5) -> sloc.populations.Empirical:
    """Return two strings that differ in ``distance`` places, the first of a given weight."""
    return sloc.populations.Empirical(
        np.stack([np.zeros(distance, int), np.ones(distance, int)]), weights=[weight, 1 - weight]
    )


def exact_edges(distance: int, epsilon: float, weight: float = 0.5) -> tuple[float, float]:
    """Return ``eps^{2/h}`` and ``(1 - eps / (1 - w))_+^{1/h}``."""
    return epsilon ** (2 / distance), max(0.0, 1 - epsilon / (1 - weight)) ** (1 / distance)


SHARE = 0.9


def mass(weight: float, n: int = 100_000) -> Row:
    """Return the posterior mass of the other string, ``E[1 - pi] = (1 - w) t^h``, at one share of masked letters."""
    curve = sloc.measure(
        jax.random.key(22), sloc.processes.Masking(), strings(DISTANCE, weight), [SHARE], {"it": sloc.Misassignment(0)},
        n=n, delta=1e-6, method="monte-carlo",
    )["it"]  # fmt: skip
    found, low, high = (float(np.asarray(v)[0]) for v in (curve.value, curve.lower, curve.upper))
    return Row(
        NAME, f"h = {DISTANCE}, w = {weight:g}", f"posterior mass E[1-π] at t = {SHARE:g}",
        (1 - weight) * SHARE**DISTANCE, found, low, high, f"{int(curve.n):,} draws", None,
        "(1-w) t^h: the prior, where no place that differs is seen",
    )  # fmt: skip


def run(budget: int = 150_000) -> Result:
    """Return the window at three weights, and how its width shrinks with the distance."""
    process, key, rows = sloc.processes.Masking(), jax.random.key(3), []
    said = printed.masked_pair_edges(DISTANCE, EPSILON)
    for weight in (0.5, 0.95):
        window = sloc.critical_window(key, process, strings(DISTANCE, weight), 0, [0, 1], epsilon=EPSILON)
        setting = f"h = {DISTANCE}, w = {weight:g}, ε = {EPSILON:g}"
        after, before = exact_edges(DISTANCE, EPSILON, weight)
        lopsided = "the two never merge within ε of the whole: T_before < T_after, status inverted"
        rows += [
            Row(NAME, setting, "T_after", after, *ends(window.t_after, window.after_interval), "closed form",
                said.after, "exact as printed"),
            Row(NAME, setting, "T_before", before, *ends(window.t_before, window.before_interval), "closed form",
                said.before, "compares the two with each other, not with the whole" if weight == 0.5 else lopsided),
        ]  # fmt: skip
    sampled = sloc.critical_window(
        key, process, strings(DISTANCE), 0, [0, 1], epsilon=EPSILON, method="monte-carlo", certify=True, budget=budget
    )
    how = f"certified, {sampled.draws:,} draws"
    setting = f"h = {DISTANCE}, w = 0.5, ε = {EPSILON:g}"
    edges = exact_edges(DISTANCE, EPSILON)
    rows += [
        Row(NAME, setting, "T_after", edges[0], *ends(sampled.t_after, sampled.after_interval), how, said.after),
        Row(NAME, setting, "T_before", edges[1], *ends(sampled.t_before, sampled.before_interval), how, said.before),
    ]
    rows += [mass(weight) for weight in (0.5, 0.95)]
    windows = [sloc.critical_window(key, process, strings(h), 0, [0, 1], epsilon=EPSILON) for h in DISTANCES]
    edges = np.array([[w.t_after, w.t_before] for w in windows], np.float64)
    bend = ("1/h", 1 / np.array(DISTANCES))
    fit = Fit(NAME, "width O(1/h)", "h", "T_before - T_after",
              *slope(DISTANCES, edges[:, 1] - edges[:, 0], bend=bend), -1.0)  # fmt: skip
    return Result(
        rows, [fit], {"h": DISTANCES, "edges": edges, "exact": exact_edges(DISTANCE, EPSILON), "printed": said}
    )


def draw(axes: Any, found: dict[str, Any]) -> None:
    """Draw TV at one distance, and the width against the distance."""
    from .pictures import BLUE, ORANGE, SOFT, span

    left, right = axes
    t = np.linspace(0, 1, 201)
    left.plot(t, 1 - t**DISTANCE, color=BLUE)
    span(left, found["exact"], BLUE, "exact window", 0.0)
    span(left, found["printed"], ORANGE, "printed", 0.06)
    left.set(
        xlabel="share of letters masked, t", ylabel="TV of the two strings", title=f"h = {DISTANCE}, ε = {EPSILON:g}"
    )
    left.legend(fontsize=7.5, loc="center left")
    edges, h = np.asarray(found["edges"]), np.asarray(found["h"], float)
    width = edges[:, 1] - edges[:, 0]
    right.plot(h, width, color=BLUE, marker="o", markersize=4, label="exact width")
    right.plot(h, width[-1] * h[-1] / h, color=SOFT, linestyle=":", label="slope −1")
    right.set(
        xscale="log",
        yscale="log",
        xlabel="Hamming distance h",
        ylabel="T_before − T_after (share masked)",
        title="width O(1/h)",
    )
    right.legend(fontsize=7.5)
