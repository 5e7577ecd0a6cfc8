"""Closed forms of all pairs at once, in float64 on the host: merge times, TV and affinities as tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sloc.contracts import GaussianChannel, ObservationProcess, Population, RevealingChannel, overrides
from sloc.divergence.affinity import affinities
from sloc.divergence.closed_forms import closed_tv
from sloc.populations import Empirical, GaussianMixture
from sloc.processes import Masking, OrderedMasking, Truncation
from sloc.windows.edges import exact_edge

_ONE_BY_ONE = 64
"""Classes up to which pairs without a vectorised form are worked out one by one."""

_BY_ROWS = 1_024
_ROW_WORK = 2e9
"""Gaussians have their affinities worked out, a row of pairs at a time, up to so many classes and operations a time."""


@dataclass(frozen=True)
class PairForms:
    """Exact pairwise quantities of a population under a process.

    Attributes:
        merge: ``[K, K]``, ``T_end(i, j; epsilon)``.
        tv: ``t -> [K, K]``, ``TV(p_t^i, p_t^j)``.
        affinity: ``t -> [K, K]``, ``int sqrt(p_t^i p_t^j)``, or None where unknown.
        between: ``(t, rows, columns) -> (1 - TV, affinities)``, two blocks ``[rows, columns]``, the latter None where
            unknown.

    """

    merge: np.ndarray
    tv: Callable[[float], np.ndarray]
    affinity: Callable[[float], np.ndarray] | None
    between: Callable[[float, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray | None]]


def pair_forms(process: ObservationProcess, population: Population, epsilon: float) -> PairForms | None:
    """Work out all pairs in closed form, vectorised where the types allow.

    Exact.  Gaussians of shared covariance and single atoms under a Gaussian channel: ``TV = 2 Phi(r) - 1``, where ``r``
    depends on time through ``a^2 / sigma^2`` alone, which is solved for.  Single atoms under masking (``1 - t^h``) and
    ordered masking (1 until the last differing coordinate is hidden).  Other pairs with closed forms one by one, up to
    64 classes.

    Args:
        process: the observation process, on concrete values.
        population: the population, on concrete values.
        epsilon: threshold of the merge times.

    Returns:
        The tables, or None where some pair has no closed form.

    """
    if isinstance(process, GaussianChannel) and overrides(process, GaussianChannel, "time_of_log_snr"):
        if type(population) is GaussianMixture and population.shared:
            means, covariance = (np.asarray(x, np.float64) for x in (population.means, population.covariances))
            return _gaussians(process, means, covariance, epsilon)
        if type(population) is Empirical and population.single_atoms and _noised_alike(process, population):
            atoms = np.asarray(population.data, np.float64).reshape(population.num_components, -1)
            return _gaussians(process, atoms, np.zeros(()), epsilon)
    if isinstance(process, (Masking, OrderedMasking, Truncation)) and type(population) is Empirical:
        # A subclass may hide coordinates by a rule of its own.
        if population.single_atoms and type(process) in (Masking, OrderedMasking, Truncation):
            return _atoms(process, population, epsilon)
    return _one_by_one(process, population, epsilon)


def affinity_form(process: ObservationProcess, population: Population) -> Callable[[float], np.ndarray] | None:
    """Return ``t -> [K, K]``, the affinities of pairs that have no closed form of TV, or None."""
    probe = 1.0 if process.discrete else min(0.5, float(process.horizon) / 2)
    if population.num_components > _most(population) or affinities(process, population, probe) is None:
        return None

    def affinity(t: float) -> np.ndarray:
        table = affinities(process, population, t)
        assert table is not None  # chosen by type, and the probe had one
        return table

    return affinity


def _most(population: Population) -> int:
    """Return up to how many classes affinities of all pairs are worked out."""
    if type(population) is not GaussianMixture:
        return _ONE_BY_ONE
    k, d = np.shape(population.means)
    work = float(k) ** 2 * (d if population.shared else float(d) ** 3)
    return _BY_ROWS if work <= _ROW_WORK else _ONE_BY_ONE


def _noised_alike(process: ObservationProcess, population: Empirical) -> bool:
    """Whether single atoms have the closed form of TV that Gaussians of covariance 0 have."""
    masks = np.eye(population.num_components, dtype=bool)
    probe = min(0.5, float(process.horizon) / 2)
    return closed_tv(process, population, masks[0], masks[1], probe) is not None


def _gaussians(process: GaussianChannel, means: np.ndarray, cov: np.ndarray, epsilon: float) -> PairForms:
    from scipy.spatial.distance import cdist, pdist, squareform
    from scipy.special import erf, erfc, ndtri

    if cov.ndim == 2:
        variances, basis = np.linalg.eigh(cov)
        means = means @ basis
    else:
        variances = np.broadcast_to(cov, means.shape[1:])

    def scaled(snr: float) -> np.ndarray:
        # a^2 / (a^2 c + sigma^2) = snr / (snr c + 1); atoms seen without noise are infinitely far apart.
        share = 1.0 / np.maximum(variances, 1e-300) if np.isinf(snr) else snr / (snr * variances + 1.0)
        return means * np.sqrt(share)

    def squared(snr: float) -> np.ndarray:
        return pdist(scaled(snr), "sqeuclidean")

    def snr_at(t: float) -> float:
        a, sigma = (float(v) for v in process.coefficients(float(t)))
        return (a / sigma) ** 2 if sigma > 0 else np.inf

    def at(t: float) -> np.ndarray:
        return squared(snr_at(t))

    def between(t: float, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        points = scaled(snr_at(t))
        gaps = cdist(points[rows], points[columns], "sqeuclidean")
        return erfc(np.sqrt(gaps / 8.0)), np.exp(-gaps / 8.0)

    # TV = epsilon where the squared Mahalanobis distance is (2 Phi^-1((1 + epsilon) / 2))^2.
    level = (2.0 * ndtri((1.0 + epsilon) / 2.0)) ** 2
    if np.ptp(variances) == 0:
        share = pdist(means, "sqeuclidean") / level
        # share snr / (snr c + 1) = 1; where share <= c the pair is merged already at t = 0.
        gap = share - variances[0]
        with np.errstate(divide="ignore"):
            log_snr = np.where(gap > 0, -np.log(np.where(gap > 0, gap, 1.0)), np.inf)
    else:
        log_snr = _solve(squared, level, variances, means)
    apart = np.isfinite(log_snr)
    times = np.zeros(log_snr.shape)
    times[apart] = np.asarray(process.time_of_log_snr(log_snr[apart]), np.float64)
    return PairForms(
        squareform(times, checks=False),
        lambda t: squareform(erf(np.sqrt(at(t) / 8.0)), checks=False),
        lambda t: squareform(np.exp(-at(t) / 8.0), checks=False) + np.eye(len(means)),
        between,
    )


def _solve(
    squared: Callable[[float], np.ndarray], level: float, variances: np.ndarray, means: np.ndarray
) -> np.ndarray:
    """Bisect for the log-SNR of every pair at once; ``inf`` where a pair is merged already without noise."""
    rows, columns = np.triu_indices(len(means), 1)
    result = np.full(len(rows), np.inf)
    todo = np.flatnonzero(squared(np.inf) > level)
    for part in np.array_split(todo, max(1, len(todo) * means.shape[1] // 4_000_000)):
        gaps = np.square(means[rows[part]] - means[columns[part]])
        # Bounds: the distance at SNR s lies between s |g|^2 / (s c_max + 1) and s |g|^2 / (s c_min + 1).
        total = gaps.sum(axis=1) / level
        low = -np.log(np.maximum(total - variances.min(), np.finfo(float).tiny))
        high = np.where(total > variances.max(), -np.log(np.maximum(total - variances.max(), 1e-300)), 700.0)
        for _ in range(80):
            middle = (low + high) / 2
            inside = (gaps / (variances + np.exp(-middle)[:, None])).sum(axis=1) <= level
            low, high = np.where(inside, middle, low), np.where(inside, high, middle)
        result[part] = (low + high) / 2
    return result


def _atoms(process: RevealingChannel, population: Empirical, epsilon: float) -> PairForms:
    data = np.asarray(population.data).reshape(population.num_components, -1)
    k = len(data)
    if isinstance(process, Masking):
        count = np.stack([(data != row).sum(axis=1) for row in data]).astype(np.float64)
        merge = np.where(count > 0, (1.0 - epsilon) ** (1.0 / np.maximum(count, 1.0)), 0.0)

        def hidden(t: float) -> np.ndarray:
            return np.float64(t) ** count

        def block(t: float, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
            return np.float64(t) ** count[np.ix_(rows, columns)]

    else:
        steps = np.asarray(process.thresholds(None, data[0]), np.float64)  # pyright: ignore[reportArgumentType]
        merge = np.stack([np.where(data != row, steps, 0.0).max(axis=1, initial=0.0) for row in data])

        def hidden(t: float) -> np.ndarray:
            return (merge <= t).astype(np.float64)

        def block(t: float, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
            return (merge[np.ix_(rows, columns)] <= t).astype(np.float64)

    merge = merge * (1.0 - np.eye(k))

    def between(t: float, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # What is seen either tells two atoms apart or is the same for both: overlap and affinity are one.
        same = block(t, rows, columns)
        return same, same

    return PairForms(merge, lambda t: 1.0 - hidden(t), hidden, between)


def _one_by_one(process: ObservationProcess, population: Population, epsilon: float) -> PairForms | None:
    k = population.num_components
    masks = np.eye(k, dtype=bool)
    probe = 1.0 if process.discrete else min(0.5, float(process.horizon) / 2)
    if k > _ONE_BY_ONE or closed_tv(process, population, masks[0], masks[1], probe) is None:
        return None

    def value(i: int, j: int, t: float) -> float:
        tv = closed_tv(process, population, masks[i], masks[j], t)
        assert tv is not None  # chosen by type, and the probe had one
        return tv

    def table(fn: Callable[[int, int], float]) -> np.ndarray:
        out = np.zeros((k, k))
        for i in range(k):
            for j in range(i):
                out[i, j] = out[j, i] = fn(i, j)
        return out

    def end(i: int, j: int) -> float:
        edge = exact_edge(
            lambda t: value(i, j, t), epsilon, "first", horizon=float(process.horizon), discrete=process.discrete
        )
        return np.inf if edge.value is None else edge.value

    affinity = affinity_form(process, population)

    def between(t: float, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        alpha = np.asarray([[1.0 - value(int(i), int(j), t) for j in columns] for i in rows])
        return alpha, None if affinity is None else affinity(t)[np.ix_(rows, columns)]

    return PairForms(table(end), lambda t: table(lambda i, j: value(i, j, t)), affinity, between)
