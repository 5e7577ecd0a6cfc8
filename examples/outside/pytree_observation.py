"""A process whose observation is a pytree: half of the coordinates gets noisy, the other half gets lost."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

import sloc

NOISY, KEPT = sloc.processes.FlowMatching(), sloc.processes.Masking()


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class NoisyAndKept(sloc.ObservationProcess):
    """``y = {"noisy": first half plus noise, "kept": second half with coordinates hidden}``, ``0 < t < 1``."""

    horizon = 1.0
    has_density = True

    def sample(self, key, x, t):
        (k_a, k_b), (a, b) = jax.random.split(key), jnp.split(x, 2)
        return {"noisy": NOISY.sample(k_a, a, t), "kept": KEPT.sample(k_b, b, t)}

    def log_prob(self, y, x, t):
        a, b = jnp.split(x, 2)
        return NOISY.log_prob(y["noisy"], a, t) + KEPT.log_prob(y["kept"], b, t)

    def degrade(self, key, y, s, t):
        k_a, k_b = jax.random.split(key)
        return {"noisy": NOISY.degrade(k_a, y["noisy"], s, t), "kept": KEPT.degrade(k_b, y["kept"], s, t)}

    def bridge(self, key, y, x, s, t):
        (k_a, k_b), (a, b) = jax.random.split(key), jnp.split(x, 2)
        return {"noisy": NOISY.bridge(k_a, y["noisy"], a, s, t), "kept": KEPT.bridge(k_b, y["kept"], b, s, t)}
