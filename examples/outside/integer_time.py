"""A process in integer time: at every step each letter is replaced by a uniform one with a small probability."""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp

import sloc


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ResampledLetters(sloc.ObservationProcess):
    """After ``t`` steps a letter of ``0 .. letters-1`` has been replaced with probability ``1 - (1 - rate)^t``."""

    rate: float = 0.1
    letters: int = field(default=4, metadata={"static": True})
    horizon = 60
    discrete = True

    def sample(self, key, x, t):
        k_when, k_what = jax.random.split(key)
        replaced = jax.random.uniform(k_when, x.shape) < self._replaced(t)
        return jnp.where(replaced, jax.random.randint(k_what, x.shape, 0, self.letters, x.dtype), x)

    def log_prob(self, y, x, t):
        return jnp.sum(self._log_kernel(y == x, t))

    def degrade(self, key, y, s, t):
        return self.sample(key, y, t - s)  # the same chain, t - s steps further

    def bridge(self, key, y, x, s, t):
        # Bayes' rule, letter by letter: P(middle | x) P(y | middle)
        logits = [self._log_kernel(x == m, s) + self._log_kernel(y == m, t - s) for m in range(self.letters)]
        return jax.random.categorical(key, jnp.stack(logits, axis=-1)).astype(x.dtype)

    def _replaced(self, t):
        return -jnp.expm1(jnp.asarray(t, float) * jnp.log1p(-self.rate))

    def _log_kernel(self, same, t):
        q = self._replaced(t)
        return jnp.where(same, jnp.log1p(q / self.letters - q), jnp.log(q / self.letters))
