"""The posterior over sub-populations given one observation."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from sloc.contracts import ObservationProcess, Population, float_dtype, is_concrete, overrides, require, shown
from sloc.contracts.arguments import as_array
from sloc.divergence.checks import as_time, checked_pair
from sloc.divergence.integrands import log_sum_exp

Array = jax.Array

_SHAPES: dict[Any, Any] = {}
"""Shapes of observations by what they depend on: classes, structures and shapes of parameters."""


def posterior(process: ObservationProcess, population: Population, y: Any, t: Any) -> Array:
    """Log posterior over sub-populations, ``log pi_theta(y) = log P(theta | Y_t = y)``.

    ``log w_theta + log p_t^theta(y) - log sum_theta' w_theta' p_t^theta'(y)``, exact up to rounding.  Traceable;
    vectorise over observations with ``jax.vmap``.

    Args:
        process: the observation process.
        population: the population.
        y: one observation (a pytree, as ``process.sample`` returns).
        t: its time.

    Returns:
        ``[K]`` log probabilities in nats; all ``-inf`` where ``y`` is impossible under the whole population; NaN
        where a likelihood is.

    Raises:
        InvalidInput: a time outside ``[0, horizon]``, invalid parameters of either object, or an ``y`` that is no
            observation of this process: another structure, or another shape.
        ContractError: an unregistered class, or a pair that cannot be evaluated.

    Source: Bayes' rule.

    """
    process, population = checked_pair(process, population)
    if is_concrete(process, population, y):
        _check_observation(process, population, y)
    joint = population.log_weights + population.log_marginals(process, y, as_time(process, population, t))
    total = log_sum_exp(joint, axis=0)
    # A likelihood that is NaN says that it is not known, not that y is impossible.
    return jnp.where(jnp.isinf(total), jnp.full_like(joint, -jnp.inf), joint - total)


def _check_observation(process: ObservationProcess, population: Population, y: Any) -> None:
    """Refuse what has not the structure and the shapes of a draw, where the population can be drawn from."""
    if not (overrides(population, Population, "sample") and overrides(process, ObservationProcess, "sample")):
        return
    drawn = _drawn(process, population)
    if drawn is None:
        return
    if jax.tree_util.treedef_is_leaf(jax.tree.structure(drawn)):
        leaves = [as_array(y, "y")]
    else:
        leaves = jax.tree.leaves(y) if jax.tree.structure(y) == jax.tree.structure(drawn) else []
    shapes = [tuple(leaf.shape) for leaf in jax.tree.leaves(drawn)]
    require(len(leaves) == len(shapes), "y", y, f"an observation as the process draws it, {shown(drawn, 200)}")
    for leaf, shape in zip(leaves, shapes, strict=True):
        found = np.shape(as_array(leaf, "y"))
        require(found == shape, "y", y, f"an observation as the process draws it, of shape {shape}")


def _drawn(process: ObservationProcess, population: Population) -> Any:
    """Return the shapes of an observation; None where the two cannot be run abstractly."""
    leaves, structure = jax.tree.flatten((process, population))
    pair = (type(process), type(population), structure, tuple((np.shape(v), jnp.result_type(v)) for v in leaves))
    if pair not in _SHAPES:
        key, t = jax.random.key(0), jnp.zeros((), jnp.int32 if process.discrete else float_dtype())
        try:
            found = jax.eval_shape(lambda: process.sample(key, population.sample(key, jnp.zeros((), jnp.int32)), t))
        except Exception:  # what is wrong shows itself where it runs
            found = None
        if len(_SHAPES) >= 1024:
            _SHAPES.clear()
        _SHAPES[pair] = found
    return _SHAPES[pair]
