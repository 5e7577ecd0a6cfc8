"""Thm. 5 and 6: sparse regression against a null; all or nothing, and sharper the more features there are."""

from __future__ import annotations

import math
from math import comb
from typing import Any

import jax
import numpy as np

import sloc
from sloc.windows import printed

from .all_or_nothing_double import DOUBLE, EPSILON, SAMPLES, SPARSITY, VARIANCE, double_distances, double_edges
from .certified import window_rows
from .rows import Fit, Result, Row, crossing, slope

NAME, CERTIFIED, SLACK = "Thm. 5-6", (20, 100), 0.5
DRAWS = {20: 32_768, 100: 8_192, 300: 2_048}
LEVELS = (0.1, 0.9)
"""The width is between these levels of TV, over N*."""


def samples_of(features: int) -> tuple[sloc.ObservationProcess, sloc.Population]:
    """Return truncation that hides whole samples, and what is sampled."""
    width = features + 1
    steps = sloc.processes.Steps(width * np.arange(SAMPLES + 1))
    process = sloc.processes.Retimed(sloc.processes.Truncation(SAMPLES * width), steps)
    return process, sloc.populations.SparseRegression(VARIANCE, features, SPARSITY, SAMPLES)


def certified(features: int, exact: tuple[float, float], budget: int = 30_000) -> list[Row]:
    """Return the window of the signal within both, in samples removed: certified, exact and printed."""
    window = sloc.critical_window(
        jax.random.key(18), *samples_of(features), 0, [0, 1], epsilon=EPSILON, method="monte-carlo", certify=True,
        budget=budget,
    )  # fmt: skip
    said = printed.sample_window(SAMPLES, features, SPARSITY, VARIANCE, SLACK)
    note = f"printed at δ = {SLACK:g}, of any δ > 0 as n grows: around {(said.after + said.before) / 2:.2f}"
    return window_rows(
        NAME, f"n = {features}, k = {SPARSITY}, σ² = {VARIANCE:g}, N = {SAMPLES}, ε = {EPSILON:g}", exact, window,
        unit="samples removed", said=said, notes=(note, note),
    )  # fmt: skip


def distances(features: int, draws: int) -> sloc.Curve:
    """Return TV of signal and null against samples removed, by draws; posteriors are exact."""
    process, population = samples_of(features)
    return sloc.tv_curve(
        jax.random.key(features), process, population, np.arange(SAMPLES + 1), 0, 1, n=draws, delta=0.01,
        method="monte-carlo",
    )  # fmt: skip


def places(tv: np.ndarray) -> np.ndarray:
    """Return the samples at which TV reaches .1, .5 and .9, interpolated."""
    n = np.arange(SAMPLES + 1)
    return np.array([crossing(n, np.maximum.accumulate(tv), level) for level in (LEVELS[0], 0.5, LEVELS[1])])


def run(draws: dict[int, int] | None = None) -> Result:
    """Return half-way point and relative width by the number of features."""
    draws = draws or DRAWS
    rows, windows, widths, series = [], [], [], {}
    for features, number in draws.items():
        curve = distances(features, number)
        value, lower, upper = (np.asarray(v, np.float64)[::-1] for v in (curve.value, curve.lower, curve.upper))
        unit = printed.sample_threshold(features, SPARSITY, VARIANCE)
        # A curve inside the band crosses between where the band's ends cross.
        middle, early, late = places(value) / unit, places(upper) / unit, places(lower) / unit
        width = (middle[2] - middle[0], max(early[2] - late[0], 1e-9), late[2] - early[0])
        widths.append(width)
        double, error = double_distances(features, DOUBLE[features])
        if features in CERTIFIED:
            windows += certified(features, double_edges(double, error))
        exact = places(double) / unit
        # To first order, as if each of the two crossings were off by itself.
        off = np.array([np.interp(level, double, error) for level in (LEVELS[0], 0.5, LEVELS[1])])
        off = off / np.interp(places(double), np.arange(SAMPLES) + 0.5, np.diff(double)) / unit
        rough = f"exact ± {off[1]:.1g}", f"exact ± {math.hypot(off[0], off[2]):.1g}"
        how, setting = f"{int(curve.n):,} draws", f"n = {features}, k = {SPARSITY}, σ² = {VARIANCE:g}"
        rows += [
            Row(NAME, setting, "samples at TV = ½, over N*", exact[1], middle[1], early[1], late[1], how, 1.0,
                f"N* = {unit:.3f}; asymptotic in n; {rough[0]}"),
            Row(NAME, setting, "width from TV = .1 to .9, over N*", exact[2] - exact[0], *width, how, None,
                f"2δ for any δ > 0 as n grows: falls, slowly; {rough[1]}" + ("" if features in CERTIFIED else
                f"; no window is certified here: a draw sums {comb(features, SPARSITY):,} supports")),
        ]  # fmt: skip
        series[str(features)] = {"tv": value, "lower": lower, "upper": upper, "unit": unit,
                                 "double": double, "error": error}  # fmt: skip
    table = np.array(widths)
    fit = Fit(NAME, "sharpens with n", "n", "width over N*",
              *slope(list(draws), table[:, 0], band=(table[:, 1], table[:, 2])), None)  # fmt: skip
    return Result(rows + windows, [fit], {"curves": series, "n": list(draws), "widths": table})


def draw(axes: Any, found: dict[str, Any]) -> None:
    """Draw TV against samples in units of the threshold, and the widths."""
    from .pictures import BLUE, SOFT, ordered_colours, ticks

    left, right = axes
    for (n, curve), colour in zip(found["curves"].items(), ordered_colours(len(found["n"])), strict=True):
        x = np.arange(SAMPLES + 1) / curve["unit"]
        left.fill_between(x, curve["lower"], curve["upper"], color=colour, alpha=0.2, linewidth=0)
        left.plot(x, curve["tv"], color=colour, marker="o", markersize=3, linewidth=1.2, label=f"n = {n}")
    left.axvline(1, color=SOFT, linestyle=":", label="N*")
    left.set(xlabel="samples, in units of N*", ylabel="TV of signal and null", xlim=(0, 3), title="k = 2, σ² = 0.02")
    left.legend(fontsize=7.5)
    n, widths = found["n"], np.asarray(found["widths"])
    right.vlines(n, widths[:, 1], widths[:, 2], color=BLUE, linewidth=3, alpha=0.4)
    right.plot(n, widths[:, 0], color=BLUE, marker="o", markersize=4)
    right.set(
        xscale="log", xlabel="features n", ylabel="width (TV .1 to .9) over N*", ylim=(0, None), title="sharper with n"
    )
    ticks(right, found["n"])
