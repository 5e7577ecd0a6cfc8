"""A population of one's own: each sub-population is uniform on an interval, seen through any Gaussian channel."""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import sloc
import sloc.contracts


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Intervals(sloc.Population):
    """``X`` uniform on ``[low_k, high_k]`` with probability ``w_k``; under ``Y = a X + sigma Z`` exact."""

    weights: Any = field(metadata={"dtype": float})
    low: Any = field(metadata={"dtype": float})
    high: Any = field(metadata={"dtype": float})
    names: tuple[str, ...] = field(default=(), metadata={"static": True})

    @property
    def log_weights(self):
        return jnp.log(jnp.asarray(self.weights, float))

    def validate(self):
        sloc.contracts.require(bool(np.all(np.less(self.low, self.high))), "low", self.low, "numbers below high")

    def sample(self, key, component):
        return jax.random.uniform(key, (1,), minval=self.low[component], maxval=self.high[component])

    def log_marginals(self, process: sloc.GaussianChannel, y, t):
        a, sigma = process.coefficients(t)  # every sloc.GaussianChannel has them
        left, right = (y - a * self.low) / sigma, (y - a * self.high) / sigma
        # Phi(left) - Phi(right), by the tail in which it does not cancel
        upper = jax.scipy.stats.norm.logcdf(jnp.where(right > 0, -right, left))
        lower = jax.scipy.stats.norm.logcdf(jnp.where(right > 0, -left, right))
        return upper + jnp.log1p(-jnp.exp(lower - upper)) - jnp.log(a * (self.high - self.low))
