"""Logarithms of binomial weights that are safe, values and gradients, at probabilities 0 and 1."""

from __future__ import annotations

import jax.numpy as jnp

from sloc.contracts import Array


def binomial_log_weight(successes: Array, failures: Array, t: Array) -> Array:
    """Return ``successes log t + failures log(1 - t)`` with ``0 log 0 = 0``.

    JAX's ``xlogy(0, t)`` has a NaN derivative at ``t = 0``; here the derivative is 0, as it should be.

    Args:
        successes: floating counts, any shape.
        failures: floating counts, same shape.
        t: the probability, a floating scalar of the same dtype.

    """
    log_t = jnp.log(jnp.where(successes > 0, t, 1.0))
    log_rest = jnp.log1p(-jnp.where(failures > 0, t, 0.0))
    # A count of 0 meets log 1 = 0; a positive count at probability 0 meets -inf, as it should.
    return successes * log_t + failures * log_rest
