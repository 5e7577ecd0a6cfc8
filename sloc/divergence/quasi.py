"""Quasi-random points for total variation between Gaussians of shared covariance: point estimates and pilots.

Whiten at time ``t``, project on the span of the means (both exact), rotate so that the first coordinates carry most
of the spread of the means, and integrate with scrambled Sobol' points.  For ``K = 2`` one dimension is left and the
variance falls by orders of magnitude; for many components little is gained.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import (
    GaussianChannel,
    ObservationProcess,
    Population,
    Sets,
    component_mask,
    float_dtype,
    is_concrete,
    require,
    set_name,
    shown,
)
from sloc.divergence.checks import as_time, checked_count, checked_key, checked_pair
from sloc.divergence.closed_forms import host_weights
from sloc.divergence.integrands import log_sum_exp, overlap
from sloc.divergence.paths import shortcut
from sloc.divergence.statistics import disjoint_pair
from sloc.populations import GaussianMixture
from sloc.results.curve import Curve
from sloc.results.estimate import Estimate

Array = jax.Array


def tv_point(
    key: Array,
    process: ObservationProcess,
    population: Population,
    t: Any,
    a: Sets,
    b: Sets,
    *,
    n: int,
    replicates: int = 8,
) -> Estimate:
    """Total variation ``TV(p_t^a, p_t^b)`` at one time by rotated scrambled Sobol' points, without an interval.

    ``TV = 1 - E 2 sigma(-|l|)`` over balanced draws, every component integrated with the same points.  Unbiased; its
    standard error is that of ``replicates`` independent scrambles.  The interval returned is ``[0, 1]``, since a
    standard error from few replicates is no certificate.

    Args:
        key: typed PRNG key; it seeds the scrambles.
        process: a Gaussian channel.
        population: a Gaussian mixture of shared covariance (scalar, ``[d]`` or ``[d, d]``).
        t: one time, concrete.
        a: an index, a name, or a sequence of them.
        b: likewise.
        n: evaluations in all; rounded up so that each component has a power of two of points per replicate.
        replicates: independent scrambles, at least 2.

    Returns:
        The estimate, its standard error and the trivial interval.

    Raises:
        InvalidInput: another process or population, covariances of their own, traced values, ``n`` or ``replicates``
            out of range.

    Source: Owen 1998 (scrambled nets); Joe & Kuo 2008 (direction numbers, SciPy's).

    """
    key = checked_key(key)
    process, population = checked_pair(process, population)
    require(isinstance(process, GaussianChannel), "process", shown(process), "a Gaussian channel")
    assert isinstance(process, GaussianChannel)
    is_mixture = isinstance(population, GaussianMixture) and population.shared
    require(is_mixture, "population", shown(population), "a GaussianMixture of shared covariance")
    require(is_concrete(process, population, t, key), "t", t, "concrete values: the points are made on the host")
    n, replicates = checked_count(n), checked_count(replicates, "replicates")
    as_time(process, population, t)
    left, right = component_mask(population, a, "a"), component_mask(population, b, "b")
    left, right, part, whole = disjoint_pair(left, right)
    if not part.any():
        return Estimate(0.0, 0.0, 0.0, 0.0, 0, "exact")
    w = host_weights(population)
    share = float(w[part].sum() / w[whole].sum())
    used = left | right
    means = _rotated(process, population, float(t), used)
    means = means[:, : max(1, min(means.shape[1], len(means) - 1))]
    log_a, log_b = (jnp.asarray(_log_within(w, side)[used], float_dtype()) for side in (left, right))
    mass = 0.5 * np.sum([np.where(side, w, 0.0)[used] / w[side].sum() for side in (left, right)], axis=0)
    points = 1 << max(1, math.ceil(math.log2(n / (replicates * len(means)))))
    seeds = np.random.SeedSequence(np.asarray(jax.random.key_data(key)).ravel().tolist()).spawn(replicates)
    values = np.asarray([_replicate(seed, means, log_a, log_b, mass, points) for seed in seeds])
    value, stderr = share * (1 - values.mean()), share * values.std(ddof=1) / math.sqrt(replicates)
    draws = points * replicates * len(means)
    return Estimate(float(value), float(stderr), 0.0, 1.0, draws, "scrambled Sobol', no interval")


def sobol_curve(
    key: Array, process: ObservationProcess, population: Population, times: Any, a: Sets, b: Sets, *, n: int
) -> Curve:
    """Return :func:`tv_point` at each time, with the same scrambles (common random numbers) and ``n`` draws a time."""
    points = [tv_point(key, process, population, t, a, b, n=n) for t in np.asarray(times, np.float64)]
    parts: Any = {
        k: np.asarray([getattr(p, k) for p in points], np.float64) for k in ("value", "stderr", "lower", "upper")
    }
    left, right = component_mask(population, a, "a"), component_mask(population, b, "b")
    name = f"TV({set_name(population, left)}, {set_name(population, right)})"
    draws = sum(p.n for p in points)
    # Points from draws claim no interval, so they have no level.
    level = math.nan if draws else 0.0
    return Curve(
        np.asarray(times),
        **parts,
        n=draws,
        method=points[0].method,
        quantity=name,
        delta=level,
        time_axis=process.time_axis,
    )


def takes_points(process: ObservationProcess, population: Population) -> bool:
    """Whether ``sobol_rounds`` knows the pair: a Gaussian channel and a Gaussian mixture of shared covariance.

    Not where a subclass replaces what the pair was written for.
    """
    if not isinstance(process, GaussianChannel) or type(population) is not GaussianMixture:
        return False
    return population.shared and shortcut(process, population) is not None


def sobol_rounds(
    key: Array,
    process: ObservationProcess,
    population: Population,
    times: np.ndarray,
    left: np.ndarray,
    right: np.ndarray,
    n: int,
) -> np.ndarray:
    """Overlaps of two disjoint sets at several times, one column for each scrambled Sobol' point: for pilots.

    A column is what a round of balanced draws is, ``sum_k m_k 2 sigma(-|l(mu_k + z_k)|)``, with points in place of
    normal draws; every component has a scramble of its own, common to all times.  The mean of a row is unbiased, and
    the spread of a row is that of independent rounds; columns are **not** independent, so no interval may be made of
    them.

    Args:
        key: typed PRNG key; it seeds the scrambles.
        process: a Gaussian channel, concrete.
        population: a Gaussian mixture of shared covariance, concrete; see ``takes_points``.
        times: ``[T]``.
        left: boolean ``[K]``.
        right: boolean ``[K]``, apart from ``left``.
        n: most evaluations a time; rounded down so that each of the ``K'`` components used has a power of two.

    Returns:
        ``[T, N]`` with ``N K' <= n`` where ``n >= 2 K'``.

    Source: Owen 1998 (scrambled nets).

    """
    assert isinstance(process, GaussianChannel)
    w, used = host_weights(population), left | right
    means = np.stack([_rotated(process, population, float(t), used) for t in times])
    means = means[..., : max(1, min(means.shape[2], means.shape[1] - 1))]
    log_a, log_b = (jnp.asarray(_log_within(w, side)[used], float_dtype()) for side in (left, right))
    mass = 0.5 * np.sum([np.where(side, w, 0.0)[used] / w[side].sum() for side in (left, right)], axis=0)
    points = 1 << max(1, (max(n, 2) // means.shape[1]).bit_length() - 1)
    seeds = np.random.SeedSequence(np.asarray(jax.random.key_data(key)).ravel().tolist()).spawn(means.shape[1])
    z = np.stack([_normal_points(seed, points, means.shape[2]) for seed in seeds])
    given = (jnp.asarray(v, float_dtype()) for v in (means, z, mass))
    return np.minimum(np.asarray(_rounds(*given, log_a, log_b), np.float64), 1.0)


def _rotated(process: GaussianChannel, population: Any, t: float, used: np.ndarray) -> np.ndarray:
    """Return the whitened means of the components used, in their own principal axes, ``[K', min(K', d)]``, float64.

    Centred on each other alone, they span at most ``K' - 1`` axes, and all later axes are zero.
    """
    a, sigma = (float(v) for v in process.coefficients(t))
    means = np.asarray(population.means, np.float64)[used]
    means = a * (means - means.mean(0))
    cov = np.asarray(population.covariances, np.float64)
    if cov.ndim < 2:
        white = means / np.sqrt(a**2 * cov + sigma**2)
    else:
        white = np.linalg.solve(np.linalg.cholesky(a**2 * cov + sigma**2 * np.eye(len(cov))), means.T).T
    u, s, _ = np.linalg.svd(white, full_matrices=False)
    return u * s


def _log_within(w: np.ndarray, side: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(np.where(side, w, 0.0) / w[side].sum())


def _normal_points(seed: Any, points: int, d: int) -> np.ndarray:
    """Return scrambled Sobol' points as standard normal ones, ``[points, d]``, float64."""
    from scipy.special import ndtri
    from scipy.stats import qmc

    # Sixty bits, so that the inverse normal never meets 0.
    sobol = qmc.Sobol(d, scramble=True, bits=60, rng=np.random.default_rng(seed))
    uniform = np.clip(sobol.random(points), 2.0**-61, 1 - 2.0**-53)
    return ndtri(uniform)


def _replicate(seed: Any, means: np.ndarray, log_a: Array, log_b: Array, mass: np.ndarray, points: int) -> float:
    z = jnp.asarray(_normal_points(seed, points, means.shape[1]), float_dtype())
    device_means = jnp.asarray(means, float_dtype())
    per_component = np.asarray(_overlaps(device_means, z, log_a, log_b), np.float64)
    return float(mass @ per_component.mean(1))


@jax.jit
def _overlaps(means: Array, z: Array, log_a: Array, log_b: Array) -> Array:
    """``2 sigma(-|l|)`` at ``mu_k + z`` for every ``k`` and point, ``[K, N]``."""
    return jax.lax.map(lambda mean: _from_one(mean, z, means, log_a, log_b), means)


@jax.jit
def _rounds(means: Array, z: Array, mass: Array, log_a: Array, log_b: Array) -> Array:
    """``sum_k m_k 2 sigma(-|l(mu_k + z_k)|)`` at each time and point, ``[T, N]``."""

    def at(means: Array) -> Array:
        def add(total: Array, part: tuple[Array, Array, Array]) -> tuple[Array, None]:
            mean, z, share = part
            return total + share * _from_one(mean, z, means, log_a, log_b), None

        return jax.lax.scan(add, jnp.zeros(z.shape[1], z.dtype), (means, z, mass))[0]

    return jax.lax.map(at, means)


def _from_one(mean: Array, z: Array, means: Array, log_a: Array, log_b: Array) -> Array:
    """``2 sigma(-|l|)`` at ``mean + z``, ``[N]``."""
    # log N(mu_k + z; mu_c) - log N(z; 0) = -<mu_k - mu_c, z> - |mu_k - mu_c|^2 / 2: nothing cancels.
    gap = mean[None, :] - means
    inner = jnp.matmul(gap, z.T, precision=jax.lax.Precision.HIGHEST)
    log_p = -inner - 0.5 * jnp.sum(jnp.square(gap), axis=1)[:, None]
    return overlap(log_sum_exp(log_p + log_a[:, None], axis=0) - log_sum_exp(log_p + log_b[:, None], axis=0))
