"""The posterior over sub-populations given one observation."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from sloc.contracts import ObservationProcess, Population
from sloc.divergence.checks import as_time, checked_pair
from sloc.divergence.integrands import log_sum_exp

Array = jax.Array


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
        InvalidInput: a time outside ``[0, horizon]``, or invalid parameters of either object.
        ContractError: an unregistered class, or a pair that cannot be evaluated.

    """
    process, population = checked_pair(process, population)
    joint = population.log_weights + population.log_marginals(process, y, as_time(process, population, t))
    total = log_sum_exp(joint, axis=0)
    # A likelihood that is NaN says that it is not known, not that y is impossible.
    return jnp.where(jnp.isinf(total), jnp.full_like(joint, -jnp.inf), joint - total)
