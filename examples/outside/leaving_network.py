"""People leave a network and take their friendships with them: edges vanish together, not one by one."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp

import sloc


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class LeavingNetwork(sloc.ObservationProcess):
    """By time ``t`` each of ``n`` nodes has left with probability ``t``; ``x`` is an adjacency matrix ``[n, n]``.

    ``y = {"here": who is left [n], "edges": x among them, 0 elsewhere}``.
    """

    horizon = 1.0

    def sample(self, key, x, t):
        return self._among(jax.random.uniform(key, x.shape[:1]) >= t, x)

    def log_prob(self, y, x, t):
        left = jnp.sum(~y["here"], dtype=float)  # xlogy: 0 log 0 = 0 where nobody, or everybody, has left
        who = jax.scipy.special.xlogy(left, t) + jax.scipy.special.xlog1py(y["here"].size - left, -t)
        return jnp.where(jnp.all(y["edges"] == self._among(y["here"], x)["edges"]), who, -jnp.inf)

    def degrade(self, key, y, s, t):
        stay = jax.random.uniform(key, y["here"].shape) * (1 - s) >= t - s
        return self._among(y["here"] & stay, y["edges"])

    def bridge(self, key, y, x, s, t):
        back = jax.random.uniform(key, y["here"].shape) * t >= s  # gone by t, and not yet by s
        return self._among(y["here"] | back, x)

    def _among(self, here, x):
        return {"here": here, "edges": jnp.where(here[:, None] & here[None, :], x, jnp.zeros_like(x))}
