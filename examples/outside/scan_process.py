"""A process whose likelihood runs a ``lax.scan``: noise that is correlated along the coordinates."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

import sloc


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class CorrelatedNoise(sloc.ObservationProcess):
    """``Y_t = X + t N``, ``N_l = rho N_{l-1} + sqrt(1 - rho^2) e_l`` along the coordinates, ``N_0 = 0``."""

    rho: float = 0.8
    has_density = True

    def sample(self, key, x, t):
        return x + t * self._noise(key, x)

    def log_prob(self, y, x, t):
        def innovation(carry, n):  # the e_l are independent, so the likelihood is a product over them
            previous, total = carry
            e = (n - self.rho * previous) / spread
            return (n, total - 0.5 * e**2), None

        spread = jnp.sqrt(1 - self.rho**2)
        (_, total), _ = jax.lax.scan(innovation, (jnp.zeros(()), jnp.zeros(())), (y - x) / t)
        return total - y.size * jnp.log(t * spread * jnp.sqrt(2 * jnp.pi))

    def degrade(self, key, y, s, t):
        return y + jnp.sqrt(t**2 - s**2) * self._noise(key, y)

    def bridge(self, key, y, x, s, t):
        return x + (s / t) ** 2 * (y - x) + s * jnp.sqrt(1 - (s / t) ** 2) * self._noise(key, y)

    def grid(self, n):
        return np.geomspace(0.05, 50.0, n)

    def _noise(self, key, x):
        def step(n, e):
            n = self.rho * n + jnp.sqrt(1 - self.rho**2) * e
            return n, n

        return jax.lax.scan(step, jnp.zeros(()), jax.random.normal(key, x.shape))[1]
