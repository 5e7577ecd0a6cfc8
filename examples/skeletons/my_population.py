"""Copy this file, replace what is marked, run it: it checks itself.

As it stands it is a mixture of unit Gaussians on a line, under any Gaussian channel.
"""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import sloc
import sloc.contracts
import sloc.testing


@jax.tree_util.register_dataclass  # keep both decorators, on subclasses too
@dataclass(frozen=True)
class MyPopulation(sloc.Population):
    """``p = sum_k w_k p^k``: your formula."""

    weights: Any = field(metadata={"dtype": float})  # arrays are parameters: others do not recompile
    centres: Any = field(metadata={"dtype": float})
    names: tuple[str, ...] = field(default=(), metadata={"static": True})  # structure is static

    @property
    def log_weights(self):  # needed: [K]
        """log w_k."""
        return jnp.log(jnp.asarray(self.weights, float))

    def validate(self):
        """Refuse bad parameters, before anything is compiled."""
        shapes = np.shape(self.weights), np.shape(self.centres)
        sloc.contracts.require(shapes[0] == shapes[1], "centres", shapes[1], f"one for each weight, {shapes[0]}")

    def sample(self, key, component):  # needed
        """X ~ p^component."""
        return self.centres[component] + jax.random.normal(key, (1,))

    def log_marginals(self, process: sloc.GaussianChannel, y, t):  # needed: [K]
        """log p_t^k(y) for all k, weights left out."""
        a, sigma = process.coefficients(t)  # what every sloc.GaussianChannel has; ask your process what it has
        return jax.scipy.stats.norm.logpdf(y, a * self.centres, jnp.sqrt(a**2 + sigma**2))

    def posterior_sample(self, key, process: sloc.GaussianChannel, y, t):  # optional: exact samplers
        """X | Y_t = y, under the whole mixture."""
        pick, noise = jax.random.split(key)
        k = jax.random.categorical(pick, self.log_weights + self.log_marginals(process, y, t))
        a, sigma = process.coefficients(t)
        spread = 1 / (1 + (a / sigma) ** 2)
        mean = spread * (self.centres[k] + a / sigma**2 * y)
        return mean + jnp.sqrt(spread) * jax.random.normal(noise, y.shape)


if __name__ == "__main__":
    population = MyPopulation([0.3, 0.7], [-2.0, 2.0], names=("left", "right"))
    print(sloc.testing.check_population(population, sloc.processes.OrnsteinUhlenbeck()))
