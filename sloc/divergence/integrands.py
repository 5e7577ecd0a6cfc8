"""What is averaged: functions of the log-marginals ``L [T, K, S, R]`` of rounds of stratified draws.

``T`` times, ``K`` sub-populations, ``S`` strata (source components), ``R`` rounds.  Each integrand returns the
weighted sum over strata, one value per round: ``[T, R]`` or ``[T, C, R]``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from sloc.contracts import namespace
from sloc.contracts.process import missing_method

Array = jax.Array
Arrays = dict[str, Array]


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Draws:
    """One block of rounds, as an :class:`Integrand` reads it: ``R`` rounds with one draw from each of ``S`` strata.

    Attributes:
        log_marginals: ``[T, K, S, R]``.
        log_weights: ``[K]``, normalised.
        strata: int32 ``[S]``, the source component of each stratum.
        position: int32 ``[K]``, the stratum of each component (0 where it has none).

    """

    log_marginals: Array
    log_weights: Array
    strata: Array
    position: Array

    def stratum_weights(self, members: Array) -> Array:
        """Return ``w_s 1[s in members] / w_members`` for each stratum, ``[S]``."""
        w = jnp.exp(_normalised(jnp.where(members, self.log_weights, -jnp.inf)))
        return w[self.strata]

    def average(self, values: Array, members: Array) -> Array:
        """Average ``[..., S, R]`` over a set's strata, ``sum_s w_s v_s / w_members``: ``[..., R]``, its law's mean."""
        return _weighted(values, self.stratum_weights(members))

    def conditional(self, members: Array) -> Array:
        """Return ``log p_t^members(Y_t)``, ``[T, S, R]``: a weighted log-sum-exp minus ``log w_members``."""
        log_w = _normalised(jnp.where(members, self.log_weights, -jnp.inf))
        return log_sum_exp(self.log_marginals + log_w[None, :, None, None], axis=1)

    def joint(self) -> tuple[Array, Array, Array]:
        """Return ``(x, e = exp x, sum_theta e)`` with ``pi = e / sum e``: ``[T, K, S, R]`` twice, ``[T, S, R]``.

        ``x`` is ``log w_theta p_t^theta(Y_t)`` less its maximum over ``theta``.  A function of the posterior needs one
        exponential a sub-population, and no more.
        """
        return _joint(self.log_marginals + self.log_weights[None, :, None, None])

    def odds(self) -> Array | None:
        """Return ``|log pi_0 / pi_1|``, ``[T, S, R]``, where there are two sub-populations, else None.

        What does not tell the two apart is an even, smooth function of it, and takes one exponential in place of two.
        """
        if self.log_weights.shape[0] != 2:
            return None
        x = self.log_marginals + self.log_weights[None, :, None, None]
        return jnp.abs(x[:, 0] - x[:, 1])


def _joint(x: Array) -> tuple[Array, Array, Array]:
    x = x - _top(x, axis=1)
    e = jnp.exp(x)
    return x, e, jnp.sum(e, axis=1)


def _top(x: Array, axis: int) -> Array:
    """Return the maximum, the axis kept; 0 where every entry is ``-inf`` or one is NaN, which then shows."""
    top = jax.lax.stop_gradient(jnp.max(x, axis=axis, keepdims=True))
    return jnp.where(jnp.isfinite(top), top, jnp.zeros_like(top))


def _normalised(log_w: Array) -> Array:
    return log_w - log_sum_exp(log_w, axis=0)


def log_sum_exp(x: Array, axis: int) -> Array:
    """Log-sum-exp over an axis that is ``-inf``, not NaN, where every entry is ``-inf``."""
    top = _top(x, axis)
    total = jnp.sum(jnp.exp(x - top), axis=axis)
    return jnp.log(total) + jnp.squeeze(top, axis)


def entropy_bits(w: Any) -> Any:
    """Shannon entropy of a probability vector in bits (zero weights allowed)."""
    xp = namespace(w)
    return -xp.sum(w * xp.log2(xp.where(w > 0, w, xp.ones_like(w))))


def log_ratio(log_p: Array, log_q: Array) -> Array:
    """``log p - log q``; infinite where both densities are zero (such a draw counts for nothing), NaN where one is."""
    neither = (log_p == -jnp.inf) & (log_q == -jnp.inf)  # False beside a NaN, which then shows in the difference
    return jnp.where(neither, jnp.full_like(log_p, jnp.inf), log_p - log_q)


def overlap(delta: Array) -> Array:
    """``2 sigma(-|delta|) = 1 - tanh(|delta| / 2)``, exact down to the smallest float; NaN stays, so that it is found.

    Where two densities may both be zero, ``delta`` is to come from ``log_ratio``.
    """
    e = jnp.exp(-jnp.abs(delta))
    return 2 * e / (1 + e)


def _weighted(values: Array, coefficients: Array) -> Array:
    """Sum ``[..., S, R]`` over strata with ``[S]`` coefficients; a zero coefficient silences even NaN."""
    c = coefficients.reshape((1,) * (values.ndim - 2) + (-1, 1))
    return jnp.sum(jnp.where(c > 0, c * values, jnp.zeros_like(values)), axis=-2)


class Integrand:
    """What a statistic averages: a function of the log-marginals of a block of rounds.

    Derive a frozen dataclass without arrays: equal integrands share one compilation, and terms of one integrand are
    evaluated together.  Arrays come with the :class:`Term`.
    """

    columns: bool = False
    """Whether a value is a vector ``[C]``, whose names the term gives."""
    by_slices: ClassVar[bool] = False
    """Whether each term reads few slices: on a CPU many terms are then faster one after the other than as a gather."""

    def __call__(self, arrays: Arrays, draws: Draws) -> Array:
        """Return one value per round, ``[T, R]`` (``[T, C, R]`` where ``columns``): a weighted sum over strata.

        Args:
            arrays: those of the term.
            draws: a block of rounds.

        """
        raise missing_method(self, "__call__(arrays, draws)", "measure a statistic")


@dataclass(frozen=True)
class PairOverlap(Integrand):
    """``1 - TV`` of two single sub-populations, read from their own two strata only."""

    by_slices: ClassVar[bool] = True

    def __call__(self, arrays: Arrays, draws: Draws) -> Array:
        """Average the overlap over one draw from each side."""
        a, b = arrays["a"], arrays["b"]
        log_p = draws.log_marginals

        def side(component: Array) -> Array:
            stratum = draws.position[component]
            return overlap(log_ratio(log_p[:, a, stratum], log_p[:, b, stratum]))

        return 0.5 * (side(a) + side(b))


@dataclass(frozen=True)
class SetOverlap(Integrand):
    """``1 - TV`` of two sets, draws balanced between them."""

    def __call__(self, arrays: Arrays, draws: Draws) -> Array:
        """Average the overlap over both sides' strata."""
        a, b = arrays["a"], arrays["b"]
        values = overlap(log_ratio(draws.conditional(a), draws.conditional(b)))
        return _weighted(values, 0.5 * (draws.stratum_weights(a) + draws.stratum_weights(b)))


@dataclass(frozen=True)
class Entropy(Integrand):
    """Entropy of the posterior in bits, over the whole population."""

    def __call__(self, arrays: Arrays, draws: Draws) -> Array:
        """Average ``H(pi)``."""
        # Zero where a posterior is; a NaN is no zero and stays.
        odds = draws.odds()
        if odds is not None:
            e = jnp.exp(-odds)
            nats = jnp.log(1 + e) + jnp.where(e == 0, jnp.zeros_like(e), e * odds) / (1 + e)
        else:
            x, e, total = draws.joint()
            nats = jnp.log(total) - jnp.sum(jnp.where(e == 0, jnp.zeros_like(e), e * x), axis=1) / total
        h = nats / math.log(2.0)
        return draws.average(h, jnp.ones_like(draws.log_weights, bool))


@dataclass(frozen=True)
class LabelLaw(Integrand):
    """Posterior over labels of trajectories started in a set."""

    columns = True

    def __call__(self, arrays: Arrays, draws: Draws) -> Array:
        """Average ``pi``; ``[T, K, R]``."""
        _, e, total = draws.joint()
        return draws.average(e / total[:, None], arrays["init"])


@dataclass(frozen=True)
class SourceLabels(Integrand):
    """Posterior over labels of trajectories started in one sub-population, read from its own stratum only."""

    columns = True
    by_slices: ClassVar[bool] = True

    def __call__(self, arrays: Arrays, draws: Draws) -> Array:
        """Give ``pi``; ``[T, K, R]``."""
        own = draws.log_marginals[:, :, draws.position[arrays["init"]]]
        _, e, total = _joint(own + draws.log_weights[None, :, None])
        return e / total[:, None]


@dataclass(frozen=True)
class CloneAgreement(Integrand):
    """Sum of squared posteriors."""

    def __call__(self, arrays: Arrays, draws: Draws) -> Array:
        """Average ``sum pi^2``."""
        odds = draws.odds()
        if odds is not None:
            e = jnp.exp(-odds)
            agreement = (1 + jnp.square(e)) / jnp.square(1 + e)
        else:
            _, e, total = draws.joint()
            agreement = jnp.sum(jnp.square(e), axis=1) / jnp.square(total)
        return draws.average(agreement, arrays["init"])


def _mass_outside(draws: Draws, members: Array) -> Array:
    """``1 - pi_members(Y)`` as a sum over the others, so without cancellation; ``[T, S, R]``."""
    _, e, total = draws.joint()
    return jnp.sum(jnp.where(members[None, :, None, None], jnp.zeros_like(e), e), axis=1) / total


@dataclass(frozen=True)
class Loss(Integrand):
    """Posterior mass outside a set, for draws from it."""

    def __call__(self, arrays: Arrays, draws: Draws) -> Array:
        """Average ``1 - pi_target``."""
        return draws.average(_mass_outside(draws, arrays["target"]), arrays["target"])


@dataclass(frozen=True)
class CertificateBound(Integrand):
    """TV of the nested pair plus posterior mass outside the target."""

    def __call__(self, arrays: Arrays, draws: Draws) -> Array:
        """Average ``(w_rest / w_target) TV(init, rest) + (1 - pi_target)``."""
        w = jnp.exp(draws.log_weights)
        target, rest = arrays["target"], arrays["rest"]
        share = jnp.sum(jnp.where(rest, w, jnp.zeros_like(w))) / jnp.sum(jnp.where(target, w, jnp.zeros_like(w)))
        common = SetOverlap()({"a": arrays["a"], "b": arrays["b"]}, draws)
        return share * (1 - common) + Loss()({"target": target}, draws)


@dataclass(frozen=True)
class HellingerLoss(Integrand):
    """``1 - sech(l / 2)``, draws balanced between two sets: its mean is ``1 - int sqrt(p_A p_B)``."""

    def __call__(self, arrays: Arrays, draws: Draws) -> Array:
        """Average over both sides' strata; without cancellation where the laws are close."""
        a, b = arrays["a"], arrays["b"]
        ratio = log_ratio(draws.conditional(a), draws.conditional(b))
        half = 0.5 * jnp.abs(ratio)
        values = jnp.square(jnp.expm1(-half)) / (1 + jnp.exp(-2 * half))
        return _weighted(values, 0.5 * (draws.stratum_weights(a) + draws.stratum_weights(b)))


INFINITE_NATS = 1e15
"""Stands for an infinite log-ratio, whose mean and variance must stay numbers in float32."""


@dataclass(frozen=True)
class LogRatio(Integrand):
    """``log2 p_A / p_B`` at draws from ``p_A``."""

    def __call__(self, arrays: Arrays, draws: Draws) -> Array:
        """Average over the strata of ``a``."""
        a, b = arrays["a"], arrays["b"]
        nats = jnp.clip(draws.conditional(a) - draws.conditional(b), -INFINITE_NATS, INFINITE_NATS)
        return draws.average(nats / math.log(2.0), a)
