"""Pixels that lose their lowest bits one after the other: a channel without any noise, in integer time."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

import sloc


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class QuantisedPixels(sloc.ObservationProcess):
    """``Y_t = floor(X / 2^t)`` for bytes ``X`` in ``0 .. 255``: after ``t`` steps ``8 - t`` bits are left."""

    horizon = 8
    discrete = True

    def sample(self, key, x, t):
        return self._halved(x, t)

    def log_prob(self, y, x, t):
        return jnp.where(jnp.all(y == self._halved(x, t)), 0.0, -jnp.inf)

    def degrade(self, key, y, s, t):
        return self._halved(y, t - s)  # bits that are gone stay gone

    def bridge(self, key, y, x, s, t):
        return self._halved(x, s)  # X alone says it: nothing is random

    def _halved(self, x, times):
        return jnp.right_shift(x, jnp.asarray(times, x.dtype))
