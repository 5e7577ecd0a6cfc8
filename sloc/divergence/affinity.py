"""Bhattacharyya affinities ``BC_ij(t) = int sqrt(p_t^i p_t^j)`` in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np

from sloc.contracts import (
    GaussianChannel,
    ObservationProcess,
    Population,
    RevealingChannel,
    require,
    tells_of_thresholds,
)
from sloc.contracts.arguments import as_real, checked_kind
from sloc.divergence.paths import shortcut
from sloc.populations import Empirical, GaussianMixture, ProductCategorical


def affinities(process: ObservationProcess, population: Population, t: float) -> np.ndarray | None:
    """Return all pairwise affinities between sub-populations at one time, on the host in float64.

    Exact: Gaussians under a Gaussian channel (``exp(-D_B)`` with the Bhattacharyya distance), single atoms under
    a revealing channel (probability that all differing coordinates are hidden), identical categorical
    coordinates under a revealing channel (``sum_n P(n seen) BC_1^n``).

    Args:
        process: the observation process, on concrete values.
        population: the population, on concrete values.
        t: one time.

    Returns:
        ``[K, K]``, ones on the diagonal, or None where the types have no closed form.

    """
    checked_kind(process, "process", ObservationProcess, "an observation process")
    checked_kind(population, "population", Population, "a population")
    require(0 <= as_real(t) < np.inf, "t", t, "one finite time that is not negative")
    if shortcut(process, population) is None:
        return None
    if isinstance(process, GaussianChannel) and type(population) is GaussianMixture:
        return _gaussians(process, population, t)
    if not isinstance(process, RevealingChannel):
        return None
    if type(population) is Empirical and population.single_atoms:
        return _atoms(process, population, t) if tells_of_thresholds(process, "hidden_probability") else None
    if type(population) is ProductCategorical and population.identical and tells_of_thresholds(process, "count_law"):
        law = process.count_law(int(population.num_coordinates), t)
        if law is None:
            return None
        root = np.sqrt(np.asarray(population.probs, np.float64))
        one = np.clip(root @ root.T, 0.0, 1.0)
        return sum((mass * one**count for count, mass in zip(*law, strict=True)), np.zeros_like(one))
    return None


def _gaussians(process: Any, population: GaussianMixture, t: float) -> np.ndarray:
    """``D_B = 1/8 dm' S^-1 dm + 1/2 log(det S / sqrt(det S_i det S_j))``, ``S = (S_i + S_j) / 2``."""
    a, sigma = (float(v) for v in process.coefficients(t))
    means = a * np.asarray(population.means, np.float64)
    k, d = means.shape
    cov = np.asarray(population.covariances, np.float64)
    gap = means[:, None] - means[None, :]
    if cov.ndim < 2:
        return np.exp(-np.sum(gap**2 / (a**2 * cov + sigma**2), axis=-1) / 8)
    total = a**2 * np.broadcast_to(cov, (k, d, d)) + sigma**2 * np.eye(d)
    table = np.ones((k, k))
    log_det = np.linalg.slogdet(total)[1]
    for i in range(1, k):
        middle = (total[i] + total[:i]) / 2
        distance = np.sum(gap[i, :i] * np.linalg.solve(middle, gap[i, :i, :, None])[..., 0], axis=1) / 8
        distance += 0.5 * (np.linalg.slogdet(middle)[1] - 0.5 * (log_det[i] + log_det[:i]))
        table[i, :i] = table[:i, i] = np.exp(-distance)
    return table


def _atoms(process: RevealingChannel, population: Empirical, t: float) -> np.ndarray | None:
    data = np.asarray(population.data)
    k = len(data)
    table = np.ones((k, k))
    for i in range(k):
        for j in range(i):
            hidden = process.hidden_probability(data[i] != data[j], t)
            if hidden is None:
                return None
            table[i, j] = table[j, i] = hidden
    return table
