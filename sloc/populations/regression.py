"""Sparse regression against a null: the all-or-nothing phenomenon."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import (
    Array,
    ContractError,
    Observation,
    ObservationProcess,
    Population,
    RevealingChannel,
    float_dtype,
    register_marginals,
    require,
    shown,
)
from sloc.contracts.arguments import as_real, check_size
from sloc.populations.discrete import check_mixture, draw_in_groups, log_mixture_weights, seen_sums
from sloc.populations.supports import all_supports, enumerated_evidence, particle_evidence, prefix_rows

_LOG_2PI = math.log(2.0 * math.pi)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class SparseRegression(Population):
    """Samples ``(a_i, b_i)``, ``a_i ~ N(0, I_n)``: ``b_i = <a_i, beta> + N(0, v)``, or ``b_i`` that knows nothing.

    Under ``signal`` the coefficients ``beta`` are one on a uniformly drawn set of ``k`` of the ``n`` features and zero
    elsewhere; under ``null`` ``b_i ~ N(0, k + v)``, independent of the design.  One sample has the same marginals under
    both.  ``X`` is a floating array ``[N, n + 1]`` of rows ``(a_i, b_i)``.  The number of samples at which the two
    become distinct concentrates at :meth:`threshold` as ``n`` grows: all or nothing.

    ``log p_t^signal = log mean_S prod_i N(b_i; sum_{j in S seen} a_ij, v + |S hidden|)`` over samples with ``b_i``
    seen, exact under every :class:`~sloc.RevealingChannel` while the ``binom(n, k)`` supports ``S`` are at
    most ``most_supports`` and can be enumerated.  Where the seen coordinates are a prefix one pass over the samples
    serves all times.

    Beyond, sequential Monte Carlo over supports (:attr:`method` says so): ``particles`` sets of ``k - 1`` features, the
    last one summed out, reweighted and resampled at each sample, their features redrawn by Gibbs steps; unbiased for
    ``p_t^signal``, hence its logarithm is low on average and distances are no longer exact, as a rule too large.  Bands
    of curves are of the draws alone and say nothing of that; nothing is certified.  With the particles of the default,
    at ``v = .02`` and where TV is near one half, it is off by .001 at ``n = 20``, ``k = 2``, by .01 at ``n = 40``,
    ``k = 3`` (both enumerable), by .15 at ``n = 60``, ``k = 4`` (487,635 supports).  Ask again with four times the
    ``particles`` and another ``seed``: the answers differ by what the estimate does not know at least.

    Under ``Truncation(N (n + 1))`` ``t``
    counts coordinates, under ``Retimed(Truncation(N (n + 1)), Steps((n + 1) * np.arange(N + 1)))`` samples.  Source:
    Li, Karan & Chen 2025, Thm. 5-6; Reeves, Xu & Zadik 2019 (all or nothing); Chopin 2002 (sequential Monte
    Carlo over data).

    Attributes:
        variance: ``v``, the variance of the noise, positive.
        features: ``n`` (static).
        sparsity: ``k``, at most ``n`` (static).
        samples: ``N`` (static).
        weights: ``[2]``; None for one half each.
        names: two distinct strings.
        most_supports: how many supports are enumerated at most (static).
        particles: sets of ``k - 1`` features of the estimate beyond (static).
        moves: Gibbs steps per particle and sample of the estimate (static).
        seed: of the estimate, a number; the same for all observations, so that the estimate is a function of ``y``.

    """

    variance: Any
    features: int = field(metadata={"static": True})
    sparsity: int = field(metadata={"static": True})
    samples: int = field(metadata={"static": True})
    weights: Any = field(default=None, metadata={"dtype": float})
    names: tuple[str, ...] = field(default=("signal", "null"), metadata={"static": True})
    most_supports: int = field(default=200_000, metadata={"static": True})
    particles: int = field(default=512, metadata={"static": True})
    moves: int = field(default=1, metadata={"static": True})
    seed: int = 0

    @property
    def log_weights(self) -> Array:
        """``log w_theta``, shape ``[2]``."""
        return log_mixture_weights(self.weights, 2, float_dtype())

    @property
    def num_components(self) -> int:
        """Two: signal and null."""
        return 2

    @property
    def num_supports(self) -> int:
        """``binom(n, k)`` (static)."""
        return math.comb(self.features, self.sparsity)

    @property
    def exact(self) -> bool:
        """Whether the supports are enumerated, so that the marginals are exact (static)."""
        return self.num_supports <= self.most_supports

    @property
    def method(self) -> str:
        """How ``log p_t^signal`` is computed: exact by enumeration, or an estimate."""
        if self.exact:
            return f"exact: enumeration of {self.num_supports} supports"
        return (
            f"estimate: sequential Monte Carlo with {self.particles} particles for {self.num_supports} supports, "
            "unbiased for p_t^signal, its logarithm biased low and distances as a rule too large"
        )

    def marginals_words(self, process: ObservationProcess) -> str:
        """Exact while the supports are enumerated, else estimated; see :attr:`method`."""
        if self.exact:
            return super().marginals_words(process)
        return f"marginals by sequential Monte Carlo ({self.particles} particles)"

    def exact_marginals_by(self, process: ObservationProcess) -> str:
        """Enumerate all supports."""
        return f"raise most_supports to {self.num_supports:,}, so that the supports are enumerated"

    def path_elements(self) -> int:
        """Numbers held per draw and time, at most."""
        return self.num_supports * (self.sparsity + 1) if self.exact else self.particles * self.features

    def validate(self) -> None:
        """Check sizes, noise, weights and names.

        Raises:
            InvalidInput: an argument is not as the class describes it; in particular ``k > n``.

        """
        least = {"features": 1, "sparsity": 1, "samples": 1, "most_supports": 0, "particles": 2, "moves": 0}
        for name, bound in least.items():
            check_size(getattr(self, name), name, bound)
        k, n = self.sparsity, self.features
        require(k <= n, "sparsity", k, f"at most {n}, the number of features")
        require(0.0 < as_real(self.variance) < math.inf, "variance", self.variance, "a positive number")
        good = np.ndim(self.seed) == 0 and np.asarray(self.seed).dtype.kind in "iu"
        require(good, "seed", self.seed, "an int")
        check_mixture(self.weights, self.names, 2)

    def threshold(self) -> float:
        """Return ``N* = 2 k log(n / k) / log(1 + k / v)``, the printed location of the jump (Thm. 5); float64."""
        k, n = self.sparsity, self.features
        return 2.0 * k * math.log(n / k) / math.log1p(k / float(self.variance))

    def sample(self, key: Array, component: Array) -> Array:
        """Draw the samples of ``signal`` (0) or ``null`` (1): floating ``[N, n + 1]``."""
        key_support, key_rows = jax.random.split(key)
        support = jax.random.permutation(key_support, self.features)[: self.sparsity]
        rows = jax.random.normal(key_rows, (self.samples, self.features + 1), float_dtype())
        return self._rows(rows, support, component)

    def _rows(self, normals: Array, support: Array, component: Array) -> Array:
        """Turn standard normals into samples of a component, given the support."""
        design, noise = normals[:, :-1], normals[:, -1]
        variance = jnp.asarray(self.variance, normals.dtype)
        signal = jnp.sum(design[:, support], -1) + jnp.sqrt(variance) * noise
        null = jnp.sqrt(self.sparsity + variance) * noise
        return jnp.concatenate([design, jnp.where(component == 0, signal, null)[:, None]], -1)

    def posterior_joint(self, key: Array, process: ObservationProcess, y: Observation, t: Array) -> tuple[Array, Array]:
        """Draw ``(theta, X) | Y_t = y`` under the mixture, exactly.

        ``theta | y``, the support given both, then the hidden numbers: those of a fresh draw that agrees with the
        design seen, hidden features of the support corrected for the ``b_i`` seen (conditioning of a Gaussian).

        Args:
            key: typed PRNG key.
            process: a revealing channel.
            y: an observation of ``[N, n + 1]``.
            t: its time.

        Returns:
            ``(int32 scalar, floating [N, n + 1])``.

        Raises:
            ContractError: the process is not a revealing channel, or the supports are too many to enumerate.

        """
        if not isinstance(process, RevealingChannel):
            raise ContractError(
                f"process = {shown(process)}: SparseRegression.posterior_sample expects a RevealingChannel"
            )
        if not self.exact:
            raise ContractError(
                f"SparseRegression.posterior_sample is exact only: {self.num_supports} supports are more than "
                f"most_supports = {self.most_supports}"
            )
        key_theta, key_support, key_rows = jax.random.split(key, 3)
        _, supports = enumerated_evidence(self, y.values, y.known)
        posterior = self.log_weights + self.log_marginals(process, y, t)
        component = jax.random.categorical(key_theta, posterior).astype(jnp.int32)
        index = jax.random.categorical(key_support, supports)
        support = jnp.asarray(all_supports(self.features, self.sparsity))[index]
        seen, seen_b = y.known[:, :-1], y.known[:, -1]
        fresh = jax.random.normal(key_rows, (self.samples, self.features + 1), float_dtype())
        normals = jnp.concatenate([jnp.where(seen, y.values[:, :-1], fresh[:, :-1]), fresh[:, -1:]], -1)
        rows = self._rows(normals, support, component)
        member = jnp.zeros((self.features,), bool).at[support].set(True)
        open_features = (~seen & member[None, :]).astype(rows.dtype)
        spread = jnp.asarray(self.variance, rows.dtype) + jnp.sum(open_features, -1)
        step = jnp.where(seen_b & (component == 0), (y.values[:, -1] - rows[:, -1]) / spread, jnp.zeros_like(spread))
        design = rows[:, :-1] + open_features * step[:, None]
        b = jnp.where(seen_b, y.values[:, -1], rows[:, -1])
        return component, jnp.concatenate([design, b[:, None]], -1)


def _running(population: SparseRegression, values: Array, known: Array) -> Array:
    """``log p(b_1 .. b_i | seen design)`` after each sample, ``[N, 2]``, signal and null."""
    evidence = enumerated_evidence if population.exact else particle_evidence
    spread = population.sparsity + jnp.asarray(population.variance, values.dtype)
    b = values[:, -1]
    null = -0.5 * (b**2 / spread + jnp.log(spread) + _LOG_2PI)
    null = jnp.cumsum(jnp.where(known[:, -1], null, jnp.zeros_like(null)))
    return jnp.stack([evidence(population, values, known)[0], null], -1)


@register_marginals(RevealingChannel, SparseRegression)
def revealed_regression(process: Any, population: Any, y: Any, t: Any) -> Array:
    """``log P(pattern) + log density of the seen design + log p(b seen | design seen)``, ``[2]``.

    Exact where ``population.exact``, else the estimate that ``population.method`` names.
    """
    design, seen = y.values[:, :-1], y.known[:, :-1]
    normal = -0.5 * jnp.sum(jnp.where(seen, design**2 + _LOG_2PI, jnp.zeros_like(design)))
    return _running(population, y.values, y.known)[-1] + normal + process.log_mask_prob(y.known, t)


def _prefix_path(process: Any, population: Any, key: Any, x: Any, times: Any) -> tuple[Array, Array]:
    """One pass over the samples: evidence at all times up to what is free of ``theta``, ``[T, 2]``, and thresholds."""
    thresholds = process.thresholds(key, x)
    running = _running(population, x, jnp.ones(x.shape, bool))
    sums = jnp.concatenate([jnp.zeros_like(running[:1]), running])
    return sums[prefix_rows(thresholds, times)], thresholds


@revealed_regression.path
def _revealed_regression_path(process: Any, population: Any, key: Any, x: Any, times: Any) -> Array:
    """One trajectory, ``[T, 2]``, constants included; for prefixes one pass over the samples serves all times."""
    if not getattr(process, "reveals_prefix", False):
        return jax.vmap(lambda t: revealed_regression(process, population, process.sample(key, x, t), t))(times)
    out, thresholds = _prefix_path(process, population, key, x, times)
    design = jnp.concatenate([-0.5 * (x[:, :-1] ** 2 + _LOG_2PI), jnp.zeros_like(x[:, -1:])], -1)
    normal = seen_sums(design.reshape(-1, 1), thresholds.ravel(), times)
    pattern = jax.lax.map(lambda t: process.log_mask_prob(jnp.asarray(t) < thresholds, t), times)
    return out + normal + pattern[:, None]


@revealed_regression.paths
def _revealed_regression_paths(process: Any, population: Any, key: Any, components: Any, times: Any) -> Array:
    """Many trajectories, ``[T, 2, B]``, up to a term free of ``theta``."""
    prefix = getattr(process, "reveals_prefix", False)

    def one(key: Array, component: Array) -> Array:
        key_x, key_y = jax.random.split(key)
        x = population.sample(key_x, component)
        if prefix:
            return _prefix_path(process, population, key_y, x, times)[0]
        return _revealed_regression_path(process, population, key_y, x, times)

    numbers = population.path_elements() * (2 if prefix else times.shape[0])
    numbers = numbers + population.samples * (population.features + 1) * (2 if prefix else 2 * times.shape[0])
    return draw_in_groups(jax.vmap(one, out_axes=-1), key, components, numbers)
