"""Ex. 2: four Gaussians with random means; the window of the first within all of them, in many dimensions."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp

import sloc
from sloc.windows import printed

from . import gaussian_certificate as certificate
from .rows import Fit, Result, Row, ends, slope

NAME, EPSILON, CLASSES, SCALE = "Ex. 2", 0.1, 4, 6.0
DIMENSIONS, BEYOND = (4, 16, 64, 256, 1024), (4096, 16384, 65536)


def means(d: int) -> np.ndarray:
    """Return four means, each coordinate ``N(0, SCALE^2)``."""
    return SCALE * np.random.default_rng(d).normal(size=(CLASSES, d))


def reduced(mu: np.ndarray) -> np.ndarray:
    """Return the means in coordinates of their span (shared spherical covariance: the rest is noise), ``[K, K-1]``."""
    u, s, _ = np.linalg.svd(mu - mu.mean(0), full_matrices=False)
    return (u * s)[:, : len(mu) - 1]


def first_against_rest(points: np.ndarray, spacing: float = 0.22) -> float:
    """Return ``TV(N(m_0, I), mean of the others)`` in three dimensions: a sum over a lattice."""
    axes = [np.arange(c.min() - 6.2, c.max() + 6.2, spacing) for c in points.T]
    y = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, points.shape[1])
    logs = -0.5 * ((y[None] - points[:, None]) ** 2).sum(-1) - points.shape[1] / 2 * math.log(2 * math.pi)
    first, rest = logs[0], np.asarray(logsumexp(logs[1:], axis=0)) - math.log(len(points) - 1)
    return 1 - float(np.exp(np.minimum(first, rest)).sum() * spacing ** points.shape[1])


def exact_edges(mu: np.ndarray, epsilon: float = EPSILON) -> tuple[float, float]:
    """Return the window of class 0 by root finding; ``TV(0, all) = (3/4) TV(0, rest)`` at equal weights."""
    points, near = reduced(mu), math.log(np.linalg.norm(mu[0] - mu[1]))

    def edge(level: float, low: float, high: float) -> float:
        found: Any = brentq(lambda t: first_against_rest(math.exp(-t) * points) - level, low, high, xtol=1e-6)
        return float(found)

    share = 1 - 1 / len(mu)
    return edge(1 - epsilon**2, near - 3.2, near), edge(epsilon / share, near - 1, near + 4)


def run(budget: int = 150_000) -> Result:
    """Return the windows, certified and exact, and the exponent of their width."""
    process, rows, exact, low, high, said = sloc.processes.OrnsteinUhlenbeck(), [], [], [], [], []
    for d in DIMENSIONS:
        mu = means(d)
        population = sloc.populations.GaussianMixture(np.full(CLASSES, 1 / CLASSES), mu)
        grid = np.linspace(0.5, math.log(np.linalg.norm(mu[0] - mu[1])) + 3, 48)
        window = sloc.critical_window(
            jax.random.key(d), process, population, 0, range(CLASSES), epsilon=EPSILON, times=grid, certify=True,
            budget=budget,
        )  # fmt: skip
        assert window.after_interval is not None
        assert window.before_interval is not None
        edges, text = exact_edges(mu), printed.gaussian_mixture_edges(mu, EPSILON)
        exact.append(edges)
        said.append(text)
        low.append(window.before_interval[0] - window.after_interval[1])
        high.append(window.before_interval[1] - window.after_interval[0])
        how, setting = f"certified, {window.draws:,} draws", f"K = 4, d = {d}, ε = {EPSILON:g}"
        rows += [
            Row(NAME, setting, "T_after", edges[0], *ends(window.t_after, window.after_interval), how, text.after,
                "Hellinger bound: valid, early"),
            Row(NAME, setting, "T_before", edges[1], *ends(window.t_before, window.before_interval), how, text.before,
                "valid, late"),
        ]  # fmt: skip
    for d in (DIMENSIONS[0], DIMENSIONS[-1]):
        rows += certificate.rows(NAME, means(d), reduced(means(d)), EPSILON)
    table, beyond = np.array(exact), np.array([exact_edges(means(d)) for d in BEYOND])
    every = np.concatenate([DIMENSIONS, BEYOND])
    widths = np.diff(np.concatenate([table, beyond]), axis=1)[:, 0]
    # Distances of random means differ from their limit by a random share of order d^-1/2, and so do widths.
    scatter = ("d^-½", every**-0.5)
    fits = [
        Fit(NAME, "width free of d", "d", "exact T_before - T_after", *slope(every, widths, scatter=scatter), 0.0),
        Fit(NAME, "width free of d", "d", "certified T_before - T_after",
            *slope(DIMENSIONS, (np.array(low) + high) / 2, band=(low, high), scatter=("d^-½", scatter[1][:len(low)])),
            0.0),
    ]  # fmt: skip
    series = {"d": DIMENSIONS, "exact": table, "printed": said, "low": low, "high": high}
    return Result(rows, fits, {**series, "beyond": {"d": BEYOND, "exact": beyond}})


def draw(axes: Any, found: dict[str, Any]) -> None:
    """Draw the windows and their widths against the dimension."""
    from .pictures import BLUE, GREEN, ORANGE, ticks

    left, right = axes
    exact, said, d = np.asarray(found["exact"]), np.asarray(found["printed"]), found["d"]
    left.fill_between(d, exact[:, 0], exact[:, 1], color=BLUE, alpha=0.3, linewidth=0, label="exact window")
    for column, name in ((0, "printed T_after"), (1, "printed T_before")):
        left.plot(d, said[:, column], color=ORANGE, marker="sv"[column], markersize=3.5, linestyle="--", label=name)
    left.set(xscale="log", xlabel="dimension d", ylabel="noise level t (OU time)", title="four random Gaussians")
    left.legend(fontsize=7.5)
    right.plot(d, exact[:, 1] - exact[:, 0], color=BLUE, marker="o", markersize=4, label="exact")
    low, high = np.asarray(found["low"]), np.asarray(found["high"])
    right.vlines(d, low, high, color=GREEN, linewidth=3, alpha=0.7, label="certified")
    right.plot(d, said[:, 1] - said[:, 0], color=ORANGE, marker="s", markersize=3.5, linestyle="--", label="printed")
    right.set(xscale="log", xlabel="dimension d", ylabel="T_before − T_after (OU time)", title="width", ylim=(0, None))
    right.legend(fontsize=7.5)
    for ax in axes:
        ticks(ax, d)
