"""Flax networks as the models that samplers and experiments take."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.tree_util import Partial

from sloc.contracts import GaussianChannel, check_registered, float_dtype, is_concrete, require
from sloc.contracts.arguments import as_real
from sloc.nn.checks import checked_network
from sloc.processes.levels import level
from sloc.samplers.learned import LearnedDiffusion
from sloc.samplers.masked import LearnedMasked

Array = jax.Array


def _apply(graph: Any, state: Any, *arguments: Array) -> Array:
    return nnx.merge(graph, state)(*arguments)


def as_function(model: Any) -> Partial:
    """Return a network as a function whose weights are arguments, so that other weights do not recompile."""
    graph, state = nnx.split(model)
    return Partial(_Applied(graph), state)


class _Applied:
    """A network's structure, applied to its weights: hashable by structure."""

    def __init__(self, graph: Any) -> None:
        self.graph = graph

    def __call__(self, state: Any, *arguments: Array) -> Array:
        return _apply(self.graph, state, *arguments)

    def __hash__(self) -> int:
        return hash(self.graph)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Applied) and self.graph == other.graph


def as_diffusion(model: Any, schedule: GaussianChannel, **options: Any) -> LearnedDiffusion:
    """Return a network of this package, trained by :func:`sloc.nn.denoising_loss`, as a learned model.

    It predicts ``v = E[a Z - sigma X | Y_t] / sqrt(a^2 + sigma^2)``.  Source: Salimans & Ho 2022.

    Args:
        model: ``(y, log_snr[, label]) -> v``, batched, with ``shape`` and ``num_classes``.
        schedule: the schedule it was trained on.
        options: further fields of :class:`sloc.samplers.LearnedDiffusion`, such as ``data_std``.

    Raises:
        InvalidInput: no network of this package, or options that the model does not have.
        ContractError: a schedule that is no Gaussian channel.

    """
    checked_network(model, "num_classes", "shape")
    check_registered(schedule, "schedule", GaussianChannel)
    classes = {"num_classes": model.num_classes, "null_label": model.num_classes} if model.num_classes else {}
    settings: dict[str, Any] = dict(parameterization="v", time="log_snr", batched=True) | classes | options
    return LearnedDiffusion(as_function(model), schedule, model.shape, **settings)


def as_masked(model: Any, **options: Any) -> LearnedMasked:
    """Return a :class:`sloc.nn.MaskedTransformer` as a learned model; ``options`` are further fields of it.

    Each hidden token has the law ``softmax(logits / temperature)``.  Source: Sahoo et al. 2024.

    Args:
        model: the network.
        **options: further fields of the learned model.

    Returns:
        The learned model.

    Raises:
        InvalidInput: no network of this package.

    """
    checked_network(model, "length", "vocabulary")
    return LearnedMasked(as_function(model), (model.length,), model.vocabulary, batched=True, **options)


def as_posterior(model: Any, schedule: GaussianChannel, temperature: float = 1.0) -> Partial:
    """Return a :class:`sloc.nn.NoiseClassifier` as ``(y, t) -> log pi(theta | y, t)``, ``[K]``, for one ``y``.

    ``log softmax(logits / temperature)``.  Source: Guo et al. 2017 (temperature scaling).

    Args:
        model: ``(y, log_snr) -> logits``, batched.
        schedule: the schedule it was trained on.
        temperature: divides the logits, such as :func:`sloc.nn.calibrate` finds; another one does not recompile.

    Raises:
        InvalidInput: a temperature that is not positive.

    """
    checked_network(model, "num_classes")
    check_registered(schedule, "schedule", GaussianChannel)
    good = not is_concrete(temperature) or 0 < as_real(temperature) < math.inf
    require(good, "temperature", temperature, "a positive number")
    return Partial(_posterior, as_function(model), schedule.canonical(), jnp.asarray(temperature, float_dtype()))


def _posterior(function: Any, schedule: GaussianChannel, temperature: Array, y: Array, t: Array) -> Array:
    log_snr = level(schedule, t, "log_snr")
    logits = function(y[None], log_snr[None])[0]
    return jax.nn.log_softmax(logits / temperature.astype(logits.dtype))
