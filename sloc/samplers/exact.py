"""The exact localization sampler: draw ``X | Y_t``, then ``Y_s | X, Y_t``."""

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
    overrides,
    resolve_marginals,
)
from sloc.engine.normals import normals
from sloc.populations.discrete import draw_letters
from sloc.samplers.checks import checked_model
from sloc.samplers.localizer import Localizer, LocalizerInfo, LocalizerState

Array = jax.Array


def exact_localizer(process: ObservationProcess, population: Population) -> Localizer:
    """Return the exact localization sampler of any process with a bridge and population with posterior draws.

    A step draws ``X ~ P(X | Y_t)`` and then ``Y_s ~ P(Y_s | X, Y_t)``, so ``Y_s | Y_t`` has its law exactly whatever
    the grid (Markov property of the forward process); ``finish`` draws ``X | Y_t``.  Source: Li, Karan & Chen 2025,
    Def. 2.

    Args:
        process: defines ``sample`` and ``bridge``.
        population: defines ``posterior_sample``; with ``log_marginals`` the localizer also knows ``log_posterior``.

    Raises:
        ContractError: a method is missing; the message names it and what can be used instead.
        InvalidInput: parameters that the classes refuse.

    """
    process, population = checked_model(process, population, "sample", "posterior_sample", "bridge")
    return Localizer(
        Partial(start, process, population),
        Partial(_step, process, population),
        Partial(_finish, process, population),
        Partial(log_posterior, process, population),
    )


def start(process: ObservationProcess, population: Population, key: Array, t: Array, y: Any = None) -> LocalizerState:
    """Draw ``theta ~ w``, ``X ~ p^theta``, ``Y_t | X``, unless ``y`` is given; the state of a method without memory."""
    if y is None:
        key_component, key_x, key_y = jax.random.split(key, 3)
        component = draw_component(key_component, population.log_weights)
        y = process.sample(key_y, population.sample(key_x, component), t)
    return LocalizerState(y, t)


def draw_component(key: Array, log_weights: Array) -> Array:
    """Draw an index with probability proportional to ``exp(log_weights)``, an int32 scalar (one uniform number)."""
    masses = jnp.exp(log_weights - jnp.max(log_weights))
    return draw_letters(jax.random.uniform(key, (), masses.dtype), masses)


def log_posterior(process: ObservationProcess, population: Population, state: LocalizerState) -> Array:
    """``log P(theta | Y_t)``, ``[K]``, exact."""
    return jax.nn.log_softmax(population.log_weights + population.log_marginals(process, state.y, state.t))


def draw_with_label(
    key: Array, process: ObservationProcess, population: Population, y: Any, t: Array
) -> tuple[Array, Any]:
    """Draw ``(theta, X) | Y_t = y``.

    Jointly where the population has ``posterior_joint(key, process, y, t)``, as the built-in ones do.  Otherwise
    ``theta`` and ``X`` are each drawn from their exact law given ``y``, independently of each other: label
    frequencies are right, the pairing of label and sample is not.
    """
    if has_joint(population):
        return population.posterior_joint(key, process, y, t)
    key_label, key_x = jax.random.split(key)
    label = draw_component(key_label, log_posterior(process, population, LocalizerState(y, t)))
    return label, population.posterior_sample(key_x, process, y, t)


def has_joint(population: Population) -> bool:
    """Whether ``posterior_joint`` is defined for what ``posterior_sample`` draws.

    False where a subclass replaces ``posterior_sample`` and inherits the other.
    """
    if not overrides(population, Population, "posterior_joint"):
        return False
    joint, single = (
        next(c for c in type(population).__mro__ if name in vars(c)) for name in ("posterior_joint", "posterior_sample")
    )
    return issubclass(joint, single)


def check_labels(process: ObservationProcess, population: Population) -> None:
    """Refuse a population whose labels can be drawn neither jointly nor from ``log_marginals``.

    Raises:
        ContractError: the message names what is missing.

    """
    if has_joint(population) or overrides(population, Population, "log_marginals"):
        return
    try:
        resolve_marginals(process, population)
    except ContractError as error:
        raise ContractError(f"{error}; or label samples by a function: feature=") from error


def _step(
    process: ObservationProcess, population: Population, key: Array, state: LocalizerState, s: Array
) -> tuple[LocalizerState, LocalizerInfo]:
    key_x, key_y = jax.random.split(key)
    x = population.posterior_sample(key_x, process, state.y, state.t)
    return LocalizerState(_bridge(process, key_y, state.y, x, s, state.t), s), LocalizerInfo(x)


def _bridge(process: ObservationProcess, key: Array, y: Any, x: Any, s: Array, t: Array) -> Any:
    """Draw ``Y_s | Y_t = y, X = x``; a Gaussian channel's own bridge takes the same normals, written out."""
    if isinstance(process, GaussianChannel) and type(process).bridge is GaussianChannel.bridge:
        mean, sd = process.bridge_law(y, x, s, t)
        return mean + sd * normals(key, jnp.shape(y), jnp.result_type(y))
    return process.bridge(key, y, x, s, t)


def _finish(process: ObservationProcess, population: Population, key: Array, state: LocalizerState) -> Any:
    return population.posterior_sample(key, process, state.y, state.t)
