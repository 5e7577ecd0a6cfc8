"""Mixtures of Gaussians, and their exact marginals under a Gaussian channel."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import (
    ContractError,
    GaussianChannel,
    LinearGaussianChannel,
    ObservationProcess,
    Population,
    find_marginals,
    float_dtype,
    namespace,
    overrides,
    register_marginals,
    require,
    shown,
)
from sloc.contracts.base import Asked
from sloc.engine.normals import normals
from sloc.populations.bridge_laws import resolve_bridge
from sloc.populations.discrete import draw_letters
from sloc.populations.rounding import check_rounding
from sloc.populations.weights import check_weights

Array = jax.Array
_HIGHEST = jax.lax.Precision.HIGHEST
_SMALL = 1 << 20
"""Numbers that may be held at once where a loop is the alternative."""
_SPELLED_OUT, _FUSED = 16, 512
"""Up to so many components (or numbers in all means) a draw is written out, up to so many products without a matmul."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class GaussianMixture(Population):
    """``p = sum_k w_k N(mu_k, Sigma_k)`` with each Gaussian its own sub-population; exact marginals.

    Under a linear Gaussian channel each ``p_t^k`` is a Gaussian again.  Source: textbook.

    Attributes:
        weights: ``[K]``, positive, summing to one.
        means: ``[K, d]``.
        covariances: a scalar variance, ``[d]`` variances or ``[d, d]`` shared by all components, or
            ``[K, d, d]``, one for each.
        names: ``K`` names; default ``"0" .. "K-1"`` (static).

    """

    weights: Any = field(metadata={"dtype": float})
    means: Any = field(metadata={"dtype": float})
    covariances: Any = field(default=1.0, metadata={"dtype": float})
    names: tuple[str, ...] = field(default=(), metadata={"static": True})

    _asked: ClassVar[Asked] = {**Population._asked, "channel_posterior": ("process", "y", "t")}

    @property
    def log_weights(self) -> Array:
        """``log w_k``, shape ``[K]``."""
        xp = namespace(self.weights)
        return xp.log(xp.asarray(self.weights))

    @property
    def num_components(self) -> int:
        """``K``."""
        return int(np.shape(self.weights)[0])

    @property
    def shared(self) -> bool:
        """Whether all components have one covariance."""
        return np.ndim(self.covariances) < 3

    def path_elements(self) -> int:
        """``K (1 + d)`` numbers per draw, spread over the times."""
        return self.num_components

    def validate(self) -> None:
        """Refuse weights that are not a law, data that are not finite, covariances that are not positive definite."""
        k = check_weights(self.weights)
        means = np.asarray(self.means, np.float64)
        require(means.ndim == 2 and means.shape[0] == k, "means", means.shape, f"shape ({k}, d), one row per weight")
        require(_finite(means), "means", means, f"finite numbers within {float_dtype()}")
        cov, d = np.asarray(self.covariances, np.float64), means.shape[1]
        shapes = {(), (d,), (d, d), (k, d, d)}
        require(cov.shape in shapes, "covariances", cov.shape, f"a scalar, ({d},), ({d}, {d}) or ({k}, {d}, {d})")
        require(_finite(cov), "covariances", cov, f"finite numbers within {float_dtype()}")
        if cov.ndim < 2:
            require(bool((cov > 0).all()), "covariances", cov, "positive variances")
            smallest = cov.min()
        else:
            symmetric = np.allclose(cov, np.swapaxes(cov, -1, -2), rtol=1e-5, atol=1e-7 * np.abs(cov).max())
            require(symmetric, "covariances", cov, "symmetric matrices")
            smallest = np.linalg.eigvalsh(cov).min()
            require(
                bool(smallest > 0), "covariances", f"smallest eigenvalue {smallest:.3g}", "positive definite matrices"
            )
        check_rounding(means, "means", float(np.sqrt(smallest)))

    def sample(self, key: Array, component: Array) -> Array:
        """Draw ``mu_k + Sigma_k^{1/2} z``, shape ``[d]``."""
        mean = self.means[component]
        z = jax.random.normal(key, mean.shape, mean.dtype)
        return mean + covariance_root(self.covariances, z, component)

    def posterior_joint(self, key: Array, process: Any, y: Array, t: Array) -> tuple[Array, Array]:
        """Draw ``(k, X) | Y_t = y`` under a Gaussian or linear Gaussian channel (exact, conjugate).

        ``k ~ pi(y)``; where covariances are diagonal ``X ~ N((sigma^2 mu_k + a Sigma y) / v, Sigma sigma^2 / v)`` with
        ``v = a^2 Sigma + sigma^2``, else a fresh pair ``(x, y')`` of component ``k`` is corrected by ``Sigma_k A^T
        (A Sigma_k A^T + S)^{-1} (y - y')`` (Matheron's rule).  Returns ``(int32 scalar, [d])``.

        Raises:
            ContractError: a process of another family.

        """
        key_k, key_x, key_y = jax.random.split(key, 3)
        if isinstance(process, LinearGaussianChannel):
            a = sigma = math.nan  # its gains hold them
            logs, gains = self._linear_posterior(*process.matrices(t), y)
        elif isinstance(process, GaussianChannel):
            a, sigma = process.coefficients(t)
            logs, gains = self.channel_posterior(process, y, t), None
        else:
            raise ContractError(
                f"process = {shown(process)}: GaussianMixture.posterior_sample expects a GaussianChannel or a "
                "LinearGaussianChannel"
            )
        k = draw_index(jax.random.uniform(key_k, (), logs.dtype), logs)
        cov = self.covariances
        if gains is None and cov.ndim < 2:
            # A product with an indicator is vectorised where a gather is not.
            own = (jnp.arange(logs.shape[0], dtype=k.dtype) == k).astype(self.means.dtype)
            mean = jnp.matmul(own, self.means, precision=_HIGHEST)
            v = a**2 * cov + sigma**2
            noise = normals(key_x, mean.shape, mean.dtype)
            return k, (sigma**2 / v) * mean + (a * cov / v) * y + (jnp.sqrt(cov / v) * sigma) * noise
        if gains is None:
            total = a**2 * cov + sigma**2 * jnp.broadcast_to(jnp.eye(cov.shape[-1], dtype=cov.dtype), cov.shape)
            # Once for all draws at a time, not draw by draw: (Sigma total^{-1})^T = total^{-1} Sigma.
            gains = a * jnp.swapaxes(jnp.linalg.solve(total, cov), -1, -2)
        x = self.sample(key_x, k)
        gap = y - process.sample(key_y, x, t)
        return k, x + jnp.matmul(gains if gains.ndim == 2 else gains[k], gap, precision=_HIGHEST)

    def channel_posterior(self, process: GaussianChannel, y: Array, t: Array, fused: bool = True) -> Array:
        """``log w_k + log p_t^k(y)`` up to a constant in ``k``, ``[K]``; ``fused`` where ``y`` is formed on the way."""
        cov = self.covariances
        plain = find_marginals(process, self) is gaussian_marginals and not overrides(self, Population, "log_marginals")
        if cov.ndim >= 2 or not plain:
            return self.log_weights + self.log_marginals(process, y, t)
        a, sigma = process.coefficients(t)
        centre = jnp.mean(self.means, axis=0)
        g, white = self.means - centre[None, :], (y - a * centre) / (a**2 * cov + sigma**2)
        signal = jnp.sum(jnp.square(g) / jnp.broadcast_to(a**2 * cov + sigma**2, centre.shape)[None, :], axis=1)
        # A small sum is fused with what forms `white`, which a matrix product would write to memory first.
        few = fused and g.size <= _FUSED
        along = jnp.sum(g * white[None, :], axis=1) if few else jnp.matmul(g, white, precision=_HIGHEST)
        return self.log_weights + a * along - 0.5 * a**2 * signal

    def _linear_posterior(self, matrix: Array, noise: Array, y: Array) -> tuple[Array, Array]:
        """Return ``log w_k + log N(y; A mu_k, A Sigma_k A^T + S)`` up to a constant and the gains, ``[(K,) d, m]``."""
        cov, d = self.covariances, self.means.shape[1]
        cov = jnp.diag(jnp.broadcast_to(cov, (d,))) if cov.ndim < 2 else cov
        across = jnp.matmul(matrix, cov, precision=_HIGHEST)
        total = jnp.matmul(across, matrix.T, precision=_HIGHEST)
        factor = jnp.linalg.cholesky(total + jnp.broadcast_to(noise, total.shape))
        gains = jnp.swapaxes(jax.scipy.linalg.cho_solve((factor, True), across), -1, -2)
        residual = y[None, :] - jnp.matmul(self.means, matrix.T, precision=_HIGHEST)
        if cov.ndim == 2:
            white = jax.scipy.linalg.solve_triangular(factor, residual.T, lower=True).T
        else:
            white = jax.vmap(lambda f, r: jax.scipy.linalg.solve_triangular(f, r, lower=True))(factor, residual)
        half_log_det = jnp.sum(jnp.log(jnp.diagonal(factor, axis1=-2, axis2=-1)), axis=-1)
        return self.log_weights - 0.5 * jnp.sum(jnp.square(white), axis=1) - half_log_det, gains

    def bridge_pair(self, process: ObservationProcess, key: Array, i: Array, j: Array, t: Array) -> Any:
        """Draw ``Y`` proportional to ``sqrt(p_t^i p_t^j)``: Gaussian, under a Gaussian channel.

        Raises:
            ContractError: the process is not a Gaussian channel.

        """
        return resolve_bridge(process, self).pair(process, self, key, i, j, t)

    def log_affinities(self, process: ObservationProcess, t: Array) -> Array:
        """``log int sqrt(p_t^i p_t^j)``, ``[K, K]``, exact; same processes as :meth:`bridge_pair`."""
        return resolve_bridge(process, self).log_affinities(process, self, t)


def draw_index(uniform: Array, logs: Array) -> Array:
    """Draw ``k`` with probability proportional to ``exp(logs_k)`` from one uniform number, an int32 scalar.

    Few components are spelled out one by one: a CPU does not vectorise reductions over a short last axis.
    """
    if logs.shape[0] > _SPELLED_OUT:
        return draw_letters(uniform, jnp.exp(logs - jnp.max(logs)))
    each = [logs[i] for i in range(logs.shape[0])]
    top = functools.reduce(jnp.maximum, each)
    sums = list(itertools.accumulate(jnp.exp(log - top) for log in each))
    # The last sum is left out, so that a uniform number that rounds up to it still falls into the last component.
    return functools.reduce(jnp.add, [(uniform * sums[-1] >= part).astype(jnp.int32) for part in sums[:-1]])


@register_marginals(GaussianChannel, GaussianMixture)
def gaussian_marginals(process: GaussianChannel, population: GaussianMixture, y: Array, t: Array) -> Array:
    """``log N(y; a mu_k, a^2 Sigma_k + sigma^2 I)`` for every ``k``, exact; ``[K]``."""
    a, sigma = process.coefficients(t)
    residual = y[None, :] - a * population.means
    cov, d = population.covariances, residual.shape[1]
    if cov.ndim < 2:
        v = jnp.broadcast_to(a**2 * cov + sigma**2, (d,))
        quad = jnp.sum(jnp.square(residual) / v[None, :], axis=1)
        log_det = jnp.sum(jnp.log(v))
        return -0.5 * (quad + log_det + d * math.log(2 * math.pi))
    total = a**2 * cov + sigma**2 * jnp.broadcast_to(jnp.eye(d, dtype=cov.dtype), cov.shape)
    factor = jnp.linalg.cholesky(total)
    if cov.ndim == 2:
        white = jax.scipy.linalg.solve_triangular(factor, residual.T, lower=True).T
        log_det = 2 * jnp.sum(jnp.log(jnp.diagonal(factor)))
    else:
        white = jax.vmap(lambda f, r: jax.scipy.linalg.solve_triangular(f, r, lower=True))(factor, residual)
        log_det = 2 * jnp.sum(jnp.log(jnp.diagonal(factor, axis1=1, axis2=2)), axis=1)
    return -0.5 * (jnp.sum(jnp.square(white), axis=1) + log_det + d * math.log(2 * math.pi))


def covariance_root(covariances: Array, z: Array, component: Array) -> Array:
    """``Sigma_k^{1/2} z``, ``[d]``: from variances, or by the Cholesky factor of one matrix or a matrix each."""
    if covariances.ndim < 2:
        return jnp.sqrt(covariances) * z
    factor = jnp.linalg.cholesky(covariances)
    return jnp.matmul(factor if covariances.ndim == 2 else factor[component], z, precision=_HIGHEST)


@gaussian_marginals.reduce
def project_means(process: GaussianChannel, population: GaussianMixture) -> tuple[Any, Any]:
    """Replace ``Y_t`` by a sufficient statistic for the component (TV and posteriors unchanged).

    Shared spherical covariance: coordinates in the span of the mean differences, ``K - 1`` dimensions whatever
    ``d``, by QR.  Shared full covariance: its eigenbasis, where every ``a^2 Sigma + sigma^2 I`` is diagonal.  One
    covariance per component: nothing is dropped, but each is diagonalised once for all draws and times.
    """
    cov, means = population.covariances, population.means
    k, d = means.shape
    if cov.ndim == 0 and d > k - 1:
        factor = jnp.linalg.qr((means[1:] - means[:1]).T, mode="r")
        small = jnp.concatenate([jnp.zeros((1, k - 1), means.dtype), factor.T])
        small = small - jnp.mean(small, axis=0, keepdims=True)
        return process, GaussianMixture(population.weights, small, cov, population.names)
    if cov.ndim == 2:
        values, vectors = _eigen(cov)
        rotated = jnp.matmul(_centred(means), vectors, precision=_HIGHEST)
        return process, GaussianMixture(population.weights, rotated, values, population.names)
    if cov.ndim == 3:
        values, vectors = _eigen(cov)
        return process, _Diagonalised(population.weights, _centred(means), values, vectors, population.names)
    return process, population


def _finite(values: np.ndarray) -> bool:
    with np.errstate(over="ignore"):
        return bool(np.isfinite(values.astype(float_dtype())).all())


def _centred(means: Array) -> Array:
    return means - jnp.mean(means, axis=0, keepdims=True)


def _eigen(cov: Array) -> tuple[Array, Array]:
    values, vectors = jnp.linalg.eigh(cov)
    return jnp.maximum(values, jnp.asarray(jnp.finfo(cov.dtype).tiny, cov.dtype)), vectors


def _square_distances(means: Array) -> Array:
    """``|mu_j - mu_k|^2``, ``[K, K]``, at once where that is small (a loop costs every block), else row by row."""
    k, d = means.shape
    if k * k * d <= _SMALL:
        return jnp.sum(jnp.square(means[:, None, :] - means[None, :, :]), axis=2)
    return jax.lax.map(lambda mean: jnp.sum(jnp.square(means - mean[None, :]), axis=1), means)


def _once(values: Array) -> Array:
    """Return ``values [K, B]`` through a sum with zero, which XLA does not fuse into what uses them.

    Otherwise a CPU evaluates the gathers and the polynomial of the normal quantile again for each of the ``T``
    times, three times the work; the compiler drops an optimization barrier before it fuses.
    """
    return jnp.sum(jnp.pad(values[None], ((0, 1), (0, 0), (0, 0))), axis=0)


@gaussian_marginals.draws
def gaussian_draws(
    process: GaussianChannel, population: GaussianMixture, key: Array, components: Array
) -> Callable[[Array], Array]:
    """``times -> [T, K, B]`` up to a constant in ``k``, from inner products formed once per trajectory.

    With ``x = mu_c + s w`` and ``g_k = mu_c - mu_k`` the terms quadratic in the noise are the same for every ``k``,
    which leaves ``-(a^2 / 2 v)(|g_k|^2 + 2 s <g_k, w>) - (a sigma / v) <g_k, z>``: a time costs two multiplications
    for each component and draw, whatever ``d``, and the source's own value is exactly zero.
    """
    if population.covariances.ndim >= 2:
        process, population = project_means(process, population)
    if isinstance(population, _Diagonalised):
        return diagonalised_draws(process, population, key, components)
    means, cov = _centred(population.means), population.covariances
    batch, d = components.shape[0], means.shape[1]
    key_x, key_z = jax.random.split(key)
    white = normals(key_x, (d, batch), means.dtype)
    z = normals(key_z, (d, batch), means.dtype)
    if cov.ndim == 1:
        return functools.partial(_diagonal_at, process, population, means[components].T, white, z)
    own = jnp.arange(means.shape[0], dtype=components.dtype)[:, None] == components[None, :]

    def of_source(values: Array) -> Array:
        # A masked sum is vectorised where a gather is not.
        return jnp.sum(jnp.where(own, values, jnp.zeros_like(values)), axis=0, keepdims=True)

    if 0 < means.size <= _SPELLED_OUT:
        # So few products are fused with the draws; a matrix product would write both to memory first.
        gap = [of_source(means[:, i, None]) - means[:, i, None] for i in range(d)]
        signal = [g * (g + 2 * jnp.sqrt(cov) * white[i][None]) for i, g in enumerate(gap)]
        square = _once(functools.reduce(jnp.add, signal))
        cross = _once(functools.reduce(jnp.add, [g * z[i][None] for i, g in enumerate(gap)]))
    else:
        gaps = _square_distances(means)

        def along(noise: Array) -> Array:
            products = jnp.matmul(means, noise, precision=_HIGHEST)
            return of_source(products) - products

        square = _once(gaps[:, components] + 2 * jnp.sqrt(cov) * along(white))
        cross = _once(along(z))

    def at(times: Array) -> Array:
        a, sigma = process.coefficients(times)
        v = a**2 * cov + sigma**2
        return -(a**2 / (2 * v))[:, None, None] * square[None] - (a * sigma / v)[:, None, None] * cross[None]

    return at


def _diagonal_at(
    process: GaussianChannel, population: GaussianMixture, source: Array, white: Array, z: Array, times: Array
) -> Array:
    """``[T, K, B]`` for one diagonal covariance, from the sources' centred means and the noises, each ``[d, B]``."""
    cov, (a, sigma) = population.covariances, process.coefficients(times)
    v = (a**2)[:, None] * cov[None, :] + (sigma**2)[:, None]  # [T, d]
    noise = 2 * jnp.sqrt(cov)[:, None] * white

    def one(mean: Array) -> Array:
        g = source - mean[:, None]
        signal = jnp.matmul((a**2)[:, None] / v, g * (g + noise), precision=_HIGHEST)
        return -0.5 * (signal + jnp.matmul((2 * a * sigma)[:, None] / v, g * z, precision=_HIGHEST))

    return jnp.swapaxes(jax.lax.map(one, _centred(population.means)), 0, 1)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class _Diagonalised(Population):
    """A Gaussian mixture with ``Sigma_k = V_k diag(values_k) V_k^T`` given by its eigenvectors."""

    weights: Array
    means: Array
    values: Array
    vectors: Array
    names: tuple[str, ...] = field(default=(), metadata={"static": True})

    @property
    def log_weights(self) -> Array:
        """``log w_k``, shape ``[K]``."""
        return jnp.log(self.weights)

    def sample(self, key: Array, component: Array) -> Array:
        """Draw ``mu_k + V_k diag(values_k)^{1/2} z``, shape ``[d]``."""
        z = jax.random.normal(key, (self.means.shape[1],), self.means.dtype)
        scaled = jnp.sqrt(self.values[component]) * z
        return self.means[component] + jnp.matmul(self.vectors[component], scaled, precision=_HIGHEST)


@register_marginals(GaussianChannel, _Diagonalised)
def diagonalised_marginals(process: GaussianChannel, population: _Diagonalised, y: Array, t: Array) -> Array:
    """``log N(y; a mu_k, a^2 Sigma_k + sigma^2 I)`` for every ``k``, each in its own eigenbasis; ``[K]``."""
    a, sigma = process.coefficients(t)
    residual = y[None, :] - a * population.means
    own = jnp.einsum("kij,ki->kj", population.vectors, residual, precision=_HIGHEST)
    v = a**2 * population.values + sigma**2
    return -0.5 * jnp.sum(jnp.square(own) / v + jnp.log(2 * math.pi * v), axis=1)


@diagonalised_marginals.draws
def diagonalised_draws(
    process: GaussianChannel, population: _Diagonalised, key: Array, components: Array
) -> Callable[[Array], Array]:
    """``times -> [T, K, B]`` up to a constant in ``k``, component by component: memory does not grow with ``K d``.

    A chunk of times turns the draws into each eigenbasis again, ``4 K d^2`` flop a draw, where keeping them turned
    would take ``2 K d`` numbers.
    """
    means, batch = population.means, components.shape[0]
    k, d = means.shape
    key_x, key_z = jax.random.split(key)
    white = normals(key_x, (d, batch), means.dtype)
    z = normals(key_z, (d, batch), means.dtype)
    scale = jnp.sqrt(population.values)

    def place(i: Array, x: Array) -> Array:
        drawn = jnp.matmul(population.vectors[i] * scale[i][None, :], white, precision=_HIGHEST)
        return jnp.where((components == i)[None, :], means[i][:, None] + drawn, x)

    x = jax.lax.fori_loop(0, k, place, jnp.zeros((d, batch), means.dtype))

    def at(times: Array) -> Array:
        a, sigma = process.coefficients(times)

        def one(given: tuple[Array, Array, Array]) -> Array:
            mean, values, basis = given
            u = jnp.matmul(basis.T, x - mean[:, None], precision=_HIGHEST)
            own = jnp.matmul(basis.T, z, precision=_HIGHEST)
            v = (a**2)[:, None] * values[None, :] + (sigma**2)[:, None]
            total = jnp.matmul((a**2)[:, None] / v, jnp.square(u), precision=_HIGHEST)
            total = total + jnp.matmul((2 * a * sigma)[:, None] / v, u * own, precision=_HIGHEST)
            total = total + jnp.matmul((sigma**2)[:, None] / v, jnp.square(own), precision=_HIGHEST)
            return -0.5 * (total + jnp.sum(jnp.log(v), axis=1)[:, None])

        return jnp.swapaxes(jax.lax.map(one, (means, population.values, population.vectors)), 0, 1)

    return at
