"""Ex. 1: two Gaussians N(+-mu, I) under the Ornstein-Uhlenbeck process."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.stats import norm

import sloc
from sloc.windows import printed
from sloc.windows.edges import edge_on_grid

from .certified import window_rows
from .rows import Fit, Result, Row, ends, slope

NAME, NORM, EPSILON, WEIGHTS = "Ex. 1", 4.0, 0.1, (0.2, 0.8)
DIMENSIONS = (1, 4, 16, 64, 256, 1024)


def pair(mean: np.ndarray, weight: float = 0.5) -> sloc.populations.GaussianMixture:
    """Return the mixture of ``N(mean, I)``, of a given weight, and ``N(-mean, I)``."""
    return sloc.populations.GaussianMixture([weight, 1 - weight], np.stack([mean, -mean]))


def exact_edges(size: float, epsilon: float, weight: float = 0.5) -> tuple[float, float]:
    """Return the window of the first in closed form: ``Phi(-r) = eps^2/2``, ``Phi(r) = 1/2 + eps / 2 (1 - w)``."""
    share = epsilon / (1 - weight)
    return math.log(size / -norm.ppf(epsilon**2 / 2)), math.log(size / norm.ppf(0.5 + share / 2))


def lopsided(key: Any, budget: int) -> list[Row]:
    """Return the certified windows of the lighter and of the heavier of two classes."""
    process, mean, rows = sloc.processes.OrnsteinUhlenbeck(), np.array([0.0, 0.0, NORM]), []
    for weight in WEIGHTS:
        window = sloc.critical_window(
            key, process, pair(mean, weight), 0, [0, 1], epsilon=EPSILON, method="monte-carlo", certify=True,
            budget=budget,
        )  # fmt: skip
        notes = ("free of the weights", "the less the others weigh, the nearer the first is to the whole")
        setting = f"|μ| = {NORM:g}, ε = {EPSILON:g}, w = {weight:g}"
        rows += window_rows(
            NAME, setting, exact_edges(NORM, EPSILON, weight), window, said=printed.gaussian_pair_edges(NORM, EPSILON),
            notes=notes,
        )  # fmt: skip
    return rows


def lost_mass(r: float) -> float:
    """Return ``E[1 - pi]`` of ``N(r, 1)`` against ``N(-r, 1)`` by quadrature."""
    found: Any = quad(lambda z: norm.pdf(z) / (1 + math.exp(min(2 * r * (z + r), 700))), -12, 12, epsabs=1e-13)
    return float(found[0])


def run(budget: int = 200_000) -> Result:
    """Return the table of the example, and the widths of windows in many dimensions."""
    process, key = sloc.processes.OrnsteinUhlenbeck(), jax.random.key(1)
    mean = np.array([0.0, 0.0, NORM])
    sampled = sloc.critical_window(
        key, process, pair(mean), 0, [0, 1], epsilon=EPSILON, method="monte-carlo", certify=True, budget=budget
    )
    after, before = exact_edges(NORM, EPSILON)
    said = printed.gaussian_pair_edges(NORM, EPSILON)
    found: Any = brentq(lambda t: lost_mass(NORM * math.exp(-t)) - EPSILON, 0.1, 3.0)
    mass = float(found)
    times = np.linspace(0.9, 1.08, 19)
    curve = sloc.measure(key, process, pair(mean), times, {"it": sloc.Misassignment(0)}, n=4 * budget, delta=1e-6)["it"]
    # Mass is lost as time grows: what is kept falls.
    kept, least, most = (1 - np.asarray(c) for c in (curve.value, curve.upper, curve.lower))
    reached = edge_on_grid(times, kept, least, most, 1 - EPSILON, "last")
    widest: Any = brentq(lambda e: printed.gaussian_pair_edges(1, e).after - exact_edges(1, e)[0], 0.1, 0.6)
    setting, how = f"|μ| = {NORM:g}, ε = {EPSILON:g}, d = 3", f"certified, {sampled.draws:,} draws"

    def row(
        quantity: str,
        exact: float,
        library: tuple[float | None, float | None, float | None],
        number: float,
        note: str,
        method: str = how,
    ) -> Row:
        return Row(NAME, setting, quantity, exact, *library, method, number, note)

    proof, half = (printed.gaussian_pair_after_from_proof(NORM, EPSILON, c) for c in (math.sqrt(0.5), 0.5))
    mass_note = f"bounds the posterior mass, not the definition's TV; with the lemma's ½: {half:.4f}"
    rows = [
        row("T_after", after, ends(sampled.t_after, sampled.after_interval), said.after, "double logarithm not halved"),
        row("T_before", before, ends(sampled.t_before, sampled.before_interval), said.before,
            "about ln 5 too late at any small ε"),
        row("E[1-π] = ε, T_after of the proof", mass, ends(reached.value, reached.interval), proof, mass_note,
            f"{int(curve.n):,} draws"),
        Row(NAME, "any |μ|", "largest ε at which the printed T_after is one", float(widest), None, None, None, "", None,
            "beyond it the printed T_after lies above the exact edge"),
    ]  # fmt: skip
    windows = [
        sloc.critical_window(key, process, pair(NORM * np.ones(d)), 0, [0, 1], epsilon=EPSILON) for d in DIMENSIONS
    ]
    edges = np.array([[w.t_after, w.t_before] for w in windows], np.float64)
    widths = edges[:, 1] - edges[:, 0]
    fits = [
        Fit(NAME, "width free of d", "d (each coordinate of μ is 4)", "T_before - T_after",
            *slope(DIMENSIONS, widths), 0.0),
        Fit(NAME, "place ½ ln d", "d", "T_before (slope in ln d)", *slope(DIMENSIONS, edges[:, 1], log_y=False), 0.5),
    ]  # fmt: skip
    grid = np.linspace(0, 5, 101)
    tv = 2 * norm.cdf(NORM * np.exp(-grid)) - 1
    series = {"t": grid, "tv": tv, "d": DIMENSIONS, "edges": edges, "printed": said, "exact": (after, before)}
    return Result(rows + lopsided(key, budget), fits, series)


def draw(axes: Any, found: dict[str, Any]) -> None:
    """Draw TV with both windows, and the window against the dimension."""
    from .pictures import BLUE, ORANGE, span, ticks

    left, right = axes
    left.plot(found["t"], found["tv"], color=BLUE)
    span(left, found["exact"], BLUE, "exact window", 0.0)
    span(left, found["printed"], ORANGE, "printed", 0.06)
    left.set(xlabel="noise level t (OU time)", ylabel="TV(p⁺, p⁻)", title=f"|μ| = {NORM:g}, ε = {EPSILON:g}")
    left.legend(fontsize=7.5)
    edges = np.asarray(found["edges"])
    right.fill_between(found["d"], edges[:, 0], edges[:, 1], color=BLUE, alpha=0.25, linewidth=0)
    right.plot(found["d"], edges[:, 1], color=BLUE, marker="o", markersize=3, label="T_before")
    right.plot(found["d"], edges[:, 0], color=ORANGE, marker="s", markersize=3, label="T_after")
    right.set(
        xscale="log", xlabel="dimension d, |μ| = 4 √d", ylabel="noise level t (OU time)", title="one width in all d"
    )
    right.legend(fontsize=7.5)
    ticks(right, found["d"])
