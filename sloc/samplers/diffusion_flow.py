"""Samplers of learned models along the probability flow: Heun (EDM), DPM-Solver++ and Runge–Kutta."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from sloc.contracts import float_dtype, is_concrete, require
from sloc.contracts.arguments import as_real, as_whole
from sloc.processes.levels import level, time_at
from sloc.samplers.learned import LearnedDiffusion, slopes
from sloc.samplers.learned_start import checked_learned, localizer_of
from sloc.samplers.localizer import Localizer, LocalizerInfo, LocalizerState

Array = jax.Array


def heun(
    model: LearnedDiffusion,
    churn: float = 0.0,
    *,
    churn_levels: tuple[float, float] = (0.0, math.inf),
    churn_noise: float = 1.0,
) -> Localizer:
    """Return the sampler of EDM: Heun's steps of ``du / dr = eps``, ``u = Y / a``, ``r = sigma / a``.

    With ``churn`` a step first adds noise, from ``r`` to ``(1 + churn) r``.  Two evaluations a step; without churn the
    error is ``O(h^2)``, pathwise.  Source: Karras et al. 2022, algorithms 1 and 2.

    Args:
        model: the learned model.
        churn: ``gamma``, at most ``sqrt 2 - 1`` there: ``S_churn`` over the number of steps.
        churn_levels: noise levels ``r`` between which noise is added (``S_tmin``, ``S_tmax``).
        churn_noise: factor of the added noise (``S_noise``).

    Raises:
        ContractError: not a :class:`LearnedDiffusion`.
        InvalidInput: a churn outside ``0 .. 1``, levels out of order, or what the model refuses.

    """
    require(0 <= as_real(churn) <= 1, "churn", churn, "a number from 0 to 1")
    two = isinstance(churn_levels, (tuple, list)) and len(churn_levels) == 2
    in_order = two and 0 <= as_real(churn_levels[0]) <= as_real(churn_levels[1])
    require(in_order, "churn_levels", churn_levels, "two noise levels in order")
    require(0 < as_real(churn_noise) < math.inf, "churn_noise", churn_noise, "a positive number")
    model = checked_learned(model)
    if churn == 0:
        return localizer_of(model, Partial(_heun_step, model))
    most = math.inf
    if is_concrete(model) and math.isfinite(float(model.schedule.horizon)):
        # Noise is added up to the end of the schedule at most, for which the model was trained.
        most = float(level(model.schedule, float(model.schedule.horizon), "sigma"))
    settings = jnp.asarray([churn, *churn_levels, churn_noise, most], float_dtype())
    return localizer_of(model, Partial(_churned_step, model, settings))


def dpm_solver(model: LearnedDiffusion) -> Localizer:
    """Return DPM-Solver++ (2M): the exponential integrator of second order in the half log-SNR.

    ``Y_s = (sigma_s / sigma_t) Y_t - a_s (e^-h - 1) D``, ``D`` the model's ``x`` extrapolated linearly from the step
    before; the first step is of first order.  One evaluation a step; the error is ``O(h^2)``, pathwise.  Source: Lu et
    al. 2022b, algorithm 2.

    Args:
        model: a learned diffusion.

    Returns:
        The localizer; approximate, of second order in the step.

    Raises:
        ContractError: not a :class:`LearnedDiffusion`.
        InvalidInput: what the model refuses.

    """
    model = checked_learned(model)
    return localizer_of(model, Partial(_multistep, model), Partial(_no_memory))


def probability_flow(model: LearnedDiffusion, order: int = 2) -> Localizer:
    """Return the flow ``dy / dt = a' x + sigma' eps`` in the schedule's own time by a Runge–Kutta method.

    It is the probability-flow ODE of a diffusion and the flow of flow matching; nothing is singular where ``a = 0``.
    Orders 1 (Euler), 2 (Heun) and 4 (Kutta's classical one) take as many evaluations a step; the error is
    ``O(h^order)``, pathwise.  Sources: Song et al. 2021; Lipman et al. 2023.

    Args:
        model: the learned model.
        order: 1, 2 or 4.

    Raises:
        ContractError: not a :class:`LearnedDiffusion`.
        InvalidInput: another order, or what the model refuses.

    """
    require(as_whole(order) in (1, 2, 4), "order", order, "1, 2 or 4")
    model = checked_learned(model)
    step = {1: _flow_euler, 2: _flow_heun, 4: _flow_kutta}[order]
    return localizer_of(model, Partial(step, model))


def _towards(
    model: LearnedDiffusion, y: Array, t: Array, s: Array, x: Array, eps: Array
) -> tuple[LocalizerState, LocalizerInfo]:
    """Heun's step from ``Y_t``, whose prediction is given, to ``s``."""
    a_t, sigma_t = model.schedule.coefficients(t)
    a_s, sigma_s = model.schedule.coefficients(s)
    u, h = y / a_t, sigma_s / a_s - sigma_t / a_t
    first = a_s * (u + h * eps)
    # Where no noise is left there is no second slope: the step is Euler's, as in EDM.
    again = jnp.where(sigma_s > 0, model.predict(first, s).eps, eps)
    return LocalizerState(a_s * (u + (0.5 * h) * (eps + again)), s), LocalizerInfo(x)


def _heun_step(
    model: LearnedDiffusion, key: Array, state: LocalizerState, s: Array
) -> tuple[LocalizerState, LocalizerInfo]:
    del key
    return _towards(model, state.y, state.t, s, *model.predict(state.y, state.t))


def _churned_step(
    model: LearnedDiffusion, settings: Array, key: Array, state: LocalizerState, s: Array
) -> tuple[LocalizerState, LocalizerInfo]:
    churn, low, high, factor, most = (settings[i] for i in range(5))
    a, sigma = model.schedule.coefficients(state.t)
    noise_level = sigma / a
    inside = (noise_level >= low) & (noise_level <= high)
    raised = jnp.where(inside, jnp.maximum(jnp.minimum(noise_level * (1.0 + churn), most), noise_level), noise_level)
    t = jnp.where(raised > noise_level, time_at(model.schedule, raised, "sigma"), state.t)
    spread = factor * jnp.sqrt(jnp.maximum(raised**2 - noise_level**2, 0.0))
    noise = jax.random.normal(key, state.y.shape, state.y.dtype)
    y = model.schedule.coefficients(t)[0] * (state.y / a + spread * noise)
    return _towards(model, y, t, s, *model.predict(y, t))


def _no_memory(y: Array) -> tuple[Array, Array]:
    return jnp.zeros_like(y), jnp.full((), -jnp.inf, y.dtype)


def _multistep(
    model: LearnedDiffusion, key: Array, state: LocalizerState, s: Array
) -> tuple[LocalizerState, LocalizerInfo]:
    del key
    x = model.predict(state.y, state.t).x
    (a_t, sigma_t), (a_s, sigma_s) = model.schedule.coefficients(state.t), model.schedule.coefficients(s)
    now, then = jnp.log(a_t) - jnp.log(sigma_t), jnp.log(a_s) - jnp.log(sigma_s)
    before, last = state.memory
    h = then - now
    # No step before, or a first one from where nothing of the signal is left: the slope is not known.
    known = jnp.isfinite(last) & jnp.isfinite(h)
    weight = jnp.where(known, 0.5 * h / jnp.where(known, now - last, 1.0), 0.0)
    ahead = x + weight * (x - before)
    y = (sigma_s / sigma_t) * state.y - (a_s * jnp.expm1(-h)) * ahead
    return LocalizerState(y, s, (x, now.astype(last.dtype))), LocalizerInfo(x)


def _velocity(model: LearnedDiffusion, y: Array, t: Array) -> tuple[Array, Array]:
    x, eps = model.predict(y, t)
    da, dsigma = slopes(model.schedule, t)
    return da * x + dsigma * eps, x


def _flow_euler(
    model: LearnedDiffusion, key: Array, state: LocalizerState, s: Array
) -> tuple[LocalizerState, LocalizerInfo]:
    del key
    v, x = _velocity(model, state.y, state.t)
    return LocalizerState(state.y + (s - state.t) * v, s), LocalizerInfo(x)


def _flow_heun(
    model: LearnedDiffusion, key: Array, state: LocalizerState, s: Array
) -> tuple[LocalizerState, LocalizerInfo]:
    del key
    h = s - state.t
    v, x = _velocity(model, state.y, state.t)
    again, _ = _velocity(model, state.y + h * v, s)
    return LocalizerState(state.y + (0.5 * h) * (v + again), s), LocalizerInfo(x)


def _flow_kutta(
    model: LearnedDiffusion, key: Array, state: LocalizerState, s: Array
) -> tuple[LocalizerState, LocalizerInfo]:
    del key
    h, y = s - state.t, state.y
    middle = state.t + 0.5 * h
    one, x = _velocity(model, y, state.t)
    two, _ = _velocity(model, y + (0.5 * h) * one, middle)
    three, _ = _velocity(model, y + (0.5 * h) * two, middle)
    four, _ = _velocity(model, y + h * three, s)
    return LocalizerState(y + (h / 6.0) * (one + 2.0 * (two + three) + four), s), LocalizerInfo(x)
