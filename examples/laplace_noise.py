"""A process of your own in under 30 lines: heavy-tailed (Laplace) noise, with a window under it."""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

import sloc


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LaplaceNoise(sloc.ObservationProcess):
    """``Y_t = X + t W`` with independent Laplace coordinates: the noise of differential privacy."""

    has_density = True  # log_prob is a density, so t must be above 0 where X sits on points

    def sample(self, key, x, t):
        return x + t * jax.random.laplace(key, jnp.shape(x), jnp.result_type(x))

    def log_prob(self, y, x, t):
        return -jnp.sum(jnp.abs(y - x)) / t - x.size * jnp.log(2 * t)

    def degrade(self, key, y, s, t):  # Laplace noise is divisible: with probability (s/t)^2 add nothing, else add t W
        stay, more = jax.random.split(key)
        kept = jax.random.bernoulli(stay, (s / t) ** 2, jnp.shape(y))
        return jnp.where(kept, y, y + t * jax.random.laplace(more, jnp.shape(y), jnp.result_type(y)))

    def grid(self, n):
        return np.geomspace(1e-2, 1e2, n)


# [process]


def main() -> sloc.Window:
    """Print when noise makes two sensor readings, and then two groups of them, indistinguishable."""
    readings = np.array([[0.0, 0.0], [0.2, 0.1], [3.0, 1.0], [3.1, 1.2]])
    people = sloc.populations.Empirical(readings, labels=["left", "left", "right", "right"])
    window = sloc.critical_window(jax.random.key(0), LaplaceNoise(), people, "left", ["left", "right"], epsilon=0.2)
    print(window)
    exact = 1 - math.exp(-1.0 / 2)  # TV of two Laplace laws a distance D apart is 1 - exp(-D / 2t): here D = t = 1
    two = sloc.populations.Empirical(np.array([[0.0], [1.0]]))
    print(sloc.tv(jax.random.key(1), LaplaceNoise(), two, 1.0, 0, 1, n=100_000), f"exact {exact:.5f}")
    return window


if __name__ == "__main__":
    main()
