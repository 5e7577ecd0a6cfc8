"""Samplers of learned models that draw noise on their way: ancestral, reverse and flow diffusions, with a corrector."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from sloc.contracts import float_dtype, require
from sloc.contracts.arguments import as_real, is_one_of
from sloc.samplers.checks import checked_count
from sloc.samplers.euler import reverse_euler
from sloc.samplers.learned import LearnedDiffusion, slopes
from sloc.samplers.learned_start import checked_learned, localizer_of
from sloc.samplers.localizer import Localizer, LocalizerInfo, LocalizerState

Array = jax.Array


def ancestral(model: LearnedDiffusion, variance: str = "posterior") -> Localizer:
    """Return ancestral sampling (DDPM): ``Y_s ~ N(E[Y_s | Y_t, x], v)`` with the model's ``x = E[X | Y_t]``.

    ``v`` is the variance of ``Y_s | Y_t, X`` (``posterior``) or that of ``Y_t | Y_s``, ``q = sigma_t^2 - (a_t / a_s)^2
    sigma_s^2`` (``forward``), the two choices of Ho, Jain & Abbeel 2020.  One evaluation a step; the error in law is
    ``O(h)``.

    Args:
        model: the learned model.
        variance: ``posterior`` or ``forward``.

    Raises:
        ContractError: not a :class:`LearnedDiffusion`.
        InvalidInput: another variance, or what the model refuses.

    """
    require(is_one_of(variance, ("posterior", "forward")), "variance", variance, "posterior or forward")
    model = checked_learned(model)
    if variance == "posterior":
        return localizer_of(model, Partial(_ddim_step, model, jnp.ones((), float_dtype())))
    return localizer_of(model, Partial(_forward_variance_step, model))


def ddim(model: LearnedDiffusion, eta: float = 0.0) -> Localizer:
    """Return DDIM: ``Y_s = a_s x + sqrt(sigma_s^2 - v) eps + sqrt(v) Z``, ``v = eta^2`` times the posterior variance.

    ``eta = 0`` is deterministic, ``eta = 1`` is :func:`ancestral`.  One evaluation a step; the error is ``O(h)``,
    pathwise for ``eta = 0``.  Source: Song, Meng & Ermon 2021.

    Args:
        model: the learned model.
        eta: between 0 and 1; among positive values another one does not recompile.

    Raises:
        ContractError: not a :class:`LearnedDiffusion`.
        InvalidInput: ``eta`` outside [0, 1], or what the model refuses.

    """
    require(0 <= as_real(eta) <= 1, "eta", eta, "a number from 0 to 1")
    model = checked_learned(model)
    if eta == 0:
        return localizer_of(model, Partial(_deterministic_step, model))
    return localizer_of(model, Partial(_ddim_step, model, jnp.asarray(eta, float_dtype())))


def euler_maruyama(model: LearnedDiffusion) -> Localizer:
    """Return the reverse diffusion by Euler–Maruyama steps with the learned score.

    ``Y_s = Y_t - h (f Y_t - g^2 score) + g sqrt(h) Z``, as :func:`sloc.samplers.euler_reverse` with the exact one.  One
    evaluation a step; the error in law is ``O(h)``.  Sources: Anderson 1982; Song et al. 2021.

    Args:
        model: a learned diffusion.

    Returns:
        The localizer; approximate, weakly of first order in the step.

    Raises:
        ContractError: not a :class:`LearnedDiffusion`.
        InvalidInput: what the model refuses.

    """
    model = checked_learned(model)
    return localizer_of(model, Partial(_euler_step, model))


def flow_sde(model: LearnedDiffusion, strength: float = 1.0) -> Localizer:
    """Return a diffusion with the model's marginals whose noise is chosen freely: ``w^2 = strength sigma(t)``.

    ``Y_s = Y_t - h (a' x + sigma' eps) - h strength eps / 2 + sqrt(h strength sigma) Z``; no term is singular at either
    end.  One evaluation a step; the error in law is ``O(h)``.  Source: Ma et al. 2024 (SiT), eq. 4.

    Args:
        model: the learned model, of flow matching or any other schedule.
        strength: not negative; 0 is the flow itself by Euler steps.

    Raises:
        ContractError: not a :class:`LearnedDiffusion`.
        InvalidInput: a negative strength, or what the model refuses.

    """
    require(0 <= as_real(strength) < math.inf, "strength", strength, "a number, not negative")
    model = checked_learned(model)
    return localizer_of(model, Partial(_flow_step, model, jnp.asarray(strength, float_dtype())))


def predictor_corrector(model: LearnedDiffusion, corrections: int = 1, size: float = 0.5) -> Localizer:
    """Return ancestral steps, each followed by Langevin steps at the level that it reached.

    A correction is ``Y <- Y + e score + sqrt(2 e) Z`` with ``e = size`` times the variance that the predictor's step
    added, so that its own bias vanishes with the step: the error in law is ``O(h)``.  (Song et al. 2021 tie ``e`` to a
    fixed signal-to-noise ratio instead; their corrector does not converge on finer grids.)  ``1 + corrections``
    evaluations a step.

    Args:
        model: the learned model.
        corrections: Langevin steps a step.
        size: positive.

    Raises:
        ContractError: not a :class:`LearnedDiffusion`.
        InvalidInput: a size that is not positive, a count below 1, or what the model refuses.

    """
    corrections = checked_count(corrections, "corrections")
    require(0 < as_real(size) < math.inf, "size", size, "a positive number")
    model = checked_learned(model)
    return localizer_of(model, Partial(_corrected_step, model, jnp.asarray(size, float_dtype()), _times(corrections)))


def _times(n: int) -> Array:
    # Its length is structure, so that it may be an argument.
    return jnp.arange(n, dtype=jnp.int32)


def _share(model: LearnedDiffusion, s: Array, t: Array) -> tuple[Array, Array, Array, Array]:
    """Return ``(a_s, sigma_s, q / sigma_t^2, q)``, ``q`` the variance of ``Y_t | Y_s``."""
    _, q, a_s, sigma_s = model.schedule.degrade_law(s, t)
    share = jnp.minimum(q / model.schedule.coefficients(t)[1] ** 2, 1.0)
    return a_s, sigma_s, share, q


def _deterministic_step(
    model: LearnedDiffusion, key: Array, state: LocalizerState, s: Array
) -> tuple[LocalizerState, LocalizerInfo]:
    del key
    x, eps = model.predict(state.y, state.t)
    a_s, sigma_s = model.schedule.coefficients(s)
    return LocalizerState(a_s * x + sigma_s * eps, s), LocalizerInfo(x)


def _ddim_step(
    model: LearnedDiffusion, eta: Array, key: Array, state: LocalizerState, s: Array
) -> tuple[LocalizerState, LocalizerInfo]:
    x, eps = model.predict(state.y, state.t)
    a_s, sigma_s, share, _ = _share(model, s, state.t)
    drawn = eta**2 * share
    noise = jax.random.normal(key, state.y.shape, state.y.dtype)
    y = a_s * x + sigma_s * (jnp.sqrt(1.0 - drawn) * eps + jnp.sqrt(drawn) * noise)
    return LocalizerState(y, s), LocalizerInfo(x)


def _forward_variance_step(
    model: LearnedDiffusion, key: Array, state: LocalizerState, s: Array
) -> tuple[LocalizerState, LocalizerInfo]:
    x, eps = model.predict(state.y, state.t)
    a_s, sigma_s, share, q = _share(model, s, state.t)
    noise = jax.random.normal(key, state.y.shape, state.y.dtype)
    y = a_s * x + (sigma_s * jnp.sqrt(1.0 - share)) * eps + jnp.sqrt(q) * noise
    return LocalizerState(y, s), LocalizerInfo(x)


def _euler_step(
    model: LearnedDiffusion, key: Array, state: LocalizerState, s: Array
) -> tuple[LocalizerState, LocalizerInfo]:
    _, eps = model.predict(state.y, state.t)
    score = -eps / model.schedule.coefficients(state.t)[1]
    y, x = reverse_euler(model.schedule, key, state.y, state.t, s, score)
    return LocalizerState(y, s), LocalizerInfo(x)


def _flow_step(
    model: LearnedDiffusion, strength: Array, key: Array, state: LocalizerState, s: Array
) -> tuple[LocalizerState, LocalizerInfo]:
    x, eps = model.predict(state.y, state.t)
    (da, dsigma), h = slopes(model.schedule, state.t), state.t - s
    spread = jnp.sqrt(h * strength * model.schedule.coefficients(state.t)[1])
    noise = jax.random.normal(key, state.y.shape, state.y.dtype)
    y = state.y - h * (da * x + (dsigma + 0.5 * strength) * eps) + spread * noise
    return LocalizerState(y, s), LocalizerInfo(x)


def _corrected_step(
    model: LearnedDiffusion, size: Array, times: Array, key: Array, state: LocalizerState, s: Array
) -> tuple[LocalizerState, LocalizerInfo]:
    key_predict, key_correct = jax.random.split(key)
    moved, info = _ddim_step(model, jnp.ones_like(size), key_predict, state, s)
    _, sigma_s, share, _ = _share(model, s, state.t)
    step = size * sigma_s**2 * share

    def correct(i: Array, y: Any) -> Any:
        score = -model.predict(y, s).eps / jnp.where(sigma_s > 0, sigma_s, 1.0)
        noise = jax.random.normal(jax.random.fold_in(key_correct, i), y.shape, y.dtype)
        return y + step * score + jnp.sqrt(2.0 * step) * noise

    y = jax.lax.fori_loop(0, times.shape[0], correct, moved.y)
    return LocalizerState(y, s), info
