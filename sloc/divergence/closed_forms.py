"""Closed forms of total variation, on the host in float64, chosen by type and never by value.

They serve users (an exact curve needs no draws); tests and benchmarks of the estimators switch them off with
``method="monte-carlo"``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sloc.contracts import (
    GaussianChannel,
    LinearGaussianChannel,
    ObservationProcess,
    Population,
    RevealingChannel,
    require,
    tells_of_thresholds,
)
from sloc.contracts.arguments import as_real, checked_kind
from sloc.divergence.paths import shortcut
from sloc.divergence.statistics import disjoint_pair
from sloc.populations import Empirical, GaussianMixture, KalmanDiscourse, ProductCategorical, RandomWalkSolver

PairTV = Callable[[Any, Any, int, int, float], float | None]


def closed_tv(
    process: ObservationProcess, population: Population, a: np.ndarray, b: np.ndarray, t: float
) -> float | None:
    """``TV(p_t^a, p_t^b)`` in closed form, or None where the types have none.

    Covers, for single sub-populations and for sets that nest down to them
    (``TV(p_A, p_B) = (1 - w_A / w_B) TV(p_A, p_{B minus A})``): Gaussians of shared covariance and single atoms
    under a Gaussian or linear Gaussian channel, ``2 Phi(r) - 1``; single atoms under a revealing channel,
    ``1 - P(all differing coordinates hidden)``; identical coins under a revealing channel, a sum of binomial masses;
    absorbed walks and discourses under channels that keep a prefix.

    Args:
        process: the observation process, on concrete values.
        population: the population, on concrete values.
        a: boolean mask ``[K]``.
        b: boolean mask ``[K]``.
        t: one time.

    Returns:
        The value in ``[0, 1]``, exact to float64 rounding of the parameters, or None.

    """
    checked_kind(process, "process", ObservationProcess, "an observation process")
    checked_kind(population, "population", Population, "a population")
    for name, mask in (("a", a), ("b", b)):
        boolean = isinstance(mask, np.ndarray) and mask.dtype == bool and mask.ndim == 1
        require(boolean, name, mask, "a boolean mask [K]")
    require(0 <= as_real(t) < np.inf, "t", t, "one finite time that is not negative")
    left, right, part, whole = disjoint_pair(a, b)
    if not part.any():
        return 0.0
    if left.sum() != 1 or right.sum() != 1:
        return None
    pair = _pair_form(process, population)
    if pair is None:
        return None
    value = pair(process, population, int(left.argmax()), int(right.argmax()), float(t))
    if value is None:
        return None
    w = host_weights(population)
    return float(w[part].sum() / w[whole].sum() * value)


def host_weights(population: Population) -> np.ndarray:
    """Return ``w [K]`` in float64, from the weights as given where the population keeps them."""
    given = getattr(population, "weights", None)
    w = np.exp(np.asarray(population.log_weights, np.float64)) if given is None else np.asarray(given, np.float64)
    return w / w.sum()


def _pair_form(process: ObservationProcess, population: Population) -> PairTV | None:
    if shortcut(process, population) is None:
        return None
    gaussian, revealing = isinstance(process, GaussianChannel), isinstance(process, RevealingChannel)
    if gaussian and type(population) is GaussianMixture and population.shared:
        return _gaussians
    if isinstance(process, LinearGaussianChannel) and type(population) is GaussianMixture and population.shared:
        return _projected_gaussians
    if gaussian and type(population) is Empirical and population.single_atoms:
        return _noised_atoms
    if revealing and type(population) is Empirical and population.single_atoms:
        return _atoms if tells_of_thresholds(process, "hidden_probability") else None
    if revealing and type(population) is ProductCategorical and population.identical:
        return _coins if tells_of_thresholds(process, "count_law") else None
    if revealing and getattr(process, "reveals_prefix", False) and tells_of_thresholds(process, "count_law"):
        if type(population) is RandomWalkSolver:
            return _walks
        if type(population) is KalmanDiscourse:
            return _discourses
    return None


def _gaussians(process: Any, population: GaussianMixture, i: int, j: int, t: float) -> float:
    """``2 Phi(r) - 1`` with ``2 r`` the Mahalanobis distance under ``a^2 Sigma + sigma^2 I``."""
    from scipy.special import erf

    a, sigma = (float(v) for v in process.coefficients(t))
    means = np.asarray(population.means, np.float64)
    gap = a * (means[i] - means[j])
    cov = np.asarray(population.covariances, np.float64)
    if cov.ndim < 2:
        squared = np.sum(gap**2 / (a**2 * cov + sigma**2))
    else:
        squared = gap @ np.linalg.solve(a**2 * cov + sigma**2 * np.eye(len(gap)), gap)
    return float(erf(np.sqrt(squared) / 2 / np.sqrt(2)))


def _projected_gaussians(process: Any, population: GaussianMixture, i: int, j: int, t: float) -> float | None:
    """``2 Phi(r) - 1`` with ``2 r`` the Mahalanobis distance of ``A mu`` under ``A Sigma A^T + S``."""
    from scipy.special import erf

    matrix, noise = (np.asarray(m, np.float64) for m in process.matrices(t))
    means, cov = np.asarray(population.means, np.float64), np.asarray(population.covariances, np.float64)
    full = np.diag(np.broadcast_to(cov, means.shape[1:])) if cov.ndim < 2 else cov
    total, gap = matrix @ full @ matrix.T + noise, matrix @ (means[i] - means[j])
    try:
        squared = gap @ np.linalg.solve(total, gap)
    except np.linalg.LinAlgError:
        # Measurements that repeat each other, before any noise.
        return None
    return float(erf(np.sqrt(max(squared, 0.0)) / 2 / np.sqrt(2)))


def _noised_atoms(process: Any, population: Empirical, i: int, j: int, t: float) -> float:
    """``2 Phi(r) - 1`` with ``2 r = a |x_i - x_j| / sigma``; 1 at ``t = 0`` unless the atoms are equal."""
    from scipy.special import erf

    a, sigma = (float(v) for v in process.coefficients(t))
    data = np.asarray(population.data, np.float64).reshape(population.num_atoms, -1)
    gap = a * float(np.linalg.norm(data[i] - data[j]))
    if gap == 0.0 or sigma == 0.0:
        return float(gap > 0.0)
    return float(erf(gap / sigma / 2 / np.sqrt(2)))


def _atoms(process: RevealingChannel, population: Empirical, i: int, j: int, t: float) -> float | None:
    """``1 - P(all differing coordinates hidden)``; ``1 - t^h`` under masking."""
    data = np.asarray(population.data)
    hidden = process.hidden_probability(data[i] != data[j], t)
    return None if hidden is None else 1.0 - hidden


def _coins(process: RevealingChannel, population: ProductCategorical, i: int, j: int, t: float) -> float | None:
    """Sum over the number seen of the TV of two binomials; only for two letters."""
    from scipy.stats import binom

    probs = np.asarray(population.probs, np.float64)
    if probs.shape[-1] != 2:
        return None
    law = process.count_law(int(population.num_coordinates), t)
    if law is None:
        return None
    p, q = probs[i, 1] / probs[i].sum(), probs[j, 1] / probs[j].sum()
    if p == q:
        return 0.0
    total = 0.0
    for count, mass in zip(*law, strict=True):
        # The likelihood ratio is monotone in the number of heads, so one threshold attains the TV.
        heads = np.floor(_crossing(int(count), p, q))
        total += mass * abs(binom.cdf(heads, int(count), p) - binom.cdf(heads, int(count), q))
    return float(total)


def _crossing(n: int, p: float, q: float) -> float:
    """Number of heads at which ``Bin(n, p)`` and ``Bin(n, q)`` have equal mass."""
    with np.errstate(divide="ignore"):
        up, down = np.log(p) - np.log(q), np.log1p(-q) - np.log1p(-p)
    if not np.isfinite(up) or not np.isfinite(down):
        # One coin is certain: it alone can show no head (or no tail).
        return 0.0 if min(p, q) == 0.0 else n - 1.0
    return n * down / (up + down)


def _walks(process: RevealingChannel, population: RandomWalkSolver, i: int, j: int, t: float) -> float | None:
    """Mean over the number of steps seen of the TV of two absorbed walks."""
    law = process.count_law(population.length, t)
    return None if law is None or i == j else float(population.prefix_tv(np.asarray(law[0], np.int64)) @ law[1])


def _discourses(process: RevealingChannel, population: KalmanDiscourse, i: int, j: int, t: float) -> float | None:
    """Mean over the number of words seen of the TV of two topics; none where a word is cut."""
    law = process.count_law(population.words * population.dimension, t)
    if law is None or bool((np.asarray(law[0]) % population.dimension).any()):
        return None
    return float(population.prefix_tv(i, j, np.asarray(law[0], np.int64) // population.dimension) @ law[1])
