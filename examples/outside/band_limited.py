"""A sound whose high frequencies are cut away, band by band, behind a microphone that hisses a little."""

from dataclasses import dataclass, field

import jax
import jax.numpy as jnp

import sloc


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class BandLimited(sloc.ObservationProcess):
    """Cosine coefficients ``C_f`` of ``bands`` samples: ``Y_t = C_f + hiss Z_f`` for ``f < bands - t``, else 0."""

    hiss: float = 0.5
    bands: int = field(default=8, metadata={"static": True})
    discrete = True  # the hiss is there from the start, so that t = 0 is like any other

    @property
    def horizon(self):
        return self.bands

    def sample(self, key, x, t):
        return self._cut(jax.scipy.fft.dct(x, norm="ortho") + self.hiss * jax.random.normal(key, x.shape), t)

    def log_prob(self, y, x, t):
        off = (y - jax.scipy.fft.dct(x, norm="ortho")) / self.hiss
        each = -0.5 * off**2 - jnp.log(self.hiss * jnp.sqrt(2 * jnp.pi))
        return jnp.sum(self._cut(each, t))

    def degrade(self, key, y, s, t):
        return self._cut(y, t)  # once recorded, a band is only cut

    def bridge(self, key, y, x, s, t):
        return jnp.where(self._cut(jnp.ones_like(y), t) > 0, y, self.sample(key, x, s))

    def _cut(self, c, t):
        return jnp.where(jnp.arange(self.bands) < self.bands - t, c, jnp.zeros_like(c))
