"""Windows around the speciation time, certified and exact, and how they follow the leading eigenvalue."""

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

from .atom_windows import exact_window as exact_atom_window
from .atom_windows import first_atom_tv
from .certified import window_rows
from .rows import Fit, Row, slope

NAME, EPSILON, ATOMS = "Biroli et al.", 0.1, 4
DIMENSIONS = (4, 16, 64, 256, 1024)
PROCESS = sloc.processes.OrnsteinUhlenbeck()


def exact_window(size: float, weight: float, epsilon: float = EPSILON) -> tuple[float, float]:
    """Return the window of the first of ``N(+-mu, I)``: ``Phi(-r) = eps^2/2``, ``Phi(r) = 1/2 + eps / (2 (1 - w))``."""
    ends = -norm.ppf(epsilon**2 / 2), norm.ppf(0.5 + epsilon / (2 * (1 - weight)))
    return math.log(size / ends[0]), math.log(size / ends[1])


def certified_window(means: Any, weights: Any, grid: np.ndarray, budget: int, key: int = 21) -> sloc.Window:
    """Return the window of the first class within all, closed forms switched off."""
    population = sloc.populations.GaussianMixture(weights, means)
    return sloc.critical_window(
        jax.random.key(key), PROCESS, population, 0, range(len(means)), epsilon=EPSILON, times=grid,
        method="monte-carlo", certify=True, budget=budget,
    )  # fmt: skip


def few_atoms() -> np.ndarray:
    """Return ``e^{d/2}`` atoms of ``N(0, I_d)`` in few dimensions, ``[7, 4]``."""
    return np.random.default_rng(ATOMS).normal(size=(round(math.exp(ATOMS / 2)), ATOMS))


def windows(budget: int = 120_000) -> list[Row]:
    """Return certified windows of balanced and unbalanced classes, and of one atom among others."""
    rows = []
    for size, weight in ((4.0, 0.5), (100.0, 0.01)):
        eigenvalue = 1 + 4 * weight * (1 - weight) * size**2
        exact, means = exact_window(size, weight), np.array([[size, 0.0], [-size, 0.0]])
        grid = np.linspace(max(exact[0] - 1, 0.1), exact[1] + 1, 48)
        window = certified_window(means, [weight, 1 - weight], grid, budget)
        notes = ("one time is printed, no edge", f"t_S = {printed.speciation_time(eigenvalue):.4f}")
        rows += window_rows(NAME, f"|μ| = {size:g}, w = {weight:g}, ε = {EPSILON:g}", exact, window, notes=notes)
    atoms = few_atoms()
    exact = exact_atom_window(lambda r: first_atom_tv(atoms, r), len(atoms) - 1, EPSILON, (0.01, 5.0))
    window = sloc.critical_window(
        jax.random.key(22), PROCESS, sloc.populations.Empirical(atoms), 0, range(len(atoms)), epsilon=EPSILON,
        times=np.geomspace(0.005, 5, 48), method="monte-carlo", certify=True, budget=budget,
    )  # fmt: skip
    setting = f"{len(atoms)} atoms of N(0, I), d = {ATOMS}, ε = {EPSILON:g}, the first within all"
    said = printed.collapse_time(len(atoms), ATOMS)
    return rows + window_rows(NAME, setting, exact, window, notes=("one time is printed, no edge", f"t_C = {said:.4f}"))


def half_time(size: float) -> float:
    """Return the noise at which two clones agree three times in four, by quadrature: ``E sum pi^2 = 3/4``."""

    def agree(t: float) -> float:
        r = size * math.exp(-t)
        value: Any = quad(lambda z: norm.pdf(z) / (1 + math.exp(min(-2 * r * (z + r), 700.0))), -12, 12, epsabs=1e-12)
        return float(value[0])

    found: Any = brentq(lambda t: agree(t) - 0.75, math.log(size) - 2, math.log(size) + 2, xtol=1e-12)
    return float(found)


def scaling(budget: int = 60_000) -> tuple[list[Fit], dict[str, Any]]:
    """Return how half-time and window follow ``Lambda = 1 + 4 d`` and ``d``, and both by dimension.

    Means are ``+-(2, .., 2)`` in ``d`` dimensions.
    """
    eigenvalues, halves, found = [1 + 4 * d for d in DIMENSIONS], [half_time(2 * math.sqrt(d)) for d in DIMENSIONS], []
    for d in DIMENSIONS:
        mean, exact = 2 * np.ones(d), exact_window(2 * math.sqrt(d), 0.5)
        window = certified_window([mean, -mean], [0.5, 0.5], np.linspace(max(exact[0] - 1, 0.02), exact[1] + 1, 48),
                                  budget, d)  # fmt: skip
        assert window.after_interval is not None
        assert window.before_interval is not None
        found.append((window.after_interval, window.before_interval))
    table, fits = np.array(found), []
    for name, x in (("Λ = 1 + 4d", eigenvalues), ("d", DIMENSIONS)):
        claim, bend = ("t_S = ½ ln Λ", ("1/Λ", 1 / np.array(x))) if x is eigenvalues else ("t_S ~ ½ ln d", None)
        fits.append(
            Fit(NAME, claim, name, "exact t at which clones agree ¾ (slope in ln)",
                *slope(x, halves, log_y=False, bend=bend), 0.5)
        )  # fmt: skip
        for i, edge in enumerate(("T_after", "T_before")):
            low, high = table[:, i, 0], table[:, i, 1]
            fits.append(
                Fit(NAME, claim, name, f"certified {edge} (slope in ln)",
                    *slope(x, (low + high) / 2, band=(low, high), log_y=False, bend=bend), 0.5)
            )  # fmt: skip
    return fits, {"d": DIMENSIONS, "halves": halves, "certified": table}
