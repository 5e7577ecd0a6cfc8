"""Where a learned model's sampler starts and ends, and what it is checked for."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from sloc.contracts import ContractError, is_concrete, require, shown
from sloc.processes.schedules import LEAST_NOISE
from sloc.samplers.learned import LearnedDiffusion
from sloc.samplers.localizer import Localizer, LocalizerState

Array = jax.Array


def checked_learned(model: Any) -> LearnedDiffusion:
    """Return a learned model, validated, as a jitted function takes it.

    Raises:
        ContractError: not a :class:`LearnedDiffusion`.
        InvalidInput: what its ``validate`` refuses.

    """
    if not isinstance(model, LearnedDiffusion):
        raise ContractError(f"model = {shown(model)}: expected a sloc.samplers.LearnedDiffusion")
    if is_concrete(model):
        model.validate()
    return model.canonical()


def localizer_of(model: LearnedDiffusion, step: Any, memory: Any = None) -> Localizer:
    """Return the localizer with a given step: from noise, or from any ``y``, to the denoised last observation."""
    return Localizer(Partial(_start, model, memory), step, Partial(_finish, model))


def _start(model: LearnedDiffusion, memory: Any, key: Array, t: Array, y: Any = None) -> LocalizerState:
    if is_concrete(model, t):
        _check_level(model, t, given=y is not None)
    if y is None:
        a, sigma = model.schedule.coefficients(t)
        spread = jnp.sqrt((a * model.data_std) ** 2 + sigma**2)
        y = spread * jax.random.normal(key, model.shape, spread.dtype)
    else:
        require(jnp.shape(y) == model.shape, "x", jnp.shape(y), f"the model's shape {list(model.shape)}")
    return LocalizerState(y, t, () if memory is None else memory(y))


def _check_level(model: LearnedDiffusion, t: Array, given: bool) -> None:
    with jax.ensure_compile_time_eval():
        a, sigma = (float(v) for v in model.schedule.coefficients(t))
        spread = float(model.data_std)
    # A prediction of the noise says nothing of X where nothing of it is left.
    if model.parameterization in ("eps", "score"):
        expected = f"times at which some signal is left: a {model.parameterization} prediction is divided by a = 0"
        require(a > 0, "grid", float(t), expected)
    if not given:
        left = (a * spread / max(sigma, 1e-30)) ** 2
        expected = (
            f"a last time in noise, a^2 / sigma^2 at most {LEAST_NOISE:g} for data of standard deviation {spread:g} "
            f"(it is {left:.3g} there)"
        )
        require(left <= LEAST_NOISE, "grid", float(t), expected)


def _finish(model: LearnedDiffusion, key: Array, state: LocalizerState) -> Array:
    del key
    return model.denoise(state.y, state.t)
