"""The reverse diffusion of a Gaussian channel, discretised by Euler and Maruyama."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from sloc.contracts import (
    ContractError,
    GaussianChannel,
    ObservationProcess,
    Population,
    check_pair,
    is_concrete,
    require,
    shown,
)
from sloc.engine.normals import normals
from sloc.samplers.checks import checked_model, checked_times
from sloc.samplers.exact import log_posterior, start
from sloc.samplers.localizer import Localizer, LocalizerInfo, LocalizerState
from sloc.samplers.scores import mixture_score

Array = jax.Array


def euler_reverse(process: ObservationProcess, population: Population, grid: Any = None) -> Localizer:
    """Return the reverse diffusion of a Gaussian channel by Euler–Maruyama steps with the exact score.

    The forward process ``Y_t = a X + sigma Z`` solves ``dY = f Y dt + g dB`` with ``f = a' / a`` and
    ``g^2 = (sigma^2)' - 2 f sigma^2``; a step from ``t`` to ``s = t - h`` is
    ``Y_s = Y_t - h (f Y_t - g^2 score_t(Y_t)) + g sqrt(h) Z``.  It starts from the exact marginal, its error in law is
    ``O(h)``, and it ends with ``E[X | Y_{t_0}] = (Y + sigma^2 score) / a`` (Tweedie).  Sources: Anderson 1982 (reverse
    diffusion); Song et al. 2021.

    Args:
        process: a Gaussian channel.
        population: any population with ``log_marginals`` under it.
        grid: times that a step passes through on its way from ``t`` to ``s``, so that the discretisation may be finer
            than the grid of the run; or how many of ``process.grid``.  None: one Euler step a step.

    Raises:
        ContractError: not a Gaussian channel, or a pair that cannot be evaluated.
        InvalidInput: parameters that the classes refuse, or times where ``a = 0``.

    """
    process, population = checked_model(process, population, "sample")
    if not isinstance(process, GaussianChannel):
        raise ContractError(
            f"process = {shown(process)}: euler_reverse expects a GaussianChannel; sloc.samplers.exact_localizer "
            "serves any process with a bridge"
        )
    check_pair(process, population)
    inner = None if grid is None else checked_times(process, population, grid, "grid")
    if inner is not None:
        _check_signal(process, inner[-1])
    return Localizer(
        Partial(_start, process, population),
        Partial(_step, process, population, inner),
        Partial(_finish, process, population),
        Partial(log_posterior, process, population),
    )


def _check_signal(process: GaussianChannel, t: Array) -> None:
    if is_concrete(process, t):
        with jax.ensure_compile_time_eval():
            signal = float(process.coefficients(t)[0])
        require(signal > 0, "grid", float(t), "times at which some signal is left: the drift a'/a is infinite here")


def _start(process: Any, population: Any, key: Array, t: Array, y: Any = None) -> LocalizerState:
    _check_signal(process, t)
    return start(process, population, key, t, y)


def rates(process: GaussianChannel, t: Array) -> tuple[Array, Array, Array, Array]:
    """Return ``(f, g^2, a, sigma^2)`` at ``t``, derivatives by forward differentiation of the coefficients."""

    def squared(t: Array) -> tuple[Array, Array]:
        a, sigma = process.coefficients(t)
        return a, sigma**2

    (a, variance), (slope, growth) = jax.jvp(squared, (t,), (jnp.ones_like(t),))
    f = slope / a
    return f, growth - 2.0 * f * variance, a, variance


def euler_step(process: Any, population: Any, key: Array, y: Array, t: Array, s: Array) -> tuple[Array, Array]:
    """One Euler–Maruyama step: ``(Y_s, E[X | Y_t])``."""
    return reverse_euler(process, key, y, t, s, mixture_score(process, population, y, t))


def reverse_euler(process: Any, key: Array, y: Array, t: Array, s: Array, score: Array) -> tuple[Array, Array]:
    """One Euler–Maruyama step with a given score at ``Y_t``: ``(Y_s, (Y_t + sigma^2 score) / a)``."""
    f, g2, a, variance = rates(process, t)
    h = t - s
    noise = normals(key, y.shape, y.dtype)
    return (1.0 - h * f) * y + (h * g2) * score + jnp.sqrt(h * g2) * noise, (y + variance * score) / a


def _step(
    process: Any, population: Any, grid: Array | None, key: Array, state: LocalizerState, s: Array
) -> tuple[LocalizerState, LocalizerInfo]:
    if grid is None:
        y, x = euler_step(process, population, key, state.y, state.t, s)
        return LocalizerState(y, s, state.memory), LocalizerInfo(x)
    low, high = jnp.searchsorted(grid, s, side="right"), jnp.searchsorted(grid, state.t, side="left")

    def one(i: Array, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        y, t, _ = carry
        # The times between, from above, and then s.
        target = jnp.where(i == high - low, s, grid[jnp.maximum(high - 1 - i, 0)])
        y, x = euler_step(process, population, jax.random.fold_in(key, i), y, t, target)
        return y, target, x

    y, _, x = jax.lax.fori_loop(0, high - low + 1, one, (state.y, state.t, jnp.zeros_like(state.y)))
    return LocalizerState(y, s, state.memory), LocalizerInfo(x)


def _finish(process: Any, population: Any, key: Array, state: LocalizerState) -> Array:
    del key
    a, sigma = process.coefficients(state.t)
    return (state.y + sigma**2 * mixture_score(process, population, state.y, state.t)) / a
