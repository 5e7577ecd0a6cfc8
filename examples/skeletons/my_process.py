"""Copy this file, replace what is marked, run it: it checks itself.

As it stands it is Gaussian noise that grows with ``t``.  Write every method for one ``x``, one ``y`` and one ``t``.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

import sloc
import sloc.contracts
import sloc.testing


@jax.tree_util.register_dataclass  # keep both decorators, on subclasses too
@dataclass(frozen=True)
class MyProcess(sloc.ObservationProcess):
    """``Y_t = ...``: your formula."""

    scale: float = 1.0  # parameters: numbers and arrays; sizes get field(metadata={"static": True})

    horizon = float("inf")  # the time at which Y_t says nothing of X; class attributes, without annotations
    discrete = False  # True if t counts steps (int32)
    has_density = True  # True if log_prob is a density, False if it is a mass

    def validate(self):
        """Refuse bad parameters, before anything is compiled."""
        sloc.contracts.require(bool(np.all(np.asarray(self.scale) > 0)), "scale", self.scale, "a positive number")

    def sample(self, key, x, t):  # needed
        """Y_t | X = x.  With one key, different t share their randomness."""
        return x + self.scale * t * jax.random.normal(key, x.shape, x.dtype)

    def log_prob(self, y, x, t):  # needed
        """Log density (or mass) of Y_t = y given X = x: a scalar."""
        return jnp.sum(jax.scipy.stats.norm.logpdf(y, x, self.scale * t))

    def grid(self, n):  # needed if the horizon is infinite
        """n increasing times, even in information."""
        return np.geomspace(0.01, 100.0, n)

    def degrade(self, key, y, s, t):  # optional: paths, Markov checks
        """Y_t | Y_s = y, for s <= t."""
        return y + self.scale * jnp.sqrt(t**2 - s**2) * jax.random.normal(key, y.shape, y.dtype)

    def bridge(self, key, y, x, s, t):  # optional: exact samplers
        """Y_s | Y_t = y, X = x, for s < t."""
        share = (s / t) ** 2
        noise = self.scale * s * jnp.sqrt(1 - share) * jax.random.normal(key, y.shape, y.dtype)
        return x + share * (y - x) + noise


if __name__ == "__main__":
    inputs = np.random.default_rng(0).normal(size=(3, 2)).astype(np.float32)  # a few typical x, stacked
    print(sloc.testing.check_process(MyProcess(), inputs))
