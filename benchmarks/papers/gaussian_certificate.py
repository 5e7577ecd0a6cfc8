"""Ex. 2, the certificate: how late posterior mass is still right, bounded without a draw and exactly."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp

import sloc
from sloc.windows import hellinger_bound, printed
from sloc.windows.edges import edge_on_grid

from .rows import Row, same


def affinity_bound(mu: np.ndarray, t: float) -> float:
    """Return ``(1/2) sum_{j > 0} exp(-e^{-2t} |mu_0 - mu_j|^2 / 8)``, at equal weights a bound on ``E[1 - pi_0]``."""
    return float(np.exp(-math.exp(-2 * t) * ((mu[0] - mu[1:]) ** 2).sum(1) / 8).sum() / 2)


def lost_mass(points: np.ndarray, spacing: float = 0.4, reach: float = 7.0) -> float:
    """Return ``E[1 - pi_0]`` under ``N(m_0, I)`` in three dimensions, equal weights: a sum over a lattice around it."""
    axis, gaps = np.arange(-reach, reach + spacing / 2, spacing), points[1:] - points[0]
    z = np.stack(np.meshgrid(*[axis] * points.shape[1], indexing="ij"), -1).reshape(-1, points.shape[1])
    odds = np.asarray(logsumexp(z @ gaps.T - (gaps**2).sum(1) / 2, axis=1))
    mass = np.exp(-0.5 * (z**2).sum(1)) * (spacing / math.sqrt(2 * math.pi)) ** points.shape[1]
    return float(mass @ (1 / (1 + np.exp(-odds))))


def rows(name: str, mu: np.ndarray, points: np.ndarray, epsilon: float, n: int = 400_000) -> list[Row]:
    """Return where the certificate, and where the posterior mass itself, reaches ``epsilon``.

    Args:
        name: of the example.
        mu: means, ``[K, d]``, of equal weight.
        points: the same in coordinates of their span.
        epsilon: the level.
        n: draws of the posterior mass.

    """
    process = sloc.processes.OrnsteinUhlenbeck()
    population = sloc.populations.GaussianMixture([1 / len(mu)] * len(mu), mu)
    said = printed.gaussian_mixture_edges(mu, epsilon).after

    def certificate(t: float) -> float:
        curve = hellinger_bound(process, population, 0, [t])
        assert curve is not None
        return float(curve.value[0])

    span, setting = (max(said - 1, 0.01), said + 2), f"K = {len(mu)}, d = {mu.shape[1]}, ε = {epsilon:g}"
    found: Any = brentq(lambda t: certificate(t) - epsilon, *span, xtol=1e-12)
    bound: Any = brentq(lambda t: affinity_bound(mu, t) - epsilon, *span, xtol=1e-12)
    mass: Any = brentq(lambda t: lost_mass(math.exp(-t) * points) - epsilon, *span, xtol=1e-10)
    times = np.round(np.arange(mass - 0.1, mass + 0.1, 0.01), 2)
    curve = sloc.measure(jax.random.key(2), process, population, times, {"it": sloc.Misassignment(0)}, n=n, delta=1e-6)
    kept, least, most = (1 - np.asarray(c) for c in (curve["it"].value, curve["it"].upper, curve["it"].lower))
    reached = edge_on_grid(times, kept, least, most, 1 - epsilon, "last")
    assert reached.interval is not None
    return [
        Row(name, setting, "sampling-free certificate of E[1-π] reaches ε", float(bound), *same(found), "closed form",
            said, "pairwise Hellinger affinities; the printed T_after rests on them, and on K and the least distance"),
        Row(name, setting, "E[1-π] itself reaches ε", float(mass), reached.value, *reached.interval,
            f"{int(curve['it'].n):,} draws", said, "the certificate is valid, and early"),
    ]  # fmt: skip
